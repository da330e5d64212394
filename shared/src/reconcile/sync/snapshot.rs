//! Lists Git's objects and the cluster's, and compares them.

use slipway_gitops::prune_guard;
use std::collections::{BTreeMap, BTreeSet};

use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::state::{self, AppKey};
use slipway_cluster::{Cluster, apply};
use slipway_gitops::api_resources::{GroupKind, GroupVersionKind};
use slipway_gitops::identity::STATE_NAMESPACE;
use slipway_gitops::managed_fields::migrate;
use slipway_gitops::plan::{self, Desired, PruneCandidate};
use slipway_gitops::sync::{NamespaceMetadata, kept_reason};
use slipway_gitops::tracking::{PART_OF, TrackingId};
use slipway_gitops::{ApiError, ApiResources, DiscoverError, Failure, annotations};
use slipway_manifest::{Object, ObjectId};

use super::executor::SyncExecutor;
use super::record::images;
use super::{OperationKind, SyncError, SyncOperation, SyncPolicy, SyncRequest};
use crate::error::chain;
use crate::reconcile::comparison::{self, Compared, Pair};

/// The skip reason of the destination's namespace when it is removed from Git.
const NAMESPACE_STAYS: &str = "ignored (the sync option CreateNamespace=true asks for it)";

/// Desired and live objects, as of one point in time.
#[derive(Default)]
pub(super) struct ClusterSnapshot {
    /// Git's objects, with namespaces and tracking metadata filled in.
    pub(super) targets: Vec<Object>,
    /// Their counterparts in the cluster.
    pub(super) live: BTreeMap<ObjectId, Object>,
    /// Live objects of the application that Git no longer has.
    pub(super) prune_candidates: BTreeMap<ObjectId, PruneCandidate>,
    /// The destination's namespace, where the sync may create it.
    pub(super) namespace: Option<Object>,
    /// Objects whose kind is not served yet, with the reason.
    pub(super) missing: BTreeMap<ObjectId, String>,
    /// Objects that may not be applied, with the reason.
    pub(super) denied: BTreeMap<ObjectId, String>,
    /// Whether some live objects could not be read; a retry may succeed.
    pub(super) is_unread: bool,
}

impl SyncOperation<'_> {
    /// Renews the snapshot.
    pub(super) async fn refresh(&mut self) -> Result<(), SyncError> {
        let request = self.executor.request;
        if request.policy.operation == OperationKind::Delete {
            return self.list_deletion_targets().await;
        }
        let owner = request.owner.cluster();
        let wanted: BTreeSet<GroupVersionKind> = request.objects.iter().map(GroupVersionKind::of).collect();
        let known: BTreeSet<GroupKind> = self.executor.state.inventory.iter().map(GroupKind::of).collect();
        let mut kinds = self.executor.cluster.resolve(&wanted, &known).await;
        let mut is_complete = kinds.is_complete();
        for (group, error) in kinds.incomplete() {
            let line = format!("failed to ask the API server which kinds {group} has: {error}");
            self.executor.outcome.retry |= error.class.is_transient();
            self.executor.outcome.problems.push(line);
        }
        let coming = kinds.insert_defined(&request.objects);
        let mut snapshot = ClusterSnapshot::default();
        let desired = plan::prepare(request.objects.clone(), &kinds, &owner);
        self.warn(&desired);
        let refused = request.permit.refused(&desired.objects);
        if !refused.is_empty() {
            self.executor.outcome.problems.extend(refused.iter().map(ToString::to_string));
            return Err(SyncError::NotPermitted(refused.len()));
        }
        self.executor.repeated.clone_from(&desired.repeated);
        snapshot.targets = desired.objects;
        self.executor.deferred.kinds = coming.iter().map(GroupVersionKind::group_kind).collect();
        for object in snapshot.targets.iter().filter(|object| coming.contains(&GroupVersionKind::of(object))) {
            snapshot.missing.insert(object.id(), format!("the cluster does not know the kind of {}", object.id()));
        }
        for (mut object, error) in desired.unresolved {
            is_complete = false;
            if object.namespace().is_empty() {
                object.set_namespace(&owner.namespace);
            }
            let id = owner.set_tracking(&mut object);
            let line = format!("failed to apply {id}: {}", chain(&error));
            if let DiscoverError::UnknownKind { .. } = error {
                snapshot.missing.insert(id, line);
            } else {
                self.executor.outcome.retry = true;
                snapshot.denied.insert(id, line);
            }
            snapshot.targets.push(object);
        }
        is_complete &= self.read(&mut snapshot, &kinds).await;
        if request.policy.respect_ignore_differences {
            for target in &mut snapshot.targets {
                let id = target.id();
                if let Some(live) = snapshot.live.get(&id)
                    && let Err(error) = request.rules.normalizer.respect(target, live, &[])
                {
                    snapshot.denied.insert(id.clone(), format!("failed to apply {id}: {error}"));
                }
            }
        }
        // As in Argo CD, the permission is needed whenever the sync has a task for the namespace, even one without a
        // change.
        let metadata = request.policy.options.create_namespace.as_ref();
        let is_written = metadata.is_some_and(|metadata| snapshot.namespace.is_none() || !metadata.is_empty());
        if let Some(denied) = request.permit.refused_namespace(&owner.namespace).filter(|_| is_written) {
            return Err(SyncError::Denied(Box::new(denied)));
        }
        Box::pin(self.check_ownership(&mut snapshot)).await?;
        if request.policy.operation.is_compared() {
            self.find_prune_candidates(&mut snapshot, is_complete);
        }
        if self.executor.request.policy.operation.is_compared() {
            self.executor.is_observed = true;
            self.executor.extraneous.clear();
            for (id, extra) in snapshot.prune_candidates.iter().filter(|(id, _)| !request.wants_namespace(id)) {
                self.executor.note_extra(id, &extra.live);
            }
        }
        let members = || {
            snapshot.targets.iter().filter(|object| !annotations::is_hook(object) && !annotations::is_skipped(object))
        };
        self.executor.wanted = members().map(Object::id).collect();
        let wanted = self.executor.wanted.iter();
        self.executor.absent = wanted.filter(|id| !snapshot.live.contains_key(*id)).cloned().collect();
        self.executor.images = images(members());
        let extraneous = snapshot.prune_candidates.values().map(|extra| &extra.live);
        self.executor.redact_values(snapshot.targets.iter().chain(snapshot.live.values()).chain(extraneous));
        self.snapshot = snapshot;
        Ok(())
    }

    fn warn(&mut self, desired: &Desired) {
        let warnings = &mut self.executor.outcome.warnings;
        let repeated = desired.repeated.keys();
        warnings.extend(repeated.map(|id| format!("{id} is in the manifests more than once; the last one is used")));
        let client_side = |object: &&Object| annotations::has_sync_option(object, "ServerSideApply=false");
        warnings.extend(
            desired
                .objects
                .iter()
                .filter(client_side)
                .map(|object| format!("{} asks for client-side apply: Slipway applies server-side only", object.id())),
        );
    }

    /// Reads the live objects; returns whether all could be read.
    async fn read(&mut self, snapshot: &mut ClusterSnapshot, kinds: &ApiResources) -> bool {
        let executor = &mut self.executor;
        let is_served = |object: &&Object| !snapshot.missing.contains_key(&object.id());
        let place = |object: &Object| Some(ObjectRef::of(kinds.of(object).ok()?, object));
        executor.objects = snapshot.targets.iter().filter_map(place).map(|place| (place.id(), place)).collect();
        let wanted: Vec<ObjectRef> = snapshot
            .targets
            .iter()
            .filter(|object| !object.name().is_empty())
            .filter(is_served)
            .filter_map(place)
            .collect();
        let known: Vec<ObjectRef> =
            executor.state.inventory.iter().filter_map(|id| objects::recorded(kinds, id)).collect();
        let applyset = executor.request.owner.key.applyset_id();
        let live = objects::list_live(&executor.cluster, &wanted, &known, &applyset);
        let (found, namespace) = tokio::join!(live, live_namespace(executor));
        for failure in &found.failures {
            snapshot.is_unread |= failure.source.class.is_outage();
            executor.fail(failure);
        }
        executor.objects.extend(known.into_iter().map(|place| (place.id(), place)));
        snapshot.live = found.objects;
        for (id, object) in &snapshot.live {
            if let (false, Ok(resource)) = (executor.objects.contains_key(id), kinds.of_group_kind(&GroupKind::of(id)))
            {
                executor.objects.insert(id.clone(), ObjectRef::of(resource, object));
            }
        }
        let is_new = |object: &&Object| object.id().kind == "Namespace" && !snapshot.live.contains_key(&object.id());
        executor.deferred.namespaces =
            snapshot.targets.iter().filter(is_new).map(|object| object.name().to_owned()).collect();
        match namespace {
            None => found.failures.is_empty(),
            Some((place, Ok(live))) => {
                snapshot.namespace = live;
                executor.objects.entry(place.id()).or_insert(place);
                found.failures.is_empty()
            }
            Some((_, Err(failure))) => {
                executor.fail(&failure);
                false
            }
        }
    }

    /// Stops where another sync engine is active; keeps away from objects of other applications.
    async fn check_ownership(&mut self, snapshot: &mut ClusterSnapshot) -> Result<(), SyncError> {
        let rival = snapshot.live.iter().find_map(|(id, object)| Some((id, migrate::conflicting_manager(object)?)));
        if let Some((id, rival)) = rival {
            return Err(SyncError::ConflictingController {
                id: Box::new(id.clone()),
                manager: rival.manager,
                time: rival.time,
            });
        }
        let shared = shared_resource_warnings(&self.executor.cluster, self.executor.request, &snapshot.live).await;
        let shared = shared.map_err(|error| {
            tracing::warn!(error = chain(&error), "failed to read which applications there are");
            SyncError::LiveStateUnreadable
        })?;
        if self.executor.request.policy.fail_on_shared_resource {
            snapshot.denied.extend(shared);
        } else {
            self.executor.shared_resources.extend(shared);
        }
        Ok(())
    }

    /// Finds the objects that require pruning; keeps them where anything is incomplete or the prune guard asks for
    /// approval.
    fn find_prune_candidates(&mut self, snapshot: &mut ClusterSnapshot, is_complete: bool) {
        let executor = &mut self.executor;
        let SyncPolicy { options, allow_empty, prune_approved, .. } = &executor.request.policy;
        let owner = executor.request.owner.cluster();
        let mut extraneous =
            plan::prune_candidates(&snapshot.targets, &snapshot.live, &executor.state.inventory, &owner);
        for (_, extra) in extraneous.iter_mut().filter(|(id, _)| executor.request.wants_namespace(id)) {
            extra.skip_reason = Some(NAMESPACE_STAYS.to_owned());
        }
        let keep_all = |extraneous: &mut BTreeMap<ObjectId, PruneCandidate>, reason: &str| {
            for extra in extraneous.values_mut() {
                extra.skip_reason.get_or_insert_with(|| reason.to_owned());
            }
        };
        for extra in extraneous.values_mut() {
            if let Some(denied) = executor.request.permit.refusal(&extra.live) {
                extra.skip_reason.get_or_insert_with(|| denied.to_string());
            }
        }
        if !is_complete && options.prune {
            keep_all(&mut extraneous, "nothing is pruned while anything can't be read or is of an unknown kind");
        }
        let prunes: BTreeSet<ObjectId> = extraneous
            .iter()
            .filter(|(id, _)| executor.request.policy.selects(id))
            .filter(|(_, extra)| extra.skip_reason.is_none() && kept_reason(&extra.live, options).is_none())
            .map(|(id, _)| id.clone())
            .collect();
        let is_member = |object: &&Object| !annotations::is_hook(object) && !annotations::phases(object).is_empty();
        let spares =
            extraneous.keys().filter(|id| !prunes.contains(*id) && !executor.request.wants_namespace(id)).count();
        let survivors = snapshot.targets.iter().filter(is_member).count() + spares;
        let members = executor.state.inventory.len();
        let verdict = prune_guard::prune_guard(&prunes, survivors, members, *allow_empty, prune_approved.as_deref());
        if let prune_guard::PruneDecision::NeedsApproval { reason, digest } = verdict {
            let line = format!(
                "nothing is pruned: {reason}; if that is right, annotate the Application with \
                 slipway.dev/prune-approved: {digest}"
            );
            keep_all(&mut extraneous, &line);
            executor.outcome.problems.push(line);
        }
        snapshot.prune_candidates = extraneous;
    }

    /// Dry-runs the objects; returns whether any differs, and keeps the results for the sync. Without an answer the
    /// result is unknown, and no sync begins (Argo CD: Unknown).
    pub(super) async fn compare(&mut self) -> Result<bool, SyncError> {
        if self.snapshot.is_unread {
            return Err(SyncError::LiveStateUnreadable);
        }
        let leaves_namespace = self.left_namespace().is_some();
        let (snapshot, executor) = (&self.snapshot, &mut self.executor);
        let is_member = |object: &&Object| !annotations::is_hook(object) && !annotations::phases(object).is_empty();
        let mut modified: BTreeSet<ObjectId> = BTreeSet::new();
        let mut pairs = Vec::new();
        let validate = !executor.request.policy.options.no_validate;
        for target in snapshot.targets.iter().filter(is_member) {
            let id = target.id();
            match (snapshot.live.get(&id), executor.objects.get(&id)) {
                (Some(live), Some(place)) if !executor.shared_resources.contains_key(&id) => {
                    let validate = validate && !annotations::has_sync_option(target, "Validate=false");
                    pairs.push(Pair { object: target, place, live: Some(live), validate });
                }
                _ => {
                    modified.insert(id);
                }
            }
        }
        let ids: Vec<ObjectId> = pairs.iter().map(|pair| pair.place.id()).collect();
        let answers = comparison::compare(&executor.cluster, pairs, &executor.request.rules).await;
        for (id, answer) in ids.into_iter().zip(answers) {
            match answer {
                Ok(answer) if !matches!(answer, Compared::Missing) => {
                    if matches!(answer, Compared::Differs(_)) {
                        modified.insert(id.clone());
                    }
                    executor.dry_run_results.insert(id, Ok(()));
                }
                Err(failure) if failure.source.class.is_outage() => {
                    executor.fail(&failure);
                    return Err(SyncError::LiveStateUnreadable);
                }
                Ok(_) | Err(_) => {
                    modified.insert(id);
                }
            }
        }
        let options = &executor.request.policy.options;
        let prunes = snapshot
            .prune_candidates
            .values()
            .filter(|extra| extra.skip_reason.is_none() && kept_reason(&extra.live, options).is_none());
        let needs_namespace = options
            .create_namespace
            .as_ref()
            .is_some_and(|metadata| lacks_metadata(snapshot.namespace.as_ref(), metadata));
        let is_invalid = !snapshot.denied.is_empty() || !snapshot.missing.is_empty();
        let differs = !modified.is_empty() || prunes.count() > 0 || needs_namespace || leaves_namespace || is_invalid;
        if executor.request.policy.operation == OperationKind::SelectiveSync {
            let others = |id: &ObjectId| !executor.request.policy.selects(id) && !executor.request.wants_namespace(id);
            executor.out_of_sync =
                snapshot.prune_candidates.keys().chain(&modified).filter(|id| others(id)).cloned().collect();
        }
        executor.modified = Some(modified);
        Ok(differs)
    }
}

/// The destination's live Namespace with its reference; `None` where `CreateNamespace` does not ask for it.
async fn live_namespace(executor: &SyncExecutor<'_>) -> Option<(ObjectRef, Result<Option<Object>, Failure>)> {
    let name = &executor.request.owner.namespace;
    if executor.request.policy.options.create_namespace.is_none() || name.is_empty() {
        return None;
    }
    let place = ObjectRef { resource: apply::namespaces(), namespace: String::new(), name: name.clone() };
    let live = objects::get(&executor.cluster, &place).await;
    Some((place, live))
}

/// The objects that another application owns, each with what to say: its tracking id names another, or its label the
/// ApplySet of another that this cluster has. Two roots, or two Slipways, may have an Application of the same name.
pub(super) async fn shared_resource_warnings(
    cluster: &Cluster,
    request: &SyncRequest,
    live: &BTreeMap<ObjectId, Object>,
) -> Result<BTreeMap<ObjectId, String>, ApiError> {
    let (ours, applyset) = (&request.owner.instance, request.owner.key.applyset_id());
    let is_labelled = |object: &Object| object.label(PART_OF).is_some_and(|set| set != applyset);
    let others: BTreeMap<String, AppKey> = if live.values().any(is_labelled) {
        let keys = state::list(cluster).await?.into_iter().filter(|key| *key != request.owner.key);
        keys.map(|key| (key.applyset_id(), key)).collect()
    } else {
        BTreeMap::new()
    };
    let warning = |(id, object): (&ObjectId, &Object)| {
        let by_name = TrackingId::of(object).filter(|id| id.describes(object) && id.app != *ours).map(|id| id.app);
        let by_label = || {
            let key = object.label(PART_OF).and_then(|set| others.get(set))?;
            let (instance, root, name) = (key.instance(), &key.root, key.object_name());
            Some(format!(
                "{instance} of {root}; where that root is no longer deployed, delete \
                 ConfigMap/{STATE_NAMESPACE}/{name}, which remembers it"
            ))
        };
        let other = by_name.or_else(by_label)?;
        Some((id.clone(), format!("SharedResourceWarning: {id} is part of applications {ours} and {other}")))
    };
    Ok(live.iter().filter_map(warning).collect())
}

/// Whether the namespace is missing, or some of its metadata.
fn lacks_metadata(namespace: Option<&Object>, metadata: &NamespaceMetadata) -> bool {
    let Some(namespace) = namespace else { return true };
    let has = |values: &serde_json::Map<String, serde_json::Value>, key: &str| {
        let found = namespace.metadata().and_then(|fields| fields.get(key));
        values.iter().all(|(name, value)| found.and_then(|found| found.get(name)) == Some(value))
    };
    !has(&metadata.labels, "labels") || !has(&metadata.annotations, "annotations")
}
