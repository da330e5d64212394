//! Selects the applications that a push concerns, and sums up their results for the commit status.

use crate::event::queue::Push;
use crate::notify::report::AppSyncStatus;
use crate::reconcile::sync::SyncOutcome;
use crate::root::ResolvedApplication;
use crate::source::Checkouts;
use crate::source::github::{CommitState, GithubError};

/// Whether `member` tracks the branch of `push`, whose head is `head`: by name, or by `HEAD` where the branch is the
/// default one.
pub(super) async fn tracks(
    member: &ResolvedApplication,
    push: &Push,
    head: &str,
    checkouts: &Checkouts,
) -> Result<bool, GithubError> {
    if member.repo != push.repo {
        return Ok(false);
    }
    match member.revision() {
        "HEAD" => Ok(checkouts.resolve(&push.repo, "HEAD").await? == head),
        revision => Ok(revision == push.branch() || revision == push.reference),
    }
}

/// Derives the state and description of a commit status: the worst application decides.
pub(super) fn commit_status(outcomes: &[&SyncOutcome]) -> (CommitState, String) {
    let count = |phase: AppSyncStatus| outcomes.iter().filter(|outcome| outcome.phase == phase).count();
    let (failed, waiting, healthy) =
        (count(AppSyncStatus::Failed), count(AppSyncStatus::Waiting), count(AppSyncStatus::Healthy));
    let (held, queued, manual) =
        (count(AppSyncStatus::Held), count(AppSyncStatus::Queued), count(AppSyncStatus::OutOfSync));
    let state = match (failed, waiting + held + queued + manual) {
        (0, 0) => CommitState::Success,
        (0, _) => CommitState::Pending,
        _ => CommitState::Failure,
    };
    let parts: Vec<String> = [
        (failed, "failed"),
        (waiting, "not healthy yet"),
        (held, "blocked by sync window"),
        (queued, "waiting for dependencies"),
        (manual, "out of sync, needs manual sync"),
        (healthy, "deployed"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, words)| format!("{count} {words}"))
    .collect();
    (state, format!("Applications: {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides() {
        let outcome = |phase| SyncOutcome { phase, ..SyncOutcome::failed(String::new(), false) };
        let (bad, slow, good) =
            (outcome(AppSyncStatus::Failed), outcome(AppSyncStatus::Waiting), outcome(AppSyncStatus::Healthy));
        assert_eq!(commit_status(&[&good, &good]), (CommitState::Success, "Applications: 2 deployed".to_owned()));
        assert_eq!(commit_status(&[&good, &slow]).0, CommitState::Pending);
        assert_eq!(
            commit_status(&[&good, &slow, &bad]),
            (CommitState::Failure, "Applications: 1 failed, 1 not healthy yet, 1 deployed".to_owned())
        );
    }
}
