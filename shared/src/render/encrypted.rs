//! Tells the caller which files that SOPS encrypted a render needs, and puts their plaintext in their place for the
//! next one.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memmem;
use serde_json::{Map, Value};
use slipway_helm::argo;
use slipway_manifest::{NodeKind, Tree, tree};
use slipway_sops::{DecryptedFiles, EncryptedFiles};

use super::{RenderError, Rendered};

/// What helm-secrets has before the paths of value files (jkroepke/helm-secrets `docs/Usage.md`).
const SCHEME: &str = "secrets";
/// What helm-secrets ends the names of decrypted files with, which are never in Git.
const DECRYPTED: &str = ".dec";
/// What an operator in the cluster decrypts itself (isindir/sops-secrets-operator).
const OPERATOR: &[u8] = b"SopsSecret";

/// `tree` with the plaintext of those files that it has.
pub(super) fn over<'t>(tree: &'t Tree, decrypted: &DecryptedFiles) -> Result<Cow<'t, Tree>, RenderError> {
    let mut tree = Cow::Borrowed(tree);
    for (path, plain) in &decrypted.files {
        if matches!(tree.kind(path), Ok(Some(NodeKind::File))) {
            tree.to_mut().insert(path, Arc::clone(plain))?;
        }
    }
    Ok(tree)
}

/// Those of `files` that are encrypted, and not `decrypted` already. What an operator decrypts in the cluster is not.
pub(super) fn encrypted<'f>(
    tree: &Tree,
    files: impl IntoIterator<Item = &'f String>,
    decrypted: &DecryptedFiles,
) -> EncryptedFiles {
    let found = files.into_iter().filter(|path| !decrypted.files.contains_key(*path)).filter_map(|path| {
        let content = tree.read_shared(path).ok()?;
        let is_ours = slipway_sops::is_encrypted(&content) && !is_operators(&content);
        is_ours.then(|| (path.clone(), content))
    });
    found.collect()
}

/// Whether a manifest is one that the operator decrypts, however its kind is written.
fn is_operators(content: &[u8]) -> bool {
    let has = |line: &[u8], word| memmem::find(line, word).is_some();
    content.split(|byte| *byte == b'\n').any(|line| has(line, b"kind") && has(line, OPERATOR))
}

/// A render that only says which of `files` it needs decrypted.
pub(super) fn needed<'f>(tree: &Tree, files: impl IntoIterator<Item = &'f String>) -> Rendered {
    let shared = |path: &String| Some((path.clone(), tree.read_shared(path).ok()?));
    Rendered { encrypted: files.into_iter().filter_map(shared).collect(), ..Rendered::default() }
}

/// `helm` of a source with its value files as they lie in Git where helm-secrets is asked to decrypt them:
/// `secrets://PATH`, `secrets+age-import:///KEY?PATH` and `PATH.dec`, whose file `PATH` of the chart in `folder` is
/// encrypted.
pub(super) fn without_schemes<'v>(tree: &Tree, folder: &str, helm: &'v Value) -> Cow<'v, Value> {
    let is_file = |path: &str| matches!(tree::join(folder, path).and_then(|path| tree.kind(&path)), Ok(Some(_)));
    let in_git = |name: &str| {
        let (scheme, rest) = name.split_once("://").unwrap_or(("", name));
        if scheme == SCHEME {
            return Some(rest.to_owned());
        }
        if scheme.starts_with(SCHEME) {
            return rest.split_once('?').map(|(_, path)| path.to_owned());
        }
        let path = rest.strip_suffix(DECRYPTED)?;
        (scheme.is_empty() && argo::reference(path).is_none() && !is_file(name) && is_file(path))
            .then(|| path.to_owned())
    };
    let named = helm.get("valueFiles").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let replaced: Vec<Option<String>> = named.iter().map(|name| in_git(name.as_str()?)).collect();
    if replaced.iter().all(Option::is_none) {
        return Cow::Borrowed(helm);
    }
    let files = named.iter().zip(replaced).map(|(name, path)| path.map_or_else(|| name.clone(), Value::String));
    let mut changed: Map<String, Value> = helm.as_object().cloned().unwrap_or_default();
    changed.insert("valueFiles".to_owned(), files.collect());
    Cow::Owned(Value::Object(changed))
}
