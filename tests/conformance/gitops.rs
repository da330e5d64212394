//! Applications of real GitOps repositories (`corpus/gitops/README.md`): each is accepted by the check of the root, or
//! only lacks what would have to be fetched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::Value;
use slipway::app::Undeclared;
use slipway::memory::{Held, Memory};
use slipway::render;
use slipway::root::check::{self, CheckedApplication, Verdict};
use slipway::root::environments::{Folders, apart, environments};
use slipway::root::fetch::read_tree;
use slipway::root::places;
use slipway::root::repositories::Repositories;
use slipway::root::tree::{ApplicationTree, TreeOptions};
use slipway::source::RepoUrl;
use slipway::source::github::Checkout;
use slipway::source::verify::UnfetchedPaths;
use slipway_manifest::Tree;

use crate::framework::{Outcome, known_differences, tree};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let folder = shared.join("corpus/gitops");
    if !folder.is_dir() {
        return Ok(None);
    }
    let repositories: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("repositories.json"))?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut cases = Vec::new();
    for repository in &repositories {
        let url = repository["repository"].as_str().context("a record has a repository")?;
        let found = runtime.block_on(checked(&folder.join("trees"), url, &repository["roots"]))?;
        let found = Arc::new(found);
        for (index, expected) in repository["applications"].as_array().into_iter().flatten().enumerate() {
            let name = expected["name"].as_str().unwrap_or_default().to_owned();
            let repository = url.trim_start_matches("https://github.com/");
            cases.push((format!("{repository}#{index}/{name}"), (name, Arc::clone(&found))));
        }
    }
    let mut known = known_differences(include_str!("gitops-refused.txt"))?;
    // Another folder holds other repositories.
    known.retain(|name, _| cases.iter().any(|(case, _)| case == name));
    Ok(Some(Outcome::collect("gitops", cases, |(name, found)| judge(name, found)).except(&known)))
}

/// What the check finds in the repository at `url`, by name; the problems under the empty name.
struct Found {
    applications: BTreeMap<String, Vec<CheckedApplication>>,
    problems: Vec<String>,
}

/// The files of the repository at `url`.
pub(crate) fn files(trees: &Path, url: &str) -> Result<Tree> {
    let own: RepoUrl = url.parse()?;
    tree(&trees.join(format!("{}+{}", own.repo.owner(), own.repo.name())))
}

/// The trees of Applications in `checkout`, that of the repository `own`: one for each environment of its `roots`.
pub(crate) async fn trees(
    own: &RepoUrl,
    checkout: &Arc<Checkout>,
    roots: &Value,
) -> Result<(Vec<ApplicationTree>, Repositories)> {
    let roots: Vec<String> =
        roots.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let mut repositories = Repositories::of_folder([own.clone()].into(), Arc::clone(checkout));
    let options = TreeOptions { undeclared: Undeclared::Open, assumes_clusters: true, ..TreeOptions::default() };
    let (mut trees, url) = (Vec::new(), own.to_string());
    let mut open: Vec<Folders> = environments(&checkout.tree, &roots)?;
    while let Some(folders) = open.pop() {
        let places: Vec<_> =
            folders.iter().map(|folder| places::of_folder(&url, folder, "HEAD")).collect::<Result<_, _>>()?;
        let tree = read_tree(&places, &mut repositories, &options, None).await?;
        let apart = apart(&folders, &tree.in_several_places);
        if apart.len() > 1 {
            open.extend(apart);
        } else {
            trees.push(tree);
        }
    }
    Ok((trees, repositories))
}

async fn checked(folder: &Path, url: &str, roots: &Value) -> Result<Found> {
    let own: RepoUrl = url.parse()?;
    let (tree, special) = (Arc::new(files(folder, url)?), UnfetchedPaths::default());
    let (repo, sha) = (own.repo.clone(), "0".repeat(40));
    let checkout = Arc::new(Checkout { repo, sha, tree, special, held: Held::default() });
    let (trees, repositories) = trees(&own, &checkout, roots).await?;
    let mut found = Found { applications: BTreeMap::new(), problems: Vec::new() };
    for tree in trees.into_iter().map(Arc::new) {
        for checked in check::unexpanded(&tree) {
            found.applications.entry(checked.identity.1.clone()).or_default().push(checked);
        }
        for one in tree.applications.iter().chain(&tree.duplicates) {
            let (one, tree, repositories) = (one.clone(), Arc::clone(&tree), repositories.clone());
            let work = move |budget: &_| Ok(check::check(&one, &tree, &repositories, budget));
            let checked = render::in_background(Memory::default().render(), work).await?;
            found.applications.entry(checked.identity.1.clone()).or_default().push(checked);
        }
        found.problems.extend(tree.problems.iter().map(ToString::to_string));
    }
    Ok(found)
}

/// An expected name has `{` where its generator could not be followed: there it may be anything. In a kustomization it
/// may have got a prefix and a suffix.
fn judge(name: &str, found: &Found) -> Result<(), String> {
    let is_meant = |one: &str| match name.split_once('{') {
        Some((start, rest)) => {
            let end = rest.rsplit_once('}').map_or("", |(_, end)| end);
            one.starts_with(start) && one.ends_with(end)
        }
        None => one == name,
    };
    let all = || found.applications.iter();
    let mut meant: Vec<&CheckedApplication> =
        all().filter(|(one, _)| is_meant(one)).flat_map(|(_, checked)| checked).collect();
    if meant.is_empty() {
        let is_longer = |one: &str| one.starts_with(&format!("{name}-")) || one.ends_with(&format!("-{name}"));
        meant = all().filter(|(one, _)| is_longer(one)).flat_map(|(_, checked)| checked).collect();
    }
    match meant.iter().min_by_key(|one| one.verdict()) {
        None => Err(format!(
            "not found; problems: {}",
            found.problems.iter().take(20).cloned().collect::<Vec<_>>().join("\n  ")
        )),
        Some(one) if one.verdict() == Verdict::Refused => {
            Err(format!("{}: {}", one.declared, one.refused.join("\n  ")))
        }
        Some(_) => Ok(()),
    }
}
