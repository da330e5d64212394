//! Health of every kind that Argo CD knows (`vectors/README.argo.md`). The status decides; the message only for kinds
//! with a rule of their own.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use slipway_gitops::health;
use slipway_manifest::Object;

pub(crate) fn check(case: &Value) -> Result<()> {
    let mut value = case["object"].clone();
    // Some of upstream's examples have no name.
    if value["metadata"]["name"].is_null() {
        value["metadata"]["name"] = "x".into();
    }
    let object = Object::from_value(value).context("an object")?;
    let verdict = health::of(&object);
    let found = verdict.as_ref().map(|verdict| verdict.health.to_string());
    let wanted = case["status"].as_str();
    ensure!(found.as_deref() == wanted, "expected {wanted:?} ({}), found {verdict:?}", case["message"]);
    // Argo CD asks no script about what is being deleted, the record did.
    let deleting = object.pointer("/metadata/deletionTimestamp").is_some();
    if health::built_in(&object).is_some() && !(deleting && case["source"] == "lua") {
        let message = verdict.map(|verdict| verdict.message).unwrap_or_default();
        ensure!(Some(message.as_str()) == case["message"].as_str(), "expected {}, found {message:?}", case["message"]);
    }
    Ok(())
}
