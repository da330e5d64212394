//! Values: what `-f` and `--set` give, the defaults of the charts, and how they come together (helm/helm
//! `pkg/chart/common/util/coalesce.go`).
//!
//! User input is JSON whose numbers are floats (but integers from `--set`); from the coalescing on, values are Go's,
//! shared by reference as Go shares them: a subchart's mapping is the one inside its parent's, and inner mappings of
//! globals are the parent's own.

use std::collections::BTreeSet;

use serde_json::Value as JsonValue;
use slipway_budget::{Budget, Exceeded};
use slipway_gotmpl::{Map, Numbers, Str, Value};

use crate::chart::Chart;
use crate::error::HelmError;

/// The key whose values every chart sees.
const GLOBAL: &str = "global";

/// Why values don't fit the charts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("type mismatch on {path}: a chart's values must be a mapping, found {found}")]
pub struct CoalesceError {
    /// Where in the values: `parent.child`.
    pub path: String,
    /// What stands there instead of a mapping.
    pub found: String,
}

/// Numbers as floats, as Go's JSON decoder gives them.
pub(crate) fn as_floats(mut value: JsonValue) -> JsonValue {
    to_floats(&mut value);
    value
}

fn to_floats(value: &mut JsonValue) {
    match value {
        JsonValue::Number(number) if !number.is_f64() => {
            *value = number.as_f64().map_or(JsonValue::Null, JsonValue::from);
        }
        JsonValue::Array(list) => list.iter_mut().for_each(to_floats),
        JsonValue::Object(map) => map.values_mut().for_each(to_floats),
        _ => {}
    }
}

/// Merges `over` into `values`: mappings merge, everything else is replaced (helm/helm `loader.MergeMaps`).
pub(crate) fn merge_maps(values: &mut serde_json::Map<String, JsonValue>, over: serde_json::Map<String, JsonValue>) {
    for (key, value) in over {
        match (values.get_mut(&key), value) {
            (Some(JsonValue::Object(below)), JsonValue::Object(above)) => merge_maps(below, above),
            (_, value) => {
                values.insert(key, value);
            }
        }
    }
}

/// JSON as Go's values; integers (only `--set` makes them) are int64.
pub(crate) fn from_json(values: &serde_json::Map<String, JsonValue>) -> Map {
    values.iter().map(|(key, value)| (key.as_str(), from_json_value(value))).collect()
}

fn from_json_value(value: &JsonValue) -> Value {
    match value {
        JsonValue::Number(number) if number.is_f64() => Value::Float(number.as_f64().unwrap_or_default()),
        JsonValue::Array(list) => Value::from(list.iter().map(from_json_value).collect::<Vec<_>>()),
        JsonValue::Object(map) => Value::Map(from_json(map)),
        other => Value::from_json(other, Numbers::Int64),
    }
}

/// Goes over nulls or keeps them.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Nulls {
    /// A null of the user deletes the default (`CoalesceValues`).
    Delete,
    /// Nulls stay, for a later pass (`MergeValues`).
    Keep,
}

/// The values of `chart` and all charts below it: `user` over the defaults.
pub(crate) fn coalesce(chart: &Chart, user: &Map, nulls: Nulls, budget: &Budget) -> Result<Map, HelmError> {
    let values = deep_copy_map(user, budget).map_err(HelmError::over(chart.name()))?;
    coalesce_chart(chart, &values, nulls, "", budget)?;
    Ok(values)
}

fn coalesce_chart(chart: &Chart, values: &Map, nulls: Nulls, path: &str, budget: &Budget) -> Result<(), HelmError> {
    coalesce_defaults(chart, values, nulls, budget).map_err(HelmError::over(chart.name()))?;
    for dependency in &chart.dependencies {
        let name = dependency.name();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let below = match values.get(name) {
            Some(Value::Map(map)) => map,
            Some(other) => return Err(CoalesceError { path, found: other.type_name().into_owned() }.into()),
            None => {
                let map = Map::new();
                values.insert(name, Value::Map(map.clone()));
                map
            }
        };
        coalesce_globals(&below, values, budget).map_err(HelmError::over(dependency.name()))?;
        coalesce_chart(dependency, &below, nulls, &path, budget)?;
    }
    Ok(())
}

fn coalesce_defaults(chart: &Chart, values: &Map, nulls: Nulls, budget: &Budget) -> Result<(), Exceeded> {
    for (key, default) in deep_copy_map(&chart.values, budget)?.entries() {
        match (values.get(key.as_bytes()), default) {
            (None, default) => values.insert(key, default),
            (Some(Value::Nil), _) if nulls == Nulls::Delete => {
                values.remove(key.as_bytes());
            }
            (Some(Value::Map(own)), Value::Map(defaults)) => {
                let is_child = chart.dependencies.iter().any(|child| key == child.name());
                merge_tables(&own, &defaults, if is_child { Nulls::Keep } else { nulls }, budget)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Hands the globals of `parent` down to `child`; what the child says itself is kept where the parent is silent.
fn coalesce_globals(child: &Map, parent: &Map, budget: &Budget) -> Result<(), Exceeded> {
    let globals = |of: &Map| match of.get(GLOBAL) {
        None => Some(Map::new()),
        Some(Value::Map(map)) => Some(map),
        Some(_) => None,
    };
    let (Some(own), Some(handed)) = (globals(child), globals(parent)) else { return Ok(()) };
    for (key, value) in handed.entries() {
        match (own.get(key.as_bytes()), value) {
            (None, Value::Map(table)) => own.insert(key, Value::Map(shallow_copy(&table, budget)?)),
            (Some(Value::Map(below)), Value::Map(table)) => {
                // Inner mappings are shared with the parent from here on, as in Helm: what a child adds deeper inside
                // shows in the parent, too.
                let table = shallow_copy(&table, budget)?;
                merge_tables(&table, &below, Nulls::Keep, budget)?;
                own.insert(key, Value::Map(table));
            }
            (Some(_), Value::Map(_)) | (Some(Value::Map(_)), _) => {}
            (_, value) => own.insert(key, value),
        }
    }
    child.insert(GLOBAL, Value::Map(own));
    Ok(())
}

/// What an entry of a mapping takes when it is copied.
const ENTRY: usize = 2 * size_of::<(Str, Value)>();

/// Pays for a copy of `map`, or for going through it.
fn pay(budget: &Budget, map: &Map) -> Result<(), Exceeded> {
    budget.step(1 + map.len() as u64)?;
    budget.bytes(map.len().saturating_mul(ENTRY))
}

/// Merges `source` into `target`, which wins (helm/helm `CoalesceTables`, `MergeTables`).
pub(crate) fn merge_tables(target: &Map, source: &Map, nulls: Nulls, budget: &Budget) -> Result<(), Exceeded> {
    if target.same(source) {
        return Ok(());
    }
    pay(budget, source)?;
    budget.step(target.len() as u64)?;
    let source_set: BTreeSet<Str> =
        source.borrow().iter().filter(|(_, value)| !matches!(value, Value::Nil)).map(|(key, _)| key.clone()).collect();
    let target_nulls: Vec<Str> =
        target.borrow().iter().filter(|(_, value)| matches!(value, Value::Nil)).map(|(key, _)| key.clone()).collect();
    for key in target_nulls {
        source.insert(key, Value::Nil);
    }
    for (key, value) in source.entries() {
        match (target.get(key.as_bytes()), value) {
            (Some(Value::Nil), _) if nulls == Nulls::Delete && source_set.contains(&key) => {
                target.remove(key.as_bytes());
            }
            (None, value) => target.insert(key, value),
            (Some(Value::Map(own)), Value::Map(other)) => merge_tables(&own, &other, nulls, budget)?,
            _ => {}
        }
    }
    Ok(())
}

fn shallow_copy(map: &Map, budget: &Budget) -> Result<Map, Exceeded> {
    pay(budget, map)?;
    Ok(map.entries().into_iter().collect())
}

/// A copy that shares no mapping and no list with the original.
pub(crate) fn deep_copy_map(map: &Map, budget: &Budget) -> Result<Map, Exceeded> {
    pay(budget, map)?;
    map.entries().into_iter().map(|(key, value)| Ok((key, deep_copy(&value, budget)?))).collect()
}

fn deep_copy(value: &Value, budget: &Budget) -> Result<Value, Exceeded> {
    Ok(match value {
        Value::Map(map) => Value::Map(deep_copy_map(map, budget)?),
        Value::List(list) => {
            budget.step(1 + list.len() as u64)?;
            budget.bytes(list.len().saturating_mul(size_of::<Value>()))?;
            Value::from(list.borrow().iter().map(|item| deep_copy(item, budget)).collect::<Result<Vec<_>, _>>()?)
        }
        other => other.clone(),
    })
}

/// The mapping at a dotted path; `None` where it ends or meets something else (helm/helm `Values.Table`).
pub(crate) fn table(values: &Map, path: &str) -> Option<Map> {
    path.split('.').try_fold(values.clone(), |map, part| match map.get(part) {
        Some(Value::Map(inner)) => Some(inner),
        _ => None,
    })
}

/// The value that is no mapping at a dotted path (helm/helm `Values.PathValue`).
pub(crate) fn path_value(values: &Map, path: &str) -> Option<Value> {
    let (map, key) = match path.rsplit_once('.') {
        Some((parent, key)) => (table(values, parent)?, key),
        None => (values.clone(), path),
    };
    map.get(key).filter(|value| !matches!(value, Value::Map(_)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: JsonValue) -> Map {
        match as_floats(value) {
            JsonValue::Object(map) => from_json(&map),
            _ => panic!("a mapping"),
        }
    }

    #[test]
    fn a_null_deletes_a_default_and_stays_where_there_is_none() {
        let user = map(json!({"a": null, "b": null, "m": {"x": null, "y": null}}));
        let defaults = map(json!({"a": 1, "m": {"x": 1, "z": 2}}));
        merge_tables(&user, &defaults, Nulls::Delete, &Budget::default()).unwrap();
        assert_eq!(Value::Map(user).to_json().unwrap(), json!({"b": null, "m": {"y": null, "z": 2}}));
    }

    #[test]
    fn paths_end_at_mappings_or_at_values() {
        let values = map(json!({"a": {"b": {"c": true}}}));
        assert!(table(&values, "a.b").is_some() && table(&values, "a.b.c").is_none());
        assert!(matches!(path_value(&values, "a.b.c"), Some(Value::Bool(true))));
        assert!(path_value(&values, "a.b").is_none() && path_value(&values, "x.y").is_none());
    }
}
