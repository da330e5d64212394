//! Writes values as JSON (Go's `encoding/json`) and YAML (sigs.k8s.io/yaml).

use std::fmt::Write as _;

use serde_json::{Number, Value as Json};
use slipway_gocompat::strconv::format_float;
use slipway_gotmpl::{Context, FuncError, List, Map, Numbers, Str, Value};
use slipway_manifest::yaml;

/// How JSON is written.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Style {
    /// `json.Marshal`: `<`, `>` and `&` as `\u003c`…
    Escaped,
    /// `json.MarshalIndent` with two blanks, escaped as well.
    Pretty,
    /// `json.Encoder` with `SetEscapeHTML(false)`.
    Raw,
}

/// What a native is in JSON: plain data, text, or its fields by their JSON names.
enum Plain {
    Value(Value),
    Fields(Vec<(&'static str, Value)>),
}

fn native(value: &Value) -> Option<Plain> {
    let Value::Native(native) = value else { return None };
    if let Some(plain) = native.json().or_else(|| native.plain()) {
        return Some(Plain::Value(plain));
    }
    let fields = native.json_fields();
    Some(if fields.is_empty() {
        Plain::Value(native.text().map(Value::Str).unwrap_or_default())
    } else {
        Plain::Fields(fields)
    })
}

/// `value` as JSON text. Fails for what JSON lacks, and beyond the budget.
pub(crate) fn to_text(cx: &Context<'_>, value: &Value, style: Style) -> Result<String, FuncError> {
    let mut writer = Writer { cx, out: String::new(), style, charged: 0 };
    writer.value(value, 0)?;
    writer.charge()?;
    Ok(writer.out)
}

struct Writer<'c, 'x> {
    cx: &'c Context<'x>,
    out: String,
    style: Style,
    charged: usize,
}

impl Writer<'_, '_> {
    fn charge(&mut self) -> Result<(), FuncError> {
        self.cx.budget().bytes(self.out.len() - self.charged)?;
        self.charged = self.out.len();
        Ok(())
    }

    fn line(&mut self, level: usize) {
        if self.style == Style::Pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", level));
        }
    }

    fn value(&mut self, value: &Value, level: usize) -> Result<(), FuncError> {
        self.cx.budget().step(3)?;
        self.charge()?;
        if level > MAX_DEPTH {
            return Err(format!("json: unsupported value: nested deeper than {MAX_DEPTH} levels").into());
        }
        self.cx.budget().stack()?;
        match value {
            Value::Nil => self.out.push_str("null"),
            Value::Bool(flag) => self.out.push_str(if *flag { "true" } else { "false" }),
            Value::Int(_, int) => self.out.push_str(&int.to_string()),
            Value::Uint(_, int) => self.out.push_str(&int.to_string()),
            Value::Float(float) => self.out.push_str(&number(*float)?),
            Value::Str(text) => {
                self.cx.budget().step(text.len() as u64 / 3)?;
                text_into(&mut self.out, &text.to_text(), self.style != Style::Raw);
                self.charge()?;
            }
            Value::List(list) if list.is_nil() => self.out.push_str("null"),
            Value::List(list) => self.list(list, level)?,
            Value::Map(map) if map.is_nil() => self.out.push_str("null"),
            Value::Map(map) => self.map(map, level)?,
            Value::Native(_) => match native(value) {
                Some(Plain::Value(plain)) => self.value(&plain, level)?,
                Some(Plain::Fields(fields)) => {
                    let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    self.fields(&fields, level)?;
                }
                None => {}
            },
            Value::Complex(..) | Value::Func(_) => {
                return Err(format!("json: unsupported type: {}", value.type_name()).into());
            }
        }
        Ok(())
    }

    fn list(&mut self, list: &List, level: usize) -> Result<(), FuncError> {
        if list.is_empty() {
            self.out.push_str("[]");
            return Ok(());
        }
        self.out.push('[');
        for (index, item) in list.to_vec().iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.line(level + 1);
            self.value(item, level + 1)?;
        }
        self.line(level);
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, map: &Map, level: usize) -> Result<(), FuncError> {
        let fields: Vec<_> =
            map.entries().into_iter().map(|(key, value)| (key.to_text().into_owned(), value)).collect();
        self.fields(&fields, level)
    }

    fn fields(&mut self, fields: &[(String, Value)], level: usize) -> Result<(), FuncError> {
        if fields.is_empty() {
            self.out.push_str("{}");
            return Ok(());
        }
        self.out.push('{');
        for (index, (key, value)) in fields.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.line(level + 1);
            text_into(&mut self.out, key, self.style != Style::Raw);
            self.out.push_str(if self.style == Style::Pretty { ": " } else { ":" });
            self.value(value, level + 1)?;
        }
        self.line(level);
        self.out.push('}');
        Ok(())
    }
}

const MAX_DEPTH: usize = 1_000;

/// Go's floats in JSON: plain digits but for the very small and the very large.
fn number(float: f64) -> Result<String, FuncError> {
    if !float.is_finite() {
        return Err(format!("json: unsupported value: {}", format_float(float, 'g', None)).into());
    }
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        // e-09 becomes e-9.
        return Ok(format_float(float, 'e', None).replace("e-0", "e-"));
    }
    Ok(format_float(float, 'f', None))
}

fn text_into(out: &mut String, text: &str, html: bool) {
    push_quoted(out, text, |c| html && matches!(c, '<' | '>' | '&') || c < ' ' || matches!(c, '\u{2028}' | '\u{2029}'));
}

/// Adds `text` in double quotes, with the escapes that JSON and TOML share, and codes for what is `coded` besides.
pub(crate) fn push_quoted(out: &mut String, text: &str, coded: impl Fn(char) -> bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if coded(c) => {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `value` as a tree for a YAML emitter. With [`Numbers::Int64`] it is the one that sigs.k8s.io/yaml sees after its
/// detour over JSON: a whole float is an integer, and characters that YAML forbids are an error; else floats stay
/// floats.
fn to_json(cx: &Context<'_>, value: &Value, numbers: Numbers) -> Result<Json, FuncError> {
    tree(cx, value, numbers, 0)
}

fn tree(cx: &Context<'_>, value: &Value, numbers: Numbers, level: usize) -> Result<Json, FuncError> {
    cx.budget().step(1)?;
    cx.budget().bytes(size_of::<Json>() + value.as_str().map_or(0, Str::len))?;
    if level > MAX_DEPTH {
        return Err(format!("json: unsupported value: nested deeper than {MAX_DEPTH} levels").into());
    }
    cx.budget().stack()?;
    let below = |value: &Value| tree(cx, value, numbers, level + 1);
    let text = |text: &Str| {
        let text = text.to_text();
        if numbers == Numbers::Int64 && text.chars().any(is_forbidden) {
            return Err(FuncError::from("yaml: control characters are not allowed"));
        }
        Ok(text.into_owned())
    };
    Ok(match value {
        Value::Float(float) if numbers == Numbers::Int64 => whole(*float)?,
        Value::Float(float) => Number::from_f64(*float)
            .map_or_else(|| Json::String(format!(".{}", if float.is_nan() { "nan" } else { "inf" })), Json::Number),
        Value::Str(own) => Json::String(text(own)?),
        Value::List(list) if numbers == Numbers::Float || !list.is_nil() => {
            Json::Array(list.to_vec().iter().map(below).collect::<Result<_, _>>()?)
        }
        Value::Map(map) if numbers == Numbers::Float || !map.is_nil() => Json::Object(
            map.entries()
                .iter()
                .map(|(key, value)| Ok((text(key)?, below(value)?)))
                .collect::<Result<_, FuncError>>()?,
        ),
        Value::Native(_) => match native(value) {
            Some(Plain::Value(plain)) => below(&plain)?,
            Some(Plain::Fields(fields)) => Json::Object(
                fields
                    .iter()
                    .map(|(name, value)| {
                        // go-yaml v3 knows no JSON names.
                        let name = if numbers == Numbers::Float { name.to_lowercase() } else { (*name).to_owned() };
                        Ok((name, below(value)?))
                    })
                    .collect::<Result<_, FuncError>>()?,
            ),
            None => Json::Null,
        },
        other => other.to_json()?,
    })
}

/// What YAML forbids everywhere, and JSON does not escape.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}')
}

fn whole(float: f64) -> Result<Json, FuncError> {
    // Go writes the shortest digits that mean the float, filled up with zeros.
    let digits = (float.fract() == 0.0 && float.abs() < 1e21).then(|| format_float(float, 'f', None));
    let integer = digits.and_then(|digits| {
        digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from)).ok()
    });
    let number = integer.or_else(|| Number::from_f64(float));
    number
        .map(Json::Number)
        .ok_or_else(|| format!("json: unsupported value: {}", format_float(float, 'g', None)).into())
}

/// Helm's `toYaml`: without the line break at the end.
pub fn to_yaml(cx: &Context<'_>, value: &Value) -> Result<Value, FuncError> {
    finish(cx, yaml::to_string_go(&to_json(cx, value, Numbers::Int64)?))
}

/// Helm's `toYamlPretty`, as go-yaml v3 writes it.
pub(crate) fn to_yaml_pretty(cx: &Context<'_>, value: &Value) -> Result<Value, FuncError> {
    finish(cx, yaml::to_string_pretty(&to_json(cx, value, Numbers::Float)?))
}

fn finish(cx: &Context<'_>, mut text: String) -> Result<Value, FuncError> {
    cx.budget().bytes(text.len())?;
    // Each character is looked at several times.
    cx.budget().step(text.len() as u64 / 2)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text.into())
}
