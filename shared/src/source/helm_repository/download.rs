//! Requests what a repository serves: redirects are followed within bounds, and no credential goes to another host.

use std::net::IpAddr;

use http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use secrecy::{ExposeSecret as _, SecretString};
use slipway_gocompat::url::Url;

use super::ChartError;
use crate::http::Http;
use crate::printable::printable;

/// As many as Go's client follows.
const MAX_REDIRECTS: usize = 10;

/// What is asked for.
#[derive(Default)]
pub(super) struct Asked<'a> {
    /// The media types that are taken.
    pub(super) accept: &'static str,
    /// What is kept already: nothing else is sent where it is still the same.
    pub(super) etag: Option<&'a str>,
    /// For the header `Authorization`.
    pub(super) credential: Option<&'a SecretString>,
}

/// The clients: one refuses local addresses, the other is for hosts that the settings list.
#[derive(Debug, Clone)]
pub(super) struct Downloader {
    guarded: Http,
    open: Http,
    local_hosts: Vec<String>,
}

/// `url` as messages have it: its query may be a credential, as that of a signed URL is.
fn shown(url: &str) -> String {
    printable(url.split('?').next().unwrap_or_default()).into_owned()
}

/// A response whose body is not read yet.
pub(super) struct Download {
    url: String,
    response: http::Response<Incoming>,
}

impl Downloader {
    pub(super) fn new(local_hosts: Vec<String>) -> Self {
        Self { guarded: Http::refusing_local(), open: Http::default(), local_hosts }
    }

    fn is_listed(&self, url: &Url) -> bool {
        let is =
            |listed: &String| listed.eq_ignore_ascii_case(&url.host) || listed.eq_ignore_ascii_case(url.hostname());
        self.local_hosts.iter().any(is)
    }

    /// Requests `url`, redirects followed. The caller limits the time.
    pub(super) async fn get(&self, url: &str, asked: &Asked<'_>) -> Result<Download, ChartError> {
        let mut at = Url::parse(url).map_err(|error| ChartError::fetch(url, error))?;
        let (first, what) = (at.clone(), shown(url));
        for _ in 0..=MAX_REDIRECTS {
            let is_first = at.scheme == first.scheme && at.host == first.host;
            let credential = asked.credential.filter(|_| is_first);
            let response = self.send(&at, asked, credential).await?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Download { url: what, response });
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| ChartError::fetch(&what, "a redirect without a location"))?;
            let location = Url::parse(location).map_err(|error| ChartError::fetch(&what, error))?;
            let next = at.resolve(&location);
            let is_https = next.scheme == "https";
            if next.user.is_some() || !(is_https || (next.scheme == "http" && at.scheme == "http")) {
                let problem = format!("it redirects from {} to {}, which is not followed", at.scheme, next.scheme);
                return Err(ChartError::fetch(&what, problem));
            }
            at = next;
        }
        Err(ChartError::fetch(&what, format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn send(
        &self,
        url: &Url,
        asked: &Asked<'_>,
        credential: Option<&SecretString>,
    ) -> Result<http::Response<Incoming>, ChartError> {
        let text = Url { fragment: String::new(), raw_fragment: String::new(), ..url.clone() }.to_string();
        let mut request = http::Request::get(&text).header(USER_AGENT, "slipway");
        if !asked.accept.is_empty() {
            request = request.header(ACCEPT, asked.accept);
        }
        if let Some(etag) = asked.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(credential) = credential {
            request = request.header(AUTHORIZATION, credential.expose_secret());
        }
        let request = request.body(Full::new(Bytes::new())).map_err(|error| ChartError::fetch(&shown(&text), error))?;
        let http = if self.is_listed(url) { &self.open } else { &self.guarded };
        http.open(request).await.map_err(|error| ChartError::http(&shown(&text), &error))
    }

    /// The scheme of a registry: HTTP on this machine, as Docker has it, which only the settings open.
    pub(super) fn registry_scheme(host: &Url) -> &'static str {
        let is_loopback = host.hostname().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_loopback || host.hostname() == "localhost" { "http" } else { "https" }
    }
}

impl Download {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(super) fn etag(&self) -> Option<String> {
        Some(self.headers().get(ETAG)?.to_str().ok()?.to_owned())
    }

    /// The same where its status is 200.
    pub(super) fn ok(self) -> Result<Self, ChartError> {
        let status = self.status();
        if status == StatusCode::OK {
            return Ok(self);
        }
        let is_retryable = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": charts that need a login are not supported yet",
            StatusCode::NOT_FOUND => ": see `repoURL`, `chart` and `targetRevision`",
            _ => "",
        };
        let problem = format!("the server answered {}{hint}", status.as_u16());
        Err(ChartError::Fetch { what: self.url, problem, is_retryable })
    }

    /// Gives the body piece by piece to `take`, at most `limit` bytes.
    pub(super) async fn each(
        self,
        limit: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), ChartError> {
        let Self { url, response } = self;
        let (mut body, mut left) = (response.into_body(), limit);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ChartError::Fetch {
                what: url.clone(),
                problem: format!("the answer ended early: {error}"),
                is_retryable: true,
            })?;
            let Some(data) = frame.data_ref() else { continue };
            left = left
                .checked_sub(data.len())
                .ok_or_else(|| ChartError::fetch(&url, format!("the answer has more than {limit} bytes")))?;
            take(data).map_err(|problem| ChartError::fetch(&url, problem))?;
        }
        Ok(())
    }

    /// The whole body, at most `limit` bytes.
    pub(super) async fn bytes(self, limit: usize) -> Result<Vec<u8>, ChartError> {
        let mut bytes = Vec::new();
        let take = |data: &[u8]| {
            bytes.extend_from_slice(data);
            Ok(())
        };
        self.each(limit, take).await?;
        Ok(bytes)
    }
}
