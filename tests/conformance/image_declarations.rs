//! What real repositories declare of their images (`corpus/gitops/README.md`): each declaration is accepted, or refused
//! as Image Updater refuses it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::Value;
use slipway::error::chain;
use slipway::image::{ImageUpdaters, updates};
use slipway::memory::Held;
use slipway::source::RepoUrl;
use slipway::source::github::Checkout;
use slipway::source::verify::UnfetchedPaths;

use crate::framework::Outcome;
use crate::gitops;

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
        let own: RepoUrl = url.parse()?;
        let files = gitops::files(&folder.join("trees"), url)?;
        // Nothing to do where nobody names the updater.
        let names_it =
            |file: &&str| files.read_text(file).is_ok_and(|text| text.contains("argocd-image-updater.argoproj.io"));
        if !files.files_below("")?.any(|file| names_it(&file)) {
            continue;
        }
        let (repo, sha) = (own.repo.clone(), "0".repeat(40));
        let (tree, special) = (Arc::new(files), UnfetchedPaths::default());
        let checkout = Arc::new(Checkout { repo, sha, tree, special, held: Held::default() });
        let (trees, _) = runtime.block_on(gitops::trees(&own, &checkout, &repository["roots"]))?;
        for tree in trees {
            let (updaters, problems) = ImageUpdaters::read(&tree.image_updaters);
            cases.extend(problems.into_iter().map(|problem| (format!("{url} ImageUpdater"), Err(problem))));
            for app in tree.applications.iter().filter_map(|one| one.app.as_ref().ok()) {
                let settings = match updaters.settings(app) {
                    Ok(settings) => settings.unwrap_or_default(),
                    Err(error) => {
                        cases.push((format!("{url} {}", app.name), Err(chain(&error))));
                        continue;
                    }
                };
                let (accepted, refused) = updates(app, &settings, None, |_| true);
                cases.extend(accepted.iter().map(|update| (format!("{url} {} {}", app.name, update.image), Ok(()))));
                cases.extend(refused.iter().map(|error| (format!("{url} {}", app.name), Err(chain(error)))));
            }
        }
    }
    Ok(Some(Outcome::collect("image-declarations", cases, Result::clone)))
}
