//! The standard library (jsonnet.org/ref/stdlib.html, as of go-jsonnet v0.22): what goes through texts and lists is
//! native, the rest is Jsonnet.

pub(crate) mod arrays;
mod encoding;
pub(crate) mod format;
pub(crate) mod manifest;
mod math;
mod objects;
mod strings;

use rsjsonnet_lang::ast::Visibility;

use crate::eval::{Eval, unexpected};
use crate::object::Object;
use crate::value::{Function, Outcome, Thunk, Value};

/// What is written in Jsonnet.
pub(crate) const PRELUDE: &[u8] = include_bytes!("library/prelude.libsonnet");
/// The name of that file; no file of a tree has it.
pub(crate) const PRELUDE_PATH: &str = "<std>";

/// A function of ours.
pub(crate) struct Native {
    pub(crate) name: &'static str,
    /// The names of its parameters; those with a `?` may be left out.
    pub(crate) params: &'static [&'static str],
    pub(crate) call: for<'e, 'p> fn(&'e Eval<'p>, &'e Arguments<'p>) -> Outcome<Value<'p>>,
}

/// The arguments of a call of a [`Native`], by its parameters.
pub(crate) struct Arguments<'p> {
    pub(crate) given: Vec<Option<&'p Thunk<'p>>>,
}

impl<'p> Arguments<'p> {
    /// Null where it was left out.
    fn value(&self, eval: &Eval<'p>, at: usize) -> Outcome<Value<'p>> {
        match self.given.get(at).copied().flatten() {
            Some(thunk) => eval.force(thunk),
            None => Ok(Value::Null),
        }
    }

    fn number(&self, eval: &Eval<'p>, at: usize) -> Outcome<f64> {
        match self.value(eval, at)? {
            Value::Number(number) => Ok(number),
            other => unexpected(other, "number"),
        }
    }

    fn string(&self, eval: &Eval<'p>, at: usize) -> Outcome<&'p str> {
        match self.value(eval, at)? {
            Value::String(text) => {
                eval.step(text.len() / 64 + 1)?;
                Ok(text)
            }
            other => unexpected(other, "string"),
        }
    }

    fn array(&self, eval: &Eval<'p>, at: usize) -> Outcome<&'p [&'p Thunk<'p>]> {
        match self.value(eval, at)? {
            Value::Array(items) => {
                eval.step(items.len())?;
                Ok(items)
            }
            other => unexpected(other, "array"),
        }
    }

    fn object(&self, eval: &Eval<'p>, at: usize) -> Outcome<&'p Object<'p>> {
        match self.value(eval, at)? {
            Value::Object(object) => Ok(object),
            other => unexpected(other, "object"),
        }
    }

    fn function(&self, eval: &Eval<'p>, at: usize) -> Outcome<&'p Function<'p>> {
        match self.value(eval, at)? {
            Value::Function(function) => Ok(function),
            other => unexpected(other, "function"),
        }
    }

    fn flag(&self, eval: &Eval<'p>, at: usize, default: bool) -> Outcome<bool> {
        match self.value(eval, at)? {
            Value::Bool(is_so) => Ok(is_so),
            Value::Null => Ok(default),
            other => unexpected(other, "boolean"),
        }
    }
}

/// The native functions.
pub(crate) fn natives<'p>(eval: &Eval<'p>) -> Outcome<&'p Object<'p>> {
    let tables =
        [arrays::NATIVES, encoding::NATIVES, manifest::NATIVES, math::NATIVES, objects::NATIVES, strings::NATIVES];
    let mut fields = Vec::new();
    for native in tables.into_iter().flatten() {
        let function = Value::Function(eval.alloc(Function::Native(native))?);
        fields.push((eval.intern(native.name)?, Visibility::Hidden, eval.done(function)?));
    }
    eval.object_of(fields)
}

/// `std.thisFile` of a file.
pub(crate) fn this_file<'p>(eval: &Eval<'p>, path: &str) -> Outcome<&'p Object<'p>> {
    let path = eval.done(eval.string(path)?)?;
    eval.object_of(vec![(eval.intern("thisFile")?, Visibility::Hidden, path)])
}
