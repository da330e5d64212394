//! What programs compute. All of it lies in one arena and is freed at once: cycles don't leak, and no chain of values,
//! however long, is freed by recursion.

use std::cell::Cell;

use rsjsonnet_lang::ast;
use rsjsonnet_lang::interner::InternedStr;
use rsjsonnet_lang::span::SpanId;
use slipway_budget::Exceeded;

use crate::library::Native;
use crate::object::Object;

/// An expression.
pub(crate) type Expr<'p> = ast::Expr<'p, 'p>;

/// A value; what is inside of it may not be computed yet.
#[derive(Clone, Copy)]
pub(crate) enum Value<'p> {
    Null,
    Bool(bool),
    Number(f64),
    String(&'p str),
    Array(&'p [&'p Thunk<'p>]),
    Object(&'p Object<'p>),
    Function(&'p Function<'p>),
}

impl Value<'_> {
    /// The name of its type, as `std.type` has it.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Function(_) => "function",
        }
    }
}

/// A value that is computed when it is needed first.
pub(crate) struct Thunk<'p>(pub(crate) Cell<State<'p>>);

/// How far a [`Thunk`] is.
#[derive(Clone, Copy)]
pub(crate) enum State<'p> {
    Done(Value<'p>),
    Running,
    Expr(&'p Expr<'p>, &'p Scope<'p>),
    Apply(&'p Function<'p>, &'p [&'p Thunk<'p>]),
    Field(&'p Object<'p>, usize, usize),
}

/// A function.
pub(crate) enum Function<'p> {
    Closure { params: &'p [ast::Param<'p, 'p>], body: &'p Expr<'p>, scope: &'p Scope<'p> },
    Native(&'static Native),
}

impl Function<'_> {
    /// The number of arguments that can't be left out.
    pub(crate) fn required(&self) -> usize {
        match self {
            Self::Closure { params, .. } => params.iter().filter(|param| param.default_value.is_none()).count(),
            Self::Native(native) => native.params.iter().filter(|param| !param.ends_with('?')).count(),
        }
    }
}

/// A variable.
pub(crate) type Variable<'p> = (InternedStr<'p>, &'p Thunk<'p>);

/// The variables of an expression.
pub(crate) struct Scope<'p> {
    /// The innermost ones. Set once, when those that are defined by each other are there.
    pub(crate) variables: Cell<&'p [Variable<'p>]>,
    pub(crate) outer: Option<&'p Scope<'p>>,
    pub(crate) this: Option<This<'p>>,
}

impl<'p> Scope<'p> {
    pub(crate) fn get(&self, name: InternedStr<'p>) -> Option<&'p Thunk<'p>> {
        let mut scope = self;
        loop {
            if let Some((_, found)) = scope.variables.get().iter().find(|(known, _)| *known == name) {
                return Some(found);
            }
            scope = scope.outer?;
        }
    }
}

/// What `self`, `super` and `$` are.
#[derive(Clone, Copy)]
pub(crate) struct This<'p> {
    pub(crate) object: &'p Object<'p>,
    /// The layer of the object in which the expression stands; `super` is what lies below.
    pub(crate) layer: usize,
    pub(crate) root: &'p Object<'p>,
}

/// Why there is no value.
#[derive(Debug)]
pub(crate) enum Failure {
    Syntax { path: String, line: usize, column: usize, problem: String },
    Failed { at: Option<SpanId>, problem: String },
    Exceeded(Exceeded),
}

impl From<Exceeded> for Box<Failure> {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(Failure::Exceeded(exceeded))
    }
}

pub(crate) type Outcome<T> = Result<T, Box<Failure>>;

/// A failure for the reason `problem`, wherever it is.
pub(crate) fn fail<T>(problem: impl Into<String>) -> Outcome<T> {
    Err(Box::new(Failure::Failed { at: None, problem: problem.into() }))
}
