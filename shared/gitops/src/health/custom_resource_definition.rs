use slipway_manifest::Object;

use super::{Health, HealthStatus, status_conditions};

/// A CustomResourceDefinition (argoproj/argo-cd
/// `resource_customizations/apiextensions.k8s.io/CustomResourceDefinition/health.lua`): the first condition that keeps
/// it from being served decides.
pub(super) fn health(object: &Object) -> HealthStatus {
    let mut conditions = status_conditions(object).peekable();
    if conditions.peek().is_none() {
        return HealthStatus::new(Health::Progressing, "Status conditions not found");
    }
    let mut is_established = false;
    for condition in conditions {
        let of = |health, what: &str| HealthStatus::new(health, format!("{what}: {}", condition.message));
        match (condition.kind, condition.status, condition.reason) {
            ("Terminating", "True", _) => return of(Health::Progressing, "CRD is terminating"),
            ("NamesAccepted", "False", _) => return of(Health::Degraded, "CRD names have not been accepted"),
            ("NonStructuralSchema", "True", _) => return of(Health::Degraded, "Schema violations found"),
            ("Established", "True", _) => is_established = true,
            ("Established", _, "InvalidCABundle") => return of(Health::Degraded, "CRD is not established"),
            ("Established", _, "Installing") => {
                return HealthStatus::new(Health::Progressing, "CRD is being installed");
            }
            _ => {}
        }
    }
    if is_established {
        HealthStatus::new(Health::Healthy, "CRD is healthy")
    } else {
        HealthStatus::new(Health::Progressing, "CRD is not established")
    }
}
