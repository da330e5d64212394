//! The steps of a sync, one after the other, and what stands when they are done.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;

use slipway_cluster::engine::{self, Input, Options, Progress};
use slipway_cluster::health::{self, Verdict};
use slipway_cluster::live::{self, Place};
use slipway_cluster::release;
use slipway_cluster::state::Operation;
use slipway_cluster::status::OperationPhase;
use slipway_manifest::{Object, ObjectId};

use super::outcome::Stop;
use super::view::View;
use super::waiting::Waited;
use super::{Policy, Run, TAKEN_UP};
use crate::time;

impl Run<'_> {
    /// The options of this operation.
    pub(super) fn options(&self, operation: &Operation) -> Options {
        let Policy { options, out_of_sync_only, confirmed_at, .. } = &self.book.job.policy;
        Options {
            namespace: self.book.job.owner.namespace.clone(),
            revision: operation.revision.clone(),
            started_at: operation.started_at.as_second(),
            operation: format!("{}-{}", operation.id, operation.retries),
            prune_confirmed: confirmed_at.is_some_and(|at| at >= operation.started_at),
            modified: (*out_of_sync_only && operation.attempt == 0).then(|| self.modified.clone()),
            ..options.clone()
        }
    }

    /// Step after step; whether the sync came to its end.
    pub(super) async fn operate(&mut self) -> Result<bool, Stop> {
        loop {
            let Some(operation) = self.book.state.operation.clone() else { return Ok(true) };
            if time::since(operation.started_at) > self.times.timeout || operation.attempt > TAKEN_UP {
                let waited = std::mem::take(&mut self.progress.message);
                self.terminate(&operation).await;
                self.progress.phase = OperationPhase::Failed;
                self.progress.message = format!("the sync took too long: {waited}");
                self.book.outcome.problems.push(self.progress.message.clone());
                return Ok(true);
            }
            let before = self.progress.clone();
            self.step(&operation).await;
            if self.progress.phase.is_completed() {
                match self.retry(&operation).await? {
                    Waited::Seen => continue,
                    Waited::Later => {
                        self.leave();
                        return Ok(false);
                    }
                    Waited::Superseded | Waited::Parked => return Ok(true),
                }
            }
            if let Some(operation) = &mut self.book.state.operation {
                operation.steps_done = operation.steps_done.saturating_add(1);
            }
            if self.progress != before {
                self.book.save(&self.progress).await?;
            }
            match self.wait().await {
                Waited::Seen => {}
                Waited::Later => {
                    self.leave();
                    return Ok(false);
                }
                Waited::Superseded => {
                    self.terminate(&operation).await;
                    self.progress.phase = OperationPhase::Failed;
                    "a newer commit took its place".clone_into(&mut self.progress.message);
                    return Ok(true);
                }
                Waited::Parked => return Ok(false),
            }
        }
    }

    async fn step(&mut self, operation: &Operation) {
        let options = self.options(operation);
        let health = self.book.judge();
        engine::step(&input(&self.view, &options, &health), &mut self.progress, &mut self.book).await;
        self.merge();
    }

    /// What the step saw is what the next looks at.
    pub(super) fn merge(&mut self) {
        for (id, object) in std::mem::take(&mut self.book.seen) {
            self.see(id, object);
        }
    }

    pub(super) fn see(&mut self, id: ObjectId, object: Option<Object>) {
        if id == ObjectId::new("", "Namespace", "", &self.book.job.owner.namespace) {
            self.view.namespace.clone_from(&object);
        }
        let is_wanted = self.book.wanted.contains(&id);
        let Some(object) = object else {
            self.view.extras.remove(&id);
            self.book.health.remove(&id);
            self.view.live.remove(&id);
            if is_wanted {
                self.book.absent.insert(id);
            }
            return;
        };
        self.book.absent.remove(&id);
        if let Some(extra) = self.view.extras.get_mut(&id) {
            extra.live = object.clone();
        }
        let verdict = self.book.judge()(&object).filter(|_| is_wanted && !health::is_ignored(&object));
        if let Some(verdict) = verdict {
            self.book.health.insert(id.clone(), verdict);
        }
        self.view.live.insert(id, object);
    }

    /// After the end of an attempt: whether there is another one (`Seen`), now or `Later`.
    async fn retry(&mut self, operation: &Operation) -> Result<Waited, Stop> {
        let policy = &self.book.job.policy.retry;
        let may_heal = policy.is_blind || self.book.outcome.retry;
        let delay = policy.next(operation.retries).filter(|_| may_heal);
        let Some(delay) = delay.filter(|_| self.progress.phase != OperationPhase::Succeeded) else {
            return Ok(Waited::Parked);
        };
        let at = time::date_after(delay);
        let retries = operation.retries.saturating_add(1);
        let message = format!("{}. Retrying attempt #{retries} at {at:.0}.", self.progress.message);
        self.progress = Progress::default();
        self.progress.message = message;
        if let Some(operation) = &mut self.book.state.operation {
            operation.retries = retries;
            operation.not_before = Some(at);
        }
        self.book.outcome.problems.clear();
        self.book.outcome.retry = false;
        self.book.rehearsed.clear();
        self.book.save(&self.progress).await?;
        match self.back_off(delay).await {
            Waited::Seen => {
                if let Some(operation) = &mut self.book.state.operation {
                    operation.not_before = None;
                }
                self.look().await?;
                self.record_intent().await?;
                Ok(Waited::Seen)
            }
            waited => Ok(waited),
        }
    }

    /// After the sync: how well everything is, waiting for workloads as long as there is time.
    pub(super) async fn settle(&mut self) -> Result<(), Stop> {
        self.leave_namespace().await;
        self.forget_gone().await;
        self.look_health();
        if self.book.is_progressing(&self.progress) {
            self.book.tell(&self.progress).await;
            self.book.save(&self.progress).await?;
            self.wait_for_health().await;
        }
        Ok(())
    }

    /// The destination's namespace, where it is one of the application's objects and left Git, and the Application asks for it.
    pub(super) fn left_namespace(&self) -> Option<&ObjectId> {
        let job = self.book.job;
        self.view.extras.keys().find(|id| job.wants_namespace(id) && job.policy.is_meant(id))
    }

    /// Makes that namespace one that `CreateNamespace=true` made: nobody's, so that it outlives the application, too.
    async fn leave_namespace(&mut self) {
        let Some(id) = self.left_namespace().cloned() else { return };
        let (Some(place), Some(live)) = (self.book.places.get(&id), self.view.live.get(&id)) else { return };
        match release::disown(&self.book.cluster, place, live, &self.book.job.owner.cluster()).await {
            Ok(_) => {
                let kept = format!("{id} left Git and stays, as CreateNamespace=true asks: it is nobody's object now");
                self.book.outcome.changes.push(kept);
                self.book.state.inventory.remove(&id);
            }
            Err(failure) => self.book.outcome.warnings.push(failure.explain()),
        }
    }

    /// What was deleted leaves the inventory once it is gone, and what was gone before.
    async fn forget_gone(&mut self) {
        let targets: BTreeSet<ObjectId> = self.view.targets.iter().map(Object::id).collect();
        let inventory = &self.book.state.inventory;
        let open = inventory.iter().filter(|id| !targets.contains(*id) && !self.view.live.contains_key(*id));
        // A kind that is not known may only be unreachable: what is of it stays.
        let places: Vec<Place> = open.filter_map(|id| self.book.places.get(id).cloned()).collect();
        let (live, failures) = live::get_all(&self.book.cluster, &places).await;
        let kept: BTreeSet<ObjectId> = failures.into_iter().map(|failure| failure.id).chain(live.into_keys()).collect();
        let gone: BTreeSet<ObjectId> = places.iter().map(Place::id).filter(|id| !kept.contains(id)).collect();
        self.book.state.inventory.retain(|id| !gone.contains(id));
    }

    /// The health of everything that Git has, as it was last seen.
    fn look_health(&mut self) {
        let seen: Vec<(ObjectId, Object)> = self
            .view
            .live
            .iter()
            .filter(|(id, _)| self.book.wanted.contains(*id))
            .map(|(id, o)| (id.clone(), o.clone()))
            .collect();
        for (id, object) in seen {
            self.see(id, Some(object));
        }
    }
}

/// What a step looks at.
pub(super) fn input<'v>(
    view: &'v View,
    options: &'v Options,
    health: &'v (dyn Fn(&Object) -> Option<Verdict> + Sync),
) -> Input<'v> {
    Input {
        targets: &view.targets,
        live: &view.live,
        extras: &view.extras,
        namespace: view.namespace.as_ref(),
        missing: &view.missing,
        denied: &view.denied,
        health,
        options,
    }
}
