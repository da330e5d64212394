//! Templates that may use each other.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use slipway_gocompat::strconv::quote;

use crate::ast::Template;
use crate::budget::Budget;
use crate::error::Error;
use crate::exec::{Shared, run};
use crate::func::FuncMap;
use crate::parse::parse;
use crate::suggest::nearest;
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
    templates: HashMap<String, Rc<Template>>,
    funcs: Rc<FuncMap>,
    missing_key: MissingKey,
}

impl Set {
    /// No templates.
    pub fn new(funcs: Rc<FuncMap>, missing_key: MissingKey) -> Self {
        Self { parent: None, templates: HashMap::new(), funcs, missing_key }
    }

    /// A set that sees the templates of `parent`, and keeps what is parsed into it to itself (Go's `Clone`).
    pub fn child(parent: &Rc<Self>) -> Self {
        Self {
            parent: Some(Rc::clone(parent)),
            templates: HashMap::new(),
            funcs: Rc::clone(&parent.funcs),
            missing_key: parent.missing_key,
        }
    }

    /// Parses `text` as the template `name`, with the templates it defines. One of an earlier call with the same name
    /// is replaced, unless the new one is blank. Fails at the first mistake in the text, and then adds nothing.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), Error> {
        for template in parse(name, text, &self.funcs)? {
            if !template.ast.is_blank(template.body) || self.lookup(&template.name).is_none() {
                self.templates.insert(template.name.clone(), Rc::new(template));
            }
        }
        Ok(())
    }

    /// Whether there is a template `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.lookup(name).is_some()
    }

    /// The names of all templates, in order.
    pub fn names(&self) -> BTreeSet<String> {
        let mut names = self.parent.as_ref().map(|parent| parent.names()).unwrap_or_default();
        names.extend(self.templates.keys().cloned());
        names
    }

    /// Executes the template `name`. `state` is what functions find in [`crate::Context::state`].
    /// Fails if there is no such template, at the first failure in it, or beyond the budget.
    pub fn execute(
        self: &Rc<Self>,
        name: &str,
        dot: Value,
        budget: &Budget,
        state: &dyn Any,
    ) -> Result<Vec<u8>, Error> {
        let Some(template) = self.lookup(name) else {
            let hint = nearest(name, self.names().iter().map(String::as_str))
                .map(|near| format!("did you mean the template `{near}`?"));
            let name = quote(name.as_bytes());
            return Err(
                Error::new(format!("template: no template {name} associated with template \"gotpl\"")).hint(hint)
            );
        };
        let mut out = Vec::new();
        run(Shared { set: self, budget, state }, &template, dot, &mut out)?;
        Ok(out)
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<Rc<Template>> {
        let own = self.templates.get(name).cloned();
        own.or_else(|| self.parent.as_ref()?.lookup(name))
    }

    pub(crate) fn missing_key(&self) -> MissingKey {
        self.missing_key
    }
}
