//! Argo CD's own examples, rendered and synced as the worker does it, on the real control plane.

use serde_json::{Value, json};
use slipway::app::Application;
use slipway::render::{Context, render};
use slipway_gitops::health::Health;
use slipway_gitops::status::{OperationPhase, ResourceResult, SyncStatus};
use slipway_manifest::Object;
use slipway_tests::{files, skip, tools};

use crate::journal::{Journal, is_in_order};
use crate::sync::{job, list, recorded, run, times};
use crate::{Place, kubectl_apply};

const JOBS: (&str, &str) = ("batch/v1", "jobs");
const REPLICA_SETS: (&str, &str) = ("apps/v1", "replicasets");
const DEPLOYMENTS: (&str, &str) = ("apps/v1", "deployments");
const SERVICES: (&str, &str) = ("v1", "services");

/// What the example `name` renders to as the application of `place`.
fn example(place: &Place, name: &str) -> Option<Vec<Object>> {
    let Some(shared) = tools::shared() else {
        assert!(std::env::var("SLIPWAY_REQUIRE_SHARED").is_err(), "../shared is required and missing");
        skip::say("skipped: Argo CD's examples are in ../shared, which is not here");
        return None;
    };
    let tree = files::tree(&shared.join("corpus/kustomize/trees/argoproj+argocd-example-apps"), "");
    let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": place.owner.app, "namespace": "argocd"},
        "spec": {"project": "default", "source": {"repoURL": "https://github.com/argoproj/argocd-example-apps",
            "path": name},
            "destination": {"name": "in-cluster", "namespace": place.namespace()}}});
    let app = Application::from_object(&Object::from_value(app).unwrap()).unwrap();
    Some(render(&tree, &app, &Context::default()).unwrap().objects)
}

fn is_available(object: &Value) -> bool {
    object["status"]["availableReplicas"].as_u64() >= Some(1)
}

/// Asserts how the application ended: Synced, the operation over, and how well it is.
async fn assert_synced(place: &Place, health: Health) {
    let state = recorded(place).await;
    assert_eq!(state.status.sync.status, SyncStatus::Synced);
    assert_eq!(state.status.operation_state.unwrap().phase, OperationPhase::Succeeded);
    assert_eq!(state.operation, None);
    assert_eq!(state.status.health.status, health, "{:?}", state.status.resources);
}

/// The last sync's hooks and their types.
async fn hooks(place: &Place) -> Vec<(String, String)> {
    let results = recorded(place).await.status.operation_state.unwrap().sync_result.unwrap().resources;
    let ran = |result: &ResourceResult| !result.hook_type.is_empty();
    results.into_iter().filter(ran).map(|result| (result.name, result.hook_type)).collect()
}

#[tokio::test]
async fn sync_waves_run_in_order() {
    let Some(place) = Place::new("waves").await else { return };
    let Some(objects) = example(&place, "sync-waves") else { return };
    let journal = Journal::begin(&place);
    let outcome = run(&job(&place, "0123456789abcdef", objects), "waves", times(120)).await;
    assert!(outcome.problems.is_empty(), "{outcome:?}");
    let events = journal.read(&place, &[JOBS, REPLICA_SETS, SERVICES]);
    let backend = events.when("ReplicaSet", "backend", is_available);
    let frontend = events.when("ReplicaSet", "frontend", is_available);
    let order = [
        events.completed("upgrade-sql-schema"),
        events.made("Service", "backend"),
        events.made("ReplicaSet", "backend"),
        backend,
        events.made("Job", "maint-page-up"),
        events.completed("maint-page-up"),
        events.made("Service", "frontend"),
        events.made("ReplicaSet", "frontend"),
        frontend,
        events.made("Job", "maint-page-down"),
        events.completed("maint-page-down"),
    ];
    assert!(is_in_order(&order), "{order:?}");
    assert_eq!((events.count("Job"), events.count("ReplicaSet"), events.count("Service")), (3, 2, 2));
    let jobs = list(&place, "jobs");
    let name = |job: &Value| job["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(jobs.iter().any(|job| name(job).starts_with("upgrade-sql-schema0123456-presync-")), "{jobs:?}");
    assert!(jobs.iter().all(|job| job["metadata"].get("finalizers").is_none()), "hooks are let go: {jobs:?}");
    assert_synced(&place, Health::Healthy).await;
}

#[tokio::test]
async fn pre_and_post_sync_hooks_run_and_go() {
    let Some(place) = Place::new("prepost").await else { return };
    let Some(objects) = example(&place, "pre-post-sync") else { return };
    let journal = Journal::begin(&place);
    let job = job(&place, "0123456789abcdef", objects);
    let outcome = run(&job, "prepost", times(120)).await;
    assert!(outcome.problems.is_empty(), "{outcome:?}");
    let events = journal.read(&place, &[JOBS, DEPLOYMENTS, SERVICES]);
    let order = [
        events.completed("pre-post-sync-before"),
        events.made("Service", "pre-post-sync-"),
        events.made("Deployment", "pre-post-sync-"),
        events.when("Deployment", "pre-post-sync-", is_available),
        events.made("Job", "pre-post-sync-after"),
        events.completed("pre-post-sync-after"),
    ];
    assert!(is_in_order(&order), "{order:?}");
    assert!(list(&place, "jobs").is_empty(), "HookSucceeded deletes both");
    let ran = [("pre-post-sync-before", "PreSync"), ("pre-post-sync-after", "PostSync")];
    assert_eq!(hooks(&place).await, ran.map(|(name, hook)| (name.to_owned(), hook.to_owned())));
    assert_synced(&place, Health::Healthy).await;
    // The same again: nothing differs, so no hook runs and nothing is written.
    let journal = Journal::begin(&place);
    let again = run(&job, "prepost", times(60)).await;
    assert!(again.problems.is_empty() && again.changes.is_empty(), "{again:?}");
    assert_eq!(journal.read(&place, &[JOBS]).count("Job"), 0);
}

#[tokio::test]
async fn helm_hooks_run_by_weight() {
    let Some(place) = Place::new("helm-hooks").await else { return };
    let Some(objects) = example(&place, "helm-hooks") else { return };
    let journal = Journal::begin(&place);
    let outcome = run(&job(&place, "0123456789abcdef", objects), "helm-hooks", times(120)).await;
    assert!(outcome.problems.is_empty(), "{outcome:?}");
    let events = journal.read(&place, &[JOBS, REPLICA_SETS, SERVICES]);
    let order = [
        events.made("Job", "upgrade-sql-schema"),
        events.completed("upgrade-sql-schema"),
        events.made("Job", "maint-page-up"),
        events.completed("maint-page-up"),
        events.made("ReplicaSet", "frontend"),
        events.when("ReplicaSet", "frontend", is_available),
        // A weight on what is no hook is its wave.
        events.made("Service", "frontend"),
        events.made("Job", "maint-page-down"),
        events.completed("maint-page-down"),
    ];
    assert!(is_in_order(&order), "{order:?}");
    let types: Vec<String> = hooks(&place).await.into_iter().map(|(_, hook)| hook).collect();
    assert_eq!(types, ["PreSync", "PreSync", "PostSync"]);
    assert_synced(&place, Health::Healthy).await;
}

#[tokio::test]
async fn helm_guestbook_comes_kind_after_kind() {
    let Some(place) = Place::new("guestbook").await else { return };
    let Some(objects) = example(&place, "helm-guestbook") else { return };
    let journal = Journal::begin(&place);
    let outcome = run(&job(&place, "0123456789abcdef", objects), "guestbook", times(120)).await;
    assert!(outcome.problems.is_empty(), "{outcome:?}");
    let events = journal.read(&place, &[DEPLOYMENTS, SERVICES]);
    let name = format!("{}-helm-guestbook", place.owner.app);
    let deployment = events.when("Deployment", &name, is_available);
    let order = [events.made("Service", &name), events.made("Deployment", &name), deployment];
    assert!(is_in_order(&order), "{order:?}");
    assert_synced(&place, Health::Healthy).await;
}

#[tokio::test]
async fn sock_shop_is_progressing_until_its_ingress_has_an_address() {
    let Some(place) = Place::new("sock-shop").await else { return };
    let Some(objects) = example(&place, "sock-shop") else { return };
    let job = job(&place, "0123456789abcdef", objects);
    let outcome = run(&job, "sock-shop", times(120)).await;
    assert!(outcome.problems.is_empty(), "{outcome:?}");
    assert_eq!(list(&place, "deployments").iter().filter(|deployment| is_available(deployment)).count(), 14);
    assert_synced(&place, Health::Progressing).await;
    let address = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    patch_status(&place, "ingress/front-end-ingress", &address);
    let again = run(&job, "sock-shop", times(60)).await;
    assert!(again.problems.is_empty() && again.changes.is_empty(), "{again:?}");
    assert_synced(&place, Health::Healthy).await;
}

#[tokio::test]
async fn blue_green_is_suspended_until_it_is_promoted() {
    let Some(place) = Place::new("blue-green").await else { return };
    let Some(objects) = example(&place, "blue-green") else { return };
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let names = json!({"kind": "Rollout", "plural": "rollouts"});
    let version = json!({"name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema}});
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": [version]}});
    kubectl_apply(&place, &crd);
    place.served("argoproj.io", "v1alpha1", "Rollout").await;

    let job = job(&place, "0123456789abcdef", objects);
    let outcome = run(&job, "blue-green", times(60)).await;
    assert!(outcome.problems.is_empty(), "{outcome:?}");
    let rollout = format!("rollouts/{}-helm-guestbook", place.owner.app);
    // As Argo Rollouts writes it, with the new version up and waiting for its promotion.
    let paused = json!({"status": {"observedGeneration": "1", "phase": "Paused", "replicas": 2, "updatedReplicas": 1,
        "blueGreen": {"activeSelector": "6f9d", "previewSelector": "7c4b"}, "message": "BlueGreenPause",
        "pauseConditions": [{"reason": "BlueGreenPause", "startTime": "2026-01-01T00:00:00Z"}],
        "conditions": [{"type": "Progressing", "status": "Unknown", "reason": "RolloutPaused",
            "message": "Rollout is paused"}]}});
    patch_status(&place, &rollout, &paused);
    run(&job, "blue-green", times(60)).await;
    assert_synced(&place, Health::Suspended).await;
    let promoted = json!({"status": {"phase": "Healthy", "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
        "blueGreen": {"activeSelector": "7c4b", "previewSelector": "7c4b"}, "message": null, "pauseConditions": null,
        "conditions": [{"type": "Available", "status": "True", "reason": "AvailableReason",
            "message": "Rollout has minimum availability"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
                "message": "it has progressed"}]}});
    patch_status(&place, &rollout, &promoted);
    let last = run(&job, "blue-green", times(60)).await;
    assert!(last.problems.is_empty() && last.changes.is_empty(), "{last:?}");
    assert_synced(&place, Health::Healthy).await;
}

/// Writes to the status subresource, as a controller would.
fn patch_status(place: &Place, object: &str, status: &Value) {
    let arguments = ["-n", place.namespace(), "patch", object, "--subresource=status", "--type=merge", "-p"];
    place.plane.kubectl(&[arguments.as_slice(), &[&status.to_string()]].concat()).expect("kubectl");
}
