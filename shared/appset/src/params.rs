//! The parameters that generators give to templates: Go's values by name.

use std::collections::BTreeMap;

use slipway_gotmpl::{Budget, List, Map, MapType, Numbers, Str, Type, Value, sprint};

use crate::ErrorKind;

/// JSON as Go has it in parameters: every number is a float. Pays for what it makes.
pub(crate) fn from_json(json: &serde_json::Value, budget: &Budget) -> Result<Value, ErrorKind> {
    pay(json, budget)?;
    Ok(Value::from_json(json, Numbers::Float))
}

fn pay(json: &serde_json::Value, budget: &Budget) -> Result<(), ErrorKind> {
    budget.step(1).map_err(ErrorKind::Limit)?;
    match json {
        serde_json::Value::String(text) => budget.bytes(text.len()).map_err(ErrorKind::Limit),
        serde_json::Value::Array(items) => items.iter().try_for_each(|item| {
            budget.bytes(size_of::<Value>()).map_err(ErrorKind::Limit)?;
            pay(item, budget)
        }),
        serde_json::Value::Object(entries) => entries.iter().try_for_each(|(key, item)| {
            budget.bytes(key.len() + ENTRY).map_err(ErrorKind::Limit)?;
            pay(item, budget)
        }),
        _ => Ok(()),
    }
}

/// What an entry of a map takes besides its texts.
const ENTRY: usize = 2 * size_of::<(Str, Value)>();

/// A map of texts by name, which in Go has this very type.
pub(crate) fn texts<'t>(entries: impl IntoIterator<Item = (&'t String, &'t String)>) -> Value {
    let entries = entries.into_iter().map(|(key, text)| (Str::from(key.as_str()), Value::from(text.as_str())));
    Map::typed(MapType::STRING, entries.collect()).into()
}

/// A list of texts, which in Go has this very type.
pub(crate) fn text_list<'t>(items: impl IntoIterator<Item = &'t str>) -> Value {
    List::typed(&Type::String, items.into_iter().map(Value::from).collect()).into()
}

/// The parameters with maps and lists of their own: templates and merges change them in place.
pub(crate) fn copy(params: &Map, budget: &Budget) -> Result<Map, ErrorKind> {
    let mut entries = BTreeMap::new();
    for (key, value) in params.entries() {
        budget.step(1).map_err(ErrorKind::Limit)?;
        budget.bytes(ENTRY).map_err(ErrorKind::Limit)?;
        entries.insert(key, copy_value(&value, budget)?);
    }
    Ok(Map::typed(params.of(), entries))
}

fn copy_value(value: &Value, budget: &Budget) -> Result<Value, ErrorKind> {
    budget.stack().map_err(ErrorKind::Limit)?;
    Ok(match value {
        Value::Map(map) => copy(map, budget)?.into(),
        Value::List(list) => {
            budget.step(list.len() as u64).map_err(ErrorKind::Limit)?;
            budget.bytes(list.len() * size_of::<Value>()).map_err(ErrorKind::Limit)?;
            let items: Result<_, _> = list.to_vec().iter().map(|item| copy_value(item, budget)).collect();
            List::typed(list.elem(), items?).into()
        }
        other => other.clone(),
    })
}

/// Merges `over` into `base`: mappings one by one, of all else `over` wins (dario.cat/mergo's `Merge` with override).
/// Fails where `over` has a mapping of anything and `base` one of texts, which Go can't hold.
pub(crate) fn merge(base: &Map, over: &Map, budget: &Budget) -> Result<(), ErrorKind> {
    for (key, value) in over.entries() {
        match (base.get(key.as_bytes()), &value) {
            (Some(Value::Map(own)), Value::Map(other)) if !own.is_empty() => {
                if own.of().elem == Type::String && other.of().elem != Type::String && !other.is_empty() {
                    return Err(ErrorKind::Merge(format!(
                        "`{key}` of one generator holds texts only, and of another anything; Argo CD can't merge them: \
                         set `{key}` of both by the generators' `values`"
                    )));
                }
                merge(&own, other, budget)?;
            }
            _ => {
                budget.bytes(ENTRY).map_err(ErrorKind::Limit)?;
                base.insert(key, copy_value(&value, budget)?);
            }
        }
    }
    Ok(())
}

/// `%v`
pub(crate) fn print(value: &Value, budget: &Budget) -> Result<Str, ErrorKind> {
    sprint(budget, std::slice::from_ref(value)).map_err(ErrorKind::Limit)
}

/// The parameters by names like `a.b.0`, each as a text (jeremywohl/flatten). Lists of one type count as one value.
pub(crate) fn flatten(params: &Map, budget: &Budget) -> Result<BTreeMap<String, Str>, ErrorKind> {
    let mut flat = BTreeMap::new();
    for (key, value) in params.entries() {
        flatten_into(&mut flat, key.to_text().into_owned(), &value, budget)?;
    }
    Ok(flat)
}

fn flatten_into(
    flat: &mut BTreeMap<String, Str>,
    name: String,
    value: &Value,
    budget: &Budget,
) -> Result<(), ErrorKind> {
    budget.step(1).and_then(|()| budget.bytes(name.len() + ENTRY)).map_err(ErrorKind::Limit)?;
    budget.stack().map_err(ErrorKind::Limit)?;
    match value {
        Value::Map(map) => {
            for (key, value) in map.entries() {
                flatten_into(flat, format!("{name}.{key}"), &value, budget)?;
            }
        }
        Value::List(list) if *list.elem() == Type::Any => {
            for (index, value) in list.to_vec().iter().enumerate() {
                flatten_into(flat, format!("{name}.{index}"), value, budget)?;
            }
        }
        other => {
            flat.insert(name, print(other, budget)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_gotmpl::Limits;

    use super::*;

    fn budget() -> Budget {
        Budget::new(slipway_budget::Budget::default(), Limits::default())
    }

    fn map(json: &serde_json::Value) -> Map {
        from_json(json, &budget()).unwrap().as_map().unwrap().clone()
    }

    #[test]
    fn names_are_flattened_as_in_argo_cd() {
        let params = map(&json!({"a": {"b": [1, {"c": null}], "e": []}, "n": 1_000_000, "t": true}));
        params.insert("labels", texts([(&"x.y".to_owned(), &"1".to_owned())]));
        params.insert("segments", text_list(["p", "q"]));
        let flat: Vec<String> =
            flatten(&params, &budget()).unwrap().iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(flat, ["a.b.0=1", "a.b.1.c=<nil>", "labels.x.y=1", "n=1e+06", "segments=[p q]", "t=true"]);
    }

    #[test]
    fn what_comes_later_wins_in_each_mapping() {
        let base = map(&json!({"a": {"b": 1, "c": {"d": 1}}, "l": [1], "m": {}}));
        let over = map(&json!({"a": {"c": {"e": 2}, "b": null}, "l": [], "m": {"x": 1}}));
        let merged = copy(&base, &budget()).unwrap();
        merge(&merged, &over, &budget()).unwrap();
        let shown = Value::from(merged).to_json().unwrap();
        assert_eq!(shown, json!({"a": {"b": null, "c": {"d": 1, "e": 2}}, "l": [], "m": {"x": 1}}));
        assert_eq!(Value::from(base).to_json().unwrap()["a"]["c"], json!({"d": 1}), "a copy is a copy");
        let typed: Map = [("v", texts([(&"k".to_owned(), &"1".to_owned())]))].into_iter().collect();
        let told = merge(&typed, &map(&json!({"v": {"k": "2"}})), &budget()).unwrap_err().to_string();
        assert!(told.contains("Argo CD can't merge them"), "{told}");
    }
}
