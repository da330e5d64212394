//! How a sync begins, or is taken up where another invocation left it.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet};

use slipway_cluster::GroupKind;
use slipway_cluster::engine::{self, Progress};
use slipway_cluster::live::{self, Place};
use slipway_cluster::plan;
use slipway_cluster::state::{self, Operation, Reached};
use slipway_cluster::status::OperationState;
use slipway_cluster::wait::{self, Progress as Seen};
use slipway_manifest::{Object, ObjectId};

use super::Run;
use super::operate::input;
use super::outcome::Stop;
use super::view::{self, View};
use super::waiting::{Waited, hook_ended};
use crate::notify::report;
use crate::time;

impl Run<'_> {
    pub(super) async fn load(&mut self) -> Result<(), Stop> {
        if let Some(recorded) = state::read(&self.book.cluster, &self.book.job.owner.key).await? {
            self.book.version = Some(recorded.version().to_owned());
            self.book.state = recorded.state;
        }
        // No back-off is that long: it is damaged, and would be waited for without end.
        if let Some(operation) = &mut self.book.state.operation {
            operation.not_before = operation.not_before.filter(|at| time::until(*at) < time::LONGEST);
        }
        Ok(())
    }

    /// Ends a sync of another commit that was left half-way: its running hooks are waited for, then let go. Whether that is done.
    pub(super) async fn end_previous(&mut self) -> Result<bool, Stop> {
        let revision = &self.book.job.revision;
        let Some(previous) = self.book.state.operation.clone().filter(|operation| operation.revision != *revision)
        else {
            return Ok(true);
        };
        self.progress = self.recorded();
        let hooks: BTreeSet<ObjectId> =
            self.progress.running().filter(|(_, hook)| *hook).map(|(id, _)| id.clone()).collect();
        let known: BTreeSet<GroupKind> = hooks.iter().map(GroupKind::of).collect();
        let kinds = self.book.cluster.resolve(&BTreeSet::new(), &known).await;
        let places: Vec<Place> = hooks.iter().filter_map(|id| view::place_of(&kinds, id)).collect();
        self.book.places = places.iter().map(|place| (place.id(), place.clone())).collect();
        let until = self.times.patience.min(time::after(self.times.left(previous.started_at)));
        let judge = self.book.judge();
        let found = wait::wait(&self.book.cluster, &places, until, |_, object| hook_ended(&judge, object)).await;
        let is_open = found.values().any(|outcome| matches!(outcome.progress, Seen::Waiting(_)));
        if is_open && time::since(previous.started_at) < self.times.timeout {
            let names: Vec<String> = found.keys().map(ToString::to_string).collect();
            let warning = format!("a hook of the commit before still runs: {}", names.join(", "));
            self.book.outcome.warnings.push(warning);
            self.leave();
            return Ok(false);
        }
        let live: BTreeMap<ObjectId, Object> =
            found.into_iter().filter_map(|(id, outcome)| Some((id, outcome.object?))).collect();
        let targets: Vec<Object> = live.values().cloned().collect();
        self.view = View { targets, live, ..View::default() };
        self.terminate(&previous).await;
        self.progress = Progress::default();
        self.book.state.operation = None;
        Ok(true)
    }

    /// Lets this sync's hooks go, those that run are deleted.
    pub(super) async fn terminate(&mut self, operation: &Operation) {
        let options = self.options(operation);
        let (view, book) = (&self.view, &mut self.book);
        let health = book.judge();
        engine::terminate(&input(view, &options, &health), &mut self.progress, book).await;
        self.merge();
    }

    /// What the state says became of each object so far.
    pub(super) fn recorded(&self) -> Progress {
        let last = self.book.state.status.operation_state.as_ref();
        let result = last.and_then(|last| last.sync_result.as_ref());
        let mut progress = Progress::resume(result.map(|result| result.resources.clone()).unwrap_or_default());
        progress.message = last.map(|last| last.message.clone()).unwrap_or_default();
        progress
    }

    /// Goes on with the sync that the state tells of; not, where that is yet to wait until it is tried again.
    pub(super) async fn take_up(&mut self) -> bool {
        self.progress = self.recorded();
        let Some(operation) = self.book.state.operation.clone() else { return true };
        self.book.started = operation.started_at;
        // Whoever began it, goes on with it.
        let recorded = self.book.state.status.operation_state.as_ref().map(OperationState::initiator);
        if let Some(initiator) = recorded.filter(|initiator| !initiator.is_unknown()) {
            self.book.initiator = initiator;
        }
        let ahead = operation.not_before.map(time::until);
        // Only a back-off has to be waited for; what was waited for otherwise may be there already.
        if let Some(delay) = ahead.filter(|_| operation.retries > 0 && self.progress.is_fresh())
            && self.back_off(delay).await == Waited::Later
        {
            "waiting for the next retry".clone_into(&mut self.progress.message);
            self.leave();
            return false;
        }
        if let Some(operation) = &mut self.book.state.operation {
            operation.attempt = operation.attempt.saturating_add(1);
            operation.not_before = None;
        }
        true
    }

    /// Whether there is another commit by now than the one to go back to.
    pub(super) fn is_overtaken(&self) -> bool {
        let state = &self.book.state;
        state.operation.is_some() || state.attempt.revision != self.book.job.revision
    }

    /// Begins a sync; not of a commit that failed already, unless a person asks for it.
    pub(super) fn begin(&mut self) -> Result<(), Stop> {
        let book = &mut self.book;
        let revision = &book.job.revision;
        if let Some(last) = book.state.status.failed(revision).filter(|_| book.job.initiator.automated) {
            return Err(Stop::Tried { revision: report::short(revision).to_owned(), message: last.message.clone() });
        }
        let is_part = book.job.policy.options.resources.is_some();
        book.state.attempt.reach(revision, if is_part { Reached::Part } else { Reached::Tried });
        book.state.operation = Some(Operation {
            id: format!("{}-{}", report::short(revision), book.started.as_millisecond()),
            revision: revision.clone(),
            started_at: book.started,
            steps_done: 0,
            attempt: 0,
            retries: 0,
            not_before: None,
        });
        Ok(())
    }

    /// Before the first write: all that may be ours after it.
    pub(super) async fn record_intent(&mut self) -> Result<(), Stop> {
        let Some(operation) = self.book.state.operation.clone() else { return Ok(()) };
        let options = self.options(&operation);
        let health = self.book.judge();
        let tasks = engine::tasks(&input(&self.view, &options, &health));
        let ours = tasks.iter().filter(|task| {
            task.target().is_some_and(|object| object.label(slipway_cluster::tracking::PART_OF).is_some())
        });
        let foreign = &self.book.foreign;
        let ids: Vec<ObjectId> = ours.map(|task| task.id.clone()).filter(|id| !foreign.contains_key(id)).collect();
        self.book.state.inventory.extend(ids);
        // Hooks with generated names have their places only now.
        for task in &tasks {
            let known =
                |place: &Place| place.resource.gvk.group == task.id.group && place.resource.gvk.kind == task.id.kind;
            if !self.book.places.contains_key(&task.id)
                && let (Some(object), Some(place)) =
                    (task.object(), self.book.places.values().find(|place| known(place)))
            {
                let place = Place::of(&place.resource, object);
                self.book.places.insert(task.id.clone(), place);
            }
        }
        self.book.late.begin(&tasks, &self.view.targets);
        self.find_named_hooks(&tasks).await;
        self.book.save(&self.progress).await
    }

    /// Hooks with generated names that this sync made before it was cut off.
    async fn find_named_hooks(&mut self, tasks: &[plan::Task]) {
        let is_open = |id: &ObjectId| !self.view.live.contains_key(id);
        let hooks = tasks.iter().filter(|task| task.hook && task.live.is_none() && is_open(&task.id));
        let places: Vec<Place> = hooks.filter_map(|task| self.book.places.get(&task.id).cloned()).collect();
        let is_fresh = self.book.state.operation.as_ref().is_none_or(|operation| operation.attempt == 0);
        if places.is_empty() || is_fresh {
            return;
        }
        let (found, failures) = live::get_all(&self.book.cluster, &places).await;
        self.view.live.extend(found);
        for failure in &failures {
            self.book.fail(failure);
        }
    }
}
