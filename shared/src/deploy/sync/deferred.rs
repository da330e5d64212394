//! What can't be dry-run before the first write, because a Namespace or a kind that this very sync brings is missing:
//! it is as soon as that exists, and before anything else is applied.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_gitops::GroupKind;
use slipway_gitops::annotations::{self, Phase};
use slipway_gitops::plan::Task;
use slipway_gitops::sync::{Action, ActionKind, ActionResult};
use slipway_manifest::{Object, ObjectId};

use super::executor::SyncExecutor;

/// What waits for its dry run.
#[derive(Default)]
pub(super) struct DeferredDryRuns {
    /// Namespaces that this sync brings and that are not there yet.
    pub(super) namespaces: BTreeSet<String>,
    /// Kinds that this sync brings and that are not served yet.
    pub(super) kinds: BTreeSet<GroupKind>,
    /// New objects in such namespaces and of such kinds that were not dry-run yet.
    tasks: BTreeMap<ObjectId, Task>,
    /// What a dry run was refused with: nothing more is applied.
    refusal: Option<String>,
}

impl DeferredDryRuns {
    /// Takes note of the tasks that depend on a Namespace or CustomResourceDefinition among `targets`. A sync that is
    /// taken up can't know which of them were dry-run: all are, again.
    pub(super) fn begin<'t>(&mut self, tasks: impl IntoIterator<Item = &'t Task>, targets: &[Object]) {
        let namespaces: BTreeSet<&str> =
            targets.iter().filter(|object| object.id().kind == "Namespace").map(Object::name).collect();
        let kinds: BTreeSet<GroupKind> = targets.iter().filter_map(defined).collect();
        let depends = |task: &&Task| {
            let is_new = task.live.is_none() && task.target().is_some();
            is_new && (namespaces.contains(task.id.namespace.as_str()) || kinds.contains(&GroupKind::of(&task.id)))
        };
        self.tasks = tasks.into_iter().filter(depends).map(|task| (task.id.clone(), task.clone())).collect();
        self.refusal = None;
    }

    /// A task was dry-run.
    pub(super) fn done(&mut self, id: &ObjectId) {
        self.tasks.remove(id);
    }

    /// An object was applied: what it brings is there from now on.
    pub(super) fn made(&mut self, object: &Object) {
        if object.id().kind == "Namespace" {
            self.namespaces.remove(object.name());
        }
        if let Some(kind) = defined(object) {
            self.kinds.remove(&kind);
        }
    }

    /// Takes what can be dry-run by now.
    fn drain(&mut self) -> Vec<Task> {
        let is_ready =
            |id: &ObjectId| !self.namespaces.contains(&id.namespace) && !self.kinds.contains(&GroupKind::of(id));
        let (ready, open) = std::mem::take(&mut self.tasks).into_iter().partition(|(id, _)| is_ready(id));
        self.tasks = open;
        let ready: BTreeMap<ObjectId, Task> = ready;
        ready.into_values().collect()
    }
}

/// The kind that a CustomResourceDefinition defines.
fn defined(object: &Object) -> Option<GroupKind> {
    let is_crd = object.group() == "apiextensions.k8s.io" && object.kind() == "CustomResourceDefinition";
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    is_crd.then(|| Some(GroupKind { group: text("/spec/group")?, kind: text("/spec/names/kind")? })).flatten()
}

impl SyncExecutor<'_> {
    /// Dry-runs what could not be before; gives why `batch` must not be applied. Hooks for a failed sync run all the
    /// same.
    pub(super) async fn dry_run_deferred(&mut self, batch: &[Action<'_>]) -> Option<String> {
        if batch.iter().any(|order| order.dry_run || order.task.phase == Phase::SyncFail) {
            return None;
        }
        let tasks = self.deferred.drain();
        let no_validate = self.request.policy.options.no_validate;
        let order = |task| Action {
            kind: ActionKind::Apply,
            task,
            dry_run: true,
            force: false,
            validate: !no_validate
                && !Task::target(task).is_some_and(|o| annotations::has_sync_option(o, "Validate=false")),
            server_side: false,
        };
        let orders: Vec<Action<'_>> = tasks.iter().map(order).collect();
        let answers = self.apply(&orders).await;
        let refused = answers.into_iter().find_map(Result::<ActionResult, String>::err);
        self.deferred.refusal = self.deferred.refusal.take().or(refused);
        self.deferred.refusal.clone()
    }
}
