use serde_json::Value;
use slipway_manifest::Object;

use super::{Health, HealthStatus};

/// An Ingress: Healthy as soon as its controller has written an address.
pub(super) fn health(object: &Object) -> HealthStatus {
    let addresses = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let has = addresses.is_some_and(|addresses| !addresses.is_empty());
    HealthStatus::new(if has { Health::Healthy } else { Health::Progressing }, "")
}
