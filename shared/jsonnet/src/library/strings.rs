//! Strings: their places are those of characters.

use super::{Arguments, Native, format, manifest};
use crate::eval::{Eval, unexpected};
use crate::number;
use crate::value::{Outcome, Value, fail};

/// What `std.trim` takes away.
const SPACES: [char; 7] = [' ', '\t', '\n', '\u{c}', '\r', '\u{85}', '\u{a0}'];

pub(super) const NATIVES: &[Native] = &[
    Native { name: "toString", params: &["a"], call: to_string },
    Native { name: "format", params: &["str", "vals"], call: format },
    Native { name: "codepoint", params: &["str"], call: codepoint },
    Native { name: "char", params: &["n"], call: char_of },
    Native { name: "stringChars", params: &["str"], call: string_chars },
    Native { name: "substr", params: &["str", "from", "len"], call: substr },
    Native { name: "findSubstr", params: &["pat", "str"], call: find_substr },
    Native { name: "startsWith", params: &["a", "b"], call: starts_with },
    Native { name: "endsWith", params: &["a", "b"], call: ends_with },
    Native { name: "stripChars", params: &["str", "chars"], call: strip_chars },
    Native { name: "lstripChars", params: &["str", "chars"], call: lstrip_chars },
    Native { name: "rstripChars", params: &["str", "chars"], call: rstrip_chars },
    Native { name: "trim", params: &["str"], call: trim },
    Native { name: "splitLimit", params: &["str", "c", "maxsplits"], call: split_limit },
    Native { name: "splitLimitR", params: &["str", "c", "maxsplits"], call: split_limit_right },
    Native { name: "strReplace", params: &["str", "from", "to"], call: replace },
    Native { name: "asciiUpper", params: &["str"], call: ascii_upper },
    Native { name: "asciiLower", params: &["str"], call: ascii_lower },
    Native { name: "parseInt", params: &["str"], call: parse_int },
    Native { name: "parseOctal", params: &["str"], call: parse_octal },
    Native { name: "parseHex", params: &["str"], call: parse_hex },
];

fn to_string<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    match arguments.value(eval, 0)? {
        Value::String(text) => Ok(Value::String(text)),
        other => eval.string(&manifest::to_string(eval, other)?),
    }
}

fn format<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    eval.string(&format::format(eval, arguments.string(eval, 0)?, arguments.value(eval, 1)?)?)
}

fn codepoint<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let mut chars = arguments.string(eval, 0)?.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => Ok(Value::Number(f64::from(u32::from(only)))),
        _ => fail("std.codepoint: expected one character"),
    }
}

fn char_of<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let code = arguments.number(eval, 0)?;
    let code = u32::try_from(number::to_int(code)?).ok().filter(|code| *code <= 0x0010_ffff);
    match code {
        Some(code) => eval.string(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut [0; 4])),
        None => fail("std.char: no character has this number"),
    }
}

fn string_chars<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let chars = arguments.string(eval, 0)?.chars();
    eval.array(&chars.map(|char| eval.string(char.encode_utf8(&mut [0; 4]))).collect::<Outcome<Vec<_>>>()?)
}

fn substr<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let text = arguments.string(eval, 0)?;
    let count = |at| match arguments.number(eval, at).map(number::whole) {
        Ok(Ok(count)) => usize::try_from(count).or_else(|_| fail("std.substr: expected no negative number")),
        Ok(Err(failure)) | Err(failure) => Err(failure),
    };
    eval.string(&text.chars().skip(count(1)?).take(count(2)?).collect::<String>())
}

fn find_substr<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (pattern, text) = (arguments.string(eval, 0)?, arguments.string(eval, 1)?);
    eval.step(text.len())?;
    if pattern.is_empty() {
        return eval.array(&[]);
    }
    pay(eval, text.len() / pattern.len())?;
    let places = text
        .char_indices()
        .enumerate()
        .filter(|(_, (at, _))| text.as_bytes().get(*at..).is_some_and(|rest| rest.starts_with(pattern.as_bytes())));
    eval.array(&places.map(|(place, _)| Value::Number(number::from_len(place))).collect::<Vec<_>>())
}

fn starts_with<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    Ok(Value::Bool(arguments.string(eval, 0)?.starts_with(arguments.string(eval, 1)?)))
}

fn ends_with<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    Ok(Value::Bool(arguments.string(eval, 0)?.ends_with(arguments.string(eval, 1)?)))
}

/// The string, and the characters to take away.
fn stripped<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<(&'p str, Vec<char>)> {
    let (text, chars) = (arguments.string(eval, 0)?, arguments.string(eval, 1)?);
    eval.step(text.len().saturating_mul(chars.len()) / 64)?;
    Ok((text, chars.chars().collect()))
}

fn strip_chars<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (text, chars) = stripped(eval, arguments)?;
    Ok(Value::String(text.trim_matches(chars.as_slice())))
}

fn lstrip_chars<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (text, chars) = stripped(eval, arguments)?;
    Ok(Value::String(text.trim_start_matches(chars.as_slice())))
}

fn rstrip_chars<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (text, chars) = stripped(eval, arguments)?;
    Ok(Value::String(text.trim_end_matches(chars.as_slice())))
}

fn trim<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    Ok(Value::String(arguments.string(eval, 0)?.trim_matches(SPACES)))
}

/// Pays for a list of so many values that is about to be made.
fn pay(eval: &Eval<'_>, count: usize) -> Outcome<()> {
    eval.step(count)?;
    Ok(eval.budget().bytes(count.saturating_mul(size_of::<Value<'_>>()))?)
}

/// The string, what it is split at, and into how many parts at most.
fn split_at<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<(&'p str, &'p str, usize)> {
    let (text, separator) = (arguments.string(eval, 0)?, arguments.string(eval, 1)?);
    if separator.is_empty() {
        return fail("expected a separator that is not empty");
    }
    let parts = match number::whole(arguments.number(eval, 2)?)? {
        -1 => usize::MAX,
        splits => match usize::try_from(splits) {
            Ok(splits) => splits.saturating_add(1),
            Err(_) => return fail("expected -1 or a number that is not negative"),
        },
    };
    pay(eval, text.matches(separator).count().min(parts))?;
    Ok((text, separator, parts))
}

fn split_limit<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (text, separator, parts) = split_at(eval, arguments)?;
    eval.array(&text.splitn(parts, separator).map(Value::String).collect::<Vec<_>>())
}

fn split_limit_right<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (text, separator, parts) = split_at(eval, arguments)?;
    let mut found: Vec<Value<'p>> = text.rsplitn(parts, separator).map(Value::String).collect();
    found.reverse();
    eval.array(&found)
}

fn replace<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (text, from, to) = (arguments.string(eval, 0)?, arguments.string(eval, 1)?, arguments.string(eval, 2)?);
    if from.is_empty() {
        return fail("std.strReplace: expected a string to replace that is not empty");
    }
    let found = text.matches(from).count();
    eval.budget().bytes(text.len().saturating_add(found.saturating_mul(to.len())))?;
    eval.string(&text.replace(from, to))
}

fn ascii_upper<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    eval.string(&arguments.string(eval, 0)?.to_ascii_uppercase())
}

fn ascii_lower<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    eval.string(&arguments.string(eval, 0)?.to_ascii_lowercase())
}

fn parse_int<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let text = arguments.string(eval, 0)?;
    match text.strip_prefix('-') {
        Some(digits) => digits_of(digits, 10).map(|value| Value::Number(-value)),
        None => digits_of(text, 10).map(Value::Number),
    }
}

fn parse_octal<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    digits_of(arguments.string(eval, 0)?, 8).map(Value::Number)
}

fn parse_hex<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    digits_of(arguments.string(eval, 0)?, 16).map(Value::Number)
}

fn digits_of(text: &str, radix: u32) -> Outcome<f64> {
    let add = |so_far: f64, char: char| Some(so_far * f64::from(radix) + f64::from(char.to_digit(radix)?));
    match text.chars().try_fold(0.0, add) {
        Some(value) if !text.is_empty() => number::finite(value),
        _ => fail(format!("{text:?} is no number of base {radix}")),
    }
}

/// Of what is no string, too.
pub(super) fn bytes_of<'p>(eval: &Eval<'p>, value: Value<'p>) -> Outcome<Vec<u8>> {
    match value {
        Value::String(text) => {
            eval.budget().bytes(text.len())?;
            Ok(text.as_bytes().to_vec())
        }
        Value::Array(items) => {
            eval.step(items.len())?;
            eval.budget().bytes(items.len())?;
            let byte = |value| match value {
                Value::Number(number) => u8::try_from(number::whole(number)?).or_else(|_| fail("expected a byte")),
                other => unexpected(other, "number"),
            };
            items.iter().map(|item| byte(eval.force(item)?)).collect()
        }
        other => unexpected(other, "string or array"),
    }
}
