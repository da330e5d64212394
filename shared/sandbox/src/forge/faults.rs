//! What goes wrong on purpose: failing requests, cut listings, a branch that moves at the worst moment.

use std::sync::Mutex;

use http::StatusCode;
use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::lock;

/// Called once just before a commit through the API is tried.
type Race = Box<dyn FnOnce() + Send>;

/// The faults that are armed; all off at first.
#[derive(Default)]
pub struct Faults {
    failures: Mutex<Vec<Failure>>,
    tree_limit: Mutex<Option<usize>>,
    races: Mutex<Vec<Race>>,
}

struct Failure {
    path_contains: String,
    remaining: usize,
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Faults {
    /// The next `count` requests whose path contains `path_contains` get `status`, these headers and this body. For GitHub's
    /// secondary rate limit: 403 or 429 with `retry-after`.
    pub fn fail(
        &self,
        path_contains: &str,
        count: usize,
        status: StatusCode,
        headers: Vec<(&'static str, String)>,
        body: Value,
    ) {
        let path_contains = path_contains.to_owned();
        lock(&self.failures).push(Failure { path_contains, remaining: count, status, headers, body });
    }

    /// The next `count` requests whose path contains `path_contains` get 502, as GitHub answers when it is overloaded.
    pub fn fail_with_502(&self, path_contains: &str, count: usize) {
        self.fail(path_contains, count, StatusCode::BAD_GATEWAY, Vec::new(), json!({"message": "Server Error"}));
    }

    /// Tree listings stop after `limit` entries and say `truncated`; `None` ends it.
    pub fn truncate_trees(&self, limit: Option<usize>) {
        *lock(&self.tree_limit) = limit;
    }

    /// Runs `race` once, just before the next commit through GraphQL compares the branch's head; more calls queue up.
    pub fn before_commit(&self, race: impl FnOnce() + Send + 'static) {
        lock(&self.races).push(Box::new(race));
    }

    pub(super) fn tree_limit(&self) -> Option<usize> {
        *lock(&self.tree_limit)
    }

    pub(super) fn take_failure(&self, request: &Request) -> Option<Response> {
        let mut failures = lock(&self.failures);
        let failure = failures.iter_mut().find(|f| f.remaining > 0 && request.path.contains(&f.path_contains))?;
        failure.remaining -= 1;
        let mut response = Response::json(failure.status, &failure.body);
        for (name, value) in &failure.headers {
            response = response.with(name, value);
        }
        Some(response)
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
