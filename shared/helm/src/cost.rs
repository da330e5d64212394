//! What it takes to parse a text, told from the text itself: paid before a parser, which has no budget, makes anything.

use memchr::{memchr3_iter, memmem};
use slipway_budget::{Budget, Exceeded};
use slipway_gocompat::regexp;

/// Pays for the parse of a template. What stands in actions becomes a tree.
pub fn of_template(budget: &Budget, text: &str) -> Result<(), Exceeded> {
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

/// Pays for compiling a regular expression, and for what it holds while it is used.
pub(crate) fn of_pattern(budget: &Budget, pattern: &str) -> Result<(), Exceeded> {
    let size = regexp::compiled_size(pattern);
    budget.step((pattern.len().saturating_mul(8) + size / 4) as u64)?;
    budget.bytes(2 * size)
}
