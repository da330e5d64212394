use serde_json::Value;
use slipway_manifest::Object;

use super::{Health, HealthStatus, status_conditions, text};
use crate::annotations;

/// The annotation that makes a pod with a finite life be evaluated like one without.
const IGNORE_RESTART_POLICY: &str = "argocd.argoproj.io/ignore-restart-policy";

/// A Pod. One that terminates (a hook's) is never Degraded while it may still succeed: the hook would fail too early.
pub(super) fn health(object: &Object) -> HealthStatus {
    let policy = text(object, "/spec/restartPolicy");
    let endless =
        policy == "Always" || object.annotation(IGNORE_RESTART_POLICY) == Some("true") && !annotations::is_hook(object);
    let containers = || statuses(object, "/status/containerStatuses");
    if endless {
        let stuck = containers().filter_map(|status| status.pointer("/state/waiting")).filter(|waiting| {
            let reason = field(waiting, "reason");
            reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff")
        });
        let messages: Vec<&str> = stuck.map(|waiting| field(waiting, "message")).collect();
        if !messages.is_empty() {
            return HealthStatus::new(Health::Degraded, messages.join(", "));
        }
    }
    let message = text(object, "/status/message");
    let health = match text(object, "/status/phase") {
        "Pending" => Health::Progressing,
        "Succeeded" => Health::Healthy,
        "Failed" if message.is_empty() => {
            let mut all = statuses(object, "/status/initContainerStatuses").chain(containers());
            return HealthStatus::new(Health::Degraded, all.find_map(failure).unwrap_or_default());
        }
        "Failed" => Health::Degraded,
        "Running" if endless => {
            if status_conditions(object).any(|condition| condition.kind == "Ready" && condition.status == "True") {
                Health::Healthy
            } else if containers().any(|status| status.pointer("/lastState/terminated").is_some_and(Value::is_object)) {
                Health::Degraded
            } else {
                Health::Progressing
            }
        }
        "Running" if policy == "OnFailure" || policy == "Never" => Health::Progressing,
        _ => Health::Unknown,
    };
    HealthStatus::new(health, message)
}

fn statuses<'a>(object: &'a Object, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn field<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Why a container failed.
fn failure(status: &Value) -> Option<String> {
    let ended = status.pointer("/state/terminated")?;
    let code = ended.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
    match (field(ended, "message"), field(ended, "reason")) {
        ("", "OOMKilled") => Some("OOMKilled".to_owned()),
        ("", _) if code != 0 => Some(format!("container {:?} failed with exit code {code}", field(status, "name"))),
        ("", _) => None,
        (message, _) => Some(message.to_owned()),
    }
}
