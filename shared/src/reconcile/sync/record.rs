//! Records the result of a sync: the status in the cluster, the notification in Slack.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use slipway_cluster::objects::ObjectRef;
use slipway_cluster::state::{self, Reached};
use slipway_gitops::health::{Health, HealthStatus};
use slipway_gitops::status::{
    Deployment, INITIATED_BY, OperationPhase, OperationState, RecordedSources, ResourceResult, ResourceStatus,
    ResultCode, SyncResult, SyncStatus,
};
use slipway_gitops::sync::Progress;
use slipway_manifest::{Object, ObjectId};

use super::executor::SyncExecutor;
use super::{Continuation, OperationKind, SyncError, SyncOperation, SyncOutcome, SyncRequest, WORKLOADS};
use crate::error::chain;
use crate::notify::report::{self, AppSyncStatus};
use crate::notify::reporter::LastNotification;
use crate::reconcile::notes::{
    ApplicationSummary, FailedInOutage, FirstDeployedAt, FirstManifest, Note as _, RecordedListings,
};
use crate::reconcile::status::{self, Observed};

/// Rescheduled health checks of one deployment: with their growing delays they cover about an hour.
const MAX_HEALTH_REFRESHES: u32 = 20;

impl SyncOperation<'_> {
    /// Concludes the sync: derives its result, records it and notifies. `stopped` is the error that ended the steps
    /// early.
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
        // What the command line began, no message goes on with.
        let is_cut_off = matches!(stopped, Some(SyncError::DeadlineExceeded)) && executor.initiator.is_person();
        if let Some(stop) = &stopped {
            executor.outcome.retry |= stop.is_retryable();
            // A sync that runs out of time resumes later: that is no failure.
            if !(matches!(stop, SyncError::DeadlineExceeded) && executor.state.operation.is_some()) || is_cut_off {
                executor.outcome.problems.push(chain(stop));
            }
        }
        let goes_on =
            !progress.phase.is_completed() && executor.state.operation.is_some() && !is_refused && !is_cut_off;
        if goes_on && matches!(stopped, Some(SyncError::DeadlineExceeded)) {
            executor.outcome.next = executor.state.operation.as_ref().map(Continuation::of);
        }
        executor.conclude_retry(is_done);
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
        executor.health_problems = executor.outcome.problems.len() - faults;
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
                Some(Continuation::refresh_health(&executor.request.revisions, self.deadlines.attempt));
        }
        if matches!(stopped, Some(SyncError::NotPermitted(_) | SyncError::Denied(_))) {
            executor.remember_refusal();
        }
        if !goes_on && executor.state.operation.take().is_some() && progress.phase == OperationPhase::Succeeded {
            executor.remember_deployment();
        }
        // After a lost Lease its new holder writes the state. A sync that was not tried leaves the last result as it
        // is, and a state that nobody understands stays for a person to look at.
        let is_unreadable = matches!(&stopped, Some(SyncError::State(error)) if !error.is_retryable());
        let mut saved = Ok(());
        if !matches!(stopped, Some(SyncError::Lock(_))) {
            if !goes_on && !progress.phase.is_completed() {
                progress.phase = OperationPhase::Failed;
            }
            executor.notify(progress).await;
            if matches!(stopped, Some(SyncError::LiveStateUnreadable)) {
                saved = executor.save_unread().await;
            } else if !is_refused && !is_unreadable {
                saved = executor.save(progress).await;
            }
        }
        if let Err(error) = saved {
            tracing::error!(app = executor.request.owner.instance, error = chain(&error), "failed to record the state");
            executor.outcome.retry = true;
        }
        self.executor.outcome
    }
}

impl SyncExecutor<'_> {
    /// Collects what failed; a sync that goes on only warns of what it waits for.
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

    /// Decides whether the message is delivered again; not where a continuation does the same.
    fn conclude_retry(&mut self, is_done: bool) {
        if is_done {
            FailedInOutage::forget(&mut self.state);
        }
        self.outcome.retry = (self.outcome.retry || self.is_outage()) && self.outcome.next.is_none();
    }

    /// Whether an automated sync failed, here or in the invocation before, for what passes without a change.
    pub(super) fn is_outage(&self) -> bool {
        let failed = FailedInOutage::of(&self.state);
        self.initiator.automated && failed.is_some_and(|failed| failed.0 == self.request.revisions.to_string())
    }

    /// Adds degraded objects. A self-heal succeeds when the change is undone, whatever the object's health is.
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

    /// Whether there are no problems and no object is degraded.
    fn is_healthy(&self) -> bool {
        self.outcome.problems.is_empty() && self.health.values().all(|verdict| verdict.health < Health::Degraded)
    }

    /// The first problem of the sync itself, not of the objects' health.
    fn fault(&self) -> Option<&String> {
        self.outcome.problems.first().filter(|_| self.outcome.problems.len() > self.health_problems)
    }

    /// Health of an object that Git has; Missing where the cluster lacks it.
    fn health_of(&self, id: &ObjectId) -> Option<HealthStatus> {
        let missing = self.absent.contains(id).then(|| HealthStatus::new(Health::Missing, ""));
        missing.or_else(|| self.health.get(id).cloned())
    }

    /// The workloads that are still progressing. An Ingress without an address does not count: many never get one.
    pub(super) fn progressing(&self) -> Vec<ObjectRef> {
        let waited = |id: &ObjectId| WORKLOADS.contains(&id.kind.as_str()) && self.request.policy.selects(id);
        let open = self.health.iter().filter(|(id, verdict)| verdict.health == Health::Progressing && waited(id));
        open.filter_map(|(id, _)| self.objects.get(id).cloned()).collect()
    }

    /// Whether the sync succeeded and a workload is still progressing.
    pub(super) fn is_progressing(&self, progress: &Progress) -> bool {
        progress.phase == OperationPhase::Succeeded
            && self.outcome.problems.is_empty()
            && !self.progressing().is_empty()
    }

    /// A successful sync is a deployment, Degraded or not (argoproj/argo-cd `controller/sync.go`,
    /// persistRevisionHistory); a selective sync is none.
    fn remember_deployment(&mut self) {
        if self.request.policy.options.resources.is_some() {
            return;
        }
        self.reach(Reached::All);
        let deployment = Deployment {
            id: 0,
            revisions: self.request.revisions.clone(),
            deployed_at: Timestamp::now(),
            deploy_started_at: Some(self.started),
            sources: self.sources(),
            initiated_by: self.initiator.clone(),
        };
        status::push_history(&mut self.state.status, deployment);
    }

    /// Notes how far the commit got, as the Application asks for it now.
    pub(super) fn reach(&mut self, reached: Reached) {
        let SyncRequest { revisions, spec_digest, inputs_digest, .. } = self.request;
        self.state.attempt.reach(revisions, spec_digest.as_deref(), reached);
        self.state.attempt.inputs_digest.clone_from(inputs_digest);
    }

    /// What the project refuses was tried for that, and how the cluster differs from it is not known.
    fn remember_refusal(&mut self) {
        self.reach(Reached::Tried);
        status::write_unknown(&mut self.state.status, Some(&self.request.revisions), Timestamp::now());
    }

    fn sources(&self) -> RecordedSources {
        let spec = self.request.application.get("spec");
        spec.and_then(|spec| RecordedSources::deserialize(spec).ok()).unwrap_or_default()
    }

    /// The rows of what Git has and of what requires pruning: as in Git is what the comparison found so, and what was
    /// applied since. A sync that was taken up did not compare: there the rows before it count.
    fn observed(&self, progress: &Progress) -> Observed {
        let failed: BTreeSet<ObjectId> = with_status(progress, ResultCode::SyncFailed);
        let applied: BTreeSet<ObjectId> = with_status(progress, ResultCode::Synced);
        let before = self.state.status.resources.iter().filter(|row| row.status == Some(SyncStatus::Synced));
        let same_before: BTreeSet<ObjectId> = match &self.modified {
            Some(_) => BTreeSet::new(),
            None => before.map(ResourceStatus::id).collect(),
        };
        let was_same = |id: &ObjectId| match &self.modified {
            Some(modified) => !modified.contains(id),
            None => same_before.contains(id),
        };
        let is_same = |id: &ObjectId| {
            !self.out_of_sync.contains(id) && !failed.contains(id) && (applied.contains(id) || was_same(id))
        };
        let version = |id: &ObjectId| self.objects.get(id).map_or("", |place| &place.resource.gvk.version);
        let row = |id: &ObjectId| ResourceStatus {
            status: Some(if is_same(id) { SyncStatus::Synced } else { SyncStatus::OutOfSync }),
            health: self.health_of(id),
            ..ResourceStatus::of(id, version(id))
        };
        let mut resources: Vec<ResourceStatus> = self.wanted.iter().map(row).collect();
        let mut declared = self.request.declared.clone();
        if progress.phase == OperationPhase::Succeeded && self.request.policy.options.resources.is_none() {
            declared.retain(|row| !row.requires_pruning);
            for row in &mut declared {
                row.status = Some(SyncStatus::Synced);
            }
        }
        let is_out_of_sync = resources.iter().chain(&declared).any(|row| row.status != Some(SyncStatus::Synced))
            || self.extraneous.values().any(|extra| extra.counts);
        resources.extend(self.extraneous.iter().map(|(id, extra)| ResourceStatus {
            status: Some(SyncStatus::OutOfSync),
            health: extra.health.clone(),
            requires_pruning: true,
            ..ResourceStatus::of(id, version(id))
        }));
        if self.request.policy.operation.is_compared() {
            resources.extend(declared);
        }
        let sync = if is_out_of_sync { SyncStatus::OutOfSync } else { SyncStatus::Synced };
        Observed { resources, sync, is_whole: true, repeated: self.repeated.clone() }
    }

    /// Writes what is known to the cluster, by compare-and-swap.
    pub(super) async fn save(&mut self, progress: &Progress) -> Result<(), SyncError> {
        let now = Timestamp::now();
        let fault = self.fault().cloned();
        let sources = self.sources();
        if self.is_observed {
            self.observed(progress).write(&mut self.state.status, &self.request.revisions, now);
        }
        status::write_compared_to(&mut self.state.status, &self.request.application);
        let images = self.is_observed.then_some(self.images.as_slice());
        status::write_source(&mut self.state.status, &self.request.source_types, images);
        if progress.phase == OperationPhase::Succeeded && self.request.policy.operation == OperationKind::SelfHeal {
            self.state.drift.clear();
        }
        let is_new =
            self.state.operation.is_some() || !progress.is_fresh() || self.state.status.operation_state.is_none();
        if is_new || progress.phase != OperationPhase::Succeeded {
            let initiator = json!(self.initiator);
            let operation = OperationState {
                operation: Map::from_iter([
                    (INITIATED_BY.to_owned(), initiator),
                    ("sync".to_owned(), operation(self.request)),
                ]),
                phase: progress.phase,
                message: fault.unwrap_or_else(|| progress.message.clone()),
                sync_result: Some(SyncResult {
                    resources: progress.results().cloned().collect(),
                    revisions: self.request.revisions.clone(),
                    sources,
                }),
                started_at: self.started,
                finished_at: progress.phase.is_completed().then_some(now),
                retry_count: self.retries,
            };
            status::write_operation(&mut self.state.status, operation);
        }
        self.write().await
    }

    /// Writes that the comparison is unknown; the result of the last sync stays, and the commit that was not compared
    /// is not named.
    async fn save_unread(&mut self) -> Result<(), SyncError> {
        status::write_unknown(&mut self.state.status, None, Timestamp::now());
        self.write().await
    }

    async fn write(&mut self) -> Result<(), SyncError> {
        self.state.lease_transitions = self.transitions;
        ApplicationSummary(self.request.application.clone()).keep(&mut self.state);
        self.request.charts.keep_or_forget(&mut self.state);
        self.request.remotes.keep_or_forget(&mut self.state);
        if self.request.policy.operation.is_compared() {
            FirstManifest::keep_or_forget(self.request.first_manifest.as_deref(), &mut self.state);
            RecordedListings::keep_or_forget(self.request.listings.as_deref(), &mut self.state);
        }
        if let Some(first) = self.request.first_deployed_at {
            FirstDeployedAt(first).keep(&mut self.state);
        }
        let key = &self.request.owner.key;
        let version = state::write(&self.cluster, key, &self.state, self.version.as_deref()).await?;
        self.version = Some(version);
        Ok(())
    }

    /// Updates the commit's Slack message.
    pub(super) async fn notify(&mut self, progress: &Progress) {
        let Some(reporter) = self.reporter else { return };
        let known = LastNotification::of(&self.state);
        let (repo, sha) = self.request.commit(self.reported);
        let deployment = report::SyncReport {
            app: &self.request.owner.instance,
            cluster: &self.request.destination.name,
            repo,
            sha,
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
            told.keep(&mut self.state);
        }
    }
}

/// Renders the request as Argo CD's `operation.sync`.
fn operation(request: &SyncRequest) -> Value {
    let mut sync = json!(request.revisions);
    let one = |ObjectId { group, kind, namespace, name, .. }: &ObjectId| {
        json!({ "group": group, "kind": kind,
        "namespace": namespace, "name": name })
    };
    if let (Some(resources), Some(fields)) = (&request.policy.options.resources, sync.as_object_mut()) {
        fields.insert("resources".to_owned(), resources.iter().map(one).collect());
    }
    sync
}

/// The objects whose result has this code.
fn with_status(progress: &Progress, code: ResultCode) -> BTreeSet<ObjectId> {
    progress
        .results()
        .filter(|result| result.status == Some(code) && result.hook_type.is_empty())
        .map(ResourceResult::id)
        .collect()
}

/// Formats `deployment.apps/web created`, as kubectl and Argo CD do.
pub(super) fn kubectl_line(id: &ObjectId, verb: &str) -> String {
    let dot = if id.group.is_empty() { "" } else { "." };
    format!("{}{dot}{}/{} {verb}", id.kind.to_ascii_lowercase(), id.group, id.name)
}

/// Lists the images of the objects' pod templates, sorted.
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
