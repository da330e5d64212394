//! A GitHub look-alike over real git repositories: bare ones on disk that the git command line clones from and pushes
//! to.
//!
//! ```text
//! GET/POST /repos/… ─┐                       ┌─► exchanges (held to GitHub's OpenAPI by tests)
//! POST /graphql ─────┼─► objects and refs ───┤
//! git push + notify ─┘    of a bare repo     └─► signed push event to every subscriber
//! ```

mod archive;
mod faults;
mod graphql;
mod hooks;
mod objects;
mod pulls;
mod query;
mod repository;
mod rest;
mod shape;
mod webhook;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::http::{Exchange, Request, Server};
use crate::{Clock, lock, system_clock};

pub use faults::Faults;
pub use hooks::Hook;
pub use objects::{Objects, Oid};
pub use pulls::PullRequest;
pub use repository::{Change, Commit, Difference, Entry, Mode, Repository, Signature};
pub use webhook::Delivery;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No token at all.
    None,
    /// A GitHub App's own JSON web token: only to make installation tokens.
    App,
    /// Reading every repository.
    Read,
    /// Reading and writing every repository.
    Write,
}

/// How the forge behaves.
#[derive(Clone)]
pub struct Options {
    /// Port on 127.0.0.1; 0 is any free one.
    pub port: u16,
    /// Tokens that are accepted.
    pub tokens: BTreeMap<String, Access>,
    /// Login that commits and statuses through the API are made by.
    pub login: String,
    /// Id of the GitHub App whose JSON web tokens (`iss`) are accepted; their signature is not checked.
    pub app_id: u64,
    /// Id of its installation.
    pub installation_id: u64,
    /// Its private key (PEM), which whoever creates it by a manifest gets for the code `sandbox-code`.
    pub app_key: String,
    /// The time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            tokens: BTreeMap::from([("sandbox-token".to_owned(), Access::Write)]),
            login: "slipway[bot]".to_owned(),
            app_id: 1001,
            installation_id: 2002,
            app_key: String::new(),
            clock: system_clock(),
        }
    }
}

/// A running forge; it stops when dropped.
pub struct Forge {
    state: Arc<State>,
    server: Server,
}

impl Forge {
    /// Starts a forge without repositories, inside the current Tokio runtime. Fails when the port can't be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let state = Arc::new(State {
            options,
            base: OnceLock::new(),
            repositories: Mutex::default(),
            former: Mutex::default(),
            announced: Mutex::default(),
            subscribers: Mutex::default(),
            issued: Mutex::default(),
            verified: Mutex::default(),
            statuses: Mutex::default(),
            pulls: Mutex::default(),
            lfs: Mutex::default(),
            hooks: Mutex::default(),
            faults: Faults::default(),
            deliveries: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let handler = Arc::clone(&state);
        let server = Server::start(state.options.port, Arc::new(move |request| handler.answer(&request))).await?;
        // Nothing can ask before the address is known to the caller, who gets it from here.
        state.base.get_or_init(|| server.url());
        Ok(Self { state, server })
    }

    /// The address of the API: what `SLIPWAY_GITHUB_API` takes. GraphQL is at `/graphql` below it.
    pub fn url(&self) -> &str {
        self.state.base()
    }

    /// Opens the bare repository in `folder` as `owner/name`, or makes an empty one with `main` as its branch.
    /// Fails when the folder can't be written.
    pub fn create(&self, owner: &str, name: &str, folder: &Path) -> io::Result<Arc<Repository>> {
        let repository = Arc::new(Repository::open_or_create(owner, name, "main", folder)?);
        let references = repository.objects().references()?.into_iter().collect();
        lock(&self.state.announced).insert(repository.full_name(), references);
        lock(&self.state.repositories).insert(repository.full_name(), Arc::clone(&repository));
        Ok(repository)
    }

    /// The repository `owner/name`.
    pub fn repository(&self, owner: &str, name: &str) -> Option<Arc<Repository>> {
        self.state.repository(owner, name)
    }

    /// The repository had the name `former`: the API forwards it, as GitHub does after a repository was renamed.
    pub fn forward(&self, former: &str, repository: &Repository) {
        lock(&self.state.former).insert(former.to_owned(), repository.full_name());
    }

    /// Commits `changes` on the head of `branch` (made if missing) as a person's push, and sends the webhooks.
    /// Gives the new commit. Fails on I/O, or when the branch is being moved by someone else.
    pub fn push(&self, repository: &Repository, branch: &str, message: &str, changes: &[Change]) -> io::Result<Oid> {
        let author =
            Signature { name: "Dana Developer".into(), email: "dana@example.com".into(), time: self.state.now() };
        let head = repository.branch(branch)?;
        let commit = repository.write_commit(head, changes, message, &author, &author)?;
        if !repository.objects().move_reference(&format!("refs/heads/{branch}"), head, commit)? {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("branch `{branch}` moved meanwhile")));
        }
        self.state.announce(repository)?;
        Ok(commit)
    }

    /// Looks for refs that moved since the last look (a `git push` on disk does that) and sends their webhooks.
    pub fn notify(&self, repository: &Repository) -> io::Result<()> {
        self.state.announce(repository)
    }

    /// From now on every webhook, signed with `secret`, arrives here.
    pub fn subscribe(&self, secret: &str) -> mpsc::UnboundedReceiver<Delivery> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.state.subscribers).push((secret.to_owned(), sender));
        receiver
    }

    /// Sends the `ping` of a new webhook to every subscriber.
    pub fn ping(&self, repository: &Repository) {
        self.state.deliver("ping", &webhook::ping(self.state.base(), repository, self.state.now()));
    }

    /// Keeps a file in Git LFS; gives the pointer that a commit has in its place.
    pub fn keep(&self, bytes: &[u8]) -> String {
        let oid = hex::encode(Sha256::digest(bytes));
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n", bytes.len());
        lock(&self.state.lfs).insert(oid, bytes.to_vec());
        pointer
    }

    /// Sets the webhooks that the API lists of `repository`; `None`: the App's own.
    pub fn set_hooks(&self, repository: Option<&Repository>, hooks: Vec<Hook>) {
        let owner = repository.map_or_else(|| hooks::APP.to_owned(), Repository::full_name);
        lock(&self.state.hooks).insert(owner, hooks);
    }

    /// Faults to arm.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// Commit statuses of a commit, newest first.
    pub fn statuses(&self, commit: Oid) -> Vec<Value> {
        self.state.statuses(commit)
    }

    /// Every request so far with its answer.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.server.exchanges()
    }
}

/// Everything the forge knows.
struct State {
    options: Options,
    base: OnceLock<String>,
    repositories: Mutex<BTreeMap<String, Arc<Repository>>>,
    /// Names that repositories had, and those that they have.
    former: Mutex<BTreeMap<String, String>>,
    /// Refs of each repository as of the last webhook.
    announced: Mutex<HashMap<String, BTreeMap<String, Oid>>>,
    subscribers: Mutex<Vec<(String, mpsc::UnboundedSender<Delivery>)>>,
    /// Installation tokens and their end.
    issued: Mutex<BTreeMap<String, Timestamp>>,
    /// Commits that the API made: GitHub signs those.
    verified: Mutex<BTreeSet<Oid>>,
    statuses: Mutex<HashMap<Oid, Vec<Value>>>,
    /// Pull requests by the full name of their repository.
    pulls: Mutex<BTreeMap<String, Vec<PullRequest>>>,
    /// Files that Git LFS keeps, by their SHA-256.
    lfs: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Webhooks by the full name of their repository.
    hooks: Mutex<BTreeMap<String, Vec<Hook>>>,
    faults: Faults,
    deliveries: AtomicU64,
    requests: AtomicU64,
}

impl State {
    fn base(&self) -> &str {
        self.base.get().map_or("", String::as_str)
    }

    fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    fn login(&self) -> &str {
        &self.options.login
    }

    fn app_id(&self) -> u64 {
        self.options.app_id
    }

    fn installation_id(&self) -> u64 {
        self.options.installation_id
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn repository(&self, owner: &str, name: &str) -> Option<Arc<Repository>> {
        self.by_full_name(&format!("{owner}/{name}"))
    }

    fn by_full_name(&self, full: &str) -> Option<Arc<Repository>> {
        lock(&self.repositories)
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(full))
            .map(|(_, found)| Arc::clone(found))
    }

    /// The number of the repository that had the name `full`, in URLs that outlast a name.
    fn former(&self, full: &str) -> Option<u32> {
        lock(&self.former).get(full).map(|now| shape::number(now))
    }

    fn of_owner(&self, owner: &str) -> Vec<Arc<Repository>> {
        let all = lock(&self.repositories);
        all.values().filter(|repository| repository.owner.eq_ignore_ascii_case(owner)).map(Arc::clone).collect()
    }

    fn by_number(&self, number: &str) -> Option<Arc<Repository>> {
        let is_it = |full: &String| shape::number(full).to_string() == number;
        lock(&self.repositories).iter().find(|(full, _)| is_it(full)).map(|(_, found)| Arc::clone(found))
    }

    fn commit_json(&self, repository: &Repository, commit: &Commit) -> Value {
        shape::commit(self.base(), repository, commit, self.is_verified(commit.oid))
    }

    fn is_verified(&self, commit: Oid) -> bool {
        lock(&self.verified).contains(&commit)
    }

    fn verify(&self, commit: Oid) {
        lock(&self.verified).insert(commit);
    }

    fn statuses(&self, commit: Oid) -> Vec<Value> {
        lock(&self.statuses).get(&commit).cloned().unwrap_or_default()
    }

    /// What the request's token allows, or GitHub's words for a bad one.
    /// Whether a token lets anybody read.
    fn takes(&self, token: &str) -> bool {
        self.options.tokens.contains_key(token) || lock(&self.issued).contains_key(token)
    }

    fn lfs(&self, oid: &str) -> Option<Vec<u8>> {
        lock(&self.lfs).get(oid).cloned()
    }

    fn access(&self, request: &Request) -> Result<Access, String> {
        let Some(header) = request.header("authorization") else { return Ok(Access::None) };
        let token = header.split_once(' ').filter(|(scheme, _)| matches!(*scheme, "Bearer" | "bearer" | "token"));
        let token = token.map_or("", |(_, token)| token.trim());
        if let Some(access) = self.options.tokens.get(token) {
            return Ok(*access);
        }
        if lock(&self.issued).get(token).is_some_and(|end| *end > self.now()) {
            return Ok(Access::Write);
        }
        if token.split('.').count() == 3 {
            return self.app_token(token).map(|()| Access::App);
        }
        Err("Bad credentials".into())
    }

    /// Checks a GitHub App's claims: issuer, end, and a life of ten minutes at most.
    fn app_token(&self, token: &str) -> Result<(), String> {
        let undecodable = || String::from("A JSON web token could not be decoded");
        let claims =
            token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).ok_or_else(undecodable)?;
        let claims: Value = serde_json::from_slice(&claims).map_err(|_| undecodable())?;
        let issuer = claims.get("iss").map(|iss| iss.as_str().map_or_else(|| iss.to_string(), str::to_owned));
        if issuer != Some(self.options.app_id.to_string()) {
            return Err("Integration not found".into());
        }
        let now = self.now().as_second();
        match claims.get("exp").and_then(Value::as_i64) {
            Some(end) if end > now && end <= now + 660 => Ok(()),
            _ => Err("'Expiration time' claim ('exp') must be a numeric value representing the future time at which \
                      the assertion expires"
                .into()),
        }
    }

    fn new_installation_token(&self) -> (String, Timestamp) {
        let mut issued = lock(&self.issued);
        let end = self.now().saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
        let token = format!("ghs_sandbox{:028}", issued.len());
        issued.insert(token.clone(), end);
        (token, end)
    }

    /// The token in the address that `tarball` redirects to.
    fn codeload_token(&self) -> String {
        Oid::of("codeload", self.options.login.as_bytes()).to_string()
    }

    /// Requests so far in this hour's window and when the window ends.
    fn rate(&self) -> (u64, i64) {
        let hour = 3600;
        (self.requests.load(Ordering::Relaxed), (self.now().as_second() / hour + 1) * hour)
    }

    fn answer(&self, request: &Request) -> crate::http::Response {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.faults.failures.take(request).or_else(|| self.faults.take_content(request));
        let answer = answer.unwrap_or_else(|| rest::answer(self, request));
        let (used, reset) = self.rate();
        let resource = if request.path == "/graphql" { "graphql" } else { "core" };
        answer
            .with("x-ratelimit-limit", "5000")
            .with("x-ratelimit-remaining", &5000_u64.saturating_sub(used).to_string())
            .with("x-ratelimit-used", &used.to_string())
            .with("x-ratelimit-reset", &reset.to_string())
            .with("x-ratelimit-resource", resource)
            .with("x-github-api-version-selected", "2022-11-28")
            .with("x-github-media-type", "github.v3; format=json")
            .with("x-github-request-id", &format!("5AND:B0X:{used:X}"))
    }

    /// Sends a push event for every ref that differs from what was announced last.
    fn announce(&self, repository: &Repository) -> io::Result<()> {
        let now: BTreeMap<String, Oid> = repository.objects().references()?.into_iter().collect();
        let before = lock(&self.announced).insert(repository.full_name(), now.clone()).unwrap_or_default();
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name).copied(), now.get(name).copied());
            if old == new {
                continue;
            }
            let by_api = new.is_some_and(|commit| self.is_verified(commit));
            let pusher = if by_api { self.login() } else { "dana" };
            let payload = webhook::push(self.base(), repository, name, old, new, pusher, self.now())?;
            self.deliver("push", &payload);
        }
        self.close_without_changes(repository)
    }

    fn deliver(&self, event: &str, payload: &Value) {
        let number = self.deliveries.fetch_add(1, Ordering::Relaxed);
        let guid = guid(&format!("{}{number}", self.base()));
        lock(&self.subscribers).retain(|(secret, subscriber)| {
            match webhook::delivery(event, guid.clone(), secret, payload) {
                Some(delivery) => subscriber.send(delivery).is_ok(),
                None => true,
            }
        });
    }
}

/// A UUID of version 4's form that depends on `seed` alone.
pub(crate) fn guid(seed: &str) -> String {
    let digits = Oid::of("guid", seed.as_bytes()).to_string();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}
