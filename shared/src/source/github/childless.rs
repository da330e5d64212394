//! Remembers, as long as the function is warm, which sources declare nothing at which commits: of those a later event
//! needs no files. So, too, of what kustomizations name elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::GitHub;

/// A digest of a source as its Application has it.
pub type SourceDigest = [u8; 32];

/// The sources that declare nothing, by the commit.
pub type Childless = BTreeMap<String, Arc<BTreeSet<SourceDigest>>>;

/// What the words of remote bases and files say, as bits, by what a kustomization says and by the version.
pub type RemoteWords = BTreeMap<(String, String), u8>;

/// Remote bases and files whose words are remembered.
const MAX_REMOTES: usize = 5_000;
/// Sources that are remembered.
const MAX_SOURCES: usize = 20_000;

impl GitHub {
    /// The sources that declare nothing at the commit `sha`, where some are known.
    pub async fn childless(&self, sha: &str) -> Option<Arc<BTreeSet<SourceDigest>>> {
        self.childless.lock().await.get(sha).cloned()
    }

    /// The words of something remote at a version, where they are known.
    pub async fn remote_words(&self, raw: &str, version: &str) -> Option<u8> {
        self.remote_words.lock().await.get(&(raw.to_owned(), version.to_owned())).copied()
    }

    /// Remembers the words of something remote at a version.
    pub async fn remember_remote_words(&self, raw: String, version: String, words: u8) {
        let mut known = self.remote_words.lock().await;
        if known.len() >= MAX_REMOTES {
            known.clear();
        }
        known.insert((raw, version), words);
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
