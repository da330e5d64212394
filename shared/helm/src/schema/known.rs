//! Keeps the schemas that were compiled last: the same chart is rendered for one application after the other, and at
//! each check again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use slipway_budget::{Budget, Exceeded};

use super::compile::Compiled;

/// Schemas that are kept.
const MAX_KEPT: usize = 8;
/// Bytes that one of them may have been charged: together they stay far below a function's memory.
const MAX_BYTES: usize = 4 << 20;

/// A compiled schema, and what compiling it took.
struct Known {
    text: Vec<u8>,
    compiled: Arc<Compiled>,
    steps: u64,
    bytes: usize,
}

/// Those used last come first.
static KNOWN: Mutex<VecDeque<Known>> = Mutex::new(VecDeque::new());

/// The compiled schema `text`, where it is known; it is paid for as if it was compiled, so that a render ends at its
/// budget whatever was rendered before.
pub(super) fn get(text: &[u8], budget: &Budget) -> Result<Option<Arc<Compiled>>, Exceeded> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(found) = known.iter().position(|one| one.text == text).and_then(|at| known.remove(at)) else {
        return Ok(None);
    };
    let (compiled, steps, bytes) = (Arc::clone(&found.compiled), found.steps, found.bytes);
    known.push_front(found);
    drop(known);
    budget.step(steps)?;
    budget.bytes(bytes)?;
    Ok(Some(compiled))
}

/// Keeps what `text` was compiled to; `before` is what the budget had been used until then.
pub(super) fn keep(text: &[u8], compiled: &Arc<Compiled>, budget: &Budget, before: (u64, usize)) {
    let (steps, bytes) = budget.used();
    let (steps, bytes) = (steps.saturating_sub(before.0), bytes.saturating_sub(before.1));
    if text.len().saturating_add(bytes) > MAX_BYTES {
        return;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.push_front(Known { text: text.to_vec(), compiled: Arc::clone(compiled), steps, bytes });
    known.truncate(MAX_KEPT);
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_budget::Limits;

    use super::super::check_one;
    use super::*;
    use crate::values::from_json;

    #[test]
    fn a_known_schema_costs_what_it_cost_at_first() {
        let text = br#"{"properties": {"known": {"type": "string", "pattern": "^[a-z]+$"}}}"#;
        let values = json!({"known": "UPPER"});
        let values = from_json(values.as_object().unwrap());
        let check = |budget: &Budget| check_one(text, &values, budget);
        let (first, second) = (Budget::default(), Budget::default());
        let wrong = check(&first).unwrap().unwrap_err();
        assert_eq!(check(&second).unwrap().unwrap_err(), wrong);
        assert_eq!(first.used(), second.used());
        let few = Budget::new(Limits { steps: first.used().0 - 1, ..Limits::default() });
        assert!(check(&few).is_err());
    }
}
