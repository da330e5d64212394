//! One application at one commit, under its Lease: look, compare, then [`engine::step`] after step, each recorded before the next.
//!
//! Guarantees: before the first write the inventory holds old and new objects; it shrinks only by what is seen to be gone;
//! nothing is pruned unless everything was rendered and resolved. No object that another application owns, and
//! none that Argo CD applied after us, is touched. A sync that was cut off is taken up where its state says it stood, its own hooks
//! included. Waiting ends by health, by the times given, or when `stop` says that a newer commit is there; a hook that runs is let run.

mod begin;
mod book;
pub mod delete;
pub mod depend;
mod explain;
mod late;
mod operate;
mod outcome;
mod record;
pub mod retry;
mod view;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use slipway_cluster::compare::Rules;
use slipway_cluster::engine::{Options, Progress};
use slipway_cluster::health::Checks;
use slipway_cluster::lock::{self, Acquired, Lease};
use slipway_cluster::prune::Propagation;
use slipway_cluster::state::Reached;
use slipway_cluster::state::{AppKey, State};
use slipway_cluster::status::{Initiator, OperationPhase, OperationState};
use slipway_cluster::{Redactor, plan};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::Permit;
use crate::clusters::Destination;
use crate::error::chain;
use crate::notify::report::{self, Phase};
use crate::notify::reporter::Reporter;
use crate::notify::subscribe::Subscriptions;
use crate::time;
use book::Book;
use depend::Dependencies;
use outcome::Stop;
pub use outcome::{LOOK, Next, Outcome};
use retry::Backoff;
use view::View;

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

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aim {
    /// That the cluster has what Git has.
    #[default]
    Sync,
    /// That some objects are as in Git, and nothing else: those that `options.resources` names.
    Part,
    /// That what was changed behind Git's back is undone, and nothing else.
    Heal,
    /// Hooks of a deletion, and nothing else.
    DeletionHooks,
    /// That everything the application has is gone.
    Deletion,
}

/// What the Application asks for besides its objects.
#[derive(Debug, Clone, Default)]
// Each is a switch of Argo CD's.
#[allow(clippy::struct_excessive_bools)]
pub struct Policy {
    /// What for.
    pub aim: Aim,
    /// Applications that have to be there first.
    pub after: Dependencies,
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
    /// Objects stay when the application is deleted, unless they say otherwise themselves.
    pub keeps_objects: bool,
    /// Their deletion with the application has to be approved one by one.
    pub confirms_deletion: bool,
}

impl Policy {
    /// Whether the operation is about this object.
    pub fn is_meant(&self, id: &ObjectId) -> bool {
        self.options.resources.as_ref().is_none_or(|resources| resources.contains(id))
    }
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
    /// How long a renewal of the Lease lasts: a worker that died is taken up after that.
    pub lease: Duration,
    /// Whether the next invocation comes after a rest, by a schedule.
    pub rests: bool,
    /// How often somebody came to look already.
    pub round: u32,
}

impl Times {
    /// A sync that waits as long as its invocation lasts.
    pub fn until(until: Instant) -> Self {
        Self { until, patience: until, timeout: TIMEOUT, lease: LEASE, rests: false, round: 0 }
    }

    /// How much a sync that began at `started` has left of its time.
    fn left(&self, started: Timestamp) -> Duration {
        self.timeout.saturating_sub(time::since(started))
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
    /// Who asks for it: for a person a commit that failed before is tried again.
    pub initiator: Initiator,
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

impl Job {
    /// Whether `id` is the destination's namespace, and the Application asks for it whatever Git has (`CreateNamespace=true`): a Namespace
    /// that leaves Git stays then, with all that is in it (argoproj/argo-cd#16995).
    pub fn wants_namespace(&self, id: &ObjectId) -> bool {
        let asks = self.policy.options.create_namespace.is_some();
        asks && *id == ObjectId::new("", "Namespace", "", &self.owner.namespace)
    }
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
    let lease = match take_lease(job, holder, &times).await {
        Ok(lease) => lease,
        Err(outcome) => return *outcome,
    };
    let mut run = Run::new(job, reporter, &lease, times, stop);
    let ended = Box::pin(tokio::time::timeout_at(until, lease.hold(run.bring()))).await;
    let stopped = match ended {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(stop))) => Some(stop),
        Ok(Err(lost)) => Some(Stop::Lock(Box::new(lost))),
        Err(_) => Some(Stop::Time),
    };
    let mut outcome = Box::pin(run.finish(stopped)).await;
    match lease.release().await {
        Ok(wanted) => outcome.again = wanted.is_some_and(|wanted| wanted != job.revision),
        Err(error) => tracing::warn!(app = job.owner.instance, error = chain(&error), "the lease was not given back"),
    }
    outcome
}

/// The Lease of the application, or how it ends without.
async fn take_lease(job: &Job, holder: &str, times: &Times) -> Result<Lease, Box<Outcome>> {
    let (holder, duration, wanted) = (holder.to_owned(), times.lease, job.revision.clone());
    let options = lock::Options { holder, duration, patience: duration, wanted };
    // A check holds it for seconds and can't take our commit up: ask again for a while. A deployment holds it for long and can.
    let patient = time::after(PATIENCE).min(times.until);
    loop {
        match lock::acquire(&job.destination.cluster, &job.owner.key, &options).await {
            Ok(Acquired::Mine(lease)) => return Ok(*lease),
            Ok(Acquired::Held { .. }) if time::after(ASK) < patient => tokio::time::sleep(ASK).await,
            Ok(Acquired::Held { holder }) => return Err(Box::new(Outcome::left_to(&holder))),
            Err(error) => return Err(Box::new(Outcome::failed(chain(&error), true))),
        }
    }
}

/// A sync under way.
struct Run<'a> {
    times: Times,
    stop: watch::Receiver<bool>,
    view: View,
    progress: Progress,
    /// What differs from Git.
    modified: BTreeSet<ObjectId>,
    /// It has not begun, because others come first.
    is_queued: bool,
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
            cluster: lease.cluster().redacting(Redactor::of(&job.objects)),
            until: times.until,
            state: State::default(),
            version: None,
            transitions: lease.transitions(),
            started: Timestamp::now(),
            initiator: job.initiator.clone(),
            places: BTreeMap::new(),
            foreign: BTreeMap::new(),
            rehearsed: BTreeMap::new(),
            late: late::Late::default(),
            seen: BTreeMap::new(),
            wanted: BTreeSet::new(),
            absent: BTreeSet::new(),
            left: BTreeSet::new(),
            images: Vec::new(),
            health: BTreeMap::new(),
            ailing: 0,
            outcome,
        };
        Self {
            times,
            stop,
            view: View::default(),
            progress: Progress::default(),
            modified: BTreeSet::new(),
            is_queued: false,
            book,
        }
    }

    /// The whole of it, up to where it has to wait for another invocation.
    async fn bring(&mut self) -> Result<(), Stop> {
        self.load().await?;
        let operation = self.book.state.operation.as_ref().map(|operation| &operation.id);
        if self.book.job.resumes.as_ref().is_some_and(|resumes| Some(resumes) != operation) {
            return Err(Stop::Ended);
        }
        if let (Aim::Part, Some(operation)) = (self.book.job.policy.aim, &self.book.state.operation) {
            return Err(Stop::Busy { revision: report::short(&operation.revision).to_owned() });
        }
        if self.book.job.policy.aim == Aim::Heal && self.is_overtaken() {
            return Err(Stop::Ended);
        }
        delete::call_off(&mut self.book.state);
        if !self.end_previous().await? {
            return Ok(());
        }
        self.look().await?;
        if self.book.state.operation.is_some() {
            if !self.take_up().await {
                return Ok(());
            }
        } else {
            let differs = self.compare().await?;
            let (job, state) = (self.book.job, &mut self.book.state);
            // A commit whose hook failed may differ in nothing, and is no success for that.
            if !differs && state.status.failed(&job.revision).is_none_or(OperationState::is_part) {
                state.attempt.reach(&job.revision, Reached::All);
                self.progress.phase = OperationPhase::Succeeded;
                "nothing differs from Git".clone_into(&mut self.progress.message);
                return self.settle().await;
            }
            self.begin()?;
        }
        if !self.come_after().await? {
            return Ok(());
        }
        self.record_intent().await?;
        if self.operate().await? { self.settle().await } else { Ok(()) }
    }
}
