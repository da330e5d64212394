//! Mathematics.

use super::{Arguments, Native};
use crate::eval::Eval;
use crate::number;
use crate::value::{Outcome, Value};

/// A function of one number.
macro_rules! of_one {
    ($name:literal, $function:expr) => {
        Native {
            name: $name,
            params: &["x"],
            call: |eval, arguments| number::finite($function(arguments.number(eval, 0)?)).map(Value::Number),
        }
    };
}

/// A question about one number.
macro_rules! asked {
    ($name:literal, $function:expr) => {
        Native {
            name: $name,
            params: &["x"],
            call: |eval, arguments| Ok(Value::Bool($function(arguments.number(eval, 0)?))),
        }
    };
}

/// A function of two numbers.
macro_rules! of_two {
    ($name:literal, $params:expr, $function:expr) => {
        Native {
            name: $name,
            params: $params,
            call: |eval, arguments| {
                let (x, y) = (arguments.number(eval, 0)?, arguments.number(eval, 1)?);
                number::finite($function(x, y)).map(Value::Number)
            },
        }
    };
}

pub(super) const NATIVES: &[Native] = &[
    of_one!("ceil", f64::ceil),
    of_one!("floor", f64::floor),
    of_one!("round", f64::round),
    of_one!("sqrt", f64::sqrt),
    of_one!("sin", f64::sin),
    of_one!("cos", f64::cos),
    of_one!("tan", f64::tan),
    of_one!("asin", f64::asin),
    of_one!("acos", f64::acos),
    of_one!("atan", f64::atan),
    of_one!("log", f64::ln),
    of_one!("exp", f64::exp),
    of_one!("mantissa", |x| split(x).0),
    of_one!("exponent", |x| split(x).1),
    asked!("isEven", |x: f64| x.trunc() % 2.0 == 0.0),
    asked!("isOdd", |x: f64| x.trunc() % 2.0 != 0.0),
    asked!("isInteger", |x: f64| x.fract() == 0.0),
    asked!("isDecimal", |x: f64| x.fract() != 0.0),
    of_two!("pow", &["x", "n"], f64::powf),
    of_two!("atan2", &["y", "x"], f64::atan2),
    of_two!("hypot", &["x", "y"], f64::hypot),
    Native { name: "modulo", params: &["x", "y"], call: modulo },
];

fn modulo<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (x, y) = (arguments.number(eval, 0)?, arguments.number(eval, 1)?);
    number::operate(x, rsjsonnet_lang::ast::BinaryOp::Rem, y).map(Value::Number)
}

/// Mantissa, at least 0.5 and below 1, and exponent, as C's `frexp`.
fn split(x: f64) -> (f64, f64) {
    if x == 0.0 {
        return (x, 0.0);
    }
    let (mut mantissa, mut exponent) = (x, 0.0);
    // At most 1,100 turns: a number has no more bits of exponent.
    while mantissa.abs() >= 1.0 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    while mantissa.abs() < 0.5 {
        mantissa *= 2.0;
        exponent -= 1.0;
    }
    (mantissa, exponent)
}
