//! A change behind Git's back becomes a message, once; its end too.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_gitops::status::SyncStatus;
use slipway_sandbox::faults::Failure;

use crate::world::{DEPLOYMENT, Flow, KUSTOMIZATION};

const APPLICATION: &str = "applications/shop.yaml";

fn patch(flow: &Flow, path: &str, body: &Value) {
    let (status, answer) = flow.sandbox.cluster.call(Method::PATCH, path, "application/merge-patch+json", body);
    assert!(status.is_success(), "{answer}");
}

#[tokio::test]
async fn a_changed_deployment_is_told_once_and_its_end_too() {
    let flow = Flow::deployed().await;
    assert_eq!(flow.check().await, json!({"applications": {"shop": {}}}));

    let path = format!("{DEPLOYMENT}?fieldManager=kubectl-edit");
    patch(&flow, &path, &json!({"spec": {"replicas": 5}}));
    let found = flow.check().await;
    assert_eq!(found["applications"]["shop"]["differs"], json!(["Deployment/shop/web spec.replicas"]), "{found}");
    let messages = flow.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    for part in ["`Deployment/shop/web` `spec.replicas`", "Git has `2`, the cluster `5`", "by `kubectl-edit` at 20"] {
        assert!(messages[1].contains(part), "{part} in {messages:?}");
    }

    assert_eq!(flow.check().await["applications"]["shop"]["new"], Value::Null);
    assert_eq!(flow.messages().len(), 2);

    patch(&flow, &path, &json!({"spec": {"replicas": 2}}));
    let gone = flow.check().await;
    assert_eq!(gone["applications"]["shop"]["resolved"], json!(["Deployment/shop/web spec.replicas"]), "{gone}");
    let messages = flow.messages();
    assert!(messages.len() == 3 && messages[2].contains("resolved"), "{messages:?}");
}

#[tokio::test]
async fn a_deleted_object_and_a_changed_secret_are_told_without_values() {
    let mut flow = Flow::deployed().await;
    let with = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "  - ingress.yaml\n  - secret.yaml\n");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: password\nstringData:\n  password: canary-value\n";
    flow.push("Add a secret", &[(KUSTOMIZATION, &with), ("shop/secret.yaml", secret)]);
    flow.settle().await;
    let service = "/api/v1/namespaces/shop/services/web";
    assert!(flow.sandbox.cluster.call(Method::DELETE, service, "application/json", &Value::Null).0.is_success());
    let path = "/api/v1/namespaces/shop/secrets/password?fieldManager=attacker";
    patch(&flow, path, &json!({"data": {"password": "Y2FuYXJ5LW90aGVy"}}));
    let found = flow.check().await;
    let expected = json!(["Secret/shop/password data.password", "Service/shop/web"]);
    assert_eq!(found["applications"]["shop"]["differs"], expected, "{found}");
    let told = flow.messages().join("\n");
    assert!(told.contains("attacker") && !told.contains("Y2FuYXJ5") && !told.contains("canary"), "{told}");
}

#[tokio::test]
async fn a_push_that_got_lost_is_made_up_for_once() {
    let mut flow = Flow::deployed().await;
    flow.push("Lost", &[("shop/NOTES.md", "hello")]);
    flow.next_webhook();
    let head = flow.sandbox.head().unwrap().unwrap().to_string();
    assert_eq!(flow.check().await["applications"]["shop"]["behind"], json!(head));
    assert_eq!(flow.state("shop").await.unwrap().attempt.revisions.to_string(), head);
    assert_eq!(flow.check().await["applications"]["shop"]["behind"], json!(null));
    let messages = flow.messages();
    assert_eq!(messages.len(), 1, "nothing changed: {messages:?}");
}

#[tokio::test]
async fn a_spec_whose_push_got_lost_is_made_up_for_at_the_same_commit() {
    let mut flow = Flow::deployed().await;
    let pinned = flow.read(APPLICATION).replace("targetRevision: main", &format!("targetRevision: {}", flow.head()));
    flow.push("Pin the commit", &[(APPLICATION, &pinned)]);
    flow.settle().await;
    let revision = flow.state("shop").await.unwrap().attempt.revisions;
    let annotated =
        pinned.replace("    path: shop\n", "    path: shop\n    kustomize: {commonAnnotations: {team: shop}}\n");
    assert_ne!(annotated, pinned);
    flow.push("Lost", &[(APPLICATION, &annotated)]);
    flow.next_webhook();
    patch(&flow, &format!("{DEPLOYMENT}?fieldManager=kubectl-edit"), &json!({"spec": {"replicas": 7}}));

    let found = flow.check().await;
    let found = &found["applications"]["shop"];
    assert_eq!(found["behind"], json!(revision.to_string()), "{found}");
    assert_eq!(found["differs"], json!(["Deployment/shop/web spec.replicas"]), "what the spec changes is no drift");
    assert_eq!(flow.deployment()["metadata"]["annotations"]["team"], "shop");
    assert_eq!(flow.state("shop").await.unwrap().attempt.revisions, revision);
    assert_eq!(flow.check().await["applications"]["shop"], json!({"resolved": found["differs"]}));
    assert_eq!(flow.check().await["applications"]["shop"], json!({}));
}

#[tokio::test]
async fn what_the_application_or_the_system_ignores_is_no_difference() {
    let mut flow = Flow::deployed().await;
    let rule =
        "  ignoreDifferences:\n    - group: apps\n      kind: Deploy*\n      jqPathExpressions: [.spec.replicas]\n";
    let app = flow.read(APPLICATION) + rule;
    let system = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\ndata:\n  \
                  resource.customizations.ignoreDifferences.all: |\n    managedFieldsManagers: [sidecar-injector]\n  \
                  resource.compareoptions: |\n    ignoreAggregatedRoles: true\n";
    let with = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "  - ingress.yaml\n  - role.json\n");
    let gathered = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "all"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]}, "rules": []});
    let files = [
        (APPLICATION, app.as_str()),
        ("applications/argocd-cm.yaml", system),
        (KUSTOMIZATION, &with),
        ("shop/role.json", &gathered.to_string()),
    ];
    flow.push("Leave the replicas and the rules to others", &files);
    flow.settle().await;
    let aggregated =
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/all?fieldManager=clusterrole-aggregation-controller";
    patch(&flow, aggregated, &json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}));
    patch(&flow, &format!("{DEPLOYMENT}?fieldManager=kubectl-edit"), &json!({"spec": {"replicas": 5}}));
    let mut template = flow.deployment()["spec"]["template"].clone();
    template["spec"]["containers"][0]["image"] = json!("injected:1");
    patch(&flow, &format!("{DEPLOYMENT}?fieldManager=sidecar-injector"), &json!({"spec": {"template": template}}));
    assert_eq!(flow.check().await, json!({"applications": {"shop": {}}}));

    let unbounded = app.replace(".spec.replicas", "'repeat(.)'");
    flow.push("An expression without an end", &[(APPLICATION, &unbounded)]);
    flow.settle().await;
    let problems = flow.check().await["applications"]["shop"]["problems"].to_string();
    assert!(problems.contains("`repeat(.)` is refused") && problems.contains("without bound"), "{problems}");
}

#[tokio::test]
async fn a_sync_leaves_to_others_what_the_application_ignores_if_it_says_so() {
    let mut flow = Flow::deployed().await;
    let rule =
        "  ignoreDifferences:\n    - group: apps\n      kind: Deployment\n      jsonPointers: [/spec/replicas]\n";
    let option = "      - CreateNamespace=true\n";
    let scale = json!({"spec": {"replicas": 5}});
    for (respects, replicas) in [("", 2), ("      - RespectIgnoreDifferences=true\n", 5)] {
        let app = flow.read(APPLICATION).replace(rule, "").replace(option, &format!("{option}{respects}")) + rule;
        flow.push("Leave the replicas to others", &[(APPLICATION, &app)]);
        flow.settle().await;
        patch(&flow, &format!("{DEPLOYMENT}?fieldManager=autoscaler"), &scale);
        let tag = format!("1.0.{replicas}");
        let old = flow.read(KUSTOMIZATION);
        let kustomization = match old.split_once("newTag: ") {
            Some((before, _)) => format!("{before}newTag: {tag}\n"),
            None => panic!("{old}"),
        };
        flow.push("Another image", &[(KUSTOMIZATION, &kustomization)]);
        flow.settle().await;
        let live = flow.deployment();
        let image = live["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
        assert!(image.ends_with(&format!(":{tag}")), "{image}");
        assert_eq!(live["spec"]["replicas"], replicas, "with `{respects}`");
    }
}

#[tokio::test]
async fn what_cannot_be_compared_is_told_once() {
    let flow = Flow::deployed().await;
    patch(&flow, &format!("{DEPLOYMENT}?fieldManager=kubectl-edit"), &json!({"spec": {"replicas": 5}}));
    let known = flow.messages().len();
    flow.sandbox.cluster.failures().arm(Failure {
        method: Some(Method::PATCH),
        path_contains: "/deployments/web".to_owned(),
        count: usize::MAX,
        status: StatusCode::UNPROCESSABLE_ENTITY,
        headers: Vec::new(),
        body: json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "Deployment.apps \"web\" is invalid: spec.selector: field is immutable"}),
    });
    for _ in 0..3 {
        let found = flow.check().await;
        assert!(found["applications"]["shop"]["problems"].to_string().contains("immutable"), "{found}");
    }
    let told = flow.messages().split_off(known);
    assert!(told.len() == 1 && told[0].contains("can't be compared with Git"), "{told:?}");
    assert_eq!(flow.state("shop").await.unwrap().status.sync.status, SyncStatus::Unknown);

    flow.sandbox.cluster.failures().clear();
    flow.check().await;
    let told = flow.messages().split_off(known);
    assert!(told.len() == 2 && told[1].contains("spec.replicas"), "{told:?}");
}

/// What Slack does not take because it is down or limits is told by a later check.
#[tokio::test]
async fn what_slack_did_not_take_is_told_later() {
    let flow = Flow::deployed().await;
    patch(&flow, &format!("{DEPLOYMENT}?fieldManager=kubectl-edit"), &json!({"spec": {"replicas": 7}}));
    let before = flow.messages().len();
    flow.sandbox.slack.failures().arm(Failure {
        method: None,
        path_contains: "/".to_owned(),
        count: 1,
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: vec![("retry-after", "30".to_owned())],
        body: json!({"ok": false, "error": "ratelimited"}),
    });
    flow.check().await;
    assert_eq!(flow.messages().len(), before);
    for _ in 0..2 {
        flow.check().await;
        let told = &flow.messages()[before..];
        assert!(told.len() == 1 && told[0].contains("`spec.replicas`: Git has `2`, the cluster `7`"), "{told:?}");
    }
}
