//! Pull requests: opened, labelled, moved on and closed by people, listed by the API.

use std::io;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::objects::Oid;
use super::repository::Repository;
use super::{Forge, State, shape};
use crate::lock;

/// A pull request of a branch of the same repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// The branch with the changes.
    pub branch: String,
    /// The branch that they are for.
    pub target: String,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// Whether it is open.
    pub is_open: bool,
    /// When it was changed last.
    pub changed_at: Timestamp,
}

impl Forge {
    /// Opens a pull request of `branch` for the default branch, and sends the webhook. Gives its number. Fails where
    /// there is no such branch.
    pub fn open_pull_request(&self, repository: &Repository, branch: &str, labels: &[&str]) -> io::Result<u64> {
        let number = {
            let mut all = lock(&self.state.pulls);
            let pulls = all.entry(repository.full_name()).or_default();
            let number = pulls.len() as u64 + 1;
            pulls.push(PullRequest {
                number,
                title: format!("Change of {branch}"),
                branch: branch.to_owned(),
                target: repository.default_branch.clone(),
                labels: labels.iter().map(|label| (*label).to_owned()).collect(),
                is_open: true,
                changed_at: self.state.now(),
            });
            number
        };
        self.tell(repository, number, "opened")?;
        Ok(number)
    }

    /// Changes the pull request by `change`, and sends the webhook of `action`: `closed`, `labeled`, `synchronize` …
    pub fn change_pull_request(
        &self,
        repository: &Repository,
        number: u64,
        action: &str,
        change: impl FnOnce(&mut PullRequest),
    ) -> io::Result<()> {
        let mut all = lock(&self.state.pulls);
        let mut pulls = all.get_mut(&repository.full_name()).into_iter().flatten();
        if let Some(pull) = pulls.find(|pull| pull.number == number) {
            change(pull);
            pull.changed_at = self.state.now();
        }
        drop(all);
        self.tell(repository, number, action)
    }

    fn tell(&self, repository: &Repository, number: u64, action: &str) -> io::Result<()> {
        let Some(pull) = self.state.pull(repository, number) else { return Ok(()) };
        let payload = json!({
            "action": action, "number": number, "pull_request": full(&self.state, repository, &pull)?,
            "repository": shape::repository(self.state.base(), repository, self.state.now()),
            "sender": shape::user(self.state.base(), "dana"),
        });
        self.state.deliver("pull_request", &payload);
        Ok(())
    }
}

impl State {
    pub(super) fn pull(&self, repository: &Repository, number: u64) -> Option<PullRequest> {
        let all = lock(&self.pulls);
        all.get(&repository.full_name())?.iter().find(|pull| pull.number == number).cloned()
    }

    /// The open pull requests, newest first.
    pub(super) fn open_pulls(&self, repository: &Repository) -> Vec<PullRequest> {
        let all = lock(&self.pulls);
        let open = all.get(&repository.full_name()).into_iter().flatten().filter(|pull| pull.is_open);
        open.rev().cloned().collect()
    }
}

/// `pull-request-simple`.
pub(super) fn simple(state: &State, repository: &Repository, pull: &PullRequest) -> io::Result<Value> {
    let (base, full, number) = (state.base(), repository.full_name(), pull.number);
    let api = format!("{base}/repos/{full}");
    let web = format!("https://github.com/{full}/pull/{number}");
    let user = shape::user(base, "dana");
    let time = shape::time(pull.changed_at);
    let closed = (!pull.is_open).then_some(&time);
    let side = |branch: &str| -> io::Result<Value> {
        let sha = repository.branch(branch)?.unwrap_or(Oid::ZERO).to_string();
        Ok(json!({"label": format!("{}:{branch}", repository.owner), "ref": branch, "sha": sha, "user": user,
            "repo": shape::repository(base, repository, pull.changed_at)}))
    };
    let label = |name: &String| {
        json!({"id": shape::number(name), "node_id": shape::node_id("LA", name), "url": format!("{api}/labels/{name}"),
            "name": name, "description": "", "color": "ededed", "default": false})
    };
    let links = [
        ("self", format!("{api}/pulls/{number}")),
        ("html", web.clone()),
        ("issue", format!("{api}/issues/{number}")),
        ("comments", format!("{api}/issues/{number}/comments")),
        ("review_comments", format!("{api}/pulls/{number}/comments")),
        ("review_comment", format!("{api}/pulls/comments{{/number}}")),
        ("commits", format!("{api}/pulls/{number}/commits")),
        ("statuses", format!("{api}/statuses/{}", repository.branch(&pull.branch)?.unwrap_or(Oid::ZERO))),
    ];
    let links: serde_json::Map<String, Value> =
        links.into_iter().map(|(name, href)| (name.to_owned(), json!({ "href": href }))).collect();
    let link = |name: &str| links.get(name).and_then(|link| link.get("href")).cloned().unwrap_or_default();
    Ok(json!({
        "url": link("self"), "id": shape::number(&web), "node_id": shape::node_id("PR", &web), "html_url": web,
        "diff_url": format!("{web}.diff"), "patch_url": format!("{web}.patch"), "issue_url": link("issue"),
        "commits_url": link("commits"), "review_comments_url": link("review_comments"),
        "review_comment_url": link("review_comment"), "comments_url": link("comments"),
        "statuses_url": link("statuses"), "number": number, "state": if pull.is_open { "open" } else { "closed" },
        "locked": false, "title": pull.title, "user": user, "body": null,
        "labels": pull.labels.iter().map(label).collect::<Vec<_>>(), "milestone": null, "active_lock_reason": null,
        "created_at": time, "updated_at": time, "closed_at": closed, "merged_at": null, "merge_commit_sha": null,
        "assignee": null, "assignees": [], "requested_reviewers": [], "requested_teams": [],
        "head": side(&pull.branch)?, "base": side(&pull.target)?, "_links": links, "author_association": "MEMBER",
        "auto_merge": null, "draft": false,
    }))
}

/// `pull-request`.
pub(super) fn full(state: &State, repository: &Repository, pull: &PullRequest) -> io::Result<Value> {
    let mut value = simple(state, repository, pull)?;
    if let Some(map) = value.as_object_mut() {
        let more = json!({
            "merged": false, "mergeable": null, "rebaseable": null, "mergeable_state": "unknown", "merged_by": null,
            "comments": 0, "review_comments": 0, "maintainer_can_modify": false, "commits": 1, "additions": 1,
            "deletions": 0, "changed_files": 1,
        });
        map.extend(more.as_object().cloned().unwrap_or_default());
    }
    Ok(value)
}
