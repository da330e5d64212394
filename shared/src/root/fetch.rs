//! Reads the tree of Applications from its repositories: fetches the repositories that it needs, round by round.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, future, stream};
use slipway_budget::Budget;

use super::last_sync::Recorded;
use super::listings;
use super::mentions::{self, Words};
use super::repositories::{
    ChartRevision, NamedRemote, Repositories, RepositoryRevision, Unavailable, Unlisted, Wanted,
};
use super::tree::{self, ApplicationTree, IncompletePart, TreeOptions};
use crate::app::{Application, identity};
use crate::error::chain;
use crate::render::{self, RenderError};
use crate::source::git::GitRepository;
use crate::source::github::Checkout;
use crate::source::github::childless::SourceDigest;
use crate::source::remote::Asking;
use crate::source::{Checkouts, Location};

/// Times that something is missing: each Application may be in another repository than the one that declares it.
const MAX_ROUNDS: usize = 16;
/// Lists that GitHub is asked for by one reading: some tenths of what its rate limit allows in an hour.
const MAX_LISTINGS: usize = 2_000;
/// Repositories that are fetched at a time.
const CONCURRENCY: usize = 8;

/// Where repositories are fetched from.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'a> {
    /// The commits.
    pub checkouts: &'a Checkouts,
    /// GitHub's host in URLs of repositories.
    pub host: &'a str,
    /// The commit that stands for the head of its branch.
    pub pinned: Option<(&'a Location, &'a Arc<Checkout>)>,
    /// Where the states of the Applications are.
    pub recorded: Option<Recorded<'a>>,
}

/// Reads the tree of `places` from `repositories`; what is missing there is added to them, where there is somewhere to
/// `fetch` it from. What can't be fetched or listed makes the tree incomplete; the error is one of the system.
pub async fn read_tree(
    places: &[Application],
    repositories: &mut Repositories,
    options: &TreeOptions,
    fetch: Option<Fetch<'_>>,
) -> Result<ApplicationTree, RenderError> {
    let (mut round, mut listed) = (1, 0_usize);
    if fetch.is_some_and(|fetch| fetch.recorded.is_some()) {
        repositories.last_syncs_mut();
    }
    let limits = fetch.map(|fetch| fetch.checkouts.memory()).unwrap_or_default().render();
    loop {
        let (places, given, options) = (places.to_vec(), repositories.clone(), options.clone());
        let work = move |budget: &Budget| Ok(tree::read(&places, &given, &options, budget));
        let mut tree = render::in_background(limits, work).await?;
        if let Some(Fetch { checkouts, .. }) = fetch {
            checkouts.credentials().declare(&tree.manifests);
        }
        let is_missing = !tree.missing.is_empty()
            || !tree.wanted.is_empty()
            || !tree.unlisted.is_empty()
            || tree.has_unread_states();
        let Some(fetch) = fetch else { return Ok(tree) };
        if !is_missing || round == MAX_ROUNDS {
            if tree.has_unread_states() {
                let reason = "more states than can be read say what Applications declare".to_owned();
                tree.incomplete.push(IncompletePart { reason, is_missing: false });
            }
            fetch.checkouts.github().remember_childless(tree.childless.clone()).await;
            return Ok(tree);
        }
        listed = listed.saturating_add(tree.unlisted.len());
        let mut listing = stream::iter(tree.unlisted)
            .map(async |need| {
                let answer = if listed > MAX_LISTINGS {
                    let reason = format!("more than {MAX_LISTINGS} lists of GitHub are asked for");
                    Err(Unlisted { reason: Unavailable::Failed(reason), is_retryable: false })
                } else {
                    Box::pin(listings::list(fetch.checkouts.github(), fetch.host, &need)).await
                };
                (need, answer)
            })
            .buffer_unordered(CONCURRENCY);
        while let Some((need, answer)) = listing.next().await {
            repositories.insert_listing(need, answer);
        }
        if let Some(recorded) = fetch.recorded {
            if tree.wants_parents {
                repositories.last_syncs_mut().parents = Some(Box::pin(recorded.parents()).await);
            }
            if !tree.unread_first_manifests.is_empty() {
                let firsts = recorded.first_manifests(tree.unread_first_manifests, &tree.manifests.clusters);
                repositories.last_syncs_mut().first_manifests.extend(Box::pin(firsts).await);
            }
            let read = async |app: Application| {
                let last_sync = Box::pin(recorded.last_sync(&app, fetch.checkouts)).await;
                (identity(&app.object), last_sync)
            };
            let mut reading = stream::iter(tree.unread_states).map(read).buffer_unordered(CONCURRENCY);
            while let Some((application, last_sync)) = reading.next().await {
                repositories.last_syncs_mut().known.insert(application, last_sync);
            }
        }
        Box::pin(fetch.wanted(tree.wanted, repositories)).await;
        let mut files = Vec::new();
        for wanted in tree.missing {
            let known = if repositories.has_childless(&wanted) { None } else { fetch.childless(&wanted).await };
            match known {
                Some(sources) => repositories.insert_childless(wanted, sources),
                None => files.push(wanted),
            }
        }
        let mut fetching = stream::iter(files).map(|wanted| fetch.one(wanted)).buffer_unordered(CONCURRENCY);
        while let Some((wanted, fetched)) = fetching.next().await {
            repositories.insert(wanted, fetched);
        }
        round += 1;
    }
}

/// Fetches what is `wanted` into `repositories`, with the reason for what can't be had. GitHub's API has the
/// repositories of `host`.
pub async fn fetch_wanted(wanted: Wanted, repositories: &mut Repositories, checkouts: &Checkouts, host: &str) {
    let charts = checkouts.charts();
    let fetch = async |(chart, revision): ChartRevision| {
        let fetched = async {
            let version = charts.resolve(&chart, &revision).await?;
            let files = charts.get(&chart, &version).await?;
            Ok((version, files))
        };
        let fetched = Box::pin(fetched).await;
        ((chart, revision), fetched)
    };
    let mut fetching = stream::iter(wanted.charts).map(fetch).buffer_unordered(CONCURRENCY);
    while let Some((wanted, fetched)) = fetching.next().await {
        repositories.insert_chart(wanted, fetched);
    }
    let fetch = async |(remote, project): NamedRemote| {
        let asking = Asking { host, project: &project };
        let fetched = Box::pin(checkouts.remote(&remote, asking, None)).await;
        let fetched = fetched.map_err(|error| Unavailable::Failed(chain(&error)));
        ((remote, project), fetched)
    };
    let mut fetching = stream::iter(wanted.remotes).map(fetch).buffer_unordered(CONCURRENCY);
    while let Some((wanted, fetched)) = fetching.next().await {
        repositories.insert_remote(wanted, fetched);
    }
}

impl Fetch<'_> {
    /// Fetches what is `wanted` into `repositories`: of something remote whose words are known at its version only these,
    /// where they say that it declares nothing.
    async fn wanted(self, mut wanted: Wanted, repositories: &mut Repositories) {
        let Self { checkouts, host, .. } = self;
        let version = async |named: NamedRemote| {
            let (remote, project) = &named;
            let version = Box::pin(checkouts.remote_version(remote, Asking { host, project })).await.ok()?;
            let words = checkouts.github().remote_words(&remote.raw, &version).await;
            Some((named, version, words.map(Words::of_bits)))
        };
        let versions = stream::iter(wanted.remotes.clone()).map(version).buffer_unordered(CONCURRENCY);
        let versions: Vec<_> = versions.filter_map(future::ready).collect().await;
        for (named, _, words) in &versions {
            if let Some(words) = words.filter(|words| !words.may_declare()) {
                repositories.insert_remote_words(named.0.raw.clone(), words);
                wanted.remotes.remove(named);
            }
        }
        fetch_wanted(wanted, repositories, checkouts, host).await;
        for (named, version, _) in versions {
            let Some(words) = repositories.remote(&named).map(|fetched| mentions::words_of(&named.0, fetched)) else {
                continue;
            };
            let raw = named.0.raw;
            checkouts.github().remember_remote_words(raw.clone(), version, words.bits()).await;
            repositories.insert_remote_words(raw, words);
        }
    }

    /// The sources that are known to declare nothing at the commit of `wanted`: its files may not be needed.
    async fn childless(self, (url, revision): &RepositoryRevision) -> Option<Arc<BTreeSet<SourceDigest>>> {
        if url.host != self.host {
            return None;
        }
        let sha = self.checkouts.resolve(&url.repo, revision).await.ok()?;
        self.checkouts.github().childless(&sha).await
    }

    async fn one(self, wanted: RepositoryRevision) -> (RepositoryRevision, Result<Arc<Checkout>, Unavailable>) {
        let (url, revision) = &wanted;
        if url.host != self.host {
            // Of all projects: what an Application's project has of its own is asked for where it is deployed.
            let repository = GitRepository::new(url, "");
            let fetched = async {
                let sha = Box::pin(self.checkouts.resolve_other(&repository, revision)).await?;
                Box::pin(self.checkouts.get_other(&repository, &sha)).await
            };
            let fetched = fetched.await.map_err(|error| Unavailable::Elsewhere(chain(&error)));
            return (wanted, fetched);
        }
        let fetched = async {
            let pinned = self.pinned.filter(|(location, _)| location.url == *url);
            if let Some((_, checkout)) = pinned.filter(|(location, _)| location.revision == *revision) {
                return Ok(Arc::clone(checkout));
            }
            let sha = self.checkouts.resolve(&url.repo, revision).await?;
            if let Some((location, checkout)) = pinned
                && self.checkouts.resolve(&url.repo, &location.revision).await? == sha
            {
                return Ok(Arc::clone(checkout));
            }
            self.checkouts.get(&url.repo, &sha).await
        };
        let fetched = Box::pin(fetched).await.map_err(|error| Unavailable::Failed(chain(&error)));
        (wanted, fetched)
    }
}
