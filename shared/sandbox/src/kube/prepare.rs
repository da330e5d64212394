//! What happens to an object between its defaults and the store: identity, generation, the status that its writers
//! may not touch, addresses of services (kubernetes/kubernetes `pkg/registry/*/strategy.go`).

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::canonical;
use super::schema::{Kind, built_in};
use super::selector::Selector;
use super::store::{Filter, Store};
use super::typed::put_at;
use crate::forge::guid;

/// The first and the last port of those that NodePort services get.
const NODE_PORTS: (i64, i64) = (30_000, 32_767);

/// Counts the templates of a DaemonSet: an old field of the internal type.
pub(super) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// What keeps a claim that a pod still uses; admission adds it.
pub(super) const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// What keeps a volume that a claim still uses.
pub(super) const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";

fn metadata(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("metadata").and_then(Value::as_object_mut)
}

/// Whether the API server counts the changes of this kind.
fn has_generation(kind: &Kind) -> bool {
    match kind.group.as_str() {
        "" => matches!(kind.kind.as_str(), "Pod" | "ReplicationController" | "PodTemplate"),
        "apps" => kind.kind != "ControllerRevision",
        "rbac.authorization.k8s.io" | "coordination.k8s.io" | "storage.k8s.io" | "node.k8s.io" | "autoscaling" => false,
        _ => true,
    }
}

/// Turns `stringData` of a Secret into `data`.
pub(super) fn decode_secret(kind: &Kind, object: &mut Value) {
    if !kind.is("", "Secret") {
        return;
    }
    let Some(map) = object.as_object_mut() else { return };
    let Some(Value::Object(plain)) = map.shift_remove("stringData") else { return };
    let data = map.entry("data").or_insert_with(|| json!({}));
    if let Some(data) = data.as_object_mut() {
        for (name, value) in plain {
            data.insert(name, json!(STANDARD.encode(value.as_str().unwrap_or_default())));
        }
        data.sort_keys();
    }
}

/// Makes a new object ready for the store.
pub(super) fn create(store: &Store, kind: &Kind, object: &mut Value, now: &str) {
    let uid = guid(&format!("{}{}", now, store.version()));
    if let Some(metadata) = metadata(object) {
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("creationTimestamp".into(), json!(now));
        for name in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
            metadata.shift_remove(name);
        }
        if has_generation(kind) {
            metadata.insert("generation".into(), json!(1));
        }
    }
    if kind.has_status()
        && let Some(map) = object.as_object_mut()
    {
        map.shift_remove("status");
        let status = built_in().field_type(&kind.root, "status");
        if built_in().structure(&kind.root).is_some_and(|root| root.field("status").is_some()) {
            map.insert("status".into(), canonical::zero(built_in(), &status));
        }
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => {
            put_at(object, &["spec", "finalizers"], json!(["kubernetes"]));
            put_at(object, &["status", "phase"], json!("Active"));
        }
        ("", "Pod") => pod(object),
        ("", "PersistentVolumeClaim" | "PersistentVolume") => {
            put_at(object, &["status", "phase"], json!("Pending"));
            let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
            let mut finalizers = finalizers.cloned().unwrap_or_default();
            finalizers.push(json!(if kind.kind == "PersistentVolume" { VOLUME_PROTECTION } else { CLAIM_PROTECTION }));
            put_at(object, &["metadata", "finalizers"], Value::Array(finalizers));
        }
        ("", "Service") => service(store, object, None),
        ("batch", "Job") => job(object, &uid),
        ("apps", "DaemonSet") => put_at(object, &["metadata", "annotations", TEMPLATE_GENERATION], json!("1")),
        _ => {}
    }
}

/// Makes an object ready to take the place of `old`. A write of the object itself leaves its status alone.
pub(super) fn update(store: &Store, kind: &Kind, object: &mut Value, old: &Value) {
    if kind.is("", "Service") {
        service(store, object, Some(old));
    }
    if kind.has_status()
        && let Some(map) = object.as_object_mut()
    {
        map.shift_remove("status");
        if let Some(status) = old.get("status") {
            map.insert("status".into(), status.clone());
        }
    }
    keep_identity(object, old);
    if kind.is("apps", "DaemonSet") {
        let pointer = "/metadata/annotations/deprecated.daemonset.template.generation";
        let count = old.pointer(pointer).and_then(|count| count.as_str()?.parse::<i64>().ok()).unwrap_or(1);
        let changed = object.pointer("/spec/template") != old.pointer("/spec/template");
        put_at(
            object,
            &["metadata", "annotations", TEMPLATE_GENERATION],
            json!((count + i64::from(changed)).to_string()),
        );
    }
    if has_generation(kind) && changes_generation(kind, object, old) {
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        if let Some(metadata) = metadata(object) {
            metadata.insert("generation".into(), json!(generation + 1));
        }
    }
}

/// Makes a write of the status ready: everything but the status and the annotations stays.
pub(super) fn update_status(kind: &Kind, object: &mut Value, old: &Value) {
    let (status, metadata_new) = (object.get("status").cloned(), object.get("metadata").cloned().unwrap_or_default());
    *object = old.clone();
    if let (Some(map), Some(status)) = (object.as_object_mut(), status) {
        map.insert("status".into(), status);
    }
    if let Some(metadata) = metadata(object) {
        for name in ["annotations", "managedFields"] {
            // A custom resource's status changes nothing but the status.
            if name == "annotations" && !built_in().kinds.iter().any(|known| known.resource() == kind.resource()) {
                continue;
            }
            match metadata_new.get(name) {
                Some(value) => metadata.insert(name.into(), value.clone()),
                None => metadata.shift_remove(name),
            };
        }
    }
}

fn keep_identity(object: &mut Value, old: &Value) {
    let Some(metadata) = metadata(object) else { return };
    for name in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "generateName",
    ] {
        match old.pointer(&format!("/metadata/{name}")) {
            Some(value) => metadata.insert(name.into(), value.clone()),
            None => metadata.shift_remove(name),
        };
    }
}

fn changes_generation(kind: &Kind, object: &Value, old: &Value) -> bool {
    let differs = |pointer: &str| object.pointer(pointer) != old.pointer(pointer);
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => differs("/spec") || differs("/metadata/annotations"),
        ("scheduling.k8s.io", _) => false,
        ("discovery.k8s.io", _) => {
            let labels = differs("/metadata/labels") || differs("/metadata/annotations");
            labels || differs("/endpoints") || differs("/ports")
        }
        _ => {
            let rest = |value: &Value| {
                let mut map = value.as_object().cloned().unwrap_or_default();
                for name in ["metadata", "status"] {
                    map.shift_remove(name);
                }
                map
            };
            rest(object) != rest(old)
        }
    }
}

/// What admission adds to a pod: priority and tolerations; and the first status.
fn pod(object: &mut Value) {
    put_at(object, &["spec", "priority"], json!(0));
    put_at(object, &["spec", "preemptionPolicy"], json!("PreemptLowerPriority"));
    let mut tolerations = object.pointer("/spec/tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let is_tolerated = |known: &Value| known.get("key").is_none_or(|known| known == key);
        if !tolerations.iter().any(is_tolerated) {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    put_at(object, &["spec", "tolerations"], Value::Array(tolerations));
    put_at(object, &["status", "phase"], json!("Pending"));
    let quality = quality(object);
    put_at(object, &["status", "qosClass"], json!(quality));
}

/// The quality-of-service class of a pod (`pkg/apis/core/v1/helper/qos`).
fn quality(pod: &Value) -> &'static str {
    let containers = ["/spec/containers", "/spec/initContainers"];
    let mut any = false;
    let mut all = true;
    for container in containers.iter().filter_map(|pointer| pod.pointer(pointer)?.as_array()).flatten() {
        let amounts = |kind: &str| {
            container.pointer(&format!("/resources/{kind}")).and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let (requests, limits) = (amounts("requests"), amounts("limits"));
        any |= !requests.is_empty() || !limits.is_empty();
        all &=
            ["cpu", "memory"].iter().all(|name| limits.contains_key(*name) && limits.get(*name) == requests.get(*name));
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The labels and the selector that tie a Job to its pods.
fn job(object: &mut Value, uid: &str) {
    if object.pointer("/spec/manualSelector") == Some(&json!(true)) {
        return;
    }
    let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
    put_at(object, &["spec", "selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    let labels = object.pointer_mut("/spec/template/metadata").and_then(Value::as_object_mut);
    let Some(labels) = labels.map(|metadata| metadata.entry("labels").or_insert_with(|| json!({}))) else { return };
    if let Some(labels) = labels.as_object_mut() {
        for (key, value) in [("controller-uid", json!(uid)), ("job-name", name)] {
            labels.insert(key.into(), value.clone());
            labels.insert(format!("batch.kubernetes.io/{key}"), value);
        }
        labels.sort_keys();
        // A Job without labels takes those of its template.
        let labels = Value::Object(labels.clone());
        if object.pointer("/metadata/labels").and_then(Value::as_object).is_none_or(Map::is_empty) {
            put_at(object, &["metadata", "labels"], labels);
        }
    }
}

/// Gives a Service its addresses and ports, or carries over those of `old`.
fn service(store: &Store, object: &mut Value, old: Option<&Value>) {
    let (addresses, ports) = in_use(store);
    let old_spec = old.and_then(|old| old.get("spec"));
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "ExternalName" {
        return;
    }
    if spec.get("clusterIP").is_none() {
        let kept = old_spec.and_then(|old| old.get("clusterIP")).cloned();
        let free = || {
            (1..=254)
                .map(|last| json!(format!("10.0.0.{last}")))
                .find(|address| !addresses.contains(&address.to_string()))
        };
        let address = kept.or_else(free).unwrap_or_else(|| json!("None"));
        spec.insert("clusterIP".into(), address);
    }
    let address = spec.get("clusterIP").cloned().unwrap_or_default();
    spec.entry("clusterIPs").or_insert_with(|| json!([address]));
    spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
    spec.entry("ipFamilyPolicy").or_insert_with(|| json!("SingleStack"));
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        node_ports(spec, old_spec, ports);
    }
}

fn in_use(store: &Store) -> (BTreeSet<String>, BTreeSet<i64>) {
    let filter =
        Filter { resource: "services".into(), namespace: None, labels: Selector::default(), fields: String::new() };
    let services: Vec<&Value> = store.list(&filter).into_iter().map(|(_, service)| service).collect();
    let addresses =
        services.iter().filter_map(|service| service.pointer("/spec/clusterIP")).map(Value::to_string).collect();
    let ports = services.iter().filter_map(|service| service.pointer("/spec/ports")?.as_array()).flatten();
    (addresses, ports.filter_map(|port| port.get("nodePort")?.as_i64()).collect())
}

fn node_ports(spec: &mut Map<String, Value>, old: Option<&Value>, mut used: BTreeSet<i64>) {
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if port.get("nodePort").and_then(Value::as_i64).is_some_and(|number| number > 0) {
            continue;
        }
        let same =
            |known: &&Value| known.get("port") == port.get("port") && known.get("protocol") == port.get("protocol");
        let kept = old.and_then(|old| old.get("ports")?.as_array()?.iter().find(same)?.get("nodePort")?.as_i64());
        let number = kept.or_else(|| (NODE_PORTS.0..=NODE_PORTS.1).find(|number| !used.contains(number)));
        if let (Some(number), Some(port)) = (number, port.as_object_mut()) {
            used.insert(number);
            port.insert("nodePort".into(), json!(number));
        }
    }
}
