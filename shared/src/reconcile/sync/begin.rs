//! Begins a sync, or resumes one that another invocation left.

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

use super::operate::input;
use super::outcome::{SyncError, operation_prefix};
use super::snapshot::ClusterSnapshot;
use super::wait::{WaitOutcome, hook_ended};
use super::{OperationKind, SyncOperation, SyncRequest};
use crate::notify::reporter::LastNotification;
use crate::reconcile::notes::{FailedInOutage, Note as _};
use crate::time;

impl SyncOperation<'_> {
    pub(super) async fn load(&mut self) -> Result<(), SyncError> {
        if let Some(recorded) = state::read(&self.executor.cluster, &self.executor.request.owner.key).await? {
            self.executor.version = Some(recorded.version().to_owned());
            self.executor.state = recorded.state;
        }
        // No back-off lasts that long: the recorded time is damaged, and would block the sync for ever.
        if let Some(operation) = &mut self.executor.state.operation {
            operation.not_before = operation.not_before.filter(|at| time::until(*at) < time::LONGEST);
        }
        let executor = &mut self.executor;
        // What was told of these commits before goes on in the same message.
        if executor.state.attempt.revisions == executor.request.revisions
            && let Some(told) = LastNotification::of(&executor.state)
            && let Some(at) = executor.request.revisions.as_slice().iter().position(|one| *one == told.revision)
        {
            executor.reported = at;
        }
        Ok(())
    }

    /// Ends an unfinished sync of another commit: waits for its running hooks, then removes their finalizers. Returns
    /// whether that is done.
    pub(super) async fn end_previous(&mut self) -> Result<bool, SyncError> {
        let revisions = &self.executor.request.revisions;
        let is_over = |operation: &Operation| operation.revisions != *revisions || self.is_expired(operation);
        let Some(previous) = self.executor.state.operation.clone().filter(is_over) else { return Ok(true) };
        self.progress = self.recorded();
        let hooks: BTreeSet<ObjectId> =
            self.progress.running().filter(|(_, hook)| *hook).map(|(id, _)| id.clone()).collect();
        let known: BTreeSet<GroupKind> = hooks.iter().map(GroupKind::of).collect();
        let kinds = self.executor.cluster.resolve(&BTreeSet::new(), &known).await;
        let places: Vec<ObjectRef> = hooks.iter().filter_map(|id| objects::recorded(&kinds, id)).collect();
        self.executor.objects = places.iter().map(|place| (place.id(), place.clone())).collect();
        let until = self.deadlines.hand_over_at.min(time::after(self.deadlines.left(previous.started_at)));
        let judge = self.executor.health_check();
        let found = wait::wait(&self.executor.cluster, &places, until, |_, object| hook_ended(&judge, object)).await;
        let is_open = found.values().any(|outcome| matches!(outcome.progress, Seen::Waiting(_)));
        if is_open && time::since(previous.started_at) < self.deadlines.timeout {
            let names: Vec<String> = found.keys().map(ToString::to_string).collect();
            let warning = format!("a hook of the previous commit is still running: {}", names.join(", "));
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

    /// Removes the finalizers of this sync's hooks and deletes the running ones.
    pub(super) async fn terminate(&mut self, operation: &Operation) {
        let options = self.options(operation);
        let (snapshot, executor) = (&self.snapshot, &mut self.executor);
        let health = executor.health_check();
        sync::terminate(&input(snapshot, &options, &health), &mut self.progress, executor).await;
        self.merge();
    }

    /// Restores the progress of each object from the state.
    pub(super) fn recorded(&self) -> Progress {
        let last = self.executor.state.status.operation_state.as_ref();
        let result = last.and_then(|last| last.sync_result.as_ref());
        let mut progress = Progress::resume(result.map(|result| result.resources.clone()).unwrap_or_default());
        progress.message = last.map(|last| last.message.clone()).unwrap_or_default();
        progress
    }

    /// Resumes the recorded sync, unless its back-off has not passed yet.
    pub(super) async fn resume(&mut self) -> bool {
        self.progress = self.recorded();
        let Some(operation) = self.executor.state.operation.clone() else { return true };
        self.executor.started = operation.started_at;
        self.executor.retries = operation.retries;
        // A resumed sync keeps its initiator.
        let recorded = self.executor.state.status.operation_state.as_ref().map(OperationState::initiator);
        if let Some(initiator) = recorded.filter(|initiator| !initiator.is_unknown()) {
            self.executor.initiator = initiator;
        }
        let ahead = operation.not_before.map(time::until);
        // Only a back-off has to be waited out; other conditions may have been met already.
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

    /// Whether the branch has a newer commit than the one that would be retried.
    pub(super) fn is_superseded(&self) -> bool {
        let state = &self.executor.state;
        state.operation.is_some() || state.attempt.revisions != self.executor.request.revisions
    }

    /// Whether the time of `operation` was over before a person asked for a sync: a new one begins in its place.
    pub(super) fn is_expired(&self, operation: &Operation) -> bool {
        self.executor.request.initiator.is_person() && time::since(operation.started_at) > self.deadlines.timeout
    }

    /// Why no sync begins; `None` where one does. A person's sync is one, whatever differs, and so is that of a commit
    /// whose hook failed. A commit that was all there once is not synced again for what differs from it now: that is
    /// drift, for self-heal or a person to mend (argoproj/argo-cd `controller/appcontroller.go`, autoSync).
    pub(super) fn nothing_to_sync(&mut self, differs: bool) -> Option<String> {
        let executor = &mut self.executor;
        let SyncRequest { revisions, spec_digest, initiator, policy, .. } = executor.request;
        let is_sync = policy.operation == OperationKind::Sync;
        if is_sync && initiator.is_person() {
            return None;
        }
        if !differs && executor.state.status.failed(revisions).is_none_or(OperationState::is_part) {
            executor.reach(Reached::All);
            return Some("nothing differs from Git".to_owned());
        }
        let attempt = &executor.state.attempt;
        let is_done = attempt.is_of(revisions, spec_digest.as_deref()) && attempt.reached == Reached::All;
        (is_sync && is_done).then(|| format!("most recent sync already to {}", revisions.short()))
    }

    /// Begins a sync; not of a commit that failed already, unless a person asks for it or the Application was changed
    /// since.
    pub(super) fn begin(&mut self) -> Result<(), SyncError> {
        let executor = &mut self.executor;
        let revisions = &executor.request.revisions;
        let is_tried = executor.state.attempt.is_of(revisions, executor.request.spec_digest.as_deref());
        let failed = executor.state.status.failed(revisions);
        if let Some(last) = failed.filter(|_| executor.request.initiator.automated && is_tried && !executor.is_outage())
        {
            return Err(SyncError::AlreadyFailed { revisions: revisions.short(), message: last.message.clone() });
        }
        let is_part = executor.request.policy.options.resources.is_some();
        let revisions = revisions.clone();
        FailedInOutage::forget(&mut executor.state);
        executor.reach(if is_part { Reached::Part } else { Reached::Tried });
        executor.state.operation = Some(Operation {
            id: format!("{}-{}", operation_prefix(&revisions), executor.started.as_millisecond()),
            revisions,
            started_at: executor.started,
            steps_done: 0,
            attempt: 0,
            retries: 0,
            not_before: None,
        });
        Ok(())
    }

    /// Records, before the first write, every object that may be ours afterwards.
    pub(super) async fn record_intent(&mut self) -> Result<(), SyncError> {
        let Some(operation) = self.executor.state.operation.clone() else { return Ok(()) };
        let options = self.options(&operation);
        let health = self.executor.health_check();
        let tasks = sync::tasks(&input(&self.snapshot, &options, &health));
        let ours = tasks.iter().filter(|task| {
            task.target().is_some_and(|object| object.label(slipway_gitops::tracking::PART_OF).is_some())
        });
        let shared_resources = &self.executor.shared_resources;
        let ids: Vec<ObjectId> =
            ours.map(|task| task.id.clone()).filter(|id| !shared_resources.contains_key(id)).collect();
        self.executor.state.inventory.extend(ids);
        // Hooks with generated names have their final names only now.
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
        self.executor.deferred.begin(&tasks, &self.snapshot.targets, !self.progress.is_fresh());
        self.find_named_hooks(&tasks).await;
        self.executor.save(&self.progress).await
    }

    /// Finds hooks with generated names that this sync created before it was interrupted.
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
