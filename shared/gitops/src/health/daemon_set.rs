use slipway_manifest::Object;

use super::{Health, HealthStatus, number, text};

/// A DaemonSet: Healthy when every scheduled node has an updated and available pod.
pub(super) fn health(object: &Object) -> HealthStatus {
    let verdict = |health, message: String| HealthStatus::new(health, message);
    if number(object, "/metadata/generation", 0) > number(object, "/status/observedGeneration", 0) {
        let message = "Waiting for rollout to finish: observed daemon set generation less than desired generation";
        return verdict(Health::Progressing, message.to_owned());
    }
    let name = object.name();
    let desired = number(object, "/status/desiredNumberScheduled", 0);
    let updated = number(object, "/status/updatedNumberScheduled", 0);
    let available = number(object, "/status/numberAvailable", 0);
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        let message = format!("daemon set {updated} out of {desired} new pods have been updated");
        return verdict(Health::Healthy, message);
    }
    let waiting = format!("Waiting for daemon set {name:?} rollout to finish:");
    if updated < desired {
        let message = format!("{waiting} {updated} out of {desired} new pods have been updated...");
        return verdict(Health::Progressing, message);
    }
    if available < desired {
        let message = format!("{waiting} {available} of {desired} updated pods are available...");
        return verdict(Health::Progressing, message);
    }
    verdict(Health::Healthy, String::new())
}
