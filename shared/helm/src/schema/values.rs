//! Compares and prints JSON values as the library does.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::number::Decimal;

pub(super) fn missing<'k>(map: &Map<String, Json>, keys: &'k [String]) -> Option<Vec<&'k String>> {
    let missing: Vec<&String> = keys.iter().filter(|key| !map.contains_key(*key)).collect();
    (!missing.is_empty()).then_some(missing)
}

pub(super) fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

pub(super) fn is_integer(value: &Json) -> bool {
    matches!(value, Json::Number(number) if Decimal::new(number).is_integer())
}

/// Whether two values are the same; numbers however they are written.
pub(super) fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => Decimal::new(a) == Decimal::new(b),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The places of the first two items that are the same.
pub(super) fn duplicates(list: &[Json]) -> Option<(usize, usize)> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    list.iter().enumerate().find_map(|(at, item)| {
        let mut text = String::new();
        canonical(item, &mut text);
        seen.insert(text, at).map(|first| (first, at))
    })
}

/// `value` as a text that equal values share.
fn canonical(value: &Json, out: &mut String) {
    match value {
        Json::Number(number) => {
            let _ = write!(out, "{}", Decimal::new(number));
        }
        Json::Array(list) => {
            out.push('[');
            for item in list {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Json::Object(map) => {
            out.push('{');
            let sorted: BTreeMap<_, _> = map.iter().collect();
            for (key, value) in sorted {
                let _ = write!(out, "{}:", Json::from(key.as_str()));
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

/// A value of the schema, unless it is a list or a mapping.
pub(super) fn shown(value: &Json) -> Option<String> {
    match value {
        Json::Array(_) | Json::Object(_) => None,
        Json::String(text) => Some(quoted(text)),
        Json::Null => Some("<nil>".to_owned()),
        other => Some(other.to_string()),
    }
}

pub(super) fn quoted(text: &str) -> String {
    let text = slipway_gocompat::strconv::quote(text.as_bytes()).replace("\\\"", "\"").replace('\'', "\\'");
    format!("'{}'", text.get(1..text.len() - 1).unwrap_or_default())
}

pub(super) fn all_quoted(keys: &[&String]) -> String {
    keys.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ")
}
