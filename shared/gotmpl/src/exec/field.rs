//! `.a.b`, `$v.a.b` and `(pipe).a.b`.

use slipway_gocompat::strconv::quote;

use super::{At, Exec, is_struct};
use crate::ast::{Expr, ExprKind};
use crate::error::Error;
use crate::func::Function;
use crate::operand::{Operand, zero};
use crate::set::MissingKey;
use crate::source::Span;
use crate::suggest::nearest;
use crate::value::Value;

/// A hint lists no more siblings than this.
const MOST_SIBLINGS: usize = 12;

impl<'a> Exec<'a, '_> {
    /// `(pipe).a.b`, perhaps with arguments.
    pub(super) fn chain(
        &mut self,
        dot: &Operand,
        expr: &'a Expr,
        args: &'a [Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        let ExprKind::Chain(operand, fields) = &expr.kind else { return Ok(Operand::NONE) };
        self.at = At::Expr(expr);
        let receiver = self.operand(dot, operand)?;
        self.fields_at(dot, &receiver, At::Expr(expr), *fields, args, last)
    }

    pub(super) fn fields(
        &mut self,
        dot: &Operand,
        receiver: &Operand,
        fields: Span,
        args: &'a [Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.fields_at(dot, receiver, self.at, fields, args, last)
    }

    /// Field after field; only the last one gets arguments. `node` is what a method's failure is reported at.
    fn fields_at(
        &mut self,
        dot: &Operand,
        start: &Operand,
        node: At<'a>,
        fields: Span,
        args: &'a [Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        let fields = self.template.ast.source.get(fields);
        let Some(names) = fields.strip_prefix('.') else { return Ok(start.clone()) };
        let (path, tail) = names.rsplit_once('.').unwrap_or(("", names));
        let mut receiver = None;
        for field in path.split('.').filter(|field| !field.is_empty()) {
            let next = self.field(dot, receiver.as_ref().unwrap_or(start), node, field, &[], None);
            receiver = Some(next.map_err(|error| explain(error, start, names))?);
        }
        self.field(dot, receiver.as_ref().unwrap_or(start), node, tail, args, last)
            .map_err(|error| explain(error, start, names))
    }

    fn field(
        &mut self,
        dot: &Operand,
        receiver: &Operand,
        node: At<'a>,
        name: &str,
        args: &'a [Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        let missing_key = self.shared.set.missing_key();
        let value = match &receiver.value {
            Some(Value::Nil) => {
                return Err(self.error(format_args!("nil pointer evaluating {}.{name}", receiver.type_name())));
            }
            None if missing_key == MissingKey::Error => {
                return Err(self.error(format_args!("nil data; no entry for key {}", quote(name.as_bytes()))));
            }
            None => return Ok(Operand::NONE),
            Some(value) => value,
        };
        if let Some(method) = method(value, name) {
            return self.method(dot, value.clone(), method, node, args, last);
        }
        let has_args = !args.is_empty() || last.is_some();
        if let Value::Native(native) = value
            && is_struct(native.kind())
            && let Some(field) = native.field(name)
        {
            if has_args {
                return Err(self.error(format_args!("{name} has arguments but cannot be invoked as function")));
            }
            return Ok(field.into());
        }
        if let Value::Map(map) = value.plain().as_ref() {
            if has_args {
                return Err(self.error(format_args!("{name} is not a method but has arguments")));
            }
            let elem = &map.of().elem;
            return match (map.get(name), missing_key) {
                (Some(item), _) => Ok(Operand::element(item, elem)),
                (None, MissingKey::Invalid) => Ok(Operand::NONE),
                (None, MissingKey::Zero) => Ok(Operand::element(zero(*elem), elem)),
                (None, MissingKey::Error) => {
                    Err(self.error(format_args!("map has no entry for key {}", quote(name.as_bytes()))))
                }
            };
        }
        Err(self.error(format_args!("can't evaluate field {name} in type {}", receiver.type_name())))
    }
}

fn method(value: &Value, name: &str) -> Option<&'static Function> {
    match value {
        Value::Native(native) => native.method(name),
        Value::Map(map) => map.of().methods.iter().find(|method| method.name == name),
        _ => None,
    }
}

/// Adds what is known about the first field on the way that is not there: its near miss or its siblings.
fn explain(error: Error, start: &Operand, fields: &str) -> Error {
    let mut value = start.value.clone();
    let mut path = String::new();
    for field in fields.split('.') {
        let next = match &value {
            Some(Value::Map(map)) => map.get(field).filter(|value| !matches!(value, Value::Nil)),
            Some(Value::Native(native)) => native.field(field),
            _ => return error,
        };
        if next.is_some() {
            path = format!("{path}.{field}");
            value = next;
            continue;
        }
        let names: Vec<String> = match &value {
            Some(Value::Map(map)) => {
                map.borrow().keys().map(|key| key.to_text().into_owned()).filter(|key| key != field).collect()
            }
            Some(Value::Native(native)) => native.fields().into_iter().map(|(name, _)| name.to_owned()).collect(),
            _ => return error,
        };
        let what = format!("`{path}.{field}` is not set");
        return error.hint(Some(match nearest(field, names.iter().map(String::as_str)) {
            Some(near) => format!("{what}; did you mean `{path}.{near}`?"),
            None if names.is_empty() => {
                format!("{what}; there is nothing in `{}`", if path.is_empty() { "." } else { &path })
            }
            None => {
                let more = if names.len() > MOST_SIBLINGS { ", …" } else { "" };
                let shown: Vec<&str> = names.iter().take(MOST_SIBLINGS).map(String::as_str).collect();
                format!("{what}; beside it there is {}{more}", shown.join(", "))
            }
        }));
    }
    error
}
