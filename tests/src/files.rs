//! Folders on disk as trees.

use std::fs;
use std::path::Path;

use slipway_manifest::Tree;

/// The files and symlinks below `folder` of `root` (empty: all of it), at their paths from `root`.
///
/// # Panics
/// If one of them can't be read or does not fit into a tree.
pub fn tree(root: &Path, folder: &str) -> Tree {
    let mut tree = Tree::default();
    load(&mut tree, root, Path::new(folder));
    tree
}

fn load(tree: &mut Tree, root: &Path, folder: &Path) {
    for entry in fs::read_dir(root.join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = folder.join(entry.file_name());
        let name = path.to_str().expect("a path in UTF-8");
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            load(tree, root, &path);
        } else if kind.is_file() {
            tree.insert(name, fs::read(entry.path()).expect("a file")).expect("it fits");
        } else if let Ok(target) = fs::read_link(entry.path()) {
            tree.insert_link(name, target.to_str().expect("a path in UTF-8")).expect("it fits");
        }
    }
}
