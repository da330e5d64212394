//! The functions that charts call: sprig's, one file a family (Masterminds/sprig v3.3.0), and Helm's own
//! (helm/helm `pkg/engine/funcs.go`).
//!
//! A function that charges the budget for what it makes can't be used to fill the memory; one that loops takes steps.

mod case;
mod cast;
mod crypto;
mod cut;
mod data;
mod dates;
mod defaults;
mod dicts;
mod encoding;
mod helm;
mod lists;
mod math;
mod paths;
mod random;
mod reflect;
mod regexes;
mod semver;
mod strings;
mod urls;

use slipway_gotmpl::{Context, FuncError, FuncMap, Value};

pub(crate) use data::to_yaml;
pub(crate) use helm::{WARN_END, WARN_START};
pub(crate) use regexes::Regexes;

/// What a function gives back.
pub(crate) type Outcome = Result<Value, FuncError>;

/// Every function that Helm's engine knows besides those of text/template.
pub(crate) fn functions() -> FuncMap {
    FuncMap::new(&[
        case::TABLE,
        crypto::TABLE,
        cut::TABLE,
        data::TABLE,
        dates::TABLE,
        defaults::TABLE,
        dicts::TABLE,
        encoding::TABLE,
        helm::TABLE,
        lists::TABLE,
        math::TABLE,
        paths::TABLE,
        random::TABLE,
        reflect::TABLE,
        regexes::TABLE,
        semver::TABLE,
        strings::TABLE,
        urls::TABLE,
    ])
}

/// Go's words where a function meets a nil that it did not expect.
fn nil_dereference<T>() -> Result<T, FuncError> {
    Err("runtime error: invalid memory address or nil pointer dereference".into())
}

/// Arguments are checked by their types before a function runs, so this is never seen.
pub(crate) fn misused<T>() -> Result<T, FuncError> {
    Err("called with arguments of other types".into())
}

/// The state of the render that the function runs in.
fn state<'c>(cx: &Context<'c>) -> Result<&'c crate::engine::State, FuncError> {
    cx.state().ok_or_else(|| "runs outside of a render".into())
}
