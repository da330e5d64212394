//! Reads the settings that a team gives Argo CD by the values of its chart (argoproj/argo-helm `charts/argo-cd`), where
//! an Application deploys that: the chart itself, which is fetched from a Helm repository, or one in Git that depends
//! on it.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use slipway_manifest::{Object, Tree, yaml};

use super::super::clusters;
use super::super::declared::Problem;
use super::super::repositories::Availability;
use super::super::settings::is_argocd_cm;
use super::{Held, Loader, Origin};
use crate::app::Application;
use crate::error::chain;
use crate::render::{self, Context};

/// The name of the chart.
const CHART: &str = "argo-cd";
/// Keys of `configs.cm` that are the chart's own.
const OF_THE_CHART: [&str; 2] = ["create", "annotations"];

/// Whether the source of `app` is Argo CD's chart.
pub(super) fn is_argo_cd_chart(app: &Application) -> bool {
    app.source.chart.as_deref().and_then(|chart| chart.rsplit('/').next()) == Some(CHART)
}

/// The key of the values for Argo CD's chart, where the chart in the folder of `app` depends on it.
pub(super) fn dependency(tree: &Tree, app: &Application) -> Option<String> {
    let file = format!("{}/Chart.yaml", app.source.folder().ok()?);
    let chart = yaml::parse(tree.read_text(file.trim_start_matches('/')).ok()?).ok()?;
    let text = |one: &Value, key: &str| Some(one.get(key)?.as_str()?.to_owned()).filter(|text| !text.is_empty());
    let dependencies = chart.get("dependencies")?.as_array()?;
    let found = dependencies.iter().find(|one| text(one, "name").as_deref() == Some(CHART))?;
    text(found, "alias").or_else(|| text(found, "name"))
}

impl Loader<'_> {
    /// Takes the settings that the values of `origin` give, declared by the Application `at`; `key` leads to those of
    /// Argo CD's chart in a chart that depends on it. What can't be read is a warning: that Application is told of it
    /// where it is deployed.
    pub(super) fn take_chart_settings(&mut self, origin: &Origin<'_>, key: Option<&str>, at: usize) {
        if origin.app.destination.namespace != self.control {
            return;
        }
        let (tree, revision) = match self.repositories.get(&origin.app.source) {
            Availability::Here(checkout) => (Arc::clone(&checkout.tree), checkout.sha.clone()),
            _ => (Arc::default(), origin.app.source.target_revision.clone()),
        };
        let references = match self.repositories.references(origin.whole) {
            Ok(references) => references,
            Err(missing) => return self.tree.missing.extend(missing),
        };
        let context = Context { revision, budget: self.budget.unused(), references, ..Context::default() };
        let declared = self.declared(origin, "");
        let values = render::values(&tree, origin.app, &context).map_err(|error| chain(&error));
        let settings = values.and_then(|values| {
            let values = key.map_or(Some(&values), |key| values.get(key)?.as_object());
            values.map_or(Ok(Vec::new()), settings_of)
        });
        match settings {
            Ok(objects) => self.held.extend(objects.into_iter().map(|mut object| {
                object.set_namespace(self.control);
                Held { object, declared: declared.clone(), parent: at }
            })),
            Err(reason) => {
                let text = format!(
                    "Argo CD's settings in the values of its chart can't be read: {reason}; give them by \
                     SLIPWAY_SETTINGS"
                );
                self.tree.problems.push(Problem { is_warning: true, ..Problem::of(text, Some(declared)) });
            }
        }
    }
}

/// Whether the settings of Argo CD are among `objects` already, as where its chart is vendored.
pub(super) fn has_settings(objects: &[Object]) -> bool {
    objects.iter().any(is_argocd_cm)
}

/// The ConfigMap and the cluster Secrets that the chart makes of `values`.
fn settings_of(values: &Map<String, Value>) -> Result<Vec<Object>, String> {
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
        let objects = settings_of(values.as_object().unwrap()).unwrap();
        let data = objects[0].get("data").unwrap();
        let expected = json!({"admin.enabled": "false", "resource.exclusions": "[]", "timeout.reconciliation": "15s"});
        assert_eq!(data, &expected);
        assert_eq!((objects[1].kind(), objects[1].label("env")), ("Secret", Some("prod")));
        let list = json!({"configs": {"clusterCredentials": [{"name": "x", "server": "https://x"}]}});
        assert_eq!(settings_of(list.as_object().unwrap()).unwrap().len(), 1);
        assert_eq!(settings_of(&Map::new()).unwrap().len(), 0);
        let wrong = json!({"configs": {"clusterCredentials": {"x": {"token": "SECRET"}}}});
        let error = settings_of(wrong.as_object().unwrap()).unwrap_err();
        assert!(error.contains("unknown field `token`") && !error.contains("SECRET"), "{error}");
    }
}
