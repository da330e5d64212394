//! An application's status, in the shape of Argo CD's `Application.status`
//! (argoproj/argo-cd `pkg/apis/application/v1alpha1/types.go`), so that whoever reads the one can read the other.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use slipway_manifest::ObjectId;

use crate::health::{Health, HealthStatus};

/// The type of the condition that a commit can't be compared with.
pub const COMPARISON_ERROR: &str = "ComparisonError";
/// The field of an operation that tells who or what began it.
pub const INITIATED_BY: &str = "initiatedBy";
/// The most characters of a person's name: the ARN of an assumed role with its session takes half of that.
const MAX_NAME: usize = 256;

/// Whether the cluster has what Git has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum SyncStatus {
    /// It has.
    Synced,
    /// Something differs, is missing or is too much.
    OutOfSync,
    /// Nobody can tell: rendering or comparing failed.
    #[default]
    Unknown,
}

impl fmt::Display for SyncStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Argo CD's words are the names of the variants.
        fmt::Debug::fmt(self, f)
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OperationPhase {
    /// It goes on.
    Running,
    /// It is being stopped.
    Terminating,
    /// It ended, and something in it failed.
    Failed,
    /// It could not be carried out.
    Error,
    /// It ended well.
    Succeeded,
}

impl OperationPhase {
    /// Whether it ended badly.
    pub fn is_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }

    /// Whether it has ended.
    pub fn is_completed(self) -> bool {
        matches!(self, Self::Failed | Self::Error | Self::Succeeded)
    }
}

/// What became of one object in a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResultCode {
    /// It was applied.
    Synced,
    /// It was refused.
    SyncFailed,
    /// It was deleted.
    Pruned,
    /// It should have been deleted and was kept.
    PruneSkipped,
}

/// The whole status.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Whether the cluster has what Git has, and which commit that is.
    pub sync: Sync,
    /// How well the application is.
    pub health: AppHealth,
    /// Its objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceStatus>,
    /// The last ten deployments, the latest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Deployment>,
    /// The last operation, or the one under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_state: Option<OperationState>,
    /// What is wrong beyond a single object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When it was last compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciled_at: Option<Timestamp>,
    /// `Kustomize`, `Helm`, `Directory`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_type: String,
    /// Images and addresses.
    pub summary: Summary,
}

impl Status {
    /// Whether there is a condition of this type.
    pub fn has(&self, kind: &str) -> bool {
        self.conditions.iter().any(|condition| condition.kind == kind)
    }

    /// The last operation, where it was a sync of the commit `revision` that failed: nobody but a person tries that
    /// again.
    pub fn failed(&self, revision: &str) -> Option<&OperationState> {
        let last = self.operation_state.as_ref()?;
        (last.phase.is_failed() && last.attempted() == Some(revision)).then_some(last)
    }
}

/// Whether the cluster has what Git has.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sync {
    /// The verdict.
    pub status: SyncStatus,
    /// The commit compared with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// Source and destination compared, parameters as digests.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub compared_to: Map<String, Value>,
}

/// How well the application is, and since when.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppHealth {
    /// The verdict.
    pub status: Health,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
}

impl AppHealth {
    /// Notes the verdict of `at`; the same as before is as old as before.
    pub fn set(&mut self, status: Health, at: Timestamp) {
        if self.status != status || self.last_transition_time.is_none() {
            *self = Self { status, last_transition_time: Some(at) };
        }
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceStatus {
    /// API group; empty for core.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// API version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether it is as in Git; hooks have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SyncStatus>,
    /// How well it is; kinds without health have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// Whether it is a hook.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hook: bool,
    /// Whether Git has it no more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub requires_pruning: bool,
    /// Its wave.
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
    /// Counts up; what `rollback` takes.
    pub id: u64,
    /// The commit.
    #[serde(default)]
    pub revision: String,
    /// When it was done.
    pub deployed_at: Timestamp,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_started_at: Option<Timestamp>,
    /// The source, parameters as digests.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub source: Map<String, Value>,
    /// Who or what began it.
    #[serde(default, skip_serializing_if = "Initiator::is_unknown")]
    pub initiated_by: Initiator,
}

/// Who or what began an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Initiator {
    /// The person; empty where nobody asked for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Whether it began by itself: after a push, or by a check.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub automated: bool,
}

impl Initiator {
    /// A push, or a check.
    pub fn automated() -> Self {
        Self { username: String::new(), automated: true }
    }

    /// A person, by a name that is cut to [`MAX_NAME`] characters and holds no control characters: it comes from
    /// outside.
    pub fn person(name: &str) -> Self {
        let username = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        Self { username, automated: false }
    }

    /// Whether nothing is known of it, as of operations that older versions recorded.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationState {
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub operation: Map<String, Value>,
    /// How far it is.
    pub phase: OperationPhase,
    /// In words; masked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What became of each object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_result: Option<SyncResult>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How often it was tried again.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub retry_count: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` hands over a reference")]
fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

impl OperationState {
    /// The commit whose objects it applied, or tried to; `None` where it did not come so far.
    pub fn attempted(&self) -> Option<&str> {
        let result = self.sync_result.as_ref().filter(|result| !result.resources.is_empty())?;
        Some(&result.revision)
    }

    /// Whether it was about some of the objects only.
    pub fn is_part(&self) -> bool {
        self.operation.get("sync").is_some_and(|sync| sync.get("resources").is_some())
    }

    /// Who or what began it.
    pub fn initiator(&self) -> Initiator {
        let recorded = self.operation.get(INITIATED_BY).and_then(|value| serde_json::from_value(value.clone()).ok());
        recorded.unwrap_or_default()
    }
}

/// What became of each object in a sync.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncResult {
    /// The objects.
    pub resources: Vec<ResourceResult>,
    /// The commit.
    pub revision: String,
    /// The source, parameters as digests.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub source: Map<String, Value>,
}

/// What became of one object in a sync.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceResult {
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ResultCode>,
    /// In words; masked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// `PreSync`, `Sync`, `PostSync`, `SyncFail`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sync_phase: String,
    /// The type of a hook.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hook_type: String,
    /// How far a hook is, or an object of a sync of several steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_phase: Option<OperationPhase>,
}

impl ResourceResult {
    /// The object's id.
    pub fn id(&self) -> ObjectId {
        ObjectId::new(&self.group, &self.kind, &self.namespace, &self.name)
    }
}

/// Something wrong beyond a single object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `ComparisonError`, `SyncError`, `SharedResourceWarning` …
    #[serde(rename = "type")]
    pub kind: String,
    /// In words; masked.
    pub message: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
}

/// Images and addresses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    /// The images that run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The addresses that Ingresses and Services have.
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
        assert!(status("Failed", some.clone()).failed("abc").is_some());
        assert!(status("Error", some.clone()).failed("abc").is_some());
        assert!(status("Failed", some.clone()).failed("def").is_none());
        assert!(status("Succeeded", some.clone()).failed("abc").is_none());
        assert!(status("Running", some).failed("abc").is_none());
        assert!(status("Failed", json!([])).failed("abc").is_none());
        assert!(Status::default().failed("").is_none());
    }
}
