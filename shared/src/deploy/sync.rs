//! One application at one commit, under its Lease: look, compare, then [`engine::step`] after step, each recorded before the next.
//!
//! Guarantees: before the first write the inventory holds old and new objects; it shrinks only by what is seen to be gone;
//! nothing is pruned unless everything was rendered and resolved. No object that another application owns, and
//! none that Argo CD applied after us, is touched. A sync that was cut off is taken up where its state says it stood, its own hooks
//! included. Waiting ends by health, by the times given, or when `stop` says that a newer commit is there; a hook that runs is let run.

mod book;
mod explain;
mod outcome;
mod record;
pub mod retry;
mod view;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use slipway_cluster::GroupKind;
use slipway_cluster::compare::Rules;
use slipway_cluster::engine::{self, Input, Options, Progress};
use slipway_cluster::health::{Checks, Verdict};
use slipway_cluster::live::{self, Place};
use slipway_cluster::lock::{self, Acquired, Lease};
use slipway_cluster::plan;
use slipway_cluster::prune::Propagation;
use slipway_cluster::state::{self, AppKey, Operation, State};
use slipway_cluster::status::OperationPhase;
use slipway_cluster::wait::{self, Progress as Seen};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::Permit;
use crate::clusters::Destination;
use crate::error::chain;
use crate::notify::report::{self, Phase};
use crate::notify::reporter::Reporter;
use crate::notify::subscribe::Subscriptions;
use book::Book;
use outcome::Stop;
pub use outcome::{Next, Outcome};
use retry::Backoff;
use view::View;
use waiting::{Waited, hook_ended, since};

/// Requests for objects of one kind on their way at the same time.
const AT_ONCE: usize = 16;
/// Kinds whose health a deployment waits for.
const WORKLOADS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job"];
/// How long a renewal of the Lease lasts.
const LEASE: Duration = Duration::from_secs(30);

/// How long a Lease that somebody holds is asked for, and how often.
const PATIENCE: Duration = Duration::from_mins(1);
const ASK: Duration = Duration::from_secs(2);

/// How long a sync may take in all its invocations together, unless the settings say otherwise.
pub const TIMEOUT: Duration = Duration::from_hours(1);
/// How often one sync may be taken up again: a chain of messages comes to an end.
const TAKEN_UP: u32 = 200;

/// What the Application asks for besides its objects.
#[derive(Debug, Clone, Default)]
// Each is a switch of Argo CD's.
#[allow(clippy::struct_excessive_bools)]
pub struct Policy {
    /// How to sync; what belongs to a single operation is filled in when it begins.
    pub options: Options,
    /// A prune may leave nothing.
    pub allow_empty: bool,
    /// Objects that are as in Git already are not applied.
    pub out_of_sync_only: bool,
    /// The sync fails where another application owns one of the objects.
    pub fail_on_shared: bool,
    /// What `ignoreDifferences` names is left to others when applying, too.
    pub respect_ignored: bool,
    /// What happens to what a deleted object owns.
    pub propagation: Propagation,
    /// When a failed sync is tried again.
    pub retry: Backoff,
    /// When somebody confirmed the prunes that ask for it.
    pub confirmed_at: Option<Timestamp>,
    /// The digest of a prune plan that a person approved.
    pub prune_approved: Option<String>,
}

/// When a sync ends.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The invocation's end.
    pub until: Instant,
    /// When the invocation waits for hooks and waves no longer, but leaves that to the next.
    pub patience: Instant,
    /// How long a sync may take in all its invocations together.
    pub timeout: Duration,
}

impl Times {
    /// A sync that waits as long as its invocation lasts.
    pub fn until(until: Instant) -> Self {
        Self { until, patience: until, timeout: TIMEOUT }
    }
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
    /// A person asked for it: a commit that failed before is tried again.
    pub is_manual: bool,
    /// The sync to go on with: where that has ended, nothing is to be done.
    pub resumes: Option<String>,
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

/// Brings the application of `job` to its commit. Everything ends at the `times` given; `stop` turns true when a newer commit is
/// there, which ends the waiting, not the writing. Never fails: what went wrong is in the outcome.
pub async fn sync(
    job: &Job,
    reporter: Option<&Reporter>,
    holder: &str,
    times: Times,
    stop: watch::Receiver<bool>,
) -> Outcome {
    let until = times.until;
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
    let mut run = Run::new(job, reporter, &lease, times, stop);
    let ended = Box::pin(tokio::time::timeout_at(until, lease.hold(run.bring()))).await;
    let stopped = match ended {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(stop))) => Some(stop),
        Ok(Err(lost)) => Some(Stop::Lock(Box::new(lost))),
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
    times: Times,
    stop: watch::Receiver<bool>,
    view: View,
    progress: Progress,
    /// What differs from Git.
    modified: BTreeSet<ObjectId>,
    book: Book<'a>,
}

impl<'a> Run<'a> {
    fn new(
        job: &'a Job,
        reporter: Option<&'a Reporter>,
        lease: &Lease,
        times: Times,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let outcome = Outcome {
            phase: Phase::Progressing,
            changes: Vec::new(),
            problems: Vec::new(),
            warnings: job.warnings.clone(),
            retry: false,
            again: false,
            next: None,
        };
        let book = Book {
            job,
            reporter,
            cluster: lease.cluster(),
            until: times.until,
            state: State::default(),
            version: None,
            transitions: lease.transitions(),
            started: Timestamp::now(),
            places: BTreeMap::new(),
            foreign: BTreeMap::new(),
            rehearsed: BTreeMap::new(),
            new_namespaces: BTreeSet::new(),
            seen: BTreeMap::new(),
            wanted: BTreeSet::new(),
            images: Vec::new(),
            health: BTreeMap::new(),
            outcome,
        };
        Self { times, stop, view: View::default(), progress: Progress::default(), modified: BTreeSet::new(), book }
    }

    /// The whole of it, up to where it has to wait for another invocation.
    async fn bring(&mut self) -> Result<(), Stop> {
        self.load().await?;
        let operation = self.book.state.operation.as_ref().map(|operation| &operation.id);
        if self.book.job.resumes.as_ref().is_some_and(|resumes| Some(resumes) != operation) {
            return Err(Stop::Ended);
        }
        if !self.end_previous().await? {
            return Ok(());
        }
        self.look().await?;
        if self.book.state.operation.is_some() {
            self.take_up();
        } else {
            if !self.compare().await {
                self.progress.phase = OperationPhase::Succeeded;
                "nothing differs from Git".clone_into(&mut self.progress.message);
                return self.settle().await;
            }
            self.begin()?;
        }
        self.record_intent().await?;
        if self.operate().await? { self.settle().await } else { Ok(()) }
    }

    async fn load(&mut self) -> Result<(), Stop> {
        if let Some(recorded) = state::read(&self.book.cluster, &self.book.job.owner.key).await? {
            self.book.version = Some(recorded.version().to_owned());
            self.book.state = recorded.state;
        }
        Ok(())
    }

    /// Ends a sync of another commit that was left half-way: its running hooks are waited for, then let go. Whether that is done.
    async fn end_previous(&mut self) -> Result<bool, Stop> {
        let job = self.book.job;
        let revision = &job.revision;
        let Some(previous) = self.book.state.operation.clone().filter(|operation| operation.revision != *revision)
        else {
            return Ok(true);
        };
        self.progress = self.recorded();
        let hooks: BTreeSet<ObjectId> =
            self.progress.running().filter(|(_, hook)| *hook).map(|(id, _)| id.clone()).collect();
        let known: BTreeSet<GroupKind> = hooks.iter().map(GroupKind::of).collect();
        let kinds = self.book.cluster.resolve(&BTreeSet::new(), &known).await;
        let places: Vec<Place> = hooks.iter().filter_map(|id| view::place_of(&kinds, id)).collect();
        self.book.places = places.iter().map(|place| (place.id(), place.clone())).collect();
        let left = self.times.timeout.saturating_sub(since(previous.started_at));
        let until = self.times.patience.min(Instant::now() + left);
        let found = wait::wait(&self.book.cluster, &places, until, |_, object| hook_ended(job, object)).await;
        let is_open = found.values().any(|outcome| matches!(outcome.progress, Seen::Waiting(_)));
        if is_open && since(previous.started_at) < self.times.timeout {
            let names: Vec<String> = found.keys().map(ToString::to_string).collect();
            let warning = format!("a hook of the commit before still runs: {}", names.join(", "));
            self.book.outcome.warnings.push(warning);
            self.leave();
            return Ok(false);
        }
        let live: BTreeMap<ObjectId, Object> =
            found.into_iter().filter_map(|(id, outcome)| Some((id, outcome.object?))).collect();
        let targets: Vec<Object> = live.values().cloned().collect();
        self.view = View { targets, live, ..View::default() };
        self.terminate(&previous).await;
        self.progress = Progress::default();
        self.book.state.operation = None;
        Ok(true)
    }

    /// Lets this sync's hooks go, those that run are deleted.
    async fn terminate(&mut self, operation: &Operation) {
        let options = self.options(operation);
        let (view, book) = (&self.view, &mut self.book);
        let health = judge(book.job);
        engine::terminate(&input(view, &options, &health), &mut self.progress, book).await;
        self.merge();
    }

    /// What the state says became of each object so far.
    fn recorded(&self) -> Progress {
        let last = self.book.state.status.operation_state.as_ref();
        let result = last.and_then(|last| last.sync_result.as_ref());
        Progress::resume(result.map(|result| result.resources.clone()).unwrap_or_default())
    }

    /// Goes on with the sync that the state tells of.
    fn take_up(&mut self) {
        self.progress = self.recorded();
        if let Some(operation) = &mut self.book.state.operation {
            operation.attempt += 1;
            self.book.started = operation.started_at;
        }
    }

    /// Begins a sync; not of a commit that failed already.
    fn begin(&mut self) -> Result<(), Stop> {
        let book = &mut self.book;
        let revision = &book.job.revision;
        let last = book.state.status.operation_state.as_ref().filter(|last| {
            matches!(last.phase, OperationPhase::Failed | OperationPhase::Error)
                && last
                    .sync_result
                    .as_ref()
                    .is_some_and(|result| result.revision == *revision && !result.resources.is_empty())
                && !book.job.is_manual
        });
        if let Some(last) = last {
            return Err(Stop::Tried { revision: report::short(revision).to_owned(), message: last.message.clone() });
        }
        book.state.operation = Some(Operation {
            id: format!("{}-{}", report::short(revision), book.started.as_millisecond()),
            revision: revision.clone(),
            started_at: book.started,
            steps_done: 0,
            attempt: 0,
            retries: 0,
            not_before: None,
        });
        Ok(())
    }

    /// Before the first write: all that may be ours after it.
    async fn record_intent(&mut self) -> Result<(), Stop> {
        let Some(operation) = self.book.state.operation.clone() else { return Ok(()) };
        let options = self.options(&operation);
        let health = judge(self.book.job);
        let tasks = engine::tasks(&input(&self.view, &options, &health));
        let ours = tasks.iter().filter(|task| {
            task.target().is_some_and(|object| object.label(slipway_cluster::tracking::PART_OF).is_some())
        });
        let foreign = &self.book.foreign;
        let ids: Vec<ObjectId> = ours.map(|task| task.id.clone()).filter(|id| !foreign.contains_key(id)).collect();
        self.book.state.inventory.extend(ids);
        // Hooks with generated names have their places only now.
        for task in &tasks {
            let known =
                |place: &Place| place.resource.gvk.group == task.id.group && place.resource.gvk.kind == task.id.kind;
            if !self.book.places.contains_key(&task.id)
                && let (Some(object), Some(place)) =
                    (task.object(), self.book.places.values().find(|place| known(place)))
            {
                let place = Place::of(&place.resource, object);
                self.book.places.insert(task.id.clone(), place);
            }
        }
        self.find_named_hooks(&tasks).await;
        self.book.save(&self.progress).await
    }

    /// Hooks with generated names that this sync made before it was cut off.
    async fn find_named_hooks(&mut self, tasks: &[plan::Task]) {
        let is_open = |id: &ObjectId| !self.view.live.contains_key(id);
        let hooks = tasks.iter().filter(|task| task.hook && task.live.is_none() && is_open(&task.id));
        let places: Vec<Place> = hooks.filter_map(|task| self.book.places.get(&task.id).cloned()).collect();
        let is_fresh = self.book.state.operation.as_ref().is_none_or(|operation| operation.attempt == 0);
        if places.is_empty() || is_fresh {
            return;
        }
        let (found, failures) = live::get_all(&self.book.cluster, &places).await;
        self.view.live.extend(found);
        for failure in &failures {
            self.book.fail(failure);
        }
    }

    /// The options of this operation.
    fn options(&self, operation: &Operation) -> Options {
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
    async fn operate(&mut self) -> Result<bool, Stop> {
        loop {
            let Some(operation) = self.book.state.operation.clone() else { return Ok(true) };
            if since(operation.started_at) > self.times.timeout || operation.attempt > TAKEN_UP {
                let waited = std::mem::take(&mut self.progress.message);
                self.terminate(&operation).await;
                self.progress.phase = OperationPhase::Failed;
                self.progress.message = format!("the sync took too long: {waited}");
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
                operation.steps_done += 1;
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
        let health = judge(self.book.job);
        engine::step(&input(&self.view, &options, &health), &mut self.progress, &mut self.book).await;
        self.merge();
    }

    /// What the step saw is what the next looks at.
    fn merge(&mut self) {
        for (id, object) in std::mem::take(&mut self.book.seen) {
            self.see(id, object);
        }
    }

    fn see(&mut self, id: ObjectId, object: Option<Object>) {
        if id == ObjectId::new("", "Namespace", "", &self.book.job.owner.namespace) {
            self.view.namespace.clone_from(&object);
        }
        let Some(object) = object else {
            self.view.extras.remove(&id);
            self.book.health.remove(&id);
            self.view.live.remove(&id);
            return;
        };
        if let Some(extra) = self.view.extras.get_mut(&id) {
            extra.live = object.clone();
        }
        let verdict = judge(self.book.job)(&object);
        if let (Some(verdict), true) = (verdict, self.book.wanted.contains(&id)) {
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
        let at = Timestamp::now() + delay;
        let message = format!("{}. Retrying attempt #{} at {at:.0}.", self.progress.message, operation.retries + 1);
        self.progress = Progress::default();
        self.progress.message = message;
        if let Some(operation) = &mut self.book.state.operation {
            operation.retries += 1;
            operation.not_before = Some(at);
        }
        self.book.outcome.problems.clear();
        self.book.outcome.retry = false;
        self.book.rehearsed.clear();
        self.book.save(&self.progress).await?;
        match self.back_off(delay).await {
            Waited::Seen => {
                self.look().await?;
                self.record_intent().await?;
                Ok(Waited::Seen)
            }
            waited => Ok(waited),
        }
    }

    /// After the sync: how well everything is, waiting for workloads as long as there is time.
    async fn settle(&mut self) -> Result<(), Stop> {
        self.forget_gone().await;
        self.look_health();
        if self.book.is_progressing(&self.progress) {
            self.book.tell(&self.progress).await;
            self.book.save(&self.progress).await?;
            self.wait_for_health().await;
        }
        Ok(())
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
fn input<'v>(
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

/// The health of an object, with the checks of the job's Argo CD.
fn judge(job: &Job) -> impl Fn(&Object) -> Option<Verdict> + Send + Sync {
    move |object| job.checks.of(object, Timestamp::now())
}
