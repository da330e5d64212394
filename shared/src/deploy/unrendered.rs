//! A commit that can't be rendered: recorded as Unknown with the reason, where the application is known to its cluster. So status and
//! messages agree, and nobody takes its push for lost.

use std::time::Duration;

use jiff::Timestamp;
use slipway_cluster::lock::{self, Acquired};
use slipway_cluster::state::{self, StateError};
use slipway_cluster::status::{COMPARISON_ERROR, Condition, SyncStatus};

use super::job::{self, JobError};
use crate::clusters::ClusterError;
use crate::engine::Engine;
use crate::error::chain;
use crate::root::Member;

/// How long the Lease lasts: one read and one write.
const LEASE: Duration = Duration::from_secs(30);
/// The most characters of a reason.
const MAX_MESSAGE: usize = 2_000;

#[derive(Debug, thiserror::Error)]
enum UnrenderedError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Lock(#[from] Box<lock::LockError>),
    #[error(transparent)]
    State(#[from] Box<StateError>),
}

/// Records why `member` can't be brought to `revision`, unless the same may succeed later, or its project does not let it go there.
/// That this fails is only logged.
pub(super) async fn record(engine: &Engine, member: &Member, revision: &str, error: &JobError, holder: &str) {
    if error.is_retryable() || matches!(error, JobError::Denied(_) | JobError::Cluster(_)) {
        return;
    }
    if let Err(failure) = Box::pin(write(engine, member, revision, &chain(error), holder)).await {
        tracing::warn!(app = member.instance(), error = chain(&failure), "why it is not deployed was not recorded");
    }
}

async fn write(
    engine: &Engine,
    member: &Member,
    revision: &str,
    problem: &str,
    holder: &str,
) -> Result<(), UnrenderedError> {
    let destination = engine.clusters.get(&member.app.destination.server, &member.app.destination.name).await?;
    let key = job::owner(engine, member).key;
    if state::read(&destination.cluster, &key).await.map_err(Box::new)?.is_none() {
        return Ok(());
    }
    let options =
        lock::Options { holder: holder.to_owned(), duration: LEASE, patience: Duration::ZERO, wanted: String::new() };
    let lease = match lock::acquire(&destination.cluster, &key, &options).await.map_err(Box::new)? {
        Acquired::Mine(lease) => lease,
        // Whoever is at work on it writes the state.
        Acquired::Held { .. } => return Ok(()),
    };
    let cluster = lease.cluster();
    let transitions = lease.transitions();
    let written = lease.hold(async {
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
