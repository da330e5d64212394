//! The API server's answer to a dry run, without what admission webhooks made of fields that are not ours. Pure.
//!
//! As Argo CD's server-side diff without `IncludeMutationWebhook=true` (argoproj/gitops-engine `pkg/diff/diff.go`,
//! `removeWebhookMutation`): of the answer only the fields that our manager owns count, and what is gone; the rest is
//! as it is live.

use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::diff;
use crate::managed_fields::set;

/// The answer does not say what is whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the API server's answer to the dry run has no managedFields")]
pub struct MissingManagedFields;

/// `predicted` with everything that `manager` does not own as it is in `live`.
pub fn without_mutations(live: &Object, predicted: &Object, manager: &str) -> Result<Object, MissingManagedFields> {
    let mut ours: Option<Map<String, Value>> = None;
    let entries = set::entries(predicted);
    if entries.is_empty() {
        return Err(MissingManagedFields);
    }
    for entry in entries.iter().filter(|entry| entry.manager == manager) {
        match &mut ours {
            Some(ours) => set::union(ours, entry.fields),
            None => ours = Some(entry.fields.clone()),
        }
    }
    // The API server keeps `stringData` as `data`, and in managedFields as what it was.
    if let Some(plain) = ours.as_mut().and_then(|ours| ours.shift_remove("f:stringData")) {
        let data = ours.get_or_insert_default().entry("f:data").or_insert_with(|| Value::Object(Map::new()));
        if let (Value::Object(data), Value::Object(plain)) = (data, plain) {
            set::union(data, &plain);
        }
    }
    let (before, after) = (diff::normalized(live), diff::normalized(predicted));
    let mut merged = predicted.clone();
    if let (Value::Object(mut result), Some(kept)) =
        (merge(ours.as_ref(), &before, &after), merged.get("metadata").cloned())
    {
        // The dry run is of this version of the object: what tells so stays.
        if let (Some(metadata), Value::Object(kept)) = (result.get_mut("metadata").and_then(Value::as_object_mut), kept)
        {
            for (key, value) in kept {
                if matches!(key.as_str(), "managedFields" | "resourceVersion" | "uid") {
                    metadata.insert(key, value);
                }
            }
        }
        *merged.as_map_mut() = result;
    }
    Ok(merged)
}

/// `before` with the fields of `set` as in `after`, and without what `after` has no more.
fn merge(set: Option<&Map<String, Value>>, before: &Value, after: &Value) -> Value {
    let owns = |key: &str| set.and_then(|set| set.get(key)).and_then(Value::as_object);
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut merged = Map::new();
            for (key, value) in after.iter().filter(|(_, value)| !value.is_null()) {
                let owned = owns(&format!("f:{key}"));
                match (before.get(key), owned) {
                    (Some(before), owned) => {
                        let both = merge(owned, before, value);
                        // Nothing of ours is in it, and what was there before is gone.
                        if !is_empty(&both) || is_empty(value) {
                            merged.insert(key.clone(), both);
                        }
                    }
                    (None, Some(owned)) => {
                        merged.insert(key.clone(), only(owned, value));
                    }
                    (None, None) => {}
                }
            }
            Value::Object(merged)
        }
        (Value::Array(_), Value::Array(_)) => match set {
            Some(set) if set::children(set).next().is_some() => merge_lists(set, before, after),
            Some(_) => after.clone(),
            None => before.clone(),
        },
        _ if set.is_some() => after.clone(),
        _ => before.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// A list whose items have owners of their own: in the order of the answer, without items that a webhook added.
fn merge_lists(set: &Map<String, Value>, before: &Value, after: &Value) -> Value {
    let mut merged = Vec::new();
    for (index, item) in after.as_array().into_iter().flatten().enumerate() {
        let owned = set::children(set).find(|(key, _)| set::position(after, key) == Some(index));
        let live = match owned {
            Some((key, _)) => set::select(before, key),
            None => before.as_array().and_then(|items| {
                let key = diff::naming_field(items, after.as_array()?)?;
                items.iter().find(|other| other.get(key) == item.get(key))
            }),
        };
        match (live, owned) {
            (Some(live), owned) => merged.push(merge(owned.map(|(_, set)| set), live, item)),
            (None, Some((key, set))) => merged.push(only_item(key, set, item)),
            (None, None) => {}
        }
    }
    Value::Array(merged)
}

/// The part of a new list item that a set owns, with the keys by which it is known.
fn only_item(key: &str, set: &Map<String, Value>, item: &Value) -> Value {
    let mut owned = only(set, item);
    let keys = key.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok());
    if let Some(fields) = owned.as_object_mut() {
        for (key, _) in keys.into_iter().flatten() {
            if let Some(value) = item.get(&key) {
                fields.insert(key, value.clone());
            }
        }
    }
    owned
}

/// The part of a new value that a set owns.
fn only(set: &Map<String, Value>, value: &Value) -> Value {
    if set::children(set).next().is_none() {
        return value.clone();
    }
    match value {
        Value::Object(fields) => {
            let owned = fields.iter().filter_map(|(key, value)| {
                Some((key.clone(), only(set.get(&format!("f:{key}"))?.as_object()?, value)))
            });
            Value::Object(owned.collect())
        }
        Value::Array(_) => {
            let owned = set::children(set).filter_map(|(key, set)| {
                Some((set::position(value, key)?, only_item(key, set, set::select(value, key)?)))
            });
            let mut owned: Vec<(usize, Value)> = owned.collect();
            owned.sort_unstable_by_key(|(place, _)| *place);
            Value::Array(owned.into_iter().map(|(_, item)| item).collect())
        }
        _ => value.clone(),
    }
}
