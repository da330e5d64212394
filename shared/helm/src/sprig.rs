//! The functions that charts call: sprig's, one file a family (Masterminds/sprig v3.3.0), and Helm's own
//! (helm/helm `pkg/engine/funcs.go`).
//!
//! Each call is paid for by the length of its texts (`slipway_gotmpl::Function::cost`) and by what it makes. Nothing
//! else is needed where a function goes over its texts once, looks a value up or reckons with numbers. Those that do
//! more take steps and bytes themselves: what goes through lists and mappings (`lists`, `dicts`, `encode`), through
//! texts more than once (`regexes`, `dates`, `semver`, `trimAll`), makes far more than it gets (`repeat`, `until`),
//! parses (`data`, `tpl`), or computes without much of a text (`crypto`).

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

use slipway_gotmpl::{FuncMap, Function};

use crate::function::{Outcome, misused, nil_dereference, state};

/// What Helm takes from sprig.
const COMMON: [&[Function]; 17] = [
    case::TABLE,
    crypto::TABLE,
    cut::TABLE,
    data::TABLE,
    dates::TABLE,
    defaults::TABLE,
    dicts::TABLE,
    encoding::TABLE,
    lists::TABLE,
    math::TABLE,
    paths::TABLE,
    random::TABLE,
    reflect::TABLE,
    regexes::TABLE,
    semver::TABLE,
    strings::TABLE,
    urls::TABLE,
];

/// Every function that Helm's engine knows besides those of text/template.
pub(crate) fn functions() -> FuncMap {
    FuncMap::new(&[&COMMON[..], &[data::HELM, helm::TABLE]].concat())
}

/// sprig alone, as far as it does not look at the environment.
pub(crate) fn generic() -> Vec<&'static [Function]> {
    [&COMMON[..], &[data::SPRIG]].concat()
}
