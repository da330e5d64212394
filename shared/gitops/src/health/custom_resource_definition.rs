use slipway_manifest::Object;

use super::{Health, HealthStatus, status_conditions};

/// A CustomResourceDefinition (argoproj/argo-cd
/// `resource_customizations/apiextensions.k8s.io/CustomResourceDefinition/health.lua`).
pub(super) fn health(object: &Object) -> HealthStatus {
    let verdict = |health, message: String| HealthStatus::new(health, message);
    let conditions: Vec<_> = status_conditions(object).collect();
    let find = |kind: &str, status: &str| conditions.iter().find(|c| c.kind == kind && c.status == status);
    if conditions.is_empty() {
        return verdict(Health::Progressing, "Status conditions not found".to_owned());
    }
    if let Some(condition) = find("Terminating", "True") {
        return verdict(Health::Progressing, format!("CRD is terminating: {}", condition.message));
    }
    if let Some(condition) = find("NamesAccepted", "False") {
        return verdict(Health::Degraded, format!("CRD names have not been accepted: {}", condition.message));
    }
    if find("Established", "True").is_none() {
        return match conditions.iter().find(|condition| condition.kind == "Established") {
            Some(condition) if condition.reason != "Installing" => {
                verdict(Health::Degraded, format!("CRD is not established: {}", condition.message))
            }
            _ => verdict(Health::Progressing, "CRD is not established".to_owned()),
        };
    }
    if let Some(condition) = find("NonStructuralSchema", "True") {
        return verdict(Health::Degraded, format!("Schema violations found: {}", condition.message));
    }
    verdict(Health::Healthy, "CRD is healthy".to_owned())
}
