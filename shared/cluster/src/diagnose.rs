//! Gathers the evidence for why an object is not healthy: its children, events and logs.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::api::{ListParams, LogParams};
use kube::core::Request;
use serde_json::Value;
use slipway_manifest::{Object, ObjectId};

use crate::apply;
use crate::connect::Cluster;
use crate::objects::{self, ObjectRef};
use slipway_gitops::diagnose::{Cause, Diagnosis, Event, Evidence, Reason, cause};
use slipway_gitops::path;
use slipway_gitops::redactor::Redactor;

/// Children and events of one list: more rarely add a reason.
const MAX_LISTED: u32 = 200;
/// Lines of a log that are reported.
const LINES: i64 = 10;
/// Bytes of a log that are read, and the limit of a reported line.
const MAX_LOG: i64 = 16 * 1024;
const MAX_LINE: usize = 300;
/// Secrets of a pod that are read to redact its log; beyond that no log is shown.
const MAX_SECRETS: usize = 20;

/// Diagnoses why the object at `place`, last seen as `object`, is not healthy; `None` where no cause is found.
///
/// Evidence that can't be read (permissions, time) is left out: a poor diagnosis is better than a late one. Values of
/// the Secrets that the connection redacts, and of those that the pod uses, never appear.
pub async fn diagnose(cluster: &Cluster, place: &ObjectRef, object: Option<&Object>) -> Option<Diagnosis> {
    let Some(object) = object else {
        let message = "it does not exist (any more)".to_owned();
        let found = Cause { object: place.id(), reason: Reason::Gone, message, container: None };
        let event = last_event(&events(cluster, &place.namespace, &place.name).await, &found);
        return Some(Diagnosis { found, event, log: Vec::new() }.redacted(cluster.redactor()));
    };
    let mut evidence = Evidence { objects: family(cluster, object).await, events: Vec::new() };
    let names: BTreeSet<&str> = evidence.objects.iter().map(Object::name).collect();
    for name in names {
        let more = events(cluster, object.namespace(), name).await;
        evidence.events.extend(more);
    }
    let found = cause(&evidence)?;
    let event = last_event(&evidence.events, &found);
    let mut explanation = Diagnosis { found, event, log: Vec::new() };
    if let Some(container) = explanation.found.container.clone() {
        let id = explanation.found.object.clone();
        let pod = evidence.objects.iter().find(|object| object.id() == id);
        explanation.log = match secrets(cluster, &id.namespace, &pod.map(secrets_of).unwrap_or_default()).await {
            Some(secrets) => {
                let redactor = Redactor::of(&secrets);
                explanation = explanation.redacted(&redactor);
                let lines = log(cluster, &id, &container.name, container.previous).await;
                lines.iter().map(|line| printable(&cluster.redactor().redact(&redactor.redact(line)))).collect()
            }
            None => vec!["(the log is withheld: the Secrets that the pod uses can't be read)".to_owned()],
        };
    }
    Some(explanation.redacted(cluster.redactor()))
}

/// The last warning event of the found object, unless it says the same as the cause.
fn last_event(events: &[Event], found: &Cause) -> Option<Event> {
    let about = events.iter().filter(|event| event.object == found.object && event.warning);
    about.max_by_key(|event| &event.time).filter(|event| !found.message.contains(&event.message)).cloned()
}

/// The object and its children: the newest ReplicaSet of a Deployment, the pods of a workload.
async fn family(cluster: &Cluster, object: &Object) -> Vec<Object> {
    let mut family = vec![object.clone()];
    if object.group() == "apps" && object.kind() == "Deployment" {
        let sets = children(cluster, "replicasets", ("apps/v1", "ReplicaSet"), object, object).await;
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
        let mut pods = children(cluster, "pods", ("v1", "Pod"), owner, object).await;
        pods.sort_by(|a, b| a.name().cmp(b.name()));
        family.extend(pods);
    }
    family
}

/// The children of `owner`, found by the selector of `selecting`.
async fn children(
    cluster: &Cluster,
    plural: &str,
    (version, kind): (&str, &str),
    owner: &Object,
    selecting: &Object,
) -> Vec<Object> {
    let labels = selecting.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let selector: Vec<String> =
        labels.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    let params = ListParams::default().labels(&selector.join(",")).limit(MAX_LISTED);
    let Ok(path) = path::collection(version, selecting.namespace(), plural) else { return Vec::new() };
    let Ok(answer) = cluster.send(Request::new(path).list(&params)).await else { return Vec::new() };
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
        objects::object(item).ok()
    };
    items.filter(|item| is_owned(item)).filter_map(object).collect()
}

/// The events of the object `name`.
async fn events(cluster: &Cluster, namespace: &str, name: &str) -> Vec<Event> {
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    let params = ListParams::default().fields(&format!("involvedObject.name={name}")).limit(MAX_LISTED);
    let Ok(path) = path::collection("v1", namespace, "events") else { return Vec::new() };
    let Ok(answer) = cluster.send(Request::new(path).list(&params)).await else { return Vec::new() };
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
    let place = path::collection("v1", &pod.namespace, "pods").and_then(|path| Ok((path, path::segment(&pod.name)?)));
    let Ok((path, name)) = place else { return Vec::new() };
    let text = cluster.text(Request::new(path).logs(&name, &params)).await.unwrap_or_default();
    // A cut-off line may cut a Secret's value, which would then not be recognised.
    let is_cut = i64::try_from(text.len()).unwrap_or(i64::MAX) >= MAX_LOG;
    let whole = if is_cut { text.rsplit_once('\n').map_or("", |(whole, _)| whole) } else { &text };
    whole.lines().map(str::to_owned).collect()
}

/// The Secrets that a pod's containers and volumes use.
fn secrets_of(pod: &Object) -> BTreeSet<String> {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Object(fields) => {
                for (key, field) in fields {
                    // `env`, `envFrom` and projected volumes have `name`, volumes `secretName`, drivers and image pulls
                    // references.
                    let name = match key.as_str() {
                        "secretKeyRef" | "secretRef" | "secret" | "nodePublishSecretRef" => {
                            field.get("name").or_else(|| field.get("secretName"))
                        }
                        _ => None,
                    };
                    found.extend(name.and_then(Value::as_str).map(str::to_owned));
                    collect(field, found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    if let Some(spec) = pod.get("spec") {
        collect(spec, &mut found);
    }
    found
}

/// Reads the Secrets `names`; `None` where one may exist and can't be read.
async fn secrets(cluster: &Cluster, namespace: &str, names: &BTreeSet<String>) -> Option<Vec<Object>> {
    if names.len() > MAX_SECRETS {
        return None;
    }
    let resource = apply::secrets();
    let place = |name: &String| ObjectRef {
        resource: Arc::clone(&resource),
        namespace: namespace.to_owned(),
        name: name.clone(),
    };
    let places: Vec<ObjectRef> = names.iter().map(place).collect();
    let (found, failures) = objects::get_all(cluster, &places).await;
    failures.is_empty().then(|| found.into_values().collect())
}

/// Removes control characters, which a terminal or a chat might interpret.
fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').take(MAX_LINE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_secret_that_a_pod_uses_is_found() {
        let pod = Object::from_value(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
            "initContainers": [{"name": "i", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "one",
                "key": "k"}}}]}],
            "containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "two"}},
                {"configMapRef": {"name": "no"}}]}],
            "volumes": [{"name": "v", "secret": {"secretName": "three"}},
                {"name": "w", "projected": {"sources": [{"secret": {"name": "four"}},
                    {"configMap": {"name": "no"}}]}}]}}))
        .unwrap();
        assert_eq!(secrets_of(&pod).into_iter().collect::<Vec<_>>(), ["four", "one", "three", "two"]);
    }
}
