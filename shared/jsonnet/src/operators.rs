//! What operators do with values.

use std::cmp::Ordering;

use rsjsonnet_lang::ast::{BinaryOp, UnaryOp};

use crate::eval::{Eval, unexpected};
use crate::library::{format, manifest};
use crate::number;
use crate::value::{Expr, Outcome, Scope, Value, fail};

impl<'p> Eval<'p> {
    pub(crate) fn unary(&self, operator: UnaryOp, value: &'p Expr<'p>, scope: &'p Scope<'p>) -> Outcome<Value<'p>> {
        Ok(match (operator, self.eval(value, scope)?) {
            (UnaryOp::LogicNot, Value::Bool(is_so)) => Value::Bool(!is_so),
            (UnaryOp::LogicNot, other) => return unexpected(other, "boolean"),
            (UnaryOp::Minus, Value::Number(value)) => Value::Number(-value),
            (UnaryOp::Plus, Value::Number(value)) => Value::Number(value),
            (UnaryOp::BitwiseNot, Value::Number(value)) => Value::Number(number::from_int(!number::to_int(value)?)),
            (_, other) => return unexpected(other, "number"),
        })
    }

    pub(crate) fn binary(
        &self,
        left: &'p Expr<'p>,
        operator: BinaryOp,
        right: &'p Expr<'p>,
        scope: &'p Scope<'p>,
    ) -> Outcome<Value<'p>> {
        let is_known = match operator {
            BinaryOp::LogicAnd => !self.condition(left, scope)?,
            BinaryOp::LogicOr => self.condition(left, scope)?,
            _ => {
                let left = self.eval(left, scope)?;
                return self.operate(left, operator, self.eval(right, scope)?);
            }
        };
        let known = operator == BinaryOp::LogicOr;
        Ok(Value::Bool(if is_known { known } else { self.condition(right, scope)? }))
    }

    fn operate(&self, left: Value<'p>, operator: BinaryOp, right: Value<'p>) -> Outcome<Value<'p>> {
        match operator {
            BinaryOp::Add => return self.add(left, right),
            BinaryOp::Eq => return Ok(Value::Bool(self.equals(left, right)?)),
            BinaryOp::Ne => return Ok(Value::Bool(!self.equals(left, right)?)),
            BinaryOp::Lt => return Ok(Value::Bool(self.compare(left, right)?.is_lt())),
            BinaryOp::Le => return Ok(Value::Bool(self.compare(left, right)?.is_le())),
            BinaryOp::Gt => return Ok(Value::Bool(self.compare(left, right)?.is_gt())),
            BinaryOp::Ge => return Ok(Value::Bool(self.compare(left, right)?.is_ge())),
            BinaryOp::In => {
                return match (left, right) {
                    (Value::String(name), Value::Object(object)) => {
                        let name = self.intern(name)?;
                        Ok(Value::Bool(Self::find(object, name, object.layers.len()).is_some()))
                    }
                    (Value::String(_), other) => unexpected(other, "object"),
                    (other, _) => unexpected(other, "string"),
                };
            }
            BinaryOp::Rem => {
                if let Value::String(text) = left {
                    return self.string(&format::format(self, text, right)?);
                }
            }
            _ => {}
        }
        let (left, right) = match (left, right) {
            (Value::Number(left), Value::Number(right)) => (left, right),
            (Value::Number(_), other) | (other, _) => return unexpected(other, "number"),
        };
        number::operate(left, operator, right).map(Value::Number)
    }

    pub(crate) fn add(&self, left: Value<'p>, right: Value<'p>) -> Outcome<Value<'p>> {
        match (left, right) {
            (Value::String(_), _) | (_, Value::String(_)) => {
                let text = |value| match value {
                    Value::String(text) => Ok(text),
                    other => self.text(&manifest::to_string(self, other)?),
                };
                let (left, right) = (text(left)?, text(right)?);
                self.joined(left, right)
            }
            (Value::Number(left), Value::Number(right)) => number::finite(left + right).map(Value::Number),
            (Value::Array(left), Value::Array(right)) => {
                self.budget().bytes(size_of_val(left).saturating_add(size_of_val(right)))?;
                self.step(left.len() + right.len())?;
                self.list(&[left, right].concat()).map(Value::Array)
            }
            (Value::Object(left), Value::Object(right)) => self.extend(left, right).map(Value::Object),
            (left, right) => fail(format!("{} and {} can't be added", left.type_name(), right.type_name())),
        }
    }

    pub(crate) fn equals(&self, left: Value<'p>, right: Value<'p>) -> Outcome<bool> {
        self.step(1)?;
        Ok(match (left, right) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Number(left), Value::Number(right)) => left.partial_cmp(&right) == Some(Ordering::Equal),
            (Value::String(left), Value::String(right)) => {
                self.budget().scan(left.len().min(right.len()))?;
                left == right
            }
            (Value::Array(left), Value::Array(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(right) {
                    if !self.nested(|| self.equals(self.force(left)?, self.force(right)?))? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Object(left), Value::Object(right)) => {
                let (names, others) = (self.visible(left)?, self.visible(right)?);
                if names != others {
                    return Ok(false);
                }
                for name in names {
                    if !self.nested(|| self.equals(self.field(left, name)?, self.field(right, name)?))? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Function(_), Value::Function(_)) => return fail("functions can't be compared"),
            _ => false,
        })
    }

    pub(crate) fn compare(&self, left: Value<'p>, right: Value<'p>) -> Outcome<Ordering> {
        self.step(1)?;
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => Ok(left.partial_cmp(&right).unwrap_or(Ordering::Equal)),
            (Value::String(left), Value::String(right)) => {
                self.budget().scan(left.len().min(right.len()))?;
                Ok(left.cmp(right))
            }
            (Value::Array(left), Value::Array(right)) => {
                for (left, right) in left.iter().zip(right) {
                    let order = self.nested(|| self.compare(self.force(left)?, self.force(right)?))?;
                    if order.is_ne() {
                        return Ok(order);
                    }
                }
                Ok(left.len().cmp(&right.len()))
            }
            (left, right) => fail(format!("{} and {} can't be compared", left.type_name(), right.type_name())),
        }
    }
}
