//! Images that go from one Application to the next once they have run well there.

use http::Method;
use serde_json::{Value, json};
use slipway_sandbox::IMAGE;
use slipway_sandbox::forge::PullRequest;

use crate::world::{Flow, KUSTOMIZATION};

const INGRESS: &str = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web/status";
const STAGE: &str = "stage/kustomization.yaml";

/// The shop, healthy, and beside it an Application in Git alone that is promoted from it; `annotations` are its own.
async fn shop(annotations: &str) -> Flow {
    let mut flow = Box::pin(Flow::deployed()).await;
    let address = json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}});
    let patched = flow.sandbox.cluster.call(Method::PATCH, INGRESS, "application/merge-patch+json", &address);
    assert!(patched.0.is_success(), "{patched:?}");
    flow.push("Add the stage", &[(STAGE, &flow.read(KUSTOMIZATION))]);
    declare(&flow, annotations);
    flow.settle().await;
    flow
}

fn declare(flow: &Flow, annotations: &str) {
    let app = flow
        .read("applications/shop.yaml")
        .replace("name: shop\n", "name: stage\n")
        .replace("path: shop", "path: stage");
    let app = app.replace("    automated:\n      prune: true\n", "");
    let app =
        app.replace("  annotations:\n", &format!("  annotations:\n    slipway.dev/promote-from: shop\n{annotations}"));
    flow.push("Declare the stage", &[("applications/stage.yaml", &app)]);
}

/// The image is pushed and deployed to the shop.
async fn release(flow: &mut Flow, tag: &str) {
    let event = flow.sandbox.aws.push_image(IMAGE, tag);
    let result = flow.pusher.handle(event).await.unwrap();
    assert_eq!(result["branches"]["acme/gitops main"]["changes"], json!([format!("shop: {} → {tag}", before(tag))]));
    flow.settle().await;
}

fn before(tag: &str) -> &'static str {
    if tag == "1.1.0" { "1.0.0" } else { "1.1.0" }
}

/// The messages with `text` in them.
fn told(flow: &Flow, text: &str) -> Vec<String> {
    flow.messages().into_iter().filter(|message| message.contains(text)).collect()
}

fn pulls(flow: &Flow) -> Vec<PullRequest> {
    flow.sandbox.forge.pull_requests(&flow.sandbox.repository)
}

fn message(flow: &Flow) -> String {
    let head = flow.sandbox.head().unwrap().unwrap();
    flow.sandbox.repository.commit(head).unwrap().message
}

/// Makes the health of the shop: a volume that is lost is Degraded.
fn set_volume(flow: &Flow, phase: &str) {
    let path = "/api/v1/namespaces/shop/persistentvolumeclaims/data/status";
    let body = json!({"status": {"phase": phase}});
    let patched = flow.sandbox.cluster.call(Method::PATCH, path, "application/merge-patch+json", &body);
    assert!(patched.0.is_success(), "{patched:?}");
}

#[tokio::test]
async fn what_runs_well_is_promoted_after_its_soak_time() {
    let mut flow = shop("    slipway.dev/promote-after: 1h\n").await;
    let first = flow.read(STAGE);
    release(&mut flow, "1.1.0").await;
    assert_eq!(flow.read(STAGE), first, "a push is not for what is promoted");
    flow.check().await;
    assert_eq!(flow.read(STAGE), first, "it soaks");

    declare(&flow, "    slipway.dev/promote-after: 0s\n");
    flow.settle().await;
    let deployed = flow.state("shop").await.unwrap().status;
    flow.check().await;
    assert_eq!(flow.read(STAGE), first.replace("newTag: 1.0.0", "newTag: 1.1.0"), "{:?}", deployed.summary);
    let message = message(&flow);
    for part in
        ["build: automatic update of stage", "Promoted from shop: Synced to ", " and Healthy since 20", "\nImage: "]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    // Once more there is nothing to do, nor to tell.
    let head = flow.sandbox.head().unwrap();
    flow.check().await;
    assert_eq!(flow.sandbox.head().unwrap(), head);
    let told = told(&flow, "promoted to *argocd/stage*");
    let [told] = &told[..] else { panic!("{:?}", flow.messages()) };
    assert!(told.starts_with(":arrow_right: images of *shop* are promoted to *argocd/stage*: <https://"), "{told}");
    assert!(told.contains("/shop/web` `1.0.0` → `1.1.0`"), "{told}");
}

#[tokio::test]
async fn failed_health_stops_it_and_takes_a_proposal_back() {
    let mut flow = shop("    slipway.dev/promote-after: 0s\n    slipway.dev/pull-request: \"true\"\n").await;
    let first = flow.read(STAGE);
    let with_volume = flow.read(KUSTOMIZATION).replace("  - service.yaml\n", "  - service.yaml\n  - volume.yaml\n");
    let volume = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n\
                  \x20 accessModes: [ReadWriteOnce]\n\
                  \x20 resources: {requests: {storage: 1Gi}}\n";
    flow.push("Add a volume", &[(KUSTOMIZATION, &with_volume), ("shop/volume.yaml", volume)]);
    flow.settle().await;
    release(&mut flow, "1.1.0").await;
    set_volume(&flow, "Lost");
    flow.check().await;
    assert_eq!(flow.state("shop").await.unwrap().status.health.status.to_string(), "Degraded");
    assert!(pulls(&flow).is_empty(), "what is Degraded is not promoted");
    flow.check().await;
    let held = told(&flow, "held back");
    let [held] = &held[..] else { panic!("once: {:?}", flow.messages()) };
    let start = ":no_entry: images of *shop* are held back from *argocd/stage*: it is Degraded\n";
    assert!(held.starts_with(start) && held.ends_with("/shop/web` `1.0.0` → `1.1.0`"), "{held}");
    let degraded = told(&flow, "is Degraded, without a sync");
    let [degraded] = &degraded[..] else { panic!("once: {:?}", flow.messages()) };
    assert!(degraded.contains("PersistentVolumeClaim/shop/data is Degraded"), "{degraded}");

    set_volume(&flow, "Bound");
    flow.check().await;
    let pull = pulls(&flow).remove(0);
    assert!(pull.is_open && pull.body.as_ref().unwrap().contains("Promoted from shop: Synced to"), "{pull:?}");
    assert_eq!(flow.read(STAGE), first, "it is for people to merge");
    let proposed = told(&flow, "are proposed to *argocd/stage*");
    assert!(proposed.len() == 1 && proposed[0].contains(&format!("/pull/{}|#{0}>", pull.number)), "{proposed:?}");
    assert_eq!(told(&flow, "*shop* on *in-cluster* is Healthy again").len(), 1, "{:?}", flow.messages());

    set_volume(&flow, "Lost");
    flow.check().await;
    let pull = pulls(&flow).remove(0);
    assert!(!pull.is_open && pull.comments[0].contains("Not promoted from shop: it is Degraded"), "{pull:?}");

    // Well again, the same images are proposed again: nobody declined them.
    set_volume(&flow, "Bound");
    flow.check().await;
    let pull = pulls(&flow).remove(1);
    flow.sandbox.forge.merge_pull_request(&flow.sandbox.repository, pull.number).unwrap();
    flow.settle().await;
    assert_eq!(flow.read(STAGE), first.replace("newTag: 1.0.0", "newTag: 1.1.0"));
}

/// What can't be promoted says why, and holds up nothing.
#[tokio::test]
async fn what_can_t_be_promoted_changes_nothing() {
    for annotations in ["    slipway.dev/promote-after: soon\n", ""] {
        let mut flow = shop(annotations).await;
        if annotations.is_empty() {
            let app = flow.read("applications/stage.yaml").replace("promote-from: shop", "promote-from: nowhere");
            flow.push("Misspell it", &[("applications/stage.yaml", &app)]);
        }
        release(&mut flow, "1.1.0").await;
        let head = flow.sandbox.head().unwrap();
        let checked: Value = flow.check().await;
        assert!(checked["applications"]["shop"].is_object(), "{checked}");
        assert_eq!(flow.sandbox.head().unwrap(), head);
    }
}
