//! Implements a sync as Argo CD does it, one step per call: phases, waves, hooks, prunes. Has no cluster, clock or
//! deadline.
//!
//! [`step`] reads the desired and live objects and the results so far, passes [`Action`]s in batches to an
//! [`Executor`], and updates [`Progress`]; the caller waits for what its message names and calls again. All memory is
//! in `Progress`, so that another worker can resume the sync. The behaviour is that of argoproj/argo-cd
//! `gitops-engine/pkg/sync/sync_context.go`.

mod batch;
mod step;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use serde_json::{Map, Value};
use slipway_manifest::{Object, ObjectId};

use crate::annotations::{self, Phase};
use crate::health::HealthStatus;
use crate::plan::{PruneCandidate, Task};
use crate::status::{OperationPhase, ResourceResult, ResultCode};

pub use batch::{is_being_deleted, is_recreated};
pub use step::{hook_phase, step, terminate};
pub use tasks::tasks;

/// The annotation by which a resumed sync recognizes its own hooks: `<operation>.<phase>`.
pub const OPERATION: &str = "slipway.dev/operation";

/// Argo CD's message for an object that is kept because the sync does not prune.
const REQUIRES_PRUNING: &str = "ignored (requires pruning)";

/// The prune option of objects that Git no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prune {
    /// Deleted.
    #[default]
    Yes,
    /// Kept.
    No,
    /// Deleted after a person's confirmation.
    Confirm,
}

impl Prune {
    /// Parses the value of `Prune=`.
    pub fn of(value: &str) -> Self {
        match value {
            "false" => Self::No,
            "confirm" => Self::Confirm,
            _ => Self::Yes,
        }
    }
}

/// Options of a sync: an application's and an operation's, under Argo CD's names.
#[derive(Debug, Clone, Default)]
// Each bool is a separate switch of Argo CD's.
#[allow(clippy::struct_excessive_bools)]
pub struct Options {
    /// The destination's namespace, for objects without one.
    pub namespace: String,
    /// The commit's SHA: part of a generated name.
    pub revision: String,
    /// Start of the operation, in seconds since 1970: part of a generated name.
    pub started_at: i64,
    /// The operation's id; hooks carry it.
    pub operation: String,
    /// Delete objects that Git no longer has.
    pub prune: bool,
    /// `PruneLast`: prune after everything else.
    pub prune_last: bool,
    /// A person confirmed the prunes with `Prune=confirm`.
    pub prune_confirmed: bool,
    /// The prune option of objects without one of their own.
    pub default_prune: Prune,
    /// Change nothing.
    pub dry_run: bool,
    /// Delete and re-create objects whose immutable fields differ.
    pub force: bool,
    /// Replace objects instead of applying them.
    pub replace: bool,
    /// `Validate=false`: do not refuse unknown fields.
    pub no_validate: bool,
    /// `ServerSideApply=true` on the application.
    pub server_side: bool,
    /// Leave hooks out.
    pub skip_hooks: bool,
    /// `SkipDryRunOnMissingResource`: accept kinds that are not served yet.
    pub skip_dry_run_on_missing: bool,
    /// `ApplyOutOfSyncOnly`: apply only these objects, and missing ones.
    pub modified: Option<BTreeSet<ObjectId>>,
    /// Selective sync: sync only these objects.
    pub resources: Option<BTreeSet<ObjectId>>,
    /// `CreateNamespace=true`: create the destination's namespace with this metadata.
    pub create_namespace: Option<NamespaceMetadata>,
}

/// Metadata for the namespace that CreateNamespace creates: `managedNamespaceMetadata`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NamespaceMetadata {
    /// Labels to set.
    pub labels: Map<String, Value>,
    /// Annotations to set.
    pub annotations: Map<String, Value>,
}

impl NamespaceMetadata {
    /// Whether an existing namespace stays as it is.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}

/// The input of a step.
pub struct Input<'a> {
    /// Git's objects, hooks included, with namespaces.
    pub targets: &'a [Object],
    /// Their live counterparts, and the live hooks.
    pub live: &'a BTreeMap<ObjectId, Object>,
    /// Live objects of the application that Git no longer has.
    pub extraneous: &'a BTreeMap<ObjectId, PruneCandidate>,
    /// The live namespace of the destination, for CreateNamespace.
    pub namespace: Option<&'a Object>,
    /// Kinds that the cluster does not serve yet (a CRD of this very sync may define them), with the error.
    pub missing: &'a BTreeMap<ObjectId, String>,
    /// Objects that must not be applied, for example forbidden by a project: they make the sync invalid.
    pub denied: &'a BTreeMap<ObjectId, String>,
    /// Evaluates the health of a live object.
    pub health: &'a (dyn Fn(&Object) -> Option<HealthStatus> + Sync),
    /// Options of the sync.
    pub options: &'a Options,
}

/// The kind of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKind {
    /// Server-side apply.
    Apply,
    /// Create a missing object (with Replace=true).
    Create,
    /// Replace, or delete and create (with Replace=true).
    Replace,
    /// Replace, but never delete: CRDs and Namespaces.
    Update,
    /// Delete an object that Git no longer has.
    Prune,
    /// Delete a hook's object.
    DeleteHook,
    /// Remove the finalizer from a hook's object.
    RemoveHookFinalizer,
}

impl ActionKind {
    /// The kind's name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Update => "update",
            Self::Prune => "prune",
            Self::DeleteHook => "delete-hook",
            Self::RemoveHookFinalizer => "remove-hook-finalizer",
        }
    }
}

/// One action on the cluster.
#[derive(Debug, Clone, Copy)]
// Each bool is a separate switch of Argo CD's.
#[allow(clippy::struct_excessive_bools)]
pub struct Action<'a> {
    /// The kind of action.
    pub kind: ActionKind,
    /// The task, with its object.
    pub task: &'a Task,
    /// Only check whether the action is possible.
    pub dry_run: bool,
    /// Delete and re-create an object whose immutable fields differ.
    pub force: bool,
    /// Refuse unknown fields.
    pub validate: bool,
    /// `ServerSideApply=true` was requested. Every apply is server-side anyway: only the conformance test reads this,
    /// to compare with gitops-engine's calls.
    pub server_side: bool,
}

/// The result of a successful action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionResult {
    /// Performed; message for the result.
    Performed(String),
    /// Nothing to delete: the object was gone.
    NotFound,
    /// Skipped, with the reason.
    PruneSkipped(String),
}

/// Executes actions: the only way by which a step changes anything.
pub trait Executor: Send {
    /// Executes a batch concurrently; returns a result for each action, in order. Errors are messages.
    fn execute(&mut self, batch: &[Action<'_>]) -> impl Future<Output = Vec<Result<ActionResult, String>>> + Send;

    /// Reads the live object of a task.
    fn live(&mut self, task: &Task) -> impl Future<Output = Result<Option<Object>, String>> + Send;

    /// Persists results before hooks are deleted, because afterwards they can no longer be observed.
    fn record(&mut self, progress: &Progress) -> impl Future<Output = Result<(), String>> + Send;

    /// Called after all tasks of a wave were executed; an error ends the sync.
    fn end_wave(&mut self, phase: Phase, wave: i64, last: bool) -> impl Future<Output = Result<(), String>> + Send;
}

/// The condition that a sync waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Hooks to complete and objects to become healthy.
    Completion,
    /// Objects to be gone.
    Deletion,
    /// A person's confirmation of their deletion.
    Confirmation,
}

/// The progress of a sync: everything that is carried from step to step.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Whether the sync goes on, or its result.
    pub phase: OperationPhase,
    /// What it waits for, or why it failed.
    pub message: String,
    /// The condition, and the objects, that the next step needs.
    pub waiting: Option<(Wait, Vec<ObjectId>)>,
    results: BTreeMap<Phase, BTreeMap<ObjectId, ResourceResult>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { phase: OperationPhase::Running, message: String::new(), waiting: None, results: BTreeMap::new() }
    }
}

impl Progress {
    /// Restores the progress from recorded `results`.
    pub fn resume(results: impl IntoIterator<Item = ResourceResult>) -> Self {
        let mut progress = Self::default();
        for result in results {
            let phase = Phase::ALL.into_iter().find(|phase| phase.as_str() == result.sync_phase);
            let id = ObjectId::new(&result.group, &result.kind, &result.namespace, &result.name);
            if let Some(phase) = phase {
                progress.results.entry(phase).or_default().insert(id, result);
            }
        }
        progress
    }

    /// The result of each object, by phase.
    pub fn results(&self) -> impl Iterator<Item = &ResourceResult> {
        self.results.values().flat_map(BTreeMap::values)
    }

    /// Whether no task was executed yet.
    pub fn is_fresh(&self) -> bool {
        self.results.is_empty()
    }

    /// Applied objects that are not known to be healthy yet, each with whether it is a hook.
    pub fn running(&self) -> impl Iterator<Item = (&ObjectId, bool)> {
        let all = self.results.values().flatten();
        let running = all.filter(|(_, result)| result.hook_phase == Some(OperationPhase::Running));
        running.map(|(id, result)| (id, !result.hook_type.is_empty()))
    }

    /// The results of failed objects.
    pub fn failed(&self) -> impl Iterator<Item = &ResourceResult> {
        let is_failed = |state| matches!(state, OperationPhase::Failed | OperationPhase::Error);
        self.results().filter(move |result| result.hook_phase.is_some_and(is_failed))
    }

    fn of(&self, task: &Task) -> Option<&ResourceResult> {
        self.results.get(&task.phase)?.get(&task.id)
    }

    fn state(&self, task: &Task) -> Option<OperationPhase> {
        self.of(task)?.hook_phase
    }

    fn is_pending(&self, task: &Task) -> bool {
        self.state(task).is_none()
    }

    fn is_running(&self, task: &Task) -> bool {
        self.state(task) == Some(OperationPhase::Running)
    }

    fn is_completed(&self, task: &Task) -> bool {
        self.state(task).is_some_and(OperationPhase::is_completed)
    }

    fn is_refused(&self, task: &Task) -> bool {
        self.of(task).is_some_and(|result| result.status == Some(ResultCode::SyncFailed))
    }

    fn set_phase(&mut self, phase: OperationPhase, message: impl Into<String>) {
        self.phase = phase;
        self.message = message.into();
        self.waiting = None;
    }

    /// Records the result of `task`; an empty message keeps the previous one.
    fn note(&mut self, task: &Task, status: Option<ResultCode>, state: Option<OperationPhase>, message: &str) {
        let results = self.results.entry(task.phase).or_default();
        let result = results.entry(task.id.clone()).or_insert_with(|| ResourceResult {
            group: task.id.group.clone(),
            version: task.object().map(|object| object.version().to_owned()).unwrap_or_default(),
            kind: task.id.kind.clone(),
            namespace: task.id.namespace.clone(),
            name: task.id.name.clone(),
            sync_phase: task.phase.as_str().to_owned(),
            hook_type: if task.hook { task.phase.as_str().to_owned() } else { String::new() },
            ..ResourceResult::default()
        });
        (result.status, result.hook_phase) = (status, state);
        if !message.is_empty() {
            message.clone_into(&mut result.message);
        }
    }

    /// Records the state of `task` only.
    fn note_state(&mut self, task: &Task, state: OperationPhase, message: &str) {
        let status = self.of(task).and_then(|result| result.status);
        self.note(task, status, Some(state), message);
    }

    fn message_of(&self, task: &Task) -> &str {
        self.of(task).map(|result| result.message.as_str()).unwrap_or_default()
    }
}

/// The prune option of `live`: its own annotation's, or the application's.
fn prune_option(live: &Object, default: Prune) -> Prune {
    annotations::sync_option(live, "Prune").map_or(default, Prune::of)
}

/// Why the options keep `live`, which Git no longer has; `None` where a sync deletes it. Only a sync that prunes
/// deletes it: `Prune=true` on the object overrides the application's `Prune=false`, not that.
pub fn kept_reason(live: &Object, options: &Options) -> Option<&'static str> {
    if !options.prune {
        return Some(REQUIRES_PRUNING);
    }
    (prune_option(live, options.default_prune) == Prune::No).then_some("ignored (no prune)")
}
