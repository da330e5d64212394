//! From a set of parameters to an Application (argoproj/argo-cd `applicationset/controllers/template`).

use serde_json::{Map, Value, json};
use slipway_budget::Budget;
use slipway_gotmpl::Map as Params;
use slipway_manifest::{Object, json, yaml};

use crate::ErrorKind;
use crate::generators::Failure;
use crate::template::Templates;
use crate::types::{Decoder, Replace, Type, patch, render};

/// What a deleted Application takes along: all that it deployed.
const RESOURCES_FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";

/// What makes Applications of parameters.
pub(crate) struct Template<'t> {
    pub(crate) templates: &'t Templates<'t>,
    /// `templatePatch`
    pub(crate) patch: Option<&'t str>,
    /// The namespace of the set, and so of all its Applications.
    pub(crate) namespace: &'t str,
    /// `syncPolicy.preserveResourcesOnDeletion`
    pub(crate) preserves_resources: bool,
}

impl Template<'_> {
    /// The Application that `template`, which is the set's with a generator's, makes of `params`.
    pub(crate) fn application(&self, template: &Value, params: &Params) -> Result<Object, Failure> {
        let mut application = self.rendered(template, params)?;
        if let Some(patch) = self.patch {
            let at = |kind| ("spec.templatePatch".to_owned(), kind);
            let text = self.templates.replace(patch, params, false).map_err(at)?;
            application = self.patched(application, &text).map_err(at)?;
        }
        set(&mut application, "metadata", "namespace", Value::from(self.namespace));
        let mut object = Map::new();
        object.insert("apiVersion".to_owned(), Value::from("argoproj.io/v1alpha1"));
        object.insert("kind".to_owned(), Value::from("Application"));
        for field in ["metadata", "spec", "operation"] {
            object.extend(application.get_mut(field).map(|value| (field.to_owned(), value.take())));
        }
        Object::from_value(Value::Object(object)).map_err(|e| ("spec.template.metadata.name".to_owned(), e.into()))
    }

    fn rendered(&self, template: &Value, params: &Params) -> Result<Value, Failure> {
        // Argo CD does nothing at all with a template that has no parameters.
        if params.is_empty() {
            return Ok(template.clone());
        }
        let replace = Parameters { templates: self.templates, params };
        let mut application = render(&Type::named("Application"), template, &replace)
            .map_err(|(below, kind)| (format!("spec.template{below}"), kind))?;
        if !self.preserves_resources && application.pointer("/metadata/finalizers").is_none() {
            set(&mut application, "metadata", "finalizers", json!([RESOURCES_FINALIZER]));
        }
        Ok(application)
    }

    /// The Application with the patch `text` applied, but for its project, which a patch can't change.
    fn patched(&self, mut application: Value, text: &str) -> Result<Value, ErrorKind> {
        let budget = self.budget();
        let parsed = if text.trim_start().starts_with('{') {
            json::pay(text.as_bytes(), budget)?;
            serde_json::from_str(text).map_err(|e| ErrorKind::Patch(format!("the patch is no JSON: {e}")))?
        } else {
            yaml::parse_with(text, yaml::Options::lenient(), budget)
                .map_err(|source| ErrorKind::Yaml { what: "the patch".to_owned(), source })?
        };
        // The types must be right before the patch is applied, too.
        self.decode(&parsed)?;
        let (Value::Object(with), Value::Object(fields)) = (parsed, &mut application) else { return Ok(application) };
        let project = fields.get("spec").and_then(|spec| spec.get("project")).cloned();
        patch(&Type::named("Application"), fields, with, budget)?;
        let mut patched = self.decode(&application)?;
        set(&mut patched, "spec", "project", project.unwrap_or_default());
        Ok(patched)
    }

    fn decode(&self, value: &Value) -> Result<Value, ErrorKind> {
        let decoded = Decoder::new("the patched Application", self.budget()).decode(&Type::named("Application"), value);
        decoded.map_err(|(field, kind)| ErrorKind::Patch(format!("{field}: {kind}")))
    }

    fn budget(&self) -> &Budget {
        self.templates.budget.shared()
    }
}

/// Sets a field of an Application's `metadata` or `spec`, which are always there.
fn set(application: &mut Value, part: &str, field: &str, value: Value) {
    if let Some(Value::Object(part)) = application.get_mut(part) {
        part.insert(field.to_owned(), value);
    }
}

/// Puts parameters into the texts of a template.
struct Parameters<'p> {
    templates: &'p Templates<'p>,
    params: &'p Params,
}

impl Replace for Parameters<'_> {
    fn text(&self, text: &str) -> Result<String, ErrorKind> {
        let replaced = self.templates.replace(text, self.params, false)?;
        self.budget().bytes(replaced.len())?;
        Ok(replaced)
    }

    fn one_of_values(&self, _: &str) -> Option<Result<String, ErrorKind>> {
        None
    }

    fn budget(&self) -> &Budget {
        self.templates.budget.shared()
    }
}
