//! Keeps archives of charts while the function is warm. A version's archive never changes: what was fetched once under
//! it is used again without a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::HelmChart;

#[derive(Debug, Default)]
pub(super) struct Archives {
    kept: BTreeMap<(HelmChart, String), Arc<[u8]>>,
}

impl Archives {
    pub(super) fn get(&self, chart: &HelmChart, version: &str) -> Option<Arc<[u8]>> {
        self.kept.get(&(chart.clone(), version.to_owned())).cloned()
    }

    /// Keeps `archive` among at most `limit` bytes; others make room for it.
    pub(super) fn keep(&mut self, (chart, version): (&HelmChart, &str), archive: &Arc<[u8]>, limit: usize) {
        let mut bytes: usize = self.kept.values().map(|one| one.len()).sum();
        while bytes.saturating_add(archive.len()) > limit {
            let Some((_, other)) = self.kept.pop_first() else { return };
            bytes = bytes.saturating_sub(other.len());
        }
        self.kept.insert((chart.clone(), version.to_owned()), Arc::clone(archive));
    }
}
