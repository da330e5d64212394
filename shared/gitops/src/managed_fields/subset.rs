//! Would an apply change anything? Answered from the live object alone where it can be, so that what did not change
//! costs no request.
//!
//! A `true` is certain, a `false` only a suspicion: quantities in another spelling, a list in another order. Knows no
//! client. Pure.

use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::managed_fields::FIELD_MANAGER;
use crate::managed_fields::body;
use crate::managed_fields::migrate;
use crate::managed_fields::record::LAST_APPLIED_FIELDS;
use crate::managed_fields::set;

/// Whether an apply of `desired` would leave `live` as it is: our entry in managedFields covers exactly the fields of
/// `desired`, each has its value, and no field is to be taken over from others or one of `more` managers.
pub fn is_unchanged(desired: &Object, live: &Object, more: &[String]) -> bool {
    let list = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let ours = list.into_iter().flatten().find(|entry| {
        entry.get("manager").and_then(Value::as_str) == Some(FIELD_MANAGER)
            && entry.get("operation").and_then(Value::as_str) == Some("Apply")
            && entry.get("subresource").is_none()
            && entry.get("apiVersion").and_then(Value::as_str) == Some(desired.api_version())
    });
    let Some(fields) = ours.and_then(set::entry).map(|entry| entry.fields) else { return false };
    let mut wanted = body::of(desired);
    if live.pointer("/metadata/deletionTimestamp").is_some() || migrate::is_needed(live, desired, more) {
        return false;
    }
    // The same fields have the same record; an object of before there were records is left alone.
    if let Some(record) = live.annotation(LAST_APPLIED_FIELDS) {
        wanted.set_annotation(LAST_APPLIED_FIELDS, record);
    }
    // Nobody owns an object's identity.
    for key in ["name", "namespace", "generateName"] {
        wanted.metadata_mut().shift_remove(key);
    }
    for key in ["apiVersion", "kind"] {
        wanted.as_map_mut().shift_remove(key);
    }
    if wanted.metadata().is_some_and(Map::is_empty) {
        wanted.as_map_mut().shift_remove("metadata");
    }
    is_subset(fields, &wanted.into_value(), &live.to_value())
}

/// Whether the node of a set covers exactly what `desired` has there, and `live` has the same.
fn is_subset(node: &Map<String, Value>, desired: &Value, live: &Value) -> bool {
    if set::children(node).next().is_none() {
        return desired == live;
    }
    match (desired, live) {
        (Value::Object(wanted), Value::Object(_)) => {
            wanted.keys().all(|key| node.contains_key(&format!("f:{key}"))) && children_match(node, desired, live)
        }
        (Value::Array(wanted), Value::Array(_)) => {
            wanted.len() == set::children(node).count()
                && children_match(node, desired, live)
                && is_sorted(node, desired, live)
        }
        _ => false,
    }
}

fn children_match(node: &Map<String, Value>, desired: &Value, live: &Value) -> bool {
    set::children(node).all(|(key, child)| match (set::select(desired, key), set::select(live, key)) {
        (Some(desired), Some(live)) => is_subset(child, desired, live),
        _ => false,
    })
}

/// Whether our items stand in the same order on both sides; others' items may stand between them.
fn is_sorted(node: &Map<String, Value>, desired: &Value, live: &Value) -> bool {
    let mut places: Vec<_> =
        set::children(node).map(|(key, _)| (set::position(desired, key), set::position(live, key))).collect();
    places.sort_unstable();
    places.is_sorted_by_key(|(_, live)| *live)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn desired(image: &str, names: [&str; 2]) -> Object {
        let containers = names.map(|name| json!({"name": name, "image": image, "ports": [{"containerPort": 80}]}));
        Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "b"}, "creationTimestamp": null},
            "spec": {"replicas": 1, "template": {"spec": {"containers": containers, "volumes": []}}}}))
        .unwrap()
    }

    fn live() -> Object {
        let port = json!({r#"k:{"containerPort":80,"protocol":"TCP"}"#: {".": {}, "f:containerPort": {}}});
        let container = json!({".": {}, "f:name": {}, "f:image": {}, "f:ports": port});
        let fields = json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:replicas": {},
            "f:template": {"f:spec": {
            "f:containers": {r#"k:{"name":"x"}"#: container, r#"k:{"name":"y"}"#: container}, "f:volumes": {}}}}});
        let item = |name: &str| {
            json!({"name": name, "image": "i", "pullPolicy": "Always",
            "ports": [{"containerPort": 80, "protocol": "TCP"}]})
        };
        Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7", "labels": {"a": "b",
                "others": "too"}, "managedFields": [
                {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields}]},
            "spec": {"replicas": 1, "paused": false, "template": {"spec": {"containers": [item("x"), item("sidecar"),
                item("y")], "volumes": []}}}}))
        .unwrap()
    }

    #[test]
    fn the_same_is_unchanged_whatever_others_added() {
        assert!(is_unchanged(&desired("i", ["x", "y"]), &live(), &[]));
    }

    #[test]
    fn any_other_value_field_order_or_owner_is_a_suspicion() {
        assert!(!is_unchanged(&desired("other", ["x", "y"]), &live(), &[]));
        assert!(!is_unchanged(&desired("i", ["y", "x"]), &live(), &[]));
        let mut more = desired("i", ["x", "y"]);
        more.set_label("new", "1");
        assert!(!is_unchanged(&more, &live(), &[]));
        let mut less = desired("i", ["x", "y"]);
        less.metadata_mut().shift_remove("labels");
        assert!(!is_unchanged(&less, &live(), &[]));
        let mut scaled = live();
        scaled.as_map_mut()["spec"]["replicas"] = json!(2);
        assert!(!is_unchanged(&desired("i", ["x", "y"]), &scaled, &[]));
        let mut shared = live();
        let entry =
            json!({"manager": "helm", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {"f:data": {}}});
        shared.metadata_mut()["managedFields"].as_array_mut().unwrap().push(entry);
        assert!(is_unchanged(&desired("i", ["x", "y"]), &shared, &[]));
        assert!(!is_unchanged(&desired("i", ["x", "y"]), &shared, &["helm".to_owned()]));
    }
}
