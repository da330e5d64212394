//! What a commit can reach, against rendering everything: random commits to real GitOps repositories
//! (`corpus/gitops/README.md`). An Application whose digest is the same renders to the same.
//!
//! `SLIPWAY_REACH_COMMITS` says how many commits are made, `SLIPWAY_REACH_SEED` which.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::{Value, json};
use slipway::app::Application;
use slipway::memory::{Held, Memory};
use slipway::render::reach::{Reaches, reach};
use slipway::render::{self, Context};
use slipway::root::repositories::Repositories;
use slipway::source::RepoUrl;
use slipway::source::github::Checkout;
use slipway::source::verify::UnfetchedPaths;
use slipway_budget::Budget;
use slipway_manifest::Tree;

use crate::framework::{Failure, Outcome};
use crate::gitops;

/// Commits where nothing else is said: about half a minute without optimisation.
const COMMITS: u64 = 60;

#[expect(clippy::print_stdout, reason = "how many are selected in vain is a measure without a floor")]
pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let folder = shared.join("corpus/gitops");
    if !folder.is_dir() {
        return Ok(None);
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (commits, seed) = (number("SLIPWAY_REACH_COMMITS").unwrap_or(COMMITS), number("SLIPWAY_REACH_SEED"));
    let mut random = Random(ChaCha8Rng::seed_from_u64(seed.unwrap_or_default()));
    let records: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("repositories.json"))?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut repositories: Vec<Option<Arc<Repository>>> = records.iter().map(|_| None).collect();
    let mut outcome = Outcome { suite: "reach".to_owned(), total: 0, failures: Vec::new(), known: 0 };
    let mut sum = Found::default();
    for commit in 0..commits {
        let at = random.below(records.len());
        let repository = if let Some(known) = &repositories[at] {
            Arc::clone(known)
        } else {
            let read = Arc::new(runtime.block_on(Repository::read(&folder.join("trees"), &records[at]))?);
            Arc::clone(repositories[at].insert(read))
        };
        let (files, what) = random.commit(&repository.files)?;
        let work = move |_: &Budget| Ok(repository.compare(files, &format!("{commit:040}")));
        let found = runtime.block_on(render::in_background(Memory::default().render(), work))?;
        outcome.total += 1;
        sum.add(&found);
        if !found.missed.is_empty() {
            let diff = format!("{what}\nis not told to change {}", found.missed.join(", "));
            outcome.failures.push(Failure { name: format!("{commit}"), diff });
        }
    }
    let Found { applications, selected, changed, missed } = sum;
    println!(
        "reach: of {applications} Applications in {commits} commits {changed} changed, {selected} were selected, {} \
         missed",
        missed.len()
    );
    Ok(Some(outcome))
}

/// What commits change.
#[derive(Default)]
struct Found {
    applications: usize,
    /// Those with another digest.
    selected: usize,
    /// Those that render to something else.
    changed: usize,
    /// Those that render to something else and have the same digest.
    missed: Vec<String>,
}

impl Found {
    fn add(&mut self, other: &Self) {
        self.applications += other.applications;
        self.selected += other.selected;
        self.changed += other.changed;
        self.missed.extend(other.missed.iter().cloned());
    }
}

struct Repository {
    url: RepoUrl,
    files: Arc<Tree>,
    /// The Applications all of whose sources lie here, with digest and render.
    applications: Vec<(Application, String, Value)>,
}

impl Repository {
    async fn read(trees: &Path, record: &Value) -> Result<Self> {
        let url = record["repository"].as_str().context("a record has a repository")?;
        let (url, files) = (url.parse::<RepoUrl>()?, gitops::files(trees, url)?);
        let mut read = Self { url, files: Arc::new(files), applications: Vec::new() };
        let checkout = read.checkout(Arc::clone(&read.files), &"0".repeat(40));
        let declared = gitops::trees(&read.url, &checkout, &record["roots"]).await?.0;
        let apps = declared.into_iter().flat_map(|tree| tree.applications).filter_map(|one| one.app.ok());
        let repositories = read.repositories(&checkout);
        let is_here = |app: &Application| app.all_sources().iter().all(|source| repositories.is_local(source));
        let apps: Vec<Application> = apps.filter(is_here).collect();
        let work = move |_: &Budget| {
            let reaches = Reaches::new(Arc::clone(&checkout), Arc::default());
            let of = |app: Application| {
                let (digest, render) = (digest_of(&app, &reaches), rendered(&app, &checkout));
                (app, digest, render)
            };
            Ok(apps.into_iter().map(of).collect())
        };
        read.applications = render::in_background(Memory::default().render(), work).await?;
        Ok(read)
    }

    fn checkout(&self, tree: Arc<Tree>, sha: &str) -> Arc<Checkout> {
        let (repo, special) = (self.url.repo.clone(), UnfetchedPaths::default());
        Arc::new(Checkout { repo, sha: sha.to_owned(), tree, special, held: Held::default() })
    }

    fn repositories(&self, checkout: &Arc<Checkout>) -> Repositories {
        Repositories::of_folder([self.url.clone()].into(), Arc::clone(checkout))
    }

    /// Compares what `files` change by their digests and by rendering.
    fn compare(&self, files: Tree, sha: &str) -> Found {
        let checkout = self.checkout(Arc::new(files), sha);
        let reaches = Reaches::new(Arc::clone(&checkout), Arc::default());
        let mut found = Found { applications: self.applications.len(), ..Found::default() };
        for (app, digest, render) in &self.applications {
            let is_selected = digest_of(app, &reaches) != *digest;
            let is_changed = rendered(app, &checkout) != *render;
            found.selected += usize::from(is_selected);
            found.changed += usize::from(is_changed);
            if is_changed && !is_selected {
                found.missed.push(app.name.clone());
            }
        }
        found
    }
}

fn digest_of(app: &Application, reaches: &Reaches) -> String {
    reach(app, &vec![Some(reaches.clone()); app.all_sources().len()]).digest
}

/// What the sources render to, or why they don't.
fn rendered(app: &Application, checkout: &Arc<Checkout>) -> Value {
    let named = app.sources.iter().filter_map(|source| source.reference.clone());
    let references = named.map(|name| (name, Arc::clone(checkout))).collect();
    let context = Context { revision: checkout.sha.clone(), references, ..Context::default() };
    let one = |app: &Application| match render::render_offline(&checkout.tree, app, &context) {
        Ok(rendered) => rendered.objects.iter().map(|object| json!(object.as_map())).collect(),
        Err(error) => json!(slipway::error::chain(&error)),
    };
    app.per_source().iter().map(one).collect()
}

/// Makes commits.
struct Random(ChaCha8Rng);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.0.next_u64() % count.max(1) as u64).unwrap()
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// `files` with up to three changes, and what they are.
    fn commit(&mut self, files: &Tree) -> Result<(Tree, String)> {
        let mut all: Vec<(String, Arc<[u8]>)> = Vec::new();
        for path in files.files_below("")? {
            all.push((path.to_owned(), files.read_shared(path)?));
        }
        let mut what = Vec::new();
        for _ in 0..=self.below(3) {
            what.push(self.change(&mut all));
        }
        let mut tree = Tree::default();
        for (path, bytes) in all {
            // A file where a folder is does not get in.
            let _ = tree.insert(&path, bytes);
        }
        for (link, target) in files.links() {
            let _ = tree.insert_link(link, target);
        }
        Ok((tree, what.join("\n")))
    }

    /// Half of the changes are to what leads to other files.
    fn change(&mut self, all: &mut Vec<(String, Arc<[u8]>)>) -> String {
        let leads = |path: &str| {
            ["kustomization.yaml", "kustomization.yml", "Chart.yaml", "values.yaml"]
                .iter()
                .any(|end| path.ends_with(end))
        };
        let places: Vec<usize> = match self.below(2) {
            0 => all.iter().enumerate().filter(|(_, (path, _))| leads(path)).map(|(at, _)| at).collect(),
            _ => Vec::new(),
        };
        let at = if places.is_empty() { self.below(all.len()) } else { places[self.below(places.len())] };
        let (path, bytes) = all[at].clone();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let folders: Vec<String> =
            all.iter().filter_map(|(path, _)| Some(path.rsplit_once('/')?.0.to_owned())).collect();
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        let is_kustomization = path.rsplit('/').next().is_some_and(|name| name.starts_with("kustomization"));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        match self.below(if is_kustomization { 8 } else { 6 }) {
            0 => {
                all.remove(at);
                format!("delete {path}")
            }
            1 => {
                let name = self.one_of(&["new.yaml", "values.yaml", "kustomization.yaml", "Chart.yaml", "new.txt"]);
                let new = format!("{folder}/{name}").trim_start_matches('/').to_owned();
                all.retain(|(path, _)| *path != new);
                let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n";
                all.push((new.clone(), text.as_bytes().into()));
                format!("add {new}")
            }
            2 => {
                let to = if self.below(2) == 0 { format!("{path}.yaml") } else { self.moved(&path, &folders) };
                all.remove(at);
                all.retain(|(path, _)| *path != to);
                all.push((to.clone(), bytes));
                format!("rename {path} to {to}")
            }
            3 | 4 => {
                let number = self.below(lines.len());
                let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                if let Some(line) = changed.get_mut(number) {
                    let value = self.one_of(&["changed", "7", "'8080'", "true"]);
                    *line = line.split_once(": ").map_or(String::new(), |(key, _)| format!("{key}: {value}"));
                }
                all[at].1 = changed.join("\n").into_bytes().into();
                format!("change line {} of {path}", number + 1)
            }
            5 => {
                all[at].1 = (text + "\nadded: true\n").into_bytes().into();
                format!("append to {path}")
            }
            6 => {
                let up = "../".repeat(folder.matches('/').count() + 1);
                let base = format!("{up}{}", self.one_of(&folders));
                let field = self.one_of(&["resources", "components"]);
                let name = format!("{field}:");
                let with = if text.contains(&name) {
                    text.replacen(&name, &format!("{name}\n- {base}"), 1)
                } else {
                    format!("{text}\n{name}\n- {base}\n")
                };
                all[at].1 = with.into_bytes().into();
                format!("add {base} to the {field} of {path}")
            }
            _ => {
                let listed: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains("- ")).collect();
                let dropped = listed.get(self.below(listed.len())).copied();
                let kept = lines.iter().enumerate().filter(|(at, _)| Some(*at) != dropped);
                all[at].1 = kept.map(|(_, line)| *line).collect::<Vec<_>>().join("\n").into_bytes().into();
                format!("drop line {dropped:?} of {path}")
            }
        }
    }

    /// The file in another folder.
    fn moved(&mut self, path: &str, folders: &[&str]) -> String {
        format!("{}/{}", self.one_of(folders), path.rsplit('/').next().unwrap_or(path))
    }
}
