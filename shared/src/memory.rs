//! Divides a function's memory among what fills it, so that what is too large ends as one application's error, which
//! names it, and not with the process.
//!
//! Of the function's memory (`AWS_LAMBDA_FUNCTION_MEMORY_SIZE`; 1,024 MB where that is not set)
//!
//! * 5/8 hold what was fetched: answers of GitHub and archives as long as they are read, and the files of all commits
//!   and charts that are at hand;
//! * 3/16 are what one render may make. Renders take turns ([`crate::render::in_background`]), so that it is enough for
//!   one, however many applications there are;
//! * 3/16 are left for the process itself, what it gets from clusters, and rendered objects until they are applied; of
//!   that a warm function keeps 1/32 of archives of charts, as much of packs, and of indexes of Helm repositories.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(usize);

impl Default for Memory {
    fn default() -> Self {
        Self::of_mebibytes(1024)
    }
}

impl Memory {
    /// Of a function with so many MB, as Lambda counts them.
    pub fn of_mebibytes(count: usize) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// Bytes of all that is fetched.
    pub fn fetched(self) -> usize {
        self.0 / 8 * 5
    }

    /// Bytes of archives of charts, of packs, and of indexes, that are kept from one event to the next.
    pub fn kept(self) -> usize {
        self.0 / 32
    }

    /// The bounds of one render.
    pub fn render(self) -> slipway_budget::Limits {
        slipway_budget::Limits { bytes: self.0 / 16 * 3, ..slipway_budget::Limits::default() }
    }

    /// The bounds of one commit's files.
    pub fn files(self) -> slipway_manifest::Limits {
        let limits = slipway_manifest::Limits::default();
        let file_bytes = limits.file_bytes.min(self.fetched() / 4);
        slipway_manifest::Limits { file_bytes, total_bytes: self.fetched(), ..limits }
    }
}

/// What is to be fetched does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the function's memory affords {limit} bytes of what is fetched: give it more memory (`MemorySize`)")]
pub struct MemoryFull {
    limit: usize,
    others: usize,
}

impl MemoryFull {
    /// Whether others hold a part of it.
    pub fn is_shared(self) -> bool {
        self.others > 0
    }

    /// Whether there may be room later: others hold the larger part.
    pub fn is_retryable(self) -> bool {
        self.others > self.limit / 2
    }
}

/// Counts the bytes that are held at the same time. A clone is the same.
#[derive(Debug, Clone)]
pub struct Meter {
    limit: usize,
    used: Arc<AtomicUsize>,
}

impl Meter {
    /// For at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Arc::default() }
    }

    /// Bytes that are held.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Nothing yet.
    pub fn hold(&self) -> Held {
        Held { meter: Some(self.clone()), bytes: 0 }
    }
}

/// Bytes that are held, until it is dropped. The default counts nothing.
#[derive(Debug, Default)]
pub struct Held {
    meter: Option<Meter>,
    bytes: usize,
}

impl Held {
    /// Holds `more` bytes; fails where the meter has not as many left.
    pub fn grow(&mut self, more: usize) -> Result<(), MemoryFull> {
        let Some(Meter { limit, used }) = &self.meter else { return Ok(()) };
        let fits = |used: usize| used.checked_add(more).filter(|sum| sum <= limit);
        match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => {
                self.bytes = self.bytes.saturating_add(more);
                Ok(())
            }
            Err(used) => Err(MemoryFull { limit: *limit, others: used.saturating_sub(self.bytes) }),
        }
    }

    /// Holds `fewer` bytes less.
    pub fn shrink(&mut self, fewer: usize) {
        let fewer = fewer.min(self.bytes);
        self.bytes = self.bytes.saturating_sub(fewer);
        if let Some(meter) = &self.meter {
            meter.used.fetch_sub(fewer, Ordering::Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_leave_room_for_the_process() {
        for mebibytes in [128, 256, 1024, 3008, 10_240] {
            let memory = Memory::of_mebibytes(mebibytes);
            let all = mebibytes << 20;
            let left = all - memory.fetched() - memory.render().bytes;
            assert!(left >= all / 16 * 3, "{mebibytes}: {left}");
            assert!(memory.files().total_bytes <= memory.fetched() && memory.files().file_bytes <= 32 << 20);
        }
        assert_eq!(Memory::default().render(), slipway_budget::Limits::default());
    }

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let meter = Meter::new(100);
        let (mut one, mut other) = (meter.hold(), meter.hold());
        assert_eq!(one.grow(60).and_then(|()| other.grow(40)), Ok(()));
        let full = other.grow(1).unwrap_err();
        assert!(full.is_shared() && full.is_retryable() && other.grow(usize::MAX).is_err());
        let full = one.grow(1).unwrap_err();
        assert!(full.is_shared() && !full.is_retryable(), "the others are no reason");
        one.shrink(20);
        assert_eq!(other.grow(20), Ok(()));
        drop(one);
        assert_eq!(other.grow(40), Ok(()));
        let full = other.grow(1).unwrap_err();
        assert!(!full.is_shared() && !full.is_retryable());
        assert!(
            full.to_string().starts_with("the function's memory affords 100 bytes of what is fetched: give"),
            "{full}"
        );
        assert_eq!(Held::default().grow(usize::MAX), Ok(()));
    }
}
