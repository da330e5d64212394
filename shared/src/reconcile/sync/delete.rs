//! Deletes an application: runs PreDelete hooks, deletes its objects, runs PostDelete hooks, then deletes its state.
//!
//! Guarantees: nothing is deleted, and no hook runs, before that very plan is approved; only objects that provably
//! belong to the application and that its project allows are deleted; a failed PreDelete hook keeps everything, a
//! failed PostDelete hook the state. An interrupted deletion resumes where it stood. The order is Argo CD's
//! (argoproj/argo-cd `controller/appcontroller.go`, finalizeApplicationDeletion; `controller/hook.go`): waves
//! backwards, each gone before the next. CustomResourceDefinitions stay, as there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::state::{self, AppKey, Operation, Reached, State};
use slipway_cluster::wait::{self, ConditionStatus as Seen};
use slipway_gitops::GroupKind;
use slipway_gitops::annotations::{self, HookType};
use slipway_gitops::identity::STATE_NAMESPACE;
use slipway_gitops::plan::PruneCandidate;
use slipway_gitops::prune_guard::{self, Propagation};
use slipway_gitops::status::OperationPhase;
use slipway_gitops::sync::{Options, Progress};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;

use super::executor::SyncExecutor;
use super::outcome::{Resume, SyncError};
use super::snapshot::ClusterSnapshot;
use super::{Deadlines, OperationKind, SyncOperation, SyncOutcome, SyncPolicy, SyncRequest, open};
use crate::error::chain;
use crate::notify::report::AppSyncStatus;
use crate::reconcile::notes::{Deletion, Note as _, ReportedDeletionError};
use crate::reconcile::session::Session;
use crate::reconcile::status;
use crate::time;

/// How an application is to be deleted.
#[derive(Debug, Clone)]
pub struct DeletionRequest {
    /// Propagation policy of the deletions; `None` keeps the objects and runs no hook.
    pub cascade: Option<Propagation>,
    /// Who approves the deletion.
    pub approval: Approval,
}

/// Who approves a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// A person who was asked, or closed the pull request that the application was for: covers everything except
    /// objects with `Delete=confirm`.
    Asked,
    /// The digest of exactly this plan approves it.
    Plan(Option<String>),
    /// Never approved, for this reason: the application is skipped, or its Application would still be there in Argo CD.
    Never(String),
}

/// The stages of a deletion, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    PreDelete,
    Objects,
    PostDelete,
}

impl Stage {
    const ALL: [Self; 3] = [Self::PreDelete, Self::Objects, Self::PostDelete];

    /// Records that the deletion is at this stage.
    fn record(self, state: &mut State) {
        Deletion { stage: Some(self.as_str().to_owned()), held: None }.keep(state);
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::PreDelete => "PreDelete",
            Self::Objects => "Objects",
            Self::PostDelete => "PostDelete",
        }
    }

    /// Builds the request of this stage: the hooks of `request` as hooks of a sync, or the deletion of all objects.
    fn request(self, request: &SyncRequest, cascade: Propagation) -> SyncRequest {
        let (hooks, run_as) = match self {
            Self::PreDelete => (HookType::PreDelete, HookType::PreSync),
            Self::PostDelete => (HookType::PostDelete, HookType::PostSync),
            Self::Objects => {
                let options = Options { prune: true, prune_confirmed: true, ..Options::default() };
                let policy = SyncPolicy {
                    operation: OperationKind::Delete,
                    options,
                    propagation: cascade,
                    ..request.policy.clone()
                };
                return request.with(Vec::new(), policy);
            }
        };
        let mine = request.objects.iter().filter(|object| annotations::deletion_hook(object) == Some(hooks)).cloned();
        let objects = mine.map(|mut object| {
            object.set_annotation(annotations::HOOK, run_as.as_str());
            object
        });
        let options = Options { prune: false, create_namespace: None, ..request.policy.options.clone() };
        request.with(
            objects.collect(),
            SyncPolicy { operation: OperationKind::DeleteHooks, options, ..request.policy.clone() },
        )
    }
}

impl SyncRequest {
    /// Copies the request with other objects and another policy.
    fn with(&self, objects: Vec<Object>, policy: SyncPolicy) -> Self {
        Self {
            objects,
            policy,
            warnings: Vec::new(),
            resume_operation: None,
            first_deployed_at: None,
            rules: Arc::default(),
            ..self.clone()
        }
    }
}

/// Whether the operation is a deletion.
pub fn is_deletion(operation: &Operation) -> bool {
    matches!(Resume::of(&operation.id), Resume::Delete)
}

/// The application is wanted again: what is left of a deletion ends where it stands.
pub(crate) fn cancel_deletion(state: &mut State) {
    Deletion::forget(state);
    ReportedDeletionError::forget(state);
    let is_begun = state.operation.as_ref().is_some_and(is_deletion);
    status::end_deletion(&mut state.status, is_begun);
    if is_begun {
        state.operation = None;
    }
}

/// Deletes the application of `request`, whose objects are what its source renders to (only deletion hooks count).
/// Never fails: errors are in the outcome, which is healthy when nothing is left and held while it waits for approval.
pub async fn delete(request: &SyncRequest, deletion: &DeletionRequest, holder: &str, times: Deadlines) -> SyncOutcome {
    let session = match open(request, holder, &times).await {
        Ok(session) => session,
        Err(outcome) => return *outcome,
    };
    let mut outcome = SyncOutcome::default();
    let work = Box::pin(stages(request, deletion, &session, times, &mut outcome));
    let stop = match tokio::time::timeout_at(times.until, session.hold(work)).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(stop))) => Some(stop),
        Ok(Err(lost)) => Some(SyncError::Lock(Box::new(lost))),
        Err(_) => Some(SyncError::DeadlineExceeded),
    };
    if let Some(stop) = stop {
        outcome.phase = match stop {
            SyncError::Unapproved(_) => AppSyncStatus::Held,
            SyncError::Skipped(_) => AppSyncStatus::Skipped,
            _ => AppSyncStatus::Failed,
        };
        outcome.retry |= stop.is_retryable();
        outcome.problems.push(chain(&stop));
    }
    session.close().await;
    outcome
}

async fn stages(
    request: &SyncRequest,
    deletion: &DeletionRequest,
    session: &Session,
    times: Deadlines,
    outcome: &mut SyncOutcome,
) -> Result<(), SyncError> {
    let (_never, stop) = watch::channel(false);
    if let (None, Approval::Never(reason)) = (deletion.cascade, &deletion.approval) {
        let stopped = SyncError::Skipped(reason.clone());
        let mut run = SyncOperation::new(request, None, session, times, stop);
        run.load().await?;
        if run.executor.version.is_some() {
            run.hold(&stopped).await?;
        }
        return Err(stopped);
    }
    for stage in Stage::ALL {
        let Some(cascade) = deletion.cascade else { break };
        let request = stage.request(request, cascade);
        let mut run = SyncOperation::new(&request, None, session, times, stop.clone());
        run.load().await?;
        if run.executor.version.is_none() {
            return Ok(());
        }
        let mut done = match run.check_signed(deletion) {
            Ok(()) => run.run_stage(stage, deletion).await,
            Err(stop) => Err(stop),
        };
        if let Err(stop) = &done
            && !stop.is_retryable()
            && let Err(error) = run.hold(stop).await
        {
            done = Err(error);
        }
        let SyncOutcome { changes, problems, warnings, next, retry, .. } = run.executor.outcome;
        outcome.changes.extend(changes);
        outcome.problems.extend(problems);
        let more: Vec<String> = warnings.into_iter().filter(|line| !outcome.warnings.contains(line)).collect();
        outcome.warnings.extend(more);
        outcome.retry |= retry;
        if !done? {
            (outcome.next, outcome.phase) = (next, AppSyncStatus::Waiting);
            return Ok(());
        }
    }
    if let Some(stored) = session.read().await? {
        state::delete(&session.cluster(), &stored).await?;
    }
    Ok(())
}

impl SyncOperation<'_> {
    /// Checks that Slipway wrote the state last, unless a person acts, who was asked or approves of a plan on the
    /// command line, which has no key: an older one may name hooks of another commit, or be of an application that was
    /// deleted long ago.
    fn check_signed(&self, deletion: &DeletionRequest) -> Result<(), SyncError> {
        let SyncExecutor { state, request, cluster, .. } = &self.executor;
        if !state.is_unsigned || deletion.approval == Approval::Asked || cluster.signer().is_none() {
            return Ok(());
        }
        let AppKey { namespace, name, .. } = &request.owner.key;
        Err(SyncError::Unapproved(format!(
            "nothing is deleted: ConfigMap/{STATE_NAMESPACE}/{} is not the state that Slipway wrote last; see who put \
             it back, and run `slipway app delete {namespace}/{name}`",
            request.owner.key.object_name()
        )))
    }

    /// Runs one stage; returns whether it is complete, or waits for another invocation.
    async fn run_stage(&mut self, stage: Stage, deletion: &DeletionRequest) -> Result<bool, SyncError> {
        let is_begun = self.executor.state.operation.as_ref().is_some_and(is_deletion);
        if stage == Stage::PreDelete && !is_begun {
            self.approve(deletion).await?;
            self.begin_deletion();
        }
        let recorded = Deletion::of(&self.executor.state).and_then(|deletion| deletion.stage);
        let at = recorded.as_deref();
        if Stage::ALL.into_iter().find(|stage| Some(stage.as_str()) == at).is_some_and(|at| stage < at) {
            return Ok(true);
        }
        if let Some(operation) = &mut self.executor.state.operation {
            let is_taken_up = is_begun && stage.as_str() == at.unwrap_or_default();
            operation.attempt = operation.attempt.saturating_add(u32::from(is_taken_up));
            self.executor.started = operation.started_at;
        }
        if at == Some(stage.as_str()) {
            self.progress = self.recorded();
        }
        stage.record(&mut self.executor.state);
        self.refresh().await?;
        let doomed = self.deletion_targets();
        self.record_intent().await?;
        if !self.operate().await? {
            return Ok(false);
        }
        if self.progress.phase != OperationPhase::Succeeded {
            return Err(self.deletion_blocked(stage).await);
        }
        if !self.wait_until_gone(&doomed).await? {
            return Ok(false);
        }
        if let Some(next) = Stage::ALL.into_iter().find(|next| *next > stage) {
            next.record(&mut self.executor.state);
            self.progress = Progress::default();
            self.executor.save(&self.progress).await?;
        }
        Ok(true)
    }

    /// Says why the deletion does not progress.
    async fn deletion_blocked(&self, stage: Stage) -> SyncError {
        let mut reasons: Vec<String> = self.diagnoses().await;
        reasons.insert(0, self.progress.message.clone());
        SyncError::DeletionBlocked(format!("deletion is blocked at {}: {}", stage.as_str(), reasons.join("; ")))
    }

    /// Records what blocks the deletion: it is not retried automatically, so that it is reported once.
    async fn hold(&mut self, stop: &SyncError) -> Result<(), SyncError> {
        let message = chain(stop);
        if self.executor.state.operation.take().is_some() {
            self.progress.phase = OperationPhase::Failed;
            self.progress.message.clone_from(&message);
            self.executor.save(&self.progress).await?;
        }
        let executor = &mut self.executor;
        Deletion { held: Some(message.clone()), stage: None }.keep(&mut executor.state);
        status::write_deletion_error(&mut executor.state.status, &message, Timestamp::now());
        let key = &executor.request.owner.key;
        executor.version =
            Some(state::write(&executor.cluster, key, &executor.state, executor.version.as_deref()).await?);
        Ok(())
    }

    /// The objects that the deletion deletes.
    fn deletion_targets(&self) -> BTreeSet<ObjectId> {
        let candidates = self.snapshot.prune_candidates.iter();
        candidates.filter(|(_, extra)| extra.skip_reason.is_none()).map(|(id, _)| id.clone()).collect()
    }

    /// Checks that exactly the objects to delete are approved.
    async fn approve(&mut self, deletion: &DeletionRequest) -> Result<(), SyncError> {
        if let Approval::Never(reason) = &deletion.approval {
            return Err(SyncError::Skipped(reason.clone()));
        }
        self.list_deletion_targets().await?;
        let doomed = self.deletion_targets();
        let digest = prune_guard::digest(&doomed);
        let default = self.executor.request.policy.confirms_deletion;
        let asks = |id: &&ObjectId| {
            let live = self.snapshot.prune_candidates.get(*id).map(|extra| &extra.live);
            default || live.is_some_and(|live| annotations::has_sync_option(live, "Delete=confirm"))
        };
        let unconfirmed: Vec<String> = doomed.iter().filter(asks).map(ToString::to_string).collect();
        let is_approved = match &deletion.approval {
            Approval::Asked => unconfirmed.is_empty(),
            Approval::Plan(approved) => approved.as_deref() == Some(digest.as_str()),
            Approval::Never(_) => false,
        };
        if is_approved {
            return Ok(());
        }
        let name = &self.executor.request.owner.key;
        let what = match unconfirmed.as_slice() {
            [] => format!("{} objects would be deleted", doomed.len()),
            some => {
                format!("{} objects would be deleted, and these need confirmation: {}", doomed.len(), some.join(", "))
            }
        };
        Err(SyncError::Unapproved(format!(
            "nothing is deleted: {what}; if that is right, run `slipway app delete {}/{} --approve-prune {digest}`",
            name.namespace, name.name
        )))
    }

    fn begin_deletion(&mut self) {
        let executor = &mut self.executor;
        executor.state.operation = Some(Operation {
            id: Resume::delete_id(executor.started),
            revisions: executor.request.revisions.clone(),
            started_at: executor.started,
            steps_done: 0,
            attempt: 0,
            retries: 0,
            not_before: None,
        });
        Deletion::forget(&mut executor.state);
        // Where the Application comes back, the same commit is to be applied again.
        executor.state.attempt.reached = Reached::Part;
        status::begin_deletion(&mut executor.state.status);
    }

    /// Lists the application's objects, and which of them are kept.
    pub(super) async fn list_deletion_targets(&mut self) -> Result<(), SyncError> {
        let executor = &mut self.executor;
        let request = executor.request;
        let known: BTreeSet<GroupKind> = executor.state.inventory.iter().map(GroupKind::of).collect();
        let kinds = executor.cluster.resolve(&BTreeSet::new(), &known).await;
        let places: Vec<ObjectRef> =
            executor.state.inventory.iter().filter_map(|id| objects::recorded(&kinds, id)).collect();
        let (found, failures) = objects::get_all(&executor.cluster, &places).await;
        for failure in &failures {
            executor.fail(failure);
        }
        if !failures.is_empty() || !kinds.is_complete() {
            return Err(SyncError::LiveStateUnreadable);
        }
        executor.objects = places.into_iter().map(|place| (place.id(), place)).collect();
        let owner = request.owner.cluster();
        let extra = |(id, live): (ObjectId, Object)| {
            let mismatch = prune_guard::ownership_mismatch(&live, &owner, &executor.state.inventory)
                .or_else(|| kept_reason(request, &live));
            (id, PruneCandidate { live, skip_reason: mismatch })
        };
        let extraneous: BTreeMap<ObjectId, PruneCandidate> = found.into_iter().map(extra).collect();
        let stays =
            extraneous.iter().filter_map(|(id, extra)| Some(format!("{id} stays: {}", extra.skip_reason.as_ref()?)));
        let warnings: Vec<String> = stays.filter(|line| !executor.outcome.warnings.contains(line)).collect();
        executor.outcome.warnings.extend(warnings);
        executor.redact_values(extraneous.values().map(|extra| &extra.live));
        self.snapshot = ClusterSnapshot { prune_candidates: extraneous, ..ClusterSnapshot::default() };
        Ok(())
    }

    /// Waits until finalizers release the deleted objects; returns whether they are gone.
    async fn wait_until_gone(&mut self, doomed: &BTreeSet<ObjectId>) -> Result<bool, SyncError> {
        let places: Vec<ObjectRef> = doomed.iter().filter_map(|id| self.executor.objects.get(id).cloned()).collect();
        let until = self.deadlines.hand_over_at.min(time::after(self.deadlines.left(self.executor.started)));
        let found = wait::wait(&self.executor.cluster, &places, until, |_, object| wait::gone(object)).await;
        let open = found.iter().filter_map(|(id, outcome)| match &outcome.progress {
            Seen::Waiting(reason) | Seen::Failed(reason) => Some(format!("{id}: {reason}")),
            Seen::Done => None,
        });
        let open: Vec<String> = open.collect();
        let is_open = |id: &ObjectId| found.get(id).is_some_and(|outcome| outcome.progress != Seen::Done);
        self.executor.state.inventory.retain(|id| !doomed.contains(id) || is_open(id));
        if open.is_empty() {
            return Ok(true);
        }
        self.progress.phase = OperationPhase::Running;
        self.progress.message = format!("waiting for deletion of {}", open.join(", "));
        if time::since(self.executor.started) >= self.deadlines.timeout {
            return Err(self.deletion_blocked(Stage::Objects).await);
        }
        self.executor.save(&self.progress).await?;
        self.executor.outcome.warnings.push(self.progress.message.clone());
        self.hand_over();
        Ok(false)
    }
}

/// Why an object of the application is kept when the application is deleted.
fn kept_reason(request: &SyncRequest, live: &Object) -> Option<String> {
    let asks = |option: &str| annotations::has_sync_option(live, option);
    let has_own = ["Delete=true", "Delete=confirm"].into_iter().any(asks);
    let keeps = live.annotation("helm.sh/resource-policy").is_some_and(|policy| policy.trim() == "keep");
    let refused = || request.permit.refused([live]).pop().map(|denied| denied.to_string());
    match () {
        () if live.group() == "apiextensions.k8s.io" && live.kind() == "CustomResourceDefinition" => {
            Some("a CustomResourceDefinition is never deleted with its application".to_owned())
        }
        () if asks("Delete=false") || request.policy.orphan_on_delete && !has_own => {
            Some("it says Delete=false".to_owned())
        }
        () if asks("Prune=false") => Some("it says Prune=false".to_owned()),
        () if keeps => Some("it says helm.sh/resource-policy: keep".to_owned()),
        () => refused(),
    }
}

/// The reported reason of a deletion that waits for a person.
pub fn held(state: &State) -> Option<String> {
    Deletion::of(state)?.held
}
