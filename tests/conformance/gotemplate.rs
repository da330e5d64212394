//! Go's text/template run with Helm's functions and options (`vectors/README.template.md`).

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use slipway_helm::{Options, render_template};

use crate::framework::{Outcome, records};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/gotemplate.jsonl"))?;
    Ok(cases.map(|cases| Outcome::collect("gotemplate", cases, check)))
}

/// An error passes when it is raised on the same line.
fn check(case: &Value) -> Result<(), String> {
    let text = |field: &str| case[field].as_str().unwrap_or_default();
    let found = render_template("vec", text("template"), &case["data"], &Options::default());
    match (found, case["expected"].as_str()) {
        (Ok(found), Some(expected)) if found == expected.as_bytes() => Ok(()),
        (Ok(found), Some(expected)) => {
            Err(format!("expected {expected:?}, found {:?}", String::from_utf8_lossy(&found)))
        }
        (Ok(found), None) => Err(format!("must fail: {}\nfound {:?}", text("error"), String::from_utf8_lossy(&found))),
        (Err(error), Some(expected)) => Err(format!("expected {expected:?}\nfailed: {error}")),
        (Err(error), None) if error.to_string().contains(place(text("error"))) => Ok(()),
        (Err(error), None) => Err(format!("must fail: {}\nfailed: {error}", text("error"))),
    }
}

/// Where an error is: `vec:LINE`.
fn place(error: &str) -> &str {
    let place = error.strip_prefix("template: ").unwrap_or(error);
    let end = place.match_indices(':').nth(1).map_or(place.len(), |(at, _)| at);
    place.get(..end).unwrap_or(place)
}
