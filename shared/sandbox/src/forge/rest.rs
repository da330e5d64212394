//! GitHub's REST API: the part that a deployment reads and writes (github/rest-api-description holds the shapes).

use std::collections::HashMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::objects::Oid;
use super::repository::{Entry, Mode, Repository};
use super::{Access, State, archive, graphql, hooks, pulls, shape};
use crate::http::{Request, Response};
use crate::lock;

/// GitHub lists at most so many entries of a tree.
const TREE_LIMIT: usize = 100_000;
/// A comparison lists at most so many commits and files.
const COMPARED_COMMITS: usize = 250;
const COMPARED_FILES: usize = 300;
/// A context of one commit takes at most so many statuses.
const STATUSES_LIMIT: usize = 1000;

/// Why a request is not answered with 2xx: what GitHub says.
pub(super) enum Refusal {
    NotFound,
    Status(StatusCode, String),
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) type Answer = Result<Response, Refusal>;

/// The error body of GitHub.
pub(super) fn message(status: StatusCode, text: &str) -> Response {
    let body = json!({"message": text, "documentation_url": "https://docs.github.com/rest",
        "status": status.as_u16().to_string()});
    Response::json(status, &body)
}

pub(super) fn unprocessable(text: impl Into<String>) -> Refusal {
    Refusal::Status(StatusCode::UNPROCESSABLE_ENTITY, text.into())
}

/// Answers one request.
pub(super) fn answer(state: &State, request: &Request) -> Response {
    let answer = route(state, request).unwrap_or_else(|refusal| match refusal {
        Refusal::NotFound => message(StatusCode::NOT_FOUND, "Not Found"),
        Refusal::Status(status, text) => message(status, &text),
        Refusal::Io(error) => message(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    });
    conditional(request, answer)
}

/// Adds the ETag to an answer of a GET, and turns it into 304 when the client has it already.
fn conditional(request: &Request, answer: Response) -> Response {
    let crate::http::Body::Full(body) = &answer.body else { return answer };
    if request.method != Method::GET || answer.status != StatusCode::OK {
        return answer;
    }
    let etag = format!("W/\"{}\"", Oid::of("etag", body));
    if request.header("if-none-match").is_some_and(|known| known.split(", ").any(|known| known == etag)) {
        return Response::new(StatusCode::NOT_MODIFIED, "").with("etag", &etag);
    }
    answer.with("etag", &etag).with("cache-control", "private, max-age=60, s-maxage=60")
}

fn route(state: &State, request: &Request) -> Answer {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let ["codeload", owner, name, "legacy.tar.gz", reference @ ..] = segments.as_slice() {
        return codeload(state, request, owner, name, &reference.join("/"));
    }
    if let [owner, name, "info", "lfs", "objects", rest @ ..] = segments.as_slice() {
        return lfs(state, request, &format!("{owner}/{name}"), rest);
    }
    let access = state.access(request).map_err(|text| Refusal::Status(StatusCode::UNAUTHORIZED, text))?;
    match segments.as_slice() {
        [] => Ok(Response::json(StatusCode::OK, &json!({"current_user_url": format!("{}/user", state.base())}))),
        ["rate_limit"] => Ok(Response::json(StatusCode::OK, &rate_limit(state))),
        ["graphql"] if request.method == Method::POST => Ok(graphql::answer(state, access, request)),
        ["app", "installations", id, "access_tokens"] if request.method == Method::POST => {
            installation_token(state, access, id)
        }
        ["app", "installations", id] if request.method == Method::GET && access == Access::App => {
            let is_ours = *id == state.installation_id().to_string();
            let installation = || Response::json(StatusCode::OK, &installation(state, "acme"));
            is_ours.then(installation).ok_or(Refusal::NotFound)
        }
        ["app", "installations"] if request.method == Method::GET && access == Access::App => {
            Ok(page(request, vec![installation(state, "acme")]))
        }
        ["app-manifests", code, "conversions"] if request.method == Method::POST => hooks::created(state, code),
        ["app", rest @ ..] => hooks::app(state, access, request, rest).unwrap_or(Err(Refusal::NotFound)),
        ["orgs", owner, "repos"] if request.method == Method::GET && access != Access::None => {
            let of_owner = state.of_owner(owner);
            let listed = of_owner.iter().map(|repository| shape::repository(state.base(), repository, state.now()));
            if of_owner.is_empty() { Err(Refusal::NotFound) } else { Ok(page(request, listed.collect())) }
        }
        ["repos", owner, name, rest @ ..] if state.former(&format!("{owner}/{name}")).is_some() => {
            let number = state.former(&format!("{owner}/{name}")).unwrap_or_default();
            let pairs: Vec<String> = request.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let location = format!("{}/repositories/{number}/{}?{}", state.base(), rest.join("/"), pairs.join("&"));
            let body = json!({"message": "Moved Permanently", "url": location});
            Ok(Response::json(StatusCode::MOVED_PERMANENTLY, &body).with("location", &location))
        }
        ["repos", _, _, rest @ ..] | ["repositories", _, rest @ ..] => {
            let repository = match segments.as_slice() {
                ["repos", owner, name, ..] => state.repository(owner, name),
                [_, number, ..] => state.by_number(number),
                _ => None,
            };
            let repository = repository.ok_or(Refusal::NotFound)?;
            // To those who may not read it, a private repository is not there.
            if access == Access::None || (access == Access::App && rest != ["installation"]) {
                return Err(Refusal::NotFound);
            }
            match request.method {
                Method::GET if rest.first() == Some(&"hooks") => {
                    hooks::of_repository(state, &repository.full_name(), request, rest.get(1..).unwrap_or_default())
                }
                Method::GET => get(state, &repository, request, rest),
                _ if access != Access::Write => {
                    Err(Refusal::Status(StatusCode::FORBIDDEN, "Resource not accessible by integration".into()))
                }
                _ => write(state, &repository, request, rest),
            }
        }
        _ => Err(Refusal::NotFound),
    }
}

fn rate_limit(state: &State) -> Value {
    let (used, reset) = state.rate();
    let core = json!({"limit": 5000, "used": used, "remaining": 5000_u64.saturating_sub(used), "reset": reset});
    json!({"resources": {"core": core, "search": core, "graphql": core}, "rate": core})
}

fn installation_token(state: &State, access: Access, id: &str) -> Answer {
    if access != Access::App {
        return Err(Refusal::Status(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded".into()));
    }
    if id != state.installation_id().to_string() {
        return Err(Refusal::NotFound);
    }
    let (token, expires) = state.new_installation_token();
    let body = json!({
        "token": token, "expires_at": shape::time(expires), "repository_selection": "all",
        "permissions": {"contents": "write", "metadata": "read", "statuses": "write"},
    });
    Ok(Response::json(StatusCode::CREATED, &body))
}

fn installation(state: &State, owner: &str) -> Value {
    let id = state.installation_id();
    let api = format!("{}/app/installations/{id}", state.base());
    let time = shape::time(state.now());
    json!({
        "id": id, "account": shape::user(state.base(), owner), "repository_selection": "all",
        "access_tokens_url": format!("{api}/access_tokens"),
            "repositories_url": format!("{}/installation/repositories", state.base()),
        "html_url": format!("https://github.com/settings/installations/{id}"), "app_id": state.app_id(),
            "app_slug": "slipway",
        "target_id": shape::number(owner), "target_type": "Organization",
        "permissions": {"contents": "write", "metadata": "read", "statuses": "write"}, "events": ["push"],
        "created_at": time, "updated_at": time, "single_file_name": null, "suspended_by": null, "suspended_at": null,
    })
}

fn get(state: &State, repository: &Repository, request: &Request, rest: &[&str]) -> Answer {
    let base = state.base();
    let ok = |value: &Value| Ok(Response::json(StatusCode::OK, value));
    match rest {
        [] => ok(&shape::repository(base, repository, state.now())),
        ["installation"] => ok(&installation(state, &repository.owner)),
        ["commits", reference @ .., "status"] if !reference.is_empty() => {
            let oid = resolve(repository, &reference.join("/"))?;
            ok(&combined_status(state, repository, oid))
        }
        ["commits", reference @ .., "statuses"] if !reference.is_empty() => {
            let oid = resolve(repository, &reference.join("/"))?;
            ok(&Value::Array(state.statuses(oid)))
        }
        ["commits"] => {
            let head = resolve(repository, request.query("sha").unwrap_or("HEAD"))?;
            let mut commits = repository.commits_between(None, head)?;
            commits.reverse();
            let page: Vec<Value> =
                commits.iter().take(page_size(request)).map(|commit| state.commit_json(repository, commit)).collect();
            ok(&Value::Array(page))
        }
        ["commits", reference @ ..] => {
            let oid = resolve(repository, &reference.join("/"))?;
            if request.header("accept").is_some_and(|accept| accept.contains("sha")) {
                let answer = Response::new(StatusCode::OK, oid.to_string());
                return Ok(answer.with("content-type", "application/vnd.github.sha; charset=utf-8"));
            }
            let commit = repository.commit(oid)?;
            let mut value = state.commit_json(repository, &commit);
            let files = compared_files(state, repository, commit.parents.first().copied(), oid)?;
            if let Some(map) = value.as_object_mut() {
                let sum = |name: &str| files.iter().filter_map(|file| file.get(name)?.as_u64()).sum::<u64>();
                let (additions, deletions) = (sum("additions"), sum("deletions"));
                map.insert(
                    "stats".into(),
                    json!({"total": additions + deletions, "additions": additions, "deletions": deletions}),
                );
                map.insert("files".into(), Value::Array(files));
            }
            ok(&value)
        }
        ["git", "commits", sha] => {
            let oid = sha.parse().map_err(|_| Refusal::NotFound)?;
            let commit = repository.commit(oid).map_err(|_| Refusal::NotFound)?;
            ok(&shape::git_commit(base, repository, &commit, state.is_verified(oid)))
        }
        ["git", "ref", name @ ..] => {
            let name = format!("refs/{}", name.join("/"));
            let oid = repository.objects().reference(&name)?.ok_or(Refusal::NotFound)?;
            ok(&reference(base, repository, &name, oid))
        }
        ["branches", name @ ..] if !name.is_empty() => {
            let name = name.join("/");
            let not_found = || Refusal::Status(StatusCode::NOT_FOUND, "Branch not found".into());
            let oid = repository.branch(&name)?.ok_or_else(not_found)?;
            ok(&branch(state, repository, &name, &repository.commit(oid)?))
        }
        ["git", "trees", name @ ..] if !name.is_empty() => {
            ok(&tree(state, repository, &name.join("/"), request.query("recursive").is_some())?)
        }
        ["git", "blobs", sha] => {
            let oid: Oid = sha.parse().map_err(|_| Refusal::NotFound)?;
            let content = repository.blob(oid)?.ok_or(Refusal::NotFound)?;
            if request.header("accept").is_some_and(|accept| accept.contains("raw")) {
                return Ok(Response::new(StatusCode::OK, content)
                    .with("content-type", "application/vnd.github.raw; charset=utf-8"));
            }
            ok(&blob(base, repository, oid, &content))
        }
        ["tarball", name @ ..] => {
            let name = name.join("/");
            let name = if name.is_empty() { repository.default_branch.clone() } else { name };
            let location = format!(
                "{base}/codeload/{}/legacy.tar.gz/{name}?token={}",
                repository.full_name(),
                state.codeload_token()
            );
            Ok(Response::new(StatusCode::FOUND, "").with("location", &location))
        }
        ["compare", span @ ..] => {
            let span = span.join("/");
            let (old, new) = span.split_once("...").ok_or(Refusal::NotFound)?;
            let not_found = |_| Refusal::NotFound;
            let (old, new) =
                (resolve(repository, old).map_err(not_found)?, resolve(repository, new).map_err(not_found)?);
            ok(&compare(state, repository, &span, old, new)?)
        }
        _ => listed(state, repository, request, rest),
    }
}

/// What generators of ApplicationSets look at: branches, pull requests, paths.
fn listed(state: &State, repository: &Repository, request: &Request, rest: &[&str]) -> Answer {
    let ok = |value: &Value| Ok(Response::json(StatusCode::OK, value));
    match rest {
        ["branches"] => {
            let mut listed = Vec::new();
            for (name, oid) in repository.objects().references()? {
                if let Some(name) = name.strip_prefix("refs/heads/") {
                    listed.push(short_branch(state, repository, name, oid));
                }
            }
            Ok(page(request, listed))
        }
        ["pulls"] => pulls::list(state, repository, request),
        ["pulls", number] => {
            let number = number.parse().map_err(|_| Refusal::NotFound)?;
            ok(&pulls::full(state, repository, &state.pull(repository, number).ok_or(Refusal::NotFound)?)?)
        }
        ["contents", path @ ..] => {
            let head = repository.resolve(request.query("ref").unwrap_or("HEAD"))?.ok_or(Refusal::NotFound)?;
            ok(&contents(state, repository, head, &path.join("/"))?)
        }
        _ => Err(Refusal::NotFound),
    }
}

fn page_size(request: &Request) -> usize {
    request.query("per_page").and_then(|size| size.parse().ok()).unwrap_or(30).clamp(1, 100)
}

/// One page of a list, with the link to the next.
pub(super) fn page(request: &Request, all: Vec<Value>) -> Response {
    let (number, size) = (request.query("page").and_then(|page| page.parse().ok()).unwrap_or(1), page_size(request));
    let has_next = all.len() > size.saturating_mul(number);
    let page: Vec<Value> = all.into_iter().skip(size.saturating_mul(number.saturating_sub(1))).take(size).collect();
    let answer = Response::json(StatusCode::OK, &Value::Array(page));
    if !has_next {
        return answer;
    }
    let next = format!("<https://api.github.com{}?page={}>; rel=\"next\"", request.path, number + 1);
    answer.with("link", &next)
}

/// `short-branch`.
fn short_branch(state: &State, repository: &Repository, name: &str, head: Oid) -> Value {
    let url = format!("{}/repos/{}/commits/{head}", state.base(), repository.full_name());
    json!({"name": name, "commit": {"sha": head.to_string(), "url": url}, "protected": false})
}

/// A file, or the entries of a folder.
fn contents(state: &State, repository: &Repository, head: Oid, path: &str) -> Result<Value, Refusal> {
    let files = repository.files(repository.commit(head)?.tree)?;
    let entry = |path: &str, kind: &str, oid: Oid| {
        let url = format!("{}/repos/{}/contents/{path}?ref={head}", state.base(), repository.full_name());
        let web = format!("https://github.com/{}/{kind}/{head}/{path}", repository.full_name());
        let name = path.rsplit('/').next().unwrap_or_default();
        json!({"type": kind, "size": 0, "name": name, "path": path, "sha": oid.to_string(), "url": url,
            "git_url": null, "html_url": web, "download_url": null,
            "_links": {"git": null, "self": url, "html": web}})
    };
    if let Some(file) = files.get(path) {
        let mut value = entry(path, "file", file.oid);
        let content = repository.blob(file.oid)?.unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.insert("encoding".into(), json!("base64"));
            map.insert("content".into(), json!(STANDARD.encode(content)));
        }
        return Ok(value);
    }
    let below = files.iter().filter(|(file, _)| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')));
    let listed: Vec<Value> = below.map(|(file, found)| entry(file, "file", found.oid)).collect();
    if listed.is_empty() { Err(Refusal::NotFound) } else { Ok(Value::Array(listed)) }
}

fn resolve(repository: &Repository, name: &str) -> Result<Oid, Refusal> {
    if repository.objects().references()?.is_empty() {
        return Err(Refusal::Status(StatusCode::CONFLICT, "Git Repository is empty.".into()));
    }
    repository.resolve(name)?.ok_or_else(|| unprocessable(format!("No commit found for SHA: {name}")))
}

fn reference(base: &str, repository: &Repository, name: &str, oid: Oid) -> Value {
    let api = format!("{base}/repos/{}", repository.full_name());
    json!({
        "ref": name, "node_id": shape::node_id("Ref", name), "url": format!("{api}/git/{name}"),
        "object": {"sha": oid.to_string(), "type": "commit", "url": format!("{api}/git/commits/{oid}")},
    })
}

fn branch(state: &State, repository: &Repository, name: &str, head: &super::repository::Commit) -> Value {
    let api = format!("{}/repos/{}/branches/{name}", state.base(), repository.full_name());
    json!({
        "name": name, "commit": state.commit_json(repository, head),
        "_links": {"self": api, "html": format!("https://github.com/{}/tree/{name}", repository.full_name())},
        "protected": false, "protection": {"enabled": false, "required_status_checks": {"enforcement_level": "off",
            "contexts": [], "checks": []}},
        "protection_url": format!("{api}/protection"),
    })
}

fn tree(state: &State, repository: &Repository, name: &str, recursive: bool) -> Result<Value, Refusal> {
    let oid = match repository.resolve(name)? {
        Some(commit) => repository.commit(commit)?.tree,
        None => name.parse().map_err(|_| Refusal::NotFound)?,
    };
    let entries = if recursive { repository.walk(oid) } else { repository.tree(oid) };
    let mut entries = entries.map_err(|_| Refusal::NotFound)?;
    let limit = state.faults().tree_limit().unwrap_or(TREE_LIMIT);
    let truncated = entries.len() > limit;
    entries.truncate(limit);
    let api = format!("{}/repos/{}/git", state.base(), repository.full_name());
    let mut listed = Vec::with_capacity(entries.len());
    for (path, Entry { mode, oid }) in entries {
        let mut entry = json!({"path": path, "mode": mode.as_str(), "type": mode.kind(), "sha": oid.to_string()});
        if let Some(map) = entry.as_object_mut() {
            match mode {
                Mode::Submodule => {}
                Mode::Tree => {
                    map.insert("url".into(), json!(format!("{api}/trees/{oid}")));
                }
                _ => {
                    map.insert("size".into(), json!(repository.blob(oid)?.map_or(0, |content| content.len())));
                    map.insert("url".into(), json!(format!("{api}/blobs/{oid}")));
                }
            }
        }
        listed.push(entry);
    }
    Ok(json!({"sha": oid.to_string(), "url": format!("{api}/trees/{oid}"), "tree": listed, "truncated": truncated}))
}

fn blob(base: &str, repository: &Repository, oid: Oid, content: &[u8]) -> Value {
    // GitHub breaks the base64 into lines of 60 characters.
    let encoded = STANDARD.encode(content);
    let mut lines = String::new();
    for (at, character) in encoded.chars().enumerate() {
        if at > 0 && at % 60 == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines.push('\n');
    json!({
        "sha": oid.to_string(), "node_id": shape::node_id("B", &oid.to_string()), "size": content.len(),
            "encoding": "base64",
        "url": format!("{base}/repos/{}/git/blobs/{oid}", repository.full_name()), "content": lines,
    })
}

/// Git LFS: the batch API with a token as the password, and the download of an object by a URL that needs a header.
fn lfs(state: &State, request: &Request, repository: &str, rest: &[&str]) -> Answer {
    let refused = || Refusal::Status(StatusCode::UNAUTHORIZED, "Credentials needed".into());
    match rest {
        ["batch"] if request.method == Method::POST => {
            let login = request.header("authorization").and_then(|header| header.strip_prefix("Basic "));
            let login = login.and_then(|login| STANDARD.decode(login).ok()).ok_or_else(refused)?;
            let login = String::from_utf8_lossy(&login).into_owned();
            let token = login.split_once(':').map_or("", |(_, token)| token);
            if !state.takes(token) {
                return Err(refused());
            }
            let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let objects = asked.get("objects").and_then(Value::as_array).into_iter().flatten().map(|one| {
                let oid = one.get("oid").and_then(Value::as_str).unwrap_or_default();
                let href = format!("{}/{repository}/info/lfs/objects/{oid}", state.base());
                let download = json!({"href": href, "header": {"Authorization": "RemoteAuth lfs"}, "expires_in": 600});
                match state.lfs(oid) {
                    Some(_) => json!({"oid": oid, "size": one.get("size"), "actions": {"download": download}}),
                    None => json!({"oid": oid, "error": {"code": 404, "message": "Object does not exist"}}),
                }
            });
            let body = json!({"transfer": "basic", "objects": objects.collect::<Vec<_>>()});
            Ok(Response::json(StatusCode::OK, &body))
        }
        [oid] if request.header("authorization") == Some("RemoteAuth lfs") => {
            Ok(Response::new(StatusCode::OK, state.lfs(oid).ok_or(Refusal::NotFound)?))
        }
        _ => Err(refused()),
    }
}

fn codeload(state: &State, request: &Request, owner: &str, name: &str, reference: &str) -> Answer {
    let repository = state.repository(owner, name).ok_or(Refusal::NotFound)?;
    let by_url = request.query("token").is_some_and(|token| token == state.codeload_token());
    if !by_url && !matches!(state.access(request), Ok(Access::Read | Access::Write)) {
        return Err(Refusal::NotFound);
    }
    let oid = repository.resolve(reference)?.ok_or(Refusal::NotFound)?;
    let file = format!("{owner}-{name}-{}.tar.gz", oid.short());
    Ok(Response::new(StatusCode::OK, archive::tarball(&repository, oid)?)
        .with("content-type", "application/x-gzip")
        .with("content-disposition", &format!("attachment; filename={file}")))
}

fn compared_files(state: &State, repository: &Repository, old: Option<Oid>, new: Oid) -> Result<Vec<Value>, Refusal> {
    let files = |commit: Option<Oid>| match commit {
        Some(oid) => repository.files(repository.commit(oid)?.tree),
        None => Ok(std::collections::BTreeMap::new()),
    };
    let (before, after) = (files(old)?, files(Some(new))?);
    let difference = repository.difference(old, Some(new))?;
    let mut listed = Vec::new();
    for (paths, status) in
        [(&difference.added, "added"), (&difference.removed, "removed"), (&difference.modified, "modified")]
    {
        for path in paths {
            let text = |files: &std::collections::BTreeMap<String, Entry>| match files.get(path) {
                Some(entry) if entry.mode != Mode::Submodule => {
                    repository.blob(entry.oid).map(Option::unwrap_or_default)
                }
                _ => Ok(Vec::new()),
            };
            let blob = after.get(path).or_else(|| before.get(path)).map_or(Oid::ZERO, |entry| entry.oid);
            let lines = count_lines(&text(&before)?, &text(&after)?);
            listed.push((path.clone(), shape::file(state.base(), repository, new, path, blob, status, lines)));
        }
    }
    listed.sort_by(|a, b| a.0.cmp(&b.0));
    listed.truncate(COMPARED_FILES);
    Ok(listed.into_iter().map(|(_, file)| file).collect())
}

/// Lines added and removed, taking each text as a bag of lines: moved lines count as unchanged.
fn count_lines(old: &[u8], new: &[u8]) -> (usize, usize) {
    let bag = |text: &[u8]| {
        let mut bag: HashMap<Vec<u8>, usize> = HashMap::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            *bag.entry(line.to_vec()).or_default() += 1;
        }
        bag
    };
    let (old, new) = (bag(old), bag(new));
    let more = |a: &HashMap<Vec<u8>, usize>, b: &HashMap<Vec<u8>, usize>| {
        a.iter().map(|(line, count)| count.saturating_sub(b.get(line).copied().unwrap_or_default())).sum()
    };
    (more(&new, &old), more(&old, &new))
}

fn compare(state: &State, repository: &Repository, span: &str, old: Oid, new: Oid) -> Result<Value, Refusal> {
    let ahead = repository.commits_between(Some(old), new)?;
    let behind = repository.commits_between(Some(new), old)?.len();
    let merge_base = repository.merge_base(old, new)?.ok_or(Refusal::NotFound)?;
    let status = match (ahead.len(), behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let web = format!("https://github.com/{}/compare/{span}", repository.full_name());
    let listed: Vec<Value> =
        ahead.iter().take(COMPARED_COMMITS).map(|commit| state.commit_json(repository, commit)).collect();
    Ok(json!({
        "url": format!("{}/repos/{}/compare/{span}", state.base(), repository.full_name()), "html_url": web,
            "permalink_url": web,
        "diff_url": format!("{web}.diff"), "patch_url": format!("{web}.patch"),
        "base_commit": state.commit_json(repository, &repository.commit(old)?),
        "merge_base_commit": state.commit_json(repository, &repository.commit(merge_base)?),
        "status": status, "ahead_by": ahead.len(), "behind_by": behind, "total_commits": ahead.len(), "commits": listed,
        "files": compared_files(state, repository, Some(merge_base), new)?,
    }))
}

fn combined_status(state: &State, repository: &Repository, oid: Oid) -> Value {
    let mut latest: Map<String, Value> = Map::new();
    for status in state.statuses(oid) {
        let context = status.get("context").and_then(Value::as_str).unwrap_or_default().to_owned();
        latest.entry(context).or_insert(status);
    }
    let is = |wanted: &[&str]| {
        latest.values().any(|s| s.get("state").and_then(Value::as_str).is_some_and(|s| wanted.contains(&s)))
    };
    let combined = if is(&["failure", "error"]) {
        "failure"
    } else if latest.is_empty() || is(&["pending"]) {
        "pending"
    } else {
        "success"
    };
    let api = format!("{}/repos/{}/commits/{oid}", state.base(), repository.full_name());
    json!({
        "state": combined, "sha": oid.to_string(), "total_count": latest.len(),
            "statuses": latest.values().collect::<Vec<_>>(),
        "repository": shape::repository(state.base(), repository, state.now()), "commit_url": api,
            "url": format!("{api}/status"),
    })
}

fn body(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body)
        .map_err(|_| Refusal::Status(StatusCode::BAD_REQUEST, "Problems parsing JSON".into()))
}

fn write(state: &State, repository: &Repository, request: &Request, rest: &[&str]) -> Answer {
    if matches!(rest, ["pulls" | "issues", ..])
        && let Some(answer) = pulls::write(state, repository, (&request.method, rest), &body(request)?)?
    {
        return Ok(answer);
    }
    match request.method {
        Method::POST => post(state, repository, request, rest),
        Method::PATCH => patch(state, repository, request, rest),
        Method::DELETE => delete(state, repository, rest),
        _ => Err(Refusal::NotFound),
    }
}

fn delete(state: &State, repository: &Repository, rest: &[&str]) -> Answer {
    let ["git", "refs", name @ ..] = rest else { return Err(Refusal::NotFound) };
    let name = format!("refs/{}", name.join("/"));
    if !repository.objects().delete_reference(&name)? {
        return Err(unprocessable("Reference does not exist"));
    }
    state.announce(repository)?;
    Ok(Response::new(StatusCode::NO_CONTENT, ""))
}

fn post(state: &State, repository: &Repository, request: &Request, rest: &[&str]) -> Answer {
    match rest {
        ["statuses", sha] => {
            let oid =
                repository.resolve(sha)?.ok_or_else(|| unprocessable(format!("No commit found for SHA: {sha}")))?;
            let status = status(state, repository, oid, &body(request)?)?;
            let location = status.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok(Response::json(StatusCode::CREATED, &status).with("location", &location))
        }
        ["git", "refs"] => {
            let body = body(request)?;
            let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
            let (name, oid) = (text("ref"), text("sha").parse::<Oid>().ok());
            let oid = oid.filter(|oid| repository.commit(*oid).is_ok());
            let oid = oid.ok_or_else(|| unprocessable("Object does not exist"))?;
            if !name.starts_with("refs/heads/") || !repository.objects().move_reference(name, None, oid)? {
                return Err(unprocessable("Reference already exists"));
            }
            state.announce(repository)?;
            Ok(Response::json(StatusCode::CREATED, &reference(state.base(), repository, name, oid)))
        }
        _ => Err(Refusal::NotFound),
    }
}

fn status(state: &State, repository: &Repository, oid: Oid, body: &Value) -> Result<Value, Refusal> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let wanted = text("state").unwrap_or_default();
    if !matches!(wanted, "error" | "failure" | "pending" | "success") {
        return Err(unprocessable("Validation Failed"));
    }
    if text("description").is_some_and(|text| text.chars().count() > 140) {
        return Err(unprocessable("Validation Failed: description is too long (maximum is 140 characters)"));
    }
    let now = shape::time(state.now());
    let creator = shape::user(state.base(), state.login());
    let mut statuses = lock(&state.statuses);
    let number = statuses.values().map(Vec::len).sum::<usize>() + 1;
    let of_commit = statuses.entry(oid).or_default();
    let context = text("context").unwrap_or("default");
    if of_commit.iter().filter(|s| s.get("context").and_then(Value::as_str) == Some(context)).count() >= STATUSES_LIMIT
    {
        return Err(unprocessable("This SHA and context has reached the maximum number of statuses."));
    }
    let status = json!({
        "url": format!("{}/repos/{}/statuses/{oid}", state.base(), repository.full_name()),
        "avatar_url": creator.get("avatar_url"), "id": number, "node_id": shape::node_id("SC", &number.to_string()),
        "state": wanted, "description": text("description"), "target_url": text("target_url"), "context": context,
        "created_at": now, "updated_at": now, "creator": creator,
    });
    of_commit.insert(0, status.clone());
    Ok(status)
}

fn patch(state: &State, repository: &Repository, request: &Request, rest: &[&str]) -> Answer {
    let ["git", "refs", name @ ..] = rest else { return Err(Refusal::NotFound) };
    let name = format!("refs/{}", name.join("/"));
    let old = repository.objects().reference(&name)?.ok_or_else(|| unprocessable("Reference does not exist"))?;
    let body = body(request)?;
    let new: Oid = body
        .get("sha")
        .and_then(Value::as_str)
        .and_then(|sha| sha.parse().ok())
        .filter(|oid| repository.commit(*oid).is_ok())
        .ok_or_else(|| unprocessable("Object does not exist"))?;
    let force = body.get("force").and_then(Value::as_bool).unwrap_or_default();
    let moved =
        (force || repository.is_ancestor(old, new)?) && repository.objects().move_reference(&name, Some(old), new)?;
    if !moved {
        return Err(unprocessable("Update is not a fast forward"));
    }
    state.announce(repository)?;
    Ok(Response::json(StatusCode::OK, &reference(state.base(), repository, &name, new)))
}
