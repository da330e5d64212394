//! Keeps what never changes while the function is warm: archives of charts by their versions, packs by their commits.
//! What was fetched once is used again without a request.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes by what they are of.
#[derive(Debug)]
pub(super) struct Kept<K>(BTreeMap<K, Arc<[u8]>>);

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Kept<K> {
    pub(super) fn get(&self, key: &K) -> Option<Arc<[u8]>> {
        self.0.get(key).cloned()
    }

    /// Keeps `bytes` among at most `limit` bytes; others make room for them.
    pub(super) fn keep(&mut self, key: K, bytes: &Arc<[u8]>, limit: usize) {
        let mut all: usize = self.0.values().map(|one| one.len()).sum();
        while all.saturating_add(bytes.len()) > limit {
            let Some((_, other)) = self.0.pop_first() else { return };
            all = all.saturating_sub(other.len());
        }
        self.0.insert(key, Arc::clone(bytes));
    }
}
