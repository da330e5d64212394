//! Go's numeric literals. (Go: src/strconv/atoi.go, src/text/template/parse/node.go)

use crate::ast::Number;
use crate::fmt::{Unquoted, quote, unquote_char};

/// 2⁶³ and 2⁶⁴: the first floats that no `i64` and no `u64` holds.
const INT_END: f64 = 9_223_372_036_854_775_808.0;
const UINT_END: f64 = 18_446_744_073_709_551_616.0;

/// `'x'`
pub(super) fn char_constant(text: &str) -> Result<Number, String> {
    let inner = text.strip_prefix('\'').unwrap_or(text);
    let (value, rest) = unquote_char(inner, '\'').ok_or("invalid syntax")?;
    if rest != "'" {
        return Err(format!("malformed character constant: {text}"));
    }
    let code = match value {
        Unquoted::Char(c) => u32::from(c),
        Unquoted::Byte(byte) => u32::from(byte),
    };
    Ok(Number {
        text: text.to_owned(),
        int: Some(code.into()),
        uint: Some(code.into()),
        float: Some(code.into()),
        complex: None,
    })
}

/// `1+2i`
pub(super) fn complex(text: &str) -> Result<Number, String> {
    let wrong = || "syntax error scanning complex number".to_owned();
    let inner = text.strip_suffix('i').ok_or_else(wrong)?;
    let sign = inner
        .char_indices()
        .skip(1)
        .filter(|(at, c)| {
            matches!(c, '+' | '-') && !inner.get(..*at).is_some_and(|before| before.ends_with(['e', 'E', 'p', 'P']))
        })
        .map(|(at, _)| at)
        .last()
        .ok_or_else(wrong)?;
    let (re, im) = inner.split_at(sign);
    let (re, im) = (parse_float(re).ok_or_else(wrong)?, parse_float(im).ok_or_else(wrong)?);
    Ok(from_complex(text, re, im))
}

fn from_complex(text: &str, re: f64, im: f64) -> Number {
    let float = (im == 0.0).then_some(re);
    let int = float.and_then(whole_int);
    let uint = float.and_then(whole_uint);
    Number { text: text.to_owned(), int, uint, float, complex: Some((re, im)) }
}

/// Any other number.
pub(super) fn number(text: &str) -> Result<Number, String> {
    if let Some(im) = text.strip_suffix('i').and_then(parse_float) {
        return Ok(from_complex(text, 0.0, im));
    }
    let mut number = Number { text: text.to_owned(), ..Number::default() };
    if let Some((negative, magnitude)) = parse_int(text) {
        // Go parses no sign, not even a plus, as unsigned; zero counts as such whatever its sign.
        number.uint = (!text.starts_with(['+', '-']) || magnitude == 0).then_some(magnitude);
        number.int = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    }
    if let Some(int) = number.int {
        number.float = Some(to_float_int(int));
    } else if let Some(uint) = number.uint {
        number.float = Some(to_float_uint(uint));
    } else if let Some(float) = parse_float(text) {
        if !text.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("integer overflow: {}", quote(text.as_bytes())));
        }
        number.float = Some(float);
        number.int = whole_int(float);
        number.uint = whole_uint(float);
    }
    if number.float.is_none() {
        return Err(format!("illegal number syntax: {}", quote(text.as_bytes())));
    }
    Ok(number)
}

#[allow(clippy::cast_precision_loss, reason = "Go's conversion rounds the same way")]
fn to_float_int(int: i64) -> f64 {
    int as f64
}

#[allow(clippy::cast_precision_loss, reason = "Go's conversion rounds the same way")]
fn to_float_uint(uint: u64) -> f64 {
    uint as f64
}

#[allow(clippy::cast_possible_truncation, reason = "whole and in range")]
fn whole_int(float: f64) -> Option<i64> {
    (float.fract() == 0.0 && (-INT_END..INT_END).contains(&float)).then_some(float as i64)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range")]
fn whole_uint(float: f64) -> Option<u64> {
    (float.fract() == 0.0 && (0.0..UINT_END).contains(&float)).then_some(float as u64)
}

/// An integer in Go's syntax: sign and magnitude.
fn parse_int(text: &str) -> Option<(bool, u64)> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !underscores_ok(digits) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?),
        Some("0o") => (8, lower.get(2..)?),
        Some("0b") => (2, lower.get(2..)?),
        Some(_) if lower.starts_with('0') => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return None;
    }
    Some((text.starts_with('-'), u64::from_str_radix(&digits, radix).ok()?))
}

/// A float in Go's syntax, hexadecimal ones included; nothing if it is out of range.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    if !underscores_ok(digits) || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let digits = digits.replace('_', "").to_ascii_lowercase();
    let value = match digits.strip_prefix("0x") {
        Some(hex) => parse_hex_float(hex)?,
        None => digits.parse().ok()?,
    };
    f64::is_finite(value).then_some(if negative { -value } else { value })
}

/// `1.8p3` after its `0x`.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let mut exponent: i64 = exponent.parse().ok().filter(|exponent| i64::abs(*exponent) < 1 << 20)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits = 0_u64;
    let mut inexact = false;
    for (digit, in_fraction) in whole.chars().map(|c| (c, false)).chain(fraction.chars().map(|c| (c, true))) {
        let digit = u64::from(digit.to_digit(16)?);
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
            exponent -= if in_fraction { 4 } else { 0 };
        } else {
            inexact |= digit != 0;
            exponent += if in_fraction { 0 } else { 4 };
        }
    }
    // What was cut off can only matter for rounding: one sticky bit below the others says enough.
    bits |= u64::from(inexact);
    let mut value = to_float_uint(bits);
    // Two steps, as one power of two may be out of range where the product is not.
    let half = exponent / 2;
    for power in [half, exponent - half] {
        value *= 2_f64.powi(i32::try_from(power).ok()?);
    }
    Some(value)
}

/// Underscores stand between digits, or between a base prefix and a digit. (Go: strconv.underscoreOK)
fn underscores_ok(digits: &str) -> bool {
    if !digits.contains('_') {
        return true;
    }
    let lower = digits.to_ascii_lowercase();
    let prefixed = ["0x", "0o", "0b"].iter().any(|prefix| lower.starts_with(prefix));
    let body = if prefixed { lower.get(2..).unwrap_or_default() } else { &lower };
    let mut before = prefixed.then_some('0');
    for c in body.chars() {
        let digit = |c: Option<char>| {
            c.is_some_and(|c| c.is_ascii_digit() || (lower.starts_with("0x") && c.is_ascii_hexdigit()))
        };
        if c == '_' && !digit(before) || before == Some('_') && !digit(Some(c)) {
            return false;
        }
        before = Some(c);
    }
    before != Some('_')
}
