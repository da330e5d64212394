//! `std.format`, the `%` of strings: Python's.

use super::manifest;
use crate::eval::{Eval, unexpected};
use crate::number;
use crate::value::{Outcome, Thunk, Value, fail};

/// The widest field: a text has its own bounds.
const MAX_WIDTH: usize = 1 << 20;

/// One `%…`.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of a conversion")]
struct Conversion<'t> {
    key: Option<&'t str>,
    is_alternate: bool,
    is_zero: bool,
    is_left: bool,
    is_blank: bool,
    is_signed: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// What the values of a format are taken from.
struct Values<'p> {
    list: Vec<&'p Thunk<'p>>,
    next: usize,
}

/// `text % values`.
pub(crate) fn format<'p>(eval: &Eval<'p>, text: &str, values: Value<'p>) -> Outcome<String> {
    let list = match values {
        Value::Array(items) => items.to_vec(),
        other => vec![eval.done(other)?],
    };
    let mut left = Values { list, next: 0 };
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        eval.step(before.len() / 64 + 1)?;
        eval.budget().bytes(before.len())?;
        result.push_str(before);
        let (conversion, after) = read(eval, after, &mut left)?;
        let mut chars = after.chars();
        let Some(kind) = chars.next() else { return fail("truncated format code") };
        rest = chars.as_str();
        let converted = if kind == '%' {
            "%".to_owned()
        } else {
            let value = match (conversion.key, values) {
                (Some(key), Value::Object(object)) => eval.field(object, eval.intern(key)?)?,
                (Some(_), other) => return unexpected(other, "object"),
                (None, Value::Object(_)) if kind != 's' => return fail("the format needs keys for an object"),
                (None, _) => left.take(eval)?,
            };
            convert(eval, kind, value, &conversion)?
        };
        let width = conversion.width.unwrap_or_default();
        let padding = " ".repeat(width.saturating_sub(converted.chars().count()));
        eval.budget().bytes(converted.len() + padding.len())?;
        let parts = if conversion.is_left { [&converted, &padding] } else { [&padding, &converted] };
        result.extend(parts.map(String::as_str));
    }
    eval.budget().bytes(rest.len())?;
    result.push_str(rest);
    if !matches!(values, Value::Object(_)) && left.next < left.list.len() {
        return fail(format!("too many values to format: {}, expected {}", left.list.len(), left.next));
    }
    Ok(result)
}

impl<'p> Values<'p> {
    fn take(&mut self, eval: &Eval<'p>) -> Outcome<Value<'p>> {
        let Some(thunk) = self.list.get(self.next) else { return fail("not enough values to format") };
        self.next += 1;
        eval.force(thunk)
    }

    /// For `*`.
    fn size(&mut self, eval: &Eval<'p>) -> Outcome<usize> {
        match self.take(eval)? {
            Value::Number(size) => bounded(usize::try_from(number::whole(size)?).unwrap_or_default()),
            other => unexpected(other, "number"),
        }
    }
}

fn bounded(size: usize) -> Outcome<usize> {
    if size > MAX_WIDTH { fail(format!("a field of a format is wider than {MAX_WIDTH}")) } else { Ok(size) }
}

/// Reads what stands between `%` and the letter.
fn read<'t, 'p>(eval: &Eval<'p>, text: &'t str, values: &mut Values<'p>) -> Outcome<(Conversion<'t>, &'t str)> {
    let mut conversion = Conversion::default();
    let mut rest = text;
    if let Some(after) = rest.strip_prefix('(') {
        let Some((key, after)) = after.split_once(')') else { return fail("truncated format code") };
        conversion.key = Some(key);
        rest = after;
    }
    loop {
        let flag = match rest.chars().next() {
            Some('#') => &mut conversion.is_alternate,
            Some('0') => &mut conversion.is_zero,
            Some('-') => &mut conversion.is_left,
            Some(' ') => &mut conversion.is_blank,
            Some('+') => &mut conversion.is_signed,
            _ => break,
        };
        *flag = true;
        rest = rest.get(1..).unwrap_or_default();
    }
    (conversion.width, rest) = size(eval, rest, values)?;
    if let Some(after) = rest.strip_prefix('.') {
        (conversion.precision, rest) = size(eval, after, values)?;
        conversion.precision.get_or_insert_default();
    }
    // C's lengths say nothing here.
    rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
    Ok((conversion, rest))
}

fn size<'t, 'p>(eval: &Eval<'p>, text: &'t str, values: &mut Values<'p>) -> Outcome<(Option<usize>, &'t str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Some(values.size(eval)?), rest));
    }
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if digits.is_empty() {
        return Ok((None, rest));
    }
    bounded(digits.parse().unwrap_or(usize::MAX)).map(|size| (Some(size), rest))
}

fn convert<'p>(eval: &Eval<'p>, kind: char, value: Value<'p>, conversion: &Conversion<'_>) -> Outcome<String> {
    if kind == 's' {
        return manifest::to_string(eval, value);
    }
    if kind == 'c' {
        return match value {
            Value::Number(code) => match u32::try_from(number::to_int(code)?).ok().and_then(char::from_u32) {
                Some(char) => Ok(char.to_string()),
                None => fail("no character has this number"),
            },
            Value::String(text) if text.chars().count() == 1 => Ok(text.to_owned()),
            other => unexpected(other, "a character"),
        };
    }
    if !"diuoxXeEfFgG".contains(kind) {
        return fail(format!("unrecognised conversion type: {kind}"));
    }
    let Value::Number(value) = value else { return unexpected(value, "number") };
    let zero = conversion.width.filter(|_| conversion.is_zero && !conversion.is_left).unwrap_or_default();
    let digits = conversion.precision.unwrap_or_default();
    let precision = conversion.precision.unwrap_or(6);
    eval.budget().bytes(zero + digits + precision)?;
    eval.step((zero + digits + precision) / 64 + 1)?;
    let is_alternate = conversion.is_alternate;
    Ok(match kind {
        'd' | 'i' | 'u' => whole(value, zero, digits, conversion, 10, ""),
        'o' => whole(value, zero, digits, conversion, 8, if is_alternate { "0" } else { "" }),
        'x' => whole(value, zero, digits, conversion, 16, if is_alternate { "0x" } else { "" }),
        'X' => whole(value, zero, digits, conversion, 16, if is_alternate { "0x" } else { "" }).to_ascii_uppercase(),
        'f' | 'F' => decimal(value, zero, conversion, (is_alternate, true), precision),
        'e' | 'E' => scientific(value, zero, conversion, (is_alternate, true), precision, kind == 'E'),
        _ => {
            let exponent = exponent(value);
            let precision = number::from_len(precision);
            if exponent < -4.0 || exponent >= precision {
                let precision = number::to_index(precision - 1.0)?;
                scientific(value, zero, conversion, (is_alternate, is_alternate), precision, kind == 'G')
            } else {
                let precision = number::to_index((precision - (exponent + 1.0).max(1.0)).max(0.0))?;
                decimal(value, zero, conversion, (is_alternate, is_alternate), precision)
            }
        }
    })
}

fn sign(is_negative: bool, conversion: &Conversion<'_>) -> &'static str {
    match (is_negative, conversion.is_signed, conversion.is_blank) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

fn whole(value: f64, zero: usize, digits: usize, flags: &Conversion<'_>, radix: u32, prefix: &str) -> String {
    let (mut rest, mut written) = (value.abs().floor(), Vec::new());
    let radix_number = f64::from(radix);
    while rest >= 1.0 {
        let digit = rest % radix_number;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the radix")]
        written.push(char::from_digit(digit as u32, radix).unwrap_or('0'));
        rest = ((rest - digit) / radix_number).floor();
    }
    if written.is_empty() {
        written.push('0');
    }
    written.reverse();
    let number: String = written.into_iter().collect();
    let prefix = if value.abs() < 1.0 && prefix == "0" { "" } else { prefix };
    let sign = sign(value <= -1.0, flags);
    let padded = zero.saturating_sub(sign.len() + prefix.len()).max(digits.saturating_sub(if radix == 8 {
        prefix.len()
    } else {
        0
    }));
    let zeros = "0".repeat(padded.saturating_sub(number.len()));
    format!("{sign}{prefix}{zeros}{number}")
}

/// With `precision` places, rounded half up. Of the pair the first says whether there is always a point, the second
/// whether zeros at the end stay.
fn decimal(
    value: f64,
    zero: usize,
    flags: &Conversion<'_>,
    (point, trailing): (bool, bool),
    precision: usize,
) -> String {
    let power = 10_f64.powf(number::from_len(precision));
    let numerator = value.abs() * power + 0.5;
    let (before, after) = if numerator.is_finite() {
        ((numerator / power).floor(), numerator.floor() % power)
    } else {
        (value.abs().floor(), 0.0)
    };
    let dot = usize::from(precision > 0 || point);
    let flags_of_sign = Conversion { is_signed: flags.is_signed, is_blank: flags.is_blank, ..Conversion::default() };
    let sign = sign(value < 0.0, &flags_of_sign);
    let number = format!("{before:.0}");
    let zeros = "0".repeat(zero.saturating_sub(precision + dot + sign.len() + number.len()));
    let mut text = format!("{sign}{zeros}{number}");
    if precision == 0 {
        text.push_str(if point { "." } else { "" });
    } else if trailing || after > 0.0 {
        let digits = format!("{after:0precision$.0}");
        text.push('.');
        text.push_str(if trailing { &digits } else { digits.trim_end_matches('0') });
    }
    text
}

fn exponent(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { (value.abs().ln() / 10_f64.ln()).floor() }
}

fn scientific(
    value: f64,
    zero: usize,
    flags: &Conversion<'_>,
    style: (bool, bool),
    precision: usize,
    is_upper: bool,
) -> String {
    let exponent = exponent(value);
    let mantissa =
        if exponent <= -324.0 { value * 10.0 / 10_f64.powf(exponent + 1.0) } else { value / 10_f64.powf(exponent) };
    let (mark, sign) = (if is_upper { 'E' } else { 'e' }, if exponent < 0.0 { '-' } else { '+' });
    let suffix = format!("{mark}{sign}{:02.0}", exponent.abs());
    format!("{}{suffix}", decimal(mantissa, zero.saturating_sub(suffix.len()), flags, style, precision))
}
