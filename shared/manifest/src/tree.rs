//! A repository's files, in memory or read as they are asked for: bounded in count, size and depth; no path leaves it.
//!
//! Paths are relative to the root, use `/`, and are given as written in manifests (`./a/../b`):
//! [`join`] makes them plain. The root itself is the empty path.

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use folder::{EntryKind, FolderSource};
use folder::{Folder, Found};

/// How large a tree may get. The defaults hold what Argo CD's repo-server accepts (attacks 13 and 14).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files and symlinks.
    pub files: usize,
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Bytes of all files.
    pub total_bytes: usize,
    /// Folders above a file.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 100_000, file_bytes: 32 << 20, total_bytes: 512 << 20, depth: 64 }
    }
}

/// Symlinks followed for one path before we call it a loop (Linux' own limit).
const MAX_LINKS: usize = 40;

/// Why a tree refuses a file or a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The path is absolute or climbs above the root.
    #[error("path `{path}` leaves the repository")]
    Leaves {
        /// The path as written.
        path: String,
    },
    /// A symlink on the way points outside.
    #[error("symlink `{link}` points outside the repository")]
    LinkLeaves {
        /// Path of the symlink.
        link: String,
    },
    /// Symlinks point at each other.
    #[error("too many symlinks on the way to `{path}`")]
    LinkLoop {
        /// The path asked for.
        path: String,
    },
    /// No such file or folder.
    #[error("no such file: `{path}`")]
    NotFound {
        /// The path asked for.
        path: String,
    },
    /// A folder where a file was wanted.
    #[error("`{path}` is a folder")]
    IsADirectory {
        /// The path asked for.
        path: String,
    },
    /// A file is not text.
    #[error("`{path}` is not valid UTF-8: save it as UTF-8")]
    NotUtf8 {
        /// The path asked for.
        path: String,
    },
    /// A file stands where a folder would have to be, or the other way round.
    #[error("`{path}` is both a file and a folder")]
    Clash {
        /// The path that can't be added.
        path: String,
    },
    /// The operating system refused the access.
    #[error("failed to read `{path}`: {reason}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// What it said.
        reason: String,
    },
    /// One of the [`Limits`] is reached.
    #[error("`{path}` goes over the limit of {limit} {what}")]
    OverLimit {
        /// The file that did not fit.
        path: String,
        /// The limit.
        limit: usize,
        /// What is counted: `files`, `bytes in a file`, …
        what: &'static str,
    },
}

/// What stands at a path, symlinks followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A file.
    File,
    /// A folder.
    Directory,
}

#[derive(Debug, Clone)]
enum Entry {
    File(Arc<[u8]>),
    Link(String),
}

impl Entry {
    /// Bytes of the content, or of where the symlink points.
    fn size(&self) -> usize {
        match self {
            Self::File(bytes) => bytes.len(),
            Self::Link(target) => target.len(),
        }
    }
}

/// Files by path, bounded; cheap to clone file by file (contents are shared).
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
    directories: BTreeMap<String, BTreeSet<String>>,
    total: usize,
    /// Whether there is a symlink anywhere.
    has_links: bool,
    /// What is read when it is asked for; then nothing is in `entries`.
    folder: Option<Arc<Folder>>,
    limits: Limits,
}

impl Tree {
    /// An empty tree with the given limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The tree of a folder of which only what is asked for is read, and counted.
    pub fn of_folder(source: Arc<dyn FolderSource>, limits: Limits) -> Self {
        Self { folder: Some(Arc::new(Folder::new(source, limits))), has_links: true, limits, ..Self::default() }
    }

    /// Adds the file `path`, or replaces it.
    pub fn insert(&mut self, path: &str, bytes: impl Into<Arc<[u8]>>) -> Result<(), TreeError> {
        let bytes = bytes.into();
        let path = join("", path)?;
        let over = |limit, what| Err(TreeError::OverLimit { path: path.clone(), limit, what });
        if bytes.len() > self.limits.file_bytes {
            return over(self.limits.file_bytes, "bytes in a file");
        }
        self.put(path, Entry::File(bytes))
    }

    /// Adds a symlink at `path` that points to `target`, relative to the symlink's folder. Where it points is checked
    /// when it is followed.
    pub fn insert_link(&mut self, path: &str, target: &str) -> Result<(), TreeError> {
        self.has_links = true;
        self.put(join("", path)?, Entry::Link(target.to_owned()))
    }

    /// Reads what was not read yet.
    fn read_all(&mut self, folder: &Folder) -> Result<(), TreeError> {
        for found in folder.below("")? {
            match &found {
                Found::File(child) => {
                    self.put(found.path().to_owned(), Entry::File(Arc::clone(folder.bytes(child)?)))?;
                }
                Found::Link(child) => {
                    self.put(found.path().to_owned(), Entry::Link(folder.target(child)?.to_owned()))?;
                }
                Found::Directory => {}
            }
        }
        Ok(())
    }

    fn put(&mut self, path: String, entry: Entry) -> Result<(), TreeError> {
        if let Some(folder) = self.folder.take() {
            self.read_all(&folder)?;
        }
        let replaced = self.entries.get(&path).map_or(0, Entry::size);
        let total = self.total.saturating_sub(replaced).saturating_add(entry.size());
        if total > self.limits.total_bytes {
            return Err(TreeError::OverLimit { path, limit: self.limits.total_bytes, what: "bytes in all" });
        }
        if path.is_empty() || self.directories.contains_key(&path) {
            return Err(TreeError::Clash { path });
        }
        let depth = path.matches('/').count();
        if depth > self.limits.depth {
            return Err(TreeError::OverLimit { path, limit: self.limits.depth, what: "folders above a file" });
        }
        if !self.entries.contains_key(&path) && self.entries.len() >= self.limits.files {
            return Err(TreeError::OverLimit { path, limit: self.limits.files, what: "files" });
        }
        let (mut parent, mut name) = split(&path);
        loop {
            if self.entries.contains_key(parent) {
                return Err(TreeError::Clash { path });
            }
            let known = self.directories.contains_key(parent);
            self.directories.entry(parent.to_owned()).or_default().insert(name.to_owned());
            if known || parent.is_empty() {
                break;
            }
            (parent, name) = split(parent);
        }
        self.entries.insert(path, entry);
        self.total = total;
        Ok(())
    }

    /// The plain path of the file or folder behind `path`, symlinks inside the tree followed; the path need not exist,
    /// but must not leave the tree.
    pub fn resolve(&self, path: &str) -> Result<String, TreeError> {
        let plain = join("", path)?;
        if !self.has_links {
            return Ok(plain);
        }
        let mut rest: Vec<String> = plain.split('/').rev().map(str::to_owned).collect();
        let mut done = String::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part.is_empty() || part == "." {
                continue;
            }
            if part == ".." {
                if done.is_empty() {
                    return Err(TreeError::Leaves { path: path.to_owned() });
                }
                done.truncate(done.rfind('/').unwrap_or(0));
                continue;
            }
            let parent_len = done.len();
            if !done.is_empty() {
                done.push('/');
            }
            done.push_str(&part);
            if let Some(target) = self.link(&done)? {
                links += 1;
                if links > MAX_LINKS {
                    return Err(TreeError::LinkLoop { path: path.to_owned() });
                }
                let parent = done.get(..parent_len).unwrap_or_default();
                if join(parent, target).is_err() {
                    return Err(TreeError::LinkLeaves { link: done });
                }
                rest.extend(target.split('/').rev().map(str::to_owned));
                done.truncate(parent_len);
            }
        }
        Ok(done)
    }

    /// Where the symlink at the plain `path` points; `None` where there is none.
    fn link(&self, path: &str) -> Result<Option<&str>, TreeError> {
        let found = match &self.folder {
            Some(folder) => match folder.find(path)? {
                Some(Found::Link(child)) => Some(folder.target(child)?),
                _ => None,
            },
            None => match self.entries.get(path) {
                Some(Entry::Link(target)) => Some(target.as_str()),
                _ => None,
            },
        };
        Ok(found)
    }

    /// The bytes of the file at `path`.
    pub fn read(&self, path: &str) -> Result<&[u8], TreeError> {
        self.file(path).map(AsRef::as_ref)
    }

    fn file(&self, path: &str) -> Result<&Arc<[u8]>, TreeError> {
        let real = self.resolve(path)?;
        if let Some(folder) = &self.folder {
            return match folder.find(&real)? {
                Some(Found::File(child)) => folder.bytes(child),
                Some(Found::Directory) => Err(TreeError::IsADirectory { path: path.to_owned() }),
                Some(Found::Link(_)) | None => Err(TreeError::NotFound { path: path.to_owned() }),
            };
        }
        match self.entries.get(&real) {
            Some(Entry::File(bytes)) => Ok(bytes),
            _ if self.directories.contains_key(&real) => Err(TreeError::IsADirectory { path: path.to_owned() }),
            _ => Err(TreeError::NotFound { path: path.to_owned() }),
        }
    }

    /// The bytes of the file at `path`, shared with the tree.
    pub fn read_shared(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        self.file(path).cloned()
    }

    /// The text of the file at `path`; must be UTF-8.
    pub fn read_text(&self, path: &str) -> Result<&str, TreeError> {
        std::str::from_utf8(self.read(path)?).map_err(|_| TreeError::NotUtf8 { path: path.to_owned() })
    }

    /// What stands at `path`; `None` where nothing does. The root is a folder, even of an empty tree.
    pub fn kind(&self, path: &str) -> Result<Option<NodeKind>, TreeError> {
        let real = self.resolve(path)?;
        if let Some(folder) = &self.folder {
            return Ok(match folder.find(&real)? {
                Some(Found::File(_)) => Some(NodeKind::File),
                Some(Found::Directory) => Some(NodeKind::Directory),
                Some(Found::Link(_)) | None => None,
            });
        }
        Ok(match self.entries.get(&real) {
            Some(Entry::File(_)) => Some(NodeKind::File),
            _ if real.is_empty() || self.directories.contains_key(&real) => Some(NodeKind::Directory),
            _ => None,
        })
    }

    /// The names in the folder `path`, sorted.
    pub fn list(&self, path: &str) -> Result<impl Iterator<Item = &str>, TreeError> {
        let plain = self.resolve(path)?;
        let on_demand = self.folder.as_ref().map(|folder| folder.names(&plain)).transpose()?.flatten();
        let in_memory = self.directories.get(&plain);
        if on_demand.is_none() && in_memory.is_none() && !plain.is_empty() {
            return Err(TreeError::NotFound { path: path.to_owned() });
        }
        Ok(on_demand.into_iter().flatten().chain(in_memory.into_iter().flatten().map(String::as_str)))
    }

    /// Paths of all files below the folder `path`, sorted; symlinks are not followed and not listed.
    pub fn files_below(&self, path: &str) -> Result<impl Iterator<Item = &str>, TreeError> {
        let plain = self.resolve(path)?;
        let on_demand = self.folder.as_ref().map(|folder| folder.below(&plain)).transpose()?.unwrap_or_default();
        let files = on_demand.into_iter().filter(|found| matches!(found, Found::File(_))).map(|found| found.path());
        let in_memory = self.in_memory_below(plain).filter(|(_, entry)| matches!(entry, Entry::File(_)));
        Ok(files.chain(in_memory.map(|(path, _)| path)))
    }

    /// The symlinks below the folder `path`, as (path, target), sorted; those behind them are not listed.
    pub fn links_below(&self, path: &str) -> Result<impl Iterator<Item = (&str, &str)>, TreeError> {
        let mut links = Vec::new();
        if self.has_links {
            let plain = self.resolve(path)?;
            if let Some(folder) = &self.folder {
                for found in folder.below(&plain)? {
                    if let Found::Link(child) = &found {
                        links.push((found.path(), folder.target(child)?));
                    }
                }
            }
            links.extend(self.in_memory_below(plain).filter_map(|(path, entry)| match entry {
                Entry::Link(target) => Some((path, target.as_str())),
                Entry::File(_) => None,
            }));
        }
        Ok(links.into_iter())
    }

    /// What is in memory below the folder at the plain `path`.
    fn in_memory_below(&self, path: String) -> impl Iterator<Item = (&str, &Entry)> {
        let prefix = if path.is_empty() { path } else { path + "/" };
        let below = self.entries.range(prefix.clone()..).take_while(move |(path, _)| path.starts_with(&prefix));
        below.map(|(path, entry)| (path.as_str(), entry))
    }

    /// All symlinks, as of [`Tree::links_below`]; none of a folder that can't be read.
    pub fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.links_below("").into_iter().flatten()
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// `path` as seen from the folder `base`, made plain: no `.`, `..`, empty parts, or trailing slash. Absolute paths and
/// paths that climb above the root are errors.
pub fn join(base: &str, path: &str) -> Result<String, TreeError> {
    let leaves = || TreeError::Leaves { path: path.to_owned() };
    if path.starts_with('/') || path.contains('\0') {
        return Err(leaves());
    }
    if base.is_empty() && is_plain(path) {
        return Ok(path.to_owned());
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(leaves)?;
            }
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

/// Whether a path has no part that [`join`] takes away, as most have.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.insert(path, text.as_bytes()).unwrap();
        }
        tree
    }

    #[test]
    fn paths_cannot_leave() {
        assert_eq!(join("a/b", "../c/./d//").unwrap(), "a/c/d");
        for (path, plain) in
            [("", ""), ("a/b", "a/b"), ("a/", "a"), ("./a", "a"), ("a/./b", "a/b"), ("a/../b", "b"), ("a/..", "")]
        {
            assert_eq!(join("", path).unwrap(), plain, "{path}");
        }
        for bad in ["../x", "/etc/passwd", "a/../../x", "a\0b"] {
            assert!(matches!(join("", bad), Err(TreeError::Leaves { .. })), "{bad}");
        }
    }

    #[test]
    fn links_are_followed_inside_and_refused_outside() {
        let mut t = tree(&[("a/real/f", "1"), ("b/x", "2")]);
        t.insert_link("a/link", "real").unwrap();
        t.insert_link("a/up", "../b/x").unwrap();
        t.insert_link("a/out", "../../etc/passwd").unwrap();
        t.insert_link("a/abs", "/etc/passwd").unwrap();
        t.insert_link("a/loop", "loop").unwrap();
        assert_eq!(t.read_text("a/link/f").unwrap(), "1");
        assert_eq!(t.read_text("a/up").unwrap(), "2");
        assert_eq!(t.read("a/out"), Err(TreeError::LinkLeaves { link: "a/out".into() }));
        assert_eq!(t.read("a/abs"), Err(TreeError::LinkLeaves { link: "a/abs".into() }));
        assert!(matches!(t.read("a/loop"), Err(TreeError::LinkLoop { .. })));
        assert_eq!(t.list("a/link").unwrap().collect::<Vec<_>>(), ["f"]);
    }

    #[test]
    fn limits_name_the_file_and_the_limit() {
        let mut t = Tree::new(Limits { files: 1, file_bytes: 2, total_bytes: 2, depth: 1 });
        assert_eq!(t.insert("big", *b"123").unwrap_err().to_string(), "`big` goes over the limit of 2 bytes in a file");
        assert_eq!(
            t.insert("a/b/c", *b"1").unwrap_err().to_string(),
            "`a/b/c` goes over the limit of 1 folders above a file"
        );
        t.insert("a", *b"12").unwrap();
        t.insert("a", *b"21").unwrap();
        assert_eq!(t.insert("b", *b"").unwrap_err().to_string(), "`b` goes over the limit of 1 files");
        let mut t = Tree::new(Limits { files: 9, file_bytes: 9, total_bytes: 5, depth: 1 });
        t.insert("a", *b"12").unwrap();
        t.insert_link("l", "a").unwrap();
        t.insert_link("l", "b").unwrap();
        assert_eq!(t.insert_link("m", "abc").unwrap_err().to_string(), "`m` goes over the limit of 5 bytes in all");
        t.insert_link("a", "bcd").unwrap();
        t.insert("b", *b"5").unwrap();
        assert!(matches!(t.insert("a/b", *b""), Err(TreeError::Clash { .. } | TreeError::OverLimit { .. })));
    }

    #[test]
    fn folders_know_their_files() {
        let t = tree(&[("a/b/c", ""), ("a/d", ""), ("ab", "")]);
        assert_eq!(t.list("a").unwrap().collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(t.files_below("a").unwrap().collect::<Vec<_>>(), ["a/b/c", "a/d"]);
        assert_eq!(t.kind("a/b").unwrap(), Some(NodeKind::Directory));
        assert_eq!(t.kind("x").unwrap(), None);
        for top in ["", ".", "./"] {
            assert_eq!(t.kind(top).unwrap(), Some(NodeKind::Directory));
            assert_eq!(t.list(top).unwrap().collect::<Vec<_>>(), ["a", "ab"]);
            assert_eq!(Tree::default().list(top).unwrap().count(), 0);
        }
    }

    /// A tree as a folder on demand.
    #[derive(Debug)]
    struct Kept(Tree);

    impl FolderSource for Kept {
        fn list(&self, path: &str) -> Result<Vec<(String, EntryKind)>, String> {
            let names = self.0.directories.get(path).into_iter().flatten();
            let kind = |name: &String| match self.0.entries.get(&join(path, name).unwrap()) {
                Some(Entry::File(_)) => EntryKind::File,
                Some(Entry::Link(_)) => EntryKind::Link,
                None => EntryKind::Directory,
            };
            Ok(names.map(|name| (name.clone(), kind(name))).collect())
        }

        fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, String> {
            let bytes = self.0.read(path).map_err(|error| error.to_string())?;
            Ok(Some(bytes.to_vec()).filter(|bytes| bytes.len() <= limit))
        }

        fn target(&self, path: &str) -> Result<String, String> {
            self.0.link(path).unwrap().map(str::to_owned).ok_or_else(|| "no link".to_owned())
        }
    }

    /// What a tree says of `path`.
    fn answers(tree: &Tree, path: &str) -> String {
        let list = |all: Result<Vec<&str>, TreeError>| format!("{all:?}");
        format!(
            "{:?} {:?} {:?} {} {} {:?}",
            tree.resolve(path),
            tree.kind(path),
            tree.read(path),
            list(tree.list(path).map(Iterator::collect)),
            list(tree.files_below(path).map(Iterator::collect)),
            tree.links_below(path).map(Iterator::collect::<Vec<_>>)
        )
    }

    /// Every path of up to three of these pieces, through links of all sorts: what is found lies inside, or is refused;
    /// on demand it is the same.
    #[test]
    fn no_path_leaves_by_any_route() {
        let mut t = tree(&[("a/b/f", "1"), ("c/f", "2")]);
        for (link, target) in
            [("a/up", ".."), ("a/b/top", "../.."), ("c/out", "../.."), ("c/abs", "/a"), ("l", "a/up/c"), ("o", "o/x")]
        {
            t.insert_link(link, target).unwrap();
        }
        let on_demand = Tree::of_folder(Arc::new(Kept(t.clone())), Limits::default());
        let pieces = ["a", "b", "c", "..", ".", "", "up", "top", "out", "abs", "l", "o", "f"];
        let mut paths = vec![String::new()];
        let mut tried = 0;
        for _ in 0..3 {
            paths = paths.iter().flat_map(|path| pieces.map(|piece| format!("{path}{piece}/"))).collect();
            for path in &paths {
                tried += 1;
                assert_eq!(answers(&on_demand, path), answers(&t, path), "{path}");
                if let Ok(real) = t.resolve(path) {
                    assert!(
                        !real.starts_with('/') && real.split('/').all(|part| part != ".." && part != "."),
                        "{path} {real}"
                    );
                }
            }
        }
        assert!(tried > 2_000, "{tried}");
        let mut changed = on_demand;
        changed.insert("a/new", *b"3").unwrap();
        t.insert("a/new", *b"3").unwrap();
        for path in ["", "a", "a/b", "l/f", "nowhere"] {
            assert_eq!(answers(&changed, path), answers(&t, path), "{path}");
        }
    }
}
