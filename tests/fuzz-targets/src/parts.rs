//! Takes an input apart, and tells whether one value is a part of another.

use serde_json::Value;
use slipway_budget::Budget;
use slipway_manifest::{Object, yaml};

/// The input as text.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The parts of an input between lines of `====`; those that are not there are empty.
pub(crate) fn parts<const N: usize>(text: &str) -> [&str; N] {
    let mut found = text.splitn(N, "\n====\n");
    std::array::from_fn(|_| found.next().unwrap_or_default())
}

/// The lines of an input; those that are not there are empty, and the last holds the rest.
pub(crate) fn lines<const N: usize>(text: &str) -> [&str; N] {
    let mut found = text.splitn(N, '\n');
    std::array::from_fn(|_| found.next().unwrap_or_default())
}

/// The objects that are written as YAML or JSON, as Argo CD reads a manifest.
pub(crate) fn objects(text: &str) -> Vec<Object> {
    let documents = yaml::parse_manifests(text, yaml::Options::lenient(), &Budget::default()).unwrap_or_default();
    documents.into_iter().filter_map(|document| Object::from_value(document).ok()).collect()
}

/// The object that is written as YAML or JSON; where there is none, the value as the `data` of a ConfigMap.
pub(crate) fn object(text: &str) -> Option<Object> {
    let value = yaml::parse(text).ok()?;
    Object::from_value(value.clone()).ok().or_else(|| {
        let map =
            serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": value});
        Object::from_value(map).ok()
    })
}

/// Whether `part` is what is left of `whole` when fields and items are taken out.
pub(crate) fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|whole| is_part(value, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            let mut whole = whole.iter();
            part.iter().all(|item| whole.any(|whole| is_part(item, whole)))
        }
        _ => part == whole,
    }
}

/// Whether both say the same: `1` and `1.0` are one number.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let has = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(has)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}
