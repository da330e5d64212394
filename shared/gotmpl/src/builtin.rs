//! The functions that templates have without the caller's help. (Go: src/text/template/funcs.go)

mod compare;
mod escape;
mod index;

use crate::ast::Callee;
use crate::budget::Budget;
use crate::fmt;
use crate::func::{FuncError, Function};
use crate::operand::Operand;
use crate::value::{Type, Value};

/// A function of the language: unlike the caller's it tells no value from nil, and takes arguments of any type.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    /// How many arguments it needs.
    pub(crate) fixed: usize,
    /// Whether it takes more.
    pub(crate) variadic: bool,
    pub(crate) run: Run,
}

#[derive(Debug)]
pub(crate) enum Run {
    /// Evaluates arguments only as far as needed.
    And,
    Or,
    /// Needs the name of what is called.
    Call,
    Plain(fn(&Budget, &[Operand]) -> Result<Operand, FuncError>),
}

const fn plain(
    name: &'static str,
    fixed: usize,
    variadic: bool,
    run: fn(&Budget, &[Operand]) -> Result<Operand, FuncError>,
) -> Builtin {
    Builtin { name, fixed, variadic, run: Run::Plain(run) }
}

static BUILTINS: [Builtin; 13] = [
    Builtin { name: "and", fixed: 1, variadic: true, run: Run::And },
    Builtin { name: "or", fixed: 1, variadic: true, run: Run::Or },
    Builtin { name: "call", fixed: 1, variadic: true, run: Run::Call },
    plain("eq", 1, true, compare::eq),
    plain("ne", 2, false, compare::ne),
    plain("lt", 2, false, compare::lt),
    plain("le", 2, false, compare::le),
    plain("gt", 2, false, compare::gt),
    plain("ge", 2, false, compare::ge),
    plain("not", 1, false, |_, args| Ok(Value::Bool(!args.first().is_some_and(Operand::truth)).into())),
    plain("index", 1, true, index::index),
    plain("slice", 1, true, index::slice),
    plain("len", 1, false, index::len),
];

/// Those that are like the caller's.
static FUNCTIONS: [Function; 6] = [
    Function::variadic("print", &[Type::Any], |context, args| Ok(fmt::sprint(context.budget(), args)?.into())),
    Function::variadic("println", &[Type::Any], |context, args| Ok(fmt::sprintln(context.budget(), args)?.into())),
    Function::variadic("printf", &[Type::String, Type::Any], |context, args| {
        let Some((Value::Str(format), args)) = args.split_first() else { return Err("no format".into()) };
        Ok(fmt::sprintf(context.budget(), format.as_bytes(), args)?.into())
    }),
    Function::variadic("html", &[Type::Any], |context, args| escape::html(context.budget(), args)),
    Function::variadic("js", &[Type::Any], |context, args| escape::js(context.budget(), args)),
    Function::variadic("urlquery", &[Type::Any], |context, args| escape::urlquery(context.budget(), args)),
];

/// The function `name`.
pub(crate) fn find(name: &str) -> Option<Callee> {
    let builtin = BUILTINS.iter().find(|builtin| builtin.name == name).map(Callee::Builtin);
    builtin.or_else(|| FUNCTIONS.iter().find(|function| function.name == name).map(Callee::Custom))
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BUILTINS.iter().map(|builtin| builtin.name).chain(FUNCTIONS.iter().map(|function| function.name))
}
