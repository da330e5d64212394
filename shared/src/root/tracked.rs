//! Tells what an Application tracks: the repository and revision of each of its sources.

use std::collections::BTreeMap;

use slipway_gitops::Revisions;

use crate::app::Application;
use crate::source::github::GithubError;
use crate::source::{Checkouts, Repo};

/// What is said of `spec.sources` that only lend their files.
pub(super) const NO_MANIFESTS: &str = "`spec.sources` has no source with manifests";

/// The repository of a source, and the revision that the Application follows there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedSource {
    /// The repository.
    pub repo: Repo,
    /// `targetRevision`.
    pub revision: String,
}

/// What an Application tracks, one entry for each of its sources, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedSources {
    sources: Vec<TrackedSource>,
    /// Whether they are of `spec.sources`.
    is_list: bool,
}

impl TrackedSources {
    /// Reads those of `app`, whose repositories are on `host`. An error in words where Slipway can't fetch one.
    pub(crate) fn of(app: &Application, host: &str) -> Result<Self, String> {
        let (id, is_list) = (app.object.id(), !app.sources.is_empty());
        if !app.all_sources().iter().any(|source| app.has_manifests(source)) {
            return Err(format!("{id}: {NO_MANIFESTS}"));
        }
        let tracked = app.all_sources().iter().enumerate().map(|(at, source)| {
            let field = if is_list { format!("spec.sources[{at}]") } else { "spec.source".to_owned() };
            if source.chart.is_some() {
                return Err(format!("{id}: `{field}.chart`: a chart of a Helm repository is not supported yet"));
            }
            match source.repository() {
                Ok(url) if url.host == host => {
                    Ok(TrackedSource { repo: url.repo, revision: source.target_revision.clone() })
                }
                Ok(url) => Err(format!(
                    "{id}: `{field}.repoURL` is on {}, and only repositories on {host} are supported yet",
                    url.host
                )),
                Err(error) => Err(format!("{id}: `{field}.repoURL`: {error}")),
            }
        });
        Ok(Self { sources: tracked.collect::<Result<_, _>>()?, is_list })
    }

    /// The sources, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &TrackedSource> {
        self.sources.iter()
    }

    /// The same sources, of which those at the places of `chosen` follow that revision instead.
    #[must_use]
    pub fn with(&self, chosen: &BTreeMap<usize, String>) -> Self {
        let source = |(at, source): (usize, &TrackedSource)| TrackedSource {
            repo: source.repo.clone(),
            revision: chosen.get(&at).unwrap_or(&source.revision).clone(),
        };
        Self { sources: self.iter().enumerate().map(source).collect(), is_list: self.is_list }
    }

    /// Resolves what each source follows to its commit.
    pub async fn resolve(&self, checkouts: &Checkouts) -> Result<Revisions, GithubError> {
        let mut commits = Vec::new();
        for TrackedSource { repo, revision } in &self.sources {
            commits.push(checkouts.resolve(repo, revision).await?);
        }
        Ok(self.revisions(commits))
    }

    /// What the sources follow, as it is written: for messages while no commit is known.
    pub fn unresolved(&self) -> Revisions {
        self.revisions(self.iter().map(|source| source.revision.clone()).collect())
    }

    /// Each source with its commit of `revisions`; `None` where those are of other sources: the Application's own
    /// manifest was changed since.
    pub fn at<'a>(&'a self, revisions: &'a Revisions) -> Option<impl Iterator<Item = (&'a TrackedSource, &'a str)>> {
        let commits = revisions.as_slice().iter().map(String::as_str);
        revisions.has_sources_of(&self.unresolved()).then(|| self.iter().zip(commits))
    }

    /// Whether each commit of `revisions` is on what its source follows; not where they are of other sources.
    pub async fn has(&self, revisions: &Revisions, checkouts: &Checkouts) -> Result<bool, GithubError> {
        let Some(pairs) = self.at(revisions) else { return Ok(false) };
        for (TrackedSource { repo, revision }, commit) in pairs {
            if !checkouts.is_on(repo, revision, commit).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn revisions(&self, commits: Vec<String>) -> Revisions {
        if self.is_list {
            Revisions::PerSource(commits)
        } else {
            Revisions::One(commits.into_iter().next().unwrap_or_default())
        }
    }
}
