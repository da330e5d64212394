//! Prints floats (Go: src/strconv/ftoa.go).

use std::fmt::Write;

/// No `f64` has more decimal places than this; further ones are zeros.
const EXACT_PLACES: usize = 1_100;

/// How an exponent is marked.
#[derive(Clone, Copy, PartialEq)]
enum Exponent {
    /// `e`, `p`
    Lower,
    /// `E`, `P`
    Upper,
}

/// Go's `strconv.FormatFloat` with 64 bits: `verb` is one of `e E f g G b x X`, `precision` is `None` for as many
/// digits as needed.
pub fn format_float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let case = if verb.is_ascii_uppercase() { Exponent::Upper } else { Exponent::Lower };
    let mut out = String::new();
    if value.is_sign_negative() {
        out.push('-');
    }
    let value = value.abs();
    match verb {
        'e' | 'E' => push_e(&mut out, &Digits::of(value, precision.map(|places| places + 1)), precision, case),
        'f' | 'F' => push_f(&mut out, value, precision),
        'b' => push_binary(&mut out, value),
        'x' | 'X' => push_hex(&mut out, value, precision, case),
        _ => push_g(&mut out, value, precision, case),
    }
    out
}

/// Go's `strconv.FormatFloat(value, 'g', -1, 32)`: as many digits as tell the number from its neighbours of 32 bits.
pub fn format_float32(value: f32) -> String {
    if !value.is_finite() {
        return format_float(value.into(), 'g', None);
    }
    let mut out = String::from(if value.is_sign_negative() { "-" } else { "" });
    push_digits(&mut out, Digits::read(&format!("{:e}", value.abs())), None, Exponent::Lower);
    out
}

/// Decimal digits and where the point is: 0.d₁d₂… × 10^point.
struct Digits {
    digits: String,
    point: i32,
}

impl Digits {
    /// As many significant digits as asked for, or as needed; without zeros at the end in the latter case.
    fn of(value: f64, count: Option<usize>) -> Self {
        let text = match count {
            Some(count) => format!("{:.*e}", count.saturating_sub(1).min(EXACT_PLACES), value),
            None => format!("{value:e}"),
        };
        Self::read(&text)
    }

    /// From Rust's scientific form, which has the exponent 0 for zero.
    fn read(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let digits = mantissa.chars().filter(|c| *c != '.').collect();
        Self { digits, point: exponent.parse::<i32>().unwrap_or_default() + 1 }
    }
}

/// `d.ddde±dd`
fn push_e(out: &mut String, number: &Digits, precision: Option<usize>, case: Exponent) {
    let mut digits = number.digits.chars();
    out.push(digits.next().unwrap_or('0'));
    let rest = digits.as_str();
    let places = precision.unwrap_or(rest.len());
    if places > 0 {
        out.push('.');
        out.extend(rest.chars().chain(std::iter::repeat('0')).take(places));
    }
    push_exponent(out, if case == Exponent::Upper { 'E' } else { 'e' }, number.point - 1);
}

/// The mark, a sign, and at least two digits.
fn push_exponent(out: &mut String, mark: char, exponent: i32) {
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "{mark}{sign}{:02}", exponent.unsigned_abs());
}

fn push_f(out: &mut String, value: f64, precision: Option<usize>) {
    match precision {
        // Writing to a string can't fail.
        None => drop(write!(out, "{value}")),
        Some(places) => {
            let exact = places.min(EXACT_PLACES);
            let _ = write!(out, "{value:.exact$}");
            out.extend(std::iter::repeat_n('0', places - exact));
        }
    }
}

/// `%e` for exponents below -4 or not below the precision, else `%f`; no zeros at the end.
fn push_g(out: &mut String, value: f64, precision: Option<usize>, case: Exponent) {
    let precision = precision.map(|count| count.max(1));
    push_digits(out, Digits::of(value, precision), precision, case);
}

fn push_digits(out: &mut String, mut number: Digits, precision: Option<usize>, case: Exponent) {
    if precision.is_some() {
        let kept = number.digits.trim_end_matches('0').len().max(1);
        number.digits.truncate(kept);
    }
    let count = i32::try_from(number.digits.len()).unwrap_or(i32::MAX);
    let threshold = match precision {
        None => 6,
        Some(wanted) => {
            let wanted = i32::try_from(wanted).unwrap_or(i32::MAX);
            if wanted > count && count >= number.point { count } else { wanted }
        }
    };
    let exponent = number.point - 1;
    if exponent < -4 || exponent >= threshold {
        let places = number.digits.len() - 1;
        push_e(out, &number, Some(places), case);
        return;
    }
    // Plain notation, from the digits themselves.
    if number.point <= 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', usize::try_from(-number.point).unwrap_or_default()));
        out.push_str(&number.digits);
        return;
    }
    let whole = usize::try_from(number.point).unwrap_or_default();
    out.extend(number.digits.chars().chain(std::iter::repeat('0')).take(whole));
    if number.digits.len() > whole {
        out.push('.');
        out.extend(number.digits.chars().skip(whole));
    }
}

/// Mantissa (53 bits) and exponent of two.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or_default();
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

/// `-ddddddddp±ddd`
fn push_binary(out: &mut String, value: f64) {
    let (mantissa, exponent) = parts(value);
    let _ = write!(out, "{mantissa}p{exponent:+}");
}

/// `0x1.yyyyyyyyp±ddd`
fn push_hex(out: &mut String, value: f64, precision: Option<usize>, case: Exponent) {
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // The leading one at bit 60, so that the fraction is 15 whole digits.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent += 60 - i32::try_from(shift).unwrap_or_default();
    }
    if let Some(places) = precision.filter(|places| *places < 15) {
        let drop = u32::try_from((15 - places) * 4).unwrap_or(60);
        let extra = mantissa & ((1 << drop) - 1);
        mantissa >>= drop;
        if extra | (mantissa & 1) > 1 << (drop - 1) {
            mantissa += 1;
        }
        mantissa <<= drop;
        if mantissa & (1 << 61) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut text = format!("0x{}", (mantissa >> 60) & 1);
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(places) => fraction.chars().chain(std::iter::repeat('0')).take(places).collect(),
    };
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(&fraction);
    }
    push_exponent(&mut text, 'p', exponent);
    out.push_str(&if case == Exponent::Upper { text.to_uppercase() } else { text });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_go() {
        for (float, text) in [
            (0.5, "0.5"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e6, "1e+06"),
            (1_000_000.5, "1.0000005e+06"),
            (123_456.5, "123456.5"),
            (-2.5, "-2.5"),
            (1e20, "1e+20"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_float(float, 'g', None), text);
        }
        assert_eq!((format_float32(0.1), format_float32(16_777_216.0)), ("0.1".into(), "1.6777216e+07".into()));
    }
}
