//! Holds what GitHub lists for the generators `pullRequest` and `scmProvider` of ApplicationSets, and asks it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slipway_appset::{Branch, Given, Need, PullRequest, Repository, RepositoryRef};

use super::repositories::{Unavailable, Unlisted};
use crate::error::chain;
use crate::source::Repo;
use crate::source::github::{GitHub, GithubError};

/// What was listed for a [`Need`] that is not the files of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listing {
    /// The open pull requests; none for a repository that is not there.
    PullRequests(Option<Vec<PullRequest>>),
    /// The repositories of an organization.
    Repositories(Vec<Repository>),
    /// Branches.
    Branches(Vec<Branch>),
    /// Whether a path is there.
    Path(bool),
}

/// What was listed, by what it was needed for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Need, Listing)>", into = "Vec<(Need, Listing)>")]
pub struct Listings(BTreeMap<Need, Listing>);

impl From<Vec<(Need, Listing)>> for Listings {
    fn from(listed: Vec<(Need, Listing)>) -> Self {
        Self(listed.into_iter().collect())
    }
}

impl From<Listings> for Vec<(Need, Listing)> {
    fn from(listings: Listings) -> Self {
        listings.0.into_iter().collect()
    }
}

impl Listings {
    /// Adds what was listed for `need`.
    pub fn insert(&mut self, need: Need, listing: Listing) {
        self.0.insert(need, listing);
    }

    /// What was listed, by what it was needed for.
    pub fn iter(&self) -> impl Iterator<Item = (&Need, &Listing)> {
        self.0.iter()
    }

    /// Whether nothing was listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pull requests that were open, each with its repository.
    pub fn pull_requests(&self) -> impl Iterator<Item = (&RepositoryRef, &PullRequest)> {
        let lists = self.iter().filter_map(|(need, listing)| match (need, listing) {
            (Need::PullRequests(of), Listing::PullRequests(Some(pulls))) => Some((of, pulls)),
            _ => None,
        });
        lists.flat_map(|(of, pulls)| pulls.iter().map(move |pull| (of, pull)))
    }

    /// The same without the pull requests `closed`.
    #[must_use]
    pub fn without(mut self, closed: &BTreeSet<(RepositoryRef, u64)>) -> Self {
        for (need, listing) in &mut self.0 {
            if let (Need::PullRequests(of), Listing::PullRequests(Some(pulls))) = (need, listing) {
                pulls.retain(|pull| !closed.contains(&(of.clone(), pull.number)));
            }
        }
        self
    }
}

impl Listing {
    /// Gives the listing to generators.
    pub(super) fn give(self, need: Need, given: &mut Given) {
        match (need, self) {
            (Need::PullRequests(of), Self::PullRequests(pulls)) => {
                given.pull_requests.insert(of, pulls);
            }
            (Need::Repositories(of), Self::Repositories(repositories)) => {
                given.repositories.insert(of, repositories);
            }
            (Need::Branches(of), Self::Branches(branches)) => {
                given.branches.insert(of, branches);
            }
            (Need::Path(of), Self::Path(is_there)) => {
                given.paths.insert(of, is_there);
            }
            // A listing is kept under its own kind of need.
            _ => {}
        }
    }
}

/// What `need` looks at, for messages.
pub(super) fn shown(need: &Need) -> String {
    match need {
        Need::Tree(revision) => format!("repository {}", revision.url),
        Need::PullRequests(of) => format!("the pull requests of {}/{}", of.owner, of.repository),
        Need::Repositories(of) => format!("the repositories of {}", of.organization),
        Need::Branches(of) => format!("the branches of {}/{}", of.repository.owner, of.repository.repository),
        Need::Path(of) => format!("the paths of {}/{}", of.repository.owner, of.repository.repository),
    }
}

/// The URL that a project has to permit before `need` is looked at: of a repository, or of all of an organization.
pub(super) fn url(need: &Need, host: &str) -> String {
    let of = |one: &RepositoryRef| format!("https://{host}/{}/{}", one.owner, one.repository);
    match need {
        Need::Tree(revision) => revision.url.clone(),
        Need::PullRequests(repository) => of(repository),
        Need::Repositories(of) => format!("https://{host}/{}/*", of.organization),
        Need::Branches(branches) => of(&branches.repository),
        Need::Path(path) => of(&path.repository),
    }
}

/// Whether `need` looks at the pull requests of `repo`.
pub fn is_about(need: &Need, repo: &Repo) -> bool {
    match need {
        Need::PullRequests(of) => repository(of).is_ok_and(|named| named == *repo),
        _ => false,
    }
}

/// Lists what `need` looks at, with our own credential; `host` is that of GitHub's web pages.
pub(super) async fn list(github: &GitHub, host: &str, need: &Need) -> Result<Listing, Unlisted> {
    let never = |reason| Unlisted { reason, is_retryable: false };
    let api = match need {
        Need::Tree(_) => "",
        Need::PullRequests(of) => &of.api,
        Need::Repositories(of) => &of.api,
        Need::Branches(of) => &of.repository.api,
        Need::Path(of) => &of.repository.api,
    };
    if !is_api_of(api, host) {
        let what = shown(need);
        return Err(never(Unavailable::Unsupported(format!("{what} at {api}: only {host} can be asked"))));
    }
    let listed = match need {
        Need::PullRequests(of) => {
            let repo = repository(of).map_err(never)?;
            github.pull_requests(&repo).await.map(Listing::PullRequests)
        }
        Need::Repositories(of) => github.repositories(&of.organization).await.map(Listing::Repositories),
        Need::Branches(of) => {
            let repo = repository(&of.repository).map_err(never)?;
            github.branches(&repo, of.only.as_deref()).await.map(Listing::Branches)
        }
        Need::Path(of) => {
            let repo = repository(&of.repository).map_err(never)?;
            github.has_path(&repo, &of.branch, &of.path).await.map(Listing::Path)
        }
        Need::Tree(revision) => return Err(never(Unavailable::Unsupported(format!("{} is no list", revision.url)))),
    };
    let failed = |error: GithubError| Unlisted {
        is_retryable: error.is_retryable(),
        reason: Unavailable::Failed(chain(&error)),
    };
    listed.map_err(failed)
}

/// The repository that a set names.
pub(crate) fn repository(of: &RepositoryRef) -> Result<Repo, Unavailable> {
    let name = format!("{}/{}", of.owner, of.repository);
    name.parse().map_err(|error| Unavailable::Failed(format!("`{name}`: {}", chain(&error))))
}

/// Whether `api`, as a set writes it, is the API of `host`; GitHub Enterprise Server has it below its own name.
fn is_api_of(api: &str, host: &str) -> bool {
    let of = api.strip_prefix("https://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    match of {
        None => api.is_empty(),
        Some(of) => of.eq_ignore_ascii_case(host) || host == "github.com" && of.eq_ignore_ascii_case("api.github.com"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(repository: &str) -> RepositoryRef {
        RepositoryRef { api: String::new(), owner: "acme".to_owned(), repository: repository.to_owned() }
    }

    fn listings() -> Listings {
        let pull = |number| PullRequest { number, ..PullRequest::default() };
        let mut listings = Listings::default();
        let both = Listing::PullRequests(Some(vec![pull(1), pull(2)]));
        listings.insert(Need::PullRequests(of("web")), both.clone());
        listings.insert(Need::PullRequests(of("api")), both);
        listings.insert(Need::PullRequests(of("gone")), Listing::PullRequests(None));
        listings
    }

    #[test]
    fn listings_survive_the_state() {
        let written = json!(listings());
        assert!(written.is_array());
        assert_eq!(serde_json::from_value::<Listings>(written).unwrap(), listings());
    }

    #[test]
    fn a_closed_pull_request_is_left_out_of_its_own_repository() {
        let left = listings().without(&BTreeSet::from([(of("web"), 1)]));
        let left: Vec<_> = left.pull_requests().map(|(of, pull)| (of.repository.as_str(), pull.number)).collect();
        assert_eq!(left, [("api", 1), ("api", 2), ("web", 2)]);
    }

    #[test]
    fn only_our_own_github_is_asked() {
        for (api, host, expected) in [
            ("", "github.com", true),
            ("", "git.example.com", true),
            ("https://api.github.com/", "github.com", true),
            ("https://api.github.com", "git.example.com", false),
            ("https://git.example.com/api/v3", "git.example.com", true),
            ("https://git.example.com:8443/api/v3/", "git.example.com", true),
            ("https://git.example.com/api/v3", "github.com", false),
            ("http://github.com", "github.com", false),
            ("https://github.com.example.com", "github.com", false),
        ] {
            assert_eq!(is_api_of(api, host), expected, "{api} {host}");
        }
    }

    #[test]
    fn a_pull_request_is_of_a_repository_whatever_the_case() {
        let need = Need::PullRequests(of("Web"));
        assert!(is_about(&need, &"Acme/web".parse().unwrap()) && !is_about(&need, &"acme/api".parse().unwrap()));
    }
}
