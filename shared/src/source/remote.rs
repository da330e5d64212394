//! Fetches what kustomizations name that lies elsewhere: bases of other repositories, and files by HTTPS.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use slipway_gocompat::semver::Version;
use slipway_kustomize::{Place, Remote, RemoteKind};
use slipway_manifest::{Tree, TreeError};

use super::checkouts::cell;
use super::download::{Asked, FetchError};
use super::git::GitRepository;
use super::github::{Checkout, is_sha};
use super::verify::VerifyError;
use super::{Checkouts, Repo, RepoUrl, SourceError, is_revision};
use crate::app::ProjectPermissions;
use crate::app::project::Denied;
use crate::memory::Held;

/// The folder of a tree in which what is remote is put: no path that git can check out everywhere.
const FOLDER: &str = "$remote";
/// Bytes of a remote file.
const MAX_FILE: usize = 32 << 20;

/// Who asks for something remote.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The host whose repositories GitHub's API has.
    pub host: &'a str,
    /// The project of the Application.
    pub project: &'a str,
}

/// A remote file, and the memory that it takes.
#[derive(Debug)]
pub struct RemoteFile {
    /// SHA-256, in hex.
    pub digest: String,
    /// The content.
    pub(crate) bytes: Arc<[u8]>,
    _held: Held,
}

/// What is remote, as it was fetched.
#[derive(Debug, Clone)]
pub enum RemoteFiles {
    /// The commit of a base.
    Commit(Arc<Checkout>),
    /// A file.
    File(Arc<RemoteFile>),
}

/// Why a project does not allow the repository of `remote`, in the form `https://HOST/PATH` or as it is written; that
/// of a file of GitHub is the one that the file is of.
pub fn refused(permit: &ProjectPermissions, remote: &Remote) -> Option<Denied> {
    let denied = permit.refused_source(&repository_url(remote))?;
    match &remote.kind {
        RemoteKind::Git { repository, .. } if permit.refused_source(repository).is_none() => None,
        _ => Some(denied),
    }
}

fn repository_url(remote: &Remote) -> String {
    match &remote.kind {
        RemoteKind::Git { repository, .. } => {
            repository.parse::<RepoUrl>().map_or_else(|_| repository.clone(), |url| url.to_string())
        }
        RemoteKind::File { url } => {
            let url = url.split('?').next().unwrap_or_default();
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            let parts: Vec<&str> = rest.splitn(5, '/').collect();
            match parts.as_slice() {
                ["raw.githubusercontent.com", owner, name, ..]
                | ["github.com", owner, name, "raw" | "releases" | "archive", ..] => {
                    format!("https://github.com/{owner}/{name}")
                }
                _ => url.to_owned(),
            }
        }
    }
}

/// Whether `text` names something that does not change: a commit, or a version in full.
fn is_fixed(text: &str) -> bool {
    let number = text.trim_start_matches('v');
    is_sha(text)
        || (Version::parse(number).is_ok() && number.split(['-', '+']).next().unwrap_or("").matches('.').count() == 2)
}

fn wrong(remote: &Remote, problem: impl ToString) -> SourceError {
    FetchError::of(&slipway_gitops::location::without_credentials(&remote.raw), problem).into()
}

/// The repository of a base.
enum Base {
    GitHub(Repo),
    Other(GitRepository),
}

/// The repository and revision of a base; `None` of a file.
fn base(remote: &Remote, asking: Asking<'_>) -> Result<Option<(Base, String)>, SourceError> {
    let RemoteKind::Git { repository, reference, .. } = &remote.kind else { return Ok(None) };
    let url: RepoUrl = repository.parse().map_err(|error| wrong(remote, error))?;
    let reference = if reference.is_empty() { "HEAD" } else { reference };
    if !is_revision(reference) {
        return Err(wrong(remote, format!("`{reference}` is no branch, tag or commit")));
    }
    let base = if url.host == asking.host {
        Base::GitHub(url.repo)
    } else {
        Base::Other(GitRepository::new(&url, asking.project))
    };
    Ok(Some((base, reference.to_owned())))
}

impl Checkouts {
    /// What `remote` is, as it is now or was at the commit `known`; requested once in an event.
    pub async fn remote(
        &self,
        remote: &Remote,
        asking: Asking<'_>,
        known: Option<&str>,
    ) -> Result<RemoteFiles, SourceError> {
        let Some((base, reference)) = base(remote, asking)? else {
            return Ok(RemoteFiles::File(self.remote_file(remote, asking).await?));
        };
        let sha = match known {
            Some(sha) => sha.to_owned(),
            None => self.base_commit(&base, &reference).await?,
        };
        Ok(RemoteFiles::Commit(match base {
            Base::GitHub(repo) => Box::pin(self.get(&repo, &sha)).await?,
            Base::Other(repository) => Box::pin(self.get_other(&repository, &sha)).await?,
        }))
    }

    /// What tells one version of `remote` from another: of what names a commit or a version nothing is requested.
    pub async fn remote_version(&self, remote: &Remote, asking: Asking<'_>) -> Result<String, SourceError> {
        match base(remote, asking)? {
            Some((_, reference)) if is_fixed(&reference) => Ok(reference),
            Some((base, reference)) => self.base_commit(&base, &reference).await,
            None if remote.raw.split(['/', '?']).any(is_fixed) => Ok(String::new()),
            None => Ok(self.remote_file(remote, asking).await?.digest.clone()),
        }
    }

    async fn base_commit(&self, base: &Base, reference: &str) -> Result<String, SourceError> {
        Ok(match base {
            Base::GitHub(repo) => self.resolve(repo, reference).await?,
            Base::Other(repository) => Box::pin(self.resolve_other(repository, reference)).await?,
        })
    }

    async fn remote_file(&self, remote: &Remote, asking: Asking<'_>) -> Result<Arc<RemoteFile>, SourceError> {
        let key = (remote.raw.clone(), asking.project.to_owned());
        let cell = cell(&self.files, key).await;
        let fetch = async { Box::pin(self.fetch_file(remote, asking.project)).await.map(Arc::new) };
        Ok(cell.get_or_init(|| fetch).await.clone()?)
    }

    async fn fetch_file(&self, remote: &Remote, project: &str) -> Result<RemoteFile, FetchError> {
        let RemoteKind::File { url } = &remote.kind else { return Err(FetchError::of(&remote.raw, "it is no file")) };
        let downloader = self.charts().downloader();
        let fetch = async {
            let credential = self.credentials().find(url, project).await?;
            let asked = Asked { credential: credential.as_deref(), ..Asked::default() };
            let limit = MAX_FILE.min(self.memory().files().file_bytes);
            let bytes =
                downloader.get(url, &asked).await?.ok(": see the kustomization that names it")?.bytes(limit).await?;
            let mut held = self.github.meter().hold();
            held.grow(bytes.len()).map_err(|full| FetchError {
                is_retryable: full.is_retryable(),
                ..FetchError::of(&remote.raw, full)
            })?;
            Ok(RemoteFile { digest: hex::encode(Sha256::digest(&bytes)), bytes: bytes.into(), _held: held })
        };
        let limit = self.charts().timeout();
        let late = || FetchError::later(&remote.raw, format!("no whole answer within {} s", limit.as_secs()));
        tokio::time::timeout(limit, fetch).await.unwrap_or_else(|_| Err(late()))
    }
}

impl RemoteFiles {
    /// The commit, or the digest of the file.
    pub fn version(&self) -> &str {
        match self {
            Self::Commit(checkout) => &checkout.sha,
            Self::File(file) => &file.digest,
        }
    }

    /// Puts what `remote` is into `tree`, where the render finds it at the place.
    pub fn add(&self, tree: &mut Tree, remote: &Remote) -> Result<Place, TreeError> {
        let repository = self.folder();
        let is_there = tree.kind(&repository)?.is_some();
        let path = match (self, &remote.kind) {
            (Self::Commit(checkout), RemoteKind::Git { path, .. }) => {
                for file in checkout.tree.files_below("")?.filter(|_| !is_there) {
                    tree.insert(&format!("{repository}/{file}"), checkout.tree.read_shared(file)?)?;
                }
                for (link, target) in checkout.tree.links().filter(|_| !is_there) {
                    tree.insert_link(&format!("{repository}/{link}"), target)?;
                }
                format!("{repository}/{path}").trim_end_matches('/').to_owned()
            }
            (Self::File(file), _) => {
                let path = format!("{repository}/file");
                tree.insert(&path, Arc::clone(&file.bytes))?;
                path
            }
            (Self::Commit(_), RemoteKind::File { .. }) => repository.clone(),
        };
        Ok(Place { path, repository })
    }

    /// The folder that it is put into.
    fn folder(&self) -> String {
        match self {
            Self::Commit(checkout) => {
                format!("{FOLDER}/{}@{}", checkout.repo.to_string().replace('/', "."), checkout.sha)
            }
            Self::File(file) => format!("{FOLDER}/{}", file.digest),
        }
    }

    /// Checks that the folder of `remote` is in the commit, and all of the `files` that a render read.
    pub fn check<'a>(&self, remote: &Remote, files: impl IntoIterator<Item = &'a String>) -> Result<(), VerifyError> {
        let (Self::Commit(checkout), RemoteKind::Git { path, .. }) = (self, &remote.kind) else { return Ok(()) };
        checkout.special.check_folder(path)?;
        let folder = format!("{}/", self.folder());
        let own: Vec<String> =
            files.into_iter().filter_map(|file| Some(file.strip_prefix(&folder)?.to_owned())).collect();
        checkout.special.check_files(&own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(raw: &str, kind: RemoteKind) -> Remote {
        Remote { raw: raw.to_owned(), kind }
    }

    #[test]
    fn projects_allow_repositories() {
        for (url, expected) in [
            ("https://raw.githubusercontent.com/o/r/main/a/b.yaml", "https://github.com/o/r"),
            ("https://github.com/o/r/releases/download/v1/x.yaml", "https://github.com/o/r"),
            ("https://github.com/o/r/raw/main/x.yaml", "https://github.com/o/r"),
            ("https://example.com/a.yaml?token=canary", "https://example.com/a.yaml"),
            (
                "https://raw.githubusercontent.com.evil.example/o/r/x.yaml",
                "https://raw.githubusercontent.com.evil.example/o/r/x.yaml",
            ),
        ] {
            assert_eq!(repository_url(&remote(url, RemoteKind::File { url: url.to_owned() })), expected);
        }
        for repository in ["https://github.com/o/r", "git@github.com:o/r.git", "http://github.com/o/r.git"] {
            let kind = RemoteKind::Git {
                repository: repository.to_owned(),
                path: String::new(),
                reference: String::new(),
                submodules: true,
            };
            assert_eq!(repository_url(&remote(repository, kind)), "https://github.com/o/r");
        }
    }

    #[test]
    fn commits_and_versions_do_not_change() {
        for (text, expected) in [
            ("v1.2.3", true),
            ("1.2.3", true),
            ("v2.0.0-rc.1", true),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", true),
            ("v1.2", false),
            ("main", false),
            ("release-1.2.3", false),
            ("da39a3e", false),
            ("HEAD", false),
            ("", false),
        ] {
            assert_eq!(is_fixed(text), expected, "{text}");
        }
    }
}
