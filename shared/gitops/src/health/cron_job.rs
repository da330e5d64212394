use serde_json::Value;
use slipway_manifest::Object;

use super::{Health, HealthStatus, text};

/// A CronJob (argoproj/argo-cd `resource_customizations/batch/CronJob/health.lua`): Degraded only when its last run is
/// known to have failed.
pub(super) fn health(object: &Object) -> HealthStatus {
    let healthy = |message: &str| HealthStatus::new(Health::Healthy, message);
    if object.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or_default() {
        return healthy("CronJob is Suspended");
    }
    if object.get("status").is_none_or(Value::is_null) {
        return HealthStatus::new(Health::Progressing, "Waiting for CronJob");
    }
    let (scheduled, succeeded) = (text(object, "/status/lastScheduleTime"), text(object, "/status/lastSuccessfulTime"));
    let active = object.pointer("/status/active").and_then(Value::as_array).is_some_and(|active| !active.is_empty());
    match (scheduled, succeeded) {
        ("", _) => healthy("CronJob has not been scheduled yet"),
        (_, "") => healthy("The CronJob never completed successfully. It may not be healthy"),
        _ if active => healthy("The job is running. Its last execution may not have been successful"),
        // Both are RFC 3339 in UTC, which sorts by time.
        (scheduled, succeeded) if succeeded < scheduled => {
            HealthStatus::new(Health::Degraded, "CronJob has not completed its last execution successfully")
        }
        _ => healthy("CronJob has completed its last execution successfully"),
    }
}
