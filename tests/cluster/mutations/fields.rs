//! The fields of an object: their paths, as `drift-check` prints them, and how they are read and written.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use slipway_gitops::diff::{Path, Segment};

/// Values that the API server takes as a whole, by the name of the field.
const ATOMIC: [&str; 22] = [
    "args",
    "command",
    "egress",
    "envFrom",
    "from",
    "ingress",
    "items",
    "matchExpressions",
    "matchLabels",
    "metrics",
    "nodeSelector",
    "podSelector",
    "preferredDuringSchedulingIgnoredDuringExecution",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "rules",
    "secretKeyRef",
    "selector",
    "sources",
    "steps",
    "subjects",
    "tls",
    "tolerations",
];

/// The field by which the items of a list are told apart, where they have one.
pub(super) fn key_of(items: &[Value]) -> Option<&'static str> {
    let unique = |key: &str| {
        let values: BTreeSet<String> = items.iter().filter_map(|item| Some(item.get(key)?.to_string())).collect();
        values.len() == items.len()
    };
    ["name", "containerPort", "port", "mountPath", "topologyKey", "host"].into_iter().find(|key| unique(key))
}

/// Every field of `value`, and every item of its keyed lists, with what it has.
pub(super) fn all(value: &Value) -> Vec<(Path, Value)> {
    let mut found = Vec::new();
    walk(value, &mut Vec::new(), &mut found);
    found
}

fn walk(value: &Value, path: &mut Vec<Segment>, found: &mut Vec<(Path, Value)>) {
    if !path.is_empty() {
        found.push((Path(path.clone()), value.clone()));
    }
    if matches!(path.last(), Some(Segment::Field(name)) if ATOMIC.contains(&name.as_str())) {
        return;
    }
    let children: Vec<(Segment, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (Segment::Field(key.clone()), value)).collect(),
        Value::Array(items) => {
            let Some(key) = key_of(items) else { return };
            items.iter().map(|item| (Segment::Item(key.to_owned(), item[key].clone()), item)).collect()
        }
        _ => return,
    };
    for (segment, child) in children {
        path.push(segment);
        walk(child, path, found);
        path.pop();
    }
}

/// Whether a path is of a pattern: `pod` stands for the template's `spec`, `*` for any field or item.
pub(super) fn matches(path: &Path, pattern: &str) -> bool {
    let text = |segment: &Segment| match segment {
        Segment::Field(name) => name.clone(),
        _ => String::new(),
    };
    let is = |pattern: &str| {
        let wanted: Vec<&str> = pattern.split('.').collect();
        wanted.len() == path.0.len()
            && wanted.iter().zip(&path.0).all(|(wanted, segment)| *wanted == "*" || *wanted == text(segment))
    };
    match pattern.strip_prefix("pod") {
        Some(rest) => {
            is(&format!("spec.template.spec{rest}")) || is(&format!("spec.jobTemplate.spec.template.spec{rest}"))
        }
        None => is(pattern),
    }
}

/// The value at a path.
pub(super) fn get<'a>(object: &'a Value, path: &Path) -> Option<&'a Value> {
    slipway_gitops::diff::find(object, path)
}

/// What holds the last segment of a path.
fn parent<'a>(object: &'a mut Value, path: &Path) -> Option<(&'a mut Value, Segment)> {
    let (last, above) = path.0.split_last()?;
    let mut value = object;
    for segment in above {
        value = match segment {
            Segment::Field(name) => value.get_mut(name)?,
            Segment::Item(key, name) => {
                value.as_array_mut()?.iter_mut().find(|item| item.get(key.as_str()) == Some(name))?
            }
            Segment::Index(index) => value.get_mut(*index)?,
        };
    }
    Some((value, last.clone()))
}

/// Writes `new` at a path, or removes what is there; gives whether there was anything.
pub(super) fn set(object: &mut Value, path: &Path, new: Option<Value>) -> bool {
    let Some((value, last)) = parent(object, path) else { return false };
    match (value, last, new) {
        (Value::Object(fields), Segment::Field(name), Some(new)) => fields.insert(name, new).is_some(),
        (Value::Object(fields), Segment::Field(name), None) => fields.shift_remove(&name).is_some(),
        (Value::Array(items), Segment::Item(key, name), new) => {
            let Some(place) = items.iter().position(|item| item.get(&key) == Some(&name)) else { return false };
            match new {
                Some(new) => items[place] = new,
                None => {
                    items.remove(place);
                }
            }
            true
        }
        _ => false,
    }
}

/// An object that holds nothing but `value` at a path, and the keys of the list items on the way.
pub(super) fn only(object: &Value, path: &[Segment], value: &Value) -> Value {
    let Some((first, rest)) = path.split_first() else { return value.clone() };
    match first {
        Segment::Field(name) => json!({ name.as_str(): only(&object[name.as_str()], rest, value) }),
        Segment::Item(key, name) => {
            let items = object.as_array().cloned().unwrap_or_default();
            let item = items.iter().find(|item| item.get(key) == Some(name)).cloned().unwrap_or_default();
            let mut given = only(&item, rest, value);
            for key in [key.as_str(), "name", "containerPort", "port", "protocol", "mountPath", "whenUnsatisfiable"] {
                if let (Some(fields), Some(value)) = (given.as_object_mut(), item.get(key)) {
                    fields.entry(key).or_insert_with(|| value.clone());
                }
            }
            json!([given])
        }
        Segment::Index(_) => value.clone(),
    }
}

/// The merge patch (RFC 7386) from one value to the other.
pub(super) fn merge_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return after.clone() };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(old) if old == value => {}
            Some(old) => {
                patch.insert(key.clone(), merge_patch(old, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// The JSON patch from one object to the other: its parts, each as a whole.
pub(super) fn json_patch(before: &Value, after: &Value) -> Value {
    let mut patch = Vec::new();
    let parts = |object: &Value| {
        let mut parts: Vec<(String, Value)> = Vec::new();
        for (key, value) in object.as_object().into_iter().flatten().filter(|(key, _)| *key != "status") {
            match value {
                Value::Object(metadata) if key == "metadata" => {
                    let own = ["labels", "annotations", "finalizers", "ownerReferences"];
                    let given = metadata.iter().filter(|(key, _)| own.contains(&key.as_str()));
                    parts.extend(given.map(|(key, value)| (format!("/metadata/{key}"), value.clone())));
                }
                value => parts.push((format!("/{key}"), value.clone())),
            }
        }
        parts
    };
    let (before, after) = (parts(before), parts(after));
    for (pointer, value) in &after {
        if !before.contains(&(pointer.clone(), value.clone())) {
            patch.push(json!({"op": "add", "path": pointer, "value": value}));
        }
    }
    for (pointer, _) in before.iter().filter(|(old, _)| !after.iter().any(|(new, _)| new == old)) {
        patch.push(json!({"op": "remove", "path": pointer}));
    }
    Value::Array(patch)
}

/// Whether one of two paths lies in the other.
pub(super) fn overlap(one: &Path, other: &Path) -> bool {
    one.0.iter().zip(&other.0).all(|(a, b)| match (a, b) {
        // Items may be known by several keys.
        (Segment::Item(key, _), Segment::Item(other, _)) if key != other => true,
        (a, b) => a == b,
    })
}
