//! Sets of fields as `metadata.managedFields` has them (`fieldsV1`): who owns what, unions, what a set covers. Pure.
//!
//! The format is kubernetes-sigs/structured-merge-diff `fieldpath/serialize.go`: `f:name` a field, `k:{…}` the list
//! item with these keys, `v:…` the item with this value, `i:n` the n-th item; `.` says that the node itself is a
//! member, as an empty node does.

use serde_json::{Map, Value};
use slipway_manifest::Object;

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Who manages: `kubectl-edit`, `kube-controller-manager` …
    pub manager: &'a str,
    /// `Apply` or `Update`.
    pub operation: &'a str,
    /// Empty, or `status`, `scale` …
    pub subresource: &'a str,
    /// When, as RFC 3339; may be empty.
    pub time: &'a str,
    /// What.
    pub fields: &'a Map<String, Value>,
}

/// The entries of an object, in its order; unreadable ones are left out.
pub fn entries(object: &Object) -> Vec<Entry<'_>> {
    let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(entry).collect()
}

/// One entry.
pub fn entry(value: &Value) -> Option<Entry<'_>> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(Entry {
        manager: text("manager"),
        operation: text("operation"),
        subresource: text("subresource"),
        time: text("time"),
        fields: value.get("fieldsV1")?.as_object()?,
    })
}

/// Adds `other` to `set`.
pub fn union(set: &mut Map<String, Value>, other: &Map<String, Value>) {
    if set.is_empty() != other.is_empty() {
        set.insert(".".to_owned(), Value::Object(Map::new()));
    }
    for (key, theirs) in other {
        match (set.get_mut(key), theirs) {
            (Some(Value::Object(ours)), Value::Object(theirs)) => union(ours, theirs),
            _ => {
                set.insert(key.clone(), theirs.clone());
            }
        }
    }
}

/// Removes the node at `path` and everything below it; ancestors that hold nothing any more go too.
pub fn remove(set: &mut Map<String, Value>, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        set.shift_remove(*first);
    } else if let Some(Value::Object(child)) = set.get_mut(*first) {
        remove(child, rest);
        if child.is_empty() {
            set.shift_remove(*first);
        }
    }
}

/// Whether the node itself is a member, and not only what is below it.
pub fn is_member(node: &Map<String, Value>) -> bool {
    node.is_empty() || node.contains_key(".")
}

/// The children of a node: their keys and sets, the marker of the node itself left out.
pub fn children(node: &Map<String, Value>) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
    node.iter().filter(|(key, _)| *key != ".").filter_map(|(key, child)| Some((key.as_str(), child.as_object()?)))
}

/// The part of `value` that the element `key` names: a field of a mapping, an item of a list.
pub fn select<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let (kind, name) = key.split_once(':')?;
    match kind {
        "f" => value.get(name),
        _ => value.as_array()?.get(position(value, key)?),
    }
}

/// The index of the list item that the element `key` (`k:`, `v:` or `i:`) names.
pub fn position(list: &Value, key: &str) -> Option<usize> {
    let (kind, name) = key.split_once(':')?;
    let items = list.as_array()?;
    match kind {
        "i" => name.parse().ok().filter(|index| *index < items.len()),
        "v" => {
            let wanted: Value = serde_json::from_str(name).ok()?;
            items.iter().position(|item| *item == wanted)
        }
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(name).ok()?;
            items.iter().position(|item| keys.iter().all(|(key, value)| has_key(item, key, value)))
        }
        _ => None,
    }
}

/// Whether an item has a key, also where it leaves out the default that the API server fills in
/// (the one key of Kubernetes' own lists that has a default is a port's protocol).
fn has_key(item: &Value, key: &str, value: &Value) -> bool {
    match item.get(key) {
        Some(found) => found == value,
        None => item.is_object() && key == "protocol" && value == "TCP",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_union_keeps_membership_of_nodes() {
        let mut ours = set(&json!({"f:metadata": {"f:labels": {}}, "f:spec": {"f:replicas": {}}}));
        union(&mut ours, &set(&json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:data": {}})));
        let expected =
            json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:replicas": {}}, "f:data": {}});
        assert_eq!(Value::Object(ours), expected);
    }

    #[test]
    fn removing_leaves_no_empty_node_that_would_be_a_member() {
        let mut ours = set(&json!({"f:metadata": {"f:annotations": {"f:a": {}}}, "f:data": {}}));
        remove(&mut ours, &["f:metadata", "f:annotations", "f:a"]);
        assert_eq!(Value::Object(ours), json!({"f:data": {}}));
    }

    #[test]
    fn elements_select_by_key_value_and_index() {
        let ports = json!([{"containerPort": 80, "name": "a"}, {"containerPort": 53, "protocol": "UDP"}]);
        assert_eq!(position(&ports, r#"k:{"containerPort":80,"protocol":"TCP"}"#), Some(0));
        assert_eq!(position(&ports, r#"k:{"containerPort":53,"protocol":"UDP"}"#), Some(1));
        assert_eq!(position(&ports, r#"k:{"containerPort":53,"protocol":"TCP"}"#), None);
        assert_eq!(select(&json!(["a", "b"]), r#"v:"b""#), Some(&json!("b")));
        assert_eq!(select(&json!(["a", "b"]), "i:0"), Some(&json!("a")));
    }
}
