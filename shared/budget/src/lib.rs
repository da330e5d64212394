//! Bounds one render: its steps, the bytes that it makes and its time, in one object that all stages share (YAML,
//! Kustomize, Helm, templates, schemas), so that no chain of them uses more than one of them may.
//!
//! Pure: the clock comes in by argument.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The clock is asked each time that so many steps were taken: some milliseconds of work. A power of two, as the
/// question is asked at each node.
const STEPS_BETWEEN_LOOKS: u64 = 1 << 17;

/// The bounds of one render.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Units of work: a node evaluated or copied, a turn of a loop, 64 bytes of a text looked at. About 20 ns each in
    /// the shipped profile.
    pub steps: u64,
    /// Bytes made by all stages, whether still held or not.
    pub bytes: usize,
}

impl Default for Limits {
    /// About a second of work, and what a function of 1,024 MB affords. Of our corpora a chart with three RSA keys of
    /// 4,096 bits takes the most steps (36 million), kube-prometheus-stack the most bytes (84 million).
    fn default() -> Self {
        Self { steps: 52_000_000, bytes: 192 << 20 }
    }
}

/// The bound that a render reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// [`Limits::steps`]
    #[error("the render exceeded its budget of {0} steps")]
    Steps(u64),
    /// [`Limits::bytes`]
    #[error("the render exceeded its budget of {0} bytes")]
    Bytes(usize),
    /// The deadline has passed.
    #[error("the render ran out of time")]
    Time,
}

/// The use of one render's [`Limits`]. A clone is the same budget. One thread renders and pays: plain loads and stores
/// are several times as fast as a locked operation at each node, and of two threads at once one would pay for both.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limits: Limits,
    steps_left: AtomicU64,
    bytes_left: AtomicUsize,
    is_over: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Budget {
    /// An unused budget without a deadline.
    pub fn new(limits: Limits) -> Self {
        Self::until(limits, || false)
    }

    /// An unused budget that ends when `is_over` says so, which is asked every few milliseconds of work.
    pub fn until(limits: Limits, is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self::with_clock(limits, Arc::new(is_over))
    }

    /// An unused budget with the same bounds and the same deadline, for the next of several renders.
    #[must_use]
    pub fn unused(&self) -> Self {
        Self::with_clock(self.0.limits, Arc::clone(&self.0.is_over))
    }

    fn with_clock(limits: Limits, is_over: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self(Arc::new(Inner {
            limits,
            steps_left: AtomicU64::new(limits.steps),
            bytes_left: AtomicUsize::new(limits.bytes),
            is_over,
        }))
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Takes `count` steps. Fails when fewer are left, or when the time is over.
    #[inline]
    pub fn step(&self, count: u64) -> Result<(), Exceeded> {
        let before = self.0.steps_left.load(Ordering::Relaxed);
        let after = before.checked_sub(count).ok_or(Exceeded::Steps(self.0.limits.steps))?;
        self.0.steps_left.store(after, Ordering::Relaxed);
        if before / STEPS_BETWEEN_LOOKS != after / STEPS_BETWEEN_LOOKS && (self.0.is_over)() {
            return Err(Exceeded::Time);
        }
        Ok(())
    }

    /// Takes the steps of looking at a text of `bytes` bytes.
    #[inline]
    pub fn scan(&self, bytes: usize) -> Result<(), Exceeded> {
        self.step(u64::try_from(bytes / 64 + 1).unwrap_or(u64::MAX))
    }

    /// Takes `count` bytes, before they are allocated. Fails when fewer are left.
    #[inline]
    pub fn bytes(&self, count: usize) -> Result<(), Exceeded> {
        let left = self.0.bytes_left.load(Ordering::Relaxed);
        let left = left.checked_sub(count).ok_or(Exceeded::Bytes(self.0.limits.bytes))?;
        self.0.bytes_left.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// Steps and bytes used so far.
    pub fn used(&self) -> (u64, usize) {
        let Inner { limits, steps_left, bytes_left, .. } = &*self.0;
        (
            limits.steps.saturating_sub(steps_left.load(Ordering::Relaxed)),
            limits.bytes.saturating_sub(bytes_left.load(Ordering::Relaxed)),
        )
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("limits", &self.0.limits).field("used", &self.used()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_uses_the_same_budget() {
        let budget = Budget::new(Limits { steps: 10, bytes: 100 });
        let clone = budget.clone();
        assert_eq!((budget.step(6), clone.step(4)), (Ok(()), Ok(())));
        assert_eq!(budget.step(1), Err(Exceeded::Steps(10)));
        assert_eq!((budget.bytes(60), clone.bytes(41), clone.bytes(40)), (Ok(()), Err(Exceeded::Bytes(100)), Ok(())));
        assert_eq!(budget.used(), (10, 100));
    }

    #[test]
    fn an_unused_budget_has_the_same_end() {
        let budget = Budget::until(Limits { steps: 10, bytes: 100 }, || true);
        assert_eq!(budget.step(10).and_then(|()| budget.unused().step(10)), Ok(()));
        let limits = Limits::default();
        let over = Budget::until(limits, || true).unused();
        assert_eq!((over.limits(), over.step(STEPS_BETWEEN_LOOKS)), (limits, Err(Exceeded::Time)));
    }

    #[test]
    fn the_clock_ends_a_render_that_still_has_steps() {
        let budget = Budget::until(Limits::default(), || true);
        assert_eq!(budget.step(1), Ok(()), "the clock is not asked at every step");
        assert_eq!(budget.step(STEPS_BETWEEN_LOOKS), Err(Exceeded::Time));
    }

    #[test]
    fn texts_of_any_length_can_be_charged() {
        let budget = Budget::default();
        assert_eq!(budget.scan(0).and_then(|()| budget.scan(6_400)), Ok(()));
        assert_eq!(budget.used(), (102, 0));
        assert_eq!(budget.scan(usize::MAX), Err(Exceeded::Steps(Limits::default().steps)));
    }
}
