//! A small HTTP client for what has no SDK (Slack): JSON in, JSON out, bounded in time and size.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::OnceCell;

/// An answer larger than this is not one that we asked for.
const MAX_ANSWER: usize = 1 << 20;

/// Why a request had no usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL or a header is not valid.
    #[error("failed to make a request to `{url}`")]
    Request {
        /// Where it should have gone.
        url: String,
        /// The cause.
        #[source]
        source: http::Error,
    },
    /// The machine has no certificates, so that nobody can be trusted.
    #[error("failed to load the system's root certificates")]
    Roots(#[source] std::io::Error),
    /// No connection, or it broke.
    #[error("failed to reach {host}")]
    Connect {
        /// Where it went.
        host: String,
        /// The cause.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The answer broke off, was too large, or is no JSON.
    #[error("{host} sent an unreadable answer (HTTP {status})")]
    Answer {
        /// Where it came from.
        host: String,
        /// The status.
        status: u16,
    },
    /// No answer in time.
    #[error("{host} did not answer within {seconds} s")]
    Timeout {
        /// Where it went.
        host: String,
        /// The limit.
        seconds: u64,
    },
}

/// An answer: status, `Retry-After` in seconds, body.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Seconds to wait, where the server says so.
    pub retry_after: Option<u64>,
    /// The body; `Null` where it is empty.
    pub body: Value,
}

type Pool = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The client; made at the first request, kept for warm invocations.
#[derive(Debug, Clone, Default)]
pub struct Http {
    pool: Arc<OnceCell<Pool>>,
}

impl Http {
    /// Posts `body` as JSON to `url` with a bearer token; the answer comes within `limit` or not at all.
    pub async fn post_json(
        &self,
        url: &str,
        token: &SecretString,
        body: &Value,
        limit: Duration,
    ) -> Result<Answer, HttpError> {
        let request = http::Request::post(url)
            .header(http::header::CONTENT_TYPE, "application/json; charset=utf-8")
            .header(http::header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|source| HttpError::Request { url: url.to_owned(), source })?;
        self.send(request, limit).await
    }

    /// Sends `request`; the answer comes within `limit` or not at all.
    pub async fn send(&self, request: http::Request<Full<Bytes>>, limit: Duration) -> Result<Answer, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        tokio::time::timeout(limit, self.exchange(request, &host))
            .await
            .unwrap_or_else(|_| Err(HttpError::Timeout { host, seconds: limit.as_secs() }))
    }

    async fn exchange(&self, request: http::Request<Full<Bytes>>, host: &str) -> Result<Answer, HttpError> {
        let pool = self.pool.get_or_try_init(async || connect()).await?;
        let answer =
            pool.request(request).await.map_err(|source| HttpError::Connect { host: host.to_owned(), source })?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(http::header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let unreadable = || HttpError::Answer { host: host.to_owned(), status };
        let bytes = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|_| unreadable())?.to_bytes();
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(_) if bytes.is_empty() || status >= 400 => Value::Null,
            Err(_) => return Err(unreadable()),
        };
        Ok(Answer { status, retry_after, body })
    }
}

fn connect() -> Result<Pool, HttpError> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(HttpError::Roots)?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}
