//! Charts of our own: what real Helm prints for them, what our errors look like, and hostile ones.
//!
//! `tests/reference/helm/record` writes the expected files with the pinned Helm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop by panicking"
)]

mod bombs;
mod functions;
mod hostile;
mod reference;
mod repeatable;

use slipway_helm::{HelmError, Options, Rendered, render};
use slipway_manifest::Tree;

/// A chart of these files, with a `Chart.yaml` unless there is one.
fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    tree.insert("Chart.yaml", *b"apiVersion: v2\nname: c\nversion: 0.1.0\n").unwrap();
    for (path, text) in files {
        tree.insert(path, text.as_bytes()).unwrap();
    }
    tree
}

/// What one template renders to.
fn one(template: &str, options: &Options) -> Result<Rendered, HelmError> {
    render(&tree(&[("templates/x.yaml", template)]), "", options)
}
