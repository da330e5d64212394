//! Tells what an Application tracks: the repository and revision of each of its sources.

use std::collections::BTreeMap;
use std::fmt;

use slipway_gitops::Revisions;

use crate::app::{Application, Source};
use crate::source::git::GitRepository;
use crate::source::helm_repository::{ChartError, HelmChart};
use crate::source::{Checkouts, Repo, SourceError};

/// What is said of `spec.sources` that only lend their files.
pub(super) const NO_MANIFESTS: &str = "`spec.sources` has no source with manifests";

/// Where a source is. Prints as `OWNER/REPO`, `HOST/PATH`, or as the address of its chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceRepository {
    /// A git repository on the root's host, whose revisions are commits.
    Git(Repo),
    /// One on another host.
    Other(GitRepository),
    /// A chart of a Helm repository, whose revisions are versions.
    Chart(HelmChart),
}

impl fmt::Display for SourceRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(repo) => repo.fmt(f),
            Self::Other(repository) => repository.fmt(f),
            Self::Chart(chart) => chart.fmt(f),
        }
    }
}

/// The repository of a source, and the revision that the Application follows there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedSource {
    /// The repository.
    pub repository: SourceRepository,
    /// `targetRevision`.
    pub revision: String,
}

impl TrackedSource {
    /// The git repository, where it is one on the root's host.
    pub fn git(&self) -> Option<&Repo> {
        match &self.repository {
            SourceRepository::Git(repo) => Some(repo),
            SourceRepository::Other(_) | SourceRepository::Chart(_) => None,
        }
    }

    /// Resolves what it follows to a commit or a version.
    async fn resolve(&self, checkouts: &Checkouts) -> Result<String, SourceError> {
        Ok(match &self.repository {
            SourceRepository::Git(repo) => checkouts.resolve(repo, &self.revision).await?,
            SourceRepository::Other(repository) => {
                Box::pin(checkouts.resolve_other(repository, &self.revision)).await?
            }
            SourceRepository::Chart(chart) => Box::pin(checkouts.charts().resolve(chart, &self.revision)).await?,
        })
    }

    /// Whether `revision` is on what it follows: a commit of the branch, on another host than the root's its head, or a
    /// version that is allowed.
    pub async fn has(&self, revision: &str, checkouts: &Checkouts) -> Result<bool, SourceError> {
        Ok(match &self.repository {
            SourceRepository::Git(repo) => checkouts.is_on(repo, &self.revision, revision).await?,
            SourceRepository::Other(_) => Box::pin(self.resolve(checkouts)).await? == revision,
            SourceRepository::Chart(_) => HelmChart::allows(&self.revision, revision),
        })
    }
}

/// What an Application tracks, one entry for each of its sources, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedSources {
    sources: Vec<TrackedSource>,
    /// Whether they are of `spec.sources`.
    is_list: bool,
    /// Whether the project refuses a source, so that no other host is asked.
    is_denied: bool,
}

impl TrackedSources {
    /// Reads those of `app`; the root's host is `host`. Where its project refuses it (`is_denied`), no other host is
    /// asked for versions. An error in words where Slipway can't fetch a source.
    pub(crate) fn of(app: &Application, host: &str, is_denied: bool) -> Result<Self, String> {
        let (id, is_list) = (app.object.id(), !app.sources.is_empty());
        if !app.all_sources().iter().any(|source| app.has_manifests(source)) {
            return Err(format!("{id}: {NO_MANIFESTS}"));
        }
        let tracked = app.all_sources().iter().enumerate().map(|(at, source)| {
            let field = if is_list { format!("spec.sources[{at}]") } else { "spec.source".to_owned() };
            let repository = repository(source, host, &app.project)
                .map_err(|problem| format!("{id}: `{field}.repoURL`{problem}"))?;
            Ok::<_, String>(TrackedSource { repository, revision: source.target_revision.clone() })
        });
        Ok(Self { sources: tracked.collect::<Result<_, _>>()?, is_list, is_denied })
    }

    /// The sources, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &TrackedSource> {
        self.sources.iter()
    }

    /// The same sources, of which those at the places of `chosen` follow that revision instead.
    #[must_use]
    pub fn with(&self, chosen: &BTreeMap<usize, String>) -> Self {
        let source = |(at, source): (usize, &TrackedSource)| TrackedSource {
            repository: source.repository.clone(),
            revision: chosen.get(&at).unwrap_or(&source.revision).clone(),
        };
        Self {
            sources: self.iter().enumerate().map(source).collect(),
            is_list: self.is_list,
            is_denied: self.is_denied,
        }
    }

    /// Resolves what each source follows to its commit, or the version of its chart.
    pub async fn resolve(&self, checkouts: &Checkouts) -> Result<Revisions, SourceError> {
        let mut revisions = Vec::new();
        for source in &self.sources {
            revisions.push(if self.is_denied && source.git().is_none() {
                source.revision.clone()
            } else {
                source.resolve(checkouts).await?
            });
        }
        Ok(self.revisions(revisions))
    }

    /// What the sources follow, as it is written: for messages while no commit is known.
    pub fn unresolved(&self) -> Revisions {
        self.revisions(self.iter().map(|source| source.revision.clone()).collect())
    }

    /// Each source with its commit or version of `revisions`; `None` where those are of other sources: the
    /// Application's own manifest was changed since.
    pub fn at<'a>(&'a self, revisions: &'a Revisions) -> Option<impl Iterator<Item = (&'a TrackedSource, &'a str)>> {
        let commits = revisions.as_slice().iter().map(String::as_str);
        revisions.has_sources_of(&self.unresolved()).then(|| self.iter().zip(commits))
    }

    /// Whether each commit of `revisions` is on what its source follows; not where they are of other sources.
    pub async fn has(&self, revisions: &Revisions, checkouts: &Checkouts) -> Result<bool, SourceError> {
        let Some(pairs) = self.at(revisions) else { return Ok(false) };
        for (source, revision) in pairs {
            if !source.has(revision, checkouts).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn revisions(&self, revisions: Vec<String>) -> Revisions {
        if self.is_list {
            Revisions::PerSource(revisions)
        } else {
            Revisions::One(revisions.into_iter().next().unwrap_or_default())
        }
    }
}

/// Where `source` is; what is wrong with its `repoURL` otherwise.
fn repository(source: &Source, host: &str, project: &str) -> Result<SourceRepository, String> {
    if let Some(chart) = &source.chart {
        let chart = HelmChart::new(&source.repo_url, chart);
        let chart = chart.map(|chart| chart.of_project(project));
        return chart.map(SourceRepository::Chart).map_err(|error: ChartError| format!(": {error}"));
    }
    match source.repository() {
        Ok(url) if url.host == host => Ok(SourceRepository::Git(url.repo)),
        Ok(url) => Ok(SourceRepository::Other(GitRepository::new(&url, project))),
        Err(error) => Err(format!(": {error}")),
    }
}
