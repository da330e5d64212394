//! Values as text, as JSON and as YAML.

use rsjsonnet_lang::interner::InternedStr;
use serde_json::{Map, Value as Json};

use super::{Arguments, Native};
use crate::eval::{Eval, unexpected};
use crate::number;
use crate::value::{Outcome, Value, fail};

pub(super) const NATIVES: &[Native] = &[
    Native { name: "escapeStringJson", params: &["str_"], call: escape_string_json },
    Native { name: "manifestJsonEx", params: &["value", "indent", "newline?", "key_val_sep?"], call: manifest_json },
    Native {
        name: "manifestYamlDoc",
        params: &["value", "indent_array_in_object?", "quote_keys?"],
        call: manifest_yaml,
    },
];

/// Levels of a result: as many as of a manifest in YAML.
const MAX_DEPTH: usize = 100;

/// Texts that are no plain keys of YAML, as they mean something else there.
const RESERVED: [&str; 17] = [
    "true", "false", "yes", "no", "on", "off", "null", "~", "y", "n", ".nan", ".inf", "+.inf", "-.inf", "-", "---", "",
];

/// What is around the parts of a written value.
struct Layout<'t> {
    indent: &'t str,
    newline: &'t str,
    separator: &'t str,
    /// Stands where a comma is followed by no new line.
    space: &'t str,
    /// What a list and an object are that have nothing in them; numbers have 17 digits then.
    empty: Option<[&'t str; 2]>,
}

/// A result; whoever takes it goes through it by recursion.
pub(crate) fn to_json<'p>(eval: &Eval<'p>, value: Value<'p>) -> Outcome<Json> {
    at_depth(eval, value, 0)
}

fn at_depth<'p>(eval: &Eval<'p>, value: Value<'p>, depth: usize) -> Outcome<Json> {
    eval.step(1)?;
    if depth > MAX_DEPTH {
        return fail(format!("the result is nested deeper than {MAX_DEPTH} levels"));
    }
    eval.budget().bytes(size_of::<Json>())?;
    eval.nested(|| match value {
        Value::Null => Ok(Json::Null),
        Value::Bool(is_so) => Ok(Json::Bool(is_so)),
        Value::Number(number) => Ok(number::to_json(number)),
        Value::String(text) => {
            eval.budget().bytes(text.len())?;
            Ok(Json::String(text.to_owned()))
        }
        Value::Array(items) => items
            .iter()
            .map(|item| at_depth(eval, eval.force(item)?, depth + 1))
            .collect::<Outcome<_>>()
            .map(Json::Array),
        Value::Object(object) => {
            let field = |name: InternedStr<'p>| {
                Ok((name.value().to_owned(), at_depth(eval, eval.field(object, name)?, depth + 1)?))
            };
            eval.visible(object)?.into_iter().map(field).collect::<Outcome<Map<_, _>>>().map(Json::Object)
        }
        Value::Function(_) => fail("a function can't be manifested"),
    })
}

/// A value as a string has it: a string itself, anything else as JSON on one line.
pub(crate) fn to_string<'p>(eval: &Eval<'p>, value: Value<'p>) -> Outcome<String> {
    if let Value::String(text) = value {
        eval.budget().bytes(text.len())?;
        return Ok(text.to_owned());
    }
    let layout = Layout { indent: "", newline: "", separator: ": ", space: " ", empty: Some(["[ ]", "{ }"]) };
    written(eval, value, &layout)
}

fn written<'p>(eval: &Eval<'p>, value: Value<'p>, layout: &Layout<'_>) -> Outcome<String> {
    let mut text = Text { eval, text: String::new() };
    text.json(value, layout, &mut String::new())?;
    Ok(text.text)
}

fn escape_string_json<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let value = arguments.value(eval, 0)?;
    let mut text = Text { eval, text: String::new() };
    text.quoted(&to_string(eval, value)?)?;
    eval.string(&text.text)
}

fn manifest_json<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let optional = |at, default| match arguments.value(eval, at)? {
        Value::Null => Ok(default),
        Value::String(text) => Ok(text),
        other => unexpected(other, "string"),
    };
    let (indent, newline, separator) = (arguments.string(eval, 1)?, optional(2, "\n")?, optional(3, ": ")?);
    let layout = Layout { indent, newline, separator, space: "", empty: None };
    eval.string(&written(eval, arguments.value(eval, 0)?, &layout)?)
}

fn manifest_yaml<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let options = (arguments.flag(eval, 1, false)?, arguments.flag(eval, 2, true)?);
    let mut text = Text { eval, text: String::new() };
    text.yaml(arguments.value(eval, 0)?, options, "")?;
    eval.string(&text.text)
}

/// A text that is being written.
struct Text<'e, 'p> {
    eval: &'e Eval<'p>,
    text: String,
}

impl<'p> Text<'_, 'p> {
    fn push(&mut self, text: &str) -> Outcome<()> {
        self.eval.step(1)?;
        self.eval.budget().bytes(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    fn quoted(&mut self, text: &str) -> Outcome<()> {
        self.push("\"")?;
        let mut plain = String::new();
        for char in text.chars() {
            match char {
                '"' => plain.push_str("\\\""),
                '\\' => plain.push_str("\\\\"),
                '\u{8}' => plain.push_str("\\b"),
                '\u{c}' => plain.push_str("\\f"),
                '\n' => plain.push_str("\\n"),
                '\r' => plain.push_str("\\r"),
                '\t' => plain.push_str("\\t"),
                char if char.is_control() => plain.extend(format!("\\u{:04x}", u32::from(char)).chars()),
                char => plain.push(char),
            }
        }
        self.push(&plain)?;
        self.push("\"")
    }

    /// What is alike in all formats; false for what is not.
    fn scalar(&mut self, value: Value<'p>) -> Outcome<bool> {
        match value {
            Value::Null => self.push("null")?,
            Value::Bool(is_so) => self.push(if is_so { "true" } else { "false" })?,
            // The shortest digits that mean this number, without an exponent.
            Value::Number(number) => self.push(&number.to_string())?,
            Value::String(text) => self.quoted(text)?,
            Value::Function(_) => return fail("a function can't be manifested"),
            Value::Array(_) | Value::Object(_) => return Ok(false),
        }
        Ok(true)
    }

    fn json(&mut self, value: Value<'p>, layout: &Layout<'_>, indent: &mut String) -> Outcome<()> {
        if let (Value::Number(number), Some(_)) = (value, layout.empty) {
            return self.push(&number::text(number));
        }
        if self.scalar(value)? {
            return Ok(());
        }
        let eval = self.eval;
        let outer = indent.len();
        let (names, items) = match value {
            Value::Object(object) => (Some((object, eval.visible(object)?)), [].as_slice()),
            Value::Array(items) => (None, items),
            _ => return Ok(()),
        };
        let (open, close) = if names.is_some() { ("{", "}") } else { ("[", "]") };
        let count = names.as_ref().map_or(items.len(), |(_, names)| names.len());
        if let Some([list, object]) = layout.empty.filter(|_| count == 0) {
            return self.push(if names.is_some() { object } else { list });
        }
        self.push(open)?;
        self.push(layout.newline)?;
        indent.push_str(layout.indent);
        for at in 0..count {
            if at > 0 {
                self.push(",")?;
                self.push(layout.newline)?;
                self.push(layout.space)?;
            }
            self.push(indent)?;
            let value = match (&names, items.get(at)) {
                (Some((object, names)), _) => {
                    let Some(name) = names.get(at) else { continue };
                    self.quoted(name.value())?;
                    self.push(layout.separator)?;
                    eval.field(object, *name)?
                }
                (None, Some(item)) => eval.force(item)?,
                (None, None) => continue,
            };
            eval.nested(|| self.json(value, layout, indent))?;
        }
        indent.truncate(outer);
        self.push(layout.newline)?;
        self.push(indent)?;
        self.push(close)
    }

    fn yaml(&mut self, value: Value<'p>, options: (bool, bool), indent: &str) -> Outcome<()> {
        let eval = self.eval;
        match value {
            Value::String("") => self.push("\"\""),
            Value::String(text) if text.ends_with('\n') => {
                self.push("|")?;
                for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                    self.push(&format!("\n{indent}  {line}"))?;
                }
                Ok(())
            }
            Value::Array([]) => self.push("[]"),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.push(&format!("\n{indent}"))?;
                    }
                    let item = eval.force(item)?;
                    let is_block = is_block(eval, item)?;
                    let inner = if is_block { format!("{indent}  ") } else { indent.to_owned() };
                    self.push("-")?;
                    self.push(&if is_block && matches!(item, Value::Array(_)) {
                        format!("\n{inner}")
                    } else {
                        " ".to_owned()
                    })?;
                    eval.nested(|| self.yaml(item, options, &inner))?;
                }
                Ok(())
            }
            Value::Object(object) => {
                let names = eval.visible(object)?;
                if names.is_empty() {
                    return self.push("{}");
                }
                for (at, name) in names.into_iter().enumerate() {
                    if at > 0 {
                        self.push(&format!("\n{indent}"))?;
                    }
                    let (indents_lists, quotes) = options;
                    if quotes || !is_bare(name.value()) {
                        self.quoted(name.value())?;
                    } else {
                        self.push(name.value())?;
                    }
                    self.push(":")?;
                    let value = eval.field(object, name)?;
                    let is_block = is_block(eval, value)?;
                    let deeper = is_block && (indents_lists || !matches!(value, Value::Array(_)));
                    let inner = if deeper { format!("{indent}  ") } else { indent.to_owned() };
                    self.push(&if is_block { format!("\n{inner}") } else { " ".to_owned() })?;
                    eval.nested(|| self.yaml(value, options, &inner))?;
                }
                Ok(())
            }
            other => self.scalar(other).map(|_| ()),
        }
    }
}

/// Whether a value takes lines of its own in YAML.
fn is_block<'p>(eval: &Eval<'p>, value: Value<'p>) -> Outcome<bool> {
    Ok(match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !eval.visible(object)?.is_empty(),
        _ => false,
    })
}

/// Whether a key of YAML needs no quotes (`std.manifestYamlDoc`).
fn is_bare(key: &str) -> bool {
    let all = |allowed: fn(char) -> bool| key.chars().all(allowed);
    let is_date = all(|char| char.is_ascii_digit() || char == '-') && key.matches('-').count() == 2;
    all(|char| char.is_ascii_alphanumeric() || "_-./".contains(char))
        && !RESERVED.contains(&key.to_ascii_lowercase().as_str())
        && !is_date
        && !is_number(key.strip_prefix('-').unwrap_or(key))
}

/// Whether a key without its sign is a number of YAML 1.1.
fn is_number(key: &str) -> bool {
    let of = |text: &str, allowed: fn(char) -> bool| !text.is_empty() && text.chars().all(allowed);
    let digit = |char: char| char.is_ascii_digit();
    if let Some(digits) = key.strip_prefix("0x") {
        return of(digits, |char| char.is_ascii_hexdigit() || char == '_');
    }
    if let Some(digits) = key.strip_prefix("0b") {
        return of(digits, |char| matches!(char, '0' | '1' | '_'));
    }
    if key.starts_with(digit) && key.ends_with(digit) && of(key, |char| char.is_ascii_digit() || char == '_') {
        return true;
    }
    let (mantissa, exponent) = key.split_once(['e', 'E']).map_or((key, None), |(it, exponent)| (it, Some(exponent)));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_exponent = |exponent: &str| of(exponent.strip_prefix('-').unwrap_or(exponent), |char| char.is_ascii_digit());
    mantissa.contains(digit)
        && before.chars().all(digit)
        && after.chars().all(|char| char.is_ascii_digit() || char == '_')
        && (mantissa.contains('.') || exponent.is_some())
        && exponent.is_none_or(is_exponent)
}
