//! Commits to a branch, only if it is still where we read it (compare-and-swap): the only way to change a repository.
//! GitHub creates and signs the commit (GraphQL `createCommitOnBranch`).

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Repo;
use super::github::{Checkout, GitHub, GithubError};

/// Attempts in all. Each time that we lose, another writer has won, so that many concurrent writers still get through.
const ATTEMPTS: u32 = 10;

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
pub enum CommitError<E: StdError + 'static> {
    /// A request to GitHub failed.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// The edit failed.
    #[error("failed to edit {repo}")]
    Edit {
        /// The repository.
        repo: Repo,
        /// The edit's error.
        #[source]
        source: E,
    },
    /// The branch moved between reading and committing, in every attempt.
    #[error("failed to commit to `{branch}` of {repo}: the branch moved {ATTEMPTS} times")]
    Moving {
        /// The repository.
        repo: Repo,
        /// The branch.
        branch: String,
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

impl<E: StdError + 'static> CommitError<E> {
    /// Whether the same commit may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Github(error) => error.is_retryable(),
            Self::Moving { .. } => true,
            Self::Edit { .. } | Self::Refused { .. } => false,
        }
    }
}

/// Commits to `branch` the result of `edit` for its head; `None` where there is no change.
///
/// Where the head moved meanwhile, `edit` is called again with the new head: it must decide from that commit alone.
pub async fn commit<E: StdError + 'static>(
    github: &GitHub,
    repo: &Repo,
    branch: &str,
    mut edit: impl AsyncFnMut(&Checkout) -> Result<Option<FileEdit>, E>,
) -> Result<Option<Committed>, CommitError<E>> {
    for attempt in 0..ATTEMPTS {
        let head = github.resolve(repo, &format!("heads/{branch}")).await?;
        let checkout = Box::pin(github.checkout(repo, &head)).await?;
        let change = edit(&checkout).await.map_err(|source| CommitError::Edit { repo: repo.clone(), source })?;
        let Some(change) = change else { return Ok(None) };
        let what = format!("commit to `{branch}` of {repo}");
        let answer = github.graphql(&what, MUTATION, input(repo, branch, &head, &change)).await?;
        match read(&answer) {
            Answer::Committed(committed) => return Ok(Some(committed)),
            Answer::Moved => {
                tracing::info!(%repo, branch, attempt, "the branch moved; reading it again");
                tokio::time::sleep(Duration::from_millis(50) * attempt).await;
            }
            Answer::Refused(message) => {
                return Err(CommitError::Refused { repo: repo.clone(), branch: branch.to_owned(), message });
            }
        }
    }
    Err(CommitError::Moving { repo: repo.clone(), branch: branch.to_owned() })
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
    Moved,
    Refused(String),
}

fn read(answer: &Value) -> Answer {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    if let Some(sha) = text("/data/createCommitOnBranch/commit/oid") {
        let url = text("/data/createCommitOnBranch/commit/url").unwrap_or_default();
        return Answer::Committed(Committed { sha: sha.to_owned(), url: url.to_owned() });
    }
    let message = text("/errors/0/message").unwrap_or("no commit and no error in the answer");
    // GitHub: type STALE_DATA, "Expected branch to point to … but it did not. Pull and try again."
    if text("/errors/0/type") == Some("STALE_DATA") || message.starts_with("Expected branch to point to") {
        return Answer::Moved;
    }
    Answer::Refused(message.chars().filter(|c| !c.is_control()).take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let done = json!({"data": {"createCommitOnBranch": {"commit": {"oid": "abc", "url": "u"}}}});
        assert_eq!(read(&done), Answer::Committed(Committed { sha: "abc".into(), url: "u".into() }));
        let stale = json!({"data": {"createCommitOnBranch": null}, "errors": [{"type": "STALE_DATA",
            "message": "Expected branch to point to \"a\" but it did not. Pull and try again."}]});
        assert_eq!(read(&stale), Answer::Moved);
        let refused = json!({"errors": [{"type": "FORBIDDEN", "message": "Resource not accessible"}]});
        assert_eq!(read(&refused), Answer::Refused("Resource not accessible".into()));
        assert!(matches!(read(&json!({})), Answer::Refused(_)));
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
