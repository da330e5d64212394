//! Fetches charts from Helm repositories: over HTTP(S) by their `index.yaml` (helm/helm `pkg/repo/v1`), and from OCI
//! registries. What is fetched is bounded in bytes, requests and time, verified by its digest, and kept by it.

mod ecr;
mod error;
mod index;
mod oci;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use slipway_budget::Budget;
use slipway_gitops::location::without_credentials;
use slipway_gocompat::semver::{Constraint, Version};
use slipway_gocompat::url::Url;
use slipway_manifest::Tree;
use tokio::sync::Mutex;

use super::checkouts::{Cells, cell};
use super::credentials::{Credentials, Found};
use super::download::{Downloader, FetchError};
use super::git::Packs;
use super::kept::Kept;
use crate::app::repository::RepositorySecret;
use crate::aws::Aws;
use crate::error::chain;
use crate::memory::{Held, Memory, Meter};
pub use error::ChartError;
use index::Index;

/// Time for an index, for a list of tags, and for an archive.
pub const TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of a chart's archive, where the function's memory affords as many. Helm has no bound; the largest of the
/// charts in use have some 5 MB.
const MAX_ARCHIVE: usize = 64 << 20;
/// Bytes of an index, compressed, within the same.
const MAX_COMPRESSED: usize = 48 << 20;
/// What is said of what is not there.
const MISSING: &str = ": see `repoURL`, `chart` and `targetRevision`";

/// A chart of a Helm repository. Prints as `HOST/PATH/CHART`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HelmChart {
    /// The repository's URL without a slash at its end; for a registry `HOST/PATH`.
    repository: String,
    name: String,
    is_oci: bool,
    /// The project whose own credential it is fetched by; empty where it is nobody's own.
    project: String,
}

impl HelmChart {
    /// The chart `name` of the repository at `repo_url`: a registry is `oci://HOST/PATH`, or written without a scheme
    /// as Argo CD has it.
    pub fn new(repo_url: &str, name: &str) -> Result<Self, ChartError> {
        let wrong = |problem: &str| ChartError::Url { url: without_credentials(repo_url), problem: problem.to_owned() };
        let text = repo_url.trim();
        let is_oci = text.starts_with("oci://") || !text.contains("://");
        let text = text.trim_end_matches('/');
        let whole = if is_oci { format!("https://{}", text.trim_start_matches("oci://")) } else { text.to_owned() };
        let url = Url::parse(&whole).map_err(|error| wrong(&error.to_string()))?;
        if url.user.is_some() {
            return Err(wrong("a URL with a user or password in it is not used: they would be in Git"));
        }
        if !["http", "https"].contains(&url.scheme.as_str()) || url.host.is_empty() {
            return Err(wrong("expected `https://HOST/PATH` or `oci://HOST/PATH`"));
        }
        if !url.fragment.is_empty() || (is_oci && !url.query.is_empty()) {
            return Err(wrong("a repository's URL has neither `?` nor `#`"));
        }
        let is_part = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            part.bytes().all(plain) && part.bytes().any(|byte| byte != b'.')
        };
        if name.len() > 250 || !name.split('/').all(is_part) || (!is_oci && name.contains('/')) {
            return Err(wrong(&format!("`{name}` is no name of a chart")));
        }
        let repository = if is_oci { whole.trim_start_matches("https://").to_owned() } else { whole };
        Ok(Self { repository, name: name.to_owned(), is_oci, project: String::new() })
    }

    /// The same chart for an Application of `project`, which may have a credential of its own.
    #[must_use]
    pub fn of_project(&self, project: &str) -> Self {
        Self { project: project.to_owned(), ..self.clone() }
    }

    /// Its name, without what is before it in a registry.
    pub fn name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// Whether `version` is one that `revision` (`targetRevision`) may stand for.
    pub fn allows(revision: &str, version: &str) -> bool {
        let is_version = Version::parse(version).is_ok();
        is_version && (revision == version || allows_range(revision, version))
    }
}

fn allows_range(revision: &str, version: &str) -> bool {
    match (Constraint::parse(revision), Version::parse(version)) {
        (Ok(constraint), Ok(version)) => constraint.check(&version),
        _ => false,
    }
}

impl fmt::Display for HelmChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, place) = self.repository.split_once("://").unwrap_or(("", &self.repository));
        write!(f, "{place}/{}", self.name)
    }
}

/// Whether `revision` names one version in full: it is that, without a look at what there is.
fn is_exact(revision: &str) -> bool {
    let number = revision.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
    Version::parse(revision).is_ok() && number.split('.').count() == 3
}

/// A version of a chart, unpacked.
#[derive(Debug)]
pub struct ChartFiles {
    /// SHA-256 of the archive, in hex.
    pub digest: String,
    /// The files; `Chart.yaml` lies at the root.
    pub tree: Arc<Tree>,
    /// The archive, as it was fetched.
    pub archive: Arc<[u8]>,
    /// The memory that all of it takes.
    _held: Held,
}

/// The URL of a repository, and the project whose own credential it is asked with, if it is one's own.
type Place = (String, String);

/// The Helm repositories of the world: what is kept of them while the function is warm.
#[derive(Debug, Clone)]
pub struct HelmRepositories {
    downloader: Downloader,
    indexes: Arc<Mutex<BTreeMap<Place, Arc<Index>>>>,
    archives: Arc<Mutex<Kept<(HelmChart, String)>>>,
    /// What was fetched from git hosts.
    packs: Packs,
    timeout: Duration,
    memory: Memory,
    aws: Option<Aws>,
}

impl HelmRepositories {
    /// Creates the clients; sends no request yet. Of `local_hosts` (`HOST` or `HOST:PORT`) charts are fetched though
    /// they are at a [local address](crate::http::is_local); a repository has `timeout` for each thing that it is
    /// asked.
    pub fn new(local_hosts: Vec<String>, timeout: Duration) -> Self {
        let (indexes, archives, packs) = (Arc::default(), Arc::default(), Packs::default());
        let (downloader, memory) = (Downloader::new(local_hosts), Memory::default());
        Self { downloader, indexes, archives, packs, timeout, memory, aws: None }
    }

    /// The same, within the `memory` of the function.
    #[must_use]
    pub fn within(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    fn login<'a>(&'a self, credential: Option<&'a RepositorySecret>) -> oci::Login<'a> {
        oci::Login { credential, aws: self.aws.as_ref() }
    }

    fn max_archive(&self) -> usize {
        MAX_ARCHIVE.min(self.memory.fetched() / 4)
    }

    /// The same, that logs in at registries of ECR by the role of `aws`.
    #[must_use]
    pub fn with_ecr(self, aws: Aws) -> Self {
        Self { aws: Some(aws), ..self }
    }

    /// The index at `place`; asks whether the one that is kept has changed.
    async fn index(
        &self,
        downloader: &Downloader,
        place: Place,
        credential: Option<&RepositorySecret>,
    ) -> Result<Arc<Index>, ChartError> {
        let known = self.indexes.lock().await.get(&place).cloned();
        let limit = MAX_COMPRESSED.min(self.memory.fetched() / 10);
        let fetched = Box::pin(index::fetch(downloader, (&place.0, credential), known.as_deref(), limit)).await?;
        let Some(index) = fetched.map(Arc::new).or(known) else {
            let problem = "the server says that it has not changed, and none was there".to_owned();
            return Err(FetchError::later(&place.0, problem).into());
        };
        let mut indexes = self.indexes.lock().await;
        indexes.insert(place.clone(), Arc::clone(&index));
        while indexes.values().map(|one| one.size()).sum::<usize>() > self.memory.kept() && indexes.len() > 1 {
            let other = indexes.keys().find(|other| **other != place).cloned().unwrap_or_default();
            indexes.remove(&other);
        }
        Ok(index)
    }
}

type Results<K, V> = Cells<K, Result<V, ChartError>>;

/// The charts of one event: each repository is asked once, also where it fails, however many applications use it.
#[derive(Debug)]
pub struct Charts {
    repositories: HelmRepositories,
    downloader: Downloader,
    /// What counts the files with the others that the event fetches.
    meter: Meter,
    indexes: Results<Place, Arc<Index>>,
    tags: Results<HelmChart, Vec<String>>,
    files: Results<(HelmChart, String), Arc<ChartFiles>>,
}

impl Charts {
    /// Creates an empty cache, whose files count with all others by `meter`.
    pub fn new(repositories: HelmRepositories, meter: Meter) -> Self {
        let downloader = repositories.downloader.clone();
        let (indexes, tags, files) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { repositories, downloader, meter, indexes, tags, files }
    }

    /// The same, that logs in by `credentials`.
    #[must_use]
    pub fn with_credentials(self, credentials: Arc<Credentials>) -> Self {
        Self { downloader: self.downloader.with_credentials(credentials), ..self }
    }

    /// The credentials of repositories.
    pub fn credentials(&self) -> &Arc<Credentials> {
        self.downloader.credentials()
    }

    pub(super) fn downloader(&self) -> &Downloader {
        &self.downloader
    }

    /// What is kept of git hosts.
    pub(super) fn packs(&self) -> &Packs {
        &self.repositories.packs
    }

    /// The time that a host has for each thing that it is asked.
    pub(super) fn timeout(&self) -> Duration {
        self.repositories.timeout
    }

    /// The credential for `chart`, and the chart as all see it that have the same.
    async fn login(&self, chart: &HelmChart) -> Result<(HelmChart, Found), ChartError> {
        let url = if chart.is_oci { format!("oci://{}", chart.repository) } else { chart.repository.clone() };
        let found = self.credentials().find(&url, &chart.project).await?;
        let owner = found.as_ref().map_or("", |found| found.project.as_str());
        Ok((chart.of_project(owner), found))
    }

    /// The version of `chart` that `revision` stands for: itself where it is one in full, else the highest that it
    /// allows (argoproj/argo-cd `util/versions/tags.go`, MaxVersion).
    pub async fn resolve(&self, chart: &HelmChart, revision: &str) -> Result<String, ChartError> {
        if is_exact(revision) {
            return Ok(revision.to_owned());
        }
        let wrong =
            |problem: String| ChartError::Range { revision: revision.to_owned(), chart: chart.to_string(), problem };
        let constraint = Constraint::parse(revision).map_err(|error| wrong(error.to_string()))?;
        let versions = self.versions(chart).await?;
        let versions = versions.iter().filter_map(|version| Version::parse(version).ok());
        let highest = versions.filter(|version| constraint.check(version)).max();
        highest
            .map(|version| version.original)
            .ok_or_else(|| wrong("no version of the chart is one of these".to_owned()))
    }

    /// The versions of `chart`, as they are written.
    async fn versions(&self, chart: &HelmChart) -> Result<Vec<String>, ChartError> {
        let (chart, found) = self.login(chart).await?;
        if chart.is_oci {
            let login = self.repositories.login(found.as_deref());
            let list = self.limited(&chart, Box::pin(oci::tags(&self.downloader, login, &chart)));
            return once(&self.tags, chart.clone(), list).await;
        }
        let versions = |index: &Index, chart: &HelmChart| {
            Ok(index.chart(chart)?.iter().map(|entry| entry.version.clone()).collect())
        };
        self.in_index(&chart, found.as_deref(), versions).await
    }

    /// What `look` finds in the index of the repository, on a thread of its own: it may be large.
    async fn in_index<T: Send + 'static>(
        &self,
        chart: &HelmChart,
        credential: Option<&RepositorySecret>,
        look: impl FnOnce(&Index, &HelmChart) -> Result<T, ChartError> + Send + 'static,
    ) -> Result<T, ChartError> {
        let place = (chart.repository.clone(), chart.project.clone());
        let fetch = self.repositories.index(&self.downloader, place.clone(), credential);
        let (index, of) = (once(&self.indexes, place, self.limited(chart, fetch)).await?, chart.clone());
        let found = tokio::task::spawn_blocking(move || look(&index, &of)).await;
        found.unwrap_or_else(|error| Err(ChartError::fetch(&chart.to_string(), error)))
    }

    /// The files of `version` of `chart`; fetched once, also by concurrent callers, and not at all where they are kept.
    pub async fn get(&self, chart: &HelmChart, version: &str) -> Result<Arc<ChartFiles>, ChartError> {
        if Version::parse(version).is_err() {
            let problem = "it is no version".to_owned();
            return Err(ChartError::Range { revision: version.to_owned(), chart: chart.to_string(), problem });
        }
        let (chart, found) = self.login(chart).await?;
        let key = (chart.clone(), version.to_owned());
        let fetch = async { Box::pin(self.fetch(&chart, found.as_deref(), version)).await.map(Arc::new) };
        once(&self.files, key, fetch).await
    }

    async fn fetch(
        &self,
        chart: &HelmChart,
        credential: Option<&RepositorySecret>,
        version: &str,
    ) -> Result<ChartFiles, ChartError> {
        let HelmRepositories { archives, memory, .. } = &self.repositories;
        let (of, limit) = (format!("{chart} {version}"), self.repositories.max_archive());
        let kept = archives.lock().await.get(&(chart.clone(), version.to_owned()));
        let archive = if let Some(archive) = kept {
            archive
        } else {
            let fetched = if chart.is_oci {
                let login = self.repositories.login(credential);
                let archive = Box::pin(oci::archive(&self.downloader, login, (chart, version), limit));
                self.limited(chart, archive).await?
            } else {
                let wanted = version.to_owned();
                let entry = self.in_index(chart, credential, move |index, chart| index.entry(chart, &wanted)).await?;
                let archive = Box::pin(index::archive(&self.downloader, (chart, credential), &entry, limit));
                self.limited(chart, archive).await?
            };
            let archive: Arc<[u8]> = fetched.into();
            archives.lock().await.keep((chart.clone(), version.to_owned()), &archive, memory.kept());
            archive
        };
        let mut held = self.meter.hold();
        let full = |source| ChartError::Full { of: of.clone(), source };
        held.grow(archive.len()).map_err(full)?;
        let (bytes, memory) = (Arc::clone(&archive), *memory);
        let unpacked = tokio::task::spawn_blocking(move || unpack(&bytes, memory)).await;
        let unpacked = unpacked.unwrap_or_else(|error| Err(error.to_string()));
        let (tree, size) = unpacked.map_err(|problem| ChartError::Archive { of: of.clone(), problem })?;
        held.grow(size).map_err(full)?;
        let digest = hex::encode(Sha256::digest(&archive));
        Ok(ChartFiles { digest, tree: Arc::new(tree), archive, _held: held })
    }

    /// What `work` comes to, or that the repository of `chart` takes too long.
    async fn limited<T>(
        &self,
        chart: &HelmChart,
        work: impl Future<Output = Result<T, ChartError>>,
    ) -> Result<T, ChartError> {
        let limit = self.repositories.timeout;
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let problem = format!("no whole answer within {} s", limit.as_secs());
            Err(FetchError::later(&chart.to_string(), problem).into())
        })
    }
}

/// The result of `work` for `key`: that of the first call, be it an error.
async fn once<K: Ord, V: Clone>(
    cells: &Results<K, V>,
    key: K,
    work: impl Future<Output = Result<V, ChartError>>,
) -> Result<V, ChartError> {
    cell(cells, key).await.get_or_init(|| work).await.clone()
}

/// The files of an archive, and their bytes.
fn unpack(archive: &[u8], memory: Memory) -> Result<(Tree, usize), String> {
    let (mut tree, mut size) = (Tree::new(memory.files()), 0_usize);
    let files = slipway_helm::unpack(archive, &Budget::new(memory.render())).map_err(|error| chain(&error))?;
    for (path, bytes) in files {
        size = size.saturating_add(bytes.len());
        tree.insert(&path, bytes).map_err(|error| chain(&error))?;
    }
    Ok((tree, size))
}
