//! What a sync waits for between its steps, and after them.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use slipway_cluster::engine::{self, Wait};
use slipway_cluster::health::Verdict;
use slipway_cluster::live::Place;
use slipway_cluster::status::OperationPhase;
use slipway_cluster::wait::{self, Progress as Seen};
use slipway_manifest::{Object, ObjectId};
use tokio::time::Instant;

use super::{Next, Run};
use crate::time;

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// Something became of what was waited for.
    Seen,
    /// The time is over.
    Later,
    /// A newer commit is there.
    Superseded,
    /// Only a person can make it go on.
    Parked,
}

impl Run<'_> {
    pub(super) async fn back_off(&mut self, delay: Duration) -> Waited {
        if time::after(delay) > self.times.patience {
            return Waited::Later;
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(delay) => Waited::Seen,
            Ok(_) = stop.wait_for(|stop| *stop) => Waited::Superseded,
        }
    }

    /// Leaves the rest to another invocation: at once, or after a while where waiting is not worth an invocation.
    pub(super) fn leave(&mut self) {
        let now = Timestamp::now();
        if let Some(operation) = &mut self.book.state.operation {
            if self.times.rests && operation.not_before.is_none_or(|at| at <= now) {
                operation.not_before = Some(time::date_after(rest(operation.attempt)));
            }
            self.book.outcome.next = Some(Next::of(operation));
        }
    }

    /// Waits, by watching, for what the step asks for.
    pub(super) async fn wait(&mut self) -> Waited {
        let Some((what, ids)) = self.progress.waiting.clone() else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Waited::Seen;
        };
        if what == Wait::Confirmation {
            return Waited::Parked;
        }
        let health = self.book.judge();
        let hooks: BTreeSet<ObjectId> =
            self.progress.running().filter(|(_, hook)| *hook).map(|(id, _)| id.clone()).collect();
        let running: BTreeSet<&ObjectId> = self.progress.running().map(|(id, _)| id).collect();
        let judge = |id: &ObjectId, object: Option<&Object>| match (what, object) {
            (Wait::Deletion, object) => wait::gone(object),
            // It is for the engine to say what that means.
            (_, None) => Seen::Done,
            (_, object) if hooks.contains(id) => hook_ended(&health, object),
            (_, Some(found)) => wait::judged(object, health(found)),
        };
        // What is known to be well already needs no request.
        let is_open = |id: &ObjectId| {
            let live = self.view.live.get(id);
            match what {
                Wait::Completion => running.contains(id) && (live.is_none() || judge(id, live) != Seen::Done),
                _ => live.is_some(),
            }
        };
        let open = ids.iter().filter(|id| is_open(id));
        let waited: Vec<Place> = open.filter_map(|id| self.book.places.get(id).cloned()).collect();
        if waited.is_empty() {
            // A breath, so that nothing can spin.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return Waited::Seen;
        }
        let mut stop = self.stop.clone();
        let cluster = self.book.cluster.clone();
        // A moment later than the sync's time, so that it is over then.
        let left = self.times.left(self.book.started).saturating_add(Duration::from_secs(1));
        let until = self.times.patience.min(time::after(left));
        // A hook that runs is let run, whatever comes.
        let is_free = !ids.iter().any(|id| hooks.contains(id));
        let found = tokio::select! {
            found = wait::wait(&cluster, &waited, until, judge) => found,
            Ok(_) = stop.wait_for(|stop| *stop), if is_free => return Waited::Superseded,
        };
        let mut is_over = true;
        for (id, outcome) in found {
            is_over &= !matches!(outcome.progress, Seen::Waiting(_));
            self.see(id, outcome.object);
        }
        let is_late = Instant::now() >= self.times.patience && time::since(self.book.started) <= self.times.timeout;
        if is_over || !is_late { Waited::Seen } else { Waited::Later }
    }

    /// Waits until nothing progresses any more, by watching.
    pub(super) async fn wait_for_health(&mut self) {
        let health = self.book.judge();
        let places = self.book.progressing();
        let mut stop = self.stop.clone();
        let cluster = self.book.cluster.clone();
        let until = if self.times.rests { self.times.patience } else { self.times.until };
        tokio::select! {
            seen = wait::wait(&cluster, &places, until, |_, object| wait::judged(object, object.and_then(&health))) => {
                for (id, outcome) in seen {
                    self.see(id, outcome.object);
                }
            }
            Ok(_) = stop.wait_for(|stop| *stop) => {}
        }
    }
}

/// Whether a hook has ended, one way or the other.
pub(super) fn hook_ended(judge: impl Fn(&Object) -> Option<Verdict>, object: Option<&Object>) -> Seen {
    let Some(object) = object else { return Seen::Done };
    let verdict = judge(object);
    match engine::hook_phase(verdict.as_ref()) {
        OperationPhase::Running => Seen::Waiting(verdict.map(|verdict| verdict.message).unwrap_or_default()),
        _ => Seen::Done,
    }
}

/// How long a sync rests that was taken up so often: longer and longer.
pub(super) fn rest(attempt: u32) -> Duration {
    Duration::from_mins(u64::from((attempt / 5).saturating_add(1)).min(5))
}
