//! Tells which objects of the tree Argo CD itself reads, and who may write them; adds the settings of the functions to
//! those of the tree.

use serde_json::{Map, Value, json};
use slipway_manifest::Object;

use crate::app::project::DEFAULT;
use crate::app::settings::is_setting;
use crate::app::{Application, ClusterName, ClusterSecret, IN_CLUSTER_SERVER, ProjectPermissions, Projects};
use crate::render::BuildOptions;

/// The ConfigMap with Argo CD's settings.
pub(super) const ARGOCD_CM: &str = "argocd-cm";
/// The key of `argocd-cm` with Kustomize's flags.
pub(super) const BUILD_OPTIONS: &str = "kustomize.buildOptions";

/// Whether an Application, or a place where there is none, may write a `kind` to Argo CD's namespace.
pub(super) fn may_write(
    parent: Option<&Application>,
    projects: &Projects,
    clusters: &[ClusterSecret],
    (namespace, kind): (&str, &str),
) -> bool {
    let Some(parent) = parent else { return true };
    let version = if kind == "AppProject" { "argoproj.io/v1alpha1" } else { "v1" };
    let object = json!({"apiVersion": version, "kind": kind,
        "metadata": {"name": DEFAULT, "namespace": namespace}});
    let permit = ProjectPermissions::of(parent, projects, clusters);
    permit.denied.is_none() && Object::from_value(object).is_ok_and(|object| permit.refusal(&object).is_none())
}

/// Whether the objects of `app` go to the cluster that its own manifest belongs to.
pub(super) fn is_in_cluster(app: &Application, clusters: &[ClusterSecret]) -> bool {
    ClusterName::of(&app.destination, clusters).server.trim_end_matches('/') == IN_CLUSTER_SERVER
}

/// Whether Argo CD itself reads the object.
pub(super) fn is_argo_cd(object: &Object) -> bool {
    match (object.group(), object.kind()) {
        ("argoproj.io", "Application" | "ApplicationSet" | "AppProject")
        | ("argocd-image-updater.argoproj.io", "ImageUpdater") => true,
        _ => is_setting(object),
    }
}

/// Adds the keys that the tree's `argocd-cm` does not set.
pub(super) fn add_settings(objects: &mut Vec<Object>, settings: &Map<String, Value>) {
    if settings.is_empty() {
        return;
    }
    if objects.iter().all(|object| !is_argocd_cm(object)) {
        let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ARGOCD_CM}});
        objects.extend(Object::from_value(made));
    }
    for object in objects.iter_mut().filter(|object| is_argocd_cm(object)) {
        let data = object.as_map_mut().entry("data").or_insert_with(|| json!({}));
        for (key, value) in settings {
            if let Some(data) = data.as_object_mut() {
                data.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

pub(super) fn is_argocd_cm(object: &Object) -> bool {
    (object.group(), object.kind(), object.name()) == ("", "ConfigMap", ARGOCD_CM)
}

/// `kustomize.buildOptions` of `argocd-cm`, and those flags that have no effect.
pub(super) fn build_options(objects: &[Object]) -> (BuildOptions, Vec<String>) {
    let written = objects.iter().find(|object| is_argocd_cm(object));
    let written = written.and_then(|object| object.get("data")?.get(BUILD_OPTIONS));
    BuildOptions::parse(written.and_then(Value::as_str).unwrap_or_default())
}
