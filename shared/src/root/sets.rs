//! Makes the Applications of ApplicationSets, from the repositories at hand.

use std::collections::BTreeSet;

use slipway_appset::{Cluster, Generated, GitRevision, Given, Need};
use slipway_budget::Budget;
use slipway_manifest::Object;

use super::repositories::{Availability, Repositories, RepositoryRevision, Unavailable};
use crate::app::{Source, secret_text};
use crate::error::chain;

/// Times that a set asks for more: a matrix asks for one generator after the other.
const MAX_ROUNDS: usize = 16;

/// What a set comes to.
pub(super) enum Expansion {
    /// Its Applications.
    Applications(Vec<Object>),
    /// Repositories are missing.
    Missing(BTreeSet<RepositoryRevision>),
    /// It looks at what can't be fetched yet.
    Unsupported(String),
    /// It fails.
    Failed(String),
}

/// The Applications of `set`, which sees the cluster Secrets `clusters`.
pub(super) fn expand(set: &Object, clusters: &[Object], repositories: &Repositories, budget: &Budget) -> Expansion {
    let mut given = Given { clusters: clusters.iter().filter_map(cluster).collect(), ..Given::default() };
    for _ in 0..MAX_ROUNDS {
        let needs = match slipway_appset::generate(set, &given, budget) {
            Ok(Generated::Applications(made)) => return Expansion::Applications(made.objects),
            Ok(Generated::Needs(needs)) => needs,
            Err(error) => return Expansion::Failed(chain(&error)),
        };
        let mut missing = BTreeSet::new();
        for need in needs {
            let Need::Tree(revision) = need else { return Expansion::Unsupported(shown(&need)) };
            match repositories.get(&source(&revision)) {
                Availability::Here(checkout) => {
                    given.trees.insert(revision, std::sync::Arc::clone(&checkout.tree));
                }
                Availability::Missing(wanted) => {
                    missing.insert(wanted);
                }
                Availability::Unavailable(Unavailable::Unsupported(reason)) => return Expansion::Unsupported(reason),
                Availability::Unavailable(Unavailable::Failed(reason)) => return Expansion::Failed(reason),
            }
        }
        if !missing.is_empty() {
            return Expansion::Missing(missing);
        }
    }
    Expansion::Failed(format!("{}: its generators still ask for more after {MAX_ROUNDS} rounds", set.id()))
}

fn source(revision: &GitRevision) -> Source {
    let target = if revision.revision.is_empty() { "HEAD" } else { &revision.revision };
    Source { repo_url: revision.url.clone(), target_revision: target.to_owned(), ..Source::default() }
}

fn cluster(secret: &Object) -> Option<Cluster> {
    let pairs = |field: &str| {
        let pairs = secret.metadata().and_then(|metadata| metadata.get(field)?.as_object());
        let pairs = pairs.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let server = secret_text(secret, "server")?;
    Some(Cluster {
        name: secret_text(secret, "name").unwrap_or_else(|| server.clone()),
        server,
        project: secret_text(secret, "project"),
        labels: pairs("labels"),
        annotations: pairs("annotations"),
    })
}

fn shown(need: &Need) -> String {
    match need {
        Need::Tree(revision) => format!("repository {}", revision.url),
        Need::PullRequests(of) => format!("the pull requests of {}/{}", of.owner, of.repository),
        Need::Repositories(of) => format!("the repositories of {}", of.organization),
        Need::Branches(of) => format!("the branches of {}/{}", of.repository.owner, of.repository.repository),
        Need::Path(of) => format!("the paths of {}/{}", of.repository.owner, of.repository.repository),
    }
}
