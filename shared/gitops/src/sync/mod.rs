//! A sync as Argo CD does it, one step a call: phases, waves, hooks, prunes. Knows no cluster, no clock and no
//! deadline.
//!
//! [`step`] looks at what is desired, what is live and what became of it so far, gives [`Action`]s in batches to a
//! [`Executor`], and tells in [`Progress`] how far the sync is; whoever calls waits for what the message names and
//! calls again. Because all that it remembers is in `Progress`, another worker can go on from there. The behaviour is
//! that of argoproj/argo-cd `gitops-engine/pkg/sync/sync_context.go`.

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

pub use batch::is_recreated;
pub use step::{hook_phase, step, terminate};
pub use tasks::tasks;

/// The annotation by which whoever resumes a sync knows its own hooks: `<operation>.<phase>`.
pub const OPERATION: &str = "slipway.dev/operation";

/// Argo CD's words for an object that stays because the sync does not prune.
const REQUIRES_PRUNING: &str = "ignored (requires pruning)";

/// What happens to objects that Git has no more, unless they say otherwise themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prune {
    /// They are deleted.
    #[default]
    Yes,
    /// They stay.
    No,
    /// They are deleted when somebody confirmed it.
    Confirm,
}

impl Prune {
    /// What `Prune=VALUE` asks for.
    pub fn of(value: &str) -> Self {
        match value {
            "false" => Self::No,
            "confirm" => Self::Confirm,
            _ => Self::Yes,
        }
    }
}

/// How to sync: an application's options and an operation's, as Argo CD names them.
#[derive(Debug, Clone, Default)]
// Each is a switch of Argo CD's.
#[allow(clippy::struct_excessive_bools)]
pub struct Options {
    /// The destination's namespace.
    pub namespace: String,
    /// The commit.
    pub revision: String,
    /// When the operation began, in seconds since 1970: part of a generated name.
    pub started_at: i64,
    /// The operation's id; hooks carry it.
    pub operation: String,
    /// Delete what Git has no more.
    pub prune: bool,
    /// Delete it after everything else.
    pub prune_last: bool,
    /// Somebody confirmed the prunes that ask for it.
    pub prune_confirmed: bool,
    /// What holds for objects that say nothing about pruning.
    pub default_prune: Prune,
    /// Change nothing.
    pub dry_run: bool,
    /// Delete and re-create what can't be changed.
    pub force: bool,
    /// Replace objects instead of applying them.
    pub replace: bool,
    /// Do not refuse unknown fields.
    pub no_validate: bool,
    /// The application asks for server-side apply.
    pub server_side: bool,
    /// Leave hooks out.
    pub skip_hooks: bool,
    /// Do not mind kinds that are not served yet.
    pub skip_dry_run_on_missing: bool,
    /// Apply only these (and what does not exist): the option ApplyOutOfSyncOnly.
    pub modified: Option<BTreeSet<ObjectId>>,
    /// Sync only these: a selective sync.
    pub resources: Option<BTreeSet<ObjectId>>,
    /// Make the destination's namespace.
    pub create_namespace: Option<NamespaceMetadata>,
}

/// What the sync option CreateNamespace gives the namespace: `managedNamespaceMetadata`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NamespaceMetadata {
    /// Labels.
    pub labels: Map<String, Value>,
    /// Annotations.
    pub annotations: Map<String, Value>,
}

impl NamespaceMetadata {
    /// Whether a namespace that exists is left as it is.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}

/// What a step looks at.
pub struct Input<'a> {
    /// What Git has, hooks among it, with namespaces.
    pub targets: &'a [Object],
    /// What the cluster has of it, and the live hooks.
    pub live: &'a BTreeMap<ObjectId, Object>,
    /// What the application has in the cluster and Git has no more.
    pub extras: &'a BTreeMap<ObjectId, PruneCandidate>,
    /// The destination's namespace as it is, for CreateNamespace.
    pub namespace: Option<&'a Object>,
    /// Kinds that the cluster does not serve yet (a CRD of this very sync may bring them), with what it said.
    pub missing: &'a BTreeMap<ObjectId, String>,
    /// Objects that must not be applied, such as those a project forbids: the sync is not valid with them.
    pub denied: &'a BTreeMap<ObjectId, String>,
    /// How well a live object is.
    pub health: &'a (dyn Fn(&Object) -> Option<HealthStatus> + Sync),
    /// How to sync.
    pub options: &'a Options,
}

/// What is to be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKind {
    /// Server-side apply.
    Apply,
    /// Create what does not exist (with Replace=true).
    Create,
    /// Replace, or delete and create (with Replace=true).
    Replace,
    /// Replace, but never delete: CRDs and Namespaces.
    Update,
    /// Delete what Git has no more.
    Prune,
    /// Delete a hook's object.
    DeleteHook,
    /// Let a hook's object go.
    RemoveHookFinalizer,
}

impl ActionKind {
    /// Its name.
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

/// One thing to do.
#[derive(Debug, Clone, Copy)]
// Each is a switch of Argo CD's.
#[allow(clippy::struct_excessive_bools)]
pub struct Action<'a> {
    /// What.
    pub kind: ActionKind,
    /// With which object.
    pub task: &'a Task,
    /// Only ask whether it could be done.
    pub dry_run: bool,
    /// Delete and re-create what can't be changed.
    pub force: bool,
    /// Refuse unknown fields.
    pub validate: bool,
    /// Whether the manifests ask for server-side apply; where not, ours is one all the same.
    pub server_side: bool,
}

/// How an order was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionResult {
    /// It was, and this is to be said of it.
    Performed(String),
    /// There was nothing to delete any more.
    NotFound,
    /// It was not deleted, for this reason.
    PruneSkipped(String),
}

/// The only way by which a step changes anything.
pub trait Executor: Send {
    /// Carries out orders that may run at the same time; gives an answer to each, in their order. An error is told in
    /// words.
    fn execute(&mut self, batch: &[Action<'_>]) -> impl Future<Output = Vec<Result<ActionResult, String>>> + Send;

    /// The object of a task as it is now.
    fn live(&mut self, task: &Task) -> impl Future<Output = Result<Option<Object>, String>> + Send;

    /// Keeps what became of the tasks so far: what follows makes it impossible to see again.
    fn record(&mut self, progress: &Progress) -> impl Future<Output = Result<(), String>> + Send;

    /// Is told that all tasks of a wave went out; an error ends the sync.
    fn end_wave(&mut self, phase: Phase, wave: i64, last: bool) -> impl Future<Output = Result<(), String>> + Send;
}

/// What a sync waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// That hooks end and objects are healthy.
    Completion,
    /// That objects are gone.
    Deletion,
    /// That somebody confirms their deletion.
    Confirmation,
}

/// How far a sync is: all that has to be carried from step to step.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Whether it goes on, and how it ended.
    pub phase: OperationPhase,
    /// What it waits for, or why it failed.
    pub message: String,
    /// What has to become of which objects before the next step can do more.
    pub waiting: Option<(Wait, Vec<ObjectId>)>,
    results: BTreeMap<Phase, BTreeMap<ObjectId, ResourceResult>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { phase: OperationPhase::Running, message: String::new(), waiting: None, results: BTreeMap::new() }
    }
}

impl Progress {
    /// How far a sync was whose `results` were recorded.
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

    /// What became of each object, by phase.
    pub fn results(&self) -> impl Iterator<Item = &ResourceResult> {
        self.results.values().flat_map(BTreeMap::values)
    }

    /// Whether nothing was done yet.
    pub fn is_fresh(&self) -> bool {
        self.results.is_empty()
    }

    /// The objects that are applied and not yet known to be well, and whether each is a hook.
    pub fn running(&self) -> impl Iterator<Item = (&ObjectId, bool)> {
        let all = self.results.values().flatten();
        let running = all.filter(|(_, result)| result.hook_phase == Some(OperationPhase::Running));
        running.map(|(id, result)| (id, !result.hook_type.is_empty()))
    }

    /// What became of the objects that failed.
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

    /// Notes what became of `task`; an empty message keeps the last one.
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

    /// Notes how far `task` is, leaving the rest.
    fn note_state(&mut self, task: &Task, state: OperationPhase, message: &str) {
        let status = self.of(task).and_then(|result| result.status);
        self.note(task, status, Some(state), message);
    }

    fn message_of(&self, task: &Task) -> &str {
        self.of(task).map(|result| result.message.as_str()).unwrap_or_default()
    }
}

/// Whether a prune of `live` is wanted, as its own annotation says or else the application's option.
fn prune_option(live: &Object, default: Prune) -> Prune {
    annotations::sync_option(live, "Prune").map_or(default, Prune::of)
}

/// Why `live`, which Git has no more, stays by the options; `None` where a sync deletes it. Whatever the object says
/// of itself, only a sync that prunes deletes it: `Prune=true` outdoes the application's `Prune=false`, not that.
pub fn kept_reason(live: &Object, options: &Options) -> Option<&'static str> {
    if !options.prune {
        return Some(REQUIRES_PRUNING);
    }
    (prune_option(live, options.default_prune) == Prune::No).then_some("ignored (no prune)")
}
