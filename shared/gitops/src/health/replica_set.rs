use slipway_manifest::Object;

use super::{Health, HealthStatus, number, status_conditions};

/// A ReplicaSet: Healthy when the desired number of replicas is available.
pub(super) fn health(object: &Object) -> HealthStatus {
    if number(object, "/metadata/generation", 0) > number(object, "/status/observedGeneration", 0) {
        let message = "Waiting for rollout to finish: observed replica set generation less than desired generation";
        return HealthStatus::new(Health::Progressing, message);
    }
    // As in the original, only the first condition of the type counts.
    let failure = status_conditions(object).find(|condition| condition.kind == "ReplicaFailure");
    if let Some(failure) = failure.filter(|condition| condition.status == "True") {
        return HealthStatus::new(Health::Degraded, failure.message);
    }
    let available = number(object, "/status/availableReplicas", 0);
    let desired = number(object, "/spec/replicas", i64::MIN);
    if available < desired {
        let message =
            format!("Waiting for rollout to finish: {available} out of {desired} new replicas are available...");
        return HealthStatus::new(Health::Progressing, message);
    }
    HealthStatus::new(Health::Healthy, "")
}
