use slipway_manifest::Object;

use super::{Health, HealthStatus, status_conditions};

/// A Job. As in the original, the conditions Failed and Complete count whatever their status, and a Suspended condition
/// completes it.
pub(super) fn health(object: &Object) -> HealthStatus {
    let (mut failed, mut suspended, mut complete) = (None, false, false);
    let mut message = "";
    for condition in status_conditions(object) {
        match condition.kind {
            "Failed" => {
                (complete, failed) = (true, Some(condition.message));
            }
            "Complete" => {
                (complete, message) = (true, condition.message);
            }
            "Suspended" => {
                (complete, message) = (true, condition.message);
                suspended = condition.status == "True";
            }
            _ => {}
        }
    }
    match failed {
        _ if !complete => HealthStatus::new(Health::Progressing, message),
        Some(failure) => HealthStatus::new(Health::Degraded, failure),
        None if suspended => HealthStatus::new(Health::Suspended, ""),
        None => HealthStatus::new(Health::Healthy, message),
    }
}
