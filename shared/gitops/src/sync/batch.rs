//! Runs tasks together: prunes first, then hooks that are deleted before re-creation, then kind after kind.

use std::collections::BTreeSet;

use slipway_manifest::{Object, ObjectId};

use super::step::Step;
use super::{Action, ActionKind, ActionResult, Executor, OPERATION, Prune, REQUIRES_PRUNING, prune_option};
use crate::annotations::{self, DeletePolicy};
use crate::health::HOOK_FINALIZER;
use crate::plan::{Task, TaskAction};
use crate::status::{OperationPhase, ResultCode};

/// The result of running tasks, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BatchResult {
    Succeeded,
    /// An earlier object has to be deleted first.
    Pending,
    Failed,
}

impl<D: Executor> Step<'_, D> {
    /// Runs `tasks`, or dry-runs them.
    pub(super) async fn run(&mut self, tasks: &[&Task], dry_run: bool) -> BatchResult {
        let dry_run = dry_run || self.input.options.dry_run;
        let (prunes, creates): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(|task| task.is_prune());
        if !dry_run {
            // What an earlier sync left over must be deletable.
            let old = |task: &&Task| task.hook && self.progress.is_pending(task) && has_finalizer(task);
            let held: Vec<&Task> = creates.iter().copied().filter(old).collect();
            let answers = self.act_on_all(&held, ActionKind::RemoveHookFinalizer, false).await;
            if !self.note_errors(&held, &answers, OperationPhase::Error, "failed to remove hook finalizer: ") {
                return BatchResult::Failed;
            }
        }
        if !self.needs_confirmation(&prunes).is_empty() {
            return BatchResult::Pending;
        }
        let mut ran = self.prune(&prunes, dry_run).await;
        let mut gone = BTreeSet::new();
        if ran == BatchResult::Succeeded && !dry_run {
            ran = self.delete_before(&creates, &mut gone).await;
        }
        if ran != BatchResult::Succeeded {
            return ran;
        }
        for group in creates.chunk_by(|a, b| a.id.kind == b.id.kind) {
            ran = ran.max(self.create(group, &gone, dry_run).await);
        }
        ran
    }

    /// The prunes that need a person's confirmation first; as in Argo CD, also in a sync that does not prune.
    pub(super) fn needs_confirmation<'t>(&self, tasks: &[&'t Task]) -> Vec<&'t Task> {
        let options = self.input.options;
        let asks = |live: &Object| prune_option(live, options.default_prune) == Prune::Confirm;
        let is_open = |task: &Task| match &task.action {
            TaskAction::Prune => true,
            TaskAction::Keep(reason) => reason == REQUIRES_PRUNING,
            TaskAction::Apply(_) => false,
        };
        let waits = |task: &&&Task| !options.prune_confirmed && is_open(task) && task.live.as_ref().is_some_and(asks);
        tasks.iter().filter(waits).copied().collect()
    }

    async fn prune(&mut self, tasks: &[&Task], dry_run: bool) -> BatchResult {
        let kept: Vec<(&Task, &str)> = tasks
            .iter()
            .filter_map(|task| match &task.action {
                TaskAction::Keep(reason) => Some((*task, reason.as_str())),
                TaskAction::Apply(_) | TaskAction::Prune => None,
            })
            .collect();
        let is_noted = !dry_run || self.input.options.dry_run;
        if is_noted {
            for (task, reason) in kept {
                self.note_pruned(task, ResultCode::PruneSkipped, reason);
            }
        }
        let doomed: Vec<&Task> = tasks.iter().copied().filter(|task| task.action == TaskAction::Prune).collect();
        if dry_run {
            if is_noted {
                for task in doomed {
                    self.note_pruned(task, ResultCode::Pruned, "pruned (dry run)");
                }
            }
            return BatchResult::Succeeded;
        }
        // No second deletion is sent: it would wake whoever works on the first.
        let is_going = |task: &&Task| task.live.as_ref().is_some_and(is_being_deleted);
        let (going, doomed): (Vec<&Task>, Vec<&Task>) = doomed.into_iter().partition(is_going);
        for task in going {
            self.note_pruned(task, ResultCode::Pruned, "pruned");
        }
        let answers = self.act_on_all(&doomed, ActionKind::Prune, false).await;
        let mut ran = BatchResult::Succeeded;
        for (task, answer) in doomed.iter().zip(&answers) {
            match answer {
                Ok(ActionResult::PruneSkipped(reason)) => self.note_pruned(task, ResultCode::PruneSkipped, reason),
                Ok(ActionResult::Performed(_) | ActionResult::NotFound) => {
                    self.note_pruned(task, ResultCode::Pruned, "pruned");
                }
                Err(error) => {
                    ran = BatchResult::Failed;
                    self.progress.note(task, Some(ResultCode::SyncFailed), Some(OperationPhase::Failed), error);
                }
            }
        }
        ran
    }

    fn note_pruned(&mut self, task: &Task, code: ResultCode, message: &str) {
        self.progress.note(task, Some(code), Some(OperationPhase::Succeeded), message);
    }

    /// Deletes what earlier syncs left of hooks that are deleted before re-creation; hooks that no longer exist are
    /// added to `gone`.
    async fn delete_before(&mut self, tasks: &[&Task], gone: &mut BTreeSet<ObjectId>) -> BatchResult {
        let goes = |task: &&Task| self.progress.is_pending(task) && is_recreated(task);
        let old: Vec<&Task> = tasks.iter().copied().filter(goes).collect();
        let answers = self.act_on_all(&old, ActionKind::DeleteHook, false).await;
        if !self.note_errors(&old, &answers, OperationPhase::Error, "failed to delete resource: ") {
            return BatchResult::Failed;
        }
        let is_gone = |(_, answer): &(&&Task, &Result<ActionResult, String>)| **answer == Ok(ActionResult::NotFound);
        gone.extend(old.iter().zip(&answers).filter(is_gone).map(|(task, _)| task.id.clone()));
        if gone.len() == old.len() { BatchResult::Succeeded } else { BatchResult::Pending }
    }

    async fn create(&mut self, tasks: &[&Task], gone: &BTreeSet<ObjectId>, dry_run: bool) -> BatchResult {
        let options = self.input.options;
        let tasks: Vec<&Task> = tasks.iter().copied().filter(|task| !dry_run || task.is_served).collect();
        let orders: Vec<Action<'_>> = tasks.iter().map(|task| self.apply_action(task, gone, dry_run)).collect();
        let answers = self.execute(&orders).await;
        let mut ran = BatchResult::Succeeded;
        for (task, answer) in tasks.iter().zip(answers) {
            match answer {
                Err(error) => {
                    ran = BatchResult::Failed;
                    self.progress.note(task, Some(ResultCode::SyncFailed), Some(OperationPhase::Failed), &error);
                }
                Ok(done) if !dry_run || options.dry_run => {
                    // A dry run has nothing to wait for.
                    let state = if dry_run { OperationPhase::Succeeded } else { OperationPhase::Running };
                    let said = if let ActionResult::Performed(said) = done { said } else { String::new() };
                    self.progress.note(task, Some(ResultCode::Synced), Some(state), &said);
                }
                Ok(_) => {}
            }
        }
        ran
    }

    fn apply_action<'t>(&self, task: &'t Task, gone: &BTreeSet<ObjectId>, dry_run: bool) -> Action<'t> {
        let options = self.input.options;
        let says =
            |object: Option<&Object>, option| object.is_some_and(|object| annotations::has_sync_option(object, option));
        let either = |option| says(task.target(), option) || says(task.live.as_ref(), option);
        let is_precious = ["Namespace", "CustomResourceDefinition"].contains(&task.id.kind.as_str());
        let live = task.live.as_ref().filter(|_| !gone.contains(&task.id));
        let op = match (options.replace || either("Replace=true"), live) {
            (false, _) => ActionKind::Apply,
            (true, None) => ActionKind::Create,
            (true, Some(_)) if is_precious => ActionKind::Update,
            (true, Some(_)) => ActionKind::Replace,
        };
        let asks_server_side = options.server_side || says(task.target(), "ServerSideApply=true");
        Action {
            kind: op,
            task,
            dry_run,
            force: options.force || either("Force=true"),
            validate: !options.no_validate && !says(task.target(), "Validate=false"),
            server_side: asks_server_side && !dry_run && !says(task.target(), "ServerSideApply=false"),
        }
    }

    /// Executes the same action for all of `tasks`, concurrently.
    pub(super) async fn act_on_all(
        &mut self,
        tasks: &[&Task],
        op: ActionKind,
        dry_run: bool,
    ) -> Vec<Result<ActionResult, String>> {
        let order = |task| Action { kind: op, task, dry_run, force: false, validate: true, server_side: false };
        let orders: Vec<Action<'_>> = tasks.iter().copied().map(order).collect();
        self.execute(&orders).await
    }

    async fn execute(&mut self, orders: &[Action<'_>]) -> Vec<Result<ActionResult, String>> {
        if orders.is_empty() { Vec::new() } else { self.executor.execute(orders).await }
    }

    /// Records failed results; returns whether there was none.
    pub(super) fn note_errors(
        &mut self,
        tasks: &[&Task],
        answers: &[Result<ActionResult, String>],
        state: OperationPhase,
        what: &str,
    ) -> bool {
        for (task, answer) in tasks.iter().zip(answers) {
            if let Err(error) = answer {
                self.progress.note_state(task, state, &format!("{what}{error}"));
            }
        }
        answers.iter().all(Result::is_ok)
    }
}

pub(super) fn has_policy(task: &Task, policy: DeletePolicy) -> bool {
    task.hook && task.object().is_some_and(|object| annotations::delete_policies(object).contains(&policy))
}

/// Whether the task is a hook whose earlier object is deleted first: by its policy, because it is being deleted, or
/// because it ran for another sync, which failed or was interrupted before the clean-up. In the last two cases Argo CD
/// applies over the object.
pub fn is_recreated(task: &Task) -> bool {
    let is_left = |live: &Object| task.hook && (is_being_deleted(live) || is_completed_hook(task, live));
    task.live.as_ref().is_some_and(|live| has_policy(task, DeletePolicy::BeforeHookCreation) || is_left(live))
}

/// Whether `live` runs only once (Job, Pod), and did so for another operation or phase.
fn is_completed_hook(task: &Task, live: &Object) -> bool {
    let made_for = |object: &Object| object.annotation(OPERATION).map(str::to_owned);
    let runs_once = matches!((live.group(), live.kind()), ("batch", "Job") | ("", "Pod"));
    let (before, now) = (made_for(live), task.target().and_then(made_for));
    runs_once && before.is_some() && now.is_some() && before != now
}

/// Whether the API server waits for finalizers before `object` is gone.
pub fn is_being_deleted(object: &Object) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null())
}

/// Whether the live object of `task` has our finalizer.
pub(super) fn has_finalizer(task: &Task) -> bool {
    let finalizers = task.live.as_ref().and_then(|live| live.pointer("/metadata/finalizers")?.as_array());
    finalizers.into_iter().flatten().any(|name| name == HOOK_FINALIZER)
}
