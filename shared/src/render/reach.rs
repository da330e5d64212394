//! Finds what the render of an Application can read of its sources' commits, without rendering: its *reach*. Where two
//! commits have the same files in it, they render to the same objects.
//!
//! Never less than the render reads or lists: a source reaches its whole folder, and whatever in the tree is named by
//! the kustomizations and charts there, by the value files and components of the Application, and by symlinks, at any
//! depth; a path at which nothing stands counts as such. A name is any text with the part `..`, wherever it stands, so
//! that no field can be missed. What can't be bounded reaches its whole tree. What is given to a render besides the
//! trees is not in the reach: the Application, its project and settings, and facts of the cluster.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memchr::memmem;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_budget::Budget;
use slipway_gocompat::filepath;
use slipway_helm::argo;
use slipway_kustomize::Remote;
use slipway_manifest::{NodeKind, Tree, TreeError, tree, yaml};

use super::{SourceType, context, patched, references};
use crate::app::{Application, Source};
use crate::source::github::Checkout;

/// The annotation by which a team says itself what an Application is made of (argoproj/argo-cd
/// `util/app/path/path.go`, `GetSourceRefreshPaths`). Argo CD believes it where it leaves out what the render reads,
/// and misses those changes; here it only adds to the reach.
const GENERATE_PATHS: &str = "argocd.argoproj.io/manifest-generate-paths";
/// By what text a render can depend on the commit itself.
const REVISION: &str = "ARGOCD_APP_REVISION";
/// Paths of one reach; with more it is the whole tree.
const MAX_PATHS: usize = 10_000;
/// Texts in texts of one name, as generators are written inside a kustomization.
const MAX_DEPTH: usize = 4;

type Hash = [u8; 32];

/// The reaches within one commit. Each of its files is looked at once, and only when it is reached.
#[derive(Debug, Clone)]
pub struct Reaches {
    checkout: Arc<Checkout>,
    memo: Arc<Memo>,
}

/// What was found out of the files of a commit.
#[derive(Debug, Default)]
pub struct Memo(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    files: BTreeMap<String, Arc<Facts>>,
    folders: BTreeMap<String, Arc<Facts>>,
}

/// What a file, or all below a folder, is and leads to.
#[derive(Debug, Default)]
struct Facts {
    hash: Hash,
    /// Paths that it leads to.
    outside: BTreeSet<String>,
    /// The folders of kustomizations whose plugins are configured in files: those name paths from there.
    plugin_homes: BTreeSet<String>,
    /// What may be names in other files, each with the folder of its file.
    names: BTreeSet<(String, String)>,
    /// What it imports if it is Jsonnet, each with the folder of its file.
    imports: BTreeSet<(String, String)>,
    /// Remote bases and files that it names, by what is written.
    remotes: BTreeMap<String, Remote>,
    /// Whether more may be named than can be told.
    is_open: bool,
}

/// Something of the reach can't be bounded.
struct Unbounded;

impl From<TreeError> for Unbounded {
    fn from(_: TreeError) -> Self {
        Self
    }
}

/// What the render of an Application reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// A digest of what is in the commits.
    pub digest: String,
    /// The remote bases and files that are named there; not what those name themselves.
    pub remotes: BTreeSet<Remote>,
}

/// All that the render of `app` reaches: `commits` are those of its sources, one for each, in their order;
/// none for a chart of a Helm repository, whose version is all there is to know.
pub fn reach(app: &Application, commits: &[Option<Reaches>]) -> Reach {
    let (mut hash, mut remotes) = (Sha256::new(), BTreeSet::new());
    if let Some(paths) = app.annotation(GENERATE_PATHS).filter(|paths| !paths.is_empty()) {
        for (source, commit) in app.all_sources().iter().zip(commits) {
            hash.update(commit.as_ref().map(|commit| commit.generate_paths(source, paths)).unwrap_or_default());
        }
    }
    let own = if app.sources.is_empty() { Cow::Borrowed(std::slice::from_ref(app)) } else { app.per_source().into() };
    let sources = app.all_sources().iter().zip(commits);
    let references: BTreeMap<&str, &Reaches> =
        sources.clone().filter_map(|(source, commit)| Some((source.reference.as_deref()?, commit.as_ref()?))).collect();
    let with_manifests = sources.filter(|(source, _)| app.has_manifests(source));
    for (app, (_, commit)) in own.iter().zip(with_manifests) {
        let reach = match commit {
            Some(commit) => commit.source(app, &references, &mut remotes),
            None => lent_to_chart(app, &references),
        };
        hash.update(reach.unwrap_or_else(|Unbounded| everything(commit.as_ref(), &references)));
    }
    Reach { digest: hex::encode(hash.finalize()), remotes }
}

/// What is lent by `$REFERENCE/PATH`; none where no source has that name.
fn lent((reference, path): (&str, &str), references: &BTreeMap<&str, &Reaches>) -> Result<Option<Hash>, Unbounded> {
    let Some(lender) = references.get(reference.trim_start_matches('$')) else { return Ok(None) };
    let folder = references::fixed_part(path).map(|folder| tree::join("", folder.trim_start_matches('/')));
    let lent = folder.unwrap_or_else(|| tree::join("", path.trim_start_matches('/')))?;
    lender.closure([lent].into(), None, &mut BTreeSet::new()).map(Some)
}

/// What other sources lend to a chart of a Helm repository.
fn lent_to_chart(app: &Application, references: &BTreeMap<&str, &Reaches>) -> Result<Hash, Unbounded> {
    let helm = app.source.helm.clone().map_or(Value::Null, Value::Object);
    let mut hash = Sha256::new();
    for written in references::value_files(&helm) {
        if let Some(named) = argo::reference(written) {
            hash.update(lent(named, references)?.unwrap_or_default());
        }
    }
    Ok(hash.finalize().into())
}

/// All files of a source and of the other ones.
fn everything(commit: Option<&Reaches>, references: &BTreeMap<&str, &Reaches>) -> Hash {
    let mut hash = Sha256::new();
    for one in commit.into_iter().chain(references.values().copied()) {
        hash.update(&one.checkout.sha);
    }
    hash.finalize().into()
}

impl Reaches {
    /// Of the files in `checkout`, of which `memo` is what was found out already.
    pub fn new(checkout: Arc<Checkout>, memo: Arc<Memo>) -> Self {
        Self { checkout, memo }
    }

    fn tree(&self) -> &Tree {
        &self.checkout.tree
    }

    /// The reach of `app`, whose only source lies here.
    fn source(
        &self,
        app: &Application,
        references: &BTreeMap<&str, &Self>,
        remotes: &mut BTreeSet<Remote>,
    ) -> Result<Hash, Unbounded> {
        let folder = app.source.folder()?;
        let (source, _) =
            patched(self.tree(), app, &folder, &mut BTreeSet::new(), &Budget::default()).map_err(|_| Unbounded)?;
        if source.chart.is_some() || source.plugin.is_some() {
            return Err(Unbounded);
        }
        let home = self.tree().resolve(&folder)?;
        // A chart's dependencies are seen from its path as written, everything else from where that leads.
        if folder != home && self.tree().kind(&tree::join(&home, "Chart.yaml")?)?.is_some() {
            return Err(Unbounded);
        }
        let mut paths = BTreeSet::from([folder.clone(), home.clone()]);
        if let Some(kustomize) = &source.kustomize {
            let own = serde_json::json!({"components": kustomize.components, "patches": kustomize.patches});
            remotes.extend(remotes_in(&own.to_string()).into_values());
            let named = kustomize.components.iter().map(|one| Value::from(one.as_str()));
            for name in named.chain(kustomize.patches.iter().cloned()) {
                let leads = names_in(&name, MAX_DEPTH)?.into_iter().filter_map(|name| tree::join(&home, &name).ok());
                paths.extend(leads);
            }
        }
        let helm = source.helm.clone().map_or(Value::Null, Value::Object);
        let env = LazyCell::new(|| context::environment(app, &self.checkout.sha));
        let mut hash = Sha256::new();
        for written in references::value_files(&helm) {
            if let Some((reference, path)) = argo::reference(written) {
                if let Some(lent) = lent((reference, path), references)? {
                    hash.update(lent);
                }
                paths.insert(reference.to_owned());
            }
            let path = argo::expand(written, &env);
            if path.contains("://") {
                continue;
            }
            let joined = match path.strip_prefix('/') {
                Some(from_root) => tree::join("", from_root),
                None => tree::join(&folder, &path),
            };
            // A path that leaves the repository is an error of the render, whatever the files.
            let Ok(path) = joined else { continue };
            let fixed = path.find(['*', '?', '[']).and_then(|at| path.get(..at));
            paths.insert(
                fixed.map_or(path.as_str(), |fixed| fixed.rsplit_once('/').map_or("", |(it, _)| it)).to_owned(),
            );
        }
        let mut libs = None;
        if super::source_type(self.tree(), &source)? == SourceType::Directory {
            let named = source.directory.iter().flat_map(|directory| &directory.jsonnet.libs);
            let named = named.map(|lib| tree::join("", lib.trim_start_matches('/')));
            let named = named.chain([Ok(home)]).collect::<Result<BTreeSet<_>, _>>()?;
            paths.extend(named.iter().cloned());
            libs = Some(named);
        }
        hash.update(self.closure(paths, libs.as_ref(), remotes)?);
        hash.update(format!("{:?}", self.checkout.special));
        let is_patched = matches!(source, Cow::Owned(_));
        if app.object.get("spec").is_some_and(names_revision) || is_patched && format!("{source:?}").contains(REVISION)
        {
            hash.update(&self.checkout.sha);
        }
        Ok(hash.finalize().into())
    }

    /// What stands at `paths`, and wherever that leads: also by imports, where `libs` are the folders in which Jsonnet
    /// looks for them.
    fn closure(
        &self,
        paths: BTreeSet<String>,
        libs: Option<&BTreeSet<String>>,
        remotes: &mut BTreeSet<Remote>,
    ) -> Result<Hash, Unbounded> {
        let (mut hashes, mut found) = (BTreeMap::<String, Hash>::new(), Vec::new());
        let mut next: Vec<String> = paths.into_iter().collect();
        loop {
            while let Some(path) = next.pop() {
                if hashes.contains_key(&path) {
                    continue;
                }
                if hashes.len() >= MAX_PATHS {
                    return Err(Unbounded);
                }
                let facts = self.at(&path)?;
                next.extend(facts.outside.iter().cloned());
                for (own, name) in facts.imports.iter().filter(|_| libs.is_some()) {
                    let folders = libs.into_iter().flatten().chain([own]);
                    next.extend(folders.filter_map(|folder| tree::join(folder, name).ok()));
                }
                let mut hash = Sha256::new();
                hash.update(self.tree().resolve(&path).unwrap_or_default());
                hash.update([0]);
                hash.update(facts.hash);
                hashes.insert(path, hash.finalize().into());
                found.push(facts);
            }
            let homes: BTreeSet<&String> = found.iter().flat_map(|facts| &facts.plugin_homes).collect();
            if homes.is_empty() {
                break;
            }
            let names: BTreeSet<&(String, String)> = found.iter().flat_map(|facts| &facts.names).collect();
            if homes.len().saturating_mul(names.len()) > MAX_PATHS {
                return Err(Unbounded);
            }
            let from_all = |(own, name): &(String, String)| {
                let homes = homes.iter().copied().chain([own]);
                homes.filter_map(|home| tree::join(home, name).ok()).collect::<Vec<_>>()
            };
            next = names.into_iter().flat_map(from_all).filter(|path| !hashes.contains_key(path)).collect();
            if next.is_empty() {
                break;
            }
        }
        remotes.extend(found.iter().flat_map(|facts| facts.remotes.values().cloned()));
        let mut hash = Sha256::new();
        for (path, stands_there) in hashes {
            hash.update(path);
            hash.update([0]);
            hash.update(stands_there);
        }
        Ok(hash.finalize().into())
    }

    /// What stands at `path`, behind symlinks, too.
    fn at(&self, path: &str) -> Result<Arc<Facts>, Unbounded> {
        let facts = match (self.tree().resolve(path), self.tree().kind(path)) {
            (Ok(place), Ok(Some(NodeKind::File))) => self.file(&place),
            (Ok(place), Ok(Some(NodeKind::Directory))) => self.folder(&place)?,
            _ => Arc::default(),
        };
        if facts.is_open { Err(Unbounded) } else { Ok(facts) }
    }

    fn folder(&self, folder: &str) -> Result<Arc<Facts>, TreeError> {
        let known = self.memo().folders.get(folder).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let (mut all, mut hash) = (Facts::default(), Sha256::new());
        let mut outside = BTreeSet::new();
        for file in self.tree().files_below(folder)? {
            let facts = self.file(file);
            hash.update(file);
            hash.update([0]);
            hash.update(facts.hash);
            outside.extend(facts.outside.iter().cloned());
            all.plugin_homes.extend(facts.plugin_homes.iter().cloned());
            all.names.extend(facts.names.iter().cloned());
            all.imports.extend(facts.imports.iter().cloned());
            all.remotes.extend(facts.remotes.clone());
            all.is_open |= facts.is_open;
        }
        for (link, target) in self.tree().links_below(folder)? {
            hash.update(link);
            hash.update([1]);
            hash.update(target);
            hash.update([0]);
            outside.extend(self.tree().resolve(link).ok());
        }
        // Whatever stands below is in the hash already, but for what lies behind a symlink.
        let is_here = |path: &String| path == folder || path.starts_with(&prefix);
        all.outside = outside.into_iter().filter(|path| !is_here(path) || self.is_linked(path)).collect();
        all.hash = hash.finalize().into();
        let all = Arc::new(all);
        self.memo().folders.insert(folder.to_owned(), Arc::clone(&all));
        Ok(all)
    }

    fn is_linked(&self, path: &str) -> bool {
        self.tree().resolve(path).is_ok_and(|place| place != path)
    }

    fn file(&self, file: &str) -> Arc<Facts> {
        let known = self.memo().files.get(file).cloned();
        if let Some(known) = known {
            return known;
        }
        // What can't be read is missing.
        let bytes = self.tree().read(file).unwrap_or_default();
        let mut facts = Facts { hash: Sha256::digest(bytes).into(), ..Facts::default() };
        let (home, name) = file.rsplit_once('/').unwrap_or(("", file));
        let is_kustomization = slipway_kustomize::FILE_NAMES.contains(&name);
        if is_kustomization || matches!(name, "Chart.yaml" | "requirements.yaml") {
            match named(bytes) {
                Ok(names) => {
                    // What leaves the repository is an error of the render, whatever the files.
                    let strip = |name: &str| tree::join(home, name.strip_prefix("file://").unwrap_or(name)).ok();
                    facts.outside = names.iter().filter_map(|name| strip(name)).collect();
                }
                Err(Unbounded) => facts.is_open = true,
            }
            if is_kustomization {
                let text = yaml::decode(bytes).unwrap_or_default();
                facts.remotes = remotes_in(&text);
                facts.is_open |= names_remote(&text, &facts.remotes);
                facts.plugin_homes.extend(has_plugins(&text).then(|| home.to_owned()));
            }
        } else if memmem::find(bytes, b"..").is_some() {
            let text = String::from_utf8_lossy(bytes);
            facts.names = words(&text).map(|name| (home.to_owned(), name)).collect();
            let names_chart = |line: &str| line.contains("name") && line.contains("..");
            facts.is_open = text.contains("HelmChartInflationGenerator") && text.lines().any(names_chart);
        }
        if memmem::find(bytes, b"import").is_some() {
            facts.imports = slipway_jsonnet::imports(bytes).into_iter().map(|name| (home.to_owned(), name)).collect();
        }
        let facts = Arc::new(facts);
        self.memo().files.insert(file.to_owned(), Arc::clone(&facts));
        facts
    }

    fn memo(&self) -> MutexGuard<'_, Found> {
        // Entries are only ever added whole.
        self.memo.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands at the team's own `paths` of this source: files, folders and Go's patterns, from the source's folder
    /// or, with a leading slash, from the repository.
    fn generate_paths(&self, source: &Source, paths: &str) -> Hash {
        let mut files = BTreeSet::new();
        for path in paths.split(';').filter(|path| !path.is_empty()) {
            let joined = match path.strip_prefix('/') {
                Some(path) => tree::join("", path),
                None => tree::join(&source.path, path),
            };
            let Ok(path) = joined else { continue };
            let fixed = path.find(['*', '?', '[', '\\']).and_then(|at| path.get(..at));
            let folder = fixed.map_or(path.as_str(), |fixed| fixed.rsplit_once('/').map_or("", |(folder, _)| folder));
            let below = self.tree().files_below(folder).into_iter().flatten();
            let links = self.tree().links_below(folder).into_iter().flatten().map(|(link, _)| link);
            let is_meant = |file: &&str| fixed.is_none() || filepath::matches(&path, file);
            files.extend(below.chain(links).chain([path.as_str()]).filter(is_meant).map(str::to_owned));
        }
        let mut hash = Sha256::new();
        for file in files {
            hash.update(&file);
            hash.update([0]);
            hash.update(self.tree().read(&file).map_or_else(|_| Hash::default(), |_| self.file(&file).hash));
        }
        hash.finalize().into()
    }
}

/// The names of a kustomization or a `Chart.yaml` that may lead out of its folder.
fn named(bytes: &[u8]) -> Result<BTreeSet<String>, Unbounded> {
    let text = yaml::decode(bytes).map_err(|_| Unbounded)?;
    if !text.contains("..") && !has_escapes(&text) {
        return Ok(BTreeSet::new());
    }
    let value = yaml::parse_with(&text, yaml::Options::default(), &Budget::default()).map_err(|_| Unbounded)?;
    names_in(&value, MAX_DEPTH)
}

/// Whether a field of an Application's `spec` names the commit.
fn names_revision(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(REVISION),
        Value::Array(list) => list.iter().any(names_revision),
        Value::Object(map) => map.values().any(names_revision),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a text is written with escapes that may stand for dots, slashes and letters.
fn has_escapes(text: &str) -> bool {
    ["\\x", "\\u", "\\U", "\\/", "\\\n", "\\\r"].iter().any(|escape| text.contains(escape))
}

/// Whether the plugins of a kustomization may be configured in files.
fn has_plugins(text: &str) -> bool {
    ["generators", "transformers", "validators"].iter().any(|field| text.contains(field)) || has_escapes(text)
}

/// The remote bases and files that a kustomization names where it can be read.
fn remotes_in(text: &str) -> BTreeMap<String, Remote> {
    let named = slipway_kustomize::named_remotes(text, &Budget::default()).unwrap_or_default();
    named.into_iter().map(|remote| (remote.raw.clone(), remote)).collect()
}

/// Whether a kustomization may name more than the `known` that lies elsewhere and changes by itself: an address at the
/// start of a value.
fn names_remote(text: &str, known: &BTreeMap<String, Remote>) -> bool {
    let starts = ["http://", "https://", "ssh://", "git@", "git::", "github.com/", "oci://"];
    let is_known = |word: &str| known.contains_key(word);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut values = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || "\"'[]{},".contains(c)));
    values.any(|word| starts.iter().any(|start| word.starts_with(start)) && !is_known(word))
}

/// The texts with a part `..`: whole ones, what stands behind `=`, as in `files: [KEY=PATH]`, and those of documents
/// written as a text.
fn names_in(value: &Value, depth: usize) -> Result<BTreeSet<String>, Unbounded> {
    let mut names = BTreeSet::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(list) => open.extend(list),
            // The name of a chart is seen from where the charts lie.
            Value::Object(map) if map.get("name").and_then(Value::as_str).is_some_and(leads_up) => {
                return Err(Unbounded);
            }
            Value::Object(map) => open.extend(map.values()),
            Value::String(text) if text.contains('\n') && text.contains("..") => {
                let depth = depth.checked_sub(1).ok_or(Unbounded)?;
                names.extend(words(text));
                for document in yaml::parse_all(text).unwrap_or_default().iter().filter(|one| !one.is_string()) {
                    names.extend(names_in(document, depth)?);
                }
            }
            Value::String(text) => names.extend(ways_out(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(names)
}

/// What may be a name in a text of any form: its words and the ends of its lines.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let lines = text.lines().filter(|line| line.contains(".."));
    let quotes = |c: char| c.is_whitespace() || "\"'[]{},".contains(c);
    lines.flat_map(move |line| {
        let ends = [": ", "- "].into_iter().filter_map(|mark| line.split_once(mark).map(|(_, end)| end));
        ends.chain([line]).map(move |end| end.trim_matches(quotes)).chain(line.split(quotes)).flat_map(ways_out)
    })
}

/// `text`, and what stands behind each `=` in it, as far as it leads upwards.
fn ways_out(text: &str) -> impl Iterator<Item = String> + '_ {
    let behind = text.match_indices('=').filter_map(|(at, _)| text.get(at + 1..));
    [text].into_iter().chain(behind).filter(|name| leads_up(name)).map(str::to_owned)
}

fn leads_up(name: &str) -> bool {
    name.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests;
