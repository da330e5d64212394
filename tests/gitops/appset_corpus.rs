//! The ApplicationSets of real repositories: none of them is refused. Each repository's files stand for every tree that
//! is asked for.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use slipway_appset::{Cluster, Generated, Given, Need, generate};
use slipway_budget::Budget;
use slipway_manifest::{Object, Tree, yaml};

use crate::framework::{Outcome, tree};

const IN_CLUSTER: &str = "https://kubernetes.default.svc";

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let trees = shared.join("corpus/gitops/trees");
    if !trees.is_dir() {
        return Ok(None);
    }
    let mut cases = Vec::new();
    let mut folders: Vec<_> = std::fs::read_dir(&trees)?.collect::<Result<_, _>>()?;
    folders.sort_by_key(std::fs::DirEntry::file_name);
    for folder in folders {
        let files = Arc::new(tree(&folder.path())?);
        let name = folder.file_name().into_string().ok().context("a name is UTF-8")?;
        cases.extend(sets(&files).into_iter().map(|(file, set)| (format!("{name}/{file}"), (set, Arc::clone(&files)))));
    }
    Ok(Some(Outcome::collect("appset-corpus", cases, |(set, files)| {
        applications(set, files).map_err(|e| format!("{e:#}"))
    })))
}

/// The sets that lie in files which are YAML as they are.
fn sets(files: &Tree) -> Vec<(String, Object)> {
    let mut found = Vec::new();
    for path in files.files_below("").into_iter().flatten() {
        let Ok(text) = files.read_text(path) else { continue };
        let is_yaml = Path::new(path).extension().is_some_and(|one| one == "yaml" || one == "yml");
        if !is_yaml || !text.contains("kind: ApplicationSet") {
            continue;
        }
        let documents = yaml::parse_manifests(text, yaml::Options::lenient(), &Budget::default()).unwrap_or_default();
        for object in documents.into_iter().filter_map(|document| Object::from_value(document).ok()) {
            if object.kind() == "ApplicationSet" {
                found.push((format!("{path}#{}", object.name()), object));
            }
        }
    }
    found
}

fn applications(set: &Object, files: &Arc<Tree>) -> Result<()> {
    // Some sets make one Application of one name for each cluster: there is one.
    let cluster = Cluster { name: "one".to_owned(), server: IN_CLUSTER.to_owned(), ..Cluster::default() };
    let mut given = Given { clusters: vec![cluster], ..Given::default() };
    loop {
        let needs = match generate(set, &given, &Budget::default())? {
            Generated::Applications(_) => return Ok(()),
            Generated::Needs(needs) => needs,
        };
        for need in needs {
            match need {
                Need::Tree(revision) => drop(given.trees.insert(revision, Arc::clone(files))),
                Need::PullRequests(repository) => drop(given.pull_requests.insert(repository, Some(Vec::new()))),
                other => bail!("nobody foresaw {other:?}"),
            }
        }
    }
}
