//! What a sync leaves behind: the status in the cluster, the message in Slack.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use slipway_cluster::objects::ObjectRef;
use slipway_cluster::state::{self, Reached};
use slipway_gitops::health::{self, Health, HealthStatus};
use slipway_gitops::status::{
    COMPARISON_ERROR, Deployment, INITIATED_BY, OperationPhase, OperationState, ResourceResult, ResourceStatus,
    ResultCode, SyncResult, SyncStatus,
};
use slipway_gitops::sync::Progress;
use slipway_manifest::{Object, ObjectId};

use super::executor::SyncExecutor;
use super::{Continuation, OperationKind, SyncError, SyncOperation, SyncOutcome, SyncRequest, WORKLOADS};
use crate::deploy::lookups;
use crate::error::chain;
use crate::notify::report::{self, AppSyncStatus};
use crate::notify::reporter::LastNotification;

/// How often somebody comes to look whether what is applied is healthy by now: within an hour.
const MAX_HEALTH_REFRESHES: u32 = 20;

impl SyncOperation<'_> {
    /// The verdict, recorded and told. `stopped` is why the steps did not come to their end.
    pub(super) async fn finish(mut self, stopped: Option<SyncError>) -> SyncOutcome {
        if matches!(stopped, Some(SyncError::OperationEnded)) {
            return SyncOutcome { phase: AppSyncStatus::Healthy, problems: Vec::new(), ..self.executor.outcome };
        }
        let is_untried = matches!(
            stopped,
            Some(
                SyncError::Lock(_)
                    | SyncError::AlreadyFailed { .. }
                    | SyncError::OperationInProgress { .. }
                    | SyncError::ConflictingController { .. }
                    | SyncError::NotPermitted(_)
                    | SyncError::Denied(_)
                    | SyncError::LiveStateUnreadable
            )
        );
        let is_done = stopped.is_none() && self.progress.phase == OperationPhase::Succeeded;
        let is_well = is_done && self.executor.is_healthy() && !self.executor.is_progressing(&self.progress);
        let explanations = if is_untried || is_well { Vec::new() } else { self.diagnose().await };
        let (executor, progress) = (&mut self.executor, &mut self.progress);
        let is_refused = matches!(
            stopped,
            Some(
                SyncError::AlreadyFailed { .. }
                    | SyncError::OperationInProgress { .. }
                    | SyncError::ConflictingController { .. }
            )
        );
        if let Some(stop) = &stopped {
            executor.outcome.retry |= stop.is_retryable();
            // Out of time in the midst of a sync is not the end of it.
            if !(matches!(stop, SyncError::DeadlineExceeded) && executor.state.operation.is_some()) {
                executor.outcome.problems.push(chain(stop));
            }
        }
        let goes_on = !progress.phase.is_completed() && executor.state.operation.is_some() && !is_refused;
        if goes_on && matches!(stopped, Some(SyncError::DeadlineExceeded)) {
            executor.outcome.next = executor.state.operation.as_ref().map(Continuation::of);
            executor.outcome.retry = false;
        }
        executor.conclude_problems(progress, goes_on);
        let faults = executor.outcome.problems.len();
        if !goes_on {
            executor.tell_degraded();
        }
        let lines = if goes_on || executor.outcome.problems.is_empty() {
            &mut executor.outcome.warnings
        } else {
            &mut executor.outcome.problems
        };
        let is_told = |line: &String, told: &[String]| told.iter().any(|one| one.contains(line.as_str()));
        for line in explanations {
            if !is_told(&line, lines) {
                lines.push(line);
            }
        }
        executor.ailing = executor.outcome.problems.len() - faults;
        executor.outcome.phase = if self.is_queued {
            AppSyncStatus::Queued
        } else if goes_on || executor.is_progressing(progress) {
            AppSyncStatus::Waiting
        } else if executor.outcome.problems.is_empty() {
            AppSyncStatus::Healthy
        } else {
            AppSyncStatus::Failed
        };
        if !goes_on
            && self.deadlines.reschedules
            && executor.outcome.phase == AppSyncStatus::Waiting
            && self.deadlines.attempt < MAX_HEALTH_REFRESHES
        {
            executor.outcome.next =
                Some(Continuation::refresh_health(&executor.request.revision, self.deadlines.attempt));
        }
        if matches!(stopped, Some(SyncError::NotPermitted(_) | SyncError::Denied(_))) {
            executor.remember_refusal();
        }
        if !goes_on && executor.state.operation.take().is_some() && progress.phase == OperationPhase::Succeeded {
            executor.remember_deployment();
        }
        // Whoever took the Lease over writes the state now; what was not tried leaves the last result as it is.
        let mut saved = Ok(());
        if !matches!(stopped, Some(SyncError::Lock(_))) {
            if !goes_on && !progress.phase.is_completed() {
                progress.phase = OperationPhase::Failed;
            }
            executor.notify(progress).await;
            if matches!(stopped, Some(SyncError::LiveStateUnreadable)) {
                saved = executor.save_unread().await;
            } else if !is_refused {
                saved = executor.save(progress).await;
            }
        }
        if let Err(error) = saved {
            tracing::error!(app = executor.request.owner.instance, error = chain(&error), "the state was not recorded");
            executor.outcome.retry = true;
        }
        self.executor.outcome
    }
}

impl SyncExecutor<'_> {
    /// What is wrong in the end: what failed, what is degraded, what is waited for.
    fn conclude_problems(&mut self, progress: &Progress, goes_on: bool) {
        let outcome = &mut self.outcome;
        if goes_on {
            outcome.warnings.push(progress.message.clone());
            return;
        }
        if progress.phase.is_failed() {
            for result in progress.failed() {
                let line = format!("{}: {}", result.id(), result.message);
                let is_told = outcome.problems.iter().any(|problem| problem.contains(&result.message));
                if !is_told || result.message.is_empty() {
                    outcome.problems.push(line);
                }
            }
            if outcome.problems.is_empty() {
                outcome.problems.push(progress.message.clone());
            }
        }
        let mut seen = BTreeSet::new();
        outcome.problems.retain(|problem| seen.insert(problem.clone()));
    }

    /// Adds what is degraded; a change that was undone is undone, however well the object is then.
    fn tell_degraded(&mut self) {
        if self.request.policy.operation == OperationKind::SelfHeal {
            return;
        }
        let is_told = |(id, verdict): &(&ObjectId, &HealthStatus)| {
            verdict.health == Health::Degraded && self.request.policy.selects(id)
        };
        let lines = self.health.iter().filter(is_told);
        self.outcome.problems.extend(lines.map(|(id, verdict)| format!("{id} is degraded: {}", verdict.message)));
    }

    /// Whether nothing went wrong and nothing is in a bad state.
    fn is_healthy(&self) -> bool {
        self.outcome.problems.is_empty() && self.health.values().all(|verdict| verdict.health < Health::Degraded)
    }

    /// What went wrong with the sync itself: how well the objects are is another matter.
    fn fault(&self) -> Option<&String> {
        self.outcome.problems.first().filter(|_| self.outcome.problems.len() > self.ailing)
    }

    /// How well an object is that Git has.
    fn health_of(&self, id: &ObjectId) -> Option<HealthStatus> {
        let missing = self.absent.contains(id).then(|| HealthStatus::new(Health::Missing, ""));
        missing.or_else(|| self.health.get(id).cloned())
    }

    /// The workloads that are not there yet. An Ingress without an address is no reason to wait: many never get one.
    pub(super) fn progressing(&self) -> Vec<ObjectRef> {
        let waited = |id: &ObjectId| WORKLOADS.contains(&id.kind.as_str()) && self.request.policy.selects(id);
        let open = self.health.iter().filter(|(id, verdict)| verdict.health == Health::Progressing && waited(id));
        open.filter_map(|(id, _)| self.objects.get(id).cloned()).collect()
    }

    /// Whether the sync went well and something is still on its way.
    pub(super) fn is_progressing(&self, progress: &Progress) -> bool {
        progress.phase == OperationPhase::Succeeded
            && self.outcome.problems.is_empty()
            && !self.progressing().is_empty()
    }

    /// A sync that succeeded is a deployment, Degraded or not (argoproj/argo-cd `controller/sync.go`,
    /// persistRevisionHistory); a part of an application is none of it.
    fn remember_deployment(&mut self) {
        if self.request.policy.options.resources.is_some() {
            return;
        }
        self.state.attempt.reach(&self.request.revision, Reached::All);
        let source = self.source();
        let history = &mut self.state.status.history;
        history.push(Deployment {
            id: history.last().map_or(0, |last| last.id.saturating_add(1)),
            revision: self.request.revision.clone(),
            deployed_at: Timestamp::now(),
            deploy_started_at: Some(self.started),
            source,
            initiated_by: self.initiator.clone(),
        });
    }

    /// What the project refuses was tried for that, and nobody can tell how the cluster differs from it.
    fn remember_refusal(&mut self) {
        let revision = &self.request.revision;
        self.state.attempt.reach(revision, Reached::Tried);
        let sync = &mut self.state.status.sync;
        sync.status = SyncStatus::Unknown;
        sync.revision.clone_from(revision);
    }

    fn source(&self) -> Map<String, Value> {
        self.request.application.pointer("/spec/source").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Writes what is known to the cluster, by compare-and-swap.
    pub(super) async fn save(&mut self, progress: &Progress) -> Result<(), SyncError> {
        let now = Timestamp::now();
        let health: BTreeMap<&ObjectId, Option<HealthStatus>> =
            self.wanted.iter().map(|id| (id, self.health_of(id))).collect();
        let fault = self.fault().cloned();
        let mut kept: BTreeSet<ObjectId> = with_status(progress, ResultCode::PruneSkipped);
        kept.retain(|id| !self.request.wants_namespace(id));
        let failed: BTreeSet<ObjectId> = with_status(progress, ResultCode::SyncFailed);
        let done: BTreeSet<ObjectId> = with_status(progress, ResultCode::Synced);
        let is_whole = progress.phase == OperationPhase::Succeeded;
        let source = self.source();
        let status = &mut self.state.status;
        if !self.wanted.is_empty() || !kept.is_empty() {
            let (wanted, left) = (&self.wanted, &self.unsynced);
            let is_synced = |id: &ObjectId| {
                wanted.contains(id) && !left.contains(id) && !failed.contains(id) && (is_whole || done.contains(id))
            };
            let row = |id: &ObjectId| ResourceStatus {
                status: Some(if is_synced(id) { SyncStatus::Synced } else { SyncStatus::OutOfSync }),
                health: health.get(id).cloned().flatten(),
                requires_pruning: !wanted.contains(id),
                ..ResourceStatus::of(id, self.objects.get(id).map_or("", |place| &place.resource.gvk.version))
            };
            let all: BTreeSet<&ObjectId> = wanted.iter().chain(&kept).chain(left).collect();
            status.resources = all.into_iter().map(row).collect();
            let all = status.resources.iter().all(|row| row.status == Some(SyncStatus::Synced));
            status.sync.status = if all && fault.is_none() { SyncStatus::Synced } else { SyncStatus::OutOfSync };
            status.sync.revision.clone_from(&self.request.revision);
            status.health.set(health::aggregate(health.values().map(Option::as_ref)), now);
            status.conditions.retain(|condition| condition.kind != COMPARISON_ERROR);
            status.summary.images.clone_from(&self.images);
            status.reconciled_at = Some(now);
        }
        status.source_type.clone_from(&self.request.source_type);
        if is_whole && self.request.policy.operation == OperationKind::SelfHeal {
            self.state.drift.clear();
        }
        let is_new = self.state.operation.is_some() || !progress.is_fresh() || status.operation_state.is_none();
        if is_new || progress.phase != OperationPhase::Succeeded {
            let initiator = json!(self.initiator);
            status.operation_state = Some(OperationState {
                operation: Map::from_iter([
                    (INITIATED_BY.to_owned(), initiator),
                    ("sync".to_owned(), operation(self.request)),
                ]),
                phase: progress.phase,
                message: fault.unwrap_or_else(|| progress.message.clone()),
                sync_result: Some(SyncResult {
                    resources: progress.results().cloned().collect(),
                    revision: self.request.revision.clone(),
                    source,
                }),
                started_at: self.started,
                finished_at: progress.phase.is_completed().then_some(now),
                retry_count: self.state.operation.as_ref().map_or(0, |operation| operation.retries),
            });
        }
        self.write().await
    }

    /// Writes that nothing is known of the cluster; what the last sync did stays as it was told, and the commit with
    /// which nothing was compared is not named.
    async fn save_unread(&mut self) -> Result<(), SyncError> {
        let status = &mut self.state.status;
        status.sync.status = SyncStatus::Unknown;
        status.reconciled_at = Some(Timestamp::now());
        self.write().await
    }

    async fn write(&mut self) -> Result<(), SyncError> {
        self.state.lease_transitions = self.transitions;
        self.state.notes.insert("application".to_owned(), self.request.application.clone());
        if let Some(first) = self.request.first_deployed_at {
            lookups::remember(&mut self.state.notes, first);
        }
        let key = &self.request.owner.key;
        let version = state::write(&self.cluster, key, &self.state, self.version.as_deref()).await?;
        self.version = Some(version);
        Ok(())
    }

    /// Tells Slack how it stands, in the one message of the commit.
    pub(super) async fn notify(&mut self, progress: &Progress) {
        let Some(reporter) = self.reporter else { return };
        let known = self
            .state
            .notes
            .get("slack")
            .and_then(|note| serde_json::from_value::<LastNotification>(note.clone()).ok());
        let deployment = report::SyncReport {
            app: &self.request.owner.instance,
            cluster: &self.request.destination.name,
            repo: &self.request.repo,
            sha: &self.request.revision,
            phase: if progress.phase.is_completed() || self.outcome.phase != AppSyncStatus::Progressing {
                self.outcome.phase
            } else {
                AppSyncStatus::Waiting
            },
            changes: &self.outcome.changes,
            problems: &self.outcome.problems,
            warnings: &self.outcome.warnings,
        };
        if let Some(told) = reporter.notify(&deployment, &self.request.subscriptions, known.as_ref()).await {
            self.state.notes.insert("slack".to_owned(), json!(told));
        }
    }
}

/// What was asked for, as Argo CD's `operation.sync` has it.
fn operation(request: &SyncRequest) -> Value {
    let mut sync = json!({ "revision": request.revision });
    let one = |ObjectId { group, kind, namespace, name, .. }: &ObjectId| {
        json!({ "group": group, "kind": kind,
        "namespace": namespace, "name": name })
    };
    if let (Some(resources), Some(fields)) = (&request.policy.options.resources, sync.as_object_mut()) {
        fields.insert("resources".to_owned(), resources.iter().map(one).collect());
    }
    sync
}

/// The objects of which this became.
fn with_status(progress: &Progress, code: ResultCode) -> BTreeSet<ObjectId> {
    progress
        .results()
        .filter(|result| result.status == Some(code) && result.hook_type.is_empty())
        .map(ResourceResult::id)
        .collect()
}

/// `deployment.apps/web created`, as kubectl and so Argo CD's messages say it.
pub(super) fn kubectl_line(id: &ObjectId, verb: &str) -> String {
    let dot = if id.group.is_empty() { "" } else { "." };
    format!("{}{dot}{}/{} {verb}", id.kind.to_ascii_lowercase(), id.group, id.name)
}

/// The images that the objects' pod templates name, sorted.
pub(super) fn images<'a>(objects: impl Iterator<Item = &'a Object>) -> Vec<String> {
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
