//! `argocd.argoproj.io/skip-reconcile`: an Application that is left alone (argoproj/argo-cd
//! `controller/appcontroller.go`, canProcessApp).

use serde_json::Value;
use slipway_manifest::Object;

use super::AppError;
use super::fields::Fields;

/// The annotation.
pub const ANNOTATION: &str = "argocd.argoproj.io/skip-reconcile";

/// What is said of an Application that has it, behind its name.
pub const SKIPPED: &str = "is skipped by its annotation argocd.argoproj.io/skip-reconcile: nothing is synced, \
                           compared, healed or deleted; remove the annotation at the root, or set it to \"false\"";

/// Whether the annotation asks for it: the values that Go's ParseBool takes for true. One that it can't read asks for
/// nothing, which is a warning; one that is no string is an error, as the API server refuses such an object.
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

/// What is said of the Secret of a cluster that has the annotation: Argo CD leaves all its Applications alone.
pub(super) fn without_effect(secret: &Object) -> Option<String> {
    let value = secret.annotation(ANNOTATION)?;
    let what = "has no effect on a cluster yet: set it on the Applications that go there";
    Some(format!("{}: annotation {ANNOTATION}: `{value}` {what}", secret.id()))
}

/// Whether `about`, an Application in Argo CD's shape, has the annotation: what the state remembers of one that is
/// skipped.
pub fn is_remembered(about: &Value) -> bool {
    about.pointer("/metadata/annotations").and_then(|annotations| annotations.get(ANNOTATION)).is_some()
}
