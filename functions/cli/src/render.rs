//! Implements `slipway render`: renders a local folder as the functions do, a chart as `helm template` does, or what an
//! Application asks for.

mod app;
mod chart;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use slipway::app::Source;
use slipway::error;
use slipway::render::{self, BuildOptions, Context, SourceType};
use slipway::source::local;
use slipway_manifest::{Limits, Object, Tree, tree, yaml};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder: a chart, a kustomization or plain manifests; or the archive of a chart.
    #[arg(required_unless_present = "app")]
    path: Option<PathBuf>,
    /// Render every source of an Application instead: its name, NAMESPACE/NAME, or the file that declares it.
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "path")]
    app: Option<String>,
    /// The folder that the rendering can't leave; by default the git repository around PATH, or PATH itself. With
    /// --app: where Applications are declared, as of `slipway root check`.
    #[arg(long, value_name = "FOLDER|URL")]
    root: Vec<String>,
    /// With --app: a local folder that stands for its repository at every revision; by default the git repository
    /// around FILE.
    #[arg(long, value_name = "FOLDER", conflicts_with = "path")]
    local: Option<PathBuf>,
    /// With --app: fetch nothing.
    #[arg(long, conflicts_with = "path")]
    offline: bool,
    /// Render the charts that a kustomization names (`helmCharts`).
    #[arg(long)]
    enable_helm: bool,
    /// Accepted for kubectl's sake: a kustomization can always read the whole repository, and nothing outside.
    #[arg(long, value_name = "RESTRICTOR")]
    load_restrictor: Option<Restrictor>,
    /// How to print: YAML documents, or a List in JSON.
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Format,
    /// Write a file for each object into this folder instead, or for each template of a chart.
    #[arg(long, value_name = "FOLDER", conflicts_with = "output")]
    output_dir: Option<PathBuf>,
    #[command(flatten)]
    chart: chart::Flags,
}

/// What kubectl knows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Restrictor {
    #[value(name = "LoadRestrictionsRootOnly")]
    RootOnly,
    #[value(name = "LoadRestrictionsNone")]
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// Prints the objects as YAML, `---` between them; warnings go to standard error.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = match (&arguments.app, &arguments.path) {
        (Some(app), _) => return crate::run(async || Box::pin(app::run(app, arguments)).await),
        (None, Some(path)) => path,
        (None, None) => bail!("name a folder, or an Application by --app"),
    };
    if arguments.load_restrictor == Some(Restrictor::None) {
        bail!("a kustomization can't read what lies outside the repository: a commit does not hold it either");
    }
    let (tree, inner) = open(path, arguments.root.first().map(Path::new))?;
    let source = Source { path: inner.clone(), ..Source::default() };
    if is_archive(path) || arguments.chart.are_set() || render::source_type(&tree, &source)? == SourceType::Helm {
        return chart::run(&tree, &inner, arguments);
    }
    let build = BuildOptions { enable_helm: arguments.enable_helm, ..BuildOptions::default() };
    let context = Context { build, ..Context::default() };
    let rendered = render::render_folder(&tree, &inner, &context).map_err(|e| anyhow::anyhow!(error::chain(&e)))?;
    for warning in &rendered.warnings {
        crate::eprintln(&format!("warning: {warning}"));
    }
    arguments.write(rendered.objects)
}

impl Arguments {
    /// Prints the objects, or writes each to a file named like those of `kustomize build -o FOLDER`.
    fn write(&self, objects: Vec<Object>) -> anyhow::Result<()> {
        let Some(folder) = &self.output_dir else {
            self.print(objects);
            return Ok(());
        };
        for object in objects {
            let (group, version) = object.api_version().split_once('/').unwrap_or(("", object.api_version()));
            let parts = [object.namespace(), group, version, object.kind(), object.name()];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let name = parts.join("_").to_lowercase().replace(['/', ':', '\\'], "-");
            write_file(folder, &format!("{name}.yaml"), &yaml::to_string(&object.into_value()))?;
        }
        Ok(())
    }

    fn print(&self, objects: Vec<Object>) {
        let values = objects.into_iter().map(Object::into_value);
        match self.output {
            Format::Yaml => {
                let documents: Vec<String> = values.map(|value| yaml::to_string(&value)).collect();
                crate::println(documents.join("---\n").trim_end_matches('\n'));
            }
            Format::Json => {
                let items: Vec<Value> = values.collect();
                crate::println(&format!("{:#}", json!({"apiVersion": "v1", "kind": "List", "items": items})));
            }
        }
    }
}

/// Writes `text` to the file `name` below `folder`, and says so as helm does.
fn write_file(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    // A chart may have any name.
    let path = folder.join(tree::join("", name)?);
    let write = || {
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(&path, text)
    };
    write().with_context(|| format!("failed to write `{}`", path.display()))?;
    crate::println(&format!("wrote {}", path.display()));
    Ok(())
}

fn canonical(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("failed to open `{}`", path.display()))
}

/// The tree that a render of `path` may read, and the position of `path` in it.
fn open(path: &Path, root: Option<&Path>) -> anyhow::Result<(Tree, String)> {
    let full = canonical(path)?;
    if is_archive(&full) {
        let name = full.file_name().and_then(|name| name.to_str()).context("the path is not valid UTF-8")?;
        let mut tree = Tree::new(Limits::default());
        tree.insert(name, std::fs::read(&full).with_context(|| format!("failed to open `{}`", path.display()))?)?;
        return Ok((tree, name.to_owned()));
    }
    if !full.is_dir() {
        bail!("`{}` is no folder and no archive of a chart", path.display());
    }
    let root = match root {
        Some(root) => canonical(root)?,
        None => repository(&full).unwrap_or(&full).to_owned(),
    };
    let Ok(inner) = full.strip_prefix(&root) else {
        bail!("`{}` is not below `{}`", path.display(), root.display());
    };
    let inner = inner.to_str().context("the path is not valid UTF-8")?.to_owned();
    Ok((local::on_demand(&root, Limits::default()), inner))
}

fn is_archive(path: &Path) -> bool {
    let name = path.to_string_lossy();
    path.is_file() && (name.ends_with(".tgz") || name.ends_with(".tar.gz"))
}

/// The git repository around a folder.
fn repository(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join(".git").exists())
}
