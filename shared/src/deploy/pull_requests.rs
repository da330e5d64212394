//! Deploys what ApplicationSets make of pull requests: which applications an event concerns, and whether one that is
//! gone went because its pull request was closed.

use std::collections::{BTreeMap, BTreeSet};

use slipway_appset::RepositoryRef;
use slipway_cluster::state::AppKey;

use super::batch::PushBatch;
use super::{WebhookWorker, app_deletion, inputs, waiting};
use crate::app::Projects;
use crate::error::{Class, Failure};
use crate::event::queue::PullRequestEvent;
use crate::notify::report;
use crate::root::listings::{self, Listings};
use crate::root::{self, ResolvedApplication, Then};
use crate::services::Services;
use crate::source::github::GithubError;

impl WebhookWorker {
    /// Selects the applications of the sets that look at the pull requests of the repository, and those that they make
    /// no longer. An error where GitHub does not list them now.
    pub(super) async fn select_pull_request(&self, event: &PullRequestEvent) -> Result<PushBatch, Failure> {
        let checkouts = self.engine.checkouts();
        let root = self.engine.load_root(&checkouts).await?;
        let is_about = |need: &_| listings::is_about(need, &event.repo);
        if let Some((_, reason)) = root.unlisted.iter().find(|(need, _)| is_about(need)) {
            return Err(Failure { class: Class::Retryable, message: reason.clone() });
        }
        if !root.looked_at.iter().any(is_about) {
            tracing::info!("no ApplicationSet looks at it");
            return Ok(PushBatch::new(checkouts, Vec::new()));
        }
        let failed: Vec<String> =
            root.incomplete.iter().filter(|part| part.starts_with("ApplicationSet ")).cloned().collect();
        if !failed.is_empty() {
            self.engine.notify(&report::problem("Some declarations at the root can't be used", &failed)).await;
        }
        let waiting = waiting(&root.members);
        let removed = Box::pin(app_deletion::find(&self.engine, &root)).await;
        let is_made = |member: &ResolvedApplication| {
            member.listings.iter().any(|listings| listings.iter().any(|(need, _)| is_about(need)))
        };
        let mut members: Vec<ResolvedApplication> = root.members.into_iter().filter(is_made).collect();
        members.sort_by_key(|member| member.depth);
        let keys = self.engine.state_keys().await.map_err(|error| Failure::retryable(&error))?;
        let known = Box::pin(inputs::deployed(&self.engine, &members)).await;
        let location = &self.engine.root.location;
        let same = Box::pin(inputs::unchanged((location, &keys), &members, &known, "", &checkouts)).await;
        members.retain(|member| !same.contains(&member.instance()));
        let (reporter, projects) = (self.engine.reporter(), root.projects);
        Ok(PushBatch { members, reporter, removed, projects, waiting, ..PushBatch::new(checkouts, Vec::new()) })
    }
}

/// Why it can't be told whether pull requests are closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullRequestError {
    /// A recorded name is none.
    #[error("failed to read what was recorded of pull requests: {0}")]
    Recorded(String),
    /// GitHub did not answer.
    #[error(transparent)]
    GitHub(#[from] GithubError),
    /// The root can't be read.
    #[error("failed to read the root at {sha}")]
    Root {
        /// Its commit.
        sha: String,
        /// The cause.
        #[source]
        source: Failure,
    },
}

impl PullRequestError {
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Recorded(_) => false,
            Self::GitHub(error) => error.is_retryable(),
            Self::Root { source, .. } => source.class == Class::Retryable,
        }
    }
}

/// Whether the application `key` is gone because pull requests were closed: GitHub says of each by itself that it is,
/// and the root at `sha` makes the application with what was `listed` then, and not without them. A list that is merely
/// shorter than before proves nothing.
pub(super) async fn went_with_pull_request(
    engine: &Services,
    projects: &Projects,
    key: &AppKey,
    (sha, listed): (&str, &Listings),
) -> Result<bool, PullRequestError> {
    let mut then: BTreeMap<&RepositoryRef, BTreeSet<u64>> = BTreeMap::new();
    for (of, pull) in listed.pull_requests() {
        then.entry(of).or_default().insert(pull.number);
    }
    let mut closed = BTreeSet::new();
    for (of, numbers) in then {
        let repo = listings::repository(of).map_err(|reason| PullRequestError::Recorded(reason.reason().to_owned()))?;
        let open = engine.github.pull_requests(&repo).await?.unwrap_or_default();
        let open: BTreeSet<u64> = open.iter().map(|pull| pull.number).collect();
        for number in numbers.difference(&open) {
            if engine.github.is_closed(&repo, *number).await? {
                closed.insert((of.clone(), *number));
            }
        }
    }
    if closed.is_empty() {
        return Ok(false);
    }
    let left = listed.clone().without(&closed);
    let then = Then { projects: Some(projects), listings: Some(&left), recorded: None };
    let root = root::load_at(&engine.root, &engine.checkouts(), sha, then).await;
    let root = root.map_err(|source| PullRequestError::Root { sha: sha.to_owned(), source })?;
    Ok(root.incomplete.is_empty() && !root.declared.contains(&(key.namespace.clone(), key.name.clone())))
}
