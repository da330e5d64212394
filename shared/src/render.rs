//! Renders a tree and an Application to objects: detects the source type, merges `.argocd-source.yaml`, runs the tool.
//! Pure: fetches nothing, starts no process.
//!
//! [`render`] is the entry point. Its objects have no namespaces filled in: an object without one gets the
//! destination's when it is applied, where discovery knows which kinds are namespaced.

mod background;
mod context;
mod directory;
mod encrypted;
mod helm;
mod jsonnet;
mod kustomize;
mod missing;
mod placeholders;
pub mod reach;
mod references;

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;
use slipway_budget::{Budget, Exceeded};
use slipway_helm::argo::ArgoError;
use slipway_helm::{ArchiveError, HelmError, Lookup};
use slipway_jsonnet::JsonnetError;
use slipway_kustomize::Remote;
use slipway_manifest::{NodeKind, Object, ObjectError, Tree, TreeError, YamlError, tree, yaml};
use slipway_sops::EncryptedFiles;

use crate::app::{AppError, Application, Directory, Source};

pub use background::in_background;
pub use context::{BuildOptions, ClusterFacts, Context};
pub(crate) use helm::values;
pub use missing::{MissingChart, missing_charts};
pub use placeholders::{PlaceholderError, SecretValues, SecretVersion, fill, is_vault_plugin, needed};

/// The rendered objects of an Application, and their inputs.
#[derive(Debug, Default)]
pub struct Rendered {
    /// The objects in the source's order; lists are split.
    pub objects: Vec<Object>,
    /// The file that each of the objects is from, in their order; empty where the tool does not tell.
    pub origins: Vec<String>,
    /// What could not be read; only [`declarations`] goes on after it.
    pub broken: Vec<RenderError>,
    /// Files of the tree that were read.
    pub files: BTreeSet<String>,
    /// Folders that were listed: a file added or removed there may change the result.
    pub folders: BTreeSet<String>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Lookups of charts that [`ClusterFacts::lookups`] did not answer: render again with the answers.
    pub needs: BTreeSet<Lookup>,
    /// Files that SOPS encrypted and [`Context::decrypted`] does not have: render again with their plaintext.
    pub encrypted: EncryptedFiles,
}

impl Rendered {
    /// Whether a change of the file `path` may change the result.
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

impl SourceType {
    /// The tool, as the settings of Argo CD that turn it off call it; empty where none can.
    pub fn tool(self) -> &'static str {
        match self {
            Self::Helm => "helm",
            Self::Kustomize => "kustomize",
            Self::Directory | Self::Plugin => "",
        }
    }
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
    /// `source.path` is a file, or does not exist.
    #[error("source path `{0}` is no folder of the repository")]
    NoFolder(String),
    /// A file is a symlink that leaves the repository, or not UTF-8.
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
    /// A manifest contains a document that is no object.
    #[error("`{file}` holds what is no Kubernetes object")]
    NoObject {
        /// Path of the file in the repository.
        file: String,
        /// The cause.
        #[source]
        source: ObjectError,
    },
    /// A Jsonnet file has no value.
    #[error("failed to evaluate `{file}`")]
    Jsonnet {
        /// Path of the file in the repository.
        file: String,
        /// The cause, with its own place.
        #[source]
        source: JsonnetError,
    },
    /// Another mistake in a file.
    #[error("`{file}`: {problem}")]
    Invalid {
        /// Path of the file in the repository.
        file: String,
        /// The mistake.
        problem: String,
    },
    /// The manifests exceed the default limit of Argo CD's repo-server.
    #[error("the manifests of `{path}` are larger than {limit} bytes")]
    TooLarge {
        /// `source.path`.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A bound of the whole render was reached at a file.
    #[error("failed to read `{file}`")]
    Budget {
        /// Path of the file in the repository.
        file: String,
        /// The bound.
        #[source]
        source: Exceeded,
    },
    /// The system gives no thread to render on.
    #[error("failed to start the rendering thread")]
    Thread(#[source] std::io::Error),
    /// Files are encrypted, and nobody may decrypt them.
    #[error("{} {} encrypted by SOPS: {why}", .files.join(", "), if .files.len() == 1 { "is" } else { "are" })]
    Encrypted {
        /// Their paths.
        files: Vec<String>,
        /// Why they are not decrypted, and what to do.
        why: String,
    },
    /// Another one, of a render with decrypted values, which are masked in its words.
    #[error("{0}")]
    WithDecrypted(String),
    /// Charts that the source needs can't be fetched from what is written.
    #[error("{0}")]
    Charts(String),
    /// A config management plugin that is not run, or is used in a way that has no effect here.
    #[error("{0}")]
    Plugin(String),
    /// A placeholder can't be replaced.
    #[error(transparent)]
    Placeholder(#[from] PlaceholderError),
    /// `.argocd-source.yaml` is invalid.
    #[error("failed to read the source")]
    Source(#[from] AppError),
    /// Kustomize failed.
    #[error("failed to render kustomization `{path}`")]
    Kustomize {
        /// `source.path`.
        path: String,
        /// The cause.
        #[source]
        source: Box<slipway_kustomize::Error>,
    },
    /// `source.helm` is invalid.
    #[error("{app}: failed to read `spec.source.helm`")]
    HelmSource {
        /// The Application.
        app: String,
        /// The cause.
        #[source]
        source: Box<ArgoError>,
    },
    /// The chart failed to render.
    #[error("failed to render chart `{path}`")]
    Helm {
        /// `source.path`.
        path: String,
        /// The cause; in its long form (`{:#}`) with excerpts of the templates.
        #[source]
        source: Box<HelmError>,
    },
}

impl RenderError {
    /// The file that is wrong, where it is one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Yaml { file, .. }
            | Self::NoObject { file, .. }
            | Self::Jsonnet { file, .. }
            | Self::Invalid { file, .. }
            | Self::Budget { file, .. } => Some(file),
            Self::File(TreeError::NotUtf8 { path }) => Some(path),
            _ => None,
        }
    }

    /// Whether nothing is known to be wrong, only something is not at hand: a remote base or file, a chart that is not
    /// vendored or lies in Git LFS, an object of the cluster that a chart looks up, the key of an encrypted file.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Kustomize { source, .. } => is_missing_base(source),
            Self::Helm { source, .. } => is_missing_chart(source),
            Self::HelmSource { source, .. } => matches!(**source, ArgoError::Remote { .. }),
            Self::Encrypted { .. } => true,
            _ => false,
        }
    }
}

fn is_missing_chart(error: &HelmError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(ArchiveError::LargeFile)) {
            return true;
        }
        cause = error.source();
    }
    matches!(error, HelmError::MissingDependencies { .. } | HelmError::Unanswered { .. })
}

fn is_missing_base(error: &slipway_kustomize::Error) -> bool {
    match error {
        slipway_kustomize::Error::Remote(_)
        | slipway_kustomize::Error::MissingChart { .. }
        | slipway_kustomize::Error::Encrypted { .. } => true,
        slipway_kustomize::Error::Within { source, .. } => is_missing_base(source),
        _ => false,
    }
}

/// Tells by a file's content whether it may declare what is looked for.
pub type Filter = fn(&[u8]) -> bool;

/// How a source is read.
#[derive(Clone, Copy)]
struct Reading {
    /// Whether somebody answers what a chart looks up; otherwise what fails for want of an answer is an error.
    asked: bool,
    /// Whether plain manifests that can't be read are noted and passed over.
    tolerant: bool,
    /// The plain manifests that are looked at; all without it.
    filter: Option<Filter>,
}

/// Renders the Application's source from `tree`, the files of its repository at the commit in `context`, or those of
/// its chart.
///
/// The tool is the one that the source names, else the one for the folder's content: a kustomization, a `Chart.yaml`,
/// or plain manifests. Errors name the file. Plugins are an error, but for argocd-vault-plugin, whose placeholders [`fill`] replaces.
pub fn render(tree: &Tree, app: &Application, context: &Context) -> Result<Rendered, RenderError> {
    render_with(tree, app, context, Reading { asked: true, tolerant: false, filter: None })
}

/// Like [`render`], without a cluster: what fails for want of its answers is an error.
pub fn render_offline(tree: &Tree, app: &Application, context: &Context) -> Result<Rendered, RenderError> {
    render_with(tree, app, context, Reading { asked: false, tolerant: false, filter: None })
}

/// Like [`render_offline`], for what the Application declares rather than to apply it: of plain manifests only files
/// that pass the `filter` are read, and those that can't be read are [`Rendered::broken`].
pub fn declarations(
    tree: &Tree,
    app: &Application,
    context: &Context,
    filter: Option<Filter>,
) -> Result<Rendered, RenderError> {
    render_with(tree, app, context, Reading { asked: false, tolerant: true, filter })
}

fn render_with(tree: &Tree, app: &Application, context: &Context, reading: Reading) -> Result<Rendered, RenderError> {
    let at = |source| RenderError::Path { path: app.source.path.clone(), source };
    let folder = &app.source.folder().map_err(at)?;
    if tree.kind(folder).map_err(at)? != Some(NodeKind::Directory) {
        return Err(RenderError::NoFolder(folder.clone()));
    }
    let decrypted = encrypted::over(tree, &context.decrypted)?;
    let tree = decrypted.as_ref();
    let mut read = BTreeSet::new();
    let (source, warnings) = patched(tree, app, folder, &mut read, &context.budget)?;
    let mut rendered = match source_type(tree, &source).map_err(at)? {
        SourceType::Directory => {
            // As the plugin reads the manifests of a folder.
            let recurse = app.source.plugin.is_some();
            let directory = source.into_owned().directory;
            let directory = directory.unwrap_or_else(|| Directory { recurse, ..Directory::default() });
            let env = context::environment(app, &context.revision);
            let rendered = directory::render(tree, folder, &directory, (&context.budget, &env), reading)?;
            let files = rendered.files.iter().filter(|_| reading.asked);
            let encrypted = encrypted::encrypted(tree, files, &context.decrypted);
            Rendered { encrypted, ..rendered }
        }
        SourceType::Kustomize => {
            let settings = source.into_owned().kustomize.unwrap_or_default();
            kustomize::render(tree, app, folder, &settings, context, reading)?
        }
        SourceType::Helm => helm::render(tree, app, folder, &source, (context, reading.asked))?,
        SourceType::Plugin => return Err(RenderError::Plugin(placeholders::refusal(&source))),
    };
    rendered.files.extend(read);
    rendered.folders.insert(tree.resolve(folder).map_err(at)?);
    rendered.warnings.splice(0..0, warnings);
    Ok(rendered)
}

/// The remote bases and files for want of which the render of `app` failed with `error`: all that are known by now, as
/// those that are not at hand yet may name others. None where it failed otherwise.
pub fn missing_remotes(error: &RenderError, tree: &Tree, app: &Application, context: &Context) -> BTreeSet<Remote> {
    let RenderError::Kustomize { source, .. } = error else { return BTreeSet::new() };
    let Some(first) = missing::remote(source) else { return BTreeSet::new() };
    let context = Context { budget: context.budget.unused(), ..context.clone() };
    let named = || {
        let folder = app.source.folder()?;
        let (source, _) = patched(tree, app, &folder, &mut BTreeSet::new(), &context.budget)?;
        kustomize::remotes(tree, app, &folder, &source.into_owned().kustomize.unwrap_or_default(), &context)
    };
    let mut found = named().unwrap_or_default();
    found.insert(first.clone());
    found
}

/// Renders a folder without an Application, such as the root: by its content, with no settings but those of `context`.
pub fn render_folder(tree: &Tree, path: &str, context: &Context) -> Result<Rendered, RenderError> {
    let source = serde_json::json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "root"},
        "spec": {
            "source": {"repoURL": "-", "path": path},
            "destination": {"name": crate::app::IN_CLUSTER_NAME},
        },
    });
    let object =
        Object::from_value(source).map_err(|source| RenderError::NoObject { file: path.to_owned(), source })?;
    render_offline(tree, &Application::from_object(&object)?, context)
}

/// The tool for a source (argoproj/argo-cd `util/app/discovery/discovery.go`): the one that the source names, else the
/// one whose file sorts last in the folder.
pub fn source_type(tree: &Tree, source: &Source) -> Result<SourceType, TreeError> {
    let named = [
        (source.kustomize.is_some(), SourceType::Kustomize),
        (source.helm.is_some(), SourceType::Helm),
        (source.directory.is_some(), SourceType::Directory),
        (source.plugin.as_ref().is_some_and(|plugin| !is_vault_plugin(plugin)), SourceType::Plugin),
    ];
    if let Some((_, named)) = named.into_iter().find(|(set, _)| *set) {
        return Ok(named);
    }
    let folder = source.folder()?;
    let found = tree.list(&folder)?.filter_map(|name| match name {
        name if slipway_kustomize::FILE_NAMES.contains(&name) => Some(SourceType::Kustomize),
        name if name.ends_with("Chart.yaml") => Some(SourceType::Helm),
        _ => None,
    });
    Ok(found.last().unwrap_or(SourceType::Directory))
}

/// The source, merged with the files `.argocd-source.yaml` and `.argocd-source-APP.yaml` of its folder.
fn patched<'a>(
    tree: &Tree,
    app: &'a Application,
    folder: &str,
    read: &mut BTreeSet<String>,
    budget: &Budget,
) -> Result<(Cow<'a, Source>, Vec<String>), RenderError> {
    let mut patches = Vec::new();
    for name in [".argocd-source.yaml".to_owned(), format!(".argocd-source-{}.yaml", app.name)] {
        let file = tree::join(folder, &name)?;
        if tree.kind(&file)? != Some(NodeKind::File) {
            continue;
        }
        let patch = yaml::parse_with(tree.read_text(&file)?, yaml::Options::lenient(), budget);
        patches.push(patch.map_err(|source| RenderError::Yaml { file: file.clone(), source })?);
        read.insert(tree.resolve(&file)?);
    }
    let (source, warnings) = match patches.as_slice() {
        [] => (Cow::Borrowed(&app.source), Vec::new()),
        patches => {
            let (source, warnings) = app.source.patched(&app.object, patches)?;
            (Cow::Owned(source), warnings)
        }
    };
    Ok((placeholders::without_plugin(source).map_err(RenderError::Plugin)?, warnings))
}

/// A folder of the tree for messages: the root has no name.
fn shown(folder: &str) -> String {
    if folder.is_empty() { "." } else { folder }.to_owned()
}

/// The objects in a document: itself, or the items of a list; none in an empty list.
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
