//! Defines an application's status in the shape of Argo CD's `Application.status` (argoproj/argo-cd
//! `pkg/apis/application/v1alpha1/types.go`), so that tools for the one can read the other.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use slipway_manifest::ObjectId;

use crate::health::{Health, HealthStatus};
use crate::revisions::Revisions;

/// The type of the condition that a commit can't be rendered or compared.
pub const COMPARISON_ERROR: &str = "ComparisonError";
/// The field of an operation with its initiator.
pub const INITIATED_BY: &str = "initiatedBy";
/// Length of a person's name, in characters: the ARN of an assumed role with its session takes half of it.
const MAX_NAME: usize = 256;

/// Argo CD's sync status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum SyncStatus {
    /// The cluster matches Git.
    Synced,
    /// An object differs, is missing, or requires pruning.
    OutOfSync,
    /// Rendering or comparing failed.
    #[default]
    Unknown,
}

impl fmt::Display for SyncStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Argo CD's words are the variants' names.
        fmt::Debug::fmt(self, f)
    }
}

/// Argo CD's phase of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OperationPhase {
    /// In progress.
    Running,
    /// Being terminated.
    Terminating,
    /// Completed, with a failed object.
    Failed,
    /// Could not be carried out.
    Error,
    /// Completed without failures.
    Succeeded,
}

impl OperationPhase {
    /// Whether the operation failed.
    pub fn is_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }

    /// Whether the operation has ended.
    pub fn is_completed(self) -> bool {
        matches!(self, Self::Failed | Self::Error | Self::Succeeded)
    }
}

/// Argo CD's result of one object in a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResultCode {
    /// The object was applied.
    Synced,
    /// The apply was refused.
    SyncFailed,
    /// The object was deleted.
    Pruned,
    /// The object requires pruning and was kept.
    PruneSkipped,
}

/// The status of an application.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The sync status and its commit.
    pub sync: Sync,
    /// The application's health.
    pub health: AppHealth,
    /// One entry per object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceStatus>,
    /// The last ten deployments, the latest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Deployment>,
    /// The last operation, or the one in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_state: Option<OperationState>,
    /// Problems that concern more than one object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When the application was last compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciled_at: Option<Timestamp>,
    /// How the objects were rendered.
    #[serde(flatten)]
    pub source_types: SourceTypes,
    /// Images and external URLs.
    pub summary: Summary,
}

impl Status {
    /// Whether there is a condition of this type.
    pub fn has(&self, kind: &str) -> bool {
        self.conditions.iter().any(|condition| condition.kind == kind)
    }

    /// The last operation, where it was a failed sync of these commits: only a person retries that.
    pub fn failed(&self, revisions: &Revisions) -> Option<&OperationState> {
        let last = self.operation_state.as_ref()?;
        (last.phase.is_failed() && last.attempted() == Some(revisions)).then_some(last)
    }
}

/// The application's sync status.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sync {
    /// The sum of its objects' statuses.
    pub status: SyncStatus,
    /// The compared commits.
    #[serde(flatten)]
    pub revisions: Revisions,
    /// The compared sources and destination of an Application with several sources, without parameters and values.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub compared_to: Map<String, Value>,
}

/// The application's health, and since when.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppHealth {
    /// The worst health of its objects.
    pub status: Health,
    /// Time of the last change of health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
}

impl AppHealth {
    /// Sets the health as of `at`; an unchanged one keeps its time.
    pub fn set(&mut self, status: Health, at: Timestamp) {
        if self.status != status || self.last_transition_time.is_none() {
            *self = Self { status, last_transition_time: Some(at) };
        }
    }
}

/// The status of one object.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceStatus {
    /// API group; empty for core.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// API version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Kind, in CamelCase.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Object name.
    pub name: String,
    /// The object's sync status; hooks have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SyncStatus>,
    /// The object's health; kinds without health have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// Whether the object is a hook.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hook: bool,
    /// Whether Git no longer has the object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub requires_pruning: bool,
    /// The object's sync wave.
    #[serde(skip_serializing_if = "is_zero")]
    pub sync_wave: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` hands over a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl ResourceStatus {
    /// The status of the object `id`, with nothing known yet.
    pub fn of(id: &ObjectId, version: &str) -> Self {
        Self {
            group: id.group.clone(),
            version: version.to_owned(),
            kind: id.kind.clone(),
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            ..Self::default()
        }
    }

    /// The object's id.
    pub fn id(&self) -> ObjectId {
        ObjectId::new(&self.group, &self.kind, &self.namespace, &self.name)
    }
}

/// One deployment of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Increases by one; the argument of `rollback`.
    pub id: u64,
    /// The deployed commits.
    #[serde(flatten)]
    pub revisions: Revisions,
    /// Time of completion.
    pub deployed_at: Timestamp,
    /// Time of the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_started_at: Option<Timestamp>,
    /// The sources, without parameters and values.
    #[serde(flatten)]
    pub sources: RecordedSources,
    /// Who started it.
    #[serde(default, skip_serializing_if = "Initiator::is_unknown")]
    pub initiated_by: Initiator,
}

/// What an operation deployed, in the shape of `spec.source` or of `spec.sources`; the other is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedSources {
    /// `spec.source`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub source: Map<String, Value>,
    /// `spec.sources`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Map<String, Value>>,
}

/// Argo CD's names of the source types, `Kustomize`, `Helm` or `Directory`: that of `spec.source`, or those of
/// `spec.sources`, where one that only lends its files has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceTypes {
    /// That of `spec.source`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_type: String,
    /// Those of `spec.sources`, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_types: Vec<String>,
}

/// Who started an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Initiator {
    /// The person's name; empty for automated operations.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Whether it was started automatically: after a push, or by a drift check.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub automated: bool,
}

impl Initiator {
    /// A push or a drift check.
    pub fn automated() -> Self {
        Self { username: String::new(), automated: true }
    }

    /// A person, by a name that is cut to [`MAX_NAME`] characters and freed from control characters: it comes from
    /// outside.
    pub fn person(name: &str) -> Self {
        let username = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        Self { username, automated: false }
    }

    /// Whether a person asked for it.
    pub fn is_person(&self) -> bool {
        !self.automated && !self.username.is_empty()
    }

    /// Whether nothing is known of it, as of operations that older versions recorded.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// The state of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationState {
    /// The requested operation.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub operation: Map<String, Value>,
    /// The phase, which says whether the operation has completed.
    pub phase: OperationPhase,
    /// The result's message; redacted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The result of each object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_result: Option<SyncResult>,
    /// Time of the start.
    pub started_at: Timestamp,
    /// Time of completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Number of retries.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub retry_count: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` hands over a reference")]
fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

impl OperationState {
    /// The commits whose objects the operation applied, or tried to; `None` where it stopped earlier.
    pub fn attempted(&self) -> Option<&Revisions> {
        let result = self.sync_result.as_ref().filter(|result| !result.resources.is_empty())?;
        Some(&result.revisions)
    }

    /// Whether the operation was a selective sync.
    pub fn is_part(&self) -> bool {
        self.operation.get("sync").is_some_and(|sync| sync.get("resources").is_some())
    }

    /// Who started the operation.
    pub fn initiator(&self) -> Initiator {
        let recorded = self.operation.get(INITIATED_BY).and_then(|value| serde_json::from_value(value.clone()).ok());
        recorded.unwrap_or_default()
    }
}

/// The results of a sync.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncResult {
    /// One result per object.
    pub resources: Vec<ResourceResult>,
    /// The synced commits.
    #[serde(flatten, serialize_with = "Revisions::serialize_result")]
    pub revisions: Revisions,
    /// The sources, without parameters and values.
    #[serde(flatten)]
    pub sources: RecordedSources,
}

/// The result of one object.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceResult {
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind, in CamelCase.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Object name.
    pub name: String,
    /// The result; `None` while the task is running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ResultCode>,
    /// The result's message; redacted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// `PreSync`, `Sync`, `PostSync`, `SyncFail`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sync_phase: String,
    /// A hook's type; empty for other objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hook_type: String,
    /// The phase of a hook, or of an object that a sync waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_phase: Option<OperationPhase>,
}

impl ResourceResult {
    /// The object's id.
    pub fn id(&self) -> ObjectId {
        ObjectId::new(&self.group, &self.kind, &self.namespace, &self.name)
    }
}

/// A problem that concerns more than one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `ComparisonError`, `SyncError`, `SharedResourceWarning` …
    #[serde(rename = "type")]
    pub kind: String,
    /// The condition's message; redacted.
    pub message: String,
    /// Time of the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
}

/// Images and external URLs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    /// Images of the objects' pod templates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Addresses of Ingresses and Services.
    #[serde(rename = "externalURLs", skip_serializing_if = "Vec::is_empty")]
    pub external_urls: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_began_it_is_written_as_argo_cd_writes_it_and_may_be_missing() {
        let cases = [
            (Initiator::automated(), json!({"automated": true})),
            (Initiator::person("alice"), json!({"username": "alice"})),
            (Initiator::default(), json!({})),
        ];
        for (initiator, written) in cases {
            assert_eq!(json!(initiator), written);
            assert_eq!(serde_json::from_value::<Initiator>(written).unwrap(), initiator);
        }
        let old = json!({"id": 3, "revision": "abc", "deployedAt": "2026-11-01T00:00:00Z"});
        let deployment: Deployment = serde_json::from_value(old.clone()).unwrap();
        assert!(deployment.initiated_by.is_unknown());
        assert_eq!(json!(deployment), old);
        let name = Initiator::person(&format!("a\u{1b}[31m\n{}", "x".repeat(1_000))).username;
        assert!(name.starts_with("a[31mx") && name.chars().count() == MAX_NAME, "{name}");
    }

    #[test]
    fn only_a_sync_that_came_to_the_objects_has_failed() {
        let status = |phase: &str, resources: Value| -> Status {
            let result = json!({"revision": "abc", "resources": resources});
            let last = json!({"phase": phase, "startedAt": "2026-11-01T00:00:00Z", "syncResult": result});
            serde_json::from_value(json!({"operationState": last})).unwrap()
        };
        let some = json!([{"kind": "ConfigMap", "name": "a"}]);
        assert!(status("Failed", some.clone()).failed(&"abc".into()).is_some());
        assert!(status("Error", some.clone()).failed(&"abc".into()).is_some());
        assert!(status("Failed", some.clone()).failed(&"def".into()).is_none());
        assert!(status("Succeeded", some.clone()).failed(&"abc".into()).is_none());
        assert!(status("Running", some).failed(&"abc".into()).is_none());
        assert!(status("Failed", json!([])).failed(&"abc".into()).is_none());
        assert!(Status::default().failed(&"".into()).is_none());
    }
}
