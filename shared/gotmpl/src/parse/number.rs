//! Reads Go's numeric literals. (Go: src/text/template/parse/node.go)

use slipway_gocompat::strconv::{Unquoted, parse_float, parse_int, parse_uint, quote, unquote_char};

use crate::ast::Number;

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
    number.int = parse_int(text);
    // Go parses no sign, not even a plus, as unsigned; zero counts as such whatever its sign.
    number.uint = if number.int == Some(0) { Some(0) } else { parse_uint(text) };
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
