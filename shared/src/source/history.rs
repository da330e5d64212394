//! Reads what a file was in earlier commits.

use serde_json::{Value, json};

use super::Repo;
use super::github::{GitHub, GithubError, graphql_error};

/// Commits that are read: what was taken back before a hundred changes of the file is forgotten.
const MAX_VERSIONS: usize = 100;

const QUERY: &str = "query($owner: String!, $name: String!, $head: GitObjectID!, $path: String!, \
    $first: Int!) { repository(owner: $owner, name: $name) { object(oid: $head) { \
    ... on Commit { history(first: $first, path: $path) { nodes { \
    file(path: $path) { object { ... on Blob { text } } } } } } } } }";

/// The texts that the file `path` got in the commits up to `head`; the newest first, at most
/// [`MAX_VERSIONS`]. Commits without the file, or with one that is no text, are left out.
pub async fn versions(github: &GitHub, repo: &Repo, head: &str, path: &str) -> Result<Vec<String>, GithubError> {
    let what = format!("read the history of `{path}` of {repo}");
    let full_name = repo.to_string();
    let (owner, name) = full_name.split_once('/').unwrap_or_default();
    let variables = json!({ "owner": owner, "name": name, "head": head, "path": path, "first": MAX_VERSIONS });
    let answer = github.graphql(&what, QUERY, variables).await?;
    let Some(nodes) = answer.pointer("/data/repository/object/history/nodes").and_then(Value::as_array) else {
        return Err(graphql_error(&what, &answer));
    };
    let text = |node: &Value| node.pointer("/file/object/text").and_then(Value::as_str).map(str::to_owned);
    Ok(nodes.iter().filter_map(text).collect())
}
