//! Sets commit statuses: one for each commit and cluster with counts and the worst state, and one for each of a few
//! failed applications. Only statuses that differ from those at GitHub are written.

use std::collections::{BTreeMap, BTreeSet};

use super::CommitStatusTarget;
use super::select::commit_status;
use crate::error::chain;
use crate::notify::report::AppSyncStatus;
use crate::reconcile::sync::SyncOutcome;
use crate::source::github::{CommitState, GitHub};

/// Failed applications with a status of their own: GitHub accepts 80 writes a minute.
const MAX_FAILED: usize = 10;

/// What came of the applications of one commit and cluster.
#[derive(Default)]
pub(super) struct Outcomes<'a> {
    /// Those that were synced or compared, by name.
    pub done: Vec<(&'a str, &'a SyncOutcome)>,
    /// Names of those for which the commit changes nothing.
    pub unchanged: BTreeSet<String>,
}

/// Sets the statuses of every commit and cluster; a failure to set one is only logged.
pub(super) async fn set(github: &GitHub, outcomes: BTreeMap<CommitStatusTarget, Outcomes<'_>>) {
    for ((repo, sha, cluster), apps) in outcomes {
        let known = match github.statuses(&repo, &sha).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(error = chain(&error), "failed to read the commit statuses");
                BTreeMap::new()
            }
        };
        for (context, (state, description)) in wanted(&cluster, &apps, &known) {
            if known.get(&context) == Some(&(state, description.clone())) {
                continue;
            }
            if let Err(error) = github.set_status(&repo, &sha, &context, state, &description).await {
                tracing::warn!(context, error = chain(&error), "failed to set the commit status");
            }
        }
    }
}

type Statuses = BTreeMap<String, (CommitState, String)>;

/// Computes the statuses of one commit for one cluster. Pure. An application that failed before and is healthy now is
/// reported as such.
fn wanted(cluster: &str, apps: &Outcomes<'_>, known: &Statuses) -> Statuses {
    let outcomes: Vec<&SyncOutcome> = apps.done.iter().map(|(_, outcome)| *outcome).collect();
    let (state, words) = commit_status(&outcomes, apps.unchanged.len());
    let mut wanted = Statuses::from([(format!("slipway/{cluster}"), (state, cut(&words)))]);
    let mut failed = 0;
    for app in &apps.unchanged {
        let context = format!("slipway/{cluster}/{app}");
        if known.contains_key(&context) {
            let (state, words) = commit_status(&[], 1);
            wanted.insert(context, (state, words));
        }
    }
    for (app, outcome) in &apps.done {
        let context = format!("slipway/{cluster}/{app}");
        let is_known = known.contains_key(&context);
        if outcome.phase == AppSyncStatus::Failed && (is_known || failed < MAX_FAILED) {
            failed += 1;
            let problem = outcome.problems.first().map_or("failed", String::as_str);
            wanted.insert(context, (CommitState::Failure, cut(problem)));
        } else if outcome.phase != AppSyncStatus::Failed && is_known {
            let (state, words) = commit_status(&[outcome], 0);
            wanted.insert(context, (state, cut(&words)));
        }
    }
    wanted
}

/// Cuts `text` to the 140 characters that GitHub accepts.
fn cut(text: &str) -> String {
    text.chars().take(140).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_applications_are_one_status_and_ten_of_failures() {
        let outcome = |phase| SyncOutcome { phase, ..SyncOutcome::failed("x".repeat(500), false) };
        let (good, bad) = (outcome(AppSyncStatus::Healthy), outcome(AppSyncStatus::Failed));
        let names: Vec<String> = (0..1_000).map(|n| format!("app-{n}")).collect();
        let apps: Vec<(&str, &SyncOutcome)> =
            names.iter().enumerate().map(|(n, name)| (name.as_str(), if n % 2 == 0 { &bad } else { &good })).collect();
        let of = |done| Outcomes { done, ..Outcomes::default() };
        let first = wanted("prod", &of(apps), &Statuses::new());
        assert_eq!(first.len(), 11);
        assert_eq!(first["slipway/prod"], (CommitState::Failure, "Applications: 500 failed, 500 deployed".to_owned()));
        assert!(first.values().all(|(_, words)| words.len() <= 140));
        let well: Vec<(&str, &SyncOutcome)> = names.iter().map(|name| (name.as_str(), &good)).collect();
        let then = wanted("prod", &of(well), &first);
        assert_eq!(then.len(), 11, "what failed says that it is well");
        assert!(then.values().all(|(state, _)| *state == CommitState::Success));
        let unchanged = Outcomes { unchanged: names.iter().cloned().collect(), ..Outcomes::default() };
        let then = wanted("prod", &unchanged, &first);
        assert_eq!((then.len(), then["slipway/prod"].1.as_str()), (11, "Applications: 1000 unchanged"));
        assert!(then.values().all(|(state, _)| *state == CommitState::Success));
    }
}
