//! Connects to one API server: cheap to clone, every request bounded in time and size, reused over warm invocations.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use futures::{Stream, StreamExt as _};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Limited};
use kube::core::WatchEvent;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::discover::Discovered;
use crate::kubeconfig;
use crate::state::{Newest, Signer};
use crate::token;
use crate::transport::{self, Endpoint};
use slipway_gitops::error::{ApiError, Class};
use slipway_gitops::redactor::{Redactor, Subject};

/// Limit of one request, unless a nearer deadline is set.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest response body: a page of 500 objects of 100 KiB.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Concurrent requests to one API server, over all callers: more would only queue there.
const REQUEST_CONCURRENCY: usize = 24;

/// Why a connection could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The file is missing, unreadable or not a kubeconfig.
    #[error("failed to read kubeconfig {}", path.display())]
    Kubeconfig {
        /// The kubeconfig.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kubeconfig's user needs a program that is not allowed to run.
    #[error(
        "user `{user}` of kubeconfig {} gets its credentials from the program `{program}`, and Slipway starts no \
            programs: use a token, a client certificate or `aws eks get-token`",
        path.display()
    )]
    ExecPlugin {
        /// The kubeconfig.
        path: PathBuf,
        /// The user in the kubeconfig.
        user: String,
        /// The program's name.
        program: String,
    },
    /// The kubeconfig's user gives `aws eks get-token` what is not obeyed.
    #[error(
        "user `{user}` of kubeconfig {} gives `aws eks get-token` {what}, which Slipway does not obey: it knows \
            --cluster-name, --region, --profile, --role-arn, AWS_PROFILE and AWS_REGION",
        path.display()
    )]
    ExecArgument {
        /// The kubeconfig.
        path: PathBuf,
        /// The user in the kubeconfig.
        user: String,
        /// What it is given.
        what: String,
    },
    /// Credentials would be sent over an unencrypted connection.
    #[error("failed to set up the connection to {server}: credentials are sent by https only")]
    Plain {
        /// URL of the API server, or path of the kubeconfig.
        server: String,
    },
    /// URL, certificates or names are invalid or inconsistent.
    #[error("failed to set up the connection to {server}")]
    Setup {
        /// URL of the API server, or path of the kubeconfig.
        server: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Credentials of a connection.
#[derive(Clone)]
pub enum Auth {
    /// A bearer token that does not expire.
    Token(SecretString),
    /// A token derived from AWS credentials, renewed every 14 minutes.
    Eks(Eks),
}

/// What an EKS token is derived from.
#[derive(Clone)]
pub struct Eks {
    /// The region whose STS endpoint signs the token.
    pub region: String,
    /// Name of the EKS cluster.
    pub cluster: String,
    /// Source of the credentials; asked once for each token.
    pub credentials: SharedCredentialsProvider,
}

/// An API server and the credentials for it.
#[derive(Clone)]
pub struct Server {
    /// `https://…`
    pub url: String,
    /// PEM certificates that the server's certificate is verified against; `None` trusts the system's.
    pub ca: Option<String>,
    /// The credentials.
    pub auth: Auth,
    /// Whether `url` may be `http://` on loopback: only for the sandbox, whose credentials open nothing. Not a setting.
    pub is_sandbox: bool,
}

/// A deadline that the Lease's holder may extend: no bound request lasts longer.
#[derive(Debug, Clone)]
pub struct Deadline(Arc<Mutex<Instant>>);

impl Deadline {
    /// Creates a deadline at `at`.
    pub fn at(at: Instant) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }

    /// Moves the deadline of everything bound to it.
    pub fn extend_to(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// The current deadline.
    pub fn instant(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time left; zero when the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.instant().saturating_duration_since(Instant::now())
    }
}

/// A connection to one API server. Cloning is cheap and shares connections, token and discovery.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    deadlines: Vec<Deadline>,
    redactor: Redactor,
    signer: Option<Signer>,
    newest: Option<Newest>,
}

impl Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("server", &self.inner.server).finish_non_exhaustive()
    }
}

struct Inner {
    server: String,
    client: kube::Client,
    slots: tokio::sync::Semaphore,
    auth: Option<Auth>,
    token: tokio::sync::Mutex<Option<Fresh>>,
    discovered: Mutex<BTreeMap<String, Arc<Discovered>>>,
}

/// A token, and when it is due for renewal.
struct Fresh {
    token: SecretString,
    until: SystemTime,
}

/// A response of the API server.
pub(crate) struct Response<T = Value> {
    pub(crate) body: T,
    pub(crate) warnings: Vec<String>,
}

impl<T: Into<Value>> Response<T> {
    pub(crate) fn into_parts(self) -> (Value, Vec<String>) {
        (self.body.into(), self.warnings)
    }
}

impl Cluster {
    /// Creates a connection to `server`. Nothing is sent before the first request.
    ///
    /// Errors: the URL or the certificates are unreadable; the URL is not `https://`.
    pub fn connect(server: Server) -> Result<Self, ConnectError> {
        let endpoint = Endpoint { url: server.url, ca: server.ca, identity: None, server_name: None };
        let name = endpoint.url.clone();
        if !(endpoint.is_https() || server.is_sandbox && endpoint.is_loopback()) {
            return Err(ConnectError::Plain { server: name });
        }
        Self::build(&endpoint, name, Some(server.auth))
    }

    /// Creates a connection from the kubeconfig in `files` ([`kubeconfig::load`]), in its current context or in
    /// `context`.
    ///
    /// No program is started: a user that needs one is an error, except for `aws eks get-token`, whose token is derived
    /// from `credentials`, those that [`aws_login`](crate::kubeconfig::aws_login) names. Credentials are never sent to
    /// a server that is not `https://`.
    pub fn from_kubeconfig(
        files: &[impl AsRef<Path>],
        context: Option<&str>,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, ConnectError> {
        let (endpoint, auth) = kubeconfig::read(files, context, credentials)?;
        let names: Vec<String> = files.iter().map(|file| file.as_ref().display().to_string()).collect();
        let name = names.join(":");
        if auth.is_some() && !endpoint.is_https() {
            return Err(ConnectError::Plain { server: name });
        }
        Self::build(&endpoint, name, auth)
    }

    fn build(endpoint: &Endpoint, name: String, auth: Option<Auth>) -> Result<Self, ConnectError> {
        let client =
            transport::client(endpoint).map_err(|source| ConnectError::Setup { server: name.clone(), source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                server: name,
                client,
                slots: tokio::sync::Semaphore::new(REQUEST_CONCURRENCY),
                auth,
                token: tokio::sync::Mutex::default(),
                discovered: Mutex::default(),
            }),
            deadlines: Vec::new(),
            redactor: Redactor::default(),
            signer: None,
            newest: None,
        })
    }

    /// URL of the API server, or path of the kubeconfig, for messages.
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// The same connection, with `deadline` in addition to earlier ones.
    #[must_use]
    pub fn with_deadline(&self, deadline: Deadline) -> Self {
        let mut bound = self.clone();
        bound.deadlines.push(deadline);
        bound
    }

    /// The same connection, whose errors, warnings and diagnoses are redacted by `redactor`.
    #[must_use]
    pub fn redacting(&self, redactor: Redactor) -> Self {
        Self { redactor, ..self.clone() }
    }

    /// The same connection, whose recorded states are signed and verified by `signer`.
    #[must_use]
    pub fn signing(&self, signer: Signer) -> Self {
        Self { signer: Some(signer), ..self.clone() }
    }

    /// The connection of the holder of a Lease, which knows the `newest` state, until `deadline`.
    #[must_use]
    pub(crate) fn holding(&self, newest: Newest, deadline: Deadline) -> Self {
        Self { newest: Some(newest), ..self.with_deadline(deadline) }
    }

    pub(crate) fn newest(&self) -> Option<&Newest> {
        self.newest.as_ref()
    }

    /// What signs and verifies states; the command line has none.
    pub fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// The redactor of this connection's messages.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Time that a request may take now, at most `longest`.
    pub(crate) fn remaining_budget(&self, longest: Duration) -> Result<Duration, ApiError> {
        let budget = self.deadlines.iter().map(Deadline::remaining).fold(longest, Duration::min);
        if budget.is_zero() {
            return Err(ApiError::local(Class::Timeout, "no time left for another request to the API server"));
        }
        Ok(budget)
    }

    pub(crate) fn discovered(&self) -> &Mutex<BTreeMap<String, Arc<Discovered>>> {
        &self.inner.discovered
    }

    /// Sends a request built by kube and parses the JSON response.
    pub(crate) async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Response, ApiError> {
        self.send_for(request).await
    }

    /// Sends a request built by kube and deserializes the JSON response as `T`.
    pub(crate) async fn send_for<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Response<T>, ApiError> {
        let (warnings, bytes) = self.exchange(request).await?;
        let body = serde_json::from_slice(&bytes)
            .map_err(|_| ApiError::local(Class::Other, "the API server's answer is not the JSON that was asked for"))?;
        Ok(Response { body, warnings })
    }

    /// Sends a request built by kube and returns the text response: a log.
    pub(crate) async fn text(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<String, ApiError> {
        let (_, bytes) = self.exchange(request).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns warnings and body of a successful response. Any other response becomes an error, redacted.
    async fn exchange(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(Vec<String>, Vec<u8>), ApiError> {
        let budget = self.remaining_budget(REQUEST_TIMEOUT)?;
        let exchange = async {
            let request = self.signed(request).await?;
            let subject = Subject::of(request.uri().path(), request.body(), &self.redactor);
            // The semaphore is never closed: a slot always becomes free.
            let _slot = self.inner.slots.acquire().await;
            let response = self
                .inner
                .client
                .send(request.map(kube::client::Body::from))
                .await
                .map_err(|e| broken(&e, &subject))?;
            let (parts, body) = response.into_parts();
            let bytes = Limited::new(body, MAX_RESPONSE_BYTES)
                .collect()
                .await
                .map_err(|error| ApiError::local(Class::Unavailable, format!("failed to read the answer: {error}")))?
                .to_bytes();
            if !parts.status.is_success() {
                let body = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
                return Err(ApiError::from_status(parts.status.as_u16(), &body, &subject));
            }
            Ok((subject.shown_warnings(warnings(&parts.headers)), bytes.into()))
        };
        let result = tokio::time::timeout(budget, exchange).await.unwrap_or_else(|_| {
            Err(ApiError::local(Class::Timeout, format!("no answer from the API server within {} s", budget.as_secs())))
        });
        if matches!(&result, Err(error) if error.class == Class::Unauthorized) {
            *self.inner.token.lock().await = None;
        }
        result
    }

    /// Opens a watch; its events end with the server or the deadline.
    pub(crate) async fn watch<T: DeserializeOwned + Clone + Debug>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<impl Stream<Item = Result<Event<T>, ApiError>> + use<T>, ApiError> {
        let budget = self.remaining_budget(REQUEST_TIMEOUT)?;
        let open = async {
            let request = self.signed(request).await?;
            let subject = Subject::of(request.uri().path(), request.body(), &self.redactor);
            match self.inner.client.request_events::<T>(request).await {
                Ok(events) => Ok((events, subject)),
                Err(error) => Err(broken(&error, &subject)),
            }
        };
        let (events, subject) = tokio::time::timeout(budget, open).await.unwrap_or_else(|_| {
            Err(ApiError::local(Class::Timeout, "the API server did not open the watch in time"))
        })?;
        Ok(events.map(move |event| match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => Ok(Event::Is(object)),
            Ok(WatchEvent::Deleted(object)) => Ok(Event::Gone(object)),
            Ok(WatchEvent::Bookmark(_)) => Ok(Event::Bookmark),
            Ok(WatchEvent::Error(status)) => Err(refused(status.code, &status, &subject)),
            Err(error) => Err(broken(&error, &subject)),
        }))
    }

    /// Opens a response of text that goes on for as long as the server sends it: a log that is followed.
    pub(crate) async fn stream(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<impl futures::AsyncBufRead + use<>, ApiError> {
        let budget = self.remaining_budget(REQUEST_TIMEOUT)?;
        let open = async {
            let request = self.signed(request).await?;
            let subject = Subject::of(request.uri().path(), request.body(), &self.redactor);
            self.inner.client.request_stream(request).await.map_err(|error| broken(&error, &subject))
        };
        tokio::time::timeout(budget, open)
            .await
            .unwrap_or_else(|_| Err(ApiError::local(Class::Timeout, "the API server did not open the log in time")))
    }

    async fn signed(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<http::Request<Vec<u8>>, ApiError> {
        let mut request = request.map_err(|error| ApiError::local(Class::Malformed, error.to_string()))?;
        if let Some(token) = self.token().await? {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| {
                ApiError::local(Class::Unauthorized, "the token has characters that no header may have")
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn token(&self) -> Result<Option<SecretString>, ApiError> {
        let eks = match &self.inner.auth {
            None => return Ok(None),
            Some(Auth::Token(token)) => return Ok(Some(token.clone())),
            Some(Auth::Eks(eks)) => eks,
        };
        let mut cached = self.inner.token.lock().await;
        let now = SystemTime::now();
        if let Some(fresh) = cached.as_ref().filter(|fresh| now < fresh.until) {
            return Ok(Some(fresh.token.clone()));
        }
        let unauthorized = |what: &str, error: &dyn std::error::Error| {
            ApiError::local(Class::Unauthorized, format!("{what}: {}", chain(error)))
        };
        let credentials = eks
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| unauthorized("failed to get AWS credentials for the EKS token", &error))?;
        let token = token::eks_token(&credentials, &eks.region, &eks.cluster, now)
            .map_err(|error| unauthorized("failed to make the EKS token", &error))?;
        let until = credentials.expiry().map_or(now + token::LIFETIME, |expiry| expiry.min(now + token::LIFETIME));
        *cached = Some(Fresh { token: token.clone(), until });
        Ok(Some(token))
    }
}

/// An event of a watch.
pub(crate) enum Event<T> {
    /// The object exists, in this version.
    Is(T),
    /// The object was deleted; this was its last version.
    Gone(T),
    /// No change: the watch is alive.
    Bookmark,
}

/// Converts an error of the transport or of a watch.
fn broken(error: &kube::Error, subject: &Subject) -> ApiError {
    match error {
        kube::Error::Api(status) => refused(status.code, status, subject),
        // Its text may quote the object that it could not parse.
        kube::Error::SerdeError(_) => {
            ApiError::local(Class::Other, "the API server's answer is not the JSON that was asked for")
        }
        other => ApiError::local(Class::Unavailable, chain(other)),
    }
}

/// Converts a Kubernetes `Status`.
fn refused(code: u16, status: &impl serde::Serialize, subject: &Subject) -> ApiError {
    ApiError::from_status(code, &serde_json::to_value(status).unwrap_or_default(), subject)
}

/// Joins an error and its causes in one line; a cause that repeats another appears once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Reads the texts of `Warning: 299 - "…"` headers (RFC 7234).
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &HeaderValue| {
        let quoted = value.to_str().ok()?.split_once('"')?.1.rsplit_once('"')?.0;
        Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    headers.get_all(http::header::WARNING).iter().filter_map(text).collect()
}
