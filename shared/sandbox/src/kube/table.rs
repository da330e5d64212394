//! Objects as `kubectl get` prints them (kubernetes/kubernetes `pkg/printers/internalversion`): the columns of the
//! kinds that a deployment looks at; name and age for all others.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::schema::Kind;

/// A `Table` of these objects.
pub(super) fn table(kind: &Kind, objects: &[&Value], list_metadata: &Value, whole: bool, now: Timestamp) -> Value {
    let columns = columns(kind);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|name| {
            let format = if *name == "Name" { "name" } else { "" };
            let number = matches!(*name, "Up-to-date" | "Available" | "Data" | "Desired" | "Current" | "Restarts");
            let kind = if number { "integer" } else { "string" };
            json!({"name": name, "type": kind, "format": format, "description": "", "priority": 0})
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Value> = columns.iter().map(|column| cell(column, object, now)).collect();
            json!({"cells": cells, "object": if whole { (*object).clone() } else { metadata_only(object) }})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata,
        "columnDefinitions": definitions, "rows": rows})
}

/// The object as `PartialObjectMetadata`.
pub(super) fn metadata_only(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata")})
}

fn columns(kind: &Kind) -> Vec<&'static str> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => vec!["Name", "Ready", "Up-to-date", "Available", "Age"],
        ("apps", "StatefulSet") => vec!["Name", "Ready", "Age"],
        ("apps", "ReplicaSet") => vec!["Name", "Desired", "Current", "Ready", "Age"],
        ("", "Pod") => vec!["Name", "Ready", "Status", "Restarts", "Age"],
        ("", "Service") => vec!["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"],
        ("", "ConfigMap") => vec!["Name", "Data", "Age"],
        ("", "Secret") => vec!["Name", "Type", "Data", "Age"],
        ("", "Namespace") => vec!["Name", "Status", "Age"],
        ("networking.k8s.io", "Ingress") => vec!["Name", "Class", "Hosts", "Address", "Ports", "Age"],
        _ => vec!["Name", "Age"],
    }
}

fn cell(column: &str, object: &Value, now: Timestamp) -> Value {
    let at = |pointer: &str| object.pointer(pointer).cloned().filter(|value| !value.is_null());
    let number = |pointer: &str| at(pointer).unwrap_or_else(|| json!(0));
    let is = |kind: &str| object.get("kind").and_then(Value::as_str) == Some(kind);
    let items = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let joined = |values: Vec<String>| json!(if values.is_empty() { "<none>".to_owned() } else { values.join(",") });
    match column {
        "Name" => at("/metadata/name").unwrap_or_default(),
        "Age" => json!(age(at("/metadata/creationTimestamp").and_then(|time| time.as_str()?.parse().ok()), now)),
        "Ready" if is("Pod") => {
            let statuses = items("/status/containerStatuses");
            let ready = statuses.iter().filter(|status| status.get("ready") == Some(&json!(true))).count();
            json!(format!("{ready}/{}", items("/spec/containers").len()))
        }
        "Ready" if is("ReplicaSet") => number("/status/readyReplicas"),
        "Ready" => json!(format!("{}/{}", number("/status/readyReplicas"), number("/spec/replicas"))),
        "Up-to-date" => number("/status/updatedReplicas"),
        "Available" => number("/status/availableReplicas"),
        "Desired" => number("/spec/replicas"),
        "Current" => number("/status/replicas"),
        "Restarts" => json!(0),
        "Status" => at("/status/phase").unwrap_or_else(|| json!("Unknown")),
        "Type" => at("/spec/type").or_else(|| at("/type")).unwrap_or_default(),
        "Cluster-IP" => at("/spec/clusterIP").unwrap_or_else(|| json!("<none>")),
        "External-IP" => json!("<none>"),
        "Port(s)" => joined(
            items("/spec/ports")
                .iter()
                .map(|port| {
                    let text = |name: &str| {
                        port.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    };
                    let node = text("nodePort").map(|node| format!(":{node}")).unwrap_or_default();
                    format!("{}{node}/{}", text("port").unwrap_or_default(), text("protocol").unwrap_or_default())
                })
                .collect(),
        ),
        "Data" => json!(
            ["/data", "/binaryData"]
                .iter()
                .filter_map(|pointer| object.pointer(pointer)?.as_object())
                .map(serde_json::Map::len)
                .sum::<usize>()
        ),
        "Class" => at("/spec/ingressClassName").unwrap_or_else(|| json!("<none>")),
        "Hosts" => {
            let hosts: Vec<String> =
                items("/spec/rules").iter().filter_map(|rule| Some(rule.get("host")?.as_str()?.to_owned())).collect();
            if hosts.is_empty() { json!("*") } else { joined(hosts) }
        }
        "Ports" => json!(if items("/spec/tls").is_empty() { "80" } else { "80, 443" }),
        _ => json!(""),
    }
}

/// How long ago, as `kubectl` writes it: two units at most (k8s.io/apimachinery `pkg/util/duration`, shortened).
fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else { return "<unknown>".into() };
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}
