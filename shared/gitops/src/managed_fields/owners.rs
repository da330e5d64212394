//! Finds who changed a field, and when, in `metadata.managedFields`. Pure.

use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::diff::{Path, Segment};
use crate::managed_fields::FIELD_MANAGER;
use crate::managed_fields::set;

/// A field manager, in one entry of managedFields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldManager {
    /// `kubectl-edit`, `kube-controller-manager` …
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// Empty, or `scale`, `status` …
    pub subresource: String,
    /// Time of the last write, as RFC 3339; may be empty.
    pub time: String,
}

/// The managers of the field at `path` in `live`: those that own it or the nearest field around it, others before us,
/// the latest first.
///
/// Empty where it has no owner, as a removed field: nothing tells who removed it. The other writers of the object are
/// no evidence: who removes a field owns nothing of it, and leaves no entry.
pub fn of(live: &Object, path: &Path) -> Vec<FieldManager> {
    let value = live.to_value();
    let mut owners: Vec<(usize, FieldManager)> = set::entries(live)
        .iter()
        .filter_map(|entry| Some((depth(entry.fields, Some(&value), &path.0)?, field_manager(entry))))
        .collect();
    let deepest = owners.iter().map(|(depth, _)| *depth).max().unwrap_or_default();
    owners.retain(|(depth, _)| *depth == deepest);
    let mut owners: Vec<FieldManager> = owners.into_iter().map(|(_, owner)| owner).collect();
    owners.sort_by(|a, b| {
        (a.manager == FIELD_MANAGER).cmp(&(b.manager == FIELD_MANAGER)).then_with(|| b.time.cmp(&a.time))
    });
    owners
}

/// The manager that made the object, where we have no part in it: another deleted ours and put its own there. `None`
/// where several wrote in that second; a controller writes the status as soon as it sees the object.
pub fn creator(live: &Object) -> Option<FieldManager> {
    let entries = set::entries(live);
    let created = live.pointer("/metadata/creationTimestamp").and_then(Value::as_str)?;
    let is_foreign = !entries.iter().any(|entry| entry.manager == FIELD_MANAGER);
    let mut first = entries.iter().filter(|entry| is_foreign && entry.time == created && entry.subresource.is_empty());
    first.next().filter(|_| first.next().is_none()).map(field_manager)
}

fn field_manager(entry: &set::Entry<'_>) -> FieldManager {
    FieldManager {
        manager: entry.manager.to_owned(),
        operation: entry.operation.to_owned(),
        subresource: entry.subresource.to_owned(),
        time: entry.time.to_owned(),
    }
}

/// How many segments of `path` the set contains, if it owns the field, something below it, or something atomic around
/// it.
fn depth(set: &Map<String, Value>, value: Option<&Value>, path: &[Segment]) -> Option<usize> {
    let Some((step, rest)) = path.split_first() else { return Some(0) };
    let found = set::children(set).find(|(key, _)| leads(key, step, value));
    match found {
        Some((key, child)) => {
            let below = value.and_then(|value| set::select(value, key));
            depth(child, below, rest).map(|depth| depth + 1)
        }
        // A leaf of the set owns everything below it.
        None => set::children(set).next().is_none().then_some(0),
    }
}

/// Whether an element of a set matches a segment of a path.
fn leads(key: &str, step: &Segment, value: Option<&Value>) -> bool {
    match step {
        Segment::Field(name) => key.strip_prefix("f:") == Some(name),
        Segment::Item(field, name) => key.strip_prefix("k:").is_some_and(|keys| {
            serde_json::from_str::<Map<String, Value>>(keys).is_ok_and(|keys| keys.get(field) == Some(name))
                || value.and_then(|list| set::select(list, key)).and_then(|item| item.get(field)) == Some(name)
        }),
        Segment::Index(index) => value.and_then(|list| set::position(list, key)) == Some(*index),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Object {
        let entry = |manager: &str, operation: &str, subresource: &str, time: &str, fields: Value| {
            json!({"manager": manager, "operation": operation, "subresource": subresource,
                "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web",
            "managedFields": [
            entry("slipway", "Apply", "", "2026-11-21T10:00:00Z", json!({"f:spec": {"f:selector": {},
                "f:template": {"f:spec": {"f:containers": {
                r#"k:{"name":"web"}"#: {".": {}, "f:name": {}, "f:image": {},
                    "f:ports": {r#"k:{"containerPort":80,"protocol":"TCP"}"#: {".": {}, "f:name": {}}}}}}}}})),
            entry("kubectl", "Update", "scale", "2026-11-21T11:00:00Z", json!({"f:spec": {"f:replicas": {}}})),
            entry("kubectl-edit", "Update", "", "2026-11-21T12:00:00Z",
                json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
                    r#"k:{"name":"web"}"#: {"f:image": {}}}}}}})),
        ]}, "spec": {"replicas": 5, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [
            {"name": "web", "image": "x", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]}]}}}}))
        .unwrap()
    }

    fn path(steps: &[Segment]) -> Path {
        Path(steps.to_vec())
    }

    fn field(name: &str) -> Segment {
        Segment::Field(name.to_owned())
    }

    #[test]
    fn the_owner_is_named_with_its_time() {
        let owners = of(&live(), &path(&[field("spec"), field("replicas")]));
        assert_eq!((owners.len(), owners[0].manager.as_str(), owners[0].subresource.as_str()), (1, "kubectl", "scale"));
        assert_eq!(owners[0].time, "2026-11-21T11:00:00Z");
    }

    #[test]
    fn others_come_before_us() {
        let web = Segment::Item("name".to_owned(), json!("web"));
        let image =
            path(&[field("spec"), field("template"), field("spec"), field("containers"), web.clone(), field("image")]);
        let managers: Vec<String> = of(&live(), &image).into_iter().map(|owner| owner.manager).collect();
        assert_eq!(managers, ["kubectl-edit", "slipway"]);
        let port = Segment::Item("containerPort".to_owned(), json!(80));
        let name = path(&[
            field("spec"),
            field("template"),
            field("spec"),
            field("containers"),
            web,
            field("ports"),
            port,
            field("name"),
        ]);
        assert_eq!(of(&live(), &name)[0].manager, "slipway");
    }

    #[test]
    fn an_atomic_field_is_owned_as_a_whole_and_an_unowned_one_by_nobody() {
        let selector = path(&[field("spec"), field("selector"), field("matchLabels"), field("a")]);
        assert_eq!(of(&live(), &selector)[0].manager, "slipway");
        assert!(of(&live(), &path(&[field("spec"), field("paused")])).is_empty());
    }

    #[test]
    fn who_made_an_object_is_known_where_it_is_not_ours() {
        let mut theirs = live();
        theirs.metadata_mut().insert("creationTimestamp".to_owned(), json!("2026-11-21T12:00:00Z"));
        assert_eq!(creator(&theirs), None, "a part of it is ours");
        theirs.metadata_mut()["managedFields"].as_array_mut().unwrap().remove(0);
        assert_eq!(creator(&theirs).unwrap().manager, "kubectl-edit");
        let status = json!({"manager": "a-controller", "operation": "Update", "subresource": "status",
            "time": "2026-11-21T12:00:00Z", "fieldsV1": {"f:status": {}}});
        let entries = theirs.metadata_mut()["managedFields"].as_array_mut().unwrap();
        entries.insert(0, status.clone());
        assert_eq!(creator(&theirs).unwrap().manager, "kubectl-edit");
        let mut other = status;
        other["subresource"] = json!("");
        theirs.metadata_mut()["managedFields"].as_array_mut().unwrap().push(other);
        assert_eq!(creator(&theirs), None, "one of two");
    }
}
