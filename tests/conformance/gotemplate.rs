//! Go's text/template run with Helm's functions and options (`vectors/README.template.md`).

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use serde_json::Value as Json;
use slipway_gotmpl::{Budget, FuncMap, Limits, MissingKey, Numbers, Set, Value};

use crate::framework::{Outcome, records};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/gotemplate.jsonl"))?;
    Ok(cases.map(|cases| Outcome::collect("gotemplate", cases, check)))
}

fn check(case: &Json) -> Result<(), String> {
    let text = |field: &str| case[field].as_str().unwrap_or_default();
    match (render(text("template"), &case["data"]), case["expected"].as_str()) {
        (Ok(found), Some(expected)) if found == expected => Ok(()),
        (Ok(found), Some(expected)) => Err(format!("expected {expected:?}, found {found:?}")),
        (Ok(found), None) => Err(format!("must fail: {}\nfound {found:?}", text("error"))),
        (Err(error), Some(expected)) => Err(format!("expected {expected:?}\nfailed: {error}")),
        (Err(error), None) if place(&error) == place(text("error")) => Ok(()),
        (Err(error), None) => Err(format!("must fail: {}\nfailed: {error}", text("error"))),
    }
}

fn render(template: &str, data: &Json) -> Result<String, String> {
    let mut set = Set::new(Rc::new(FuncMap::default()), MissingKey::Zero);
    set.parse("vec", template).map_err(|error| error.to_string())?;
    let data = Value::from_json(data, Numbers::Float);
    let out = Rc::new(set).execute("vec", data, &Budget::new(Limits::default()), &());
    let out = out.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&out).replace("<no value>", ""))
}

/// Where an error arose and in what: all of it where the reason is ours to word as Go does.
fn place(error: &str) -> &str {
    error.split_once("error calling ").map_or(error, |(place, _)| place)
}
