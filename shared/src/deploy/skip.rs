//! Applications that are left alone: nothing is done about them but to remember that, so that `app get` and `app
//! list` say so. Their status stays as it was, as with Argo CD.

use std::time::Duration;

use serde_json::Value;
use slipway_cluster::lease::{self, Acquisition, LockError};
use slipway_cluster::state::{self, StateError};

use super::prepare;
use super::sync::delete;
use crate::app::skip;
use crate::clusters::ClusterError;
use crate::error::chain;
use crate::root::ResolvedApplication;
use crate::services::Services;

/// How long the Lease lasts: for one write.
const LEASE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
enum NoteError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Remembers whether `member` is left alone; whether it is, and was not before. That it can't be remembered is only
/// logged.
pub(crate) async fn note(engine: &Services, member: &ResolvedApplication, holder: &str) -> bool {
    if member.permit.denied.is_some() {
        return false;
    }
    match write(engine, member, holder).await {
        Ok(is_new) => is_new,
        Err(error) => {
            tracing::warn!(app = member.instance(), error = chain(&error), "nobody remembers whether it is left alone");
            false
        }
    }
}

async fn write(engine: &Services, member: &ResolvedApplication, holder: &str) -> Result<bool, NoteError> {
    let destination = engine.clusters.get(&member.app.destination.server, &member.app.destination.name).await?;
    let key = prepare::owner(engine, member).key;
    let recorded = state::read(&destination.cluster, &key).await?;
    let about = recorded.as_ref().and_then(|recorded| recorded.state.notes.get("application"));
    let was_skipped = about.is_some_and(skip::is_remembered);
    let is_of_this_root = about.and_then(|about| about.get("rootRevision")?.as_str()) == Some(&member.root);
    if was_skipped == member.app.is_skipped && (is_of_this_root || !was_skipped) {
        return Ok(false);
    }
    let options = lease::Options {
        holder: holder.to_owned(),
        duration: LEASE,
        expires_after: Duration::ZERO,
        pending_request: String::new(),
    };
    // Who is at work on it lets it go by itself; the next look remembers it.
    let Acquisition::Acquired(lease) = lease::acquire(&destination.cluster, &key, &options).await? else {
        return Ok(false);
    };
    let cluster = lease.cluster();
    let noted = async {
        let recorded = state::read(&cluster, &key).await?;
        let version = recorded.as_ref().map(|recorded| recorded.version().to_owned());
        let mut state = recorded.map(|recorded| recorded.state).unwrap_or_default();
        delete::cancel_deletion(&mut state);
        state.lease_transitions = lease.transitions();
        let about: Value = prepare::about_untried(engine, member, &state);
        state.notes.insert("application".to_owned(), about);
        state::write(&cluster, &key, &state, version.as_deref()).await
    };
    let noted = noted.await;
    lease.release().await?;
    noted?;
    Ok(member.app.is_skipped && !was_skipped)
}
