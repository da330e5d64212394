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

/// Time of the last event about scaling `live` from `before` replicas, as RFC 3339; `None` where there is none, or
/// events can't be read.
pub(crate) async fn scaled_at(cluster: &Cluster, live: &Object, before: Option<&Value>) -> Option<String> {
    let uid = live.pointer("/metadata/uid")?.as_str()?;
    let fields = format!("involvedObject.uid={uid}");
    let params = ListParams::default().fields(&fields).limit(MAX_EVENTS);
    let request = Request::new(path::collection("v1", live.namespace(), "events").ok()?).list(&params);
    let replicas = [before.and_then(Value::as_u64), live.pointer("/spec/replicas").and_then(Value::as_u64)];
    latest(&cluster.send(request).await.ok()?.body, replicas)
}

/// What a Deployment did to a ReplicaSet, and when.
struct Scaling<'a> {
    set: &'a str,
    from: Option<u64>,
    to: Option<u64>,
    at: &'a str,
}

impl<'a> Scaling<'a> {
    /// Reads `Scaled up replica set web-5d from 1 to 3`; Kubernetes before 1.30 has no `from`.
    fn of(event: &'a Value) -> Option<Self> {
        let message = event.get("message").and_then(Value::as_str).unwrap_or_default();
        let after = |word: &str| message.split_whitespace().skip_while(|found| *found != word).nth(1);
        let number = |word: &str| after(word).and_then(|text| text.parse().ok());
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let at = text("lastTimestamp").or_else(|| text("eventTime"))?;
        Some(Self { set: after("set").unwrap_or_default(), from: number("from"), to: number("to"), at })
    }
}

/// All that a Deployment did to its ReplicaSets. Times are full seconds.
struct Scalings<'a>(Vec<Scaling<'a>>);

impl<'a> Scalings<'a> {
    /// What happened until `one` to other ReplicaSets that were there before.
    fn earlier(&self, one: &Scaling<'a>) -> Vec<&Scaling<'a>> {
        let is_new = |set: &str| self.0.iter().any(|o| o.set == set && o.from == Some(0) && o.at >= one.at);
        self.0.iter().filter(|other| other.set != one.set && other.at <= one.at && !is_new(other.set)).collect()
    }

    /// Whether one ReplicaSet grows or goes beside another that still has pods.
    fn is_rollout(&self, one: &Scaling<'a>) -> bool {
        let earlier = self.earlier(one);
        earlier.iter().any(|other| {
            let is_last =
                || !earlier.iter().any(|next| next.set == other.set && next.at > other.at && next.at < one.at);
            if other.at == one.at { other.from > Some(0) } else { other.to > Some(0) && is_last() }
        })
    }

    /// Whether it is the first of all: what was scaled before its controller came to it had no other number.
    fn is_first(&self, one: &Scaling<'a>) -> bool {
        one.from == Some(0) && self.earlier(one).is_empty()
    }
}

/// The latest time among scaling events that lead from the first to the second number of `replicas`. Those of a
/// rollout are none. Pure.
fn latest(events: &Value, [before, now]: [Option<u64>; 2]) -> Option<String> {
    let items = events.get("items").and_then(Value::as_array)?;
    let of_reason = |reasons: &'static [&str]| {
        let reason = |event: &Value| event.get("reason").and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
        items.iter().filter(move |event| reasons.contains(&reason(event).as_str())).filter_map(Scaling::of)
    };
    let scalings = Scalings(of_reason(&["ScalingReplicaSet"]).collect());
    let agrees = |wanted: Option<u64>, found: Option<u64>| wanted.is_none() || found.is_none() || wanted == found;
    let fits = |one: &&Scaling<'_>| {
        agrees(now, one.to) && (agrees(before, one.from) || scalings.is_first(one)) && !scalings.is_rollout(one)
    };
    // Other workloads create and delete pods themselves.
    let pods = of_reason(&["SuccessfulCreate", "SuccessfulDelete"]);
    scalings.0.iter().filter(fits).map(|one| one.at).chain(pods.map(|one| one.at)).max().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scaled(set: &str, from: u64, to: u64, minute: u64) -> Value {
        json!({"reason": "ScalingReplicaSet", "lastTimestamp": format!("2026-11-21T10:{minute:02}:00Z"),
            "message": format!("Scaled up replica set {set} from {from} to {to}")})
    }

    #[test]
    fn the_latest_scaling_counts() {
        let events = json!({"items": [
            {"reason": "ScalingReplicaSet", "lastTimestamp": "2026-11-21T10:00:00Z"},
            {"reason": "ScalingReplicaSet", "lastTimestamp": null, "eventTime": "2026-11-21T11:00:00.000000Z"},
            {"reason": "FailedMount", "lastTimestamp": "2026-11-21T12:00:00Z"}]});
        let any = [None, None];
        assert_eq!(latest(&events, any).as_deref(), Some("2026-11-21T11:00:00.000000Z"));
        assert_eq!(latest(&json!({"items": []}), any), None);
    }

    #[test]
    fn the_steps_of_a_rollout_are_no_scaling() {
        let at = |events: &[Value], replicas: [u64; 2]| {
            latest(&json!({ "items": events }), replicas.map(Some))
                .map(|time| time.chars().skip(14).take(2).collect::<String>())
        };
        let by_hand = [scaled("a", 0, 1, 0), scaled("a", 1, 2, 5)];
        assert_eq!(at(&by_hand, [1, 2]).as_deref(), Some("05"));
        // Another image, afterwards: the new ReplicaSet grows to the same number.
        let rollout = [scaled("b", 0, 1, 8), scaled("a", 2, 1, 8), scaled("b", 1, 2, 9), scaled("a", 1, 0, 9)];
        assert_eq!(at(&[&by_hand[..], &rollout].concat(), [1, 2]).as_deref(), Some("05"));
        // And one more.
        let more = [scaled("c", 0, 1, 18), scaled("b", 2, 1, 18), scaled("c", 1, 2, 19), scaled("b", 1, 0, 19)];
        assert_eq!(at(&[&by_hand[..], &rollout, &more].concat(), [1, 2]).as_deref(), Some("05"));
        // Before the controller saw the first number.
        assert_eq!(
            at(&[scaled("a", 0, 2, 3), scaled("b", 0, 1, 4), scaled("b", 1, 2, 4)], [1, 2]).as_deref(),
            Some("03")
        );
        // All of it within a second.
        let at_once = [scaled("b", 0, 1, 5), scaled("a", 2, 1, 5), scaled("b", 1, 2, 5), scaled("a", 1, 0, 5)];
        assert_eq!(at(&[&by_hand[..], &at_once].concat(), [1, 2]).as_deref(), Some("05"));
        // A rollout alone, done and half done, and a scaling after it.
        assert_eq!(at(&rollout, [1, 2]), None);
        assert_eq!(at(&[&by_hand[..], &rollout[..3]].concat(), [1, 2]).as_deref(), Some("05"));
        assert_eq!(at(&[&rollout[..], &[scaled("b", 2, 3, 30)]].concat(), [2, 3]).as_deref(), Some("30"));
    }
}
