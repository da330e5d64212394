//! Evaluates Jsonnet (jsonnet.org/ref/spec.html, as google/go-jsonnet v0.22 has it) within a budget.
//!
//! The syntax is read by `rsjsonnet-lang`. Its evaluator, like `jrsonnet`'s, knows no bound for bytes and time, so that
//! `std.repeat('x', 1e12)` ends the process. Here every step, every byte that a program makes and the depth of its
//! recursion are counted, and what exceeds its budget is an error.
//!
//! Pure: imports are given by the caller.

#![forbid(unsafe_code)]

mod call;
mod check;
mod eval;
mod library;
mod number;
mod object;
mod operators;
mod syntax;
mod value;

use std::collections::BTreeMap;

use bumpalo::Bump;
use rsjsonnet_lang::arena::Arena;
use serde_json::Value as Json;
use slipway_budget::{Budget, Exceeded};

use crate::eval::Eval;

pub use syntax::imports;

/// Stack that [`evaluate`] may need, with what its caller uses already.
pub const STACK: usize = 64 << 20;

/// Where imported files come from.
pub trait Files {
    /// The file that `name` is in an import in the file `from`: its path, by which it is told from others, and its
    /// content. Fails in words.
    fn import(&self, from: &str, name: &str) -> Result<(String, Vec<u8>), String>;
}

/// The value of an external variable or top-level argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// A string.
    Text(String),
    /// Jsonnet.
    Code(String),
}

/// What a program is given besides its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    /// What `std.extVar` knows.
    pub external: BTreeMap<String, Variable>,
    /// The arguments of a program that is a function (top-level arguments).
    pub arguments: BTreeMap<String, Variable>,
}

/// Why a program has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonnetError {
    /// It is no Jsonnet.
    #[error("{place}: {problem}")]
    Syntax {
        /// File, line and column.
        place: String,
        /// The mistake.
        problem: String,
    },
    /// It failed; with its own words where it has an `error`.
    #[error("{place}: {problem}")]
    Failed {
        /// File, line and column.
        place: String,
        /// Why.
        problem: String,
    },
    /// It takes more than it may.
    #[error("{0}")]
    Exceeded(#[from] Exceeded),
}

/// The value of the program `text`, which stands at `path`: that of the function that it is, given the top-level
/// arguments. Keys are sorted. Needs [`STACK`].
pub fn evaluate(
    path: &str,
    text: &[u8],
    files: &dyn Files,
    variables: &Variables,
    budget: &Budget,
) -> Result<Json, JsonnetError> {
    let (bump, arena) = (Bump::new(), Arena::new());
    let eval = Eval::new(&bump, &arena, files, variables, budget);
    eval.program(path, text).map_err(|failure| eval.error(*failure))
}

#[cfg(test)]
mod tests;
