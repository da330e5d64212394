//! What a sync looks at: Git's objects, the cluster's, and what differs between them.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, future, stream};
use slipway_cluster::apply::{self, Change};
use slipway_cluster::discover::{GroupKind, Gvk};
use slipway_cluster::engine::{NamespaceMetadata, spared};
use slipway_cluster::live::{self, Place};
use slipway_cluster::plan::{self, Desired, Extra};
use slipway_cluster::status::SyncStatus;
use slipway_cluster::tracking::TrackingId;
use slipway_cluster::unchanged::is_unchanged;
use slipway_cluster::{DiscoverError, Kinds, compare, hook, prune, takeover};
use slipway_manifest::{Object, ObjectId};

use super::record::images;
use super::{AT_ONCE, Aim, Job, Policy, Run, Stop};
use crate::error::chain;

/// Why the destination's namespace stays when Git has it no more.
const NAMESPACE_STAYS: &str = "ignored (the sync option CreateNamespace=true asks for it)";

/// Both sides, as they were when they were looked at.
#[derive(Default)]
pub(super) struct View {
    /// What Git has.
    pub(super) targets: Vec<Object>,
    /// What the cluster has of it.
    pub(super) live: BTreeMap<ObjectId, Object>,
    /// What Git has no more.
    pub(super) extras: BTreeMap<ObjectId, Extra>,
    /// The destination's namespace.
    pub(super) namespace: Option<Object>,
    /// Kinds not served yet.
    pub(super) missing: BTreeMap<ObjectId, String>,
    /// What may not be applied.
    pub(super) denied: BTreeMap<ObjectId, String>,
    /// Whether some of the cluster's could not be read, and may be a moment later.
    pub(super) is_unread: bool,
}

impl Run<'_> {
    /// Looks at both sides.
    pub(super) async fn look(&mut self) -> Result<(), Stop> {
        let job = self.book.job;
        if job.policy.aim == Aim::Deletion {
            return self.look_doomed().await;
        }
        let owner = job.owner.cluster();
        let wanted: BTreeSet<Gvk> = job.objects.iter().map(Gvk::of).collect();
        let known: BTreeSet<GroupKind> = self.book.state.inventory.iter().map(GroupKind::of).collect();
        let mut kinds = self.book.cluster.resolve(&wanted, &known).await;
        let mut is_complete = kinds.is_complete();
        for (group, error) in kinds.incomplete() {
            let line = format!("failed to ask the API server which kinds {group} has: {error}");
            self.book.outcome.retry |= error.class.is_transient();
            self.book.outcome.problems.push(line);
        }
        let coming = kinds.define(&job.objects);
        let mut view = View::default();
        let desired = plan::prepare(job.objects.clone(), &kinds, &owner);
        self.warn(&desired);
        let refused = job.permit.refused(&desired.objects);
        if !refused.is_empty() {
            self.book.outcome.problems.extend(refused.iter().map(ToString::to_string));
            return Err(Stop::Refused(refused.len()));
        }
        view.targets = desired.objects;
        self.book.late.kinds = coming.iter().map(Gvk::group_kind).collect();
        for object in view.targets.iter().filter(|object| coming.contains(&Gvk::of(object))) {
            view.missing.insert(object.id(), format!("the cluster does not know the kind of {}", object.id()));
        }
        for (mut object, error) in desired.unresolved {
            is_complete = false;
            if object.namespace().is_empty() {
                object.set_namespace(&owner.namespace);
            }
            let id = owner.mark(&mut object);
            let line = format!("failed to apply {id}: {}", chain(&error));
            if let DiscoverError::UnknownKind { .. } = error {
                view.missing.insert(id, line);
            } else {
                self.book.outcome.retry = true;
                view.denied.insert(id, line);
            }
            view.targets.push(object);
        }
        is_complete &= self.read(&mut view, &kinds).await;
        if job.policy.respect_ignored {
            for target in &mut view.targets {
                if let Some(live) = view.live.get(&target.id()) {
                    job.rules.normalizer.respect(target, live, &[]);
                }
            }
        }
        // As Argo CD: whenever the sync has a task for the namespace, whether or not it would change something.
        let metadata = job.policy.options.create_namespace.as_ref();
        let is_written = metadata.is_some_and(|metadata| view.namespace.is_none() || !metadata.is_empty());
        if let Some(denied) = job.permit.refused_namespace(&owner.namespace).filter(|_| is_written) {
            return Err(Stop::Denied(Box::new(denied)));
        }
        self.keep_apart(&mut view)?;
        if matches!(job.policy.aim, Aim::Sync | Aim::Part | Aim::Heal) {
            self.find_extras(&mut view, is_complete);
        }
        let members = || view.targets.iter().filter(|object| !hook::is_hook(object) && !hook::is_skipped(object));
        self.book.wanted = members().map(Object::id).collect();
        let wanted = self.book.wanted.iter();
        self.book.absent = wanted.filter(|id| !view.live.contains_key(*id)).cloned().collect();
        self.book.images = images(members());
        let extras = view.extras.values().map(|extra| &extra.live);
        self.book.conceal(view.targets.iter().chain(view.live.values()).chain(extras));
        self.view = view;
        Ok(())
    }

    fn warn(&mut self, desired: &Desired) {
        let warnings = &mut self.book.outcome.warnings;
        warnings.extend(desired.warnings.iter().cloned());
        let client_side = |object: &&Object| hook::has_sync_option(object, "ServerSideApply=false");
        warnings.extend(
            desired
                .objects
                .iter()
                .filter(client_side)
                .map(|object| format!("{} asks for client-side apply: Slipway applies server-side only", object.id())),
        );
    }

    /// Reads what is live; whether everything could be read.
    async fn read(&mut self, view: &mut View, kinds: &Kinds) -> bool {
        let book = &mut self.book;
        let is_served = |object: &&Object| !view.missing.contains_key(&object.id());
        let place = |object: &Object| Some(Place::of(kinds.of(object).ok()?, object));
        book.places = view.targets.iter().filter_map(place).map(|place| (place.id(), place)).collect();
        let wanted: Vec<Place> = view
            .targets
            .iter()
            .filter(|object| !object.name().is_empty())
            .filter(is_served)
            .filter_map(place)
            .collect();
        let known: Vec<Place> = book.state.inventory.iter().filter_map(|id| place_of(kinds, id)).collect();
        let applyset = book.job.owner.key.applyset_id();
        let found = live::survey(&book.cluster, &wanted, &known, &applyset).await;
        for failure in &found.failures {
            view.is_unread |= failure.source.class.is_outage();
            book.fail(failure);
        }
        book.places.extend(known.into_iter().map(|place| (place.id(), place)));
        view.live = found.objects;
        for (id, object) in &view.live {
            if let (false, Ok(resource)) = (book.places.contains_key(id), kinds.of_group_kind(&GroupKind::of(id))) {
                book.places.insert(id.clone(), Place::of(resource, object));
            }
        }
        self.read_namespace(view).await && found.failures.is_empty()
    }

    async fn read_namespace(&mut self, view: &mut View) -> bool {
        let book = &mut self.book;
        let is_new = |object: &&Object| object.id().kind == "Namespace" && !view.live.contains_key(&object.id());
        book.late.namespaces = view.targets.iter().filter(is_new).map(|object| object.name().to_owned()).collect();
        let name = &book.job.owner.namespace;
        if book.job.policy.options.create_namespace.is_none() || name.is_empty() {
            return true;
        }
        let place = Place { resource: apply::namespaces(), namespace: String::new(), name: name.clone() };
        book.places.entry(place.id()).or_insert_with(|| place.clone());
        match live::get(&book.cluster, &place).await {
            Ok(live) => {
                view.namespace = live;
                true
            }
            Err(failure) => {
                book.fail(&failure);
                false
            }
        }
    }

    /// Stops where another engine is at work, and keeps away from what other applications own.
    fn keep_apart(&mut self, view: &mut View) -> Result<(), Stop> {
        let rival = view.live.iter().find_map(|(id, object)| Some((id, takeover::rival(object)?)));
        if let Some((id, rival)) = rival {
            return Err(Stop::Rival { id: Box::new(id.clone()), manager: rival.manager, time: rival.time });
        }
        let job = self.book.job;
        for (id, object) in &view.live {
            let owner = TrackingId::of(object).filter(|id| id.describes(object));
            let Some(other) = owner.filter(|owner| owner.app != job.owner.instance) else { continue };
            let line = format!("{id} belongs to the application {}: it is left as it is", other.app);
            if job.policy.fail_on_shared {
                view.denied.insert(id.clone(), line);
            } else {
                self.book.foreign.insert(id.clone(), line);
            }
        }
        Ok(())
    }

    /// What Git has no more; in doubt where anything is incomplete or the brake holds.
    fn find_extras(&mut self, view: &mut View, is_complete: bool) {
        let book = &mut self.book;
        let Policy { options, allow_empty, prune_approved, .. } = &book.job.policy;
        let owner = book.job.owner.cluster();
        let mut extras = plan::extras(&view.targets, &view.live, &book.state.inventory, &owner);
        for (_, extra) in extras.iter_mut().filter(|(id, _)| book.job.wants_namespace(id)) {
            extra.doubt = Some(NAMESPACE_STAYS.to_owned());
        }
        let doubt = |extras: &mut BTreeMap<ObjectId, Extra>, reason: &str| {
            for extra in extras.values_mut() {
                extra.doubt.get_or_insert_with(|| reason.to_owned());
            }
        };
        for extra in extras.values_mut() {
            if let Some(denied) = book.job.permit.unmanaged(&extra.live) {
                extra.doubt.get_or_insert_with(|| denied.to_string());
            }
        }
        if !is_complete && options.prune {
            doubt(&mut extras, "nothing is pruned while anything can't be read or is of an unknown kind");
        }
        let prunes: BTreeSet<ObjectId> = extras
            .iter()
            .filter(|(id, _)| book.job.policy.is_meant(id))
            .filter(|(_, extra)| extra.doubt.is_none() && spared(&extra.live, options).is_none())
            .map(|(id, _)| id.clone())
            .collect();
        let is_member = |object: &&Object| !hook::is_hook(object) && !hook::phases(object).is_empty();
        let spares = extras.keys().filter(|id| !prunes.contains(*id) && !book.job.wants_namespace(id)).count();
        let survivors = view.targets.iter().filter(is_member).count() + spares;
        let members = book.state.inventory.len();
        let verdict = prune::brake(&prunes, survivors, members, *allow_empty, prune_approved.as_deref());
        if let prune::Verdict::Held { reason, digest } = verdict {
            let line = format!(
                "nothing is pruned: {reason}; if that is right, annotate the Application with slipway.dev/prune-approved: {digest}"
            );
            doubt(&mut extras, &line);
            book.outcome.problems.push(line);
        }
        view.extras = extras;
    }

    /// Asks what would change; whether anything would. What the dry runs say is kept for the sync.
    /// Where an answer fails to come there is no telling, and no sync begins for that (Argo CD: Unknown).
    pub(super) async fn compare(&mut self) -> Result<bool, Stop> {
        if self.view.is_unread {
            return Err(Stop::Unread);
        }
        let leaves_namespace = self.left_namespace().is_some();
        let (view, book) = (&self.view, &mut self.book);
        let is_member = |object: &&Object| !hook::is_hook(object) && !hook::phases(object).is_empty();
        let mut modified: BTreeSet<ObjectId> = BTreeSet::new();
        let mut suspects = Vec::new();
        for target in view.targets.iter().filter(is_member) {
            let id = target.id();
            match (view.live.get(&id), book.places.get(&id)) {
                (Some(_), _) if book.foreign.contains_key(&id) => {
                    modified.insert(id);
                }
                (Some(live), _) if is_unchanged(target, live, &[]) => {}
                (Some(live), Some(place)) => suspects.push((id, target, live, place.clone())),
                _ => {
                    modified.insert(id);
                }
            }
        }
        let cluster = &book.cluster;
        let validate = !book.job.policy.options.no_validate;
        let answers: Vec<_> = stream::iter(suspects)
            .map(async |(id, target, live, place)| {
                let validate = validate && !hook::has_sync_option(target, "Validate=false");
                let options = apply::Options { dry_run: true, validate, ..apply::Options::default() };
                (id, apply::apply(cluster, &place.resource, target, Some(live), &options).await)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        for (id, answer) in answers {
            match answer {
                Ok(applied) if applied.change == Change::Unchanged => {}
                Ok(_) => {
                    // What may be replaced is asked in its own way.
                    book.rehearsed.insert(id.clone(), Ok(()));
                    modified.insert(id);
                }
                Err(failure) if failure.source.class.is_outage() => {
                    book.fail(&failure);
                    return Err(Stop::Unread);
                }
                Err(_) => {
                    modified.insert(id);
                }
            }
        }
        let options = &book.job.policy.options;
        let prunes =
            view.extras.values().filter(|extra| extra.doubt.is_none() && spared(&extra.live, options).is_none());
        let needs_namespace =
            options.create_namespace.as_ref().is_some_and(|metadata| lacks(view.namespace.as_ref(), metadata));
        let is_invalid = !view.denied.is_empty() || !view.missing.is_empty();
        let differs = !modified.is_empty() || prunes.count() > 0 || needs_namespace || leaves_namespace || is_invalid;
        self.modified = modified;
        if book.job.policy.aim == Aim::Part {
            self.leave_others().await;
        }
        Ok(differs)
    }

    /// Notes what differs from Git and is not a part of this sync.
    async fn leave_others(&mut self) {
        let (view, book) = (&self.view, &mut self.book);
        let Job { policy, rules, .. } = book.job;
        let others = |id: &ObjectId| !policy.is_meant(id) && !book.job.wants_namespace(id);
        book.left = view.extras.keys().chain(&self.modified).filter(|id| others(id)).cloned().collect();
        // What is ignored is no difference.
        let (cluster, options) = (&book.cluster, &apply::Options::default());
        let suspects = view.targets.iter().filter_map(|target| {
            let id = Some(target.id()).filter(|id| book.left.contains(id))?;
            Some((target, view.live.get(&id)?.clone(), &book.places.get(&id)?.resource, id))
        });
        let alike: BTreeSet<ObjectId> = stream::iter(suspects)
            .map(async |(target, live, resource, id)| {
                let compared = compare::compare(cluster, resource, target, Some(live), options, rules).await;
                compared.is_ok_and(|compared| compared.status() == SyncStatus::Synced).then_some(id)
            })
            .buffered(AT_ONCE)
            .filter_map(future::ready)
            .collect()
            .await;
        book.left.retain(|id| !alike.contains(id));
    }
}

/// Whether the namespace is missing, or some of its metadata.
fn lacks(namespace: Option<&Object>, metadata: &NamespaceMetadata) -> bool {
    let Some(namespace) = namespace else { return true };
    let has = |values: &serde_json::Map<String, serde_json::Value>, key: &str| {
        let found = namespace.metadata().and_then(|fields| fields.get(key));
        values.iter().all(|(name, value)| found.and_then(|found| found.get(name)) == Some(value))
    };
    !has(&metadata.labels, "labels") || !has(&metadata.annotations, "annotations")
}

/// Where an object of the inventory is, in whichever version its kind is served.
pub(super) fn place_of(kinds: &Kinds, id: &ObjectId) -> Option<Place> {
    let resource = kinds.of_group_kind(&GroupKind::of(id)).ok()?.clone();
    Some(Place { resource, namespace: id.namespace.clone(), name: id.name.clone() })
}
