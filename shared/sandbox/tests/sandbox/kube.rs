//! The Kubernetes API: what a deployment sees.

use http::Method;
use serde_json::{Value, json};
use slipway_sandbox::kube::{Cluster, Options};

use crate::client::send;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";

fn deployment(image: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web",
                "image": image}]}},
        },
    })
}

async fn available(cluster: &Cluster) -> Value {
    for _ in 0..500 {
        let web = cluster.get(WEB).unwrap();
        if web["status"]["observedGeneration"] == web["metadata"]["generation"]
            && web["status"]["availableReplicas"] == web["spec"]["replicas"]
            && web["status"]["updatedReplicas"] == web["status"]["replicas"]
        {
            return web;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the Deployment does not become available: {}", cluster.get(WEB).unwrap());
}

#[tokio::test]
async fn a_deployment_rolls_out_and_drift_has_an_owner() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let apply = format!("{WEB}?fieldManager=slipway&force=true");
    let (status, _) = cluster.call(Method::PATCH, &apply, APPLY, &deployment("web:1", 2));
    assert_eq!(status.as_u16(), 201);
    let first = available(&cluster).await;
    assert_eq!(first["metadata"]["annotations"]["deployment.kubernetes.io/revision"], json!("1"));
    cluster.call(Method::PATCH, &apply, APPLY, &deployment("web:2", 2));
    let second = available(&cluster).await;
    assert_eq!(second["metadata"]["annotations"]["deployment.kubernetes.io/revision"], json!("2"));
    let pods = cluster.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb").unwrap();
    let images: Vec<&str> = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|pod| pod["spec"]["containers"][0]["image"].as_str())
        .collect();
    assert_eq!(images, ["web:2", "web:2"]);

    let (status, _) = cluster.call(Method::PATCH, &format!("{WEB}/scale"), MERGE, &json!({"spec": {"replicas": 5}}));
    assert_eq!(status.as_u16(), 200);
    let (status, conflict) =
        cluster.call(Method::PATCH, &format!("{WEB}?fieldManager=slipway"), APPLY, &deployment("web:2", 2));
    assert_eq!(status.as_u16(), 409);
    assert_eq!(
        conflict["message"],
        json!(
            "Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using apps/v1: \
             .spec.replicas"
        )
    );
    let (_, dry) = cluster.call(Method::PATCH, &format!("{apply}&dryRun=All"), APPLY, &deployment("web:2", 2));
    assert_eq!(dry["spec"]["replicas"], json!(2));
    assert_eq!(cluster.get(WEB).unwrap()["spec"]["replicas"], json!(5));

    let (status, _) = cluster.call(Method::DELETE, WEB, "application/json", &Value::Null);
    assert_eq!(status.as_u16(), 200);
    for _ in 0..500 {
        if cluster.get("/api/v1/namespaces/default/pods").unwrap()["items"] == json!([]) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("pods outlive their Deployment");
}

#[tokio::test]
async fn lists_and_watches_over_http() {
    let cluster = Cluster::start(Options { controllers: false, ..Options::default() }).await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    for name in ["a", "b", "c"] {
        let map = json!({"metadata": {"name": name, "labels": {"n": name}}, "data": {"k": name}});
        assert_eq!(cluster.call(Method::POST, maps, "application/json", &map).0.as_u16(), 201);
    }
    let url = |path: &str| format!("{}{path}", cluster.url());
    let page = send("GET", &url(&format!("{maps}?limit=2")), &[], "").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let next = page["metadata"]["continue"].as_str().unwrap();
    let rest = send("GET", &url(&format!("{maps}?limit=2&continue={next}")), &[], "").await.json();
    assert_eq!(rest["items"][0]["metadata"]["name"], json!("c"));
    let version = page["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = url(&format!(
        "{maps}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={version}&labelSelector=n%21%3Da"
    ));
    let watching = tokio::spawn(async move { send("GET", &watch, &[], "").await });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    for (name, value) in [("a", "x"), ("b", "x")] {
        cluster.call(Method::PATCH, &format!("{maps}/{name}"), MERGE, &json!({"data": {"k": value}}));
    }
    cluster.call(Method::PATCH, &format!("{maps}/b"), MERGE, &json!({"metadata": {"labels": {"n": "a"}}}));
    cluster.call(Method::DELETE, &format!("{maps}/c"), "application/json", &Value::Null);
    let body = watching.await.unwrap().body;
    let events: Vec<Value> =
        std::str::from_utf8(&body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<String> = events
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                event["type"].as_str().unwrap(),
                event["object"]["metadata"]["name"].as_str().unwrap_or("-")
            )
        })
        .collect();
    assert_eq!(shown, ["MODIFIED b", "DELETED b", "DELETED c", "BOOKMARK -"]);
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let table = send("GET", &url(maps), &accept, "").await.json();
    assert_eq!(
        (&table["kind"], &table["rows"][0]["cells"][0], &table["rows"][0]["cells"][1]),
        (&json!("Table"), &json!("a"), &json!(1))
    );
}

#[tokio::test]
async fn custom_resources_are_served_once_defined() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced", "names": {"plural": "rollouts", "kind": "Rollout"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rollouts.argoproj.io?fieldManager=slipway";
    assert_eq!(cluster.call(Method::PATCH, path, APPLY, &crd).0.as_u16(), 201);
    let rollout = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "r"},
        "spec": {"steps": [{"pause": {}}], "a": {"b": 1}}});
    let path = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts/r?fieldManager=slipway";
    let (status, stored) = cluster.call(Method::PATCH, path, APPLY, &rollout);
    assert_eq!(status.as_u16(), 201);
    assert_eq!(
        stored["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {".": {}, "f:a": {".": {}, "f:b": {}}, "f:steps": {}}})
    );
    assert!(cluster.get("/apis/argoproj.io").is_some());
}
