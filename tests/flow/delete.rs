//! An Application leaves the root: what becomes of its objects, and who has to agree.

use http::StatusCode;
use serde_json::{Value, json};
use slipway_sandbox::faults::Failure;
use slipway_sandbox::forge::Change;

use crate::world::{DEPLOYMENT, Flow, KUSTOMIZATION};

const APPLICATION: &str = "applications/shop.yaml";
const FINALIZER: &str = "  finalizers: [resources-finalizer.argocd.argoproj.io]\n";
/// Without it a folder without files is no folder.
const OTHER: (&str, &str) = ("applications/README.md", "Applications");

fn leave(flow: &Flow) {
    let changes = [Change::write(OTHER.0, OTHER.1), Change::delete(APPLICATION)];
    flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Drop the shop", &changes).unwrap();
}

fn states(flow: &Flow) -> usize {
    let list = flow.sandbox.cluster.get("/api/v1/namespaces/slipway/configmaps").unwrap();
    list["items"].as_array().unwrap().len()
}

/// Adds lines to the Application's metadata.
async fn with_metadata(flow: &mut Flow, lines: &str) {
    let app = flow.read(APPLICATION).replacen("spec:\n", &format!("{lines}spec:\n"), 1);
    flow.push("Say how it ends", &[(APPLICATION, &app)]);
    flow.settle().await;
}

fn digest(text: &str) -> String {
    text.split("--approve-prune ").nth(1).expect(text).split_whitespace().next().unwrap().trim_matches('`').to_owned()
}

#[tokio::test]
async fn without_the_finalizer_its_objects_stay_and_only_the_memory_goes() {
    let mut flow = Flow::deployed().await;
    leave(&flow);
    flow.settle().await;
    flow.deployment();
    assert_eq!(states(&flow), 0);
    let messages = flow.messages();
    assert!(messages[1].starts_with(":wastebasket: *shop* is deleted from *in-cluster*"), "{messages:?}");
    assert_eq!(flow.check().await, json!({"applications": {}}));
}

#[tokio::test]
async fn with_the_finalizer_nothing_goes_before_exactly_that_is_approved() {
    let mut flow = Flow::deployed().await;
    with_metadata(&mut flow, FINALIZER).await;
    let app = flow.read(APPLICATION);
    leave(&flow);
    flow.settle().await;
    flow.check().await;
    flow.deployment();
    let messages = flow.messages();
    assert_eq!(messages.len(), 2, "told once: {messages:?}");
    assert!(
        messages[1].contains("waits for an approval") && messages[1].contains("4 objects would be"),
        "{messages:?}"
    );
    let digest = digest(&messages[1]);

    // Wanted again, with the approval, and dropped again: every step is a commit.
    let approved =
        app.replacen(FINALIZER, &format!("{FINALIZER}  annotations: {{slipway.dev/prune-approved: {digest}}}\n"), 1);
    flow.push("It may go", &[(APPLICATION, &approved)]);
    flow.settle().await;
    flow.deployment();
    leave(&flow);
    flow.settle().await;
    assert!(flow.sandbox.cluster.gone(DEPLOYMENT).await);
    assert_eq!(states(&flow), 0);
    let messages = flow.messages();
    let last = messages.last().unwrap();
    assert!(last.starts_with(":wastebasket:") && last.contains("Deployment/shop/web pruned"), "{messages:?}");
    assert!(flow.sandbox.cluster.get("/api/v1/namespaces/shop").is_some(), "Argo CD does not own the namespace either");
}

#[tokio::test]
async fn an_approval_of_another_plan_is_none() {
    let mut flow = Flow::deployed().await;
    with_metadata(&mut flow, &format!("{FINALIZER}  annotations: {{slipway.dev/prune-approved: 0123456789abcdef}}\n"))
        .await;
    leave(&flow);
    flow.settle().await;
    flow.deployment();
    assert!(flow.messages()[1].contains("waits for an approval"), "{:?}", flow.messages());
}

#[tokio::test]
async fn an_application_that_can_not_be_read_has_not_left() {
    let mut flow = Flow::deployed().await;
    let broken = flow.read(APPLICATION).replace("  destination:\n", "  destinations:\n");
    flow.push("A slip of the pen", &[(APPLICATION, &broken)]);
    flow.settle().await;
    assert_eq!(states(&flow), 1);
    flow.deployment();
}

/// CVE-2026-77459: hooks of a deletion are held to the project like everything else.
#[tokio::test]
async fn hooks_of_the_deletion_are_held_to_the_project() {
    let mut flow = Flow::deployed().await;
    let hook = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bye",
        "annotations": {"argocd.argoproj.io/hook": "PreDelete"}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main",
            "image": "alpine"}]}}}});
    let with = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "  - ingress.yaml\n  - hook.json\n");
    flow.push("Say goodbye", &[(KUSTOMIZATION, &with), ("shop/hook.json", &hook.to_string())]);
    flow.settle().await;
    let app = flow.read(APPLICATION).replace("project: default", "project: shop").replacen(
        "spec:\n",
        &format!("{FINALIZER}spec:\n"),
        1,
    );
    let project = |blacklist: Value| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "shop"}, "spec": {
            "sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
                "namespaceResourceBlacklist": blacklist,
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}})
        .to_string()
    };
    let open = project(json!([]));
    flow.push("A project", &[(APPLICATION, &app), ("applications/project.yaml", &open)]);
    flow.settle().await;
    leave(&flow);
    flow.settle().await;
    let digest = digest(flow.messages().last().unwrap());
    let approved =
        app.replacen(FINALIZER, &format!("{FINALIZER}  annotations: {{slipway.dev/prune-approved: {digest}}}\n"), 1);
    flow.push("It may go", &[(APPLICATION, &approved)]);
    flow.settle().await;
    let shut = project(json!([{"group": "batch", "kind": "Job"}]));
    flow.push("No jobs any more", &[("applications/project.yaml", &shut)]);
    leave(&flow);
    flow.settle().await;
    flow.deployment();
    assert!(flow.sandbox.cluster.get("/apis/batch/v1/namespaces/shop/jobs/bye").is_none());
    flow.check().await;
    let messages = flow.messages();
    assert_eq!(messages.len(), 3, "told once: {messages:?}");
    assert!(messages[2].contains("AppProject `shop` does not allow Job/shop/bye"), "{messages:?}");
}

/// Where the last commit that had the manifest can't be read any more, as of a repository that was replaced.
#[tokio::test]
async fn why_nothing_can_be_deleted_is_told_once_and_tried_again() {
    let mut flow = Flow::deployed().await;
    with_metadata(&mut flow, FINALIZER).await;
    let last = flow.state("shop").await.unwrap().attempt.revisions;
    let known = flow.messages().len();
    leave(&flow);
    flow.sandbox.forge.faults().failures.arm(Failure {
        method: None,
        path_contains: last.to_string(),
        count: usize::MAX,
        status: StatusCode::NOT_FOUND,
        headers: Vec::new(),
        body: json!({"message": "Not Found"}),
    });
    flow.settle().await;
    for _ in 0..3 {
        flow.check().await;
    }
    let told = flow.messages().split_off(known);
    assert!(told.len() == 1 && told[0].contains("failed to read the Application as the root had it last"), "{told:?}");
    let status = flow.state("shop").await.unwrap().status;
    assert!(status.has("DeletionError"), "{status:?}");

    flow.sandbox.forge.faults().failures.clear();
    flow.check().await;
    let told = flow.messages().split_off(known);
    assert!(told.len() == 2 && told[1].contains("waits for an approval"), "{told:?}");
    flow.deployment();
}
