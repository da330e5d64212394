//! What a scalar means to Kustomize: the rules of go-yaml v3 (`resolve.go`), which differ from sigs.k8s.io/yaml's:
//! `yes` is a text, `2001-01-01` a time.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine as _;
use serde_json::{Number, Value};
use slipway_gocompat::strconv::{parse_int, parse_uint};

/// A scalar: its text as written (or decoded, where quoted) and its type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) tag: Tag,
}

/// Type of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Null,
    Bool,
    Int,
    Float,
    Str,
    Timestamp,
    Binary,
    /// Found out from the text in the end.
    Auto,
    /// A text that was written in quotes or as a block: what takes its place in a merge is a text, too.
    Quoted,
    /// A text that was written folded; only while a file is read.
    Folded,
}

impl Scalar {
    /// The value that is printed; the error says that the text does not fit the tag.
    pub(crate) fn into_value(self) -> Result<Value, String> {
        let Self { text, tag } = self;
        let tag = if tag == Tag::Auto { resolve(&text) } else { tag };
        let value = match tag {
            Tag::Str | Tag::Quoted | Tag::Auto | Tag::Folded => return Ok(Value::String(text)),
            Tag::Null => matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL").then_some(Value::Null),
            Tag::Bool => boolean(&text).map(Value::Bool),
            Tag::Int => integer(&text).map(Value::Number),
            Tag::Float => float_value(&text),
            Tag::Timestamp => timestamp(&text).map(Value::String),
            Tag::Binary => {
                let bytes =
                    base64::engine::general_purpose::STANDARD.decode(text.split_whitespace().collect::<String>());
                bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()).map(Value::String)
            }
        };
        value.ok_or_else(|| format!("cannot decode `{text}` as {}", tag.name()))
    }
}

impl Tag {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool => "!!bool",
            Self::Int => "!!int",
            Self::Float => "!!float",
            Self::Str | Self::Quoted | Self::Auto | Self::Folded => "!!str",
            Self::Timestamp => "!!timestamp",
            Self::Binary => "!!binary",
        }
    }
}

/// The type of a plain scalar.
pub(crate) fn resolve(text: &str) -> Tag {
    let Some(&first) = text.as_bytes().first() else { return Tag::Null };
    match first {
        b'~' | b'n' | b'N' if matches!(text, "~" | "null" | "Null" | "NULL") => Tag::Null,
        b't' | b'T' | b'f' | b'F' if boolean(text).is_some() => Tag::Bool,
        b'0'..=b'9' | b'+' | b'-' | b'.' => number_tag(text),
        _ => Tag::Str,
    }
}

fn number_tag(text: &str) -> Tag {
    if timestamp(text).is_some() {
        return Tag::Timestamp;
    }
    if integer(text).is_some() {
        return Tag::Int;
    }
    if is_infinity_or_nan(text) || float(text).is_some() {
        return Tag::Float;
    }
    Tag::Str
}

fn is_infinity_or_nan(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// An integer in Go's syntax with `_` left out.
fn integer(text: &str) -> Option<Number> {
    let plain: Cow<'_, str> = if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    parse_int(&plain).map(Number::from).or_else(|| parse_uint(&plain).map(Number::from))
}

/// A float of YAML's form, `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, that a float64 can hold.
fn float(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    let body = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (body, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let formed = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e));
    if !formed {
        return None;
    }
    plain.parse().ok().filter(|f: &f64| f.is_finite())
}

/// A float as Go's JSON prints it: without a fraction where it is whole.
fn float_value(text: &str) -> Option<Value> {
    let f = float(text)?;
    if f.fract() == 0.0 && f.abs() < 9e18 {
        #[allow(clippy::cast_possible_truncation)] // whole and below 2^63
        return Some(Value::Number(Number::from(f as i64)));
    }
    Number::from_f64(f).map(Value::Number)
}

/// A time in one of go-yaml's four forms, as Go's JSON prints it (RFC 3339).
fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes.get(4) != Some(&b'-') || !bytes.iter().take(4).all(u8::is_ascii_digit) {
        return None;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at)?, Some((bytes.get(at) == Some(&b' '), text.get(at + 1..)?))),
        None => (text, None),
    };
    let mut parts = date.split('-').map(number_up_to_four);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=days).contains(&day) {
        return None;
    }
    let clock = match time {
        None => "00:00:00Z".to_owned(),
        Some((local, time)) => clock(time, local)?,
    };
    Some(format!("{year:04}-{month:02}-{day:02}T{clock}"))
}

fn clock(time: &str, local: bool) -> Option<String> {
    let (time, zone) = match time.find(['Z', '+', '-']) {
        Some(at) if !local => time.split_at(at),
        None if local => (time, "Z"),
        _ => return None,
    };
    let formed =
        |s: &str| matches!(s.as_bytes(), [h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()));
    if zone != "Z" && !zone.get(1..).is_some_and(formed) {
        return None;
    }
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = time.split(':').map(number_up_to_four);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some()
        || hour > 23
        || minute > 59
        || second > 59
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let fraction = fraction.get(..9).unwrap_or(fraction).trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{hour:02}:{minute:02}:{second:02}{point}{fraction}{zone}"))
}

fn number_up_to_four(digits: &str) -> Option<u32> {
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The order in which go-yaml v2 writes keys (`sorter.go`): other characters before letters, numbers in a text by
/// value. Where go-yaml's rule contradicts itself (`a1b` before `a9` before `a10` before `a1b`) the number decides.
pub(crate) fn key_order(a: &str, b: &str) -> Ordering {
    match a.bytes().zip(b.bytes()).find(|(x, y)| x != y) {
        Some((x, y)) if x.is_ascii_alphabetic() && y.is_ascii_alphabetic() => x.cmp(&y),
        _ => pieces(a).cmp(pieces(b)),
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    Other(char),
    /// Digits that count, the digits, all of them.
    Number(usize, &'a str, usize),
    Letter(char),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = rest.bytes().take_while(u8::is_ascii_digit).count().max(first.len_utf8());
        let (head, tail) = rest.split_at_checked(length)?;
        rest = tail;
        Some(match first {
            '0'..='9' => {
                let digits = head.trim_start_matches('0');
                Piece::Number(digits.len(), digits, length)
            }
            letter if letter.is_alphabetic() => Piece::Letter(letter),
            other => Piece::Other(other),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_follow_go_yaml_v3() {
        for (text, value) in [
            ("yes", json!("yes")),
            ("0777", json!(511)),
            ("2001-01-01", json!("2001-01-01T00:00:00Z")),
            ("2001-1-1T10:00:00+02:00", json!("2001-01-01T10:00:00+02:00")),
            ("1.0", json!(1)),
            ("1e3", json!(1000)),
            ("0o17", json!(15)),
            ("1_000", json!(1000)),
            ("12:30:45", json!("12:30:45")),
            ("0x1F", json!(31)),
            ("08", json!(8)),
            ("1e400", json!("1e400")),
            (".5", json!(0.5)),
            ("1.", json!(1)),
            ("+1", json!(1)),
            ("NULL", json!(null)),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            ("2001-13-01", json!("2001-13-01")),
        ] {
            let scalar = Scalar { text: text.to_owned(), tag: Tag::Auto };
            assert_eq!(scalar.into_value(), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_text_that_does_not_fit_its_tag_is_an_error() {
        let scalar = Scalar { text: "abc".to_owned(), tag: Tag::Int };
        assert_eq!(scalar.into_value(), Err("cannot decode `abc` as !!int".to_owned()));
    }

    #[test]
    fn keys_sort_as_go_yaml_does() {
        let mut keys = ["b", "a10", "a9", "A", "a", "a-b", "ab", "a09", "_x", "a9-", "a9b"];
        keys.sort_by(|a, b| key_order(a, b));
        assert_eq!(keys, ["_x", "A", "a", "a-b", "a9", "a9-", "a9b", "a09", "a10", "ab", "b"]);
    }
}
