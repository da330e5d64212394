//! Lends a chart the value files of the Application's other sources (`$REF/PATH`), by copying those that it names into
//! the folder `$REF` of its tree.

use std::borrow::Cow;

use serde_json::Value;
use slipway_helm::argo;
use slipway_manifest::{NodeKind, Tree};

use super::{Context, RenderError};
use crate::source::github::Checkout;

/// The file that makes the folder `$REF` where none of the named value files is there.
const MARKER: &str = ".ref";

/// `tree` with the files of other sources that `helm` names in `valueFiles` and `fileParameters`.
pub(super) fn with_value_files<'t>(
    tree: &'t Tree,
    helm: &Value,
    context: &Context,
) -> Result<Cow<'t, Tree>, RenderError> {
    if context.references.is_empty() {
        return Ok(Cow::Borrowed(tree));
    }
    let mut changed = tree.clone();
    for (reference, path) in value_files(helm).filter_map(argo::reference) {
        let name = reference.trim_start_matches('$');
        let Some(checkout) = context.references.get(name) else { continue };
        changed.insert(&format!("{reference}/{MARKER}"), Vec::new())?;
        let paths: Vec<String> = match fixed_part(path) {
            Some(folder) => checkout.tree.files_below(folder.trim_start_matches('/'))?.map(str::to_owned).collect(),
            None => vec![path.trim_start_matches('/').to_owned()],
        };
        for path in paths {
            lend(&mut changed, reference, checkout, &path)?;
        }
    }
    Ok(Cow::Owned(changed))
}

/// The files that `helm` names in `valueFiles` and `fileParameters`, as written.
pub(super) fn value_files(helm: &Value) -> impl Iterator<Item = &str> {
    let list = |field: &str| helm.get(field).and_then(Value::as_array).into_iter().flatten();
    let files = list("valueFiles").filter_map(Value::as_str);
    files.chain(list("fileParameters").filter_map(|parameter| parameter.get("path")?.as_str()))
}

/// The folder below which a `path` with wildcards or variables may be any file; `None` for a path without.
pub(super) fn fixed_part(path: &str) -> Option<&str> {
    let fixed = path.find(['*', '?', '[', '$']).and_then(|at| path.get(..at))?;
    Some(fixed.rsplit_once('/').map_or("", |(folder, _)| folder))
}

fn lend(tree: &mut Tree, reference: &str, checkout: &Checkout, path: &str) -> Result<(), RenderError> {
    if checkout.tree.kind(path)? == Some(NodeKind::File) {
        let missing = checkout.special.check_files([&path.to_owned()]);
        missing.map_err(|error| RenderError::Invalid { file: path.to_owned(), problem: error.to_string() })?;
        tree.insert(&format!("{reference}/{path}"), checkout.tree.read_shared(path)?)?;
    }
    Ok(())
}
