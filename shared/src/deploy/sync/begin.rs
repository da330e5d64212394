//! How a sync begins, or is taken up where another invocation left it.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet};

use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::state::{self, Operation, Reached};
use slipway_cluster::wait::{self, ConditionStatus as Seen};
use slipway_gitops::GroupKind;
use slipway_gitops::plan;
use slipway_gitops::status::OperationState;
use slipway_gitops::sync::{self, Progress};
use slipway_manifest::{Object, ObjectId};

use super::SyncOperation;
use super::operate::input;
use super::outcome::SyncError;
use super::snapshot::{self, ClusterSnapshot};
use super::wait::{WaitOutcome, hook_ended};
use crate::notify::report;
use crate::time;

impl SyncOperation<'_> {
    pub(super) async fn load(&mut self) -> Result<(), SyncError> {
        if let Some(recorded) = state::read(&self.executor.cluster, &self.executor.request.owner.key).await? {
            self.executor.version = Some(recorded.version().to_owned());
            self.executor.state = recorded.state;
        }
        // No back-off is that long: it is damaged, and would be waited for without end.
        if let Some(operation) = &mut self.executor.state.operation {
            operation.not_before = operation.not_before.filter(|at| time::until(*at) < time::LONGEST);
        }
        Ok(())
    }

    /// Ends a sync of another commit that was left half-way: its running hooks are waited for, then let go. Whether
    /// that is done.
    pub(super) async fn end_previous(&mut self) -> Result<bool, SyncError> {
        let revision = &self.executor.request.revision;
        let Some(previous) = self.executor.state.operation.clone().filter(|operation| operation.revision != *revision)
        else {
            return Ok(true);
        };
        self.progress = self.recorded();
        let hooks: BTreeSet<ObjectId> =
            self.progress.running().filter(|(_, hook)| *hook).map(|(id, _)| id.clone()).collect();
        let known: BTreeSet<GroupKind> = hooks.iter().map(GroupKind::of).collect();
        let kinds = self.executor.cluster.resolve(&BTreeSet::new(), &known).await;
        let places: Vec<ObjectRef> = hooks.iter().filter_map(|id| snapshot::object_ref_of(&kinds, id)).collect();
        self.executor.objects = places.iter().map(|place| (place.id(), place.clone())).collect();
        let until = self.deadlines.hand_over_at.min(time::after(self.deadlines.left(previous.started_at)));
        let judge = self.executor.judge();
        let found = wait::wait(&self.executor.cluster, &places, until, |_, object| hook_ended(&judge, object)).await;
        let is_open = found.values().any(|outcome| matches!(outcome.progress, Seen::Waiting(_)));
        if is_open && time::since(previous.started_at) < self.deadlines.timeout {
            let names: Vec<String> = found.keys().map(ToString::to_string).collect();
            let warning = format!("a hook of the commit before still runs: {}", names.join(", "));
            self.executor.outcome.warnings.push(warning);
            self.hand_over();
            return Ok(false);
        }
        let live: BTreeMap<ObjectId, Object> =
            found.into_iter().filter_map(|(id, outcome)| Some((id, outcome.object?))).collect();
        let targets: Vec<Object> = live.values().cloned().collect();
        self.snapshot = ClusterSnapshot { targets, live, ..ClusterSnapshot::default() };
        self.terminate(&previous).await;
        self.progress = Progress::default();
        self.executor.state.operation = None;
        Ok(true)
    }

    /// Lets this sync's hooks go, those that run are deleted.
    pub(super) async fn terminate(&mut self, operation: &Operation) {
        let options = self.options(operation);
        let (snapshot, executor) = (&self.snapshot, &mut self.executor);
        let health = executor.judge();
        sync::terminate(&input(snapshot, &options, &health), &mut self.progress, executor).await;
        self.merge();
    }

    /// What the state says became of each object so far.
    pub(super) fn recorded(&self) -> Progress {
        let last = self.executor.state.status.operation_state.as_ref();
        let result = last.and_then(|last| last.sync_result.as_ref());
        let mut progress = Progress::resume(result.map(|result| result.resources.clone()).unwrap_or_default());
        progress.message = last.map(|last| last.message.clone()).unwrap_or_default();
        progress
    }

    /// Goes on with the sync that the state tells of; not, where that is yet to wait until it is tried again.
    pub(super) async fn resume(&mut self) -> bool {
        self.progress = self.recorded();
        let Some(operation) = self.executor.state.operation.clone() else { return true };
        self.executor.started = operation.started_at;
        // Whoever began it, goes on with it.
        let recorded = self.executor.state.status.operation_state.as_ref().map(OperationState::initiator);
        if let Some(initiator) = recorded.filter(|initiator| !initiator.is_unknown()) {
            self.executor.initiator = initiator;
        }
        let ahead = operation.not_before.map(time::until);
        // Only a back-off has to be waited for; what was waited for otherwise may be there already.
        if let Some(delay) = ahead.filter(|_| operation.retries > 0 && self.progress.is_fresh())
            && self.back_off(delay).await == WaitOutcome::HandedOver
        {
            "waiting for the next retry".clone_into(&mut self.progress.message);
            self.hand_over();
            return false;
        }
        if let Some(operation) = &mut self.executor.state.operation {
            operation.attempt = operation.attempt.saturating_add(1);
            operation.not_before = None;
        }
        true
    }

    /// Whether there is another commit by now than the one to go back to.
    pub(super) fn is_overtaken(&self) -> bool {
        let state = &self.executor.state;
        state.operation.is_some() || state.attempt.revision != self.executor.request.revision
    }

    /// Begins a sync; not of a commit that failed already, unless a person asks for it.
    pub(super) fn begin(&mut self) -> Result<(), SyncError> {
        let executor = &mut self.executor;
        let revision = &executor.request.revision;
        if let Some(last) = executor.state.status.failed(revision).filter(|_| executor.request.initiator.automated) {
            return Err(SyncError::AlreadyFailed {
                revision: report::short(revision).to_owned(),
                message: last.message.clone(),
            });
        }
        let is_part = executor.request.policy.options.resources.is_some();
        executor.state.attempt.reach(revision, if is_part { Reached::Part } else { Reached::Tried });
        executor.state.operation = Some(Operation {
            id: format!("{}-{}", report::short(revision), executor.started.as_millisecond()),
            revision: revision.clone(),
            started_at: executor.started,
            steps_done: 0,
            attempt: 0,
            retries: 0,
            not_before: None,
        });
        Ok(())
    }

    /// Before the first write: all that may be ours after it.
    pub(super) async fn record_intent(&mut self) -> Result<(), SyncError> {
        let Some(operation) = self.executor.state.operation.clone() else { return Ok(()) };
        let options = self.options(&operation);
        let health = self.executor.judge();
        let tasks = sync::tasks(&input(&self.snapshot, &options, &health));
        let ours = tasks.iter().filter(|task| {
            task.target().is_some_and(|object| object.label(slipway_gitops::tracking::PART_OF).is_some())
        });
        let foreign = &self.executor.foreign;
        let ids: Vec<ObjectId> = ours.map(|task| task.id.clone()).filter(|id| !foreign.contains_key(id)).collect();
        self.executor.state.inventory.extend(ids);
        // Hooks with generated names have their places only now.
        for task in &tasks {
            let known = |place: &ObjectRef| {
                place.resource.gvk.group == task.id.group && place.resource.gvk.kind == task.id.kind
            };
            if !self.executor.objects.contains_key(&task.id)
                && let (Some(object), Some(place)) =
                    (task.object(), self.executor.objects.values().find(|place| known(place)))
            {
                let place = ObjectRef::of(&place.resource, object);
                self.executor.objects.insert(task.id.clone(), place);
            }
        }
        self.executor.deferred.begin(&tasks, &self.snapshot.targets);
        self.find_named_hooks(&tasks).await;
        self.executor.save(&self.progress).await
    }

    /// Hooks with generated names that this sync made before it was cut off.
    async fn find_named_hooks(&mut self, tasks: &[plan::Task]) {
        let is_open = |id: &ObjectId| !self.snapshot.live.contains_key(id);
        let hooks = tasks.iter().filter(|task| task.hook && task.live.is_none() && is_open(&task.id));
        let places: Vec<ObjectRef> = hooks.filter_map(|task| self.executor.objects.get(&task.id).cloned()).collect();
        let is_fresh = self.executor.state.operation.as_ref().is_none_or(|operation| operation.attempt == 0);
        if places.is_empty() || is_fresh {
            return;
        }
        let (found, failures) = objects::get_all(&self.executor.cluster, &places).await;
        self.snapshot.live.extend(found);
        for failure in &failures {
            self.executor.fail(failure);
        }
    }
}
