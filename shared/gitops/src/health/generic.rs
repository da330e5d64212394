//! Judges the kinds that have no rule of their own by the conventions that controllers share: pause,
//! observedGeneration, conditions, phase.
//!
//! After kubernetes-sigs/cli-utils `pkg/kstatus/status/generic.go`; the kinds for which Argo CD has a check stand in
//! the table.

use serde_json::Value;
use slipway_manifest::Object;

use super::{Condition, Health, HealthStatus, conditions, number, status_conditions, table, text};

/// Conditions that sum up all others.
const READY: [&str; 6] = ["Ready", "Available", "Healthy", "Established", "Succeeded", "Complete"];

/// Judges by the table, or else by what the status says; `None` where it says nothing, since many kinds never have a
/// status, and for Kubernetes' own kinds, which have their own rules or none.
pub fn of(object: &Object) -> Option<HealthStatus> {
    if let Some(verdict) = table::of(object) {
        return Some(verdict);
    }
    if is_kubernetes(object.group()) {
        return None;
    }
    let is_on = |pointer| object.pointer(pointer).and_then(Value::as_bool).unwrap_or_default();
    if is_on("/spec/suspend") || is_on("/spec/paused") {
        return Some(HealthStatus::new(Health::Suspended, "Suspended"));
    }
    let status = object.get("status")?;
    if is_stale(object) {
        return Some(HealthStatus::new(Health::Progressing, "Waiting for the latest generation to be observed"));
    }
    let conditions: Vec<Condition<'_>> = all_conditions(object).collect();
    let verdict = match (by_conditions(&conditions), by_phase(object)) {
        // A phase `Failed` or `Paused` outweighs an older condition.
        (Some(verdict), Some(phase)) if phase.health == Health::Suspended || verdict.health < phase.health => {
            Some(phase)
        }
        (verdict, phase) => verdict.or(phase),
    };
    verdict.or_else(|| by_flag(status)).or_else(|| by_replicas(object))
}

/// Whether the status, or every condition, is of an earlier generation. Some controllers write 0 or -1 where they do
/// not count.
fn is_stale(object: &Object) -> bool {
    let observed = number(object, "/status/observedGeneration", 0);
    let is_old = observed > 0 && observed < number(object, "/metadata/generation", 0);
    is_old || every_condition(object).next().is_some() && all_conditions(object).next().is_none()
}

/// All conditions, wherever they stand, but for those of an earlier generation; not all controllers keep theirs up
/// where the status as a whole says that it is of this one.
fn all_conditions(object: &Object) -> impl Iterator<Item = Condition<'_>> {
    let now = number(object, "/metadata/generation", 0);
    let is_observed = number(object, "/status/observedGeneration", -1) >= now;
    every_condition(object)
        .filter(move |condition| is_observed || condition.generation == 0 || condition.generation >= now)
}

fn every_condition(object: &Object) -> impl Iterator<Item = Condition<'_>> {
    object.get("status").into_iter().flat_map(|status| status_conditions(object).chain(nested_conditions(status)))
}

/// Conditions that stand one level deeper: a route's parents, a gateway's listeners, a policy's ancestors.
fn nested_conditions(status: &Value) -> impl Iterator<Item = Condition<'_>> {
    let lists = ["parents", "ancestors", "listeners"].into_iter().filter_map(|key| status.get(key)?.as_array());
    lists.flatten().flat_map(|item| conditions(item.get("conditions")))
}

/// By a boolean field.
fn by_flag(status: &Value) -> Option<HealthStatus> {
    let flag = |key: &str| status.get(key).and_then(Value::as_bool);
    let verdict = |health| Some(HealthStatus::new(health, ""));
    match (flag("healthy"), flag("ready").or_else(|| flag("readyToUse"))) {
        (Some(true), _) | (None, Some(true)) => verdict(Health::Healthy),
        (Some(false), _) => verdict(Health::Degraded),
        (None, Some(false)) if status.get("error").is_some_and(Value::is_object) => verdict(Health::Degraded),
        (None, Some(false)) => verdict(Health::Progressing),
        (None, None) => None,
    }
}

/// By the number of replicas, where the status counts them.
fn by_replicas(object: &Object) -> Option<HealthStatus> {
    let ready = object.pointer("/status/readyReplicas")?.as_i64()?;
    let wanted = number(object, "/spec/replicas", number(object, "/status/replicas", 0));
    let message = format!("{ready} of {wanted} replicas are ready");
    Some(HealthStatus::new(if ready < wanted { Health::Progressing } else { Health::Healthy }, message))
}

/// Whether the group is Kubernetes' own.
fn is_kubernetes(group: &str) -> bool {
    const OWN: [&str; 16] = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    !group.contains('.') || OWN.contains(&group)
}

fn by_conditions(all: &[Condition<'_>]) -> Option<HealthStatus> {
    let verdict = |health, condition: &Condition<'_>| {
        let message = if condition.message.is_empty() { condition.reason } else { condition.message };
        Some(HealthStatus::new(health, message))
    };
    let find = |matches: &dyn Fn(&str) -> bool, status: &str| {
        all.iter().find(|condition| matches(condition.kind) && condition.status == status)
    };
    if let Some(paused) = find(&|kind| matches!(kind, "Paused" | "Suspended" | "Stopped" | "Waiting"), "True") {
        return verdict(Health::Suspended, paused);
    }
    if let Some(failed) = find(&is_bad, "True") {
        return verdict(Health::Degraded, failed);
    }
    let is_ready = |kind: &str| READY.contains(&kind);
    let refused =
        all.iter().find(|c| is_good(c.kind) && c.status == "False" && by_word(c.reason) == Some(Health::Degraded));
    if let Some(refused) = refused {
        return verdict(Health::Degraded, refused);
    }
    let summed_up = find(&is_ready, "True");
    if let Some(moving) = find(&|kind| matches!(kind, "Reconciling" | "Progressing"), "True")
        // Operators leave Progressing on `True` when they are done, as Deployments do.
        && summed_up.is_none()
    {
        let failed = moving.reason == "ProgressingWithRetry";
        return verdict(if failed { Health::Degraded } else { Health::Progressing }, moving);
    }
    let is_good = |kind: &str| is_ready(kind) || is_good(kind);
    if let Some(unready) = find(&is_ready, "False")
        .or_else(|| find(&is_good, "False").filter(|_| summed_up.is_none_or(|c| c.kind != "Ready")))
    {
        let failed = by_word(unready.reason) == Some(Health::Degraded) || says_failure(unready.message);
        return verdict(if failed { Health::Degraded } else { Health::Progressing }, unready);
    }
    if let Some(unknown) = find(&is_good, "Unknown") {
        return verdict(Health::Progressing, unknown);
    }
    summed_up.or_else(|| find(&is_good, "True")).and_then(|good| verdict(Health::Healthy, good))
}

/// Whether a condition of this type means trouble when it is true.
fn is_bad(kind: &str) -> bool {
    kind == "NotReady"
        || ["Stalled", "Degraded"].contains(&kind)
        || ["Fail", "Error", "Invalid", "Unhealthy", "Mismatch"].iter().any(|word| kind.contains(word))
}

/// Whether a condition of this type means that a part is healthy when it is true.
fn is_good(kind: &str) -> bool {
    const ENDS: [&str; 21] = [
        "Ready",
        "Healthy",
        "Available",
        "Synced",
        "Synchronized",
        "Deployed",
        "Success",
        "Applied",
        "Valid",
        "Configured",
        "UpToDate",
        "Compliant",
        "Discoverable",
        "Advertised",
        "Adopted",
        "Programmed",
        "Accepted",
        "ResolvedRefs",
        "Installed",
        "Normal",
        "Admitted",
    ];
    !is_bad(kind) && ENDS.iter().any(|end| kind.ends_with(end))
}

/// Whether a message reports a failure.
fn says_failure(text: &str) -> bool {
    ["fail", "Fail", "error", "Error", "invalid", "Invalid", "denied"].iter().any(|word| text.contains(word))
}

fn by_phase(object: &Object) -> Option<HealthStatus> {
    const FIELDS: [&str; 8] =
        ["phase", "state", "status", "health", "currentState", "currentStatus", "printableStatus", "stage"];
    let status = object.get("status")?;
    let word = FIELDS.iter().filter_map(|field| status.get(field)?.as_str()).find(|word| !word.is_empty())?;
    let message =
        [text(object, "/status/message"), text(object, "/status/reason")].into_iter().find(|text| !text.is_empty());
    Some(HealthStatus::new(by_word(word).unwrap_or(Health::Progressing), message.unwrap_or(word)))
}

/// The health that the word for a state, or for a reason, stands for.
fn by_word(word: &str) -> Option<Health> {
    let word = word.to_ascii_lowercase();
    let contains = |words: &[&str]| words.iter().any(|part| word.contains(part));
    if contains(&[
        "fail",
        "error",
        "degraded",
        "unhealthy",
        "invalid",
        "rejected",
        "warning",
        "denied",
        "exceeded",
        "unreachable",
        "aborted",
        "canceled",
    ]) || word == "red"
    {
        return Some(Health::Degraded);
    }
    Some(match word.as_str() {
        "ready" | "running" | "active" | "available" | "healthy" | "succeeded" | "success" | "completed"
        | "complete" | "bound" | "deployed" | "synced" | "online" | "ok" | "green" | "accepted" | "exists"
        | "valid" | "installed" | "created" | "initialized" | "atlatestknown" | "compliant" | "successful" => {
            Health::Healthy
        }
        "paused" | "suspended" | "stopped" | "hibernated" | "hibernating" => Health::Suspended,
        "unknown" | "inconclusive" => Health::Unknown,
        "notfound" => Health::Missing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_manifest::Object;

    use super::{Health, of};

    #[test]
    fn trusts_the_status_before_its_conditions_about_the_generation() {
        let health = |observed: i64| {
            let status = json!({
                "observedGeneration": observed,
                "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}],
            });
            let object = json!({
                "apiVersion": "harbour.example/v1",
                "kind": "Crane",
                "metadata": {"name": "north", "generation": 2},
                "status": status,
            });
            Object::from_value(object).ok().and_then(|object| of(&object)).map(|verdict| verdict.health)
        };
        assert_eq!(health(2), Some(Health::Healthy));
        assert_eq!(health(1), Some(Health::Progressing));
        assert_eq!(health(0), Some(Health::Progressing));
    }
}
