//! Numbers the writes of a state. Of an older state that another puts back only the number tells that it is not the
//! last one: it was signed as genuinely.
//!
//! The number of the last write is kept with the Lease, which is written anyway: who may write ConfigMaps alone can't
//! put that back. Where the Lease is lost, or was restored with the state from a backup, any number is the last one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// The number of the last write of a state that a holder of its Lease knows. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Newest(Arc<AtomicU64>);

impl Newest {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// What is known is at least `generation`: it was written, or read of a state that is signed.
    pub(crate) fn raise(&self, generation: u64) {
        self.0.fetch_max(generation, Ordering::Relaxed);
    }

    /// The number of a write at `now`. It is the time, where that is later than everything known: after a restore from
    /// a backup it is above what was written before the restore, too.
    pub(super) fn next(&self, now: Timestamp) -> u64 {
        self.get().saturating_add(1).max(u64::try_from(now.as_millisecond()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_has_a_higher_number_whatever_the_clock_says() {
        let newest = Newest::default();
        let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
        let mut write = |now| {
            let number = newest.next(at(now));
            newest.raise(number);
            number
        };
        assert_eq!([1_000, 1_000, 5, -5, 2_000].map(&mut write), [1_000, 1_001, 1_002, 1_003, 2_000]);
        newest.raise(7);
        assert_eq!(newest.get(), 2_000);
        newest.raise(u64::MAX);
        assert_eq!((newest.next(at(1)), newest.get()), (u64::MAX, u64::MAX));
    }
}
