//! What templates may use: steps and bytes of the render's shared budget, levels, and stack.
//!
//! Functions take steps and bytes themselves where they loop, or make far more than they are given. For all else there
//! is one mechanism: a call costs steps by the length of the texts that it gets ([`crate::Function::cost`]), and each
//! value that is made is noted on its thread ([`note_made`]) and paid for when the call is over, as far as the function
//! has not paid for it.

use std::cell::Cell;
use std::fmt;

use slipway_budget::Exceeded;

/// Steps and bytes that are taken from the shared budget at once: counting is cheaper here than there.
const STEPS: u64 = 1_000;
const BYTES: usize = 64 << 10;

/// The bounds of nesting.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Templates within templates (`template`, `include`, `tpl`).
    pub depth: usize,
    /// Bytes of the real stack that execution may use; must be well below what the thread has ([`on_stack`]).
    pub stack: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 2_000, stack: 1 << 20 }
    }
}

/// The bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The steps, bytes or time of the render.
    Render(Exceeded),
    /// [`Limits::depth`]
    Depth(usize),
    /// [`Limits::stack`]
    Stack(usize),
    /// The nesting of parentheses and blocks in a template's text.
    Nesting(usize),
    /// The variables in scope at one place of a template's text.
    Variables(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Render(exceeded) => exceeded.fmt(f),
            Self::Depth(most) => write!(f, "exceeded maximum template depth ({most})"),
            Self::Stack(most) => write!(f, "exceeded the stack budget ({most} bytes): templates are nested too deeply"),
            Self::Nesting(most) => write!(f, "max expression depth exceeded ({most})"),
            Self::Variables(most) => write!(f, "exceeded the bound of {most} variables in one scope"),
        }
    }
}

impl std::error::Error for Limit {}

impl From<Exceeded> for Limit {
    fn from(exceeded: Exceeded) -> Self {
        Self::Render(exceeded)
    }
}

thread_local! {
    /// Bytes of all values made on this thread; wraps around.
    static MADE: Cell<usize> = const { Cell::new(0) };
}

/// Notes that a value was made: `bytes` besides what the allocator and a reference count take.
pub(crate) fn note_made(bytes: usize) {
    const OVERHEAD: usize = 32;
    MADE.set(MADE.get().wrapping_add(bytes.saturating_add(OVERHEAD)));
}

/// What was made and paid when a call began.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    made: usize,
    paid: usize,
}

/// What one execution uses of the render's budget; shared by all its templates.
#[derive(Debug)]
pub struct Budget {
    shared: slipway_budget::Budget,
    limits: Limits,
    /// Taken from the shared budget and not used yet.
    steps: Cell<u64>,
    bytes: Cell<usize>,
    /// All bytes paid for; wraps around.
    paid: Cell<usize>,
    /// How much of what was made has been paid for.
    settled: Cell<usize>,
    depth: Cell<usize>,
    stack: StackMark,
}

impl Budget {
    /// Draws on `shared`. The stack is measured from here: make it close to where it is used, and on the same thread.
    pub fn new(shared: slipway_budget::Budget, limits: Limits) -> Self {
        Self {
            shared,
            limits,
            steps: Cell::new(0),
            bytes: Cell::new(0),
            paid: Cell::new(0),
            settled: Cell::new(MADE.get()),
            depth: Cell::new(0),
            stack: StackMark::here(),
        }
    }

    /// The budget of the whole render.
    pub fn shared(&self) -> &slipway_budget::Budget {
        &self.shared
    }

    /// Takes steps: one for each turn of a loop in a function. Fails when none are left, or when the time is over.
    #[inline]
    pub fn step(&self, count: u64) -> Result<(), Limit> {
        match self.steps.get().checked_sub(count) {
            Some(left) => self.steps.set(left),
            None => self.draw_steps(count)?,
        }
        Ok(())
    }

    #[cold]
    fn draw_steps(&self, count: u64) -> Result<(), Limit> {
        let missing = count.saturating_sub(self.steps.get());
        let more = match self.shared.step(missing.saturating_add(STEPS)) {
            Ok(()) => STEPS,
            // The last steps come one by one, so that a budget ends where it says.
            Err(Exceeded::Steps(_)) => self.shared.step(missing).map(|()| 0)?,
            Err(other) => return Err(other.into()),
        };
        self.steps.set(more);
        Ok(())
    }

    /// Takes the steps of looking at a text of `bytes` bytes.
    pub fn scan(&self, bytes: usize) -> Result<(), Limit> {
        self.step(bytes as u64 / 64 + 1)
    }

    /// Takes bytes: what a function is about to make. Fails, before anything is allocated, when too few are left.
    #[inline]
    pub fn bytes(&self, count: usize) -> Result<(), Limit> {
        match self.bytes.get().checked_sub(count) {
            Some(left) => self.bytes.set(left),
            None => self.draw_bytes(count)?,
        }
        self.paid.set(self.paid.get().wrapping_add(count));
        Ok(())
    }

    #[cold]
    fn draw_bytes(&self, count: usize) -> Result<(), Limit> {
        let missing = count.saturating_sub(self.bytes.get());
        let more = match self.shared.bytes(missing.saturating_add(BYTES)) {
            Ok(()) => BYTES,
            Err(_) => self.shared.bytes(missing).map(|()| 0)?,
        };
        self.bytes.set(more);
        // To make bytes takes time.
        self.scan(missing.saturating_add(more))
    }

    /// Fails when fewer than `count` bytes are left, and takes none.
    pub(crate) fn has_room(&self, count: usize) -> Result<(), Limit> {
        let (most, used) = (self.shared.limits().bytes, self.shared.used().1);
        if count > most.saturating_sub(used).saturating_add(self.bytes.get()) {
            return Err(Exceeded::Bytes(most).into());
        }
        Ok(())
    }

    /// Pays for what was made since the last time, outside of calls: fields, keys, what a loop goes over.
    #[inline]
    pub(crate) fn settle(&self) -> Result<(), Limit> {
        let made = MADE.get();
        match made.wrapping_sub(self.settled.replace(made)) {
            0 => Ok(()),
            due => self.bytes(due),
        }
    }

    /// Where a call begins.
    pub(crate) fn mark(&self) -> Mark {
        Mark { made: MADE.get(), paid: self.paid.get() }
    }

    /// Pays for what a call has made and not paid for.
    pub(crate) fn settle_call(&self, mark: Mark) -> Result<(), Limit> {
        let made = MADE.get();
        self.settled.set(made);
        let paid = self.paid.get().wrapping_sub(mark.paid);
        self.bytes(made.wrapping_sub(mark.made).saturating_sub(paid))
    }

    /// Fails when the real stack in use is beyond the limit. To be called by whatever recurses.
    pub fn stack(&self) -> Result<(), Limit> {
        if self.stack.used() > self.limits.stack {
            return Err(Limit::Stack(self.limits.stack));
        }
        Ok(())
    }

    /// One template further in. Fails beyond the limit.
    pub(crate) fn enter(&self) -> Result<(), Limit> {
        if self.depth.get() >= self.limits.depth {
            return Err(Limit::Depth(self.limits.depth));
        }
        self.depth.set(self.depth.get() + 1);
        Ok(())
    }

    /// Back out of a template.
    pub(crate) fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }
}

/// A place on the real stack, to measure from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackMark(usize);

impl StackMark {
    /// About where the stack is: the address of a local.
    #[inline(never)]
    pub(crate) fn here() -> Self {
        let local = 0_u8;
        Self(std::ptr::from_ref(std::hint::black_box(&local)).addr())
    }

    /// Bytes between the mark and here.
    pub(crate) fn used(self) -> usize {
        self.0.abs_diff(Self::here().0)
    }
}

thread_local! {
    /// Where the stack of a thread of [`on_stack`] begins, and its size.
    static DEEP: Cell<Option<(StackMark, usize)>> = const { Cell::new(None) };
}

/// Runs `work` on a thread with a stack of `size` bytes, so that templates may be nested deeper than the caller's
/// stack allows; set [`Limits::stack`] 1 MiB below: parsing and what
/// functions use comes on top. Pages that are never touched cost nothing.
/// Inside of such `work`, where that much is left, it runs where it is: who renders much starts one thread for all.
/// Fails if the thread can't be started; a panic of `work` goes on here.
pub fn on_stack<T: Send>(size: usize, work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    if DEEP.get().is_some_and(|(start, whole)| start.used().saturating_add(size) <= whole) {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(size).spawn_scoped(scope, || {
            DEEP.set(Some((StackMark::here(), size)));
            work()
        })?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}
