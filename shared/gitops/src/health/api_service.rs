use slipway_manifest::Object;

use super::{Health, HealthStatus, status_conditions};

/// An APIService: Healthy when its server responds.
pub(super) fn health(object: &Object) -> HealthStatus {
    let available = status_conditions(object).find(|condition| condition.kind == "Available");
    available.map_or_else(
        || HealthStatus::new(Health::Progressing, "Waiting to be processed"),
        |condition| {
            let health = if condition.status == "True" { Health::Healthy } else { Health::Progressing };
            HealthStatus::new(health, format!("{}: {}", condition.reason, condition.message))
        },
    )
}
