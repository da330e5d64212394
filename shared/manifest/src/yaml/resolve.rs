//! What a scalar means: go-yaml's rules (yaml/go-yaml v2 `resolve.go`), which are YAML 1.1 with exceptions, and what
//! sigs.k8s.io/yaml makes of the result in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};
use slipway_gocompat::strconv::{format_float32, parse_int, parse_uint};

use super::YamlErrorKind;

/// What a plain scalar is.
pub(super) enum Resolved {
    /// Null, a boolean, an integer or a finite float.
    Value(Value),
    /// Nothing but its text.
    Text,
    /// Infinity or not-a-number: a float that JSON can't hold.
    NotFinite,
}

/// The value of a plain (unquoted) scalar: null, boolean, integer, float or text. `.inf` and `.nan`, which JSON can't
/// hold, come back as text; in a document they are an error ([`YamlErrorKind::NotFinite`]).
pub fn resolve_plain(text: &str) -> Value {
    match resolve(text) {
        Resolved::Value(value) => value,
        Resolved::Text | Resolved::NotFinite => Value::String(text.to_owned()),
    }
}

/// [`resolve_plain`], telling text from what JSON can't hold.
pub(super) fn resolve(text: &str) -> Resolved {
    let Some(first) = text.bytes().next() else { return Resolved::Value(Value::Null) };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        b'.' if matches!(text, ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF") => Resolved::NotFinite,
        b'+' | b'-' if matches!(text.get(1..), Some(".inf" | ".Inf" | ".INF")) => Resolved::NotFinite,
        b'.' => float(text).map_or(Resolved::Text, |n| Resolved::Value(Value::Number(n))),
        b'0'..=b'9' | b'+' | b'-' => number(text).map_or(Resolved::Text, |n| Resolved::Value(Value::Number(n))),
        _ => Resolved::Text,
    }
}

fn word(text: &str) -> Resolved {
    Resolved::Value(match text {
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Value::Bool(false),
        _ => return Resolved::Text,
    })
}

/// The value of a scalar with a tag of YAML's own (`suffix` is `int` in `!!int`).
pub(super) fn resolve_tagged(suffix: &str, text: String) -> Result<Value, YamlErrorKind> {
    let bad = |text: String| YamlErrorKind::BadTag { tag: format!("!!{suffix}"), text };
    if suffix == "binary" {
        let bytes = STANDARD.decode(text.replace(['\n', '\r'], "")).map_err(|_| bad(text))?;
        return Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    }
    if !matches!(suffix, "int" | "float" | "bool" | "null") {
        return Ok(Value::String(text));
    }
    let Resolved::Value(plain) = resolve(&text) else {
        return Err(if matches!(resolve(&text), Resolved::NotFinite) {
            YamlErrorKind::NotFinite(text)
        } else {
            bad(text)
        });
    };
    let fits = match suffix {
        // `1.0` becomes the integer 1 in JSON, but is no integer to `!!int`.
        "int" => (plain.is_i64() || plain.is_u64()) && !text.contains(['.', 'e', 'E']),
        "float" => plain.is_number(),
        "bool" => plain.is_boolean(),
        _ => plain.is_null(),
    };
    if fits { Ok(plain) } else { Err(bad(text)) }
}

fn number(text: &str) -> Option<Number> {
    if text.contains('_') {
        let plain = text.replace('_', "");
        return integer(&plain).or_else(|| float(&plain));
    }
    integer(text).or_else(|| float(text))
}

/// An integer in Go's syntax.
fn integer(text: &str) -> Option<Number> {
    parse_int(text).map(Number::from).or_else(|| parse_uint(text).map(Number::from))
}

/// A decimal float as YAML writes it; one too large for 64 bits is text.
fn float(text: &str) -> Option<Number> {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = body.split_once(['e', 'E']).map_or((body, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let mantissa_ok = digits(whole)
        && fraction.is_none_or(digits)
        && (!whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty()));
    if !mantissa_ok || !exponent_ok {
        return None;
    }
    json_number(text.parse().ok()?)
}

/// A float as it is after a round trip through Go's JSON: `1.0` is written `1` and read as an integer, beyond 64 bits
/// it stays a float. Infinity has no number.
fn json_number(float: f64) -> Option<Number> {
    if float.fract() == 0.0 && float.abs() < 1e19 {
        // The shortest digits that name the float, as Go writes them, not all digits of its exact value.
        let digits = float.to_string();
        if let Some(integer) = digits.parse::<i64>().ok().filter(|_| digits != "-0") {
            return Some(Number::from(integer));
        }
    }
    Number::from_f64(float)
}

/// A number as a key of a JSON object (strconv 'g' with 32 bits, as sigs.k8s.io/yaml does).
pub(super) fn number_key(number: &Number) -> Option<String> {
    if number.is_i64() {
        return Some(number.to_string());
    }
    if number.is_u64() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the same loss as in Go")]
    let float = number.as_f64()? as f32;
    Some(if float.is_infinite() {
        if float > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        format_float32(float)
    })
}

/// Whether go-yaml takes `text` for a date or a time (and so quotes it when it writes it).
pub(super) fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let short = |part: &str| matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
    let within = |part: &str, range: std::ops::RangeInclusive<u32>| {
        short(part) && part.parse().is_ok_and(|n: u32| range.contains(&n))
    };
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) || !within(month, 1..=12) {
        return false;
    }
    let (day, time, zoned) = match rest.split_once(['T', 't']) {
        Some((day, time)) => (day, Some(time), true),
        None => rest.split_once(' ').map_or((rest, None, false), |(day, time)| (day, Some(time), false)),
    };
    let days = match (month.trim_start_matches('0'), year.parse().unwrap_or(0_u32)) {
        ("4" | "6" | "9" | "11", _) => 30,
        ("2", year) if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        ("2", _) => 28,
        _ => 31,
    };
    if !within(day, 1..=days) {
        return false;
    }
    let Some(time) = time else { return true };
    let clock = if zoned {
        if let Some(clock) = time.strip_suffix('Z') {
            clock
        } else {
            let Some(at) = time.rfind(['+', '-']) else { return false };
            let (clock, zone) = time.split_at(at);
            let zone = zone.get(1..).and_then(|zone| zone.split_once(':'));
            if !zone.is_some_and(|(h, m)| h.len() == 2 && m.len() == 2 && within(h, 0..=24) && within(m, 0..=60)) {
                return false;
            }
            clock
        }
    } else {
        time
    };
    let (clock, fraction) = clock.split_once(['.', ',']).map_or((clock, None), |(c, f)| (c, Some(f)));
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts.as_slice() else { return false };
    within(hour, 0..=23)
        && within(minute, 0..=59)
        && within(second, 0..=59)
        && fraction.is_none_or(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_recognised() {
        for yes in
            ["2001-01-01", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-01-01 1:2:3", "2001-01-01T00:00:00Z"]
        {
            assert!(is_timestamp(yes), "{yes}");
        }
        for no in ["2001-13-01", "2001-02-30", "01-01-01", "2001-01", "2001-01-01T00:00:00", "2001-01-01x", "a-b-c"] {
            assert!(!is_timestamp(no), "{no}");
        }
    }
}
