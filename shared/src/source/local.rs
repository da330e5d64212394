//! Reads a local folder as a tree, for the command line.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::WalkBuilder;
use slipway_manifest::tree::{EntryKind, FolderSource};
use slipway_manifest::{Limits, Tree, TreeError};

/// Why a folder can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The operating system refused the access.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file's name is not UTF-8.
    #[error("the name of `{}` is not valid UTF-8", path.display())]
    Name {
        /// The file, as far as it can be printed.
        path: PathBuf,
    },
    /// Too many or too large files, or too many levels.
    #[error("`{}` does not fit", root.display())]
    Tree {
        /// The folder.
        root: PathBuf,
        /// The exceeded limit.
        #[source]
        source: TreeError,
    },
}

/// Reads the folder `root` as a commit of it would be: without `.git` and, in a git repository, without files that git
/// ignores. Symlinks stay symlinks: the tree decides whether one leaves it.
pub fn read(root: &Path, limits: Limits) -> Result<Tree, LocalError> {
    let mut tree = Tree::new(limits);
    let git = root.join(".git");
    let mut walk = WalkBuilder::new(root);
    walk.standard_filters(false).git_ignore(true).git_exclude(true);
    walk.filter_entry(move |entry| entry.path() != git);
    add(&mut tree, root, &walk, limits)?;
    Ok(tree)
}

/// The folder `root` as a tree that reads what is asked for and nothing else, but `.git`; files that git ignores are
/// there.
pub fn on_demand(root: &Path, limits: Limits) -> Tree {
    Tree::of_folder(Arc::new(LocalFolder(root.to_owned())), limits)
}

#[derive(Debug)]
struct LocalFolder(PathBuf);

impl FolderSource for LocalFolder {
    fn list(&self, path: &str) -> Result<Vec<(String, EntryKind)>, String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.0.join(path)).map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            let kind = entry.file_type().map_err(|error| error.to_string())?;
            let kind = match kind {
                kind if kind.is_symlink() => EntryKind::Link,
                kind if kind.is_dir() => EntryKind::Directory,
                kind if kind.is_file() => EntryKind::File,
                // Sockets and the like are in no commit.
                _ => continue,
            };
            let name = entry.file_name().into_string();
            let name = name.map_err(|name| format!("the name of `{}` is not valid UTF-8", name.to_string_lossy()))?;
            if !(path.is_empty() && name == ".git") {
                found.push((name, kind));
            }
        }
        Ok(found)
    }

    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, String> {
        let longest = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        let file = fs::File::open(self.0.join(path)).map_err(|error| error.to_string())?;
        file.take(longest).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(Some(bytes).filter(|bytes| bytes.len() <= limit))
    }

    fn target(&self, path: &str) -> Result<String, String> {
        let target = fs::read_link(self.0.join(path)).map_err(|error| error.to_string())?;
        target.to_str().map(str::to_owned).ok_or_else(|| "where it points is not valid UTF-8".to_owned())
    }
}

fn add(tree: &mut Tree, root: &Path, walk: &WalkBuilder, limits: Limits) -> Result<(), LocalError> {
    let full = |source| LocalError::Tree { root: root.to_owned(), source };
    let over = |path: String, limit, what| full(TreeError::OverLimit { path, limit, what });
    for entry in walk.build() {
        let entry =
            entry.map_err(|error| LocalError::Read { path: root.to_owned(), source: io::Error::other(error) })?;
        let path = entry.path();
        let failed = |source| LocalError::Read { path: path.to_owned(), source };
        let text =
            |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| LocalError::Name { path: path.to_owned() });
        let inner = text(path.strip_prefix(root).unwrap_or(path))?;
        let Some(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            tree.insert_link(&inner, &text(&fs::read_link(path).map_err(failed)?)?).map_err(full)?;
        } else if kind.is_dir() {
            // A folder without files is not counted otherwise, so that its depth is checked here.
            if inner.matches('/').count() >= limits.depth {
                return Err(over(inner, limits.depth, "folders above a file"));
            }
        } else if kind.is_file() {
            let size = fs::metadata(path).map_err(failed)?.len();
            if usize::try_from(size).unwrap_or(usize::MAX) > limits.file_bytes {
                return Err(over(inner, limits.file_bytes, "bytes in a file"));
            }
            tree.insert(&inner, fs::read(path).map_err(failed)?).map_err(full)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use slipway_manifest::NodeKind;

    use super::*;

    #[test]
    fn folders_become_trees() {
        let files = |tree: &Tree| tree.files_below("").unwrap().map(str::to_owned).collect::<Vec<_>>();
        let dir = std::env::temp_dir().join(format!("slipway-local-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/.git")).unwrap();
        fs::create_dir_all(dir.join(".git")).unwrap();
        fs::write(dir.join("a/x.yaml"), "1").unwrap();
        fs::write(dir.join("a/.git/hidden"), "1").unwrap();
        fs::write(dir.join(".git/config"), "2").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc", dir.join("a/out")).unwrap();
        fs::create_dir_all(dir.join("target")).unwrap();
        fs::write(dir.join("target/built"), "3").unwrap();
        fs::write(dir.join(".gitignore"), "/target\n").unwrap();
        let tree = read(&dir, Limits::default()).unwrap();
        let small = read(&dir, Limits { file_bytes: 0, ..Limits::default() });
        let lazy = on_demand(&dir, Limits::default());
        let all = files(&lazy);
        let (first, outside) = (lazy.read("a/x.yaml").map(<[u8]>::to_vec), lazy.read("a/out/passwd").err());
        let (built, head) = (lazy.kind("target/built"), lazy.kind(".git"));
        let few = on_demand(&dir, Limits { files: 2, ..Limits::default() }).kind("a");
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(files(&tree), [".gitignore", "a/.git/hidden", "a/x.yaml"]);
        assert_eq!(all, [".gitignore", "a/.git/hidden", "a/x.yaml", "target/built"]);
        assert_eq!(first.unwrap(), b"1");
        assert_eq!((built, head), (Ok(Some(NodeKind::File)), Ok(None)));
        assert!(matches!(few, Err(TreeError::OverLimit { .. })), "{few:?}");
        #[cfg(unix)]
        assert!(matches!(outside, Some(TreeError::LinkLeaves { .. })), "{outside:?}");
        let gone = on_demand(Path::new("/nonexistent"), Limits::default()).kind("x");
        assert!(matches!(gone, Err(TreeError::Unreadable { .. })), "{gone:?}");
        #[cfg(unix)]
        assert!(matches!(tree.read("a/out/passwd"), Err(TreeError::LinkLeaves { .. })));
        assert!(matches!(small, Err(LocalError::Tree { .. })));
        assert!(matches!(read(Path::new("/nonexistent"), Limits::default()), Err(LocalError::Read { .. })));
    }
}
