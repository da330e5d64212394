//! Whole syncs with the real engine: waves, hooks, prunes, and workers that are killed, doubled or late.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use slipway::app::{Application, Permit};
use slipway::clusters::Destination;
use slipway::deploy::sync::{self, Job, Outcome, Owner, Policy, Times};
use slipway::notify::report::Phase;
use slipway_cluster::live;
use slipway_cluster::state::{self, State};
use slipway_cluster::status::{OperationPhase, SyncStatus};
use slipway_manifest::Object;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{Place, config_map};

pub(crate) fn job(place: &Place, revision: &str, objects: Vec<Object>) -> Job {
    let mut policy = Policy::default();
    policy.options.prune = true;
    Job {
        first: None,
        owner: Owner {
            key: place.key.clone(),
            instance: place.owner.app.clone(),
            namespace: place.namespace().to_owned(),
        },
        destination: Destination { name: "in-cluster".to_owned(), cluster: place.cluster.clone() },
        repo: "acme/gitops".to_owned(),
        revision: revision.to_owned(),
        objects,
        warnings: Vec::new(),
        policy,
        is_manual: false,
        resumes: None,
        source_type: "Directory".to_owned(),
        permit: permit(),
        about: json!({}),
        subscriptions: slipway::notify::subscribe::Subscriptions::default(),
        rules: slipway_cluster::compare::Rules::default(),
        checks: slipway_cluster::health::Checks::default(),
    }
}

/// What a project that nobody declares allows: everything.
pub(crate) fn permit() -> Permit {
    let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "app", "namespace": "argocd"}, "spec": {
        "project": "default", "source": {"repoURL": "https://github.com/acme/gitops.git", "path": "."},
        "destination": {"name": "in-cluster"}}});
    let app = Application::from_object(&Object::from_value(app).unwrap()).unwrap();
    Permit::of(&app, &BTreeMap::new(), &[])
}

pub(crate) fn times(seconds: u64) -> Times {
    Times::until(Instant::now() + Duration::from_secs(seconds))
}

pub(crate) async fn run(job: &Job, holder: &str, times: Times) -> Outcome {
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
        "argocd.argoproj.io/hook": kind, "argocd.argoproj.io/sync-wave": wave.to_string(), "argocd.argoproj.io/hook-delete-policy": policy}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "alpine"}]}}}})
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

/// Two hooks, three waves.
fn stages() -> Vec<Object> {
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
async fn a_worker_killed_anywhere_is_taken_up() {
    let Some(place) = Place::new("killed").await else { return };
    // How long a whole one takes.
    let began = Instant::now();
    let whole = run(&job(&place, "r0", stages()), "worker", times(120)).await;
    assert_eq!(whole.phase, Phase::Healthy, "{whole:?}");
    let took = began.elapsed();
    let names = |place: &Place| -> BTreeSet<String> {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        list(place, "configmaps").iter().chain(&list(place, "jobs")).map(name).collect()
    };
    let wanted = names(&place);
    for point in 1..=50_u32 {
        let revision = format!("r{point}");
        let mut stages = stages();
        for stage in stages.iter_mut().filter(|stage| stage.kind() == "ConfigMap") {
            stage.as_map_mut().insert("data".to_owned(), json!({"revision": revision}));
        }
        let job = job(&place, &revision, stages);
        // Points spread over the sync in an order that looks random and is not.
        let cut = took.mul_f64(f64::from(point * 29 % 50) / 50.0);
        let killed = tokio::time::timeout(cut, run(&job, "worker", times(120))).await;
        let outcome = run(&job, "worker", times(120)).await;
        assert_eq!(outcome.phase, Phase::Healthy, "killed after {cut:?} ({}): {outcome:?}", killed.is_ok());
        assert_eq!(names(&place), wanted, "killed after {cut:?}");
        let state = recorded(&place).await;
        assert_eq!(state.operation, None);
        assert_eq!(state.status.sync.revision, revision);
        assert_eq!(state.status.sync.status, SyncStatus::Synced);
        for job in list(&place, "jobs") {
            // One run to completion: the object of this very sync, made once.
            assert_eq!(job["status"]["succeeded"], 1, "{job}");
            let mark = job["metadata"]["annotations"]["slipway.dev/operation"].as_str().unwrap();
            assert!(mark.starts_with(&format!("{revision}-")), "{mark}");
        }
    }
}

#[tokio::test]
async fn of_two_workers_one_brings_it_and_the_other_leaves_word() {
    let Some(place) = Place::new("two").await else { return };
    let job = job(&place, "one", stages());
    let (first, second) = tokio::join!(run(&job, "first", times(120)), run(&job, "second", times(120)));
    let phases = [first.phase, second.phase];
    assert!(phases.contains(&Phase::Healthy), "{first:?} {second:?}");
    assert_eq!(list(&place, "configmaps").iter().filter(|map| map["data"].get("wave").is_some()).count(), 3);
    let jobs = list(&place, "jobs");
    assert!(jobs.iter().all(|job| job["status"]["succeeded"] == 1), "{jobs:?}");
}

#[tokio::test]
async fn a_doubled_continue_does_nothing() {
    let Some(place) = Place::new("doubled").await else { return };
    let mut job = job(&place, "one", stages());
    let now = Instant::now();
    let hasty = Times { until: now + Duration::from_mins(1), patience: now, timeout: sync::TIMEOUT };
    let left = run(&job, "worker", hasty).await;
    let next = left.next.clone().unwrap_or_else(|| panic!("it waits for a hook: {left:?}"));
    assert_eq!(left.phase, Phase::Waiting);
    job.resumes = Some(next.operation);
    let rest = run(&job, "worker", times(120)).await;
    assert_eq!(rest.phase, Phase::Healthy, "{rest:?}");
    let before = list(&place, "jobs");
    let doubled = run(&job, "worker", times(120)).await;
    assert!(doubled.changes.is_empty() && doubled.problems.is_empty(), "{doubled:?}");
    assert_eq!(list(&place, "jobs"), before);
}

#[tokio::test]
async fn a_newer_commit_ends_the_wait_for_an_older() {
    let Some(place) = Place::new("newer").await else { return };
    // Nothing ever makes this claim healthy.
    let stuck = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "stuck"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    let old = job(&place, "old", objects([stuck, wave("later", 1)]));
    let (moved, stop) = watch::channel(false);
    let (ended, ()) = tokio::join!(sync::sync(&old, None, "worker", times(60), stop), async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        moved.send_replace(true);
    });
    assert!(ended.problems.iter().any(|problem| problem.contains("newer commit")), "{ended:?}");
    let new = job(&place, "new", objects([wave("later", 1)]));
    let outcome = run(&new, "worker", times(60)).await;
    assert_eq!(outcome.phase, Phase::Healthy, "{outcome:?}");
    assert!(list(&place, "services").is_empty(), "what left Git is pruned");
    assert_eq!(recorded(&place).await.status.sync.revision, "new");
}

#[tokio::test]
async fn a_sync_that_can_not_begin_writes_nothing() {
    let Some(place) = Place::new("refused").await else { return };
    let mut bad = config_map("bad", &json!({"a": "b"}));
    bad["data"] = json!({"a": {"not": "a string"}});
    let outcome = run(&job(&place, "one", objects([wave("good", 0), bad])), "worker", times(60)).await;
    assert_eq!(outcome.phase, Phase::Failed, "{outcome:?}");
    let good = place.one(wave("good", 0));
    assert_eq!(live::get(&place.cluster, &place.at(&good)).await.unwrap(), None, "everything is dry-run first");
    let last = recorded(&place).await.status.operation_state.unwrap();
    assert_eq!(last.phase, OperationPhase::Failed);
}

#[tokio::test]
async fn a_crd_and_its_resource_come_in_one_sync() {
    let Some(place) = Place::new("crd").await else { return };
    let group = format!("{}.example.com", place.namespace());
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}});
    let widget =
        json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}});
    let outcome = run(&job(&place, "one", objects([widget, crd])), "worker", times(60)).await;
    assert_eq!(outcome.phase, Phase::Healthy, "{outcome:?}");
    assert_eq!(list(&place, &format!("widgets.{group}")).len(), 1);
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
