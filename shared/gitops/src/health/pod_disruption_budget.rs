use slipway_manifest::Object;

use super::{Health, HealthStatus, status_conditions};

/// A PodDisruptionBudget (argoproj/argo-cd `resource_customizations/policy/PodDisruptionBudget/health.lua`): too few
/// pods may be intended.
pub(super) fn health(object: &Object) -> HealthStatus {
    let mut verdict = HealthStatus::new(Health::Progressing, "Waiting for status");
    for condition in status_conditions(object) {
        let message = format!("PodDisruptionBudget has {}", condition.reason);
        if condition.status == "False" && condition.reason != "InsufficientPods" {
            return HealthStatus::new(Health::Degraded, message);
        }
        verdict = HealthStatus::new(Health::Healthy, message);
    }
    verdict
}
