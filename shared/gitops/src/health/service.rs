use serde_json::Value;
use slipway_manifest::Object;

use super::{Health, HealthStatus, text};

/// A Service: only a load balancer has to wait for an address.
pub(super) fn health(object: &Object) -> HealthStatus {
    let addresses = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let waits = text(object, "/spec/type") == "LoadBalancer" && addresses.is_none_or(Vec::is_empty);
    HealthStatus::new(if waits { Health::Progressing } else { Health::Healthy }, "")
}
