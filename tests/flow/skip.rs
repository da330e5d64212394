//! `argocd.argoproj.io/skip-reconcile`: an Application that is left alone, and says so.

use http::Method;
use serde_json::{Value, json};
use slipway::event::queue::{Message, ResumeMessage};
use slipway_gitops::status::SyncStatus;
use slipway_sandbox::IMAGE;
use slipway_sandbox::forge::Change;

use crate::world::{DEPLOYMENT, Flow, KUSTOMIZATION, soon};

const APPLICATION: &str = "applications/shop.yaml";
const ANNOTATION: &str = "argocd.argoproj.io/skip-reconcile";

/// The Application with the annotation, as it is written in YAML.
fn annotated(app: &str, value: &str) -> String {
    app.replace("  annotations:\n", &format!("  annotations:\n    {ANNOTATION}: {value}\n"))
}

fn scale(flow: &Flow, replicas: u32) {
    let path = format!("{DEPLOYMENT}?fieldManager=kubectl-edit");
    let body = json!({"spec": {"replicas": replicas}});
    assert!(flow.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body).0.is_success());
}

async fn pushed(flow: &mut Flow, what: &str, files: &[(&str, &str)]) {
    flow.push(what, files);
    flow.settle().await;
}

#[tokio::test]
async fn it_is_neither_synced_nor_compared_nor_healed() {
    let mut flow = Flow::deployed().await;
    let app = flow.read(APPLICATION).replace("      prune: true\n", "      prune: true\n      selfHeal: true\n");
    let before = flow.state("shop").await.unwrap();
    let three = flow.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    pushed(&mut flow, "Leave it", &[(APPLICATION, &annotated(&app, "'true'")), ("shop/deployment.yaml", &three)]).await;
    assert_eq!(flow.deployment()["spec"]["replicas"], 2);
    let state = flow.state("shop").await.unwrap();
    assert_eq!(state.status, before.status, "its status stays as it was");
    assert_eq!(state.notes["application"]["metadata"]["annotations"][ANNOTATION], "true");
    let messages = flow.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    for part in ["*shop* is skipped", ANNOTATION, "remove the annotation at the root, or set it to \"false\""] {
        assert!(messages[1].contains(part), "{part} in {messages:?}");
    }
    assert!(flow.statuses().is_empty(), "nobody promises a deployment");

    scale(&flow, 5);
    let checked = flow.check().await;
    assert!(checked["applications"]["shop"]["skipped"].to_string().contains(ANNOTATION), "{checked}");
    assert_eq!(checked["applications"]["shop"]["healed"], Value::Null, "{checked}");
    pushed(
        &mut flow,
        "Another",
        &[("shop/configmap.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n")],
    )
    .await;
    assert_eq!(flow.deployment()["spec"]["replicas"], 5);
    assert_eq!(flow.messages().len(), 2, "told once: {:?}", flow.messages());

    // Whatever Go's ParseBool takes for false, and what it can't read, is no reason to leave it alone.
    pushed(&mut flow, "Go on", &[(APPLICATION, &annotated(&app, "'false'"))]).await;
    assert_eq!(flow.deployment()["spec"]["replicas"], 3);
    let state = flow.state("shop").await.unwrap();
    assert_eq!(state.status.sync.status, SyncStatus::Synced);
    assert_eq!(state.notes["application"]["metadata"].get("annotations"), None);
    scale(&flow, 5);
    let healed = flow.check().await;
    assert_eq!(healed["applications"]["shop"]["healed"], true, "{healed}");
}

#[tokio::test]
async fn its_value_is_read_as_argo_cd_reads_it() {
    for (value, skips) in [
        ("'true'", true),
        ("'1'", true),
        ("'T'", true),
        ("TRUE", false),
        ("'yes'", false),
        ("''", false),
        ("' true'", false),
    ] {
        let mut flow = Flow::start().await;
        let app = annotated(&flow.read(APPLICATION), value);
        pushed(&mut flow, "Say it", &[(APPLICATION, &app)]).await;
        // `TRUE` without quotes is a boolean: the API server refuses such an Application, and so it is none.
        let is_deployed = !skips && value != "TRUE";
        assert_eq!(flow.sandbox.cluster.get(DEPLOYMENT).is_some(), is_deployed, "{value}");
        let told = flow.messages().join("\n");
        let words = match value {
            _ if skips => "is skipped",
            "TRUE" => "must be a string, found a boolean",
            _ => "is no boolean and has no effect",
        };
        assert!(told.contains(words), "{value}: {words} in {told}");
        assert_eq!(flow.state("shop").await.is_some(), skips || is_deployed, "{value}: `app get` knows it");
    }
}

#[tokio::test]
async fn one_that_people_sync_is_not_compared_either() {
    let mut flow = Flow::deployed().await;
    let manual = flow.read(APPLICATION).replace("    automated:\n      prune: true\n", "");
    scale(&flow, 5);
    pushed(&mut flow, "By hand", &[(APPLICATION, &annotated(&manual, "'true'"))]).await;
    assert_eq!(flow.state("shop").await.unwrap().status.sync.status, SyncStatus::Synced, "its status stays as it was");
    assert!(!flow.messages().last().unwrap().contains("replicas"));
}

/// Argo CD's controller looks at no such Application, also when it is to be deleted: its objects stay as long as the
/// finalizer does.
#[tokio::test]
async fn it_is_not_deleted_when_it_leaves_the_root() {
    const FINALIZER: &str = "  finalizers: [resources-finalizer.argocd.argoproj.io]\n";
    let leave = |flow: &Flow| {
        let changes = [Change::write("applications/README.md", "Applications"), Change::delete(APPLICATION)];
        flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Drop the shop", &changes).unwrap();
    };
    let mut flow = Flow::deployed().await;
    let app = flow.read(APPLICATION).replacen("spec:\n", &format!("{FINALIZER}spec:\n"), 1);
    pushed(&mut flow, "Leave it", &[(APPLICATION, &annotated(&app, "'true'"))]).await;
    leave(&flow);
    flow.settle().await;
    flow.check().await;
    flow.deployment();
    let messages = flow.messages();
    assert_eq!(messages.len(), 3, "told once: {messages:?}");
    for part in
        ["*shop* left Git, and is not deleted", ANNOTATION, "restore its manifest", "argocd/shop --cascade=false"]
    {
        assert!(messages[2].contains(part), "{part} in {messages:?}");
    }
    assert!(!messages[2].contains("--approve-prune"), "no approval helps: {messages:?}");

    // Back without the annotation and away again, it is deleted like any other.
    pushed(&mut flow, "Back", &[(APPLICATION, &app)]).await;
    assert!(flow.state("shop").await.unwrap().status.conditions.is_empty());
    leave(&flow);
    flow.settle().await;
    assert!(flow.messages().last().unwrap().contains("--approve-prune"), "{:?}", flow.messages());

    // Without the finalizer Argo CD's Application just goes.
    let mut flow = Flow::deployed().await;
    let app = annotated(&flow.read(APPLICATION), "'true'");
    pushed(&mut flow, "Leave it", &[(APPLICATION, &app)]).await;
    leave(&flow);
    flow.settle().await;
    flow.deployment();
    assert!(flow.state("shop").await.is_none());
}

/// Image Updater knows nothing of the annotation.
#[tokio::test]
async fn its_images_are_committed_all_the_same() {
    let mut flow = Flow::deployed().await;
    let app = annotated(&flow.read(APPLICATION), "'true'");
    pushed(&mut flow, "Leave it", &[(APPLICATION, &app)]).await;
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    flow.pusher.handle(event).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"));
    flow.settle().await;
    let image = flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert!(image.as_str().unwrap().ends_with(":1.0.0"), "{image}");
}

/// A sync that waits for another invocation is not gone on with.
#[tokio::test]
async fn a_sync_on_its_way_stops() {
    let mut flow = Flow::deployed().await;
    let app = annotated(&flow.read(APPLICATION), "'true'");
    pushed(&mut flow, "Leave it", &[(APPLICATION, &app)]).await;
    let three = flow.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    flow.push("Three", &[("shop/deployment.yaml", &three)]);
    while flow.next_webhook().is_some() {}
    let rest = ResumeMessage { app: "shop".to_owned(), operation: "look-x".to_owned(), attempt: 0 };
    let body = serde_json::to_string(&Message::from(rest)).unwrap();
    let event = json!({"Records": [{"messageId": "m", "receiptHandle": "", "body": body, "eventSource": "aws:sqs"}]});
    let answer = flow.deployer.handle(event, soon(), "later").await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}), "the message is done with");
    assert_eq!(flow.deployment()["spec"]["replicas"], 2);
}
