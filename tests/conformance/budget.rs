//! What renders of real sources use of their budget.

use slipway_budget::Budget;

/// Whether a render of a real source used so little of its budget that one of 1.4 times its size renders, too.
pub(crate) fn leaves_room(budget: &Budget) -> Result<(), String> {
    let (limits, (steps, bytes)) = (budget.limits(), budget.used());
    if steps <= limits.steps / 14 * 10 && bytes <= limits.bytes / 14 * 10 {
        return Ok(());
    }
    Err(format!("{steps} steps and {bytes} bytes are nearly all that {limits:?} allow"))
}
