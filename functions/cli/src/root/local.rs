//! Tells which repository a local folder is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use slipway::root::tree::ApplicationTree;
use slipway::source::RepoUrl;
use slipway_manifest::{NodeKind, Tree};

/// The address of a folder of which no other is known.
pub(super) const NOWHERE: &str = "https://localhost/local/folder";

/// The URLs of the folder's git remotes that name a repository.
pub(crate) fn remotes(folder: &Path) -> BTreeSet<RepoUrl> {
    let config = git_folder(folder).and_then(|git| fs::read_to_string(git.join("config")).ok()).unwrap_or_default();
    let urls = config.lines().filter_map(|line| line.trim().strip_prefix("url")?.trim_start().strip_prefix('='));
    urls.filter_map(|url| url.trim().trim_matches('"').parse().ok()).collect()
}

/// The folder with git's configuration; a worktree's `.git` is a file that names its own folder, in which `commondir`
/// names that one (git `Documentation/gitrepository-layout`).
pub(crate) fn git_folder(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let own = fs::read_to_string(&git).ok()?;
    let own = folder.join(own.strip_prefix("gitdir:")?.trim());
    match fs::read_to_string(own.join("commondir")) {
        Ok(common) => Some(own.join(common.trim())),
        Err(_) => Some(own),
    }
}

/// The repository that the folder most probably is: the one whose paths the most Applications find in it. Where only
/// sets are known, the only one that they look into.
pub(super) fn guess(tree: &ApplicationTree, files: &Tree) -> Option<RepoUrl> {
    let mut counts: BTreeMap<RepoUrl, usize> = BTreeMap::new();
    for app in tree.applications.iter().filter_map(|one| one.app.as_ref().ok()) {
        for source in app.all_sources() {
            let is_here = source
                .folder()
                .is_ok_and(|folder| !folder.is_empty() && matches!(files.kind(&folder), Ok(Some(NodeKind::Directory))));
            if let Ok(url) = source.repository()
                && is_here
            {
                *counts.entry(url).or_default() += 1;
            }
        }
    }
    let found = counts.into_iter().max_by_key(|(_, count)| *count).map(|(url, _)| url);
    let needed: BTreeSet<&RepoUrl> = tree.missing.iter().map(|(url, _)| url).collect();
    let only = needed.first().filter(|_| tree.applications.is_empty() && needed.len() == 1);
    found.or_else(|| only.map(|url| (*url).clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_read_from_a_clone_and_from_a_worktree() {
        let folder = tempfile::tempdir().unwrap();
        let (clone, worktree) = (folder.path().join("clone"), folder.path().join("worktree"));
        fs::create_dir_all(clone.join(".git/worktrees/one")).unwrap();
        fs::create_dir(&worktree).unwrap();
        let config = "[remote \"origin\"]\n\turl = git@github.com:acme/gitops.git\n\tfetch = +refs\n\
                      [remote \"up\"]\n\turl = https://github.com/Other/GitOps\n[remote \"x\"]\n\turl = /srv/git/x\n";
        fs::write(clone.join(".git/config"), config).unwrap();
        let own = clone.join(".git/worktrees/one");
        fs::write(own.join("commondir"), "../..\n").unwrap();
        fs::write(worktree.join(".git"), format!("gitdir: {}\n", own.display())).unwrap();
        let both: BTreeSet<RepoUrl> = ["https://github.com/acme/gitops", "https://github.com/other/gitops"]
            .map(|url| url.parse().unwrap())
            .into();
        assert_eq!(remotes(&clone), both);
        assert_eq!(remotes(&worktree), both);
        assert_eq!(remotes(folder.path()), BTreeSet::new());
    }
}
