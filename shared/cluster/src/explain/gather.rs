//! Reads what belongs to an object that does not come right.

use std::collections::BTreeSet;

use kube::api::{ListParams, LogParams};
use kube::core::Request;
use serde_json::Value;
use slipway_manifest::{Object, ObjectId};

use super::{Event, Evidence, Explanation, Found, Reason, cause};
use crate::connect::Cluster;
use crate::live::{self, Place};
use crate::mask;

/// The most children and events looked at.
const MAX_LISTED: u32 = 200;
/// Lines of a log that are told.
const LINES: i64 = 10;
/// The most of a log that is read, and of a line that is told.
const MAX_LOG: i64 = 16 * 1024;
const MAX_LINE: usize = 300;

/// Why the object at `place`, last seen as `object`, is not there yet; `None` where nothing is found to be wrong.
///
/// What can't be read (rights, time) is passed over: an explanation is better poor than late. Lines of a log that hold a value of one of
/// `secrets`, the application's own Secrets, are withheld.
pub async fn explain(
    cluster: &Cluster,
    place: &Place,
    object: Option<&Object>,
    secrets: &[&Object],
) -> Option<Explanation> {
    let Some(object) = object else {
        let message = "it does not exist (any more)".to_owned();
        let found = Found { object: place.id(), reason: Reason::Gone, message, container: None };
        let event = last_event(&events(cluster, &place.namespace, &place.name).await, &found);
        return Some(Explanation { found, event, log: Vec::new() });
    };
    let mut evidence = Evidence { objects: family(cluster, object).await, events: Vec::new() };
    let names: BTreeSet<&str> = evidence.objects.iter().map(Object::name).collect();
    for name in names {
        let more = events(cluster, object.namespace(), name).await;
        evidence.events.extend(more);
    }
    let found = cause(&evidence)?;
    let log = match &found.container {
        Some(container) => {
            let lines = log(cluster, &found.object, &container.name, container.previous).await;
            lines.into_iter().map(|line| shown(&line, secrets)).collect()
        }
        None => Vec::new(),
    };
    let event = last_event(&evidence.events, &found);
    Some(Explanation { found, event, log })
}

/// The last warning about the object found, unless it says the same.
fn last_event(events: &[Event], found: &Found) -> Option<Event> {
    let about = events.iter().filter(|event| event.object == found.object && event.warning);
    about.max_by_key(|event| &event.time).filter(|event| !found.message.contains(&event.message)).cloned()
}

/// The object and what it made: the newest ReplicaSet of a Deployment, the pods of a workload.
async fn family(cluster: &Cluster, object: &Object) -> Vec<Object> {
    let mut family = vec![object.clone()];
    if object.group() == "apps" && object.kind() == "Deployment" {
        let sets = children(cluster, "/apis/apps/v1", "replicasets", ("apps/v1", "ReplicaSet"), object, object).await;
        let number = |set: &Object| {
            let revision = set.annotation("deployment.kubernetes.io/revision");
            revision.and_then(|revision| revision.parse::<u64>().ok()).unwrap_or_default()
        };
        family.extend(sets.into_iter().max_by_key(number));
    }
    let owns_pods = matches!(
        (object.group(), object.kind()),
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") | ("batch", "Job")
    );
    if let Some(owner) = family.last().filter(|_| owns_pods) {
        let mut pods = children(cluster, "/api/v1", "pods", ("v1", "Pod"), owner, object).await;
        pods.sort_by(|a, b| a.name().cmp(b.name()));
        family.extend(pods);
    }
    family
}

/// What `owner` made, found by the selector of `selecting`.
async fn children(
    cluster: &Cluster,
    api: &str,
    plural: &str,
    (version, kind): (&str, &str),
    owner: &Object,
    selecting: &Object,
) -> Vec<Object> {
    let labels = selecting.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let selector: Vec<String> =
        labels.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    let params = ListParams::default().labels(&selector.join(",")).limit(MAX_LISTED);
    let request = Request::new(format!("{api}/namespaces/{}/{plural}", selecting.namespace())).list(&params);
    let Ok(answer) = cluster.send(request).await else { return Vec::new() };
    let uid = owner.pointer("/metadata/uid");
    let is_owned = |item: &Value| {
        let owners = item.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.into_iter().flatten().any(|owner| owner.get("uid") == uid)
    };
    let items = answer.body.get("items").and_then(Value::as_array).into_iter().flatten();
    let object = |item: &Value| {
        let mut item = item.clone();
        let fields = item.as_object_mut()?;
        fields.insert("apiVersion".to_owned(), version.into());
        fields.insert("kind".to_owned(), kind.into());
        live::object(item).ok()
    };
    items.filter(|item| is_owned(item)).filter_map(object).collect()
}

/// The events about what is called `name`.
async fn events(cluster: &Cluster, namespace: &str, name: &str) -> Vec<Event> {
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    let params = ListParams::default().fields(&format!("involvedObject.name={name}")).limit(MAX_LISTED);
    let request = Request::new(format!("/api/v1/namespaces/{namespace}/events")).list(&params);
    let Ok(answer) = cluster.send(request).await else { return Vec::new() };
    let items = answer.body.get("items").and_then(Value::as_array);
    items.into_iter().flatten().map(event).collect()
}

fn event(value: &Value) -> Event {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = text("/involvedObject/apiVersion");
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let last = text("/lastTimestamp");
    Event {
        object: ObjectId::new(
            group,
            text("/involvedObject/kind"),
            text("/involvedObject/namespace"),
            text("/involvedObject/name"),
        ),
        reason: text("/reason"),
        message: text("/message"),
        warning: text("/type") == "Warning",
        time: if last.is_empty() { text("/eventTime") } else { last },
    }
}

/// The last lines of a container's log.
async fn log(cluster: &Cluster, pod: &ObjectId, container: &str, previous: bool) -> Vec<String> {
    let params = LogParams {
        container: Some(container.to_owned()),
        previous,
        tail_lines: Some(LINES),
        limit_bytes: Some(MAX_LOG),
        ..LogParams::default()
    };
    let request = Request::new(format!("/api/v1/namespaces/{}/pods", pod.namespace)).logs(&pod.name, &params);
    cluster.text(request).await.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A line as it may be shown: printable, not too long, without what is secret.
fn shown(line: &str, secrets: &[&Object]) -> String {
    if secrets.iter().any(|secret| mask::values(secret).iter().any(|value| line.contains(value.as_str()))) {
        return "(a line that holds a value of a Secret is withheld)".to_owned();
    }
    line.chars().filter(|c| !c.is_control() || *c == '\t').take(MAX_LINE).collect()
}
