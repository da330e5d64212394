//! Applies a strategic merge patch (k8s.io/apimachinery `pkg/util/strategicpatch`).

use serde_json::{Map, Value};
use slipway_budget::Budget;

use super::Type;
use crate::ErrorKind;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Merges `patch` into `original`, a value of the struct `of`. What the type lacks is merged as well, and has to be
/// dropped afterwards. Fails for directives that can't be obeyed.
pub(crate) fn patch(
    of: &Type,
    original: &mut Map<String, Value>,
    patch: Map<String, Value>,
    budget: &Budget,
) -> Result<(), ErrorKind> {
    Merge { budget }.map(Some(of), original, patch)
}

struct Merge<'b> {
    budget: &'b Budget,
}

fn refused<T>(message: impl Into<String>) -> Result<T, ErrorKind> {
    Err(ErrorKind::Patch(message.into()))
}

impl Merge<'_> {
    /// `of` is missing where the patch is inside of JSON without a type: two mappings or lists can't be merged there.
    fn map(
        &self,
        of: Option<&Type>,
        original: &mut Map<String, Value>,
        mut patch: Map<String, Value>,
    ) -> Result<(), ErrorKind> {
        if let Some(directive) = patch.remove(DIRECTIVE) {
            match directive.as_str() {
                Some("replace") => *original = patch,
                Some("delete") => original.clear(),
                _ => return refused(format!("unknown patch type {directive}")),
            }
            return Ok(());
        }
        if let Some(keys) = patch.remove(RETAIN_KEYS) {
            retain(original, &patch, &keys)?;
        }
        for (key, value) in patch {
            self.budget.step(1)?;
            if key.starts_with(SET_ORDER) {
                return refused(format!("`{key}` is not supported: Applications have no lists that it would order"));
            }
            if let Some(list) = key.strip_prefix(DELETE_FROM_LIST) {
                if let (Some(Value::Array(items)), Value::Array(gone)) = (original.get_mut(list), &value) {
                    items.retain(|item| !gone.contains(item));
                }
                continue;
            }
            match (original.get_mut(&key), value) {
                (_, Value::Null) => {
                    original.remove(&key);
                }
                (Some(Value::Object(own)), Value::Object(patch)) => {
                    self.map(Some(below(of, &key)?), own, patch)?;
                }
                (Some(Value::Array(own)), Value::Array(patch)) => {
                    let field = of.and_then(|of| of.fields().iter().find(|field| field.name == key));
                    if field.is_none() {
                        return unknown(&key);
                    }
                    *own = if field.is_some_and(|field| field.merges) { merged(own, patch) } else { patch };
                }
                (_, value) => match self.cleaned(value)? {
                    Some(value) => {
                        original.insert(key, value);
                    }
                    None => {
                        original.remove(&key);
                    }
                },
            }
        }
        Ok(())
    }

    /// A part of a patch that merges with nothing: without nulls in its mappings, and without what has directives.
    fn cleaned(&self, value: Value) -> Result<Option<Value>, ErrorKind> {
        self.budget.step(1)?;
        Ok(Some(match value {
            Value::Object(entries) if entries.contains_key(DIRECTIVE) => return Ok(None),
            Value::Object(entries) => {
                let mut kept = Map::new();
                for (key, value) in entries.into_iter().filter(|(_, value)| !value.is_null()) {
                    if let Some(value) = self.cleaned(value)? {
                        kept.insert(key, value);
                    }
                }
                Value::Object(kept)
            }
            Value::Array(items) => {
                let mut kept = Vec::new();
                for item in items {
                    kept.extend(self.cleaned(item)?);
                }
                Value::Array(kept)
            }
            other => other,
        }))
    }
}

fn unknown<T>(key: &str) -> Result<T, ErrorKind> {
    refused(format!("unable to find api field for the json field {key:?}, which the template sets, too"))
}

/// The type of the field `key`, which both sides have as a mapping.
fn below<'t>(of: Option<&'t Type>, key: &str) -> Result<&'t Type, ErrorKind> {
    let field = of.and_then(|of| of.fields().iter().find(|field| field.name == key));
    field.map_or_else(|| unknown(key), |field| Ok(&field.of))
}

/// A list of texts that merges: those of the patch in its order, and the others in front of the ones that they were in
/// front of.
fn merged(own: &[Value], patch: Vec<Value>) -> Vec<Value> {
    let place = |value: &Value| own.iter().position(|one| one == value);
    let mut others = own.iter().filter(|one| !patch.contains(one)).collect::<Vec<_>>().into_iter().peekable();
    let mut merged: Vec<Value> = Vec::new();
    for value in patch {
        if merged.contains(&value) {
            continue;
        }
        while let Some(other) = others.next_if(|other| place(other).zip(place(&value)).is_some_and(|(a, b)| a < b)) {
            merged.push(other.clone());
        }
        merged.push(value);
    }
    merged.extend(others.cloned());
    merged
}

fn retain(original: &mut Map<String, Value>, patch: &Map<String, Value>, keys: &Value) -> Result<(), ErrorKind> {
    let Some(keys) = keys.as_array() else { return refused(format!("`{RETAIN_KEYS}` must be a list")) };
    let is_kept = |key: &str| keys.iter().any(|one| one == key);
    if let Some((key, _)) = patch.iter().find(|(key, value)| {
        !(value.is_null() || key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ORDER) || is_kept(key))
    }) {
        return refused(format!("`{RETAIN_KEYS}` lacks {key:?}, which the patch sets"));
    }
    original.retain(|key, _| is_kept(key));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn apply(original: Value, with: Value) -> Result<Value, String> {
        let (Value::Object(mut original), Value::Object(with)) = (original, with) else { panic!("mappings") };
        let of = Type::named("Application");
        patch(&of, &mut original, with, &Budget::default()).map_err(|e| e.to_string())?;
        Ok(Value::Object(original))
    }

    #[test]
    fn patches_merge_as_in_kubernetes() {
        let original = || {
            json!({"metadata": {"name": "a", "labels": {"x": "1"}, "finalizers": ["f", "g"]},
                "spec": {"source": {"helm": {"valueFiles": ["a"], "valuesObject": {"v": 1, "deep": {"a": 1}}}}}})
        };
        for (patch, pointer, expected) in [
            (json!({"metadata": {"labels": {"y": "2"}}}), "/metadata/labels", json!({"x": "1", "y": "2"})),
            (json!({"metadata": {"labels": null}}), "/metadata/labels", Value::Null),
            (json!({"metadata": {"labels": {"x": null}}}), "/metadata/labels", json!({})),
            (json!({"metadata": {"labels": {"$patch": "replace", "z": "3"}}}), "/metadata/labels", json!({"z": "3"})),
            (json!({"metadata": {"labels": {"$patch": "delete"}}}), "/metadata/labels", json!({})),
            (json!({"metadata": {"finalizers": ["h", "g", "h"]}}), "/metadata/finalizers", json!(["h", "f", "g"])),
            (json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["f"]}}), "/metadata/finalizers", json!(["g"])),
            (
                json!({"metadata": {"$retainKeys": ["name", "labels"], "labels": {}}}),
                "/metadata",
                json!({"name": "a", "labels": {"x": "1"}}),
            ),
            (
                json!({"spec": {"source": {"helm": {"valueFiles": ["b"]}}}}),
                "/spec/source/helm/valueFiles",
                json!(["b"]),
            ),
            (
                json!({"spec": {"syncPolicy": {"retry": {"limit": 1, "backoff": null}}}}),
                "/spec/syncPolicy/retry",
                json!({"limit": 1}),
            ),
            (
                json!({"spec": {"source": {"helm": {"valuesObject": {"v": 2, "new": {"b": 2}}}}}}),
                "/spec/source/helm/valuesObject",
                json!({"v": 2, "deep": {"a": 1}, "new": {"b": 2}}),
            ),
            (json!({"spec": {"source": "text"}}), "/spec/source", json!("text")),
        ] {
            let found = apply(original(), patch.clone()).unwrap();
            assert_eq!(found.pointer(pointer).unwrap_or(&Value::Null), &expected, "{patch}");
        }
        for patch in [
            json!({"spec": {"source": {"helm": {"valuesObject": {"deep": {"b": 2}}}}}}),
            json!({"metadata": {"labels": {"$patch": "merge"}}}),
            json!({"metadata": {"$retainKeys": ["name"], "labels": {}}}),
            json!({"metadata": {"$setElementOrder/finalizers": ["g"]}}),
        ] {
            assert!(apply(original(), patch.clone()).is_err(), "{patch}");
        }
    }
}
