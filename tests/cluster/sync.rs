//! Whole syncs with the real engine.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::app::{Application, ProjectPermissions, Projects};
use slipway::clusters::ConnectedCluster;
use slipway::notify::report::AppSyncStatus;
use slipway::reconcile::sync::{self, AppOwner, Deadlines, SyncOutcome, SyncPolicy, SyncRequest};
use slipway_cluster::objects;
use slipway_cluster::state::{self, State};
use slipway_gitops::status::{Initiator, OperationPhase, SourceTypes};
use slipway_manifest::Object;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::journal::Journal;
use crate::{Place, config_map};

pub(crate) fn job(place: &Place, revision: &str, objects: Vec<Object>) -> SyncRequest {
    let mut policy = SyncPolicy::default();
    policy.options.prune = true;
    // What fails here is told at once.
    policy.retry.limit = 0;
    SyncRequest {
        first_deployed_at: None,
        listings: None,
        first_manifest: None,
        declared: Vec::new(),
        charts: slipway::reconcile::notes::ChartDigests::default(),
        remotes: slipway::reconcile::notes::RemoteVersions::default(),
        owner: AppOwner {
            key: place.key.clone(),
            instance: place.owner.app.clone(),
            namespace: place.namespace().to_owned(),
        },
        destination: ConnectedCluster { name: "in-cluster".to_owned(), cluster: place.cluster.clone() },
        repos: vec!["acme/gitops".to_owned()],
        reported: 0,
        revisions: revision.into(),
        spec_digest: None,
        inputs_digest: None,
        objects,
        warnings: Vec::new(),
        policy,
        initiator: Initiator::automated(),
        resume_operation: None,
        source_types: SourceTypes { source_type: "Directory".to_owned(), ..SourceTypes::default() },
        permit: permit(),
        application: json!({}),
        subscriptions: slipway::notify::subscribe::Subscriptions::default(),
        rules: std::sync::Arc::default(),
        checks: slipway_gitops::health::Checks::default(),
    }
}

/// What a project that nobody declares allows: everything.
pub(crate) fn permit() -> ProjectPermissions {
    let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "app",
        "namespace": "argocd"}, "spec": {
        "project": "default", "source": {"repoURL": "https://github.com/acme/gitops.git", "path": "."},
        "destination": {"name": "in-cluster"}}});
    let app = Application::from_object(&Object::from_value(app).unwrap()).unwrap();
    ProjectPermissions::of(&app, &Projects::default(), &[])
}

pub(crate) fn times(seconds: u64) -> Deadlines {
    Deadlines::until(Instant::now() + Duration::from_secs(seconds))
}

pub(crate) async fn run(job: &SyncRequest, holder: &str, times: Deadlines) -> SyncOutcome {
    let (_never, stop) = watch::channel(false);
    Box::pin(sync::sync(job, None, holder, times, stop)).await
}

pub(crate) async fn recorded(place: &Place) -> State {
    state::read(&place.cluster, &place.key).await.unwrap().expect("a state").state
}

pub(crate) fn objects(values: impl IntoIterator<Item = Value>) -> Vec<Object> {
    values.into_iter().map(|value| Object::from_value(value).unwrap()).collect()
}

pub(crate) fn hook(name: &str, kind: &str, wave: i64, policy: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": {
        "argocd.argoproj.io/hook": kind, "argocd.argoproj.io/sync-wave": wave.to_string(),
            "argocd.argoproj.io/hook-delete-policy": policy}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main",
            "image": "alpine"}]}}}})
}

pub(crate) fn wave(name: &str, wave: i64) -> Value {
    let mut map = config_map(name, &json!({"wave": wave.to_string()}));
    map["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-wave": wave.to_string()});
    map
}

/// Objects of a kind in the namespace, by `kubectl`.
pub(crate) fn list(place: &Place, kind: &str) -> Vec<Value> {
    let text = place.plane.kubectl(&["-n", place.namespace(), "get", kind, "-o", "json"]).expect("kubectl");
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// Three hooks and three waves, as a commit has them.
pub(crate) fn stages(revision: &str) -> Vec<Object> {
    let wave = |name: &str, number: i64| {
        let mut map = wave(name, number);
        map["data"] = json!({ "revision": revision });
        map
    };
    // A Job can't be changed: each commit's is another.
    let hook = |name: &str, kind: &str, number: i64, policy: &str| {
        let mut job = hook(name, kind, number, policy);
        job["spec"]["template"]["spec"]["containers"][0]["image"] = json!(format!("alpine:{revision}"));
        job
    };
    objects([
        hook("before", "PreSync", 0, "BeforeHookCreation"),
        wave("a", 0),
        wave("b", 1),
        hook("between", "Sync", 2, "HookSucceeded"),
        wave("c", 3),
        hook("after", "PostSync", 0, "BeforeHookCreation"),
    ])
}

#[tokio::test]
async fn a_sync_that_can_not_begin_writes_nothing() {
    let Some(place) = Place::new("refused").await else { return };
    let mut bad = config_map("bad", &json!({"a": "b"}));
    bad["data"] = json!({"a": {"not": "a string"}});
    let outcome = run(&job(&place, "one", objects([wave("good", 0), bad])), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Failed, "{outcome:?}");
    let good = place.one(wave("good", 0));
    assert_eq!(objects::get(&place.cluster, &place.at(&good)).await.unwrap(), None, "everything is dry-run first");
    let last = recorded(&place).await.status.operation_state.unwrap();
    assert_eq!(last.phase, OperationPhase::Failed);
}

/// A CustomResourceDefinition of a group of the test's own, whose `size` is a number, and a resource of it.
fn widgets(place: &Place, widgets: &[(&str, Value, i64)]) -> Vec<Object> {
    let group = format!("{}.example.com", place.namespace());
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"size": {"type": "integer"}}}}});
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let widget = |(name, size, wave): &(&str, Value, i64)| {
        json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": name, "annotations": {
            "argocd.argoproj.io/sync-wave": wave.to_string()}}, "spec": {"size": size}})
    };
    objects(widgets.iter().map(widget).chain([crd]))
}

#[tokio::test]
async fn a_crd_and_its_resource_come_in_one_sync() {
    let Some(place) = Place::new("crd").await else { return };
    let outcome = run(&job(&place, "one", widgets(&place, &[("w", json!(3), 0)])), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{outcome:?}");
    assert_eq!(list(&place, &format!("widgets.{}.example.com", place.namespace())).len(), 1);
}

#[tokio::test]
async fn what_needs_a_crd_of_the_sync_is_dry_run_once_that_is_there() {
    let Some(place) = Place::new("late-crd").await else { return };
    let objects = widgets(&place, &[("good", json!(3), 0), ("bad", json!("large"), 2)]);
    let outcome = run(&job(&place, "one", objects), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Failed, "{outcome:?}");
    let told = outcome.problems.join("\n");
    assert!(told.contains("failed to dry-run Widget") && told.contains("/bad: ") && told.contains("size"), "{told}");
    let kind = format!("widgets.{}.example.com", place.namespace());
    let names: Vec<Value> = list(&place, &kind).iter().map(|widget| widget["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["good"], "a later wave's refusal counts at its own step");
}

#[tokio::test]
async fn what_lies_in_a_namespace_of_the_sync_is_dry_run_once_that_is_there() {
    let Some(place) = Place::new("late-ns").await else { return };
    let namespace = format!("{}-made", place.namespace());
    let inside = |mut object: Value| {
        object["metadata"]["namespace"] = json!(namespace);
        object
    };
    let mut bad = inside(wave("bad", 2));
    bad["data"] = json!({"a": {"not": "a string"}});
    let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let commit = |last: Value| objects([inside(wave("good", 0)), made.clone(), inside(wave("next", 1)), last]);
    let outcome = run(&job(&place, "one", commit(bad)), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Failed, "{outcome:?}");
    let told = outcome.problems.join("\n");
    assert!(told.contains(&format!("failed to dry-run ConfigMap/{namespace}/bad: ")), "{told}");
    let maps = || place.plane.kubectl(&["-n", &namespace, "get", "configmaps", "-o", "name"]).expect("kubectl");
    assert!(!maps().contains("good"), "{}", maps());
    let mended = run(&job(&place, "two", commit(inside(wave("bad", 2)))), "worker", times(60)).await;
    assert_eq!(mended.phase, AppSyncStatus::Healthy, "{mended:?}");
    assert!(["good", "next", "bad"].iter().all(|name| maps().contains(name)), "{}", maps());
}

/// A Job's template can't be changed: one that is made anew is not dry-run onto what an earlier sync left of it.
#[tokio::test]
async fn a_hook_that_is_made_anew_may_be_another() {
    let Some(place) = Place::new("hook-anew").await else { return };
    let with = |image: &str, field: &str| {
        let mut job = hook("before", "PreSync", 0, "BeforeHookCreation");
        job["spec"]["template"]["spec"]["containers"][0][field] = json!(image);
        // A commit that changes nothing but hooks is no reason to sync.
        objects([job, config_map("c", &json!({"image": image}))])
    };
    for image in ["alpine:1", "alpine:2"] {
        let outcome = run(&job(&place, image, with(image, "image")), "worker", times(60)).await;
        assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{outcome:?}");
        let jobs = list(&place, "jobs");
        assert_eq!(jobs[0]["spec"]["template"]["spec"]["containers"][0]["image"], image, "{jobs:?}");
    }
    let refused = run(&job(&place, "typo", with("alpine:3", "imago")), "worker", times(60)).await;
    assert_eq!(refused.phase, AppSyncStatus::Failed);
    assert!(
        refused.problems[0].contains("failed to dry-run Job/") && refused.problems[0].contains("imago"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_hook_whose_predecessor_still_goes_is_made_once_that_is_gone() {
    for policy in ["BeforeHookCreation", "HookSucceeded"] {
        let Some(place) = Place::new("leaving").await else { return };
        let made = hook("before", "PreSync", 0, policy);
        let mut old = made.clone();
        old["metadata"]["finalizers"] = json!(["team.io/keep"]);
        place.apply(&place.one(old)).await;
        let kubectl = |arguments: &[&str]| place.plane.kubectl(&[&["-n", place.namespace()], arguments].concat());
        kubectl(&["delete", "job", "before", "--wait=false"]);
        let journal = Journal::begin(&place);
        let job = job(&place, "one", objects([made, wave("a", 0)]));
        let (outcome, ()) = tokio::join!(run(&job, "worker", times(60)), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(!list(&place, "configmaps").iter().any(|map| map["metadata"]["name"] == "a"), "it is waited for");
            kubectl(&["patch", "job", "before", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
        });
        assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{policy}: {outcome:?}");
        let events = journal.read(&place, &[("batch/v1", "jobs"), ("v1", "configmaps")]);
        assert_eq!(events.runs("before", "one"), 1, "{policy}");
        assert!(events.completed("before") < events.made("ConfigMap", "a"), "{policy}");
    }
}

#[tokio::test]
async fn a_hook_that_a_failed_sync_left_runs_again_for_the_next() {
    let Some(place) = Place::new("spent").await else { return };
    let mut stuck = hook("after", "PostSync", 0, "HookSucceeded");
    stuck["spec"]["activeDeadlineSeconds"] = json!(2);
    stuck["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    let commit = |image: &str, after: Value| {
        let mut before = hook("before", "PreSync", 0, "HookSucceeded");
        before["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        objects([before, config_map("a", &json!({"image": image})), after])
    };
    let journal = Journal::begin(&place);
    let failed = run(&job(&place, "one", commit("alpine:1", stuck)), "worker", times(60)).await;
    assert_eq!(failed.phase, AppSyncStatus::Failed, "{failed:?}");
    assert_eq!(list(&place, "jobs").len(), 2, "what failed is left to be looked at");
    let mended = commit("alpine:2", hook("after", "PostSync", 0, "HookSucceeded"));
    let outcome = run(&job(&place, "two", mended), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{outcome:?}");
    let events = journal.read(&place, &[("batch/v1", "jobs")]);
    assert_eq!((events.runs("before", "one"), events.runs("before", "two")), (1, 1));
    assert_eq!(events.count("Job"), 4, "each is made twice");
}

#[tokio::test]
async fn what_a_sync_waits_for_is_told_with_its_root_cause() {
    let Some(place) = Place::new("cause").await else { return };
    let mut web = crate::deployment("web", "nginx:1");
    web["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    let objects = vec![Object::from_value(web).unwrap()];
    let outcome = run(&job(&place, "r0", objects), "cause", times(8)).await;
    let told = [outcome.warnings, outcome.problems].concat().join("\n");
    assert!(told.contains("Pod/") && told.contains("node"), "{told}");
}
