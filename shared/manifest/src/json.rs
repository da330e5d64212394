//! What it takes to parse JSON, told from the text: paid before a parser, which has no budget, makes anything.

use memchr::{memchr_iter, memchr2_iter};
use slipway_budget::{Budget, Exceeded};

/// A value with its key, and the room that lists and mappings keep for growth.
const VALUE: usize = 208;
/// A mapping: it starts with room for four entries.
const MAPPING: usize = 256;
/// Steps for each 64 bytes: 10 ns a byte.
const STEPS: u64 = 32;

/// Pays for the parse of the JSON in `text`. Fails when the budget is used up.
pub fn pay(text: &[u8], budget: &Budget) -> Result<(), Exceeded> {
    let mappings = memchr_iter(b'{', text).count();
    let values = mappings + memchr2_iter(b',', b'[', text).count();
    budget.step(STEPS.saturating_mul(text.len() as u64 / 64 + 1))?;
    let values = values.saturating_mul(VALUE).saturating_add(mappings.saturating_mul(MAPPING));
    budget.bytes(text.len().saturating_add(values))
}
