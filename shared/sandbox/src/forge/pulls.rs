//! Pull requests: opened, labelled, moved on and closed by people and by the API, listed by the API.

use std::io;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::objects::Oid;
use super::repository::Repository;
use super::rest::{Refusal, page, unprocessable};
use super::{Forge, State, shape};
use crate::http::{Request, Response};
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
    /// The text below its title.
    pub body: Option<String>,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// Users who are asked for a review.
    pub reviewers: Vec<String>,
    /// The comments on it.
    pub comments: Vec<String>,
    /// How it is merged by itself, where that is enabled: GraphQL's word.
    pub auto_merge: Option<String>,
    /// When it was merged.
    pub merged_at: Option<Timestamp>,
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
                labels: labels.iter().map(|label| (*label).to_owned()).collect(),
                ..PullRequest::new(number, format!("Change of {branch}"), branch, repository, self.state.now())
            });
            number
        };
        self.state.tell(repository, number, "opened")?;
        Ok(number)
    }

    /// Every pull request of the repository, open or not, in the order of their numbers.
    pub fn pull_requests(&self, repository: &Repository) -> Vec<PullRequest> {
        lock(&self.state.pulls).get(&repository.full_name()).cloned().unwrap_or_default()
    }

    /// Merges the pull request as a person does: its branch's files come into the target. Fails where both have changed
    /// since they parted.
    pub fn merge_pull_request(&self, repository: &Repository, number: u64) -> io::Result<()> {
        self.state.merge(repository, number)?;
        self.state.announce(repository)
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
        self.state.tell(repository, number, action)
    }
}

impl PullRequest {
    fn new(number: u64, title: String, branch: &str, repository: &Repository, now: Timestamp) -> Self {
        Self {
            number,
            title,
            branch: branch.to_owned(),
            target: repository.default_branch.clone(),
            body: None,
            labels: Vec::new(),
            reviewers: Vec::new(),
            comments: Vec::new(),
            auto_merge: None,
            merged_at: None,
            is_open: true,
            changed_at: now,
        }
    }
}

impl State {
    pub(super) fn pull(&self, repository: &Repository, number: u64) -> Option<PullRequest> {
        let all = lock(&self.pulls);
        all.get(&repository.full_name())?.iter().find(|pull| pull.number == number).cloned()
    }

    fn tell(&self, repository: &Repository, number: u64, action: &str) -> io::Result<()> {
        let Some(pull) = self.pull(repository, number) else { return Ok(()) };
        let payload = json!({
            "action": action, "number": number, "pull_request": full(self, repository, &pull)?,
            "repository": shape::repository(self.base(), repository, self.now()),
            "sender": shape::user(self.base(), "dana"),
        });
        self.deliver("pull_request", &payload);
        Ok(())
    }

    fn change(&self, repository: &Repository, number: u64, change: impl FnOnce(&mut PullRequest)) {
        let mut all = lock(&self.pulls);
        let mut pulls = all.get_mut(&repository.full_name()).into_iter().flatten();
        if let Some(pull) = pulls.find(|pull| pull.number == number) {
            change(pull);
            pull.changed_at = self.now();
        }
    }

    fn merge(&self, repository: &Repository, number: u64) -> io::Result<()> {
        let not_mergeable = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
        let pull = self.pull(repository, number).filter(|pull| pull.is_open);
        let pull = pull.ok_or_else(|| not_mergeable("Pull Request is not mergeable"))?;
        let (head, base) = (repository.branch(&pull.branch)?, repository.branch(&pull.target)?);
        let (Some(head), Some(base)) = (head, base) else { return Err(not_mergeable("a branch is gone")) };
        if !repository.is_ancestor(base, head)? {
            return Err(not_mergeable("Pull Request has merge conflicts"));
        }
        repository.objects().move_reference(&format!("refs/heads/{}", pull.target), Some(base), head)?;
        let now = self.now();
        self.change(repository, number, |pull| (pull.is_open, pull.merged_at) = (false, Some(now)));
        self.tell(repository, number, "closed")
    }

    /// Closes the pull requests whose branch is gone, or has come to be its target, as GitHub does.
    pub(super) fn close_without_changes(&self, repository: &Repository) -> io::Result<()> {
        for pull in self.pulls_by(repository, |pull| pull.is_open) {
            let head = repository.branch(&pull.branch)?;
            if head.is_none() || head == repository.branch(&pull.target)? {
                self.change(repository, pull.number, |pull| pull.is_open = false);
                self.tell(repository, pull.number, "closed")?;
            }
        }
        Ok(())
    }

    /// The pull requests that are looked for, newest first.
    fn pulls_by(&self, repository: &Repository, is_it: impl Fn(&PullRequest) -> bool) -> Vec<PullRequest> {
        let all = lock(&self.pulls);
        let found = all.get(&repository.full_name()).into_iter().flatten().filter(|pull| is_it(pull));
        found.rev().cloned().collect()
    }

    /// Enables that the pull request with this id is merged by itself, as GraphQL does; gives its number.
    pub(super) fn enable_auto_merge(&self, node: &str, method: &str) -> Result<u64, &'static str> {
        let all = lock(&self.pulls).clone();
        let mut known = all.iter().flat_map(|(full, pulls)| pulls.iter().map(move |pull| (full, pull)));
        let found = known.find(|(full, pull)| node_id(full, pull.number) == node);
        let (full, pull) = found.ok_or("Could not resolve to a node with the global id")?;
        let repository = self.by_full_name(full).ok_or("Could not resolve to a Repository")?;
        // Nothing is awaited of a branch that is not protected.
        if !self.faults().is_refusing(&pull.target) {
            return Err("Pull request Pull request is in clean status");
        }
        self.change(&repository, pull.number, |pull| pull.auto_merge = Some(method.to_owned()));
        Ok(pull.number)
    }
}

fn node_id(full_name: &str, number: u64) -> String {
    shape::node_id("PR", &format!("https://github.com/{full_name}/pull/{number}"))
}

/// `GET /repos/{owner}/{repo}/pulls`.
pub(super) fn list(state: &State, repository: &Repository, request: &Request) -> Result<Response, Refusal> {
    let wanted = request.query("state").unwrap_or("open");
    let head = request.query("head").map(|head| head.split_once(':').map_or(head, |(_, branch)| branch));
    let base = request.query("base");
    let is_it = |pull: &PullRequest| {
        (wanted == "all" || (wanted == "open") == pull.is_open)
            && head.is_none_or(|head| pull.branch == head)
            && base.is_none_or(|base| pull.target == base)
    };
    let found = state.pulls_by(repository, is_it);
    let listed: io::Result<_> = found.iter().map(|pull| simple(state, repository, pull)).collect();
    Ok(page(request, listed?))
}

/// What writes to pull requests; `None` for any other path.
pub(super) fn write(
    state: &State,
    repository: &Repository,
    (method, path): (&Method, &[&str]),
    body: &Value,
) -> Result<Option<Response>, Refusal> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let texts = |name: &str| -> Vec<String> {
        let list = body.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if (method, path) == (&Method::POST, &["pulls"]) {
        let (branch, target) = (text("head").unwrap_or_default(), text("base").unwrap_or_default());
        let (head, base) = (repository.branch(branch)?, repository.branch(target)?);
        if head.is_none() || base.is_none() {
            return Err(unprocessable("Validation Failed"));
        }
        if head == base {
            return Err(unprocessable(format!("Validation Failed: No commits between {target} and {branch}")));
        }
        if !state.pulls_by(repository, |one| one.is_open && one.branch == branch && one.target == target).is_empty() {
            let already = format!("A pull request already exists for {}:{branch}.", repository.owner);
            return Err(unprocessable(format!("Validation Failed: {already}")));
        }
        let number = {
            let mut all = lock(&state.pulls);
            let pulls = all.entry(repository.full_name()).or_default();
            let number = pulls.len() as u64 + 1;
            let title = text("title").unwrap_or_default().to_owned();
            pulls.push(PullRequest {
                target: target.to_owned(),
                body: text("body").map(str::to_owned),
                ..PullRequest::new(number, title, branch, repository, state.now())
            });
            number
        };
        state.tell(repository, number, "opened")?;
        let pull = state.pull(repository, number).ok_or(Refusal::NotFound)?;
        return Ok(Some(Response::json(StatusCode::CREATED, &full(state, repository, &pull)?)));
    }
    let ["pulls" | "issues", number, rest @ ..] = path else { return Ok(None) };
    let number = number.parse().map_err(|_| Refusal::NotFound)?;
    state.pull(repository, number).ok_or(Refusal::NotFound)?;
    let answered = |status: StatusCode| -> Result<Option<Response>, Refusal> {
        let pull = state.pull(repository, number).ok_or(Refusal::NotFound)?;
        Ok(Some(Response::json(status, &full(state, repository, &pull)?)))
    };
    match (method, rest) {
        (&Method::PATCH, []) => {
            state.change(repository, number, |pull| {
                if let Some(title) = text("title") {
                    title.clone_into(&mut pull.title);
                }
                if let Some(body) = text("body") {
                    pull.body = Some(body.to_owned());
                }
                if let Some(wanted) = text("state") {
                    pull.is_open = wanted == "open";
                }
            });
            state.tell(repository, number, if text("state").is_some() { "closed" } else { "edited" })?;
            answered(StatusCode::OK)
        }
        (&Method::POST, ["labels"]) => {
            state.change(repository, number, |pull| pull.labels.extend(texts("labels")));
            state.tell(repository, number, "labeled")?;
            let pull = state.pull(repository, number).ok_or(Refusal::NotFound)?;
            let api = format!("{}/repos/{}", state.base(), repository.full_name());
            let labels: Vec<Value> = pull.labels.iter().map(|name| label(&api, name)).collect();
            Ok(Some(Response::json(StatusCode::OK, &Value::Array(labels))))
        }
        (&Method::POST, ["comments"]) => {
            let said = text("body").unwrap_or_default().to_owned();
            state.change(repository, number, |pull| pull.comments.push(said.clone()));
            Ok(Some(Response::json(StatusCode::CREATED, &comment(state, repository, number, &said))))
        }
        (&Method::POST, ["requested_reviewers"]) => {
            let all: Vec<String> = texts("reviewers").into_iter().chain(texts("team_reviewers")).collect();
            state.change(repository, number, |pull| pull.reviewers.extend(all));
            let pull = state.pull(repository, number).ok_or(Refusal::NotFound)?;
            Ok(Some(Response::json(StatusCode::CREATED, &simple(state, repository, &pull)?)))
        }
        (&Method::PUT, ["merge"]) => {
            let refused = |error: io::Error| Refusal::Status(StatusCode::METHOD_NOT_ALLOWED, error.to_string());
            state.merge(repository, number).map_err(refused)?;
            state.announce(repository)?;
            let sha = repository.branch(&repository.default_branch)?.unwrap_or(Oid::ZERO).to_string();
            let body = json!({"sha": sha, "merged": true, "message": "Pull Request successfully merged"});
            Ok(Some(Response::json(StatusCode::OK, &body)))
        }
        _ => Ok(None),
    }
}

fn label(api: &str, name: &str) -> Value {
    json!({"id": shape::number(name), "node_id": shape::node_id("LA", name), "url": format!("{api}/labels/{name}"),
        "name": name, "description": "", "color": "ededed", "default": false})
}

fn comment(state: &State, repository: &Repository, number: u64, body: &str) -> Value {
    let api = format!("{}/repos/{}/issues", state.base(), repository.full_name());
    let web = format!("https://github.com/{}/pull/{number}", repository.full_name());
    let time = shape::time(state.now());
    json!({"id": 1, "node_id": shape::node_id("IC", body), "url": format!("{api}/comments/1"),
        "html_url": format!("{web}#issuecomment-1"), "issue_url": format!("{api}/{number}"), "body": body,
        "user": shape::user(state.base(), state.login()), "created_at": time, "updated_at": time,
        "author_association": "MEMBER"})
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
        "locked": false, "title": pull.title, "user": user, "body": pull.body,
        "labels": pull.labels.iter().map(|name| label(&api, name)).collect::<Vec<_>>(), "milestone": null, "active_lock_reason": null,
        "created_at": time, "updated_at": time, "closed_at": closed, "merged_at": pull.merged_at.map(shape::time), "merge_commit_sha": null,
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
            "merged": pull.merged_at.is_some(), "mergeable": null, "rebaseable": null, "mergeable_state": "unknown", "merged_by": null,
            "comments": 0, "review_comments": 0, "maintainer_can_modify": false, "commits": 1, "additions": 1,
            "deletions": 0, "changed_files": 1,
        });
        map.extend(more.as_object().cloned().unwrap_or_default());
    }
    Ok(value)
}
