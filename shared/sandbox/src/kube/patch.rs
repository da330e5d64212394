//! The three older kinds of patch: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch
//! (k8s.io/apimachinery `pkg/util/strategicpatch`).

use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value};

use super::schema::{Schema, Type};

/// A JSON patch has at most so many operations (the API server's own limit).
const OPERATIONS_LIMIT: usize = 10_000;

/// Applies a JSON patch; gives what is wrong when it can't be applied. As in the API server's library
/// (evanphx/json-patch), `replace` of a field that is missing sets it.
pub(super) fn json(object: &Value, patch: &[u8]) -> Result<Value, String> {
    let patch: Patch = serde_json::from_slice(patch).map_err(|error| format!("error decoding patch: {error}"))?;
    if patch.0.len() > OPERATIONS_LIMIT {
        return Err(format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_LIMIT}, got {}",
            patch.0.len()
        ));
    }
    let mut object = object.clone();
    for operation in patch.0 {
        let operation = match operation {
            PatchOperation::Replace(replace)
                if replace.path.resolve(&object).is_err()
                    && replace
                        .path
                        .parent()
                        .is_some_and(|parent| parent.resolve(&object).is_ok_and(Value::is_object)) =>
            {
                PatchOperation::Add(json_patch::AddOperation { path: replace.path, value: replace.value })
            }
            other => other,
        };
        json_patch::patch(&mut object, &[operation]).map_err(|error| error.to_string())?;
    }
    Ok(object)
}

/// Applies a merge patch.
pub(super) fn merge(object: &Value, patch: &Value) -> Value {
    let mut object = object.clone();
    json_patch::merge(&mut object, patch);
    object
}

/// Applies a strategic merge patch: lists are merged by the keys that their fields name.
pub(super) fn strategic(schema: &Schema, kind: &Type, object: &Value, patch: &Value) -> Value {
    match (object, patch) {
        (Value::Object(old), Value::Object(new)) => Value::Object(strategic_map(schema, kind, old, new)),
        _ => without_directives(patch),
    }
}

fn strategic_map(
    schema: &Schema,
    kind: &Type,
    old: &Map<String, Value>,
    patch: &Map<String, Value>,
) -> Map<String, Value> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => return as_map(without_directives(&Value::Object(patch.clone()))),
        Some("delete") => return Map::new(),
        _ => {}
    }
    let mut out = old.clone();
    if let Some(keep) = patch.get("$retainKeys").and_then(Value::as_array) {
        out.retain(|name, _| keep.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Some(gone)) = (out.get_mut(list), value.as_array()) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        let field = schema.field_type(kind, name);
        let merged = match (out.get(name), value) {
            (_, Value::Null) => {
                out.shift_remove(name);
                continue;
            }
            (Some(Value::Array(items)), Value::Array(patches)) => {
                let strategy =
                    schema.structure(kind).and_then(|found| found.field(name)).and_then(|field| field.strategy.clone());
                match strategy {
                    Some((strategy, key)) if strategy.contains("merge") => {
                        let order = patch.get(&format!("$setElementOrder/{name}")).and_then(Value::as_array);
                        Value::Array(strategic_list(schema, &Schema::element_type(&field), &key, items, patches, order))
                    }
                    _ => without_directives(value),
                }
            }
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(strategic_map(schema, &field, old, new)),
            _ => without_directives(value),
        };
        out.insert(name.clone(), merged);
    }
    // An order may name a list that the patch itself does not change.
    for (name, order) in patch {
        if let (Some(list), Some(order)) = (name.strip_prefix("$setElementOrder/"), order.as_array())
            && !patch.contains_key(list)
        {
            let key =
                schema.structure(kind).and_then(|found| found.field(list)).and_then(|field| field.strategy.clone());
            if let (Some(Value::Array(items)), Some((_, key))) = (out.get_mut(list), key) {
                *items = arrange(items, &key, order, items);
            }
        }
    }
    out
}

fn as_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn strategic_list(
    schema: &Schema,
    element: &Type,
    key: &str,
    old: &[Value],
    patches: &[Value],
    order: Option<&Vec<Value>>,
) -> Vec<Value> {
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if patches.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        return patches.iter().filter(|item| directive(item).is_none()).map(without_directives).collect();
    }
    let mut out = old.to_vec();
    for patch in patches {
        if key.is_empty() {
            if !out.contains(patch) {
                out.push(patch.clone());
            }
            continue;
        }
        let wanted = patch.get(key);
        let place = out.iter().position(|item| wanted.is_some() && item.get(key) == wanted);
        match (place, directive(patch).as_deref()) {
            (Some(place), Some("delete")) => {
                out.remove(place);
            }
            (None, Some("delete")) => {}
            (Some(place), _) => {
                if let Some(item) = out.get_mut(place) {
                    *item = strategic(schema, element, item, patch);
                }
            }
            (None, _) => out.push(without_directives(patch)),
        }
    }
    arrange(&out, key, order.map_or(patches, Vec::as_slice), old)
}

/// What names an item: its key, or itself.
fn id<'a>(item: &'a Value, key: &str) -> Option<&'a Value> {
    if key.is_empty() { Some(item) } else { item.get(key).or(Some(item).filter(|item| !item.is_object())) }
}

/// The items in the order of `order`; others keep their place before those that they came before in `original`.
fn arrange(items: &[Value], key: &str, order: &[Value], original: &[Value]) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|known| id(known, key) == id(item, key));
    let (mut named, mut others): (Vec<&Value>, Vec<&Value>) =
        items.iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(original, item));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut out = Vec::with_capacity(items.len());
    while let (Some(ours), Some(theirs)) = (named.peek(), others.peek()) {
        let is_before =
            matches!((place(original, theirs), place(original, ours)), (Some(theirs), Some(ours)) if theirs < ours);
        out.extend(if is_before { others.next() } else { named.next() });
    }
    out.extend(named.chain(others));
    out.into_iter().cloned().collect()
}

fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
                .map(|(name, value)| (name.clone(), without_directives(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_directives).collect()),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::built_in;
    use super::*;

    #[test]
    fn strategic_patches_merge_lists_by_key() {
        let kind = Type::Struct("core/v1.PodSpec".into(), false);
        let object = json!({"containers": [{"name": "a", "image": "x:1", "args": ["1"]}, {"name": "b", "image": "y"}]});
        let patch = json!({
            "containers": [{"name": "a", "image": "x:2", "args": ["2"]}, {"name": "b", "$patch": "delete"},
                {"name": "c"}],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "nodeName": null,
        });
        let expected = json!({"containers": [{"name": "c"}, {"name": "a", "image": "x:2", "args": ["2"]}]});
        assert_eq!(strategic(built_in(), &kind, &object, &patch), expected);
    }
}
