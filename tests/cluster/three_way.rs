//! For random pairs of manifests, and random edits by others in between, the end is that of `kubectl apply`: for every
//! field that Git had or has.
//!
//! Each case is two objects that go the same way, one by kubectl (client-side apply, three-way), one by us. The cases
//! are made from a seed, the same ones each time; `SLIPWAY_THREE_WAY_CASES` asks for more, `SLIPWAY_THREE_WAY_FIRST`
//! begins elsewhere. Where the two may differ stands in [`may_differ`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::sync::OnceLock;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::{Map, Value, json};
use slipway_cluster::apply::{self, Options};
use slipway_cluster::dry_run;
use slipway_gitops::comparison::Rules;
use slipway_gitops::{GroupVersionKind, diff};
use slipway_manifest::Object;
use slipway_tests::{ControlPlane, tools};

use crate::{Place, side_by_side};

/// Enough to meet each rule many times within a minute.
const CASES: u64 = 500;
/// Worked on side by side, each with a kubectl of its own, which asks 50 times a second at most.
const LANES: u64 = 4;
/// How many cases kubectl itself may refuse (an edit that made its patch invalid), in a hundred.
const MAX_REFUSED: usize = 10;

/// Who edits.
const MANAGERS: [&str; 5] = ["kubectl-edit", "kubectl-patch", "helm", "my-operator", "Mozilla"];

struct Random(ChaCha8Rng);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.next_u64() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// Some of `names`, each with a value.
    fn some(&mut self, names: &[&str], mut value: impl FnMut(&mut Self, &str) -> Value) -> Map<String, Value> {
        let mut chosen = Map::new();
        for name in names {
            if self.chance(50) {
                chosen.insert((*name).to_owned(), value(self, name));
            }
        }
        chosen
    }

    fn digit(&mut self) -> Value {
        json!(self.below(4).to_string())
    }
}

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
fn manifest(random: &mut Random, kind: usize) -> Value {
    let make = [config_map, deployment, deployment, service, router, ingress, secret][kind];
    let mut object = make(random);
    let mut metadata = json!({});
    put(&mut metadata, "labels", random.some(&["l", "m"], |random, _| random.digit()));
    put(&mut metadata, "annotations", random.some(&["x", "y"], |random, _| random.digit()));
    object["metadata"] = metadata;
    object
}

/// What a manifest becomes in the next commit: each part is as before or as in another manifest.
fn next(random: &mut Random, before: &Value, other: &Value) -> Value {
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
fn edit(random: &mut Random, object: &mut Value) {
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

/// One field of a manifest: fields, and list items by what is their key.
type Path = Vec<String>;

const KEYS: [&str; 3] = ["containerPort", "name", "host"];

/// The key of a list item, as text; Services tell their ports apart by number.
fn key_of(list: &str, item: &Value) -> Option<String> {
    let named = |key: &str| item.get(key).map(|value| format!("{key}={value}"));
    if list == "ports" && item.get("containerPort").is_none() {
        return named("port");
    }
    let class = item.get("host").map(|_| format!(",class={}", item.get("class").unwrap_or(&json!("public"))));
    KEYS.iter().find_map(|key| named(key)).map(|key| key + &class.unwrap_or_default())
}

/// Lists that the API server replaces as a whole, and kubectl, too.
const ATOMIC: [&str; 4] = ["args", "tolerations", "rules", "tls"];

/// The fields of a manifest with their values.
fn fields(value: &Value, path: &mut Path, found: &mut BTreeMap<Path, Value>) {
    let name = path.last().cloned().unwrap_or_default();
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                path.push(key.clone());
                fields(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) if !ATOMIC.contains(&name.as_str()) => {
            for item in items {
                path.push(key_of(&name, item).unwrap_or_else(|| item.to_string()));
                fields(item, path, found);
                path.pop();
            }
        }
        value => {
            found.insert(path.clone(), value.clone());
        }
    }
}

fn fields_of(object: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    for part in ["data", "binaryData", "spec", "type"] {
        if let Some(value) = object.get(part) {
            fields(value, &mut vec![part.to_owned()], &mut found);
        }
    }
    for part in ["labels", "annotations"] {
        if let Some(value) = object["metadata"].get(part) {
            fields(value, &mut vec!["metadata".to_owned(), part.to_owned()], &mut found);
        }
    }
    found
}

/// The differences that are known and meant.
///
/// - A field that Git gave up and an edit removed together with the mapping around it: kubectl's patch has `null` for
///   it, of which the API server makes a value, `0` or an empty text. We leave it away.
/// - An empty mapping of a custom resource, which server-side apply drops with the last of its fields.
fn may_differ(by_kubectl: Option<&Value>, by_us: Option<&Value>) -> bool {
    by_us.is_none() && [json!("0"), json!(""), json!({})].iter().any(|zero| by_kubectl == Some(zero))
}

/// Whether Git gives up a key of a list item that has a default: which one, no dry run of a take-over can know, so that
/// another item is foreseen than comes.
fn leaves_key_out(case: &Case) -> bool {
    let has_class = |manifest: &Value| {
        let routes = manifest.pointer("/spec/routes").and_then(Value::as_array);
        routes.into_iter().flatten().any(|route| route.get("class").is_some())
    };
    has_class(&case.first) || has_class(&case.second)
}

/// A control plane without controllers: nobody else writes.
fn plane() -> Option<&'static ControlPlane> {
    static PLANE: OnceLock<Option<ControlPlane>> = OnceLock::new();
    let options = slipway_tests::Options { bare: true, ..slipway_tests::Options::default() };
    PLANE.get_or_init(|| ControlPlane::start(&options)).as_ref()
}

async fn define_router(place: &Place) {
    let item = json!({"type": "object", "required": ["host"], "properties": {"host": {"type": "string"},
        "class": {"type": "string", "default": "public"}, "to": {"type": "string"}}});
    let routes = json!({"type": "array", "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["host", "class"],
        "items": item});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let names = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"routes": routes,
        "settings": texts, "names": names, "mode": {"type": "string", "default": "plain"}}}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "routers.three-way.example.com"}, "spec": {"group": "three-way.example.com",
        "scope": "Namespaced", "names": {"kind": "Router", "plural": "routers", "singular": "router"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    crate::kubectl_apply(place, &definition);
    place.served("three-way.example.com", "v1", "Router").await;
}

/// What happens to two objects.
struct Case {
    seed: u64,
    first: Value,
    second: Value,
    /// Who edits how often, from which randomness.
    edits: Vec<(&'static str, u64)>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let kind = random.below(7);
        let first = manifest(&mut random, kind);
        let other = manifest(&mut random, kind);
        let mut second = next(&mut random, &first, &other);
        // What can't be left out, and what may not change.
        for pointer in ["/kind", "/apiVersion", "/type", "/spec/selector", "/spec/template/metadata/labels"] {
            if let (Some(value), Some(place)) = (first.pointer(pointer), second.pointer_mut(pointer)) {
                *place = value.clone();
            }
        }
        let edits = (0..random.below(4)).map(|_| (random.pick(&MANAGERS), random.0.next_u64())).collect();
        Self { seed, first, second, edits }
    }

    fn named(&self, manifest: &Value, whose: &str) -> Value {
        let mut object = manifest.clone();
        object["metadata"]["name"] = json!(format!("{whose}{}", self.seed));
        object
    }
}

/// Applies all of `objects` with the real kubectl; gives what it says of those that it could not.
fn kubectl_apply_all(place: &Place, objects: &[Value]) -> String {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()).unwrap();
    let mut command = Command::new(tools::kubectl().unwrap());
    command.arg("--kubeconfig").arg(&place.plane.kubeconfig).args(["-n", place.namespace(), "apply", "-f"]);
    let output = command.arg(file.path()).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes `after` over `before` in the name of `manager`; whether the server took it.
async fn write(client: &kube::Client, url: &str, manager: &str, before: &Value, after: &Value) -> bool {
    let mut patch = Vec::new();
    for pointer in ["/data", "/binaryData", "/spec", "/metadata/labels", "/metadata/annotations"] {
        match (before.pointer(pointer), after.pointer(pointer)) {
            (before, Some(value)) if before != Some(value) => {
                patch.push(json!({"op": "add", "path": pointer, "value": value}));
            }
            (Some(_), None) => patch.push(json!({"op": "remove", "path": pointer})),
            _ => {}
        }
    }
    let request = http::Request::patch(format!("{url}?fieldManager={manager}"))
        .header("content-type", "application/json-patch+json")
        .body(serde_json::to_vec(&patch).unwrap())
        .unwrap();
    client.request_text(request).await.is_ok()
}

/// The paths of what differs, as far as it was there before.
fn changed(before: &Object, after: &Object) -> BTreeSet<String> {
    let found = diff::diff(before, after);
    found.iter().filter(|found| found.live.is_some()).map(|found| found.path.to_string()).collect()
}

/// Takes the cases of a lane through; gives what went wrong, and how many kubectl refused.
async fn lane(on: &'static ControlPlane, seeds: Vec<u64>) -> (String, usize) {
    let mut place = Place::on(on, "three-way").await;
    let gvk = |(group, version, kind): (&str, &str, &str)| GroupVersionKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
    };
    let router = gvk(("three-way.example.com", "v1", "Router"));
    place.kinds = place.cluster.resolve(&crate::gvks().into_iter().chain([router]).collect(), &BTreeSet::new()).await;
    let client = on.client().await;
    let cases: Vec<Case> = seeds.into_iter().map(Case::new).collect();
    let mut refused =
        kubectl_apply_all(&place, &cases.iter().map(|case| case.named(&case.first, "k")).collect::<Vec<_>>());
    let mut report = String::new();
    for case in &cases {
        let ours = place.one(case.named(&case.first, "s"));
        let applied = apply::apply(&place.cluster, place.resource(&ours), &ours, None, &Options::default()).await;
        if applied.is_err() {
            // As kubectl, which says the same.
            let _ = write!(refused, "\"k{}\"", case.seed);
            continue;
        }
        for (manager, seed) in &case.edits {
            for whose in ["k", "s"] {
                let object = place.one(case.named(&case.first, whose));
                let Some(before) = place.live(&object).await.map(Object::into_value) else { continue };
                let mut after = before.clone();
                edit(&mut Random(ChaCha8Rng::seed_from_u64(*seed)), &mut after);
                let resource = place.resource(&object);
                let url = format!("{}/{}", resource.path(place.namespace()).unwrap(), object.name());
                write(&client, &url, manager, &before, &after).await;
            }
        }
    }
    refused += &kubectl_apply_all(&place, &cases.iter().map(|case| case.named(&case.second, "k")).collect::<Vec<_>>());
    let mut count = 0;
    for case in &cases {
        if refused.contains(&format!("\"k{}\"", case.seed)) {
            count += 1;
            continue;
        }
        let wrong = one(&place, case).await;
        if !wrong.is_empty() {
            let (first, second, edits) = (&case.first, &case.second, &case.edits);
            let _ = writeln!(report, "case {}: {wrong}\n  {first}\n  {second}\n  {edits:?}", case.seed);
        }
    }
    (report, count)
}

/// Applies the second manifest of a case, and compares with what kubectl left.
async fn one(place: &Place, case: &Case) -> String {
    let mut wrong = String::new();
    let ours = place.one(case.named(&case.second, "s"));
    let before = place.live(&ours).await.unwrap();
    let (options, rules) = (Options::default(), Rules::default());
    let resource = place.resource(&ours);
    let foresee = async |live: &Object| {
        dry_run::dry_run(&place.cluster, resource, &ours, Some(live.clone()), &options, &rules).await
    };
    let foreseen = foresee(&before).await;
    let after = match apply::apply(&place.cluster, resource, &ours, Some(&before), &options).await {
        Ok(applied) => applied.object,
        Err(failure) => return format!("refused: {}", failure.with_remedy()),
    };
    match foreseen {
        Ok(Some(pair)) => {
            let (foreseen, changes) = (changed(&pair.live, &pair.predicted), changed(&before, &after));
            if foreseen != changes && !leaves_key_out(case) {
                let _ = write!(wrong, "foreseen {foreseen:?} came {changes:?}; ");
            }
        }
        other => return format!("not foreseen: {other:?}"),
    }
    if let Ok(Some(pair)) = foresee(&after).await {
        let left = diff::diff(&pair.live, &pair.predicted);
        if !left.is_empty() {
            let _ = write!(wrong, "left to do: {left:?}; ");
        }
    }
    let theirs = place.live(&place.one(case.named(&case.second, "k"))).await.unwrap();
    let (by_kubectl, by_us) = (fields_of(&theirs.to_value()), fields_of(&after.to_value()));
    let had: BTreeSet<Path> = fields_of(&case.first).into_keys().chain(fields_of(&case.second).into_keys()).collect();
    for path in had {
        let (kubectl, us) = (by_kubectl.get(&path), by_us.get(&path));
        if kubectl != us && !may_differ(kubectl, us) {
            let _ = write!(wrong, "{path:?} by kubectl {kubectl:?}, by us {us:?}; ");
        }
    }
    if !wrong.is_empty() {
        let _ = write!(wrong, "before {}", before.to_value());
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn what_git_had_and_has_ends_as_kubectl_apply_leaves_it() {
    let number = |name: &str, default: u64| std::env::var(name).ok().map_or(default, |text| text.parse().unwrap());
    let (cases, first) = (number("SLIPWAY_THREE_WAY_CASES", CASES), number("SLIPWAY_THREE_WAY_FIRST", 0));
    let Some(plane) = plane() else { return };
    if tools::kubectl().is_err() {
        return;
    }
    define_router(&Place::on(plane, "three-way").await).await;
    let lanes = (0..LANES).map(|lane| (first..first + cases).filter(|seed| seed % LANES == lane).collect::<Vec<u64>>());
    let lanes: Vec<Vec<u64>> =
        lanes.flat_map(|seeds| seeds.chunks(500).map(<[u64]>::to_vec).collect::<Vec<_>>()).collect();
    let mut reports = Vec::new();
    for group in lanes.chunks(usize::try_from(LANES).unwrap()) {
        reports.extend(side_by_side(group.to_vec(), async |seeds| lane(plane, seeds).await));
    }
    let wrong: String = reports.iter().map(|(report, _)| report.as_str()).collect();
    let refused: usize = reports.iter().map(|(_, refused)| refused).sum();
    assert!(
        wrong.is_empty(),
        "{} of {cases} cases:\n{wrong}",
        wrong.lines().filter(|line| line.starts_with("case")).count()
    );
    println!("{cases} cases, {refused} of them refused by kubectl");
    assert!(refused * 100 <= MAX_REFUSED * usize::try_from(cases).unwrap(), "kubectl refused {refused} of {cases}");
}
