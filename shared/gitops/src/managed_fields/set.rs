//! Sets of fields as `metadata.managedFields` has them (`fieldsV1`): who owns what, unions, what a set covers. Pure.
//!
//! The format is kubernetes-sigs/structured-merge-diff `fieldpath/serialize.go`: `f:name` a field, `k:{…}` the list
//! item with these keys, `v:…` the item with this value, `i:n` the n-th item; `.` says that the node itself is a
//! member, as an empty node does.

use serde_json::{Map, Value, json};
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
pub fn remove(set: &mut Map<String, Value>, path: &[impl AsRef<str>]) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        set.shift_remove(first.as_ref());
    } else if let Some(Value::Object(child)) = set.get_mut(first.as_ref()).filter(|child| **child != json!({})) {
        remove(child, rest);
        if child.is_empty() {
            set.shift_remove(first.as_ref());
        }
    }
}

/// Adds `node` and everything below it at `path`.
pub fn insert(set: &mut Map<String, Value>, path: &[String], node: &Map<String, Value>) {
    let Some((first, rest)) = path.split_first() else { return union(set, node) };
    if let Some(Value::Object(child)) = set.get_mut(first) {
        if child.is_empty() {
            child.insert(".".to_owned(), Value::Object(Map::new()));
        }
        insert(child, rest, node);
        return;
    }
    let mut child = Map::new();
    match rest {
        [] => child.clone_from(node),
        rest => insert(&mut child, rest, node),
    }
    set.insert(first.clone(), Value::Object(child));
}

/// The node at `path`.
pub fn find<'a>(set: &'a Map<String, Value>, path: &[String]) -> Option<&'a Map<String, Value>> {
    path.iter().try_fold(set, |node, key| node.get(key)?.as_object())
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
            items.iter().position(|item| has_keys(item, &keys))
        }
        _ => None,
    }
}

/// The names of the fields by which the list item of an element is known.
pub fn names(key: &str) -> Vec<String> {
    let keys = key.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok());
    keys.into_iter().flatten().map(|(name, _)| name).collect()
}

/// Whether an item has these keys, also where it leaves out one that the API server fills in: a port's protocol is the
/// one that Kubernetes' own lists have, a CustomResourceDefinition may have others.
pub fn has_keys(item: &Value, keys: &Map<String, Value>) -> bool {
    let has = |(key, value): (&String, &Value)| match item.get(key) {
        Some(found) => found == value,
        None => key != "protocol" || value == "TCP",
    };
    keys.iter().all(has) && keys.keys().any(|key| item.get(key).is_some())
}

#[cfg(test)]
mod tests {
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
    fn what_is_inserted_keeps_what_is_there() {
        let path = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let mut ours = set(&json!({"f:spec": {"f:a": {}}}));
        insert(&mut ours, &path("f:spec/f:a"), &set(&json!({"f:b": {}})));
        insert(&mut ours, &path("f:data/f:c"), &Map::new());
        assert_eq!(
            Value::Object(ours.clone()),
            json!({"f:spec": {"f:a": {".": {}, "f:b": {}}}, "f:data": {"f:c": {}}})
        );
        assert_eq!(find(&ours, &path("f:data/f:c")), Some(&Map::new()));
        remove(&mut ours, &path("f:data/f:c/f:not"));
        assert!(find(&ours, &path("f:data/f:c")).is_some());
    }

    #[test]
    fn elements_select_by_key_value_and_index() {
        let ports = json!([{"containerPort": 80, "name": "a"}, {"containerPort": 53, "protocol": "UDP"}]);
        assert_eq!(position(&ports, r#"k:{"containerPort":80,"protocol":"TCP"}"#), Some(0));
        assert_eq!(position(&ports, r#"k:{"containerPort":53,"protocol":"UDP"}"#), Some(1));
        assert_eq!(position(&ports, r#"k:{"containerPort":53,"protocol":"TCP"}"#), None);
        let rules = json!([{"host": "a"}, {"host": "b", "class": "x"}]);
        assert_eq!(position(&rules, r#"k:{"class":"default","host":"a"}"#), Some(0));
        assert_eq!(position(&rules, r#"k:{"class":"default","host":"b"}"#), None);
        assert_eq!(select(&json!(["a", "b"]), r#"v:"b""#), Some(&json!("b")));
        assert_eq!(select(&json!(["a", "b"]), "i:0"), Some(&json!("a")));
    }
}
