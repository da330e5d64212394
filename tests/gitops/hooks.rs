//! What annotations say about hooks, phases, delete policies and waves (`vectors/README.argo.md`).

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use slipway_gitops::annotations::{self, DeletePolicy, HookType, Phase};
use slipway_manifest::Object;

pub(crate) fn check(case: &Value) -> Result<()> {
    let object = Object::from_value(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "annotations": case["annotations"]}}))?;
    let words = |items: Vec<&'static str>| json!(items);
    let found = json!({
        "isHook": annotations::is_hook(&object),
        "skip": annotations::is_skipped(&object),
        "types": words(annotations::types(&object).into_iter().map(HookType::as_str).collect()),
        "phases": words(annotations::phases(&object).into_iter().map(Phase::as_str).collect()),
        "deletePolicies": words(annotations::delete_policies(&object).into_iter().map(DeletePolicy::as_str).collect()),
        "wave": annotations::wave(&object),
    });
    for (key, found) in found.as_object().into_iter().flatten() {
        ensure!(*found == case[key], "{key}: expected {}, found {found}", case[key]);
    }
    Ok(())
}
