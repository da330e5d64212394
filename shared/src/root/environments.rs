//! Tells which folders of a repository are read together. `*` in a path stands for folders side by side, which are
//! environments: each is read by itself, together with the paths that have no `*`.

use std::collections::{BTreeMap, BTreeSet};

use slipway_gocompat::filepath;
use slipway_manifest::{NodeKind, Tree, TreeError, tree};

use super::mentions::may_declare;
#[cfg(doc)]
use super::tree::ApplicationTree;

/// Environments that one check reads.
const MAX_ENVIRONMENTS: usize = 100;

/// The folders that are read together.
pub type Folders = Vec<String>;

/// Why paths are no environments.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// A path stands for no folder.
    #[error("`{0}` is no folder of the repository")]
    NoFolder(String),
    /// Too many folders stand side by side.
    #[error("more than {0} folders stand side by side: name some of them")]
    TooMany(usize),
    /// The tree can't be read there.
    #[error("failed to look into the repository")]
    Tree(#[from] TreeError),
}

/// The folders of each environment that the `patterns` stand for in `files`; an error where one stands for none.
pub fn environments(files: &Tree, patterns: &[String]) -> Result<Vec<Folders>, EnvironmentError> {
    let mut expanded = Vec::new();
    for pattern in patterns {
        let plain = tree::join("", pattern.trim_start_matches('/'))?;
        let found = expand(files, &plain)?;
        if found.is_empty() {
            return Err(EnvironmentError::NoFolder(pattern.clone()));
        }
        expanded.extend(found);
    }
    let names: BTreeSet<&String> = expanded.iter().filter_map(|(name, _)| name.as_ref()).collect();
    if names.len() > MAX_ENVIRONMENTS {
        return Err(EnvironmentError::TooMany(MAX_ENVIRONMENTS));
    }
    let of = |wanted: Option<&String>| -> Folders {
        let is_wanted = |name: &Option<String>| name.is_none() || name.as_ref() == wanted;
        expanded.iter().filter(|(name, _)| is_wanted(name)).map(|(_, folder)| folder.clone()).collect()
    };
    if names.is_empty() { Ok(vec![of(None)]) } else { Ok(names.into_iter().map(|name| of(Some(name))).collect()) }
}

/// Folders that declare the same Applications or sets are roots of different clusters: each is an environment of its
/// own, together with those that share nothing. `shared` has the places that declare one and the same, by its name, as
/// in [`ApplicationTree::in_several_places`]; without any there is one environment.
pub fn apart(folders: &Folders, shared: &BTreeMap<String, BTreeSet<usize>>) -> Vec<Folders> {
    let alone: BTreeSet<usize> = shared.values().flatten().copied().filter(|at| *at < folders.len()).collect();
    if alone.len() < 2 {
        return vec![folders.clone()];
    }
    let with = |chosen: usize| {
        let is_in = |at: usize| at == chosen || !alone.contains(&at);
        folders.iter().enumerate().filter(|(at, _)| is_in(*at)).map(|(_, folder)| folder.clone()).collect()
    };
    alone.iter().map(|at| with(*at)).collect()
}

/// The folders that `pattern` stands for, each with what its wildcards stand for.
fn expand(files: &Tree, pattern: &str) -> Result<Vec<(Option<String>, String)>, TreeError> {
    let mut found = vec![(None, String::new())];
    for part in pattern.split('/') {
        let mut deeper = Vec::new();
        for (name, folder) in found {
            if !part.contains('*') {
                let folder = tree::join(&folder, part)?;
                if matches!(files.kind(&folder), Ok(Some(NodeKind::Directory))) {
                    deeper.push((name, folder));
                }
                continue;
            }
            for one in files.list(&folder)? {
                let inner = tree::join(&folder, one)?;
                if filepath::matches(part, one) && matches!(files.kind(&inner), Ok(Some(NodeKind::Directory))) {
                    let names: Vec<&str> = name.as_deref().into_iter().chain([one]).collect();
                    deeper.push((Some(names.join("/")), inner));
                }
            }
        }
        found = deeper;
    }
    Ok(found)
}

/// The folders with plain manifests that declare something: all but those of charts and kustomizations, which count
/// where an Application leads to them.
pub fn whole(files: &Tree) -> Result<Folders, TreeError> {
    let mut folders = BTreeSet::new();
    let mut tools = BTreeSet::new();
    for file in files.files_below("")? {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        if name == "Chart.yaml" || slipway_kustomize::FILE_NAMES.contains(&name) {
            tools.insert(folder);
        }
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if is_manifest && may_declare(files.read(file)?) {
            folders.insert(folder);
        }
    }
    let is_of_a_tool = |folder: &str| {
        tools.iter().any(|tool| tool.is_empty() || folder == *tool || folder.starts_with(&format!("{tool}/")))
    };
    Ok(folders.into_iter().filter(|folder| !is_of_a_tool(folder)).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[(&str, &str)]) -> Tree {
        let mut files = Tree::default();
        for (path, text) in paths {
            files.insert(path, text.as_bytes()).unwrap();
        }
        files
    }

    #[test]
    fn folders_side_by_side_are_environments() {
        let tree =
            files(&[("envs/dev/a.yaml", ""), ("envs/prod/a.yaml", ""), ("boot/dev/b.yaml", ""), ("shared/c.yaml", "")]);
        let found = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|one| (*one).to_owned()).collect();
            environments(&tree, &patterns)
        };
        assert_eq!(found(&["/shared", ""]).unwrap(), [["shared", ""]]);
        let both = found(&["/envs/*", "shared", "/boot/*"]).unwrap();
        assert_eq!(both, [vec!["envs/dev", "shared", "boot/dev"], vec!["envs/prod", "shared"]]);
        assert!(found(&["/none/*"]).unwrap_err().to_string().contains("`/none/*` is no folder"));
        assert!(found(&["../x"]).is_err());
    }

    #[test]
    fn folders_that_declare_the_same_are_environments() {
        let folders = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(apart(&folders, &BTreeMap::new()), [["a", "b", "c"]]);
        let shared = BTreeMap::from([("ApplicationSet argocd/all".to_owned(), BTreeSet::from([0, 2]))]);
        assert_eq!(apart(&folders, &shared), [["a", "b"], ["b", "c"]]);
    }

    #[test]
    fn without_a_root_every_folder_with_declarations_is_one() {
        let app = "apiVersion: argoproj.io/v1alpha1\nkind: Application\n";
        let tree = files(&[
            ("a/one.yaml", app),
            ("b/c/two.yaml", app),
            ("chart/Chart.yaml", ""),
            ("chart/templates/x.yaml", app),
            ("k/kustomization.yaml", ""),
            ("k/x.yaml", app),
            ("other/x.yaml", "kind: Deployment"),
        ]);
        assert_eq!(whole(&tree).unwrap(), ["a", "b/c"]);
    }
}
