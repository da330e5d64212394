//! Reads the webhooks of other git hosts than GitHub, each by its own headers and payload:
//!
//! | host | event | proof | documented at |
//! |---|---|---|---|
//! | GitLab | `X-Gitlab-Event: Push Hook` | `X-Gitlab-Token`: the secret | docs.gitlab.com, *Webhook events* |
//! | Gitea, Forgejo, Gogs | `X-Gitea-Event: push` … | `X-Gitea-Signature` …: HMAC-SHA256 | docs.gitea.com, *Webhooks* |
//! | Bitbucket Cloud | `X-Event-Key: repo:push` | `X-Hub-Signature: sha256=…` | support.atlassian.com, *Event payloads* |
//! | Bitbucket Data Center | `X-Event-Key: repo:refs_changed` | the same | confluence.atlassian.com, *Event payload* |
//!
//! Pure.

use http::HeaderMap;
use serde_json::Value;

use super::github::{Reply, WebhookResult};
use super::queue::HostPush;
use crate::source::{RepoUrl, is_revision};

/// Branches of one push; what has more is found by `drift-check`.
const MAX_BRANCHES: usize = 100;

/// Who sends a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    GitHub,
    GitLab,
    /// Gitea, Forgejo and Gogs.
    Gitea,
    Bitbucket,
}

/// What a request of a sender has in its headers.
pub(super) struct Headers<'h> {
    pub(super) sender: Sender,
    pub(super) event: &'h str,
    pub(super) delivery: &'h str,
    pub(super) proof: &'h str,
}

impl<'h> Headers<'h> {
    /// By the sender's own headers: Gitea sends those of GitHub, too.
    pub(super) fn of(headers: &'h HeaderMap) -> Self {
        // `HeaderMap` ignores case.
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
        let first = |names: &[&str]| names.iter().map(|name| header(name)).find(|value| !value.is_empty());
        let or_empty = |names: &[&str]| first(names).unwrap_or_default();
        if let Some(event) = first(&["x-gitlab-event"]) {
            let delivery = or_empty(&["x-gitlab-event-uuid", "idempotency-key"]);
            return Self { sender: Sender::GitLab, event, delivery, proof: header("x-gitlab-token") };
        }
        if let Some(event) = first(&["x-forgejo-event", "x-gitea-event", "x-gogs-event"]) {
            let delivery = or_empty(&["x-forgejo-delivery", "x-gitea-delivery", "x-gogs-delivery"]);
            let proof = or_empty(&["x-forgejo-signature", "x-gitea-signature", "x-gogs-signature"]);
            return Self { sender: Sender::Gitea, event, delivery, proof };
        }
        if let Some(event) = first(&["x-event-key"]) {
            let delivery = or_empty(&["x-request-uuid", "x-request-id"]);
            return Self { sender: Sender::Bitbucket, event, delivery, proof: header("x-hub-signature") };
        }
        let (event, delivery) = (header("x-github-event"), header("x-github-delivery"));
        Self { sender: Sender::GitHub, event, delivery, proof: header("x-hub-signature-256") }
    }
}

/// Reads the event of another host than GitHub, whose proof was verified.
pub(super) fn read(sender: Sender, event: &str, body: &[u8], delivery: &str) -> WebhookResult {
    let is_push = match sender {
        Sender::GitLab => matches!(event, "Push Hook" | "System Hook"),
        Sender::Gitea => event == "push",
        Sender::Bitbucket => matches!(event, "repo:push" | "repo:refs_changed"),
        Sender::GitHub => false,
    };
    if !is_push {
        return WebhookResult::Reply(Reply::new(200, "ignored: nothing follows this event"));
    }
    let read = || {
        let body: Value = serde_json::from_slice(body).map_err(|_| bad("the body is no JSON"))?;
        let (places, branches) = match sender {
            Sender::GitLab => gitlab(&body)?,
            Sender::Bitbucket if event == "repo:refs_changed" => bitbucket_server(&body)?,
            Sender::Bitbucket => bitbucket(&body)?,
            Sender::Gitea | Sender::GitHub => gitea(&body)?,
        };
        if places.is_empty() {
            return Err(bad("no URL of a repository is in it"));
        }
        let Some(branches) = branches.filter(|branches| !branches.is_empty()) else {
            return Err(Reply::new(200, "ignored: no branch that is still there"));
        };
        if branches.len() > MAX_BRANCHES || !branches.iter().all(|branch| is_revision(branch)) {
            return Err(bad("a branch is none that git allows, or there are too many"));
        }
        Ok(HostPush { places, branches, delivery: delivery.to_owned() })
    };
    read().map_or_else(WebhookResult::Reply, |push| WebhookResult::Enqueue(push.into()))
}

fn bad(what: &str) -> Reply {
    Reply::new(400, format!("not a push event: {what}"))
}

/// Where the repository is, and its branches that moved; none where it was no branch.
type Pushed = (Vec<String>, Option<Vec<String>>);

/// `HOST/PATH` of each text that is the URL of a repository.
fn places<'v>(urls: impl IntoIterator<Item = Option<&'v Value>>) -> Vec<String> {
    let mut places: Vec<String> = urls.into_iter().flatten().filter_map(|url| place(url.as_str()?)).collect();
    places.sort();
    places.dedup();
    places
}

fn place(url: &str) -> Option<String> {
    let RepoUrl { host, repo } = url.parse().ok()?;
    Some(format!("{host}/{repo}").to_lowercase())
}

/// The branch of a reference whose commit is `after`; none where it is no branch, or is gone.
fn branch(reference: &str, after: &str) -> Result<Option<Vec<String>>, Reply> {
    if !matches!(after.len(), 40 | 64) || !after.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad("the commit is none"));
    }
    let is_gone = after.bytes().all(|byte| byte == b'0');
    let branch = reference.strip_prefix("refs/heads/").filter(|_| !is_gone);
    Ok(branch.map(|branch| vec![branch.to_owned()]))
}

fn text<'v>(body: &'v Value, pointer: &str) -> Result<&'v str, Reply> {
    let missing = || bad(&format!("`{}` is missing", pointer.trim_start_matches('/').replace('/', ".")));
    body.pointer(pointer).and_then(Value::as_str).ok_or_else(missing)
}

fn gitlab(body: &Value) -> Result<Pushed, Reply> {
    if body.get("object_kind").and_then(Value::as_str).is_some_and(|kind| kind != "push") {
        return Err(Reply::new(200, "ignored: nothing follows this event"));
    }
    let urls = ["/project/git_http_url", "/project/git_ssh_url", "/project/web_url", "/repository/git_http_url"];
    let moved = branch(text(body, "/ref")?, text(body, "/after")?)?;
    Ok((places(urls.map(|url| body.pointer(url))), moved))
}

fn gitea(body: &Value) -> Result<Pushed, Reply> {
    let urls = ["/repository/clone_url", "/repository/ssh_url", "/repository/html_url"];
    let moved = branch(text(body, "/ref")?, text(body, "/after")?)?;
    Ok((places(urls.map(|url| body.pointer(url))), moved))
}

fn bitbucket(body: &Value) -> Result<Pushed, Reply> {
    let changes = body.pointer("/push/changes").and_then(Value::as_array);
    let changes = changes.ok_or_else(|| bad("`push.changes` is missing"))?;
    let new = changes.iter().filter_map(|change| change.get("new"));
    let branches = new.filter(|new| new.get("type").and_then(Value::as_str) == Some("branch"));
    let branches = branches.filter_map(|new| Some(new.get("name")?.as_str()?.to_owned())).collect();
    Ok((places([body.pointer("/repository/links/html/href")]), Some(branches)))
}

fn bitbucket_server(body: &Value) -> Result<Pushed, Reply> {
    let changes = body.get("changes").and_then(Value::as_array).ok_or_else(|| bad("`changes` is missing"))?;
    let mut branches = Vec::new();
    for change in changes {
        branches.extend(branch(text(change, "/ref/id")?, text(change, "/toHash")?)?.unwrap_or_default());
    }
    let links = body.pointer("/repository/links/clone").and_then(Value::as_array).into_iter().flatten();
    let mut found = places(links.map(|link| link.get("href")));
    if found.is_empty() {
        // The payload names no host: any that has this project and repository.
        let path = format!("{}/{}", text(body, "/repository/project/key")?, text(body, "/repository/slug")?);
        let path = path.to_lowercase();
        found = vec![format!("*/{path}"), format!("*/scm/{path}")];
    }
    Ok((found, Some(branches)))
}

#[cfg(test)]
mod tests;
