//! Reads and prints durations as Go does (`time.ParseDuration`, `Duration.String`): `1h30m0s`, `1.5h`, `300ms`.

#![warn(clippy::arithmetic_side_effects)]

use std::time::Duration;

use crate::time::quote;

/// Why a text is no duration, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// No number where one has to be, or more nanoseconds than 64 bits hold.
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", quote(.0))]
    NoUnit(String),
    /// A unit that Go does not know.
    #[error("time: unknown unit {} in duration {}", quote(unit), quote(text))]
    Unit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// The nanoseconds of the longest negative duration.
const LONGEST: u64 = 1 << 63;

/// Go's `time.ParseDuration`, in nanoseconds.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let (unit, after) = after.split_at(after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len()));
        let scale = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(DurationError::NoUnit(text.to_owned())),
            unit => return Err(DurationError::Unit { unit: unit.to_owned(), text: text.to_owned() }),
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        nanos = whole
            .checked_mul(scale)
            .and_then(|part| part.checked_add(share(fraction, scale)))
            .and_then(|part| part.checked_add(nanos))
            .filter(|nanos| *nanos <= LONGEST)
            .ok_or_else(invalid)?;
        rest = after;
    }
    if text.starts_with('-') {
        return 0_i64.checked_sub_unsigned(nanos).ok_or_else(invalid);
    }
    i64::try_from(nanos).map_err(|_| invalid())
}

/// The digits at the start, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The decimal `fraction` of `scale`; Go, too, has it go over a float, and takes no more digits than 63 bits hold.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "as in Go")]
fn share(fraction: &str, scale: u64) -> u64 {
    let (mut number, mut one) = (0_u64, 1.0);
    for digit in fraction.bytes() {
        if number > i64::MAX.cast_unsigned() / 10 {
            break;
        }
        number = number.saturating_mul(10).saturating_add(digit.saturating_sub(b'0').into());
        one *= 10.0;
    }
    (number as f64 * (scale as f64 / one)) as u64
}

/// A duration in which a bare number counts seconds, as Argo CD reads `syncPolicy.retry.backoff` (argoproj/argo-cd
/// `pkg/apis/application/v1alpha1/types.go`); `None` for what is none, and below zero.
pub fn parse_or_seconds(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    u64::try_from(parse(text).ok()?).ok().map(Duration::from_nanos)
}

/// Go's `Duration.String`.
pub fn format(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    if magnitude == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let with_fraction = |value: u64, unit: u64| {
        let (whole, rest) = (value.checked_div(unit).unwrap_or_default(), value.checked_rem(unit).unwrap_or_default());
        let text = format!("{whole}.{rest:0width$}", width = unit.ilog10() as usize);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match magnitude {
        0..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", with_fraction(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", with_fraction(magnitude, 1_000_000)),
        _ => {
            let minutes = magnitude / 60_000_000_000;
            let seconds = with_fraction(magnitude % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, seconds) in [("1h30m", 5_400), ("1.5h", 5_400), ("-2m", -120), ("0", 0), ("+5s", 5), (".5m", 30)] {
            assert_eq!(parse(text), Ok(seconds * 1_000_000_000), "{text}");
        }
        for (broken, words) in [
            ("", r#"time: invalid duration """#),
            ("h", r#"time: invalid duration "h""#),
            ("1", r#"time: missing unit in duration "1""#),
            ("1.2.3s", r#"time: missing unit in duration "1.2.3s""#),
            ("1x", r#"time: unknown unit "x" in duration "1x""#),
            ("1é", r#"time: unknown unit "\xc3\xa9" in duration "1\xc3\xa9""#),
            ("99999999999h", r#"time: invalid duration "99999999999h""#),
        ] {
            assert_eq!(parse(broken).unwrap_err().to_string(), words);
        }
        assert_eq!(parse("-9223372036854775808ns"), Ok(i64::MIN));
    }

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (text, printed) in [
            ("0.5h", "30m0s"),
            ("90m", "1h30m0s"),
            ("500ms", "500ms"),
            ("1500us", "1.5ms"),
            ("1h1.5s", "1h0m1.5s"),
            ("-1s", "-1s"),
            ("0", "0s"),
            ("1ns", "1ns"),
        ] {
            assert_eq!(format(parse(text).unwrap()), printed, "{text}");
        }
    }

    #[test]
    fn a_bare_number_counts_seconds() {
        assert_eq!(parse_or_seconds("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse_or_seconds("5m30s"), Some(Duration::from_secs(330)));
        for broken in ["s", "5x", "-1s", "-1"] {
            assert_eq!(parse_or_seconds(broken), None, "{broken}");
        }
    }
}
