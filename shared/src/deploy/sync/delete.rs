//! The end of an application: PreDelete hooks, everything it has, PostDelete hooks, then what is remembered of it.
//!
//! Guarantees: nothing is deleted, and no hook runs, before that very plan is approved; only what is beyond doubt the application's and
//! allowed by its project is deleted; a failed PreDelete hook keeps everything, a failed PostDelete hook the state. Cut off, it goes on
//! where it stood. The order is Argo CD's (argoproj/argo-cd `controller/appcontroller.go`, finalizeApplicationDeletion; `controller/hook.go`):
//! waves backwards, each gone before the next. CustomResourceDefinitions stay, as there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_cluster::GroupKind;
use slipway_cluster::engine::{Options, Progress};
use slipway_cluster::hook::{self, HookType};
use slipway_cluster::live::{self, Place};
use slipway_cluster::lock::Lease;
use slipway_cluster::plan::Extra;
use slipway_cluster::prune::{self, Propagation};
use slipway_cluster::state::{self, Operation, State};
use slipway_cluster::status::{Condition, OperationPhase};
use slipway_cluster::wait::{self, Progress as Seen};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;

use super::outcome::Stop;
use super::view::{View, place_of};
use super::{Aim, Job, Outcome, Policy, Run, Times, take_lease};
use crate::error::chain;
use crate::notify::report::Phase;
use crate::time;

/// Where the state tells how far a deletion is.
const NOTE: &str = "deletion";
/// How the id of a deletion begins.
const ID: &str = "delete-";

/// How an application is to be deleted.
#[derive(Debug, Clone)]
pub struct Request {
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

    /// The job of this stage: the hooks of `job` as hooks of a sync, or everything that is there.
    fn job(self, job: &Job, cascade: Propagation) -> Job {
        let (hooks, run_as) = match self {
            Self::PreDelete => (HookType::PreDelete, HookType::PreSync),
            Self::PostDelete => (HookType::PostDelete, HookType::PostSync),
            Self::Objects => {
                let options = Options { prune: true, prune_confirmed: true, ..Options::default() };
                let policy = Policy { aim: Aim::Deletion, options, propagation: cascade, ..job.policy.clone() };
                return job.with(Vec::new(), policy);
            }
        };
        let mine = job.objects.iter().filter(|object| hook::at_deletion(object) == Some(hooks)).cloned();
        let objects = mine.map(|mut object| {
            object.set_annotation(hook::HOOK, run_as.as_str());
            object
        });
        let options = Options { prune: false, create_namespace: None, ..job.policy.options.clone() };
        job.with(objects.collect(), Policy { aim: Aim::DeletionHooks, options, ..job.policy.clone() })
    }
}

impl Job {
    /// The same application with other objects and another policy.
    fn with(&self, objects: Vec<Object>, policy: Policy) -> Self {
        Self {
            owner: self.owner.clone(),
            destination: self.destination.clone(),
            repo: self.repo.clone(),
            revision: self.revision.clone(),
            objects,
            warnings: Vec::new(),
            policy,
            initiator: self.initiator.clone(),
            resumes: None,
            source_type: self.source_type.clone(),
            first: None,
            permit: self.permit.clone(),
            subscriptions: self.subscriptions.clone(),
            about: self.about.clone(),
            rules: slipway_cluster::compare::Rules::default(),
            checks: self.checks.clone(),
        }
    }
}

/// Whether the operation is a deletion.
pub fn is_deletion(operation: &Operation) -> bool {
    operation.id.starts_with(ID)
}

/// The application is wanted again: what is left of a deletion ends where it stands.
pub(in crate::deploy) fn call_off(state: &mut State) {
    state.notes.shift_remove(NOTE);
    state.status.conditions.retain(|condition| condition.kind != "DeletionError");
    if state.operation.as_ref().is_some_and(is_deletion) {
        state.operation = None;
        state.status.operation_state = None;
    }
}

/// Deletes the application of `job`, whose objects are those that its source renders to (only hooks of the deletion count). Never fails:
/// what went wrong is in the outcome, which is healthy when nothing is left, held when it waits for an approval.
pub async fn delete(job: &Job, request: &Request, holder: &str, times: Times) -> Outcome {
    let lease = match take_lease(job, holder, &times).await {
        Ok(lease) => lease,
        Err(outcome) => return *outcome,
    };
    let mut outcome = Outcome { phase: Phase::Healthy, problems: Vec::new(), ..Outcome::failed(String::new(), false) };
    let work = Box::pin(stages(job, request, &lease, times, &mut outcome));
    let stop = match tokio::time::timeout_at(times.until, lease.hold(work)).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(stop))) => Some(stop),
        Ok(Err(lost)) => Some(Stop::Lock(Box::new(lost))),
        Err(_) => Some(Stop::Time),
    };
    if let Some(stop) = stop {
        outcome.phase = match stop {
            Stop::Unapproved(_) => Phase::Held,
            Stop::Skipped(_) => Phase::Skipped,
            _ => Phase::Failed,
        };
        outcome.retry |= stop.is_retryable();
        outcome.problems.push(chain(&stop));
    }
    if let Err(error) = lease.release().await {
        tracing::warn!(app = job.owner.instance, error = chain(&error), "the lease was not given back");
    }
    outcome
}

async fn stages(job: &Job, request: &Request, lease: &Lease, times: Times, outcome: &mut Outcome) -> Result<(), Stop> {
    let (_never, stop) = watch::channel(false);
    for stage in Stage::ALL {
        let Some(cascade) = request.cascade else { break };
        let job = stage.job(job, cascade);
        let mut run = Run::new(&job, None, lease, times, stop.clone());
        run.load().await?;
        if run.book.version.is_none() {
            return Ok(());
        }
        let mut done = run.carry_out(stage, request).await;
        if let Err(stop) = &done
            && !stop.is_retryable()
            && let Err(error) = run.hold(stop).await
        {
            done = Err(error);
        }
        let Outcome { changes, problems, warnings, next, retry, .. } = run.book.outcome;
        outcome.changes.extend(changes);
        outcome.problems.extend(problems);
        let more: Vec<String> = warnings.into_iter().filter(|line| !outcome.warnings.contains(line)).collect();
        outcome.warnings.extend(more);
        outcome.retry |= retry;
        if !done? {
            (outcome.next, outcome.phase) = (next, Phase::Waiting);
            return Ok(());
        }
    }
    let key = &job.owner.key;
    if let Some(recorded) = state::read(&lease.cluster(), key).await? {
        state::forget(&lease.cluster(), &recorded).await?;
    }
    Ok(())
}

impl Run<'_> {
    /// One stage; whether it is done, or else waits for another invocation.
    async fn carry_out(&mut self, stage: Stage, request: &Request) -> Result<bool, Stop> {
        let is_begun = self.book.state.operation.as_ref().is_some_and(is_deletion);
        if stage == Stage::PreDelete && !is_begun {
            self.approve(request).await?;
            self.begin_deletion();
        }
        let at = self.book.state.notes.get(NOTE).and_then(|note| note.get("stage")?.as_str());
        if Stage::ALL.into_iter().find(|stage| Some(stage.as_str()) == at).is_some_and(|at| stage < at) {
            return Ok(true);
        }
        if let Some(operation) = &mut self.book.state.operation {
            let is_taken_up = is_begun && stage.as_str() == at.unwrap_or_default();
            operation.attempt = operation.attempt.saturating_add(u32::from(is_taken_up));
            self.book.started = operation.started_at;
        }
        if at == Some(stage.as_str()) {
            self.progress = self.recorded();
        }
        self.book.state.notes.insert(NOTE.to_owned(), json!({ "stage": stage.as_str() }));
        self.look().await?;
        let doomed: Vec<ObjectId> =
            self.view.extras.iter().filter(|(_, extra)| extra.doubt.is_none()).map(|(id, _)| id.clone()).collect();
        self.record_intent().await?;
        if !self.operate().await? {
            return Ok(false);
        }
        if self.progress.phase != OperationPhase::Succeeded {
            return Err(self.undeleted(stage).await);
        }
        if !self.wait_until_gone(&doomed).await? {
            return Ok(false);
        }
        if let Some(next) = Stage::ALL.into_iter().find(|next| *next > stage) {
            self.book.state.notes.insert(NOTE.to_owned(), json!({ "stage": next.as_str() }));
            self.progress = Progress::default();
            self.book.save(&self.progress).await?;
        }
        Ok(true)
    }

    /// Why the deletion stands still.
    async fn undeleted(&self, stage: Stage) -> Stop {
        let mut reasons: Vec<String> = self.explanations().await;
        reasons.insert(0, self.progress.message.clone());
        Stop::Undeleted(format!("the deletion stands still at {}: {}", stage.as_str(), reasons.join("; ")))
    }

    /// Remembers what keeps the application: nobody tries it again by himself, so that it is told once.
    async fn hold(&mut self, stop: &Stop) -> Result<(), Stop> {
        let message = chain(stop);
        if self.book.state.operation.take().is_some() {
            self.progress.phase = OperationPhase::Failed;
            self.progress.message.clone_from(&message);
            self.book.save(&self.progress).await?;
        }
        let book = &mut self.book;
        book.state.notes.insert(NOTE.to_owned(), json!({ "held": message }));
        let conditions = &mut book.state.status.conditions;
        conditions.retain(|condition| condition.kind != "DeletionError");
        let kind = "DeletionError".to_owned();
        conditions.push(Condition { kind, message, last_transition_time: Some(Timestamp::now()) });
        let key = &book.job.owner.key;
        book.version = Some(state::write(&book.cluster, key, &book.state, book.version.as_deref()).await?);
        Ok(())
    }

    /// Whether exactly what would be deleted is approved.
    async fn approve(&mut self, request: &Request) -> Result<(), Stop> {
        if let Approval::Never(reason) = &request.approval {
            return Err(Stop::Skipped(reason.clone()));
        }
        self.look_doomed().await?;
        let doomed: BTreeSet<ObjectId> =
            self.view.extras.iter().filter(|(_, extra)| extra.doubt.is_none()).map(|(id, _)| id.clone()).collect();
        let digest = prune::digest(&doomed);
        let default = self.book.job.policy.confirms_deletion;
        let asks = |id: &&ObjectId| {
            let live = self.view.extras.get(*id).map(|extra| &extra.live);
            default || live.is_some_and(|live| hook::has_sync_option(live, "Delete=confirm"))
        };
        let unconfirmed: Vec<String> = doomed.iter().filter(asks).map(ToString::to_string).collect();
        let is_approved = match &request.approval {
            Approval::Asked => unconfirmed.is_empty(),
            Approval::Plan(approved) => approved.as_deref() == Some(digest.as_str()),
            Approval::Never(_) => false,
        };
        if is_approved {
            return Ok(());
        }
        let name = &self.book.job.owner.key;
        let what = match unconfirmed.as_slice() {
            [] => format!("{} objects would be deleted", doomed.len()),
            some => format!("{} objects would be deleted, and these ask for it: {}", doomed.len(), some.join(", ")),
        };
        Err(Stop::Unapproved(format!(
            "nothing is deleted: {what}; if that is right, run `slipway app delete {}/{} --approve-prune {digest}`",
            name.namespace, name.name
        )))
    }

    fn begin_deletion(&mut self) {
        let book = &mut self.book;
        book.state.operation = Some(Operation {
            id: format!("{ID}{}", book.started.as_millisecond()),
            revision: book.job.revision.clone(),
            started_at: book.started,
            steps_done: 0,
            attempt: 0,
            retries: 0,
            not_before: None,
        });
        book.state.notes.shift_remove(NOTE);
        book.state.status.operation_state = None;
    }

    /// Everything that the application has, and what of it stays.
    pub(super) async fn look_doomed(&mut self) -> Result<(), Stop> {
        let book = &mut self.book;
        let job = book.job;
        let known: BTreeSet<GroupKind> = book.state.inventory.iter().map(GroupKind::of).collect();
        let kinds = book.cluster.resolve(&BTreeSet::new(), &known).await;
        let places: Vec<Place> = book.state.inventory.iter().filter_map(|id| place_of(&kinds, id)).collect();
        let (found, failures) = live::get_all(&book.cluster, &places).await;
        for failure in &failures {
            book.fail(failure);
        }
        if !failures.is_empty() || !kinds.is_complete() {
            return Err(Stop::Unread);
        }
        book.places = places.into_iter().map(|place| (place.id(), place)).collect();
        let owner = job.owner.cluster();
        let extra = |(id, live): (ObjectId, Object)| {
            let doubt = prune::doubt(&live, &owner, &book.state.inventory).or_else(|| spared(job, &live));
            (id, Extra { live, doubt })
        };
        let extras: BTreeMap<ObjectId, Extra> = found.into_iter().map(extra).collect();
        let stays = extras.iter().filter_map(|(id, extra)| Some(format!("{id} stays: {}", extra.doubt.as_ref()?)));
        let warnings: Vec<String> = stays.filter(|line| !book.outcome.warnings.contains(line)).collect();
        book.outcome.warnings.extend(warnings);
        book.conceal(extras.values().map(|extra| &extra.live));
        self.view = View { extras, ..View::default() };
        Ok(())
    }

    /// Waits until finalizers let go what is deleted; whether they did.
    async fn wait_until_gone(&mut self, doomed: &[ObjectId]) -> Result<bool, Stop> {
        let places: Vec<Place> = doomed.iter().filter_map(|id| self.book.places.get(id).cloned()).collect();
        let until = self.times.patience.min(time::after(self.times.left(self.book.started)));
        let found = wait::wait(&self.book.cluster, &places, until, |_, object| wait::gone(object)).await;
        let open = found.iter().filter_map(|(id, outcome)| match &outcome.progress {
            Seen::Waiting(reason) | Seen::Failed(reason) => Some(format!("{id}: {reason}")),
            Seen::Done => None,
        });
        let open: Vec<String> = open.collect();
        let is_open = |id: &ObjectId| found.get(id).is_some_and(|outcome| outcome.progress != Seen::Done);
        self.book.state.inventory.retain(|id| !doomed.contains(id) || is_open(id));
        if open.is_empty() {
            return Ok(true);
        }
        self.progress.phase = OperationPhase::Running;
        self.progress.message = format!("waiting for deletion of {}", open.join(", "));
        if time::since(self.book.started) >= self.times.timeout {
            return Err(self.undeleted(Stage::Objects).await);
        }
        self.book.save(&self.progress).await?;
        self.book.outcome.warnings.push(self.progress.message.clone());
        self.leave();
        Ok(false)
    }
}

/// Why an object of the application stays when it is deleted.
fn spared(job: &Job, live: &Object) -> Option<String> {
    let asks = |option: &str| hook::has_sync_option(live, option);
    let has_own = ["Delete=true", "Delete=confirm"].into_iter().any(asks);
    let keeps = live.annotation("helm.sh/resource-policy").is_some_and(|policy| policy.trim() == "keep");
    let refused = || job.permit.refused([live]).pop().map(|denied| denied.to_string());
    match () {
        () if live.group() == "apiextensions.k8s.io" && live.kind() == "CustomResourceDefinition" => {
            Some("a CustomResourceDefinition is never deleted with its application".to_owned())
        }
        () if asks("Delete=false") || job.policy.keeps_objects && !has_own => Some("it says Delete=false".to_owned()),
        () if asks("Prune=false") => Some("it says Prune=false".to_owned()),
        () if keeps => Some("it says helm.sh/resource-policy: keep".to_owned()),
        () => refused(),
    }
}

/// What the state says of a deletion that waits for somebody: what was told of it.
pub fn held(state: &State) -> Option<&str> {
    state.notes.get(NOTE)?.get("held").and_then(Value::as_str)
}
