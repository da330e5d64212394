//! Stores what Slipway records of an application in its destination cluster: one ConfigMap, the parent of an ApplySet.
//!
//! Guarantees: written by compare-and-swap, so that of two concurrent writers one gets an error; the inventory is never
//! truncated. It holds no values, because the role `view` may read it. The ApplySet side is KEP-3659 of
//! kubernetes/enhancements.

mod attempt;
mod list;
mod newest;
mod packed;
mod signature;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use kube::core::Request;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use slipway_manifest::{Object, ObjectId};

pub use attempt::{Attempt, Reached};
pub use list::{Deployed, list, list_deployed, list_parents};
pub(crate) use newest::Newest;
pub use signature::Signer;

use packed::{chunks, digest_of, inventory, shrink_to_limit, unpack};

use crate::apply;
use crate::connect::Cluster;
use crate::objects::ObjectRef;
use slipway_gitops::Revisions;
use slipway_gitops::api_resources::GroupKind;
use slipway_gitops::error::{ApiError, Class};
use slipway_gitops::identity::STATE_NAMESPACE;
use slipway_gitops::managed_fields;
use slipway_gitops::status::Status;
use slipway_gitops::tracking;

/// Deployments in the history (Argo CD's `revisionHistoryLimit`).
pub const MAX_HISTORY: usize = 10;

/// Where an object has its resourceVersion.
const VERSION: &str = "/metadata/resourceVersion";

/// Why the state could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another worker wrote the state after it was read: read again.
    #[error("failed to write the state of {app}: another worker wrote it first")]
    Conflict {
        /// `namespace/name` of the application.
        app: String,
    },
    /// The API server refused the request.
    #[error("failed to {verb} the state of {app}")]
    Api {
        /// `read`, `write` …
        verb: &'static str,
        /// `namespace/name` of the application.
        app: String,
        /// The API server's answer.
        #[source]
        source: ApiError,
    },
    /// The ConfigMap is not as Slipway writes it: nothing may be pruned by it.
    #[error("failed to understand the state of {app}, ConfigMap/{STATE_NAMESPACE}/{name}: {reason}")]
    Damaged {
        /// `namespace/name` of the application.
        app: String,
        /// Name of the ConfigMap.
        name: String,
        /// Its resourceVersion.
        version: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The ConfigMap has a signature that is not Slipway's: nothing of it may be used.
    #[error(
        "the state of {app} is not what Slipway wrote: the annotation {} of ConfigMap/{STATE_NAMESPACE}/{name} does \
         not fit it. See who wrote it, and whether SLIPWAY_STATE_SECRET was replaced twice; without the annotation it \
         is used with care, and signed by the next drift-check",
        signature::ANNOTATION
    )]
    Forged {
        /// `namespace/name` of the application.
        app: String,
        /// Name of the ConfigMap.
        name: String,
        /// Its resourceVersion.
        version: String,
    },
    /// The key with which states are signed could not be read.
    #[error("failed to get the key that signs the state of {app}: {reason}")]
    Key {
        /// `namespace/name` of the application.
        app: String,
        /// The error.
        reason: String,
    },
}

impl StateError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Damaged { .. } | Self::Forged { .. })
    }
}

/// Identifies an application of one root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppKey {
    /// The root that contains its manifest.
    pub root: String,
    /// Namespace of the Application.
    pub namespace: String,
    /// Name of the Application.
    pub name: String,
}

impl AppKey {
    /// Name of its ConfigMap and of its Lease: readable, and unique by a hash of all three fields.
    pub fn object_name(&self) -> String {
        let hash = Sha256::digest(format!("{}\0{}\0{}", self.root, self.namespace, self.name));
        let readable: String =
            self.name.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).take(200).collect();
        let hex = hex::encode(hash.iter().copied().take(6).collect::<Vec<u8>>());
        let readable = readable.to_ascii_lowercase();
        format!("{}-{hex}", readable.trim_matches(['-', '.'])).trim_start_matches('-').to_owned()
    }

    /// Name in tracking ids and messages: Argo CD's InstanceName, `namespace_name` outside Argo CD's own namespace.
    pub fn instance(&self) -> String {
        match self.namespace.as_str() {
            "" | "argocd" => self.name.clone(),
            namespace => format!("{namespace}_{}", self.name),
        }
    }

    /// The ApplySet id in the label of its objects.
    pub fn applyset_id(&self) -> String {
        tracking::applyset_id(&self.object_name(), STATE_NAMESPACE)
    }

    fn display_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// An operation in progress: enough for another invocation to resume it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// The operation's id, which its hooks carry.
    pub id: String,
    /// The commits that it syncs.
    #[serde(flatten)]
    pub revisions: Revisions,
    /// Start of the operation, over all its invocations.
    pub started_at: Timestamp,
    /// Number of completed steps.
    #[serde(default)]
    pub steps_done: u32,
    /// How many times it was resumed.
    #[serde(default)]
    pub attempt: u32,
    /// How many times it failed and was retried.
    #[serde(default)]
    pub retries: u32,
    /// Not to be resumed before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

/// The recorded state of an application.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// The status, in Argo CD's shape.
    pub status: Status,
    /// Every object that was applied and not seen deleted; before a step's first write the union of old and new.
    #[serde(skip)]
    pub inventory: BTreeSet<ObjectId>,
    /// The commits that the cluster is compared with.
    #[serde(skip_serializing_if = "Attempt::is_none")]
    pub attempt: Attempt,
    /// Reported drift: fingerprints of objects and fields, never values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<String, String>,
    /// The operation in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The number of the write, above those of all earlier ones: what Slipway wrote once, and another puts back, has a
    /// lower one than the Lease remembers.
    pub generation: u64,
    /// Transitions of the Lease under which this was written: a lower number comes from a holder that lost it.
    pub lease_transitions: u64,
    /// What other modules keep: the Slack message, earlier reports. No values of Secrets.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub notes: Map<String, Value>,
    /// Digests of the numbered ConfigMaps that continue the inventory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inventory_parts: Vec<String>,
    /// Whether nothing shows that Slipway wrote what was read, and wrote it last: an older version did, the command
    /// line without the key, or anybody else. Such a state stays unsigned until its commits were checked.
    #[serde(skip)]
    pub is_unsigned: bool,
    /// Whether Slipway signed it and wrote a newer one since.
    #[serde(skip)]
    pub is_put_back: bool,
}

/// A state as it was read, with the version that proves it current.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredState {
    /// The state that was read.
    pub state: State,
    /// The application that the state belongs to.
    pub app: AppKey,
    version: String,
}

impl StoredState {
    /// The resourceVersion that [`write`] replaces.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Reads the state of `key`; `None` where it was never written. The connection of the Lease's holder recognises an
/// older state that Slipway signed and that was put back: it counts as unsigned. Other connections do not.
pub async fn read(cluster: &Cluster, key: &AppKey) -> Result<Option<StoredState>, StateError> {
    let name = key.object_name();
    let Some(object) = fetch(cluster, key, &name).await? else { return Ok(None) };
    let is_signed = Box::pin(is_signed(cluster, key, &object)).await?;
    let version = resource_version(object.pointer(VERSION));
    let damaged = |reason: String| {
        let (app, name, version) = (key.display_name(), name.clone(), version.clone());
        StateError::Damaged { app, name, version, reason }
    };
    let mut state: State = unpack(&object, "state").map_err(damaged)?;
    state.is_put_back = is_signed && cluster.newest().is_some_and(|newest| state.generation < newest.get());
    state.is_unsigned = !is_signed || state.is_put_back;
    if let (false, Some(newest)) = (state.is_unsigned, cluster.newest()) {
        newest.raise(state.generation);
    }
    state.inventory = inventory(&object).map_err(damaged)?;
    if state.attempt.is_none() {
        state.attempt = Attempt::of(&state.status);
    }
    for (number, digest) in state.inventory_parts.iter().enumerate() {
        let part = part_name(&name, number);
        let lost = || damaged(format!("the inventory's part {part} is missing or of another version"));
        let object = fetch(cluster, key, &part).await?.ok_or_else(lost)?;
        if object.pointer("/binaryData/inventory").and_then(Value::as_str).map(digest_of).as_ref() != Some(digest) {
            return Err(lost());
        }
        state.inventory.extend(inventory(&object).map_err(damaged)?);
    }
    Ok(Some(StoredState { state, app: key.clone(), version }))
}

/// Whether the signature shows that Slipway wrote the state; an error where it shows that another did.
async fn is_signed(cluster: &Cluster, key: &AppKey, object: &Object) -> Result<bool, StateError> {
    let (Some(signer), Some(signature)) = (cluster.signer(), object.annotation(signature::ANNOTATION)) else {
        return Ok(false);
    };
    let data = object.get("binaryData").unwrap_or(&Value::Null);
    match signer.is_signed(key, data, signature).await {
        Ok(true) => Ok(true),
        Ok(false) => {
            let (app, name, version) =
                (key.display_name(), key.object_name(), resource_version(object.pointer(VERSION)));
            Err(StateError::Forged { app, name, version })
        }
        Err(reason) => Err(StateError::Key { app: key.display_name(), reason }),
    }
}

/// Reference of the ConfigMap `name`, to watch it.
pub fn place(name: &str) -> ObjectRef {
    ObjectRef { resource: apply::config_maps(), namespace: STATE_NAMESPACE.to_owned(), name: name.to_owned() }
}

/// Reads states that are observed by a watch, without their inventories.
#[derive(Default)]
pub struct HeaderReader {
    /// `None` where the connection signs nothing.
    keys: Option<Vec<SecretString>>,
}

impl HeaderReader {
    /// With the keys of `cluster`, as they are now; an error where they can't be read.
    pub async fn new(cluster: &Cluster) -> Result<Self, String> {
        Ok(match cluster.signer() {
            Some(signer) => Self { keys: Some(signer.all_keys().await?) },
            None => Self { keys: None },
        })
    }

    /// Reads the state of `key` in the ConfigMap `object`; `None` where it is damaged. The second is whether it may be
    /// used: Slipway signed it, or there is no key to tell by.
    pub fn read(&self, key: &AppKey, object: &Object) -> Option<(State, bool)> {
        let data = object.get("binaryData").unwrap_or(&Value::Null);
        let signature = object.annotation(signature::ANNOTATION).unwrap_or_default();
        let is_used = self.keys.as_ref().is_none_or(|keys| signature::is_of_any(keys, key, data, signature));
        Some((unpack(object, "state").ok()?, is_used))
    }
}

/// Writes the state of `key` if it is still the one read as `version` (`None`: it did not exist). It is signed, unless
/// it is [unsigned](State::is_unsigned).
///
/// Above 800 KiB the details of the history are dropped first, then messages; the inventory continues in numbered
/// ConfigMaps. Returns the new version.
pub async fn write(
    cluster: &Cluster,
    key: &AppKey,
    state: &State,
    version: Option<&str>,
) -> Result<String, StateError> {
    let mut state = state.clone();
    if let Some(newest) = cluster.newest() {
        state.generation = newest.next(Timestamp::now());
    }
    let excess = state.status.history.len().saturating_sub(MAX_HISTORY);
    state.status.history.drain(..excess);
    let name = key.object_name();
    let mut chunks = chunks(&state.inventory).into_iter();
    let first = chunks.next().unwrap_or_default();
    for (number, chunk) in chunks.enumerate() {
        state.inventory_parts.push(digest_of(&chunk));
        put_part(cluster, key, &part_name(&name, number), chunk).await?;
    }
    let mut metadata = metadata(key, &name, &state.inventory, version);
    let data = json!({"state": shrink_to_limit(&mut state), "inventory": first});
    if let Some(signer) = cluster.signer().filter(|_| !state.is_unsigned)
        && let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut)
    {
        let signature = Box::pin(signer.sign(key, &data)).await;
        let failed = |reason| StateError::Key { app: key.display_name(), reason };
        annotations.insert(signature::ANNOTATION.to_owned(), signature.map_err(failed)?.into());
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        let deployed = list::deployed(&state);
        annotations.extend(deployed.map(|deployed| (list::DEPLOYED.to_owned(), deployed.into())));
        annotations.extend(list::is_parent(&state).then(|| (list::PARENT.to_owned(), "true".into())));
    }
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data});
    let answer = match version {
        Some(_) => replace(cluster, &name, &body).await,
        None => create(cluster, &body).await,
    };
    match answer {
        Ok(object) => {
            if let Some(newest) = cluster.newest() {
                newest.raise(state.generation);
            }
            Ok(resource_version(object.pointer(VERSION)))
        }
        Err(error) if matches!(error.class, Class::Conflict | Class::AlreadyExists | Class::NotFound) => {
            Err(StateError::Conflict { app: key.display_name() })
        }
        Err(source) => Err(StateError::Api { verb: "write", app: key.display_name(), source }),
    }
}

/// Deletes the state of an application whose objects are gone; a missing one is fine.
pub async fn delete(cluster: &Cluster, recorded: &StoredState) -> Result<(), StateError> {
    let name = recorded.app.object_name();
    let parts = (0..recorded.state.inventory_parts.len()).map(|number| part_name(&name, number));
    for name in parts.chain([name.clone()]) {
        match cluster.send(config_maps().delete(&name, &DeleteParams::default())).await {
            Ok(_) => {}
            Err(error) if error.code == 404 => {}
            Err(source) => return Err(StateError::Api { verb: "delete", app: recorded.app.display_name(), source }),
        }
    }
    Ok(())
}

/// The ApplySet metadata of the parent, for `kubectl` and people.
fn metadata(key: &AppKey, name: &str, inventory: &BTreeSet<ObjectId>, version: Option<&str>) -> Value {
    let kinds: BTreeSet<String> = inventory.iter().map(|id| GroupKind::of(id).to_string()).collect();
    let namespaces: BTreeSet<&str> = inventory
        .iter()
        .map(|id| id.namespace.as_str())
        .filter(|name| !name.is_empty() && *name != STATE_NAMESPACE)
        .collect();
    let join = |items: Vec<&str>| items.join(",");
    let mut metadata = json!({
        "name": name, "namespace": STATE_NAMESPACE,
        "labels": {"applyset.kubernetes.io/id": key.applyset_id(), "app.kubernetes.io/managed-by": "slipway"},
        "annotations": {
            "applyset.kubernetes.io/tooling": concat!("slipway/v", env!("CARGO_PKG_VERSION")),
            "applyset.kubernetes.io/contains-group-kinds": join(kinds.iter().map(String::as_str).collect()),
            "applyset.kubernetes.io/additional-namespaces": join(namespaces.into_iter().collect()),
            "slipway.dev/application": key.display_name(), "slipway.dev/root": key.root}});
    if let (Some(version), Some(fields)) = (version, metadata.as_object_mut()) {
        fields.insert("resourceVersion".to_owned(), json!(version));
    }
    metadata
}

fn resource_version(version: Option<&Value>) -> String {
    version.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn part_name(name: &str, number: usize) -> String {
    format!("{name}-{}", number + 1)
}

fn config_maps() -> Request {
    Request::new(format!("/api/v1/namespaces/{STATE_NAMESPACE}/configmaps"))
}

async fn fetch(cluster: &Cluster, key: &AppKey, name: &str) -> Result<Option<Object>, StateError> {
    let failed = |source| StateError::Api { verb: "read", app: key.display_name(), source };
    match cluster.send(config_maps().get(name, &kube::api::GetParams::default())).await {
        Ok(answer) => crate::objects::object(answer.body).map(Some).map_err(failed),
        Err(error) if error.code == 404 => Ok(None),
        Err(source) => Err(failed(source)),
    }
}

async fn put_part(cluster: &Cluster, key: &AppKey, name: &str, chunk: String) -> Result<(), StateError> {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": STATE_NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "slipway"}},
        "binaryData": {"inventory": chunk}});
    let answer = match create(cluster, &body).await {
        Err(error) if error.class == Class::AlreadyExists => replace(cluster, name, &body).await,
        answer => answer,
    };
    answer.map(drop).map_err(|source| StateError::Api { verb: "write", app: key.display_name(), source })
}

async fn replace(cluster: &Cluster, name: &str, body: &Value) -> Result<Value, ApiError> {
    Ok(cluster.send(config_maps().replace(name, &params(), body.to_string().into_bytes())).await?.body)
}

/// Creates a ConfigMap, after Slipway's namespace where that is missing.
async fn create(cluster: &Cluster, body: &Value) -> Result<Value, ApiError> {
    let post = || cluster.send(config_maps().create(&params(), body.to_string().into_bytes()));
    match post().await {
        Err(error) if error.class == Class::MissingNamespace => {
            let (none, options) = (Map::new(), apply::Options::default());
            apply::create_namespace(cluster, STATE_NAMESPACE, &none, &none, &options)
                .await
                .map_err(|failure| failure.source)?;
            Ok(post().await?.body)
        }
        answer => Ok(answer?.body),
    }
}

fn params() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(managed_fields::FIELD_MANAGER.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> AppKey {
        AppKey {
            root: "https://github.com/o/r//apps?ref=main".to_owned(),
            namespace: "argocd".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn names_are_readable_and_unique() {
        let name = key("shop").object_name();
        assert!(name.starts_with("shop-") && name.len() == "shop-".len() + 12, "{name}");
        assert_ne!(name, AppKey { namespace: "team".to_owned(), ..key("shop") }.object_name());
        let long = key(&"x".repeat(400)).object_name();
        assert!(long.len() <= 253 && long.ends_with(|c: char| c.is_ascii_hexdigit()), "{long}");
    }

    #[test]
    fn the_parent_is_an_applyset() {
        let inventory =
            [ObjectId::new("apps", "Deployment", "shop", "web"), ObjectId::new("", "Service", "back", "db")].into();
        let metadata = metadata(&key("shop"), "shop-1", &inventory, Some("7"));
        assert_eq!(metadata["annotations"]["applyset.kubernetes.io/contains-group-kinds"], "Deployment.apps,Service");
        assert_eq!(metadata["annotations"]["applyset.kubernetes.io/additional-namespaces"], "back,shop");
        assert_eq!(metadata["labels"]["applyset.kubernetes.io/id"], key("shop").applyset_id());
        assert_eq!(metadata["resourceVersion"], "7");
    }

    /// Before an Application could have several sources.
    #[test]
    fn a_state_of_one_source_reads_and_writes_as_it_always_was() {
        let source = json!({"repoURL": "https://github.com/acme/gitops", "path": "shop", "targetRevision": "main"});
        let written = json!({
            "status": {
                "sync": {"status": "Synced", "revision": "new"},
                "health": {"status": "Healthy", "lastTransitionTime": "2026-11-01T00:00:00Z"},
                "history": [{"id": 3, "revision": "old", "deployedAt": "2026-11-01T00:00:00Z",
                    "deployStartedAt": "2026-11-01T00:00:00Z", "source": source, "initiatedBy": {"automated": true}}],
                "operationState": {"operation": {"sync": {"revision": "new"}}, "phase": "Running", "syncResult": {
                    "resources": [], "revision": "new", "source": source}, "startedAt": "2026-11-01T00:00:00Z"},
                "sourceType": "Kustomize",
                "summary": {"images": ["web:1"]},
            },
            "attempt": {"revision": "new", "reached": "Tried", "spec_digest": "digest"},
            "operation": {"id": "new-1", "revision": "new", "startedAt": "2026-11-01T00:00:00Z", "stepsDone": 1,
                "attempt": 2, "retries": 0},
            "generation": 7,
            "leaseTransitions": 4,
        });
        let state: State = serde_json::from_value(written.clone()).unwrap();
        assert_eq!((&state.attempt.revisions, state.attempt.reached), (&"new".into(), Reached::Tried));
        assert_eq!(state.operation.as_ref().unwrap().revisions, "new".into());
        assert_eq!(state.status.history[0].revisions, "old".into());
        assert_eq!(json!(state).to_string(), written.to_string());
    }

    #[test]
    fn a_state_of_an_older_version_tells_what_was_tried_last() {
        let entry = |revision: &str| {
            json!({"id": 0, "revision": revision, "deployedAt": "2026-11-01T00:00:00Z",
            "initiatedBy": {"automated": true}})
        };
        let last = |revision: &str, phase: &str, more: Value| {
            json!({"operation": {"sync": more}, "phase": phase, "startedAt": "2026-11-01T00:00:00Z",
                "syncResult": {"revision": revision, "resources": [{"kind": "ConfigMap", "name": "a"}]}})
        };
        let part = json!({"resources": [{"kind": "ConfigMap", "name": "a"}]});
        let untried = json!({"phase": "Failed", "startedAt": "2026-11-01T00:00:00Z",
            "syncResult": {"revision": "new", "resources": []}});
        for (what, compared, history, operation, expected) in [
            ("deployed", "old", json!([entry("old")]), last("old", "Succeeded", json!({})), ("old", Reached::All)),
            (
                "nothing differed",
                "new",
                json!([entry("new")]),
                last("old", "Succeeded", json!({})),
                ("new", Reached::All),
            ),
            ("failed", "new", json!([entry("old")]), last("new", "Failed", json!({})), ("new", Reached::Tried)),
            ("Degraded", "new", json!([entry("old")]), last("new", "Succeeded", json!({})), ("new", Reached::All)),
            ("failed at first", "new", json!([]), last("new", "Failed", json!({})), ("new", Reached::Tried)),
            (
                "waits for a person",
                "new",
                json!([entry("old")]),
                last("old", "Succeeded", json!({})),
                ("old", Reached::All),
            ),
            ("a part", "new", json!([entry("old")]), last("new", "Succeeded", part.clone()), ("new", Reached::Part)),
            (
                "a part of what is there",
                "old",
                json!([entry("old")]),
                last("old", "Failed", part),
                ("old", Reached::All),
            ),
            ("never begun", "new", json!([entry("old")]), untried.clone(), ("old", Reached::All)),
            ("nothing yet", "new", json!([]), untried, ("", Reached::Part)),
        ] {
            let status = json!({"sync": {"status": "OutOfSync", "revision": compared}, "history": history,
                "operationState": operation});
            let attempt = Attempt::of(&serde_json::from_value(status).unwrap());
            assert_eq!((attempt.revisions.to_string().as_str(), attempt.reached), expected, "{what}");
        }
    }
}
