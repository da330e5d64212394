//! What Git had and has, beside what other hands made of it: each case ends as `kubectl apply` would leave it, and is
//! foreseen by the dry run.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use slipway_cluster::apply::{self, Applied, Options};
use slipway_cluster::dry_run;
use slipway_gitops::comparison::Rules;
use slipway_gitops::diff;
use slipway_gitops::managed_fields::record::LAST_APPLIED_FIELDS;
use slipway_gitops::{Class, GroupVersionKind};
use slipway_manifest::Object;

use crate::{Place, config_map, deployment, kubectl_apply};

/// What a dry run says would change: `data.a: 1 -> 2`, `-` for nothing.
async fn foreseen(place: &Place, desired: &Object) -> Vec<String> {
    let live = place.live(desired).await;
    let (options, rules) = (Options::default(), Rules::default());
    let pair =
        dry_run::dry_run(&place.cluster, place.resource(desired), desired, live, &options, &rules).await.unwrap();
    let pair = pair.expect("it is there");
    lines(&pair.live, &pair.predicted)
}

/// The differences, without the number that a controller gives each version of a Deployment a moment later.
fn lines(before: &Object, after: &Object) -> Vec<String> {
    let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    let line = |found: &diff::Difference| format!("{}: {} -> {}", found.path, text(&found.live), text(&found.desired));
    let lines = diff::diff(before, after).iter().map(line).collect::<Vec<_>>();
    lines.into_iter().filter(|line| !line.contains("deployment.kubernetes.io/revision")).collect()
}

/// Applies `desired`: the fields that the dry run foresaw are those that change, and then nothing is left to do.
async fn sync(place: &Place, desired: &Object) -> Object {
    let before = place.live(desired).await.expect("it is there");
    let expected = foreseen(place, desired).await;
    let applied = place.apply(desired).await;
    let came = lines(&before, &applied.object);
    let fields = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| line.split_once(": ").unwrap().0.to_owned()).collect()
    };
    assert_eq!(fields(&expected), fields(&came), "{}: {expected:?} {came:?}", desired.id());
    assert_eq!(foreseen(place, desired).await, Vec::<String>::new(), "{}", desired.id());
    let again = place.apply(desired).await.object;
    assert_eq!(lines(&applied.object, &again), Vec::<String>::new(), "{}", desired.id());
    again
}

fn kubectl(place: &Place, arguments: &[&str]) {
    let all: Vec<&str> = ["-n", place.namespace()].into_iter().chain(arguments.iter().copied()).collect();
    place.plane.kubectl(&all).expect("kubectl");
}

fn patch(place: &Place, what: [&str; 2], manager: &str, kind: &str, patch: &Value) {
    let (manager, kind) = (format!("--field-manager={manager}"), format!("--type={kind}"));
    kubectl(place, &["patch", what[0], what[1], &manager, &kind, "-p", &patch.to_string()]);
}

/// As an editor that saves the whole object.
fn replace(place: &Place, manager: &str, object: &Value) {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    kubectl(place, &["replace", &format!("--field-manager={manager}"), "-f", file.path().to_str().unwrap()]);
}

fn secret(fields: &Value) -> Value {
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    secret.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    secret
}

fn service(ports: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": ports}})
}

fn pod_of(object: &Object) -> &Value {
    object.pointer("/spec/template/spec").unwrap()
}

async fn applied(place: &Place, object: Value, options: &Options) -> Result<Applied, slipway_gitops::Failure> {
    let object = place.one(object);
    let live = place.live(&object).await;
    apply::apply(&place.cluster, place.resource(&object), &object, live.as_ref(), options).await
}

#[tokio::test]
async fn keys_leave_string_data() {
    let Some(place) = Place::new("plain").await else { return };
    place.apply(&place.one(secret(&json!({"stringData": {"keep": "a", "removed": "b", "both": "c"}})))).await;
    // One key leaves, one comes, one moves to data, where stringData wins.
    let next = secret(&json!({"data": {"both": "ZA==", "keep": "eA=="}, "stringData": {"keep": "e", "new": "f"}}));
    let live = sync(&place, &place.one(next)).await;
    assert_eq!(live.get("data"), Some(&json!({"keep": "ZQ==", "both": "ZA==", "new": "Zg=="})));
    // All of it leaves, whoever changed it.
    patch(&place, ["secret", "s"], "kubectl-edit", "merge", &json!({"stringData": {"keep": "edited", "own": "x"}}));
    let live = sync(&place, &place.one(secret(&json!({})))).await;
    assert_eq!(live.get("data"), Some(&json!({"own": "eA=="})));
    assert!(!live.annotation(LAST_APPLIED_FIELDS).unwrap_or_default().contains("ZQ=="));
}

/// As versions of before applied them: they own `stringData`, and nothing of `data`.
#[tokio::test]
async fn keys_leave_string_data_that_was_applied_as_it_is() {
    let Some(place) = Place::new("plainold").await else { return };
    for (name, manager) in [("ours", "slipway"), ("argo", "argocd-controller")] {
        let mut object = secret(&json!({"stringData": {"keep": "a", "removed": "b"}}));
        object["metadata"]["name"] = json!(name);
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        let manager = format!("--field-manager={manager}");
        kubectl(&place, &["apply", "--server-side", &manager, "-f", file.path().to_str().unwrap()]);
        object["stringData"] = json!({"keep": "a"});
        let live = sync(&place, &place.one(object)).await;
        assert_eq!(live.get("data"), Some(&json!({"keep": "YQ=="})), "{name}");
    }
}

#[tokio::test]
async fn what_others_edited_leaves_with_git() {
    let Some(place) = Place::new("edited").await else { return };
    for (name, manager) in
        [("edit", "kubectl-edit"), ("set", "kubectl-patch"), ("helm", "helm"), ("operator", "my-operator")]
    {
        let map = |data: Value| {
            let mut map = config_map(name, &data);
            map["metadata"]["labels"] = json!({"team": "a"});
            map
        };
        place.apply(&place.one(map(json!({"keep": "a", "removed": "b"})))).await;
        let edit = json!({"data": {"removed": "edited", "own": "x"},
            "metadata": {"labels": {"team": "edited", "own": "x"}}});
        patch(&place, ["configmap", name], manager, "merge", &edit);
        let live = sync(&place, &place.one(config_map(name, &json!({"keep": "a"})))).await;
        assert_eq!(live.get("data"), Some(&json!({"keep": "a", "own": "x"})), "{manager}");
        assert_eq!((live.label("team"), live.label("own")), (None, Some("x")), "{manager}");
    }
}

/// A manager that declares what it wants keeps it: server-side apply is a claim, an update is not.
#[tokio::test]
async fn what_others_apply_stays() {
    let Some(place) = Place::new("claimed").await else { return };
    place.apply(&place.one(config_map("c", &json!({"keep": "a", "claimed": "b"})))).await;
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), config_map("c", &json!({"claimed": "theirs"})).to_string()).unwrap();
    let arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=other", "-f"];
    kubectl(&place, &[&arguments[..], &[file.path().to_str().unwrap()]].concat());
    let live = sync(&place, &place.one(config_map("c", &json!({"keep": "a"})))).await;
    assert_eq!(live.get("data"), Some(&json!({"keep": "a", "claimed": "theirs"})));
}

#[tokio::test]
async fn parts_of_a_pod_that_others_edited_leave_with_git() {
    let Some(place) = Place::new("parts").await else { return };
    let mut before = deployment("web", "nginx:1");
    let spec = &mut before["spec"]["template"]["spec"];
    spec["containers"][0]["env"] = json!([{"name": "KEEP", "value": "1"}, {"name": "GONE", "value": "1"}]);
    spec["containers"][0]["livenessProbe"] = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5});
    spec["containers"].as_array_mut().unwrap().push(json!({"name": "side", "image": "side:1"}));
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}}]);
    place.apply(&place.one(before)).await;
    // A value changed, something added to what will leave, a probe that would be invalid in half.
    kubectl(&place, &["set", "image", "deployment/web", "side=side:2"]);
    kubectl(&place, &["set", "env", "deployment/web", "-c", "web", "GONE=2", "OWN=1"]);
    let edit = json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "workingDir": "/x"},
        {"name": "web", "livenessProbe": {"periodSeconds": 7, "initialDelaySeconds": 3}}],
        "volumes": [{"name": "w", "configMap": {"name": "other", "optional": true}}]}}}});
    patch(&place, ["deployment", "web"], "kubectl-edit", "strategic", &edit);
    let mut after = deployment("web", "nginx:1");
    after["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "KEEP", "value": "1"}]);
    after["spec"]["template"]["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    let live = sync(&place, &place.one(after)).await;
    let pod = pod_of(&live);
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1, "{pod}");
    let env = json!([{"name": "KEEP", "value": "1"}, {"name": "OWN", "value": "1"}]);
    assert_eq!((&pod["containers"][0]["env"], &pod["containers"][0]["livenessProbe"]), (&env, &Value::Null));
    assert_eq!(pod["volumes"], json!([{"name": "v", "emptyDir": {}}]));
}

#[tokio::test]
async fn a_port_that_somebody_changed_is_healed() {
    let Some(place) = Place::new("port").await else { return };
    let port = |name: &str, port: u32| json!({"name": name, "port": port, "targetPort": 8080});
    let web = place.one(service(&json!([port("http", 80)])));
    place.apply(&web).await;
    replace(&place, "kubectl-edit", &service(&json!([port("http", 81)])));
    let live = sync(&place, &web).await;
    let ports = live.pointer("/spec/ports").unwrap().as_array().unwrap();
    assert_eq!((ports.len(), &ports[0]["port"]), (1, &json!(80)), "{ports:?}");
    // One of two, and by a patch; one that was added stays.
    let web = place.one(service(&json!([port("http", 80), {"name": "metrics", "port": 9090}])));
    sync(&place, &web).await;
    let change = json!([{"op": "replace", "path": "/spec/ports/1/port", "value": 9091},
        {"op": "add", "path": "/spec/ports/-", "value": {"name": "own", "port": 1234}}]);
    patch(&place, ["service", "web"], "kubectl-patch", "json", &change);
    let live = sync(&place, &web).await;
    let ports: Vec<&Value> =
        live.pointer("/spec/ports").unwrap().as_array().unwrap().iter().map(|port| &port["port"]).collect();
    let mut ports: Vec<u64> = ports.into_iter().filter_map(Value::as_u64).collect();
    ports.sort_unstable();
    assert_eq!(ports, [80, 1234, 9090]);
}

#[tokio::test]
async fn items_that_somebody_renamed_are_healed() {
    let Some(place) = Place::new("renamed").await else { return };
    let mut git = deployment("web", "nginx:1");
    let spec = &mut git["spec"]["template"]["spec"];
    spec["containers"][0]["env"] = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/a"}]);
    spec["volumes"] = json!([{"name": "v", "configMap": {"name": "c"}}]);
    let web = place.one(git);
    place.apply(&web).await;
    for (path, value) in [
        ("/spec/template/spec/containers/0/env/1/name", json!("RENAMED")),
        ("/spec/template/spec/containers/0/ports/0/containerPort", json!(81)),
        ("/spec/template/spec/containers/0/volumeMounts/0/mountPath", json!("/b")),
        ("/spec/template/spec/containers/0/name", json!("renamed")),
    ] {
        // The port needs a name for somebody to know it again.
        let edit = json!([{"op": "replace", "path": path, "value": value}]);
        patch(&place, ["deployment", "web"], "kubectl-edit", "json", &edit);
        if path.ends_with("containerPort") {
            let edit = json!([{"op": "replace", "path": path, "value": 80}]);
            patch(&place, ["deployment", "web"], "kubectl-edit", "json", &edit);
        }
        let live = sync(&place, &web).await;
        let container = &pod_of(&live)["containers"];
        assert_eq!(container.as_array().unwrap().len(), 1, "{path}: {container}");
        let lengths: Vec<usize> =
            ["env", "ports", "volumeMounts"].iter().map(|list| container[0][*list].as_array().unwrap().len()).collect();
        assert_eq!(lengths, [2, 1, 1], "{path}: {container}");
        assert_eq!(container[0]["env"][1]["name"], "B");
    }
}

/// Lists of a CustomResourceDefinition have the keys that it says, one of them with a default.
#[tokio::test]
async fn items_of_custom_lists_are_healed_and_leave() {
    let Some(mut place) = Place::new("custom").await else { return };
    let group = format!("{}.example.com", place.namespace());
    let item = json!({"type": "object", "required": ["host"], "properties": {"host": {"type": "string"},
        "class": {"type": "string", "default": "public"}, "to": {"type": "string"}, "weight": {"type": "integer"}}});
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["host", "class"],
        "items": item});
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"routes": list,
        "mode": {"type": "string", "default": "plain"}}}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("routers.{group}")}, "spec": {"group": group, "scope": "Namespaced",
        "names": {"kind": "Router", "plural": "routers", "singular": "router"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    kubectl_apply(&place, &definition);
    place.served(&group, "v1", "Router").await;
    let gvk = GroupVersionKind { group: group.clone(), version: "v1".to_owned(), kind: "Router".to_owned() };
    place.kinds = place.cluster.resolve(&[gvk].into(), &BTreeSet::new()).await;
    let router = |routes: Value, mode: Option<&str>| {
        let mut spec = json!({"routes": routes});
        spec.as_object_mut().unwrap().extend(mode.map(|mode| ("mode".to_owned(), json!(mode))));
        json!({"apiVersion": format!("{group}/v1"), "kind": "Router", "metadata": {"name": "r"}, "spec": spec})
    };
    let route = |host: &str, to: &str| json!({"host": host, "to": to, "weight": 1});
    let first = place.one(router(json!([route("a", "x"), route("b", "y")]), Some("fast")));
    place.apply(&first).await;
    let resource = format!("routers.{group}");
    let edit = json!([{"op": "replace", "path": "/spec/routes/0/host", "value": "renamed"},
        {"op": "replace", "path": "/spec/routes/1/to", "value": "edited"},
        {"op": "add", "path": "/spec/routes/-", "value": {"host": "own", "to": "z"}},
        {"op": "replace", "path": "/spec/mode", "value": "edited"}]);
    patch(&place, [&resource, "r"], "kubectl-edit", "json", &edit);
    let hosts = |live: &Object| -> Vec<String> {
        let items = live.pointer("/spec/routes").unwrap().as_array().unwrap();
        let mut hosts: Vec<String> = items.iter().map(|route| format!("{}>{}", route["host"], route["to"])).collect();
        hosts.sort();
        hosts
    };
    let live = sync(&place, &first).await;
    assert_eq!(hosts(&live), [r#""a">"x""#, r#""b">"y""#, r#""own">"z""#]);
    let edit = json!([{"op": "replace", "path": "/spec/mode", "value": "edited"},
        {"op": "replace", "path": "/spec/routes", "value": [{"host": "a", "to": "edited"}, {"host": "b", "to": "y"},
            {"host": "own", "to": "z"}]}]);
    patch(&place, [&resource, "r"], "kubectl-edit", "json", &edit);
    let live = sync(&place, &place.one(router(json!([route("b", "y")]), None))).await;
    assert_eq!(hosts(&live), [r#""b">"y""#, r#""own">"z""#]);
    assert_eq!(live.pointer("/spec/mode"), Some(&json!("plain")));
}

#[tokio::test]
async fn entries_with_the_same_key_are_applied_with_a_warning() {
    let Some(place) = Place::new("twice").await else { return };
    let variable = |value: &str| json!({"name": "FOO", "value": value});
    let mut web = deployment("web", "nginx:1");
    let spec = &mut web["spec"]["template"]["spec"];
    spec["containers"][0]["env"] = json!([variable("1"), {"name": "BAR", "value": "$(FOO)"}, variable("2")]);
    spec["containers"][0]["ports"] = json!([{"containerPort": 80, "name": "a"}, {"containerPort": 80, "name": "b"}]);
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}, {"name": "v", "configMap": {"name": "c"}}]);
    spec["imagePullSecrets"] = json!([{"name": "x"}, {"name": "x"}]);
    for dry_run in [true, false, false] {
        let options = Options { dry_run, ..Options::default() };
        let done = applied(&place, web.clone(), &options).await.unwrap();
        let told = done.warnings.join("\n");
        for list in [".env", ".ports", ".volumes", ".imagePullSecrets"] {
            assert!(told.contains(&format!("{list}: duplicate entries for")), "{list} in {told}");
        }
    }
    let live = place.live(&place.one(web.clone())).await.unwrap();
    let pod = pod_of(&live);
    assert_eq!(pod["containers"][0]["env"], json!([{"name": "BAR", "value": "$(FOO)"}, variable("2")]));
    assert_eq!(pod["containers"][0]["ports"], json!([{"containerPort": 80, "name": "b", "protocol": "TCP"}]));
    assert_eq!(pod["volumes"][0]["configMap"]["name"], "c");
    assert_eq!(foreseen(&place, &place.one(web)).await, Vec::<String>::new());
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 80}]);
    let done = applied(&place, service(&ports), &Options::default()).await.unwrap();
    assert_eq!(done.object.pointer("/spec/ports/0/name"), Some(&json!("b")));
}

#[tokio::test]
async fn unknown_fields_are_dropped_where_nothing_is_validated() {
    let Some(place) = Place::new("lenient").await else { return };
    let lenient = Options { validate: false, ..Options::default() };
    let mut map = config_map("c", &json!({"a": "1"}));
    map["invalidKey"] = json!("this-fails");
    map["metadata"]["typo"] = json!({"a": 1});
    let mut web = deployment("web", "nginx:1");
    web["spec"]["replica"] = json!(3);
    web["spec"]["template"]["spec"]["containers"][0]["imagepullpolicy"] = json!("Always");
    web["spec"]["template"]["spec"]["containers"][0]["ports"][0]["nmae"] = json!("x");
    let secret = secret(&json!({"stringData": {"a": "b"}, "nothing": {"such": "field"}}));
    for (object, count) in [(map, 2), (web, 3), (secret, 1)] {
        let strict = applied(&place, object.clone(), &Options::default()).await.unwrap_err();
        assert_eq!(strict.source.class, Class::Malformed, "{strict:?}");
        for dry_run in [true, false] {
            let options = Options { dry_run, ..lenient.clone() };
            let done = applied(&place, object.clone(), &options).await.unwrap();
            let told = done.warnings.iter().filter(|warning| warning.contains("unknown field")).count();
            assert_eq!(told, count, "{:?}", done.warnings);
        }
        let object = place.one(object);
        let live = place.live(&object).await.unwrap();
        assert_eq!(live.get("invalidKey").or(live.get("nothing")), None);
        let again = apply::apply(&place.cluster, place.resource(&object), &object, Some(&live), &lenient).await;
        assert_eq!(lines(&live, &again.unwrap().object), Vec::<String>::new());
    }
}

/// What gets a default again when Git gives it up is foreseen, with what comes with that default.
#[tokio::test]
async fn fields_that_git_gives_up_show_the_default_that_they_get() {
    let Some(place) = Place::new("defaults").await else { return };
    let mut before = deployment("web", "nginx:1");
    before["spec"]["replicas"] = json!(4);
    before["spec"]["strategy"] = json!({"type": "Recreate"});
    before["spec"]["revisionHistoryLimit"] = json!(3);
    before["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    before["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    place.apply(&place.one(before)).await;
    let mut after = deployment("web", "nginx:1");
    after["spec"].as_object_mut().unwrap().shift_remove("replicas");
    let after = place.one(after);
    let found = foreseen(&place, &after).await;
    let expected = [
        "spec.replicas: 4 -> 1",
        "spec.revisionHistoryLimit: 3 -> 10",
        r#"spec.strategy.rollingUpdate: - -> {"maxUnavailable":"25%","maxSurge":"25%"}"#,
        r#"spec.strategy.type: "Recreate" -> "RollingUpdate""#,
        r#"spec.template.spec.containers[name=web].imagePullPolicy: "Never" -> "IfNotPresent""#,
    ];
    assert_eq!(found, expected);
    sync(&place, &after).await;

    let typed = |fields: Value| {
        let mut service = service(&json!([{"name": "http", "port": 80, "targetPort": 8080}]));
        service["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        service
    };
    place.apply(&place.one(typed(json!({"type": "NodePort", "sessionAffinity": "ClientIP"})))).await;
    let live = sync(&place, &place.one(typed(json!({})))).await;
    assert_eq!(live.pointer("/spec/type"), Some(&json!("ClusterIP")));
    assert_eq!(live.pointer("/spec/sessionAffinity"), Some(&json!("None")));
}

/// Who scales is told by the tool: a person's number goes with Git's, a controller's stays.
#[tokio::test]
async fn replicas_that_leave_git_are_those_of_a_controller_or_one() {
    let Some(place) = Place::new("scaled").await else { return };
    for (name, manager, expected) in [("person", "kubectl", 1), ("controller", "kube-controller-manager", 5)] {
        place.apply(&place.one(deployment(name, "nginx:1"))).await;
        let scale =
            ["patch", "deployment", name, "--subresource=scale", "--type=merge", "-p", r#"{"spec":{"replicas":5}}"#];
        kubectl(&place, &[&scale[..], &[&format!("--field-manager={manager}")]].concat());
        let mut after = deployment(name, "nginx:1");
        after["spec"].as_object_mut().unwrap().shift_remove("replicas");
        let live = sync(&place, &place.one(after)).await;
        assert_eq!(live.pointer("/spec/replicas"), Some(&json!(expected)), "{name}");
    }
}

/// The first comparison after a move claims what the sync will do, and no more.
#[tokio::test]
async fn the_first_diff_after_a_move_is_what_comes() {
    let Some(place) = Place::new("moved").await else { return };
    let mut web = deployment("web", "nginx:1");
    web["spec"]["minReadySeconds"] = json!(5);
    web["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}]);
    let first = [
        web,
        secret(&json!({"stringData": {"keep": "a", "gone": "b"}})),
        service(&json!([{"name": "http", "port": 80, "targetPort": 8080}])),
        config_map("c", &json!({"keep": "1", "gone": "1"})),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {
            "rules": [{"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend":
                {"service": {"name": "web", "port": {"number": 80}}}}]}}]}}),
    ];
    let mut second = first.clone();
    second[0]["spec"].as_object_mut().unwrap().shift_remove("minReadySeconds");
    second[1]["stringData"] = json!({"keep": "a"});
    second[3]["data"] = json!({"keep": "1"});
    second[4]["spec"]["rules"][0]["host"] = json!("b.example.com");
    let changes: [&[&str]; 5] = [
        &["spec.minReadySeconds: 5 -> -"],
        &["data.gone: \"Yg==\" -> -"],
        &[],
        &["data.gone: \"1\" -> -"],
        &[r#"spec.rules[0].host: "a.example.com" -> "b.example.com""#],
    ];
    for manager in ["argocd-controller", "kubectl-client-side-apply"] {
        for (number, object) in first.iter().enumerate() {
            let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
            std::fs::write(file.path(), object.to_string()).unwrap();
            let manager = format!("--field-manager={manager}");
            kubectl(&place, &["apply", &manager, "-f", file.path().to_str().unwrap()]);
            for (object, changes) in [(object, [].as_slice()), (&second[number], changes[number])] {
                let desired = place.one(object.clone());
                let is_mark = |line: &String| line.starts_with("metadata.");
                let mut found = foreseen(&place, &desired).await;
                found.retain(|line| !is_mark(line));
                assert_eq!(found, changes, "{manager} {}", desired.id());
            }
            sync(&place, &place.one(second[number].clone())).await;
            kubectl(&place, &["delete", "-f", file.path().to_str().unwrap()]);
        }
    }
}

/// What a client-side apply had, a person edited and Git gave up in the very move goes as well.
#[tokio::test]
async fn what_left_git_in_the_very_move_leaves_the_object() {
    let Some(place) = Place::new("moving").await else { return };
    kubectl_apply(&place, &config_map("c", &json!({"keep": "a", "removed": "b"})));
    patch(&place, ["configmap", "c"], "kubectl-edit", "merge", &json!({"data": {"removed": "edited", "own": "x"}}));
    let live = sync(&place, &place.one(config_map("c", &json!({"keep": "a"})))).await;
    assert_eq!(live.get("data"), Some(&json!({"keep": "a", "own": "x"})));
    // What Helm installed is Git's where Git has it, and Helm's where it does not.
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), config_map("h", &json!({"a": "1", "b": "1", "c": "1"})).to_string()).unwrap();
    kubectl(&place, &["create", "--field-manager=helm", "-f", file.path().to_str().unwrap()]);
    sync(&place, &place.one(config_map("h", &json!({"a": "1", "b": "1"})))).await;
    let live = sync(&place, &place.one(config_map("h", &json!({"a": "1"})))).await;
    assert_eq!(live.get("data"), Some(&json!({"a": "1", "c": "1"})));
}

/// What the API server filled in can't stay beside another choice of Git's (`kubectl apply`: `retainKeys`).
#[tokio::test]
async fn another_choice_of_git_replaces_the_default() {
    let Some(place) = Place::new("choice").await else { return };
    let mut before = deployment("web", "nginx:1");
    before["spec"]["template"]["spec"]["volumes"] = json!([{"name": "v"}, {"name": "w", "emptyDir": {}}]);
    place.apply(&place.one(before.clone())).await;
    let mut after = before.clone();
    after["spec"]["strategy"] = json!({"type": "Recreate"});
    after["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "v", "configMap": {"name": "c"}}, {"name": "w", "secret": {"secretName": "s"}}]);
    let live = sync(&place, &place.one(after)).await;
    assert_eq!(live.pointer("/spec/strategy"), Some(&json!({"type": "Recreate"})));
    assert_eq!(pod_of(&live)["volumes"][0].get("emptyDir"), None);
    let live = sync(&place, &place.one(before)).await;
    assert_eq!(live.pointer("/spec/strategy/type"), Some(&json!("RollingUpdate")));
    // The same after a hand changed the choice.
    let edit = json!([{"op": "replace", "path": "/spec/template/spec/volumes/1",
        "value": {"name": "w", "configMap": {"name": "own"}}}]);
    patch(&place, ["deployment", "web"], "kubectl-edit", "json", &edit);
    let mut healed = deployment("web", "nginx:1");
    healed["spec"]["template"]["spec"]["volumes"] = json!([{"name": "v"}, {"name": "w", "emptyDir": {}}]);
    let live = sync(&place, &place.one(healed)).await;
    assert_eq!(pod_of(&live)["volumes"][1], json!({"name": "w", "emptyDir": {}}));
}
