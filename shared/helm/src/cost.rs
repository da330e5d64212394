//! What it takes to parse a text, told from the text itself: paid before a parser, which has no budget, makes anything.

use memchr::{memchr_iter, memchr3_iter, memmem};
use slipway_budget::{Budget, Exceeded};

/// What a value of a document takes, with the room that lists keep for growth.
const VALUE: usize = 144;
/// Steps for each 64 bytes of YAML or JSON: 10 ns a byte.
const STEPS: u64 = 32;

/// Pays for the parse of a YAML or JSON text. Values are told from each other by line breaks, commas and brackets.
pub(crate) fn of_yaml(budget: &Budget, text: &str) -> Result<(), Exceeded> {
    let bytes = text.as_bytes();
    let values = memchr3_iter(b'\n', b',', b'[', bytes).count() + memchr_iter(b'{', bytes).count();
    budget.step(STEPS.saturating_mul(text.len() as u64 / 64 + 1))?;
    budget.bytes(text.len().saturating_add(values.saturating_mul(VALUE)))
}

/// Pays for the parse of a template. What stands in actions becomes a tree.
pub(crate) fn of_template(budget: &Budget, text: &str) -> Result<(), Exceeded> {
    /// What an operand comes to in the tree, with the room that lists keep for growth.
    const OPERAND: usize = 192;
    /// What a parsed text takes, however short.
    const TEXT: usize = 1_024;
    let (mut inside, mut operands) = (0, 0);
    let mut rest = text;
    while let Some((_, action)) = memmem::find(rest.as_bytes(), b"{{").and_then(|at| rest.split_at_checked(at)) {
        let end = memmem::find(action.as_bytes(), b"}}").unwrap_or(action.len());
        inside += end;
        let (action, after) = action.split_at_checked(end).unwrap_or((action, ""));
        let action = action.as_bytes();
        operands +=
            1 + memchr3_iter(b' ', b'(', b'|', action).count() + memchr3_iter(b'\n', b'\t', b'"', action).count();
        rest = after;
    }
    budget.step((100 + text.len() / 64 + inside) as u64)?;
    budget.bytes(TEXT + text.len().saturating_add(operands.saturating_mul(OPERAND)))
}

/// Bytes that a regular expression may come to, at least what it takes to compile those that are small.
pub(crate) fn of_compiled(pattern: &str) -> usize {
    /// More than this the compiler refuses.
    const MOST: usize = 1 << 20;
    /// Go allows no more repetitions of one part.
    const MOST_REPEATED: usize = 1_000;
    let counts = pattern.split('{').skip(1).map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit() && c != ',').next().unwrap_or_default();
        digits.rsplit(',').find_map(|count| count.parse::<usize>().ok()).unwrap_or(1).max(1)
    });
    let repeated = counts.fold(1, |all: usize, count| all.saturating_mul(count).min(MOST_REPEATED));
    let letters = if pattern.contains("\\p") || pattern.contains("\\P") { 512 } else { 32 };
    (2_000 + pattern.len().saturating_mul(letters).saturating_mul(repeated)).min(MOST)
}

/// Pays for compiling a regular expression, and for what it holds while it is used.
pub(crate) fn of_pattern(budget: &Budget, pattern: &str) -> Result<(), Exceeded> {
    let size = of_compiled(pattern);
    budget.step((pattern.len().saturating_mul(8) + size / 4) as u64)?;
    budget.bytes(2 * size)
}
