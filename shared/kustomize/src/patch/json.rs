//! JSON patches (RFC 6902) as Kustomize applies them (evanphx/json-patch v4): negative indices count from the end, and
//! `replace` of a key that a mapping does not have sets it.

use serde::Deserialize;
use serde_json::{Map, Value};

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
pub(crate) fn parse_patch(text: &str, source: &str) -> Result<Vec<Operation>, Error> {
    let bad = |problem: String| Error::refused(format!("{source} is not a JSON patch: {problem}"));
    let value = if text.starts_with('[') {
        serde_json::from_str(text).map_err(|e| bad(e.to_string()))?
    } else {
        parse::settings(text).map_err(|e| Error::Yaml { path: source.to_owned(), source: e })?
    };
    let list = match value {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        _ => return Err(bad("a list of operations is wanted".to_owned())),
    };
    list.into_iter()
        .map(|entry| {
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
pub(crate) fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), Error> {
    for operation in operations {
        operation.apply(document).map_err(|problem| {
            let what = if operation.op.is_empty() { "an".to_owned() } else { format!("the {}", operation.op) };
            let place = operation.path.as_ref().map_or_else(String::new, |path| format!(" at `{path}`"));
            Error::refused(format!("{what} operation does not apply{place}: {problem}"))
        })?;
    }
    Ok(())
}

type Applied<T = ()> = Result<T, String>;

impl Operation {
    fn apply(&self, document: &mut Value) -> Applied {
        let path = self.path.as_deref().ok_or("`path` is missing")?;
        let value = || self.value.clone().unwrap_or(Value::Null);
        match self.op.as_str() {
            "add" => add(document, path, value()),
            "remove" => remove(document, path).map(drop),
            "replace" if path.is_empty() => {
                *document = value();
                Ok(())
            }
            "replace" => replace(document, path, value()),
            "move" => {
                let moved = remove(document, self.from()?)?;
                add(document, path, moved)
            }
            "copy" => {
                let copied = get(document, self.from()?)?.unwrap_or(Value::Null);
                add(document, path, copied)
            }
            "test" => {
                let found = if path.is_empty() { Some(document.clone()) } else { get(document, path)? };
                let same = found.unwrap_or(Value::Null) == value();
                if same { Ok(()) } else { Err("the value is another".to_owned()) }
            }
            "" => Err("`op` is missing".to_owned()),
            other => Err(format!("unexpected kind of operation `{other}`")),
        }
    }

    fn from(&self) -> Applied<&str> {
        self.from.as_deref().ok_or_else(|| "`from` is missing".to_owned())
    }
}

/// What the last part of a path is looked up in.
enum Container<'a> {
    Map(&'a mut Map<String, Value>),
    List(&'a mut Vec<Value>),
}

fn find<'a>(document: &'a mut Value, path: &str) -> Applied<(Container<'a>, String)> {
    let missing = || "the document has no such path".to_owned();
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
        Value::Object(map) => Ok((Container::Map(map), key)),
        Value::Array(list) => Ok((Container::List(list), key)),
        _ => Err(missing()),
    }
}

/// The place of `part` in a list of `length`; `None` where it is beyond the end.
fn index(part: &str, length: usize) -> Applied<Option<usize>> {
    let n: i64 = part.parse().map_err(|_| format!("`{part}` is no index"))?;
    let size = i64::try_from(length).unwrap_or(i64::MAX);
    let n = if n < 0 { n + size } else { n };
    if n < 0 {
        return Err(format!("index `{part}` is out of bounds"));
    }
    Ok(usize::try_from(n).ok().filter(|n| *n < length))
}

fn bounded(part: &str, length: usize) -> Applied<usize> {
    index(part, length)?.ok_or_else(|| format!("index `{part}` is out of bounds"))
}

fn get(document: &mut Value, path: &str) -> Applied<Option<Value>> {
    match find(document, path)? {
        (Container::Map(map), key) => Ok(map.get(&key).cloned()),
        (Container::List(list), key) => Ok(list.get(bounded(&key, list.len())?).cloned()),
    }
}

fn add(document: &mut Value, path: &str, value: Value) -> Applied {
    match find(document, path)? {
        (Container::Map(map), key) => {
            map.insert(key, value);
        }
        (Container::List(list), key) if key == "-" => list.push(value),
        (Container::List(list), key) => list.insert(bounded(&key, list.len() + 1)?, value),
    }
    Ok(())
}

fn replace(document: &mut Value, path: &str, value: Value) -> Applied {
    match find(document, path)? {
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

fn remove(document: &mut Value, path: &str) -> Applied<Value> {
    match find(document, path)? {
        (Container::Map(map), key) => map.shift_remove(&key).ok_or_else(|| format!("there is no `{key}` to remove")),
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
        apply(&mut document, &parse_patch(patch, "p").unwrap()).unwrap();
        assert_eq!(document, json!({"a": {"list": [2, 3, 4, 9], "new": "x"}, "first": 1, "copy": "x"}));
    }

    #[test]
    fn what_does_not_apply_says_where() {
        let error = |patch| apply(&mut json!({"l": [1]}), &parse_patch(patch, "p").unwrap()).unwrap_err().to_string();
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
        assert!(parse_patch("kind: Deployment", "p").is_err());
    }
}
