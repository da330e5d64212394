//! Applications of a chart in Git with values in another repository, and of Jsonnet, deployed by the functions onto the
//! real control plane.

use std::fs;

use serde_json::{Value, json};
use slipway_gitops::Revisions;
use slipway_gitops::status::SyncStatus;
use slipway_sandbox::forge::Change;

use crate::Place;
use crate::functions::{self, Functions, in_a_while};

/// An Application `name` of a chart, whose values another repository has.
pub(crate) fn chart_with_values(name: &str) -> Vec<(String, String)> {
    let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {"project": "default", "destination": {"name": "in-cluster", "namespace": name}, "sources": [
            {"repoURL": "https://github.com/acme/gitops", "path": "chart",
                "helm": {"valueFiles": ["$values/web.yaml"]}},
            {"repoURL": "https://github.com/acme/values", "targetRevision": "main", "ref": "values"}],
            "syncPolicy": {"automated": {"selfHeal": true}}}});
    let template = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  \
                    replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app: web}}\n  template:\n    \
                    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'web:1'}]}\n";
    [
        (format!("{name}/app.yaml"), app.to_string()),
        ("chart/Chart.yaml".to_owned(), "apiVersion: v2\nname: web\nversion: 1.0.0\n".to_owned()),
        ("chart/templates/web.yaml".to_owned(), template.to_owned()),
    ]
    .into()
}

#[tokio::test]
async fn a_chart_in_git_follows_its_values_in_another_repository() {
    let Some(place) = Place::new("sources").await else { return };
    let mut functions = Functions::start(&place, &[]).await;
    let name = place.namespace().to_owned();
    let values = functions.repository("values");
    let push_values = |functions: &Functions, replicas: u32| {
        functions.push_to(&values, "Scale", &[("web.yaml".to_owned(), format!("replicas: {replicas}\n"))])
    };
    let first = push_values(&functions, 1);
    let head = functions.push_to(&functions.sandbox.repository, "Deploy", &chart_with_values(&name));
    functions.settle().await;
    let recorded = async || functions::recorded(&place, &name).await.unwrap();
    let replicas = || {
        let deployments = crate::sync::list(&place, "deployments");
        deployments.first().map(|one| one["spec"]["replicas"].clone()).unwrap_or_default()
    };
    let at = |values: &str| Revisions::PerSource(vec![head.clone(), values.to_owned()]);
    let status = recorded().await.status;
    assert_eq!((status.sync.status, status.sync.revisions), (SyncStatus::Synced, at(&first)));
    assert_eq!((replicas(), status.history.len()), (json!(1), 1));

    // The values alone.
    let second = push_values(&functions, 2);
    functions.settle().await;
    let status = recorded().await.status;
    assert_eq!((replicas(), status.sync.revisions, status.history.len()), (json!(2), at(&second), 2));

    // A push that nobody heard of.
    let third = push_values(&functions, 3);
    while functions.webhooks.try_recv().is_ok() {}
    let found = functions.checker.handle(json!({}), in_a_while(), "check").await.unwrap();
    assert_eq!(found["applications"][&name]["behind"], json!(at(&third).to_string()), "{found}");
    assert_eq!((replicas(), recorded().await.status.sync.revisions), (json!(3), at(&third)));
    let found = functions.checker.handle(json!({}), in_a_while(), "check").await.unwrap();
    assert_eq!(found["applications"][&name], json!({}), "{found}");
}

#[tokio::test]
async fn a_jsonnet_application_is_deployed_as_go_jsonnet_makes_it() {
    let Some(place) = Place::new("jsonnet").await else { return };
    let mut functions = Functions::start(&place, &[]).await;
    let name = place.namespace().to_owned();
    let read = |file: &str| -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/reference/jsonnet");
        let lines = fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.find(|line| line["name"] == "kubernetes/1").unwrap()
    };
    let (case, expected) = (read("cases.jsonl"), read("expected.jsonl"));
    let variables: Vec<Value> = case["extVars"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {"project": "default", "destination": {"name": "in-cluster", "namespace": name},
            "source": {"repoURL": "https://github.com/acme/gitops", "path": "jsonnet",
                "directory": {"jsonnet": {"extVars": variables, "libs": ["vendor"]}}},
            "syncPolicy": {"automated": {}}}});
    let main = case["files"]["main.jsonnet"].as_str().unwrap();
    let changes = [
        Change::write(format!("{name}/app.yaml"), app.to_string()),
        Change::write("jsonnet/app.jsonnet", "import 'app.libsonnet'"),
        Change::write("vendor/app.libsonnet", main),
    ];
    functions.sandbox.forge.push(&functions.sandbox.repository, "main", "Deploy", &changes).unwrap();
    functions.settle().await;
    let recorded = functions::recorded(&place, &name).await.unwrap();
    assert_eq!(recorded.status.sync.status, SyncStatus::Synced);
    let live: Vec<Value> =
        ["deployments", "configmaps"].iter().flat_map(|kind| crate::sync::list(&place, kind)).collect();
    for wanted in expected["value"].as_array().unwrap() {
        let is_it =
            |one: &&Value| one["kind"] == wanted["kind"] && one["metadata"]["name"] == wanted["metadata"]["name"];
        let found = live.iter().find(is_it).unwrap_or_else(|| panic!("{wanted} is not there"));
        assert!(contains(found, wanted), "{found} is not {wanted}");
    }

    // A push that changes what is imported reaches it.
    let renamed = main.replace("'web:%s'", "'shop:%s'");
    let changes = [Change::write("vendor/app.libsonnet", renamed)];
    functions.sandbox.forge.push(&functions.sandbox.repository, "main", "Rename", &changes).unwrap();
    functions.settle().await;
    let deployment = crate::sync::list(&place, "deployments").pop().unwrap();
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "shop:1.2.3");
}

/// Whether an object has all that is `wanted`, whatever the API server adds.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| contains(found, wanted)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| contains(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}
