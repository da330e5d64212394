//! Sync options, and the limits of a sync, as the real API server shows them.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use slipway::notify::report::AppSyncStatus;
use slipway::reconcile::sync::Deadlines;
use slipway_cluster::state;
use slipway_gitops::status::{OperationPhase, SyncStatus};
use slipway_gitops::sync::NamespaceMetadata;
use tokio::time::Instant;

use crate::sync::{hook, job, list, objects, recorded, run, times, wave};
use crate::{Place, config_map};

fn with_options(mut object: Value, options: &str) -> Value {
    object["metadata"]["annotations"] = json!({ "argocd.argoproj.io/sync-options": options });
    object
}

/// The objects of a kind, by name.
fn get(place: &Place, kind: &str, name: &str) -> Value {
    let found = list(place, kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("{kind}/{name} does not exist"))
}

#[tokio::test]
async fn replace_takes_away_what_others_added_and_apply_leaves_it() {
    let Some(place) = Place::new("replace").await else { return };
    let commit = |value: &str| {
        let data = json!({ "value": value });
        objects([with_options(config_map("replaced", &data), "Replace=true"), config_map("applied", &data)])
    };
    run(&job(&place, "one", commit("1")), "worker", times(60)).await;
    let uid = get(&place, "configmaps", "replaced")["metadata"]["uid"].clone();
    for name in ["replaced", "applied"] {
        let patch = r#"{"data":{"extra":"by hand"}}"#;
        let name = format!("configmap/{name}");
        place.plane.kubectl(&["-n", place.namespace(), "patch", &name, "--type=merge", "-p", patch]).expect("kubectl");
    }
    let outcome = run(&job(&place, "two", commit("2")), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{outcome:?}");
    assert_eq!(get(&place, "configmaps", "replaced")["data"], json!({"value": "2"}));
    assert_eq!(get(&place, "configmaps", "replaced")["metadata"]["uid"], uid, "it is put, not made anew");
    assert_eq!(get(&place, "configmaps", "applied")["data"], json!({"extra": "by hand", "value": "2"}));
}

#[tokio::test]
async fn force_makes_a_job_anew_and_without_it_the_refusal_says_so() {
    let Some(place) = Place::new("force").await else { return };
    let commit = |image: &str, options: &str| {
        let mut migrate = with_options(hook("migrate", "Sync", 0, ""), options);
        migrate["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        objects([migrate])
    };
    run(&job(&place, "one", commit("alpine:1", "")), "worker", times(60)).await;
    let uid = get(&place, "jobs", "migrate")["metadata"]["uid"].clone();
    let refused = run(&job(&place, "two", commit("alpine:2", "")), "worker", times(60)).await;
    assert_eq!(refused.phase, AppSyncStatus::Failed, "{refused:?}");
    let told = refused.problems.join("\n");
    assert!(told.contains("Job/") && told.contains("Force=true,Replace=true"), "{told}");
    assert_eq!(get(&place, "jobs", "migrate")["metadata"]["uid"], uid);

    let forced = run(&job(&place, "three", commit("alpine:2", "Force=true,Replace=true")), "worker", times(60)).await;
    assert_eq!(forced.phase, AppSyncStatus::Healthy, "{forced:?}");
    let anew = get(&place, "jobs", "migrate");
    assert_ne!(anew["metadata"]["uid"], uid);
    assert_eq!(anew["spec"]["template"]["spec"]["containers"][0]["image"], "alpine:2");
}

#[tokio::test]
async fn a_prune_that_asks_for_confirmation_waits_for_it() {
    let Some(place) = Place::new("confirm").await else { return };
    let kept = || config_map("kept", &json!({}));
    let precious = with_options(config_map("precious", &json!({})), "Prune=confirm");
    run(&job(&place, "one", objects([kept(), precious])), "worker", times(60)).await;
    let mut without = job(&place, "two", objects([kept()]));
    let began = Instant::now();
    let waits = run(&without, "worker", times(60)).await;
    assert!(began.elapsed() < Duration::from_secs(30), "nobody waits for a person");
    assert_eq!(waits.phase, AppSyncStatus::Waiting, "{waits:?}");
    assert!(waits.warnings.iter().any(|line| line.contains("pruning confirmation of")), "{waits:?}");
    get(&place, "configmaps", "precious");
    // A confirmation from before the sync is for another one.
    without.policy.confirmed_at = Some(Timestamp::UNIX_EPOCH);
    run(&without, "worker", times(60)).await;
    get(&place, "configmaps", "precious");
    without.policy.confirmed_at = Some(Timestamp::now());
    let confirmed = run(&without, "worker", times(60)).await;
    assert_eq!(confirmed.phase, AppSyncStatus::Healthy, "{confirmed:?}");
    let names: Vec<Value> = list(&place, "configmaps").iter().map(|map| map["metadata"]["name"].clone()).collect();
    assert!(!names.contains(&json!("precious")), "{names:?}");
    assert_eq!(recorded(&place).await.status.sync.status, SyncStatus::Synced);
}

/// The destination's namespace left Git, and the Application asks for it: it stays, and nobody's marks are on it.
#[tokio::test]
async fn a_namespace_that_is_asked_for_is_let_go_and_not_pruned() {
    let Some(place) = Place::new("stays").await else { return };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace(),
        "labels": {"team": "shop"}}});
    let commit = |revision: &str, manifests: Vec<Value>| {
        let mut job = job(&place, revision, objects(manifests));
        job.policy.options.create_namespace = Some(NamespaceMetadata::default());
        job
    };
    let map = || config_map("map", &json!({}));
    let deployed = run(&commit("one", vec![namespace, map()]), "worker", times(60)).await;
    assert_eq!(deployed.phase, AppSyncStatus::Healthy, "{deployed:?}");
    let live = || {
        let text = place.plane.kubectl(&["get", "namespace", place.namespace(), "-o", "json"]).expect("kubectl");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert!(live()["metadata"].to_string().contains("applyset"), "{}", live());
    let left = run(&commit("two", vec![map()]), "worker", times(60)).await;
    assert_eq!(left.phase, AppSyncStatus::Healthy, "{left:?}");
    let after = live();
    assert_eq!((&after["status"]["phase"], &after["metadata"]["labels"]["team"]), (&json!("Active"), &json!("shop")));
    let own = after["metadata"]["annotations"].to_string() + &after["metadata"]["labels"].to_string();
    assert!(!own.contains("applyset") && !own.contains("tracking-id"), "{own}");
    get(&place, "configmaps", "map");
    assert_eq!(recorded(&place).await.status.sync.status, SyncStatus::Synced);
    assert!(run(&commit("three", vec![map()]), "worker", times(60)).await.changes.is_empty());
}

/// A hook that never ends, and a wave behind it.
fn endless() -> Vec<slipway_manifest::Object> {
    let mut before = hook("before", "PreSync", 0, "BeforeHookCreation");
    before["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    objects([before, wave("later", 0)])
}

async fn assert_ended(place: &Place) {
    let state = recorded(place).await;
    assert_eq!(state.operation, None);
    let last = state.status.operation_state.unwrap();
    assert_eq!(last.phase, OperationPhase::Failed);
    assert!(last.message.contains("sync timeout exceeded: waiting for completion of hook"), "{}", last.message);
    assert!(list(place, "jobs").is_empty(), "the hook is ended");
    assert!(!list(place, "configmaps").iter().any(|map| map["metadata"]["name"] == "later"));
}

/// `SLIPWAY_SYNC_TIMEOUT`, in one invocation and over several.
#[tokio::test]
async fn a_sync_that_takes_too_long_ends() {
    let Some(place) = Place::new("timeout").await else { return };
    let timeout = Duration::from_secs(4);
    let outcome = run(&job(&place, "one", endless()), "worker", Deadlines { timeout, ..times(60) }).await;
    assert_eq!(outcome.phase, AppSyncStatus::Failed, "{outcome:?}");
    assert_ended(&place).await;

    let mut job = job(&place, "two", endless());
    let hasty = Deadlines { timeout, hand_over_at: Instant::now(), ..times(60) };
    let left = run(&job, "worker", hasty).await;
    job.resume_operation = Some(left.next.clone().unwrap_or_else(|| panic!("{left:?}")).operation);
    tokio::time::sleep(timeout).await;
    let began = Instant::now();
    let outcome = run(&job, "worker", Deadlines { timeout, ..times(60) }).await;
    assert_eq!(outcome.phase, AppSyncStatus::Failed, "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_ended(&place).await;
}

/// A chain of messages comes to an end, whatever the time.
#[tokio::test]
async fn a_sync_is_taken_up_so_often_and_no_more() {
    let Some(place) = Place::new("chain").await else { return };
    let mut job = job(&place, "one", endless());
    let hasty = || Deadlines { hand_over_at: Instant::now(), ..times(60) };
    let left = run(&job, "worker", hasty()).await;
    job.resume_operation = Some(left.next.clone().unwrap_or_else(|| panic!("{left:?}")).operation);
    let mut recorded = state::read(&place.cluster, &place.key).await.unwrap().unwrap();
    let version = recorded.version().to_owned();
    recorded.state.operation.as_mut().unwrap().attempt = 199;
    state::write(&place.cluster, &place.key, &recorded.state, Some(&version)).await.unwrap();
    let last = run(&job, "worker", hasty()).await;
    assert_eq!(last.next.map(|next| next.attempt), Some(200), "the last one goes on");
    let over = run(&job, "worker", hasty()).await;
    assert_eq!((over.phase, over.next), (AppSyncStatus::Failed, None), "{:?}", over.problems);
    assert_ended(&place).await;
}
