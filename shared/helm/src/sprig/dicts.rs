//! Maps (Masterminds/sprig `dict.go`, dario.cat/mergo `merge.go`).

use slipway_gotmpl::{Context, FuncError, Function, List, MAP, Map, MapType, Str, Type, Value};

use super::cast::{is_empty, text};
use super::{Outcome, misused};

pub(super) const TABLE: &[Function] = &[
    Function::variadic("dict", &[Type::Any], dict),
    Function::new("get", &[MAP, Type::String], get),
    Function::new("set", &[MAP, Type::String, Type::Any], set),
    Function::new("unset", &[MAP, Type::String], unset),
    Function::new("hasKey", &[MAP, Type::String], has_key),
    Function::variadic("pluck", &[Type::String, MAP], pluck),
    Function::variadic("keys", &[MAP], keys),
    Function::variadic("pick", &[MAP, Type::String], |cx, args| select(cx, args, true)),
    Function::variadic("omit", &[MAP, Type::String], |cx, args| select(cx, args, false)),
    Function::variadic("merge", &[MAP, MAP], |cx, args| merge_all(cx, args, false)),
    Function::variadic("mustMerge", &[MAP, MAP], |cx, args| merge_all(cx, args, false)),
    Function::variadic("mergeOverwrite", &[MAP, MAP], |cx, args| merge_all(cx, args, true)),
    Function::variadic("mustMergeOverwrite", &[MAP, MAP], |cx, args| merge_all(cx, args, true)),
    Function::new("values", &[MAP], values),
    Function::new("deepCopy", &[Type::Any], copy),
    Function::new("mustDeepCopy", &[Type::Any], copy),
    Function::variadic("dig", &[Type::Any], dig),
];

fn dict(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let map = Map::new();
    for pair in args.chunks(2) {
        if let [key, rest @ ..] = pair {
            map.insert(text(cx, key)?, rest.first().cloned().unwrap_or(Value::literal("")));
        }
    }
    Ok(map.into())
}

fn get(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Map(map), Value::Str(key)] => Ok(map.get(key.as_bytes()).unwrap_or(Value::literal(""))),
        [Value::Nil, _] => Ok(Value::literal("")),
        _ => misused(),
    }
}

fn set(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Map(map), Value::Str(key), value] if !map.is_nil() => {
            cx.budget().step(72)?;
            map.insert(key.clone(), value.clone());
            Ok(map.clone().into())
        }
        [_, _, _] => Err("assignment to entry in nil map".into()),
        _ => misused(),
    }
}

fn unset(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Map(map), Value::Str(key)] => {
            map.remove(key.as_bytes());
            Ok(map.clone().into())
        }
        [Value::Nil, _] => Ok(Map::nil(MapType::ANY).into()),
        _ => misused(),
    }
}

fn has_key(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Map(map), Value::Str(key)] => Ok(map.contains(key.as_bytes()).into()),
        [Value::Nil, _] => Ok(false.into()),
        _ => misused(),
    }
}

fn pluck(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(key), maps @ ..] = args else { return misused() };
    Ok(maps.iter().filter_map(|map| map.as_map()?.get(key.as_bytes())).collect::<Vec<_>>().into())
}

#[allow(clippy::unnecessary_wraps, reason = "the shape of a function in the table")]
fn keys(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let keys = args.iter().filter_map(Value::as_map).flat_map(Map::entries).map(|(key, _)| Value::Str(key));
    Ok(List::typed(&Type::String, keys.collect()).into())
}

fn select(cx: &Context<'_>, args: &[Value], keep: bool) -> Outcome {
    let [map, names @ ..] = args else { return misused() };
    // Each key is held to each name.
    let compared = map.as_map().map_or(0, Map::len).saturating_mul(names.len());
    cx.budget().step(compared as u64 / 4)?;
    let entries = map.as_map().map(Map::entries).unwrap_or_default();
    let is_listed = |key: &Str| names.iter().any(|name| name.as_str() == Some(key));
    Ok(Value::Map(entries.into_iter().filter(|(key, _)| is_listed(key) == keep).collect()))
}

fn values(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [map] = args else { return misused() };
    let entries = map.as_map().map(Map::entries).unwrap_or_default();
    Ok(entries.into_iter().map(|(_, value)| value).collect::<Vec<_>>().into())
}

fn copy(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Nil] => Err("reflect: call of reflect.Value.Type on zero Value".into()),
        [value] => deep_copy(cx, value),
        _ => misused(),
    }
}

/// mitchellh/copystructure: new lists and maps of the same types.
fn deep_copy(cx: &Context<'_>, value: &Value) -> Outcome {
    cx.budget().step(1)?;
    cx.budget().stack()?;
    Ok(match value {
        Value::Map(map) if !map.is_nil() => {
            cx.budget().bytes(map.len().saturating_mul(size_of::<(Str, Value)>()))?;
            // Each new dict allocates a table with a slot for each key.
            cx.budget().step(24 + 18 * map.len() as u64)?;
            let entries: Result<_, FuncError> =
                map.entries().into_iter().map(|(key, value)| Ok((key, deep_copy(cx, &value)?))).collect();
            Map::typed(map.of(), entries?).into()
        }
        Value::List(list) if !list.is_nil() => {
            cx.budget().bytes(list.len().saturating_mul(size_of::<Value>()))?;
            let items: Result<_, FuncError> = list.to_vec().iter().map(|item| deep_copy(cx, item)).collect();
            List::typed(list.elem(), items?).into()
        }
        other => other.clone(),
    })
}

fn dig(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [path @ .., default, dict] = args else { return Err("dig needs at least three arguments".into()) };
    if path.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut at = dict.clone();
    for step in path {
        let Value::Map(map) = &at else { return conversion(&at, "map[string]interface {}") };
        if map.of().name.is_some() || map.of().elem != Type::Any {
            return conversion(&at, "map[string]interface {}");
        }
        let Value::Str(key) = step else { return conversion(step, "string") };
        match map.get(key.as_bytes()) {
            Some(next) => at = next,
            None => return Ok(default.clone()),
        }
    }
    Ok(at)
}

fn conversion(value: &Value, wanted: &str) -> Outcome {
    let found = if matches!(value, Value::Nil) { "nil".into() } else { value.type_name() };
    Err(format!("interface conversion: interface {{}} is {found}, not {wanted}").into())
}

fn merge_all(cx: &mut Context<'_>, args: &[Value], overwrite: bool) -> Outcome {
    let [target, sources @ ..] = args else { return misused() };
    let sources = sources.iter().filter_map(Value::as_map);
    let Value::Map(target) = target else {
        // A nil map is replaced by a new one before the merge.
        let target = Map::new();
        for source in sources {
            merge(cx, &target, source, overwrite)?;
        }
        return Ok(target.into());
    };
    for source in sources {
        merge(cx, target, source, overwrite)?;
    }
    Ok(target.clone().into())
}

/// mergo's merge of maps: what is empty in the target counts as absent; mappings below are merged in place, and those
/// that the target lacks are shared with the source.
fn merge(cx: &Context<'_>, target: &Map, source: &Map, overwrite: bool) -> Result<(), FuncError> {
    cx.budget().stack()?;
    if target.same(source) {
        return Ok(());
    }
    for (key, value) in source.entries() {
        cx.budget().step(6)?;
        let own = target.get(key.as_bytes());
        match (&value, &own) {
            (Value::Nil, _) => {
                if overwrite {
                    target.insert(key, Value::Nil);
                }
                continue;
            }
            (Value::Map(inner), Some(Value::Map(below))) => {
                let was_empty = below.is_empty();
                merge(cx, below, inner, overwrite)?;
                if !was_empty {
                    continue;
                }
            }
            _ => {}
        }
        if overwrite || own.as_ref().is_none_or(is_empty) {
            cx.budget().bytes(key.len() + size_of::<(Str, Value)>())?;
            target.insert(key, value);
        }
    }
    Ok(())
}
