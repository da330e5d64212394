//! A push becomes a deployment.

use serde_json::json;
use slipway_manifest::Object;

use crate::world::Flow;

#[tokio::test]
async fn a_push_is_deployed_healthy_told_once_and_recorded() {
    let mut flow = Flow::with_shop().await;
    let answers = flow.settle().await;
    assert_eq!(answers[0]["statusCode"], 202, "{answers:?}");
    assert_eq!(answers[1], json!({"batchItemFailures": []}));

    let deployment = Object::from_value(flow.deployment()).unwrap();
    let image = deployment.pointer("/spec/template/spec/containers/0/image").unwrap();
    assert_eq!(image, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web:1.2.3");
    assert_eq!(deployment.annotation("argocd.argoproj.io/tracking-id"), Some("web:apps/Deployment:shop/web"));
    assert!(deployment.label("applyset.kubernetes.io/part-of").is_some());
    assert_eq!(deployment.pointer("/status/availableReplicas"), Some(&json!(2)));

    let messages = flow.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].starts_with(":white_check_mark: *web* is deployed to *in-cluster*"), "{messages:?}");

    let head = flow.world.repository.branch("main").unwrap().unwrap();
    let statuses = flow.world.forge.statuses(head);
    assert_eq!(statuses.len(), 1);
    assert_eq!((&statuses[0]["state"], &statuses[0]["context"]), (&json!("success"), &json!("slipway/in-cluster")));
}

#[tokio::test]
async fn a_second_push_of_the_same_changes_nothing_and_says_nothing() {
    let mut flow = Flow::with_shop().await;
    flow.settle().await;
    let before = flow.deployment()["metadata"]["resourceVersion"].clone();
    flow.world.push("Say hello", &[("README.md", "hello")]).unwrap();
    flow.settle().await;
    assert_eq!(flow.deployment()["metadata"]["resourceVersion"], before);
    assert_eq!(flow.messages().len(), 1);
}

#[tokio::test]
async fn what_leaves_git_is_pruned_and_nothing_else() {
    let mut flow = Flow::with_shop().await;
    flow.settle().await;
    let kustomization = crate::world::shop()[1].1.replace("  - config.yaml\n", "");
    flow.world.push("Drop the settings", &[("web/kustomization.yaml", &kustomization)]).unwrap();
    flow.settle().await;
    assert!(flow.world.cluster.get("/api/v1/namespaces/shop/configmaps/settings").is_none());
    assert!(flow.world.cluster.get("/api/v1/namespaces/shop/secrets/password").is_none());
    flow.deployment();
    let messages = flow.messages();
    assert!(messages[1].contains("ConfigMap/shop/settings pruned"), "{messages:?}");
}

#[tokio::test]
async fn a_broken_render_changes_nothing_and_is_told() {
    let mut flow = Flow::with_shop().await;
    flow.settle().await;
    flow.world.push("Break it", &[("web/kustomization.yaml", "resources: [nowhere.yaml]\n")]).unwrap();
    let answers = flow.settle().await;
    assert_eq!(answers[1], json!({"batchItemFailures": []}), "a mistake in Git is not tried again");
    flow.deployment();
    let messages = flow.messages();
    assert!(messages[1].contains("nowhere.yaml"), "{messages:?}");
    let head = flow.world.repository.branch("main").unwrap().unwrap();
    assert_eq!(flow.world.forge.statuses(head)[0]["state"], "failure");
}

#[tokio::test]
async fn an_emptied_source_is_held_by_the_brake() {
    let mut flow = Flow::with_shop().await;
    flow.settle().await;
    flow.world.push("Empty it", &[("web/kustomization.yaml", "resources: []\n")]).unwrap();
    flow.settle().await;
    flow.deployment();
    let messages = flow.messages();
    assert!(messages[1].contains("slipway.dev/prune-approved"), "{messages:?}");
}

#[tokio::test]
async fn no_secret_reaches_any_output() {
    let mut flow = Flow::with_shop().await;
    let mut said = format!("{:?}", flow.settle().await);
    // A Secret that the API server refuses: its error must not quote the value.
    let broken = crate::world::shop()[4].1.replace("stringData:", "immutable: canary-secret-value\nstringData:");
    flow.world.push("Break the secret", &[("web/config.yaml", &broken)]).unwrap();
    said += &format!("{:?}", flow.settle().await);
    said += &flow.check().await.to_string();
    said += &flow.messages().join("\n");
    let head = flow.world.repository.branch("main").unwrap().unwrap();
    said += &format!("{:?}", flow.world.forge.statuses(head));
    for map in flow.world.cluster.get("/api/v1/namespaces/slipway/configmaps").unwrap()["items"].as_array().unwrap() {
        said += &map.to_string();
    }
    assert!(said.contains("Secret/shop/password"), "the failure is told: {said}");
    for canary in ["canary", "sandbox-token", "Y2FuYXJ5"] {
        assert!(!said.contains(canary), "{canary} in {said}");
    }
}
