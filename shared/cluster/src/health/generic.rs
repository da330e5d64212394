//! The health of everybody else's kinds, by the conventions they share: observedGeneration, conditions, phase.
//!
//! After kubernetes-sigs/cli-utils `pkg/kstatus/status/generic.go`; with the words that operators use for failure.

use serde_json::Value;
use slipway_manifest::Object;

use super::{Condition, Health, Verdict, number, status_conditions, text};

/// Judges by what the status says; `None` where it says nothing, and for Kubernetes' own kinds, which have their own rules or none.
pub fn of(object: &Object) -> Option<Verdict> {
    if is_kubernetes(object.group()) {
        return None;
    }
    let status = object.get("status").filter(|status| status.as_object().is_some_and(|status| !status.is_empty()))?;
    let observed = number(object, "/status/observedGeneration", -1);
    if status.get("observedGeneration").is_some_and(Value::is_i64)
        && observed < number(object, "/metadata/generation", 0)
    {
        return Some(Verdict::new(Health::Progressing, "Waiting for the latest generation to be observed"));
    }
    let conditions: Vec<Condition<'_>> = status_conditions(object).collect();
    by_conditions(&conditions).or_else(|| by_phase(object))
}

/// Groups of Kubernetes itself.
fn is_kubernetes(group: &str) -> bool {
    !group.contains('.')
        || group.ends_with(".k8s.io") && !group.ends_with(".x-k8s.io") && group != "gateway.networking.k8s.io"
}

fn by_conditions(conditions: &[Condition<'_>]) -> Option<Verdict> {
    let find = |kinds: &[&str], status: &str| {
        conditions.iter().find(|condition| kinds.contains(&condition.kind) && condition.status == status)
    };
    let verdict = |health, condition: &Condition<'_>| {
        let message = if condition.message.is_empty() { condition.reason } else { condition.message };
        Some(Verdict::new(health, message))
    };
    if let Some(stalled) = find(&["Stalled", "Failed", "Degraded", "Error"], "True") {
        return verdict(Health::Degraded, stalled);
    }
    if let Some(moving) = find(&["Reconciling", "Progressing"], "True") {
        // Operators leave Progressing on `True` when they are done, as Deployments do.
        if find(READY, "True").is_none() {
            return verdict(Health::Progressing, moving);
        }
    }
    if let Some(unready) = find(READY, "False") {
        let failed = is_failure(unready.reason) || is_failure(unready.message);
        return verdict(if failed { Health::Degraded } else { Health::Progressing }, unready);
    }
    if let Some(unknown) = find(READY, "Unknown") {
        return verdict(Health::Progressing, unknown);
    }
    find(READY, "True").and_then(|ready| verdict(Health::Healthy, ready))
}

/// Conditions that mean that all is well when they are true.
const READY: &[&str] = &["Ready", "Available", "Healthy", "Established", "Succeeded", "Complete", "Synced", "Accepted"];

/// Whether a text speaks of failure.
fn is_failure(text: &str) -> bool {
    ["Fail", "fail", "Error", "error", "Invalid", "invalid", "Denied"].iter().any(|word| text.contains(word))
}

fn by_phase(object: &Object) -> Option<Verdict> {
    let phase = ["/status/phase", "/status/state"]
        .into_iter()
        .map(|pointer| text(object, pointer))
        .find(|text| !text.is_empty())?;
    let message = match text(object, "/status/message") {
        "" => phase,
        message => message,
    };
    let health = match phase.to_ascii_lowercase().as_str() {
        "ready" | "running" | "active" | "available" | "healthy" | "succeeded" | "completed" | "complete" | "bound"
        | "deployed" | "synced" | "online" | "ok" => Health::Healthy,
        "failed" | "error" | "degraded" | "unhealthy" | "invalid" => Health::Degraded,
        "paused" | "suspended" | "stopped" => Health::Suspended,
        _ => Health::Progressing,
    };
    Some(Verdict::new(health, message))
}
