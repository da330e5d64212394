use serde_json::Value;
use slipway_manifest::Object;

use super::{Condition, Health, HealthStatus, conditions, status_conditions};

/// A HorizontalPodAutoscaler of version 2, or of version 1, whose conditions are in an annotation; other versions are
/// Unknown.
pub(super) fn health(object: &Object) -> HealthStatus {
    let annotation: Value;
    let conditions: Vec<Condition<'_>> = match object.version() {
        "v2" => status_conditions(object).collect(),
        "v1" => {
            let text = object.annotation("autoscaling.alpha.kubernetes.io/conditions").unwrap_or("[]");
            match serde_json::from_str(text) {
                Ok(list) => annotation = list,
                Err(_) => return HealthStatus::new(Health::Unknown, "failed to read the conditions annotation"),
            }
            conditions(Some(&annotation)).collect()
        }
        version => {
            let message = format!("unsupported HPA GVK: autoscaling/{version}, Kind=HorizontalPodAutoscaler");
            return HealthStatus::new(Health::Unknown, message);
        }
    };
    if let Some(condition) = conditions.iter().find(|condition| is_degraded(condition)) {
        return HealthStatus::new(Health::Degraded, condition.message);
    }
    let is_healthy = |c: &&Condition<'_>| matches!(c.kind, "AbleToScale" | "ScalingLimited") && c.status == "True";
    if let Some(condition) = conditions.iter().find(is_healthy) {
        return HealthStatus::new(Health::Healthy, condition.message);
    }
    HealthStatus::new(Health::Progressing, "Waiting to Autoscale")
}

fn is_degraded(condition: &Condition<'_>) -> bool {
    match (condition.kind, condition.reason) {
        ("AbleToScale", "FailedGetScale" | "FailedUpdateScale")
        | ("ScalingActive", "FailedComputeMetricsReplicas" | "InvalidSelector") => true,
        ("ScalingActive", reason) => reason.starts_with("FailedGet") && reason.ends_with("Metric"),
        _ => false,
    }
}
