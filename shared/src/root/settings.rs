//! Tells which objects of the tree Argo CD itself reads, and who may write them; adds the settings of the functions to
//! those of the tree.

use serde_json::{Map, Value, json};
use slipway_manifest::Object;

use super::clusters;
use crate::app::project::DEFAULT;
use crate::app::settings::is_setting;
use crate::app::{Application, ClusterName, ClusterSecret, IN_CLUSTER_SERVER, ProjectPermissions, Projects};
use crate::error::chain;
use crate::render::BuildOptions;

/// The ConfigMap with Argo CD's settings.
pub(super) const ARGOCD_CM: &str = "argocd-cm";
/// The name of Argo CD's chart.
pub(super) const CHART: &str = "argo-cd";
/// Keys of `configs.cm` in its values that are the chart's own.
const OF_THE_CHART: [&str; 2] = ["create", "annotations"];
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

/// Whether Argo CD itself, or what updates images beside it, reads the object.
pub(super) fn is_argo_cd(object: &Object) -> bool {
    match (object.group(), object.kind()) {
        ("argoproj.io", "Application" | "ApplicationSet" | "AppProject")
        | ("argocd-image-updater.argoproj.io", "ImageUpdater")
        | ("image.toolkit.fluxcd.io", "ImageRepository" | "ImagePolicy" | "ImageUpdateAutomation")
        | ("source.toolkit.fluxcd.io", "GitRepository") => true,
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

/// The ConfigMap and the cluster Secrets that the chart makes of `values`.
pub(super) fn of_chart_values(values: &Map<String, Value>) -> Result<Vec<Object>, String> {
    let Some(configs) = values.get("configs") else { return Ok(Vec::new()) };
    let mut objects = Vec::new();
    if let Some(settings) = configs.get("cm").and_then(Value::as_object) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let kept = settings.iter().filter(|(key, value)| !OF_THE_CHART.contains(&key.as_str()) && !value.is_null());
        let data: Map<String, Value> = kept.map(|(key, value)| (key.clone(), json!(text(value)))).collect();
        let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": data});
        objects.extend(Object::from_value(made));
    }
    let named = |(name, fields): (&String, &Value)| {
        let mut fields = fields.as_object().cloned().unwrap_or_default();
        fields.entry("name").or_insert_with(|| json!(name));
        Value::Object(fields)
    };
    let credentials = match configs.get("clusterCredentials") {
        // As in releases of the chart before 6.0.
        Some(Value::Array(list)) => list.clone(),
        Some(Value::Object(map)) => map.iter().map(named).collect(),
        _ => Vec::new(),
    };
    for cluster in credentials {
        objects.push(
            clusters::secret(cluster).map_err(|error| format!("`configs.clusterCredentials`: {}", chain(&error)))?,
        );
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_makes_settings_and_clusters() {
        let values = json!({"configs": {
            "cm": {"create": true, "annotations": {"a": "b"}, "admin.enabled": false, "resource.exclusions": "[]",
                "timeout.reconciliation": "15s", "unset": null},
            "clusterCredentials": {"east": {"server": "https://east", "labels": {"env": "prod"},
                "config": {"awsAuthConfig": {"clusterName": "east"}}}},
        }});
        let objects = of_chart_values(values.as_object().unwrap()).unwrap();
        let data = objects[0].get("data").unwrap();
        let expected = json!({"admin.enabled": "false", "resource.exclusions": "[]", "timeout.reconciliation": "15s"});
        assert_eq!(data, &expected);
        assert_eq!((objects[1].kind(), objects[1].label("env")), ("Secret", Some("prod")));
        let list = json!({"configs": {"clusterCredentials": [{"name": "x", "server": "https://x"}]}});
        assert_eq!(of_chart_values(list.as_object().unwrap()).unwrap().len(), 1);
        assert_eq!(of_chart_values(&Map::new()).unwrap().len(), 0);
        let wrong = json!({"configs": {"clusterCredentials": {"x": {"token": "SECRET"}}}});
        let error = of_chart_values(wrong.as_object().unwrap()).unwrap_err();
        assert!(error.contains("unknown field `token`") && !error.contains("SECRET"), "{error}");
    }
}
