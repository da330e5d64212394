//! Writes quantities in their canonical form (kubernetes/apimachinery `pkg/api/resource/quantity.go`): `1000m` is `1`,
//! `1024Mi` is `1Gi`.

/// The smallest part of a unit that Kubernetes keeps.
const NANO: i32 = -9;
/// Longer numbers, and those with longer exponents, are left as they are.
const MAX_DIGITS: usize = 30;
const MAX_EXPONENT: u32 = 1_000;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// A quantity: `value` times ten to the power of `exponent`, and how it was written.
struct Quantity {
    is_negative: bool,
    value: i128,
    exponent: i32,
    is_binary: bool,
    is_scientific: bool,
}

/// A quantity in its canonical form; `None` for what is none.
pub fn canonical(text: &str) -> Option<String> {
    let Quantity { is_negative, value, exponent, is_binary, is_scientific } = parse(text)?;
    let sign = if is_negative { "-" } else { "" };
    let printed = if is_binary { binary(value, exponent) } else { None };
    let printed = printed.or_else(|| decimal(value, exponent, is_scientific))?;
    let canonical = format!("{sign}{printed}");
    // Normalized, a number may be beyond the bounds that it was within.
    parse(&canonical).is_some().then_some(canonical)
}

/// Whether two quantities are equal, whatever their units (`Quantity.Cmp`); what is none equals nothing.
pub fn is_equal(one: &str, other: &str) -> bool {
    let number = |text: &str| {
        let Quantity { is_negative, mut value, mut exponent, .. } = parse(text)?;
        if value == 0 {
            return Some((false, 0, 0));
        }
        while value % 10 == 0 {
            value /= 10;
            exponent += 1;
        }
        Some((is_negative, value, exponent))
    };
    number(one).is_some_and(|one| number(other) == Some(one))
}

fn parse(text: &str) -> Option<Quantity> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > MAX_DIGITS || fraction.contains('.') {
        return None;
    }
    let mut value: i128 = digits.parse().ok()?;
    let mut exponent = -i32::try_from(fraction.len()).ok()?;
    let (mut is_binary, mut is_scientific) = (false, false);
    if let Some(power) = BINARY.iter().skip(1).position(|known| *known == suffix) {
        is_binary = true;
        value = value.checked_mul(1024_i128.checked_pow(u32::try_from(power + 1).ok()?)?)?;
    } else if let Some(place) = DECIMAL.iter().position(|known| *known == suffix) {
        exponent += i32::try_from(place).ok()? * 3 + NANO;
    } else {
        exponent = exponent.checked_add(suffix.strip_prefix(['e', 'E'])?.parse().ok()?)?;
        is_scientific = true;
    }
    if exponent.unsigned_abs() > MAX_EXPONENT {
        return None;
    }
    // What is smaller than Kubernetes keeps is rounded away from zero.
    while exponent < NANO {
        value = value / 10 + i128::from(value % 10 != 0);
        exponent += 1;
    }
    let is_negative = text.starts_with('-') && value != 0;
    Some(Quantity { is_negative, value, exponent, is_binary, is_scientific })
}

/// In powers of 1024, if it is a whole number of at least that.
fn binary(mut value: i128, exponent: i32) -> Option<String> {
    for _ in exponent..0 {
        value = (value % 10 == 0).then_some(value / 10)?;
    }
    if value < 1024 {
        return None;
    }
    let mut power = 0;
    while value % 1024 == 0 && power + 1 < BINARY.len() {
        value /= 1024;
        power += 1;
    }
    Some(format!("{value}{}", BINARY.get(power)?))
}

/// In powers of 1000.
fn decimal(mut value: i128, mut exponent: i32, is_scientific: bool) -> Option<String> {
    if value == 0 {
        return Some("0".to_owned());
    }
    while value % 10 == 0 {
        value /= 10;
        exponent += 1;
    }
    while exponent % 3 != 0 {
        value = value.checked_mul(10)?;
        exponent -= 1;
    }
    if is_scientific {
        return Some(if exponent == 0 { value.to_string() } else { format!("{value}e{exponent}") });
    }
    let place = usize::try_from((exponent - NANO) / 3).ok()?;
    Some(format!("{value}{}", DECIMAL.get(place)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_quantities_may_be_written_in_other_units() {
        for (one, other) in [("128Mi", "134217728"), ("1", "1000m"), ("0", "0Gi"), ("1e3", "1k"), ("0.5Gi", "512Mi")] {
            assert!(is_equal(one, other) && is_equal(other, one), "{one} {other}");
        }
        for (one, other) in [("128Mi", "128M"), ("1", "-1"), ("a", "a"), ("1", "")] {
            assert!(!is_equal(one, other), "{one} {other}");
        }
    }

    #[test]
    fn quantities_are_printed_as_kubernetes_prints_them() {
        let cases = [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("1023Ki", "1023Ki"),
            ("0.5Ki", "512"),
            ("12e6", "12e6"),
            ("1e3", "1e3"),
            ("1.25G", "1250M"),
            ("12000000", "12M"),
            ("-0.1", "-100m"),
            ("0.0000000001", "1n"),
            ("0Ki", "0"),
            ("5E", "5E"),
        ];
        for (text, printed) in cases {
            assert_eq!(canonical(text).as_deref(), Some(printed), "{text}");
        }
        for text in [
            "",
            "1d",
            "Gi",
            "1.2.3",
            "1e",
            "9999999999999999999999999999999",
            "1e99999999999",
            "1e-2147483648",
            "1000e1000",
            "999999999999999999999999999999e1",
            "10e2147483647",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
