//! What it takes to parse a text, told from the text itself: paid before a parser, which has no budget, makes anything.

use memchr::{memchr, memchr_iter};
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
    while let Some(action) = memchr(b'{', rest).and_then(|open| rest.get(open + 1..)) {
        rest = action;
        if action.first() != Some(&b'{') {
            continue;
        }
        let end = memchr_iter(b'}', action).find(|at| action.get(at + 1) == Some(&b'}')).unwrap_or(action.len());
        let (action, after) = action.split_at_checked(end).unwrap_or((action, &[]));
        inside += end;
        operands += 1 + operands_of(action);
        rest = after;
    }
    budget.step((100 + text.len() / 64 + inside) as u64)?;
    budget.bytes(TEXT + text.len().saturating_add(operands.saturating_mul(OPERAND)))
}

/// About how many operands an action has, by what stands between them. Blocks of as many bytes as their count can hold
/// are added up many bytes at a time.
fn operands_of(action: &[u8]) -> usize {
    let separates = |byte: &u8| u8::from(matches!(byte, b' ' | b'(' | b'|' | b'\n' | b'\t' | b'"'));
    let blocks = action.chunks(usize::from(u8::MAX));
    blocks.map(|block| usize::from(block.iter().map(separates).sum::<u8>())).sum()
}

/// Pays for compiling a regular expression, and for what it holds while it is used.
pub(crate) fn of_pattern(budget: &Budget, pattern: &str) -> Result<(), Exceeded> {
    let size = regexp::compiled_size(pattern);
    budget.step((pattern.len().saturating_mul(8) + size / 4) as u64)?;
    budget.bytes(2 * size)
}
