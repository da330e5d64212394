//! What a comparison shows: server-side diffs, masked and normalised Secrets (`vectors/README.argo.md`). Diffs
//! without a server we have none.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};
use slipway_gitops::managed_fields::mutations;
use slipway_gitops::{diff, redact};
use slipway_manifest::Object;

use crate::framework::{Outcome, records};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/diff.jsonl"))?;
    Ok(cases.map(|cases| Outcome::collect("diff", cases, |case| check(case).map_err(|e| format!("{e:#}")))))
}

fn check(case: &Value) -> Result<()> {
    match case["kind"].as_str() {
        Some("serverSideDiff") => {
            let found = server_side(case);
            if !case["error"].is_null() {
                ensure!(found.is_err(), "an error is expected: {}", case["error"]);
                return Ok(());
            }
            let (modified, live, predicted) = found?;
            ensure!(modified == case["modified"], "modified: expected {}, found {modified}", case["modified"]);
            same("normalizedLive", &written(&case["normalizedLive"])?, live)?;
            same("predictedLive", &written(&case["predictedLive"])?, predicted)
        }
        Some("hideSecretData") => hide(case),
        Some("normalizeSecret") => {
            let mut secret = object(&case["live"])?.context("an object")?;
            redact::normalize_secret(&mut secret);
            same("normalized", &case["normalized"], Some(secret))
        }
        _ => bail!("a diff without a server"),
    }
}

fn server_side(case: &Value) -> Result<(bool, Option<Object>, Option<Object>)> {
    let (config, live, answer) = (object(&case["config"])?, object(&case["live"])?, object(&case["dryRun"])?);
    let shown = |object: Object| Object::from_value(diff::normalized(&object)).context("an object");
    Ok(match (config, live) {
        (Some(config), None) => (true, None, Some(shown(config)?)),
        (None, live) => (false, live.map(shown).transpose()?, None),
        (Some(_), Some(live)) => {
            let mut predicted = answer.context("an answer")?;
            if case["options"]["ignoreMutationWebhook"] == true {
                let manager = case["options"]["manager"].as_str().context("a manager")?;
                predicted = mutations::without_mutations(&live, &predicted, manager)?;
            }
            (!diff::diff(&live, &predicted).is_empty(), Some(shown(live)?), Some(shown(predicted)?))
        }
    })
}

/// Without what only the server writes: that is no difference to us.
fn written(value: &Value) -> Result<Value> {
    Ok(object(value)?.map_or(Value::Null, |object| diff::normalized(&object)))
}

/// The lengths of the masks are Argo CD's; a broken or copied last-applied is masked as a whole, not value by value.
fn hide(case: &Value) -> Result<()> {
    if !case["error"].is_null() {
        ensure!(!case["live"]["data"].is_null(), "it has data");
        return Ok(());
    }
    let (mut config, mut live) = (object(&case["config"])?, object(&case["live"])?);
    let annotations: Vec<&str> =
        case["hideAnnotations"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut objects: Vec<&mut Object> = config.iter_mut().chain(live.iter_mut()).collect();
    redact::redact(&mut objects, &annotations);
    for (name, found) in [("maskedConfig", config), ("maskedLive", live)] {
        let (expected, found) =
            (comparable(case[name].clone()), comparable(found.map_or(Value::Null, Object::into_value)));
        ensure!(found == expected, "{name}: expected {expected}, found {found}");
    }
    Ok(())
}

/// Without data that are empty, and without what is inside a mask of last-applied.
fn comparable(mut value: Value) -> Value {
    if value["data"].as_object().is_none_or(Map::is_empty) && value.is_object() {
        value["data"] = Value::Null;
    }
    if let Some(copy) = value.pointer_mut("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration") {
        *copy = Value::Null;
    }
    value
}

/// Some of upstream's examples have neither version nor name.
fn object(value: &Value) -> Result<Option<Object>> {
    Ok(match value {
        Value::Null => None,
        Value::Object(map) => Some(Object::from_map(map.clone())),
        _ => bail!("no object: {value}"),
    })
}

fn same(what: &str, expected: &Value, found: Option<Object>) -> Result<()> {
    let found = found.map_or(Value::Null, Object::into_value);
    ensure!(found == *expected, "{what}: expected {expected}, found {found}");
    Ok(())
}
