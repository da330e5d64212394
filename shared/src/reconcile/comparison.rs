//! Compares what Git has with what the cluster has: the one comparison of syncs, `drift-check`, applications that
//! people sync and `slipway app diff`.
//!
//! An object differs where an apply would change it, told by a dry run of that very apply, without what the
//! Application's rules ignore and without what mutating webhooks make of fields that Git says nothing of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::{Cluster, apply, dry_run};
use slipway_gitops::api_resources::{ApiResource, ApiResources, GroupKind, GroupVersionKind};
use slipway_gitops::comparison::{LiveAndPredicted, Rules};
use slipway_gitops::health::{self, Checks, Health, HealthStatus};
use slipway_gitops::identity::AppIdentity;
use slipway_gitops::managed_fields::subset::is_unchanged;
use slipway_gitops::{DiscoverError, Failure, annotations, diff, plan, prune_guard, sync_status};
use slipway_manifest::{Object, ObjectId};

use super::drift::{self, DriftedField, FingerprintKey};
use super::sync::AppOwner;
use crate::app::ProjectPermissions;
use crate::error::chain;

/// Dry runs of one application on their way at the same time.
const DRY_RUN_CONCURRENCY: usize = 16;

/// An object of Git's and what stands in its place.
pub struct Pair<'a> {
    /// What Git has.
    pub object: &'a Object,
    /// Where it goes.
    pub place: &'a ObjectRef,
    /// What is there.
    pub live: Option<&'a Object>,
    /// Whether unknown fields are refused.
    pub validate: bool,
}

/// What a comparison of one object found.
#[derive(Debug)]
pub enum Compared {
    /// Nothing stands in its place.
    Missing,
    /// An apply would change nothing that counts.
    Same,
    /// An apply would change it so. Not redacted.
    Differs(Box<LiveAndPredicted>),
}

/// Compares each of `pairs`; a dry run goes out only for what does not prove itself unchanged. The answers come in the
/// order of the pairs.
pub async fn compare(cluster: &Cluster, pairs: Vec<Pair<'_>>, rules: &Rules) -> Vec<Result<Compared, Failure>> {
    stream::iter(pairs).map(|pair| compare_one(cluster, pair, rules)).buffered(DRY_RUN_CONCURRENCY).collect().await
}

async fn compare_one(cluster: &Cluster, pair: Pair<'_>, rules: &Rules) -> Result<Compared, Failure> {
    let Pair { object, place, live, validate } = pair;
    if live.is_some_and(|live| is_unchanged(object, live, &[])) {
        return Ok(Compared::Same);
    }
    let options = apply::Options { validate, ..apply::Options::default() };
    Ok(match dry_run::dry_run(cluster, &place.resource, object, live.cloned(), &options, rules).await? {
        None => Compared::Missing,
        Some(pair) if diff::diff(&pair.live, &pair.predicted).is_empty() => Compared::Same,
        Some(pair) => Compared::Differs(Box::new(pair)),
    })
}

/// What became of comparing an application with its cluster.
#[derive(Debug, Default)]
pub struct AppComparison {
    /// What differs.
    pub found: Vec<DriftedField>,
    /// What could not be compared, in words.
    pub problems: Vec<String>,
    /// Which objects those are.
    pub uncompared: Vec<String>,
    /// Those of them that the API server refused to compare: what a project refuses is told when it is deployed.
    pub failed: Vec<String>,
    /// Whether some of that may be compared a moment later: the API server, or a webhook, was away.
    pub is_outage: bool,
    /// Everything that Git has, but for hooks, in the version asked for.
    pub objects: BTreeMap<ObjectId, String>,
    /// The verdict on each object; hooks and copies have none.
    pub results: BTreeMap<ObjectId, sync_status::ComparisonResult>,
    /// What the cluster has of the application and Git has no more: it requires pruning.
    pub extraneous: BTreeMap<ObjectId, Object>,
    /// How often each object is in Git that is there more than once.
    pub repeated: BTreeMap<ObjectId, usize>,
    /// How well each object is, those that require pruning included; those without health have none.
    pub health: BTreeMap<ObjectId, Option<HealthStatus>>,
}

impl AppComparison {
    fn add_failure(&mut self, failure: &Failure) {
        self.is_outage |= failure.source.class.is_transient();
        self.failed.push(failure.id.to_string());
        self.add_problem(&failure.id, failure.with_remedy());
    }

    fn add_problem(&mut self, id: &ObjectId, problem: String) {
        self.problems.push(problem);
        self.uncompared.push(id.to_string());
    }
}

/// What an application is compared by.
pub struct Scope<'a> {
    /// Whose objects they are.
    pub owner: &'a AppOwner,
    /// What its project allows: what it refuses is neither read nor compared.
    pub permit: &'a ProjectPermissions,
    /// What counts as a difference.
    pub rules: &'a Rules,
    /// How health is told.
    pub checks: &'a Checks,
    /// Everything that was applied and not seen deleted.
    pub inventory: &'a BTreeSet<ObjectId>,
    /// The destination's namespace, where `CreateNamespace=true` asks for it whatever Git has.
    pub kept_namespace: Option<ObjectId>,
    /// Whether unknown fields are refused.
    pub validate: bool,
    /// The key of the fingerprints.
    pub key: &'a FingerprintKey<'a>,
}

/// Compares `objects`, rendered for an application, with the live ones: one list for each kind and namespace, a read
/// only for what carries no label of ours, a dry run only for what does not prove itself unchanged.
pub async fn differences(cluster: &Cluster, scope: &Scope<'_>, objects: Vec<Object>) -> AppComparison {
    let Scope { owner, permit, rules, checks, key, .. } = scope;
    let mut compared = AppComparison::default();
    let wanted: BTreeSet<GroupVersionKind> = objects.iter().map(GroupVersionKind::of).collect();
    let known: BTreeSet<GroupKind> = scope.inventory.iter().map(GroupKind::of).collect();
    let kinds = cluster.resolve(&wanted, &known).await;
    let identity = owner.cluster();
    let mut desired = plan::prepare(objects, &kinds, &identity);
    compared.repeated = std::mem::take(&mut desired.repeated);
    let rendered: BTreeSet<ObjectId> = desired.objects.iter().map(Object::id).collect();
    for (object, error) in &mut desired.unresolved {
        if object.namespace().is_empty() {
            object.set_namespace(&identity.namespace);
        }
        let id = object.id();
        if matches!(error, DiscoverError::UnknownKind { .. }) {
            compared.failed.push(id.to_string());
        } else {
            compared.is_outage = true;
        }
        compared.add_problem(&id, format!("{id}: {}", chain(error)));
        compared.objects.insert(id, object.version().to_owned());
    }
    let rendered: BTreeSet<ObjectId> = rendered.into_iter().chain(compared.objects.keys().cloned()).collect();
    let objects: Vec<(Object, ObjectRef)> = desired
        .objects
        .into_iter()
        .filter(|object| !annotations::is_hook(object) && !annotations::is_skipped(object))
        .filter_map(|object| {
            let place = ObjectRef::of(kinds.of(&object).ok()?, &object);
            Some((object, place))
        })
        .collect();
    let mut allowed = Vec::with_capacity(objects.len());
    for pair in &objects {
        match permit.refusal(&pair.0) {
            Some(denied) => compared.add_problem(&pair.0.id(), denied.to_string()),
            None => allowed.push(pair),
        }
    }
    let mut live = live_objects(cluster, &allowed, &identity.applyset, &mut compared).await;
    let redactor = cluster.redactor().and(objects.iter().map(|(object, _)| object).chain(live.values()));
    let cluster = &cluster.redacting(redactor.clone());
    let readable = allowed.into_iter().filter(|(object, _)| !compared.uncompared.contains(&object.id().to_string()));
    let readable: Vec<(&Object, &ObjectRef, Option<Object>)> =
        readable.map(|(object, place)| (object, place, live.remove(&place.id()))).collect();
    let pairs = readable.iter().map(|(object, place, live)| {
        let validate = scope.validate && !annotations::has_sync_option(object, "Validate=false");
        Pair { object, place, live: live.as_ref(), validate }
    });
    let answers = compare(cluster, pairs.collect(), rules).await;
    compared.objects.extend(objects.iter().map(|(_, place)| (place.id(), place.resource.gvk.version.clone())));
    let now = Timestamp::now();
    let health_of = |live: &Object| {
        let mut health = checks.of(live, now).filter(|_| !health::is_ignored(live));
        if let Some(status) = &mut health {
            status.message = redactor.redact(&status.message).into_owned();
        }
        health
    };
    for ((object, place, live), answer) in readable.iter().zip(answers) {
        let missing = || Some(HealthStatus::new(Health::Missing, ""));
        compared.health.insert(object.id(), live.as_ref().map_or_else(missing, health_of));
        match answer {
            Ok(answer) => {
                let more = match answer {
                    Compared::Same => Vec::new(),
                    Compared::Missing => vec![drift::missing(&place.id(), key)],
                    Compared::Differs(pair) => drift::compare(&pair.live, &pair.predicted, key, &redactor),
                };
                let verdict =
                    sync_status::compare(&owner.instance, Some(object), live.as_ref(), !more.is_empty(), None);
                compared.results.extend(verdict.map(|verdict| (object.id(), verdict)));
                compared.found.extend(more);
            }
            Err(failure) => compared.add_failure(&failure),
        }
    }
    let candidates: BTreeSet<ObjectId> = scope.inventory.difference(&rendered).cloned().collect();
    live.retain(|id, _| !rendered.contains(id));
    live.extend(recorded_objects(cluster, &kinds, &candidates, &identity, &mut compared).await);
    live.retain(|id, _| Some(id) != scope.kept_namespace.as_ref());
    for (id, extra) in live {
        let Some(verdict) = sync_status::compare(&owner.instance, None, Some(&extra), false, None) else { continue };
        compared.results.insert(id.clone(), verdict);
        compared.health.insert(id.clone(), health_of(&extra));
        compared.extraneous.insert(id, extra);
    }
    compared
}

/// What the cluster still has of `candidates`, which were applied and left Git, and is provably the application's.
async fn recorded_objects(
    cluster: &Cluster,
    kinds: &ApiResources,
    candidates: &BTreeSet<ObjectId>,
    identity: &AppIdentity,
    compared: &mut AppComparison,
) -> BTreeMap<ObjectId, Object> {
    let places: Vec<ObjectRef> = candidates.iter().filter_map(|id| objects::recorded(kinds, id)).collect();
    let (mut found, failures) = objects::get_all(cluster, &places).await;
    for failure in failures {
        compared.add_failure(&failure);
    }
    found.retain(|_, live| prune_guard::ownership_mismatch(live, identity, candidates).is_none());
    found
}

/// The members of the application, and whatever else stands where one of `objects` should.
async fn live_objects(
    cluster: &Cluster,
    objects: &[&(Object, ObjectRef)],
    applyset: &str,
    compared: &mut AppComparison,
) -> BTreeMap<ObjectId, Object> {
    let resources: BTreeMap<&GroupVersionKind, &Arc<ApiResource>> =
        objects.iter().map(|(_, place)| (&place.resource.gvk, &place.resource)).collect();
    let namespaces: BTreeSet<String> =
        objects.iter().map(|(_, place)| place.namespace.clone()).filter(|namespace| !namespace.is_empty()).collect();
    let mut live = objects::members(cluster, resources.into_values(), &namespaces, applyset).await.objects;
    let others: Vec<ObjectRef> =
        objects.iter().map(|(_, place)| place).filter(|place| !live.contains_key(&place.id())).cloned().collect();
    let (found, failures) = objects::get_all(cluster, &others).await;
    live.extend(found);
    for failure in failures {
        compared.add_failure(&failure);
    }
    live
}
