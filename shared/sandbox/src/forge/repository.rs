//! Commits and trees of one repository: reading, committing, walking, comparing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::objects::{Objects, Oid};

/// So many commits are walked at most.
const WALK_LIMIT: usize = 100_000;
/// Trees are read this deep.
const DEPTH_LIMIT: usize = 100;

/// The mode of a tree's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A folder.
    Tree,
    /// A plain file.
    File,
    /// A file with the executable bit.
    Executable,
    /// A symlink.
    Link,
    /// A submodule's commit.
    Submodule,
}

impl Mode {
    /// As REST prints it: six digits.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tree => "040000",
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
            Self::Submodule => "160000",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "40000" | "040000" => Self::Tree,
            "100755" => Self::Executable,
            "120000" => Self::Link,
            "160000" => Self::Submodule,
            _ => Self::File,
        }
    }

    /// The kind of the object behind it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Submodule => "commit",
            _ => "blob",
        }
    }
}

/// An entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its mode.
    pub mode: Mode,
    /// The object.
    pub oid: Oid,
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// Time (seconds count).
    pub time: Timestamp,
}

impl Signature {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once(" <")?;
        let (email, rest) = rest.split_once("> ")?;
        let seconds = rest.split(' ').next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), email: email.to_owned(), time: Timestamp::from_second(seconds).ok()? })
    }

    fn line(&self) -> String {
        format!("{} <{}> {} +0000", self.name, self.email, self.time.as_second())
    }
}

/// A commit, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub oid: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Its parents.
    pub parents: Vec<Oid>,
    /// Who wrote the change.
    pub author: Signature,
    /// Who committed it.
    pub committer: Signature,
    /// Message without the final line end.
    pub message: String,
    /// Whether it carries a signature.
    pub signed: bool,
}

/// A change of one file in a new commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Path from the root.
    pub path: String,
    /// New mode and content (a link's content is its target, a submodule's the commit's name); `None` deletes.
    pub content: Option<(Mode, Vec<u8>)>,
}

impl Change {
    /// The plain file `path` with this content.
    pub fn write(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: Some((Mode::File, content.into())) }
    }

    /// `path` goes.
    pub fn delete(path: impl Into<String>) -> Self {
        Self { path: path.into(), content: None }
    }
}

/// Paths that differ between two trees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Only in the newer.
    pub added: Vec<String>,
    /// Only in the older.
    pub removed: Vec<String>,
    /// In both, with other content or mode.
    pub modified: Vec<String>,
}

impl Difference {
    /// Number of changed paths.
    pub fn len(&self) -> usize {
        self.added.len() + self.removed.len() + self.modified.len()
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A repository: its objects and the meaning of them.
#[derive(Debug)]
pub struct Repository {
    /// Owner's login.
    pub owner: String,
    /// Name.
    pub name: String,
    /// The default branch.
    pub default_branch: String,
    objects: Objects,
}

fn missing(oid: Oid) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("object {oid} is not in the repository"))
}

impl Repository {
    /// Opens the bare repository in `folder`, or makes it.
    pub fn open_or_create(owner: &str, name: &str, default_branch: &str, folder: &Path) -> io::Result<Self> {
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            default_branch: default_branch.to_owned(),
            objects: Objects::open_or_create(folder, default_branch)?,
        })
    }

    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The folder on disk: `git clone FOLDER` works.
    pub fn folder(&self) -> &Path {
        self.objects.folder()
    }

    /// Git's objects and refs.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The head of a branch.
    pub fn branch(&self, name: &str) -> io::Result<Option<Oid>> {
        self.objects.reference(&format!("refs/heads/{name}"))
    }

    /// The commit that `text` means: a branch, a tag, a full or short object name, a full ref name, `HEAD`.
    pub fn resolve(&self, text: &str) -> io::Result<Option<Oid>> {
        let text = if text == "HEAD" { &self.default_branch } else { text };
        for name in [format!("refs/heads/{text}"), format!("refs/tags/{text}"), format!("refs/{text}"), text.to_owned()]
        {
            if let Some(oid) = self.objects.reference(&name)? {
                return self.peel(oid);
            }
        }
        match self.objects.with_prefix(text)?.as_slice() {
            [oid] => self.peel(*oid),
            _ => Ok(None),
        }
    }

    /// The commit behind an annotated tag; `None` when there is no commit.
    fn peel(&self, oid: Oid) -> io::Result<Option<Oid>> {
        match self.objects.read(oid)? {
            Some((kind, _)) if kind == "commit" => Ok(Some(oid)),
            Some((kind, content)) if kind == "tag" => {
                let text = String::from_utf8_lossy(&content).into_owned();
                let target =
                    text.lines().next().and_then(|line| line.strip_prefix("object ")).and_then(|oid| oid.parse().ok());
                target.map_or(Ok(None), |oid| self.peel(oid))
            }
            _ => Ok(None),
        }
    }

    /// Reads a commit.
    pub fn commit(&self, oid: Oid) -> io::Result<Commit> {
        let (_, content) = self.objects.read(oid)?.filter(|(kind, _)| kind == "commit").ok_or_else(|| missing(oid))?;
        let text = String::from_utf8_lossy(&content);
        let (header, message) = text.split_once("\n\n").unwrap_or((&text, ""));
        let field = |name: &str| header.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let unknown = || Signature { name: String::new(), email: String::new(), time: Timestamp::UNIX_EPOCH };
        Ok(Commit {
            oid,
            tree: field("tree").and_then(|oid| oid.parse().ok()).ok_or_else(|| missing(oid))?,
            parents: header.lines().filter_map(|line| line.strip_prefix("parent ")?.parse().ok()).collect(),
            author: field("author").and_then(Signature::parse).unwrap_or_else(unknown),
            committer: field("committer").and_then(Signature::parse).unwrap_or_else(unknown),
            message: message.strip_suffix('\n').unwrap_or(message).to_owned(),
            signed: field("gpgsig").is_some(),
        })
    }

    /// A blob's bytes.
    pub fn blob(&self, oid: Oid) -> io::Result<Option<Vec<u8>>> {
        Ok(self.objects.read(oid)?.filter(|(kind, _)| kind == "blob").map(|(_, content)| content))
    }

    /// The entries of one tree, in git's order.
    pub fn tree(&self, oid: Oid) -> io::Result<Vec<(String, Entry)>> {
        let (_, content) = self.objects.read(oid)?.filter(|(kind, _)| kind == "tree").ok_or_else(|| missing(oid))?;
        let mut entries = Vec::new();
        let mut rest = content.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            let (head, tail) = rest.split_at(end);
            let head = String::from_utf8_lossy(head);
            let (mode, name) = head.split_once(' ').unwrap_or_default();
            let Some(oid) = tail.get(1..21).and_then(Oid::from_bytes) else { break };
            entries.push((name.to_owned(), Entry { mode: Mode::parse(mode), oid }));
            rest = tail.get(21..).unwrap_or_default();
        }
        Ok(entries)
    }

    /// Everything below a tree by path, folders included, in the order of the listing (folders before what they hold).
    pub fn walk(&self, tree: Oid) -> io::Result<Vec<(String, Entry)>> {
        let mut found = Vec::new();
        self.walk_into(tree, "", 0, &mut found)?;
        Ok(found)
    }

    fn walk_into(&self, tree: Oid, prefix: &str, depth: usize, found: &mut Vec<(String, Entry)>) -> io::Result<()> {
        if depth > DEPTH_LIMIT {
            return Err(io::Error::other(format!("tree is nested deeper than {DEPTH_LIMIT} folders at {prefix}")));
        }
        for (name, entry) in self.tree(tree)? {
            let path = format!("{prefix}{name}");
            found.push((path.clone(), entry));
            if entry.mode == Mode::Tree {
                self.walk_into(entry.oid, &format!("{path}/"), depth + 1, found)?;
            }
        }
        Ok(())
    }

    /// Files, links and submodules of a tree by path.
    pub fn files(&self, tree: Oid) -> io::Result<BTreeMap<String, Entry>> {
        Ok(self.walk(tree)?.into_iter().filter(|(_, entry)| entry.mode != Mode::Tree).collect())
    }

    /// The bytes of the file `path` in a commit.
    pub fn read_file(&self, commit: Oid, path: &str) -> io::Result<Option<Vec<u8>>> {
        let files = self.files(self.commit(commit)?.tree)?;
        files.get(path).map_or(Ok(None), |entry| self.blob(entry.oid))
    }

    /// Writes a commit on top of `parent` with these changes and gives its name; no ref moves.
    pub fn write_commit(
        &self,
        parent: Option<Oid>,
        changes: &[Change],
        message: &str,
        author: &Signature,
        committer: &Signature,
    ) -> io::Result<Oid> {
        let mut files = match parent {
            Some(parent) => self.files(self.commit(parent)?.tree)?,
            None => BTreeMap::new(),
        };
        for change in changes {
            // A file may take the place of a folder and the other way round.
            files.retain(|path, _| !is_below(path, &change.path) && !is_below(&change.path, path));
            match &change.content {
                None => {
                    files.remove(&change.path);
                }
                Some((Mode::Submodule, commit)) => {
                    let oid = String::from_utf8_lossy(commit).trim().parse().map_err(io::Error::other)?;
                    files.insert(change.path.clone(), Entry { mode: Mode::Submodule, oid });
                }
                Some((mode, content)) => {
                    let oid = self.objects.write("blob", content)?;
                    files.insert(change.path.clone(), Entry { mode: *mode, oid });
                }
            }
        }
        let files: Vec<(&str, Entry)> = files.iter().map(|(path, entry)| (path.as_str(), *entry)).collect();
        let tree = self.write_tree(&files)?;
        let parent = parent.map(|oid| format!("parent {oid}\n")).unwrap_or_default();
        let text =
            format!("tree {tree}\n{parent}author {}\ncommitter {}\n\n{message}\n", author.line(), committer.line());
        self.objects.write("commit", text.as_bytes())
    }

    fn write_tree(&self, files: &[(&str, Entry)]) -> io::Result<Oid> {
        let mut entries: BTreeMap<String, (&str, Entry)> = BTreeMap::new();
        let mut folders: BTreeMap<&str, Vec<(&str, Entry)>> = BTreeMap::new();
        for (path, entry) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest, *entry)),
                None => {
                    entries.insert((*path).to_owned(), (path, *entry));
                }
            }
        }
        for (folder, files) in folders {
            let oid = self.write_tree(&files)?;
            // Git sorts a folder as if its name ended with a slash.
            entries.insert(format!("{folder}/"), (folder, Entry { mode: Mode::Tree, oid }));
        }
        let mut content = Vec::new();
        for (name, entry) in entries.values() {
            content.extend_from_slice(format!("{} {name}\0", entry.mode.as_str().trim_start_matches('0')).as_bytes());
            content.extend_from_slice(entry.oid.as_bytes());
        }
        self.objects.write("tree", &content)
    }

    /// What differs between two commits' trees; no commit is an empty tree.
    pub fn difference(&self, old: Option<Oid>, new: Option<Oid>) -> io::Result<Difference> {
        let files = |commit: Option<Oid>| commit.map_or(Ok(BTreeMap::new()), |oid| self.files(self.commit(oid)?.tree));
        let (old, new) = (files(old)?, files(new)?);
        Ok(Difference {
            added: new.keys().filter(|path| !old.contains_key(*path)).cloned().collect(),
            removed: old.keys().filter(|path| !new.contains_key(*path)).cloned().collect(),
            modified: new
                .iter()
                .filter(|(path, entry)| old.get(*path).is_some_and(|o| o != *entry))
                .map(|(p, _)| p.clone())
                .collect(),
        })
    }

    /// The commits that `head` has and `base` lacks, oldest first; the walk ends after 100,000 commits.
    pub fn commits_between(&self, base: Option<Oid>, head: Oid) -> io::Result<Vec<Commit>> {
        let known = match base {
            Some(base) => self.ancestors(base)?,
            None => HashSet::new(),
        };
        let mut found: HashMap<Oid, Commit> = HashMap::new();
        let mut queue = VecDeque::from([head]);
        while let Some(oid) = queue.pop_front() {
            if known.contains(&oid) || found.contains_key(&oid) || found.len() >= WALK_LIMIT {
                continue;
            }
            let commit = self.commit(oid)?;
            queue.extend(&commit.parents);
            found.insert(oid, commit);
        }
        // Parents before children: repeatedly take what has no parent left.
        let mut ordered = Vec::with_capacity(found.len());
        let mut waiting: BTreeSet<(i64, Oid)> = found.values().map(|c| (c.committer.time.as_second(), c.oid)).collect();
        while !waiting.is_empty() {
            let next = waiting
                .iter()
                .find(|(_, oid)| {
                    found.get(oid).is_some_and(|c| c.parents.iter().all(|parent| !found.contains_key(parent)))
                })
                .copied();
            let Some(next) = next.or_else(|| waiting.first().copied()) else { break };
            waiting.remove(&next);
            ordered.extend(found.remove(&next.1));
        }
        Ok(ordered)
    }

    fn ancestors(&self, head: Oid) -> io::Result<HashSet<Oid>> {
        let mut seen = HashSet::new();
        let mut queue = VecDeque::from([head]);
        while let Some(oid) = queue.pop_front() {
            if seen.len() < WALK_LIMIT && seen.insert(oid) {
                queue.extend(self.commit(oid)?.parents);
            }
        }
        Ok(seen)
    }

    /// Whether `old` is `new` or one of its ancestors: whether moving a branch from `old` to `new` is a fast-forward.
    pub fn is_ancestor(&self, old: Oid, new: Oid) -> io::Result<bool> {
        Ok(self.ancestors(new)?.contains(&old))
    }

    /// A best common ancestor, where there is one.
    pub fn merge_base(&self, a: Oid, b: Oid) -> io::Result<Option<Oid>> {
        let known = self.ancestors(a)?;
        let mut queue = VecDeque::from([b]);
        let mut seen = HashSet::new();
        while let Some(oid) = queue.pop_front() {
            if known.contains(&oid) {
                return Ok(Some(oid));
            }
            if seen.insert(oid) {
                queue.extend(self.commit(oid)?.parents);
            }
        }
        Ok(None)
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
