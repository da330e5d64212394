//! Reads single files of a commit, without its archive.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use slipway_manifest::{Tree, TreeError};

use super::Repo;
use super::github::{GitHub, GithubError, graphql_error};

/// Files that one request asks for.
const MAX_FILES: usize = 100;
/// Git's mode of a symlink.
const SYMLINK: u64 = 0o120_000;

/// Some files of a commit.
#[derive(Debug)]
pub struct Files {
    /// The repository, by the name that it has now.
    pub repo: Repo,
    /// The files, as far as they are in the commit.
    pub tree: Tree,
    /// Whether one of them is a symlink, or was asked for below one: the way goes on elsewhere.
    pub has_links: bool,
}

/// Reads the files at `paths` of the commit `sha`; what is not there is left out.
pub async fn read(github: &GitHub, repo: &Repo, sha: &str, paths: &BTreeSet<String>) -> Result<Files, GithubError> {
    let what = format!("read files of {repo} at {sha}");
    let mut files = Files { repo: repo.clone(), tree: Tree::default(), has_links: false };
    let wrong = |problem: String| GithubError::Answer { what: what.clone(), problem };
    let full_name = repo.to_string();
    let (owner, name) = full_name.split_once('/').unwrap_or_default();
    let paths: Vec<&String> = paths.iter().collect();
    for paths in paths.chunks(MAX_FILES) {
        let mut variables: Map<String, Value> = Map::new();
        variables.extend([("owner", owner), ("name", name), ("sha", sha)].map(|(key, text)| (key.into(), json!(text))));
        let (mut declared, mut fields) = (String::new(), String::new());
        for (index, path) in paths.iter().enumerate() {
            variables.insert(format!("p{index}"), json!(path));
            let _ = write!(declared, ", $p{index}: String!");
            let _ = write!(
                fields,
                " f{index}: file(path: $p{index}) \
                 {{ mode oid object {{ ... on Blob {{ text isBinary isTruncated }} }} }}"
            );
        }
        let query = format!(
            "query($owner: String!, $name: String!, $sha: GitObjectID!{declared}) {{ repository(owner: $owner, \
             name: $name) {{ nameWithOwner object(oid: $sha) {{ ... on Commit {{ oid{fields} }} }} }} }}"
        );
        let answer = github.graphql(&what, &query, Value::Object(variables)).await?;
        let repository = answer.pointer("/data/repository").filter(|found| !found.is_null());
        let Some(repository) = repository else { return Err(graphql_error(&what, &answer)) };
        let named = repository.get("nameWithOwner").and_then(Value::as_str).and_then(|name| name.parse().ok());
        files.repo = named.ok_or_else(|| wrong("the answer names no repository".to_owned()))?;
        let commit = repository.get("object").filter(|commit| commit.get("oid").is_some());
        let commit = commit.ok_or_else(|| wrong("the answer has no commit".to_owned()))?;
        for (index, path) in paths.iter().enumerate() {
            let Some(entry) = commit.get(format!("f{index}")).filter(|entry| !entry.is_null()) else { continue };
            if entry.get("mode").and_then(Value::as_u64) == Some(SYMLINK) {
                files.has_links = true;
                continue;
            }
            let bytes = match (entry.pointer("/object/text"), entry.pointer("/object/isTruncated")) {
                (Some(Value::String(text)), Some(Value::Bool(false))) => text.clone().into_bytes(),
                // Folders have no text.
                (None, _) => continue,
                _ => {
                    let oid = entry.get("oid").and_then(Value::as_str);
                    github.blob(repo, oid.ok_or_else(|| wrong("a file has no id".to_owned()))?).await?
                }
            };
            files.tree.insert(path, bytes).map_err(|error: TreeError| wrong(error.to_string()))?;
        }
    }
    Ok(files)
}
