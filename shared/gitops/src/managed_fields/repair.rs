//! Makes a manifest fit for server-side apply where client-side apply takes it: of entries with the same key the last
//! one stays (as a kubelet reads variables), and with `Validate=false` unknown fields go. Each is told.
//!
//! An empty mapping whose fields were all ours becomes null on its way through the API server, which a custom
//! resource's schema refuses: it is left out at first, and applied when its fields are gone.
//!
//! Which lists have keys, and which fields a kind has, says the API server's refusal. Pure.

use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::managed_fields::set;

const UNKNOWN: &str = ": field not declared in schema";
const NULL: &str = ": Invalid value: \"null\": ";
const DUPLICATE: &str = ": duplicate entries for key ";

/// Takes out of `body` the empty mappings of which `refusal` says that they are null; whether there was one.
pub fn leave_out_empty(body: &mut Object, refusal: &str) -> bool {
    let mut value = body.to_value();
    let mut is_changed = false;
    for (before, _) in refusal.match_indices(NULL).map(|(place, _)| refusal.split_at(place)) {
        let path = before.rsplit([' ', '[']).next().unwrap_or_default();
        let Some(steps) = locate(&value, &format!(".{path}")) else { continue };
        let is_empty = at(&mut value, &steps).is_some_and(|found| found.as_object().is_some_and(Map::is_empty));
        is_changed |= is_empty && remove(&mut value, &steps);
    }
    if let (Value::Object(fields), true) = (value, is_changed) {
        *body.as_map_mut() = fields;
    }
    is_changed
}

/// Puts the empty mappings of `whole` that were left out into `predicted`, the answer to a dry run.
pub fn put_back_empty(predicted: &mut Object, whole: &Object) {
    fn put(fields: &mut Map<String, Value>, whole: &Map<String, Value>) {
        for (key, value) in whole {
            match (fields.get_mut(key), value) {
                (Some(Value::Object(fields)), Value::Object(whole)) => put(fields, whole),
                (None, Value::Object(whole)) if whole.is_empty() => drop(fields.insert(key.clone(), value.clone())),
                _ => {}
            }
        }
    }
    put(predicted.as_map_mut(), whole.as_map());
}

/// One step into a value.
enum Step {
    Field(String),
    Index(usize),
}

/// Takes out of `body` what `refusal`, the API server's answer to an apply of it, names; unknown fields only where
/// they are to be dropped. Gives what to warn of; nothing if it could not be helped.
pub fn repair(body: &mut Object, refusal: &str, drops_unknown: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut value = body.to_value();
    for line in refusal.lines() {
        if let Some((path, key)) = line.split_once(DUPLICATE) {
            let path = path_in(path);
            if let Some(items) =
                locate(&value, path).and_then(|steps| at(&mut value, &steps)).and_then(Value::as_array_mut)
                && keep_last(items, key.trim())
            {
                warnings.push(format!("{path}: duplicate entries for {}: the last one is applied", key.trim()));
            }
        } else if let Some(path) = line.trim_end().strip_suffix(UNKNOWN).filter(|_| drops_unknown) {
            let path = path_in(path);
            if locate(&value, path).is_some_and(|steps| remove(&mut value, &steps)) {
                warnings.push(format!("{path}: unknown field, which is dropped, as Validate=false asks for"));
            }
        }
    }
    if let (Value::Object(fields), false) = (value, warnings.is_empty()) {
        *body.as_map_mut() = fields;
    }
    warnings
}

/// The path at the end of a text: what comes before it ends with `): ` or is white space.
fn path_in(text: &str) -> &str {
    text.split_once("): .").and_then(|(before, _)| text.get(before.len() + 3..)).unwrap_or(text).trim()
}

/// The steps of a path as structured-merge-diff writes it: `.spec.containers[name="web"].env`. Keys of mappings may
/// hold dots and brackets: only the value tells.
fn locate(value: &Value, path: &str) -> Option<Vec<Step>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    let (step, below, rest) = match value {
        Value::Object(fields) => {
            let path = path.strip_prefix('.')?;
            let leads = |name: &&String| {
                path.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let name = fields.keys().filter(leads).max_by_key(|name| name.len())?;
            (Step::Field(name.clone()), fields.get(name)?, path.strip_prefix(name.as_str())?)
        }
        Value::Array(items) => {
            let (item, rest) = bracketed(path)?;
            let index = items.iter().position(|found| item.is_of(found)).or(item.index)?;
            (Step::Index(index), items.get(index)?, rest)
        }
        _ => return None,
    };
    let mut steps = locate(below, rest)?;
    steps.insert(0, step);
    Some(steps)
}

/// What stands in brackets: keys of an item, the value of one, or an index.
struct Item {
    keys: Map<String, Value>,
    value: Option<Value>,
    index: Option<usize>,
}

impl Item {
    fn is_of(&self, found: &Value) -> bool {
        if self.value.is_some() { self.value.as_ref() == Some(found) } else { set::has_keys(found, &self.keys) }
    }
}

/// Reads `[name="web",port=80]`, `[="value"]` or `[3]`; gives what follows, too.
fn bracketed(text: &str) -> Option<(Item, &str)> {
    let mut rest = text.strip_prefix('[')?;
    let mut item = Item { keys: Map::new(), value: None, index: None };
    if let Some((number, after)) = rest.split_once(']')
        && let Ok(index) = number.parse()
    {
        item.index = Some(index);
        return Some((item, after));
    }
    loop {
        let (name, after) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
        let value = values.next()?.ok()?;
        rest = after.get(values.byte_offset()..)?;
        match name {
            "" => item.value = Some(value),
            name => drop(item.keys.insert(name.to_owned(), value)),
        }
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some((item, rest.strip_prefix(']')?)),
        }
    }
}

fn at<'a>(value: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.get_mut(name),
        Step::Index(index) => value.get_mut(*index),
    })
}

fn remove(value: &mut Value, steps: &[Step]) -> bool {
    let Some((Step::Field(last), before)) = steps.split_last() else { return false };
    let fields = at(value, before).and_then(Value::as_object_mut);
    fields.is_some_and(|fields| fields.shift_remove(last).is_some())
}

/// Leaves of the items that `key` names the last; whether there were others.
fn keep_last(items: &mut Vec<Value>, key: &str) -> bool {
    let Some((item, _)) = bracketed(key) else { return false };
    let places: Vec<usize> =
        items.iter().enumerate().filter(|(_, found)| item.is_of(found)).map(|(place, _)| place).collect();
    let Some((_, earlier)) = places.split_last() else { return false };
    for place in earlier.iter().rev() {
        items.remove(*place);
    }
    !earlier.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn repaired(body: Value, refusal: &str) -> (Value, usize) {
        let mut object = Object::from_value(body).unwrap();
        let warnings = repair(&mut object, refusal, true);
        (object.into_value(), warnings.len())
    }

    #[test]
    fn the_last_of_the_same_key_stays_where_it_stands() {
        let body = |env: Value, ports: Value| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [
                {"name": "other"}, {"name": "web", "env": env, "ports": ports}]}})
        };
        let variable = |name: &str, value: &str| json!({"name": name, "value": value});
        let both = json!([variable("A", "1"), variable("B", "1"), variable("A", "2")]);
        let ports = json!([{"containerPort": 80, "name": "a"}, {"containerPort": 80, "protocol": "TCP", "name": "b"}]);
        let refusal = "failed to create typed patch object (ns/a; v1, Kind=Pod): errors:\n  \
            .spec.containers[name=\"web\"].env: duplicate entries for key [name=\"A\"]\n  \
            .spec.containers[name=\"web\"].ports: duplicate entries for key [containerPort=80,protocol=\"TCP\"]";
        let expected = body(json!([variable("B", "1"), variable("A", "2")]), json!([ports[1]]));
        assert_eq!(repaired(body(both, ports), refusal), (expected, 2));
    }

    #[test]
    fn unknown_fields_go_wherever_they_are() {
        let body = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "a.b": {"c": 1, "d": 1},
            "list": [{"name": "x", "e": 1}], "more": [{"f": 1}, {"f": 1}]});
        let refusal = "failed to create typed patch object (ns/a; v1, Kind=X): errors:\n  .a.b.c: field not declared \
            in schema\n  .list[name=\"x\"].e: field not declared in schema\n  .more[1].f: field not declared in schema";
        let expected = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "a.b": {"d": 1},
            "list": [{"name": "x"}], "more": [{"f": 1}, {}]});
        assert_eq!(repaired(body, refusal), (expected, 3));
    }

    #[test]
    fn an_empty_mapping_that_became_null_is_left_out() {
        let mut object = Object::from_value(json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"},
            "spec": {"settings": {}, "other": {}, "full": {"a": 1}}}))
        .unwrap();
        let refusal = |field: &str| {
            format!(
                r#"X "a" is invalid: {field}: Invalid value: "null": {field} in body must be of type object: "null""#
            )
        };
        assert!(!leave_out_empty(&mut object, &refusal("spec.full")));
        assert!(leave_out_empty(&mut object, &refusal("spec.settings")));
        assert_eq!(object.get("spec"), Some(&json!({"other": {}, "full": {"a": 1}})));
        assert!(!leave_out_empty(&mut object, "other words"));
        let whole = Object::from_value(json!({"apiVersion": "v1", "kind": "X", "spec": {"settings": {}, "no": 1},
            "metadata": {"name": "a"}}));
        put_back_empty(&mut object, &whole.unwrap());
        assert_eq!(object.get("spec"), Some(&json!({"other": {}, "full": {"a": 1}, "settings": {}})));
    }

    #[test]
    fn another_refusal_changes_nothing() {
        let body = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "data": {"a": 1}});
        for refusal in ["", ".data.a: expected string, got 1", ".data.b: field not declared in schema", "]: .["] {
            assert_eq!(repaired(body.clone(), refusal), (body.clone(), 0));
        }
    }
}
