//! Fetches each commit once, however many applications use it.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha1::{Digest as _, Sha1};
use slipway_manifest::{Tree, TreeError};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::Repo;
use super::credentials::{Credentials, Found};
use super::download::FetchError;
use super::git::{GitHost, GitRepository};
use super::github::{Checkout, GitHub, GithubError};
use super::helm_repository::{self, Charts, HelmRepositories};
use super::remote::RemoteFile;
use super::verify::UnfetchedPaths;
use crate::memory::{Held, Memory};
use crate::time;

/// How long a fetch waits for memory that other applications of the event hold: about what one of them takes to render.
const ROOM_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it looks whether they hold less.
const ROOM_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Of a type that its caller knows.
type Memo = Arc<dyn Any + Send + Sync>;
pub(super) type Cells<K, V> = Mutex<BTreeMap<K, Arc<OnceCell<V>>>>;

/// The commits and charts of one event: each revision is resolved once, each commit fetched once. Created for each
/// event, so that a warm function neither keeps an old branch head nor unused trees.
#[derive(Debug)]
pub struct Checkouts {
    pub(super) github: GitHub,
    revisions: Cells<(Repo, String), String>,
    commits: Cells<(Repo, String), Arc<Checkout>>,
    ancestors: Cells<(Repo, String, String), bool>,
    /// What was found out of the files of a commit, without the files.
    memos: Cells<(Repo, String), Memo>,
    local: Option<Arc<Checkout>>,
    charts: Charts,
    /// Of repositories on other hosts.
    other_places: Cells<GitRepository, Result<String, FetchError>>,
    other_revisions: Cells<(GitRepository, String), Result<String, FetchError>>,
    other_commits: Cells<(GitRepository, String), Result<Arc<Checkout>, FetchError>>,
    /// Remote files, by URL and the project that asks for them.
    pub(super) files: Cells<(String, String), Result<Arc<RemoteFile>, FetchError>>,
}

impl Checkouts {
    /// Creates an empty cache.
    pub fn new(github: GitHub) -> Self {
        let repositories = HelmRepositories::new(Vec::new(), helm_repository::TIMEOUT).within(github.memory());
        let charts = Charts::new(repositories, github.meter().clone());
        Self {
            github,
            revisions: Mutex::default(),
            commits: Mutex::default(),
            ancestors: Mutex::default(),
            memos: Mutex::default(),
            local: None,
            charts,
            other_places: Mutex::default(),
            other_revisions: Mutex::default(),
            other_commits: Mutex::default(),
            files: Mutex::default(),
        }
    }

    /// The same with charts of these repositories, whose clients remember what they fetched.
    #[must_use]
    pub fn with_charts(self, repositories: HelmRepositories) -> Self {
        let credentials = Arc::clone(self.charts.credentials());
        let charts = Charts::new(repositories.within(self.github.memory()), self.github.meter().clone());
        Self { charts: charts.with_credentials(credentials), ..self }
    }

    /// The same, with these credentials of repositories.
    #[must_use]
    pub fn with_credentials(self, credentials: Arc<Credentials>) -> Self {
        Self { charts: self.charts.with_credentials(credentials), ..self }
    }

    /// The credentials of repositories.
    pub fn credentials(&self) -> &Credentials {
        self.charts.credentials()
    }

    /// GitHub's API.
    pub fn github(&self) -> &GitHub {
        &self.github
    }

    /// The charts.
    pub fn charts(&self) -> &Charts {
        &self.charts
    }

    /// Like [`Checkouts::new`], but every revision of `repo` is `tree`, a local folder, whose commit id is a hash of
    /// its content.
    pub fn of_folder(github: GitHub, repo: Repo, tree: Tree) -> Result<Self, TreeError> {
        let mut hash = Sha1::new();
        for path in tree.files_below("")? {
            hash.update(format!("{path}\0"));
            hash.update(Sha1::digest(tree.read(path)?));
        }
        let checkout = Checkout {
            repo,
            sha: hex::encode(hash.finalize()),
            tree: Arc::new(tree),
            special: UnfetchedPaths::default(),
            held: Held::default(),
        };
        Ok(Self { local: Some(Arc::new(checkout)), ..Self::new(github) })
    }

    fn local(&self, repo: &Repo) -> Option<&Arc<Checkout>> {
        self.local.as_ref().filter(|checkout| checkout.repo == *repo)
    }

    /// The commit of `revision` in `repo`; requested once.
    pub async fn resolve(&self, repo: &Repo, revision: &str) -> Result<String, GithubError> {
        if let Some(local) = self.local(repo) {
            return Ok(local.sha.clone());
        }
        let cell = cell(&self.revisions, (repo.clone(), revision.to_owned())).await;
        cell.get_or_try_init(|| self.github.resolve(repo, revision)).await.cloned()
    }

    /// Whether the commit `sha` is that of `revision` in `repo`, or one before it; requested once. In a local folder
    /// every commit is.
    pub async fn is_on(&self, repo: &Repo, revision: &str, sha: &str) -> Result<bool, GithubError> {
        let head = self.resolve(repo, revision).await?;
        if head == sha || self.local(repo).is_some() {
            return Ok(true);
        }
        let cell = cell(&self.ancestors, (repo.clone(), sha.to_owned(), head.clone())).await;
        cell.get_or_try_init(|| Box::pin(self.github.is_ancestor(repo, sha, &head))).await.copied()
    }

    /// The commit of `revision` in a repository on another host; requested once.
    pub async fn resolve_other(&self, repository: &GitRepository, revision: &str) -> Result<String, FetchError> {
        let (repository, found) = self.login(repository).await?;
        let cell = cell(&self.other_revisions, (repository.clone(), revision.to_owned())).await;
        let place = self::cell(&self.other_places, repository.clone()).await;
        let host = self.host((&repository, &place), &found);
        cell.get_or_init(|| host.resolve(revision)).await.clone()
    }

    /// The files of the commit `sha` of a repository on another host; fetched once, also by concurrent callers.
    pub async fn get_other(&self, repository: &GitRepository, sha: &str) -> Result<Arc<Checkout>, FetchError> {
        let (repository, found) = self.login(repository).await?;
        let cell = cell(&self.other_commits, (repository.clone(), sha.to_owned())).await;
        let place = self::cell(&self.other_places, repository.clone()).await;
        let host = self.host((&repository, &place), &found);
        let fetch = async || {
            let fetched = Box::pin(host.checkout(sha, self.memory(), self.github.meter())).await;
            fetched.map(Arc::new)
        };
        cell.get_or_init(fetch).await.clone()
    }

    /// The credential for `repository`, and that as all see it that have the same.
    async fn login(&self, repository: &GitRepository) -> Result<(GitRepository, Found), FetchError> {
        let [url, _] = repository.places();
        let found = self.credentials().find(&url, repository.project()).await?;
        Ok((repository.with(&found), found))
    }

    fn host<'a>(
        &'a self,
        (repository, place): (&'a GitRepository, &'a OnceCell<Result<String, FetchError>>),
        found: &'a Found,
    ) -> GitHost<'a> {
        let (downloader, packs, timeout) = (self.charts.downloader(), self.charts.packs(), self.charts.timeout());
        GitHost { packs, place, downloader, repository, credential: found.as_deref(), timeout }
    }

    /// The memory of the function.
    pub fn memory(&self) -> Memory {
        self.github.memory()
    }

    /// The files of the commit `sha`; fetched once, also by concurrent callers. What does not fit the function's memory
    /// beside others is fetched alone, once what nobody uses any more was dropped.
    pub async fn get(&self, repo: &Repo, sha: &str) -> Result<Arc<Checkout>, GithubError> {
        self.get_within(repo, sha, Duration::ZERO).await
    }

    /// Takes the commit `sha` of `repo` from what is known of another commit, where that costs less than an archive. It
    /// is fetched as others are where that fails.
    pub async fn take_from(&self, known: &Checkout, repo: &Repo, sha: &str) {
        match Box::pin(self.github.checkout_from(known, repo, sha)).await {
            Ok(Some(checkout)) => {
                let cell = cell(&self.commits, (repo.clone(), sha.to_owned())).await;
                let _ = cell.set(Arc::new(checkout));
            }
            Ok(None) => {}
            Err(error) => tracing::info!(%repo, sha, error = crate::error::chain(&error), "an archive is fetched"),
        }
    }

    /// Like [`Checkouts::get`], and waits a while for what other applications of the event hold. Not for a caller that
    /// holds much itself.
    pub async fn get_when_there_is_room(&self, repo: &Repo, sha: &str) -> Result<Arc<Checkout>, GithubError> {
        self.get_within(repo, sha, ROOM_TIMEOUT).await
    }

    async fn get_within(&self, repo: &Repo, sha: &str, timeout: Duration) -> Result<Arc<Checkout>, GithubError> {
        if let Some(local) = self.local(repo) {
            return Ok(Arc::clone(local));
        }
        let cell = cell(&self.commits, (repo.clone(), sha.to_owned())).await;
        let fetch = async || {
            let together = self.github.turns.read().await;
            match Box::pin(self.github.checkout(repo, sha)).await {
                Err(error) if error.is_full() => drop(together),
                fetched => return fetched.map(Arc::new),
            }
            let _alone = self.github.turns.write().await;
            let until = time::after(timeout);
            self.drop_unused().await;
            loop {
                match Box::pin(self.github.checkout(repo, sha)).await {
                    Err(error) if error.is_full() && self.has_more_room(until).await => {}
                    fetched => return fetched.map(Arc::new),
                }
            }
        };
        cell.get_or_try_init(fetch).await.cloned()
    }

    /// What a caller found out of the files of the commit `sha`, as long as the event lasts; at first the default. Each
    /// commit has one such thing, of one type.
    pub async fn memo<M: Any + Default + Send + Sync>(&self, repo: &Repo, sha: &str) -> Arc<M> {
        let cell = cell(&self.memos, (repo.clone(), sha.to_owned())).await;
        let memo = cell.get_or_init(async || Arc::new(M::default()) as Memo).await;
        Arc::clone(memo).downcast().unwrap_or_default()
    }

    /// Waits until others need less memory than now; not where that takes longer than `until`.
    async fn has_more_room(&self, until: Instant) -> bool {
        let held = self.github.meter().used();
        while Instant::now() < until {
            tokio::time::sleep(ROOM_POLL_INTERVAL).await;
            self.drop_unused().await;
            if self.github.meter().used() < held {
                return true;
            }
        }
        false
    }

    /// Drops the commits that nobody uses: who needs one again fetches it again.
    async fn drop_unused(&self) {
        let is_used = |commit: &Arc<Checkout>| Arc::strong_count(commit) > 1;
        self.commits.lock().await.retain(|_, cell| cell.get().is_none_or(is_used));
    }
}

pub(super) async fn cell<K: Ord, V>(cells: &Cells<K, V>, key: K) -> Arc<OnceCell<V>> {
    Arc::clone(cells.lock().await.entry(key).or_default())
}
