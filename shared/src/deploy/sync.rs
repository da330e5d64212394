//! One application at one commit, under its Lease: intent, namespace, apply, prune, health; each recorded before the next.
//!
//! Guarantees: before the first write the inventory holds old and new objects; it shrinks only by a prune that succeeded;
//! nothing is pruned unless everything was rendered, resolved and applied. No object that another application owns, and
//! none that Argo CD applied after us, is touched. Waiting ends by health, by `until`, or when `stop` says that a newer
//! commit is there.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Map, Value};
use slipway_cluster::apply::{self, Applied, Change};
use slipway_cluster::compare::Rules;
use slipway_cluster::discover::{GroupKind, Gvk};
use slipway_cluster::health::{Checks, Health, Verdict};
use slipway_cluster::live::{self, Place};
use slipway_cluster::lock::{self, Acquired, Lease, LockError};
use slipway_cluster::plan::{self, Action, Plan, Task};
use slipway_cluster::prune::{self, Pruned};
use slipway_cluster::state::{self, AppKey, Operation, State, StateError};
use slipway_cluster::status::{OperationPhase, ResourceResult, ResultCode};
use slipway_cluster::tracking::TrackingId;
use slipway_cluster::wait::{self, Progress};
use slipway_cluster::{Cluster, DiscoverError, Failure, Kinds, hook, takeover};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::Permit;
use crate::app::project::Denied;
use crate::clusters::Destination;
use crate::error::chain;
use crate::notify::report::{self, Phase};
use crate::notify::reporter::Reporter;
use crate::notify::subscribe::Subscriptions;
use record::kubectl_line;

/// Requests for objects of one kind on their way at the same time.
const AT_ONCE: usize = 16;
/// Kinds whose health a deployment waits for.
const WORKLOADS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job"];
/// How long a renewal of the Lease lasts.
const LEASE: Duration = Duration::from_secs(30);

/// How long a Lease that somebody holds is asked for, and how often.
const PATIENCE: Duration = Duration::from_mins(1);
const ASK: Duration = Duration::from_secs(2);

/// What the Application asks for besides its objects.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Objects that Git has no more are deleted.
    pub prune: bool,
    /// Even if that deletes all of them.
    pub allow_empty: bool,
    /// The destination's namespace is made, with these labels and annotations.
    pub create_namespace: Option<(Map<String, Value>, Map<String, Value>)>,
    /// Unknown fields are refused.
    pub validate: bool,
    /// The digest of a prune plan that a person approved.
    pub prune_approved: Option<String>,
}

/// Whose objects these are, and where they go by default.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The application in its root.
    pub key: AppKey,
    /// Its name in tracking ids: `name`, or `namespace_name` outside Argo CD's own namespace.
    pub instance: String,
    /// The destination's namespace; may be empty.
    pub namespace: String,
}

impl Owner {
    /// As the cluster crate names it.
    pub fn cluster(&self) -> plan::Owner {
        plan::Owner { app: self.instance.clone(), applyset: self.key.applyset_id(), namespace: self.namespace.clone() }
    }
}

/// An application to bring to a commit.
pub struct Job {
    /// Whose objects these are.
    pub owner: Owner,
    /// Where they go.
    pub destination: Destination,
    /// The repository, for messages.
    pub repo: String,
    /// The commit.
    pub revision: String,
    /// Everything rendered from it.
    pub objects: Vec<Object>,
    /// What rendering warned of.
    pub warnings: Vec<String>,
    /// What the Application asks for.
    pub policy: Policy,
    /// `Kustomize`, `Helm`, `Directory`.
    pub source_type: String,
    /// What its charts took for the time of the first deployment.
    pub first: Option<Timestamp>,
    /// What its project allows.
    pub permit: Permit,
    /// Who hears of it.
    pub subscriptions: Subscriptions,
    /// The Application's `metadata` and `spec` as far as `app get` shows them; no values.
    pub about: Value,
    /// What counts as a difference between Git and the cluster.
    pub rules: Rules,
    /// How the health of the objects is judged.
    pub checks: Checks,
}

/// How a sync ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In a word.
    pub phase: Phase,
    /// What changed, one line an object.
    pub changes: Vec<String>,
    /// What failed, one line each.
    pub problems: Vec<String>,
    /// What users should know.
    pub warnings: Vec<String>,
    /// Whether the same may succeed later by itself.
    pub retry: bool,
    /// Whether somebody wants a look again, because they found us at work.
    pub again: bool,
}

impl Outcome {
    /// A sync that could not begin.
    pub fn failed(problem: String, retry: bool) -> Self {
        let none = Vec::new;
        Self { phase: Phase::Failed, changes: none(), problems: vec![problem], warnings: none(), retry, again: false }
    }

    fn left_to(holder: &str) -> Self {
        let problem = format!("{holder} is at work on it and takes this commit up afterwards");
        Self { phase: Phase::Waiting, ..Self::failed(problem, false) }
    }
}

/// Why a sync stops where it stands.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Cluster(#[from] Failure),
    #[error("the time of this invocation is over")]
    Time,
    #[error("nothing is applied: the project refuses {0} of the objects")]
    Refused(usize),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{id} was applied by {manager} at {time}, after Slipway: turn off the other engine's automated sync")]
    Rival { id: ObjectId, manager: String, time: String },
}

impl Stop {
    fn is_retryable(&self) -> bool {
        match self {
            Self::State(error) => !matches!(error, StateError::Damaged { .. }),
            Self::Lock(_) | Self::Time => true,
            Self::Cluster(failure) => failure.source.class.is_transient(),
            Self::Refused(_) | Self::Denied(_) | Self::Rival { .. } => false,
        }
    }
}

/// Brings the application of `job` to its commit. Everything ends at `until`; `stop` turns true when a newer commit is
/// there, which ends the waiting, not the writing. Never fails: what went wrong is in the outcome.
pub async fn sync(
    job: &Job,
    reporter: Option<&Reporter>,
    holder: &str,
    until: Instant,
    stop: watch::Receiver<bool>,
) -> Outcome {
    let options =
        lock::Options { holder: holder.to_owned(), duration: LEASE, patience: LEASE, wanted: job.revision.clone() };
    // A check holds it for seconds and can't take our commit up: ask again for a while. A deployment holds it for long and can.
    let patient = (Instant::now() + PATIENCE).min(until);
    let lease = loop {
        match lock::acquire(&job.destination.cluster, &job.owner.key, &options).await {
            Ok(Acquired::Mine(lease)) => break lease,
            Ok(Acquired::Held { .. }) if Instant::now() + ASK < patient => tokio::time::sleep(ASK).await,
            Ok(Acquired::Held { holder }) => return Outcome::left_to(&holder),
            Err(error) => return Outcome::failed(chain(&error), true),
        }
    };
    let mut run = Run::new(job, reporter, &lease, until, stop);
    let ended = Box::pin(tokio::time::timeout_at(until, lease.hold(run.steps()))).await;
    let stopped = match ended {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(stop))) => Some(stop),
        Ok(Err(lost)) => Some(Stop::Lock(lost)),
        Err(_) => Some(Stop::Time),
    };
    let mut outcome = run.finish(stopped).await;
    match lease.release().await {
        Ok(wanted) => outcome.again = wanted.is_some_and(|wanted| wanted != job.revision),
        Err(error) => tracing::warn!(app = job.owner.instance, error = chain(&error), "the lease was not given back"),
    }
    outcome
}

/// A sync under way.
struct Run<'a> {
    job: &'a Job,
    reporter: Option<&'a Reporter>,
    cluster: Cluster,
    until: Instant,
    stop: watch::Receiver<bool>,
    state: State,
    version: Option<String>,
    transitions: u64,
    started: Timestamp,
    /// Where each object of the plan is.
    resources: BTreeMap<ObjectId, Place>,
    live: BTreeMap<ObjectId, Object>,
    applied: BTreeSet<ObjectId>,
    /// Objects that Git has no more and that stay.
    spared: BTreeSet<ObjectId>,
    results: Vec<ResourceResult>,
    health: BTreeMap<ObjectId, Verdict>,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(
        job: &'a Job,
        reporter: Option<&'a Reporter>,
        lease: &Lease,
        until: Instant,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let outcome = Outcome {
            phase: Phase::Progressing,
            changes: Vec::new(),
            problems: Vec::new(),
            warnings: job.warnings.clone(),
            retry: false,
            again: false,
        };
        Self {
            job,
            reporter,
            cluster: lease.cluster(),
            until,
            stop,
            state: State::default(),
            version: None,
            transitions: lease.transitions(),
            started: Timestamp::now(),
            resources: BTreeMap::new(),
            live: BTreeMap::new(),
            applied: BTreeSet::new(),
            spared: BTreeSet::new(),
            results: Vec::new(),
            health: BTreeMap::new(),
            outcome,
        }
    }

    async fn steps(&mut self) -> Result<(), Stop> {
        self.load().await?;
        let wanted: BTreeSet<Gvk> = self.job.objects.iter().map(Gvk::of).collect();
        let (plan, unknown) = self.plan(self.job.objects.clone(), &wanted, true).await?;
        self.record_intent(&plan).await?;
        self.make_namespace(&plan).await?;
        self.run(&plan).await?;
        if !unknown.is_empty() {
            // Their CRDs may have come with this very sync.
            self.cluster.forget_kinds();
            let wanted = unknown.iter().map(Gvk::of).collect();
            let (late, unknown) = self.plan(unknown, &wanted, false).await?;
            for object in unknown {
                self.outcome
                    .problems
                    .push(format!("failed to apply {}: the cluster does not know the kind", object.id()));
            }
            self.record_intent(&late).await?;
            self.run(&late).await?;
        }
        self.look().await;
        if self.is_progressing() {
            self.tell().await;
        }
        self.save(OperationPhase::Running).await?;
        self.wait().await;
        Ok(())
    }

    async fn load(&mut self) -> Result<(), Stop> {
        if let Some(recorded) = state::read(&self.cluster, &self.job.owner.key).await? {
            self.version = Some(recorded.version().to_owned());
            self.state = recorded.state;
        }
        Ok(())
    }

    /// What to do about `objects`, and those whose kind the cluster does not know. Only a plan of everything (`whole`), made
    /// of complete answers, deletes.
    async fn plan(
        &mut self,
        objects: Vec<Object>,
        wanted: &BTreeSet<Gvk>,
        whole: bool,
    ) -> Result<(Plan, Vec<Object>), Stop> {
        let known: BTreeSet<GroupKind> = self.state.inventory.iter().map(GroupKind::of).collect();
        let kinds = self.cluster.resolve(wanted, &known).await;
        let desired = plan::prepare(objects, &kinds, &self.job.owner.cluster());
        self.outcome.warnings.extend(desired.warnings);
        let mut complete = whole && kinds.is_complete() && desired.unresolved.is_empty();
        let mut unknown = Vec::new();
        for (object, error) in desired.unresolved {
            match error {
                DiscoverError::UnknownKind { .. } => unknown.push(object),
                error => self.outcome.problems.push(format!("{}: {}", object.id(), chain(&error))),
            }
        }
        let refused = self.job.permit.refused(&desired.objects);
        if !refused.is_empty() {
            self.outcome.problems.extend(refused.iter().map(ToString::to_string));
            return Err(Stop::Refused(refused.len()));
        }
        for hook in desired.objects.iter().filter(|object| hook::is_hook(object)) {
            self.outcome.warnings.push(format!("{} is a hook, and hooks are not run yet", hook.id()));
        }
        let ids: BTreeSet<ObjectId> = desired.objects.iter().map(Object::id).collect();
        let places: Vec<Place> = desired
            .objects
            .iter()
            .filter_map(|object| Some(Place::of(kinds.of(object).ok()?, object)))
            .chain(self.state.inventory.difference(&ids).filter_map(|id| place(&kinds, id)))
            .collect();
        let (live, failures) = live::get_all(&self.cluster, &places).await;
        complete &= failures.is_empty();
        for failure in &failures {
            self.fail(failure);
        }
        if let Some((id, rival)) = live.iter().find_map(|(id, object)| Some((id, takeover::rival(object)?))) {
            return Err(Stop::Rival { id: id.clone(), manager: rival.manager, time: rival.time });
        }
        let options =
            plan::Options { prune: self.job.policy.prune && complete, skip_hooks: true, ..plan::Options::default() };
        let plan = plan::plan(&desired.objects, &live, &self.state.inventory, &self.job.owner.cluster(), options);
        self.resources.extend(places.into_iter().map(|place| (place.id(), place)));
        self.live.extend(live);
        Ok((plan, unknown))
    }

    /// Before the first write: all that may be ours after it.
    async fn record_intent(&mut self, plan: &Plan) -> Result<(), Stop> {
        let applied = plan.tasks.iter().filter(|task| matches!(task.action, Action::Apply(_)));
        self.state.inventory.extend(applied.map(|task| task.id.clone()));
        self.state.operation = Some(Operation {
            id: format!("{}-{}", report::short(&self.job.revision), self.started.as_millisecond()),
            revision: self.job.revision.clone(),
            started_at: self.started,
            steps_done: 0,
            attempt: 0,
            not_before: None,
        });
        self.save(OperationPhase::Running).await
    }

    async fn make_namespace(&mut self, plan: &Plan) -> Result<(), Stop> {
        let name = &self.job.owner.namespace;
        let Some((labels, annotations)) = &self.job.policy.create_namespace else { return Ok(()) };
        // A Namespace among the manifests wins.
        if name.is_empty() || plan.tasks.iter().any(|task| task.id == ObjectId::new("", "Namespace", "", name)) {
            return Ok(());
        }
        let place = Place { resource: apply::namespaces(), namespace: String::new(), name: name.clone() };
        if let Some(denied) = self.job.permit.refused_namespace(name) {
            return match live::get(&self.cluster, &place).await? {
                Some(_) => Ok(()),
                None => Err(denied.into()),
            };
        }
        let options = apply::Options::default();
        let made = apply::create_namespace(&self.cluster, name, labels, annotations, &options).await?;
        if made.change != Change::Unchanged {
            self.outcome.changes.push(made.to_string());
        }
        Ok(())
    }

    /// Runs the plan step by step; what a step applied must be healthy before the next begins.
    async fn run(&mut self, plan: &Plan) -> Result<(), Stop> {
        let held = self.brake(plan);
        let steps: Vec<&[Task]> = plan.steps().collect();
        for (number, step) in steps.iter().enumerate() {
            self.apply(step).await;
            if !held && self.outcome.problems.is_empty() {
                self.prune(step).await;
            }
            if number + 1 < steps.len() && !self.is_step_healthy(step).await {
                return Ok(());
            }
        }
        if self.outcome.problems.is_empty() {
            // What was gone before we came needs no deletion.
            let gone = |id: &ObjectId| self.resources.contains_key(id) && !self.live.contains_key(id);
            self.state.inventory.retain(|id| !gone(id));
        }
        Ok(())
    }

    /// Whether the brake holds the plan's deletions.
    fn brake(&mut self, plan: &Plan) -> bool {
        let Policy { allow_empty, ref prune_approved, .. } = self.job.policy;
        let prunes = plan.prunes().cloned().collect();
        match prune::brake(&prunes, plan.survivors, self.state.inventory.len(), allow_empty, prune_approved.as_deref())
        {
            prune::Verdict::Clear => false,
            prune::Verdict::Held { reason, digest } => {
                self.outcome.problems.push(format!(
                    "nothing is pruned: {reason}; if that is right, annotate the Application with slipway.dev/prune-approved: {digest}"
                ));
                true
            }
        }
    }

    /// Applies kind after kind, within a kind at the same time. One object's refusal does not stop the others.
    async fn apply(&mut self, step: &[Task]) {
        let options = apply::Options { validate: self.job.policy.validate, ..apply::Options::default() };
        for kind in step.chunk_by(|a, b| a.id.kind == b.id.kind) {
            let mut mine = Vec::new();
            for task in kind {
                if let (Action::Apply(object), Some(place)) = (&task.action, self.resources.get(&task.id).cloned())
                    && !self.is_others(task)
                {
                    mine.push((task, object, place));
                }
            }
            let cluster = &self.cluster;
            let done: Vec<(&Task, Result<Applied, Failure>)> = stream::iter(mine)
                .map(async |(task, object, place)| {
                    (task, apply::apply(cluster, &place.resource, object, task.live.as_ref(), &options).await)
                })
                .buffered(AT_ONCE)
                .collect()
                .await;
            for (task, applied) in done {
                self.applied.insert(task.id.clone());
                self.note_applied(&task.id, applied);
            }
        }
    }

    async fn prune(&mut self, step: &[Task]) {
        for task in step {
            match (&task.action, &task.live, self.resources.get(&task.id).cloned()) {
                (Action::Prune, Some(live), Some(place)) => self.prune_one(&task.id, live, &place).await,
                (Action::Spare(reason), ..) => {
                    self.result(&task.id, Some(ResultCode::PruneSkipped), reason.clone());
                    self.spared.insert(task.id.clone());
                }
                _ => {}
            }
        }
    }

    async fn prune_one(&mut self, id: &ObjectId, live: &Object, place: &Place) {
        let owner = self.job.owner.cluster();
        let propagation = prune::Propagation::default();
        let pruned = prune::prune(&self.cluster, place, live, &owner, &self.state.inventory, propagation, false).await;
        match pruned {
            Ok(Pruned::Spared(reason)) => {
                self.outcome.warnings.push(format!("{id} is not pruned: {reason}"));
                self.result(id, Some(ResultCode::PruneSkipped), reason);
            }
            Ok(_) => {
                self.state.inventory.remove(id);
                self.outcome.changes.push(format!("{id} pruned"));
                self.result(id, Some(ResultCode::Pruned), "pruned".to_owned());
            }
            Err(failure) => {
                self.result(id, Some(ResultCode::SyncFailed), failure.explain());
                self.fail(&failure);
            }
        }
    }

    /// Waits for the health of what a step applied; what stands in the way is a problem.
    async fn is_step_healthy(&mut self, step: &[Task]) -> bool {
        let places: Vec<Place> = step.iter().filter_map(|task| self.resources.get(&task.id).cloned()).collect();
        let found = wait::wait(&self.cluster, &places, self.until, |_, object| wait::healthy(object)).await;
        for (id, outcome) in found {
            if let Progress::Failed(reason) | Progress::Waiting(reason) = outcome.progress {
                self.outcome.problems.push(format!("the next wave waits for {id}: {reason}"));
            }
        }
        self.outcome.problems.is_empty()
    }

    /// Whether another application owns the object; it is left alone then.
    fn is_others(&mut self, task: &Task) -> bool {
        let owner = task.live.as_ref().and_then(|live| TrackingId::of(live).filter(|id| id.describes(live)));
        let Some(other) = owner.filter(|id| id.app != self.job.owner.instance) else { return false };
        let line = format!("{} belongs to the application {}: it is left as it is", task.id, other.app);
        self.result(&task.id, Some(ResultCode::SyncFailed), line.clone());
        self.outcome.problems.push(line);
        true
    }

    fn note_applied(&mut self, id: &ObjectId, applied: Result<Applied, Failure>) {
        match applied {
            Ok(applied) => {
                self.result(id, Some(ResultCode::Synced), kubectl_line(id, applied.change.as_str()));
                self.outcome.warnings.extend(applied.warnings.iter().map(|warning| format!("{id}: {warning}")));
                if applied.change != Change::Unchanged {
                    self.outcome.changes.push(applied.to_string());
                }
                self.live.insert(id.clone(), applied.object);
            }
            Err(failure) => {
                self.result(id, Some(ResultCode::SyncFailed), failure.explain());
                self.fail(&failure);
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.outcome.retry |= failure.source.class.is_transient();
        self.outcome.problems.push(failure.explain());
    }

    fn result(&mut self, id: &ObjectId, status: Option<ResultCode>, message: String) {
        self.results.push(ResourceResult {
            group: id.group.clone(),
            version: String::new(),
            kind: id.kind.clone(),
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            status,
            message,
            sync_phase: "Sync".to_owned(),
            ..ResourceResult::default()
        });
    }

    /// The health of everything applied, as it is now.
    async fn look(&mut self) {
        let places: Vec<Place> = self.applied.iter().filter_map(|id| self.resources.get(id).cloned()).collect();
        let (live, failures) = live::get_all(&self.cluster, &places).await;
        for failure in failures {
            tracing::warn!(object = %failure.id, error = chain(&failure), "not readable");
        }
        self.judge(live);
    }

    fn judge(&mut self, live: BTreeMap<ObjectId, Object>) {
        self.health.extend(
            live.iter().filter_map(|(id, object)| Some((id.clone(), self.job.checks.of(object, Timestamp::now())?))),
        );
        self.live.extend(live);
    }

    fn worst(&self) -> Health {
        self.health.values().map(|verdict| verdict.health).max().unwrap_or(Health::Healthy)
    }

    /// The workloads that are not there yet. An Ingress without an address is no reason to wait: many never get one.
    fn progressing(&self) -> impl Iterator<Item = &ObjectId> {
        let waited = |id: &ObjectId| WORKLOADS.contains(&id.kind.as_str());
        let open = self.health.iter().filter(|(_, verdict)| verdict.health == Health::Progressing);
        open.map(|(id, _)| id).filter(move |id| waited(id))
    }

    fn is_progressing(&self) -> bool {
        self.outcome.problems.is_empty() && self.progressing().next().is_some()
    }

    /// Waits until nothing progresses any more, by watching.
    async fn wait(&mut self) {
        if !self.is_progressing() {
            return;
        }
        let places: Vec<Place> = self.progressing().filter_map(|id| self.resources.get(id).cloned()).collect();
        let mut stop = self.stop.clone();
        let cluster = self.cluster.clone();
        tokio::select! {
            seen = wait::wait(&cluster, &places, self.until, |_, object| wait::healthy(object)) => {
                self.judge(seen.into_iter().filter_map(|(id, outcome)| Some((id, outcome.object?))).collect());
            }
            Ok(_) = stop.wait_for(|stop| *stop) => self.look().await,
        }
    }
}

/// Where an object of the inventory is, in whichever version its kind is served.
fn place(kinds: &Kinds, id: &ObjectId) -> Option<Place> {
    let resource = kinds.of_group_kind(&GroupKind::of(id)).ok()?.clone();
    Some(Place { resource, namespace: id.namespace.clone(), name: id.name.clone() })
}
