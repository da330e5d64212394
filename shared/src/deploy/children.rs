//! Shows what an Application declares to Argo CD, which stays out of the cluster, as rows of it: its child Applications
//! with the health that `argocd-cm` gives Applications. Tells, too, which of them go with their parent.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::json;
use slipway_cluster::state::{self, AppKey};
use slipway_gitops::annotations;
use slipway_gitops::status::{ResourceStatus, SyncStatus};
use slipway_manifest::{Object, ObjectId};

use crate::app::{self, Application};
use crate::root::{ResolvedApplication, Root};
use crate::services::Services;

/// States that are read at a time.
const CONCURRENCY: usize = 8;
/// Parents above each other.
const MAX_DEPTH: usize = 32;

/// A row for each of the `declared` objects of `member`. They are as in Git, because Git alone counts; those of an
/// application that only people sync are as they were when it was synced last, and what it declared then requires pruning
/// where Git no longer has it. A child has a health where `argocd-cm` has a check for Applications, as in Argo CD.
pub(crate) async fn rows(engine: &Services, member: &ResolvedApplication, declared: &[Object]) -> Vec<ResourceStatus> {
    let has_health = member.overrides.health("argoproj.io", "Application").is_some();
    let checks = member.checks();
    let row = async |object: &Object| {
        let mut object = object.clone();
        if object.namespace().is_empty() {
            object.set_namespace(&member.app.destination.namespace);
        }
        let mut row = ResourceStatus::of(&object.id(), object.version());
        let is_synced =
            member.synced_declarations.as_ref().is_none_or(|synced| synced.get(&object.id()) == Some(&object));
        row.status = Some(if is_synced { SyncStatus::Synced } else { SyncStatus::OutOfSync });
        if has_health && object.group() == "argoproj.io" && object.kind() == "Application" {
            if let Some(status) = Box::pin(child_status(engine, &object)).await {
                object.as_map_mut().insert("status".to_owned(), status);
            }
            row.health = checks.of(&object, Timestamp::now());
        }
        row
    };
    let mut rows: Vec<ResourceStatus> = stream::iter(declared).map(row).buffered(CONCURRENCY).collect().await;
    let known: BTreeSet<ObjectId> = rows.iter().map(ResourceStatus::id).collect();
    let synced = member.synced_declarations.iter().flat_map(|synced| synced.iter());
    rows.extend(synced.filter(|(id, _)| !known.contains(id)).map(|(id, object)| ResourceStatus {
        status: Some(SyncStatus::OutOfSync),
        requires_pruning: true,
        ..ResourceStatus::of(id, object.version())
    }));
    rows
}

/// Sync and health of a child as its state has them; `None` where it was not deployed yet, or can't be read.
async fn child_status(engine: &Services, object: &Object) -> Option<serde_json::Value> {
    let app = Application::from_object(object).ok()?;
    let (namespace, name) = app::identity(object);
    let key = AppKey { root: engine.root.location.to_string(), namespace, name };
    let destination = engine.clusters.get(&app.destination.server, &app.destination.name).await.ok()?;
    let recorded = state::read(&destination.cluster, &key).await.ok()??;
    let status = &recorded.state.status;
    let health = json!({"status": status.health.status});
    Some(json!({"health": health, "sync": {"status": status.sync.status}}))
}

/// The Applications of the root by namespace and name, and whether each prunes what Git no longer has.
#[derive(Debug, Default)]
pub(super) struct Parents(BTreeMap<(String, String), bool>);

impl Parents {
    pub(super) fn of(root: &Root) -> Self {
        let prunes = |member: &ResolvedApplication| {
            member.app.sync_policy.automated.is_some_and(|automated| automated.enabled && automated.prune)
        };
        Self(root.members.iter().map(|member| (member.identity(), prunes(member))).collect())
    }

    /// Why `child`, which the root no longer has and `then` had, would still be there in Argo CD: it says so itself,
    /// its parent does not prune, or its parent was deleted without its objects.
    pub(super) fn keep(&self, child: &ResolvedApplication, then: &Root) -> Option<String> {
        let mut child = child;
        for _ in 0..MAX_DEPTH {
            if child.set.is_some() {
                return None;
            }
            if annotations::has_sync_option(&child.app.object, "Prune=false") {
                return Some(format!("{} has the sync option `Prune=false`", child.instance()));
            }
            let (namespace, name) = child.parent.as_ref()?;
            match self.0.get(&(namespace.clone(), name.clone())) {
                Some(true) => return None,
                Some(false) => {
                    return Some(format!(
                        "its parent {namespace}/{name} does not prune (`syncPolicy.automated.prune`)"
                    ));
                }
                None => {}
            }
            let is_it = |member: &&ResolvedApplication| member.identity() == (namespace.clone(), name.clone());
            let parent = then.members.iter().find(is_it)?;
            if parent.app.cascade().is_none() {
                return Some(format!(
                    "its parent {namespace}/{name} was deleted without its objects: it had no finalizer \
                     `{}`",
                    app::FINALIZER
                ));
            }
            child = parent;
        }
        None
    }
}
