//! `--set` and its sisters: `a.b[0].c=value,…` into values (helm/helm `pkg/strvals`, `pkg/cli/values/options.go`).
//!
//! Numbers that `--set` recognises are integers (Go's int64); those in JSON are floats, as all numbers of value files.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value};

use crate::values::{as_floats, merge_maps};

/// Largest index of a list (Helm's own bound).
const MAX_INDEX: usize = 65_536;
/// Levels of `a.b.c` (Helm's own bound).
const MAX_DOTS: usize = 30;
/// Levels of maps and lists together: our bound, Helm has none for `[0][0]…`.
const MAX_DEPTH: usize = 128;
/// Empty places that one argument may add to lists: our bound, `a[65536][65536]…` would fill the memory.
const MAX_PADDING: usize = 1_000_000;

/// Which flag an assignment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetKind {
    /// `--set-json`: the value is JSON.
    Json,
    /// `--set`: booleans, null and integers are recognised.
    Typed,
    /// `--set-string`: every value is text.
    Text,
    /// `--set-file`: the value is the path of a file, whose text is taken.
    File,
    /// `--set-literal`: everything after `=` is text, commas and backslashes included.
    Literal,
}

impl SetKind {
    fn flag(self) -> &'static str {
        match self {
            Self::Json => "--set-json",
            Self::Typed => "--set",
            Self::Text => "--set-string",
            Self::File => "--set-file",
            Self::Literal => "--set-literal",
        }
    }
}

/// One assignment as given on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The flag.
    pub kind: SetKind,
    /// What follows it.
    pub text: String,
}

impl Set {
    /// An assignment of kind `kind`.
    pub fn new(kind: SetKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// An assignment that can't be read. Names the key and never the value, which may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse {flag}{}: {reason}", of_key(key))]
pub struct SetError {
    /// `--set`, `--set-json`, …
    pub flag: &'static str,
    /// What stands before the first `=`; empty where nothing does.
    pub key: String,
    /// What is wrong, in Helm's words where those quote nothing.
    pub reason: String,
}

/// What names the assignment; a JSON document has no such thing.
fn key_of(set: &Set) -> &str {
    let key = set.text.split_once('=').map_or("", |(key, _)| key);
    if set.kind == SetKind::Json && key.trim_start().starts_with('{') { "" } else { key }
}

fn of_key(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(" `{key}=…`") }
}

/// Applies `sets` to `values`, kind by kind in Helm's order: JSON, typed, text, file, literal; within a kind in the
/// given order. `read_file` gives the text behind the path of a `--set-file`.
pub(crate) fn apply(
    values: &mut Map<String, Value>,
    sets: &[Set],
    read_file: &dyn Fn(&str) -> Result<String, String>,
) -> Result<(), SetError> {
    let mut ordered: Vec<&Set> = sets.iter().collect();
    ordered.sort_by_key(|set| set.kind);
    for set in ordered {
        apply_one(values, set, read_file).map_err(|reason| SetError {
            flag: set.kind.flag(),
            key: key_of(set).to_owned(),
            reason,
        })?;
    }
    Ok(())
}

fn apply_one(
    values: &mut Map<String, Value>,
    set: &Set,
    read_file: &dyn Fn(&str) -> Result<String, String>,
) -> Result<(), String> {
    if set.kind == SetKind::Json && set.text.trim_start().starts_with('{') {
        let object: Value = serde_json::from_str(set.text.trim()).map_err(|e| e.to_string())?;
        if let Value::Object(map) = as_floats(object) {
            merge_maps(values, map);
        }
        return Ok(());
    }
    let mut parser = Parser { rest: set.text.chars().peekable(), kind: set.kind, read_file, padding: 0, depth: 0 };
    loop {
        match parser.key(values, 0) {
            Ok(()) => {}
            Err(Stop::End) => return Ok(()),
            Err(Stop::Wrong(reason)) => return Err(reason),
        }
    }
}

/// Why a step of the parser gives back: the text is at its end (which is no error), or wrong.
enum Stop {
    End,
    Wrong(String),
}

fn wrong<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Wrong(reason.into()))
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    kind: SetKind,
    read_file: &'a dyn Fn(&str) -> Result<String, String>,
    padding: usize,
    depth: usize,
}

impl Parser<'_> {
    /// Text up to one of `stops`, which is consumed; `None` as stop at the end. A backslash takes the next character
    /// as it is, but not in literals.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            if stops.contains(&c) {
                return (text, Some(c));
            }
            if c == '\\' && self.kind != SetKind::Literal {
                match self.rest.next() {
                    Some(next) => text.push(next),
                    None => break,
                }
            } else {
                text.push(c);
            }
        }
        (text, None)
    }

    fn descend<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return wrong(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let done = step(self);
        self.depth -= 1;
        done
    }

    fn key(&mut self, data: &mut Map<String, Value>, dots: usize) -> Result<(), Stop> {
        let stops: &[char] = if self.kind == SetKind::Literal { &['=', '[', '.'] } else { &['=', '[', '.', ','] };
        let (key, stop) = self.until(stops);
        match stop {
            None if key.is_empty() => Err(Stop::End),
            None => wrong("a key has no value"),
            Some('[') => {
                let index = self.index()?;
                let mut list = match data.get_mut(&key) {
                    None => Vec::new(),
                    Some(Value::Array(list)) => std::mem::take(list),
                    Some(_) => return wrong("unable to parse key: it is not a list"),
                };
                let done = self.descend(|p| p.item(&mut list, index, dots));
                put(data, key, Value::Array(list));
                done
            }
            Some('=') => self.assign(|value| {
                put(data, key, value);
                Ok(())
            }),
            Some('.') => {
                if dots >= MAX_DOTS {
                    return wrong(format!(
                        "value name nested level is greater than maximum supported nested level of {MAX_DOTS}"
                    ));
                }
                let mut inner = match data.get_mut(&key) {
                    None => Map::new(),
                    Some(Value::Object(map)) => std::mem::take(map),
                    Some(_) => return wrong("unable to parse key: it is not a mapping"),
                };
                let done = self.descend(|p| p.key(&mut inner, dots + 1));
                if done.is_ok() && inner.is_empty() {
                    return wrong("a key map has no value");
                }
                if !inner.is_empty() || data.contains_key(&key) {
                    put(data, key, Value::Object(inner));
                }
                done
            }
            Some(_) => wrong("a key has no value (cannot end with ,)"),
        }
    }

    fn index(&mut self) -> Result<usize, Stop> {
        let (digits, stop) = self.until(&[']']);
        if stop.is_none() {
            return Err(Stop::End);
        }
        let index: i64 = digits.parse().or_else(|_| wrong("error parsing index: it is not a number"))?;
        match usize::try_from(index) {
            Err(_) => wrong("negative index not allowed"),
            Ok(index) if index > MAX_INDEX => {
                wrong(format!("index is greater than maximum supported index of {MAX_INDEX}"))
            }
            Ok(index) => Ok(index),
        }
    }

    /// What follows `[index]`.
    fn item(&mut self, list: &mut Vec<Value>, index: usize, dots: usize) -> Result<(), Stop> {
        let (extra, stop) = self.until(&['[', '.', '=']);
        if !extra.is_empty() {
            return wrong("unexpected data at end of array index");
        }
        match stop {
            None => Err(Stop::End),
            Some('=') => {
                let mut assigned = None;
                self.assign(|value| {
                    assigned = Some(value);
                    Ok(())
                })
                .or_else(|stop| if assigned.is_some() { Ok(()) } else { Err(stop) })?;
                self.put_at(list, index, assigned.unwrap_or(Value::Null))
            }
            Some('[') => {
                let next = self.index()?;
                let mut inner = match list.get_mut(index) {
                    None | Some(Value::Null) => Vec::new(),
                    Some(Value::Array(inner)) => std::mem::take(inner),
                    Some(_) => return wrong("unable to parse key: the item is not a list"),
                };
                let done = self.descend(|p| p.item(&mut inner, next, dots));
                if done.is_ok() || index < list.len() {
                    self.put_at(list, index, Value::Array(inner))?;
                }
                done
            }
            Some(_) => {
                // Helm changes a mapping that is in the list in place, even when the text ends here; a new one it
                // adds only when the value is whole.
                let mut fresh = Map::new();
                match list.get_mut(index) {
                    None => {
                        self.descend(|p| p.key(&mut fresh, dots))?;
                        self.put_at(list, index, Value::Object(fresh))
                    }
                    Some(slot) => {
                        if !slot.is_object() {
                            *slot = Value::Object(fresh);
                        }
                        let Value::Object(inner) = slot else { return Ok(()) };
                        self.descend(|p| p.key(inner, dots))
                    }
                }
            }
        }
    }

    fn put_at(&mut self, list: &mut Vec<Value>, index: usize, value: Value) -> Result<(), Stop> {
        if index >= list.len() {
            self.padding += index - list.len();
            if self.padding > MAX_PADDING {
                return wrong(format!("more than {MAX_PADDING} empty places in lists"));
            }
            list.resize(index + 1, Value::Null);
        }
        if let Some(slot) = list.get_mut(index) {
            *slot = value;
        }
        Ok(())
    }

    /// Reads the value after `=` and hands it to `store`. At the end of the text the value is empty and the result
    /// [`Stop::End`].
    fn assign(&mut self, store: impl FnOnce(Value) -> Result<(), Stop>) -> Result<(), Stop> {
        match self.kind {
            SetKind::Literal => {
                let text: String = self.rest.by_ref().collect();
                store(Value::String(text))
            }
            SetKind::Json => {
                let value = self.json()?;
                store(value)
            }
            _ if self.rest.peek().is_none() => {
                store(Value::String(String::new()))?;
                Err(Stop::End)
            }
            _ if self.rest.next_if_eq(&'{').is_some() => {
                let list = self.list()?;
                store(Value::Array(list))
            }
            _ => {
                let (text, _) = self.until(&[',']);
                let value = self.value(text)?;
                store(value)
            }
        }
    }

    fn json(&mut self) -> Result<Value, Stop> {
        if self.skip_blank() {
            return Ok(Value::Null);
        }
        let rest: String = self.rest.clone().collect();
        let mut stream = serde_json::Deserializer::from_str(&rest).into_iter::<Value>();
        let value = match stream.next() {
            Some(Ok(value)) => value,
            Some(Err(e)) => return wrong(e.to_string()),
            None => return Err(Stop::End),
        };
        let read = stream.byte_offset();
        for _ in rest.get(..read).unwrap_or_default().chars() {
            self.rest.next();
        }
        self.skip_blank();
        Ok(as_floats(value))
    }

    /// Skips blanks and one comma; whether the value is empty.
    fn skip_blank(&mut self) -> bool {
        loop {
            match self.rest.peek() {
                None => return true,
                Some(',') => {
                    self.rest.next();
                    return true;
                }
                Some(c) if c.is_whitespace() => {
                    self.rest.next();
                }
                Some(_) => return false,
            }
        }
    }

    /// The items of `{a,b}`, the brace being read.
    fn list(&mut self) -> Result<Vec<Value>, Stop> {
        let mut list = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            if stop.is_none() {
                return wrong("list must terminate with '}'");
            }
            list.push(self.value(text)?);
            if stop == Some('}') {
                self.rest.next_if_eq(&',');
                return Ok(list);
            }
        }
    }

    fn value(&self, text: String) -> Result<Value, Stop> {
        match self.kind {
            SetKind::Typed => Ok(typed(text)),
            SetKind::File => match (self.read_file)(&text) {
                Ok(content) => Ok(Value::String(content)),
                Err(reason) => wrong(reason),
            },
            _ => Ok(Value::String(text)),
        }
    }
}

fn put(data: &mut Map<String, Value>, key: String, value: Value) {
    if !key.is_empty() {
        data.insert(key, value);
    }
}

fn typed(text: String) -> Value {
    if text.eq_ignore_ascii_case("true") {
        return Value::Bool(true);
    }
    if text.eq_ignore_ascii_case("false") {
        return Value::Bool(false);
    }
    if text.eq_ignore_ascii_case("null") {
        return Value::Null;
    }
    if text == "0" {
        return Value::from(0);
    }
    // A leading zero marks what only looks like a number: versions, postal codes, file modes.
    if !text.starts_with('0')
        && let Ok(int) = text.parse::<i64>()
    {
        return Value::from(int);
    }
    Value::String(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(kind: SetKind, text: &str) -> Result<Value, String> {
        let mut values = Map::new();
        apply(&mut values, &[Set::new(kind, text)], &|path| Ok(format!("text of {path}")))
            .map(|()| Value::Object(values))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn assignments_of_each_kind() {
        for (kind, text, expected) in [
            (
                SetKind::Typed,
                "a.b=1,c=true,d=null,e=01,f=1.5",
                json!({"a": {"b": 1}, "c": true, "d": null, "e": "01", "f": "1.5"}),
            ),
            (SetKind::Typed, "a[1].b=x", json!({"a": [null, {"b": "x"}]})),
            (SetKind::Typed, "a={1,b},c=", json!({"a": [1, "b"], "c": ""})),
            (SetKind::Typed, r"a\.b=x\,y", json!({"a.b": "x,y"})),
            (SetKind::Text, "a=1", json!({"a": "1"})),
            (SetKind::Json, r#"a={"x":[1]},b=2"#, json!({"a": {"x": [1.0]}, "b": 2.0})),
            (SetKind::Literal, r"a.b=x,y\z=", json!({"a": {"b": r"x,y\z="}})),
            (SetKind::File, "a=f.txt", json!({"a": "text of f.txt"})),
        ] {
            assert_eq!(set(kind, text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn hostile_arguments_end_in_an_error() {
        let dots = "a.".repeat(40) + "b=1";
        let lists = format!("a{}=1", "[0]".repeat(10_000));
        let padding = format!("a{}=1", "[65536]".repeat(100));
        for text in ["a[99999]=1", "a[-1]=1", "a[18446744073709551616]=1", &dots, &lists, &padding] {
            let error = set(SetKind::Typed, text).unwrap_err();
            assert!(error.starts_with("failed to parse --set `a"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_key_and_no_value() {
        for (kind, text, wanted) in [
            (SetKind::Typed, "db.password=a,c4n4ry", "failed to parse --set `db.password=…`: a key has no value"),
            (
                SetKind::Typed,
                "passwords={c4n4ry,b",
                "failed to parse --set `passwords=…`: list must terminate with '}'",
            ),
            (SetKind::Text, "c4n4ry", "failed to parse --set-string: a key has no value"),
            (SetKind::Typed, "a[0]c4n4ry", "failed to parse --set: unexpected data at end of array index"),
        ] {
            assert_eq!(set(kind, text).unwrap_err(), wanted);
        }
        for text in ["{\"password\": \"x=c4n4ry\"", "password=c4n4ry"] {
            let error = set(SetKind::Json, text).unwrap_err();
            assert!(error.starts_with("failed to parse --set-json") && !error.contains("c4n4ry"), "{error}");
        }
    }
}
