//! Defaults and choices (Masterminds/sprig `defaults.go`).

use slipway_gotmpl::{Context, Function, Type, Value};

use super::cast::is_empty;
use super::{Outcome, misused};

pub(super) const TABLE: &[Function] = &[
    Function::variadic("default", &[Type::Any, Type::Any], default),
    Function::new("empty", &[Type::Any], |_, args| Ok(args.iter().all(is_empty).into())),
    Function::variadic("coalesce", &[Type::Any], |_, args| {
        Ok(args.iter().find(|value| !is_empty(value)).cloned().unwrap_or_default())
    }),
    Function::variadic("all", &[Type::Any], |_, args| Ok((!args.iter().any(is_empty)).into())),
    Function::variadic("any", &[Type::Any], |_, args| Ok((!args.iter().all(is_empty)).into())),
    Function::new("ternary", &[Type::Any, Type::Any, Type::Bool], ternary),
];

fn default(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [_, given, ..] if !is_empty(given) => Ok(given.clone()),
        [default, ..] => Ok(default.clone()),
        [] => misused(),
    }
}

fn ternary(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [yes, no, Value::Bool(flag)] => Ok(if *flag { yes } else { no }.clone()),
        _ => misused(),
    }
}
