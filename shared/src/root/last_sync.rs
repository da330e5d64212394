//! Tells from the recorded states what was synced last of Applications that only people sync: in Argo CD their children
//! are what that sync wrote, whatever the branch has since.

use std::collections::{BTreeMap, BTreeSet};

use slipway_cluster::state::{self, AppKey, Reached, State, StateError};
use slipway_gitops::Revisions;
use slipway_gitops::error::ApiError;

use super::tracked::TrackedSources;
use crate::app::{Application, IN_CLUSTER_SERVER, identity};
use crate::clusters::{ClusterError, Clusters};
use crate::deploy::trust::{self, TrustError};
use crate::error::chain;
use crate::source::{Checkouts, Location};

/// What was synced last of an Application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastSync {
    /// Nothing, or something of other sources than it has now.
    Never,
    /// These commits of its sources.
    Of(Revisions),
    /// That can't be found out, for this reason.
    Unknown(String),
}

/// What is known of the last syncs of the Applications that only people sync, by namespace and name.
#[derive(Debug, Clone, Default)]
pub struct LastSyncs {
    /// What was synced last of those that were asked for.
    pub known: BTreeMap<(String, String), LastSync>,
    /// Those that declare others, or did when they were synced last; `None` where that was not asked yet.
    pub parents: Option<Result<BTreeSet<(String, String)>, String>>,
}

/// Where the states of a root's Applications are.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The clusters.
    pub clusters: &'a Clusters,
    /// The first place of the root.
    pub root: &'a Location,
}

#[derive(Debug, thiserror::Error)]
enum LastSyncError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("failed to list the states of Applications")]
    List(#[from] ApiError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("{0}")]
    Source(String),
}

impl Recorded<'_> {
    /// Lists the Applications of the root that declare others.
    pub(super) async fn parents(self) -> Result<BTreeSet<(String, String)>, String> {
        let own = self.root.to_string();
        let listed = async {
            let destination = self.clusters.get(IN_CLUSTER_SERVER, "").await?;
            let parents = state::list_parents(&destination.cluster).await?;
            let parents = parents.into_iter().filter(|key| key.root == own);
            Ok(parents.map(|key| (key.namespace, key.name)).collect())
        };
        let listed: Result<_, LastSyncError> = Box::pin(listed).await;
        listed.map_err(|error| chain(&error))
    }

    /// Reads what was synced last of `app`, which goes to Argo CD's own cluster.
    pub(super) async fn last_sync(self, app: &Application, checkouts: &Checkouts) -> LastSync {
        let read = async {
            let (namespace, name) = identity(&app.object);
            let key = AppKey { root: self.root.to_string(), namespace, name };
            let destination = self.clusters.get(IN_CLUSTER_SERVER, "").await?;
            let Some(recorded) = state::read(&destination.cluster, &key).await? else { return Ok(LastSync::Never) };
            let tracked = TrackedSources::of(app, &self.root.url.host, false).map_err(LastSyncError::Source)?;
            let Some(revisions) = last_of(&recorded.state) else { return Ok(LastSync::Never) };
            if tracked.at(revisions).is_none() {
                return Ok(LastSync::Never);
            }
            trust::check_all(checkouts, (&key, &recorded.state), &tracked, revisions).await?;
            Ok(LastSync::Of(revisions.clone()))
        };
        let read: Result<LastSync, LastSyncError> = Box::pin(read).await;
        read.unwrap_or_else(|error| LastSync::Unknown(chain(&error)))
    }
}

/// The commits at which all of `state` was in the cluster, or else those of the last deployment: after one that failed,
/// or was not the whole.
fn last_of(state: &State) -> Option<&Revisions> {
    let State { attempt, status, .. } = state;
    let deployed = status.history.last().map(|deployment| &deployment.revisions);
    if attempt.reached == Reached::All { Some(&attempt.revisions) } else { deployed }
        .filter(|revisions| !revisions.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn children_follow_what_was_all_there_or_was_deployed() {
        let history = json!([
            {"id": 0, "revision": "0", "deployedAt": "2026-11-01T00:00:00Z"},
            {"id": 1, "revision": "a", "deployedAt": "2026-11-02T00:00:00Z"}]);
        for (reached, history, expected) in [
            ("All", &history, Some("b")),
            ("All", &json!([]), Some("b")),
            ("Tried", &history, Some("a")),
            ("Part", &history, Some("a")),
            ("Tried", &json!([]), None),
        ] {
            let state = json!({"status": {"history": history}, "attempt": {"revision": "b", "reached": reached}});
            let state: State = serde_json::from_value(state).unwrap();
            assert_eq!(last_of(&state).map(ToString::to_string).as_deref(), expected, "{reached}");
        }
        assert_eq!(last_of(&State::default()), None);
    }
}
