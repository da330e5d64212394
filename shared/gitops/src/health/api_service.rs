use slipway_manifest::Object;

use super::{Health, HealthStatus, status_conditions};

/// An APIService: well when its server answers.
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
