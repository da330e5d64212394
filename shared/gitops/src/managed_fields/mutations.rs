//! The API server's answer to a dry run, without what admission webhooks made of fields that are not ours. Pure.
//!
//! As Argo CD's server-side diff without `IncludeMutationWebhook=true` (argoproj/gitops-engine `pkg/diff/diff.go`,
//! `removeWebhookMutation`): of the answer only the fields that our manager owns count, and what is gone; the rest is
//! as it is live. What our manager owns live and gives up counts, too (there Argo CD shows nothing): the API server
//! fills it with a default, and so do the fields beside it that come with that default.

use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::diff;
use crate::managed_fields::migrate::encode_string_data;
use crate::managed_fields::set;

/// The answer does not say what is whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the API server's answer to the dry run has no managedFields")]
pub struct MissingManagedFields;

/// `predicted` with everything that `manager` does not own as it is in `live`.
pub fn without_mutations(live: &Object, predicted: &Object, manager: &str) -> Result<Object, MissingManagedFields> {
    if set::entries(predicted).is_empty() {
        return Err(MissingManagedFields);
    }
    let (owned, given) = (owned(predicted, manager), owned(live, manager));
    let (before, after) = (diff::normalized(live), diff::normalized(predicted));
    let mut merged = predicted.clone();
    if let (Value::Object(mut result), Some(kept)) = (
        merge(Fields { owned: owned.as_ref(), given: given.as_ref() }, &before, &after),
        merged.get("metadata").cloned(),
    ) {
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

/// What `manager` owns of an object; `None` where it owns nothing.
fn owned(object: &Object, manager: &str) -> Option<Map<String, Value>> {
    let mut ours: Option<Map<String, Value>> = None;
    for entry in set::entries(object).iter().filter(|entry| entry.manager == manager) {
        match &mut ours {
            Some(ours) => set::union(ours, entry.fields),
            None => ours = Some(entry.fields.clone()),
        }
    }
    if let Some(ours) = &mut ours {
        encode_string_data(ours);
    }
    ours
}

/// What our manager owns of a part of an object: in the answer, and live.
#[derive(Clone, Copy)]
struct Fields<'a> {
    owned: Option<&'a Map<String, Value>>,
    given: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    fn at(self, key: &str) -> Self {
        let below = |set: Option<&'a Map<String, Value>>| set.and_then(|set| set.get(key)).and_then(Value::as_object);
        Self { owned: below(self.owned), given: below(self.given) }
    }

    /// Whether it was ours and no longer is.
    fn is_given_up(self) -> bool {
        self.owned.is_none() && self.given.is_some()
    }

    /// Whether a part of it was ours and no longer is.
    fn gives_up(self) -> bool {
        self.given.is_some_and(|given| set::children(given).any(|(key, _)| self.at(key).is_given_up()))
    }

    /// Whether the value is ours, or was, as a whole.
    fn is_whole(self) -> bool {
        self.owned.or(self.given).is_some_and(Map::is_empty)
    }
}

/// `before` with the fields of ours as in `after`, and without what `after` has no more.
fn merge(fields: Fields<'_>, before: &Value, after: &Value) -> Value {
    match (before, after) {
        _ if fields.is_whole() => after.clone(),
        (Value::Object(before), Value::Object(after)) => {
            let mut merged = Map::new();
            let with_defaults = fields.gives_up();
            for (key, value) in after.iter().filter(|(_, value)| !value.is_null()) {
                let below = fields.at(&format!("f:{key}"));
                match (before.get(key), below.owned) {
                    (Some(before), _) => {
                        let both = merge(below, before, value);
                        // Nothing of ours is in it, and what was there before is gone.
                        if !is_empty(&both) || is_empty(value) {
                            merged.insert(key.clone(), both);
                        }
                    }
                    (None, Some(owned)) => {
                        merged.insert(key.clone(), only(owned, value));
                    }
                    (None, None) if with_defaults => {
                        merged.insert(key.clone(), value.clone());
                    }
                    (None, None) => {}
                }
            }
            Value::Object(merged)
        }
        (Value::Array(_), Value::Array(_)) if fields.owned.is_some() || fields.given.is_some() => {
            merge_lists(fields, before, after)
        }
        _ if fields.owned.is_some() || fields.given.is_some() => after.clone(),
        _ => before.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// A list whose items have owners of their own: in the order of the answer, without items that a webhook added.
fn merge_lists(fields: Fields<'_>, before: &Value, after: &Value) -> Value {
    let mut merged = Vec::new();
    let sets = || fields.owned.into_iter().chain(fields.given).flat_map(set::children);
    let names = sets().map(|(key, _)| set::names(key)).find(|names| !names.is_empty()).unwrap_or_default();
    for (index, item) in after.as_array().into_iter().flatten().enumerate() {
        let find = |set: Option<&Map<String, Value>>| {
            let mut keys = set.into_iter().flat_map(set::children).map(|(key, _)| key.to_owned());
            keys.find(|key| set::position(after, key) == Some(index))
        };
        let key = find(fields.owned).or_else(|| find(fields.given));
        let below = key.as_deref().map(|key| fields.at(key));
        let live = match &key {
            Some(key) => set::select(before, key),
            // Of a set, which others may add to.
            None if !item.is_object() => before.as_array().and_then(|items| items.iter().find(|other| *other == item)),
            None => before.as_array().and_then(|items| {
                let names = if names.is_empty() {
                    vec![diff::naming_field(items, after.as_array()?)?.to_owned()]
                } else {
                    names.clone()
                };
                items.iter().find(|other| names.iter().all(|name| other.get(name) == item.get(name)))
            }),
        };
        match (live, key, below) {
            (Some(live), _, below) => {
                merged.push(merge(below.unwrap_or(Fields { owned: None, given: None }), live, item));
            }
            (None, Some(key), Some(Fields { owned: Some(set), .. })) => merged.push(only_item(&key, set, item)),
            (None, ..) => {}
        }
    }
    Value::Array(merged)
}

/// The part of a new list item that a set owns, with the keys by which it is known.
fn only_item(key: &str, set: &Map<String, Value>, item: &Value) -> Value {
    let mut owned = only(set, item);
    if let Some(fields) = owned.as_object_mut() {
        for key in set::names(key) {
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
