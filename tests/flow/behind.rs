//! What the check says of a commit that is not there: lost, refused, broken, under way, or left to a person.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::config;
use slipway::deploy::prepare;
use slipway::reconcile::sync::{self, Deadlines, OperationKind};
use slipway::secret::Secrets;
use slipway::services::Services;
use slipway::source::Checkouts;
use slipway_cluster::state::Operation;
use slipway_gitops::health::Health;
use slipway_gitops::status::{COMPARISON_ERROR, OperationPhase, SyncStatus};
use slipway_manifest::ObjectId;
use slipway_sandbox::aws;
use slipway_sandbox::faults::Failure;
use tokio::sync::watch;

use crate::attempt::{application, automated, map};
use crate::world::{DEPLOYMENT, Flow, KUSTOMIZATION, soon};

const APPLICATION: &str = "applications/shop.yaml";

fn scale(flow: &Flow, replicas: u32) {
    let path = format!("{DEPLOYMENT}?fieldManager=kubectl-edit");
    let body = json!({"spec": {"replicas": replicas}});
    assert!(flow.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body).0.is_success());
}

#[tokio::test]
async fn a_commit_that_cannot_be_rendered_is_unknown_and_not_called_lost() {
    let mut flow = Flow::deployed().await;
    let whole = flow.read(KUSTOMIZATION);
    flow.push("Break it", &[(KUSTOMIZATION, "resources: [nowhere.yaml]\n")]);
    flow.settle().await;
    let told = flow.messages();
    for _ in 0..2 {
        let found = flow.check().await;
        assert_eq!(found["applications"]["shop"], json!({"behind": flow.head()}), "{found}");
    }
    assert_eq!(flow.messages(), told, "why was told when it was pushed");
    let status = flow.state("shop").await.unwrap().status;
    assert_eq!((status.sync.status, status.sync.revisions.to_string()), (SyncStatus::Unknown, flow.head()));
    let condition = status.conditions.iter().find(|condition| condition.kind == COMPARISON_ERROR).unwrap();
    assert!(condition.message.contains("nowhere.yaml"), "{condition:?}");

    // What is there is still compared with the commit that it came from.
    scale(&flow, 5);
    let found = flow.check().await;
    assert_eq!(found["applications"]["shop"]["differs"], json!(["Deployment/shop/web spec.replicas"]), "{found}");
    assert_eq!(flow.state("shop").await.unwrap().status.sync.status, SyncStatus::Unknown);

    flow.push("Mend it", &[(KUSTOMIZATION, &whole)]);
    flow.settle().await;
    let status = flow.state("shop").await.unwrap().status;
    assert_eq!((status.sync.status, status.has(COMPARISON_ERROR)), (SyncStatus::Synced, false));
}

#[tokio::test]
async fn a_commit_that_the_project_refuses_is_unknown_and_not_called_lost() {
    let mut flow = Flow::deployed().await;
    let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "shop"},
        "spec": {
        "sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        "namespaceResourceBlacklist": [{"group": "networking.k8s.io", "kind": "Ingress"}]}});
    let application = flow.read(APPLICATION).replace("project: default", "project: shop");
    let files = [(APPLICATION, application.as_str()), ("applications/project.yaml", &project.to_string())];
    flow.push("Forbid the Ingress", &files);
    flow.settle().await;
    let told = flow.messages();
    assert!(told[1].contains("does not allow Ingress/shop/web"), "{told:?}");
    let found = flow.check().await;
    assert_eq!((&found["applications"]["shop"]["behind"], flow.messages()), (&Value::Null, told), "{found}");
    let status = flow.state("shop").await.unwrap().status;
    assert_eq!((status.sync.status, status.sync.revisions.to_string()), (SyncStatus::Unknown, flow.head()));
    assert_eq!(status.history.len(), 1);
}

#[tokio::test]
async fn a_push_that_the_cluster_never_heard_of_is_made_up_for() {
    let mut flow = Flow::deployed().await;
    flow.push("Say hello", &[("shop/NOTES.md", "hello")]);
    let message = flow.message().await;
    flow.sandbox.cluster.failures().arm(Failure {
        method: Some(Method::GET),
        path_contains: "/deployments".to_owned(),
        count: usize::MAX,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        headers: Vec::new(),
        body: Value::Null,
    });
    flow.deployer.handle(message, soon(), "test").await.unwrap();
    flow.sandbox.cluster.failures().clear();
    // The queue gave up on it.
    let found = flow.check().await;
    assert_eq!(found["applications"]["shop"]["behind"], json!(flow.head()), "{found}");
    let status = flow.state("shop").await.unwrap().status;
    assert_eq!((status.sync.status, status.sync.revisions.to_string()), (SyncStatus::Synced, flow.head()));
    assert_eq!(flow.check().await["applications"]["shop"]["behind"], Value::Null);
}

#[tokio::test]
async fn a_branch_that_went_back_is_followed() {
    let mut flow = Flow::deployed().await;
    let first = flow.sandbox.head().unwrap().unwrap();
    flow.push("Greet", &[("shop/configmap.yaml", &flow.read("shop/configmap.yaml").replace("Welcome", "Hello"))]);
    flow.settle().await;
    let second = flow.sandbox.head().unwrap().unwrap();
    let objects = flow.sandbox.repository.objects();
    assert!(objects.move_reference("refs/heads/main", Some(second), first).unwrap());
    let found = flow.check().await;
    assert_eq!(found["applications"]["shop"]["behind"], json!(first.to_string()), "{found}");
    assert_eq!(flow.state("shop").await.unwrap().status.sync.revisions, first.to_string().into());
    let map = flow.sandbox.cluster.get("/api/v1/namespaces/shop/configmaps/web").unwrap();
    assert!(map.to_string().contains("Welcome"), "{map}");
}

#[tokio::test]
async fn while_a_sync_goes_on_nothing_is_drift() {
    let flow = Flow::deployed().await;
    let operation = Operation {
        id: "other-1".to_owned(),
        revisions: flow.head().into(),
        started_at: Timestamp::now(),
        steps_done: 0,
        attempt: 1,
        retries: 0,
        not_before: None,
    };
    flow.edit_state(|state| state.operation = Some(operation)).await;
    scale(&flow, 5);
    let found = flow.check().await;
    assert_eq!(found["applications"]["shop"], json!({"skipped": "operation already in progress"}), "{found}");
    assert_eq!(flow.messages().len(), 1);
}

#[tokio::test]
async fn what_waits_for_a_person_is_no_drift_and_a_hand_change_is() {
    let mut flow = Flow::deployed().await;
    let manual = flow.read(APPLICATION).replace("    automated:\n      prune: true\n", "");
    let deployment = flow.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    let without = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "  - more.yaml\n");
    let more = map("more", "1", &json!({}));
    let files = [
        (APPLICATION, manual.as_str()),
        ("shop/deployment.yaml", &deployment),
        (KUSTOMIZATION, &without),
        ("shop/more.yaml", &more),
    ];
    flow.push("By hand", &files);
    flow.settle().await;
    let told = flow.messages().len();
    assert_eq!(flow.check().await["applications"]["shop"], json!({}));
    assert_eq!(flow.messages().len(), told);
    let status = flow.state("shop").await.unwrap().status;
    assert_eq!((status.sync.status, status.sync.revisions.to_string()), (SyncStatus::OutOfSync, flow.head()));
    let row = |name: &str| status.resources.iter().find(|row| row.name == name).unwrap().clone();
    assert_eq!(
        (row("more").status, row("more").health.unwrap().health),
        (Some(SyncStatus::OutOfSync), Health::Missing)
    );

    flow.delete("/api/v1/namespaces/shop/services/web");
    scale(&flow, 3);
    let found = flow.check().await;
    let differs = json!(["Deployment/shop/web spec.replicas", "Service/shop/web"]);
    assert_eq!(found["applications"]["shop"]["differs"], differs, "with what was deployed: {found}");
    assert_eq!(flow.state("shop").await.unwrap().status.sync.status, SyncStatus::OutOfSync);
}

#[tokio::test]
async fn a_commit_whose_prune_is_held_is_deployed() {
    let mut flow = Flow::deployed().await;
    let files = [(KUSTOMIZATION, "namespace: shop\nresources: [nothing.yaml]\n"), ("shop/nothing.yaml", "# nothing\n")];
    flow.push("Empty it", &files);
    flow.settle().await;
    let told = flow.messages();
    assert!(told[1].contains("slipway.dev/prune-approved: "), "{told:?}");
    assert_eq!(flow.state("shop").await.unwrap().status.history.len(), 1, "nothing was done");
    assert_eq!(flow.check().await["applications"]["shop"]["behind"], Value::Null);
    assert_eq!(flow.messages(), told);
}

#[tokio::test]
async fn a_heal_that_another_commit_overtook_changes_nothing() {
    let mut flow = Flow::start().await;
    let (path, text) = application("plain", &automated(true));
    flow.push("Begin", &[(&path, &text), ("plain/a.yaml", &map("a", "1", &json!({})))]);
    flow.settle().await;
    let environment = flow.sandbox.environment();
    let settings = config::Settings::load(|name: &str| environment.get(name).cloned()).unwrap();
    let aws = Aws::at(&flow.sandbox.aws.url(), aws::REGION).await;
    let engine = Services::new(settings, aws.clone(), Secrets::new(aws));
    let checkouts = Checkouts::new(engine.github.clone());
    let root = slipway::deploy::load_root(&engine, &checkouts).await.unwrap();
    let member = root.members.iter().find(|member| member.instance() == "plain").unwrap();
    let mut heal = prepare::prepare(&engine, &checkouts, member, &flow.head().into()).await.unwrap();
    heal.policy.operation = OperationKind::SelfHeal;
    heal.policy.options.skip_hooks = true;
    heal.policy.options.resources = Some(BTreeSet::from([ObjectId::new("", "ConfigMap", "plain", "a")]));

    // A push comes between the comparison and the heal.
    flow.push("Go on", &[("plain/a.yaml", &map("a", "2", &json!({})))]);
    flow.settle().await;
    let (_never, stop) = watch::channel(false);
    let outcome = sync::sync(&heal, None, "check", Deadlines::until(soon()), stop).await;
    assert!(outcome.changes.is_empty(), "{outcome:?}");
    assert_eq!(flow.value("plain", "a"), "2");
    let state = flow.state("plain").await.unwrap();
    assert_eq!((state.status.sync.revisions.to_string(), state.status.sync.status), (flow.head(), SyncStatus::Synced));
    let last = state.status.operation_state.unwrap();
    assert_eq!((last.phase, last.sync_result.unwrap().revisions), (OperationPhase::Succeeded, flow.head().into()));
}
