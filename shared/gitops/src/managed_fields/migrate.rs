//! Takes over the fields that others own of what Git has or had, so that what is removed in Git is removed in the
//! cluster, regardless of later writers.
//!
//! Which managers lose which fields to ours:
//! - Argo CD and client-side `kubectl apply` (and the managers that a caller names) all they have: Git was applied by
//!   them. As client-go does it (kubernetes/client-go `util/csaupgrade/upgrade.go`), with the fields of a client-side
//!   apply goes its annotation.
//! - A manager that *updates* (`kubectl edit`, `patch`, `set`, `replace`, `scale`, Helm 3, operators, consoles) the
//!   fields that Git had and has no longer, and the items of a keyed list that were made out of Git's by changing their
//!   key ([`super::given_up`]). What Git had says our entry in managedFields and the record of the last apply
//!   ([`super::record`]). What Git never had stays theirs.
//! - A mapping that can hold one of several things (a volume's source, a Deployment's strategy) loses what it held when
//!   Git asks for another, also what the API server filled in and no manager owns ([`super::exclusive`]).
//! - No manager loses what it *applies* (server-side apply: it declares it), what it writes to the subresource
//!   `status`, and what a controller scaled (HorizontalPodAutoscaler): replicas go back to the default only where a
//!   person scaled.
//!
//! The fields are moved by a JSON patch of `metadata.managedFields` that holds only for the resourceVersion read; the
//! apply that follows removes what is ours alone and not in Git.

use serde_json::{Map, Value, json};
use slipway_manifest::Object;

use crate::managed_fields::FIELD_MANAGER;
use crate::managed_fields::body;
use crate::managed_fields::exclusive;
use crate::managed_fields::given_up::{Had, Wanted, given_up};
use crate::managed_fields::merge;
use crate::managed_fields::owners::FieldManager;
use crate::managed_fields::record;
use crate::managed_fields::set::{self, Entry};
use crate::tracking::LAST_APPLIED;

/// Argo CD's field manager, with client-side and server-side apply alike.
const ARGO_CD_MANAGER: &str = "argocd-controller";
/// `kubectl apply`'s.
const KUBECTL_APPLY_MANAGER: &str = "kubectl-client-side-apply";
/// Tools by which people scale; any other writer of the scale is a controller.
const PEOPLES_TOOLS: [&str; 4] = ["kubectl", "k9s", "helm", "Mozilla"];

/// Whether the fields of `entry` are to become ours.
fn is_migrated(entry: &Entry<'_>, more: &[String]) -> bool {
    let named = match entry.manager {
        ARGO_CD_MANAGER => true,
        KUBECTL_APPLY_MANAGER => entry.operation == "Update",
        other => other != FIELD_MANAGER && more.iter().any(|name| name == other),
    };
    named && entry.subresource.is_empty()
}

/// Whether `entry` is that of our applies.
fn is_applied_by_us(entry: &Entry<'_>) -> bool {
    entry.manager == FIELD_MANAGER && entry.operation == "Apply" && entry.subresource.is_empty()
}

/// Whether `entry` loses what Git gives up.
fn is_updated(entry: &Entry<'_>) -> bool {
    let by_person = || PEOPLES_TOOLS.iter().any(|tool| entry.manager.starts_with(tool));
    entry.operation == "Update" && (entry.subresource.is_empty() || entry.subresource == "scale" && by_person())
}

/// Whether an owner is us, or an engine whose fields the next apply takes over: Argo CD, `kubectl apply` or one of
/// `more`.
pub fn is_ours(owner: &FieldManager, more: &[String]) -> bool {
    let FieldManager { manager, operation, subresource, time } = owner;
    let entry = Entry { manager, operation, subresource, time, fields: &Map::new() };
    subresource.is_empty() && (manager == FIELD_MANAGER || is_migrated(&entry, more))
}

/// The managedFields of an object when we have taken over what is ours.
struct TakeOver {
    /// Our entry.
    ours: Map<String, Value>,
    /// Its fields.
    fields: Map<String, Value>,
    /// The other entries.
    others: Vec<Value>,
}

/// What is to be taken over before `desired` is applied over `live`; `None` where nothing is.
fn take_over(live: &Object, desired: &Object, more: &[String]) -> Option<TakeOver> {
    let list = live.pointer("/metadata/managedFields")?.as_array()?;
    let is = |value: &Value, test: &dyn Fn(&Entry<'_>) -> bool| set::entry(value).is_some_and(|entry| test(&entry));
    let taken = |value: &&Value| is(value, &|entry| is_migrated(entry, more));
    let ours = list.iter().find(|value| is(value, &is_applied_by_us));
    let first = list.iter().find(taken);

    let mut fields = Map::new();
    for entry in ours.into_iter().chain(list.iter().filter(taken)).filter_map(set::entry) {
        if fields.is_empty() {
            fields.clone_from(entry.fields);
        } else {
            set::union(&mut fields, entry.fields);
        }
    }
    let is_encoded = encode_string_data(&mut fields);
    set::remove(&mut fields, &["f:metadata", "f:annotations", &format!("f:{LAST_APPLIED}")]);

    let mut others: Vec<Value> = list
        .iter()
        .filter(|value| !is(value, &|entry| is_migrated(entry, more) || is_applied_by_us(entry)))
        .cloned()
        .collect();
    let is_moved = take_given_up(&mut fields, &mut others, live, desired);
    let is_claimed = claim_exclusive(&mut fields, &mut others, live, desired);
    if first.is_none() && !is_encoded && !is_moved && !is_claimed {
        return None;
    }
    let mut entry = match ours.or(first) {
        Some(entry) => entry.as_object()?.clone(),
        None => json!({"apiVersion": desired.api_version(), "fieldsType": "FieldsV1"}).as_object()?.clone(),
    };
    entry.insert("manager".to_owned(), json!(FIELD_MANAGER));
    entry.insert("operation".to_owned(), json!("Apply"));
    entry.insert("fieldsV1".to_owned(), Value::Object(fields.clone()));
    Some(TakeOver { ours: entry, fields, others })
}

/// Moves what Git gave up from `others` to `fields`, those that we own; whether there was anything.
fn take_given_up(fields: &mut Map<String, Value>, others: &mut Vec<Value>, live: &Object, desired: &Object) -> bool {
    let is_donor = |entry: &Value| {
        set::entry(entry).is_some_and(|entry| is_updated(&entry))
            && entry.get("apiVersion").and_then(Value::as_str) == Some(desired.api_version())
    };
    if !others.iter().any(is_donor) {
        return false;
    }
    // Who replaces an object from a file of his own drops its annotations; that we applied it is still known.
    let body = body::of(desired);
    let recorded = record::read(live).or_else(|| (!fields.is_empty()).then(|| record::of(&body)));
    let (body, left, found) = (body.into_value(), record::in_git(desired), live.to_value());
    let wanted = Wanted { desired: Some(&body), left: left.as_ref() };
    let mut moved = Vec::new();
    for entry in others.iter().filter(|entry| is_donor(entry)).filter_map(set::entry) {
        let had = Had { owned: Some(fields), recorded: recorded.as_ref() };
        moved.extend(given_up(entry.fields, had, wanted, &found));
    }
    for entry in others.iter_mut().filter(|entry| is_donor(entry)) {
        let Some(Value::Object(theirs)) = entry.get_mut("fieldsV1") else { continue };
        for path in &moved {
            if let Some(node) = set::find(theirs, path).cloned() {
                set::insert(fields, path, &node);
                set::remove(theirs, path);
            }
        }
    }
    others.retain(|entry| set::entry(entry).is_none_or(|entry| !entry.fields.is_empty()));
    !moved.is_empty()
}

/// Takes over what can't stay beside what Git asks for and no other manager applies; whether there was anything.
fn claim_exclusive(fields: &mut Map<String, Value>, others: &mut [Value], live: &Object, desired: &Object) -> bool {
    let mut claimed = exclusive::replaced_alternatives(live, desired);
    let is_applied = |path: &[String]| {
        let mut entries = others.iter().filter_map(set::entry);
        entries.any(|entry| entry.operation == "Apply" && set::find(entry.fields, path).is_some())
    };
    claimed.retain(|(path, _)| set::find(fields, path).is_none() && !is_applied(path));
    for (path, node) in &claimed {
        set::insert(fields, path, node);
        for theirs in others.iter_mut().filter_map(|entry| entry.get_mut("fieldsV1")).filter_map(Value::as_object_mut) {
            set::remove(theirs, path);
        }
    }
    !claimed.is_empty()
}

/// The API server keeps `stringData` as `data`, and in managedFields as what it was; whether it was there.
pub(super) fn encode_string_data(fields: &mut Map<String, Value>) -> bool {
    let Some(plain) = fields.shift_remove("f:stringData") else { return false };
    if let Value::Object(plain) = plain {
        set::insert(fields, &["f:data".to_owned()], &plain);
    }
    true
}

/// Whether anything is to be taken over before `desired` is applied over `live`.
pub fn is_needed(live: &Object, desired: &Object, more: &[String]) -> bool {
    take_over(live, desired, more).is_some()
}

/// The JSON patch that moves the fields before `desired` is applied, or `None` where nothing is to be moved. Pure.
pub fn patch(live: &Object, desired: &Object, more: &[String]) -> Option<Value> {
    let TakeOver { ours, others, .. } = take_over(live, desired, more)?;
    let managed: Vec<Value> = std::iter::once(Value::Object(ours)).chain(others).collect();
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

/// The JSON patch that makes of `live` at once what taking over and applying `desired` make of it, for a dry run: two
/// requests can't be tried one after the other without a write. `None` where nothing is to be taken over. Pure.
pub fn whole_patch(live: &Object, desired: &Object, more: &[String]) -> Option<Value> {
    let TakeOver { fields, others, .. } = take_over(live, desired, more)?;
    let mut theirs = Map::new();
    for entry in others.iter().filter_map(set::entry) {
        set::insert(&mut theirs, &[], entry.fields);
    }
    let (before, wanted) = (live.to_value(), body::of(desired).into_value());
    let mut after = merge::merge(&fields, &theirs, &before, &wanted);
    if let Some(Value::Object(annotations)) = after.pointer_mut("/metadata/annotations") {
        annotations.shift_remove(LAST_APPLIED);
    }
    let mut patch = vec![json!({"op": "replace", "path": "/metadata/resourceVersion",
        "value": live.pointer("/metadata/resourceVersion")?})];
    let at =
        |value: &Value, parent: &str| value.pointer(parent).and_then(Value::as_object).cloned().unwrap_or_default();
    for (parent, kept) in [
        ("", ["apiVersion", "kind", "metadata", "status"].as_slice()),
        ("/metadata", ["name", "namespace", "managedFields", "resourceVersion"].as_slice()),
    ] {
        let (before, after) = (at(&before, parent), at(&after, parent));
        let pointer = |key: &str| format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"));
        for key in before.keys().filter(|key| !kept.contains(&key.as_str()) && !after.contains_key(*key)) {
            patch.push(json!({"op": "remove", "path": pointer(key)}));
        }
        for (key, value) in after.iter().filter(|(key, value)| before.get(*key) != Some(value)) {
            if !kept.contains(&key.as_str()) {
                patch.push(json!({"op": "add", "path": pointer(key), "value": value}));
            }
        }
    }
    Some(Value::Array(patch))
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

    fn body(data: &Value) -> Object {
        Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c",
            "namespace": "a"}, "data": data}))
        .unwrap()
    }

    fn live() -> Object {
        Object::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "a", "resourceVersion": "7", "annotations": {LAST_APPLIED: "{}"},
                "managedFields": [
                    {"manager": KUBECTL_APPLY_MANAGER, "operation": "Update", "apiVersion": "v1",
                        "fieldsType": "FieldsV1", "time": "2026-11-21T10:00:00Z",
                     "fieldsV1": {"f:data": {".": {}, "f:gone": {}, "f:kept": {}, "f:shared": {}},
                                  "f:metadata": {"f:annotations": {".": {}, format!("f:{LAST_APPLIED}"): {}}}}},
                    {"manager": "other", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:data": {"f:shared": {}}}},
                    {"manager": ARGO_CD_MANAGER, "operation": "Update", "subresource": "status",
                        "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {}}}]},
            "data": {"gone": "1", "kept": "1", "shared": "1"}}))
        .unwrap()
    }

    #[test]
    fn main_resource_entries_become_ours_and_last_applied_goes() {
        let patch = patch(&live(), &body(&json!({"kept": "1"})), &[]).unwrap();
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
        assert_eq!(patch(&object, &body(&json!({})), &[]), None);
    }

    #[test]
    fn what_is_tried_is_without_what_only_the_old_manager_had() {
        let patch = whole_patch(&live(), &body(&json!({"kept": "2"})), &[]).unwrap();
        let data = json!({"op": "add", "path": "/data", "value": {"kept": "2", "shared": "1"}});
        let annotations = json!({"op": "remove", "path": "/metadata/annotations"});
        let version = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"});
        assert_eq!(patch, json!([version, data, annotations]));
    }

    /// An object that we applied with `data.had`, which `manager` changed.
    fn changed_by(manager: &str, operation: &str, subresource: &str) -> Object {
        let mut object = live();
        let metadata = object.metadata_mut();
        metadata["annotations"] = json!({record::LAST_APPLIED_FIELDS: r#"{"data":{"had":0,"kept":0}}"#});
        let entry = |manager: &str, operation: &str, subresource: &str, fields: Value| {
            json!({"manager": manager, "operation": operation, "subresource": subresource, "apiVersion": "v1",
                "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        metadata["managedFields"] = json!([
            entry(FIELD_MANAGER, "Apply", "", json!({"f:data": {"f:kept": {}}})),
            entry(manager, operation, subresource, json!({"f:data": {"f:had": {}, "f:theirs": {}}}))
        ]);
        object
    }

    #[test]
    fn what_git_gave_up_is_taken_from_updaters_and_from_nobody_else() {
        let git = body(&json!({"kept": "1"}));
        let object = changed_by("kubectl-edit", "Update", "");
        let patch = patch(&object, &git, &[]).unwrap();
        assert_eq!(patch.pointer("/0/value/0/fieldsV1"), Some(&json!({"f:data": {"f:kept": {}, "f:had": {}}})));
        assert_eq!(patch.pointer("/0/value/1/fieldsV1"), Some(&json!({"f:data": {"f:theirs": {}}})));
        for (manager, operation, subresource, expected) in [
            ("my-operator", "Update", "", true),
            ("kubectl", "Update", "scale", true),
            ("kube-controller-manager", "Update", "scale", false),
            ("my-operator", "Update", "status", false),
            ("my-operator", "Apply", "", false),
        ] {
            let needed = is_needed(&changed_by(manager, operation, subresource), &git, &[]);
            assert_eq!(needed, expected, "{manager} {operation} {subresource}");
        }
        assert!(!is_needed(&object, &body(&json!({"kept": "1", "had": "1"})), &[]), "Git has it still");
        let mut unknown = object;
        unknown.metadata_mut().shift_remove("annotations");
        assert!(!is_needed(&unknown, &git, &[]), "nobody knows that Git had it");
    }

    #[test]
    fn what_is_left_to_others_was_not_given_up() {
        let object = changed_by("autoscaler", "Update", "");
        let mut left = body(&json!({"kept": "1"}));
        left.set_annotation(record::FIELDS_IN_GIT, r#"{"data":{"kept":0,"had":0}}"#);
        assert!(!is_needed(&object, &left, &[]));
        assert!(is_needed(&object, &body(&json!({"kept": "1"})), &[]));
    }

    #[test]
    fn plain_data_of_a_secret_are_owned_as_data() {
        let mut object = live();
        object.metadata_mut()["managedFields"] = json!([{"manager": FIELD_MANAGER, "operation": "Apply",
            "fieldsV1": {"f:stringData": {"f:a": {}}, "f:data": {"f:b": {}}}}]);
        let patch = patch(&object, &body(&json!({})), &[]).unwrap();
        assert_eq!(patch.pointer("/0/value/0/fieldsV1"), Some(&json!({"f:data": {"f:b": {}, "f:a": {}}})));
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
