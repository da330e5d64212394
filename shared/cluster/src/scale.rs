//! Finds when a workload was scaled: `managedFields` of the scale subresource carry no time (seen on Kubernetes 1.35);
//! the event of the controller that acted on it does.

use kube::api::ListParams;
use kube::core::Request;
use serde_json::Value;
use slipway_manifest::Object;

use crate::connect::Cluster;
use slipway_gitops::path;

/// Events that are read; the last scaling is among them.
const MAX_EVENTS: u32 = 100;

/// Time of the last event about scaling `live`, as RFC 3339; `None` where there is none, or events can't be read.
pub(crate) async fn scaled_at(cluster: &Cluster, live: &Object) -> Option<String> {
    let uid = live.pointer("/metadata/uid")?.as_str()?;
    let fields = format!("involvedObject.uid={uid}");
    let params = ListParams::default().fields(&fields).limit(MAX_EVENTS);
    let request = Request::new(path::collection("v1", live.namespace(), "events").ok()?).list(&params);
    latest(&cluster.send(request).await.ok()?.body)
}

/// The latest time among scaling events. Pure.
fn latest(events: &Value) -> Option<String> {
    let items = events.get("items").and_then(Value::as_array)?.iter();
    let scaling = items.filter(|event| {
        let reason = event.get("reason").and_then(Value::as_str).unwrap_or_default();
        // A Deployment scales a ReplicaSet; other workloads create and delete pods themselves.
        matches!(reason, "ScalingReplicaSet" | "SuccessfulCreate" | "SuccessfulDelete")
    });
    let time = |event: &Value| {
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        text("lastTimestamp").or_else(|| text("eventTime"))
    };
    scaling.filter_map(time).max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_latest_scaling_counts() {
        let events = json!({"items": [
            {"reason": "ScalingReplicaSet", "lastTimestamp": "2026-11-21T10:00:00Z"},
            {"reason": "ScalingReplicaSet", "lastTimestamp": null, "eventTime": "2026-11-21T11:00:00.000000Z"},
            {"reason": "FailedMount", "lastTimestamp": "2026-11-21T12:00:00Z"}]});
        assert_eq!(latest(&events).as_deref(), Some("2026-11-21T11:00:00.000000Z"));
        assert_eq!(latest(&json!({"items": []})), None);
    }
}
