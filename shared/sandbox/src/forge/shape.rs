//! GitHub's JSON for users, repositories, commits, statuses: the fields that its OpenAPI description requires
//! (github/rest-api-description).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::objects::Oid;
use super::repository::{Commit, Difference, Repository, Signature};

/// A stable number for a name, as ids are numbers in REST.
pub(super) fn number(text: &str) -> u32 {
    let oid = Oid::of("id", text.as_bytes());
    oid.as_bytes().iter().take(4).fold(0, |sum: u32, byte| (sum << 7) ^ u32::from(*byte))
}

/// An opaque id as GraphQL hands them out.
pub(super) fn node_id(kind: &str, text: &str) -> String {
    STANDARD.encode(format!("{kind}:{text}"))
}

/// Seconds in UTC, as every time in GitHub's JSON.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `simple-user`.
pub(super) fn user(base: &str, login: &str) -> Value {
    // GitHub escapes the brackets of an app's login in addresses, and shows the app itself to people.
    let api = format!("{base}/users/{}", login.replace('[', "%5B").replace(']', "%5D"));
    let (kind, web) =
        login.strip_suffix("[bot]").map_or(("User", login.to_owned()), |app| ("Bot", format!("apps/{app}")));
    json!({
        "login": login, "id": number(login), "node_id": node_id("U", login),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{}?v=4", number(login)), "gravatar_id": "",
        "url": api, "html_url": format!("https://github.com/{web}"),
        "followers_url": format!("{api}/followers"), "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"), "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"), "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"), "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"), "type": kind, "user_view_type": "public",
            "site_admin": false,
    })
}

/// `full-repository` (and so `minimal-repository`).
pub(super) fn repository(base: &str, repository: &Repository, pushed_at: Timestamp) -> Value {
    let full = repository.full_name();
    let api = format!("{base}/repos/{full}");
    let web = format!("https://github.com/{full}");
    let created = time(Timestamp::UNIX_EPOCH);
    let mut value = json!({
        "id": number(&full), "node_id": node_id("R", &full), "name": repository.name, "full_name": full,
            "private": true,
        "owner": user(base, &repository.owner), "html_url": web, "description": null, "fork": false, "url": api,
        "git_url": format!("git://github.com/{full}.git"), "ssh_url": format!("git@github.com:{full}.git"),
        "clone_url": format!("{web}.git"), "svn_url": web, "mirror_url": null, "homepage": null, "language": null,
        "default_branch": repository.default_branch,
        "has_issues": true, "has_projects": true, "has_wiki": true, "has_pages": false, "has_downloads": true,
        "has_discussions": false, "archived": false, "disabled": false, "visibility": "private", "license": null,
        "topics": [], "allow_forking": true, "is_template": false, "web_commit_signoff_required": false,
        "created_at": created, "updated_at": time(pushed_at), "pushed_at": time(pushed_at),
        "permissions": {"admin": false, "maintain": false, "push": true, "triage": true, "pull": true},
    });
    let counts = [
        "size",
        "stargazers_count",
        "watchers_count",
        "forks_count",
        "open_issues_count",
        "forks",
        "open_issues",
        "watchers",
        "subscribers_count",
        "network_count",
    ];
    let plain = [
        "forks",
        "teams",
        "hooks",
        "events",
        "tags",
        "languages",
        "stargazers",
        "contributors",
        "subscribers",
        "subscription",
        "merges",
        "downloads",
        "deployments",
    ];
    let templates = [
        ("keys", "keys{/key_id}"),
        ("collaborators", "collaborators{/collaborator}"),
        ("issue_events", "issues/events{/number}"),
        ("assignees", "assignees{/user}"),
        ("branches", "branches{/branch}"),
        ("blobs", "git/blobs{/sha}"),
        ("git_tags", "git/tags{/sha}"),
        ("git_refs", "git/refs{/sha}"),
        ("trees", "git/trees{/sha}"),
        ("statuses", "statuses/{sha}"),
        ("commits", "commits{/sha}"),
        ("git_commits", "git/commits{/sha}"),
        ("comments", "comments{/number}"),
        ("issue_comment", "issues/comments{/number}"),
        ("contents", "contents/{+path}"),
        ("compare", "compare/{base}...{head}"),
        ("archive", "{archive_format}{/ref}"),
        ("issues", "issues{/number}"),
        ("pulls", "pulls{/number}"),
        ("milestones", "milestones{/number}"),
        ("notifications", "notifications{?since,all,participating}"),
        ("labels", "labels{/name}"),
        ("releases", "releases{/id}"),
    ];
    if let Some(map) = value.as_object_mut() {
        map.extend(counts.iter().map(|name| ((*name).to_owned(), json!(0))));
        map.extend(plain.iter().map(|name| (format!("{name}_url"), json!(format!("{api}/{name}")))));
        map.extend(templates.iter().map(|(name, path)| (format!("{name}_url"), json!(format!("{api}/{path}")))));
    }
    value
}

fn signature(signature: &Signature) -> Value {
    json!({"name": signature.name, "email": signature.email, "date": time(signature.time)})
}

/// The `verification` of a commit; commits made through the API are signed by GitHub itself.
fn verification(verified: bool) -> Value {
    let reason = if verified { "valid" } else { "unsigned" };
    json!({"verified": verified, "reason": reason, "signature": null, "payload": null, "verified_at": null})
}

/// `commit`: what `GET commits/REF` gives, without `files` and `stats`.
pub(super) fn commit(base: &str, repository: &Repository, commit: &Commit, verified: bool) -> Value {
    let full = repository.full_name();
    let (api, sha) = (format!("{base}/repos/{full}"), commit.oid);
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|parent| {
            json!({"sha": parent.to_string(), "url": format!("{api}/commits/{parent}"),
                "html_url": format!("https://github.com/{full}/commit/{parent}")})
        })
        .collect();
    json!({
        "sha": sha.to_string(), "node_id": node_id("C", &sha.to_string()),
        "commit": {
            "author": signature(&commit.author), "committer": signature(&commit.committer), "message": commit.message,
            "tree": {"sha": commit.tree.to_string(), "url": format!("{api}/git/trees/{}", commit.tree)},
            "url": format!("{api}/git/commits/{sha}"), "comment_count": 0, "verification": verification(verified),
        },
        "url": format!("{api}/commits/{sha}"), "html_url": format!("https://github.com/{full}/commit/{sha}"),
        "comments_url": format!("{api}/commits/{sha}/comments"), "author": null, "committer": null, "parents": parents,
    })
}

/// `git-commit`: what `GET git/commits/SHA` gives.
pub(super) fn git_commit(base: &str, repository: &Repository, commit: &Commit, verified: bool) -> Value {
    let value = self::commit(base, repository, commit, verified);
    let inner = |name: &str| value.pointer(&format!("/commit/{name}")).cloned().unwrap_or_default();
    let outer = |name: &str| value.get(name).cloned().unwrap_or_default();
    json!({
        "sha": outer("sha"), "node_id": outer("node_id"), "url": inner("url"), "html_url": outer("html_url"),
        "author": inner("author"), "committer": inner("committer"), "tree": inner("tree"), "message": inner("message"),
        "parents": outer("parents"), "verification": inner("verification"),
    })
}

/// A commit in a push event.
pub(super) fn pushed_commit(repository: &Repository, commit: &Commit, changes: &Difference) -> Value {
    let person =
        |signature: &Signature| json!({"name": signature.name, "email": signature.email, "username": signature.name});
    json!({
        "id": commit.oid.to_string(), "tree_id": commit.tree.to_string(), "distinct": true, "message": commit.message,
        "timestamp": time(commit.committer.time),
        "url": format!("https://github.com/{}/commit/{}", repository.full_name(), commit.oid),
        "author": person(&commit.author), "committer": person(&commit.committer),
        "added": changes.added, "removed": changes.removed, "modified": changes.modified,
    })
}

/// `diff-entry` of a changed file; lines are counted as a bag of lines, no patch is given.
pub(super) fn file(
    base: &str,
    repository: &Repository,
    head: Oid,
    path: &str,
    blob: Oid,
    status: &str,
    lines: (usize, usize),
) -> Value {
    let full = repository.full_name();
    let (additions, deletions) = lines;
    json!({
        "sha": blob.to_string(), "filename": path, "status": status,
        "additions": additions, "deletions": deletions, "changes": additions + deletions,
        "blob_url": format!("https://github.com/{full}/blob/{head}/{path}"),
        "raw_url": format!("https://github.com/{full}/raw/{head}/{path}"),
        "contents_url": format!("{base}/repos/{full}/contents/{path}?ref={head}"),
    })
}
