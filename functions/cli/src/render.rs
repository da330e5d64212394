//! `slipway render`: a folder of this machine rendered as the functions render it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use slipway::source::local;
use slipway::{error, render};
use slipway_manifest::{Limits, yaml};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder: a kustomization or plain manifests.
    path: PathBuf,
    /// The folder that the rendering can't leave; by default the git repository around PATH, or PATH itself.
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
}

/// Prints the objects as YAML, `---` between them; warnings go to standard error.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { path, root } = arguments;
    let full = path.canonicalize().with_context(|| format!("failed to open `{}`", path.display()))?;
    if !full.is_dir() {
        bail!("`{}` is not a folder", path.display());
    }
    let root = match root {
        Some(root) => root.canonicalize().with_context(|| format!("failed to open `{}`", root.display()))?,
        None => repository(&full).unwrap_or(&full).to_owned(),
    };
    let Ok(inner) = full.strip_prefix(&root) else {
        bail!("`{}` is not below `{}`", path.display(), root.display());
    };
    let tree = local::read(&root, Limits::default())?;
    let inner = inner.to_str().context("the path is not valid UTF-8")?;
    let rendered = render::render_folder(&tree, inner).map_err(|e| anyhow::anyhow!(error::chain(&e)))?;
    for warning in &rendered.warnings {
        crate::eprintln(&format!("warning: {warning}"));
    }
    let documents: Vec<String> = rendered.objects.into_iter().map(|o| yaml::to_string(&o.into_value())).collect();
    crate::println(documents.join("---\n").trim_end_matches('\n'));
    Ok(())
}

/// The git repository around a folder.
fn repository(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join(".git").exists())
}
