//! Makes the Applications that stand for the places of a root: a place has all that a source can have.

use serde_json::{Value, json};
use slipway_manifest::Object;

use crate::app::project::CONTROL_NAMESPACE;
use crate::app::{AppError, Application, IN_CLUSTER_NAME};

/// The Application that stands for a place: its `source` in Argo CD's form. What it declares belongs to Argo CD's own
/// cluster and namespace.
pub fn of_source(source: &Value) -> Result<Application, AppError> {
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "root", "namespace": CONTROL_NAMESPACE},
        "spec": {"source": source, "destination": {"name": IN_CLUSTER_NAME, "namespace": CONTROL_NAMESPACE}},
    });
    let map = object.as_object().cloned().unwrap_or_default();
    Application::from_object(&Object::from_map(map))
}

/// The place of a folder: `path` in the repository `url` at `revision`.
pub fn of_folder(url: &str, path: &str, revision: &str) -> Result<Application, AppError> {
    of_source(&json!({"repoURL": url, "path": path, "targetRevision": revision}))
}
