//! What a sync looks at: Git's objects, the cluster's, and what differs between them.

use slipway_gitops::prune_guard;
use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, future, stream};
use slipway_cluster::apply::{self, Change};
use slipway_cluster::dry_run;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_gitops::api_resources::{GroupKind, GroupVersionKind};
use slipway_gitops::managed_fields::migrate;
use slipway_gitops::managed_fields::subset::is_unchanged;
use slipway_gitops::plan::{self, Desired, PruneCandidate};
use slipway_gitops::status::SyncStatus;
use slipway_gitops::sync::{NamespaceMetadata, kept_reason};
use slipway_gitops::tracking::TrackingId;
use slipway_gitops::{ApiResources, DiscoverError, annotations};
use slipway_manifest::{Object, ObjectId};

use super::record::images;
use super::{OperationKind, REQUEST_CONCURRENCY, SyncError, SyncOperation, SyncPolicy, SyncRequest};
use crate::error::chain;

/// Why the destination's namespace stays when Git has it no more.
const NAMESPACE_STAYS: &str = "ignored (the sync option CreateNamespace=true asks for it)";

/// Both sides, as they were when they were looked at.
#[derive(Default)]
pub(super) struct ClusterSnapshot {
    /// What Git has.
    pub(super) targets: Vec<Object>,
    /// What the cluster has of it.
    pub(super) live: BTreeMap<ObjectId, Object>,
    /// What Git has no more.
    pub(super) prune_candidates: BTreeMap<ObjectId, PruneCandidate>,
    /// The destination's namespace.
    pub(super) namespace: Option<Object>,
    /// Kinds not served yet.
    pub(super) missing: BTreeMap<ObjectId, String>,
    /// What may not be applied.
    pub(super) denied: BTreeMap<ObjectId, String>,
    /// Whether some of the cluster's could not be read, and may be a moment later.
    pub(super) is_unread: bool,
}

impl SyncOperation<'_> {
    /// Looks at both sides.
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
                if let Some(live) = snapshot.live.get(&target.id()) {
                    request.rules.normalizer.respect(target, live, &[]);
                }
            }
        }
        // As Argo CD: whenever the sync has a task for the namespace, whether or not it would change something.
        let metadata = request.policy.options.create_namespace.as_ref();
        let is_written = metadata.is_some_and(|metadata| snapshot.namespace.is_none() || !metadata.is_empty());
        if let Some(denied) = request.permit.refused_namespace(&owner.namespace).filter(|_| is_written) {
            return Err(SyncError::Denied(Box::new(denied)));
        }
        self.check_ownership(&mut snapshot)?;
        if matches!(
            request.policy.operation,
            OperationKind::Sync | OperationKind::SelectiveSync | OperationKind::SelfHeal
        ) {
            self.find_prune_candidates(&mut snapshot, is_complete);
        }
        let members = || {
            snapshot.targets.iter().filter(|object| !annotations::is_hook(object) && !annotations::is_skipped(object))
        };
        self.executor.wanted = members().map(Object::id).collect();
        let wanted = self.executor.wanted.iter();
        self.executor.absent = wanted.filter(|id| !snapshot.live.contains_key(*id)).cloned().collect();
        self.executor.images = images(members());
        let extras = snapshot.prune_candidates.values().map(|extra| &extra.live);
        self.executor.conceal(snapshot.targets.iter().chain(snapshot.live.values()).chain(extras));
        self.snapshot = snapshot;
        Ok(())
    }

    fn warn(&mut self, desired: &Desired) {
        let warnings = &mut self.executor.outcome.warnings;
        warnings.extend(desired.warnings.iter().cloned());
        let client_side = |object: &&Object| annotations::has_sync_option(object, "ServerSideApply=false");
        warnings.extend(
            desired
                .objects
                .iter()
                .filter(client_side)
                .map(|object| format!("{} asks for client-side apply: Slipway applies server-side only", object.id())),
        );
    }

    /// Reads what is live; whether everything could be read.
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
        let known: Vec<ObjectRef> = executor.state.inventory.iter().filter_map(|id| object_ref_of(kinds, id)).collect();
        let applyset = executor.request.owner.key.applyset_id();
        let found = objects::list_live(&executor.cluster, &wanted, &known, &applyset).await;
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
        self.read_namespace(snapshot).await && found.failures.is_empty()
    }

    async fn read_namespace(&mut self, snapshot: &mut ClusterSnapshot) -> bool {
        let executor = &mut self.executor;
        let is_new = |object: &&Object| object.id().kind == "Namespace" && !snapshot.live.contains_key(&object.id());
        executor.deferred.namespaces =
            snapshot.targets.iter().filter(is_new).map(|object| object.name().to_owned()).collect();
        let name = &executor.request.owner.namespace;
        if executor.request.policy.options.create_namespace.is_none() || name.is_empty() {
            return true;
        }
        let place = ObjectRef { resource: apply::namespaces(), namespace: String::new(), name: name.clone() };
        executor.objects.entry(place.id()).or_insert_with(|| place.clone());
        match objects::get(&executor.cluster, &place).await {
            Ok(live) => {
                snapshot.namespace = live;
                true
            }
            Err(failure) => {
                executor.fail(&failure);
                false
            }
        }
    }

    /// Stops where another engine is at work, and keeps away from what other applications own.
    fn check_ownership(&mut self, snapshot: &mut ClusterSnapshot) -> Result<(), SyncError> {
        let rival = snapshot.live.iter().find_map(|(id, object)| Some((id, migrate::conflicting_manager(object)?)));
        if let Some((id, rival)) = rival {
            return Err(SyncError::ConflictingController {
                id: Box::new(id.clone()),
                manager: rival.manager,
                time: rival.time,
            });
        }
        let request = self.executor.request;
        for (id, object) in &snapshot.live {
            let owner = TrackingId::of(object).filter(|id| id.describes(object));
            let Some(other) = owner.filter(|owner| owner.app != request.owner.instance) else { continue };
            let line = format!("{id} belongs to the application {}: it is left as it is", other.app);
            if request.policy.fail_on_shared_resource {
                snapshot.denied.insert(id.clone(), line);
            } else {
                self.executor.foreign.insert(id.clone(), line);
            }
        }
        Ok(())
    }

    /// What Git has no more; kept where anything is incomplete or the prune guard asks for approval.
    fn find_prune_candidates(&mut self, snapshot: &mut ClusterSnapshot, is_complete: bool) {
        let executor = &mut self.executor;
        let SyncPolicy { options, allow_empty, prune_approved, .. } = &executor.request.policy;
        let owner = executor.request.owner.cluster();
        let mut extras = plan::prune_candidates(&snapshot.targets, &snapshot.live, &executor.state.inventory, &owner);
        for (_, extra) in extras.iter_mut().filter(|(id, _)| executor.request.wants_namespace(id)) {
            extra.skip_reason = Some(NAMESPACE_STAYS.to_owned());
        }
        let keep_all = |extras: &mut BTreeMap<ObjectId, PruneCandidate>, reason: &str| {
            for extra in extras.values_mut() {
                extra.skip_reason.get_or_insert_with(|| reason.to_owned());
            }
        };
        for extra in extras.values_mut() {
            if let Some(denied) = executor.request.permit.unmanaged(&extra.live) {
                extra.skip_reason.get_or_insert_with(|| denied.to_string());
            }
        }
        if !is_complete && options.prune {
            keep_all(&mut extras, "nothing is pruned while anything can't be read or is of an unknown kind");
        }
        let prunes: BTreeSet<ObjectId> = extras
            .iter()
            .filter(|(id, _)| executor.request.policy.selects(id))
            .filter(|(_, extra)| extra.skip_reason.is_none() && kept_reason(&extra.live, options).is_none())
            .map(|(id, _)| id.clone())
            .collect();
        let is_member = |object: &&Object| !annotations::is_hook(object) && !annotations::phases(object).is_empty();
        let spares = extras.keys().filter(|id| !prunes.contains(*id) && !executor.request.wants_namespace(id)).count();
        let survivors = snapshot.targets.iter().filter(is_member).count() + spares;
        let members = executor.state.inventory.len();
        let verdict = prune_guard::prune_guard(&prunes, survivors, members, *allow_empty, prune_approved.as_deref());
        if let prune_guard::PruneDecision::NeedsApproval { reason, digest } = verdict {
            let line = format!(
                "nothing is pruned: {reason}; if that is right, annotate the Application with \
                 slipway.dev/prune-approved: {digest}"
            );
            keep_all(&mut extras, &line);
            executor.outcome.problems.push(line);
        }
        snapshot.prune_candidates = extras;
    }

    /// Asks what would change; whether anything would. What the dry runs say is kept for the sync.
    /// Where an answer fails to come there is no telling, and no sync begins for that (Argo CD: Unknown).
    pub(super) async fn compare(&mut self) -> Result<bool, SyncError> {
        if self.snapshot.is_unread {
            return Err(SyncError::LiveStateUnreadable);
        }
        let leaves_namespace = self.left_namespace().is_some();
        let (snapshot, executor) = (&self.snapshot, &mut self.executor);
        let is_member = |object: &&Object| !annotations::is_hook(object) && !annotations::phases(object).is_empty();
        let mut modified: BTreeSet<ObjectId> = BTreeSet::new();
        let mut suspects = Vec::new();
        for target in snapshot.targets.iter().filter(is_member) {
            let id = target.id();
            match (snapshot.live.get(&id), executor.objects.get(&id)) {
                (Some(_), _) if executor.foreign.contains_key(&id) => {
                    modified.insert(id);
                }
                (Some(live), _) if is_unchanged(target, live, &[]) => {}
                (Some(live), Some(place)) => suspects.push((id, target, live, place.clone())),
                _ => {
                    modified.insert(id);
                }
            }
        }
        let cluster = &executor.cluster;
        let validate = !executor.request.policy.options.no_validate;
        let answers: Vec<_> = stream::iter(suspects)
            .map(async |(id, target, live, place)| {
                let validate = validate && !annotations::has_sync_option(target, "Validate=false");
                let options = apply::Options { dry_run: true, validate, ..apply::Options::default() };
                (id, apply::apply(cluster, &place.resource, target, Some(live), &options).await)
            })
            .buffered(REQUEST_CONCURRENCY)
            .collect()
            .await;
        for (id, answer) in answers {
            match answer {
                Ok(applied) if applied.change == Change::Unchanged => {}
                Ok(_) => {
                    // What may be replaced is asked in its own way.
                    executor.dry_run_results.insert(id.clone(), Ok(()));
                    modified.insert(id);
                }
                Err(failure) if failure.source.class.is_outage() => {
                    executor.fail(&failure);
                    return Err(SyncError::LiveStateUnreadable);
                }
                Err(_) => {
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
        self.modified = modified;
        if executor.request.policy.operation == OperationKind::SelectiveSync {
            self.skip_unselected().await;
        }
        Ok(differs)
    }

    /// Notes what differs from Git and is not a part of this sync.
    async fn skip_unselected(&mut self) {
        let (snapshot, executor) = (&self.snapshot, &mut self.executor);
        let SyncRequest { policy, rules, .. } = executor.request;
        let others = |id: &ObjectId| !policy.selects(id) && !executor.request.wants_namespace(id);
        executor.unsynced =
            snapshot.prune_candidates.keys().chain(&self.modified).filter(|id| others(id)).cloned().collect();
        // What is ignored is no difference.
        let (cluster, options) = (&executor.cluster, &apply::Options::default());
        let suspects = snapshot.targets.iter().filter_map(|target| {
            let id = Some(target.id()).filter(|id| executor.unsynced.contains(id))?;
            Some((target, snapshot.live.get(&id)?.clone(), &executor.objects.get(&id)?.resource, id))
        });
        let alike: BTreeSet<ObjectId> = stream::iter(suspects)
            .map(async |(target, live, resource, id)| {
                let compared = dry_run::compare(cluster, resource, target, Some(live), options, rules).await;
                compared.is_ok_and(|compared| compared.status() == SyncStatus::Synced).then_some(id)
            })
            .buffered(REQUEST_CONCURRENCY)
            .filter_map(future::ready)
            .collect()
            .await;
        executor.unsynced.retain(|id| !alike.contains(id));
    }
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

/// Where an object of the inventory is, in whichever version its kind is served.
pub(super) fn object_ref_of(kinds: &ApiResources, id: &ObjectId) -> Option<ObjectRef> {
    let resource = kinds.of_group_kind(&GroupKind::of(id)).ok()?.clone();
    Some(ObjectRef { resource, namespace: id.namespace.clone(), name: id.name.clone() })
}
