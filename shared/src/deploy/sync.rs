//! One application at one commit, under its Lease: look, compare, then [`engine::step`] after step, each recorded
//! before the next.
//!
//! Guarantees: before the first write the inventory holds old and new objects; it shrinks only by what is seen to be
//! gone; nothing is pruned unless everything was rendered and resolved. No object that another application owns, and
//! none that Argo CD applied after us, is touched. A sync that was cut off is taken up where its state says it stood,
//! its own hooks included. Waiting ends by health, by the times given, or when `stop` says that a newer commit is
//! there; a hook that runs is let run.

mod begin;
mod deferred;
pub mod delete;
pub mod dependencies;
mod diagnosis;
mod executor;
mod operate;
mod outcome;
mod record;
pub mod retry;
mod snapshot;
mod wait;

use slipway_gitops::identity;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use slipway_cluster::lease::{self, Acquisition, Lease};
use slipway_cluster::state::Reached;
use slipway_cluster::state::{AppKey, State};
use slipway_gitops::Redactor;
use slipway_gitops::comparison::Rules;
use slipway_gitops::health::Checks;
use slipway_gitops::prune_guard::Propagation;
use slipway_gitops::status::{Initiator, OperationPhase, OperationState};
use slipway_gitops::sync::{Options, Progress};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::ProjectPermissions;
use crate::clusters::ConnectedCluster;
use crate::error::chain;
use crate::notify::report::{self, AppSyncStatus};
use crate::notify::reporter::Reporter;
use crate::notify::subscribe::Subscriptions;
use crate::time;
use dependencies::Dependencies;
use executor::SyncExecutor;
use outcome::SyncError;
pub use outcome::{Continuation, REFRESH_PREFIX, SyncOutcome};
use retry::Backoff;
use snapshot::ClusterSnapshot;

/// Requests for objects of one kind on their way at the same time.
const REQUEST_CONCURRENCY: usize = 16;
/// Kinds whose health a deployment waits for.
const WORKLOADS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job"];
/// How long a renewal of the Lease lasts.
const LEASE_DURATION: Duration = Duration::from_secs(30);

/// How long a Lease that somebody holds is asked for, and how often.
const LEASE_WAIT_TIMEOUT: Duration = Duration::from_mins(1);
const LEASE_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How long a sync may take in all its invocations together, unless the settings say otherwise.
pub const SYNC_TIMEOUT: Duration = Duration::from_hours(1);
/// How often one sync may be taken up again: a chain of messages comes to an end.
const MAX_RESUMPTIONS: u32 = 200;

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OperationKind {
    /// That the cluster has what Git has.
    #[default]
    Sync,
    /// That some objects are as in Git, and nothing else: those that `options.resources` names.
    SelectiveSync,
    /// That what was changed behind Git's back is undone, and nothing else.
    SelfHeal,
    /// Hooks of a deletion, and nothing else.
    DeleteHooks,
    /// That everything the application has is gone.
    Delete,
}

/// What the Application asks for besides its objects.
#[derive(Debug, Clone, Default)]
// Each is a switch of Argo CD's.
#[allow(clippy::struct_excessive_bools)]
pub struct SyncPolicy {
    /// What for.
    pub operation: OperationKind,
    /// Applications that have to be there first.
    pub depends_on: Dependencies,
    /// How to sync; what belongs to a single operation is filled in when it begins.
    pub options: Options,
    /// A prune may leave nothing.
    pub allow_empty: bool,
    /// Objects that are as in Git already are not applied.
    pub out_of_sync_only: bool,
    /// The sync fails where another application owns one of the objects.
    pub fail_on_shared_resource: bool,
    /// What `ignoreDifferences` names is left to others when applying, too.
    pub respect_ignore_differences: bool,
    /// What happens to what a deleted object owns.
    pub propagation: Propagation,
    /// When a failed sync is tried again.
    pub retry: Backoff,
    /// When somebody confirmed the prunes that ask for it.
    pub confirmed_at: Option<Timestamp>,
    /// The digest of a prune plan that a person approved.
    pub prune_approved: Option<String>,
    /// Objects stay when the application is deleted, unless they say otherwise themselves.
    pub orphan_on_delete: bool,
    /// Their deletion with the application has to be approved one by one.
    pub confirms_deletion: bool,
}

impl SyncPolicy {
    /// Whether the operation is about this object.
    pub fn selects(&self, id: &ObjectId) -> bool {
        self.options.resources.as_ref().is_none_or(|resources| resources.contains(id))
    }
}

/// When a sync ends.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// The invocation's end.
    pub until: Instant,
    /// When the invocation waits for hooks and waves no longer, but leaves that to the next.
    pub hand_over_at: Instant,
    /// How long a sync may take in all its invocations together.
    pub timeout: Duration,
    /// How long a renewal of the Lease lasts: a worker that died is taken up after that.
    pub lease: Duration,
    /// Whether the next invocation comes after a rest, by a schedule.
    pub reschedules: bool,
    /// How often somebody came to look already.
    pub attempt: u32,
}

impl Deadlines {
    /// A sync that waits as long as its invocation lasts.
    pub fn until(until: Instant) -> Self {
        Self {
            until,
            hand_over_at: until,
            timeout: SYNC_TIMEOUT,
            lease: LEASE_DURATION,
            reschedules: false,
            attempt: 0,
        }
    }

    /// How much a sync that began at `started` has left of its time.
    fn left(&self, started: Timestamp) -> Duration {
        self.timeout.saturating_sub(time::since(started))
    }
}

/// Whose objects these are, and where they go by default.
#[derive(Debug, Clone)]
pub struct AppOwner {
    /// The application in its root.
    pub key: AppKey,
    /// Its name in tracking ids: `name`, or `namespace_name` outside Argo CD's own namespace.
    pub instance: String,
    /// The destination's namespace; may be empty.
    pub namespace: String,
}

impl AppOwner {
    /// As the cluster crate names it.
    pub fn cluster(&self) -> identity::AppIdentity {
        identity::AppIdentity {
            app: self.instance.clone(),
            applyset: self.key.applyset_id(),
            namespace: self.namespace.clone(),
        }
    }
}

/// An application to bring to a commit.
pub struct SyncRequest {
    /// Whose objects these are.
    pub owner: AppOwner,
    /// Where they go.
    pub destination: ConnectedCluster,
    /// The repository, for messages.
    pub repo: String,
    /// The commit.
    pub revision: String,
    /// Everything rendered from it.
    pub objects: Vec<Object>,
    /// What rendering warned of.
    pub warnings: Vec<String>,
    /// What the Application asks for.
    pub policy: SyncPolicy,
    /// Who asks for it: for a person a commit that failed before is tried again.
    pub initiator: Initiator,
    /// The sync to go on with: where that has ended, nothing is to be done.
    pub resume_operation: Option<String>,
    /// `Kustomize`, `Helm`, `Directory`.
    pub source_type: String,
    /// What its charts took for the time of the first deployment.
    pub first_deployed_at: Option<Timestamp>,
    /// What its project allows.
    pub permit: ProjectPermissions,
    /// Who hears of it.
    pub subscriptions: Subscriptions,
    /// The Application's `metadata` and `spec` as far as `app get` shows them; no values.
    pub application: Value,
    /// What counts as a difference between Git and the cluster.
    pub rules: Rules,
    /// How the health of the objects is judged.
    pub checks: Checks,
}

impl SyncRequest {
    /// Whether `id` is the destination's namespace, and the Application asks for it whatever Git has
    /// (`CreateNamespace=true`): a Namespace that leaves Git stays then, with all that is in it
    /// (argoproj/argo-cd#16995).
    pub fn wants_namespace(&self, id: &ObjectId) -> bool {
        let asks = self.policy.options.create_namespace.is_some();
        asks && *id == ObjectId::new("", "Namespace", "", &self.owner.namespace)
    }
}

/// Brings the application of `request` to its commit. Everything ends at the `times` given; `stop` turns true when a
/// newer commit is there, which ends the waiting, not the writing. Never fails: what went wrong is in the outcome.
pub async fn sync(
    request: &SyncRequest,
    reporter: Option<&Reporter>,
    holder: &str,
    times: Deadlines,
    stop: watch::Receiver<bool>,
) -> SyncOutcome {
    let until = times.until;
    let lease = match acquire_lease(request, holder, &times).await {
        Ok(lease) => lease,
        Err(outcome) => return *outcome,
    };
    let mut run = SyncOperation::new(request, reporter, &lease, times, stop);
    let ended = Box::pin(tokio::time::timeout_at(until, lease.keep_renewed(run.reconcile()))).await;
    let stopped = match ended {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(stop))) => Some(stop),
        Ok(Err(lost)) => Some(SyncError::Lock(Box::new(lost))),
        Err(_) => Some(SyncError::DeadlineExceeded),
    };
    let mut outcome = Box::pin(run.finish(stopped)).await;
    match lease.release().await {
        Ok(wanted) => outcome.requeue = wanted.is_some_and(|wanted| wanted != request.revision),
        Err(error) => {
            tracing::warn!(app = request.owner.instance, error = chain(&error), "the lease was not given back");
        }
    }
    outcome
}

/// The Lease of the application, or how it ends without.
async fn acquire_lease(request: &SyncRequest, holder: &str, times: &Deadlines) -> Result<Lease, Box<SyncOutcome>> {
    let (holder, duration, wanted) = (holder.to_owned(), times.lease, request.revision.clone());
    let options = lease::Options { holder, duration, expires_after: duration, pending_request: wanted };
    // A check holds it for seconds and can't take our commit up: ask again for a while. A deployment holds it for
    // long and can.
    let patient = time::after(LEASE_WAIT_TIMEOUT).min(times.until);
    loop {
        match lease::acquire(&request.destination.cluster, &request.owner.key, &options).await {
            Ok(Acquisition::Acquired(lease)) => return Ok(*lease),
            Ok(Acquisition::Held { .. }) if time::after(LEASE_POLL_INTERVAL) < patient => {
                tokio::time::sleep(LEASE_POLL_INTERVAL).await;
            }
            Ok(Acquisition::Held { holder }) => return Err(Box::new(SyncOutcome::in_progress_by(&holder))),
            Err(error) => return Err(Box::new(SyncOutcome::failed(chain(&error), true))),
        }
    }
}

/// A sync under way.
struct SyncOperation<'a> {
    deadlines: Deadlines,
    stop: watch::Receiver<bool>,
    snapshot: ClusterSnapshot,
    progress: Progress,
    /// What differs from Git.
    modified: BTreeSet<ObjectId>,
    /// It has not begun, because others come first.
    is_queued: bool,
    executor: SyncExecutor<'a>,
}

impl<'a> SyncOperation<'a> {
    fn new(
        request: &'a SyncRequest,
        reporter: Option<&'a Reporter>,
        lease: &Lease,
        times: Deadlines,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let outcome = SyncOutcome {
            phase: AppSyncStatus::Progressing,
            changes: Vec::new(),
            problems: Vec::new(),
            warnings: request.warnings.clone(),
            retry: false,
            requeue: false,
            next: None,
        };
        let executor = SyncExecutor {
            request,
            reporter,
            cluster: lease.cluster().redacting(Redactor::of(&request.objects)),
            until: times.until,
            state: State::default(),
            version: None,
            transitions: lease.transitions(),
            started: Timestamp::now(),
            initiator: request.initiator.clone(),
            objects: BTreeMap::new(),
            foreign: BTreeMap::new(),
            dry_run_results: BTreeMap::new(),
            deferred: deferred::DeferredDryRuns::default(),
            observed: BTreeMap::new(),
            wanted: BTreeSet::new(),
            absent: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            images: Vec::new(),
            health: BTreeMap::new(),
            ailing: 0,
            outcome,
        };
        Self {
            deadlines: times,
            stop,
            snapshot: ClusterSnapshot::default(),
            progress: Progress::default(),
            modified: BTreeSet::new(),
            is_queued: false,
            executor,
        }
    }

    /// The whole of it, up to where it has to wait for another invocation.
    async fn reconcile(&mut self) -> Result<(), SyncError> {
        self.load().await?;
        let operation = self.executor.state.operation.as_ref().map(|operation| &operation.id);
        if self.executor.request.resume_operation.as_ref().is_some_and(|resumes| Some(resumes) != operation) {
            return Err(SyncError::OperationEnded);
        }
        if let (OperationKind::SelectiveSync, Some(operation)) =
            (self.executor.request.policy.operation, &self.executor.state.operation)
        {
            return Err(SyncError::OperationInProgress { revision: report::short(&operation.revision).to_owned() });
        }
        if self.executor.request.policy.operation == OperationKind::SelfHeal && self.is_overtaken() {
            return Err(SyncError::OperationEnded);
        }
        delete::cancel_deletion(&mut self.executor.state);
        if !self.end_previous().await? {
            return Ok(());
        }
        self.refresh().await?;
        if self.executor.state.operation.is_some() {
            if !self.resume().await {
                return Ok(());
            }
        } else {
            let differs = self.compare().await?;
            let (request, state) = (self.executor.request, &mut self.executor.state);
            // A commit whose hook failed may differ in nothing, and is no success for that.
            if !differs && state.status.failed(&request.revision).is_none_or(OperationState::is_part) {
                state.attempt.reach(&request.revision, Reached::All);
                self.progress.phase = OperationPhase::Succeeded;
                "nothing differs from Git".clone_into(&mut self.progress.message);
                return self.finish_tasks().await;
            }
            self.begin()?;
        }
        if !self.wait_for_dependencies().await? {
            return Ok(());
        }
        self.record_intent().await?;
        if self.operate().await? { self.finish_tasks().await } else { Ok(()) }
    }
}
