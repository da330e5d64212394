//! Selects the applications that a push concerns, and sums up their results for the commit status.

use slipway_gitops::Revisions;

use crate::event::queue::Push;
use crate::notify::report::AppSyncStatus;
use crate::reconcile::sync::SyncOutcome;
use crate::root::ResolvedApplication;
use crate::root::tracked::TrackedSource;
use crate::source::github::{CommitState, GithubError};
use crate::source::{Checkouts, Repo};

/// Whether one of the sources of `member` tracks the branch of `push`, whose head is `head`: by name, or by `HEAD` where
/// the branch is the default one.
pub(super) async fn tracks(
    member: &ResolvedApplication,
    push: &Push,
    head: &str,
    checkouts: &Checkouts,
) -> Result<bool, GithubError> {
    for source in member.tracked.iter().filter(|source| source.repo == push.repo) {
        let is_tracked = match source.revision.as_str() {
            "HEAD" => checkouts.resolve(&push.repo, "HEAD").await? == head,
            revision => revision == push.branch() || revision == push.reference,
        };
        if is_tracked {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A tracked branch, and its head.
pub(super) struct BranchHead {
    pub repo: Repo,
    pub reference: String,
    pub head: String,
}

/// The places of the sources of `member` whose commits of `revisions` are heads of `branches`; all of them where none
/// is, as where only the Application's own manifest was pushed.
pub(super) fn moved(member: &ResolvedApplication, revisions: &Revisions, branches: &[BranchHead]) -> Vec<usize> {
    let pairs = || member.tracked.at(revisions).into_iter().flatten().enumerate();
    let is_head = |(source, sha): (&TrackedSource, &str)| {
        branches.iter().any(|branch| branch.repo == source.repo && branch.head == sha)
    };
    let moved: Vec<usize> = pairs().filter(|(_, pair)| is_head(*pair)).map(|(at, _)| at).collect();
    if moved.is_empty() { pairs().map(|(at, _)| at).collect() } else { moved }
}

/// The source whose commit messages are about: the one that moved, or the first with manifests where that may be any.
pub(super) fn reported(member: &ResolvedApplication, moved: &[usize]) -> usize {
    let main = member.app.first_with_manifests();
    if moved.contains(&main) { main } else { moved.first().copied().unwrap_or(main) }
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
