//! Makes the Applications that stand for the places of a root: a place has all that a source can have.

use serde_json::{Value, json};
use slipway_manifest::{Object, TreeError, YamlError, yaml};

use super::tree::TreeOptions;
use crate::app::project::CONTROL_NAMESPACE;
use crate::app::{AppError, Application, FINALIZER, IN_CLUSTER_NAME};
use crate::source::{Location, LocationError};

/// Characters of a place's path in the name of its Application: all of a name are 253.
const MAX_NAME: usize = 200;

/// The root: its places, and what they are read with.
#[derive(Debug, Clone, Default)]
pub struct RootPlaces {
    /// The first place, which names the root.
    pub location: Location,
    /// All places, as Applications.
    pub places: Vec<Application>,
    /// What they are read with.
    pub options: TreeOptions,
}

/// Why a text is no place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The text is not YAML or JSON.
    #[error("failed to read a list of places")]
    Yaml(#[from] YamlError),
    /// The text is no list, or no object.
    #[error("expected {0}")]
    Form(&'static str),
    /// A URL or path is none.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// A path leaves the repository.
    #[error("failed to read the path of a place")]
    Path(#[from] TreeError),
    /// A source or an Application can't be used.
    #[error("failed to read a place")]
    App(#[from] AppError),
}

impl RootPlaces {
    /// The places in `text`: a location, several of them with white space between, or a JSON list of locations and of
    /// sources in Argo CD's form.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let places: Vec<Application> = if text.trim_start().starts_with('[') {
            let Value::Array(list) = yaml::parse(text)? else { return Err(PlaceError::Form("a list of places")) };
            list.iter()
                .map(|place| match place {
                    Value::String(location) => of_location(&location.parse()?),
                    source => Ok(of_source(source)?),
                })
                .collect::<Result<_, PlaceError>>()?
        } else {
            text.split_whitespace().map(|location| of_location(&location.parse()?)).collect::<Result<_, _>>()?
        };
        Self::of(places)
    }

    /// The places of an Application manifest: its sources.
    pub fn of_manifest(text: &str) -> Result<Self, PlaceError> {
        let object = Object::from_value(yaml::parse(text)?).map_err(|_| PlaceError::Form("an Application"))?;
        if (object.group(), object.kind()) != ("argoproj.io", "Application") {
            return Err(PlaceError::Form("an Application"));
        }
        Self::of(vec![Application::from_object(&object)?])
    }

    fn of(places: Vec<Application>) -> Result<Self, PlaceError> {
        let source = &places.first().ok_or(PlaceError::Form("at least one place"))?.source;
        let location =
            Location { url: source.repository()?, path: source.folder()?, revision: source.target_revision.clone() };
        Ok(Self { location, places, options: TreeOptions::default() })
    }
}

fn of_location(location: &Location) -> Result<Application, PlaceError> {
    Ok(of_folder(&location.url.to_string(), &location.path, &location.revision)?)
}

/// The Application that stands for a place: its `source` in Argo CD's form. What it declares belongs to Argo CD's own
/// cluster and namespace; its other objects are synced, and pruned behind the prune guard.
fn of_source(source: &Value) -> Result<Application, AppError> {
    let path = source.get("path").and_then(Value::as_str).unwrap_or_default();
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name_of(path), "namespace": CONTROL_NAMESPACE, "finalizers": [FINALIZER]},
        "spec": {"source": source, "destination": {"name": IN_CLUSTER_NAME, "namespace": CONTROL_NAMESPACE},
            "syncPolicy": {"automated": {"prune": true}}},
    });
    let map = object.as_object().cloned().unwrap_or_default();
    Application::from_object(&Object::from_map(map))
}

/// `root` and the folder, as a name of Kubernetes.
fn name_of(path: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words: String = path.chars().map(plain).take(MAX_NAME).collect();
    let words = words.split('-').filter(|word| !word.is_empty());
    ["root"].into_iter().chain(words).collect::<Vec<_>>().join("-")
}

/// The place of a folder: `path` in the repository `url` at `revision`.
pub fn of_folder(url: &str, path: &str, revision: &str) -> Result<Application, AppError> {
    of_source(&json!({"repoURL": url, "path": path, "targetRevision": revision}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(root: &RootPlaces) -> Vec<&str> {
        root.places.iter().map(|place| place.source.path.as_str()).collect()
    }

    #[test]
    fn places_are_urls_sources_or_an_application() {
        let one = RootPlaces::parse("https://github.com/acme/gitops//apps?ref=main").unwrap();
        assert_eq!(
            (paths(&one), one.location.to_string().as_str()),
            (vec!["apps"], "https://github.com/acme/gitops//apps?ref=main")
        );
        let two = RootPlaces::parse(" https://github.com/acme/gitops//a\n https://github.com/acme/gitops//b ").unwrap();
        assert_eq!((paths(&two), two.location.path.as_str()), (vec!["a", "b"], "a"));
        let list = r#"[{"repoURL": "git@github.com:acme/gitops.git", "path": "x", "directory": {"recurse": true}},
            "https://github.com/acme/other//y?ref=v1"]"#;
        let list = RootPlaces::parse(list).unwrap();
        assert_eq!((paths(&list), list.location.revision.as_str()), (vec!["x", "y"], "HEAD"));
        assert!(list.places[0].source.directory.as_ref().unwrap().recurse);
        let manifest = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: boot}\nspec:\n  source: \
                        {repoURL: 'https://github.com/acme/gitops', path: boot, helm: {valueFiles: [prod.yaml]}}\n  \
                        destination: {name: in-cluster, namespace: argocd}\n";
        let manifest = RootPlaces::of_manifest(manifest).unwrap();
        assert_eq!((paths(&manifest), manifest.places[0].name.as_str()), (vec!["boot"], "boot"));
        for bad in ["", "[]", "[1]", "[{\"path\": \"x\"}]", "x", "[\"x\"]", "https://charts.example.com"] {
            assert!(RootPlaces::parse(bad).is_err(), "{bad}");
        }
        assert!(RootPlaces::of_manifest("kind: ConfigMap").is_err());
    }
}
