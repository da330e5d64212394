//! Webhooks: the push event as GitHub sends it, signed.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::body::Bytes;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;

use super::objects::Oid;
use super::repository::Repository;
use super::shape;

/// A push event lists at most so many commits (docs.github.com, webhook events and payloads).
const COMMITS_LISTED: usize = 2048;
/// A webhook larger than this is not delivered at all (same page).
const PAYLOAD_LIMIT: usize = 25 << 20;

/// A webhook on its way: what the HTTP request would carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `push`, `ping`, …
    pub event: String,
    /// The GUID; the same again on redelivery.
    pub guid: String,
    /// All headers, names in lower case as a Function URL hands them on.
    pub headers: Vec<(String, String)>,
    /// The signed bytes.
    pub body: Bytes,
}

impl Delivery {
    /// The event with which a Lambda Function URL hands this request on (payload format 2.0). `encoded`: the body as
    /// base64, which AWS does for every body that it does not take for text.
    pub fn to_function_url_event(&self, encoded: bool, now: jiff::Timestamp) -> Value {
        let body = if encoded { STANDARD.encode(&self.body) } else { String::from_utf8_lossy(&self.body).into_owned() };
        let headers: serde_json::Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let domain = "sandbox.lambda-url.eu-west-1.on.aws";
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "", "headers": headers,
            "requestContext": {
                "accountId": "anonymous", "apiId": "sandbox", "domainName": domain, "domainPrefix": "sandbox",
                "http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "140.82.112.1",
                    "userAgent": "GitHub-Hookshot/slipway"},
                "requestId": self.guid, "routeKey": "$default", "stage": "$default",
                "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(), "timeEpoch": now.as_millisecond(),
            },
            "body": body, "isBase64Encoded": encoded,
        })
    }
}

/// Builds the delivery of `payload`, signed with `secret`; nothing when GitHub would not deliver it for its size.
pub(super) fn delivery(event: &str, guid: String, secret: &str, payload: &Value) -> Option<Delivery> {
    let body = Bytes::from(payload.to_string());
    if body.len() > PAYLOAD_LIMIT {
        return None;
    }
    let mut sha256 = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    sha256.update(&body);
    let mut sha1 = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).ok()?;
    sha1.update(&body);
    let headers = [
        ("accept", String::from("*/*")),
        ("content-type", String::from("application/json")),
        ("user-agent", String::from("GitHub-Hookshot/slipway")),
        ("x-github-delivery", guid.clone()),
        ("x-github-event", event.to_owned()),
        ("x-github-hook-id", String::from("1")),
        ("x-github-hook-installation-target-id", String::from("1")),
        ("x-github-hook-installation-target-type", String::from("repository")),
        ("x-hub-signature", format!("sha1={}", hex::encode(sha1.finalize().into_bytes()))),
        ("x-hub-signature-256", format!("sha256={}", hex::encode(sha256.finalize().into_bytes()))),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Some(Delivery { event: event.to_owned(), guid, headers, body })
}

/// The payload of a push that moved `reference` from `old` to `new` (`None`: created or deleted).
pub(super) fn push(
    base: &str,
    repository: &Repository,
    reference: &str,
    old: Option<Oid>,
    new: Option<Oid>,
    pusher: &str,
    now: jiff::Timestamp,
) -> io::Result<Value> {
    // A new branch lists the commits that the default branch lacks.
    let known = match old {
        Some(old) => Some(old),
        None => repository.branch(&repository.default_branch)?.filter(|head| Some(*head) != new),
    };
    let mut commits = Vec::new();
    if let Some(new) = new {
        for commit in repository.commits_between(known, new)? {
            let changes = repository.difference(commit.parents.first().copied(), Some(commit.oid))?;
            commits.push(shape::pushed_commit(repository, &commit, &changes));
        }
    }
    let head_commit = match new {
        Some(new) => {
            let commit = repository.commit(new)?;
            let changes = repository.difference(commit.parents.first().copied(), Some(new))?;
            shape::pushed_commit(repository, &commit, &changes)
        }
        None => Value::Null,
    };
    let skipped = commits.len().saturating_sub(COMMITS_LISTED);
    let commits = commits.split_off(skipped);
    let forced = match (old, new) {
        (Some(old), Some(new)) => !repository.is_ancestor(old, new)?,
        _ => false,
    };
    let web = format!("https://github.com/{}", repository.full_name());
    let branch = reference.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/");
    let compare = match (old, new) {
        (Some(old), Some(new)) => format!("{web}/compare/{old:.12}...{new:.12}"),
        _ => format!("{web}/compare/{branch}"),
    };
    let mut described = shape::repository(base, repository, now);
    if let Some(map) = described.as_object_mut() {
        // In a push event these are numbers, the URL is the web page's, and the owner has a name and a mail address.
        map.insert("created_at".into(), json!(0));
        map.insert("pushed_at".into(), json!(now.as_second()));
        map.insert("url".into(), json!(web));
        map.insert("stargazers".into(), json!(0));
        map.insert("master_branch".into(), json!(repository.default_branch));
        if let Some(owner) = map.get_mut("owner").and_then(Value::as_object_mut) {
            owner.insert("name".into(), json!(repository.owner));
            owner.insert("email".into(), json!(format!("{}@users.noreply.github.com", repository.owner)));
        }
    }
    Ok(json!({
        "ref": reference, "before": old.unwrap_or(Oid::ZERO).to_string(), "after": new.unwrap_or(Oid::ZERO).to_string(),
        "repository": described, "pusher": {"name": pusher, "email": format!("{pusher}@users.noreply.github.com")},
        "sender": shape::user(base, pusher), "created": old.is_none(), "deleted": new.is_none(), "forced": forced,
        "base_ref": null, "compare": compare, "commits": commits, "head_commit": head_commit,
    }))
}

/// The payload of the `ping` that GitHub sends when a webhook is made.
pub(super) fn ping(base: &str, repository: &Repository, now: jiff::Timestamp) -> Value {
    let hook = format!("{base}/repos/{}/hooks/1", repository.full_name());
    json!({
        "zen": "Anything added dilutes everything else.", "hook_id": 1,
        "hook": {
            "type": "Repository", "id": 1, "name": "web", "active": true, "events": ["push"],
            "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********",
                "url": "https://example.invalid/"},
            "updated_at": shape::time(now), "created_at": shape::time(now), "url": hook,
                "test_url": format!("{hook}/test"),
            "ping_url": format!("{hook}/pings"), "deliveries_url": format!("{hook}/deliveries"),
            "last_response": {"code": null, "status": "unused", "message": null},
        },
        "repository": shape::repository(base, repository, now), "sender": shape::user(base, &repository.owner),
    })
}
