//! Reads from the recorded states what the tree of Applications asks of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use slipway_cluster::state::{self, AppKey, Reached, State, StateError};
use slipway_gitops::Revisions;
use slipway_gitops::error::ApiError;

use super::trust::{self, TrustError};
use crate::app::{Application, ClusterSecret, IN_CLUSTER_SERVER, identity};
use crate::clusters::ClusterError;
use crate::error::{Failure, chain};
use crate::reconcile::notes::{FirstManifest, Note as _};
use crate::root::last_sync::{FirstManifests, LastSync, RecordedStates};
use crate::root::tracked::TrackedSources;
use crate::root::{self, Root, first_manifest};
use crate::services::Services;
use crate::source::{Checkouts, Location};

/// States that are read at a time.
const CONCURRENCY: usize = 8;
/// Why the first manifest of an Application can't be read.
const SEALED: &str = "its state has that sealed by another key than that of SLIPWAY_STATE_SECRET";

/// Reads the root, and registers the clusters that it declares.
pub async fn load_root(engine: &Services, checkouts: &Checkouts) -> Result<Root, Failure> {
    let root = root::load(&engine.root, checkouts, Some(&Recorded(engine))).await?;
    engine.clusters.register(&root.clusters).await;
    Ok(root)
}

/// Reads the states of a root's Applications.
#[derive(Clone, Copy)]
struct Recorded<'a>(&'a Services);

impl fmt::Debug for Recorded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorded").field(&self.root()).finish()
    }
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
    fn root(&self) -> &Location {
        &self.0.root.location
    }

    /// How the `wanted` Applications, which may be in any of the `clusters`, were made first.
    async fn first_manifests(self, wanted: BTreeSet<(String, String)>, clusters: &[ClusterSecret]) -> FirstManifests {
        self.0.clusters.register(clusters).await;
        let keys = match self.0.state_keys().await {
            Ok(keys) => keys,
            Err(error) => return wanted.into_iter().map(|one| (one, Err(chain(&error)))).collect(),
        };
        let (own, mut found, mut unlisted) = (self.root().to_string(), BTreeMap::new(), None);
        for destination in self.0.clusters.all().await {
            let listed = async {
                let cluster = destination?.cluster;
                Ok((state::list(&cluster).await?, cluster))
            };
            let listed: Result<_, LastSyncError> = Box::pin(listed).await;
            match listed {
                Ok((keys, cluster)) => {
                    let keys = keys.into_iter().filter(|key| key.root == own);
                    let here = keys.map(|key| ((key.namespace.clone(), key.name.clone()), (key, cluster.clone())));
                    found.extend(here.filter(|(one, _)| wanted.contains(one)));
                }
                Err(error) => unlisted = Some(chain(&error)),
            }
        }
        let read = async |one: (String, String)| {
            let first = match (found.get(&one), &unlisted) {
                (Some((key, cluster)), _) => match Box::pin(state::read(cluster, key)).await {
                    Ok(recorded) => match recorded.and_then(|recorded| FirstManifest::of(&recorded.state)) {
                        Some(FirstManifest(sealed)) => {
                            first_manifest::open(&keys, key, &sealed).map(Some).ok_or_else(|| SEALED.to_owned())
                        }
                        None => Ok(None),
                    },
                    Err(error) => Err(chain(&error)),
                },
                (None, Some(reason)) => Err(reason.clone()),
                (None, None) => Ok(None),
            };
            (one, first)
        };
        stream::iter(wanted.clone()).map(read).buffer_unordered(CONCURRENCY).collect().await
    }

    /// Lists the Applications of the root that declare others.
    async fn parents(self) -> Result<BTreeSet<(String, String)>, String> {
        let own = self.root().to_string();
        let listed = async {
            let destination = self.0.clusters.get(IN_CLUSTER_SERVER, "").await?;
            let parents = state::list_parents(&destination.cluster).await?;
            let parents = parents.into_iter().filter(|key| key.root == own);
            Ok(parents.map(|key| (key.namespace, key.name)).collect())
        };
        let listed: Result<_, LastSyncError> = Box::pin(listed).await;
        listed.map_err(|error| chain(&error))
    }

    /// Reads what was synced last of `app`, which goes to Argo CD's own cluster.
    async fn last_sync(self, app: &Application, checkouts: &Checkouts) -> LastSync {
        let read = async {
            let (namespace, name) = identity(&app.object);
            let key = AppKey { root: self.root().to_string(), namespace, name };
            let destination = self.0.clusters.get(IN_CLUSTER_SERVER, "").await?;
            let Some(recorded) = state::read(&destination.cluster, &key).await? else { return Ok(LastSync::Never) };
            let tracked = TrackedSources::of(app, &self.root().url.host, false).map_err(LastSyncError::Source)?;
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

impl RecordedStates for Recorded<'_> {
    fn first_manifests<'a>(
        &'a self,
        wanted: BTreeSet<(String, String)>,
        clusters: &'a [ClusterSecret],
    ) -> BoxFuture<'a, FirstManifests> {
        Recorded::first_manifests(*self, wanted, clusters).boxed()
    }

    fn parents(&self) -> BoxFuture<'_, Result<BTreeSet<(String, String)>, String>> {
        Recorded::parents(*self).boxed()
    }

    fn last_sync<'a>(&'a self, app: &'a Application, checkouts: &'a Checkouts) -> BoxFuture<'a, LastSync> {
        Recorded::last_sync(*self, app, checkouts).boxed()
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
