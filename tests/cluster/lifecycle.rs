//! The end of an application, and what is undone behind its back, on the real API server.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use slipway::notify::report::AppSyncStatus;
use slipway::reconcile::sync::delete::{self, Approval, DeletionRequest};
use slipway::reconcile::sync::{Deadlines, OperationKind, SyncOutcome, SyncRequest};
use slipway_cluster::state;
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::health::Checks;
use slipway_gitops::prune_guard::Propagation;
use slipway_manifest::{Object, ObjectId};
use tokio::time::Instant;

use crate::sync::{hook, job, list, objects, recorded, run, times, wave};
use crate::{Place, config_map, deployment};

fn asked() -> DeletionRequest {
    DeletionRequest { cascade: Some(Propagation::Foreground), approval: Approval::Asked }
}

async fn end(job: &SyncRequest, request: &DeletionRequest) -> SyncOutcome {
    Box::pin(delete::delete(job, request, "deleter", times(120))).await
}

fn names(place: &Place, kind: &str) -> BTreeSet<String> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    list(place, kind).iter().map(name).filter(|name| name != "kube-root-ca.crt").collect()
}

fn with_option(mut object: Value, option: &str) -> Value {
    object["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] = json!(option);
    object
}

async fn is_forgotten(place: &Place) -> bool {
    state::read(&place.cluster, &place.key).await.unwrap().is_none()
}

#[tokio::test]
async fn hooks_run_around_a_deletion_and_waves_go_backwards() {
    let Some(place) = Place::new("deleted").await else { return };
    let manifests = objects([
        hook("before", "PreDelete", 0, "HookSucceeded"),
        hook("after", "PostDelete", 0, "BeforeHookCreation"),
        wave("first", 0),
        wave("second", 1),
        with_option(config_map("kept", &json!({})), "Delete=false"),
        with_option(config_map("spared", &json!({})), "Prune=false"),
        Object::into_value(Object::from_value(deployment("web", "nginx:1")).unwrap()),
    ]);
    let job = job(&place, "one", manifests);
    let deployed = run(&job, "worker", times(120)).await;
    assert_eq!(deployed.phase, AppSyncStatus::Healthy, "{deployed:?}");
    assert!(list(&place, "jobs").is_empty(), "no sync runs hooks of the deletion");

    let ended = end(&job, &asked()).await;
    assert_eq!(ended.phase, AppSyncStatus::Healthy, "{ended:?}");
    assert_eq!(names(&place, "configmaps"), BTreeSet::from(["kept".to_owned(), "spared".to_owned()]));
    assert!(list(&place, "deployments").is_empty() && list(&place, "replicasets").is_empty());
    // What has no policy is deleted before it is made anew only.
    let jobs = list(&place, "jobs");
    assert_eq!(names(&place, "jobs"), BTreeSet::from(["after".to_owned()]));
    assert_eq!(jobs[0]["status"]["succeeded"], 1);
    assert_eq!(jobs[0]["metadata"].get("finalizers"), None, "the hook is let go");
    let order: Vec<&str> = ended.changes.iter().filter_map(|line| line.strip_suffix(" pruned")).collect();
    let at = |name: &str| order.iter().position(|line| line.ends_with(name)).unwrap_or_else(|| panic!("{order:?}"));
    assert!(at("/second") < at("/first"), "{order:?}");
    assert_eq!(ended.warnings.len(), 2, "{:?}", ended.warnings);
    assert!(is_forgotten(&place).await);
}

#[tokio::test]
async fn a_failed_hook_before_keeps_everything_and_one_after_the_memory() {
    let Some(place) = Place::new("held").await else { return };
    let fails = |kind: &str, name: &str| {
        let mut hook = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"port": 80}]}});
        hook["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": kind});
        hook
    };
    let lua = json!({"resource.customizations.health.Service": "return {status = 'Degraded', message = 'no luck'}"});
    let checks = || Checks::new(Arc::new(Overrides::from_config_map(lua.as_object().unwrap())));
    let mut first = job(&place, "one", objects([fails("PreDelete", "before"), wave("map", 0)]));
    first.checks = checks();
    run(&first, "worker", times(60)).await;
    let held = end(&first, &asked()).await;
    assert_eq!(held.phase, AppSyncStatus::Failed, "{held:?}");
    assert!(held.problems.join(" ").contains("PreDelete"), "{held:?}");
    assert!(names(&place, "configmaps").contains("map"));
    let known = recorded(&place).await;
    assert!(delete::held(&known).is_some_and(|held| held.contains("PreDelete")));
    assert_eq!((known.operation, known.status.conditions[0].kind.as_str()), (None, "DeletionError"));

    // Wanted again, it is an application like any other.
    let mut second = job(&place, "two", objects([fails("PostDelete", "after"), wave("map", 0), wave("more", 0)]));
    second.checks = checks();
    let back = run(&second, "worker", times(60)).await;
    assert_eq!(back.phase, AppSyncStatus::Healthy, "{back:?}");
    assert!(recorded(&place).await.status.conditions.is_empty());
    let left = end(&second, &asked()).await;
    assert!(left.phase == AppSyncStatus::Failed && left.problems.join(" ").contains("PostDelete"), "{left:?}");
    assert!(!names(&place, "configmaps").contains("map"));
    assert!(!is_forgotten(&place).await);
}

#[tokio::test]
async fn only_the_approved_plan_is_carried_out_and_nothing_of_others() {
    let Some(place) = Place::new("approved").await else { return };
    let confirm = with_option(config_map("asks", &json!({})), "Delete=confirm");
    let job = job(&place, "one", objects([confirm, wave("map", 0), wave("theirs", 0)]));
    run(&job, "worker", times(60)).await;
    let tracking = "argocd.argoproj.io/tracking-id=other:/ConfigMap:x/theirs";
    place.plane.kubectl(&["-n", place.namespace(), "annotate", "configmap/theirs", tracking, "--overwrite"]);
    let unasked = end(&job, &asked()).await;
    assert_eq!(unasked.phase, AppSyncStatus::Held, "Delete=confirm wants more than a yes: {unasked:?}");
    let text = unasked.problems.join(" ");
    let digest = text.split("--approve-prune ").nth(1).unwrap().trim_end_matches('`').to_owned();
    let approve = |digest: &str| DeletionRequest { approval: Approval::Plan(Some(digest.to_owned())), ..asked() };
    assert_eq!(end(&job, &approve("0000000000000000")).await.phase, AppSyncStatus::Held);
    assert_eq!(names(&place, "configmaps").len(), 3);
    let ended = end(&job, &approve(&digest)).await;
    assert_eq!(ended.phase, AppSyncStatus::Healthy, "{ended:?}");
    assert_eq!(names(&place, "configmaps"), BTreeSet::from(["theirs".to_owned()]));
}

#[tokio::test]
async fn a_deletion_cut_off_at_a_hook_or_a_finalizer_goes_on() {
    let Some(place) = Place::new("resumed").await else { return };
    let mut held = wave("held", 0);
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let job = job(&place, "one", objects([hook("before", "PreDelete", 0, "BeforeHookCreation"), held]));
    run(&job, "worker", times(60)).await;
    let now = Instant::now();
    let hasty = || Deadlines { hand_over_at: now, ..times(60) };
    let first = Box::pin(delete::delete(&job, &asked(), "deleter", hasty())).await;
    assert_eq!(first.phase, AppSyncStatus::Waiting, "{first:?}");
    let operation = first.next.expect("it goes on").operation;
    let made = list(&place, "jobs")[0]["metadata"]["uid"].clone();
    // The hook is adopted; the finalizer holds it next.
    let brief = Deadlines { hand_over_at: Instant::now() + std::time::Duration::from_secs(20), ..times(60) };
    let second = Box::pin(delete::delete(&job, &asked(), "deleter", brief)).await;
    let next = second.next.clone().unwrap_or_else(|| panic!("{second:?}"));
    assert_eq!(next.operation, operation);
    assert!(second.warnings.join(" ").contains("finalizers hold it: example.com/hold"), "{second:?}");
    assert_ne!(made, Value::Null);
    let free = [
        "-n",
        place.namespace(),
        "patch",
        "configmap/held",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ];
    place.plane.kubectl(&free);
    let third = end(&job, &asked()).await;
    assert_eq!(third.phase, AppSyncStatus::Healthy, "{third:?}");
    assert!(is_forgotten(&place).await);
}

#[tokio::test]
async fn without_cascade_only_the_memory_goes() {
    let Some(place) = Place::new("uncascaded").await else { return };
    let job = job(&place, "one", objects([wave("map", 0)]));
    run(&job, "worker", times(60)).await;
    let ended = end(&job, &DeletionRequest { cascade: None, approval: Approval::Plan(None) }).await;
    assert_eq!(ended.phase, AppSyncStatus::Healthy, "{ended:?}");
    assert!(names(&place, "configmaps").contains("map") && is_forgotten(&place).await);
}

#[tokio::test]
async fn a_heal_touches_what_drifted_and_nothing_else() {
    let Some(place) = Place::new("healed").await else { return };
    let manifests = objects([
        hook("before", "PreSync", 0, "BeforeHookCreation"),
        config_map("one", &json!({"a": "git"})),
        config_map("two", &json!({"a": "git"})),
        config_map("gone", &json!({})),
    ]);
    let mut job = job(&place, "one", manifests);
    run(&job, "worker", times(60)).await;
    let hooks = list(&place, "jobs");
    for name in ["one", "two"] {
        let map = format!("configmap/{name}");
        place.plane.kubectl(&[
            "-n",
            place.namespace(),
            "patch",
            &map,
            "--type=merge",
            "-p",
            r#"{"data":{"a":"hand"}}"#,
        ]);
    }
    place.plane.kubectl(&["-n", place.namespace(), "delete", "configmap/gone"]);
    let id = |name: &str| ObjectId::new("", "ConfigMap", place.namespace(), name);
    job.policy.operation = OperationKind::SelfHeal;
    job.policy.options.skip_hooks = true;
    job.policy.options.resources = Some(BTreeSet::from([id("one"), id("gone")]));
    let healed = run(&job, "healer", times(60)).await;
    assert_eq!(healed.phase, AppSyncStatus::Healthy, "{healed:?}");
    let maps = list(&place, "configmaps");
    let a = |name: &str| maps.iter().find(|map| map["metadata"]["name"] == name).map(|map| map["data"]["a"].clone());
    assert_eq!((a("one"), a("two")), (Some(json!("git")), Some(json!("hand"))));
    assert!(a("gone").is_some());
    assert_eq!(list(&place, "jobs"), hooks, "no hook runs");
    assert_eq!(recorded(&place).await.status.history.len(), 1);
}

#[tokio::test]
async fn a_wait_that_lasts_ends_the_invocation_and_says_when_it_goes_on() {
    let Some(place) = Place::new("rests").await else { return };
    let job = job(&place, "one", objects([hook("before", "PreSync", 0, "BeforeHookCreation"), wave("map", 0)]));
    let now = Instant::now();
    let hasty = Deadlines { hand_over_at: now, reschedules: true, ..times(60) };
    let left = run(&job, "worker", hasty).await;
    let next = left.next.unwrap_or_else(|| panic!("it waits for a hook: {:?}", left.problems));
    let recorded_at = recorded(&place).await.operation.and_then(|operation| operation.not_before);
    assert_eq!(next.not_before, recorded_at);
    let ahead = recorded_at.expect("a time") - jiff::Timestamp::now();
    let ahead = std::time::Duration::try_from(ahead).expect("it lies ahead").as_secs();
    assert!((30..=60).contains(&ahead), "{ahead}");
    // Whoever comes before that, because something happened, finds it done.
    let rest = run(&job, "worker", times(60)).await;
    assert_eq!(rest.phase, AppSyncStatus::Healthy, "{rest:?}");
    assert_eq!(recorded(&place).await.operation, None);
}
