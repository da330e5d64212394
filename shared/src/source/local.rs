//! Reads a local folder as a tree, for the command line.

use std::io;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
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
/// ignores. Below `whole`, a path in it, everything is read. Symlinks stay symlinks: the tree decides whether one
/// leaves it.
pub fn read(root: &Path, whole: Option<&str>, limits: Limits) -> Result<Tree, LocalError> {
    let mut tree = Tree::new(limits);
    let git = root.join(".git");
    let mut walk = WalkBuilder::new(root);
    walk.standard_filters(false).git_ignore(true).git_exclude(true);
    walk.filter_entry(move |entry| entry.path() != git);
    add(&mut tree, root, &walk, limits)?;
    if let Some(whole) = whole {
        let git = root.join(".git");
        let mut walk = WalkBuilder::new(root.join(whole));
        walk.standard_filters(false).filter_entry(move |entry| entry.path() != git);
        add(&mut tree, root, &walk, limits)?;
    }
    Ok(tree)
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
            tree.insert_link(&inner, &text(&std::fs::read_link(path).map_err(failed)?)?).map_err(full)?;
        } else if kind.is_dir() {
            // A folder without files is not counted otherwise, so that its depth is checked here.
            if inner.matches('/').count() >= limits.depth {
                return Err(over(inner, limits.depth, "folders above a file"));
            }
        } else if kind.is_file() {
            let size = std::fs::metadata(path).map_err(failed)?.len();
            if usize::try_from(size).unwrap_or(usize::MAX) > limits.file_bytes {
                return Err(over(inner, limits.file_bytes, "bytes in a file"));
            }
            tree.insert(&inner, std::fs::read(path).map_err(failed)?).map_err(full)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_trees() {
        let dir = std::env::temp_dir().join(format!("slipway-local-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("a/.git")).unwrap();
        std::fs::create_dir_all(dir.join(".git")).unwrap();
        std::fs::write(dir.join("a/x.yaml"), "1").unwrap();
        std::fs::write(dir.join(".git/config"), "2").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc", dir.join("a/out")).unwrap();
        std::fs::create_dir_all(dir.join("target")).unwrap();
        std::fs::write(dir.join("target/built"), "3").unwrap();
        std::fs::write(dir.join(".gitignore"), "/target\n").unwrap();
        let tree = read(&dir, None, Limits::default()).unwrap();
        let whole = read(&dir, Some("target"), Limits::default()).unwrap();
        let small = read(&dir, None, Limits { file_bytes: 0, ..Limits::default() });
        std::fs::remove_dir_all(&dir).unwrap();
        let files = |tree: &Tree| tree.files_below("").unwrap().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(files(&tree), [".gitignore", "a/x.yaml"]);
        assert_eq!(files(&whole), [".gitignore", "a/x.yaml", "target/built"]);
        #[cfg(unix)]
        assert!(matches!(tree.read("a/out/passwd"), Err(TreeError::LinkLeaves { .. })));
        assert!(matches!(small, Err(LocalError::Tree { .. })));
        assert!(matches!(read(Path::new("/nonexistent"), None, Limits::default()), Err(LocalError::Read { .. })));
    }
}
