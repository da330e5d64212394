//! Masks Secrets before anything is shown: only whether two values are equal remains visible.
//!
//! As Argo CD shows them (argoproj/argo-cd `gitops-engine/pkg/diff/diff.go`, `HideSecretData`): runs of `+` whose
//! length differs where the values differ. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::tracking::LAST_APPLIED;

/// Length of the shortest mask: that of Argo CD.
const SHORTEST: usize = 8;
/// How much longer the mask of each further value is, so that the difference is visible.
const STEP: usize = 4;

/// Whether the kind holds secret values.
pub fn is_secret(group: &str, kind: &str) -> bool {
    group.is_empty() && kind == "Secret"
}

/// Masks the Secrets among `objects`, which are versions of one object (desired, live, predicted …), consistently:
/// equal values of a key get equal masks, different ones different masks. Of other kinds only `annotations` are masked;
/// of Secrets the last-applied annotation, too.
pub fn redact(objects: &mut [&mut Object], annotations: &[&str]) {
    let secret = objects.iter().any(|object| is_secret(object.group(), object.kind()));
    for object in objects.iter_mut().filter(|_| secret) {
        normalize_secret(object);
        // A manifest that every API server would refuse may hold any value there.
        if let Some(data) = object.as_map_mut().get_mut("data").filter(|data| !data.is_object() && !data.is_null()) {
            *data = Value::String("+".repeat(SHORTEST));
        }
    }
    if secret {
        mask_field(objects, |object| object.as_map_mut().get_mut("data")?.as_object_mut());
        mask_last_applied(objects);
    }
    mask_field_keys(objects, annotations);
}

/// Moves `stringData` into `data`, encoded, where it wins (kubernetes/api `core/v1/types.go`); null becomes an empty
/// value.
pub fn normalize_secret(object: &mut Object) {
    let data = object.as_map_mut().get_mut("data").and_then(Value::as_object_mut);
    for value in data.into_iter().flat_map(Map::values_mut).filter(|value| value.is_null()) {
        *value = Value::String(String::new());
    }
    let Some(Value::Object(plain)) = object.as_map_mut().shift_remove("stringData") else { return };
    let data = object.as_map_mut().entry("data").or_insert_with(|| Value::Object(Map::new()));
    if !data.is_object() {
        *data = Value::Object(Map::new());
    }
    if let Some(data) = data.as_object_mut() {
        for (key, value) in plain {
            data.insert(key, Value::String(STANDARD.encode(value.as_str().unwrap_or_default())));
        }
    }
}

/// Masks every value below a field, key by key in all objects.
fn mask_field(objects: &mut [&mut Object], field: impl Fn(&mut Object) -> Option<&mut Map<String, Value>>) {
    let mut masks: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in objects.iter_mut() {
        for (key, value) in field(object).into_iter().flatten() {
            *value = mask_value(masks.entry(key.clone()).or_default(), value);
        }
    }
}

fn mask_field_keys(objects: &mut [&mut Object], keys: &[&str]) {
    let mut masks: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for object in objects.iter_mut() {
        let Some(Value::Object(annotations)) = object.metadata_mut().get_mut("annotations") else { continue };
        for key in keys {
            if let Some(value) = annotations.get_mut(*key) {
                *value = mask_value(masks.entry(key).or_default(), value);
            }
        }
    }
}

/// The mask of `value`, given the earlier values of the same key.
fn mask_value(seen: &mut Vec<Value>, value: &Value) -> Value {
    let place = seen.iter().position(|known| known == value).unwrap_or_else(|| {
        seen.push(value.clone());
        seen.len() - 1
    });
    Value::String("+".repeat(SHORTEST + STEP * place))
}

/// The last-applied annotation is a copy of the whole Secret.
fn mask_last_applied(objects: &mut [&mut Object]) {
    mask_field_keys(objects, &[LAST_APPLIED]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CANARY: &str = "c4n4ry-hunter2";

    fn secret(value: &str) -> Object {
        Object::from_value(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s",
                "annotations": {LAST_APPLIED: format!("{{\"stringData\":{{\"a\":\"{value}\"}}}}")}},
            "data": {"a": STANDARD.encode(value), "b": "c2FtZQ=="}, "stringData": {"c": value}}))
        .unwrap()
    }

    #[test]
    fn only_equality_remains_visible() {
        let (mut before, mut after) = (secret(CANARY), secret("changed"));
        redact(&mut [&mut before, &mut after], &[]);
        let texts = [before.to_value().to_string(), after.to_value().to_string()];
        for text in &texts {
            assert!(
                !text.contains(CANARY) && !text.contains(&STANDARD.encode(CANARY)) && !text.contains("c2FtZQ=="),
                "{text}"
            );
        }
        assert_eq!(before.pointer("/data/b"), after.pointer("/data/b"));
        assert_ne!(before.pointer("/data/a"), after.pointer("/data/a"));
        assert_ne!(before.pointer("/data/c"), after.pointer("/data/c"));
        assert_ne!(before.annotation(LAST_APPLIED), after.annotation(LAST_APPLIED));
    }

    #[test]
    fn a_secret_of_any_shape_is_masked() {
        for fields in [
            json!({"data": CANARY}),
            json!({"data": [CANARY]}),
            json!({"data": {"a": {"b": CANARY}}}),
            json!({"stringData": [CANARY]}),
            json!({"stringData": {"a": [CANARY]}, "data": CANARY}),
        ] {
            let mut manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
            manifest.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let mut object = Object::from_value(manifest).unwrap();
            redact(&mut [&mut object], &[]);
            assert!(!object.to_value().to_string().contains(CANARY), "{fields}");
        }
    }
}
