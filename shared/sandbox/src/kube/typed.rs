//! Values seen through their types, as server-side apply sees them: which fields a value sets, what two values differ
//! in, one merged over the other, items taken out (kubernetes-sigs/structured-merge-diff `typed/`).
//!
//! Pure: has no objects, no managers, no clock.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use slipway_gotmpl::{Budget, Limits, Numbers, sprintf};

use super::fieldset::{Set, Step};
use super::schema::{ListKind, Schema, Type};

/// Paths in which two values differ.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Comparison {
    /// Only in the old.
    pub(super) removed: Set,
    /// In both, with another value.
    pub(super) modified: Set,
    /// Only in the new.
    pub(super) added: Set,
}

/// What a value is for merging.
enum Shape<'a> {
    Leaf,
    Map,
    List(&'a ListKind),
}

fn shape<'a>(schema: &Schema, kind: &'a Type, value: Option<&Value>) -> Shape<'a> {
    const ATOMIC: &ListKind = &ListKind::Atomic;
    match kind {
        _ if schema.is_atomic(kind) => Shape::Leaf,
        Type::Struct(..) | Type::Map(..) => Shape::Map,
        Type::List(list, _) => Shape::List(list),
        Type::Raw => match value {
            Some(Value::Object(_)) => Shape::Map,
            Some(Value::Array(_)) => Shape::List(ATOMIC),
            _ => Shape::Leaf,
        },
        _ => Shape::Leaf,
    }
}

fn map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

fn list(value: Option<&Value>) -> Option<&Vec<Value>> {
    value.and_then(Value::as_array)
}

/// The step that names an item of a list; `None` when a key is missing and has no default.
fn step_of(schema: &Schema, kind: &ListKind, element: &Type, item: &Value) -> Option<Step> {
    match kind {
        ListKind::Atomic => None,
        ListKind::Set => Some(Step::Value(item.to_string())),
        ListKind::Keyed(keys) => {
            let fields = item.as_object()?;
            let mut found = BTreeMap::new();
            for key in keys {
                let default = || schema.structure(element)?.field(key)?.default.clone();
                match fields.get(key).cloned().or_else(default) {
                    Some(value) => found.insert(key.clone(), value),
                    None => continue,
                };
            }
            if found.is_empty() {
                None
            } else {
                Some(Step::Key(Value::Object(found.into_iter().collect()).to_string()))
            }
        }
    }
}

/// The items of a list by their steps, in order; later duplicates are marked by a repeated step.
fn steps<'a>(
    schema: &Schema,
    kind: &ListKind,
    element: &Type,
    items: Option<&'a Vec<Value>>,
) -> Vec<(Step, &'a Value)> {
    items.into_iter().flatten().filter_map(|item| Some((step_of(schema, kind, element, item)?, item))).collect()
}

/// The fields that `value` sets.
pub(super) fn field_set(schema: &Schema, kind: &Type, value: &Value) -> Set {
    let mut set = Set::default();
    collect(schema, kind, value, &mut Vec::new(), &mut set);
    set
}

fn collect(schema: &Schema, kind: &Type, value: &Value, path: &mut Vec<Step>, set: &mut Set) {
    match shape(schema, kind, Some(value)) {
        Shape::Leaf | Shape::List(ListKind::Atomic) => set.insert(path),
        Shape::Map => {
            for (name, inner) in map(Some(value)).into_iter().flatten() {
                path.push(Step::Field(name.clone()));
                collect(schema, &schema.field_type(kind, name), inner, path, set);
                let is_empty = inner.is_null() || inner.as_object().is_some_and(Map::is_empty);
                if is_empty || !schema.is_named_field(kind, name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Shape::List(list_kind) => {
            let element = Schema::element_type(kind);
            for (step, item) in steps(schema, list_kind, &element, list(Some(value))) {
                path.push(step);
                collect(schema, &element, item, path, set);
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// What changes from `old` to `new`.
pub(super) fn compare(schema: &Schema, kind: &Type, old: &Value, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    compare_at(schema, kind, Some(old), Some(new), &mut Vec::new(), &mut comparison);
    comparison
}

fn compare_at(
    schema: &Schema,
    kind: &Type,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) {
    let is_empty = |value: Option<&Value>| match value {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        _ => true,
    };
    let shape = shape(schema, kind, new.filter(|value| !value.is_null()).or(old));
    let is_leaf = matches!(shape, Shape::Leaf | Shape::List(ListKind::Atomic)) || (is_empty(old) && is_empty(new));
    if is_leaf {
        match (old, new) {
            (None, _) => out.added.insert(path),
            (_, None) => out.removed.insert(path),
            (Some(old), Some(new)) if !equal(old, new) => out.modified.insert(path),
            _ => {}
        }
        return;
    }
    if let Shape::List(list_kind) = shape {
        let element = Schema::element_type(kind);
        compare_items(schema, list_kind, &element, list(old), list(new), path, out);
    } else {
        let (old, new) = (map(old), map(new));
        let names: BTreeSet<&String> =
            old.into_iter().flatten().chain(new.into_iter().flatten()).map(|(name, _)| name).collect();
        for name in names {
            path.push(Step::Field(name.clone()));
            let (old, new) = (old.and_then(|map| map.get(name)), new.and_then(|map| map.get(name)));
            compare_at(schema, &schema.field_type(kind, name), old, new, path, out);
            path.pop();
        }
    }
    if old.is_none() {
        out.added.insert(path);
    } else if new.is_none() {
        out.removed.insert(path);
    }
}

fn compare_items(
    schema: &Schema,
    list_kind: &ListKind,
    element: &Type,
    old: Option<&Vec<Value>>,
    new: Option<&Vec<Value>>,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) {
    let group = |items: Option<&Vec<Value>>| {
        let mut by_step: BTreeMap<Step, Vec<Value>> = BTreeMap::new();
        for (step, item) in steps(schema, list_kind, element, items) {
            by_step.entry(step).or_default().push(item.clone());
        }
        by_step
    };
    let (old, new) = (group(old), group(new));
    let all: BTreeSet<&Step> = old.keys().chain(new.keys()).collect();
    for step in all {
        let before = old.get(step).map(Vec::as_slice).unwrap_or_default();
        let after = new.get(step).map(Vec::as_slice).unwrap_or_default();
        path.push(step.clone());
        match (before, after) {
            // Duplicates are compared as a whole.
            ([_, _, ..], [_, _, ..]) => {
                if before != after {
                    out.modified.insert(path);
                }
            }
            ([_, _, ..], _) => {
                if let Some(first) = after.first() {
                    compare_at(schema, element, None, Some(first), path, out);
                }
                out.removed.insert(path);
            }
            (_, [_, _, ..]) => {
                if let Some(first) = before.first() {
                    compare_at(schema, element, Some(first), None, path, out);
                }
                out.added.insert(path);
            }
            _ => compare_at(schema, element, before.first(), after.first(), path, out),
        }
        path.pop();
    }
}

/// Whether two values are the same; the order of keys does not matter, and neither does `1` against `1.0`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// `over` merged over `live`.
pub(super) fn merge(schema: &Schema, kind: &Type, live: &Value, over: &Value) -> Value {
    merge_at(schema, kind, Some(live), Some(over)).unwrap_or_default()
}

fn merge_at(schema: &Schema, kind: &Type, live: Option<&Value>, over: Option<&Value>) -> Option<Value> {
    match shape(schema, kind, over.filter(|value| !value.is_null()).or(live)) {
        Shape::Map => {
            let (old, new) = (map(live), map(over));
            if old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty) {
                return over.or(live).cloned();
            }
            let mut out = Map::new();
            let names = old.into_iter().flatten().chain(new.into_iter().flatten()).map(|(name, _)| name);
            for name in names {
                if out.contains_key(name) {
                    continue;
                }
                let (old, new) = (old.and_then(|map| map.get(name)), new.and_then(|map| map.get(name)));
                if let Some(value) = merge_at(schema, &schema.field_type(kind, name), old, new) {
                    out.insert(name.clone(), value);
                }
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
        Shape::List(list_kind) if *list_kind != ListKind::Atomic => {
            let (old, new) = (list(live), list(over));
            if old.is_none_or(Vec::is_empty) && new.is_none_or(Vec::is_empty) {
                return over.or(live).cloned();
            }
            let element = Schema::element_type(kind);
            let merged = merge_items(
                schema,
                &element,
                &steps(schema, list_kind, &element, old),
                &steps(schema, list_kind, &element, new),
            );
            (!merged.is_empty()).then_some(Value::Array(merged))
        }
        _ => over.or(live).cloned(),
    }
}

/// Items of both lists: those of `new` in their order, the others of `old` where they stood between them.
fn merge_items(schema: &Schema, element: &Type, old: &[(Step, &Value)], new: &[(Step, &Value)]) -> Vec<Value> {
    let old_by: BTreeMap<&Step, Option<&Value>> = old.iter().fold(BTreeMap::new(), |mut found, (step, item)| {
        // Duplicated items are not merged with the new value.
        found.entry(step).and_modify(|known| *known = None).or_insert(Some(*item));
        found
    });
    let new_by: BTreeMap<&Step, &Value> = new.iter().map(|(step, item)| (step, *item)).collect();
    let mut shared = new.iter().map(|(step, _)| step).filter(|step| old_by.contains_key(step));
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&Step> = BTreeSet::new();
    let mut out = Vec::new();
    let (mut left, mut right) = (old, new);
    while !left.is_empty() || !right.is_empty() {
        if let ([(old_step, _), old_rest @ ..], [(new_step, new_item), new_rest @ ..]) = (left, right) {
            if old_step == new_step {
                done.insert(new_step);
                out.extend(merge_at(schema, element, old_by.get(new_step).copied().flatten(), Some(new_item)));
                (left, right) = (old_rest, new_rest);
                next_shared = shared.next();
                continue;
            }
            if new_by.contains_key(old_step) && next_shared.is_some_and(|next| next != old_step) {
                // In both lists, but its turn comes with another item of the new one.
                left = old_rest;
                continue;
            }
        }
        if let [(old_step, old_item), old_rest @ ..] = left {
            if !new_by.contains_key(old_step) {
                out.extend(merge_at(schema, element, Some(old_item), None));
                left = old_rest;
                continue;
            }
            if done.contains(old_step) {
                left = old_rest;
            }
        }
        if let [(new_step, new_item), new_rest @ ..] = right {
            done.insert(new_step);
            out.extend(merge_at(schema, element, old_by.get(new_step).copied().flatten(), Some(new_item)));
            right = new_rest;
            if next_shared == Some(new_step) {
                next_shared = shared.next();
            }
        }
    }
    out
}

/// `value` without the items of `remove`; a container that loses its last item stays, empty.
pub(super) fn remove(schema: &Schema, kind: &Type, value: &Value, remove: &Set) -> Option<Value> {
    match (shape(schema, kind, Some(value)), value) {
        (Shape::Map, Value::Object(fields)) => {
            let mut out = Map::new();
            let mut had_matches = false;
            for (name, inner) in fields {
                let step = Step::Field(name.clone());
                if remove.has(&step) {
                    continue;
                }
                let kept = remove.below(&step).map_or_else(
                    || inner.clone(),
                    |below| {
                        had_matches = true;
                        keep_container(inner, self::remove(schema, &schema.field_type(kind, name), inner, below))
                    },
                );
                out.insert(name.clone(), kept);
            }
            (!out.is_empty() || had_matches).then_some(Value::Object(out))
        }
        (Shape::List(list_kind), Value::Array(items)) if *list_kind != ListKind::Atomic => {
            let element = Schema::element_type(kind);
            let mut out = Vec::new();
            let mut had_matches = false;
            for (step, item) in steps(schema, list_kind, &element, Some(items)) {
                if remove.has(&step) {
                    continue;
                }
                out.push(remove.below(&step).map_or_else(
                    || item.clone(),
                    |below| {
                        had_matches = true;
                        keep_container(item, self::remove(schema, &element, item, below))
                    },
                ));
            }
            (!out.is_empty() || had_matches).then_some(Value::Array(out))
        }
        // An atomic list or map is taken whole.
        (Shape::List(_), _) | (_, Value::Object(_) | Value::Array(_)) => None,
        (_, scalar) => Some(scalar.clone()),
    }
}

fn keep_container(before: &Value, after: Option<Value>) -> Value {
    match (before, after) {
        (_, Some(value)) => value,
        (Value::Object(_), None) => Value::Object(Map::new()),
        (Value::Array(_), None) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// Sets the value behind a path of field names, making the mappings on the way.
pub(super) fn put_at(object: &mut Value, path: &[&str], value: Value) {
    let mut place = object;
    for name in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(map) = place else { return };
        place = map.entry(*name).or_insert(Value::Null);
    }
    *place = value;
}

/// The first thing that is wrong with a value that is applied, in the API server's words: a field that its type does
/// not have, a value of another type, a duplicate in a set or keyed list, an item without its keys.
pub(super) fn problem(schema: &Schema, kind: &Type, value: &Value) -> Option<String> {
    check(schema, kind, value, "")
}

fn check(schema: &Schema, kind: &Type, value: &Value, path: &str) -> Option<String> {
    let expected =
        |what: &str| Some(format!("{path}: expected {what}, got &value.valueUnstructured{{Value:{}}}", in_go(value)));
    match (kind, value) {
        (_, Value::Null)
        | (Type::Raw, _)
        | (Type::Text | Type::Bytes | Type::Time | Type::MicroTime, Value::String(_))
        | (Type::Int | Type::Float, Value::Number(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Quantity | Type::IntOrString, Value::String(_) | Value::Number(_)) => None,
        (Type::Int | Type::Float, _) => {
            let found = match value {
                Value::Bool(_) => "bool",
                Value::String(_) => "string",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            Some(format!("{path}: expected numeric (int or float), got {found}"))
        }
        (Type::Bool, _) => expected("boolean"),
        (Type::Text | Type::Bytes | Type::Time | Type::MicroTime | Type::Quantity | Type::IntOrString, _) => {
            expected("string")
        }
        (Type::Struct(..) | Type::Map(..), Value::Object(fields)) => {
            let structure = schema.structure(kind);
            fields.iter().find_map(|(name, inner)| {
                let inner_path = format!("{path}.{name}");
                if structure.is_some_and(|found| !found.open && found.field(name).is_none()) {
                    return Some(format!("{inner_path}: field not declared in schema"));
                }
                check(schema, &schema.field_type(kind, name), inner, &inner_path)
            })
        }
        (Type::Struct(..) | Type::Map(..), _) => expected("map"),
        (Type::List(list_kind, element), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            items.iter().enumerate().find_map(|(index, item)| {
                let step = step_of(schema, list_kind, element, item);
                let inner_path =
                    step.as_ref().map_or_else(|| format!("{path}[{index}]"), |step| format!("{path}{step}"));
                match step {
                    Some(step) if !seen.insert(step.clone()) => {
                        return Some(format!("{path}: duplicate entries for key {step}"));
                    }
                    None if *list_kind != ListKind::Atomic => {
                        let why = "associative list with keys has an element that omits key field";
                        return Some(format!("{path}: element {index}: {why}"));
                    }
                    _ => {}
                }
                check(schema, element, item, &inner_path)
            })
        }
        (Type::List(..), _) => expected("list"),
    }
}

/// A value as Go's `%#v` prints it, in full: so the API server quotes what it refuses.
fn in_go(value: &Value) -> String {
    let value = slipway_gotmpl::Value::from_json(value, Numbers::Int64);
    // A request is far smaller than what a budget allows.
    sprintf(&Budget::new(slipway_budget::Budget::default(), Limits::default()), b"%#v", &[value])
        .map(|text| text.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_quoted_as_go_quotes_them() {
        let value = json!({"user": "a\nb", "password": "c4n4ry", "n": [1, 1.5, true, null]});
        assert_eq!(
            in_go(&value),
            "map[string]interface {}{\"n\":[]interface {}{1, 1.5, true, interface {}(nil)}, \"password\":\"c4n4ry\", \
             \"user\":\"a\\nb\"}"
        );
    }
}
