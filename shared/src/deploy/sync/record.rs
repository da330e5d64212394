//! What a sync leaves behind: the status in the cluster, the message in Slack.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use slipway_cluster::engine::Progress;
use slipway_cluster::health::{self, Health, Verdict};
use slipway_cluster::live::Place;
use slipway_cluster::state::{self, Reached};
use slipway_cluster::status::{
    COMPARISON_ERROR, Deployment, INITIATED_BY, OperationPhase, OperationState, ResourceResult, ResourceStatus,
    ResultCode, SyncResult, SyncStatus,
};
use slipway_manifest::{Object, ObjectId};

use super::book::Book;
use super::{Aim, Job, Next, Outcome, Run, Stop, WORKLOADS};
use crate::deploy::facts;
use crate::error::chain;
use crate::notify::report::{self, Phase};
use crate::notify::reporter::Told;

/// How often somebody comes to look whether what is applied is healthy by now: within an hour.
const ROUNDS: u32 = 20;

impl Run<'_> {
    /// The verdict, recorded and told. `stopped` is why the steps did not come to their end.
    pub(super) async fn finish(mut self, stopped: Option<Stop>) -> Outcome {
        if matches!(stopped, Some(Stop::Ended)) {
            return Outcome { phase: Phase::Healthy, problems: Vec::new(), ..self.book.outcome };
        }
        let is_untried = matches!(
            stopped,
            Some(
                Stop::Lock(_)
                    | Stop::Tried { .. }
                    | Stop::Busy { .. }
                    | Stop::Rival { .. }
                    | Stop::Refused(_)
                    | Stop::Denied(_)
                    | Stop::Unread
            )
        );
        let is_done = stopped.is_none() && self.progress.phase == OperationPhase::Succeeded;
        let is_well = is_done && self.book.is_well() && !self.book.is_progressing(&self.progress);
        let explanations = if is_untried || is_well { Vec::new() } else { self.explained().await };
        let (book, progress) = (&mut self.book, &mut self.progress);
        let is_refused = matches!(stopped, Some(Stop::Tried { .. } | Stop::Busy { .. } | Stop::Rival { .. }));
        if let Some(stop) = &stopped {
            book.outcome.retry |= stop.is_retryable();
            // Out of time in the midst of a sync is not the end of it.
            if !(matches!(stop, Stop::Time) && book.state.operation.is_some()) {
                book.outcome.problems.push(chain(stop));
            }
        }
        let goes_on = !progress.phase.is_completed() && book.state.operation.is_some() && !is_refused;
        if goes_on && matches!(stopped, Some(Stop::Time)) {
            book.outcome.next = book.state.operation.as_ref().map(Next::of);
            book.outcome.retry = false;
        }
        book.conclude_problems(progress, goes_on);
        let faults = book.outcome.problems.len();
        if !goes_on {
            book.tell_degraded();
        }
        let lines = if goes_on || book.outcome.problems.is_empty() {
            &mut book.outcome.warnings
        } else {
            &mut book.outcome.problems
        };
        let is_told = |line: &String, told: &[String]| told.iter().any(|one| one.contains(line.as_str()));
        for line in explanations {
            if !is_told(&line, lines) {
                lines.push(line);
            }
        }
        book.ailing = book.outcome.problems.len() - faults;
        book.outcome.phase = if self.is_queued {
            Phase::Queued
        } else if goes_on || book.is_progressing(progress) {
            Phase::Waiting
        } else if book.outcome.problems.is_empty() {
            Phase::Healthy
        } else {
            Phase::Failed
        };
        if !goes_on && self.times.rests && book.outcome.phase == Phase::Waiting && self.times.round < ROUNDS {
            book.outcome.next = Some(Next::look(&book.job.revision, self.times.round));
        }
        if matches!(stopped, Some(Stop::Refused(_) | Stop::Denied(_))) {
            book.remember_refusal();
        }
        if !goes_on && book.state.operation.take().is_some() && progress.phase == OperationPhase::Succeeded {
            book.remember_deployment();
        }
        // Whoever took the Lease over writes the state now; what was not tried leaves the last result as it is.
        let mut saved = Ok(());
        if !matches!(stopped, Some(Stop::Lock(_))) {
            if !goes_on && !progress.phase.is_completed() {
                progress.phase = OperationPhase::Failed;
            }
            book.tell(progress).await;
            if matches!(stopped, Some(Stop::Unread)) {
                saved = book.save_unread().await;
            } else if !is_refused {
                saved = book.save(progress).await;
            }
        }
        if let Err(error) = saved {
            tracing::error!(app = book.job.owner.instance, error = chain(&error), "the state was not recorded");
            book.outcome.retry = true;
        }
        self.book.outcome
    }
}

impl Book<'_> {
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
        if self.job.policy.aim == Aim::Heal {
            return;
        }
        let is_told =
            |(id, verdict): &(&ObjectId, &Verdict)| verdict.health == Health::Degraded && self.job.policy.is_meant(id);
        let lines = self.health.iter().filter(is_told);
        self.outcome.problems.extend(lines.map(|(id, verdict)| format!("{id} is degraded: {}", verdict.message)));
    }

    /// Whether nothing went wrong and nothing is in a bad state.
    fn is_well(&self) -> bool {
        self.outcome.problems.is_empty() && self.health.values().all(|verdict| verdict.health < Health::Degraded)
    }

    /// What went wrong with the sync itself: how well the objects are is another matter.
    fn fault(&self) -> Option<&String> {
        self.outcome.problems.first().filter(|_| self.outcome.problems.len() > self.ailing)
    }

    /// How well an object is that Git has.
    fn health_of(&self, id: &ObjectId) -> Option<Verdict> {
        let missing = self.absent.contains(id).then(|| Verdict::new(Health::Missing, ""));
        missing.or_else(|| self.health.get(id).cloned())
    }

    /// The workloads that are not there yet. An Ingress without an address is no reason to wait: many never get one.
    pub(super) fn progressing(&self) -> Vec<Place> {
        let waited = |id: &ObjectId| WORKLOADS.contains(&id.kind.as_str()) && self.job.policy.is_meant(id);
        let open = self.health.iter().filter(|(id, verdict)| verdict.health == Health::Progressing && waited(id));
        open.filter_map(|(id, _)| self.places.get(id).cloned()).collect()
    }

    /// Whether the sync went well and something is still on its way.
    pub(super) fn is_progressing(&self, progress: &Progress) -> bool {
        progress.phase == OperationPhase::Succeeded
            && self.outcome.problems.is_empty()
            && !self.progressing().is_empty()
    }

    /// A sync that succeeded is a deployment, Degraded or not (argoproj/argo-cd `controller/sync.go`, persistRevisionHistory); a part of an
    /// application is none of it.
    fn remember_deployment(&mut self) {
        if self.job.policy.options.resources.is_some() {
            return;
        }
        self.state.attempt.reach(&self.job.revision, Reached::All);
        let source = self.source();
        let history = &mut self.state.status.history;
        history.push(Deployment {
            id: history.last().map_or(0, |last| last.id.saturating_add(1)),
            revision: self.job.revision.clone(),
            deployed_at: Timestamp::now(),
            deploy_started_at: Some(self.started),
            source,
            initiated_by: self.initiator.clone(),
        });
    }

    /// What the project refuses was tried for that, and nobody can tell how the cluster differs from it.
    fn remember_refusal(&mut self) {
        let revision = &self.job.revision;
        self.state.attempt.reach(revision, Reached::Tried);
        let sync = &mut self.state.status.sync;
        sync.status = SyncStatus::Unknown;
        sync.revision.clone_from(revision);
    }

    fn source(&self) -> Map<String, Value> {
        self.job.about.pointer("/spec/source").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Writes what is known to the cluster, by compare-and-swap.
    pub(super) async fn save(&mut self, progress: &Progress) -> Result<(), Stop> {
        let now = Timestamp::now();
        let health: BTreeMap<&ObjectId, Option<Verdict>> =
            self.wanted.iter().map(|id| (id, self.health_of(id))).collect();
        let fault = self.fault().cloned();
        let mut spared: BTreeSet<ObjectId> = with_status(progress, ResultCode::PruneSkipped);
        spared.retain(|id| !self.job.wants_namespace(id));
        let failed: BTreeSet<ObjectId> = with_status(progress, ResultCode::SyncFailed);
        let done: BTreeSet<ObjectId> = with_status(progress, ResultCode::Synced);
        let is_whole = progress.phase == OperationPhase::Succeeded;
        let source = self.source();
        let status = &mut self.state.status;
        if !self.wanted.is_empty() || !spared.is_empty() {
            let (wanted, left) = (&self.wanted, &self.left);
            let is_synced = |id: &ObjectId| {
                wanted.contains(id) && !left.contains(id) && !failed.contains(id) && (is_whole || done.contains(id))
            };
            let row = |id: &ObjectId| ResourceStatus {
                status: Some(if is_synced(id) { SyncStatus::Synced } else { SyncStatus::OutOfSync }),
                health: health.get(id).cloned().flatten(),
                requires_pruning: !wanted.contains(id),
                ..ResourceStatus::of(id, self.places.get(id).map_or("", |place| &place.resource.gvk.version))
            };
            let all: BTreeSet<&ObjectId> = wanted.iter().chain(&spared).chain(left).collect();
            status.resources = all.into_iter().map(row).collect();
            let all = status.resources.iter().all(|row| row.status == Some(SyncStatus::Synced));
            status.sync.status = if all && fault.is_none() { SyncStatus::Synced } else { SyncStatus::OutOfSync };
            status.sync.revision.clone_from(&self.job.revision);
            status.health.set(health::aggregate(health.values().map(Option::as_ref)), now);
            status.conditions.retain(|condition| condition.kind != COMPARISON_ERROR);
            status.summary.images.clone_from(&self.images);
            status.reconciled_at = Some(now);
        }
        status.source_type.clone_from(&self.job.source_type);
        if is_whole && self.job.policy.aim == Aim::Heal {
            self.state.drift.clear();
        }
        let is_new = self.state.operation.is_some() || !progress.is_fresh() || status.operation_state.is_none();
        if is_new || progress.phase != OperationPhase::Succeeded {
            let initiator = json!(self.initiator);
            status.operation_state = Some(OperationState {
                operation: Map::from_iter([
                    (INITIATED_BY.to_owned(), initiator),
                    ("sync".to_owned(), operation(self.job)),
                ]),
                phase: progress.phase,
                message: fault.unwrap_or_else(|| progress.message.clone()),
                sync_result: Some(SyncResult {
                    resources: progress.results().cloned().collect(),
                    revision: self.job.revision.clone(),
                    source,
                }),
                started_at: self.started,
                finished_at: progress.phase.is_completed().then_some(now),
                retry_count: self.state.operation.as_ref().map_or(0, |operation| operation.retries),
            });
        }
        self.write().await
    }

    /// Writes that nothing is known of the cluster; what the last sync did stays as it was told, and the commit with which nothing was compared
    /// is not named.
    async fn save_unread(&mut self) -> Result<(), Stop> {
        let status = &mut self.state.status;
        status.sync.status = SyncStatus::Unknown;
        status.reconciled_at = Some(Timestamp::now());
        self.write().await
    }

    async fn write(&mut self) -> Result<(), Stop> {
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
    pub(super) async fn tell(&mut self, progress: &Progress) {
        let Some(reporter) = self.reporter else { return };
        let known = self.state.notes.get("slack").and_then(|note| serde_json::from_value::<Told>(note.clone()).ok());
        let deployment = report::Deployment {
            app: &self.job.owner.instance,
            cluster: &self.job.destination.name,
            repo: &self.job.repo,
            sha: &self.job.revision,
            phase: if progress.phase.is_completed() || self.outcome.phase != Phase::Progressing {
                self.outcome.phase
            } else {
                Phase::Waiting
            },
            changes: &self.outcome.changes,
            problems: &self.outcome.problems,
            warnings: &self.outcome.warnings,
        };
        if let Some(told) = reporter.tell(&deployment, &self.job.subscriptions, known.as_ref()).await {
            self.state.notes.insert("slack".to_owned(), json!(told));
        }
    }
}

/// What was asked for, as Argo CD's `operation.sync` has it.
fn operation(job: &Job) -> Value {
    let mut sync = json!({ "revision": job.revision });
    let one = |ObjectId { group, kind, namespace, name, .. }: &ObjectId| json!({ "group": group, "kind": kind, "namespace": namespace, "name": name });
    if let (Some(resources), Some(fields)) = (&job.policy.options.resources, sync.as_object_mut()) {
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
