//! Runs the steps of a sync one after the other, and settles the state when they are done.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::time::Duration;

use slipway_cluster::hook_finalizer;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::state::Operation;
use slipway_cluster::wait;
use slipway_gitops::health::{self, HealthStatus};
use slipway_gitops::status::OperationPhase;
use slipway_gitops::sync::{self, Input, Options, Progress};
use slipway_manifest::{Object, ObjectId};

use super::outcome::SyncError;
use super::snapshot::ClusterSnapshot;
use super::wait::WaitOutcome;
use super::{MAX_RESUMPTIONS, OperationKind, SyncOperation, SyncPolicy};
use crate::reconcile::notes::{FailedInOutage, Note as _};
use crate::time;

/// How long a sync waits for what it pruned to be gone: garbage collection takes seconds, a finalizer may take for
/// ever.
const PRUNE_WAIT: Duration = Duration::from_secs(10);

impl SyncOperation<'_> {
    /// Completes the engine's options with those of this operation.
    pub(super) fn options(&self, operation: &Operation) -> Options {
        let SyncPolicy { options, out_of_sync_only, confirmed_at, .. } = &self.executor.request.policy;
        Options {
            namespace: self.executor.request.owner.namespace.clone(),
            revision: operation.revisions.as_slice().first().cloned().unwrap_or_default(),
            started_at: operation.started_at.as_second(),
            operation: format!("{}-{}", operation.id, operation.retries),
            prune_confirmed: confirmed_at.is_some_and(|at| at >= operation.started_at),
            modified: self.executor.modified.clone().filter(|_| *out_of_sync_only && operation.attempt == 0),
            ..options.clone()
        }
    }

    /// Runs step after step; returns whether the sync completed.
    pub(super) async fn operate(&mut self) -> Result<bool, SyncError> {
        loop {
            let Some(operation) = self.executor.state.operation.clone() else { return Ok(true) };
            if time::since(operation.started_at) > self.deadlines.timeout || operation.attempt > MAX_RESUMPTIONS {
                let waited = std::mem::take(&mut self.progress.message);
                self.terminate(&operation).await;
                self.progress.phase = OperationPhase::Failed;
                self.progress.message = format!("sync timeout exceeded: {waited}");
                self.executor.outcome.problems.push(self.progress.message.clone());
                return Ok(true);
            }
            let before = self.progress.clone();
            self.step(&operation).await;
            if self.progress.phase.is_completed() {
                match self.retry(&operation).await? {
                    WaitOutcome::Progressed => continue,
                    WaitOutcome::HandedOver => {
                        self.hand_over();
                        return Ok(false);
                    }
                    WaitOutcome::Superseded | WaitOutcome::NeedsPerson => return Ok(true),
                }
            }
            if let Some(operation) = &mut self.executor.state.operation {
                operation.steps_done = operation.steps_done.saturating_add(1);
            }
            if self.progress != before {
                self.executor.save(&self.progress).await?;
            }
            match self.wait().await {
                WaitOutcome::Progressed => {}
                WaitOutcome::HandedOver => {
                    self.hand_over();
                    return Ok(false);
                }
                WaitOutcome::Superseded => {
                    self.terminate(&operation).await;
                    self.progress.phase = OperationPhase::Failed;
                    "superseded by a newer commit".clone_into(&mut self.progress.message);
                    return Ok(true);
                }
                WaitOutcome::NeedsPerson => return Ok(false),
            }
        }
    }

    async fn step(&mut self, operation: &Operation) {
        let options = self.options(operation);
        let health = self.executor.wave_health();
        sync::step(&input(&self.snapshot, &options, &health), &mut self.progress, &mut self.executor).await;
        self.merge();
    }

    /// Merges what the step observed into the snapshot of the next.
    pub(super) fn merge(&mut self) {
        for (id, object) in std::mem::take(&mut self.executor.observed) {
            self.observe(id, object);
        }
    }

    pub(super) fn observe(&mut self, id: ObjectId, object: Option<Object>) {
        if id == ObjectId::new("", "Namespace", "", &self.executor.request.owner.namespace) {
            self.snapshot.namespace.clone_from(&object);
        }
        let is_wanted = self.executor.wanted.contains(&id);
        let Some(object) = object else {
            self.snapshot.prune_candidates.remove(&id);
            self.executor.extraneous.remove(&id);
            self.executor.health.remove(&id);
            self.snapshot.live.remove(&id);
            if is_wanted {
                self.executor.absent.insert(id);
            }
            return;
        };
        self.executor.absent.remove(&id);
        if let Some(extra) = self.snapshot.prune_candidates.get_mut(&id) {
            extra.live = object.clone();
        }
        if self.executor.extraneous.contains_key(&id) {
            self.executor.note_extra(&id, &object);
        }
        let verdict = self.executor.health_check()(&object).filter(|_| is_wanted && !health::is_ignored(&object));
        if let Some(verdict) = verdict {
            self.executor.health.insert(id.clone(), verdict);
        }
        self.snapshot.live.insert(id, object);
    }

    /// Decides, after an attempt, whether another one follows: now, or in another invocation.
    async fn retry(&mut self, operation: &Operation) -> Result<WaitOutcome, SyncError> {
        let policy = &self.executor.request.policy.retry;
        // As Argo CD: an automated sync is tried again whatever failed, since another application may bring what it
        // needs.
        let is_automated =
            self.executor.request.policy.operation == OperationKind::Sync && self.executor.initiator.automated;
        let may_heal = policy.retries_everything || is_automated || self.executor.outcome.retry;
        let delay = policy.next(operation.retries).filter(|_| may_heal);
        let Some(delay) = delay.filter(|_| self.progress.phase != OperationPhase::Succeeded) else {
            return Ok(WaitOutcome::NeedsPerson);
        };
        let at = time::date_after(delay);
        let retries = operation.retries.saturating_add(1);
        let message = format!("{}. Retrying attempt #{retries} at {at:.0}.", self.progress.message);
        self.progress = Progress::default();
        self.progress.message = message;
        self.executor.retries = retries;
        if let Some(operation) = &mut self.executor.state.operation {
            operation.retries = retries;
            operation.not_before = Some(at);
        }
        self.executor.outcome.problems.clear();
        self.executor.outcome.retry = false;
        FailedInOutage::forget(&mut self.executor.state);
        self.executor.dry_run_results.clear();
        self.executor.save(&self.progress).await?;
        match self.back_off(delay).await {
            WaitOutcome::Progressed => {
                if let Some(operation) = &mut self.executor.state.operation {
                    operation.not_before = None;
                }
                self.executor.cluster.invalidate_discovery();
                self.refresh().await?;
                self.record_intent().await?;
                Ok(WaitOutcome::Progressed)
            }
            waited => Ok(waited),
        }
    }

    /// Determines the health of everything after the sync; waits for workloads as long as there is time.
    pub(super) async fn finish_tasks(&mut self) -> Result<(), SyncError> {
        self.leave_namespace().await;
        self.wait_for_pruned().await;
        self.drop_deleted().await;
        self.refresh_live_health();
        if self.executor.is_progressing(&self.progress) {
            self.executor.notify(&self.progress).await;
            self.executor.save(&self.progress).await?;
            self.wait_for_health().await;
        }
        Ok(())
    }

    /// Waits a moment for what was deleted to be gone: finalizers may hold it, and the status says so then.
    async fn wait_for_pruned(&mut self) {
        let candidates = self.snapshot.prune_candidates.iter();
        let going = candidates.filter(|(_, extra)| sync::is_being_deleted(&extra.live)).map(|(id, _)| id);
        let places: Vec<ObjectRef> = going.filter_map(|id| self.executor.objects.get(id).cloned()).collect();
        let until = self.deadlines.hand_over_at.min(time::after(PRUNE_WAIT));
        for (id, seen) in wait::wait(&self.executor.cluster, &places, until, |_, object| wait::gone(object)).await {
            self.observe(id, seen.object);
        }
    }

    /// The destination's namespace, where it belongs to the application, was removed from Git, and
    /// `CreateNamespace=true` asks for it.
    pub(super) fn left_namespace(&self) -> Option<&ObjectId> {
        let request = self.executor.request;
        self.snapshot.prune_candidates.keys().find(|id| request.wants_namespace(id) && request.policy.selects(id))
    }

    /// Removes our tracking metadata from that namespace, as if `CreateNamespace=true` had created it: it outlives the
    /// application.
    async fn leave_namespace(&mut self) {
        let Some(id) = self.left_namespace().cloned() else { return };
        let (Some(place), Some(live)) = (self.executor.objects.get(&id), self.snapshot.live.get(&id)) else { return };
        match hook_finalizer::remove_tracking(
            &self.executor.cluster,
            place,
            live,
            &self.executor.request.owner.cluster(),
        )
        .await
        {
            Ok(_) => {
                let kept = format!("{id} was removed from Git and is kept, unmanaged (CreateNamespace=true)");
                self.executor.outcome.changes.push(kept);
                self.executor.state.inventory.remove(&id);
            }
            Err(failure) => self.executor.outcome.warnings.push(failure.with_remedy()),
        }
    }

    /// Drops deleted objects from the inventory once they are gone, and objects that were gone before.
    async fn drop_deleted(&mut self) {
        let targets: BTreeSet<ObjectId> = self.snapshot.targets.iter().map(Object::id).collect();
        let inventory = &self.executor.state.inventory;
        let open = inventory.iter().filter(|id| !targets.contains(*id) && !self.snapshot.live.contains_key(*id));
        // An unknown kind may only be unreachable: its objects stay in the inventory.
        let places: Vec<ObjectRef> = open.filter_map(|id| self.executor.objects.get(id).cloned()).collect();
        let (live, failures) = objects::get_all(&self.executor.cluster, &places).await;
        let kept: BTreeSet<ObjectId> = failures.into_iter().map(|failure| failure.id).chain(live.into_keys()).collect();
        let gone: BTreeSet<ObjectId> = places.iter().map(ObjectRef::id).filter(|id| !kept.contains(id)).collect();
        self.executor.state.inventory.retain(|id| !gone.contains(id));
    }

    /// Derives the health of every object that Git has from its last observation.
    fn refresh_live_health(&mut self) {
        let seen: Vec<(ObjectId, Object)> = self
            .snapshot
            .live
            .iter()
            .filter(|(id, _)| self.executor.wanted.contains(*id))
            .map(|(id, o)| (id.clone(), o.clone()))
            .collect();
        for (id, object) in seen {
            self.observe(id, Some(object));
        }
    }
}

/// The input of the engine's next step.
pub(super) fn input<'v>(
    snapshot: &'v ClusterSnapshot,
    options: &'v Options,
    health: &'v (dyn Fn(&Object) -> Option<HealthStatus> + Sync),
) -> Input<'v> {
    Input {
        targets: &snapshot.targets,
        live: &snapshot.live,
        extraneous: &snapshot.prune_candidates,
        namespace: snapshot.namespace.as_ref(),
        missing: &snapshot.missing,
        denied: &snapshot.denied,
        health,
        options,
    }
}
