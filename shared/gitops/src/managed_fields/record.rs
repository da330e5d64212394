//! Remembers which fields were applied last, in an annotation of the object. Pure.
//!
//! managedFields forget: a manager that updates a field that we applied takes its ownership, and when the field leaves
//! Git nothing tells that Git ever had it. `kubectl apply` keeps a copy of the whole object for that
//! (`kubectl.kubernetes.io/last-applied-configuration`); this record holds names of fields and no value, and of list
//! items short digests of whatever may be their keys. The annotation is written with the apply itself, so it is never
//! about another version of the object.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use slipway_manifest::Object;

use crate::tracking::LAST_APPLIED;

/// The annotation that holds the record.
pub const LAST_APPLIED_FIELDS: &str = "slipway.dev/last-applied-fields";
/// The annotation of a manifest that says what Git has where a part of it is left to others
/// ([`crate::normalize::Normalizer::respect`]): Git did not give that up. It is never sent.
pub(crate) const FIELDS_IN_GIT: &str = "slipway.dev/fields-in-git";
/// Above this the deepest levels are left out: what is above them stands for them.
const MAX_BYTES: usize = 16 << 10;
/// No list has longer keys.
const MAX_KEY: usize = 253;
/// How deep records go.
const MAX_DEPTH: usize = 24;

/// The record of an apply of `body`.
pub fn encode(body: &Object) -> String {
    let text = |depth| shape_of(body, depth).to_string();
    (1..=MAX_DEPTH).rev().map(text).find(|text| text.len() <= MAX_BYTES).unwrap_or_default()
}

/// Puts the record of `body` into it.
pub fn write(body: &mut Object) {
    let record = encode(body);
    if !record.is_empty() {
        body.set_annotation(LAST_APPLIED_FIELDS, &record);
    }
}

/// What was applied to `live` last: by us, else by `kubectl apply` or Argo CD, whose copy of the object says so.
pub fn read(live: &Object) -> Option<Value> {
    if let Some(record) = live.annotation(LAST_APPLIED_FIELDS) {
        return serde_json::from_str(record).ok();
    }
    let applied = Object::from_value(serde_json::from_str(live.annotation(LAST_APPLIED)?).ok()?).ok()?;
    Some(of(&super::body::of(&applied)))
}

/// What Git has of `desired`, a part of which is left to others.
pub(super) fn in_git(desired: &Object) -> Option<Value> {
    serde_json::from_str(desired.annotation(FIELDS_IN_GIT)?).ok()
}

/// The record of an apply of `body`, in full.
pub(super) fn of(body: &Object) -> Value {
    shape_of(body, MAX_DEPTH)
}

/// The part of a record that an element of a set names.
pub(super) fn select<'a>(record: &'a Value, key: &str) -> Option<&'a Value> {
    match key.split_once(':')? {
        ("f", name) => record.get(name),
        ("k", keys) => item(record, &serde_json::from_str(keys).ok()?),
        _ => None,
    }
}

/// The list item that has these keys, or leaves those out that have a default.
pub(super) fn item<'a>(record: &'a Value, keys: &Map<String, Value>) -> Option<&'a Value> {
    record.as_array()?.iter().find(|item| {
        let state = |(key, value): (&String, &Value)| item.get(key).map(|known| *known == digest(value));
        let states: Vec<Option<bool>> = keys.iter().map(state).collect();
        states.contains(&Some(true)) && !states.contains(&Some(false))
    })
}

fn shape_of(body: &Object, depth: usize) -> Value {
    let mut fields = body.as_map().clone();
    fields.retain(|key, _| key != "apiVersion" && key != "kind");
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        metadata.retain(|key, _| !matches!(key.as_str(), "name" | "namespace" | "generateName"));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.retain(|key, _| ![LAST_APPLIED_FIELDS, FIELDS_IN_GIT, LAST_APPLIED].contains(&key.as_str()));
            if annotations.is_empty() {
                metadata.shift_remove("annotations");
            }
        }
    }
    shape(&Value::Object(fields), depth)
}

/// A value without its values.
fn shape(value: &Value, depth: usize) -> Value {
    let Some(below) = depth.checked_sub(1) else { return Value::from(0) };
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value, below))).collect(),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
            items.iter().map(|item| shape_of_item(item, below)).collect()
        }
        _ => Value::from(0),
    }
}

fn shape_of_item(item: &Value, depth: usize) -> Value {
    let fields = item.as_object().into_iter().flatten();
    let shape = |value: &Value| match value {
        Value::String(text) if text.len() <= MAX_KEY => digest(value),
        Value::Number(_) | Value::Bool(_) => digest(value),
        value => shape(value, depth),
    };
    fields.map(|(key, value)| (key.clone(), shape(value))).collect()
}

/// Enough to tell the items of one list apart, and too little to be turned back into a value.
fn digest(value: &Value) -> Value {
    let hash = Sha256::digest(value.to_string());
    Value::String(hex::encode(hash.iter().copied().take(3).collect::<Vec<u8>>()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_record_knows_fields_and_items_and_no_value() {
        let mut body =
            object(json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "labels": {"l": "secret"}},
            "data": {"key": "secret"}, "spec": {"list": [{"name": "n-secret", "value": "secret",
            "sub": {"deep": "secret"}}],
            "args": ["secret"], "ports": [{"port": 80}]}}));
        write(&mut body);
        let text = body.annotation(LAST_APPLIED_FIELDS).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let record = read(&body).unwrap();
        let at = |keys: &[&str]| keys.iter().try_fold(&record, |value, key| select(value, key)).is_some();
        assert!(at(&["f:data", "f:key"]) && at(&["f:metadata", "f:labels", "f:l"]));
        assert!(at(&["f:spec", "f:list", r#"k:{"name":"n-secret"}"#, "f:sub", "f:deep"]));
        assert!(at(&["f:spec", "f:ports", r#"k:{"port":80,"protocol":"TCP"}"#]));
        assert!(!at(&["f:spec", "f:ports", r#"k:{"port":81,"protocol":"TCP"}"#]) && !at(&["f:data", "f:other"]));
        // Itself it does not change.
        let first = text.to_owned();
        write(&mut body);
        assert_eq!(body.annotation(LAST_APPLIED_FIELDS), Some(first.as_str()));
    }

    #[test]
    fn a_large_record_loses_its_deepest_levels() {
        let deep: Map<String, Value> = (0..2000).map(|n| (format!("a-rather-long-name-{n}"), json!(1))).collect();
        let text =
            encode(&object(json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "a": {"b": deep}})));
        assert_eq!(text, r#"{"metadata":{},"a":{"b":0}}"#);
    }

    #[test]
    fn the_copy_of_kubectl_apply_is_a_record_too() {
        let applied =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}});
        let live = object(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s",
            "annotations": {LAST_APPLIED: applied.to_string()}}}));
        assert_eq!(read(&live), Some(json!({"metadata": {}, "data": {"a": 0}})));
    }
}
