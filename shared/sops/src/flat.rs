//! Files of `KEY=VALUE`: the metadata stands in keys such as `sops_age__list_0__map_enc` (getsops/sops
//! `stores/dotenv/store.go`, `stores/flatten.go`).

use serde_json::{Map, Value};

use crate::SopsError;

const METADATA: &str = "sops_";
/// Keys that one file is encrypted for.
const MAX_ITEMS: usize = 100;
const MAP: &str = "__map_";
const LIST: &str = "__list_";

/// The values by key, and the metadata below `sops`. Comments are left out.
pub(crate) fn read(text: &str) -> Result<Value, SopsError> {
    let (mut values, mut metadata) = (Map::new(), Value::Null);
    let lines = text.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (number, line) in lines.enumerate() {
        let invalid = || SopsError::Metadata(format!("line {} of the values is no KEY=VALUE", number + 1));
        let (key, value) = line.split_once('=').ok_or_else(invalid)?;
        let value = Value::String(value.replace("\\n", "\n"));
        match key.strip_prefix(METADATA) {
            Some(flat) => {
                let wrong = || SopsError::Metadata(format!("`{key}` can't be placed"));
                place(&mut metadata, flat, value).ok_or_else(wrong)?;
            }
            None => drop(values.insert(key.to_owned(), value)),
        }
    }
    values.insert("sops".to_owned(), metadata);
    Ok(Value::Object(values))
}

/// One step of a flat key.
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

/// The steps of a flat key: `age__list_0__map_enc` are `age`, 0 and `enc`.
fn steps(mut key: &str) -> Option<Vec<Step<'_>>> {
    let next = |key: &str| [key.find(MAP), key.find(LIST)].into_iter().flatten().min().unwrap_or(key.len());
    let (first, rest) = key.split_at_checked(next(key))?;
    let mut steps = vec![Step::Name(first)];
    key = rest;
    while !key.is_empty() {
        let (is_index, after) = match key.strip_prefix(MAP) {
            Some(name) => (false, name),
            None => (true, key.strip_prefix(LIST)?),
        };
        let (own, rest) = after.split_at_checked(next(after))?;
        steps.push(if is_index { Step::Index(own.parse().ok()?) } else { Step::Name(own) });
        key = rest;
    }
    Some(steps)
}

/// Puts `value` where the flat `key` says, below `at`; `None` where that can't be.
fn place(mut at: &mut Value, key: &str, value: Value) -> Option<()> {
    for step in steps(key)? {
        at = match step {
            Step::Name(name) => {
                if at.is_null() {
                    *at = Value::Object(Map::new());
                }
                at.as_object_mut()?.entry(name).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if at.is_null() {
                    *at = Value::Array(Vec::new());
                }
                let items = at.as_array_mut().filter(|_| index < MAX_ITEMS)?;
                items.resize(items.len().max(index + 1), Value::Null);
                items.get_mut(index)?
            }
        };
    }
    *at = value;
    Some(())
}

/// The lines of the values.
pub(crate) fn write(values: &Map<String, Value>) -> String {
    let line = |(key, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), |text| text.replace('\n', "\\n"));
        format!("{key}={value}\n")
    };
    values.iter().map(line).collect()
}
