//! Fetches commits of any git host by git's protocol over HTTP, version 2 (git `Documentation/gitprotocol-v2.adoc`):
//! the refs that a revision may mean, and the objects of one commit. What is fetched is bounded in bytes, objects and
//! time, and every object is known by the hash of its bytes.

mod pack;
mod packet;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use slipway_manifest::Limits;
use tokio::sync::{Mutex, OnceCell};

use super::credentials::Found;
use super::download::{Asked, Download, Downloader, FetchError};
use super::github::{Checkout, is_sha};
use super::kept::Kept;
use super::verify::{Known, Verified};
use super::{RepoUrl, is_revision};
use crate::app::repository::RepositorySecret;
use crate::error::chain;
use crate::memory::{Held, Memory, MemoryFull, Meter};
use pack::{Id, Kind, Object, Objects};
use packet::{Packet, Reader};

/// Bytes of the answers that are no packs.
const MAX_ANSWER: usize = 4 << 20;
/// Bytes of a pack.
const MAX_PACK: usize = 256 << 20;
/// Longest target of a symlink (Linux' own limit of a path).
const MAX_LINK: usize = 4096;
/// What is said of a repository that is not there.
const MISSING: &str = ": there is no such repository, or it needs a login";
/// What follows a repository's URL where it is asked what it speaks.
const SUFFIX: &str = "/info/refs?service=git-upload-pack";
const REQUEST: &str = "application/x-git-upload-pack-request";
const RESULT: &str = "application/x-git-upload-pack-result";
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const AGENT: &str = "agent=slipway";
const FORMAT: &str = "object-format=sha1";

/// A repository on another host than the root's. Prints as `HOST/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitRepository {
    url: RepoUrl,
    /// Its path, as it is written: on some hosts cases count.
    path: String,
    /// The project whose own credential it is fetched by; empty where it is nobody's own.
    project: String,
}

impl GitRepository {
    /// The repository at `url`, for an Application of `project`.
    pub fn new(url: &RepoUrl, project: &str) -> Self {
        Self { url: url.clone(), path: url.repo.to_string(), project: project.to_owned() }
    }

    /// Its URL.
    pub fn url(&self) -> &RepoUrl {
        &self.url
    }

    /// The same as all see it that have the same credential, which `found` is.
    pub(super) fn with(&self, found: &Found) -> Self {
        let project = found.as_ref().map_or("", |found| found.project.as_str());
        Self { project: project.to_owned(), ..self.clone() }
    }

    pub(super) fn project(&self) -> &str {
        &self.project
    }

    /// The URLs at which it may be, the likely one first: most hosts take both forms, and some only the one that they
    /// have.
    pub(super) fn places(&self) -> [String; 2] {
        let host = &self.url.host;
        let name = host.split(':').next().unwrap_or_default();
        let is_loopback = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let scheme = if is_loopback { "http" } else { "https" };
        let (plain, bare) =
            (format!("{scheme}://{host}/{}", self.path), format!("{scheme}://{host}/{}.git", self.path));
        if self.path.contains("_git/") || name.ends_with(".amazonaws.com") { [plain, bare] } else { [bare, plain] }
    }
}

impl fmt::Display for GitRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.url.host, self.path)
    }
}

/// The packs of commits that are kept while the function is warm.
pub(super) type Packs = Arc<Mutex<Kept<(GitRepository, String)>>>;

/// A repository, and what it is asked with.
pub(super) struct GitHost<'a> {
    pub(super) packs: &'a Packs,
    /// Where the repository is asked, once that is known.
    pub(super) place: &'a OnceCell<Result<String, FetchError>>,
    pub(super) downloader: &'a Downloader,
    pub(super) repository: &'a GitRepository,
    pub(super) credential: Option<&'a RepositorySecret>,
    /// The time for its refs; a commit has twice as much.
    pub(super) timeout: Duration,
}

impl GitHost<'_> {
    /// The current commit of `revision`: a branch, else a tag, a full name of a ref, `HEAD`, a commit.
    pub(super) async fn resolve(&self, revision: &str) -> Result<String, FetchError> {
        if is_sha(revision) {
            return Ok(revision.to_ascii_lowercase());
        }
        if !is_revision(revision) {
            return Err(self.wrong(format!("`{revision}` is no branch, tag or commit")));
        }
        let names = match revision {
            "HEAD" => vec!["HEAD".to_owned()],
            name if name.starts_with("refs/") => vec![name.to_owned()],
            name => ["refs/heads/", "refs/tags/", "refs/"].map(|prefix| format!("{prefix}{name}")).to_vec(),
        };
        let listed = async {
            let place = self.place.get_or_init(|| self.find_place()).await.clone()?;
            let prefixes = names.iter().map(|name| format!("ref-prefix {name}"));
            let arguments: Vec<String> = ["peel".to_owned()].into_iter().chain(prefixes).collect();
            let request = packet::request(&["command=ls-refs", AGENT, FORMAT], &arguments);
            self.refs(self.post(&place, request).await?).await
        };
        let refs = self.within(self.timeout, listed).await?;
        let found = names.iter().find_map(|name| refs.get(name));
        found.cloned().ok_or_else(|| self.wrong(format!("it has no branch or tag `{revision}`")))
    }

    /// The files of the commit `sha`.
    pub(super) async fn checkout(&self, sha: &str, memory: Memory, meter: &Meter) -> Result<Checkout, FetchError> {
        let (limits, mut held) = (memory.files(), meter.hold());
        let key = (self.repository.clone(), sha.to_owned());
        let kept = self.packs.lock().await.get(&key);
        let fetched = async {
            let place = self.place.get_or_init(|| self.find_place()).await.clone()?;
            let arguments = ["deepen 1".to_owned(), "no-progress".to_owned(), format!("want {sha}"), "done".to_owned()];
            let request = packet::request(&["command=fetch", AGENT, FORMAT], &arguments);
            self.pack(self.post(&place, request).await?, limits, &mut held).await
        };
        let pack: Arc<[u8]> = match kept {
            Some(pack) => pack,
            None => self.within(self.timeout.saturating_mul(2), fetched).await?.into(),
        };
        let bytes = Arc::clone(&pack);
        let (id, mut objects_held) = (sha.to_owned(), meter.hold());
        let unpacked = tokio::task::spawn_blocking(move || {
            let bounds = pack::Limits {
                objects: limits.files.saturating_mul(2).saturating_add(1000),
                object_bytes: limits.file_bytes,
                total_bytes: limits.total_bytes,
            };
            let objects = pack::unpack(&bytes, bounds, &mut objects_held);
            let objects = objects.map_err(|error| {
                let is_retryable = matches!(&error, pack::PackError::Full(full) if full.is_retryable());
                (chain(&error), is_retryable)
            })?;
            drop(bytes);
            let verified = files(&id, &objects, limits).map_err(|problem| (problem, false))?;
            Ok((verified.into_parts(), objects_held))
        });
        let unpacked = unpacked.await.unwrap_or_else(|error| Err((error.to_string(), false)));
        let ((tree, special), held) =
            unpacked.map_err(|(problem, is_retryable)| FetchError { is_retryable, ..self.wrong(problem) })?;
        self.packs.lock().await.keep(key, &pack, memory.kept());
        Ok(Checkout {
            repo: self.repository.url.repo.clone(),
            sha: sha.to_owned(),
            tree: Arc::new(tree),
            special,
            held,
        })
    }

    fn wrong(&self, problem: impl ToString) -> FetchError {
        FetchError::of(&self.repository.to_string(), problem)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let late =
            || FetchError::later(&self.repository.to_string(), format!("no whole answer within {} s", limit.as_secs()));
        tokio::time::timeout(limit, Box::pin(work)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Where the repository is asked, as a host may lead elsewhere. An error where it does not speak version 2.
    async fn find_place(&self) -> Result<String, FetchError> {
        let [first, second] = self.repository.places();
        let asked = Asked { is_git: true, credential: self.credential, ..Asked::default() };
        let mut download = self.downloader.get(&format!("{first}{SUFFIX}"), &asked).await?;
        if matches!(download.status(), StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) {
            download = self.downloader.get(&format!("{second}{SUFFIX}"), &asked).await?;
        }
        let download = download.ok(MISSING)?;
        if download.content_type() != ADVERTISEMENT {
            return Err(self.wrong("it is no repository of git"));
        }
        let place = download.place().strip_suffix(SUFFIX).map(str::to_owned);
        let place = place.ok_or_else(|| self.wrong("it leads to what is no repository of git"))?;
        let mut is_second = false;
        let each = |packet| {
            if let Packet::Data(data) = packet {
                is_second |= packet::line(&data)? == "version 2";
            }
            Ok(())
        };
        self.each(download, MAX_ANSWER, each).await?;
        if is_second { Ok(place) } else { Err(self.wrong("it does not speak version 2 of git's protocol")) }
    }

    /// Gives the packets of `answer` to `take`.
    async fn each(
        &self,
        answer: Download,
        limit: usize,
        mut take: impl FnMut(Packet) -> Result<(), String>,
    ) -> Result<(), FetchError> {
        let mut reader = Reader::default();
        let read = answer.each(limit, |bytes| {
            reader.add(bytes);
            while let Some(packet) = reader.next()? {
                take(packet)?;
            }
            Ok(())
        });
        read.await?;
        if reader.is_empty() {
            Ok(())
        } else {
            Err(FetchError::later(&self.repository.to_string(), "the answer ended early".to_owned()))
        }
    }

    async fn post(&self, place: &str, request: Vec<u8>) -> Result<Download, FetchError> {
        let asked = Asked {
            accept: RESULT,
            is_git: true,
            body: Some((REQUEST, request.into())),
            credential: self.credential,
            ..Asked::default()
        };
        let download = self.downloader.get(&format!("{place}/git-upload-pack"), &asked).await?.ok(MISSING)?;
        if download.content_type() != RESULT {
            return Err(self.wrong("it is no repository of git"));
        }
        Ok(download)
    }

    /// The commits of refs, by name.
    async fn refs(&self, answer: Download) -> Result<BTreeMap<String, String>, FetchError> {
        let mut refs = BTreeMap::new();
        let each = |packet| {
            let Packet::Data(data) = packet else { return Ok(()) };
            let line = packet::line(&data)?;
            let mut words = line.split(' ');
            let (Some(id), Some(name)) = (words.next(), words.next()) else { return Ok(()) };
            let id = words.find_map(|word| word.strip_prefix("peeled:")).unwrap_or(id);
            if is_sha(id) {
                refs.insert(name.to_owned(), id.to_owned());
            }
            Ok(())
        };
        self.each(answer, MAX_ANSWER, each).await?;
        Ok(refs)
    }

    /// The pack of an answer.
    async fn pack(&self, answer: Download, limits: Limits, held: &mut Held) -> Result<Vec<u8>, FetchError> {
        let (mut pack, mut is_pack, mut full) = (Vec::new(), false, None);
        let each = |packet| {
            let Packet::Data(data) = packet else { return Ok(()) };
            if !is_pack {
                is_pack = packet::line(&data)? == "packfile";
                return Ok(());
            }
            match data.split_first() {
                Some((1, data)) => {
                    if let Err(error) = held.grow(data.len()) {
                        full = Some(error);
                        return Err(error.to_string());
                    }
                    pack.extend_from_slice(data);
                }
                Some((3, data)) => packet::line(&[b"ERR ", data].concat()).map(drop)?,
                _ => {}
            }
            Ok(())
        };
        let read = self.each(answer, MAX_PACK.min(limits.total_bytes), each).await;
        let is_full = full.is_some_and(MemoryFull::is_retryable);
        read.map_err(|error| FetchError { is_retryable: error.is_retryable || is_full, ..error })?;
        if pack.is_empty() { Err(self.wrong("it does not have that commit")) } else { Ok(pack) }
    }
}

/// The files of the commit `sha`.
fn files(sha: &str, objects: &Objects, limits: Limits) -> Result<Verified, String> {
    let id = |text: &str| hex::decode(text).ok().and_then(|bytes| Id::try_from(bytes).ok());
    let commit = id(sha).and_then(|id| objects.whole(&id, Kind::Commit));
    let commit = commit.ok_or_else(|| "the pack does not have the commit".to_owned())?;
    let first = commit.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let tree = std::str::from_utf8(first).ok().and_then(|line| id(line.strip_prefix("tree ")?));
    let tree = tree.ok_or_else(|| "the commit has no tree".to_owned())?;
    let mut walk = Walk { objects, limits, entries: 0, verified: Verified::new(limits) };
    walk.tree(&tree, "", 0)?;
    Ok(walk.verified)
}

struct Walk<'a> {
    objects: &'a Objects,
    limits: Limits,
    entries: usize,
    verified: Verified,
}

impl Walk<'_> {
    fn tree(&mut self, id: &Id, folder: &str, depth: usize) -> Result<(), String> {
        let broken = || format!("the folder `{folder}` of the commit is broken");
        if depth > self.limits.depth {
            return Err(format!("`{folder}` goes over the limit of {} folders in a path", self.limits.depth));
        }
        let mut rest: &[u8] = self.objects.whole(id, Kind::Tree).ok_or_else(broken)?;
        while !rest.is_empty() {
            // The same tree may be in many places.
            self.entries = self.entries.saturating_add(1);
            if self.entries > self.limits.files.saturating_mul(2) {
                return Err(format!("the commit goes over the limit of {} files", self.limits.files));
            }
            let entry = Entry::read(&mut rest).ok_or_else(broken)?;
            let path = if folder.is_empty() { entry.name.to_owned() } else { format!("{folder}/{}", entry.name) };
            if entry.mode == "40000" {
                self.tree(&entry.id, &path, depth.saturating_add(1))?;
            } else {
                let known = self.known(&entry).ok_or_else(|| format!("the pack does not have `{path}`"))?;
                self.verified.put(&path, known).map_err(|error| chain(&error))?;
            }
        }
        Ok(())
    }

    fn known(&self, entry: &Entry<'_>) -> Option<Known> {
        Some(match (entry.mode, self.objects.get(&entry.id)) {
            ("160000", _) => Known::Submodule,
            (_, Some(Object::Large(size))) => Known::Large(*size),
            (_, None) if self.objects.has_unknown => Known::Large(u64::MAX),
            ("120000", Some(Object::Whole(Kind::Blob, bytes))) => {
                Known::Link(std::str::from_utf8(bytes).ok().filter(|target| target.len() <= MAX_LINK)?.to_owned())
            }
            (_, Some(Object::Whole(Kind::Blob, bytes))) => Known::File(Arc::clone(bytes)),
            _ => return None,
        })
    }
}

/// An entry of a tree.
struct Entry<'a> {
    mode: &'a str,
    name: &'a str,
    id: Id,
}

impl<'a> Entry<'a> {
    /// Takes the next entry off `bytes`; `None` where it is broken, or its name is none of a file.
    fn read(bytes: &mut &'a [u8]) -> Option<Self> {
        let (mode, rest) = bytes.split_at_checked(memchr::memchr(b' ', bytes)?)?;
        let rest = rest.get(1..)?;
        let (name, rest) = rest.split_at_checked(memchr::memchr(0, rest)?)?;
        let (id, rest) = rest.get(1..)?.split_at_checked(20)?;
        let name = std::str::from_utf8(name).ok().filter(|name| !matches!(*name, "" | "." | ".."))?;
        if name.contains('/') {
            return None;
        }
        *bytes = rest;
        Some(Self { mode: std::str::from_utf8(mode).ok()?, name, id: id.try_into().ok()? })
    }
}
