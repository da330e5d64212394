//! TOML as BurntSushi/toml v1.6 writes (`encode.go`) and reads it.

use std::fmt::Write as _;

use slipway_gocompat::strconv::format_float;
use slipway_gotmpl::{Context, FuncError, Kind, List, Map, Str, Value};

use crate::encode::push_quoted;
use crate::sprig::dates::Time;
use crate::sprig::{Outcome, misused};

/// Helm's `fromToml`: a map; one with the key `Error` if the text is no TOML.
pub(super) fn decode(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(text)] = args else { return misused() };
    cx.budget().bytes(text.len().saturating_mul(8))?;
    let text = text.to_text();
    let table: ::toml::Table = match text.parse() {
        Ok(table) => table,
        Err(e) => {
            let e: ::toml::de::Error = e;
            let at = e.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            let failed = Value::from(format!("toml: line {line}: {}", e.message()));
            return Ok(Value::Map([(Str::from("Error"), failed)].into_iter().collect()));
        }
    };
    Ok(Value::Map(table.iter().map(|(key, value)| (key.as_str(), from_toml(value))).collect()))
}

fn from_toml(value: &::toml::Value) -> Value {
    match value {
        ::toml::Value::String(text) => text.as_str().into(),
        ::toml::Value::Integer(int) => Value::int64(*int),
        ::toml::Value::Float(float) => Value::Float(*float),
        ::toml::Value::Boolean(flag) => (*flag).into(),
        ::toml::Value::Datetime(at) => at.to_string().into(),
        ::toml::Value::Array(list) => {
            let items: Vec<Value> = list.iter().map(from_toml).collect();
            let tables = !items.is_empty() && items.iter().all(|item| matches!(item, Value::Map(_)));
            if tables { List::typed(&slipway_gotmpl::MAP, items).into() } else { items.into() }
        }
        ::toml::Value::Table(table) => Value::Map(table.iter().map(|(k, v)| (k.as_str(), from_toml(v))).collect()),
    }
}

/// Helm's `toToml`: the text; for what TOML lacks the message of the error, as Helm gives it. With `must` that is an
/// error.
pub(super) fn encode(cx: &Context<'_>, value: &Value, must: bool) -> Outcome {
    let mut writer = Writer { cx, out: String::new() };
    let done = match value {
        Value::List(list) if is_table(value) && !list.is_empty() => {
            Err(Stop::Toml("toml: top-level values must be Go maps or structs".to_owned()))
        }
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        Value::Map(map) => writer.table(&[], map, 0),
        other => writer.inline(other, 0),
    };
    cx.budget().bytes(writer.out.len())?;
    match done {
        Ok(()) => Ok(writer.out.into()),
        Err(Stop::Toml(message)) if must => Err(message.into()),
        Err(Stop::Toml(message)) => Ok(message.into()),
        Err(Stop::Function(e)) => Err(e),
    }
}

enum Stop {
    /// What Helm prints in place of the document.
    Toml(String),
    Function(FuncError),
}

impl<E: Into<FuncError>> From<E> for Stop {
    fn from(e: E) -> Self {
        Self::Function(e.into())
    }
}

struct Writer<'c, 'x> {
    cx: &'c Context<'x>,
    out: String,
}

impl Writer<'_, '_> {
    fn indent(&mut self, path: &[String]) {
        self.out.extend(std::iter::repeat_n("  ", path.len().saturating_sub(1)));
    }

    /// A table: its plain keys first, then the tables below it.
    fn table(&mut self, path: &[String], map: &Map, depth: usize) -> Result<(), Stop> {
        self.check(depth)?;
        let (tables, plain): (Vec<_>, Vec<_>) = map.entries().into_iter().partition(|(_, value)| is_table(value));
        for (key, value) in plain.iter().filter(|(_, value)| !matches!(value, Value::Nil)) {
            let mut at = path.to_vec();
            at.push(quoted_key(&key.to_text()));
            self.indent(&at);
            self.out.push_str(at.last().map_or("", String::as_str));
            self.out.push_str(" = ");
            self.inline(value, depth + 1)?;
            self.out.push('\n');
        }
        for (key, value) in &tables {
            let mut at = path.to_vec();
            at.push(quoted_key(&key.to_text()));
            self.below(&at, value, depth)?;
        }
        Ok(())
    }

    fn below(&mut self, path: &[String], value: &Value, depth: usize) -> Result<(), Stop> {
        match value {
            Value::Map(map) => {
                if path.len() == 1 {
                    self.separate();
                }
                self.indent(path);
                let _ = writeln!(self.out, "[{}]", path.join("."));
                self.table(path, map, depth + 1)
            }
            Value::List(list) => {
                for item in list.to_vec() {
                    let Value::Map(map) = &item else { continue };
                    self.separate();
                    self.indent(path);
                    let _ = writeln!(self.out, "[[{}]]", path.join("."));
                    self.table(path, map, depth + 1)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A blank line, but not at the start.
    fn separate(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn check(&self, depth: usize) -> Result<(), Stop> {
        self.cx.budget().step(1)?;
        self.cx.budget().stack()?;
        self.cx.budget().bytes(0)?;
        if depth > 200 || self.out.len() > self.cx.budget().shared().limits().bytes {
            return Err(Stop::Function("toml: value is too large or nested too deeply".into()));
        }
        Ok(())
    }

    fn inline(&mut self, value: &Value, depth: usize) -> Result<(), Stop> {
        self.check(depth)?;
        if let Some(time) = value.downcast::<Time>() {
            self.out.push_str(&time.0.rfc3339());
            return Ok(());
        }
        match value.plain().as_ref() {
            Value::Bool(flag) => self.out.push_str(if *flag { "true" } else { "false" }),
            Value::Int(_, int) => self.out.push_str(&int.to_string()),
            Value::Uint(_, int) => self.out.push_str(&int.to_string()),
            Value::Float(float) => self.out.push_str(&float_text(*float)),
            Value::Str(text) => quoted(&mut self.out, &text.to_text()),
            Value::List(list) => self.list(list, depth)?,
            Value::Map(map) => self.inline_table(map, depth)?,
            Value::Nil => return Err(Stop::Toml("toml: cannot encode array with nil element".to_owned())),
            other => {
                let what = if other.kind() == Kind::Func { "func" } else { "type" };
                return Err(Stop::Toml(format!("toml: unsupported {what}: {}", other.type_name())));
            }
        }
        Ok(())
    }

    fn list(&mut self, list: &List, depth: usize) -> Result<(), Stop> {
        self.out.push('[');
        for (index, item) in list.to_vec().iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            self.inline(item, depth + 1)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn inline_table(&mut self, map: &Map, depth: usize) -> Result<(), Stop> {
        self.out.push('{');
        let entries = map.entries().into_iter().filter(|(_, value)| !matches!(value, Value::Nil));
        for (index, (key, value)) in entries.enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            self.out.push_str(&quoted_key(&key.to_text()));
            self.out.push_str(" = ");
            self.inline(&value, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }
}

/// A mapping, or a list of nothing but mappings.
fn is_table(value: &Value) -> bool {
    match value {
        Value::Map(_) => true,
        Value::List(list) => !list.is_empty() && list.borrow().iter().all(|item| matches!(item, Value::Map(_))),
        _ => false,
    }
}

fn float_text(float: f64) -> String {
    if float.is_nan() {
        return "nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let text = format_float(float, 'g', None);
    if text.contains(['.', 'e']) { text } else { text + ".0" }
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare {
        return key.to_owned();
    }
    let mut out = String::new();
    quoted(&mut out, key);
    out
}

fn quoted(out: &mut String, text: &str) {
    push_quoted(out, text, |c| c < ' ' || c == '\u{7f}');
}
