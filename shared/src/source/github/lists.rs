//! Lists what the generators of ApplicationSets look at: open pull requests, repositories of an organization, their
//! branches and paths. What a warm function listed is asked for again by its `ETag`, which costs nothing of the rate
//! limit while nothing changes.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use slipway_appset::{Branch, PullRequest, Repository};

use super::{Call, GitHub, GithubError, MAX_ANSWER, REQUEST, decode, escape};
use crate::source::Repo;

/// Entries of a page; GitHub's maximum.
const PAGE: usize = 100;
/// Pages of a list.
const MAX_PAGES: usize = 100;
/// Bytes of the answers that are remembered.
const MAX_REMEMBERED: usize = 8 << 20;

/// The answers that are remembered, by path.
pub(super) type Answers = BTreeMap<String, Remembered>;

/// An answer, reduced to the fields that are read.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    etag: String,
    body: Vec<u8>,
    has_next: bool,
}

#[derive(Serialize, Deserialize)]
struct Pull {
    number: u64,
    title: String,
    head: Side,
    base: Side,
    #[serde(default)]
    labels: Vec<Named>,
    user: Option<Account>,
    #[serde(default)]
    state: String,
}

/// A side of a pull request.
#[derive(Serialize, Deserialize)]
struct Side {
    r#ref: String,
    sha: String,
}

#[derive(Serialize, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Account {
    login: String,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    id: i64,
    name: String,
    owner: Account,
    #[serde(default)]
    ssh_url: String,
    #[serde(default)]
    clone_url: String,
    #[serde(default)]
    default_branch: String,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    topics: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    name: String,
    commit: Commit,
}

#[derive(Serialize, Deserialize)]
struct Commit {
    sha: String,
}

/// Whatever an answer holds.
#[derive(Serialize)]
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl GitHub {
    /// The open pull requests of `repo`, newest first; `None` where there is no such repository, or it may not be seen.
    pub async fn pull_requests(&self, repo: &Repo) -> Result<Option<Vec<PullRequest>>, GithubError> {
        let what = format!("list the pull requests of {repo}");
        let pulls = self.list::<Pull>(&what, &format!("/repos/{repo}/pulls?state=open")).await;
        let read = |pull: Pull| PullRequest {
            number: pull.number,
            title: pull.title,
            branch: pull.head.r#ref,
            target_branch: pull.base.r#ref,
            head_sha: pull.head.sha,
            labels: pull.labels.into_iter().map(|label| label.name).collect(),
            author: pull.user.map(|user| user.login).unwrap_or_default(),
        };
        Ok(found(pulls)?.map(|pulls| pulls.into_iter().map(read).collect()))
    }

    /// Whether the pull request `number` of `repo` was closed, or merged.
    pub async fn is_closed(&self, repo: &Repo, number: u64) -> Result<bool, GithubError> {
        let what = format!("read the pull request {number} of {repo}");
        let (pull, _) = self.remembered::<Pull>(&what, &format!("/repos/{repo}/pulls/{number}")).await?;
        Ok(pull.state == "closed")
    }

    /// The repositories of an organization that the credential may see.
    pub async fn repositories(&self, organization: &str) -> Result<Vec<Repository>, GithubError> {
        let what = format!("list the repositories of {organization}");
        let listed = self.list::<Listed>(&what, &format!("/orgs/{}/repos?type=all", escape(organization))).await?;
        let read = |one: Listed| Repository {
            organization: one.owner.login,
            name: one.name,
            id: one.id,
            ssh_url: one.ssh_url,
            clone_url: one.clone_url,
            default_branch: one.default_branch,
            archived: one.archived,
            topics: one.topics,
        };
        Ok(listed.into_iter().map(read).collect())
    }

    /// The branches of `repo`, or the branch `only` where there is one of that name.
    pub async fn branches(&self, repo: &Repo, only: Option<&str>) -> Result<Vec<Branch>, GithubError> {
        let heads = match only {
            None => {
                self.list::<Head>(&format!("list the branches of {repo}"), &format!("/repos/{repo}/branches")).await?
            }
            Some(name) => {
                let what = format!("read the branch `{name}` of {repo}");
                let head = self.remembered(&what, &format!("/repos/{repo}/branches/{}", escape(name))).await;
                found(head)?.map(|(head, _)| head).into_iter().collect()
            }
        };
        Ok(heads.into_iter().map(|head| Branch { name: head.name, sha: head.commit.sha }).collect())
    }

    /// Whether a file or folder stands at `path` in a branch of `repo`.
    pub async fn has_path(&self, repo: &Repo, branch: &str, path: &str) -> Result<bool, GithubError> {
        let what = format!("look for `{path}` in `{branch}` of {repo}");
        let reference = escape(branch);
        let path = format!("/repos/{repo}/contents/{}?ref={reference}", escape(path.trim_start_matches('/')));
        Ok(found(self.remembered::<Anything>(&what, &path).await)?.is_some())
    }

    /// All entries of a list.
    async fn list<T: DeserializeOwned + Serialize>(&self, what: &str, path: &str) -> Result<Vec<T>, GithubError> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let path = format!("{path}{mark}per_page={PAGE}&page={page}");
            let (entries, has_next) = self.remembered::<Vec<T>>(what, &path).await?;
            all.extend(entries);
            if !has_next {
                return Ok(all);
            }
        }
        let problem = format!("there are more than {} entries", PAGE.saturating_mul(MAX_PAGES));
        Err(GithubError::Answer { what: what.to_owned(), problem })
    }

    /// The answer to a GET, and whether another page follows.
    async fn remembered<T: DeserializeOwned + Serialize>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<(T, bool), GithubError> {
        let known = self.answers.lock().await.get(path).cloned();
        let call = known.as_ref().map_or(Call::Get, |known| Call::GetUnless(&known.etag));
        let (body, etag) = Box::pin(self.send(what, path, call, (REQUEST, MAX_ANSWER))).await?;
        let Some(body) = body else {
            let Some(known) = known else {
                let problem = "GitHub answered 304 to a request without a condition".to_owned();
                return Err(GithubError::Answer { what: what.to_owned(), problem });
            };
            return Ok((decode(what, &known.body)?, known.has_next));
        };
        let answer: T = decode(what, &body.bytes)?;
        let reduced = serde_json::to_vec(&answer).unwrap_or_default();
        if let Some(etag) = etag.filter(|_| !reduced.is_empty()) {
            let mut answers = self.answers.lock().await;
            let held: usize = answers.values().map(|answer| answer.body.len()).sum();
            if held.saturating_add(reduced.len()) > MAX_REMEMBERED {
                answers.clear();
            }
            answers.insert(path.to_owned(), Remembered { etag, body: reduced, has_next: body.has_next });
        }
        Ok((answer, body.has_next))
    }
}

/// `None` where GitHub has nothing at the path, or shows it to others only.
fn found<T>(answer: Result<T, GithubError>) -> Result<Option<T>, GithubError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(GithubError::Status { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
