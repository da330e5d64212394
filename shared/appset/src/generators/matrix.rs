//! `matrix`: each set of parameters of one generator with each of another.

use serde_json::Value;
use slipway_gotmpl::Map;

use super::{Failure, Generators, Params};
use crate::params::{copy, merge, print};
use crate::{ErrorKind, MAX_PARAMETERS};

pub(super) fn params(run: &Generators<'_>, matrix: &Value, path: &str) -> Result<Params, Failure> {
    let children = run.children(matrix, path)?;
    let [(first_path, first), (second_path, second)] = children.as_slice() else {
        let found = children.len();
        return Err((format!("{path}.generators"), ErrorKind::Generators { expected: "two", found }));
    };
    let Some(firsts) = run.child(first, first_path, None)? else { return Ok(None) };
    let mut all = Some(Vec::new());
    for one in &firsts {
        // What is needed for one may be needed for all: ask for it at once.
        let Some(seconds) = run.child(second, second_path, Some(one))? else {
            all = None;
            continue;
        };
        let Some(all) = &mut all else { continue };
        for other in &seconds {
            if all.len() >= MAX_PARAMETERS {
                return Err((path.to_owned(), ErrorKind::TooMany(MAX_PARAMETERS, "sets of parameters")));
            }
            let combined = if run.templates.is_go() { merged(run, one, other) } else { united(run, one, other) };
            all.push(combined.map_err(|kind| (path.to_owned(), kind))?);
        }
    }
    Ok(all)
}

/// Go's templates: of a parameter that both have the first generator's counts.
fn merged(run: &Generators<'_>, one: &Map, other: &Map) -> Result<Map, ErrorKind> {
    let budget = run.templates.budget;
    let params = copy(other, budget)?;
    merge(&params, one, budget)?;
    Ok(params)
}

/// Without them parameters are texts, and both must have the same one.
fn united(run: &Generators<'_>, one: &Map, other: &Map) -> Result<Map, ErrorKind> {
    let budget = run.templates.budget;
    let params = Map::new();
    for (key, value) in one.entries().into_iter().chain(other.entries()) {
        budget.step(1).and_then(|()| budget.bytes(key.len() + size_of_val(&value))).map_err(ErrorKind::Limit)?;
        let text = print(&value, budget)?;
        if let Some(first) = params.get(key.as_bytes()).as_ref().and_then(|first| first.as_str())
            && *first != text
        {
            return Err(ErrorKind::Parameters {
                name: key.to_string(),
                first: first.to_string(),
                second: text.to_string(),
            });
        }
        params.insert(key, text.into());
    }
    Ok(params)
}
