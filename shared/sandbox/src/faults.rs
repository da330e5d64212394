//! Requests that fail on purpose.

use std::sync::Mutex;

use http::{Method, StatusCode};
use serde_json::Value;

use crate::http::{Request, Response};
use crate::lock;

/// Failures that are armed, in the order of arming.
#[derive(Debug, Default)]
pub struct Failures(Mutex<Vec<Failure>>);

/// An answer that takes the place of the real one.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Only requests with this method; `None`: any.
    pub method: Option<Method>,
    /// Only requests whose path with its query, `/pods/a?force=true&…`, contains this text.
    pub path_contains: String,
    /// So many requests fail.
    pub count: usize,
    /// Status of the answer.
    pub status: StatusCode,
    /// Headers of the answer (`retry-after`).
    pub headers: Vec<(&'static str, String)>,
    /// Body of the answer.
    pub body: Value,
}

impl Failures {
    /// Arms a failure.
    pub fn arm(&self, failure: Failure) {
        lock(&self.0).push(failure);
    }

    /// Forgets what is armed: requests are answered again.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    pub(crate) fn take(&self, request: &Request) -> Option<Response> {
        let mut failures = lock(&self.0);
        let query: Vec<String> = request.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let path = format!("{}?{}", request.path, query.join("&"));
        let fits = |failure: &Failure| {
            failure.count > 0
                && failure.method.as_ref().is_none_or(|method| *method == request.method)
                && path.contains(&failure.path_contains)
        };
        let failure = failures.iter_mut().find(|failure| fits(failure))?;
        failure.count -= 1;
        let answer = Response::json(failure.status, &failure.body);
        Some(failure.headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value)))
    }
}
