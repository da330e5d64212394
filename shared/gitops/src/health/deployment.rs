use slipway_manifest::Object;

use super::{Health, HealthStatus, number, status_conditions};

/// A Deployment of `apps`: Healthy when every replica is updated and available and no old one is left.
pub(super) fn health(object: &Object) -> HealthStatus {
    let progressing = |message: String| HealthStatus::new(Health::Progressing, message);
    if object.pointer("/spec/paused").and_then(serde_json::Value::as_bool).unwrap_or_default() {
        return HealthStatus::new(Health::Suspended, "Deployment is paused");
    }
    if number(object, "/metadata/generation", 0) > number(object, "/status/observedGeneration", 0) {
        return progressing(
            "Waiting for rollout to finish: observed deployment generation less than desired generation".to_owned(),
        );
    }
    if status_conditions(object).any(|c| c.kind == "Progressing" && c.reason == "ProgressDeadlineExceeded") {
        let message = format!("Deployment {:?} exceeded its progress deadline", object.name());
        return HealthStatus::new(Health::Degraded, message);
    }
    let replicas = number(object, "/status/replicas", 0);
    let updated = number(object, "/status/updatedReplicas", 0);
    let available = number(object, "/status/availableReplicas", 0);
    let desired = number(object, "/spec/replicas", i64::MIN);
    if updated < desired {
        return progressing(format!(
            "Waiting for rollout to finish: {updated} out of {desired} new replicas have been updated..."
        ));
    }
    if replicas > updated {
        let old = replicas.saturating_sub(updated);
        return progressing(format!("Waiting for rollout to finish: {old} old replicas are pending termination..."));
    }
    if available < updated {
        return progressing(format!(
            "Waiting for rollout to finish: {available} of {updated} updated replicas are available..."
        ));
    }
    HealthStatus::new(Health::Healthy, "")
}
