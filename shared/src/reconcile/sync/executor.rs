//! Executes the actions of the sync engine ([`sync::step`](fn@slipway_gitops::sync::step)) against the cluster and
//! records their results.

use slipway_gitops::identity;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;
use slipway_cluster::apply::{self, Applied, Change};
use slipway_cluster::delete::{self, PruneResult};
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::state::State;
use slipway_cluster::wait::{self, ConditionStatus as Seen};
use slipway_cluster::{Cluster, hook_finalizer};
use slipway_gitops::annotations::Phase;
use slipway_gitops::api_resources::GroupVersionKind;
use slipway_gitops::health::{self, HealthStatus};
use slipway_gitops::plan::Task;
use slipway_gitops::prune_guard::Propagation;
use slipway_gitops::status::Initiator;
use slipway_gitops::sync::{Action, ActionKind, ActionResult, Executor, Progress, is_recreated};
use slipway_gitops::tracking::{self, TrackingId};
use slipway_gitops::{Class, Failure, sync_status};
use slipway_manifest::{Object, ObjectId};
use tokio::time::Instant;

use super::deferred::DeferredDryRuns;
use super::record::kubectl_line;
use super::snapshot::shared_resource_warnings;
use super::volume_binding::VolumeBinding;
use super::{REQUEST_CONCURRENCY, SyncOutcome, SyncRequest};
use crate::error::chain;
use crate::notify::reporter::Reporter;
use crate::reconcile::notes::{FailedInOutage, Note as _};
use crate::time;

/// How long a CustomResourceDefinition may take until its kind is served; usually below one second.
const CRD_ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for a deletion before re-creating the object; finalizers may delay it.
const DELETION_TIMEOUT: Duration = Duration::from_mins(1);

/// Executes actions; keeps the state and the outcome of the sync.
pub(super) struct SyncExecutor<'a> {
    pub(super) request: &'a SyncRequest,
    pub(super) reporter: Option<&'a Reporter>,
    pub(super) cluster: Cluster,
    pub(super) until: Instant,
    pub(super) state: State,
    pub(super) version: Option<String>,
    pub(super) transitions: u64,
    pub(super) started: Timestamp,
    /// Who started the sync.
    pub(super) initiator: Initiator,
    /// The place of the source whose commit is told.
    pub(super) reported: usize,
    /// Where each object is served.
    pub(super) objects: BTreeMap<ObjectId, ObjectRef>,
    /// Objects that another application owns, with the message to report.
    pub(super) shared_resources: BTreeMap<ObjectId, String>,
    /// Results of the comparison's dry runs, so that none is repeated.
    pub(super) dry_run_results: BTreeMap<ObjectId, Result<(), String>>,
    /// Dry runs that wait for objects of this very sync.
    pub(super) deferred: DeferredDryRuns,
    /// How the storage classes of unbound claims bind.
    pub(super) volume_binding: VolumeBinding,
    /// Objects as observed since the step began; `None` is gone.
    pub(super) observed: BTreeMap<ObjectId, Option<Object>>,
    /// The application's objects in Git, without hooks.
    pub(super) wanted: BTreeSet<ObjectId>,
    /// Those of them that the cluster lacks.
    pub(super) absent: BTreeSet<ObjectId>,
    /// Objects that differ from Git and are not a part of this sync.
    pub(super) out_of_sync: BTreeSet<ObjectId>,
    /// How often the operation was retried.
    pub(super) retries: u32,
    /// What differs from Git, as the comparison found; `None` where none was made.
    pub(super) modified: Option<BTreeSet<ObjectId>>,
    /// What the cluster has of the application and Git has no more.
    pub(super) extraneous: BTreeMap<ObjectId, Extraneous>,
    /// Whether both sides were looked at: the status tells of them then.
    pub(super) is_observed: bool,
    pub(super) images: Vec<String>,
    /// How often each object is in Git that is there more than once.
    pub(super) repeated: BTreeMap<ObjectId, usize>,
    pub(super) health: BTreeMap<ObjectId, HealthStatus>,
    /// How many of the last problems are about health, and not about the sync.
    pub(super) health_problems: usize,
    pub(super) outcome: SyncOutcome,
}

/// An object that requires pruning.
pub(super) struct Extraneous {
    /// Whether it makes the application OutOfSync.
    pub(super) counts: bool,
    pub(super) health: Option<HealthStatus>,
}

impl<'a> SyncExecutor<'a> {
    /// Notes that Git has no more of `live`, an object of this application.
    pub(super) fn note_extra(&mut self, id: &ObjectId, live: &Object) {
        let compared = sync_status::compare(&self.request.owner.instance, None, Some(live), false, None);
        if let Some(compared) = compared {
            let health = self.health_check()(live).filter(|_| !health::is_ignored(live));
            self.extraneous.insert(id.clone(), Extraneous { counts: compared.counts, health });
        }
    }

    /// Redacts the values of the Secrets among `objects` from all messages from now on.
    pub(super) fn redact_values<'o>(&mut self, objects: impl IntoIterator<Item = &'o Object>) {
        self.cluster = self.cluster.redacting(self.cluster.redactor().and(objects));
    }

    /// Health of an object by the checks of the request's Argo CD; no Secret value gets into its message.
    pub(super) fn health_check(&self) -> impl Fn(&Object) -> Option<HealthStatus> + Send + Sync + use<'a> {
        let (checks, redactor) = (&self.request.checks, self.cluster.redactor().clone());
        move |object| {
            let HealthStatus { health, message } = checks.of(object, Timestamp::now())?;
            Some(HealthStatus { health, message: redactor.redact(&message).into_owned() })
        }
    }

    fn owner(&self) -> identity::AppIdentity {
        self.request.owner.cluster()
    }

    /// Records a failure as a problem.
    pub(super) fn fail(&mut self, failure: &Failure) {
        let is_transient = failure.source.class.is_transient();
        self.outcome.retry |= is_transient;
        let is_automated = self.request.policy.operation == super::OperationKind::Sync && self.initiator.automated;
        if is_transient && is_automated && self.state.operation.is_some() {
            // The operation may end in another invocation.
            FailedInOutage(self.request.revisions.to_string()).keep(&mut self.state);
        }
        self.outcome.problems.push(failure.with_remedy());
    }

    fn note(&mut self, order: &Action<'_>, applied: &Applied) {
        let id = &order.task.id;
        self.outcome.warnings.extend(applied.warnings.iter().map(|warning| format!("{id}: {warning}")));
        if !order.dry_run {
            if applied.change != Change::Unchanged {
                self.outcome.changes.push(applied.to_string());
            }
            self.observed.insert(id.clone(), Some(applied.object.clone()));
        }
    }

    /// Translates the result of an apply for the engine.
    fn result_of(&mut self, order: &Action<'_>, applied: Result<Applied, Failure>) -> Result<ActionResult, String> {
        let id = &order.task.id;
        match applied {
            Ok(applied) => {
                self.note(order, &applied);
                Ok(ActionResult::Performed(match order.kind {
                    ActionKind::Update => format!("{}/{} updated", id.kind, id.name),
                    _ => kubectl_line(id, applied.change.as_str()),
                }))
            }
            Err(failure) if order.dry_run && failure.source.class == Class::DryRunUnsupported => {
                self.outcome.warnings.push(format!(
                    "{id} is applied without a dry run, because an admission webhook does not take part in dry runs: \
                     {}",
                    failure.source
                ));
                Ok(ActionResult::Performed(String::new()))
            }
            Err(failure) if order.dry_run && self.deferred.put_off(order.task, &failure) => {
                Ok(ActionResult::Performed(String::new()))
            }
            Err(failure) => {
                self.fail(&failure);
                Err(failure.with_remedy())
            }
        }
    }

    /// What is known already, or must not be done.
    fn known_result(&mut self, order: &Action<'_>) -> Option<Result<ActionResult, String>> {
        let id = &order.task.id;
        if let Some(line) = self.shared_resources.get(id) {
            if order.dry_run {
                return Some(Ok(ActionResult::Performed(String::new())));
            }
            self.outcome.problems.push(line.clone());
            return Some(Err(line.clone()));
        }
        if !order.dry_run {
            return None;
        }
        Some(self.dry_run_results.get(id)?.clone().map(|()| ActionResult::Performed(String::new())))
    }

    async fn delete(&mut self, order: &Action<'_>) -> Result<ActionResult, String> {
        let (id, place) = (&order.task.id, self.object_ref(order.task)?);
        let live = match self.observed.get(id).cloned().unwrap_or_else(|| order.task.live.clone()) {
            Some(live) => live,
            None => match self.live(order.task).await? {
                Some(live) => live,
                None => return Ok(ActionResult::NotFound),
            },
        };
        if let Some(reason) = self.foreign_hook(order, &live) {
            self.outcome.problems.push(reason.clone());
            return Err(reason);
        }
        // A hook of an interrupted sync would otherwise keep its own finalizer for ever.
        let live = match hook_finalizer::remove_hook_finalizer(&self.cluster, &place, &live).await {
            Ok(Some(live)) => live,
            Ok(None) => return Ok(ActionResult::NotFound),
            Err(failure) => {
                self.fail(&failure);
                return Err(failure.with_remedy());
            }
        };
        let propagation = self.request.policy.propagation;
        let pruned = if order.kind == ActionKind::Prune {
            let (owner, inventory) = (self.owner(), &self.state.inventory);
            delete::prune(&self.cluster, &place, &live, &owner, inventory, propagation, false).await
        } else {
            delete::delete(&self.cluster, &place, &live, propagation, false).await
        };
        let done = match pruned {
            Ok(PruneResult::Kept(reason)) => {
                self.outcome.warnings.push(format!("{id} is not deleted: {reason}"));
                return Ok(ActionResult::PruneSkipped(reason));
            }
            Ok(PruneResult::Gone) => ActionResult::NotFound,
            Ok(PruneResult::Deleted | PruneResult::AlreadyDeleting) => ActionResult::Performed("pruned".to_owned()),
            Err(failure) => {
                self.fail(&failure);
                return Err(failure.with_remedy());
            }
        };
        if order.kind == ActionKind::Prune {
            self.outcome.changes.push(format!("{id} pruned"));
        }
        // Finalizers may keep the object for a while.
        let now = objects::get(&self.cluster, &place).await.map_err(|failure| failure.with_remedy())?;
        self.observed.insert(id.clone(), now);
        Ok(done)
    }

    /// Why `live` is not deleted as a hook: it only has the name of one. Argo CD deletes by name.
    fn foreign_hook(&self, action: &Action<'_>, live: &Object) -> Option<String> {
        let owner = self.owner();
        let is_ours = live.label(tracking::PART_OF) == Some(owner.applyset.as_str())
            || TrackingId::of(live).is_some_and(|id| id.app == owner.app)
                && !self.shared_resources.contains_key(&action.task.id);
        let is_hook = matches!(action.kind, ActionKind::DeleteHook | ActionKind::RemoveHookFinalizer);
        (is_hook && !is_ours).then(|| {
            let id = &action.task.id;
            format!(
                "{id} exists and is not a hook of {}: it is left as it is; rename the hook, or delete it",
                owner.app
            )
        })
    }

    async fn remove_hook_finalizer(&mut self, order: &Action<'_>) -> Result<ActionResult, String> {
        let (id, place) = (&order.task.id, self.object_ref(order.task)?);
        let Some(live) = &order.task.live else { return Ok(ActionResult::NotFound) };
        if let Some(reason) = self.foreign_hook(order, live) {
            return Err(reason);
        }
        let released = hook_finalizer::remove_hook_finalizer(&self.cluster, &place, live)
            .await
            .map_err(|failure| failure.with_remedy())?;
        self.observed.insert(id.clone(), released);
        Ok(ActionResult::Performed(String::new()))
    }

    fn object_ref(&self, task: &Task) -> Result<ObjectRef, String> {
        let unknown = || format!("the cluster does not know the kind of {}", task.id);
        self.objects.get(&task.id).cloned().ok_or_else(unknown)
    }

    /// Asks again for kinds that were not served when the sync began: an earlier step, or another application, may have
    /// brought them. What the project refuses, or another application owns, is only known by then.
    async fn resolve_kinds(&mut self, batch: &[Action<'_>]) {
        let is_open = |action: &&Action<'_>| !action.dry_run && !self.objects.contains_key(&action.task.id);
        let open: Vec<&Object> = batch.iter().filter(is_open).filter_map(|action| action.task.target()).collect();
        if open.is_empty() {
            return;
        }
        self.cluster.invalidate_discovery();
        let wanted: BTreeSet<GroupVersionKind> = open.iter().map(|object| GroupVersionKind::of(object)).collect();
        let kinds = self.cluster.resolve(&wanted, &BTreeSet::new()).await;
        let mut places: BTreeMap<ObjectId, (ObjectId, ObjectRef)> = BTreeMap::new();
        for object in open {
            let Ok(resource) = kinds.of(object) else { continue };
            let place = ObjectRef::of(resource, object);
            match self.request.permit.refusal(&in_scope(object, &place)) {
                Some(denied) => drop(self.shared_resources.insert(object.id(), denied.to_string())),
                None => drop(places.insert(place.id(), (object.id(), place))),
            }
        }
        let asked: Vec<ObjectRef> = places.values().map(|(_, place)| place.clone()).collect();
        let (found, failures) = objects::get_all(&self.cluster, &asked).await;
        let unread = failures.into_iter().map(|failure| (failure.id.clone(), failure.with_remedy()));
        let owned = match shared_resource_warnings(&self.cluster, self.request, &found).await {
            Ok(owned) => owned,
            Err(error) => found.keys().map(|id| (id.clone(), chain(&error))).collect(),
        };
        let held: BTreeMap<ObjectId, String> = unread.chain(owned).collect();
        for (place_id, (id, place)) in places {
            if let Some(line) = held.get(&place_id) {
                self.shared_resources.insert(id.clone(), line.clone());
            }
            self.objects.insert(id, place);
        }
    }

    /// Applies what may go at the same time.
    pub(super) async fn apply(&mut self, batch: &[Action<'_>]) -> Vec<Result<ActionResult, String>> {
        let mut answers: Vec<Option<Result<ActionResult, String>>> =
            batch.iter().map(|order| self.known_result(order)).collect();
        let mut open = Vec::new();
        for (number, (order, answer)) in batch.iter().zip(&mut answers).enumerate() {
            match self.object_ref(order.task) {
                _ if answer.is_some() => {}
                Ok(place) => open.push((number, order, place)),
                Err(error) => *answer = Some(Err(error)),
            }
        }
        let propagation = self.request.policy.propagation;
        let cluster = &self.cluster;
        let until = self.until;
        // Boxed, because the compiler can't prove that futures of a closure over references are `Send`.
        let writes: Vec<BoxFuture<'_, _>> = open
            .into_iter()
            .map(|(number, order, place)| {
                async move { (number, order, write(cluster, order, &place, propagation, until).await) }.boxed()
            })
            .collect();
        let done: Vec<_> = stream::iter(writes).buffered(REQUEST_CONCURRENCY).collect().await;
        for (number, order, applied) in done {
            if applied.is_ok() {
                self.deferred.done(&order.task.id);
            }
            let answer = self.result_of(order, applied);
            if let Some(slot) = answers.get_mut(number) {
                *slot = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err("not attempted".to_owned()))).collect()
    }

    /// Waits until the kinds of the CustomResourceDefinitions just applied are served.
    async fn wait_until_established(&mut self, batch: &[Action<'_>]) {
        let is_crd = |order: &&Action<'_>| !order.dry_run && order.task.id.kind == "CustomResourceDefinition";
        let places: Vec<ObjectRef> =
            batch.iter().filter(is_crd).filter_map(|order| self.objects.get(&order.task.id).cloned()).collect();
        if places.is_empty() {
            return;
        }
        let until = self.until.min(time::after(CRD_ESTABLISHED_TIMEOUT));
        for (id, outcome) in wait::wait(&self.cluster, &places, until, |_, object| is_established(object)).await {
            if let Seen::Waiting(reason) | Seen::Failed(reason) = outcome.progress {
                self.outcome.warnings.push(format!("{id} is not established yet: {reason}"));
            }
            self.observed.insert(id, outcome.object);
        }
        self.cluster.invalidate_discovery();
    }
}

/// `object` as it is applied at `place`: cluster-scoped kinds have no namespace.
fn in_scope<'o>(object: &'o Object, place: &ObjectRef) -> Cow<'o, Object> {
    if place.resource.namespaced || object.namespace().is_empty() {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    object.metadata_mut().shift_remove("namespace");
    Cow::Owned(object)
}

/// Executes one apply action.
async fn write(
    cluster: &Cluster,
    order: &Action<'_>,
    place: &ObjectRef,
    propagation: Propagation,
    until: Instant,
) -> Result<Applied, Failure> {
    let Some(target) = order.task.target() else { return Err(wait_failure(place, "there is nothing to apply")) };
    let target = &*in_scope(target, place);
    // A hook is always re-created: what an earlier sync left of it must not be patched.
    let live = order.task.live.as_ref().filter(|_| !order.task.hook);
    let options = apply::Options { dry_run: order.dry_run, validate: order.validate, ..apply::Options::default() };
    let resource = &place.resource;
    let applied = match (order.kind, live) {
        _ if order.dry_run && is_recreated(order.task) => {
            apply::dry_run_recreate(cluster, resource, target, order.validate).await
        }
        (ActionKind::Replace, Some(live)) if order.force && !order.dry_run => {
            recreate(cluster, place, live, propagation, until).await?;
            apply::apply(cluster, resource, target, None, &options).await
        }
        (ActionKind::Replace | ActionKind::Update, Some(live)) => {
            apply::replace(cluster, resource, target, live, order.dry_run).await
        }
        _ => apply::apply(cluster, resource, target, live, &options).await,
    };
    match (applied, live) {
        // `Force=true`: an immutable field is changed by deleting and re-creating the object.
        (Err(failure), Some(live)) if order.force && failure.source.class == Class::Immutable => {
            if !order.dry_run {
                recreate(cluster, place, live, propagation, until).await?;
                return apply::apply(cluster, resource, target, None, &options).await;
            }
            Ok(Applied { change: Change::Configured, object: live.clone(), warnings: Vec::new() })
        }
        (applied, _) => applied,
    }
}

fn wait_failure(place: &ObjectRef, message: &str) -> Failure {
    let source = slipway_gitops::ApiError::local(Class::Other, message);
    Failure { id: place.id(), verb: slipway_gitops::Verb::Apply, source }
}

/// Deletes an object, waits until it is gone, and creates it again.
async fn recreate(
    cluster: &Cluster,
    place: &ObjectRef,
    live: &Object,
    propagation: Propagation,
    until: Instant,
) -> Result<(), Failure> {
    delete::delete(cluster, place, live, propagation, false).await?;
    let until = until.min(time::after(DELETION_TIMEOUT));
    let found = wait::wait(cluster, std::slice::from_ref(place), until, |_, object| wait::gone(object)).await;
    match found.into_values().map(|outcome| outcome.progress).next() {
        Some(Seen::Waiting(reason) | Seen::Failed(reason)) => {
            Err(wait_failure(place, &format!("it has to be deleted before it is re-created: {reason}")))
        }
        _ => Ok(()),
    }
}

/// Whether the kind of a CustomResourceDefinition is served.
fn is_established(object: Option<&Object>) -> Seen {
    let conditions = object.and_then(|object| object.pointer("/status/conditions")?.as_array());
    let is = |condition: &Value, key: &str, text: &str| condition.get(key).and_then(Value::as_str) == Some(text);
    let found = conditions.into_iter().flatten().find(|condition| is(condition, "type", "Established"));
    match found {
        Some(condition) if is(condition, "status", "True") => Seen::Done,
        Some(condition) => {
            let message = condition.get("message").and_then(Value::as_str).unwrap_or_default();
            Seen::Waiting(message.to_owned())
        }
        None => Seen::Waiting("not processed by the API server yet".to_owned()),
    }
}

impl Executor for SyncExecutor<'_> {
    async fn execute(&mut self, batch: &[Action<'_>]) -> Vec<Result<ActionResult, String>> {
        let mut answers = Vec::with_capacity(batch.len());
        match batch.first().map(|order| order.kind) {
            Some(ActionKind::Prune | ActionKind::DeleteHook) => {
                for order in batch {
                    answers.push(self.delete(order).await);
                }
            }
            Some(ActionKind::RemoveHookFinalizer) => {
                for order in batch {
                    answers.push(self.remove_hook_finalizer(order).await);
                }
            }
            _ => {
                self.resolve_kinds(batch).await;
                if let Some(refusal) = self.dry_run_deferred(batch).await {
                    return batch.iter().map(|_| Err(refusal.clone())).collect();
                }
                answers = self.apply(batch).await;
                self.wait_until_established(batch).await;
                let made = batch.iter().zip(&answers).filter(|(order, answer)| !order.dry_run && answer.is_ok());
                for object in made.filter_map(|(order, _)| order.task.target()) {
                    self.deferred.made(object);
                }
            }
        }
        answers
    }

    async fn live(&mut self, task: &Task) -> Result<Option<Object>, String> {
        let place = self.object_ref(task)?;
        let live = objects::get(&self.cluster, &place).await.map_err(|failure| failure.with_remedy())?;
        self.observed.insert(task.id.clone(), live.clone());
        Ok(live)
    }

    async fn record(&mut self, progress: &Progress) -> Result<(), String> {
        self.save(progress).await.map_err(|stop| chain(&stop))
    }

    async fn end_wave(&mut self, _: Phase, _: i64, _: bool) -> Result<(), String> {
        // The next step records it.
        Ok(())
    }
}
