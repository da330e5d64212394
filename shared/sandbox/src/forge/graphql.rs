//! GitHub's GraphQL API: `createCommitOnBranch`, and reading a branch's head and a file (github/docs, GraphQL
//! reference).

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::query::{self, Selection};
use super::repository::{Change, Entry, Mode, Repository, Signature};
use super::{Access, State, rest, shape};
use crate::http::{Request, Response};

/// An error of GraphQL: its type and message. The answer is 200 all the same.
struct Problem {
    kind: Option<&'static str>,
    message: String,
}

impl Problem {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind: Some(kind), message: message.into() }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self { kind: None, message: error.to_string() }
    }
}

/// Answers `POST /graphql`.
pub(super) fn answer(state: &State, access: Access, request: &Request) -> Response {
    if !matches!(access, Access::Read | Access::Write) {
        return rest::message(StatusCode::UNAUTHORIZED, "This endpoint requires you to be authenticated.");
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return rest::message(StatusCode::BAD_REQUEST, "Problems parsing JSON");
    };
    let text = body.get("query").and_then(Value::as_str).unwrap_or_default();
    let variables = body.get("variables").and_then(Value::as_object).cloned().unwrap_or_default();
    let (is_mutation, fields) = match query::parse(text, &variables) {
        Ok(parsed) => parsed,
        Err(message) => {
            return Response::json(StatusCode::OK, &json!({"errors": [{"message": message}]}));
        }
    };
    let mut data = Map::new();
    let mut errors = Vec::new();
    for field in &fields {
        let value = if is_mutation { mutation(state, access, field) } else { query_field(state, field) };
        let value = value
            .and_then(|value| query::select(&value, &field.fields).map_err(|message| Problem { kind: None, message }));
        data.insert(
            field.key.clone(),
            value.unwrap_or_else(|problem| {
                let mut error =
                    json!({"path": [field.key], "locations": [{"line": 1, "column": 1}], "message": problem.message});
                if let (Some(map), Some(kind)) = (error.as_object_mut(), problem.kind) {
                    map.insert("type".into(), json!(kind));
                }
                errors.push(error);
                Value::Null
            }),
        );
    }
    let mut answer = json!({"data": data});
    if let (Some(map), false) = (answer.as_object_mut(), errors.is_empty()) {
        map.insert("errors".into(), Value::Array(errors));
    }
    Response::json(StatusCode::OK, &answer)
}

fn unknown_repository(name: &str) -> Problem {
    Problem::new("NOT_FOUND", format!("Could not resolve to a Repository with the name '{name}'."))
}

fn query_field(state: &State, field: &Selection) -> Result<Value, Problem> {
    let text = |name: &str| field.arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    match field.name.as_str() {
        "viewer" => Ok(json!({"__typename": "User", "login": state.login()})),
        "rateLimit" => {
            let (used, reset) = state.rate();
            let reset = jiff::Timestamp::from_second(reset).map(shape::time).unwrap_or_default();
            Ok(json!({"__typename": "RateLimit", "limit": 5000, "cost": 1, "used": used,
                "remaining": 5000_u64.saturating_sub(used), "resetAt": reset}))
        }
        "repository" => {
            let name = format!("{}/{}", text("owner"), text("name"));
            // A former name is followed, as `followRenames` has it by default.
            let renamed = || state.by_number(&state.former(&name)?.to_string());
            let repository = state.repository(text("owner"), text("name")).or_else(renamed);
            let repository = repository.ok_or_else(|| unknown_repository(&name))?;
            repository_value(state, &repository, &field.fields)
        }
        other => Err(Problem { kind: None, message: format!("Field '{other}' doesn't exist on type 'Query'") }),
    }
}

/// A repository with those of its fields filled in that depend on arguments.
fn repository_value(state: &State, repository: &Repository, fields: &[Selection]) -> Result<Value, Problem> {
    let full = repository.full_name();
    let mut value = json!({
        "__typename": "Repository", "id": shape::node_id("R", &full), "name": repository.name, "nameWithOwner": full,
        "url": format!("https://github.com/{full}"), "isPrivate": true,
    });
    for field in fields {
        let text = |name: &str| field.arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let inner = match field.name.as_str() {
            "defaultBranchRef" => ref_value(state, repository, &repository.default_branch)?,
            "ref" => ref_value(state, repository, text("qualifiedName").trim_start_matches("refs/heads/"))?,
            "object" => object_value(state, repository, field)?,
            _ => continue,
        };
        if let Some(map) = value.as_object_mut() {
            // `select` looks fields up by name, so one value a name must be enough.
            if map.get(&field.name).is_some_and(|known| *known != inner) {
                return Err(Problem {
                    kind: None,
                    message: format!("Field '{}' is selected twice with different arguments", field.name),
                });
            }
            map.insert(field.name.clone(), inner);
        }
    }
    Ok(value)
}

fn ref_value(state: &State, repository: &Repository, branch: &str) -> Result<Value, Problem> {
    let Some(oid) = repository.branch(branch)? else { return Ok(Value::Null) };
    Ok(json!({
        "__typename": "Ref", "id": ref_id(repository, branch), "name": branch, "prefix": "refs/heads/",
        "target": commit_value(state, repository, oid)?,
    }))
}

fn ref_id(repository: &Repository, branch: &str) -> String {
    shape::node_id("Ref", &format!("{}:{branch}", repository.full_name()))
}

fn commit_value(state: &State, repository: &Repository, oid: super::Oid) -> Result<Value, Problem> {
    let commit = repository.commit(oid)?;
    let (headline, body) = commit.message.split_once("\n\n").unwrap_or((&commit.message, ""));
    let actor = |signature: &Signature| {
        json!({"__typename": "GitActor", "name": signature.name,
        "email": signature.email, "date": shape::time(signature.time)})
    };
    let verified = state.is_verified(oid);
    Ok(json!({
        "__typename": "Commit", "id": shape::node_id("C", &oid.to_string()), "oid": oid.to_string(),
            "abbreviatedOid": oid.short(),
        "url": format!("https://github.com/{}/commit/{oid}", repository.full_name()), "message": commit.message,
        "messageHeadline": headline, "messageBody": body, "committedDate": shape::time(commit.committer.time),
        "authoredDate": shape::time(commit.author.time), "author": actor(&commit.author),
            "committer": actor(&commit.committer),
        "tree": {"__typename": "Tree", "oid": commit.tree.to_string()},
        "signature": if verified { json!({"__typename": "GpgSignature", "isValid": true,
            "state": "VALID"}) } else { Value::Null },
    }))
}

/// The commits on the way to `head` that changed the file `path` since `since`, newest first, each with its own
/// version of the file: `history(first:, path:, since:) { nodes { file(path:) } }`.
fn history_value(
    state: &State,
    repository: &Repository,
    head: super::Oid,
    field: &Selection,
) -> Result<Value, Problem> {
    let text = |name: &str| field.arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let first = field.arguments.get("first").and_then(Value::as_u64).and_then(|first| usize::try_from(first).ok());
    let since = text("since").parse().unwrap_or(jiff::Timestamp::MIN);
    let mut nodes = Vec::new();
    for commit in repository.commits_between(None, head)?.iter().rev() {
        let content = repository.read_file(commit.oid, text("path"))?;
        let before = match commit.parents.first() {
            Some(parent) => repository.read_file(*parent, text("path"))?,
            None => None,
        };
        if commit.committer.time < since || content == before || nodes.len() >= first.unwrap_or(30) {
            continue;
        }
        let mut node = commit_value(state, repository, commit.oid)?;
        if let (Some(map), Some(content)) = (node.as_object_mut(), content) {
            let decoded = String::from_utf8(content).ok();
            let blob = json!({"__typename": "Blob", "isBinary": decoded.is_none(), "text": decoded});
            map.insert("file".into(), json!({"__typename": "TreeEntry", "path": text("path"), "object": blob}));
        }
        nodes.push(node);
    }
    Ok(json!({"__typename": "CommitHistoryConnection", "nodes": nodes}))
}

/// What `expression` (`main`, `main:path`) or `oid` names, as far as it is a commit, a folder or a file.
fn object_value(state: &State, repository: &Repository, field: &Selection) -> Result<Value, Problem> {
    let argument = |name: &str| field.arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let (expression, oid) = (argument("expression"), argument("oid"));
    let (reference, path) = match expression.split_once(':') {
        Some((reference, path)) => (reference, Some(path)),
        None if expression.is_empty() => (oid, None),
        None => (expression, None),
    };
    let Some(commit) = repository.resolve(reference)? else { return Ok(Value::Null) };
    let Some(path) = path else {
        let mut value = commit_value(state, repository, commit)?;
        if let (Some(history), Some(map)) =
            (field.fields.iter().find(|field| field.name == "history"), value.as_object_mut())
        {
            map.insert("history".into(), history_value(state, repository, commit, history)?);
        }
        let files = repository.files(repository.commit(commit)?.tree)?;
        for file in field.fields.iter().filter(|field| field.name == "file") {
            let path = file.arguments.get("path").and_then(Value::as_str).unwrap_or_default();
            let entry = match files.get(path) {
                Some(entry) => file_value(repository, path, *entry)?,
                None => Value::Null,
            };
            if let Some(map) = value.as_object_mut() {
                map.insert(file.key.clone(), entry);
            }
        }
        return Ok(value);
    };
    let tree = repository.commit(commit)?.tree;
    let entries = repository.walk(tree)?;
    let found = if path.is_empty() {
        Some(Entry { mode: Mode::Tree, oid: tree })
    } else {
        entries.iter().find(|(known, _)| known == path.trim_end_matches('/')).map(|(_, entry)| *entry)
    };
    let Some(Entry { mode, oid }) = found else { return Ok(Value::Null) };
    if mode == Mode::Tree {
        let listed: Vec<Value> = repository
            .tree(oid)?
            .into_iter()
            .map(|(name, entry)| {
                let mode = u32::from_str_radix(entry.mode.as_str(), 8).unwrap_or_default();
                json!({"__typename": "TreeEntry", "name": name, "type": entry.mode.kind(), "mode": mode,
                    "oid": entry.oid.to_string()})
            })
            .collect();
        return Ok(json!({"__typename": "Tree", "oid": oid.to_string(), "entries": listed}));
    }
    blob_value(repository, oid)
}

/// The entry of a file in its commit.
fn file_value(repository: &Repository, path: &str, entry: Entry) -> Result<Value, Problem> {
    let mode = u32::from_str_radix(entry.mode.as_str(), 8).unwrap_or_default();
    Ok(json!({"__typename": "TreeEntry", "path": path, "type": entry.mode.kind(), "mode": mode,
        "oid": entry.oid.to_string(), "object": blob_value(repository, entry.oid)?}))
}

fn blob_value(repository: &Repository, oid: super::Oid) -> Result<Value, Problem> {
    let content = repository.blob(oid)?.unwrap_or_default();
    let text = String::from_utf8(content.clone()).ok();
    Ok(json!({"__typename": "Blob", "oid": oid.to_string(), "byteSize": content.len(), "isBinary": text.is_none(),
        "isTruncated": false, "text": text}))
}

fn mutation(state: &State, access: Access, field: &Selection) -> Result<Value, Problem> {
    if !matches!(field.name.as_str(), "createCommitOnBranch" | "enablePullRequestAutoMerge") {
        return Err(Problem {
            kind: None,
            message: format!("Field '{}' doesn't exist on type 'Mutation'", field.name),
        });
    }
    if access != Access::Write {
        return Err(Problem::new("FORBIDDEN", "Resource not accessible by integration"));
    }
    let input = field.arguments.get("input").cloned().unwrap_or_default();
    if field.name == "createCommitOnBranch" {
        return create_commit(state, &input);
    }
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let enabled = state.enable_auto_merge(text("pullRequestId"), text("mergeMethod"));
    let number = enabled.map_err(|message| Problem::new("UNPROCESSABLE", message))?;
    Ok(json!({"__typename": "EnablePullRequestAutoMergePayload",
        "pullRequest": {"__typename": "PullRequest", "number": number}}))
}

fn create_commit(state: &State, input: &Value) -> Result<Value, Problem> {
    let text = |pointer: &str| input.pointer(pointer).and_then(Value::as_str);
    let (repository, branch) = target(state, input)?;
    if let Some((kind, message)) = state.faults().refused(&branch) {
        return Err(Problem::new(kind, message));
    }
    let Some(expected) = text("/expectedHeadOid") else {
        return Err(Problem {
            kind: None,
            message: "Variable $input of type CreateCommitOnBranchInput! was provided invalid value for \
                      expectedHeadOid (Expected value to not be null)"
                .into(),
        });
    };
    let headline = text("/message/headline").filter(|text| !text.is_empty());
    let headline = headline.ok_or_else(|| Problem::new("UNPROCESSABLE", "A commit message is required."))?;
    let message =
        text("/message/body").filter(|b| !b.is_empty()).map_or(headline.to_owned(), |b| format!("{headline}\n\n{b}"));
    state.faults().run_race();
    let moved = || {
        let message = format!("Expected branch to point to \"{expected}\" but it did not.  Pull and try again.");
        Problem::new("STALE_DATA", message)
    };
    let head = repository.branch(&branch)?.filter(|head| head.to_string() == expected).ok_or_else(moved)?;
    let files = repository.files(repository.commit(head)?.tree)?;
    let changes = changes(input, &files)?;
    let signature = Signature {
        name: state.login().to_owned(),
        email: format!("{}+{}@users.noreply.github.com", shape::number(state.login()), state.login()),
        time: state.now(),
    };
    let committer = Signature { name: "GitHub".into(), email: "noreply@github.com".into(), time: state.now() };
    let commit = repository.write_commit(Some(head), &changes, &message, &signature, &committer)?;
    if !repository.objects().move_reference(&format!("refs/heads/{branch}"), Some(head), commit)? {
        return Err(moved());
    }
    state.verify(commit);
    state.announce(&repository)?;
    Ok(json!({
        "__typename": "CreateCommitOnBranchPayload", "clientMutationId": input.get("clientMutationId"),
        "commit": commit_value(state, &repository, commit)?, "ref": ref_value(state, &repository, &branch)?,
    }))
}

fn target(state: &State, input: &Value) -> Result<(std::sync::Arc<Repository>, String), Problem> {
    let text = |pointer: &str| input.pointer(pointer).and_then(Value::as_str);
    if let Some(id) = text("/branch/id") {
        let decoded = STANDARD.decode(id).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let parts = decoded.strip_prefix("Ref:").and_then(|rest| rest.split_once(':'));
        let found = parts.and_then(|(full, branch)| Some((state.by_full_name(full)?, branch.to_owned())));
        return found.ok_or_else(|| {
            Problem::new("NOT_FOUND", format!("Could not resolve to a node with the global id of '{id}'"))
        });
    }
    let full = text("/branch/repositoryNameWithOwner").unwrap_or_default();
    let repository = state.by_full_name(full).ok_or_else(|| unknown_repository(full))?;
    let branch = text("/branch/branchName").unwrap_or_default().trim_start_matches("refs/heads/").to_owned();
    if repository.branch(&branch)?.is_none() {
        return Err(Problem::new("NOT_FOUND", format!("A branch named \"{branch}\" was not found in \"{full}\".")));
    }
    Ok((repository, branch))
}

fn changes(input: &Value, files: &std::collections::BTreeMap<String, Entry>) -> Result<Vec<Change>, Problem> {
    let list = |pointer: &str| input.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let path_of = |change: &Value| {
        let path = change.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
        let plain = !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git"));
        if plain { Ok(path) } else { Err(Problem::new("UNPROCESSABLE", format!("The path '{path}' is invalid"))) }
    };
    let mut changes = Vec::new();
    for deletion in list("/fileChanges/deletions") {
        let path = path_of(&deletion)?;
        if !files.contains_key(&path) {
            return Err(Problem::new("UNPROCESSABLE", "A path was requested for deletion which does not exist"));
        }
        changes.push(Change::delete(path));
    }
    for addition in list("/fileChanges/additions") {
        let path = path_of(&addition)?;
        let contents = addition.get("contents").and_then(Value::as_str).unwrap_or_default();
        let contents =
            STANDARD.decode(contents).map_err(|_| Problem::new("UNPROCESSABLE", "Contents are not valid base64"))?;
        // The mutation can't set a mode: a file that is there keeps its own.
        let mode = files.get(&path).map_or(Mode::File, |entry| entry.mode);
        changes.push(Change { path, content: Some((mode, contents)) });
    }
    Ok(changes)
}
