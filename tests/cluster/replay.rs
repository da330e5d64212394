//! The sandbox is held to the real API server: the same requests, sent to both, must give the same answers, objects and
//! managedFields included. What differs by nature is left out: uids, versions, times, addresses.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Config};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use slipway_cluster::apply::Options as ApplyOptions;
use slipway_cluster::state::AppKey;
use slipway_cluster::{Auth, Cluster, Server, objects};
use slipway_gitops::identity::AppIdentity;
use slipway_gitops::plan;
use slipway_manifest::{Object, yaml};
use slipway_sandbox::http::Exchange;
use slipway_sandbox::kube::{Cluster as Sandbox, Options as SandboxOptions};
use slipway_tests::{ControlPlane, Options};

use crate::{config_map, deployment, gvks};

const APPLY: &str = "application/apply-patch+yaml";
pub(crate) const MERGE: &str = "application/merge-patch+json";

/// One API server under test.
pub(crate) struct Side {
    pub(crate) client: Client,
}

/// Status and body of an answer.
type Answer = (u16, Value);

impl Side {
    async fn send(&self, method: &Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
    }

    pub(crate) async fn json(&self, method: &Method, path: &str, kind: &str, agent: &str, body: &Value) -> Answer {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(method, path, &[("content-type", kind), ("user-agent", agent)], bytes).await
    }
}

/// The real API server, without controllers, and the sandbox without its own.
pub(crate) struct Pair {
    real: Side,
    sandbox: Side,
    // Both end with the pair.
    _plane: ControlPlane,
    _cluster: Sandbox,
}

impl Pair {
    /// `None` where there is no control plane.
    pub(crate) async fn start() -> Option<Self> {
        let plane = ControlPlane::start(&Options { bare: true, ..Options::default() })?;
        let cluster = Sandbox::start(SandboxOptions { controllers: false, ..SandboxOptions::default() }).await.unwrap();
        let real = Side { client: plane.client().await };
        let sandbox = Side { client: client_of(&cluster) };
        Some(Self { real, sandbox, _plane: plane, _cluster: cluster })
    }

    /// Sends the same request to both and gives what differs.
    async fn both(&self, step: &Step<'_>) -> Vec<String> {
        let (real, ours) = (step.send(&self.real).await, step.send(&self.sandbox).await);
        differences(step.name, &real, &ours)
    }
}

pub(crate) fn client_of(cluster: &Sandbox) -> Client {
    Client::try_from(Config::new(cluster.url().parse().unwrap())).unwrap()
}

struct Step<'a> {
    name: &'a str,
    method: Method,
    path: String,
    kind: &'a str,
    agent: &'a str,
    from: &'a str,
    body: Value,
}

impl Step<'_> {
    async fn send(&self, side: &Side) -> Answer {
        let path = self.path.split('?').next().unwrap();
        let body = match self.from {
            "" => self.body.clone(),
            // What `kubectl edit` does: the live object, changed in places.
            "put_edited" => {
                let (_, mut object) = side.json(&Method::GET, path, "", self.agent, &Value::Null).await;
                object["spec"]["replicas"] = json!(7);
                object["metadata"]["labels"]["new"] = json!("x");
                object
            }
            // What a take-over does: the entries of updates go, if nobody wrote meanwhile.
            "take_over" => {
                let (_, object) = side.json(&Method::GET, path, "", self.agent, &Value::Null).await;
                let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
                let kept: Vec<&Value> = entries.filter(|entry| entry["operation"] == "Apply").collect();
                json!([
                    {"op": "test", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]},
                    {"op": "replace", "path": "/metadata/managedFields", "value": kept},
                ])
            }
            other => panic!("`from: {other}` is unknown"),
        };
        side.json(&self.method, &self.path, self.kind, self.agent, &body).await
    }
}

/// The answer without what differs by nature.
fn normal(value: &Value) -> Value {
    const ANY: [&str; 8] = [
        "uid",
        "resourceVersion",
        "time",
        "creationTimestamp",
        "deletionTimestamp",
        "lastTransitionTime",
        "lastUpdateTime",
        "nodePort",
    ];
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                let any = ANY.contains(&key.as_str()) && !value.is_null()
                    || key == "clusterIP" && *value != json!("None")
                    || key == "clusterIPs" && *value != json!(["None"])
                    || key.ends_with("controller-uid") && value.is_string();
                let mut value = if any { json!("*") } else { normal(value) };
                // An API server prints an empty list in both ways, by where it took it from.
                if key == "items" && value.is_null() {
                    value = json!([]);
                }
                // Entries are sorted by their second first: into which one a write falls is chance.
                if let (true, Value::Array(entries)) = (key == "managedFields", &mut value) {
                    entries.sort_by_key(|entry| {
                        [&entry["operation"], &entry["manager"], &entry["subresource"]].map(Value::to_string)
                    });
                }
                (key.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::String(text) => json!(without_uids(text)),
        other => other.clone(),
    }
}

/// `text` with every UUID replaced.
fn without_uids(text: &str) -> String {
    let is_uid = |word: &str| word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let parts = text.split_inclusive(|c: char| !c.is_ascii_hexdigit() && c != '-');
    parts
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_hexdigit() && c != '-');
            if is_uid(word) { part.replace(word, "UID") } else { part.to_owned() }
        })
        .collect()
}

fn differences(name: &str, real: &Answer, ours: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    if real.0 != ours.0 {
        found.push(format!("{name}: status {} is {} in the sandbox: {}", real.0, ours.0, ours.1));
    }
    compare(name, "", &normal(&real.1), &normal(&ours.1), &mut found);
    found
}

fn compare(name: &str, path: &str, real: &Value, ours: &Value, found: &mut Vec<String>) {
    match (real, ours) {
        (Value::Object(real), Value::Object(ours)) => {
            let keys: std::collections::BTreeSet<&String> = real.keys().chain(ours.keys()).collect();
            for key in keys {
                let at = format!("{path}/{key}");
                match (real.get(key), ours.get(key)) {
                    (Some(real), Some(ours)) => compare(name, &at, real, ours, found),
                    (real, ours) => found.push(format!("{name}: {at}: {real:?}, in the sandbox {ours:?}")),
                }
            }
        }
        (Value::Array(real), Value::Array(ours)) if real.len() == ours.len() => {
            for (index, (real, ours)) in real.iter().zip(ours).enumerate() {
                compare(name, &format!("{path}/{index}"), real, ours, found);
            }
        }
        _ if real != ours => found.push(format!("{name}: {path}: {real}, in the sandbox {ours}")),
        _ => {}
    }
}

fn reference(file: &str) -> Vec<Value> {
    let path = format!("{}/reference/replay/{file}", env!("CARGO_MANIFEST_DIR"));
    yaml::parse_all(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

async fn namespace(pair: &Pair, name: &str) -> Vec<String> {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    pair.both(&Step {
        name: "namespace",
        method: Method::POST,
        path: "/api/v1/namespaces".into(),
        kind: "application/json",
        agent: "test/1",
        from: "",
        body,
    })
    .await
}

#[tokio::test]
async fn a_deployment_lives_the_same_life() {
    let Some(pair) = Pair::start().await else { return };
    let mut found = namespace(&pair, "replay").await;
    let requests = reference("requests.yaml").remove(0);
    let requests = requests.as_array().unwrap();
    for request in requests {
        let text = |key: &str, other: &'static str| request.get(key).and_then(Value::as_str).unwrap_or(other);
        let step = Step {
            name: text("name", ""),
            method: text("method", "").parse().unwrap(),
            path: text("path", "").replace("NAMESPACE", "replay"),
            kind: text("type", "application/json"),
            agent: text("agent", "test/1"),
            from: text("from", ""),
            body: request.get("body").cloned().unwrap_or_default(),
        };
        found.extend(pair.both(&step).await);
    }
    assert!(requests.len() >= 44, "{} requests", requests.len());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[tokio::test]
async fn every_common_kind_is_kept_the_same_way() {
    let Some(pair) = Pair::start().await else { return };
    let mut found = namespace(&pair, "replay").await;
    let objects = reference("kinds.yaml");
    let plurals = plurals(&pair.real, &objects).await;
    for object in &objects {
        let (collection, kind) = (&plurals[&key_of(object)], object["kind"].as_str().unwrap());
        let named = |suffix: &str| {
            let mut object = object.clone();
            object["metadata"]["name"] =
                json!(format!("{}-replay-{suffix}", object["metadata"]["name"].as_str().unwrap()));
            object
        };
        let (first, second) = (named("a"), named("b"));
        let mut relabelled = first.clone();
        relabelled["metadata"]["labels"]["new"] = json!("1");
        let at = |object: &Value, query: &str| {
            format!("{collection}/{}{query}", object["metadata"]["name"].as_str().unwrap())
        };
        let apply = "?fieldManager=slipway&force=true";
        let label = json!({"metadata": {"labels": {"x": "y"}, "annotations": {"q": "r"}}});
        let steps = [
            ("apply", Method::PATCH, at(&first, apply), APPLY, first.clone()),
            ("apply again", Method::PATCH, at(&first, apply), APPLY, first.clone()),
            ("label", Method::PATCH, at(&first, "?fieldManager=ed"), MERGE, label),
            ("post", Method::POST, collection.clone(), "application/json", second.clone()),
            ("take over", Method::PATCH, at(&second, apply), APPLY, second.clone()),
            ("relabel", Method::PATCH, at(&first, apply), APPLY, relabelled),
            ("get", Method::GET, at(&first, ""), "application/json", Value::Null),
            ("delete", Method::DELETE, at(&second, ""), "application/json", Value::Null),
        ];
        for (what, method, path, content, body) in steps {
            let name = format!("{kind} {what}");
            found.extend(
                pair.both(&Step { name: &name, method, path, kind: content, agent: "test/1", from: "", body }).await,
            );
        }
    }
    assert!(objects.len() >= 29, "{} kinds", objects.len());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

fn key_of(object: &Value) -> (String, String) {
    (object["apiVersion"].as_str().unwrap().to_owned(), object["kind"].as_str().unwrap().to_owned())
}

/// Where the objects of each kind are kept, as the real API server's discovery says.
async fn plurals(real: &Side, objects: &[Value]) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for (version, kind) in objects.iter().map(key_of) {
        let base = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
        let (_, resources) = real.json(&Method::GET, &base, "", "test/1", &Value::Null).await;
        let resource = resources["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|resource| resource["kind"] == json!(kind) && !resource["name"].as_str().unwrap().contains('/'));
        let resource = resource.unwrap();
        let place = if resource["namespaced"] == json!(true) { "/namespaces/replay" } else { "" };
        found.insert((version, kind), format!("{base}{place}/{}", resource["name"].as_str().unwrap()));
    }
    found
}

/// The engine's own requests: what it asked the sandbox for is asked of both again.
#[tokio::test]
async fn the_engines_requests_get_the_same_answers() {
    let Some(pair) = Pair::start().await else { return };
    let mut found = namespace(&pair, "flow").await;
    let recorded = record().await;
    let writes = recorded.iter().filter(|exchange| exchange.request.method != Method::GET).count();
    assert!(writes >= 12, "{writes} writes among {} requests", recorded.len());
    found.extend(replay(&pair, recorded).await);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Asks both for what a sandbox was asked for, objects and lists of them; gives what differs.
pub(crate) async fn replay(pair: &Pair, recorded: Vec<Exchange>) -> Vec<String> {
    let mut found = Vec::new();
    let mut maps = [BTreeMap::new(), BTreeMap::new()];
    for Exchange { request, body: answer, .. } in recorded {
        let is_watch = request.query.iter().any(|(key, _)| key == "watch");
        if is_watch || !request.path.contains("/namespaces") {
            continue;
        }
        let query: Vec<String> = request
            .query
            .iter()
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let path = format!("{}{query}", request.path);
        let headers = kept(&request.headers);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (body, answer) =
            (String::from_utf8_lossy(&request.body), serde_json::from_slice(&answer).unwrap_or_default());
        let mut answers = Vec::new();
        for (side, known) in [&pair.real, &pair.sandbox].into_iter().zip(&mut maps) {
            let got = side.send(&request.method, &path, &headers, substitute(&body, known)).await;
            learn(&answer, &got.1, known);
            answers.push(got);
        }
        found.extend(differences(&format!("{} {path}", request.method), &answers[0], &answers[1]));
    }
    found
}

/// Lets the engine apply, find drift, take over, heal and prune on a sandbox, and gives its requests for objects.
async fn record() -> Vec<Exchange> {
    let sandbox = Sandbox::start(SandboxOptions { controllers: false, ..SandboxOptions::default() }).await.unwrap();
    let hand = Side { client: client_of(&sandbox) };
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flow"}});
    sandbox.call(Method::POST, "/api/v1/namespaces", "application/json", &body);
    let auth = Auth::Token("any".to_owned().into());
    let server = Server { url: sandbox.url(), ca: None, auth, is_sandbox: true };
    let cluster = Cluster::connect(server).unwrap();
    let kinds = cluster.resolve(&gvks(), &std::collections::BTreeSet::new()).await;
    let key = AppKey { root: "test".to_owned(), namespace: "argocd".to_owned(), name: "flow".to_owned() };
    let owner = AppIdentity { app: "flow".to_owned(), applyset: key.applyset_id(), namespace: "flow".to_owned() };
    let web = |image: &str, variables: &Value| {
        let mut web = deployment("web", image);
        web["spec"]["template"]["spec"]["containers"][0]["env"] = variables.clone();
        web["spec"]["template"]["spec"]["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
        web
    };
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "targetPort": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}});
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
        "spec": {"rules": [
        {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}});
    let by_hand = config_map("c", &json!({"a": "1", "gone": "1"}));
    let annotated = {
        let mut object = by_hand.clone();
        object["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": by_hand.to_string()});
        object
    };
    let query = "?fieldManager=kubectl-client-side-apply";
    hand.json(
        &Method::POST,
        &format!("/api/v1/namespaces/flow/configmaps{query}"),
        "application/json",
        "kubectl/v1",
        &annotated,
    )
    .await;
    let ab = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    let cb = json!([{"name": "C", "value": "3"}, {"name": "B", "value": "4"}]);
    let apply_all = async |objects: Vec<Value>, dry_run: bool| {
        let objects = objects.into_iter().map(|value| Object::from_value(value).unwrap()).collect();
        for object in plan::prepare(objects, &kinds, &owner).objects {
            let resource = kinds.of(&object).unwrap();
            let place = objects::ObjectRef::of(resource, &object);
            let live = objects::get(&cluster, &place).await.unwrap();
            let options = ApplyOptions { dry_run, ..ApplyOptions::default() };
            slipway_cluster::apply::apply(&cluster, resource, &object, live.as_ref(), &options).await.unwrap();
        }
    };
    let first = vec![config_map("c", &json!({"a": "2"})), service.clone(), web("nginx:1", &ab), ingress.clone()];
    apply_all(first.clone(), false).await;
    apply_all(first.clone(), true).await;
    let scale = json!({"spec": {"replicas": 5}});
    hand.json(&Method::PATCH, "/apis/apps/v1/namespaces/flow/deployments/web/scale", MERGE, "kubectl/v1", &scale).await;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:9",
        "env": [{"name": "Z", "value": "z"}]}]}}}});
    let strategic = "application/strategic-merge-patch+json";
    hand.json(&Method::PATCH, "/apis/apps/v1/namespaces/flow/deployments/web", strategic, "kubectl/v1", &image).await;
    apply_all(first, true).await;
    let mut fewer = service;
    fewer["spec"]["ports"] = json!([{"name": "http", "port": 80, "targetPort": 8080}]);
    apply_all(vec![config_map("c", &json!({"b": "3"})), fewer, web("nginx:2", &cb), ingress], false).await;
    sandbox.exchanges()
}

/// The headers that decide about an answer.
fn kept(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let names = ["content-type", "accept", "user-agent"];
    names.into_iter().filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?.to_owned()))).collect()
}

/// Uids and versions of the recording become those of the replay.
fn learn(recorded: &Value, got: &Value, known: &mut BTreeMap<String, String>) {
    if let (Some(recorded), Some(got)) = (recorded["items"].as_array(), got["items"].as_array()) {
        let of = |name: &Value| got.iter().find(|item| item["metadata"]["name"] == *name);
        for item in recorded {
            learn(item, of(&item["metadata"]["name"]).unwrap_or(&Value::Null), known);
        }
    }
    for pointer in ["/metadata/uid", "/metadata/resourceVersion"] {
        if let (Some(old), Some(new)) =
            (recorded.pointer(pointer).and_then(Value::as_str), got.pointer(pointer).and_then(Value::as_str))
        {
            known.insert(old.to_owned(), new.to_owned());
        }
    }
}

fn substitute(body: &str, known: &BTreeMap<String, String>) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_str::<Value>(body) else { return body.as_bytes().to_vec() };
    rename(&mut value, known, false);
    value.to_string().into_bytes()
}

/// Versions are plain numbers in text: only where a version or a uid stands are they replaced.
fn rename(value: &mut Value, known: &BTreeMap<String, String>, is_name: bool) {
    match value {
        Value::Object(map) => {
            let is_test = map.get("path") == Some(&json!("/metadata/resourceVersion"));
            for (key, inner) in map {
                rename(inner, known, key == "resourceVersion" || key == "uid" || is_test && key == "value");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, known, false)),
        Value::String(text) if is_name => {
            if let Some(new) = known.get(text) {
                text.clone_from(new);
            }
        }
        _ => {}
    }
}
