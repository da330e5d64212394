//! eq, ne, lt, le, gt, ge: only values of like kinds compare, but for integers with and without sign.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::budget::Budget;
use crate::fmt;
use crate::func::FuncError;
use crate::operand::Operand;
use crate::value::{Kind, Value};

/// A value of a kind that compares.
enum Basic {
    Bool(bool),
    Complex(f64, f64),
    Int(i64),
    Float(f64),
    Str(crate::value::Str),
    Uint(u64),
}

impl Basic {
    fn of(operand: &Operand) -> Option<Self> {
        Some(match operand.value.as_ref()?.plain().as_ref() {
            Value::Bool(value) => Self::Bool(*value),
            Value::Complex(re, im) => Self::Complex(*re, *im),
            Value::Int(_, value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Str(value) => Self::Str(value.clone()),
            Value::Uint(_, value) => Self::Uint(*value),
            _ => return None,
        })
    }

    /// Nothing if the kinds differ.
    #[allow(clippy::float_cmp, reason = "Go compares exactly")]
    fn equals(&self, other: &Self) -> Option<bool> {
        Some(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Complex(a, b), Self::Complex(c, d)) => a == c && b == d,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Int(int), Self::Uint(uint)) | (Self::Uint(uint), Self::Int(int)) => {
                u64::try_from(*int).is_ok_and(|int| int == *uint)
            }
            _ => return None,
        })
    }
}

/// Whether the first argument equals any of the others.
pub(super) fn eq(budget: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    let Some((first, others)) = args.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".into());
    };
    for other in others {
        if equal(budget, first, other)? {
            return Ok(Value::Bool(true).into());
        }
    }
    Ok(Value::Bool(false).into())
}

fn equal(budget: &Budget, a: &Operand, b: &Operand) -> Result<bool, FuncError> {
    let (basic_a, basic_b) = (Basic::of(a), Basic::of(b));
    let (Some(value_a), Some(value_b)) = (a.present(), b.present()) else {
        // Nil equals nil, nil slices and nil maps. A basic value is never nil.
        return Ok(basic_a.is_none() && basic_b.is_none() && is_nil(a) == is_nil(b));
    };
    match (basic_a, basic_b) {
        (Some(a), Some(b)) => a.equals(&b).ok_or_else(|| incompatible(value_a, value_b)),
        (None, None) => {
            if value_a.kind() != value_b.kind() {
                let text = fmt::sprintf(
                    budget,
                    b"non-comparable types %s: %v, %s: %v",
                    &[value_a.clone(), type_of(value_a), type_of(value_b), value_b.clone()],
                )?;
                return Err(text.to_string().into());
            }
            if is_nil(a) || is_nil(b) {
                return Ok(is_nil(a) == is_nil(b));
            }
            match (value_a, value_b) {
                (Value::Native(a), Value::Native(b)) if matches!(a.kind(), Kind::Ptr | Kind::Struct) => {
                    Ok(Rc::ptr_eq(a, b))
                }
                _ => {
                    let args = [value_b.clone(), type_of(value_b)];
                    Err(fmt::sprintf(budget, b"non-comparable type %s: %v", &args)?.to_string().into())
                }
            }
        }
        _ => Err(incompatible(value_a, value_b)),
    }
}

fn type_of(value: &Value) -> Value {
    Value::from(value.type_name().as_ref())
}

fn is_nil(operand: &Operand) -> bool {
    match operand.present() {
        None => true,
        Some(Value::List(list)) => list.is_nil(),
        Some(Value::Map(map)) => map.is_nil(),
        Some(_) => false,
    }
}

fn incompatible(a: &Value, b: &Value) -> FuncError {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()).into()
}

/// How the two are ordered; `None` inside for what has no order (NaN).
fn order(args: &[Operand]) -> Result<Option<Ordering>, FuncError> {
    let [a, b] = args else { return Err("missing argument for comparison".into()) };
    let (Some(basic_a), Some(basic_b)) = (Basic::of(a), Basic::of(b)) else {
        return Err("invalid type for comparison".into());
    };
    Ok(match (&basic_a, &basic_b) {
        (Basic::Float(a), Basic::Float(b)) => a.partial_cmp(b),
        (Basic::Int(a), Basic::Int(b)) => Some(a.cmp(b)),
        (Basic::Str(a), Basic::Str(b)) => Some(a.cmp(b)),
        (Basic::Uint(a), Basic::Uint(b)) => Some(a.cmp(b)),
        (Basic::Int(a), Basic::Uint(b)) => Some(u64::try_from(*a).map_or(Ordering::Less, |a| a.cmp(b))),
        (Basic::Uint(a), Basic::Int(b)) => Some(u64::try_from(*b).map_or(Ordering::Greater, |b| a.cmp(&b))),
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => {
            return Err("invalid type for comparison".into());
        }
        _ => {
            return Err(match (a.present(), b.present()) {
                (Some(a), Some(b)) => incompatible(a, b),
                _ => "invalid type for comparison".into(),
            });
        }
    })
}

pub(super) fn ne(budget: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    Ok(Value::Bool(!eq(budget, args)?.truth()).into())
}

pub(super) fn lt(_: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    Ok(Value::Bool(order(args)? == Some(Ordering::Less)).into())
}

pub(super) fn le(_: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    Ok(Value::Bool(matches!(order(args)?, Some(Ordering::Less | Ordering::Equal))).into())
}

/// Not `le`, as in Go: true for NaN.
pub(super) fn gt(_: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    Ok(Value::Bool(!matches!(order(args)?, Some(Ordering::Less | Ordering::Equal))).into())
}

/// Not `lt`, as in Go: true for NaN.
pub(super) fn ge(_: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    Ok(Value::Bool(order(args)? != Some(Ordering::Less)).into())
}
