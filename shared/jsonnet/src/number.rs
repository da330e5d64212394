//! Numbers: what is written, what operators make of them, and what they are as integers and places.

use rsjsonnet_lang::ast::BinaryOp;
use rsjsonnet_lang::token::Number;
use serde_json::Value as Json;
use slipway_gocompat::strconv;

use crate::value::{Outcome, fail};

/// The integers that a number has exactly.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// A number as it is written.
pub(crate) fn parse(written: &Number<'_>) -> Outcome<f64> {
    finite(format!("{}e{}", written.digits, written.exp).parse().unwrap_or(f64::NAN))
}

/// A result, which is never infinite.
pub(crate) fn finite(value: f64) -> Outcome<f64> {
    if value.is_finite() { Ok(value) } else { fail("the number overflows") }
}

/// An integer of those that are exact.
#[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
pub(crate) fn to_int(value: f64) -> Outcome<i64> {
    let whole = value.trunc();
    if whole.abs() > MAX_SAFE {
        return fail("the number is outside of what integers can be (2^53)");
    }
    Ok(whole as i64)
}

/// A whole number.
pub(crate) fn whole(value: f64) -> Outcome<i64> {
    if value.fract() != 0.0 {
        return fail(format!("{} is no integer", text(value)));
    }
    to_int(value)
}

/// A place in a list, fractions cut off.
pub(crate) fn to_index(value: f64) -> Outcome<usize> {
    usize::try_from(to_int(value)?).or_else(|_| fail(format!("index {} out of bounds", text(value))))
}

#[expect(clippy::cast_precision_loss, reason = "rounds as everybody does")]
pub(crate) fn from_int(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53: it was allocated")]
pub(crate) fn from_len(value: usize) -> f64 {
    value as f64
}

/// A number as text (go-jsonnet `unparseNumber`).
pub(crate) fn text(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { strconv::format_float(value, 'g', Some(17)) }
}

/// A number as JSON has it: an integer where it is one.
pub(crate) fn to_json(value: f64) -> Json {
    let whole = (value.fract() == 0.0).then(|| format!("{value:.0}"));
    let unsigned = || whole.as_deref()?.parse::<u64>().ok().map(Json::from);
    let signed = || whole.as_deref()?.parse::<i64>().ok().map(Json::from);
    unsigned().or_else(signed).unwrap_or_else(|| Json::from(value))
}

/// What an operator between numbers makes.
pub(crate) fn operate(left: f64, operator: BinaryOp, right: f64) -> Outcome<f64> {
    let shift = || -> Outcome<u32> {
        match to_int(right)? {
            by if by < 0 => fail("a shift by a negative number"),
            by => Ok(u32::try_from(by % 64).unwrap_or_default()),
        }
    };
    match operator {
        BinaryOp::Sub => finite(left - right),
        BinaryOp::Mul => finite(left * right),
        BinaryOp::Div | BinaryOp::Rem if right == 0.0 => fail("division by zero"),
        BinaryOp::Div => finite(left / right),
        BinaryOp::Rem => finite(left % right),
        BinaryOp::BitwiseAnd => Ok(from_int(to_int(left)? & to_int(right)?)),
        BinaryOp::BitwiseOr => Ok(from_int(to_int(left)? | to_int(right)?)),
        BinaryOp::BitwiseXor => Ok(from_int(to_int(left)? ^ to_int(right)?)),
        BinaryOp::Shl => {
            let (value, by) = (to_int(left)?, shift()?);
            match value.checked_shl(by).filter(|shifted| shifted >> by == value) {
                Some(shifted) => Ok(from_int(shifted)),
                None => fail("the shift overflows"),
            }
        }
        BinaryOp::Shr => Ok(from_int(to_int(left)? >> shift()?)),
        _ => fail("no operator of numbers"),
    }
}
