//! Decides which recorded commits are rendered. A state that is not signed may come from anybody who can write a
//! ConfigMap, and GitHub serves the commits of forks under the parent's name: of such a state only commits of the
//! tracked branch are used.

use slipway_cluster::state::{AppKey, Attempt, MAX_HISTORY, State};
use slipway_gitops::Revisions;
use slipway_gitops::identity::STATE_NAMESPACE;

use super::summary;
use crate::reconcile::notes::{ApplicationSummary, Note as _};
use crate::root::ResolvedApplication;
use crate::root::tracked::{TrackedSource, TrackedSources};
use crate::services::Services;
use crate::source::{Checkouts, SourceError};

/// A recorded commit can't be used, or not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The commit is not on the tracked branch.
    #[error(
        "the recorded commit {revision} is not on `{branch}` of {repo}, and ConfigMap/{STATE_NAMESPACE}/{name}, which \
         names it, is not signed by Slipway: it is not used; name the commit by `slipway app sync --revision`"
    )]
    Foreign {
        /// The commit.
        revision: String,
        /// The tracked revision.
        branch: String,
        /// The repository.
        repo: String,
        /// Name of the ConfigMap.
        name: String,
    },
    /// The repository could not be asked.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Checks that the commits `revisions`, which `state` records for `app`, may be rendered: the state is signed, or each
/// commit is on what its source of `tracked` follows.
pub async fn check_all(
    checkouts: &Checkouts,
    state: (&AppKey, &State),
    tracked: &TrackedSources,
    revisions: &Revisions,
) -> Result<(), TrustError> {
    // Commits of other sources are refused where they are rendered.
    for (source, revision) in tracked.at(revisions).into_iter().flatten() {
        check(checkouts, state, source, revision).await?;
    }
    Ok(())
}

/// Checks that the commit or version `revision` of `source`, which `state` records for `app`, may be rendered: the
/// state is signed, or it is on what the source follows.
pub async fn check(
    checkouts: &Checkouts,
    (app, state): (&AppKey, &State),
    source: &TrackedSource,
    revision: &str,
) -> Result<(), TrustError> {
    if !state.is_unsigned || source.has(revision, checkouts).await? {
        return Ok(());
    }
    let (branch, repo, name) = (source.revision.clone(), source.repository.to_string(), app.object_name());
    Err(TrustError::Foreign { revision: revision.to_owned(), branch, repo, name })
}

/// Takes over the unsigned `state` of `member`, so that it is signed when it is written next: commits that are not on
/// what its sources follow are forgotten, and what is known of the manifest is today's. Returns what was forgotten.
pub(crate) async fn verify_unsigned(
    engine: &Services,
    member: &ResolvedApplication,
    checkouts: &Checkouts,
    state: &mut State,
) -> Result<Vec<String>, SourceError> {
    let mut foreign = Vec::new();
    let tried = state.attempt.revisions.clone();
    if !tried.is_empty() && !member.tracked.has(&tried, checkouts).await? {
        foreign.push(tried.to_string());
        state.attempt = Attempt::default();
    }
    let history = std::mem::take(&mut state.status.history);
    let older = history.len().saturating_sub(MAX_HISTORY);
    for entry in history.into_iter().skip(older) {
        if member.tracked.has(&entry.revisions, checkouts).await? {
            state.status.history.push(entry);
        } else {
            foreign.push(entry.revisions.to_string());
        }
    }
    if !foreign.is_empty() {
        // What was compared or begun is of those commits, too.
        state.operation = None;
        state.status.sync.revisions = Revisions::default();
    }
    ApplicationSummary(summary::skipped_summary(engine, member, state)).keep(state);
    (state.is_unsigned, state.is_put_back) = (false, false);
    foreign.sort();
    foreign.dedup();
    Ok(foreign)
}
