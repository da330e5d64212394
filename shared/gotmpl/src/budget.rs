//! What templates may use: steps, bytes, levels, stack. There is no clock here, so a step is the unit of time.

use std::cell::Cell;
use std::fmt;

/// The bounds of one render. Every one of them ends in an error that names it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes evaluated, plus what functions charge for loops of their own.
    pub steps: u64,
    /// Bytes written and made by functions, over all templates of the render.
    pub output: usize,
    /// Templates within templates (`template`, `include`, `tpl`).
    pub depth: usize,
    /// Bytes of the real stack that execution may use; must be well below what the thread has ([`on_stack`]).
    pub stack: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 20_000_000, output: 64 << 20, depth: 2_000, stack: 1 << 20 }
    }
}

/// The bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::steps`]
    Steps(u64),
    /// [`Limits::output`]
    Output(usize),
    /// [`Limits::depth`]
    Depth(usize),
    /// [`Limits::stack`]
    Stack(usize),
    /// The nesting of parentheses and blocks in a template's text.
    Nesting(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(most) => write!(f, "exceeded the step budget ({most} steps)"),
            Self::Output(most) => write!(f, "exceeded the output budget ({most} bytes)"),
            Self::Depth(most) => write!(f, "exceeded maximum template depth ({most})"),
            Self::Stack(most) => write!(f, "exceeded the stack budget ({most} bytes): templates are nested too deeply"),
            Self::Nesting(most) => write!(f, "max expression depth exceeded ({most})"),
        }
    }
}

impl std::error::Error for Limit {}

/// The use of one render's [`Limits`]; shared by all its templates.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    steps: Cell<u64>,
    output: Cell<usize>,
    depth: Cell<usize>,
    stack: StackMark,
}

impl Budget {
    /// A budget that nothing has been used of. The stack is measured from here: make it close to where it is used,
    /// and on the same thread.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            steps: Cell::new(limits.steps),
            output: Cell::new(limits.output),
            depth: Cell::new(0),
            stack: StackMark::here(),
        }
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes steps: one for each turn of a loop in a function. Fails when none are left.
    pub fn step(&self, count: u64) -> Result<(), Limit> {
        let left = self.steps.get().checked_sub(count).ok_or(Limit::Steps(self.limits.steps))?;
        self.steps.set(left);
        Ok(())
    }

    /// Takes bytes: what a function is about to make. Fails, before anything is allocated, when too few are left.
    pub fn bytes(&self, count: usize) -> Result<(), Limit> {
        let left = self.output.get().checked_sub(count).ok_or(Limit::Output(self.limits.output))?;
        self.output.set(left);
        Ok(())
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
