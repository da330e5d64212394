//! Secrets made unreadable before anything is shown: only whether two values are equal remains visible.
//!
//! As Argo CD shows them (argoproj/argo-cd `gitops-engine/pkg/diff/diff.go`, `HideSecretData`): runs of `+` whose length
//! differs where the values differ. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::error::ApiError;
use crate::tracking::LAST_APPLIED;

/// The length of the shortest mask, and by how much the next is longer.
const SHORTEST: usize = 8;
const STEP: usize = 4;

/// Whether `object` holds values that nobody may see.
pub fn is_secret(group: &str, kind: &str) -> bool {
    group.is_empty() && kind == "Secret"
}

/// Masks `objects`, which are versions of one object (desired, live, predicted …), with one alphabet: equal values of a key get equal masks,
/// different values different ones. A Secret's data are masked, also in its last-applied copy; `annotations` are masked whatever the kind.
///
/// Gives whether all were proper Secrets: one whose `data` is no mapping is none, and nothing readable is left of it either.
pub fn mask(objects: &mut [&mut Object], annotations: &[&str]) -> bool {
    let secret = objects.iter().any(|object| is_secret(object.group(), object.kind()));
    let mut proper = true;
    let mut copies: Vec<Option<Map<String, Value>>> = Vec::new();
    for object in objects.iter_mut().filter(|_| secret) {
        normalize(object.as_map_mut());
        let copy = object.annotation(LAST_APPLIED).filter(|_| !annotations.contains(&LAST_APPLIED));
        let mut copy = copy.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        copy.iter_mut().for_each(normalize);
        copies.push(copy);
    }
    let mut data = Alphabet::default();
    let mut hidden = Alphabet::default();
    let maps = objects.iter_mut().map(|object| object.as_map_mut()).chain(copies.iter_mut().flatten());
    for map in maps {
        if secret {
            match map.get_mut("data") {
                Some(Value::Object(values)) if values.is_empty() => {
                    map.insert("data".to_owned(), Value::Null);
                }
                Some(Value::Object(values)) => values.iter_mut().for_each(|(key, value)| data.mask(key, value)),
                Some(Value::Null) | None => {}
                Some(other) => {
                    data.mask("data", other);
                    proper = false;
                }
            }
        }
        if let Some(Value::Object(values)) =
            map.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"))
        {
            let wanted = values.iter_mut().filter(|(key, _)| annotations.contains(&key.as_str()));
            wanted.for_each(|(key, value)| hidden.mask(key, value));
        }
    }
    for (object, copy) in objects.iter_mut().zip(copies) {
        let Some(Value::Object(values)) = object.metadata_mut().get_mut("annotations") else { continue };
        let Some(text) = values.get_mut(LAST_APPLIED).filter(|_| !annotations.contains(&LAST_APPLIED)) else {
            continue;
        };
        match copy {
            Some(copy) => *text = Value::String(sorted(Value::Object(copy)).to_string()),
            None => hidden.mask(LAST_APPLIED, text),
        }
    }
    proper
}

/// Writes a Secret one way (argoproj/argo-cd `gitops-engine/pkg/diff/diff.go`, `NormalizeSecret`): `stringData`, which is a way of writing `data`,
/// goes there, encoded, and wins; nothing is an empty value.
pub fn normalize(secret: &mut Map<String, Value>) {
    let plain = secret.shift_remove("stringData");
    if let Some(Value::Object(plain)) = plain {
        let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
        if data.is_null() {
            *data = Value::Object(Map::new());
        }
        if let Some(data) = data.as_object_mut() {
            for (key, value) in plain {
                let value = value.as_str().map_or(value.clone(), |text| Value::String(STANDARD.encode(text)));
                data.insert(key, value);
            }
        }
    }
    if let Some(Value::Object(data)) = secret.get_mut("data") {
        for value in data.values_mut().filter(|value| value.is_null()) {
            *value = Value::String(String::new());
        }
    }
}

/// The masks given so far, by key.
#[derive(Default)]
struct Alphabet(BTreeMap<String, Vec<Value>>);

impl Alphabet {
    fn mask(&mut self, key: &str, value: &mut Value) {
        let seen = self.0.entry(key.to_owned()).or_default();
        let place = seen.iter().position(|known| known == value).unwrap_or_else(|| {
            seen.push(value.clone());
            seen.len() - 1
        });
        *value = Value::String("+".repeat(SHORTEST + STEP * place));
    }
}

/// A value with its keys in order, as Go writes it.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

/// Withholds what an API server or a webhook says about a Secret if it quotes any of its values.
///
/// Every text of the error is searched for every value of `data` (encoded and decoded) and `stringData`; a text that has one is
/// replaced as a whole, since cutting a short value out would only show where it was.
pub fn withhold(mut error: ApiError, object: &Object) -> ApiError {
    if !is_secret(object.group(), object.kind()) {
        return error;
    }
    let mut values: Vec<String> = Vec::new();
    for field in ["data", "stringData"] {
        for value in object.get(field).and_then(Value::as_object).into_iter().flat_map(Map::values) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if let Some(plain) = STANDARD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                values.push(plain.trim().to_owned());
            }
            values.push(text.trim().to_owned());
        }
    }
    values.retain(|value| !value.is_empty());
    let withheld = |text: &mut String| {
        if values.iter().any(|value| text.contains(value.as_str())) {
            "the API server's words are withheld, for they quote a value of the Secret".clone_into(text);
        }
    };
    withheld(&mut error.message);
    error.causes.iter_mut().for_each(|cause| withheld(&mut cause.message));
    error
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Class;

    const CANARY: &str = "c4n4ry-hunter2";

    fn secret(value: &str) -> Object {
        Object::from_value(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s", "annotations": {LAST_APPLIED: format!("{{\"stringData\":{{\"a\":\"{value}\"}}}}")}},
            "data": {"a": STANDARD.encode(value), "b": "c2FtZQ=="}, "stringData": {"c": value}}))
        .unwrap()
    }

    #[test]
    fn only_equality_remains_visible() {
        let (mut before, mut after) = (secret(CANARY), secret("changed"));
        mask(&mut [&mut before, &mut after], &[]);
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
    fn an_error_that_quotes_a_value_is_withheld() {
        let error = ApiError::local(Class::Denied, format!("webhook: {CANARY} is weak"));
        assert!(!withhold(error, &secret(CANARY)).message.contains(CANARY));
        let error = ApiError::local(Class::Denied, "webhook: too short");
        assert_eq!(withhold(error, &secret(CANARY)).message, "webhook: too short");
    }
}
