//! A folder whose listings and files are read when something asks for them, each once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Limits, TreeError};

/// What a folder holds under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A symlink.
    Link,
    /// A folder.
    Directory,
}

/// Reads a folder for a [`Tree`](super::Tree). Paths are relative to its top, plain, and lead through no symlink that
/// [`FolderSource::list`] told.
pub trait FolderSource: fmt::Debug + Send + Sync {
    /// The names in the folder `path`, with what they are. Fails with the reason.
    fn list(&self, path: &str) -> Result<Vec<(String, EntryKind)>, String>;
    /// The bytes of the file `path`; `None` where there are more than `limit`. Fails with the reason.
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, String>;
    /// Where the symlink `path` points. Fails with the reason.
    fn target(&self, path: &str) -> Result<String, String>;
}

/// The folder, as far as it was asked for.
#[derive(Debug)]
pub(super) struct Folder {
    source: Arc<dyn FolderSource>,
    top: Directory,
    limits: Limits,
    files: AtomicUsize,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Directory(OnceLock<Result<BTreeMap<String, Child>, TreeError>>);

#[derive(Debug)]
pub(super) struct Child {
    /// The path from the top.
    pub(super) path: String,
    kind: ChildKind,
}

#[derive(Debug)]
enum ChildKind {
    File(OnceLock<Result<Arc<[u8]>, TreeError>>),
    Link(OnceLock<Result<String, TreeError>>),
    Directory(Directory),
}

/// What stands at a path.
pub(super) enum Found<'a> {
    File(&'a Child),
    Link(&'a Child),
    Directory,
}

impl Folder {
    pub(super) fn new(source: Arc<dyn FolderSource>, limits: Limits) -> Self {
        Self { source, top: Directory::default(), limits, files: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// What stands at the plain `path`, which leads through no symlink; `None` where nothing does.
    pub(super) fn find(&self, path: &str) -> Result<Option<Found<'_>>, TreeError> {
        let mut directory = &self.top;
        let (mut at, mut rest) = ("", path);
        while !rest.is_empty() {
            let (name, after) = rest.split_once('/').unwrap_or((rest, ""));
            let Some(child) = self.children(directory, at)?.get(name) else { return Ok(None) };
            match &child.kind {
                ChildKind::Directory(inner) => directory = inner,
                _ if !after.is_empty() => return Ok(None),
                ChildKind::File(_) => return Ok(Some(Found::File(child))),
                ChildKind::Link(_) => return Ok(Some(Found::Link(child))),
            }
            (at, rest) = (child.path.as_str(), after);
        }
        Ok(Some(Found::Directory))
    }

    /// The names in the folder at the plain `path`; `None` where there is none.
    pub(super) fn names<'a>(
        &'a self,
        path: &str,
    ) -> Result<Option<impl Iterator<Item = &'a str> + use<'a>>, TreeError> {
        let Some(directory) = self.directory(path)? else { return Ok(None) };
        Ok(Some(self.children(directory, path)?.keys().map(String::as_str)))
    }

    /// All files and symlinks below the folder at the plain `path`, sorted by path.
    pub(super) fn below(&self, path: &str) -> Result<Vec<Found<'_>>, TreeError> {
        let mut found = Vec::new();
        if let Some(directory) = self.directory(path)? {
            self.walk(directory, path, &mut found)?;
        }
        found.sort_by(|a, b| a.path().cmp(b.path()));
        Ok(found)
    }

    fn walk<'a>(&'a self, directory: &'a Directory, at: &str, found: &mut Vec<Found<'a>>) -> Result<(), TreeError> {
        for child in self.children(directory, at)?.values() {
            match &child.kind {
                ChildKind::File(_) => found.push(Found::File(child)),
                ChildKind::Link(_) => found.push(Found::Link(child)),
                ChildKind::Directory(inner) => self.walk(inner, &child.path, found)?,
            }
        }
        Ok(())
    }

    /// The bytes of a file.
    pub(super) fn bytes<'a>(&self, child: &'a Child) -> Result<&'a Arc<[u8]>, TreeError> {
        let ChildKind::File(content) = &child.kind else {
            return Err(TreeError::NotFound { path: child.path.clone() });
        };
        content.get_or_init(|| self.load(&child.path)).as_ref().map_err(Clone::clone)
    }

    /// Where a symlink points.
    pub(super) fn target<'a>(&self, child: &'a Child) -> Result<&'a str, TreeError> {
        let ChildKind::Link(target) = &child.kind else {
            return Err(TreeError::NotFound { path: child.path.clone() });
        };
        let read = || self.source.target(&child.path).map_err(|reason| unreadable(&child.path, reason));
        target.get_or_init(read).as_ref().map(String::as_str).map_err(Clone::clone)
    }

    fn load(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        let over = |limit, what| TreeError::OverLimit { path: path.to_owned(), limit, what };
        let bytes = self.source.read(path, self.limits.file_bytes).map_err(|reason| unreadable(path, reason))?;
        let bytes = bytes.ok_or_else(|| over(self.limits.file_bytes, "bytes in a file"))?;
        let total = self.bytes.fetch_add(bytes.len(), Ordering::Relaxed).saturating_add(bytes.len());
        if total > self.limits.total_bytes {
            return Err(over(self.limits.total_bytes, "bytes in all"));
        }
        Ok(bytes.into())
    }

    fn directory(&self, path: &str) -> Result<Option<&Directory>, TreeError> {
        let mut directory = &self.top;
        let mut at = "";
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.children(directory, at)?.get(name) {
                Some(Child { kind: ChildKind::Directory(inner), path }) => (directory, at) = (inner, path),
                _ => return Ok(None),
            }
        }
        Ok(Some(directory))
    }

    fn children<'a>(&self, directory: &'a Directory, path: &str) -> Result<&'a BTreeMap<String, Child>, TreeError> {
        directory.0.get_or_init(|| self.list(path)).as_ref().map_err(Clone::clone)
    }

    fn list(&self, path: &str) -> Result<BTreeMap<String, Child>, TreeError> {
        let over = |limit, what| TreeError::OverLimit { path: path.to_owned(), limit, what };
        if !path.is_empty() && path.matches('/').count() >= self.limits.depth {
            return Err(over(self.limits.depth, "folders above a file"));
        }
        let listed = self.source.list(path).map_err(|reason| unreadable(path, reason))?;
        let count = self.files.fetch_add(listed.len(), Ordering::Relaxed).saturating_add(listed.len());
        if count > self.limits.files {
            return Err(over(self.limits.files, "files"));
        }
        let child = |(name, kind): (String, EntryKind)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let kind = match kind {
                EntryKind::File => ChildKind::File(OnceLock::new()),
                EntryKind::Link => ChildKind::Link(OnceLock::new()),
                EntryKind::Directory => ChildKind::Directory(Directory::default()),
            };
            (name, Child { path, kind })
        };
        Ok(listed.into_iter().map(child).collect())
    }
}

impl<'a> Found<'a> {
    /// The path from the top; empty for a folder.
    pub(super) fn path(&self) -> &'a str {
        match self {
            Self::File(child) | Self::Link(child) => &child.path,
            Self::Directory => "",
        }
    }
}

fn unreadable(path: &str, reason: String) -> TreeError {
    let path = if path.is_empty() { "." } else { path };
    TreeError::Unreadable { path: path.to_owned(), reason }
}
