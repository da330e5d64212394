//! Reads the settings that a team gives Argo CD by the values of its chart (argoproj/argo-helm `charts/argo-cd`), where
//! an Application deploys that: the chart itself, which is fetched from a Helm repository, or one in Git that depends
//! on it.

use std::sync::Arc;

use serde_json::Value;
use slipway_manifest::{Object, Tree, yaml};

use super::super::declared::Problem;
use super::super::repositories::Availability;
use super::super::settings::{CHART, is_argocd_cm, of_chart_values};
use super::{Held, Loader, Origin};
use crate::app::Application;
use crate::error::chain;
use crate::render::{self, Context};

/// Whether the source of `app` is Argo CD's chart.
pub(super) fn is_argo_cd_chart(app: &Application) -> bool {
    app.source.chart.as_deref().and_then(|chart| chart.rsplit('/').next()) == Some(CHART)
}

/// The key of the values for Argo CD's chart, where the chart in the folder of `app` depends on it.
pub(super) fn dependency(tree: &Tree, app: &Application) -> Option<String> {
    let file = format!("{}/Chart.yaml", app.source.folder().ok()?);
    let text = tree.read_text(file.trim_start_matches('/')).ok().filter(|text| text.contains(CHART))?;
    let chart = yaml::parse(text).ok()?;
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
            values.map_or(Ok(Vec::new()), of_chart_values)
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
