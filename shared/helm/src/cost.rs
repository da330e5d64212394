//! What it takes to parse a text, told from the text itself: paid before a parser, which has no budget, makes anything.

use memchr::memchr;
use slipway_budget::{Budget, Exceeded};
use slipway_gocompat::regexp;

/// Pays for the parse of a template. What stands in actions becomes a tree.
pub fn of_template(budget: &Budget, text: &str) -> Result<(), Exceeded> {
    /// What an operand comes to in the tree, with the room that lists keep for growth.
    const OPERAND: usize = 192;
    /// What a parsed text takes, however short.
    const TEXT: usize = 1_024;
    let (mut inside, mut operands) = (0, 0);
    let mut rest = text.as_bytes();
    // Actions are short, so that a plain loop is faster than searches that have to be set up.
    while let Some(action) = memchr(b'{', rest).and_then(|open| rest.get(open + 1..)) {
        rest = action;
        if action.first() != Some(&b'{') {
            continue;
        }
        operands += 1;
        let mut last = 0;
        for (at, byte) in action.iter().enumerate() {
            if (last, *byte) == (b'}', b'}') {
                break;
            }
            operands += usize::from(matches!(byte, b' ' | b'(' | b'|' | b'\n' | b'\t' | b'"'));
            inside += 1;
            last = *byte;
            rest = action.get(at..).unwrap_or_default();
        }
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
