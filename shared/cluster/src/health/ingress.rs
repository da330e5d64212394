use serde_json::Value;
use slipway_manifest::Object;

use super::{Health, Verdict};

/// An Ingress: well as soon as its controller has written an address.
pub(super) fn health(object: &Object) -> Verdict {
    let addresses = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let has = addresses.is_some_and(|addresses| !addresses.is_empty());
    Verdict::new(if has { Health::Healthy } else { Health::Progressing }, "")
}
