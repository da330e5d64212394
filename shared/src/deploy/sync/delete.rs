//! The end of an application: PreDelete hooks, everything it has, PostDelete hooks, then what is remembered of it.
//!
//! Guarantees: nothing is deleted, and no hook runs, before that very plan is approved; only what is provably the
//! application's and allowed by its project is deleted; a failed PreDelete hook keeps everything, a failed PostDelete
//! hook the state. Cut off, it goes on where it stood. The order is Argo CD's (argoproj/argo-cd
//! `controller/appcontroller.go`, finalizeApplicationDeletion; `controller/hook.go`): waves backwards, each gone
//! before the next. CustomResourceDefinitions stay, as there.

use slipway_gitops::prune_guard;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_cluster::lease::Lease;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::state::{self, Operation, State};
use slipway_cluster::wait::{self, ConditionStatus as Seen};
use slipway_gitops::GroupKind;
use slipway_gitops::annotations::{self, HookType};
use slipway_gitops::plan::PruneCandidate;
use slipway_gitops::prune_guard::Propagation;
use slipway_gitops::status::{Condition, OperationPhase};
use slipway_gitops::sync::{Options, Progress};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;

use super::outcome::SyncError;
use super::snapshot::{ClusterSnapshot, object_ref_of};
use super::{Deadlines, OperationKind, SyncOperation, SyncOutcome, SyncPolicy, SyncRequest, acquire_lease};
use crate::error::chain;
use crate::notify::report::AppSyncStatus;
use crate::time;

/// Where the state tells how far a deletion is.
const DELETION_NOTE: &str = "deletion";
/// How the id of a deletion begins.
const DELETE_PREFIX: &str = "delete-";

/// How an application is to be deleted.
#[derive(Debug, Clone)]
pub struct DeletionRequest {
    /// What happens to what its objects own; `None`: its objects stay, and no hook runs.
    pub cascade: Option<Propagation>,
    /// Who approves.
    pub approval: Approval,
}

/// Who approves of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// Somebody who was asked: of all but objects with `Delete=confirm`.
    Asked,
    /// Whoever names the digest of exactly this plan.
    Plan(Option<String>),
    /// Nobody, for this reason: the application is left alone.
    Never(String),
}

/// The parts of a deletion, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    PreDelete,
    Objects,
    PostDelete,
}

impl Stage {
    const ALL: [Self; 3] = [Self::PreDelete, Self::Objects, Self::PostDelete];

    fn as_str(self) -> &'static str {
        match self {
            Self::PreDelete => "PreDelete",
            Self::Objects => "Objects",
            Self::PostDelete => "PostDelete",
        }
    }

    /// The request of this stage: the hooks of `request` as hooks of a sync, or everything that is there.
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
    /// The same application with other objects and another policy.
    fn with(&self, objects: Vec<Object>, policy: SyncPolicy) -> Self {
        Self {
            owner: self.owner.clone(),
            destination: self.destination.clone(),
            repo: self.repo.clone(),
            revision: self.revision.clone(),
            objects,
            warnings: Vec::new(),
            policy,
            initiator: self.initiator.clone(),
            resume_operation: None,
            source_type: self.source_type.clone(),
            first_deployed_at: None,
            permit: self.permit.clone(),
            subscriptions: self.subscriptions.clone(),
            application: self.application.clone(),
            rules: slipway_gitops::comparison::Rules::default(),
            checks: self.checks.clone(),
        }
    }
}

/// Whether the operation is a deletion.
pub fn is_deletion(operation: &Operation) -> bool {
    operation.id.starts_with(DELETE_PREFIX)
}

/// The application is wanted again: what is left of a deletion ends where it stands.
pub(in crate::deploy) fn cancel_deletion(state: &mut State) {
    state.notes.shift_remove(DELETION_NOTE);
    state.status.conditions.retain(|condition| condition.kind != "DeletionError");
    if state.operation.as_ref().is_some_and(is_deletion) {
        state.operation = None;
        state.status.operation_state = None;
    }
}

/// Deletes the application of `request`, whose objects are those that its source renders to (only hooks of the
/// deletion count). Never fails: what went wrong is in the outcome, which is healthy when nothing is left, held when
/// it waits for an approval.
pub async fn delete(request: &SyncRequest, deletion: &DeletionRequest, holder: &str, times: Deadlines) -> SyncOutcome {
    let lease = match acquire_lease(request, holder, &times).await {
        Ok(lease) => lease,
        Err(outcome) => return *outcome,
    };
    let mut outcome = SyncOutcome {
        phase: AppSyncStatus::Healthy,
        problems: Vec::new(),
        ..SyncOutcome::failed(String::new(), false)
    };
    let work = Box::pin(stages(request, deletion, &lease, times, &mut outcome));
    let stop = match tokio::time::timeout_at(times.until, lease.keep_renewed(work)).await {
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
    if let Err(error) = lease.release().await {
        tracing::warn!(app = request.owner.instance, error = chain(&error), "the lease was not given back");
    }
    outcome
}

async fn stages(
    request: &SyncRequest,
    deletion: &DeletionRequest,
    lease: &Lease,
    times: Deadlines,
    outcome: &mut SyncOutcome,
) -> Result<(), SyncError> {
    let (_never, stop) = watch::channel(false);
    for stage in Stage::ALL {
        let Some(cascade) = deletion.cascade else { break };
        let request = stage.request(request, cascade);
        let mut run = SyncOperation::new(&request, None, lease, times, stop.clone());
        run.load().await?;
        if run.executor.version.is_none() {
            return Ok(());
        }
        let mut done = run.run_stage(stage, deletion).await;
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
    let key = &request.owner.key;
    if let Some(recorded) = state::read(&lease.cluster(), key).await? {
        state::delete(&lease.cluster(), &recorded).await?;
    }
    Ok(())
}

impl SyncOperation<'_> {
    /// One stage; whether it is done, or else waits for another invocation.
    async fn run_stage(&mut self, stage: Stage, deletion: &DeletionRequest) -> Result<bool, SyncError> {
        let is_begun = self.executor.state.operation.as_ref().is_some_and(is_deletion);
        if stage == Stage::PreDelete && !is_begun {
            self.approve(deletion).await?;
            self.begin_deletion();
        }
        let at = self.executor.state.notes.get(DELETION_NOTE).and_then(|note| note.get("stage")?.as_str());
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
        self.executor.state.notes.insert(DELETION_NOTE.to_owned(), json!({ "stage": stage.as_str() }));
        self.refresh().await?;
        let doomed: Vec<ObjectId> = self
            .snapshot
            .prune_candidates
            .iter()
            .filter(|(_, extra)| extra.skip_reason.is_none())
            .map(|(id, _)| id.clone())
            .collect();
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
            self.executor.state.notes.insert(DELETION_NOTE.to_owned(), json!({ "stage": next.as_str() }));
            self.progress = Progress::default();
            self.executor.save(&self.progress).await?;
        }
        Ok(true)
    }

    /// Why the deletion stands still.
    async fn deletion_blocked(&self, stage: Stage) -> SyncError {
        let mut reasons: Vec<String> = self.diagnoses().await;
        reasons.insert(0, self.progress.message.clone());
        SyncError::DeletionBlocked(format!("the deletion stands still at {}: {}", stage.as_str(), reasons.join("; ")))
    }

    /// Remembers what keeps the application: nobody tries it again by himself, so that it is told once.
    async fn hold(&mut self, stop: &SyncError) -> Result<(), SyncError> {
        let message = chain(stop);
        if self.executor.state.operation.take().is_some() {
            self.progress.phase = OperationPhase::Failed;
            self.progress.message.clone_from(&message);
            self.executor.save(&self.progress).await?;
        }
        let executor = &mut self.executor;
        executor.state.notes.insert(DELETION_NOTE.to_owned(), json!({ "held": message }));
        let conditions = &mut executor.state.status.conditions;
        conditions.retain(|condition| condition.kind != "DeletionError");
        let kind = "DeletionError".to_owned();
        conditions.push(Condition { kind, message, last_transition_time: Some(Timestamp::now()) });
        let key = &executor.request.owner.key;
        executor.version =
            Some(state::write(&executor.cluster, key, &executor.state, executor.version.as_deref()).await?);
        Ok(())
    }

    /// Whether exactly what would be deleted is approved.
    async fn approve(&mut self, deletion: &DeletionRequest) -> Result<(), SyncError> {
        if let Approval::Never(reason) = &deletion.approval {
            return Err(SyncError::Skipped(reason.clone()));
        }
        self.list_deletion_targets().await?;
        let doomed: BTreeSet<ObjectId> = self
            .snapshot
            .prune_candidates
            .iter()
            .filter(|(_, extra)| extra.skip_reason.is_none())
            .map(|(id, _)| id.clone())
            .collect();
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
            some => format!("{} objects would be deleted, and these ask for it: {}", doomed.len(), some.join(", ")),
        };
        Err(SyncError::Unapproved(format!(
            "nothing is deleted: {what}; if that is right, run `slipway app delete {}/{} --approve-prune {digest}`",
            name.namespace, name.name
        )))
    }

    fn begin_deletion(&mut self) {
        let executor = &mut self.executor;
        executor.state.operation = Some(Operation {
            id: format!("{DELETE_PREFIX}{}", executor.started.as_millisecond()),
            revision: executor.request.revision.clone(),
            started_at: executor.started,
            steps_done: 0,
            attempt: 0,
            retries: 0,
            not_before: None,
        });
        executor.state.notes.shift_remove(DELETION_NOTE);
        executor.state.status.operation_state = None;
    }

    /// Everything that the application has, and what of it stays.
    pub(super) async fn list_deletion_targets(&mut self) -> Result<(), SyncError> {
        let executor = &mut self.executor;
        let request = executor.request;
        let known: BTreeSet<GroupKind> = executor.state.inventory.iter().map(GroupKind::of).collect();
        let kinds = executor.cluster.resolve(&BTreeSet::new(), &known).await;
        let places: Vec<ObjectRef> =
            executor.state.inventory.iter().filter_map(|id| object_ref_of(&kinds, id)).collect();
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
        let extras: BTreeMap<ObjectId, PruneCandidate> = found.into_iter().map(extra).collect();
        let stays =
            extras.iter().filter_map(|(id, extra)| Some(format!("{id} stays: {}", extra.skip_reason.as_ref()?)));
        let warnings: Vec<String> = stays.filter(|line| !executor.outcome.warnings.contains(line)).collect();
        executor.outcome.warnings.extend(warnings);
        executor.conceal(extras.values().map(|extra| &extra.live));
        self.snapshot = ClusterSnapshot { prune_candidates: extras, ..ClusterSnapshot::default() };
        Ok(())
    }

    /// Waits until finalizers let go what is deleted; whether they did.
    async fn wait_until_gone(&mut self, doomed: &[ObjectId]) -> Result<bool, SyncError> {
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

/// Why an object of the application stays when it is deleted.
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

/// What the state says of a deletion that waits for somebody: what was told of it.
pub fn held(state: &State) -> Option<&str> {
    state.notes.get(DELETION_NOTE)?.get("held").and_then(Value::as_str)
}
