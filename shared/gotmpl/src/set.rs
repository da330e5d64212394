//! Templates that may use each other.

use std::any::Any;
use std::rc::Rc;

use crate::budget::Budget;
use crate::error::Error;
use crate::func::FuncMap;
use crate::value::Value;

/// What `.key` gives when the map lacks the key (Go's option `missingkey`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value; prints as `<no value>`.
    #[default]
    Invalid,
    /// The zero value of the map's element type: nil for most maps. Helm's choice.
    Zero,
    /// An error. Helm's choice with `--strict`.
    Error,
}

/// The templates of one render by name, with the functions they may call.
#[derive(Debug)]
pub struct Set {
    parent: Option<Rc<Set>>,
    funcs: Rc<FuncMap>,
    missing_key: MissingKey,
}

impl Set {
    /// No templates.
    pub fn new(funcs: Rc<FuncMap>, missing_key: MissingKey) -> Self {
        Self { parent: None, funcs, missing_key }
    }

    /// A set that sees the templates of `parent`, and keeps what is parsed into it to itself (Go's `Clone`).
    pub fn child(parent: &Rc<Self>) -> Self {
        Self { parent: Some(Rc::clone(parent)), funcs: Rc::clone(&parent.funcs), missing_key: parent.missing_key }
    }

    /// Parses `text` as the template `name`, with the templates it defines. One of an earlier call with the same name
    /// is replaced, unless the new one is blank. Fails at the first mistake in the text.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let _ = (name, text, &self.parent, self.missing_key);
        Err(Error::new("not there yet".into()))
    }

    /// Executes the template `name`. `state` is what functions find in [`crate::Context::state`].
    /// Fails if there is no such template, at the first failure in it, or beyond the budget.
    pub fn execute(&self, name: &str, dot: Value, budget: &Budget, state: &dyn Any) -> Result<Vec<u8>, Error> {
        let _ = (name, dot, budget, state, &self.funcs);
        Err(Error::new("not there yet".into()))
    }
}
