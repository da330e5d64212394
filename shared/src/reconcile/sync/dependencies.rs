//! Waits until each dependency is Synced at its own commit and Healthy, by watching the recorded states. Sends no
//! request where nothing is to be synced or nothing is depended on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use slipway_cluster::Cluster;
use slipway_cluster::objects::ObjectRef;
use slipway_cluster::state::{self, AppKey, State};
use slipway_cluster::wait::{self, ConditionStatus as Seen};
use slipway_gitops::Revisions;
use slipway_gitops::health::Health;
use slipway_gitops::identity::STATE_NAMESPACE;
use slipway_gitops::status;
use slipway_gitops::status::{OperationPhase, SyncStatus};
use slipway_manifest::Object;
use tokio::time::Instant;

use super::SyncOperation;
use super::outcome::SyncError;
use super::wait::WaitOutcome;
use crate::time;

/// Dependencies that were found ready, by name and commits; shared by all syncs of one event.
pub type ReadyCache = Arc<Mutex<BTreeSet<(String, String)>>>;

/// The applications that one application depends on.
#[derive(Debug, Clone, Default)]
pub struct Dependencies {
    /// One entry for each.
    pub on: Vec<DependencyStatus>,
    /// Those that were found ready by another sync of this event.
    pub known: ReadyCache,
}

/// One application to wait for, and where its state is.
#[derive(Debug, Clone)]
pub struct DependencyStatus {
    /// Display name.
    pub name: String,
    /// Key of its recorded state.
    pub key: AppKey,
    /// The cluster that keeps its state.
    pub cluster: Cluster,
    /// The commits that it has to be at; empty for one with manual sync, whose commits a person chooses.
    pub wanted: Revisions,
    /// The [digests](slipway_cluster::state::Attempt::inputs_digest) of what it is deployed from there: where that is
    /// deployed already, it stays at other commits.
    pub inputs_digests: Vec<String>,
}

impl DependencyStatus {
    fn id(&self) -> (String, String) {
        (self.name.clone(), self.wanted.to_string())
    }

    /// Evaluates the recorded state. What Slipway did not sign says nothing: anybody who writes ConfigMaps could let
    /// this application go first.
    fn status(&self, state: Option<&(State, bool)>) -> Seen {
        let waits =
            |how: &dyn std::fmt::Display| Seen::Waiting(format!("waiting for application {} ({how})", self.name));
        let Some((State { status, operation, attempt, .. }, is_used)) = state else { return waits(&Health::Missing) };
        if !is_used {
            let name = self.key.object_name();
            return waits(&format_args!("ConfigMap/{STATE_NAMESPACE}/{name} is not signed by Slipway"));
        }
        let is_meant = |revisions: &Revisions| {
            let is_same = *revisions == attempt.revisions && attempt.has_deployed(&self.inputs_digests);
            self.wanted.is_empty() || *revisions == self.wanted || is_same
        };
        if operation.is_some() {
            return waits(&Health::Progressing);
        }
        let last = status.operation_state.as_ref();
        let failed = last.filter(|last| matches!(last.phase, OperationPhase::Failed | OperationPhase::Error));
        let is_current =
            |last: &status::OperationState| last.sync_result.as_ref().is_some_and(|result| is_meant(&result.revisions));
        if let Some(last) = failed.filter(|last| is_current(last)) {
            return Seen::Failed(format!("the application {} failed: {}", self.name, last.message));
        }
        match (status.sync.status, status.health.status) {
            _ if !is_meant(&status.sync.revisions) => waits(&SyncStatus::OutOfSync),
            (_, Health::Degraded) => Seen::Failed(format!("the application {} is Degraded", self.name)),
            (SyncStatus::Synced, Health::Healthy) => Seen::Done,
            (SyncStatus::Synced, health) => waits(&health),
            (sync, _) => waits(&sync),
        }
    }
}

impl SyncOperation<'_> {
    /// Waits for all dependencies; returns whether they are ready. Where they are not, the sync has failed, or is
    /// handed over to another invocation.
    pub(super) async fn wait_for_dependencies(&mut self) -> Result<bool, SyncError> {
        let on = &self.executor.request.policy.depends_on.on;
        if on.is_empty() || !self.progress.is_fresh() {
            return Ok(true);
        }
        let names: Vec<&str> = on.iter().map(|one| one.name.as_str()).collect();
        self.progress.message = format!("waiting for dependencies: {}", names.join(", "));
        self.executor.save(&self.progress).await?;
        match self.poll_dependencies().await {
            WaitOutcome::Progressed => {
                self.progress.message.clear();
                // The dependencies may have changed objects of this application meanwhile.
                self.refresh().await?;
                return Ok(true);
            }
            WaitOutcome::HandedOver => {
                self.is_queued = true;
                self.hand_over();
            }
            WaitOutcome::Superseded => {
                self.progress.phase = OperationPhase::Failed;
                "superseded by a newer commit".clone_into(&mut self.progress.message);
            }
            WaitOutcome::NeedsPerson => {}
        }
        Ok(false)
    }

    /// Waits for the dependencies; where one of them failed, this sync fails, too.
    async fn poll_dependencies(&mut self) -> WaitOutcome {
        let Dependencies { on, known } = &self.executor.request.policy.depends_on;
        // A poisoned lock is fine: entries are only ever added whole.
        let is_known =
            |one: &&DependencyStatus| known.lock().unwrap_or_else(PoisonError::into_inner).contains(&one.id());
        let open: Vec<&DependencyStatus> = on.iter().filter(|one| !is_known(one)).collect();
        let mut stop = self.stop.clone();
        let until = self.deadlines.hand_over_at.min(time::after(self.deadlines.left(self.executor.started)));
        let seen = tokio::select! {
            seen = watch(&open, until) => seen,
            Ok(_) = stop.wait_for(|stop| *stop) => return WaitOutcome::Superseded,
        };
        let mut waits = Vec::new();
        for (one, seen) in open.iter().zip(seen) {
            match seen {
                Seen::Done => {
                    known.lock().unwrap_or_else(PoisonError::into_inner).insert(one.id());
                }
                Seen::Failed(reason) => {
                    self.progress.phase = OperationPhase::Failed;
                    self.progress.message = reason;
                    return WaitOutcome::NeedsPerson;
                }
                Seen::Waiting(reason) => waits.push(reason),
            }
        }
        if waits.is_empty() {
            return WaitOutcome::Progressed;
        }
        self.progress.message = waits.join(", ");
        if time::since(self.executor.started) < self.deadlines.timeout {
            return WaitOutcome::HandedOver;
        }
        self.progress.phase = OperationPhase::Failed;
        WaitOutcome::NeedsPerson
    }
}

/// Watches `dependencies` until all are ready, one has failed, or `until`; returns the status of each.
async fn watch(dependencies: &[&DependencyStatus], until: Instant) -> Vec<Seen> {
    let mut by_cluster: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, one) in dependencies.iter().enumerate() {
        by_cluster.entry(one.cluster.server()).or_default().push(at);
    }
    let mut seen = vec![Seen::Waiting("not checked yet".to_owned()); dependencies.len()];
    for positions in by_cluster.into_values() {
        let ours: BTreeMap<String, (usize, &DependencyStatus)> = positions
            .iter()
            .filter_map(|at| Some((*at, *dependencies.get(*at)?)))
            .map(|(at, one)| (one.key.object_name(), (at, one)))
            .collect();
        let Some((_, (_, first))) = ours.first_key_value() else { continue };
        let places: Vec<ObjectRef> = ours.keys().map(|name| state::place(name)).collect();
        let reader = match state::HeaderReader::new(&first.cluster).await {
            Ok(reader) => reader,
            Err(reason) => {
                for (at, one) in ours.into_values() {
                    if let Some(slot) = seen.get_mut(at) {
                        *slot = Seen::Waiting(format!("waiting for application {} ({reason})", one.name));
                    }
                }
                continue;
            }
        };
        let judge = |name: &str, object: Option<&Object>| match ours.get(name) {
            Some((_, one)) => one.status(object.and_then(|object| reader.read(&one.key, object)).as_ref()),
            None => Seen::Done,
        };
        let found = wait::wait(&first.cluster, &places, until, |id, object| judge(&id.name, object)).await;
        for (id, outcome) in found {
            let slot = ours.get(&id.name).and_then(|(at, _)| seen.get_mut(*at));
            if let Some(slot) = slot {
                // Where the state can't be read, that is the reason to report.
                *slot = if outcome.object.is_some() { outcome.progress } else { judge(&id.name, None) };
            }
        }
    }
    seen
}
