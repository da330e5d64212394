//! Computes the tasks of a sync, in order, from desired, live and previously applied objects. Pure.
//!
//! The order is Argo CD's (argoproj/argo-cd `gitops-engine/pkg/sync/sync_tasks.go`, `sync_context.go`).

use crate::prune_guard;
use std::collections::{BTreeMap, BTreeSet};

use slipway_manifest::{Object, ObjectId, kind_order};

use crate::annotations::{self, Phase};
use crate::api_resources::{ApiResources, DiscoverError, GroupKind};

use crate::identity::AppIdentity;
use crate::tracking;

/// Desired objects, ready to be applied.
#[derive(Debug, Default)]
pub struct Desired {
    /// With namespace, tracking id and ApplySet label; no id twice.
    pub objects: Vec<Object>,
    /// Objects whose kind is not served, or whose discovery failed. While there are any, nothing may be pruned.
    pub unresolved: Vec<(Object, DiscoverError)>,
    /// How often each object is there that is there more than once.
    pub repeated: BTreeMap<ObjectId, usize>,
}

/// Fills in namespaces of rendered `objects` and marks them as `owner`'s.
///
/// Of two objects with one id the last wins, as in Argo CD.
pub fn prepare(objects: Vec<Object>, kinds: &ApiResources, owner: &AppIdentity) -> Desired {
    let mut desired = Desired::default();
    let mut places: BTreeMap<ObjectId, usize> = BTreeMap::new();
    for mut object in objects {
        match kinds.of(&object) {
            Ok(resource) if resource.namespaced => {
                if object.namespace().is_empty() {
                    object.set_namespace(&owner.namespace);
                }
            }
            Ok(_) => {
                object.metadata_mut().shift_remove("namespace");
            }
            Err(error) => {
                desired.unresolved.push((object, error));
                continue;
            }
        }
        if is_aggregated(&object) {
            object.as_map_mut().shift_remove("rules");
        }
        let id = owner.set_tracking(&mut object);
        match places.get(&id).and_then(|place| desired.objects.get_mut(*place)) {
            Some(earlier) if !id.name.is_empty() => {
                *earlier = object;
                *desired.repeated.entry(id).or_insert(1) += 1;
            }
            _ => {
                places.insert(id, desired.objects.len());
                desired.objects.push(object);
            }
        }
    }
    desired
}

/// Whether the rules of `object` are the controller manager's: it overwrites those that Git has, so that to apply them
/// empties the role for a moment (argoproj/argo-cd#2382).
fn is_aggregated(object: &Object) -> bool {
    let is_role = object.group() == "rbac.authorization.k8s.io" && object.kind() == "ClusterRole";
    is_role && object.get("aggregationRule").is_some_and(|rule| !rule.is_null())
}

/// What a task does with its object.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskAction {
    /// Apply this object.
    Apply(Object),
    /// Delete it: Git no longer has it.
    Prune,
    /// Keep it although Git no longer has it, for this reason.
    Keep(String),
}

/// One task of a sync.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The object's id.
    pub id: ObjectId,
    /// The sync phase.
    pub phase: Phase,
    /// The wave in that phase.
    pub wave: i64,
    /// What to do.
    pub action: TaskAction,
    /// Whether the object is a hook.
    pub hook: bool,
    /// Whether the cluster serves the kind by now.
    pub is_served: bool,
    /// The live object.
    pub live: Option<Object>,
}

impl Task {
    /// A task that applies `desired` in `phase`.
    pub fn apply(desired: Object, live: Option<Object>, phase: Phase) -> Self {
        Self {
            id: desired.id(),
            phase,
            wave: annotations::wave(&desired),
            hook: annotations::is_hook(&desired),
            is_served: true,
            action: TaskAction::Apply(desired),
            live,
        }
    }

    /// A task that deletes `live`.
    pub fn prune(live: Object) -> Self {
        let (id, wave) = (live.id(), annotations::wave(&live));
        let live = Some(live);
        Self { id, phase: Phase::Sync, wave, action: TaskAction::Prune, hook: false, is_served: true, live }
    }

    /// The desired object.
    pub fn target(&self) -> Option<&Object> {
        match &self.action {
            TaskAction::Apply(object) => Some(object),
            TaskAction::Prune | TaskAction::Keep(_) => None,
        }
    }

    /// The desired object, or else the live one.
    pub fn object(&self) -> Option<&Object> {
        self.target().or(self.live.as_ref())
    }

    /// Whether Git no longer has the object.
    pub fn is_prune(&self) -> bool {
        self.target().is_none()
    }
}

/// An object of the application that Git no longer has: Argo CD's *requires pruning*.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneCandidate {
    /// The live object.
    pub live: Object,
    /// Why it must not be deleted, whatever the options are.
    pub skip_reason: Option<String>,
}

/// Finds the objects in `live` that provably belong to `owner` and are no longer `desired`; hooks excluded.
///
/// Objects that the `inventory` of applied objects lacks are kept, with the reason, and so is Slipway's own Namespace.
pub fn prune_candidates(
    desired: &[Object],
    live: &BTreeMap<ObjectId, Object>,
    inventory: &BTreeSet<ObjectId>,
    owner: &AppIdentity,
) -> BTreeMap<ObjectId, PruneCandidate> {
    let wanted: BTreeSet<ObjectId> = desired.iter().map(Object::id).collect();
    let is_extra = |id: &ObjectId, object: &Object| {
        !wanted.contains(id) && !annotations::is_hook(object) && tracking::is_ours(object, &owner.app, &owner.applyset)
    };
    let extra = |(id, object): (&ObjectId, &Object)| {
        (
            id.clone(),
            PruneCandidate {
                live: object.clone(),
                skip_reason: prune_guard::ownership_mismatch(object, owner, inventory),
            },
        )
    };
    live.iter().filter(|(id, object)| is_extra(id, object)).map(extra).collect()
}

/// Assigns waves to prunes: in reverse, and after everything else where their option or `all_last` asks for it.
pub fn order_prunes(tasks: &mut [Task], all_last: bool) {
    reverse_prunes(tasks);
    prune_last(tasks, all_last);
}

/// Prunes run in reverse: the lowest wave swaps with the highest, and so on.
fn reverse_prunes(tasks: &mut [Task]) {
    let waves: BTreeSet<i64> = tasks.iter().filter(|task| task.is_prune()).map(|task| task.wave).collect();
    let swapped: BTreeMap<i64, i64> = waves.iter().copied().zip(waves.iter().rev().copied()).collect();
    for task in tasks.iter_mut().filter(|task| task.is_prune()) {
        task.wave = swapped.get(&task.wave).copied().unwrap_or(task.wave);
    }
}

fn prune_last(tasks: &mut [Task], all: bool) {
    let waves = tasks.iter().filter(|task| task.phase == Phase::Sync).map(|task| task.wave);
    let last = waves.max().unwrap_or_default().max(0).saturating_add(1);
    for task in tasks.iter_mut().filter(|task| task.is_prune()) {
        if all || task.live.as_ref().is_some_and(|live| annotations::has_sync_option(live, "PruneLast=true")) {
            task.wave = last;
        }
    }
}

/// Sorts by phase, wave, kind and name; then moves a Namespace or CRD before the first object that needs it, into that
/// object's phase and wave.
pub fn sort(tasks: &mut Vec<Task>) {
    tasks.sort_by_cached_key(|task| {
        let Task { phase, wave, id, .. } = task;
        (*phase, *wave, kind_order::rank(&id.kind), id.name.clone(), id.clone())
    });
    promote_prerequisites(
        tasks,
        |object| (object.group().is_empty() && object.kind() == "Namespace").then(|| object.name().to_owned()),
        |object| Some(object.namespace().to_owned()).filter(|namespace| !namespace.is_empty()),
    );
    let defined = |object: &Object| GroupKind::defined_by(object).map(|kind| kind.to_string());
    promote_prerequisites(tasks, defined, |object| Some(GroupKind::of(&object.id()).to_string()));
}

fn promote_prerequisites(
    tasks: &mut Vec<Task>,
    provides: impl Fn(&Object) -> Option<String>,
    needs: impl Fn(&Object) -> Option<String>,
) {
    let mut first_needs: BTreeMap<String, usize> = BTreeMap::new();
    for index in 0..tasks.len() {
        let Some(target) = tasks.get(index).and_then(Task::target) else { continue };
        let Some(name) = provides(target) else {
            if let Some(needed) = needs(target) {
                first_needs.entry(needed).or_insert(index);
            }
            continue;
        };
        let Some(&place) = first_needs.get(&name) else { continue };
        let Some((phase, wave)) = tasks.get(place).map(|user| (user.phase, user.wave)) else { continue };
        let mut lifted = tasks.remove(index);
        (lifted.phase, lifted.wave) = (phase, wave);
        tasks.insert(place, lifted);
        first_needs.values_mut().filter(|first| **first >= place).for_each(|first| *first += 1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api_resources::{ApiResource, GroupVersionKind};
    use crate::tracking::{PART_OF, TRACKING_ID};

    fn owner() -> AppIdentity {
        AppIdentity { app: "shop".to_owned(), applyset: "set".to_owned(), namespace: "shop".to_owned() }
    }

    fn kinds() -> ApiResources {
        let resource = |kind: &str, plural: &str, namespaced| ApiResource {
            gvk: GroupVersionKind { group: String::new(), version: "v1".to_owned(), kind: kind.to_owned() },
            plural: plural.to_owned(),
            namespaced,
            verbs: BTreeSet::new(),
        };
        ApiResources::from_resources([
            resource("ConfigMap", "configmaps", true),
            resource("Namespace", "namespaces", false),
        ])
    }

    fn object(kind: &str, name: &str, annotations: &serde_json::Value) -> Object {
        Object::from_value(
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "annotations": annotations}}),
        )
        .unwrap()
    }

    fn ready(objects: Vec<Object>) -> Vec<Object> {
        prepare(objects, &kinds(), &owner()).objects
    }

    fn by_id(objects: Vec<Object>) -> BTreeMap<ObjectId, Object> {
        objects.into_iter().map(|object| (object.id(), object)).collect()
    }

    #[test]
    fn objects_get_their_namespace_and_marks() {
        let mut doubled = object("ConfigMap", "c", &json!({}));
        doubled.set_label("second", "yes");
        let unknown = object("Widget", "w", &json!({}));
        let desired = prepare(
            vec![object("ConfigMap", "c", &json!({})), doubled, object("Namespace", "shop", &json!({})), unknown],
            &kinds(),
            &owner(),
        );
        assert_eq!(desired.objects.len(), 2);
        assert_eq!(desired.objects[0].id().to_string(), "ConfigMap/shop/c");
        assert_eq!(desired.objects[0].label("second"), Some("yes"));
        assert_eq!(desired.objects[0].annotation(TRACKING_ID), Some("shop:/ConfigMap:shop/c"));
        assert_eq!(desired.objects[0].label(PART_OF), Some("set"));
        assert_eq!(desired.repeated.len(), 1);
        assert!(matches!(desired.unresolved[0].1, DiscoverError::UnknownKind { .. }));
    }

    #[test]
    fn what_git_has_no_more_is_ours_or_in_doubt() {
        let live = ready(vec![
            object("ConfigMap", "kept", &json!({})),
            object("ConfigMap", "old", &json!({})),
            object("ConfigMap", "unknown", &json!({})),
            object("ConfigMap", "hook", &json!({"argocd.argoproj.io/hook": "PreSync"})),
        ]);
        let mut foreign = live[1].clone();
        foreign.metadata_mut().insert("name".to_owned(), json!("foreign"));
        let inventory: BTreeSet<ObjectId> =
            live.iter().chain([&foreign]).map(Object::id).filter(|id| id.name != "unknown").collect();
        let live = by_id([live, vec![foreign]].concat());
        let desired = ready(vec![object("ConfigMap", "kept", &json!({}))]);
        let found = prune_candidates(&desired, &live, &inventory, &owner());
        let found: Vec<(&str, bool)> =
            found.iter().map(|(id, extra)| (id.name.as_str(), extra.skip_reason.is_some())).collect();
        assert_eq!(found, [("old", false), ("unknown", true)]);
    }

    #[test]
    fn prune_waves_run_backwards_and_last_means_last() {
        let wave = |wave: &str, more: &str| {
            json!({"argocd.argoproj.io/sync-wave": wave,
            "argocd.argoproj.io/sync-options": more})
        };
        let live = ready(vec![
            object("ConfigMap", "a", &wave("1", "")),
            object("ConfigMap", "b", &wave("5", "")),
            object("ConfigMap", "z", &wave("1", "PruneLast=true")),
        ]);
        let mut tasks: Vec<Task> = live.into_iter().map(Task::prune).collect();
        order_prunes(&mut tasks, false);
        sort(&mut tasks);
        let order: Vec<(i64, &str)> = tasks.iter().map(|task| (task.wave, task.id.name.as_str())).collect();
        assert_eq!(order, [(1, "b"), (5, "a"), (6, "z")]);
    }
}
