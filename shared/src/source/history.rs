//! Reads what a file was in earlier commits.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Repo;
use super::github::{GitHub, GithubError};

/// Commits that are read: more changes of one file since an image was pushed are as good as none.
const MAX_VERSIONS: usize = 100;

const QUERY: &str = "query($owner: String!, $name: String!, $head: GitObjectID!, $path: String!, \
    $since: GitTimestamp!, $first: Int!) { repository(owner: $owner, name: $name) { object(oid: $head) { \
    ... on Commit { history(first: $first, path: $path, since: $since) { nodes { \
    file(path: $path) { object { ... on Blob { text } } } } } } } } }";

/// The texts that the file `path` got in commits since `since`, up to the commit `head`; the newest first, at most
/// [`MAX_VERSIONS`]. Commits without the file, or with one that is no text, are left out.
pub async fn versions(
    github: &GitHub,
    repo: &Repo,
    head: &str,
    path: &str,
    since: Timestamp,
) -> Result<Vec<String>, GithubError> {
    let what = format!("read the history of `{path}` of {repo}");
    let full_name = repo.to_string();
    let (owner, name) = full_name.split_once('/').unwrap_or_default();
    let variables = json!({ "owner": owner, "name": name, "head": head, "path": path, "since": since,
        "first": MAX_VERSIONS });
    let answer = github.graphql(&what, QUERY, variables).await?;
    let Some(nodes) = answer.pointer("/data/repository/object/history/nodes").and_then(Value::as_array) else {
        let problem = answer.pointer("/errors/0/message").and_then(Value::as_str);
        return Err(GithubError::Answer { what, problem: problem.unwrap_or("the answer has no history").to_owned() });
    };
    let text = |node: &Value| node.pointer("/file/object/text").and_then(Value::as_str).map(str::to_owned);
    Ok(nodes.iter().filter_map(text).collect())
}
