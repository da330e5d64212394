//! Remembers applications with the annotation to skip them, so that `app get` and `app list` say so. Nothing else is
//! done; their status stays as it was, as in Argo CD.

use slipway_cluster::lease::LockError;
use slipway_cluster::state::{self, StateError};

use super::{prepare, summary};
use crate::app::skip;
use crate::clusters::ClusterError;
use crate::error::chain;
use crate::reconcile::notes::{ApplicationSummary, Note as _};
use crate::reconcile::session::{Opened, Session};
use crate::reconcile::sync::delete;
use crate::root::ResolvedApplication;
use crate::services::Services;

#[derive(Debug, thiserror::Error)]
enum NoteError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Records whether `member` is skipped; returns whether it is now and was not before. A failure to record is only
/// logged.
pub(crate) async fn note(engine: &Services, member: &ResolvedApplication, holder: &str) -> bool {
    if member.permit.denied.is_some() {
        return false;
    }
    match write(engine, member, holder).await {
        Ok(is_new) => is_new,
        Err(error) => {
            tracing::warn!(app = member.instance(), error = chain(&error), "failed to record whether it is skipped");
            false
        }
    }
}

async fn write(engine: &Services, member: &ResolvedApplication, holder: &str) -> Result<bool, NoteError> {
    let destination = engine.clusters.get(&member.app.destination.server, &member.app.destination.name).await?;
    let key = prepare::owner(engine, member).key;
    let recorded = state::read(&destination.cluster, &key).await?;
    let about = recorded.as_ref().and_then(|recorded| ApplicationSummary::of(&recorded.state)).map(|about| about.0);
    let was_skipped = about.as_ref().is_some_and(skip::is_recorded);
    let is_of_this_root = about.as_ref().and_then(|about| about.get("rootRevision")?.as_str()) == Some(&member.root);
    if was_skipped == member.app.is_skipped && (is_of_this_root || !was_skipped) {
        return Ok(false);
    }
    // The worker that holds the application goes on without that; the next look records it.
    let Opened::Ours(session) = Session::open(&destination.cluster, &key, holder).await? else {
        return Ok(false);
    };
    let noted = note_skipped(engine, member, &session).await;
    session.close().await;
    noted?;
    Ok(member.app.is_skipped && !was_skipped)
}

async fn note_skipped(engine: &Services, member: &ResolvedApplication, session: &Session) -> Result<(), StateError> {
    let stored = session.read().await?;
    let version = stored.as_ref().map(|stored| stored.version().to_owned());
    let mut state = stored.map(|stored| stored.state).unwrap_or_default();
    delete::cancel_deletion(&mut state);
    ApplicationSummary(summary::skipped_summary(engine, member, &state)).keep(&mut state);
    session.write(&mut state, version.as_deref()).await
}
