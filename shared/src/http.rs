//! Sends HTTP requests to everything except clusters and GitHub: connections are reused, every response bounded in time
//! and size.

mod address;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::OnceCell;

pub use address::is_local;
use address::{Resolver, literal};
pub use tls::Tls;

/// Larger responses than any that we request.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// The connect timeout of the AWS SDKs.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// Why a request had no usable response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL or a header is not valid.
    #[error("failed to make a request to `{url}`")]
    Request {
        /// The requested URL.
        url: String,
        /// The cause.
        #[source]
        source: http::Error,
    },
    /// No root certificates found.
    #[error("failed to load the system's root certificates")]
    Roots(#[source] std::io::Error),
    /// The connection failed or broke.
    #[error("failed to reach {host}")]
    Connect {
        /// Where it went.
        host: String,
        /// The cause.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The host is at an address that only the machine or the cloud provider itself serves.
    #[error("{host} is at a loopback or link-local address, where nothing is fetched from")]
    Local {
        /// Where the request would have gone.
        host: String,
    },
    /// The response ended early, was too large, or is no JSON.
    #[error("{host} sent an unreadable answer (HTTP {status})")]
    Answer {
        /// Where it came from.
        host: String,
        /// The status.
        status: u16,
    },
    /// A certificate of a repository is none.
    #[error("failed to read {what}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No response in time.
    #[error("{host} did not answer within {seconds} s")]
    Timeout {
        /// Where it went.
        host: String,
        /// The limit.
        seconds: u64,
    },
}

/// A response: status, `Retry-After` in seconds, body.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Seconds to wait, from `Retry-After`.
    pub retry_after: Option<u64>,
    /// The body; `Null` where it is empty.
    pub body: Value,
}

type Pool = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// The client; created at the first request, reused by warm invocations.
#[derive(Debug, Clone, Default)]
pub struct Http {
    pool: Arc<OnceCell<Pool>>,
    refuses_local: bool,
    tls: Tls,
}

impl Http {
    /// A client for URLs that teams write: it connects to no [local address](is_local), whatever a name resolves to.
    pub fn refusing_local() -> Self {
        Self { refuses_local: true, ..Self::default() }
    }

    /// The same with certificates of its own.
    #[must_use]
    pub fn with_tls(&self, tls: Tls) -> Self {
        Self { pool: Arc::default(), refuses_local: self.refuses_local, tls }
    }

    /// Posts `body` as JSON to `url` with a bearer token; fails after `limit`.
    pub async fn post_json(
        &self,
        url: &str,
        token: &SecretString,
        body: &Value,
        limit: Duration,
    ) -> Result<Response, HttpError> {
        let request = http::Request::post(url)
            .header(http::header::CONTENT_TYPE, "application/json; charset=utf-8")
            .header(http::header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|source| HttpError::Request { url: url.to_owned(), source })?;
        self.send(request, limit).await
    }

    /// Sends `request`; fails after `limit`.
    pub async fn send(&self, request: http::Request<Full<Bytes>>, limit: Duration) -> Result<Response, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        tokio::time::timeout(limit, self.exchange(request, &host))
            .await
            .unwrap_or_else(|_| Err(HttpError::Timeout { host, seconds: limit.as_secs() }))
    }

    async fn exchange(&self, request: http::Request<Full<Bytes>>, host: &str) -> Result<Response, HttpError> {
        let answer = self.exchange_bytes(request).await?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(http::header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let body = match serde_json::from_slice(answer.body()) {
            Ok(body) => body,
            Err(_) if answer.body().is_empty() || status >= 400 => Value::Null,
            Err(_) => return Err(HttpError::Answer { host: host.to_owned(), status }),
        };
        Ok(Response { status, retry_after, body })
    }

    /// Sends `request` and reads the whole response; the caller limits the time.
    pub async fn exchange_bytes(
        &self,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let (head, body) = self.open(request).await?.into_parts();
        let unreadable = |_| HttpError::Answer { host, status: head.status.as_u16() };
        let bytes = Limited::new(body, MAX_RESPONSE_BYTES).collect().await.map_err(unreadable)?.to_bytes();
        Ok(http::Response::from_parts(head, bytes))
    }

    /// Sends `request` and returns the response with its body unread: the caller limits its size, and the time.
    pub async fn open(&self, request: http::Request<Full<Bytes>>) -> Result<http::Response<Incoming>, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        // A host that is an address is not resolved.
        if self.refuses_local && request.uri().host().and_then(literal).is_some_and(is_local) {
            return Err(HttpError::Local { host });
        }
        let pool = self.pool.get_or_try_init(async || connect(self.refuses_local, &self.tls)).await?;
        pool.request(request).await.map_err(|source| {
            if address::is_refusal(&source) { HttpError::Local { host } } else { HttpError::Connect { host, source } }
        })
    }
}

fn connect(refuses_local: bool, tls: &Tls) -> Result<Pool, HttpError> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver::new(refuses_local));
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new();
    let builder = match tls.config()? {
        Some(config) => builder.with_tls_config(config),
        None => builder
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(HttpError::Roots)?,
    };
    let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}
