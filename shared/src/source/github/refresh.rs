//! Reads a commit of which most files are known from another one: what differs is fetched blob by blob, without an
//! archive.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Checkout, GitHub, GithubError};
use crate::source::Repo;
use crate::source::verify::{self, Known};

/// Files that are fetched one by one: beyond that an archive costs less.
const MAX_CHANGED: usize = 40;

impl GitHub {
    /// Like [`GitHub::checkout`], of a commit that has most files of `known`; `None` where it has too few of them, or
    /// both do not fit the function's memory.
    pub async fn checkout_from(
        &self,
        known: &Checkout,
        repo: &Repo,
        sha: &str,
    ) -> Result<Option<Checkout>, GithubError> {
        let limits = self.settings.memory.files();
        let list = format!("list the files of {repo} at {sha}");
        let listing: verify::GitTree = self.get(&list, &format!("/repos/{repo}/git/trees/{sha}?recursive=1")).await?;
        let Some(named) = listing.repo() else { return Ok(None) };
        let links: BTreeMap<&str, &str> = known.tree.links().collect();
        let content = |path: &str| match links.get(path) {
            Some(target) => Some(Known::Link((*target).to_owned())),
            None => known.tree.read_shared(path).ok().map(Known::File),
        };
        // A listing that is cut, or another repository: the archive tells why it can't be read.
        let Ok(mut verified) = verify::compare(listing, content, limits) else { return Ok(None) };
        let missing = std::mem::take(&mut verified.missing);
        if missing.len() > MAX_CHANGED {
            return Ok(None);
        }
        for (missing, bytes) in self.blobs(repo, missing).await? {
            let failed =
                |source| GithubError::Verify { repo: repo.clone(), sha: sha.to_owned(), source: Box::new(source) };
            verified.add(&missing, bytes).map_err(failed)?;
        }
        let (tree, special) = verified.into_parts();
        let files = tree.files_below("").into_iter().flatten();
        let bytes = files.filter_map(|path| tree.read(path).ok()).map(<[u8]>::len).sum();
        let mut held = self.meter.hold();
        if held.grow(bytes).is_err() {
            return Ok(None);
        }
        Ok(Some(Checkout { repo: named, sha: sha.to_owned(), tree: Arc::new(tree), special, held }))
    }
}
