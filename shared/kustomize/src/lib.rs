//! `kustomize build` as a pure function: a file tree and a path in, Kubernetes objects out. No process, no network, no
//! clock, no environment. Behaviour is that of `kubectl kustomize` with Kustomize 5.7 (kubernetes-sigs/kustomize).
//!
//! ```text
//! path ─► load (kustomization, files within bounds)
//!      ─► build: accumulate ─► generate ─► patch, transform, folder by folder
//!      ─► hashes, name references, variables ─► order ─► objects
//! ```
//!
//! Read next: [`render`], [`Options`], [`needs`] for what has to be fetched before.

mod build;
mod config;
mod configure;
mod context;
mod cost;
mod decode;
mod error;
mod fieldspec;
mod generate;
mod hash;
mod helm;
mod id;
mod ksops;
mod kustomization;
mod load;
mod needs;
mod node;
mod options;
mod order;
mod origin;
mod overrides;
mod patch;
mod path;
mod plugin;
pub mod remote;
mod resmap;
mod resource;
mod schema;
mod selector;
#[cfg(test)]
mod tests;
mod transform;

pub use context::is_cluster_scoped;
pub use error::Error;
pub use load::FILE_NAMES;
pub use options::{Chart, Helm, LoadRestrictions, Options, Order, Overrides, Place};
pub use remote::{Remote, RemoteKind};

use std::collections::BTreeSet;

use slipway_budget::Budget;
use slipway_manifest::{Object, Tree};

/// What a render gives.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// The objects, in the order in which `kubectl kustomize` prints them, their keys as well.
    pub objects: Vec<Object>,
    /// Paths of the files of the tree that were read, symlinks resolved.
    pub files: BTreeSet<String>,
    /// What the real tool would have said on standard error: deprecated fields, variables never used.
    pub warnings: Vec<String>,
}

/// Renders the kustomization in the folder `path` of `tree`.
///
/// The error names the file, the resource and the field, the cause on `source`. Something remote that
/// [`Options::remotes`] does not have is [`Error::Remote`].
pub fn render(tree: &Tree, path: &str, options: &Options<'_>) -> Result<Rendered, Error> {
    let files = load::Files::new(tree, options);
    let rendered = build::render(&files, path)?;
    Ok(Rendered { files: files.into_read(), ..rendered })
}

/// What the kustomization in the folder `path` and its bases name that is neither in the tree nor in
/// [`Options::remotes`]: to be fetched and put into both, then asked for again, until nothing is left; a remote base
/// may name others.
///
/// The error is that of a kustomization file that can't be read.
pub fn needs(tree: &Tree, path: &str, options: &Options<'_>) -> Result<BTreeSet<Remote>, Error> {
    needs::collect(tree, path, options)
}

/// What the kustomization file with the text `text` names that is remote, but not what its bases do.
pub fn named_remotes(text: &str, budget: &Budget) -> Result<BTreeSet<Remote>, Error> {
    needs::named(text, budget)
}
