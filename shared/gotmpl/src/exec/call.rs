//! Functions, methods and their arguments.

use super::{At, Exec, Shared};
use crate::ast::{Callee, Expr, ExprKind, Show};
use crate::budget::Budget;
use crate::builtin::{Builtin, Run};
use crate::error::Error;
use crate::func::{Context, FuncError, Function};
use crate::operand::{Operand, can_be_nil, zero};
use crate::value::{Str, Type, Value};

/// More arguments than a call in a chart has are paid for before they are evaluated.
const MANY: usize = 64;

impl<'a> Exec<'a, '_> {
    pub(super) fn function(
        &mut self,
        dot: &Operand,
        callee: Callee,
        node: At<'a>,
        args: &'a [Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        match callee {
            Callee::Builtin(builtin) => self.builtin(dot, builtin, node, args, last),
            Callee::Custom(function) => {
                let values = Vec::with_capacity(args.len() + 1);
                self.custom(dot, function, node, values, args, last)
            }
        }
    }

    pub(super) fn method(
        &mut self,
        dot: &Operand,
        receiver: Value,
        method: &'static Function,
        node: At<'a>,
        args: &'a [Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.custom(dot, method, node, vec![receiver], args, last)
    }

    /// Calls a function of the caller's; `values` are the arguments so far.
    fn custom(
        &mut self,
        dot: &Operand,
        function: &'static Function,
        node: At<'a>,
        mut values: Vec<Value>,
        args: &'a [Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        let fixed = function.params.len() - usize::from(function.variadic);
        self.check_count(function.name, fixed, function.variadic, args.len(), last.is_some())?;
        let param = |index: usize| {
            let index = if function.variadic { index.min(fixed) } else { index };
            function.params.get(index).copied().unwrap_or(Type::Any)
        };
        if args.len() > MANY {
            let made = self.shared.budget.bytes(args.len() * size_of::<Value>());
            made.map_err(|limit| self.limit(limit))?;
        }
        for (index, arg) in args.iter().enumerate() {
            let value = self.argument(dot, param(index), arg)?;
            values.push(value);
        }
        if let Some(last) = last {
            values.push(self.validated(last, param(args.len()))?);
        }
        self.step()?;
        let Shared { set, budget, state } = self.shared;
        let result = charged(budget, function.cost, values.iter().map(Some), || {
            (function.call)(&mut Context { set, budget, state }, &values)
        });
        match result {
            Ok(value) => Ok(value.into()),
            Err(error) => Err(self.failed(node, function.name, error)),
        }
    }

    fn failed(&mut self, node: At<'a>, name: &str, error: FuncError) -> Error {
        self.at = node;
        self.error(format_args!("error calling {name}: ")).because(error)
    }

    fn check_count(&self, name: &str, fixed: usize, variadic: bool, args: usize, last: bool) -> Result<(), Error> {
        let count = args + usize::from(last);
        if variadic && count < fixed {
            return Err(self.error(format_args!("wrong number of args for {name}: want at least {fixed} got {args}")));
        }
        if !variadic && count != fixed {
            return Err(self.error(format_args!("wrong number of args for {name}: want {fixed} got {count}")));
        }
        Ok(())
    }

    fn builtin(
        &mut self,
        dot: &Operand,
        builtin: &'static Builtin,
        node: At<'a>,
        args: &'a [Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.check_count(builtin.name, builtin.fixed, builtin.variadic, args.len(), last.is_some())?;
        if let Run::And | Run::Or = builtin.run {
            let stop = matches!(builtin.run, Run::Or);
            let mut value = Operand::NONE;
            for arg in args {
                value = self.operand(dot, arg)?;
                if value.truth() == stop {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut operands = Vec::with_capacity(args.len() + 1);
        for arg in args {
            operands.push(self.operand(dot, arg)?);
        }
        operands.extend(last);
        let budget = self.shared.budget;
        let result = charged(budget, 1, operands.iter().map(|operand| operand.value.as_ref()), || match builtin.run {
            Run::Plain(run) => run(budget, &operands),
            _ => self.call_value(&self.callee_name(args.first(), operands.first()), &operands),
        });
        result.map_err(|error| self.failed(node, builtin.name, error))
    }

    /// `call f a b`
    fn call_value(&mut self, name: &str, operands: &[Operand]) -> Result<Operand, FuncError> {
        let Some((callee, args)) = operands.split_first() else { return Err("call of nil".into()) };
        let function = match callee.present() {
            Some(Value::Func(function)) => *function,
            Some(other) => return Err(format!("non-function {name} of type {}", other.type_name()).into()),
            None => return Err("call of nil".into()),
        };
        let fixed = function.params.len() - usize::from(function.variadic);
        if function.variadic && args.len() < fixed {
            return Err(format!("wrong number of args for {name}: got {} want at least {fixed}", args.len()).into());
        }
        if !function.variadic && args.len() != fixed {
            return Err(format!("wrong number of args for {name}: got {} want {fixed}", args.len()).into());
        }
        let mut values = Vec::with_capacity(args.len());
        for (index, arg) in args.iter().enumerate() {
            let param = function.params.get(index.min(function.params.len().saturating_sub(1)));
            let value = prepared(arg, param.copied().unwrap_or(Type::Any));
            values.push(value.map_err(|message| format!("arg {index}: {message}"))?);
        }
        let Shared { set, budget, state } = self.shared;
        (function.call)(&mut Context { set, budget, state }, &values).map(Operand::from)
    }

    /// What `call`'s messages call the thing called: how it is written, or, if it came down the pipe, what it is.
    fn callee_name(&self, written: Option<&Expr>, callee: Option<&Operand>) -> String {
        match (written, callee.and_then(|callee| callee.value.as_ref())) {
            (Some(written), _) => written.text(&self.template.ast),
            (None, Some(Value::Str(text))) => text.to_string(),
            (None, Some(value)) => format!("<{} Value>", value.type_name()),
            (None, None) => "<invalid Value>".into(),
        }
    }

    /// An argument of a builtin: whatever it is.
    pub(super) fn operand(&mut self, dot: &Operand, expr: &'a Expr) -> Result<Operand, Error> {
        self.at = At::Expr(expr);
        match &expr.kind {
            ExprKind::Nil => Ok(Operand::NONE),
            ExprKind::Field(fields) => self.fields(dot, dot, *fields, &[], None),
            ExprKind::Variable(name, fields) => {
                let value = self.variable(*name)?;
                self.fields(dot, &value, *fields, &[], None)
            }
            ExprKind::Pipe(pipe) => self.pipeline(dot, self.template.ast.pipe(*pipe)),
            ExprKind::Func(callee) => self.function(dot, *callee, At::Expr(expr), &[], None),
            ExprKind::Chain(..) => self.chain(dot, expr, &[], None),
            _ => self.constant(dot, expr),
        }
    }

    /// An argument for a parameter of some type: what a literal is depends on it.
    fn argument(&mut self, dot: &Operand, of: Type, expr: &'a Expr) -> Result<Value, Error> {
        match &expr.kind {
            ExprKind::Nil => {
                self.at = At::Expr(expr);
                if can_be_nil(of) {
                    return Ok(zero(of));
                }
                return Err(self.error(format_args!("cannot assign nil to {of}")));
            }
            ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Escaped(..) if of != Type::Any => {
                self.at = At::Expr(expr);
            }
            _ => {
                let operand = self.operand(dot, expr)?;
                return self.validated(operand, of);
            }
        }
        let (literal, expected) = match of {
            Type::Bool => (if let ExprKind::Bool(value) = expr.kind { Some(Value::Bool(value)) } else { None }, "bool"),
            Type::String => {
                let text = match &expr.kind {
                    ExprKind::Text(inner) => Some(Str::from_source(&self.template.ast.source, *inner)),
                    ExprKind::Escaped(text, _) => Some(Str::clone(text)),
                    _ => None,
                };
                (text.map(Value::Str), "string")
            }
            Type::Int(kind) => (number(expr, |number| Some(Value::Int(kind, number.int?))), "integer"),
            Type::Uint(kind) => (number(expr, |number| Some(Value::Uint(kind, number.uint?))), "unsigned integer"),
            Type::Float64 => (number(expr, |number| number.float.map(Value::Float)), "float"),
            Type::Complex128 => {
                (number(expr, |number| number.complex.map(|(re, im)| Value::Complex(re, im))), "complex")
            }
            _ => {
                let text = expr.text(&self.template.ast);
                return Err(self.error(format_args!("can't handle {text} for arg of type {of}")));
            }
        };
        literal.ok_or_else(|| self.error(format_args!("expected {expected}; found {}", expr.text(&self.template.ast))))
    }

    /// The value, if it may be given to a parameter of this type.
    fn validated(&self, operand: Operand, to: Type) -> Result<Value, Error> {
        match operand.value {
            None if can_be_nil(to) => Ok(zero(to)),
            None => Err(self.error(format_args!("invalid value; expected {to}"))),
            Some(value) if value.assignable_to(to) => Ok(value),
            Some(Value::Nil) => Err(self.error(format_args!("wrong type for value; expected {to}; got {}", Type::Any))),
            Some(value) => {
                Err(self.error(format_args!("wrong type for value; expected {to}; got {}", value.type_name())))
            }
        }
    }
}

/// Runs a function within the budget: `cost` steps for each 64 bytes of its texts, then what it makes.
fn charged<'v, T>(
    budget: &Budget,
    cost: u64,
    args: impl Iterator<Item = Option<&'v Value>>,
    call: impl FnOnce() -> Result<T, FuncError>,
) -> Result<T, FuncError> {
    /// Of shorter texts a function does not make so much that the bytes left are asked before.
    const LONG: usize = 64 << 10;
    let length: usize = args.flatten().filter_map(Value::as_str).map(Str::len).sum();
    budget.step(cost.saturating_mul(length as u64 / 64))?;
    if length > LONG {
        budget.has_room(length)?;
    }
    let mark = budget.mark();
    let result = call()?;
    budget.settle_call(mark)?;
    Ok(result)
}

fn number(expr: &Expr, of: impl FnOnce(&crate::ast::Number) -> Option<Value>) -> Option<Value> {
    if let ExprKind::Number(number) = &expr.kind { of(number) } else { None }
}

/// An argument of `call`: integers convert into each other.
fn prepared(arg: &Operand, to: Type) -> Result<Value, String> {
    let Some(value) = arg.present() else {
        return if can_be_nil(to) { Ok(zero(to)) } else { Err(format!("value is nil; should be of type {to}")) };
    };
    match (value, to) {
        _ if value.assignable_to(to) => Ok(value.clone()),
        (Value::Int(_, number), Type::Int(kind)) => Ok(Value::Int(kind, *number)),
        (Value::Uint(_, number), Type::Uint(kind)) => Ok(Value::Uint(kind, *number)),
        (Value::Int(_, number), Type::Uint(kind)) => Ok(Value::Uint(kind, number.cast_unsigned())),
        (Value::Uint(_, number), Type::Int(kind)) => Ok(Value::Int(kind, number.cast_signed())),
        _ => Err(format!("value has type {}; should be {to}", value.type_name())),
    }
}
