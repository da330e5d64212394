//! Records commits that can't be rendered as Unknown, with the reason, where the application has a state in its
//! cluster: `app get` then agrees with the notification.

use jiff::Timestamp;
use slipway_cluster::lease::LockError;
use slipway_cluster::state::{self, StateError};
use slipway_gitops::Revisions;

use super::prepare::{self, PrepareError};
use crate::clusters::ClusterError;
use crate::error::chain;
use crate::reconcile::session::{Opened, Session, SessionError};
use crate::reconcile::status;
use crate::root::ResolvedApplication;
use crate::services::Services;

#[derive(Debug, thiserror::Error)]
enum UnrenderedError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<StateError> for UnrenderedError {
    fn from(error: StateError) -> Self {
        Self::Session(error.into())
    }
}

impl From<LockError> for UnrenderedError {
    fn from(error: LockError) -> Self {
        Self::Session(error.into())
    }
}

/// Records why `member` can't be synced to `revisions`, unless a retry may succeed or the project refuses it. A failure
/// to record is only logged. Gives whether it was recorded.
pub(crate) async fn record(
    engine: &Services,
    member: &ResolvedApplication,
    revisions: &Revisions,
    error: &PrepareError,
    holder: &str,
) -> bool {
    if error.is_retryable() || matches!(error, PrepareError::Denied(_) | PrepareError::Cluster(_)) {
        return false;
    }
    let written = Box::pin(write(engine, member, revisions, &chain(error), holder)).await;
    if let Err(failure) = &written {
        tracing::warn!(app = member.instance(), error = chain(failure), "failed to record why it is not deployed");
    }
    written.unwrap_or_default()
}

async fn write(
    engine: &Services,
    member: &ResolvedApplication,
    revisions: &Revisions,
    problem: &str,
    holder: &str,
) -> Result<bool, UnrenderedError> {
    let destination = engine.clusters.get(&member.app.destination.server, &member.app.destination.name).await?;
    let key = prepare::owner(engine, member).key;
    if state::read(&destination.cluster, &key).await?.is_none() {
        return Ok(false);
    }
    let session = match Session::open(&destination.cluster, &key, holder).await? {
        Opened::Ours(session) => session,
        // The worker that holds the application writes its state.
        Opened::HeldBy(_) => return Ok(false),
    };
    let written = session.hold(Box::pin(write_error(&session, revisions, problem))).await;
    session.close().await;
    written??;
    Ok(true)
}

async fn write_error(session: &Session, revisions: &Revisions, problem: &str) -> Result<(), StateError> {
    let Some(mut stored) = session.read().await? else { return Ok(()) };
    let version = stored.version().to_owned();
    status::write_comparison_error(&mut stored.state.status, revisions, problem, Timestamp::now());
    session.write(&mut stored.state, Some(&version)).await
}
