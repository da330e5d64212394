//! A push renders and syncs what it can reach; everything else is only counted.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::world::{Flow, soon};

const ANNOTATION: &str = "slipway.dev/deployed-inputs";

fn app(name: &str, annotations: &Value) -> (String, String) {
    let source = json!({"repoURL": "https://github.com/acme/gitops", "path": name, "targetRevision": "main"});
    let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd", "annotations": annotations},
        "spec": {"project": "default", "source": source,
            "syncPolicy": {"automated": {"prune": true}, "retry": {"limit": 0}},
            "destination": {"name": "in-cluster", "namespace": "shop"}}});
    (format!("applications/{name}.yaml"), object.to_string())
}

fn config(name: &str, value: &str) -> (String, String) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}});
    (format!("{name}/config.yaml"), object.to_string())
}

fn push(flow: &Flow, files: &[(String, String)]) {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    flow.push("Change", &files);
}

fn value(flow: &Flow, name: &str) -> Value {
    let found = flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}"));
    found.map_or(Value::Null, |found| found["data"]["a"].clone())
}

/// The applications whose Lease was asked for since request number `since`.
fn worked_on(flow: &Flow, since: usize) -> BTreeSet<String> {
    let paths = flow.sandbox.cluster.exchanges().into_iter().skip(since).map(|exchange| exchange.request.path);
    let leases = paths.filter_map(|path| path.split_once("/leases/").map(|(_, name)| name.to_owned()));
    leases.filter_map(|name| name.rsplit_once('-').map(|(name, _)| name.to_owned())).collect()
}

/// Four applications of one repository beside the shop; two have a base.
async fn four() -> Flow {
    let mut flow = Flow::deployed().await;
    let overlay =
        |name: &str| (format!("{name}/kustomization.yaml"), format!("namePrefix: {name}-\nresources: [../base]\n"));
    let mut files: Vec<(String, String)> = ["a", "b", "c", "d"].map(|name| app(name, &json!({}))).into();
    files.extend([config("a", "1"), config("b", "1"), overlay("c"), overlay("d")]);
    files.push(("base/kustomization.yaml".to_owned(), "resources: [config.yaml]\n".to_owned()));
    files.push(config("base", "1"));
    push(&flow, &files);
    flow.settle().await;
    assert_eq!(["a", "b", "c-base", "d-base"].map(|name| value(&flow, name)), ["1"; 4], "{:?}", flow.messages());
    flow
}

/// Pushes `files`, and gives which applications were worked on.
async fn after(flow: &mut Flow, files: &[(String, String)]) -> Vec<String> {
    let since = flow.sandbox.cluster.exchanges().len();
    push(flow, files);
    flow.settle().await;
    worked_on(flow, since).into_iter().collect()
}

#[tokio::test]
async fn a_push_renders_what_it_can_reach() {
    let mut flow = Box::pin(four()).await;
    let told = flow.messages().len();
    assert_eq!(after(&mut flow, &[config("a", "2")]).await, ["a"]);
    assert_eq!((value(&flow, "a"), flow.messages().len()), (json!("2"), told + 1), "{:?}", flow.messages());
    let status = &flow.statuses()[0];
    assert_eq!(status["description"], "Applications: 1 deployed, 4 unchanged", "{status}");

    assert_eq!(after(&mut flow, &[config("base", "2")]).await, ["c", "d"]);
    assert_eq!(["c-base", "d-base"].map(|name| value(&flow, name)), ["2"; 2]);

    assert!(after(&mut flow, &[("NOTES.md".to_owned(), "hello".to_owned())]).await.is_empty());
    let status = &flow.statuses()[0];
    assert_eq!((&status["state"], &status["description"]), (&json!("success"), &json!("Applications: 5 unchanged")));

    // Its own manifest counts, and what was added beside its files.
    assert_eq!(after(&mut flow, &[app("b", &json!({"a": "b"}))]).await, ["b"]);
    let more = ("b/more.yaml".to_owned(), config("more", "1").1);
    assert_eq!(after(&mut flow, &[more]).await, ["b"]);
    assert_eq!(value(&flow, "more"), "1");
}

/// Each application is at another commit; the check needs the head alone, and finds nothing.
#[tokio::test]
async fn an_application_that_nothing_reached_is_not_behind() {
    let mut flow = Box::pin(four()).await;
    for files in [config("a", "2"), config("base", "2"), config("b", "2")] {
        after(&mut flow, &[files]).await;
    }
    let told = flow.messages();
    let since = flow.sandbox.forge.exchanges().len();
    let found = flow.check().await;
    let nothing = json!({"a": {}, "b": {}, "c": {}, "d": {}, "shop": {}});
    assert_eq!((&found["applications"], flow.messages()), (&nothing, told.clone()));
    let paths = flow.sandbox.forge.exchanges().into_iter().skip(since).map(|exchange| exchange.request.path);
    let archives: BTreeSet<String> = paths.filter(|path| path.contains("/tarball/")).collect();
    assert_eq!(archives.len(), 1, "{archives:?}");

    let path = "/api/v1/namespaces/shop/configmaps/c-base?fieldManager=kubectl-edit";
    let by_hand = json!({"data": {"a": "by hand"}});
    assert!(flow.sandbox.cluster.call(Method::PATCH, path, "application/merge-patch+json", &by_hand).0.is_success());
    let found = flow.check().await;
    assert_eq!(found["applications"]["c"]["differs"], json!(["ConfigMap/shop/c-base data.a"]), "{found}");
    // What is not Synced is not passed over, as before.
    assert_eq!(after(&mut flow, &[config("a", "3")]).await, ["a", "c"]);
    assert_eq!(value(&flow, "c-base"), "2");
}

#[tokio::test]
async fn a_lost_push_is_made_up_for_where_it_reaches() {
    let mut flow = Box::pin(four()).await;
    push(&flow, &[config("b", "2")]);
    while flow.next_webhook().is_some() {}
    let since = flow.sandbox.cluster.exchanges().len();
    let found = flow.check().await;
    assert_eq!(found["applications"]["b"]["behind"], flow.sandbox.head().unwrap().unwrap().to_string(), "{found}");
    assert_eq!(found["applications"]["a"], json!({}));
    assert_eq!(value(&flow, "b"), "2");
    assert_eq!(worked_on(&flow, since).into_iter().collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_failed_sync_is_tried_again_although_nothing_changed() {
    let mut flow = Box::pin(four()).await;
    let bad =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": {"no": "text"}}});
    assert_eq!(after(&mut flow, &[("a/config.yaml".to_owned(), bad.to_string())]).await, ["a"]);
    assert_eq!(flow.statuses().last().unwrap()["state"], "failure");
    assert_eq!(after(&mut flow, &[("NOTES.md".to_owned(), "hello".to_owned())]).await, ["a"]);
    // A revert of what could not be deployed is looked at, too.
    assert_eq!(after(&mut flow, &[config("a", "1")]).await, ["a"]);
    assert!(after(&mut flow, &[("NOTES.md".to_owned(), "bye".to_owned())]).await.is_empty());
}

/// Who depends on an application that is deployed, at whatever commit, does not wait for it.
#[tokio::test]
async fn dependencies_that_nothing_reached_are_ready() {
    let mut flow = Box::pin(four()).await;
    let on = json!({"slipway.dev/depends-on": "a"});
    assert_eq!(after(&mut flow, &[app("b", &on), config("b", "2")]).await, ["b"]);
    assert_eq!(value(&flow, "b"), "2", "{:?}", flow.messages());
    assert_eq!(after(&mut flow, &[config("a", "2"), config("b", "3")]).await, ["a", "b"]);
    assert_eq!(value(&flow, "b"), "3", "{:?}", flow.messages());
}

/// Who can write a ConfigMap can bring back an earlier annotation: that hides a commit until the next check.
#[tokio::test]
async fn a_forged_annotation_hides_nothing_for_long() {
    let mut flow = Box::pin(four()).await;
    let list = "/api/v1/namespaces/slipway/configmaps";
    let of_a = |flow: &Flow| {
        let states = flow.sandbox.cluster.get(list).unwrap()["items"].as_array().unwrap().clone();
        states.into_iter().find(|state| state["metadata"]["name"].as_str().unwrap().starts_with("a-")).unwrap()
    };
    let first = of_a(&flow)["metadata"]["annotations"][ANNOTATION].clone();
    assert!(first.is_string());
    after(&mut flow, &[config("a", "2")]).await;
    let path = format!("{list}/{}", of_a(&flow)["metadata"]["name"].as_str().unwrap());
    for (forged, expected) in [(json!("0 0"), "1"), (first, "2")] {
        after(&mut flow, &[config("a", "2")]).await;
        let body = json!({"metadata": {"annotations": {ANNOTATION: forged}}});
        assert!(flow.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body).0.is_success());
        after(&mut flow, &[config("a", "1")]).await;
        assert_eq!(value(&flow, "a"), expected);
        flow.check().await;
        assert_eq!(value(&flow, "a"), "1");
    }
}

/// A report that got lost with its worker is made up for by the same message.
#[tokio::test]
async fn the_pushed_commit_itself_is_looked_at_again() {
    let mut flow = Box::pin(four()).await;
    push(&flow, &[config("a", "2")]);
    let message = flow.message().await;
    for _ in 0..2 {
        let since = flow.sandbox.cluster.exchanges().len();
        flow.deployer.handle(message.clone(), soon(), "test").await.unwrap();
        assert_eq!(worked_on(&flow, since).into_iter().collect::<Vec<_>>(), ["a"]);
    }
}
