//! What a sync does to the cluster, and what it writes down of it: the door of [`engine::step`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;
use slipway_cluster::apply::{self, Applied, Change};
use slipway_cluster::engine::{Done, Door, Op, Order, Progress, is_made_anew};
use slipway_cluster::health::Verdict;
use slipway_cluster::hook::Phase;
use slipway_cluster::live::{self, Place};
use slipway_cluster::plan::{self, Task};
use slipway_cluster::prune::{self, Propagation, Pruned};
use slipway_cluster::state::State;
use slipway_cluster::status::Initiator;
use slipway_cluster::wait::{self, Progress as Seen};
use slipway_cluster::{Class, Cluster, Failure, release};
use slipway_manifest::{Object, ObjectId};
use tokio::time::Instant;

use super::late::Late;
use super::record::kubectl_line;
use super::{AT_ONCE, Job, Outcome};
use crate::error::chain;
use crate::notify::reporter::Reporter;
use crate::time;

/// How long a CustomResourceDefinition may take until its kind is served.
const ESTABLISHED: Duration = Duration::from_secs(30);
/// How long an object may take to go before it is made anew.
const GONE: Duration = Duration::from_mins(1);

/// The cluster, the state, and what is to be told in the end.
pub(super) struct Book<'a> {
    pub(super) job: &'a Job,
    pub(super) reporter: Option<&'a Reporter>,
    pub(super) cluster: Cluster,
    pub(super) until: Instant,
    pub(super) state: State,
    pub(super) version: Option<String>,
    pub(super) transitions: u64,
    pub(super) started: Timestamp,
    /// Who began the sync.
    pub(super) initiator: Initiator,
    /// Where each object is.
    pub(super) places: BTreeMap<ObjectId, Place>,
    /// Objects that another application owns, and what to say of them.
    pub(super) foreign: BTreeMap<ObjectId, String>,
    /// What the dry runs of the comparison said, so that nothing is asked twice.
    pub(super) rehearsed: BTreeMap<ObjectId, Result<(), String>>,
    /// What is dry-run only when this very sync has made what it needs.
    pub(super) late: Late,
    /// What became of objects since the step began; `None` is gone.
    pub(super) seen: BTreeMap<ObjectId, Option<Object>>,
    /// The members that Git has, hooks not counted.
    pub(super) wanted: BTreeSet<ObjectId>,
    /// Those of them that the cluster has not.
    pub(super) absent: BTreeSet<ObjectId>,
    /// What differs from Git and is not a part of this sync.
    pub(super) left: BTreeSet<ObjectId>,
    pub(super) images: Vec<String>,
    pub(super) health: BTreeMap<ObjectId, Verdict>,
    /// How many of the problems are about health, and not about the sync: the last ones.
    pub(super) ailing: usize,
    pub(super) outcome: Outcome,
}

impl<'a> Book<'a> {
    /// Keeps the values of the Secrets among `objects` out of all words from now on.
    pub(super) fn conceal<'o>(&mut self, objects: impl IntoIterator<Item = &'o Object>) {
        self.cluster = self.cluster.redacting(self.cluster.redactor().and(objects));
    }

    /// The health of an object, with the checks of the job's Argo CD; no value of a Secret is in its message.
    pub(super) fn judge(&self) -> impl Fn(&Object) -> Option<Verdict> + Send + Sync + use<'a> {
        let (checks, redactor) = (&self.job.checks, self.cluster.redactor().clone());
        move |object| {
            let Verdict { health, message } = checks.of(object, Timestamp::now())?;
            Some(Verdict { health, message: redactor.redact(&message).into_owned() })
        }
    }

    fn owner(&self) -> plan::Owner {
        self.job.owner.cluster()
    }

    /// Takes note of a failure.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.outcome.retry |= failure.source.class.is_transient();
        self.outcome.problems.push(failure.explain());
    }

    fn note(&mut self, order: &Order<'_>, applied: &Applied) {
        let id = &order.task.id;
        self.outcome.warnings.extend(applied.warnings.iter().map(|warning| format!("{id}: {warning}")));
        if !order.dry_run {
            if applied.change != Change::Unchanged {
                self.outcome.changes.push(applied.to_string());
            }
            self.seen.insert(id.clone(), Some(applied.object.clone()));
        }
    }

    /// What to say to the engine of how an apply went.
    fn conclude(&mut self, order: &Order<'_>, applied: Result<Applied, Failure>) -> Result<Done, String> {
        let id = &order.task.id;
        match applied {
            Ok(applied) => {
                self.note(order, &applied);
                Ok(Done::Done(match order.op {
                    Op::Update => format!("{}/{} updated", id.kind, id.name),
                    _ => kubectl_line(id, applied.change.as_str()),
                }))
            }
            Err(failure) if order.dry_run && failure.source.class == Class::DryRunUnsupported => {
                self.outcome.warnings.push(format!(
                    "{id} is applied without a dry run, because an admission webhook does not take part in dry runs: {}",
                    failure.source
                ));
                Ok(Done::Done(String::new()))
            }
            Err(failure) if order.dry_run && self.comes_with_this_sync(&failure) => Ok(Done::Done(String::new())),
            Err(failure) => {
                self.fail(&failure);
                Err(failure.explain())
            }
        }
    }

    /// Whether a dry run failed only because its namespace does not exist yet and is made by this sync.
    fn comes_with_this_sync(&self, failure: &Failure) -> bool {
        failure.source.class == Class::MissingNamespace && self.late.namespaces.contains(&failure.id.namespace)
    }

    /// What is known already, or must not be done.
    fn settled(&mut self, order: &Order<'_>) -> Option<Result<Done, String>> {
        let id = &order.task.id;
        if let Some(line) = self.foreign.get(id) {
            if order.dry_run {
                return Some(Ok(Done::Done(String::new())));
            }
            self.outcome.problems.push(line.clone());
            return Some(Err(line.clone()));
        }
        if !order.dry_run {
            return None;
        }
        Some(self.rehearsed.get(id)?.clone().map(|()| Done::Done(String::new())))
    }

    async fn delete(&mut self, order: &Order<'_>) -> Result<Done, String> {
        let (id, place) = (&order.task.id, self.place(order.task)?);
        let live = match self.seen.get(id).cloned().unwrap_or_else(|| order.task.live.clone()) {
            Some(live) => live,
            None => match self.live(order.task).await? {
                Some(live) => live,
                None => return Ok(Done::Gone),
            },
        };
        // A hook of a sync that never ended would hold itself for ever.
        let live = match release::release(&self.cluster, &place, &live).await {
            Ok(Some(live)) => live,
            Ok(None) => return Ok(Done::Gone),
            Err(failure) => {
                self.fail(&failure);
                return Err(failure.explain());
            }
        };
        let propagation = self.job.policy.propagation;
        let pruned = if order.op == Op::Prune {
            let (owner, inventory) = (self.owner(), &self.state.inventory);
            prune::prune(&self.cluster, &place, &live, &owner, inventory, propagation, false).await
        } else {
            prune::delete(&self.cluster, &place, &live, propagation, false).await
        };
        let done = match pruned {
            Ok(Pruned::Spared(reason)) => {
                self.outcome.warnings.push(format!("{id} is not deleted: {reason}"));
                return Ok(Done::Spared(reason));
            }
            Ok(Pruned::Gone) => Done::Gone,
            Ok(Pruned::Deleted | Pruned::AlreadyDeleting) => Done::Done("pruned".to_owned()),
            Err(failure) => {
                self.fail(&failure);
                return Err(failure.explain());
            }
        };
        if order.op == Op::Prune {
            self.outcome.changes.push(format!("{id} pruned"));
        }
        // Finalizers may hold it for a while.
        let now = live::get(&self.cluster, &place).await.map_err(|failure| failure.explain())?;
        self.seen.insert(id.clone(), now);
        Ok(done)
    }

    async fn release(&mut self, order: &Order<'_>) -> Result<Done, String> {
        let (id, place) = (&order.task.id, self.place(order.task)?);
        let Some(live) = &order.task.live else { return Ok(Done::Gone) };
        let released = release::release(&self.cluster, &place, live).await.map_err(|failure| failure.explain())?;
        self.seen.insert(id.clone(), released);
        Ok(Done::Done(String::new()))
    }

    fn place(&self, task: &Task) -> Result<Place, String> {
        let unknown = || format!("the cluster does not know the kind of {}", task.id);
        self.places.get(&task.id).cloned().ok_or_else(unknown)
    }

    /// Applies what may go at the same time.
    pub(super) async fn apply(&mut self, batch: &[Order<'_>]) -> Vec<Result<Done, String>> {
        let mut answers: Vec<Option<Result<Done, String>>> = batch.iter().map(|order| self.settled(order)).collect();
        let mut open = Vec::new();
        for (number, (order, answer)) in batch.iter().zip(&mut answers).enumerate() {
            match self.place(order.task) {
                _ if answer.is_some() => {}
                Ok(place) => open.push((number, order, place)),
                Err(error) => *answer = Some(Err(error)),
            }
        }
        let propagation = self.job.policy.propagation;
        let cluster = &self.cluster;
        let until = self.until;
        // Boxed, because the compiler can't tell that a closure over references gives futures that may be sent.
        let writes: Vec<BoxFuture<'_, _>> = open
            .into_iter()
            .map(|(number, order, place)| {
                async move { (number, order, write(cluster, order, &place, propagation, until).await) }.boxed()
            })
            .collect();
        let done: Vec<_> = stream::iter(writes).buffered(AT_ONCE).collect().await;
        for (number, order, applied) in done {
            if applied.as_ref().map_or_else(|failure| !self.comes_with_this_sync(failure), |_| true) {
                self.late.done(&order.task.id);
            }
            let answer = self.conclude(order, applied);
            if let Some(slot) = answers.get_mut(number) {
                *slot = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err("it was not tried".to_owned()))).collect()
    }

    /// Waits until the kinds of CustomResourceDefinitions just applied are served.
    async fn establish(&mut self, batch: &[Order<'_>]) {
        let is_crd = |order: &&Order<'_>| !order.dry_run && order.task.id.kind == "CustomResourceDefinition";
        let places: Vec<Place> =
            batch.iter().filter(is_crd).filter_map(|order| self.places.get(&order.task.id).cloned()).collect();
        if places.is_empty() {
            return;
        }
        let until = self.until.min(time::after(ESTABLISHED));
        for (id, outcome) in wait::wait(&self.cluster, &places, until, |_, object| established(object)).await {
            if let Seen::Waiting(reason) | Seen::Failed(reason) = outcome.progress {
                self.outcome.warnings.push(format!("{id} is not established yet: {reason}"));
            }
            self.seen.insert(id, outcome.object);
        }
        self.cluster.forget_kinds();
    }
}

/// Carries out one order to apply.
async fn write(
    cluster: &Cluster,
    order: &Order<'_>,
    place: &Place,
    propagation: Propagation,
    until: Instant,
) -> Result<Applied, Failure> {
    let Some(target) = order.task.target() else { return Err(place_failure(place, "there is nothing to apply")) };
    // A hook is made anew: what an earlier sync left of it says nothing.
    let live = order.task.live.as_ref().filter(|_| !order.task.hook);
    let options = apply::Options { dry_run: order.dry_run, validate: order.validate, ..apply::Options::default() };
    let resource = &place.resource;
    let applied = match (order.op, live) {
        _ if order.dry_run && is_made_anew(order.task) => {
            apply::rehearse_anew(cluster, resource, target, order.validate).await
        }
        (Op::Replace, Some(live)) if order.force && !order.dry_run => {
            recreate(cluster, place, live, propagation, until).await?;
            apply::apply(cluster, resource, target, None, &options).await
        }
        (Op::Replace | Op::Update, Some(live)) => apply::replace(cluster, resource, target, live, order.dry_run).await,
        _ => apply::apply(cluster, resource, target, live, &options).await,
    };
    match (applied, live) {
        // What can't be changed is made anew where the manifest asks for it.
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

fn place_failure(place: &Place, message: &str) -> Failure {
    let source = slipway_cluster::ApiError::local(Class::Other, message);
    Failure { id: place.id(), verb: slipway_cluster::Verb::Apply, source }
}

/// Deletes an object and waits until it is gone.
async fn recreate(
    cluster: &Cluster,
    place: &Place,
    live: &Object,
    propagation: Propagation,
    until: Instant,
) -> Result<(), Failure> {
    prune::delete(cluster, place, live, propagation, false).await?;
    let until = until.min(time::after(GONE));
    let found = wait::wait(cluster, std::slice::from_ref(place), until, |_, object| wait::gone(object)).await;
    match found.into_values().map(|outcome| outcome.progress).next() {
        Some(Seen::Waiting(reason) | Seen::Failed(reason)) => {
            Err(place_failure(place, &format!("it has to go before it is made anew: {reason}")))
        }
        _ => Ok(()),
    }
}

/// Whether the kind that a CustomResourceDefinition defines is served.
fn established(object: Option<&Object>) -> Seen {
    let conditions = object.and_then(|object| object.pointer("/status/conditions")?.as_array());
    let is = |condition: &Value, key: &str, text: &str| condition.get(key).and_then(Value::as_str) == Some(text);
    let found = conditions.into_iter().flatten().find(|condition| is(condition, "type", "Established"));
    match found {
        Some(condition) if is(condition, "status", "True") => Seen::Done,
        Some(condition) => {
            let message = condition.get("message").and_then(Value::as_str).unwrap_or_default();
            Seen::Waiting(message.to_owned())
        }
        None => Seen::Waiting("the API server has not looked at it yet".to_owned()),
    }
}

impl Door for Book<'_> {
    async fn run(&mut self, batch: &[Order<'_>]) -> Vec<Result<Done, String>> {
        let mut answers = Vec::with_capacity(batch.len());
        match batch.first().map(|order| order.op) {
            Some(Op::Prune | Op::DeleteHook) => {
                for order in batch {
                    answers.push(self.delete(order).await);
                }
            }
            Some(Op::RemoveHookFinalizer) => {
                for order in batch {
                    answers.push(self.release(order).await);
                }
            }
            _ => {
                if let Some(refusal) = self.rehearse_late(batch).await {
                    return batch.iter().map(|_| Err(refusal.clone())).collect();
                }
                answers = self.apply(batch).await;
                self.establish(batch).await;
                let made = batch.iter().zip(&answers).filter(|(order, answer)| !order.dry_run && answer.is_ok());
                for object in made.filter_map(|(order, _)| order.task.target()) {
                    self.late.made(object);
                }
            }
        }
        answers
    }

    async fn live(&mut self, task: &Task) -> Result<Option<Object>, String> {
        let place = self.place(task)?;
        let live = live::get(&self.cluster, &place).await.map_err(|failure| failure.explain())?;
        self.seen.insert(task.id.clone(), live.clone());
        Ok(live)
    }

    async fn record(&mut self, progress: &Progress) -> Result<(), String> {
        self.save(progress).await.map_err(|stop| chain(&stop))
    }

    async fn wave(&mut self, _: Phase, _: i64, _: bool) -> Result<(), String> {
        // The step that follows records it.
        Ok(())
    }
}
