//! The function table that the caller supplies.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use crate::budget::{Budget, Limit};
use crate::error::Error;
use crate::set::Set;
use crate::value::{Str, Type, Value};

/// The body of a function. The arguments have been checked against the parameters' types and count.
pub type Call = fn(&mut Context<'_>, &[Value]) -> Result<Value, FuncError>;

/// A function that templates may call, or a native's method.
#[derive(Debug)]
pub struct Function {
    /// The name in templates and in messages.
    pub name: &'static str,
    /// The types of the parameters; the last one is that of each further argument if `variadic`.
    pub params: &'static [Type],
    /// Whether the last parameter takes any number of arguments, none included.
    pub variadic: bool,
    /// The steps of a call for each 64 bytes of its texts, before it runs. What it makes is paid for afterwards.
    pub cost: u64,
    /// What it does. A method gets the native or map before its arguments.
    pub call: Call,
}

impl Function {
    /// A function with exactly these parameters, which does with each byte of its texts what a loop over characters
    /// does: 3 ns.
    pub const fn new(name: &'static str, params: &'static [Type], call: Call) -> Self {
        Self { name, params, variadic: false, cost: 8, call }
    }

    /// A function whose last parameter takes any number of arguments.
    pub const fn variadic(name: &'static str, params: &'static [Type], call: Call) -> Self {
        Self { variadic: true, ..Self::new(name, params, call) }
    }

    /// The same function with another [`Function::cost`].
    #[must_use]
    pub const fn costing(self, cost: u64) -> Self {
        Self { cost, ..self }
    }
}

/// Functions by name. text/template's own need not be in it; one with the same name hides it.
#[derive(Clone, Debug, Default)]
pub struct FuncMap(HashMap<&'static str, &'static Function>);

impl FuncMap {
    /// The functions of these tables; of two with one name the later counts.
    pub fn new(tables: &[&'static [Function]]) -> Self {
        Self(tables.iter().flat_map(|table| table.iter()).map(|function| (function.name, function)).collect())
    }

    /// The function `name`.
    pub fn get(&self, name: &str) -> Option<&'static Function> {
        self.0.get(name).copied()
    }

    /// All names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

/// What a running function may use: the templates, the budget, and the caller's own state.
pub struct Context<'a> {
    pub(crate) set: &'a Rc<Set>,
    pub(crate) budget: &'a Budget,
    pub(crate) state: &'a dyn Any,
}

impl<'a> Context<'a> {
    /// The templates in use: `include` executes in them, `tpl` makes a child of them.
    pub fn set(&self) -> &'a Rc<Set> {
        self.set
    }

    /// What is left of steps and output.
    pub fn budget(&self) -> &'a Budget {
        self.budget
    }

    /// The state that the caller gave to the execution.
    pub fn state<T: 'static>(&self) -> Option<&'a T> {
        self.state.downcast_ref()
    }

    /// Executes the template `name` of the set in use.
    /// Fails if there is none, if it fails, or if it is over the budget.
    pub fn execute(&self, name: &str, dot: Value) -> Result<Str, FuncError> {
        self.execute_in(self.set, name, dot)
    }

    /// Executes a template of another set (a child with what `tpl` has parsed) under the same budget and state.
    /// Fails as [`Context::execute`] does.
    pub fn execute_in(&self, set: &Rc<Set>, name: &str, dot: Value) -> Result<Str, FuncError> {
        Ok(set.execute(name, dot, self.budget, self.state)?.into())
    }
}

/// Why a function failed: its own message, the failure of a template that it ran, or both.
#[derive(Debug)]
pub struct FuncError {
    pub(crate) message: String,
    pub(crate) limit: Option<Limit>,
    pub(crate) source: Option<Box<Error>>,
}

impl FuncError {
    /// The failure of a template with a message before it, as Go's `fmt.Errorf("message: %w", err)`.
    pub fn wrap(message: impl Into<String>, source: Error) -> Self {
        Self { message: message.into(), limit: None, source: Some(Box::new(source)) }
    }

    /// The same failure with a message before it.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        let message = message.into();
        self.message = if self.message.is_empty() { message } else { format!("{message}: {}", self.message) };
        self
    }

    /// The bound that was reached, if that is the reason, here or in a template that the function ran.
    pub fn limit(&self) -> Option<Limit> {
        self.limit.or_else(|| self.source.as_ref()?.limit())
    }

    /// The failure of the template that the function ran.
    pub fn template(&self) -> Option<&Error> {
        self.source.as_deref()
    }
}

impl fmt::Display for FuncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) if self.message.is_empty() => source.fmt(f),
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FuncError {}

impl From<String> for FuncError {
    fn from(message: String) -> Self {
        Self { message, limit: None, source: None }
    }
}

impl From<&str> for FuncError {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl From<Error> for FuncError {
    fn from(source: Error) -> Self {
        Self::wrap("", source)
    }
}

impl From<Limit> for FuncError {
    fn from(limit: Limit) -> Self {
        Self { message: limit.to_string(), limit: Some(limit), source: None }
    }
}
