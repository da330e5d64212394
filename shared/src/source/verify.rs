//! Verifies a tarball against the commit. It is no checkout: `export-ignore` leaves files out, `export-subst` changes
//! them, submodules and LFS files are missing. So each file is compared with the commit's tree listing by git's own
//! blob id, and only matching files get into the tree. Pure: listing and archive in, a tree and the blobs still to
//! fetch out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use sha1::{Digest, Sha1};
use slipway_manifest::{Limits, Tree, TreeError, tree};

use super::Repo;
use super::archive::Entry;

/// Blobs of one commit that are fetched one by one: beyond it, the archive is not this commit's.
const MAX_FETCHED_BLOBS: usize = 500;

/// How a Git LFS pointer begins (git-lfs docs/spec.md).
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// GitHub's answer to `GET /repos/{owner}/{repo}/git/trees/{sha}?recursive=1`.
#[derive(Debug, Clone, Deserialize)]
pub struct GitTree {
    /// Its own URL, with the repository's name as it is now.
    #[serde(default)]
    pub url: String,
    /// Whether entries were left out (over 100,000, or 7 MB).
    pub truncated: bool,
    /// Everything below the root.
    pub tree: Vec<GitTreeEntry>,
}

impl GitTree {
    /// The repository of the listing. GitHub forwards requests from a name that the repository had before, and makes
    /// the URLs of its answers from the one that it has.
    pub fn repo(&self) -> Option<Repo> {
        let mut names = self.url.split_once("/repos/")?.1.split('/');
        format!("{}/{}", names.next()?, names.next()?).parse().ok()
    }
}

/// One entry of a listing.
#[derive(Debug, Clone, Deserialize)]
pub struct GitTreeEntry {
    /// Path from the root.
    pub path: String,
    /// `100644`, `100755`, `120000` (symlink), `040000` (folder), `160000` (submodule).
    pub mode: String,
    /// The object's git id.
    pub sha: String,
    /// Size of a blob.
    #[serde(default)]
    pub size: u64,
}

/// A file that the archive does not have, or has with other bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingEntry {
    /// The file's path.
    pub path: String,
    /// The blob's git id.
    pub sha: String,
    /// Whether it is a symlink.
    pub link: bool,
}

/// A tree of verified files only, and what is still missing.
#[derive(Debug)]
pub struct Verified {
    /// The files that match the commit.
    pub tree: Tree,
    /// Blobs to fetch and [`add`](Self::add).
    pub missing: Vec<MissingEntry>,
    special: UnfetchedPaths,
}

/// Paths whose content is not in the commit.
#[derive(Debug, Clone, Default)]
pub struct UnfetchedPaths {
    submodules: BTreeSet<String>,
    lfs: BTreeSet<String>,
    /// Files beyond the limit, with their sizes in bytes.
    large: BTreeMap<String, u64>,
}

/// Why a commit can't be verified, or a path of it can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The repository is too large for one listing.
    #[error("GitHub's listing of the commit is truncated: the repository has too many files to verify")]
    Truncated,
    /// Too many files differ for the archive to be this commit's.
    #[error(
        "{count} files of the commit are missing from its archive or differ (limit {MAX_FETCHED_BLOBS}), the first is \
         `{first}`"
    )]
    TooDifferent {
        /// The number of differing files.
        count: usize,
        /// One of their paths.
        first: String,
    },
    /// A fetched blob has another id than requested.
    #[error("the blob fetched for `{path}` is not `{sha}`")]
    Blob {
        /// The file.
        path: String,
        /// The requested id.
        sha: String,
    },
    /// A submodule is below a used path.
    #[error("`{path}` needs the submodule `{submodule}`, which is not supported: put its files into the repository")]
    Submodule {
        /// The used path.
        path: String,
        /// The submodule's path.
        submodule: String,
    },
    /// A used file is too large.
    #[error("`{path}` has {size} bytes, more than is read of a file: make it smaller, or leave it out of the source")]
    Large {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A used file is only a pointer to Git LFS.
    #[error("`{path}` is a Git LFS pointer that is not fetched here: put the file itself into the repository")]
    Lfs {
        /// The file.
        path: String,
    },
    /// A path that no commit has.
    #[error("the listing of the commit has the path `{0}`, which git can't store")]
    Path(String),
    /// The commit's files are too many or too large, or a path leaves the tree.
    #[error("the commit does not fit")]
    Tree(#[source] TreeError),
}

/// The id that git gives to a blob of these bytes.
pub fn blob_id(bytes: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex::encode(hash.finalize())
}

/// Compares the archive with the listing. What the archive has beyond the listing is dropped.
pub fn verify(listing: GitTree, mut archive: BTreeMap<String, Entry>, limits: Limits) -> Result<Verified, VerifyError> {
    compare(listing, |path| archive.remove(path).map(Known::from), limits)
}

/// Compares with the listing what is `known` of each path.
pub fn compare(
    listing: GitTree,
    mut known: impl FnMut(&str) -> Option<Known>,
    limits: Limits,
) -> Result<Verified, VerifyError> {
    if listing.truncated {
        return Err(VerifyError::Truncated);
    }
    let mut verified = Verified::new(limits);
    for entry in listing.tree {
        match entry.mode.as_str() {
            "040000" => continue,
            "160000" => {
                verified.put(&entry.path, Known::Submodule)?;
                continue;
            }
            _ => {}
        }
        if usize::try_from(entry.size).map_or(true, |size| size > limits.file_bytes) {
            verified.put(&entry.path, Known::Large(entry.size))?;
            continue;
        }
        let link = entry.mode == "120000";
        match known(&entry.path) {
            Some(content) if content.is_blob(link, &entry.sha) => verified.put(&entry.path, content)?,
            _ => verified.missing.push(MissingEntry { path: entry.path, sha: entry.sha, link }),
        }
    }
    match verified.missing.first() {
        Some(first) if verified.missing.len() > MAX_FETCHED_BLOBS => {
            Err(VerifyError::TooDifferent { count: verified.missing.len(), first: first.path.clone() })
        }
        _ => Ok(verified),
    }
}

/// What stands at a path of a commit whose objects are known by their ids.
pub enum Known {
    /// A file.
    File(Arc<[u8]>),
    /// A symlink.
    Link(String),
    /// A submodule.
    Submodule,
    /// A file beyond the limit, with its size.
    Large(u64),
}

impl Known {
    /// Whether it is the blob `sha`, and of the right kind.
    fn is_blob(&self, is_link: bool, sha: &str) -> bool {
        match self {
            Self::File(bytes) => !is_link && blob_id(bytes) == sha,
            Self::Link(target) => is_link && blob_id(target.as_bytes()) == sha,
            Self::Submodule | Self::Large(_) => false,
        }
    }
}

impl From<Entry> for Known {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Link(target) => Self::Link(target),
            Entry::File(bytes) => Self::File(bytes.into()),
        }
    }
}

impl Verified {
    /// Without files.
    pub fn new(limits: Limits) -> Self {
        Self { tree: Tree::new(limits), missing: Vec::new(), special: UnfetchedPaths::default() }
    }

    /// Adds what stands at `path`.
    pub fn put(&mut self, path: &str, known: Known) -> Result<(), VerifyError> {
        // Two spellings of one path would hide one file by another.
        if tree::join("", path).map_err(VerifyError::Tree)? != path {
            return Err(VerifyError::Path(path.to_owned()));
        }
        match known {
            Known::Submodule => {
                self.special.submodules.insert(path.to_owned());
                return Ok(());
            }
            // Nothing is read of most files: a large one is no mistake before something reads it.
            Known::Large(size) => {
                self.special.large.insert(path.to_owned(), size);
                self.tree.insert(path, Vec::new())
            }
            Known::Link(target) => self.tree.insert_link(path, &target),
            Known::File(bytes) => {
                if bytes.starts_with(LFS) {
                    self.special.lfs.insert(path.to_owned());
                }
                self.tree.insert(path, bytes)
            }
        }
        .map_err(VerifyError::Tree)
    }

    /// Adds a fetched blob.
    pub fn add(&mut self, missing: &MissingEntry, bytes: Vec<u8>) -> Result<(), VerifyError> {
        let wrong = || VerifyError::Blob { path: missing.path.clone(), sha: missing.sha.clone() };
        if blob_id(&bytes) != missing.sha {
            return Err(wrong());
        }
        let content =
            if missing.link { Entry::Link(String::from_utf8(bytes).map_err(|_| wrong())?) } else { Entry::File(bytes) };
        self.put(&missing.path, content.into())
    }

    /// The tree, and the paths whose content is not in the commit.
    pub fn into_parts(self) -> (Tree, UnfetchedPaths) {
        (self.tree, self.special)
    }
}

impl UnfetchedPaths {
    /// The pointers of Git LFS.
    pub fn lfs(&self) -> &BTreeSet<String> {
        &self.lfs
    }

    /// Refuses the folder `path` if it lies in a submodule or holds one.
    pub fn check_folder(&self, path: &str) -> Result<(), VerifyError> {
        // A path that leaves the tree is refused where it is read.
        let Ok(path) = tree::join("", path) else { return Ok(()) };
        let within = |inner: &str, outer: &str| {
            outer.is_empty() || inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
        };
        match self.submodules.iter().find(|submodule| within(submodule, &path) || within(&path, submodule)) {
            Some(submodule) => Err(VerifyError::Submodule { path, submodule: submodule.clone() }),
            None => Ok(()),
        }
    }

    /// Refuses `files` (what a render read) if one of them is a Git LFS pointer, or too large.
    pub fn check_files<'a>(&self, files: impl IntoIterator<Item = &'a String>) -> Result<(), VerifyError> {
        for path in files {
            if self.lfs.contains(path) {
                return Err(VerifyError::Lfs { path: path.clone() });
            }
            if let Some(size) = self.large.get(path) {
                return Err(VerifyError::Large { path: path.clone(), size: *size });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, mode: &str, text: &str) -> GitTreeEntry {
        GitTreeEntry { path: path.into(), mode: mode.into(), sha: blob_id(text.as_bytes()), size: text.len() as u64 }
    }

    fn file(text: &str) -> Entry {
        Entry::File(text.as_bytes().to_vec())
    }

    #[test]
    fn a_listing_names_its_repository_as_it_is_now() {
        let named = |url: &str| {
            let listing = GitTree { url: url.to_owned(), truncated: false, tree: vec![] };
            listing.repo().map(|repo| repo.to_string())
        };
        for (url, repo) in [
            ("https://api.github.com/repos/acme/now/git/trees/1", Some("acme/now")),
            ("https://github.example.com/api/v3/repos/acme/now/git/trees/1", Some("acme/now")),
            ("http://127.0.0.1:1/repos/repos/repos/git/trees/1", Some("repos/repos")),
            ("https://api.github.com/repositories/7/git/trees/1", None),
            ("https://api.github.com/repos/acme", None),
            ("https://api.github.com/repos/../../x", None),
            ("", None),
        ] {
            assert_eq!(named(url).as_deref(), repo, "{url}");
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        for path in ["apps/", "./apps", "apps//web", "apps/./web"] {
            let listing = GitTree { url: String::new(), truncated: false, tree: vec![row(path, "100644", "x")] };
            let error = verify(listing, [(path.to_owned(), file("x"))].into(), Limits::default()).err();
            assert_eq!(error, Some(VerifyError::Path(path.to_owned())));
        }
    }

    #[test]
    fn ids_are_gits() {
        // `printf 'hello\n' | git hash-object --stdin`
        assert_eq!(blob_id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn only_what_the_commit_has_gets_in() {
        let listing = GitTree {
            url: String::new(),
            truncated: false,
            tree: vec![
                row("same", "100644", "1"),
                row("changed", "100644", "$Format:%H$"),
                row("ignored", "100755", "3"),
                row("link", "120000", "same"),
                row("dir", "040000", ""),
            ],
        };
        let archive = BTreeMap::from([
            ("same".to_owned(), file("1")),
            ("changed".to_owned(), file("0123456")),
            ("link".to_owned(), Entry::Link("same".into())),
            ("added".to_owned(), file("evil")),
        ]);
        let mut verified = verify(listing, archive, Limits::default()).unwrap();
        assert_eq!(verified.missing.iter().map(|m| m.path.as_str()).collect::<Vec<_>>(), ["changed", "ignored"]);
        assert_eq!(verified.tree.read_text("link").unwrap(), "1");
        assert!(verified.tree.read("added").is_err());
        let missing = verified.missing.clone();
        assert!(matches!(verified.add(&missing[0], b"other".to_vec()), Err(VerifyError::Blob { .. })));
        verified.add(&missing[0], b"$Format:%H$".to_vec()).unwrap();
        verified.add(&missing[1], b"3".to_vec()).unwrap();
        assert_eq!(verified.into_parts().0.read_text("changed").unwrap(), "$Format:%H$");
    }

    #[test]
    fn a_large_file_is_a_mistake_only_where_it_is_read() {
        let limits = Limits { file_bytes: 4, ..Limits::default() };
        let tree = vec![row("big.bin", "100644", "12345"), row("a", "100644", "1")];
        // As the archive is unpacked, without the large file.
        let archive = BTreeMap::from([("a".to_owned(), file("1"))]);
        let (tree, special) =
            verify(GitTree { url: String::new(), truncated: false, tree }, archive, limits).unwrap().into_parts();
        assert_eq!((tree.read_text("a").unwrap(), special.check_files(&["a".to_owned()])), ("1", Ok(())));
        let error = special.check_files(&["a".to_owned(), "big.bin".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`big.bin` has 5 bytes, more than is read of a file: make it smaller, or leave it out of the source"
        );
    }

    #[test]
    fn submodules_and_lfs_are_named_where_they_are_used() {
        let pointer = format!("{}oid sha256:ab\nsize 1\n", String::from_utf8_lossy(LFS));
        let listing = GitTree {
            url: String::new(),
            truncated: false,
            tree: vec![row("apps/vendor/lib", "160000", ""), row("apps/big.yaml", "100644", &pointer)],
        };
        let archive = BTreeMap::from([("apps/big.yaml".to_owned(), file(&pointer))]);
        let (_, special) = verify(listing, archive, Limits::default()).unwrap().into_parts();
        for used in [
            "",
            ".",
            "./",
            "apps",
            "./apps/",
            "apps/x/../vendor",
            "apps/vendor",
            "apps/vendor/lib",
            "apps/vendor/lib/deep",
        ] {
            assert!(matches!(special.check_folder(used), Err(VerifyError::Submodule { .. })), "{used}");
        }
        special.check_folder("apps/vendor/library").unwrap();
        special.check_files(&["apps/other.yaml".to_owned()]).unwrap();
        let error = special.check_files(&["apps/big.yaml".to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with("`apps/big.yaml` is a Git LFS pointer"), "{error}");
    }

    #[test]
    fn doubtful_listings_are_refused() {
        assert_eq!(
            verify(GitTree { url: String::new(), truncated: true, tree: vec![] }, BTreeMap::new(), Limits::default())
                .unwrap_err(),
            VerifyError::Truncated
        );
        let tree = (0..=MAX_FETCHED_BLOBS).map(|n| row(&format!("f{n}"), "100644", "x")).collect();
        let error = verify(GitTree { url: String::new(), truncated: false, tree }, BTreeMap::new(), Limits::default())
            .unwrap_err();
        assert_eq!(error, VerifyError::TooDifferent { count: 501, first: "f0".into() });
        let tree = vec![row("../x", "100644", "x")];
        let archive = BTreeMap::from([("../x".to_owned(), file("x"))]);
        assert!(matches!(
            verify(GitTree { url: String::new(), truncated: false, tree }, archive, Limits::default()),
            Err(VerifyError::Tree(_))
        ));
    }
}
