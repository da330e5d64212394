//! Numbers of JSON as what they are written as: Go's library compares fractions, so that 0.3 is a multiple of 0.1.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Number;

/// How many zeros a quotient may need.
const MAX_ZEROS: i64 = 2_000;

/// `digits` × 10^`exponent`, without zeros at either end of the digits; zero has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    pub(super) fn new(number: &Number) -> Self {
        let text = number.to_string();
        let (negative, text) = text.strip_prefix('-').map_or((false, text.as_str()), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit.wrapping_sub(b'0')).collect();
        let mut exponent = exponent.parse::<i64>().unwrap_or(0) - i64::try_from(fraction.len()).unwrap_or(0);
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        Self { negative, digits, exponent }
    }

    pub(super) fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Whether `self / other` has no fraction; whether it has for zero.
    pub(super) fn is_multiple_of(&self, other: &Self) -> bool {
        let zeros = self.exponent - other.exponent;
        if self.digits.is_empty() {
            return true;
        }
        // Digits that end in no zero are no multiple of ten.
        if !(0..=MAX_ZEROS).contains(&zeros) {
            return false;
        }
        let divisor = other.digits.iter().fold(0_u128, |value, digit| value * 10 + u128::from(*digit));
        if divisor == 0 {
            return false;
        }
        let padding = std::iter::repeat_n(&0_u8, usize::try_from(zeros).unwrap_or(0));
        let digits = self.digits.iter().chain(padding);
        digits.fold(0_u128, |rest, digit| (rest * 10 + u128::from(*digit)) % divisor) == 0
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        let point = |one: &Self| i64::try_from(one.digits.len()).unwrap_or(0) + one.exponent;
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => point(self).cmp(&point(other)).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

/// Without an exponent where that is short.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + *digit)).collect();
        let point = i64::try_from(digits.len()).unwrap_or(0) + self.exponent;
        match usize::try_from(point) {
            _ if digits.is_empty() => f.write_str("0"),
            Ok(point) if point >= digits.len() && point <= 21 => write!(f, "{sign}{digits:0<point$}"),
            Ok(point) if point > 0 && point < digits.len() => {
                let (whole, fraction) = digits.split_at(point);
                write!(f, "{sign}{whole}.{fraction}")
            }
            _ if (-6..=0).contains(&point) => {
                let zeros = usize::try_from(-point).unwrap_or(0);
                write!(f, "{sign}0.{}{digits}", "0".repeat(zeros))
            }
            _ => write!(f, "{sign}{digits}e{}", self.exponent),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::Decimal;

    fn decimal(text: &str) -> Decimal {
        let Ok(Value::Number(number)) = serde_json::from_str(text) else { panic!("{text}") };
        Decimal::new(&number)
    }

    #[test]
    fn numbers_are_exact() {
        for (number, divisor, is_multiple) in [
            ("0.3", "0.1", true),
            ("1e300", "0.01", true),
            ("7", "2", false),
            ("7.5", "2.5", true),
            ("0", "3", true),
            ("10", "100", false),
            ("-9", "3", true),
            ("1.1", "0.01", true),
        ] {
            assert_eq!(decimal(number).is_multiple_of(&decimal(divisor)), is_multiple, "{number} {divisor}");
        }
        let sorted = ["-1e3", "-2", "-0.5", "0", "1e-9", "0.5", "2", "10", "1e3", "18446744073709551615"];
        assert!(sorted.map(decimal).is_sorted());
        let printed = ["0", "-12", "1200", "1.5", "0.05", "1e30"].map(|text| decimal(text).to_string());
        assert_eq!(printed, ["0", "-12", "1200", "1.5", "0.05", "1e30"]);
        assert_eq!(decimal("1.0"), decimal("1"));
        assert!(decimal("1e2").is_integer() && !decimal("1.5").is_integer());
    }
}
