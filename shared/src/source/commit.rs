//! Commits to a branch, only if it is still where we read it (compare-and-swap): the only way to change a repository.
//! GitHub creates and signs the commit (GraphQL `createCommitOnBranch`).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Repo;
use super::github::{GitHub, GithubError, graphql_error, is_limit};

/// The first pause before another attempt, which grows with each: of many concurrent writers one wins at a time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, also where GitHub is down or limits us.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

const MUTATION: &str =
    "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid url } } }";

/// The content of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// New contents by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The message's first line.
    pub headline: String,
    /// The message's body, after a blank line.
    pub body: String,
}

/// A created commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The commit's SHA.
    pub sha: String,
    /// The commit's web page.
    pub url: String,
}

/// Why no commit was created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A request to GitHub failed.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// The branch moved between reading and committing, in every attempt.
    #[error("failed to commit to `{branch}` of {repo}: the branch moved {attempts} times")]
    Moving {
        /// The repository.
        repo: Repo,
        /// The branch.
        branch: String,
        /// The attempts until there was no more time.
        attempts: u32,
    },
    /// GitHub refused the commit.
    #[error("failed to commit to `{branch}` of {repo}: {message}")]
    Refused {
        /// The repository.
        repo: Repo,
        /// The branch.
        branch: String,
        /// GitHub's message.
        message: String,
    },
}

impl CommitError {
    /// Whether the branch takes changes by pull requests only (a ruleset or a protected branch).
    pub fn demands_pull_request(&self) -> bool {
        let Self::Refused { message, .. } = self else { return false };
        let message = message.to_ascii_lowercase();
        let words = ["pull request", "approving review", "status check", "protected branch", "protected ref"];
        words.iter().any(|words| message.contains(words))
    }

    /// Whether the same commit may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Github(error) => error.is_retryable(),
            Self::Moving { .. } => true,
            Self::Refused { .. } => false,
        }
    }
}

/// How long and how a commit is tried.
#[derive(Debug, Clone, Copy)]
pub struct Attempts<'a> {
    /// No attempt begins after this.
    pub deadline: Instant,
    /// What tells this writer from others, so that they do not come back at the same time.
    pub seed: &'a str,
    /// The head of the branch where it was read just now: the first attempt is for that.
    pub head: Option<&'a str>,
    /// The branch that is moved to that head and committed to in its place.
    pub staging: Option<&'a str>,
}

impl Attempts<'_> {
    /// Waits before the attempt after `attempt`; `false` where there is no more time.
    async fn wait(&self, attempt: u32) -> bool {
        let longest = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST_PAUSE);
        let hash = Sha256::digest(format!("{} {attempt}", self.seed));
        let share = f64::from(hash.first().copied().unwrap_or_default()) / 255.0;
        let until = Instant::now() + longest.mul_f64(0.25 + 0.75 * share);
        if until >= self.deadline {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}

/// Commits to `branch` the result of `edit` for its head; `None` where there is no change.
///
/// Where the head moved meanwhile, or GitHub is down or limits us, `edit` is called again with the new head, until
/// there is no more time: it must decide from that commit alone.
pub async fn commit(
    github: &GitHub,
    repo: &Repo,
    branch: &str,
    attempts: Attempts<'_>,
    mut edit: impl AsyncFnMut(&str) -> Result<Option<FileEdit>, GithubError>,
) -> Result<Option<Committed>, CommitError> {
    let mut attempt = 0;
    loop {
        let head = attempts.head.filter(|_| attempt == 0);
        let failed = match Box::pin(once(github, repo, (branch, attempts.staging), head, &mut edit)).await {
            Ok(Answer::Committed(committed)) => return Ok(Some(committed)),
            Ok(Answer::Unchanged) => return Ok(None),
            Ok(Answer::Refused(message)) => {
                return Err(CommitError::Refused { repo: repo.clone(), branch: branch.to_owned(), message });
            }
            Ok(Answer::Moved) => None,
            Err(error) if error.is_retryable() => Some(error),
            Err(error) => return Err(error.into()),
        };
        match &failed {
            None => tracing::info!(%repo, branch, attempt, "the branch moved; reading it again"),
            Some(error) => tracing::warn!(%repo, branch, attempt, %error, "trying again"),
        }
        if !attempts.wait(attempt).await {
            let moving =
                || CommitError::Moving { repo: repo.clone(), branch: branch.to_owned(), attempts: attempt + 1 };
            return Err(failed.map_or_else(moving, CommitError::Github));
        }
        attempt += 1;
    }
}

async fn once(
    github: &GitHub,
    repo: &Repo,
    (branch, staging): (&str, Option<&str>),
    head: Option<&str>,
    edit: &mut impl AsyncFnMut(&str) -> Result<Option<FileEdit>, GithubError>,
) -> Result<Answer, GithubError> {
    let head = match head {
        Some(head) => head.to_owned(),
        None => github.resolve(repo, &format!("heads/{branch}")).await?,
    };
    let Some(change) = edit(&head).await? else { return Ok(Answer::Unchanged) };
    let what = format!("commit to `{branch}` of {repo}");
    if let Some(staging) = staging {
        github.set_branch(repo, staging, &head).await?;
    }
    let answer = github.graphql(&what, MUTATION, input(repo, staging.unwrap_or(branch), &head, &change)).await?;
    read(&what, &answer)
}

fn input(repo: &Repo, branch: &str, head: &str, change: &FileEdit) -> Value {
    let additions: Vec<Value> =
        change.files.iter().map(|(path, bytes)| json!({ "path": path, "contents": STANDARD.encode(bytes) })).collect();
    json!({ "input": {
        "branch": { "repositoryNameWithOwner": repo.to_string(), "branchName": branch },
        "expectedHeadOid": head,
        "message": { "headline": change.headline, "body": change.body },
        "fileChanges": { "additions": additions },
    } })
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Committed(Committed),
    /// There is nothing to commit.
    Unchanged,
    Moved,
    Refused(String),
}

/// Reads the answer of the mutation. Limits and hiccups, which GitHub also answers with 200, are errors.
fn read(what: &str, answer: &Value) -> Result<Answer, GithubError> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    if let Some(sha) = text("/data/createCommitOnBranch/commit/oid") {
        let url = text("/data/createCommitOnBranch/commit/url").unwrap_or_default();
        return Ok(Answer::Committed(Committed { sha: sha.to_owned(), url: url.to_owned() }));
    }
    let message = text("/errors/0/message").unwrap_or("no commit and no error in the answer");
    let kind = text("/errors/0/type");
    // GitHub: type STALE_DATA, "Expected branch to point to … but it did not. Pull and try again."
    if kind == Some("STALE_DATA") || message.starts_with("Expected branch to point to") {
        return Ok(Answer::Moved);
    }
    let is_hiccup = message.starts_with("Something went wrong") || message.contains("timedout");
    if kind == Some("RATE_LIMITED") || is_limit(message) || is_hiccup {
        return Err(graphql_error(what, answer));
    }
    // A ruleset tells one thing a line.
    let words: Vec<&str> = message.split(|c: char| c.is_control()).map(str::trim).filter(|w| !w.is_empty()).collect();
    Ok(Answer::Refused(words.join(" ").chars().take(300).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let read = |answer: &Value| read("commit", answer);
        let done = json!({"data": {"createCommitOnBranch": {"commit": {"oid": "abc", "url": "u"}}}});
        assert_eq!(read(&done).unwrap(), Answer::Committed(Committed { sha: "abc".into(), url: "u".into() }));
        let stale = json!({"data": {"createCommitOnBranch": null}, "errors": [{"type": "STALE_DATA",
            "message": "Expected branch to point to \"a\" but it did not. Pull and try again."}]});
        assert_eq!(read(&stale).unwrap(), Answer::Moved);
        let refused = json!({"errors": [{"type": "FORBIDDEN", "message": "Resource not accessible"}]});
        assert_eq!(read(&refused).unwrap(), Answer::Refused("Resource not accessible".into()));
        assert!(matches!(read(&json!({})), Ok(Answer::Refused(_))));
        let rules = json!({"errors": [{"type": "UNPROCESSABLE",
            "message": "Repository rule violations found\n\nChanges must be made through a pull request.\n\n"}]});
        let words = "Repository rule violations found Changes must be made through a pull request.";
        assert_eq!(read(&rules).unwrap(), Answer::Refused(words.into()));
        for (kind, message) in [
            (Some("RATE_LIMITED"), "API rate limit exceeded for installation ID 7."),
            (None, "Something went wrong while executing your query. This may be the result of a timeout."),
            (None, "was submitted too quickly"),
            (Some("FORBIDDEN"), "You have exceeded a secondary rate limit. Please wait a few minutes."),
        ] {
            let limited =
                json!({"data": {"createCommitOnBranch": null}, "errors": [{"type": kind, "message": message}]});
            assert!(read(&limited).unwrap_err().is_retryable(), "{message}");
        }
    }

    #[test]
    fn the_input_names_the_expected_head() {
        let change =
            FileEdit { files: BTreeMap::from([("a".into(), b"x".to_vec())]), headline: "h".into(), body: "b".into() };
        let input = input(&"acme/gitops".parse().unwrap(), "main", "abc", &change);
        assert_eq!(input["input"]["expectedHeadOid"], "abc");
        assert_eq!(input["input"]["fileChanges"]["additions"][0], json!({"path": "a", "contents": "eA=="}));
    }
}
