//! Proposes changes: branches that are made for them, and pull requests from one branch of a repository to another.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, GitHub, GithubError, MAX_ANSWER, REQUEST, decode, escape, graphql_error};
use crate::source::Repo;

/// Pull requests of one branch that are read, the last changed first.
const MAX_LISTED: usize = 10;

const AUTO_MERGE: &str = "mutation($input: EnablePullRequestAutoMergeInput!) { \
    enablePullRequestAutoMerge(input: $input) { pullRequest { number } } }";

/// How a pull request is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeMethod {
    /// By a merge commit.
    Merge,
    /// As one commit.
    Squash,
    /// Commit by commit.
    Rebase,
}

impl MergeMethod {
    /// Reads GitHub's word; `None` where there is no such.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Merge, Self::Squash, Self::Rebase].into_iter().find(|method| method.word() == text)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        }
    }
}

/// A pull request.
#[derive(Debug, Clone, Deserialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    node_id: String,
    state: String,
    merged_at: Option<String>,
    /// The text below its title.
    #[serde(default)]
    pub body: Option<String>,
    /// Its web page.
    #[serde(rename = "html_url")]
    pub url: String,
    head: Head,
}

#[derive(Debug, Clone, Deserialize)]
struct Head {
    sha: String,
}

impl Pull {
    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }

    /// Whether it was merged.
    pub fn is_merged(&self) -> bool {
        self.merged_at.is_some()
    }

    /// The newest commit of its branch.
    pub fn head(&self) -> &str {
        &self.head.sha
    }
}

/// What a pull request says.
#[derive(Debug, Clone, Copy)]
pub struct PullText<'a> {
    /// The title.
    pub title: &'a str,
    /// The text below.
    pub body: &'a str,
}

impl GitHub {
    /// The newest pull requests of `branch` for `base`, open or not, the last changed first.
    pub async fn pulls_of(&self, repo: &Repo, branch: &str, base: &str) -> Result<Vec<Pull>, GithubError> {
        let what = format!("list the pull requests of `{branch}` of {repo}");
        let full_name = repo.to_string();
        let owner = full_name.split('/').next().unwrap_or_default();
        let (head, base) = (escape(branch).replace('/', "%2F"), escape(base).replace('/', "%2F"));
        let path = format!(
            "/repos/{repo}/pulls?state=all&head={owner}:{head}&base={base}&sort=updated&direction=desc\
             &per_page={MAX_LISTED}"
        );
        self.get(&what, &path).await
    }

    /// Opens a pull request of `branch` for `base`.
    pub async fn open_pull(
        &self,
        repo: &Repo,
        (branch, base): (&str, &str),
        PullText { title, body }: PullText<'_>,
    ) -> Result<Pull, GithubError> {
        let what = format!("open a pull request of `{branch}` of {repo}");
        let body = json!({ "title": title, "body": body, "head": branch, "base": base });
        let sent = self.write(&what, &format!("/repos/{repo}/pulls"), Call::Post(&body)).await?;
        decode(&what, &sent)
    }

    /// Changes what the pull request says.
    pub async fn edit_pull(&self, repo: &Repo, number: u64, text: PullText<'_>) -> Result<(), GithubError> {
        let what = format!("change the pull request {number} of {repo}");
        let body = json!({ "title": text.title, "body": text.body });
        self.write(&what, &format!("/repos/{repo}/pulls/{number}"), Call::Patch(&body)).await.map(drop)
    }

    /// Closes the pull request without merging it, and says why; `text` is what it says from then on.
    pub async fn close_pull(&self, repo: &Repo, number: u64, why: &str, text: &str) -> Result<(), GithubError> {
        let what = format!("close the pull request {number} of {repo}");
        let comment = json!({ "body": why });
        self.write(&what, &format!("/repos/{repo}/issues/{number}/comments"), Call::Post(&comment)).await?;
        let body = json!({ "state": "closed", "body": text });
        self.write(&what, &format!("/repos/{repo}/pulls/{number}"), Call::Patch(&body)).await.map(drop)
    }

    /// Adds labels to the pull request; those that the repository does not have are made.
    pub async fn label(&self, repo: &Repo, number: u64, labels: &[&String]) -> Result<(), GithubError> {
        let what = format!("label the pull request {number} of {repo}");
        let body = json!({ "labels": labels });
        self.write(&what, &format!("/repos/{repo}/issues/{number}/labels"), Call::Post(&body)).await.map(drop)
    }

    /// Asks for reviews: users, and teams as `ORGANIZATION/TEAM`.
    pub async fn ask_for_review(&self, repo: &Repo, number: u64, of: &[&String]) -> Result<(), GithubError> {
        let what = format!("ask for a review of the pull request {number} of {repo}");
        let teams: Vec<&str> = of.iter().filter_map(|one| one.split_once('/')).map(|(_, team)| team).collect();
        let users: Vec<&&String> = of.iter().filter(|one| !one.contains('/')).collect();
        let body = json!({ "reviewers": users, "team_reviewers": teams });
        let path = format!("/repos/{repo}/pulls/{number}/requested_reviewers");
        self.write(&what, &path, Call::Post(&body)).await.map(drop)
    }

    /// Merges the pull request once all is there that its branch requires: at once where nothing is missing.
    pub async fn merge_when_ready(&self, repo: &Repo, pull: &Pull, method: MergeMethod) -> Result<(), GithubError> {
        let number = pull.number;
        let what = format!("have the pull request {number} of {repo} merged");
        let word = method.word();
        let input = json!({ "pullRequestId": pull.node_id, "mergeMethod": word.to_uppercase() });
        let answer = self.graphql(&what, AUTO_MERGE, json!({ "input": input })).await?;
        if answer.pointer("/data/enablePullRequestAutoMerge/pullRequest").is_some_and(Value::is_object) {
            return Ok(());
        }
        let message = answer.pointer("/errors/0/message").and_then(Value::as_str).unwrap_or_default();
        // GitHub: "Pull request Pull request is in clean status".
        if !message.contains("clean status") {
            return Err(graphql_error(&what, &answer));
        }
        let body = json!({ "merge_method": word });
        self.write(&what, &format!("/repos/{repo}/pulls/{number}/merge"), Call::Put(&body)).await.map(drop)
    }

    /// Moves the branch to the commit `sha`, wherever it was; makes it where there is none.
    pub async fn set_branch(&self, repo: &Repo, branch: &str, sha: &str) -> Result<(), GithubError> {
        let what = format!("move the branch `{branch}` of {repo}");
        let path = format!("/repos/{repo}/git/refs/heads/{}", escape(branch));
        match self.write(&what, &path, Call::Patch(&json!({ "sha": sha, "force": true }))).await {
            Err(GithubError::Status { status: 404 | 422, message, .. }) if is_no_reference(&message) => {
                self.create_branch(repo, branch, sha).await
            }
            sent => sent.map(drop),
        }
    }

    /// Deletes the branch; one that is gone already is no error.
    pub async fn delete_branch(&self, repo: &Repo, branch: &str) -> Result<(), GithubError> {
        let what = format!("delete the branch `{branch}` of {repo}");
        let path = format!("/repos/{repo}/git/refs/heads/{}", escape(branch));
        match self.write(&what, &path, Call::Delete).await {
            Err(GithubError::Status { status: 404 | 422, message, .. }) if is_no_reference(&message) => Ok(()),
            sent => sent.map(drop),
        }
    }

    async fn write(&self, what: &str, path: &str, call: Call<'_>) -> Result<Vec<u8>, GithubError> {
        let (body, _) = self.send(what, path, call, (REQUEST, MAX_ANSWER)).await?;
        Ok(body.unwrap_or_default().bytes)
    }
}

fn is_no_reference(message: &str) -> bool {
    message.contains("Reference does not exist") || message.contains("Not Found")
}
