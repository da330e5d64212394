//! Calls GitHub: commits, archives, blobs, commit statuses. Each request has a time limit and each response a size
//! limit; the token is sent to the API's host only (octocrab omits it where a redirect leads elsewhere).

pub mod childless;
mod lists;
pub mod pulls;
mod refresh;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Limited};
use octocrab::Octocrab;
use octocrab::service::middleware::retry::RetryConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway_manifest::Tree;
use tokio::sync::{Mutex, RwLock};

use super::verify::{MissingEntry, UnfetchedPaths, VerifyError};
use super::{Repo, archive, verify};
use crate::memory::{Held, Memory, MemoryFull, Meter};
use crate::printable::printable;
use crate::secret::{GithubCredential, SecretError, Secrets};

/// Limit of a request that is no download.
const REQUEST: Duration = Duration::from_secs(20);
/// Limit of a download.
const DOWNLOAD: Duration = Duration::from_mins(2);
/// Size of a response that is no archive: a tree listing of 100,000 files has some 30 MB.
const MAX_ANSWER: usize = 64 << 20;
/// Size of an archive, compressed.
const MAX_ARCHIVE: usize = 256 << 20;
/// Concurrent downloads of blobs; GitHub allows 100 concurrent requests in all.
const AT_ONCE: usize = 8;

/// Why a request to GitHub failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GithubError {
    /// The secret with the credential could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The settings are invalid.
    #[error("failed to set up the GitHub client")]
    Client(#[source] Box<octocrab::Error>),
    /// The request did not reach GitHub.
    #[error("failed to {what}")]
    Send {
        /// The request, as a verb phrase.
        what: String,
        /// The transport's error.
        #[source]
        source: Box<octocrab::Error>,
    },
    /// No response in time.
    #[error("failed to {what}: no answer within {seconds} s")]
    Timeout {
        /// The request, as a verb phrase.
        what: String,
        /// The time limit.
        seconds: u64,
    },
    /// GitHub responded with an error.
    #[error("failed to {what}: GitHub answered {status}{message}")]
    Status {
        /// The request, as a verb phrase.
        what: String,
        /// HTTP status.
        status: u16,
        /// `: ` and GitHub's message, or empty.
        message: String,
        /// Whether it is a rate limit.
        limited: bool,
    },
    /// The response is too large, ends early or differs from GitHub's documentation.
    #[error("failed to {what}: {problem}")]
    Answer {
        /// The request, as a verb phrase.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The response does not fit the function's memory.
    #[error("failed to {what}")]
    Full {
        /// The request, as a verb phrase.
        what: String,
        /// How much does.
        #[source]
        source: MemoryFull,
    },
    /// The archive could not be unpacked.
    #[error("failed to unpack {repo} at {sha}")]
    Archive {
        /// The repository.
        repo: Repo,
        /// The commit.
        sha: String,
        /// The cause.
        #[source]
        source: archive::ArchiveError,
    },
    /// The archive does not match the commit.
    #[error("failed to verify {repo} at {sha}")]
    Verify {
        /// The repository.
        repo: Repo,
        /// The commit.
        sha: String,
        /// The cause.
        #[source]
        source: Box<VerifyError>,
    },
}

impl GithubError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Secret(error) => matches!(error, SecretError::Get { .. }),
            Self::Send { .. } | Self::Timeout { .. } | Self::Answer { .. } => true,
            Self::Archive { source, .. } => source.is_retryable(),
            Self::Full { source, .. } => source.is_retryable(),
            // A credential that is being replaced.
            Self::Status { status, limited, .. } => *limited || *status >= 500 || *status == 401,
            Self::Client(_) | Self::Verify { .. } => false,
        }
    }

    /// Whether what others hold takes the memory that this needs.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Full { source, .. } => source.is_shared(),
            Self::Archive { source: archive::ArchiveError::Full(full), .. } => full.is_shared(),
            _ => false,
        }
    }

    /// Whether the credential is refused: by the request itself, or where a GitHub App logs in for it.
    fn is_unauthorized(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status == 401,
            Self::Send { source, .. } => {
                matches!(&**source, octocrab::Error::GitHub { source, .. } if source.status_code == 401)
            }
            _ => false,
        }
    }

    /// Whether a repository that may be seen has no such branch or commit: of one that may not be seen, or is gone,
    /// GitHub says 404.
    pub fn is_no_commit(&self) -> bool {
        matches!(self, Self::Status { status: 422, .. })
    }

    /// Whether the requested thing does not exist, or may not be seen.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status: 404 | 422, .. })
    }
}

/// A commit's files, every one verified.
#[derive(Debug)]
pub struct Checkout {
    /// The repository, by the name that it has now: GitHub forwards those that it had.
    pub repo: Repo,
    /// The commit, 40 hex digits.
    pub sha: String,
    /// The files.
    pub tree: Arc<Tree>,
    /// Paths whose content is not in the commit.
    pub special: UnfetchedPaths,
    /// The memory that the files take.
    pub held: Held,
}

/// State of a commit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitState {
    /// Deployment in progress.
    Pending,
    /// Deployed and healthy.
    Success,
    /// The deployment failed.
    Failure,
    /// Could not be tried.
    Error,
}

impl CommitState {
    const ALL: [Self; 4] = [Self::Pending, Self::Success, Self::Failure, Self::Error];

    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// The secret that a client was created with (a rotated secret creates a new one), and the client. Shared: a clone of
/// octocrab's would log in as an App once more.
type Client = (SecretString, Arc<Octocrab>);

/// A request: what is sent besides its path.
#[derive(Clone, Copy)]
enum Call<'a> {
    Get,
    /// Answered without a body where the thing still has this `ETag`, which costs nothing of the rate limit.
    GetUnless(&'a str),
    Post(&'a Value),
    Patch(&'a Value),
    Put(&'a Value),
    Delete,
}

/// A response: its body, `None` where nothing has changed, and its `ETag`.
type Answer = (Option<Body>, Option<String>);

/// The body of a response, and the memory that it takes.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    held: Held,
    /// Whether it is a page of a list, and not the last.
    has_next: bool,
}

/// GitHub's API and the secret with its credential.
#[derive(Debug, Clone)]
pub struct GitHubSettings {
    /// [`GITHUB_API`].
    pub api: String,
    /// [`GITHUB_SECRET`].
    pub secret: String,
    /// What may be fetched at the same time.
    pub memory: Memory,
}

/// GitHub's API with our credential.
#[derive(Debug, Clone)]
pub struct GitHub {
    settings: GitHubSettings,
    secrets: Secrets,
    client: Arc<Mutex<Option<Client>>>,
    answers: Arc<Mutex<lists::Answers>>,
    childless: Arc<Mutex<childless::Childless>>,
    remote_words: Arc<Mutex<childless::RemoteWords>>,
    meter: Meter,
    /// Held alone by who fetches what does not fit beside others.
    pub(super) turns: Arc<RwLock<()>>,
}

impl GitHub {
    /// Creates a client of `settings`; sends no request yet.
    pub fn new(settings: GitHubSettings, secrets: Secrets) -> Self {
        let meter = Meter::new(settings.memory.fetched());
        let (client, answers, childless, turns) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        Self { settings, secrets, client, answers, childless, remote_words: Arc::default(), meter, turns }
    }

    /// The memory of the function.
    pub fn memory(&self) -> Memory {
        self.settings.memory
    }

    /// What counts the bytes of all that is fetched and held.
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Where the repositories themselves are, beside the API: `https://github.com`, or an Enterprise Server's host.
    pub(super) fn web(&self) -> String {
        let api = self.settings.api.trim_end_matches('/');
        match api {
            "https://api.github.com" => "https://github.com".to_owned(),
            api => api.strip_suffix("/api/v3").unwrap_or(api).to_owned(),
        }
    }

    /// The token of the credential; of an App that of its installation.
    pub(super) async fn token(&self) -> Result<SecretString, GithubError> {
        let secret = self.secrets.get(&self.settings.secret).await?;
        match GithubCredential::parse(&self.settings.secret, &secret)? {
            GithubCredential::Token(token) => Ok(token),
            GithubCredential::App { .. } => {
                let failed = |source| GithubError::Send { what: "log in".to_owned(), source: Box::new(source) };
                self.client(secret).await?.installation_token().await.map_err(failed)
            }
        }
    }

    async fn client(&self, secret: SecretString) -> Result<Arc<Octocrab>, GithubError> {
        let mut known = self.client.lock().await;
        if let Some((of, client)) = known.as_ref()
            && of.expose_secret() == secret.expose_secret()
        {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.connect(&secret)?);
        *known = Some((secret, Arc::clone(&client)));
        Ok(client)
    }

    fn connect(&self, secret: &SecretString) -> Result<Octocrab, GithubError> {
        let failed = |error| GithubError::Client(Box::new(error));
        let builder = Octocrab::builder()
            .base_uri(self.settings.api.as_str())
            .map_err(failed)?
            // Uploads are not used, but the default host would get the token.
            .upload_uri(self.settings.api.as_str())
            .map_err(failed)?
            .add_header(http::HeaderName::from_static("x-github-api-version"), "2022-11-28".to_owned())
            .add_header(http::header::ACCEPT, "application/vnd.github+json".to_owned())
            .set_connect_timeout(Some(Duration::from_secs(10)))
            .set_read_timeout(Some(DOWNLOAD))
            .set_write_timeout(Some(REQUEST))
            .add_retry_config(RetryConfig::Simple(2));
        match GithubCredential::parse(&self.settings.secret, secret)? {
            GithubCredential::Token(token) => builder.personal_token(token).build().map_err(failed),
            GithubCredential::App { app, installation, key } => {
                super::app_token::use_ring();
                builder
                    .app_from_rsa_pem(app.into(), key.expose_secret())
                    .and_then(|builder| builder.build()?.installation(installation.into()))
                    .map_err(failed)
            }
        }
    }

    /// Sends a request and reads up to `most` bytes of its response within `limit`. `what` is a verb phrase for errors.
    /// Once more where the credential is refused and was rotated since it was read.
    async fn send(
        &self,
        what: &str,
        path: &str,
        call: Call<'_>,
        limits: (Duration, usize),
    ) -> Result<Answer, GithubError> {
        let used = self.secrets.get(&self.settings.secret).await?;
        let client = self.client(used.clone()).await?;
        let refused = match Box::pin(self.send_with(&client, what, path, call, limits)).await {
            Err(error) if error.is_unauthorized() => error,
            sent => return sent,
        };
        let reloaded = self.secrets.reload(&self.settings.secret).await?;
        if reloaded.expose_secret() == used.expose_secret() {
            return Err(refused);
        }
        let client = self.client(reloaded).await?;
        Box::pin(self.send_with(&client, what, path, call, limits)).await
    }

    async fn send_with(
        &self,
        client: &Octocrab,
        what: &str,
        path: &str,
        call: Call<'_>,
        (limit, most): (Duration, usize),
    ) -> Result<Answer, GithubError> {
        let exchange = async {
            let failed = |source| GithubError::Send { what: what.to_owned(), source: Box::new(source) };
            let response = match call {
                Call::Get => client._get(path).await,
                Call::GetUnless(etag) => {
                    let known = http::HeaderValue::from_str(etag).map(|etag| (http::header::IF_NONE_MATCH, etag));
                    client._get_with_headers(path, Some(known.into_iter().collect())).await
                }
                Call::Post(body) => client._post(path, Some(body)).await,
                Call::Patch(body) => client._patch(path, Some(body)).await,
                Call::Put(body) => client._put(path, Some(body)).await,
                Call::Delete => client._delete(path, None::<&()>).await,
            }
            .map_err(failed)?;
            let (head, body) = response.into_parts();
            let mut body = std::pin::pin!(Limited::new(body, most));
            let (mut bytes, mut memory) = (Vec::new(), self.meter.hold());
            while let Some(frame) = body.frame().await {
                let frame =
                    frame.map_err(|error| GithubError::Answer { what: what.to_owned(), problem: error.to_string() })?;
                let Ok(data) = frame.into_data() else { continue };
                memory.grow(data.len()).map_err(|source| GithubError::Full { what: what.to_owned(), source })?;
                bytes.extend_from_slice(&data);
            }
            let links = head.headers.get(http::header::LINK).and_then(|links| links.to_str().ok());
            let has_next = links.is_some_and(|links| links.contains("rel=\"next\""));
            Ok::<_, GithubError>((head, Body { bytes, held: memory, has_next }))
        };
        let timeout = || GithubError::Timeout { what: what.to_owned(), seconds: limit.as_secs() };
        let (head, body) = tokio::time::timeout(limit, exchange).await.map_err(|_| timeout())??;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        if head.status.is_success() || head.status == http::StatusCode::NOT_MODIFIED {
            return Ok((head.status.is_success().then_some(body), header("etag").map(str::to_owned)));
        }
        let status = head.status.as_u16();
        let message = message(&body.bytes);
        let limited = status == 429
            || status == 403
                && (header("retry-after").is_some()
                    || header("x-ratelimit-remaining") == Some("0")
                    || is_limit(&message));
        Err(GithubError::Status { what: what.to_owned(), status, message, limited })
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, GithubError> {
        let (body, _) = self.send(what, path, Call::Get, (REQUEST, MAX_ANSWER)).await?;
        decode(what, &body.unwrap_or_default().bytes)
    }

    /// The current commit of `revision` (`heads/BRANCH`, a tag, a commit, `HEAD`).
    pub async fn resolve(&self, repo: &Repo, revision: &str) -> Result<String, GithubError> {
        if is_sha(revision) {
            return Ok(revision.to_ascii_lowercase());
        }
        let none = || GithubError::Answer {
            what: format!("resolve `{revision}` of {repo}"),
            problem: "the answer has no commit".to_owned(),
        };
        self.resolve_again(repo, revision, &mut None).await?.ok_or_else(none)
    }

    /// Like [`GitHub::resolve`], but `None` where nothing has changed since the answer with `etag`, which is renewed.
    pub async fn resolve_again(
        &self,
        repo: &Repo,
        revision: &str,
        etag: &mut Option<String>,
    ) -> Result<Option<String>, GithubError> {
        let what = format!("resolve `{revision}` of {repo}");
        // `per_page` limits the commit's changed files, which are not needed.
        let path = format!("/repos/{repo}/commits/{}?per_page=1", escape(revision));
        let call = etag.as_deref().map_or(Call::Get, Call::GetUnless);
        let (body, tag) = self.send(&what, &path, call, (REQUEST, MAX_ANSWER)).await?;
        let Some(body) = body else { return Ok(None) };
        *etag = tag;
        let commit: Value = decode(&what, &body.bytes)?;
        match commit.get("sha").and_then(Value::as_str) {
            Some(sha) if is_sha(sha) => Ok(Some(sha.to_owned())),
            _ => Err(GithubError::Answer { what, problem: "the answer has no commit".to_owned() }),
        }
    }

    /// Whether the commit `old` is an ancestor of the commit `new`, or the same. A commit of a fork is none: GitHub
    /// serves it under the parent's name, too.
    pub async fn is_ancestor(&self, repo: &Repo, old: &str, new: &str) -> Result<bool, GithubError> {
        if !is_sha(old) || !is_sha(new) {
            return Ok(false);
        }
        let what = format!("compare {old} with {new} of {repo}");
        // The second page has neither files nor commits, which are not needed.
        let path = format!("/repos/{repo}/compare/{old}...{new}?per_page=1&page=2");
        match self.get::<Value>(&what, &path).await {
            Ok(answer) => Ok(matches!(answer.get("status").and_then(Value::as_str), Some("ahead" | "identical"))),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The default branch, which `HEAD` stands for.
    pub async fn default_branch(&self, repo: &Repo) -> Result<String, GithubError> {
        let what = format!("read {repo}");
        let answer: Value = self.get(&what, &format!("/repos/{repo}")).await?;
        let branch = answer.get("default_branch").and_then(Value::as_str).filter(|branch| super::is_revision(branch));
        let branch = branch.map(str::to_owned);
        branch.ok_or_else(|| GithubError::Answer { what, problem: "the answer has no default branch".to_owned() })
    }

    /// Creates the branch at the commit `sha`; one that is there stays where it is.
    pub async fn create_branch(&self, repo: &Repo, branch: &str, sha: &str) -> Result<(), GithubError> {
        let what = format!("create the branch `{branch}` of {repo}");
        let body = json!({ "ref": format!("refs/heads/{branch}"), "sha": sha });
        let path = format!("/repos/{repo}/git/refs");
        match self.send(&what, &path, Call::Post(&body), (REQUEST, MAX_ANSWER)).await {
            Err(GithubError::Status { status: 422, message, .. }) if message.contains("already exists") => Ok(()),
            sent => sent.map(drop),
        }
    }

    /// The files of the commit `sha`: its archive, verified against its tree listing, with missing files fetched blob
    /// by blob.
    pub async fn checkout(&self, repo: &Repo, sha: &str) -> Result<Checkout, GithubError> {
        let limits = self.settings.memory.files();
        let fetch = format!("fetch {repo} at {sha}");
        let list = format!("list the files of {repo} at {sha}");
        let (tarball_path, tree_path) =
            (format!("/repos/{repo}/tarball/{sha}"), format!("/repos/{repo}/git/trees/{sha}?recursive=1"));
        let (archive, listing) = futures::future::try_join(
            Box::pin(self.send(&fetch, &tarball_path, Call::Get, (DOWNLOAD, MAX_ARCHIVE))),
            Box::pin(self.get::<verify::GitTree>(&list, &tree_path)),
        )
        .await?;
        let Body { bytes: archive, mut held, .. } = archive.0.unwrap_or_default();
        let files = archive::unpack(archive.as_slice(), limits, &mut held).map_err(|source| GithubError::Archive {
            repo: repo.clone(),
            sha: sha.to_owned(),
            source,
        })?;
        let failed = |source| GithubError::Verify { repo: repo.clone(), sha: sha.to_owned(), source: Box::new(source) };
        held.shrink(archive.len());
        drop(archive);
        let unnamed = || GithubError::Answer { what: list, problem: "the answer names no repository".to_owned() };
        let named = listing.repo().ok_or_else(unnamed)?;
        let mut verified = verify::verify(listing, files, limits).map_err(failed)?;
        let missing = std::mem::take(&mut verified.missing);
        for (missing, bytes) in self.blobs(repo, missing).await? {
            let full = |source| GithubError::Full { what: fetch.clone(), source };
            held.grow(bytes.len()).map_err(full)?;
            verified.add(&missing, bytes).map_err(failed)?;
        }
        let (tree, special) = verified.into_parts();
        Ok(Checkout { repo: named, sha: sha.to_owned(), tree: Arc::new(tree), special, held })
    }

    /// The contents of `missing`, some at a time.
    async fn blobs(
        &self,
        repo: &Repo,
        missing: Vec<MissingEntry>,
    ) -> Result<Vec<(MissingEntry, Vec<u8>)>, GithubError> {
        stream::iter(missing)
            .map(async |missing| self.blob(repo, &missing.sha).await.map(|bytes| (missing, bytes)))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    pub(super) async fn blob(&self, repo: &Repo, sha: &str) -> Result<Vec<u8>, GithubError> {
        let what = format!("fetch blob {sha} of {repo}");
        let blob: Value = self.get(&what, &format!("/repos/{repo}/git/blobs/{sha}")).await?;
        let text = blob.get("content").and_then(Value::as_str).unwrap_or_default().replace('\n', "");
        STANDARD.decode(text).map_err(|error| GithubError::Answer { what, problem: error.to_string() })
    }

    /// Runs a GraphQL query; errors inside the response are left to the caller.
    pub(super) async fn graphql(&self, what: &str, query: &str, variables: Value) -> Result<Value, GithubError> {
        let body = json!({ "query": query, "variables": variables });
        let sent = self.send(what, "/graphql", Call::Post(&body), (REQUEST, MAX_ANSWER)).await;
        let (answer, _) = sent.map_err(|error| match error {
            // Mistakes are answered with 200: these are of what stands before it.
            GithubError::Status { what, status: status @ (409 | 422), message, .. } => {
                GithubError::Answer { what, problem: format!("GitHub answered {status}{message}") }
            }
            error => error,
        })?;
        decode(what, &answer.unwrap_or_default().bytes)
    }

    /// The latest commit status of each context of `sha`, at most a hundred; unknown states are left out.
    pub async fn statuses(
        &self,
        repo: &Repo,
        sha: &str,
    ) -> Result<BTreeMap<String, (CommitState, String)>, GithubError> {
        #[derive(Deserialize)]
        struct Combined {
            statuses: Vec<Status>,
        }
        #[derive(Deserialize)]
        struct Status {
            context: String,
            state: String,
            description: Option<String>,
        }
        let what = format!("read the statuses of {repo} at {sha}");
        let path = format!("/repos/{repo}/commits/{sha}/status?per_page=100");
        let combined: Combined = self.get(&what, &path).await?;
        let read =
            |one: Status| Some((one.context, (CommitState::of(&one.state)?, one.description.unwrap_or_default())));
        Ok(combined.statuses.into_iter().filter_map(read).collect())
    }

    /// Sets the commit status `context` of `sha`; `description` is cut to GitHub's 140 characters.
    pub async fn set_status(
        &self,
        repo: &Repo,
        sha: &str,
        context: &str,
        state: CommitState,
        description: &str,
    ) -> Result<(), GithubError> {
        let state = state.word();
        let description: String = printable(description).chars().take(140).collect();
        let body = json!({ "state": state, "context": context, "description": description });
        let path = format!("/repos/{repo}/statuses/{sha}");
        self.send(&format!("set the status of {repo} at {sha}"), &path, Call::Post(&body), (REQUEST, MAX_ANSWER))
            .await?;
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, GithubError> {
    serde_json::from_slice(bytes)
        .map_err(|error| GithubError::Answer { what: what.to_owned(), problem: error.to_string() })
}

/// The error of an answer of GraphQL that lacks what was asked for: GitHub answers 200 all the same.
pub(super) fn graphql_error(what: &str, answer: &Value) -> GithubError {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let problem = text("/errors/0/message").unwrap_or("the answer lacks what was asked for");
    let limited = text("/errors/0/type") == Some("RATE_LIMITED") || is_limit(problem);
    let status = match text("/errors/0/type") {
        _ if limited => 403,
        Some("NOT_FOUND") => 404,
        Some("FORBIDDEN") => 403,
        // `Something went wrong while executing your query`: a hiccup.
        _ => return GithubError::Answer { what: what.to_owned(), problem: printable(problem).into_owned() },
    };
    GithubError::Status { what: what.to_owned(), status, message: format!(": {}", printable(problem)), limited }
}

/// Whether a message is that of a limit: secondary ones come without any header that says so.
pub(super) fn is_limit(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["rate limit", "abuse detection", "submitted too quickly"].iter().any(|words| message.contains(words))
}

/// GitHub's error message, cut to one line.
fn message(bytes: &[u8]) -> String {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = body.get("message").and_then(Value::as_str).unwrap_or_default();
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

/// Whether `text` is a commit id.
pub fn is_sha(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Percent-encodes a URL path; slashes stay.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        assert_eq!(escape("heads/feature/ä#1"), "heads/feature/%C3%A4%231");
        assert!(is_sha(&"a".repeat(40)) && !is_sha("main"));
    }

    #[test]
    fn messages_are_one_short_line() {
        assert_eq!(message(br#"{"message":"Not\nFound"}"#), ": NotFound");
        assert_eq!(message(b"<html>"), "");
        let status =
            |status, limited| GithubError::Status { what: "x".into(), status, message: String::new(), limited };
        assert!(status(502, false).is_retryable() && status(403, true).is_retryable());
        assert!(
            status(401, false).is_retryable()
                && !status(403, false).is_retryable()
                && status(404, false).is_not_found()
        );
    }
}
