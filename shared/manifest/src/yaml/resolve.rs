//! What a scalar means: go-yaml's rules (go.yaml.in/yaml/v2 `resolve.go`), which are YAML 1.1 with exceptions.

use serde_json::{Number, Value};

use super::YamlErrorKind;

/// The value of a plain (unquoted) scalar: null, boolean, integer, float or text.
pub fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

pub(super) fn resolve_tagged(tag: &str, text: &str) -> Result<Value, YamlErrorKind> {
    let plain = resolve_plain(text);
    let fits = match tag {
        "str" => return Ok(Value::String(text.to_owned())),
        "int" => plain.is_i64() || plain.is_u64(),
        "float" => plain.is_number(),
        "bool" => plain.is_boolean(),
        "null" => plain.is_null(),
        _ => return Ok(Value::String(text.to_owned())),
    };
    if fits { Ok(plain) } else { Err(YamlErrorKind::BadTag { tag: format!("!!{tag}"), text: text.to_owned() }) }
}

fn number(text: &str) -> Option<Number> {
    let first = text.chars().next()?;
    if !(first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(int) = integer(&plain) {
        return Some(int);
    }
    float(&plain)
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, digits.get(2..)?),
        Some("0b" | "0B") => (2, digits.get(2..)?),
        Some("0o" | "0O") => (8, digits.get(2..)?),
        Some(two) if two.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        0i64.checked_sub_unsigned(magnitude).map(Number::from)
    } else {
        Some(Number::from(magnitude))
    }
}

fn float(text: &str) -> Option<Number> {
    let body = text.trim_start_matches(['+', '-']);
    if text.len() - body.len() > 1 || !body.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-')) {
        return None;
    }
    if !body.chars().any(|c| c.is_ascii_digit()) || body.starts_with(['e', 'E']) {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_follow_go() {
        for (text, value) in [
            ("yes", json!(true)),
            ("off", json!(false)),
            ("~", json!(null)),
            ("0777", json!(511)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("12:30:45", json!("12:30:45")),
            ("2001-01-01", json!("2001-01-01")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            (".5", json!(0.5)),
            ("-7", json!(-7)),
        ] {
            assert_eq!(resolve_plain(text), value, "{text}");
        }
    }
}
