//! Gives the functions of templates what all of them need: their result, their errors, the state of the render.

use slipway_gotmpl::{Context, FuncError, Value};

use crate::state::State;

/// What a function gives back.
pub(crate) type Outcome = Result<Value, FuncError>;

/// Go's words where a function meets a nil that it did not expect.
pub(crate) fn nil_dereference<T>() -> Result<T, FuncError> {
    Err("runtime error: invalid memory address or nil pointer dereference".into())
}

/// Arguments are checked by their types before a function runs, so this is never seen.
pub(crate) fn misused<T>() -> Result<T, FuncError> {
    Err("called with arguments of other types".into())
}

/// The state of the render that the function runs in.
pub(crate) fn state<'c>(cx: &Context<'c>) -> Result<&'c State, FuncError> {
    cx.state().ok_or_else(|| "runs outside of a render".into())
}
