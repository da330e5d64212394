//! Which applications a push concerns, and what to say of a commit in one line.

use super::sync::Outcome;
use crate::event::queue::Push;
use crate::notify::report::Phase;
use crate::root::Member;
use crate::source::Checkouts;
use crate::source::github::{GithubError, State};

/// Whether `member` follows the branch of `push`, whose head is `head`: by name, or by `HEAD` where it is the default branch.
pub(super) async fn follows(
    member: &Member,
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

/// The state and description of a commit status: the worst of its applications decides.
pub(super) fn verdict(outcomes: &[&Outcome]) -> (State, String) {
    let count = |phase: Phase| outcomes.iter().filter(|outcome| outcome.phase == phase).count();
    let (failed, waiting, healthy) = (count(Phase::Failed), count(Phase::Waiting), count(Phase::Healthy));
    let (held, queued, manual) = (count(Phase::Held), count(Phase::Queued), count(Phase::OutOfSync));
    let state = match (failed, waiting + held + queued + manual) {
        (0, 0) => State::Success,
        (0, _) => State::Pending,
        _ => State::Failure,
    };
    let parts: Vec<String> = [
        (failed, "failed"),
        (waiting, "not healthy yet"),
        (held, "held by a sync window"),
        (queued, "waiting for others"),
        (manual, "out of sync, to be synced by hand"),
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
        let outcome = |phase| Outcome { phase, ..Outcome::failed(String::new(), false) };
        let (bad, slow, good) = (outcome(Phase::Failed), outcome(Phase::Waiting), outcome(Phase::Healthy));
        assert_eq!(verdict(&[&good, &good]), (State::Success, "Applications: 2 deployed".to_owned()));
        assert_eq!(verdict(&[&good, &slow]).0, State::Pending);
        assert_eq!(
            verdict(&[&good, &slow, &bad]),
            (State::Failure, "Applications: 1 failed, 1 not healthy yet, 1 deployed".to_owned())
        );
    }
}
