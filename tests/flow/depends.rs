//! Deploys Applications that need each other, in one push.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use slipway_sandbox::forge::Change;
use tokio::time::Instant;

use crate::world::Flow;

/// An application of one object, and its annotations.
fn app(name: &str, annotations: &Value, object: &Value) -> Vec<(String, String)> {
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd", "annotations": annotations},
        "spec": {
            "source": {"repoURL": "https://github.com/acme/gitops", "path": name, "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {}, "retry": {"limit": 0},
                "syncOptions": ["CreateNamespace=true"]}}});
    vec![
        (format!("applications/{name}.yaml"), application.to_string()),
        (format!("{name}/object.yaml"), object.to_string()),
    ]
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

/// Healthy once somebody gives it an address.
fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": "LoadBalancer",
        "ports": [{"port": 80}]}})
}

fn push(flow: &Flow, files: &[Vec<(String, String)>]) {
    let changes: Vec<Change> = files.iter().flatten().map(|(path, text)| Change::write(path, text.as_str())).collect();
    flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Change", &changes).unwrap();
}

/// As [`Flow::settle`], with little time for each event.
async fn hurry(flow: &mut Flow, seconds: u64, events: usize) {
    for _ in 0..events {
        let event = flow.next_webhook().or_else(|| flow.sandbox.aws.next_event());
        let Some(event) = event else { return };
        flow.deployer.handle(event, Instant::now() + Duration::from_secs(seconds), "test").await.unwrap();
    }
}

fn version(flow: &Flow, path: &str) -> Option<u64> {
    let object = flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/{path}"))?;
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

fn on(names: &str) -> Value {
    json!({ "slipway.dev/depends-on": names })
}

/// The health check of Argo CD's documentation (`docs/operator-manual/health.md`).
const HEALTH: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd}
data:
  resource.customizations.health.argoproj.io_Application: |
    hs = {}
    hs.status = "Progressing"
    hs.message = ""
    if obj.status ~= nil then
      if obj.status.health ~= nil then
        hs.status = obj.status.health.status
        if obj.status.health.message ~= nil then
          hs.message = obj.status.health.message
        end
      end
    end
    return hs
"#;

#[tokio::test]
async fn an_application_comes_after_what_it_depends_on() {
    let mut flow = Flow::deployed().await;
    // By name the other way round; the last of them comes by its wave.
    let wave = json!({"argocd.argoproj.io/sync-wave": "1"});
    push(
        &flow,
        &[
            app("a-third", &on("b-second"), &config_map("third")),
            app("b-second", &on("argocd/c-first"), &config_map("second")),
            app("c-first", &json!({}), &config_map("first")),
        ],
    );
    flow.settle().await;
    let versions = ["first", "second", "third"].map(|name| version(&flow, &format!("configmaps/{name}")).unwrap());
    assert!(versions.is_sorted(), "{versions:?}");
    // The shop never gets well (its Ingress has no address): where Applications have a health, nothing comes after it
    // by waves.
    push(&flow, &[app("early", &wave, &config_map("early"))]);
    flow.settle().await;
    assert!(version(&flow, "configmaps/early").is_some(), "{:?}", flow.messages());
    flow.push("Health of Applications", &[("applications/argocd-cm.yaml", HEALTH)]);
    flow.settle().await;
    push(&flow, &[app("late", &wave, &config_map("late"))]);
    hurry(&mut flow, 8, 2).await;
    assert_eq!(version(&flow, "configmaps/late"), None);
    let told = flow.messages().join("\n");
    assert!(told.contains("waiting for application shop (Progressing)"), "{told}");
}

/// An ApplicationSet that syncs `dev` before `prod`; what no step selects is left to people.
#[tokio::test]
async fn a_rolling_sync_goes_step_by_step() {
    let mut flow = Flow::deployed().await;
    let step = |env: &str| json!({"matchExpressions": [{"key": "env", "operator": "In", "values": [env]}]});
    let template = json!({
        "metadata": {"name": "{{env}}", "labels": {"env": "{{env}}"}},
        "spec": {
            "project": "default", "destination": {"name": "in-cluster", "namespace": "shop"},
            "source": {"repoURL": "https://github.com/acme/gitops", "path": "{{env}}", "targetRevision": "main"}}});
    let set = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "envs", "namespace": "argocd"},
        "spec": {
            "generators": [{"list": {"elements": [{"env": "prod"}, {"env": "dev"}, {"env": "other"}]}}],
            "strategy": {"type": "RollingSync", "rollingSync": {"steps": [step("dev"), step("prod")]}},
            "template": template}});
    let files = [
        ("applications/set.yaml", set.to_string()),
        ("dev/object.yaml", service("dev").to_string()),
        ("prod/object.yaml", config_map("prod").to_string()),
        ("other/object.yaml", config_map("other").to_string()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    flow.push("Environments", &files);
    hurry(&mut flow, 8, 2).await;
    assert!(version(&flow, "services/dev").is_some(), "{:?}", flow.messages());
    assert_eq!(version(&flow, "configmaps/prod"), None, "{:?}", flow.messages());
    let body = json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}});
    let path = "/api/v1/namespaces/shop/services/dev/status";
    assert!(flow.sandbox.cluster.call(Method::PATCH, path, "application/merge-patch+json", &body).0.is_success());
    flow.check().await;
    flow.settle().await;
    assert!(version(&flow, "configmaps/prod").is_some(), "{:?}", flow.state("prod").await);
    assert_eq!(version(&flow, "configmaps/other"), None, "{:?}", flow.messages());
}

#[tokio::test]
async fn a_wait_is_named_goes_on_and_ends_with_what_it_waits_for() {
    let mut flow = Flow::deployed().await;
    push(&flow, &[app("base", &json!({}), &service("base")), app("top", &on("base"), &config_map("top"))]);
    // The webhook, then the push.
    hurry(&mut flow, 8, 2).await;
    assert_eq!(version(&flow, "configmaps/top"), None);
    let state = flow.state("top").await.unwrap();
    assert!(state.operation.is_some());
    let message = state.status.operation_state.unwrap().message;
    assert_eq!(message, "waiting for application base (Progressing)");
    assert!(flow.messages().join("\n").contains("waiting for application base (Progressing)"), "{:?}", flow.messages());

    let body = json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}});
    let path = "/api/v1/namespaces/shop/services/base/status";
    assert!(flow.sandbox.cluster.call(Method::PATCH, path, "application/merge-patch+json", &body).0.is_success());
    flow.check().await;
    flow.settle().await;
    assert!(version(&flow, "configmaps/top").is_some(), "{:?}", flow.state("top").await);
    assert_eq!(flow.state("top").await.unwrap().operation, None);
}

/// Who writes ConfigMaps must not thereby say that a dependency is ready.
#[tokio::test]
async fn a_dependency_counts_by_a_state_that_slipway_signed() {
    let mut flow = Flow::deployed().await;
    push(&flow, &[app("base", &json!({}), &config_map("base"))]);
    flow.settle().await;
    let name = flow.state_keys().await.into_iter().find(|key| key.name == "base").unwrap().object_name();
    let path = format!("/api/v1/namespaces/slipway/configmaps/{name}");
    for mac in [Value::Null, json!("00".repeat(32))] {
        let body = json!({"metadata": {"annotations": {"slipway.dev/state-mac": mac}}});
        let patched = flow.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body);
        assert!(patched.0.is_success());
        push(&flow, &[app("top", &on("base"), &config_map("top"))]);
        hurry(&mut flow, 8, 2).await;
        assert_eq!(version(&flow, "configmaps/top"), None, "{mac}");
        let message = flow.state("top").await.unwrap().status.operation_state.unwrap().message;
        assert_eq!(
            message,
            format!("waiting for application base (ConfigMap/slipway/{name} is not signed by Slipway)"),
            "{mac}"
        );
    }
    let body = json!({"metadata": {"annotations": {"slipway.dev/state-mac": null}}});
    flow.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body);
    flow.check().await;
    flow.settle().await;
    assert!(version(&flow, "configmaps/top").is_some(), "{:?}", flow.state("top").await);
}

#[tokio::test]
async fn what_can_not_come_first_is_told_with_its_name() {
    let mut flow = Flow::deployed().await;
    let broken = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken"},
        "data": {"a": {"not": "a text"}}});
    push(
        &flow,
        &[
            app("broken", &json!({}), &broken),
            app("behind", &on("broken"), &config_map("behind")),
            app("ring-a", &on("ring-b"), &config_map("ring-a")),
            app("ring-b", &on("ring-a"), &config_map("ring-b")),
            app("lost", &on("nowhere"), &config_map("lost")),
            app("alone", &json!({}), &config_map("alone")),
        ],
    );
    flow.settle().await;
    assert!(version(&flow, "configmaps/alone").is_some(), "who depends on nobody is not held up");
    for name in ["behind", "ring-a", "ring-b", "lost"] {
        assert_eq!(version(&flow, &format!("configmaps/{name}")), None, "{name}");
    }
    let all = flow.sandbox.slack.messages().into_iter().map(|message| message.text).collect::<Vec<_>>().join("\n");
    for part in
        ["the application broken failed: ", "ring-a → ring-b → ring-a", "names `nowhere`: there is no such Application"]
    {
        assert!(all.contains(part), "{part} in {all}");
    }
}
