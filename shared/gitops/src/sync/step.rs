//! Runs one step of a sync, or terminates the sync.

use std::collections::BTreeSet;

use slipway_manifest::{Object, ObjectId};

use super::batch::{BatchResult, has_finalizer, has_policy, is_being_deleted, is_recreated};
use super::tasks::{tasks, was_created_by_operation};
use super::{ActionKind, ActionResult, Executor, Input, Progress, Wait};
use crate::annotations::{DeletePolicy, Phase};
use crate::api_resources::GroupKind;
use crate::health::{Health, HealthStatus};
use crate::plan::Task;
use crate::status::{OperationPhase, ResultCode};

/// The state of a running step.
pub(super) struct Step<'a, D> {
    pub(super) input: &'a Input<'a>,
    pub(super) progress: &'a mut Progress,
    pub(super) executor: &'a mut D,
}

/// Advances the sync as far as possible without waiting, and updates `progress`.
pub async fn step<D: Executor>(input: &Input<'_>, progress: &mut Progress, door: &mut D) {
    let tasks = tasks(input);
    let mut step = Step { input, progress, executor: door };
    if let Some(reasons) = step.invalid(&tasks) {
        let message = format!("one or more synchronization tasks are not valid: {reasons}");
        step.progress.set_phase(OperationPhase::Failed, message);
        return;
    }
    step.resume_hooks(&tasks);
    if step.progress.is_fresh() && !step.dry_run_tasks(&tasks).await {
        return;
    }
    step.assess_running(&tasks);
    if step.must_wait(&tasks).await {
        return;
    }
    step.advance(&tasks).await;
}

/// Terminates the sync: deletes running hooks, removes the finalizers of completed ones.
pub async fn terminate<D: Executor>(input: &Input<'_>, progress: &mut Progress, door: &mut D) {
    let tasks = tasks(input);
    let mut step = Step { input, progress, executor: door };
    step.resume_hooks(&tasks);
    step.remove_hook_finalizers(&tasks).await;
    let all: Vec<&Task> = tasks.iter().collect();
    if step.stop_hooks(&all).await {
        step.progress.set_phase(OperationPhase::Failed, "Operation terminated");
    } else {
        step.progress.set_phase(OperationPhase::Error, "Operation termination had errors");
    }
}

/// Derives a hook's phase from its health.
pub fn hook_phase(verdict: Option<&HealthStatus>) -> OperationPhase {
    match verdict.map(|verdict| verdict.health) {
        Some(Health::Unknown | Health::Degraded) => OperationPhase::Failed,
        Some(Health::Progressing | Health::Suspended) => OperationPhase::Running,
        Some(Health::Healthy | Health::Missing) | None => OperationPhase::Succeeded,
    }
}

impl<D: Executor> Step<'_, D> {
    /// Why the sync is invalid and can't start.
    fn invalid(&mut self, tasks: &[Task]) -> Option<String> {
        let defined: Vec<GroupKind> = self.input.targets.iter().filter_map(GroupKind::defined_by).collect();
        let mut reasons = Vec::new();
        for task in tasks {
            let may_come = || {
                let object = task.target();
                self.input.options.skip_dry_run_on_missing
                    || object
                        .is_some_and(|o| crate::annotations::has_sync_option(o, "SkipDryRunOnMissingResource=true"))
                    || defined.contains(&GroupKind::of(&task.id))
            };
            let missing = self.input.missing.get(&task.id).filter(|_| !may_come());
            if let Some(reason) = self.input.denied.get(&task.id).or(missing) {
                self.progress.note(task, Some(ResultCode::SyncFailed), None, reason);
                reasons.push(reason.clone());
            }
        }
        reasons.sort_unstable();
        reasons.dedup();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Hooks created by this operation whose creation was not recorded because the worker died.
    fn resume_hooks(&mut self, tasks: &[Task]) {
        for task in tasks {
            if self.progress.is_pending(task) && was_created_by_operation(task, self.input.options) {
                let message = format!("{} resumed", task.id);
                self.progress.note(task, Some(ResultCode::Synced), Some(OperationPhase::Running), &message);
            }
        }
    }

    /// Creates the namespace if it is missing, then dry-runs all tasks; returns whether the sync may begin.
    async fn dry_run_tasks(&mut self, tasks: &[Task]) -> bool {
        let mut to_dry_run = self.out_of_sync(tasks.iter().collect());
        let namespace = ObjectId::new("", "Namespace", "", &self.input.options.namespace);
        if let Some(place) =
            tasks.iter().position(|task| task.live.is_none() && task.id == namespace && !task.is_prune())
            && let Some(task) = tasks.get(place)
        {
            if self.run(&[task], false).await == BatchResult::Failed {
                self.fail(&[], &[task], "the namespace failed to apply").await;
                return false;
            }
            to_dry_run.retain(|other| !std::ptr::eq(*other, task));
        }
        if self.run(&to_dry_run, true).await == BatchResult::Failed {
            self.progress.set_phase(OperationPhase::Failed, "one or more objects failed to apply (dry run)");
            return false;
        }
        true
    }

    /// With ApplyOutOfSyncOnly: the tasks that change something, and hooks.
    fn out_of_sync<'t>(&self, tasks: Vec<&'t Task>) -> Vec<&'t Task> {
        let Some(modified) = &self.input.options.modified else { return tasks };
        let counts = |task: &&Task| task.hook || task.is_prune() || task.live.is_none() || modified.contains(&task.id);
        tasks.into_iter().filter(counts).collect()
    }

    /// Updates the running tasks from their live objects.
    fn assess_running(&mut self, tasks: &[Task]) {
        for task in tasks {
            let Some(live) = task.live.as_ref().filter(|_| self.progress.is_running(task)) else { continue };
            let (state, message) = if task.hook {
                self.hook_state(live)
            } else {
                match (self.input.health)(live) {
                    None => (OperationPhase::Succeeded, String::new()),
                    Some(verdict) => match verdict.health {
                        Health::Healthy => (OperationPhase::Succeeded, verdict.message),
                        Health::Degraded => (OperationPhase::Failed, verdict.message),
                        _ => continue,
                    },
                }
            };
            self.progress.note_state(task, state, &message);
        }
    }

    fn hook_state(&self, live: &Object) -> (OperationPhase, String) {
        let verdict = (self.input.health)(live);
        let message = verdict.as_ref().map_or_else(|| format!("{} created", live.name()), |v| v.message.clone());
        (hook_phase(verdict.as_ref()), message)
    }

    /// Whether the sync has to wait; sets the message.
    async fn must_wait(&mut self, tasks: &[Task]) -> bool {
        let ends = tasks.first().zip(tasks.last());
        let is_multi_step = ends.is_some_and(|(a, b)| (a.phase, a.wave) != (b.phase, b.wave));
        let running: Vec<&Task> =
            tasks.iter().filter(|task| (is_multi_step || task.hook) && self.progress.is_running(task)).collect();
        if running.is_empty() {
            // Deleted objects have to be gone before the next wave.
            let is_going = |task: &&Task| {
                let pruned = self.progress.of(task).is_some_and(|r| r.status == Some(ResultCode::Pruned));
                pruned && task.live.as_ref().is_some_and(is_being_deleted)
            };
            let going: Vec<&Task> = tasks.iter().filter(is_going).collect();
            if !going.is_empty() {
                self.wait_for(&going, Wait::Deletion);
            }
            return !going.is_empty();
        }
        for task in running.iter().filter(|task| task.live.is_none()) {
            match self.executor.live(task).await {
                Err(error) => {
                    self.progress.note_state(
                        task,
                        OperationPhase::Error,
                        &format!("Failed to get live resource {error}"),
                    );
                }
                Ok(None) => {
                    let message = format!("Resource {} is missing, it might have been deleted", name_of(task));
                    let (status, state) = (Some(ResultCode::SyncFailed), Some(OperationPhase::Error));
                    self.progress.note(task, status, state, &message);
                }
                Ok(Some(_)) => {}
            }
        }
        self.wait_for(&running, Wait::Completion);
        true
    }

    /// With no task running: fails, starts the next wave, or completes the sync.
    async fn advance(&mut self, tasks: &[Task]) {
        if !self.remove_hook_finalizers(tasks).await {
            return;
        }
        let ended = |policy| {
            let policy_of = move |task: &&Task| task.live.is_some() && has_policy(task, policy);
            let progress = &*self.progress;
            tasks.iter().filter(|task| !progress.is_running(task)).filter(policy_of).collect::<Vec<&Task>>()
        };
        let (on_success, on_failure) = (ended(DeletePolicy::HookSucceeded), ended(DeletePolicy::HookFailed));
        let (sync_fail, tasks): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(|task| task.phase == Phase::SyncFail);
        let unsuccessful = |task: &&Task| {
            self.progress.is_completed(task) && self.progress.state(task) != Some(OperationPhase::Succeeded)
        };
        if tasks.iter().any(unsuccessful) {
            let refused: Vec<&Task> = tasks.into_iter().filter(|task| self.progress.is_refused(task)).collect();
            self.delete_hooks(&on_failure).await;
            self.fail(&sync_fail, &refused, "one or more synchronization tasks completed unsuccessfully").await;
            return;
        }
        let pending: Vec<&Task> = tasks.into_iter().filter(|task| self.progress.is_pending(task)).collect();
        let pending = self.out_of_sync(pending);
        let Some((first, last)) = pending.first().copied().zip(pending.last().copied()) else {
            self.delete_hooks(&on_success).await;
            self.progress.set_phase(OperationPhase::Succeeded, "successfully synced (no more tasks)");
            return;
        };
        let (phase, wave) = (first.phase, first.wave);
        let is_last = (last.phase, last.wave) == (phase, wave);
        let count = pending.len();
        let now: Vec<&Task> = pending.into_iter().filter(|task| (task.phase, task.wave) == (phase, wave)).collect();
        self.progress.set_phase(OperationPhase::Running, "one or more tasks are running");
        let ran = self.run(&now, false).await;
        if ran != BatchResult::Failed
            && let Err(error) = self.executor.end_wave(phase, wave, is_last).await
        {
            self.stop_hooks(&now).await;
            self.progress.set_phase(OperationPhase::Error, format!("SyncWaveHook failed: {error}"));
            return;
        }
        match ran {
            BatchResult::Failed => self.fail_step(&now, &sync_fail, &on_failure).await,
            BatchResult::Succeeded if count == now.len() && !now.iter().any(|task| task.hook) => {
                self.delete_hooks(&on_success).await;
                self.progress.set_phase(OperationPhase::Succeeded, "successfully synced (all tasks run)");
            }
            BatchResult::Succeeded => self.wait_for(&now, Wait::Completion),
            BatchResult::Pending => {
                let unconfirmed = self.needs_confirmation(&now);
                if unconfirmed.is_empty() {
                    let goes = |task: &&Task| self.progress.is_pending(task) && (is_recreated(task) || task.is_prune());
                    let going: Vec<&Task> = now.into_iter().filter(goes).collect();
                    self.wait_for(&going, Wait::Deletion);
                } else {
                    self.wait_for(&unconfirmed, Wait::Confirmation);
                }
            }
        }
    }

    async fn fail_step(&mut self, now: &[&Task], sync_fail: &[&Task], on_failure: &[&Task]) {
        const MESSAGE: &str = "one or more objects failed to apply";
        let refused: Vec<&Task> = now.iter().copied().filter(|task| self.progress.is_refused(task)).collect();
        let mut running: Vec<&Task> = now.iter().copied().filter(|task| self.progress.is_running(task)).collect();
        if running.is_empty() {
            if self.fail(sync_fail, &refused, MESSAGE).await {
                self.delete_hooks(on_failure).await;
            }
            return;
        }
        if !sync_fail.is_empty() && !self.fail(sync_fail, &refused, MESSAGE).await {
            running.extend(sync_fail);
        }
        self.wait_for(&running, Wait::Completion);
    }

    /// Fails the sync after its SyncFail hooks; returns whether they have run.
    async fn fail(&mut self, sync_fail: &[&Task], refused: &[&Task], what: &str) -> bool {
        let message = self.reasoned(what, refused);
        if sync_fail.iter().all(|task| self.progress.is_completed(task)) {
            let failed: Vec<&Task> = sync_fail.iter().copied().filter(|task| self.progress.is_refused(task)).collect();
            let more = match failed.as_slice() {
                [] => String::new(),
                failed => format!("\n{}", self.reasoned("one or more SyncFail hooks failed", failed)),
            };
            self.progress.set_phase(OperationPhase::Failed, format!("{message}{more}"));
            return true;
        }
        let pending: Vec<&Task> = sync_fail.iter().copied().filter(|task| self.progress.is_pending(task)).collect();
        self.run(&pending, false).await;
        self.wait_for(&pending, Wait::Completion);
        false
    }

    fn reasoned(&self, what: &str, tasks: &[&Task]) -> String {
        let mut seen = BTreeSet::new();
        let reasons = tasks.iter().map(|task| self.progress.message_of(task));
        let reasons: Vec<&str> = reasons.filter(|reason| seen.insert(*reason)).collect();
        if reasons.is_empty() { what.to_owned() } else { format!("{what}, reason: {}", reasons.join(",")) }
    }

    /// Removes the finalizers of completed hooks, once that is recorded; returns whether it succeeded.
    async fn remove_hook_finalizers(&mut self, tasks: &[Task]) -> bool {
        let ended: Vec<&Task> = tasks.iter().filter(|task| task.hook && self.progress.is_completed(task)).collect();
        if !ended.is_empty()
            && let Err(error) = self.executor.record(self.progress).await
        {
            self.progress.set_phase(OperationPhase::Error, error);
            return false;
        }
        let held = unique(ended.into_iter().filter(|task| has_finalizer(task)));
        let answers = self.act_on_all(&held, ActionKind::RemoveHookFinalizer, false).await;
        self.note_errors(&held, &answers, OperationPhase::Error, "Failed to remove hook finalizer: ");
        true
    }

    async fn delete_hooks(&mut self, tasks: &[&Task]) {
        let tasks = unique(tasks.iter().copied());
        let answers = self.act_on_all(&tasks, ActionKind::DeleteHook, false).await;
        self.note_errors(&tasks, &answers, OperationPhase::Error, "failed to delete resource: ");
    }

    /// Deletes running hooks; returns whether that succeeded.
    async fn stop_hooks(&mut self, tasks: &[&Task]) -> bool {
        let mut is_well = true;
        for task in tasks {
            if task.hook && self.progress.is_running(task) {
                is_well &= self.stop_hook(task).await;
            }
        }
        is_well
    }

    async fn stop_hook(&mut self, task: &Task) -> bool {
        let mut task = task.clone();
        if task.live.is_none() {
            match self.executor.live(&task).await {
                Ok(live) => task.live = live,
                Err(error) => {
                    let message = format!("Failed to get live resource: {error}");
                    self.progress.note_state(&task, OperationPhase::Error, &message);
                    return false;
                }
            }
        }
        let Some(live) = &task.live else {
            self.progress.note_state(&task, OperationPhase::Succeeded, "Terminated");
            return true;
        };
        let (state, message) = self.hook_state(live);
        if has_finalizer(&task) {
            let answers = self.act_on_all(&[&task], ActionKind::RemoveHookFinalizer, false).await;
            if !self.note_errors(&[&task], &answers, OperationPhase::Error, "Failed to remove hook finalizer: ") {
                return false;
            }
        }
        if !state.is_completed() || has_policy(&task, DeletePolicy::HookFailed) {
            let answers: Vec<Result<ActionResult, String>> =
                self.act_on_all(&[&task], ActionKind::DeleteHook, false).await;
            if !self.note_errors(&[&task], &answers, OperationPhase::Failed, "Failed to delete: ") {
                return false;
            }
        }
        if state.is_completed() {
            self.progress.note_state(&task, state, &message);
        } else {
            self.progress.note_state(&task, OperationPhase::Failed, "Terminated");
        }
        true
    }

    /// Sets the message: the first hook, or else the first object, and how many more.
    fn wait_for(&mut self, tasks: &[&Task], wait: Wait) {
        let any_hook = tasks.iter().any(|task| task.hook);
        let Some(first) = tasks.iter().find(|task| task.hook == any_hook) else {
            self.progress.set_phase(OperationPhase::Running, "");
            return;
        };
        let reason = match (wait, any_hook) {
            (Wait::Completion, true) => "completion of hook",
            (Wait::Completion, false) => "healthy state of",
            (Wait::Deletion, true) => "deletion of hook",
            (Wait::Deletion, false) => "deletion of",
            (Wait::Confirmation, _) => "pruning confirmation of",
        };
        let kind = if tasks.iter().all(|task| task.hook) { "hooks" } else { "resources" };
        let more = match tasks.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more {kind}", count - 1),
        };
        let message = format!("waiting for {reason} {}{more}", name_of(first));
        self.progress.set_phase(OperationPhase::Running, message);
        self.progress.waiting = Some((wait, tasks.iter().map(|task| task.id.clone()).collect()));
    }
}

/// Each object once: a hook may run in several phases.
fn unique<'t>(tasks: impl Iterator<Item = &'t Task>) -> Vec<&'t Task> {
    let mut seen = BTreeSet::new();
    tasks.filter(|task| seen.insert(&task.id)).collect()
}

/// `group/Kind/name`, as in Argo CD's messages.
fn name_of(task: &Task) -> String {
    format!("{}/{}/{}", task.id.group, task.id.kind, task.id.name)
}
