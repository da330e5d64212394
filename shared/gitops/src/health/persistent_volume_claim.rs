use slipway_manifest::Object;

use super::{Health, HealthStatus, text};

/// A PersistentVolumeClaim: by its phase alone.
pub(super) fn health(object: &Object) -> HealthStatus {
    let health = match text(object, "/status/phase") {
        "Lost" => Health::Degraded,
        "Pending" => Health::Progressing,
        "Bound" => Health::Healthy,
        _ => Health::Unknown,
    };
    HealthStatus::new(health, "")
}
