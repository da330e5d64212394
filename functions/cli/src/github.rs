//! Asks GitHub what the functions never ask: about Apps, installations, webhooks and limits.

use http::{Method, Request};
use http_body_util::Full;
use hyper::body::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use slipway::http::Http;

use crate::aws::{self, AskError};

/// GitHub's API with one token, or as anybody.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) http: Http,
    /// `https://api.github.com`, without a slash at its end.
    pub(crate) base: String,
    pub(crate) token: Option<SecretString>,
}

/// An answer of any status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The server's clock, as in the header `Date`.
    pub(crate) date: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// GitHub's words, or the status.
    pub(crate) fn words(&self) -> String {
        let words = self.body.get("message").and_then(Value::as_str).unwrap_or_default();
        format!("GitHub answered {}: {words}", self.status)
    }
}

impl Api {
    /// The same API with another token.
    pub(crate) fn with(&self, token: SecretString) -> Self {
        Self { token: Some(token), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, AskError> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a request; an error where there is no answer at all.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, AskError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("accept", "application/vnd.github+json")
            .header("user-agent", "slipway")
            .header("x-github-api-version", "2022-11-28");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose_secret()));
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| AskError::Unasked(error.to_string()))?;
        let (head, body) = aws::send(&self.http, request).await?.into_parts();
        let date = head.headers.get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Answer { status: head.status.as_u16(), date, body })
    }
}
