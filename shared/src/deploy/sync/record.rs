//! What a sync leaves behind: the status in the cluster, the message in Slack.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use slipway_cluster::health::Health;
use slipway_cluster::state;
use slipway_cluster::status::{
    AppHealth, Deployment, OperationPhase, OperationState, ResourceResult, ResourceStatus, ResultCode, SyncResult,
    SyncStatus,
};
use slipway_manifest::{Object, ObjectId};

use super::{Outcome, Run, Stop};
use crate::deploy::facts;
use crate::error::chain;
use crate::notify::report::{self, Phase};
use crate::notify::reporter::Told;

impl Run<'_> {
    /// The verdict, recorded and told. `stopped` is why the steps did not come to their end.
    pub(super) async fn finish(mut self, stopped: Option<Stop>) -> Outcome {
        if let Some(stop) = &stopped {
            self.outcome.retry |= stop.is_retryable();
            self.outcome.problems.push(chain(stop));
        }
        for (id, verdict) in &self.health {
            if verdict.health == Health::Degraded {
                self.outcome.problems.push(format!("{id} is degraded: {}", verdict.message));
            }
        }
        self.outcome.phase = match self.is_progressing() {
            true => Phase::Waiting,
            false if self.outcome.problems.is_empty() => Phase::Healthy,
            false => Phase::Failed,
        };
        let phase =
            if self.outcome.phase == Phase::Failed { OperationPhase::Failed } else { OperationPhase::Succeeded };
        if phase == OperationPhase::Succeeded {
            self.remember_deployment();
        }
        self.state.operation = None;
        // Whoever took the Lease over writes the state now.
        let mut saved = Ok(());
        if !matches!(stopped, Some(Stop::Lock(_))) {
            self.tell().await;
            saved = self.save(phase).await;
        }
        if let Err(error) = saved {
            tracing::error!(app = self.job.owner.instance, error = chain(&error), "the state was not recorded");
            self.outcome.retry = true;
        }
        self.outcome
    }

    fn remember_deployment(&mut self) {
        let source = self.source();
        let history = &mut self.state.status.history;
        if history.last().is_some_and(|last| last.revision == self.job.revision) {
            return;
        }
        history.push(Deployment {
            id: history.last().map_or(0, |last| last.id + 1),
            revision: self.job.revision.clone(),
            deployed_at: Timestamp::now(),
            deploy_started_at: Some(self.started),
            source,
            initiated_by: Map::from_iter([("automated".to_owned(), json!(true))]),
        });
    }

    fn source(&self) -> Map<String, Value> {
        self.job.about.pointer("/spec/source").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Writes what is known to the cluster, by compare-and-swap.
    pub(super) async fn save(&mut self, phase: OperationPhase) -> Result<(), Stop> {
        let now = Timestamp::now();
        let worst = self.worst();
        let failed: BTreeSet<ObjectId> =
            self.results.iter().filter(|r| r.status == Some(ResultCode::SyncFailed)).map(id_of).collect();
        let source = self.source();
        let status = &mut self.state.status;
        if !self.applied.is_empty() {
            let is_synced = self.outcome.problems.is_empty() && self.spared.is_empty();
            status.sync.status = if is_synced { SyncStatus::Synced } else { SyncStatus::OutOfSync };
            status.sync.revision.clone_from(&self.job.revision);
            let row = |id: &ObjectId| ResourceStatus {
                status: Some(if failed.contains(id) || self.spared.contains(id) {
                    SyncStatus::OutOfSync
                } else {
                    SyncStatus::Synced
                }),
                health: self.health.get(id).cloned(),
                requires_pruning: self.spared.contains(id),
                ..ResourceStatus::of(id, self.resources.get(id).map_or("", |place| &place.resource.gvk.version))
            };
            status.resources = self.applied.union(&self.spared).map(row).collect();
            if status.health.status != worst || status.health.last_transition_time.is_none() {
                status.health = AppHealth { status: worst, last_transition_time: Some(now) };
            }
            status.summary.images = images(self.applied.iter().filter_map(|id| self.live.get(id)));
            status.reconciled_at = Some(now);
        }
        status.source_type.clone_from(&self.job.source_type);
        status.operation_state = Some(OperationState {
            operation: Map::from_iter([("sync".to_owned(), json!({ "revision": self.job.revision }))]),
            phase,
            message: self.outcome.problems.first().cloned().unwrap_or_default(),
            sync_result: Some(SyncResult {
                resources: self.results.clone(),
                revision: self.job.revision.clone(),
                source,
            }),
            started_at: self.started,
            finished_at: phase.is_completed().then_some(now),
            retry_count: 0,
        });
        self.state.lease_transitions = self.transitions;
        self.state.notes.insert("application".to_owned(), self.job.about.clone());
        if let Some(first) = self.job.first {
            facts::remember(&mut self.state.notes, first);
        }
        let key = &self.job.owner.key;
        let version = state::write(&self.cluster, key, &self.state, self.version.as_deref()).await?;
        self.version = Some(version);
        Ok(())
    }

    /// Tells Slack how it stands, in the one message of the commit.
    pub(super) async fn tell(&mut self) {
        let Some(reporter) = self.reporter else { return };
        let known = self.state.notes.get("slack").and_then(|note| serde_json::from_value::<Told>(note.clone()).ok());
        let deployment = report::Deployment {
            app: &self.job.owner.instance,
            cluster: &self.job.destination.name,
            repo: &self.job.repo,
            sha: &self.job.revision,
            phase: self.outcome.phase,
            changes: &self.outcome.changes,
            problems: &self.outcome.problems,
            warnings: &self.outcome.warnings,
        };
        if let Some(told) = reporter.tell(&deployment, &self.job.subscriptions, known.as_ref()).await {
            self.state.notes.insert("slack".to_owned(), json!(told));
        }
    }
}

fn id_of(result: &ResourceResult) -> ObjectId {
    ObjectId::new(&result.group, &result.kind, &result.namespace, &result.name)
}

/// `deployment.apps/web created`, as kubectl and so Argo CD's messages say it.
pub(super) fn kubectl_line(id: &ObjectId, verb: &str) -> String {
    let dot = if id.group.is_empty() { "" } else { "." };
    format!("{}{dot}{}/{} {verb}", id.kind.to_ascii_lowercase(), id.group, id.name)
}

/// The images that the objects' pod templates name, sorted.
fn images<'a>(objects: impl Iterator<Item = &'a Object>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for object in objects {
        for pod in ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
            for list in ["containers", "initContainers"] {
                let containers = object.pointer(&format!("{pod}/{list}")).and_then(Value::as_array);
                let names = containers.into_iter().flatten().filter_map(|c| c.get("image").and_then(Value::as_str));
                found.extend(names.map(str::to_owned));
            }
        }
    }
    found.into_iter().collect()
}
