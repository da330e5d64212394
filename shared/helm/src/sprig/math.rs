//! Numbers (Masterminds/sprig `numeric.go`). Integers are int64 and wrap around, as in Go.

use slipway_gotmpl::{Context, FuncError, Function, INT, List, Type, Value, sprint};

use super::cast::{to_float64, to_int64};
use super::{Outcome, misused};

const ONE: &[Type] = &[Type::Any];
const TWO: &[Type] = &[Type::Any, Type::Any];

pub(super) const TABLE: &[Function] = &[
    Function::new("int", ONE, |_, args| one(args, |value| Value::int(to_int64(value)))),
    Function::new("int64", ONE, |_, args| one(args, |value| Value::int64(to_int64(value)))),
    Function::new("float64", ONE, |_, args| one(args, |value| Value::Float(to_float64(value)))),
    Function::new("atoi", &[Type::String], atoi),
    Function::new("toDecimal", ONE, to_decimal),
    Function::new("add1", ONE, |_, args| one(args, |value| Value::int64(to_int64(value).wrapping_add(1)))),
    Function::variadic("add", ONE, |_, args| Ok(fold(0, args, i64::wrapping_add))),
    Function::new("sub", TWO, |_, args| two(args, |a, b| Ok(a.wrapping_sub(b)))),
    Function::new("div", TWO, |_, args| two(args, |a, b| divide(a, b, i64::wrapping_div))),
    Function::new("mod", TWO, |_, args| two(args, |a, b| divide(a, b, i64::wrapping_rem))),
    Function::variadic("mul", TWO, |_, args| Ok(fold(1, args, i64::wrapping_mul))),
    Function::variadic("max", TWO, |_, args| reduce(args, i64::max)),
    Function::variadic("biggest", TWO, |_, args| reduce(args, i64::max)),
    Function::variadic("min", TWO, |_, args| reduce(args, i64::min)),
    Function::variadic("maxf", TWO, |_, args| reduce_floats(args, f64::max)),
    Function::variadic("minf", TWO, |_, args| reduce_floats(args, f64::min)),
    Function::new("ceil", ONE, |_, args| one(args, |value| Value::Float(to_float64(value).ceil()))),
    Function::new("floor", ONE, |_, args| one(args, |value| Value::Float(to_float64(value).floor()))),
    Function::variadic("round", &[Type::Any, INT, Type::Float64], round),
    Function::new("add1f", ONE, |_, args| decimal(args, &[Value::int(1)], Op::Add)),
    Function::variadic("addf", ONE, |_, args| decimal(&[Value::Float(0.0)], args, Op::Add)),
    Function::variadic("subf", TWO, |_, args| decimal_fold(args, Op::Sub)),
    Function::variadic("mulf", TWO, |_, args| decimal_fold(args, Op::Mul)),
    Function::variadic("divf", TWO, |_, args| decimal_fold(args, Op::Div)),
    Function::new("until", &[INT], until),
    Function::new("untilStep", &[INT, INT, INT], until_step),
    Function::variadic("seq", &[INT], seq),
];

fn one(args: &[Value], work: impl FnOnce(&Value) -> Value) -> Outcome {
    match args {
        [value] => Ok(work(value)),
        _ => misused(),
    }
}

fn two(args: &[Value], work: impl FnOnce(i64, i64) -> Result<i64, FuncError>) -> Outcome {
    match args {
        [a, b] => Ok(Value::int64(work(to_int64(a), to_int64(b))?)),
        _ => misused(),
    }
}

fn divide(a: i64, b: i64, work: impl FnOnce(i64, i64) -> i64) -> Result<i64, FuncError> {
    if b == 0 { Err("runtime error: integer divide by zero".into()) } else { Ok(work(a, b)) }
}

fn fold(start: i64, args: &[Value], work: impl Fn(i64, i64) -> i64) -> Value {
    Value::int64(args.iter().map(to_int64).fold(start, work))
}

fn reduce(args: &[Value], work: impl Fn(i64, i64) -> i64) -> Outcome {
    args.iter().map(to_int64).reduce(work).map_or_else(misused, |result| Ok(Value::int64(result)))
}

/// Go's `math.Max` and `math.Min`: NaN wins over numbers.
fn reduce_floats(args: &[Value], work: impl Fn(f64, f64) -> f64) -> Outcome {
    let work = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { work(a, b) };
    args.iter().map(to_float64).reduce(work).map_or_else(misused, |result| Ok(Value::Float(result)))
}

/// `strconv.Atoi` whose errors are dropped: what is too large is the largest integer.
fn atoi(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    use std::num::IntErrorKind;
    let [Value::Str(text)] = args else { return misused() };
    Ok(Value::int(match text.to_text().parse::<i64>() {
        Ok(int) => int,
        Err(e) if *e.kind() == IntErrorKind::PosOverflow => i64::MAX,
        Err(e) if *e.kind() == IntErrorKind::NegOverflow => i64::MIN,
        Err(_) => 0,
    }))
}

fn to_decimal(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let text = sprint(cx.budget(), args)?;
    Ok(Value::int64(i64::from_str_radix(&text.to_text(), 8).unwrap_or(0)))
}

fn round(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (value, places, on) = match args {
        [value, Value::Int(_, places)] => (value, places, 0.5),
        [value, Value::Int(_, places), Value::Float(on), ..] => (value, places, *on),
        _ => return misused(),
    };
    let power = 10f64.powi(i32::try_from(*places).unwrap_or(if *places < 0 { i32::MIN } else { i32::MAX }));
    let digits = power * to_float64(value);
    let rounded = if digits.fract() >= on { digits.ceil() } else { digits.floor() };
    Ok(Value::Float(rounded / power))
}

/// The integers from `start` to before `end`, each taken from the budget.
fn steps(cx: &Context<'_>, start: i64, end: i64, by: i64) -> Result<Vec<i64>, FuncError> {
    if end < start && by >= 0 || end >= start && by <= 0 {
        return Ok(Vec::new());
    }
    let count = (i128::from(end) - i128::from(start)).unsigned_abs().div_ceil(i128::from(by).unsigned_abs());
    cx.budget().step(u64::try_from(count).unwrap_or(u64::MAX))?;
    cx.budget().bytes(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(size_of::<Value>()))?;
    let in_range = |number: &i64| if by > 0 { *number < end } else { *number > end };
    Ok(std::iter::successors(Some(start), |number| number.checked_add(by)).take_while(in_range).collect())
}

fn ints(numbers: Vec<i64>) -> Value {
    List::typed(&INT, numbers.into_iter().map(Value::int).collect()).into()
}

fn until(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(_, count)] = args else { return misused() };
    Ok(ints(steps(cx, 0, *count, if *count < 0 { -1 } else { 1 })?))
}

fn until_step(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(_, start), Value::Int(_, end), Value::Int(_, by)] = args else { return misused() };
    Ok(ints(steps(cx, *start, *end, *by)?))
}

fn seq(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let numbers: Vec<i64> = args.iter().map(to_int64).collect();
    let toward = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, end, step) = match numbers.as_slice() {
        [end] => (1, *end, toward(1, *end)),
        [start, end] => (*start, *end, toward(*start, *end)),
        [start, step, end] if *end >= *start || *step <= 0 => (*start, *end, *step),
        _ => return Ok(Value::literal("")),
    };
    let numbers = steps(cx, start, end.wrapping_add(toward(start, end)), step)?;
    // A text for each, and all of them joined.
    cx.budget().bytes(numbers.len().saturating_mul(64))?;
    Ok(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ").into())
}

#[derive(Clone, Copy)]
enum Op {
    Add,
    Sub,
    Mul,
    Div,
}

fn decimal_fold(args: &[Value], op: Op) -> Outcome {
    let (first, rest) = args.split_at(1.min(args.len()));
    decimal(first, rest, op)
}

/// Folds as shopspring/decimal does: exactly, division to 16 places.
fn decimal(first: &[Value], rest: &[Value], op: Op) -> Outcome {
    let mut result = Decimal::new(first.first().map(to_float64).unwrap_or_default())?;
    for value in rest {
        result = result.apply(Decimal::new(to_float64(value))?, op)?;
    }
    Ok(Value::Float(result.to_f64()))
}

/// `digits` with the point moved by `exponent` places; what leaves 128 bits goes on as a float.
#[derive(Clone, Copy)]
enum Decimal {
    Exact { digits: i128, exponent: i32 },
    Float(f64),
}

impl Decimal {
    fn new(float: f64) -> Result<Self, FuncError> {
        if !float.is_finite() {
            let name = if float.is_nan() {
                "NaN"
            } else if float > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            };
            return Err(format!("Cannot create a Decimal from {name}").into());
        }
        // The shortest digits that read back as this float, as `NewFromFloat` takes them.
        let text = format!("{float:e}");
        let exact = text.split_once('e').and_then(|(digits, exponent)| {
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let exponent = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
            Some(Self::Exact { digits: format!("{whole}{fraction}").parse().ok()?, exponent })
        });
        Ok(exact.unwrap_or(Self::Float(float)))
    }

    fn to_f64(self) -> f64 {
        match self {
            Self::Exact { digits, exponent } => format!("{digits}e{exponent}").parse().unwrap_or_default(),
            Self::Float(float) => float,
        }
    }

    fn apply(self, other: Self, op: Op) -> Result<Self, FuncError> {
        let (a, b) = (self.to_f64(), other.to_f64());
        if matches!(op, Op::Div) && b == 0.0 {
            return Err("decimal division by 0".into());
        }
        let exact = match (self, other) {
            (Self::Exact { digits: a, exponent: ea }, Self::Exact { digits: b, exponent: eb }) => {
                exact((a, ea), (b, eb), op)
            }
            _ => None,
        };
        Ok(exact.unwrap_or(Self::Float(match op {
            Op::Add => a + b,
            Op::Sub => a - b,
            Op::Mul => a * b,
            Op::Div => a / b,
        })))
    }
}

fn exact((a, ea): (i128, i32), (b, eb): (i128, i32), op: Op) -> Option<Decimal> {
    const PLACES: i32 = 16;
    let scale = |digits: i128, by: i32| 10i128.checked_pow(u32::try_from(by).ok()?)?.checked_mul(digits);
    let low = ea.min(eb);
    let (digits, exponent) = match op {
        Op::Add => (scale(a, ea - low)?.checked_add(scale(b, eb - low)?)?, low),
        Op::Sub => (scale(a, ea - low)?.checked_sub(scale(b, eb - low)?)?, low),
        Op::Mul => (a.checked_mul(b)?, ea.checked_add(eb)?),
        Op::Div => {
            let shift = ea - eb + PLACES;
            let (a, b) = if shift >= 0 { (scale(a, shift)?, b) } else { (a, scale(b, -shift)?) };
            let up = (a % b).unsigned_abs().checked_mul(2)? >= b.unsigned_abs();
            (a / b + if up { a.signum() * b.signum() } else { 0 }, -PLACES)
        }
    };
    Some(Decimal::Exact { digits, exponent })
}
