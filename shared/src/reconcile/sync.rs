//! Syncs one application to one commit of each of its sources, under its Lease: lists, compares, then runs
//! [`sync::step`](fn@slipway_gitops::sync::step) again and again, and records each step before the next.
//!
//! Guarantees: before the first write the inventory holds old and new objects; it shrinks only by objects that were
//! seen to be gone; nothing is pruned unless everything was rendered and resolved. No object that another application
//! owns, and none that Argo CD applied after Slipway, is touched. An interrupted sync resumes where its state says it
//! stood, its own hooks included. Waiting ends by health, by the given deadlines, or when `stop` says that a newer
//! commit exists; a running hook is never interrupted.

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
mod volume_binding;
mod wait;

use slipway_gitops::identity;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use slipway_cluster::lease;
use slipway_cluster::state::{AppKey, State};
use slipway_gitops::Revisions;
use slipway_gitops::comparison::Rules;
use slipway_gitops::health::Checks;
use slipway_gitops::prune_guard::Propagation;
use slipway_gitops::status::{Initiator, OperationPhase, ResourceStatus, SourceTypes};
use slipway_gitops::sync::{Options, Progress};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::ProjectPermissions;
use crate::clusters::ConnectedCluster;
use crate::error::chain;
use crate::notify::report::AppSyncStatus;
use crate::notify::reporter::Reporter;
use crate::notify::subscribe::Subscriptions;
use crate::reconcile::notes::{ChartDigests, RemoteVersions};
use crate::reconcile::session::{LEASE_DURATION, Opened, Session};
use crate::root::listings::Listings;
use crate::time;
use dependencies::Dependencies;
use executor::SyncExecutor;
use outcome::SyncError;
pub use outcome::{Continuation, Resume, SyncOutcome};
use retry::Backoff;
use snapshot::ClusterSnapshot;

/// Concurrent requests for objects of one kind, so that one application can't exhaust the API server's priority level.
const REQUEST_CONCURRENCY: usize = 16;
/// Kinds whose health a deployment waits for: the others are well at once or depend on these.
const WORKLOADS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job"];

/// How long to keep trying to acquire a held Lease, and the polling interval.
const LEASE_WAIT_TIMEOUT: Duration = Duration::from_mins(1);
const LEASE_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Limit of one sync over all its invocations, unless the settings say otherwise.
pub const SYNC_TIMEOUT: Duration = Duration::from_hours(1);
/// Upper bound on resumptions of one sync, so that a message cannot re-queue itself for ever.
const MAX_RESUMPTIONS: u32 = 200;

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OperationKind {
    /// Syncs the whole application.
    #[default]
    Sync,
    /// Syncs only the objects that `options.resources` selects.
    SelectiveSync,
    /// Self-heal: re-applies only the objects that were changed out of band.
    SelfHeal,
    /// Runs only the hooks of a deletion.
    DeleteHooks,
    /// Deletes every object of the application.
    Delete,
}

impl OperationKind {
    /// Whether the operation is about what Git has: a deletion, or a hook of one, says nothing of the rest.
    pub fn is_compared(self) -> bool {
        matches!(self, Self::Sync | Self::SelectiveSync | Self::SelfHeal)
    }
}

/// What the Application asks for besides its objects.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate switch of Argo CD's")]
pub struct SyncPolicy {
    /// The kind of the operation that this policy is for.
    pub operation: OperationKind,
    /// Applications that must be Synced and Healthy first.
    pub depends_on: Dependencies,
    /// Options of the sync engine; those of a single operation are filled in when it begins.
    pub options: Options,
    /// `automated.allowEmpty`: a prune may remove the last object.
    pub allow_empty: bool,
    /// `ApplyOutOfSyncOnly`: objects that are Synced are not applied.
    pub out_of_sync_only: bool,
    /// `FailOnSharedResource`: the sync fails where another application owns one of the objects.
    pub fail_on_shared_resource: bool,
    /// `RespectIgnoreDifferences`: fields that `ignoreDifferences` names are not applied either.
    pub respect_ignore_differences: bool,
    /// `PrunePropagationPolicy`: how dependents of a deleted object are deleted.
    pub propagation: Propagation,
    /// `syncPolicy.retry`: when a failed sync is tried again.
    pub retry: Backoff,
    /// When a person confirmed the prunes with `Prune=confirm`.
    pub confirmed_at: Option<Timestamp>,
    /// The digest of a prune plan that a person approved.
    pub prune_approved: Option<String>,
    /// Objects stay when the application is deleted, except where their own annotations say otherwise.
    pub orphan_on_delete: bool,
    /// `Delete=confirm` on the Application: each deletion needs approval.
    pub confirms_deletion: bool,
}

impl SyncPolicy {
    /// Whether the operation includes this object.
    pub fn selects(&self, id: &ObjectId) -> bool {
        self.options.resources.as_ref().is_none_or(|resources| resources.contains(id))
    }
}

/// The deadlines of one invocation of a sync.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// End of the invocation, less the time for reporting.
    pub until: Instant,
    /// After this point the invocation hands waiting over to a follow-up message.
    pub hand_over_at: Instant,
    /// Limit of one sync over all its invocations.
    pub timeout: Duration,
    /// Validity of one renewal of the Lease; a dead worker's application is free after that.
    pub lease: Duration,
    /// Whether the follow-up message can be delayed by EventBridge Scheduler.
    pub reschedules: bool,
    /// How many times this health check was rescheduled.
    pub attempt: u32,
}

impl Deadlines {
    /// Deadlines of a sync that waits as long as its invocation lasts.
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

    /// Time left of the limit, for a sync that began at `started`.
    fn left(&self, started: Timestamp) -> Duration {
        self.timeout.saturating_sub(time::since(started))
    }
}

/// Identity of the application that owns the objects, and its default namespace.
#[derive(Debug, Clone)]
pub struct AppOwner {
    /// The key of the recorded state.
    pub key: AppKey,
    /// The name in tracking ids: `name`, or `namespace_name` outside Argo CD's own namespace.
    pub instance: String,
    /// The destination's namespace; may be empty.
    pub namespace: String,
}

impl AppOwner {
    /// The id of the destination's namespace.
    pub fn namespace_id(&self) -> ObjectId {
        ObjectId::new("", "Namespace", "", &self.namespace)
    }

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
#[derive(Clone)]
pub struct SyncRequest {
    /// The application that owns the objects.
    pub owner: AppOwner,
    /// The cluster that the objects go to.
    pub destination: ConnectedCluster,
    /// `owner/repository` of each source, for messages.
    pub repos: Vec<String>,
    /// The place among the sources of the one whose commit messages are about: the one that moved, where it is known.
    pub reported: usize,
    /// The full SHAs of the commits, one for each source.
    pub revisions: Revisions,
    /// Tells one `spec` of the Application from another without saying what is in it; `None` where no key is at hand.
    pub spec_digest: Option<String>,
    /// Tells everything that the sync depends on from anything else; `None` where that is not known.
    pub inputs_digest: Option<String>,
    /// Everything rendered from them.
    pub objects: Vec<Object>,
    /// Warnings of the render.
    pub warnings: Vec<String>,
    /// Sync policy and options of the Application.
    pub policy: SyncPolicy,
    /// Who asked for the sync: a commit that failed before is only tried again for a person.
    pub initiator: Initiator,
    /// The id of the operation to resume; nothing is done where that has ended.
    pub resume_operation: Option<String>,
    /// How the objects were rendered.
    pub source_types: SourceTypes,
    /// The time of the first deployment, as the charts were rendered with it.
    pub first_deployed_at: Option<Timestamp>,
    /// What GitHub listed for the ApplicationSet that makes the Application.
    pub listings: Option<Arc<Listings>>,
    /// The Application's manifest, sealed, where its ApplicationSet may not change it.
    pub first_manifest: Option<String>,
    /// Rows of what it declares to Argo CD, which stays out of the cluster.
    pub declared: Vec<ResourceStatus>,
    /// The digests of the charts of Helm repositories that the objects are rendered from.
    pub charts: ChartDigests,
    /// What the remote bases and files are that the objects are rendered from.
    pub remotes: RemoteVersions,
    /// Permissions of the project.
    pub permit: ProjectPermissions,
    /// The notification channels of the Application.
    pub subscriptions: Subscriptions,
    /// The Application's `metadata` and `spec` as far as `app get` shows them; no values.
    pub application: Value,
    /// What counts as a difference between Git and the cluster.
    pub rules: Arc<Rules>,
    /// How the health of the objects is judged.
    pub checks: Checks,
}

impl SyncRequest {
    /// Repository and commit of the source at this place; empty where there is none.
    pub fn commit(&self, at: usize) -> (&str, &str) {
        let [repo, sha] =
            [&self.repos[..], self.revisions.as_slice()].map(|list| list.get(at).map_or("", String::as_str));
        (repo, sha)
    }

    /// Whether `id` is the destination's namespace and the Application asks for it by `CreateNamespace=true`. Such a
    /// Namespace stays when it is removed from Git, with all that is in it (argoproj/argo-cd#16995).
    pub fn wants_namespace(&self, id: &ObjectId) -> bool {
        self.kept_namespace().as_ref() == Some(id)
    }

    /// The destination's namespace, where the Application asks for it whatever Git has.
    pub fn kept_namespace(&self) -> Option<ObjectId> {
        self.policy.options.create_namespace.as_ref().map(|_| self.owner.namespace_id())
    }
}

/// Syncs the application of `request` within the deadlines `times`; `stop` turns true when a newer commit exists, which
/// ends the waiting, not the writing. Never fails: errors are in the outcome.
pub async fn sync(
    request: &SyncRequest,
    reporter: Option<&Reporter>,
    holder: &str,
    times: Deadlines,
    stop: watch::Receiver<bool>,
) -> SyncOutcome {
    let session = match open(request, holder, &times).await {
        Ok(session) => session,
        Err(outcome) => return *outcome,
    };
    let mut operation = SyncOperation::new(request, reporter, &session, times, stop);
    let ended = Box::pin(tokio::time::timeout_at(times.until, session.hold(operation.reconcile()))).await;
    let stopped = match ended {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(stop))) => Some(stop),
        Ok(Err(lost)) => Some(SyncError::Lock(Box::new(lost))),
        Err(_) => Some(SyncError::DeadlineExceeded),
    };
    let mut outcome = Box::pin(operation.finish(stopped)).await;
    outcome.requeue = session.close().await.is_some_and(|pending| pending != request.revisions.to_string());
    outcome
}

/// Opens the session of an operation, or says how it ends without. A check holds the Lease for seconds and can't take
/// our commit up: it is asked again for a while. A deployment holds it for long, and can.
async fn open(request: &SyncRequest, holder: &str, times: &Deadlines) -> Result<Session, Box<SyncOutcome>> {
    let (holder, duration, pending_request) = (holder.to_owned(), times.lease, request.revisions.to_string());
    let options = lease::Options { holder, duration, expires_after: duration, pending_request };
    let patient = time::after(LEASE_WAIT_TIMEOUT).min(times.until);
    loop {
        match Session::acquire(&request.destination.cluster, &request.owner.key, &options).await {
            Ok(Opened::Ours(session)) => return Ok(session),
            Ok(Opened::HeldBy(_)) if time::after(LEASE_POLL_INTERVAL) < patient => {
                tokio::time::sleep(LEASE_POLL_INTERVAL).await;
            }
            Ok(Opened::HeldBy(holder)) => return Err(Box::new(SyncOutcome::in_progress_by(&holder))),
            Err(error) => return Err(Box::new(SyncOutcome::failed(chain(&error), true))),
        }
    }
}

/// A sync in progress.
struct SyncOperation<'a> {
    deadlines: Deadlines,
    stop: watch::Receiver<bool>,
    snapshot: ClusterSnapshot,
    progress: Progress,
    /// It has not begun, because others come first.
    is_queued: bool,
    executor: SyncExecutor<'a>,
}

impl<'a> SyncOperation<'a> {
    fn new(
        request: &'a SyncRequest,
        reporter: Option<&'a Reporter>,
        session: &Session,
        times: Deadlines,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let outcome = SyncOutcome {
            phase: AppSyncStatus::Progressing,
            warnings: request.warnings.clone(),
            ..SyncOutcome::default()
        };
        let cluster = session.cluster();
        let executor = SyncExecutor {
            request,
            reporter,
            cluster: cluster.redacting(cluster.redactor().and(&request.objects)),
            until: times.until,
            state: State::default(),
            version: None,
            transitions: session.transitions(),
            started: Timestamp::now(),
            initiator: request.initiator.clone(),
            reported: request.reported,
            objects: BTreeMap::new(),
            shared_resources: BTreeMap::new(),
            dry_run_results: BTreeMap::new(),
            deferred: deferred::DeferredDryRuns::default(),
            volume_binding: volume_binding::VolumeBinding::default(),
            observed: BTreeMap::new(),
            wanted: BTreeSet::new(),
            absent: BTreeSet::new(),
            out_of_sync: BTreeSet::new(),
            retries: 0,
            modified: None,
            extraneous: BTreeMap::new(),
            is_observed: false,
            images: Vec::new(),
            repeated: BTreeMap::new(),
            health: BTreeMap::new(),
            health_problems: 0,
            outcome,
        };
        Self {
            deadlines: times,
            stop,
            snapshot: ClusterSnapshot::default(),
            progress: Progress::default(),
            is_queued: false,
            executor,
        }
    }

    /// Runs the sync up to its end, or to where it hands waiting over to another invocation.
    async fn reconcile(&mut self) -> Result<(), SyncError> {
        self.load().await?;
        let operation = self.executor.state.operation.as_ref().map(|operation| &operation.id);
        let is_other =
            self.executor.request.resume_operation.as_ref().is_some_and(|resumes| Some(resumes) != operation);
        // What ended in an outage begins again by the very message that ended it.
        if is_other && (operation.is_some() || !self.executor.is_outage()) {
            return Err(SyncError::OperationEnded);
        }
        let running = self.executor.state.operation.as_ref().filter(|operation| !self.is_expired(operation));
        if let (OperationKind::SelectiveSync, Some(operation)) = (self.executor.request.policy.operation, running) {
            return Err(SyncError::OperationInProgress { revisions: operation.revisions.short() });
        }
        if self.executor.request.policy.operation == OperationKind::SelfHeal && self.is_superseded() {
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
            if let Some(message) = self.nothing_to_sync(differs) {
                self.progress.phase = OperationPhase::Succeeded;
                self.progress.message = message;
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
