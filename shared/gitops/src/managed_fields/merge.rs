//! What server-side apply makes of an object, computed from its managedFields: where its own dry run can't say it,
//! because fields are to be taken over first. The API server judges and completes the result. Pure.
//!
//! As kubernetes-sigs/structured-merge-diff merges and prunes (`merge/update.go`, `typed/merge.go`). Which lists have
//! keys, and which values are taken as a whole, says who owns parts of them; of what nobody owns nothing is known, and
//! a list is replaced.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::managed_fields::set;

/// `live` without what only we own (`ours`, beside `theirs` of all others) and `desired` lacks, and with `desired`.
pub(super) fn merge(ours: &Map<String, Value>, theirs: &Map<String, Value>, live: &Value, desired: &Value) -> Value {
    let mut merged = live.clone();
    prune(ours, Some(theirs), Some(desired), &mut merged, &[]);
    let mut known = ours.clone();
    set::union(&mut known, theirs);
    combine(Some(&known), &merged, desired)
}

/// Removes what only we own and `desired` lacks; `keys` are the fields by which a list item is known.
fn prune(
    ours: &Map<String, Value>,
    theirs: Option<&Map<String, Value>>,
    desired: Option<&Value>,
    value: &mut Value,
    keys: &[String],
) {
    for (key, child) in set::children(ours) {
        let theirs = theirs.and_then(|set| set.get(key)).and_then(Value::as_object);
        let wanted = desired.and_then(|desired| set::select(desired, key));
        let field = key.strip_prefix("f:");
        let place = set::position(value, key);
        if wanted.is_none() && theirs.is_none() && (field.is_some() || set::is_member(child)) {
            match (field, place) {
                (Some(field), _) if keys.iter().any(|key| key == field) => {}
                (Some(field), _) => {
                    value.as_object_mut().and_then(|map| map.shift_remove(field));
                }
                (None, Some(index)) => {
                    value.as_array_mut().map(|items| items.remove(index));
                }
                (None, None) => {}
            }
            continue;
        }
        let below = match (field, place) {
            (Some(field), _) => value.get_mut(field),
            (None, Some(index)) => value.get_mut(index),
            (None, None) => None,
        };
        if let Some(below) = below {
            prune(child, theirs, wanted, below, &set::names(key));
        }
    }
}

/// `desired` over `live`.
fn combine(known: Option<&Map<String, Value>>, live: &Value, desired: &Value) -> Value {
    match (live, desired) {
        // A value that is owned as a whole is replaced as a whole.
        _ if known.is_some_and(Map::is_empty) => desired.clone(),
        // As nothing in it: what others own there stays.
        (Value::Object(_) | Value::Array(_), Value::Null) if known.is_some() => live.clone(),
        (Value::Object(live), Value::Object(desired)) => {
            let mut merged = live.clone();
            for (key, wanted) in desired {
                let known = known.and_then(|set| set.get(&format!("f:{key}"))).and_then(Value::as_object);
                let value = live.get(key).map_or_else(|| wanted.clone(), |live| combine(known, live, wanted));
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(items), Value::Array(wanted)) => match known {
            Some(known) if set::children(known).any(|(key, _)| !key.starts_with("i:")) => {
                Value::Array(combine_lists(known, items, wanted))
            }
            _ => desired.clone(),
        },
        _ => desired.clone(),
    }
}

/// The items of both: those of `wanted` in their order, the others where they stood between them.
fn combine_lists(known: &Map<String, Value>, live: &[Value], wanted: &[Value]) -> Vec<Value> {
    let keys = set::children(known).map(|(key, _)| set::names(key)).find(|keys| !keys.is_empty()).unwrap_or_default();
    let id = |item: &Value| match keys.as_slice() {
        [] => item.to_string(),
        keys => keys.iter().map(|key| item.get(key).map(Value::to_string).unwrap_or_default() + "\0").collect(),
    };
    // A key that Git leaves out has the default that the live item shows.
    let is_same = |live: &Value, wanted: &Value| {
        let has = |key: &String| wanted.get(key).is_none_or(|value| live.get(key) == Some(value));
        if keys.is_empty() { live == wanted } else { keys.iter().all(has) }
    };
    let live_of = |wanted: &Value| live.iter().find(|item| is_same(item, wanted));
    let of_item = |item: &Value| {
        let list = Value::Array(vec![item.clone()]);
        set::children(known).find(|(key, _)| set::position(&list, key).is_some()).map(|(_, child)| child)
    };
    let both = |wanted: &Value| {
        let merged = |live| combine(of_item(wanted).filter(|set| !set.is_empty()), live, wanted);
        live_of(wanted).map_or_else(|| wanted.clone(), merged)
    };
    let live_ids: Vec<String> = live.iter().map(id).collect();
    let wanted_ids: Vec<String> = wanted.iter().map(|item| id(live_of(item).unwrap_or(item))).collect();
    let (mut left, mut right) = (0, 0);
    let mut done: BTreeSet<&String> = BTreeSet::new();
    let mut merged = Vec::new();
    while left < live.len() || right < wanted.len() {
        let next_of_both = wanted_ids.iter().skip(right).find(|id| live_ids.contains(id));
        match (live_ids.get(left), wanted_ids.get(right)) {
            (Some(id), _) if done.contains(id) => left += 1,
            // In both, but its turn comes with another item of `wanted`.
            (Some(id), Some(_)) if wanted_ids.contains(id) && next_of_both != Some(id) => left += 1,
            (Some(id), _) if !wanted_ids.contains(id) => {
                merged.extend(live.get(left).cloned());
                left += 1;
            }
            (theirs, Some(ours)) => {
                merged.extend(wanted.get(right).map(both));
                done.insert(ours);
                left += usize::from(theirs == Some(ours));
                right += 1;
            }
            // In `wanted`, which is at its end, so it is done.
            (Some(_), None) => left += 1,
            (None, None) => break,
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(ours: &Value, theirs: &Value, live: &Value, desired: &Value) -> Value {
        merge(ours.as_object().unwrap(), theirs.as_object().unwrap(), live, desired)
    }

    #[test]
    fn what_is_ours_alone_goes_and_what_others_have_stays() {
        let ours = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}, "f:c": {}}, "f:spec": {"f:x": {"f:y": {}}}});
        let theirs = json!({"f:data": {"f:b": {}}});
        let live = json!({"data": {"a": "1", "b": "1", "c": "1", "d": "1"}, "spec": {"x": {"y": 1, "z": 2}, "k": 1}});
        let after = merged(&ours, &theirs, &live, &json!({"data": {"c": "2", "e": "1"}}));
        assert_eq!(after, json!({"data": {"b": "1", "c": "2", "d": "1", "e": "1"}}));
    }

    #[test]
    fn items_of_keyed_lists_are_merged_and_whole_values_replaced() {
        let item = |name: &str, more: Value| json!({"name": name, "more": more});
        let ours = json!({"f:list": {r#"k:{"name":"a"}"#: {".": {}, "f:name": {}, "f:more": {}},
            r#"k:{"name":"gone"}"#: {".": {}, "f:name": {}, "f:more": {}}}, "f:selector": {}});
        let theirs = json!({"f:list": {r#"k:{"name":"theirs"}"#: {".": {}, "f:name": {}}}});
        let live = json!({"selector": {"x": 1, "y": 1}, "list": [item("gone", json!(1)), item("theirs", json!(1)),
            {"name": "a", "more": 1, "default": true}], "args": ["a", "b"]});
        let desired =
            json!({"selector": {"x": 2}, "list": [item("new", json!(1)), item("a", json!(2))], "args": ["c"]});
        let list = json!([item("theirs", json!(1)), item("new", json!(1)), {"name": "a", "more": 2, "default": true}]);
        assert_eq!(merged(&ours, &theirs, &live, &desired), json!({"selector": {"x": 2}, "list": list, "args": ["c"]}));
    }

    #[test]
    fn a_null_leaves_what_others_own() {
        let theirs = json!({"f:list": {r#"k:{"name":"theirs"}"#: {".": {}, "f:name": {}}}});
        let live = json!({"list": [{"name": "theirs"}]});
        assert_eq!(merged(&json!({"f:list": {}}), &theirs, &live, &json!({"list": null})), live);
        assert_eq!(merged(&json!({"f:list": {}}), &json!({}), &live, &json!({"list": null})), json!({"list": null}));
    }

    #[test]
    fn an_item_in_which_others_own_something_keeps_its_key() {
        let ours = json!({"f:list": {r#"k:{"name":"a"}"#: {".": {}, "f:name": {}, "f:more": {}}}});
        let theirs = json!({"f:list": {r#"k:{"name":"a"}"#: {"f:theirs": {}}}});
        let live = json!({"list": [{"name": "a", "more": 1, "theirs": 1}]});
        assert_eq!(merged(&ours, &theirs, &live, &json!({})), json!({"list": [{"name": "a", "theirs": 1}]}));
    }
}
