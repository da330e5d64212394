//! A folder of this machine as a tree, for the command line.

use std::io;
use std::path::{Path, PathBuf};

use slipway_manifest::{Limits, Tree, TreeError};

/// Why a folder can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The operating system refused.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file's name is not UTF-8.
    #[error("the name of `{}` is not valid UTF-8", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Too many files, or too large, or too deep.
    #[error("`{}` does not fit", root.display())]
    Tree {
        /// The folder.
        root: PathBuf,
        /// The cause.
        #[source]
        source: TreeError,
    },
}

/// Reads the folder `root` with all below it, but for `.git`. Symlinks stay symlinks: the tree decides whether one
/// leaves it.
pub fn read(root: &Path, limits: Limits) -> Result<Tree, LocalError> {
    let mut tree = Tree::new(limits);
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let failed = |source| LocalError::Read { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let name = entry.file_name().into_string().map_err(|_| LocalError::Name { path: path.clone() })?;
            if prefix.is_empty() && name == ".git" {
                continue;
            }
            let failed = |source| LocalError::Read { path: path.clone(), source };
            let full = |source| LocalError::Tree { root: root.to_owned(), source };
            let kind = entry.file_type().map_err(failed)?;
            let inner = format!("{prefix}{name}");
            if kind.is_symlink() {
                let target = std::fs::read_link(&path).map_err(failed)?;
                let target = target.to_str().ok_or_else(|| LocalError::Name { path: path.clone() })?;
                tree.insert_link(&inner, target).map_err(full)?;
            } else if kind.is_dir() {
                // A folder without files counts nowhere else, so that depth is checked here.
                if inner.matches('/').count() >= limits.depth {
                    return Err(full(TreeError::OverLimit {
                        path: inner,
                        limit: limits.depth,
                        what: "folders above a file",
                    }));
                }
                folders.push((path, inner + "/"));
            } else if kind.is_file() {
                let size = usize::try_from(entry.metadata().map_err(failed)?.len()).unwrap_or(usize::MAX);
                if size > limits.file_bytes {
                    return Err(full(TreeError::OverLimit {
                        path: inner,
                        limit: limits.file_bytes,
                        what: "bytes in a file",
                    }));
                }
                tree.insert(&inner, std::fs::read(&path).map_err(failed)?).map_err(full)?;
            }
        }
    }
    Ok(tree)
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
        let tree = read(&dir, Limits::default()).unwrap();
        let small = read(&dir, Limits { file_bytes: 0, ..Limits::default() });
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(tree.files_below("").unwrap().collect::<Vec<_>>(), ["a/x.yaml"]);
        #[cfg(unix)]
        assert!(matches!(tree.read("a/out/passwd"), Err(TreeError::LinkLeaves { .. })));
        assert!(matches!(small, Err(LocalError::Tree { .. })));
        assert!(matches!(read(Path::new("/nonexistent"), Limits::default()), Err(LocalError::Read { .. })));
    }
}
