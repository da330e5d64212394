//! Lists the states of a cluster by their metadata, in few requests however many there are.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::ListParams;
use serde_json::Value;
use slipway_gitops::error::ApiError;
use slipway_gitops::status::{ResourceStatus, SyncResult, SyncStatus};

use super::{AppKey, Reached, State, config_maps};
use crate::connect::Cluster;

/// The annotation with the digest of what is deployed, and its commits. It only saves work: each drift-check compares
/// the state itself. A digest can't be made up without the key; an older one can be put back.
pub(super) const DEPLOYED: &str = "slipway.dev/deployed-inputs";
/// The annotation of an application that declares others to Argo CD, or did when it was synced last.
pub(super) const PARENT: &str = "slipway.dev/declares-applications";
/// States in one page of a list.
const PAGE_SIZE: u32 = 500;

/// What the annotation says of `state`; `None` where something is left to be done about it.
pub(super) fn deployed(state: &State) -> Option<String> {
    let State { attempt, operation, is_unsigned, .. } = state;
    let sync = &state.status.sync;
    // Also one that stopped before it applied anything.
    let has_failed = state.status.operation_state.as_ref().is_some_and(|last| {
        let is_of_these = |result: &SyncResult| result.revisions == attempt.revisions;
        last.phase.is_failed() && last.sync_result.as_ref().is_some_and(is_of_these)
    });
    let is_settled = operation.is_none()
        && !is_unsigned
        && attempt.reached == Reached::All
        && sync.status == SyncStatus::Synced
        && sync.revisions == attempt.revisions
        && !has_failed;
    let digest = attempt.inputs_digest.as_ref().filter(|_| is_settled)?;
    Some(format!("{digest} {}", attempt.revisions))
}

/// Whether the application of `state` declares others.
pub(super) fn is_parent(state: &State) -> bool {
    let is_declaration = |row: &ResourceStatus| {
        row.group == "argoproj.io" && matches!(row.kind.as_str(), "Application" | "ApplicationSet")
    };
    state.status.resources.iter().any(is_declaration)
}

/// What is deployed of an application that is Synced, as its state's metadata says: see [`list_deployed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// [`Attempt::inputs_digest`].
    pub inputs_digest: String,
    /// The commits that it was deployed from.
    pub revisions: BTreeSet<String>,
}

/// Lists the applications that have a state in this cluster.
pub async fn list(cluster: &Cluster) -> Result<Vec<AppKey>, ApiError> {
    let mut keys: Vec<AppKey> = metadata_of_all(cluster).await?.iter().filter_map(key_of).collect();
    keys.sort();
    Ok(keys)
}

/// Lists the applications that declare others, as their states' metadata says: a hint as in [`list_deployed`].
pub async fn list_parents(cluster: &Cluster) -> Result<BTreeSet<AppKey>, ApiError> {
    let items = metadata_of_all(cluster).await?;
    Ok(items.iter().filter(|item| annotation(item, PARENT).is_some()).filter_map(key_of).collect())
}

/// Lists what is deployed and Synced in this cluster: one request for 500 applications. A hint, which anybody who can
/// write a ConfigMap can take back to an earlier one, or delete.
pub async fn list_deployed(cluster: &Cluster) -> Result<BTreeMap<AppKey, Deployed>, ApiError> {
    let deployed = |item: &Value| {
        let (digest, revisions) = annotation(item, DEPLOYED)?.split_once(' ')?;
        let revisions = revisions.split(',').map(str::to_owned).collect();
        Some((key_of(item)?, Deployed { inputs_digest: digest.to_owned(), revisions }))
    };
    Ok(metadata_of_all(cluster).await?.iter().filter_map(deployed).collect())
}

async fn metadata_of_all(cluster: &Cluster) -> Result<Vec<Value>, ApiError> {
    let labels = "applyset.kubernetes.io/id,app.kubernetes.io/managed-by=slipway";
    let mut params = ListParams::default().labels(labels).limit(PAGE_SIZE);
    let mut items = Vec::new();
    loop {
        let mut list = match cluster.send(config_maps().list_metadata(&params)).await {
            // The rest of a list is kept for minutes only.
            Err(error) if error.code == 410 && params.limit.is_some() => {
                items.clear();
                params = ListParams::default().labels(labels);
                continue;
            }
            list => list?.body,
        };
        if let Some(Value::Array(page)) = list.get_mut("items").map(Value::take) {
            items.extend(page);
        }
        match list.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token.to_owned()),
            None => return Ok(items),
        }
    }
}

fn annotation<'a>(item: &'a Value, key: &str) -> Option<&'a str> {
    item.pointer("/metadata/annotations")?.get(key)?.as_str()
}

fn key_of(item: &Value) -> Option<AppKey> {
    let (namespace, name) = annotation(item, "slipway.dev/application")?.split_once('/')?;
    let root = annotation(item, "slipway.dev/root")?.to_owned();
    Some(AppKey { root, namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_settled_is_not_said_to_be_deployed() {
        let settled = json!({
            "status": {"sync": {"status": "Synced", "revision": "a"}},
            "attempt": {"revision": "a", "reached": "All", "inputs_digest": "d"},
        });
        let said = |state: &Value| deployed(&serde_json::from_value(state.clone()).unwrap());
        assert_eq!(said(&settled).as_deref(), Some("d a"));
        let operation = json!({"id": "a-1", "revision": "a", "startedAt": "2026-11-01T00:00:00Z"});
        let failed = json!({"operation": {"sync": {"revision": "a"}}, "phase": "Failed",
            "startedAt": "2026-11-01T00:00:00Z", "syncResult": {"revision": "a", "resources": []}});
        for (pointer, value) in [
            ("/attempt/reached", json!("Tried")),
            ("/attempt/inputs_digest", Value::Null),
            ("/status/sync/status", json!("OutOfSync")),
            ("/status/sync/revision", json!("b")),
            ("/status/operationState", failed),
            ("/operation", operation),
        ] {
            let mut state = settled.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            state.pointer_mut(parent).unwrap()[field] = value;
            assert_eq!(said(&state), None, "{pointer}");
        }
        let unsigned = State { is_unsigned: true, ..serde_json::from_value(settled).unwrap() };
        assert_eq!(deployed(&unsigned), None);
    }
}
