//! Secrets masked and normalised (`vectors/README.argo.md`). The records of Argo CD's three-way diff are not ours to match: we compare by dry run only.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use slipway_cluster::mask;
use slipway_manifest::Object;

use crate::framework::{Outcome, records};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/diff.jsonl"))?;
    let ours = |case: &Value| case["kind"] == "hideSecretData" || case["kind"] == "normalizeSecret";
    let cases = cases.map(|cases| cases.into_iter().filter(move |(_, case)| ours(case)));
    Ok(cases.map(|cases| Outcome::collect("diff", cases, |case| check(case).map_err(|e| format!("{e:#}")))))
}

fn check(case: &Value) -> Result<()> {
    if case["kind"] == "normalizeSecret" {
        let mut secret = case["live"].as_object().context("an object")?.clone();
        mask::normalize(&mut secret);
        let found = Value::Object(secret);
        ensure!(found == case["normalized"], "expected {}\nfound    {found}", case["normalized"]);
        return Ok(());
    }
    let (mut config, mut live) = (object(&case["config"])?, object(&case["live"])?);
    let names: Vec<&str> = case["hideAnnotations"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut objects: Vec<&mut Object> = config.iter_mut().chain(live.iter_mut()).collect();
    let proper = mask::mask(&mut objects, &names);
    ensure!(proper != case.get("error").is_some(), "expected {:?}, found {proper}", case.get("error"));
    if proper {
        for (key, found) in [("maskedConfig", config), ("maskedLive", live)] {
            let (wanted, found) = (object(&case[key])?.map(Object::into_value), found.map(Object::into_value));
            ensure!(wanted == found, "{key}: expected {}\nfound    {}", json!(wanted), json!(found));
        }
    }
    Ok(())
}

/// Upstream's examples lack a version or a name here and there.
fn object(value: &Value) -> Result<Option<Object>> {
    if value.is_null() {
        return Ok(None);
    }
    let mut value = value.clone();
    for (path, key, default) in [("", "apiVersion", "v1"), ("/metadata", "name", "x")] {
        let map = value.pointer_mut(path).and_then(Value::as_object_mut).context("a mapping")?;
        map.entry(key).or_insert_with(|| default.into());
    }
    Ok(Some(Object::from_value(value)?))
}
