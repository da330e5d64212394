use slipway_manifest::Object;

use super::{Health, Verdict, status_conditions};

/// A PodDisruptionBudget (argoproj/argo-cd `resource_customizations/policy/PodDisruptionBudget/health.lua`): too few pods may be meant.
pub(super) fn health(object: &Object) -> Verdict {
    let mut verdict = Verdict::new(Health::Progressing, "Waiting for status");
    for condition in status_conditions(object) {
        let message = format!("PodDisruptionBudget has {}", condition.reason);
        if condition.status == "False" && condition.reason != "InsufficientPods" {
            return Verdict::new(Health::Degraded, message);
        }
        verdict = Verdict::new(Health::Healthy, message);
    }
    verdict
}
