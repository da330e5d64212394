//! From a tree and an Application to objects: which tool renders the source, what `.argocd-source.yaml` changes, and
//! the tool's answer. Pure: nothing is fetched, no process is started.
//!
//! [`render`] is the entry point. What it gives has no namespaces filled in: an object that lacks one gets the
//! destination's when it is applied, where discovery knows which kinds have namespaces.

mod context;
mod directory;
mod helm;
mod kustomize;

use std::collections::BTreeSet;

use serde_json::Value;
use slipway_helm::Lookup;
use slipway_manifest::{NodeKind, Object, ObjectError, Tree, TreeError, YamlError, tree, yaml};

use crate::app::{AppError, Application, Source};

pub use context::{BuildOptions, ClusterFacts, Context};

/// The objects of an Application, and what they were made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendered {
    /// The objects, lists taken apart, in the order in which the source gives them.
    pub objects: Vec<Object>,
    /// Files of the tree that were read.
    pub files: BTreeSet<String>,
    /// Folders whose listing mattered: a file that comes or goes there may change the answer.
    pub folders: BTreeSet<String>,
    /// What a user should know, though it stops nothing.
    pub warnings: Vec<String>,
    /// What charts asked the cluster for and [`Facts::lookups`] did not answer: render again with the answers.
    pub needs: BTreeSet<Lookup>,
}

impl Rendered {
    /// Whether a change of the file `path` may change what was rendered.
    pub fn depends_on(&self, path: &str) -> bool {
        self.files.contains(path) || self.folders.contains(path.rsplit_once('/').map_or("", |(folder, _)| folder))
    }
}

/// The tool that renders a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceType {
    /// Plain manifests.
    Directory,
    /// A kustomization.
    Kustomize,
    /// A chart.
    Helm,
    /// A config management plugin.
    Plugin,
}

/// Why a source can't be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// `source.path` is not in the repository, or leaves it.
    #[error("source path `{path}` can't be read")]
    Path {
        /// `source.path`.
        path: String,
        /// The cause.
        #[source]
        source: TreeError,
    },
    /// `source.path` is a file, or nothing.
    #[error("source path `{0}` is no folder of the repository")]
    NoFolder(String),
    /// A file can't be read: a symlink that leaves the repository, or no UTF-8.
    #[error("failed to read a manifest")]
    File(#[from] TreeError),
    /// A manifest is not YAML.
    #[error("failed to read `{file}`")]
    Yaml {
        /// Path of the file in the repository.
        file: String,
        /// The cause.
        #[source]
        source: YamlError,
    },
    /// A manifest holds something that is no object.
    #[error("`{file}` holds what is no Kubernetes object")]
    NoObject {
        /// Path of the file in the repository.
        file: String,
        /// The cause.
        #[source]
        source: ObjectError,
    },
    /// Anything else that is wrong with a file.
    #[error("`{file}`: {problem}")]
    Invalid {
        /// Path of the file in the repository.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// Manifests of more bytes than Argo CD's repo-server reads by default.
    #[error("the manifests of `{path}` are larger than {limit} bytes")]
    TooLarge {
        /// `source.path`.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A source that Slipway can't render yet.
    #[error("{0} is not supported yet")]
    NotSupported(String),
    /// What `.argocd-source.yaml` makes of the source.
    #[error("failed to read the source")]
    Source(#[from] AppError),
    /// Kustomize's own.
    #[error("failed to render kustomization `{path}`")]
    Kustomize {
        /// `source.path`.
        path: String,
        /// The cause.
        #[source]
        source: Box<slipway_kustomize::Error>,
    },
    /// `source.helm` can't be used.
    #[error("{app}: failed to read `spec.source.helm`")]
    HelmSource {
        /// The Application.
        app: String,
        /// The cause.
        #[source]
        source: Box<slipway_helm::argo::ArgoError>,
    },
    /// The chart does not render.
    #[error("failed to render chart `{path}`")]
    Helm {
        /// `source.path`.
        path: String,
        /// The cause; in its long form (`{:#}`) with excerpts of the templates.
        #[source]
        source: Box<slipway_helm::HelmError>,
    },
}

/// Renders the Application's source from `tree`, the files of its repository at the commit that `context` names.
///
/// The tool is the one that the source names, else what the folder holds: a kustomization, a `Chart.yaml`, or plain
/// manifests. Errors name the file. Plugins, Jsonnet and charts of Helm repositories are not supported yet: errors
/// that say so.
pub fn render(tree: &Tree, app: &Application, context: &Context) -> Result<Rendered, RenderError> {
    let at = |source| RenderError::Path { path: app.source.path.clone(), source };
    let folder = &app.source.folder().map_err(at)?;
    if tree.kind(folder).map_err(at)? != Some(NodeKind::Directory) {
        return Err(RenderError::NoFolder(folder.clone()));
    }
    if app.source.chart.is_some() {
        return Err(RenderError::NotSupported(format!("{}: a chart of a Helm repository", app.object.id())));
    }
    let mut read = BTreeSet::new();
    let (source, warnings) = patched(tree, app, folder, &mut read)?;
    let mut rendered = match source_type(tree, &source).map_err(at)? {
        SourceType::Directory => directory::render(tree, folder, &source.directory.unwrap_or_default())?,
        SourceType::Kustomize => kustomize::render(tree, app, folder, &source.kustomize.unwrap_or_default(), context)?,
        SourceType::Helm => helm::render(tree, app, folder, &source, context)?,
        SourceType::Plugin => return Err(RenderError::NotSupported(format!("{}: a Plugin source", app.object.id()))),
    };
    rendered.files.extend(read);
    rendered.folders.insert(tree.resolve(folder).map_err(at)?);
    rendered.warnings.splice(0..0, warnings);
    Ok(rendered)
}

/// Renders a folder that no Application names, as for the root: by what it holds, with no settings but `build`.
pub fn render_folder(tree: &Tree, path: &str, build: BuildOptions) -> Result<Rendered, RenderError> {
    let source = serde_json::json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "root"},
        "spec": {
            "source": {"repoURL": "-", "path": path},
            "destination": {"name": crate::clusters::IN_CLUSTER_NAME},
        },
    });
    let object =
        Object::from_value(source).map_err(|source| RenderError::NoObject { file: path.to_owned(), source })?;
    render(tree, &Application::from_object(&object)?, &Context { build, ..Context::default() })
}

/// The tool for a source (argoproj/argo-cd `util/app/discovery/discovery.go`): the one that the source names, else
/// the one whose file comes last by name in the folder.
pub fn source_type(tree: &Tree, source: &Source) -> Result<SourceType, TreeError> {
    let named = [
        (source.kustomize.is_some(), SourceType::Kustomize),
        (source.helm.is_some(), SourceType::Helm),
        (source.directory.is_some(), SourceType::Directory),
        (source.plugin.is_some(), SourceType::Plugin),
    ];
    if let Some((_, named)) = named.into_iter().find(|(set, _)| *set) {
        return Ok(named);
    }
    let folder = source.folder()?;
    let found = tree.list(&folder)?.filter_map(|name| match name {
        "kustomization.yaml" | "kustomization.yml" | "Kustomization" => Some(SourceType::Kustomize),
        name if name.ends_with("Chart.yaml") => Some(SourceType::Helm),
        _ => None,
    });
    Ok(found.last().unwrap_or(SourceType::Directory))
}

/// The source with the files `.argocd-source.yaml` and `.argocd-source-APP.yaml` of its folder merged into it.
fn patched(
    tree: &Tree,
    app: &Application,
    folder: &str,
    read: &mut BTreeSet<String>,
) -> Result<(Source, Vec<String>), RenderError> {
    let mut patches = Vec::new();
    for name in [".argocd-source.yaml".to_owned(), format!(".argocd-source-{}.yaml", app.name)] {
        let file = tree::join(folder, &name)?;
        if tree.kind(&file)? != Some(NodeKind::File) {
            continue;
        }
        let patch = yaml::parse_with(tree.read_text(&file)?, yaml::Options::lenient());
        patches.push(patch.map_err(|source| RenderError::Yaml { file: file.clone(), source })?);
        read.insert(tree.resolve(&file)?);
    }
    if patches.is_empty() {
        return Ok((app.source.clone(), Vec::new()));
    }
    Ok(app.source.patched(&app.object, &patches)?)
}

/// A folder of the tree in words: its top has no name.
fn shown(folder: &str) -> String {
    if folder.is_empty() { "." } else { folder }.to_owned()
}

/// The objects in a document: itself, or the items of a list; an empty list is nothing.
fn objects(document: Value, file: &str) -> Result<Vec<Object>, RenderError> {
    let object =
        |value| Object::from_value(value).map_err(|source| RenderError::NoObject { file: file.to_owned(), source });
    match document {
        Value::Object(mut map) if map.get("items").is_some_and(Value::is_array) => match map.remove("items") {
            Some(Value::Array(items)) => items.into_iter().map(object).collect(),
            _ => Ok(Vec::new()),
        },
        Value::Object(map)
            if map.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
                && map.get("items").is_some_and(Value::is_null) =>
        {
            Ok(Vec::new())
        }
        document => Ok(vec![object(document)?]),
    }
}

#[cfg(test)]
mod tests;
