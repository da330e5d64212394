//! Fetches objects of Git LFS from GitHub, where something reads them (git-lfs `docs/api/batch.md`): each is verified by
//! its SHA-256 and size, and all of them are bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::download::{Asked, Authorization, FetchError};
use super::{Checkouts, Repo, SourceError};
use crate::memory::Held;

/// What a batch is sent and answered as.
const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// Objects that are asked for at a time.
pub const MAX_LFS_OBJECTS: usize = 100;
/// Bytes of the answer to a batch.
const MAX_ANSWER: usize = 1 << 20;
/// Bytes of one pointer (git-lfs `docs/spec.md`).
const MAX_POINTER: usize = 1024;

/// What stands in a commit for a file that Git LFS keeps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LfsPointer {
    /// SHA-256 of the file, in hex.
    pub oid: String,
    /// Its size in bytes.
    pub size: usize,
}

/// Files that Git LFS keeps, by the paths of their pointers, and the memory that they take.
#[derive(Debug, Default)]
pub struct LfsFiles {
    /// The files.
    pub files: BTreeMap<String, Arc<[u8]>>,
    held: Vec<Held>,
}

impl LfsFiles {
    /// Adds those of `other`.
    pub fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.held.extend(other.held);
    }
}

impl LfsPointer {
    /// The pointer that `bytes` are; none where they are something else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_POINTER)?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let oid = field("oid sha256:")?;
        let is_digest =
            oid.len() == 64 && oid.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let size = field("size ")?.parse().ok()?;
        is_digest.then(|| Self { oid: oid.to_owned(), size })
    }
}

impl Checkouts {
    /// The files of `pointers`, by their paths, of a repository on the root's host.
    pub async fn lfs(&self, repo: &Repo, pointers: &BTreeMap<String, LfsPointer>) -> Result<LfsFiles, SourceError> {
        let place = format!("Git LFS of {repo}");
        if pointers.len() > MAX_LFS_OBJECTS {
            let problem = format!("{} files are needed, and at most {MAX_LFS_OBJECTS} are fetched", pointers.len());
            return Err(FetchError::of(&place, problem).into());
        }
        let most = self.memory().files().file_bytes;
        if let Some((path, pointer)) = pointers.iter().find(|(_, pointer)| pointer.size > most) {
            let problem = format!("`{path}` has {} bytes, and at most {most} are read of a file", pointer.size);
            return Err(FetchError::of(&place, problem).into());
        }
        let limit = self.charts().timeout();
        let late = || FetchError::later(&place, format!("no whole answer within {} s", limit.as_secs()));
        let fetch = Box::pin(self.fetch_lfs(repo, &place, pointers));
        tokio::time::timeout(limit, fetch).await.unwrap_or_else(|_| Err(late().into()))
    }

    async fn fetch_lfs(
        &self,
        repo: &Repo,
        place: &str,
        pointers: &BTreeMap<String, LfsPointer>,
    ) -> Result<LfsFiles, SourceError> {
        let url = format!("{}/{repo}.git/info/lfs/objects/batch", self.github.web());
        let token = self.github.token().await?;
        let login = STANDARD.encode(format!("x-access-token:{}", token.expose_secret()));
        let login = SecretString::from(format!("Basic {login}"));
        let objects: Vec<Value> =
            pointers.values().map(|pointer| json!({"oid": pointer.oid, "size": pointer.size})).collect();
        let body = json!({"operation": "download", "transfers": ["basic"], "hash_algo": "sha256", "objects": objects});
        let asked = Asked {
            accept: MEDIA_TYPE,
            body: Some((MEDIA_TYPE, Bytes::from(body.to_string()))),
            authorization: Authorization::Instead(Some(&login)),
            ..Asked::default()
        };
        let missing = ": there is no such repository, or the credential of GitHub can't read it";
        let downloader = self.charts().downloader();
        let answer = downloader.get(&url, &asked).await?.ok(missing)?.bytes(MAX_ANSWER).await?;
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|_| FetchError::of(place, "the answer is no JSON"))?;
        let listed = answer.get("objects").and_then(Value::as_array).into_iter().flatten();
        let by_oid: BTreeMap<&str, &Value> = listed.filter_map(|one| Some((one.get("oid")?.as_str()?, one))).collect();
        let mut files = LfsFiles::default();
        for (path, pointer) in pointers {
            let wrong = |problem: &str| FetchError::of(place, format!("`{path}`: {problem}"));
            let object = by_oid.get(pointer.oid.as_str()).ok_or_else(|| wrong("the answer leaves it out"))?;
            let download = object.pointer("/actions/download");
            let Some(href) = download.and_then(|download| download.get("href")?.as_str()) else {
                let code = object.pointer("/error/code").and_then(Value::as_u64);
                let code = code.map_or_else(String::new, |code| format!(" ({code})"));
                return Err(wrong(&format!("Git LFS does not have it{code}: push it by `git lfs push`")).into());
            };
            let header = download.and_then(|download| download.pointer("/header/Authorization")?.as_str());
            let header = header.map(|header| SecretString::from(header.to_owned()));
            let asked = Asked { authorization: Authorization::Instead(header.as_ref()), ..Asked::default() };
            let bytes = downloader.get(href, &asked).await?.ok("")?.bytes(pointer.size).await?;
            if bytes.len() != pointer.size || hex::encode(Sha256::digest(&bytes)) != pointer.oid {
                return Err(wrong("what was fetched is not what the commit names").into());
            }
            let mut held = self.github.meter().hold();
            held.grow(bytes.len())
                .map_err(|full| FetchError { is_retryable: full.is_retryable(), ..FetchError::of(place, full) })?;
            files.held.push(held);
            files.files.insert(path.clone(), bytes.into());
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_what_git_lfs_writes() {
        let oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n");
        let expected = LfsPointer { oid: oid.to_owned(), size: 12345 };
        assert_eq!(LfsPointer::parse(pointer.as_bytes()), Some(expected));
        let long = pointer.clone() + &"x".repeat(2000);
        for bad in [
            pointer.replace(oid, "../../etc"),
            pointer.replace("4d7a", "4D7A"),
            pointer.replace("12345", "-1"),
            pointer.replace("12345", "99999999999999999999"),
            pointer.replace("oid", "id"),
            long,
        ] {
            assert_eq!(LfsPointer::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(LfsPointer::parse(&[0xff]), None);
    }
}
