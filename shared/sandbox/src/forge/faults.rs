//! What goes wrong on purpose: failing requests, cut listings, a branch that moves at the worst moment.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::json;

use crate::faults::{Failure, Failures};
use crate::http::{Request, Response};
use crate::lock;

/// Called once just before a commit through the API is tried.
type Race = Box<dyn FnOnce() + Send>;

/// The faults that are armed; all off at first.
#[derive(Default)]
pub struct Faults {
    /// Requests that fail. GitHub's secondary rate limit is 403 or 429 with `retry-after`.
    pub failures: Failures,
    tree_limit: Mutex<Option<usize>>,
    content: Mutex<ContentLimit>,
    races: Mutex<Vec<Race>>,
    refused: Mutex<Vec<RefusedCommit>>,
}

/// How many requests may create content in a minute, and when some did.
#[derive(Default)]
struct ContentLimit {
    a_minute: Option<usize>,
    created: VecDeque<Instant>,
    refused: usize,
}

/// Commits through GraphQL that are refused in an answer with 200.
struct RefusedCommit {
    branch: String,
    count: usize,
    kind: &'static str,
    message: String,
}

impl Faults {
    /// The next `count` requests whose path contains `path_contains` get 502, as GitHub answers when it is overloaded.
    pub fn fail_with_502(&self, path_contains: &str, count: usize) {
        self.failures.arm(Failure {
            method: None,
            path_contains: path_contains.to_owned(),
            count,
            status: StatusCode::BAD_GATEWAY,
            headers: Vec::new(),
            body: json!({"message": "Server Error"}),
        });
    }

    /// From now on so many requests may create content within a minute: GitHub's limit is 80.
    pub fn limit_content(&self, a_minute: usize) {
        *lock(&self.content) = ContentLimit { a_minute: Some(a_minute), ..ContentLimit::default() };
    }

    /// How many requests that limit has refused.
    pub fn refused_content(&self) -> usize {
        lock(&self.content).refused
    }

    /// GitHub's answer to a request that would create more than that.
    pub(super) fn take_content(&self, request: &Request) -> Option<Response> {
        let mut content = lock(&self.content);
        let limit = content.a_minute?;
        let is_query = request.path == "/graphql" && !String::from_utf8_lossy(&request.body).contains("mutation");
        if request.method == Method::GET || is_query {
            return None;
        }
        let now = Instant::now();
        content.created.retain(|at| now.duration_since(*at) < Duration::from_mins(1));
        if content.created.len() < limit {
            content.created.push_back(now);
            return None;
        }
        content.refused += 1;
        let words = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
        Some(Response::json(StatusCode::FORBIDDEN, &json!({ "message": words })))
    }

    /// Tree listings stop after `limit` entries and say `truncated`; `None` ends it.
    pub fn truncate_trees(&self, limit: Option<usize>) {
        *lock(&self.tree_limit) = limit;
    }

    /// Runs `race` once, just before the next commit through GraphQL compares the branch's head; more calls queue up.
    pub fn before_commit(&self, race: impl FnOnce() + Send + 'static) {
        lock(&self.races).push(Box::new(race));
    }

    /// The next `count` commits to `branch` through GraphQL are refused with this type and message.
    pub fn refuse_commits(&self, branch: &str, count: usize, kind: &'static str, message: &str) {
        let (branch, message) = (branch.to_owned(), message.to_owned());
        lock(&self.refused).push(RefusedCommit { branch, count, kind, message });
    }

    pub(super) fn refused(&self, branch: &str) -> Option<(&'static str, String)> {
        let mut refused = lock(&self.refused);
        let one = refused.iter_mut().find(|one| one.branch == branch && one.count > 0)?;
        one.count -= 1;
        Some((one.kind, one.message.clone()))
    }

    /// Whether the next commit to `branch` is refused.
    pub(super) fn is_refusing(&self, branch: &str) -> bool {
        lock(&self.refused).iter().any(|one| one.branch == branch && one.count > 0)
    }

    pub(super) fn tree_limit(&self) -> Option<usize> {
        *lock(&self.tree_limit)
    }

    pub(super) fn run_race(&self) {
        let race = {
            let mut races = lock(&self.races);
            if races.is_empty() { None } else { Some(races.remove(0)) }
        };
        if let Some(race) = race {
            race();
        }
    }
}
