//! A commit that can't be rendered: recorded as Unknown with the reason, where the application is known to its
//! cluster. So status and messages agree, and nobody takes its push for lost.

use std::time::Duration;

use jiff::Timestamp;
use slipway_cluster::lease::{self, Acquisition};
use slipway_cluster::state::{self, StateError};
use slipway_gitops::status::{COMPARISON_ERROR, Condition, SyncStatus};

use super::prepare::{self, PrepareError};
use crate::clusters::ClusterError;
use crate::error::chain;
use crate::root::ResolvedApplication;
use crate::services::Services;

/// How long the Lease lasts: one read and one write.
const LEASE: Duration = Duration::from_secs(30);
/// The most characters of a reason.
const MAX_MESSAGE: usize = 2_000;

#[derive(Debug, thiserror::Error)]
enum UnrenderedError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Lock(#[from] Box<lease::LockError>),
    #[error(transparent)]
    State(#[from] Box<StateError>),
}

/// Records why `member` can't be brought to `revision`, unless the same may succeed later, or its project does not
/// let it go there. That this fails is only logged.
pub(super) async fn record(
    engine: &Services,
    member: &ResolvedApplication,
    revision: &str,
    error: &PrepareError,
    holder: &str,
) {
    if error.is_retryable() || matches!(error, PrepareError::Denied(_) | PrepareError::Cluster(_)) {
        return;
    }
    if let Err(failure) = Box::pin(write(engine, member, revision, &chain(error), holder)).await {
        tracing::warn!(app = member.instance(), error = chain(&failure), "why it is not deployed was not recorded");
    }
}

async fn write(
    engine: &Services,
    member: &ResolvedApplication,
    revision: &str,
    problem: &str,
    holder: &str,
) -> Result<(), UnrenderedError> {
    let destination = engine.clusters.get(&member.app.destination.server, &member.app.destination.name).await?;
    let key = prepare::owner(engine, member).key;
    if state::read(&destination.cluster, &key).await.map_err(Box::new)?.is_none() {
        return Ok(());
    }
    let options = lease::Options {
        holder: holder.to_owned(),
        duration: LEASE,
        expires_after: Duration::ZERO,
        pending_request: String::new(),
    };
    let lease = match lease::acquire(&destination.cluster, &key, &options).await.map_err(Box::new)? {
        Acquisition::Acquired(lease) => lease,
        // Whoever is at work on it writes the state.
        Acquisition::Held { .. } => return Ok(()),
    };
    let cluster = lease.cluster();
    let transitions = lease.transitions();
    let written = lease.keep_renewed(async {
        let Some(mut recorded) = state::read(&cluster, &key).await? else { return Ok(()) };
        let version = recorded.version().to_owned();
        let (now, status) = (Timestamp::now(), &mut recorded.state.status);
        status.sync.status = SyncStatus::Unknown;
        revision.clone_into(&mut status.sync.revision);
        status.conditions.retain(|condition| condition.kind != COMPARISON_ERROR);
        let message = problem.chars().take(MAX_MESSAGE).collect();
        status.conditions.push(Condition {
            kind: COMPARISON_ERROR.to_owned(),
            message,
            last_transition_time: Some(now),
        });
        status.reconciled_at = Some(now);
        recorded.state.lease_transitions = transitions;
        state::write(&cluster, &key, &recorded.state, Some(&version)).await.map(drop)
    });
    let written = written.await.map_err(Box::new);
    lease.release().await.map_err(Box::new)?;
    Ok(written?.map_err(Box::new)?)
}
