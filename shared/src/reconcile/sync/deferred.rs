//! Defers the dry runs that say nothing yet: what this very sync applies first may mend a refusal.
//!
//! All of a sync is dry-run before its first write. A refusal is final there only in the first step, and only where
//! nothing of that step bears on it. Every other one is provisional: the object is dry-run again right before its own
//! step, or, where its own step brings what it needs, right before it is applied itself. Argo CD does not meet this:
//! its dry run asks the API server nothing (argoproj/argo-cd `gitops-engine/pkg/sync/sync_context.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slipway_gitops::annotations::{self, Phase};
use slipway_gitops::plan::Task;
use slipway_gitops::sync::{Action, ActionKind, ActionResult};
use slipway_gitops::{Class, Failure, GroupKind};
use slipway_manifest::{Object, ObjectId};
use tokio::time::Instant;

use super::executor::SyncExecutor;
use crate::time;

/// A step of a sync: a wave of a phase.
type Step = (Phase, i64);

/// How long API servers take, at the worst, to heed a rule or a quota that was just applied: they look for changed
/// admission policies once a second, and a busy one takes several. Only what is refused in the end waits so long.
const PROPAGATION_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two dry runs of what is refused.
const DRY_RUN_PAUSE: Duration = Duration::from_millis(500);

/// The groups of policy engines whose objects decide on other objects.
const POLICY_GROUPS: [&str; 6] = [
    "admissionregistration.k8s.io",
    "constraints.gatekeeper.sh",
    "kyverno.io",
    "policies.kubewarden.io",
    "policies.kyverno.io",
    "templates.gatekeeper.sh",
];
/// The kinds that a webhook's server consists of.
const SERVERS: [&str; 6] = ["Service", "Deployment", "StatefulSet", "DaemonSet", "Pod", "APIService"];
/// The kinds that an object names, and without which it is refused.
const REFERENCES: [&str; 9] = [
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "IngressClass",
];

/// What waits for its dry run.
#[derive(Default)]
pub(super) struct DeferredDryRuns {
    /// Namespaces that this sync brings and that are not there yet.
    pub(super) namespaces: BTreeSet<String>,
    /// Kinds that this sync brings and that are not served yet.
    pub(super) kinds: BTreeSet<GroupKind>,
    /// The objects whose dry run is still to be answered for.
    tasks: BTreeMap<ObjectId, Task>,
    /// The objects that this sync applies or deletes and that are not done yet, with their steps.
    open: BTreeMap<ObjectId, Step>,
    /// The kinds that CustomResourceDefinitions among them define.
    defined: BTreeSet<GroupKind>,
    /// The objects whose own step brings what they need: each is asked right before it is applied.
    last: BTreeSet<ObjectId>,
    /// The step that goes on.
    step: Option<Step>,
    /// Whether refusals count whatever else is still to be applied.
    is_final: bool,
    /// What a dry run was refused with: nothing more is applied.
    refusal: Option<String>,
}

impl DeferredDryRuns {
    /// Takes note of the tasks of an attempt. Those that depend on a Namespace or CustomResourceDefinition among
    /// `targets` can't be dry-run before that is there. A sync that was taken up (`is_resumed`) does not know what was
    /// dry-run: everything is, again.
    pub(super) fn begin(&mut self, tasks: &[Task], targets: &[Object], is_resumed: bool) {
        let namespaces: BTreeSet<&str> =
            targets.iter().filter(|object| object.id().kind == "Namespace").map(Object::name).collect();
        let kinds: BTreeSet<GroupKind> = targets.iter().filter_map(GroupKind::defined_by).collect();
        let depends = |task: &&Task| {
            let is_new = task.live.is_none();
            let needs = namespaces.contains(task.id.namespace.as_str()) || kinds.contains(&GroupKind::of(&task.id));
            task.target().is_some() && (is_resumed || is_new && needs)
        };
        self.tasks = tasks.iter().filter(depends).map(|task| (task.id.clone(), task.clone())).collect();
        self.open = tasks.iter().map(|task| (task.id.clone(), step_of(task))).collect();
        self.defined = tasks.iter().filter_map(|task| GroupKind::defined_by(task.target()?)).collect();
        self.last.clear();
        self.step = if is_resumed { None } else { tasks.iter().map(step_of).min() };
        self.refusal = None;
    }

    /// Puts the dry run of `task` off, if its `failure` may be mended by what is still to be applied before it; whether
    /// it is put off.
    pub(super) fn put_off(&mut self, task: &Task, failure: &Failure) -> bool {
        let class = failure.source.class;
        let awaits_namespace = class == Class::MissingNamespace && self.namespaces.contains(&failure.id.namespace);
        let is_put_off = awaits_namespace || self.may_be_mended(task, class);
        if !is_put_off {
            self.tasks.remove(&task.id);
            return false;
        }
        if !awaits_namespace && self.step == Some(step_of(task)) {
            self.last.insert(task.id.clone());
        }
        self.tasks.insert(task.id.clone(), task.clone());
        true
    }

    fn may_be_mended(&self, task: &Task, class: Class) -> bool {
        if self.is_final {
            return false;
        }
        let (kind, step) = (GroupKind::of(&task.id), step_of(task));
        let is_defined_here = self.defined.contains(&kind);
        if self.step.is_some_and(|now| now < step) {
            // No other object changes how a built-in kind is read.
            return is_defined_here || !matches!(class, Class::Malformed | Class::TooLarge);
        }
        let comes_first = |id: &ObjectId, at: Step| *id != task.id && at <= step;
        let open = || self.open.iter().filter(|(id, at)| comes_first(id, **at)).map(|(id, _)| id);
        let is_of = |id: &ObjectId, kinds: &[&str]| kinds.contains(&id.kind.as_str());
        let own_namespace = |id: &ObjectId| id.kind == "Namespace" && id.name == task.id.namespace;
        match class {
            Class::MissingKind | Class::Malformed | Class::Invalid => is_defined_here,
            Class::Denied => open().any(|id| POLICY_GROUPS.contains(&id.group.as_str()) || own_namespace(id)),
            Class::Quota => {
                open().any(|id| id.namespace == task.id.namespace && is_of(id, &["ResourceQuota", "LimitRange"]))
            }
            Class::Forbidden | Class::NotFound => open().any(|id| is_of(id, &REFERENCES) || own_namespace(id)),
            Class::WebhookUnavailable => {
                open().any(|id| POLICY_GROUPS.contains(&id.group.as_str()) || is_of(id, &SERVERS))
            }
            _ => false,
        }
    }

    /// A task was dry-run.
    pub(super) fn done(&mut self, id: &ObjectId) {
        self.tasks.remove(id);
    }

    /// An object was applied: what it brings is there from now on.
    pub(super) fn made(&mut self, object: &Object) {
        self.open.remove(&object.id());
        if object.id().kind == "Namespace" {
            self.namespaces.remove(object.name());
        }
        if let Some(kind) = GroupKind::defined_by(object) {
            self.kinds.remove(&kind);
        }
    }

    /// Takes what is dry-run before anything more of `step` is applied: what belongs to it or was left over, once its
    /// Namespace and its kind are there.
    fn drain(&mut self, step: Step) -> Vec<Task> {
        self.step = Some(step);
        let is_there =
            |id: &ObjectId| !self.namespaces.contains(&id.namespace) && !self.kinds.contains(&GroupKind::of(id));
        let is_ready = |task: &Task| step_of(task) <= step && is_there(&task.id) && !self.last.contains(&task.id);
        let (ready, open) = std::mem::take(&mut self.tasks).into_iter().partition(|(_, task)| is_ready(task));
        self.tasks = open;
        let ready: BTreeMap<ObjectId, Task> = ready;
        ready.into_values().collect()
    }

    /// Takes those of `batch` that are still to be answered for.
    fn drain_batch(&mut self, batch: &[Action<'_>]) -> Vec<Task> {
        batch.iter().filter_map(|action| self.tasks.remove(&action.task.id)).collect()
    }
}

fn step_of(task: &Task) -> Step {
    (task.phase, task.wave)
}

impl SyncExecutor<'_> {
    /// Dry-runs what was put off until now; gives why `batch` must not be applied. Hooks for a failed sync run all the
    /// same.
    pub(super) async fn dry_run_deferred(&mut self, batch: &[Action<'_>]) -> Option<String> {
        let first = batch
            .first()
            .filter(|_| !batch.iter().any(|action| action.dry_run || action.task.phase == Phase::SyncFail))?;
        let tasks = self.deferred.drain(step_of(first.task));
        let refused = self.dry_run_patiently(&tasks).await;
        self.deferred.refusal = self.deferred.refusal.take().or(refused);
        let tasks = self.deferred.drain_batch(batch);
        self.deferred.is_final = true;
        let refused = self.dry_run_again(&tasks).await;
        self.deferred.is_final = false;
        // What comes after it in the same step may be what it needs: that is applied, so that a retry finds it.
        self.deferred.refusal.clone().or(refused)
    }

    /// Dry-runs what an earlier step may have mended, and what is still refused again, until the API server heeds that
    /// step.
    async fn dry_run_patiently(&mut self, tasks: &[Task]) -> Option<String> {
        let until = self.until.min(time::after(PROPAGATION_TIMEOUT));
        let (told, warned, retry) = (self.outcome.problems.len(), self.outcome.warnings.len(), self.outcome.retry);
        loop {
            let refused = self.dry_run_again(tasks).await?;
            if Instant::now() >= until {
                return Some(refused);
            }
            self.outcome.problems.truncate(told);
            self.outcome.warnings.truncate(warned);
            self.outcome.retry = retry;
            tokio::time::sleep(DRY_RUN_PAUSE).await;
        }
    }

    async fn dry_run_again(&mut self, tasks: &[Task]) -> Option<String> {
        let no_validate = self.request.policy.options.no_validate;
        let action = |task| Action {
            kind: ActionKind::Apply,
            task,
            dry_run: true,
            force: false,
            validate: !no_validate
                && !Task::target(task).is_some_and(|o| annotations::has_sync_option(o, "Validate=false")),
            server_side: false,
        };
        let actions: Vec<Action<'_>> = tasks.iter().map(action).collect();
        let answers = self.apply(&actions).await;
        answers.into_iter().find_map(Result::<ActionResult, String>::err)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_gitops::plan::TaskAction;

    use super::*;

    fn task(kind: &str, name: &str, wave: i64) -> Task {
        let version = if kind == "Widget" { "example.com/v1" } else { "v1" };
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
        let object = Object::from_value(object).unwrap();
        Task { wave, ..Task::apply(object, None, Phase::Sync) }
    }

    fn crd() -> Task {
        let object = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "names": {"kind": "Widget"}}});
        let object = Object::from_value(object).unwrap();
        Task::apply(object, None, Phase::Sync)
    }

    fn failure(task: &Task, class: Class) -> Failure {
        let source = slipway_gitops::ApiError::local(class, "no");
        Failure { id: task.id.clone(), verb: slipway_gitops::Verb::DryRun, source }
    }

    #[test]
    fn a_refusal_counts_at_once_only_where_nothing_of_the_sync_can_mend_it() {
        let (first, later) = (task("Pod", "first", 0), task("Pod", "later", 1));
        let (account, widget) = (task("ServiceAccount", "account", 0), task("Widget", "widget", 0));
        let alone = [first.clone(), later.clone()];
        let cases: [(&[Task], &Task, Class, bool); 9] = [
            (&alone, &first, Class::Denied, false),
            (&alone, &first, Class::Forbidden, false),
            (&alone, &later, Class::Denied, true),
            (&alone, &later, Class::Quota, true),
            (&alone, &later, Class::Malformed, false),
            (&[account, first.clone()], &first, Class::Forbidden, true),
            (&[task("Service", "hook", 0), first.clone()], &first, Class::WebhookUnavailable, true),
            (std::slice::from_ref(&widget), &widget, Class::Malformed, false),
            (&[crd(), widget.clone()], &widget, Class::Malformed, true),
        ];
        for (number, (tasks, task, class, expected)) in cases.into_iter().enumerate() {
            let mut deferred = DeferredDryRuns::default();
            deferred.begin(tasks, &[], false);
            assert_eq!(deferred.put_off(task, &failure(task, class)), expected, "case {number}");
        }
        assert!(matches!(first.action, TaskAction::Apply(_)));
    }

    #[test]
    fn what_a_namespace_of_the_step_holds_is_asked_together_once_that_is_there() {
        let mut namespace = task("Namespace", "shop", 0);
        namespace.id.namespace.clear();
        let (early, late) = (task("ConfigMap", "early", 0), task("Pod", "late", 0));
        let tasks = [namespace.clone(), early, late];
        let made = namespace.target().unwrap().clone();
        let mut deferred = DeferredDryRuns::default();
        deferred.namespaces.insert("shop".to_owned());
        deferred.begin(&tasks, std::slice::from_ref(&made), false);
        assert_eq!(deferred.drain((Phase::Sync, 0)).len(), 0);
        deferred.made(&made);
        assert_eq!(deferred.drain((Phase::Sync, 0)).len(), 2);
    }

    #[test]
    fn what_was_put_off_is_asked_before_its_own_step() {
        let (first, later) = (task("Pod", "first", 0), task("Pod", "later", 1));
        let mut deferred = DeferredDryRuns::default();
        deferred.begin(&[first, later.clone()], &[], false);
        assert!(deferred.put_off(&later, &failure(&later, Class::Denied)));
        assert_eq!(deferred.drain((Phase::Sync, 0)).len(), 0);
        assert_eq!(deferred.drain((Phase::Sync, 1)).len(), 1);
        assert!(!deferred.put_off(&later, &failure(&later, Class::Denied)), "its own step has begun");
    }
}
