//! Selects the applications that a push concerns, and sums up their results for the commit status.

use slipway_gitops::Revisions;

use crate::event::queue::{HostPush, Push};
use crate::notify::report::AppSyncStatus;
use crate::reconcile::sync::SyncOutcome;
use crate::root::ResolvedApplication;
use crate::root::tracked::{SourceRepository, TrackedSource};
use crate::source::github::{CommitState, GithubError};
use crate::source::{Checkouts, Repo};

/// Whether one of the sources of `member` tracks the branch of `push`, whose head is `head`: by name, or by `HEAD`
/// where the branch is the default one.
pub(super) async fn tracks(
    member: &ResolvedApplication,
    push: &Push,
    head: &str,
    checkouts: &Checkouts,
) -> Result<bool, GithubError> {
    for source in member.tracked.iter().filter(|source| source.git() == Some(&push.repo)) {
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

/// Whether one of the sources of `member` on another host than the root's tracks a branch of `push`, or `HEAD`.
pub(super) fn tracks_host(member: &ResolvedApplication, push: &HostPush) -> bool {
    member.tracked.iter().any(|source| {
        let SourceRepository::Other(repository) = &source.repository else { return false };
        let revision = source.revision.strip_prefix("refs/heads/").unwrap_or(&source.revision);
        push.is_of(&repository.to_string()) && (revision == "HEAD" || push.branches.iter().any(|one| one == revision))
    })
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
        branches.iter().any(|branch| source.git() == Some(&branch.repo) && branch.head == sha)
    };
    let moved: Vec<usize> = pairs().filter(|(_, pair)| is_head(*pair)).map(|(at, _)| at).collect();
    if moved.is_empty() { pairs().map(|(at, _)| at).collect() } else { moved }
}

/// The source whose commit messages are about: the one that moved, or the first with manifests where that may be any.
pub(super) fn reported(member: &ResolvedApplication, moved: &[usize]) -> usize {
    let main = member.app.first_with_manifests();
    if moved.contains(&main) { main } else { moved.first().copied().unwrap_or(main) }
}

/// Derives the state and description of a commit status: the worst application decides, of those that are not
/// `unchanged`.
pub(super) fn commit_status(outcomes: &[&SyncOutcome], unchanged: usize) -> (CommitState, String) {
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
        (unchanged, "unchanged"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, words)| format!("{count} {words}"))
    .collect();
    (state, format!("Applications: {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use slipway_gitops::argocd_cm::Overrides;
    use slipway_manifest::Object;

    use super::*;
    use crate::app::{Application, ProjectPermissions};
    use crate::render::BuildOptions;
    use crate::root::tracked::TrackedSources;

    fn member(spec: &Value) -> Result<ResolvedApplication, String> {
        let mut spec = spec.clone();
        spec["destination"] = json!({"name": "in-cluster"});
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web"},
            "spec": spec});
        let app = Application::from_object(&Object::from_value(object).unwrap()).unwrap();
        Ok(ResolvedApplication {
            tracked: TrackedSources::of(&app, "github.com", false)?,
            app,
            permit: ProjectPermissions::allow_all(),
            overrides: Arc::new(Overrides::default()),
            build: BuildOptions::default(),
            root: String::new(),
            after: Ok(Vec::new()),
            depth: 0,
            set: None,
            listings: None,
            parent: None,
            synced_declarations: None,
            declared: None,
        })
    }

    fn source(repo: &str, more: &Value) -> Value {
        let mut source = json!({"repoURL": format!("https://github.com/acme/{repo}"), "targetRevision": "main"});
        source.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        source
    }

    /// Values of one repository for the chart of another, and plain manifests of the first at another branch.
    fn several() -> ResolvedApplication {
        let next = json!({"path": "extra", "targetRevision": "next"});
        let sources = [
            source("values", &json!({"ref": "values"})),
            source("charts", &json!({"path": "web"})),
            source("values", &next),
        ];
        member(&json!({ "sources": sources })).unwrap()
    }

    fn heads(commits: &[&str]) -> Revisions {
        Revisions::PerSource(commits.iter().map(|commit| (*commit).to_owned()).collect())
    }

    #[test]
    fn the_sources_of_a_push_are_those_at_its_head() {
        let (several, at) = (several(), heads(&["v1", "c1", "v2"]));
        let branch = |repo: &str, head: &str| BranchHead {
            repo: format!("acme/{repo}").parse().unwrap(),
            reference: "main".to_owned(),
            head: head.to_owned(),
        };
        for (branches, expected, told) in [
            (vec![branch("values", "v1")], vec![0], 0),
            (vec![branch("charts", "c1")], vec![1], 1),
            (vec![branch("values", "v2")], vec![2], 2),
            // The root's, and one that has moved on meanwhile.
            (vec![branch("root", "r1")], vec![0, 1, 2], 1),
            (vec![branch("values", "v0")], vec![0, 1, 2], 1),
            (vec![branch("values", "v1"), branch("charts", "c1"), branch("values", "v2")], vec![0, 1, 2], 1),
        ] {
            let moved = moved(&several, &at, &branches);
            assert_eq!((reported(&several, &moved), moved), (told, expected));
        }
    }

    #[test]
    fn commits_are_of_the_sources_that_the_application_has() {
        let several = several();
        let pairs = heads(&["v1", "c1", "v2"]);
        let pairs: Vec<_> = several.tracked.at(&pairs).unwrap().map(|(one, at)| (one.revision.as_str(), at)).collect();
        assert_eq!(pairs, [("main", "v1"), ("main", "c1"), ("next", "v2")]);
        for other in [heads(&["v1", "c1"]), heads(&[]), "v1".into(), Revisions::default()] {
            assert!(several.tracked.at(&other).is_none(), "{other}");
        }
        let one = member(&json!({"source": source("charts", &json!({"path": "web", "ref": "x"}))})).unwrap();
        assert_eq!(one.tracked.unresolved(), "main".into());
        assert!(one.tracked.at(&heads(&["c1"])).is_none());
        assert_eq!(moved(&one, &"c1".into(), &[]), [0]);
    }

    #[test]
    fn sources_that_can_not_be_fetched_are_named_with_their_place() {
        let good = source("charts", &json!({"path": "web"}));
        for (bad, expected) in [
            (json!({"repoURL": "ssh://c.example.com", "chart": "web"}), "`spec.sources[1].repoURL`: `ssh://c.example"),
            (json!({"repoURL": "/srv/git"}), "`spec.sources[1].repoURL`: "),
        ] {
            let error = member(&json!({"sources": [good, bad]})).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let lent = member(&json!({"sources": [source("values", &json!({"ref": "values"}))]})).unwrap_err();
        assert!(lent.contains("`spec.sources` has no source with manifests"), "{lent}");
    }

    #[test]
    fn the_worst_decides() {
        let outcome = |phase| SyncOutcome { phase, ..SyncOutcome::failed(String::new(), false) };
        let (bad, slow, good) =
            (outcome(AppSyncStatus::Failed), outcome(AppSyncStatus::Waiting), outcome(AppSyncStatus::Healthy));
        assert_eq!(commit_status(&[&good, &good], 0), (CommitState::Success, "Applications: 2 deployed".to_owned()));
        assert_eq!(commit_status(&[], 3), (CommitState::Success, "Applications: 3 unchanged".to_owned()));
        assert_eq!(commit_status(&[&good, &slow], 0).0, CommitState::Pending);
        assert_eq!(
            commit_status(&[&good, &slow, &bad], 2),
            (CommitState::Failure, "Applications: 1 failed, 1 not healthy yet, 1 deployed, 2 unchanged".to_owned())
        );
    }
}
