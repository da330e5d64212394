//! Taking over the fields that Argo CD or `kubectl apply` own, so that what is removed in Git is removed in the
//! cluster.
//!
//! As client-go moves a client-side applier's fields (kubernetes/client-go `util/csaupgrade/upgrade.go`): the entries
//! of the old managers become part of ours in `metadata.managedFields`, by a JSON patch that holds only for the
//! resourceVersion read. Entries of subresources (`scale`, `status`) are never touched.

use serde_json::{Map, Value, json};
use slipway_manifest::Object;

use crate::managed_fields::FIELD_MANAGER;
use crate::managed_fields::owners::FieldManager;
use crate::managed_fields::set::{self, Entry};
use crate::tracking::LAST_APPLIED;

/// Argo CD's field manager, with client-side and server-side apply alike.
const ARGO_CD_MANAGER: &str = "argocd-controller";
/// `kubectl apply`'s.
const KUBECTL_APPLY_MANAGER: &str = "kubectl-client-side-apply";

/// Whether the fields of `entry` are to become ours.
fn is_migrated(entry: &Entry<'_>, more: &[String]) -> bool {
    let named = match entry.manager {
        ARGO_CD_MANAGER => true,
        KUBECTL_APPLY_MANAGER => entry.operation == "Update",
        other => other != FIELD_MANAGER && more.iter().any(|name| name == other),
    };
    named && entry.subresource.is_empty()
}

/// Whether an owner is us, or an engine whose fields the next apply takes over: Argo CD, `kubectl apply` or one of
/// `more`.
pub fn is_ours(owner: &FieldManager, more: &[String]) -> bool {
    let FieldManager { manager, operation, subresource, time } = owner;
    let entry = Entry { manager, operation, subresource, time, fields: &Map::new() };
    subresource.is_empty() && (manager == FIELD_MANAGER || is_migrated(&entry, more))
}

/// The JSON patch that moves the fields, or `None` where nothing is to be moved. Pure.
pub fn patch(live: &Object, more: &[String]) -> Option<Value> {
    let list = live.pointer("/metadata/managedFields")?.as_array()?;
    let is_ours = |entry: &Entry<'_>| {
        entry.manager == FIELD_MANAGER && entry.operation == "Apply" && entry.subresource.is_empty()
    };
    let taken = |value: &&Value| set::entry(value).is_some_and(|entry| is_migrated(&entry, more));
    let first = list.iter().find(taken)?;
    let ours = list.iter().find(|value| set::entry(value).is_some_and(|entry| is_ours(&entry)));

    let mut merged = ours.unwrap_or(first).as_object()?.clone();
    let mut fields = Map::new();
    for entry in ours.iter().copied().chain(list.iter().filter(taken)).filter_map(set::entry) {
        if fields.is_empty() {
            fields.clone_from(entry.fields);
        } else {
            set::union(&mut fields, entry.fields);
        }
    }
    let annotation = format!("f:{LAST_APPLIED}");
    set::remove(&mut fields, &["f:metadata", "f:annotations", &annotation]);
    merged.insert("manager".to_owned(), json!(FIELD_MANAGER));
    merged.insert("operation".to_owned(), json!("Apply"));
    merged.insert("fieldsV1".to_owned(), Value::Object(fields));

    let kept = list
        .iter()
        .filter(|value| !set::entry(value).is_some_and(|entry| is_migrated(&entry, more) || is_ours(&entry)));
    let managed: Vec<Value> = std::iter::once(Value::Object(merged)).chain(kept.cloned()).collect();
    let mut patch = vec![
        json!({"op": "replace", "path": "/metadata/managedFields", "value": managed}),
        json!({"op": "replace", "path": "/metadata/resourceVersion",
            "value": live.pointer("/metadata/resourceVersion")?}),
    ];
    if live.annotation(LAST_APPLIED).is_some() {
        patch.push(
            json!({"op": "remove", "path": format!("/metadata/annotations/{}", LAST_APPLIED.replace('/', "~1"))}),
        );
    }
    Some(Value::Array(patch))
}

/// Shows in `predicted`, the answer of a dry run, what a take-over would remove: fields that only the managers taken
/// over own and that `desired` does not have. A default that the API server would put in their place is not foreseen.
pub fn predict(live: &Object, desired: &Object, predicted: &mut Object, more: &[String]) {
    let entries = set::entries(live);
    let mut taken = Map::new();
    let mut others = Map::new();
    for entry in &entries {
        if is_migrated(entry, more) {
            set::union(&mut taken, entry.fields);
        } else if entry.manager != FIELD_MANAGER {
            set::union(&mut others, entry.fields);
        }
    }
    if taken.is_empty() {
        return;
    }
    let mut value = predicted.to_value();
    prune_unwanted(&taken, Some(&others), Some(&desired.to_value()), &mut value);
    if let Ok(object) = Object::from_value(value) {
        *predicted = object;
    }
}

fn prune_unwanted(
    taken: &Map<String, Value>,
    others: Option<&Map<String, Value>>,
    desired: Option<&Value>,
    value: &mut Value,
) {
    for (key, child) in set::children(taken) {
        let theirs = others.and_then(|set| set.get(key)).and_then(Value::as_object);
        let wanted = desired.and_then(|desired| set::select(desired, key));
        if wanted.is_none() && theirs.is_none() && set::is_member(child) {
            match (key.strip_prefix("f:"), set::position(value, key)) {
                (Some(field), _) => {
                    value.as_object_mut().and_then(|map| map.shift_remove(field));
                }
                (None, Some(index)) => {
                    value.as_array_mut().map(|items| items.remove(index));
                }
                (None, None) => {}
            }
            continue;
        }
        let below = match (key.strip_prefix("f:"), set::position(value, key)) {
            (Some(field), _) => value.get_mut(field),
            (None, Some(index)) => value.get_mut(index),
            (None, None) => None,
        };
        if let Some(below) = below {
            prune_unwanted(child, theirs, wanted, below);
        }
    }
}

/// Another engine that applied an object after we did: two engines would fight over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictingManager {
    /// Its field manager.
    pub manager: String,
    /// When it applied.
    pub time: String,
}

/// Whether Argo CD applied `live` later than we did. An object that we never applied has no rival: it is taken over.
/// Pure.
pub fn conflicting_manager(live: &Object) -> Option<ConflictingManager> {
    let entries = set::entries(live);
    let latest = |manager: &str| {
        let times = entries.iter().filter(|entry| entry.manager == manager && entry.subresource.is_empty());
        times.filter_map(|entry| entry.time.parse::<jiff::Timestamp>().ok().map(|time| (time, entry.time))).max()
    };
    let (ours, theirs) = (latest(FIELD_MANAGER)?, latest(ARGO_CD_MANAGER)?);
    (theirs.0 > ours.0).then(|| ConflictingManager { manager: ARGO_CD_MANAGER.to_owned(), time: theirs.1.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Object {
        Object::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "a", "resourceVersion": "7", "annotations": {LAST_APPLIED: "{}"},
                "managedFields": [
                    {"manager": KUBECTL_APPLY_MANAGER, "operation": "Update", "apiVersion": "v1",
                        "fieldsType": "FieldsV1", "time": "2026-11-21T10:00:00Z",
                     "fieldsV1": {"f:data": {".": {}, "f:gone": {}, "f:kept": {}, "f:shared": {}},
                                  "f:metadata": {"f:annotations": {".": {}, format!("f:{LAST_APPLIED}"): {}}}}},
                    {"manager": "other", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:data": {"f:shared": {}}}},
                    {"manager": ARGO_CD_MANAGER, "operation": "Update", "subresource": "status",
                        "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {}}}]},
            "data": {"gone": "1", "kept": "1", "shared": "1"}}))
        .unwrap()
    }

    #[test]
    fn main_resource_entries_become_ours_and_last_applied_goes() {
        let patch = patch(&live(), &[]).unwrap();
        let managed = patch.pointer("/0/value").unwrap().as_array().unwrap();
        assert_eq!(managed.len(), 3);
        assert_eq!(managed[0]["manager"], FIELD_MANAGER);
        assert_eq!(managed[0]["operation"], "Apply");
        assert!(!managed[0].to_string().contains(LAST_APPLIED));
        assert_eq!(managed[2]["subresource"], "status");
        assert_eq!(patch.pointer("/1/value").unwrap(), "7");
        assert_eq!(patch.pointer("/2/op").unwrap(), "remove");
    }

    #[test]
    fn nothing_to_migrate_is_no_patch() {
        let mut object = live();
        object.metadata_mut().insert("managedFields".to_owned(), json!([]));
        assert_eq!(patch(&object, &[]), None);
    }

    #[test]
    fn a_prediction_drops_what_only_the_old_manager_had() {
        let desired = Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c",
            "namespace": "a"}, "data": {"kept": "1"}}))
        .unwrap();
        let mut predicted = live();
        predict(&live(), &desired, &mut predicted, &[]);
        assert_eq!(predicted.get("data"), Some(&json!({"kept": "1", "shared": "1"})));
        assert_eq!(predicted.annotation(LAST_APPLIED), None);
    }

    #[test]
    fn a_newer_argo_cd_is_a_conflicting_manager() {
        let with = |ours: &str, theirs: &str| {
            let mut object = live();
            object.metadata_mut().insert(
                "managedFields".to_owned(),
                json!([
                {"manager": FIELD_MANAGER, "operation": "Apply", "time": ours, "fieldsV1": {}},
                {"manager": ARGO_CD_MANAGER, "operation": "Apply", "time": theirs, "fieldsV1": {}}]),
            );
            conflicting_manager(&object).is_some()
        };
        assert!(with("2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"));
        assert!(!with("2026-11-21T12:00:00Z", "2026-11-21T11:00:00Z"));
        assert!(conflicting_manager(&live()).is_none());
    }
}
