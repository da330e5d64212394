//! Waits for hooks, waves and health: between the steps of a sync, and after the last one.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use slipway_cluster::objects::ObjectRef;
use slipway_cluster::wait::{self, ConditionStatus as Seen};
use slipway_gitops::health::HealthStatus;
use slipway_gitops::status::OperationPhase;
use slipway_gitops::sync::{self, Wait};
use slipway_manifest::{Object, ObjectId};
use tokio::time::Instant;

use super::{Continuation, SyncOperation};
use crate::time;

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitOutcome {
    /// At least one condition changed.
    Progressed,
    /// The time to wait in this invocation is over.
    HandedOver,
    /// A newer commit exists.
    Superseded,
    /// Blocked until a person acts.
    NeedsPerson,
}

impl SyncOperation<'_> {
    pub(super) async fn back_off(&mut self, delay: Duration) -> WaitOutcome {
        if time::after(delay) > self.deadlines.hand_over_at {
            return WaitOutcome::HandedOver;
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(delay) => WaitOutcome::Progressed,
            Ok(_) = stop.wait_for(|stop| *stop) => WaitOutcome::Superseded,
        }
    }

    /// Hands the rest over to another invocation: at once, or delayed where waiting is not worth an invocation.
    pub(super) fn hand_over(&mut self) {
        let now = Timestamp::now();
        if let Some(operation) = &mut self.executor.state.operation {
            if self.deadlines.reschedules && operation.not_before.is_none_or(|at| at <= now) {
                operation.not_before = Some(time::date_after(reschedule_delay(operation.attempt)));
            }
            self.executor.outcome.next = Some(Continuation::of(operation));
        }
    }

    /// Watches the objects that the step waits for.
    pub(super) async fn wait(&mut self) -> WaitOutcome {
        let Some((what, ids)) = self.progress.waiting.clone() else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return WaitOutcome::Progressed;
        };
        if what == Wait::Confirmation {
            return WaitOutcome::NeedsPerson;
        }
        self.learn_volume_binding().await;
        let health = self.executor.wave_health();
        let hooks: BTreeSet<ObjectId> =
            self.progress.running().filter(|(_, hook)| *hook).map(|(id, _)| id.clone()).collect();
        let running: BTreeSet<&ObjectId> = self.progress.running().map(|(id, _)| id).collect();
        let judge = |id: &ObjectId, object: Option<&Object>| match (what, object) {
            (Wait::Deletion, object) => wait::gone(object),
            // The engine decides what a missing object means.
            (_, None) => Seen::Done,
            (_, object) if hooks.contains(id) => hook_ended(&health, object),
            (_, Some(found)) => wait::is_healthy(object, health(found)),
        };
        // Objects that are known to be healthy need no request.
        let is_open = |id: &ObjectId| {
            let live = self.snapshot.live.get(id);
            match what {
                Wait::Completion => running.contains(id) && (live.is_none() || judge(id, live) != Seen::Done),
                _ => live.is_some(),
            }
        };
        let open = ids.iter().filter(|id| is_open(id));
        let waited: Vec<ObjectRef> = open.filter_map(|id| self.executor.objects.get(id).cloned()).collect();
        if waited.is_empty() {
            // Minimum delay, so that a condition which flaps cannot busy-loop.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return WaitOutcome::Progressed;
        }
        let mut stop = self.stop.clone();
        let cluster = self.executor.cluster.clone();
        // One second more than the limit, so that the limit has certainly passed.
        let left = self.deadlines.left(self.executor.started).saturating_add(Duration::from_secs(1));
        let until = self.deadlines.hand_over_at.min(time::after(left));
        // A newer commit does not interrupt a running hook.
        let is_free = !ids.iter().any(|id| hooks.contains(id));
        let found = tokio::select! {
            found = wait::wait(&cluster, &waited, until, judge) => found,
            Ok(_) = stop.wait_for(|stop| *stop), if is_free => return WaitOutcome::Superseded,
        };
        let mut is_over = true;
        for (id, outcome) in found {
            is_over &= !matches!(outcome.progress, Seen::Waiting(_));
            self.observe(id, outcome.object);
        }
        let is_late = Instant::now() >= self.deadlines.hand_over_at
            && time::since(self.executor.started) <= self.deadlines.timeout;
        if is_over || !is_late { WaitOutcome::Progressed } else { WaitOutcome::HandedOver }
    }

    /// Watches the workloads until none is progressing.
    pub(super) async fn wait_for_health(&mut self) {
        let health = self.executor.health_check();
        let places = self.executor.progressing();
        let mut stop = self.stop.clone();
        let cluster = self.executor.cluster.clone();
        let until = if self.deadlines.reschedules { self.deadlines.hand_over_at } else { self.deadlines.until };
        tokio::select! {
            seen = wait::wait(&cluster, &places, until, |_, object| wait::is_healthy(object,
                object.and_then(&health))) => {
                for (id, outcome) in seen {
                    self.observe(id, outcome.object);
                }
            }
            Ok(_) = stop.wait_for(|stop| *stop) => {}
        }
    }
}

/// Whether a hook has completed, successfully or not.
pub(super) fn hook_ended(judge: impl Fn(&Object) -> Option<HealthStatus>, object: Option<&Object>) -> Seen {
    let Some(object) = object else { return Seen::Done };
    let verdict = judge(object);
    match sync::hook_phase(verdict.as_ref()) {
        OperationPhase::Running => Seen::Waiting(verdict.map(|verdict| verdict.message).unwrap_or_default()),
        _ => Seen::Done,
    }
}

/// Delay before the next invocation; grows with the number of resumptions.
pub(super) fn reschedule_delay(attempt: u32) -> Duration {
    Duration::from_mins(u64::from((attempt / 5).saturating_add(1)).min(5))
}
