//! Remembers, as long as the function is warm, which sources declare nothing at which commits: of those a later event
//! needs no files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::GitHub;

/// A digest of a source as its Application has it.
pub type SourceDigest = [u8; 32];

/// The sources that declare nothing, by the commit.
pub type Childless = BTreeMap<String, Arc<BTreeSet<SourceDigest>>>;

/// Sources that are remembered.
const MAX_SOURCES: usize = 20_000;

impl GitHub {
    /// The sources that declare nothing at the commit `sha`, where some are known.
    pub async fn childless(&self, sha: &str) -> Option<Arc<BTreeSet<SourceDigest>>> {
        self.childless.lock().await.get(sha).cloned()
    }

    /// Remembers sources that declare nothing.
    pub async fn remember_childless(&self, found: BTreeMap<String, BTreeSet<SourceDigest>>) {
        let mut known = self.childless.lock().await;
        let held: usize = known.values().map(|sources| sources.len()).sum();
        if held.saturating_add(found.values().map(BTreeSet::len).sum()) > MAX_SOURCES {
            known.clear();
        }
        for (sha, sources) in found {
            Arc::make_mut(known.entry(sha).or_default()).extend(sources);
        }
    }
}
