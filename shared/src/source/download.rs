//! Requests what URLs serve that teams write: redirects are followed within bounds, nothing is asked of a local
//! address, and no credential goes to another host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use secrecy::{ExposeSecret as _, SecretString};
use slipway_gocompat::url::Url;

use super::credentials::Credentials;
use crate::app::repository::RepositorySecret;
use crate::http::{Http, HttpError, Tls};
use crate::printable::printable;

/// As many as Go's client follows.
const MAX_REDIRECTS: usize = 10;

/// Clients with certificates of their own that are kept.
const MAX_CLIENTS: usize = 64;

/// Why something can't be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to fetch {what}: {problem}")]
pub struct FetchError {
    /// What was to be fetched.
    pub what: String,
    /// The cause.
    pub problem: String,
    /// Whether the same may succeed later.
    pub is_retryable: bool,
}

impl FetchError {
    #[expect(clippy::needless_pass_by_value, reason = "a text or an error")]
    pub(super) fn of(what: &str, problem: impl ToString) -> Self {
        Self { what: what.to_owned(), problem: problem.to_string(), is_retryable: false }
    }

    pub(super) fn later(what: &str, problem: String) -> Self {
        Self { what: what.to_owned(), problem, is_retryable: true }
    }

    fn http(what: &str, error: &HttpError) -> Self {
        let is_retryable =
            !matches!(error, HttpError::Local { .. } | HttpError::Request { .. } | HttpError::Certificate { .. });
        let hint = match error {
            HttpError::Local { .. } => "; if it is meant, name the host in SLIPWAY_LOCAL_HOSTS",
            _ => "",
        };
        Self { what: what.to_owned(), problem: format!("{}{hint}", crate::error::chain(error)), is_retryable }
    }
}

/// The header `Authorization`.
#[derive(Default, Clone, Copy)]
pub(super) enum Authorization<'a> {
    /// That of the credential.
    #[default]
    OfCredential,
    /// Another, or none, for the very host of the URL.
    Instead(Option<&'a SecretString>),
}

/// What is asked for.
#[derive(Default)]
pub(super) struct Asked<'a> {
    /// The media types that are taken.
    pub(super) accept: &'static str,
    /// What is kept already: nothing else is sent where it is still the same.
    pub(super) etag: Option<&'a str>,
    /// Whether it is asked by version 2 of git's protocol.
    pub(super) is_git: bool,
    /// What is posted, with its media type; no redirect is followed then.
    pub(super) body: Option<(&'static str, Bytes)>,
    /// The credential of the repository, which decides itself where it goes to.
    pub(super) credential: Option<&'a RepositorySecret>,
    pub(super) authorization: Authorization<'a>,
}

/// The clients, which are kept while the function is warm, and the credentials of one event.
#[derive(Debug, Clone)]
pub(super) struct Downloader {
    clients: Arc<Clients>,
    credentials: Arc<Credentials>,
}

#[derive(Debug)]
struct Clients {
    /// Refuses local addresses.
    guarded: Http,
    /// For hosts that the settings list.
    open: Http,
    local_hosts: Vec<String>,
    /// Those with certificates of their own, by these, and whether they are for hosts that the settings list.
    with_certificates: Mutex<BTreeMap<(bool, Tls), Http>>,
}

/// `url` as messages have it: its query may be a credential, as that of a signed URL is.
fn shown(url: &str) -> String {
    printable(url.split('?').next().unwrap_or_default()).into_owned()
}

/// A response whose body is not read yet.
pub(super) struct Download {
    /// What was asked for, as messages have it.
    url: String,
    /// Where it was found.
    at: String,
    response: http::Response<Incoming>,
    /// What is said where a login is needed.
    login: String,
}

impl Downloader {
    pub(super) fn new(local_hosts: Vec<String>) -> Self {
        let (guarded, open) = (Http::refusing_local(), Http::default());
        let clients = Clients { guarded, open, local_hosts, with_certificates: Mutex::default() };
        Self { clients: Arc::new(clients), credentials: Arc::default() }
    }

    /// The same clients with these credentials.
    pub(super) fn with_credentials(&self, credentials: Arc<Credentials>) -> Self {
        Self { clients: Arc::clone(&self.clients), credentials }
    }

    pub(super) fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    fn is_listed(&self, url: &Url) -> bool {
        let is =
            |listed: &String| listed.eq_ignore_ascii_case(&url.host) || listed.eq_ignore_ascii_case(url.hostname());
        self.clients.local_hosts.iter().any(is)
    }

    /// Requests `url`, redirects followed. The caller limits the time. Where its credential is refused, that of the
    /// settings is read again once: it may have been rotated.
    pub(super) async fn get(&self, url: &str, asked: &Asked<'_>) -> Result<Download, FetchError> {
        let download = self.once(url, asked).await?;
        let header = asked.credential.and_then(RepositorySecret::authorization).map(SecretString::expose_secret);
        let is_own = match asked.authorization {
            Authorization::OfCredential => header.is_some(),
            Authorization::Instead(other) => header.is_some() && other.map(SecretString::expose_secret) == header,
        };
        let Some(credential) = asked.credential.filter(|_| is_own && download.status() == StatusCode::UNAUTHORIZED)
        else {
            return Ok(download);
        };
        let Some(renewed) = Box::pin(self.credentials.renewed(credential)).await else { return Ok(download) };
        let authorization = match asked.authorization {
            Authorization::OfCredential => Authorization::OfCredential,
            Authorization::Instead(_) => Authorization::Instead(renewed.authorization()),
        };
        self.once(url, &Asked { credential: Some(&renewed), authorization, body: asked.body.clone(), ..*asked }).await
    }

    async fn once(&self, url: &str, asked: &Asked<'_>) -> Result<Download, FetchError> {
        let mut at = Url::parse(url).map_err(|error| FetchError::of(url, error))?;
        let (first, what) = (at.clone(), shown(url));
        for _ in 0..=MAX_REDIRECTS {
            let is_first = at.scheme == first.scheme && at.host == first.host;
            let credential = asked.credential.filter(|credential| credential.goes_to(&at.to_string()));
            let own = credential.and_then(RepositorySecret::authorization);
            let authorization = match asked.authorization {
                Authorization::Instead(other) => other.filter(|_| is_first),
                Authorization::OfCredential => own,
            };
            let response = self.send(&at, asked, (authorization, credential)).await.map_err(|error| match error {
                error if is_first => error,
                error => FetchError {
                    problem: format!("it redirects to {}: {}", at.host, error.problem),
                    what: what.clone(),
                    ..error
                },
            })?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Download { url: what, at: at.to_string(), response, login: login(asked.credential) });
            }
            if asked.body.is_some() {
                return Err(FetchError::of(&what, "it redirects what is posted, which is not followed"));
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| FetchError::of(&what, "a redirect without a location"))?;
            let location = Url::parse(location).map_err(|error| FetchError::of(&what, error))?;
            let next = at.resolve(&location);
            let is_https = next.scheme == "https";
            if next.user.is_some() || !(is_https || (next.scheme == "http" && at.scheme == "http")) {
                let problem = format!("it redirects from {} to {}, which is not followed", at.scheme, next.scheme);
                return Err(FetchError::of(&what, problem));
            }
            at = next;
        }
        Err(FetchError::of(&what, format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn send(
        &self,
        url: &Url,
        asked: &Asked<'_>,
        (authorization, credential): (Option<&SecretString>, Option<&RepositorySecret>),
    ) -> Result<http::Response<Incoming>, FetchError> {
        let text = Url { fragment: String::new(), raw_fragment: String::new(), ..url.clone() }.to_string();
        let method = if asked.body.is_some() { Method::POST } else { Method::GET };
        let mut request = http::Request::builder().method(method).uri(&text).header(USER_AGENT, "slipway");
        if asked.is_git {
            request = request.header("git-protocol", "version=2");
        }
        let body = asked.body.clone().map(|(kind, body)| {
            request.headers_mut().map(|headers| headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind)));
            body
        });
        if !asked.accept.is_empty() {
            request = request.header(ACCEPT, asked.accept);
        }
        if let Some(etag) = asked.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.expose_secret());
        }
        let request =
            request.body(Full::new(body.unwrap_or_default())).map_err(|error| FetchError::of(&shown(&text), error))?;
        let http = self.client(url, credential);
        http.open(request).await.map_err(|error| FetchError::http(&shown(&text), &error))
    }

    /// The client for the host of `url`: with the authorities that the root declares for it, and the certificate of the
    /// `credential`.
    fn client(&self, url: &Url, credential: Option<&RepositorySecret>) -> Http {
        let Clients { guarded, open, with_certificates, .. } = &*self.clients;
        let (is_listed, authorities) = (self.is_listed(url), self.credentials.certificates(url.hostname()));
        let http = if is_listed { open } else { guarded };
        let tls = Tls { authorities, client: credential.and_then(RepositorySecret::client_certificate).cloned() };
        if url.scheme != "https" || tls == Tls::default() {
            return http.clone();
        }
        let mut kept = with_certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_CLIENTS {
            kept.clear();
        }
        kept.entry((is_listed, tls)).or_insert_with_key(|(_, tls)| http.with_tls(tls.clone())).clone()
    }

    /// The scheme of a registry: HTTP on this machine, as Docker has it, which only the settings open.
    pub(super) fn registry_scheme(host: &Url) -> &'static str {
        let is_loopback = host.hostname().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_loopback || host.hostname() == "localhost" { "http" } else { "https" }
    }
}

/// What is said where a login is needed, or the `credential` is refused.
fn login(credential: Option<&RepositorySecret>) -> String {
    match credential {
        Some(RepositorySecret { object, unused: Some(key), .. }) => {
            format!(": `{key}` of {object} is of no use over HTTPS; give it `username` and `password`")
        }
        Some(RepositorySecret { object, .. }) => format!(": it does not take the login of {object}"),
        None => ": it needs a login: give it by a repository Secret at the root, or in the secret that \
                 SLIPWAY_REPOSITORY_SECRET names"
            .to_owned(),
    }
}

impl Download {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Where it was found, redirects followed.
    pub(super) fn place(&self) -> &str {
        &self.at
    }

    pub(super) fn content_type(&self) -> &str {
        let kind = self.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        kind.split(';').next().unwrap_or_default().trim()
    }

    pub(super) fn etag(&self) -> Option<String> {
        Some(self.headers().get(ETAG)?.to_str().ok()?.to_owned())
    }

    /// The same where its status is 200; otherwise an error, in which `missing` is said of what is not there.
    pub(super) fn ok(self, missing: &str) -> Result<Self, FetchError> {
        let status = self.status();
        if status == StatusCode::OK {
            return Ok(self);
        }
        let is_retryable = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => &*self.login,
            StatusCode::NOT_FOUND => missing,
            _ => "",
        };
        let problem = format!("the server answered {}{hint}", status.as_u16());
        Err(FetchError { what: self.url, problem, is_retryable })
    }

    /// Gives the body piece by piece to `take`, at most `limit` bytes.
    pub(super) async fn each(
        self,
        limit: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), FetchError> {
        let Self { url, response, .. } = self;
        let (mut body, mut left) = (response.into_body(), limit);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| FetchError::later(&url, format!("the answer ended early: {error}")))?;
            let Some(data) = frame.data_ref() else { continue };
            left = left
                .checked_sub(data.len())
                .ok_or_else(|| FetchError::of(&url, format!("the answer has more than {limit} bytes")))?;
            take(data).map_err(|problem| FetchError::of(&url, problem))?;
        }
        Ok(())
    }

    /// The whole body, at most `limit` bytes.
    pub(super) async fn bytes(self, limit: usize) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        let take = |data: &[u8]| {
            bytes.extend_from_slice(data);
            Ok(())
        };
        self.each(limit, take).await?;
        Ok(bytes)
    }
}
