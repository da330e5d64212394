//! Reads numbers (Go: src/strconv/{atoi,atof}.go).

/// Go's `strconv.ParseInt(text, 0, 64)`: a sign, a prefix (`0x`, `0b`, `0o`, `0`) and underscores may be there.
pub fn parse_int(text: &str) -> Option<i64> {
    match text.as_bytes().first()? {
        b'-' => 0_i64.checked_sub_unsigned(parse_uint(text.get(1..)?)?),
        b'+' => parse_uint(text.get(1..)?)?.try_into().ok(),
        _ => parse_uint(text)?.try_into().ok(),
    }
}

/// Go's `strconv.ParseUint(text, 0, 64)`: [`parse_int`] without a sign.
pub fn parse_uint(text: &str) -> Option<u64> {
    if text.contains('_') {
        return if underscores_ok(text) { parse_uint(&text.replace('_', "")) } else { None };
    }
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, text.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, text.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, text.get(2..)?),
        [b'0', _, ..] => (8, text.get(1..)?),
        _ => (10, text),
    };
    // Rust would take a plus.
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// Go's `strconv.ParseFloat(text, 64)`, hexadecimal floats, infinities and NaN included; `None`, too, for what is out
/// of range.
pub fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        // Rust knows the same words, and takes a sign before NaN, which Go does not.
        return text.parse().ok().filter(|float: &f64| !float.is_nan() || unsigned.len() == text.len());
    }
    if !underscores_ok(unsigned) {
        return None;
    }
    let digits = unsigned.replace('_', "").to_ascii_lowercase();
    let value: f64 = match digits.strip_prefix("0x") {
        Some(hex) => parse_hex_float(hex)?,
        None => digits.parse().ok()?,
    };
    value.is_finite().then_some(if text.starts_with('-') { -value } else { value })
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
    #[expect(clippy::cast_precision_loss, reason = "rounds as Go does")]
    let mut value = bits as f64;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, int) in [
            ("010", Some(8)),
            ("08", None),
            ("0x1F", Some(31)),
            ("-0b11", Some(-3)),
            ("+0o17", Some(15)),
            ("1_000", Some(1000)),
            ("0x_1", Some(1)),
            ("_1", None),
            ("1_", None),
            ("0", Some(0)),
            ("-", None),
            ("++1", None),
            ("0x+1", None),
            ("", None),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
        ] {
            assert_eq!(parse_int(text), int, "{text}");
        }
        assert_eq!((parse_uint("18446744073709551615"), parse_uint("+1")), (Some(u64::MAX), None));
        for (text, float) in [
            ("1_0.5", Some(10.5)),
            ("-.5e1", Some(-5.0)),
            ("0x1.8p3", Some(12.0)),
            ("-Inf", Some(f64::NEG_INFINITY)),
            ("1e999", None),
            ("1__0", None),
            ("-nan", None),
            ("x", None),
        ] {
            assert_eq!(parse_float(text), float, "{text}");
        }
    }
}
