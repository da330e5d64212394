//! Reads `argocd.argoproj.io/skip-reconcile`, the annotation to skip an Application (argoproj/argo-cd
//! `controller/appcontroller.go`, canProcessApp).

use serde_json::Value;
use slipway_manifest::Object;

use super::AppError;
use super::fields::Fields;

/// The annotation's key.
pub const ANNOTATION: &str = "argocd.argoproj.io/skip-reconcile";

/// The message about an Application that has it, after its name.
pub const SKIPPED: &str = "is skipped by its annotation argocd.argoproj.io/skip-reconcile: nothing is synced, \
                           compared, healed or deleted; remove the annotation at the root, or set it to \"false\"";

/// Whether the annotation is true, by the values of Go's ParseBool. An invalid value is false, with a warning; one that
/// is no string is an error, as the API server refuses such an object.
pub(super) fn read(object: &Object, id: &str, warnings: &mut Vec<String>) -> Result<bool, AppError> {
    let Some(metadata) = object.metadata() else { return Ok(false) };
    let Some(mut annotations) = Fields::new(metadata, id, "metadata").object("annotations")? else { return Ok(false) };
    let Some(value) = annotations.text(ANNOTATION)? else { return Ok(false) };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => return Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => {}
        _ => warnings.push(format!("{id}: annotation {ANNOTATION}: `{value}` is no boolean and has no effect")),
    }
    Ok(false)
}

/// The warning about a cluster Secret with the annotation: Argo CD skips all its Applications.
pub(super) fn without_effect(secret: &Object) -> Option<String> {
    let value = secret.annotation(ANNOTATION)?;
    let what = "has no effect on a cluster yet: set it on the Applications that go there";
    Some(format!("{}: annotation {ANNOTATION}: `{value}` {what}", secret.id()))
}

/// Whether `about`, a recorded Application in Argo CD's shape, has the annotation.
pub fn is_recorded(about: &Value) -> bool {
    about.pointer("/metadata/annotations").and_then(|annotations| annotations.get(ANNOTATION)).is_some()
}
