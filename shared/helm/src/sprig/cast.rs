//! Conversions as spf13/cast 1.7 does them (`caste.go`), and how a value reads as text.

use slipway_gocompat::strconv::{parse_float, parse_int};
use slipway_gotmpl::{Context, FuncError, Str, Value, sprint};

use crate::objects::Bytes;

/// `cast.ToInt64`: what is no number is 0, text may have a prefix (`0x`, `0`), floats lose their fraction.
pub(super) fn to_int64(value: &Value) -> i64 {
    match value {
        Value::Int(_, int) => *int,
        Value::Uint(_, int) => int.cast_signed(),
        Value::Float(float) => float_to_int(*float),
        Value::Bool(flag) => i64::from(*flag),
        Value::Str(text) => text.as_str().and_then(|text| parse_int(trim_zero_decimal(text))).unwrap_or(0),
        _ => 0,
    }
}

/// `cast.ToFloat64`
pub(super) fn to_float64(value: &Value) -> f64 {
    match value {
        #[allow(clippy::cast_precision_loss, reason = "Go's own conversion")]
        Value::Int(_, int) => *int as f64,
        #[allow(clippy::cast_precision_loss, reason = "Go's own conversion")]
        Value::Uint(_, int) => *int as f64,
        Value::Float(float) => *float,
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::Str(text) => text.as_str().and_then(parse_float).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// Go's conversion on amd64: what does not fit is the smallest integer.
fn float_to_int(float: f64) -> i64 {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if (-TWO_63..TWO_63).contains(&float) {
        #[allow(clippy::cast_possible_truncation, reason = "in range; the fraction is meant to go")]
        let int = float as i64;
        int
    } else {
        i64::MIN
    }
}

fn trim_zero_decimal(text: &str) -> &str {
    let trimmed = text.trim_end_matches('0');
    match trimmed.strip_suffix('.') {
        Some(whole) if trimmed.len() < text.len() => whole,
        _ => text,
    }
}

/// sprig's `strval`: text as it is, bytes as text, everything else as `%v` prints it.
pub(super) fn text(cx: &Context<'_>, value: &Value) -> Result<Str, FuncError> {
    if let Some(bytes) = value.downcast::<Bytes>() {
        return Ok(Str::from(bytes.0.as_ref()));
    }
    Ok(sprint(cx.budget(), std::slice::from_ref(value))?)
}

/// sprig's `empty`: nil, false, zero, and what has no elements.
pub(super) fn is_empty(value: &Value) -> bool {
    !value.truth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_cast_reads_them() {
        for (text, int) in [
            ("010", 8),
            ("08", 0),
            ("5.0", 5),
            ("5.5", 0),
            ("5.", 0),
            ("1e3", 0),
            ("0x1F", 31),
            ("-0b11", -3),
            ("1_000", 1000),
            ("0x_1", 1),
            ("_1", 0),
            ("9223372036854775808", 0),
            ("-9223372036854775808", i64::MIN),
            ("", 0),
        ] {
            assert_eq!(to_int64(&Value::from(text)), int, "{text}");
        }
        assert_eq!(to_int64(&Value::Float(1e30)), i64::MIN);
        assert!(to_float64(&Value::from("1e999")).abs() < f64::EPSILON);
    }
}
