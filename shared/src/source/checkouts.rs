//! Fetches each commit once, however many applications use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};
use slipway_manifest::{Tree, TreeError};
use tokio::sync::{Mutex, OnceCell};

use super::Repo;
use super::github::{Checkout, GitHub, GithubError};
use super::helm_repository::{self, Charts, HelmRepositories};
use super::verify::UnfetchedPaths;

type Cells<K, V> = Mutex<BTreeMap<K, Arc<OnceCell<V>>>>;

/// The commits and charts of one event: each revision is resolved once, each commit fetched once. Created for each event, so that
/// a warm function neither keeps an old branch head nor unused trees.
#[derive(Debug)]
pub struct Checkouts {
    github: GitHub,
    revisions: Cells<(Repo, String), String>,
    commits: Cells<(Repo, String), Arc<Checkout>>,
    ancestors: Cells<(Repo, String, String), bool>,
    local: Option<Arc<Checkout>>,
    charts: Charts,
}

impl Checkouts {
    /// Creates an empty cache.
    pub fn new(github: GitHub) -> Self {
        Self {
            github,
            revisions: Mutex::default(),
            commits: Mutex::default(),
            ancestors: Mutex::default(),
            local: None,
            charts: Charts::new(HelmRepositories::new(Vec::new(), helm_repository::TIMEOUT)),
        }
    }

    /// The same with charts of these repositories, whose clients remember what they fetched.
    #[must_use]
    pub fn with_charts(self, repositories: HelmRepositories) -> Self {
        Self { charts: Charts::new(repositories), ..self }
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

    /// The files of the commit `sha`; fetched once, also by concurrent callers.
    pub async fn get(&self, repo: &Repo, sha: &str) -> Result<Arc<Checkout>, GithubError> {
        if let Some(local) = self.local(repo) {
            return Ok(Arc::clone(local));
        }
        let cell = cell(&self.commits, (repo.clone(), sha.to_owned())).await;
        let fetch = async || Box::pin(self.github.checkout(repo, sha)).await.map(Arc::new);
        cell.get_or_try_init(fetch).await.cloned()
    }
}

async fn cell<K: Ord, V>(cells: &Cells<K, V>, key: K) -> Arc<OnceCell<V>> {
    Arc::clone(cells.lock().await.entry(key).or_default())
}
