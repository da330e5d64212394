//! An application's status, in the shape of Argo CD's `Application.status`
//! (argoproj/argo-cd `pkg/apis/application/v1alpha1/types.go`), so that whoever reads the one can read the other.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use slipway_manifest::ObjectId;

use crate::health::{Health, Verdict};

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
    /// It should be deleted and was spared.
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
    pub health: Option<Verdict>,
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
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub initiated_by: Map<String, Value>,
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
