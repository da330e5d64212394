//! Makes random manifests, what becomes of them in the next commit, and edits by others in between.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Who edits.
pub(super) const MANAGERS: [&str; 5] = ["kubectl-edit", "kubectl-patch", "helm", "my-operator", "Mozilla"];

/// Sets fields that are not empty.
fn put(object: &mut Value, key: &str, value: impl Into<Value>) {
    let value = value.into();
    let is_empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    if !is_empty {
        object[key] = value;
    }
}

fn config_map(random: &mut Random) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    put(&mut object, "data", random.some(&["a", "b", "c", "d"], |random, _| random.digit()));
    put(&mut object, "binaryData", random.some(&["x", "y"], |_, _| json!("YQ==")));
    object
}

fn secret(random: &mut Random) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque"});
    put(
        &mut object,
        "data",
        random.some(&["a", "b", "c"], |random, _| random.pick(&[&json!("YQ=="), &json!("Yg==")]).clone()),
    );
    object
}

fn service(random: &mut Random) -> Value {
    let mut spec = json!({"selector": {"app": "a"}});
    put(
        &mut spec,
        "ports",
        items(random, &["80", "81", "82"], |random, port| {
            let mut item = json!({"name": format!("p{port}"), "port": port.parse::<u32>().unwrap()});
            if random.chance(60) {
                item["targetPort"] = json!(8000 + random.below(4));
            }
            if random.chance(30) {
                item["appProtocol"] = random.pick(&[&json!("http"), &json!("grpc")]).clone();
            }
            item
        }),
    );
    if spec.get("ports").is_none() {
        spec["ports"] = json!([{"name": "p80", "port": 80}]);
    }
    if random.chance(30) {
        spec["type"] = random.pick(&[&json!("ClusterIP"), &json!("NodePort")]).clone();
    }
    if random.chance(30) {
        spec["sessionAffinity"] = json!("ClientIP");
    }
    json!({"apiVersion": "v1", "kind": "Service", "spec": spec})
}

fn items(random: &mut Random, names: &[&str], mut item: impl FnMut(&mut Random, &str) -> Value) -> Vec<Value> {
    let mut found = Vec::new();
    for name in names {
        if random.chance(50) {
            found.push(item(random, name));
        }
    }
    found
}

fn container(random: &mut Random, name: &str) -> Value {
    let mut container = json!({"name": name, "image": format!("{name}:{}", random.below(3))});
    put(
        &mut container,
        "env",
        items(random, &["A", "B", "C"], |random, name| {
            if random.chance(20) {
                return json!({"name": name, "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}});
            }
            json!({"name": name, "value": random.digit()})
        }),
    );
    put(
        &mut container,
        "ports",
        items(random, &["80", "81"], |random, port| {
            let mut item = json!({"containerPort": port.parse::<u32>().unwrap()});
            if random.chance(50) {
                item["name"] = json!(format!("p{port}"));
            }
            item
        }),
    );
    let mut resources = json!({});
    put(
        &mut resources,
        "requests",
        random.some(&["cpu", "memory"], |random, _| json!(format!("{}", 1 + random.below(3)))),
    );
    put(&mut container, "resources", resources);
    if random.chance(30) {
        container["imagePullPolicy"] = random.pick(&[&json!("Always"), &json!("Never")]).clone();
    }
    if random.chance(30) {
        container["args"] = json!([random.digit(), random.digit()]);
    }
    if random.chance(30) {
        container["livenessProbe"] =
            json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5 + random.below(3)});
    }
    if random.chance(20) {
        container["securityContext"] = json!({"runAsUser": 1 + random.below(3)});
    }
    container
}

fn deployment(random: &mut Random) -> Value {
    let mut pod = json!({});
    let mut containers = items(random, &["a", "b", "c"], container);
    if containers.is_empty() {
        containers.push(container(random, "a"));
    }
    put(&mut pod, "containers", containers);
    put(
        &mut pod,
        "volumes",
        items(random, &["v", "w"], |random, name| {
            if random.chance(50) {
                return json!({"name": name, "emptyDir": {}});
            }
            json!({"name": name, "configMap": {"name": format!("c{}", random.below(2))}})
        }),
    );
    put(&mut pod, "nodeSelector", random.some(&["zone", "disk"], |random, _| random.digit()));
    put(&mut pod, "imagePullSecrets", items(random, &["x", "y"], |_, name| json!({"name": name})));
    if random.chance(30) {
        pod["tolerations"] = json!([{"key": random.digit(), "operator": "Exists"}]);
    }
    if random.chance(30) {
        pod["terminationGracePeriodSeconds"] = json!(10 + random.below(3));
    }
    let mut template = json!({"metadata": {"labels": {"app": "a"}}, "spec": pod});
    put(&mut template["metadata"], "annotations", random.some(&["x", "y"], |random, _| random.digit()));
    let mut spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": template});
    for (name, value) in [("replicas", 2), ("minReadySeconds", 1), ("revisionHistoryLimit", 3)] {
        if random.chance(40) {
            spec[name] = json!(value + random.below(3));
        }
    }
    if random.chance(40) {
        spec["strategy"] = if random.chance(50) {
            json!({"type": "Recreate"})
        } else {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1 + random.below(3)}})
        };
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec})
}

fn router(random: &mut Random) -> Value {
    let mut spec = json!({});
    put(
        &mut spec,
        "routes",
        items(random, &["a", "b", "c"], |random, host| {
            let mut item = json!({"host": host, "to": random.digit()});
            if random.chance(30) {
                item["class"] = json!("private");
            }
            item
        }),
    );
    put(&mut spec, "settings", random.some(&["s", "t"], |random, _| random.digit()));
    put(&mut spec, "names", items(random, &["n", "m"], |_, name| json!(name)));
    if random.chance(40) {
        spec["mode"] = random.digit();
    }
    json!({"apiVersion": "three-way.example.com/v1", "kind": "Router", "spec": spec})
}

fn ingress(random: &mut Random) -> Value {
    let backend =
        |random: &mut Random| json!({"service": {"name": format!("s{}", random.below(2)), "port": {"number": 80}}});
    let mut rules = items(random, &["a", "b"], |random, host| {
        json!({"host": format!("{host}.example.com"),
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend(random)}]}})
    });
    if rules.is_empty() {
        rules.push(json!({"host": "c.example.com",
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend(random)}]}}));
    }
    let mut spec = json!({"rules": rules});
    if random.chance(40) {
        spec["ingressClassName"] = random.pick(&[&json!("nginx"), &json!("alb")]).clone();
    }
    put(
        &mut spec,
        "tls",
        items(random, &["a"], |_, host| json!({"hosts": [format!("{host}.example.com")], "secretName": "t"})),
    );
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec})
}

/// A manifest of kind number `kind`, without a name.
pub(super) fn manifest(random: &mut Random, kind: usize) -> Value {
    let make = [config_map, deployment, deployment, service, router, ingress, secret][kind];
    let mut object = make(random);
    let mut metadata = json!({});
    put(&mut metadata, "labels", random.some(&["l", "m"], |random, _| random.digit()));
    put(&mut metadata, "annotations", random.some(&["x", "y"], |random, _| random.digit()));
    object["metadata"] = metadata;
    object
}

/// What a manifest becomes in the next commit: each part is as before or as in another manifest.
pub(super) fn next(random: &mut Random, before: &Value, other: &Value) -> Value {
    match (before, other) {
        (Value::Object(before), Value::Object(other)) if random.chance(85) => {
            let keys: Vec<&String> =
                before.keys().chain(other.keys().filter(|key| !before.contains_key(*key))).collect();
            let mut mixed = Map::new();
            for key in keys {
                let value = match (before.get(key), other.get(key)) {
                    (Some(before), Some(other)) => Some(next(random, before, other)),
                    (one, None) => one.filter(|_| random.chance(50)).cloned(),
                    (None, one) => one.filter(|_| random.chance(50)).cloned(),
                };
                if let Some(value) = value {
                    mixed.insert(key.clone(), value);
                }
            }
            Value::Object(mixed)
        }
        _ => {
            if random.chance(50) {
                before.clone()
            } else {
                other.clone()
            }
        }
    }
}

/// The mappings and lists in a value, as pointers.
fn containers_in(value: &Value, pointer: &str, found: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        containers_in(value, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), found);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| below(&index.to_string(), value)),
        _ => return,
    }
    found.push(pointer.to_owned());
}

/// What an edit leaves alone: what the server would refuse, and our marks.
const PROTECTED: [&str; 11] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "slipway.dev/last-applied-fields",
    "argocd.argoproj.io/tracking-id",
    "applyset.kubernetes.io/part-of",
    "app",
    "selector",
    "clusterIP",
    "ipFamilyPolicy",
    // Keys of lists change below, and never to one that is there.
    "class",
    "port",
    "containerPort",
];

/// An edit of a live object by hand: a value changes, goes or comes, an item gets another key, goes or comes.
pub(super) fn edit(random: &mut Random, object: &mut Value) {
    let mut places = Vec::new();
    for part in ["data", "binaryData", "spec"] {
        if let Some(value) = object.get(part) {
            containers_in(value, &format!("/{part}"), &mut places);
        }
    }
    for part in ["labels", "annotations"] {
        places.extend(object["metadata"].get(part).map(|_| format!("/metadata/{part}")));
    }
    let fixed =
        |place: &String| place.contains("selector") || place.contains("/clusterIP") || place.ends_with("ipFamilies");
    places.retain(|place| !fixed(place));
    if places.is_empty() {
        return;
    }
    let place = places[random.below(places.len())].clone();
    let is_open = ["data", "labels", "annotations", "settings", "requests", "nodeSelector"]
        .iter()
        .any(|name| place.ends_with(&format!("/{name}")));
    let part = object.pointer_mut(&place).unwrap();
    match part {
        Value::Object(fields) => {
            let names: Vec<String> =
                fields.keys().filter(|name| !PROTECTED.contains(&name.as_str())).cloned().collect();
            if names.is_empty() || is_open && random.chance(20) {
                if is_open {
                    let name = if place.ends_with("requests") { "ephemeral-storage" } else { "own" };
                    fields
                        .insert(name.to_owned(), if place.ends_with("requests") { json!("1") } else { random.digit() });
                }
                return;
            }
            let name = &names[random.below(names.len())];
            if random.chance(25) {
                fields.shift_remove(name);
                return;
            }
            let value = &mut fields[name.as_str()];
            *value = match &*value {
                Value::Number(number) => {
                    json!(number.as_u64().unwrap_or(0) + 1 + u64::try_from(random.below(2)).unwrap())
                }
                Value::String(text) => match text.as_str() {
                    "Always" => json!("Never"),
                    "Never" | "IfNotPresent" => json!("Always"),
                    "YQ==" => json!("Yw=="),
                    "Recreate" => json!("RollingUpdate"),
                    text if text.starts_with(|first: char| first.is_ascii_alphanumeric()) => json!(format!("{text}9")),
                    _ => return,
                },
                other => other.clone(),
            };
        }
        Value::Array(list) => match random.below(3) {
            0 if list.len() > 1 => {
                let index = random.below(list.len());
                list.remove(index);
            }
            1 if list.iter().all(|item| item.get("name").is_some_and(Value::is_string)) => {
                // One more of the same.
                let Some(mut item) = list.first().cloned() else { return };
                item["name"] = json!("own");
                for key in ["port", "containerPort"] {
                    if item.get(key).is_some() {
                        item[key] = json!(7000);
                    }
                }
                item.as_object_mut().unwrap().shift_remove("nodePort");
                list.push(item);
            }
            _ => {
                let index = random.below(list.len());
                let Some(item) = list.get_mut(index) else { return };
                for key in ["port", "containerPort", "name", "host"] {
                    match item.get(key) {
                        Some(Value::Number(number)) => {
                            item[key] = json!(number.as_u64().unwrap_or(0) + 100);
                            return;
                        }
                        Some(Value::String(text)) => {
                            item[key] = json!(format!("{text}r"));
                            return;
                        }
                        _ => {}
                    }
                }
            }
        },
        _ => {}
    }
}
