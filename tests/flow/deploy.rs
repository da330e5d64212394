//! A push becomes a deployment.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_gitops::status::{OperationPhase, SyncStatus};
use slipway_manifest::Object;
use slipway_sandbox::faults::Failure;
use slipway_tests::unpacked;

use crate::world::{DEPLOYMENT, Flow, KUSTOMIZATION, soon};

#[tokio::test]
async fn a_push_is_deployed_healthy_told_once_and_recorded() {
    let mut flow = Flow::start().await;
    let answers = flow.settle().await;
    assert_eq!(answers[0]["statusCode"], 202, "{answers:?}");
    assert_eq!(answers[1], json!({"batchItemFailures": []}));

    let deployment = Object::from_value(flow.deployment()).unwrap();
    let image = deployment.pointer("/spec/template/spec/containers/0/image").unwrap();
    assert_eq!(image, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web:1.0.0");
    assert_eq!(deployment.annotation("argocd.argoproj.io/tracking-id"), Some("shop:apps/Deployment:shop/web"));
    assert!(deployment.label("applyset.kubernetes.io/part-of").is_some());
    assert_eq!(deployment.pointer("/status/availableReplicas"), Some(&json!(2)));

    let messages = flow.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].starts_with(":white_check_mark: *shop* is deployed to *in-cluster*"), "{messages:?}");
    let statuses = flow.statuses();
    assert_eq!(statuses.len(), 1);
    assert_eq!((&statuses[0]["state"], &statuses[0]["context"]), (&json!("success"), &json!("slipway/in-cluster")));
}

#[tokio::test]
async fn a_push_without_effect_writes_and_says_nothing() {
    let mut flow = Flow::deployed().await;
    let before = flow.deployment()["metadata"]["resourceVersion"].clone();
    flow.push("Say hello", &[("shop/NOTES.md", "hello")]);
    flow.settle().await;
    assert_eq!(flow.deployment()["metadata"]["resourceVersion"], before);
    assert_eq!(flow.messages().len(), 1);
}

/// Argo CD calls that Unknown and does not sync: hooks would run again though nothing changed.
#[tokio::test]
async fn no_sync_begins_while_the_cluster_does_not_answer() {
    for (what, method, path) in [("a read", Method::GET, "/deployments"), ("a dry run", Method::PATCH, DEPLOYMENT)] {
        let mut flow = Flow::deployed().await;
        let before = flow.state("shop").await.unwrap().status;
        flow.sandbox.cluster.call(
            Method::PATCH,
            DEPLOYMENT,
            "application/merge-patch+json",
            &json!({"spec": {"replicas": 5}}),
        );
        flow.push("Say hello", &[("shop/NOTES.md", "hello")]);
        let message = flow.message().await;
        flow.sandbox.cluster.failures().arm(Failure {
            method: Some(method),
            path_contains: path.to_owned(),
            count: usize::MAX,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            headers: Vec::new(),
            body: Value::Null,
        });
        let answer = flow.deployer.handle(message.clone(), soon(), "test").await.unwrap();
        assert_eq!(answer["batchItemFailures"].as_array().map(Vec::len), Some(1), "{what} is tried again: {answer}");
        let unknown = flow.state("shop").await.unwrap().status;
        assert_eq!(unknown.sync.status, SyncStatus::Unknown, "{what}");
        assert_eq!(unknown.operation_state, before.operation_state, "{what}: the last sync stays as it was told");
        let told = flow.messages();
        assert!(told[1].contains("nothing is changed: failed to read"), "{what}: {told:?}");

        flow.sandbox.cluster.failures().clear();
        flow.deployer.handle(message, soon(), "test").await.unwrap();
        let synced = flow.state("shop").await.unwrap().status;
        assert_eq!(synced.sync.status, SyncStatus::Synced, "{what}");
        assert_eq!(synced.operation_state.map(|last| last.phase), Some(OperationPhase::Succeeded), "{what}");
    }
}

/// Root and manifests in the repository's top folder, in every way to write it.
#[tokio::test]
async fn the_top_folder_is_a_folder_like_any_other() {
    for (root, path) in [("", json!(null)), ("", json!("")), ("//?ref=main", json!(".")), ("//.?ref=main", json!("./"))]
    {
        let mut flow = Flow::start().await;
        while flow.next_webhook().is_some() {}
        flow.deployer = flow.another_with(&[("SLIPWAY_ROOT", &format!("https://github.com/acme/gitops{root}"))]).await;
        let app = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "top"}, "spec": {
                "source": {"repoURL": "https://github.com/acme/gitops", "path": path, "targetRevision": "main",
                    "directory": {"include": "map.yaml"}},
                "destination": {"name": "in-cluster", "namespace": "default"}, "syncPolicy": {"automated": {}}}});
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: top}\n";
        flow.push("At the top", &[("top.json", &app.to_string()), ("map.yaml", map)]);
        flow.settle().await;
        let made = flow.sandbox.cluster.get("/api/v1/namespaces/default/configmaps/top");
        assert!(made.is_some(), "`{root}` {path}: {:?}", flow.messages());
        let url = flow.state("top").await.unwrap().notes["application"]["url"].clone();
        assert!(url.as_str().unwrap().ends_with(&format!("{}/", flow.sandbox.head().unwrap().unwrap())), "{url}");
    }
}

#[tokio::test]
async fn what_leaves_git_is_pruned_and_nothing_else() {
    let mut flow = Flow::deployed().await;
    let without = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "");
    flow.push("Drop the ingress", &[(KUSTOMIZATION, &without)]);
    flow.settle().await;
    assert!(flow.sandbox.cluster.gone("/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web").await);
    flow.deployment();
    let messages = flow.messages();
    assert!(messages[1].contains("Ingress/shop/web pruned"), "{messages:?}");
}

#[tokio::test]
async fn a_broken_render_changes_nothing_and_is_told() {
    let mut flow = Flow::deployed().await;
    flow.push("Break it", &[(KUSTOMIZATION, "resources: [nowhere.yaml]\n")]);
    let answers = flow.settle().await;
    assert_eq!(answers[1], json!({"batchItemFailures": []}), "a mistake in Git is not tried again");
    flow.deployment();
    let messages = flow.messages();
    assert!(messages[1].contains("nowhere.yaml"), "{messages:?}");
    assert_eq!(flow.statuses()[0]["state"], "failure");
}

/// Attack 32: an empty render.
#[tokio::test]
async fn an_emptied_source_is_held_by_the_prune_guard() {
    let mut flow = Flow::deployed().await;
    let files = [(KUSTOMIZATION, "resources: [nothing.yaml]\n"), ("shop/nothing.yaml", "# nothing is left\n")];
    flow.push("Empty it", &files);
    flow.settle().await;
    flow.deployment();
    let messages = flow.messages();
    assert!(messages[1].contains("slipway.dev/prune-approved: "), "{messages:?}");
}

#[tokio::test]
async fn no_secret_reaches_any_output() {
    let mut flow = Flow::start().await;
    let mut said = vec![format!("{:?}", flow.settle().await)];
    // A Secret that the API server refuses: its error must not quote the value.
    let with = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "  - ingress.yaml\n  - secret.yaml\n");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: password\ndata:\n  password: canary-no-base64!\n";
    flow.push("Add a broken secret", &[(KUSTOMIZATION, &with), ("shop/secret.yaml", secret)]);
    said.push(format!("{:?}", flow.settle().await));
    said.push(flow.check().await.to_string());
    said.push(flow.messages().join("\n"));
    said.push(format!("{:?}", flow.statuses()));
    let states = flow.sandbox.cluster.get("/api/v1/namespaces/slipway/configmaps").unwrap();
    said.push(unpacked(&states));
    assert!(said.iter().all(|text| text.len() > 20), "there is something to look at everywhere: {said:?}");
    assert!(said[5].contains("\"operationState\""), "the state is unpacked: {}", said[5]);
    let said = said.join("\n");
    assert!(said.contains("Secret/shop/password"), "the failure is told: {said}");
    for canary in ["canary", "sandbox-token", "sandbox-webhook-secret", "sandbox-state-key", "xoxb-sandbox"] {
        assert!(!said.contains(canary), "{canary} in {said}");
    }
}
