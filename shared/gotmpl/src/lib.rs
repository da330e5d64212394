//! Go's text/template.
//!
//! A [`Set`] holds the templates that may use each other. Text is parsed into it (`lex` → `parse` → `ast`), a
//! template of it is executed (`exec`) with a [`Value`] as dot: Go's values with Go's types and reference semantics.
//! Functions come from the caller as a [`FuncMap`]; Go's own are there always. What a render may use is a [`Budget`].
//!
//! Knows no clock, no environment, no network and no files. Behaviour is that of Go 1.26's `text/template`, `fmt` and
//! `strconv`; `COMPATIBILITY.md` lists what differs.

mod ast;
mod budget;
mod builtin;
mod error;
mod exec;
mod fmt;
mod func;
mod lex;
mod operand;
mod parse;
mod set;
mod source;
mod suggest;
mod value;

pub use budget::{Budget, Limit, Limits, on_stack};
pub use error::Error;
pub use fmt::{sprint, sprintf, sprintln};
pub use func::{Call, Context, FuncError, FuncMap, Function};
pub use set::{MissingKey, Set};
pub use value::{
    INT, INT64, IntKind, Kind, LIST, List, MAP, Map, MapType, Native, Numbers, Str, Type, UintKind, Value,
};
