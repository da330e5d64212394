//! Writes a `resource.Quantity` in its canonical form (k8s.io/apimachinery `pkg/api/resource`): `1000m` is `1`,
//! `1024Mi` is `1Gi`.
//!
//! Written independently of `slipway_gocompat::quantity` on purpose: the sandbox is what the product is tested
//! against, and one mistake in shared code would agree with itself.

/// The canonical form of a quantity, or `None` when the text is none.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (style, exponent) = suffix_of(suffix)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok().filter(|_| whole.len() + fraction.len() <= 30)?;
    let scale = i32::try_from(fraction.len()).ok()?;
    if style == Style::Binary {
        // Binary suffixes hold whole bytes; a fraction falls back to plain numbers in thousandths.
        let bytes = digits.checked_mul(1_u128.checked_shl(u32::try_from(exponent).ok()?)?)?;
        let unit = 10_u128.checked_pow(u32::try_from(scale).ok()?)?;
        if bytes.is_multiple_of(unit) {
            return Some(sign(negative, &binary(bytes / unit)));
        }
        return Some(sign(negative, &decimal(bytes, -scale, Style::Decimal)));
    }
    Some(sign(negative, &decimal(digits, exponent - scale, style)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Decimal,
    Exponent,
    Binary,
}

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

fn suffix_of(suffix: &str) -> Option<(Style, i32)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Style::Decimal, *power));
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((Style::Binary, *power));
    }
    let power = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Style::Exponent, power))
}

fn sign(negative: bool, text: &str) -> String {
    if negative && text != "0" { format!("-{text}") } else { text.to_owned() }
}

fn binary(bytes: u128) -> String {
    if bytes == 0 {
        return "0".into();
    }
    let found = BINARY.iter().rev().find(|(_, power)| bytes.is_multiple_of(1_u128 << power));
    found.map_or_else(|| bytes.to_string(), |(name, power)| format!("{}{name}", bytes >> power))
}

/// `digits × 10^power` with the largest suffix that keeps it whole; below a billionth it is rounded up.
fn decimal(mut digits: u128, mut power: i32, style: Style) -> String {
    if digits == 0 {
        return "0".into();
    }
    while power < -9 {
        digits = digits.div_ceil(10);
        power += 1;
    }
    while digits.is_multiple_of(10) {
        digits /= 10;
        power += 1;
    }
    while power.rem_euclid(3) != 0 || power > 18 {
        digits = digits.saturating_mul(10);
        power -= 1;
    }
    match (style, DECIMAL.iter().find(|(_, known)| *known == power)) {
        (Style::Exponent, _) if power == 0 => digits.to_string(),
        (Style::Decimal | Style::Binary, Some((name, _))) => format!("{digits}{name}"),
        _ => format!("{digits}e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn quantities_have_one_form() {
        let cases = [
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("0.1", "100m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("100M", "100M"),
            ("1000k", "1M"),
            ("0", "0"),
            ("0Mi", "0"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("-0.5", "-500m"),
            ("100m", "100m"),
            ("2", "2"),
            ("128974848", "128974848"),
            ("1000", "1k"),
            ("0.5Mi", "512Ki"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for bad in ["", "a", "1x", "1..2", "m", "1 Gi"] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }
}
