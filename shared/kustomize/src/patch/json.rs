//! JSON patches (RFC 6902) as Kustomize applies them (evanphx/json-patch v4): negative indices count from the end, and
//! `replace` of a key that a mapping does not have sets it.

use serde::Deserialize;
use serde_json::{Map, Value};
use slipway_budget::{Budget, Exceeded};
use slipway_manifest::json;

use crate::cost::{self, MAX_DEPTH, Size};
use crate::decode;
use crate::error::Error;
use crate::node::parse;

/// One operation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    #[serde(skip)]
    value: Option<Value>,
}

/// The operations in `text`, which is JSON where it begins with `[`, else YAML; `source` is for messages.
pub(crate) fn parse_patch(text: &str, source: &str, budget: &Budget) -> Result<Vec<Operation>, Error> {
    let bad = |problem: String| Error::refused(format!("{source} is not a JSON patch: {problem}"));
    let value = if text.starts_with('[') {
        json::pay(text.as_bytes(), budget)?;
        serde_json::from_str(text).map_err(|e| bad(e.to_string()))?
    } else {
        parse::settings(text, budget).map_err(|e| Error::Yaml { path: source.to_owned(), source: e })?
    };
    let list = match value {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        _ => return Err(bad("a list of operations is wanted".to_owned())),
    };
    budget.step(20 * list.len() as u64)?;
    list.into_iter()
        .map(|entry| {
            if let Some(value) = entry.get("value") {
                cost::of_value_copy(budget, value)?;
            }
            let value = entry.get("value").cloned();
            let entry = match entry {
                Value::Object(map) => Value::Object(map.into_iter().filter(|(key, _)| key != "value").collect()),
                _ => return Err(bad("an item is no operation".to_owned())),
            };
            decode::leniently::<Operation>(entry).map(|operation| Operation { value, ..operation }).map_err(bad)
        })
        .collect()
}

/// Applies the operations in order; the first that does not apply is the error.
pub(crate) fn apply(document: &mut Value, operations: &[Operation], budget: &Budget) -> Result<(), Error> {
    for operation in operations {
        operation.apply(document, budget).map_err(|problem| {
            let problem = match problem {
                Problem::Exceeded(exceeded) => return exceeded.into(),
                Problem::Other(problem) => problem,
            };
            let what = if operation.op.is_empty() { "an".to_owned() } else { format!("the {}", operation.op) };
            let place = operation.path.as_ref().map_or_else(String::new, |path| format!(" at `{path}`"));
            Error::refused(format!("{what} operation does not apply{place}: {problem}"))
        })?;
    }
    Ok(())
}

type Applied<T = ()> = Result<T, Problem>;

/// Why an operation does not apply.
enum Problem {
    Exceeded(Exceeded),
    Other(String),
}

impl From<Exceeded> for Problem {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Other(problem)
    }
}

impl From<&str> for Problem {
    fn from(problem: &str) -> Self {
        Self::Other(problem.to_owned())
    }
}

/// Pays for a copy of `value`, which is to stand at `path`.
fn pay(budget: &Budget, value: &Value, path: &str) -> Applied {
    let size = cost::of_value_copy(budget, value)?;
    let above = path.matches('/').count();
    if above > 0 && above + size.depth > MAX_DEPTH {
        return Err(format!("it would nest deeper than {MAX_DEPTH} levels").into());
    }
    Ok(())
}

impl Operation {
    fn apply(&self, document: &mut Value, budget: &Budget) -> Applied {
        let path = self.path.as_deref().ok_or("`path` is missing")?;
        let null = Value::Null;
        let value = || {
            let value = self.value.as_ref().unwrap_or(&null);
            pay(budget, value, path)?;
            Ok::<_, Problem>(value.clone())
        };
        match self.op.as_str() {
            "add" => add(document, path, value()?, budget),
            "remove" => remove(document, path, budget).map(drop),
            "replace" if path.is_empty() => {
                *document = value()?;
                Ok(())
            }
            "replace" => replace(document, path, value()?, budget),
            "move" => {
                let moved = remove(document, self.from()?, budget)?;
                pay(budget, &moved, path)?;
                add(document, path, moved, budget)
            }
            "copy" => {
                let copied = get(document, self.from()?, budget)?.unwrap_or(&null);
                pay(budget, copied, path)?;
                let copied = copied.clone();
                add(document, path, copied, budget)
            }
            "test" => {
                let found = if path.is_empty() { Some(&*document) } else { get(document, path, budget)? };
                let found = found.unwrap_or(&null);
                budget.step(Size::of_value(found).steps())?;
                if found == self.value.as_ref().unwrap_or(&null) { Ok(()) } else { Err("the value is another".into()) }
            }
            "" => Err("`op` is missing".into()),
            other => Err(format!("unexpected kind of operation `{other}`").into()),
        }
    }

    fn from(&self) -> Applied<&str> {
        self.from.as_deref().ok_or_else(|| "`from` is missing".into())
    }
}

/// What the last part of a path is looked up in.
enum Container<'a> {
    Map(&'a mut Map<String, Value>),
    List(&'a mut Vec<Value>),
}

fn find<'a>(document: &'a mut Value, path: &str, budget: &Budget) -> Applied<(Container<'a>, String)> {
    let missing = || Problem::from("the document has no such path");
    // Parts are copied, and a list's end may have to move.
    budget.step((4 + path.len() / 4) as u64)?;
    let mut parts: Vec<String> =
        path.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    let key = parts.pop().ok_or_else(missing)?;
    let mut node = document;
    for part in parts {
        node = match node {
            Value::Object(map) => map.get_mut(&part),
            Value::Array(list) => index(&part, list.len())?.and_then(|i| list.get_mut(i)),
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    match node {
        Value::Object(map) => {
            budget.step(map.len() as u64 / 4)?;
            Ok((Container::Map(map), key))
        }
        Value::Array(list) => {
            budget.step(list.len() as u64 / 4)?;
            Ok((Container::List(list), key))
        }
        _ => Err(missing()),
    }
}

/// The place of `part` in a list of `length`; `None` where it is beyond the end.
fn index(part: &str, length: usize) -> Applied<Option<usize>> {
    let n: i64 = part.parse().map_err(|_| format!("`{part}` is no index"))?;
    let size = i64::try_from(length).unwrap_or(i64::MAX);
    let n = if n < 0 { n + size } else { n };
    if n < 0 {
        return Err(format!("index `{part}` is out of bounds").into());
    }
    Ok(usize::try_from(n).ok().filter(|n| *n < length))
}

fn bounded(part: &str, length: usize) -> Applied<usize> {
    index(part, length)?.ok_or_else(|| format!("index `{part}` is out of bounds").into())
}

fn get<'a>(document: &'a mut Value, path: &str, budget: &Budget) -> Applied<Option<&'a Value>> {
    match find(document, path, budget)? {
        (Container::Map(map), key) => Ok(map.get(&key)),
        (Container::List(list), key) => Ok(list.get(bounded(&key, list.len())?)),
    }
}

fn add(document: &mut Value, path: &str, value: Value, budget: &Budget) -> Applied {
    match find(document, path, budget)? {
        (Container::Map(map), key) => {
            map.insert(key, value);
        }
        (Container::List(list), key) if key == "-" => list.push(value),
        (Container::List(list), key) => list.insert(bounded(&key, list.len() + 1)?, value),
    }
    Ok(())
}

fn replace(document: &mut Value, path: &str, value: Value, budget: &Budget) -> Applied {
    match find(document, path, budget)? {
        (Container::Map(map), key) => {
            map.insert(key, value);
        }
        (Container::List(list), key) => {
            let at = bounded(&key, list.len())?;
            if let Some(slot) = list.get_mut(at) {
                *slot = value;
            }
        }
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str, budget: &Budget) -> Applied<Value> {
    match find(document, path, budget)? {
        (Container::Map(map), key) => {
            map.shift_remove(&key).ok_or_else(|| format!("there is no `{key}` to remove").into())
        }
        (Container::List(list), key) => Ok(list.remove(bounded(&key, list.len())?)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_apply_as_in_kustomize() {
        let mut document = json!({"a": {"b/c": 1, "list": [1, 2, 3]}});
        let patch = "
- {op: add, path: /a/list/-, value: 4}
- {op: add, path: /a/list/-1, value: 9}
- {op: replace, path: /a/new, value: x}
- {op: remove, path: /a/b~1c}
- {op: move, from: /a/list/0, path: /first}
- {op: copy, from: /a/new, path: /copy}
- {op: test, path: /copy, value: x}
";
        let budget = Budget::default();
        apply(&mut document, &parse_patch(patch, "p", &budget).unwrap(), &budget).unwrap();
        assert_eq!(document, json!({"a": {"list": [2, 3, 4, 9], "new": "x"}, "first": 1, "copy": "x"}));
    }

    #[test]
    fn what_does_not_apply_says_where() {
        let budget = Budget::default();
        let parse = |patch| parse_patch(patch, "p", &budget);
        let error = |patch| apply(&mut json!({"l": [1]}), &parse(patch).unwrap(), &budget).unwrap_err().to_string();
        assert_eq!(
            error("- {op: remove, path: /x}"),
            "the remove operation does not apply at `/x`: there is no `x` to remove"
        );
        assert_eq!(
            error("- {op: add, path: /l/5, value: 1}"),
            "the add operation does not apply at `/l/5`: index `5` is out of bounds"
        );
        assert_eq!(
            error("- {op: test, path: /l/0, value: 2}"),
            "the test operation does not apply at `/l/0`: the value is another"
        );
        assert!(parse("kind: Deployment").is_err());
    }
}
