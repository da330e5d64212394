//! What goes wrong on a real control plane, each with its root cause.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::notify::report::AppSyncStatus;
use slipway_cluster::diagnose::diagnose;
use slipway_gitops::diagnose::{Diagnosis, Reason};
use slipway_manifest::Object;

use crate::sync::{hook, job, objects, run, times, wave};
use crate::{Place, config_map, deployment, kubectl_apply};

/// What is found once there is something to find: controllers take a moment.
pub(crate) async fn explained(place: &Place, object: &Object, reason: Reason, words: &str) -> Diagnosis {
    let mut last = None;
    for _ in 0..150 {
        let live = place.live(object).await;
        last = diagnose(&place.cluster, &place.at(object), live.as_ref()).await;
        if last.as_ref().is_some_and(|last| last.found.reason == reason && last.to_string().contains(words)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let last = last.unwrap_or_else(|| panic!("nothing is found about {}", object.id()));
    assert!(last.found.reason == reason && last.to_string().contains(words), "{reason:?}, {words}: {last}");
    last
}

/// Something that goes wrong: what is applied, whose cause is looked for, and words of it.
struct Case {
    object: Value,
    reason: Reason,
    words: &'static str,
}

fn case(object: Value, reason: Reason, words: &'static str) -> Case {
    Case { object, reason, words }
}

/// Explains every case, and counts them.
async fn explain_all(place: &Place, cases: Vec<Case>, count: usize) {
    assert_eq!(cases.len(), count);
    let mut applied = Vec::new();
    for case in cases {
        let object = place.one(case.object);
        place.apply(&object).await;
        applied.push((object, case.reason, case.words));
    }
    for (object, reason, words) in applied {
        explained(place, &object, reason, words).await;
    }
}

/// What the kubelet of a node that only the harness plays says of a pod.
fn play_kubelet(place: &Place, pod: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let arguments =
        ["-n", place.namespace(), "patch", "pod", pod, "--subresource=status", "--type=merge", "-p", &patch];
    place.plane.kubectl(&arguments).expect("kubectl");
}

/// What that kubelet, or a controller, tells about an object.
fn play_event(place: &Place, kind: &str, name: &str, reason: &str, message: &str) {
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.1")},
        "type": "Warning",
        "reason": reason, "message": message, "lastTimestamp": "2026-11-21T10:00:00Z",
        "involvedObject": {"apiVersion": "v1", "kind": kind, "name": name, "namespace": place.namespace()}});
    kubectl_apply(place, &event);
}

/// A pod spec on that node.
fn on_no_node() -> Value {
    json!({"nodeName": "nowhere", "restartPolicy": "Never", "containers": [{"name": "main",
        "image": "registry.invalid/app:1"}]})
}

/// A Deployment of one pod whose spec has `fields`.
fn web(name: &str, fields: &Value) -> Value {
    let mut web = deployment(name, "nginx:1");
    web["spec"]["template"]["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    web
}

fn a_job(name: &str, spec: &Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": on_no_node()}}});
    job["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    job
}

fn claim(name: &str, spec: &Value) -> Value {
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    claim["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    claim
}

fn budget(name: &str, selector: &Value) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": selector}}})
}

#[tokio::test]
async fn what_kubelets_say_of_a_pod_is_its_cause() {
    let Some(place) = Place::new("kubelet").await else { return };
    let state = |state: Value| {
        json!({"phase": "Pending", "containerStatuses": [
        {"name": "main", "image": "registry.invalid/app:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": state}]})
    };
    let waiting = |reason: &str, message: &str| state(json!({"waiting": {"reason": reason, "message": message}}));
    let running = || state(json!({"running": {}}));
    let probe = ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503");
    let mount = ("FailedMount", "MountVolume.SetUp failed for volume \"c\" : configmap \"c\" not found");
    let cases = [
        ("pull", waiting("ImagePullBackOff", "Back-off"), None, Reason::ImagePull, "can't pull registry.invalid/app:1"),
        ("name", waiting("InvalidImageName", "couldn't parse"), None, Reason::ImagePull, "InvalidImageName"),
        ("loop", waiting("CrashLoopBackOff", "back-off 40s"), None, Reason::CrashLoop, "again and again"),
        (
            "config",
            waiting("CreateContainerConfigError", "couldn't find key url in Secret shop/db"),
            None,
            Reason::Configuration,
            "couldn't find key url in Secret shop/db",
        ),
        (
            "memory",
            state(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})),
            None,
            Reason::OutOfMemory,
            "killed for its memory",
        ),
        ("probe", running(), Some(probe), Reason::Probe, "statuscode: 503"),
        ("mount", waiting("ContainerCreating", ""), Some(mount), Reason::Mount, "configmap \"c\" not found"),
    ];
    assert_eq!(cases.len(), 7);
    for (name, status, event, reason, words) in cases {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": on_no_node()});
        let pod = place.one(pod);
        place.apply(&pod).await;
        play_kubelet(&place, name, &status);
        if let Some((reason, message)) = event {
            play_event(&place, "Pod", name, reason, message);
        }
        explained(&place, &pod, reason, words).await;
    }
}

#[tokio::test]
async fn what_controllers_can_or_will_not_do_is_the_cause() {
    let Some(place) = Place::new("controllers").await else { return };
    let labels = json!({"app": "bare"});
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "labels": labels},
        "spec": on_no_node()});
    pod["spec"]["containers"][0]["image"] = json!("nginx:1");
    place.apply(&place.one(pod)).await;
    let group = format!("{}.example.com", place.namespace());
    let crd = |plural: &str| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Gadget", "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
    };
    place.apply(&place.one(crd("gadgets"))).await;
    place.served(&group, "v1", "Gadget").await;
    let late = format!("late.{}", place.namespace());
    kubectl_apply(
        &place,
        &json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": late},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}),
    );
    let rules = json!([{"host": "shop.example.com", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]);
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
        "spec": {"ingressClassName": "nginx", "rules": rules}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    let mut paused = deployment("paused", "nginx:1");
    paused["spec"]["paused"] = json!(true);
    let too_much =
        json!({"containers": [{"name": "web", "image": "nginx:1", "resources": {"requests": {"cpu": "9000"}}}]});
    let cases = vec![
        case(
            web("picky", &json!({"nodeSelector": {"no": "such-node"}})),
            Reason::Unschedulable,
            "node affinity/selector",
        ),
        case(web("large", &too_much), Reason::Unschedulable, "Insufficient cpu"),
        case(web("urgent", &json!({"priorityClassName": "urgent"})), Reason::Configuration, "PriorityClass"),
        case(paused, Reason::Paused, "paused"),
        case(budget("unmanaged", &labels), Reason::DisruptionBudget, "no pod is counted by its selector"),
        case(
            budget("unwell", &json!({"app": "picky"})),
            Reason::DisruptionBudget,
            "0 of 1 pods are healthy and 1 must",
        ),
        case(claim("data", &json!({"storageClassName": "fast"})), Reason::Provisioning, "\"fast\" not found"),
        case(claim("late", &json!({"storageClassName": late})), Reason::NoConsumer, "first consumer"),
        case(claim("none", &json!({"storageClassName": ""})), Reason::Provisioning, "no storage class is set"),
        case(ingress, Reason::NoController, "nginx"),
        case(service, Reason::NoController, "address"),
        case(crd("gizmos"), Reason::Definition, "Gadget"),
    ];
    explain_all(&place, cases, 12).await;
}

#[tokio::test]
async fn what_refuses_the_pods_is_the_cause_and_not_only_the_waiting_deployment() {
    let (Some(full), Some(strict)) = (Place::new("quota").await, Place::new("strict").await) else { return };
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}}});
    kubectl_apply(&full, &quota);
    explain_all(&full, vec![case(deployment("web", "nginx:1"), Reason::Quota, "exceeded quota: none")], 1).await;
    let label = ["label", "namespace", strict.namespace(), "pod-security.kubernetes.io/enforce=restricted"];
    strict.plane.kubectl(&label).expect("kubectl");
    explain_all(&strict, vec![case(deployment("web", "nginx:1"), Reason::Denied, "violates PodSecurity")], 1).await;
}

#[tokio::test]
async fn jobs_that_fail_take_too_long_or_are_gone_are_told_apart() {
    let Some(place) = Place::new("jobs").await else { return };
    let give_up = json!({"backoffLimit": 5, "podFailurePolicy": {"rules": [{"action": "FailJob",
        "onExitCodes": {"operator": "In", "values": [42]}}]}});
    for job in [a_job("bad", &json!({"backoffLimit": 0})), a_job("fatal", &give_up)] {
        place.apply(&place.one(job)).await;
    }
    for (name, code) in [("bad", 3), ("fatal", 42)] {
        let selector = format!("job-name={name}");
        let arguments =
            ["-n", place.namespace(), "get", "pods", "-l", &selector, "-o", "jsonpath={.items[*].metadata.name}"];
        let pod = loop {
            let pod = place.plane.kubectl(&arguments).expect("kubectl");
            if !pod.is_empty() {
                break pod;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let ended = json!({"exitCode": code, "reason": "Error", "message": "no such table"});
        let container = json!({"name": "main", "image": "registry.invalid/app:1", "imageID": "", "ready": false,
            "restartCount": 0,
            "state": {"terminated": ended}});
        play_kubelet(&place, &pod, &json!({"phase": "Failed", "containerStatuses": [container]}));
    }
    let mut done = a_job("done", &json!({"ttlSecondsAfterFinished": 0}));
    done["spec"]["template"]["spec"].as_object_mut().unwrap().shift_remove("nodeName");
    let cases = vec![
        // Its pod hangs in its deletion, as nobody plays the node: the Job is not `Failed` yet.
        case(a_job("late", &json!({"activeDeadlineSeconds": 1})), Reason::Deadline, "Job/jobs-"),
        case(
            a_job(
                "lost",
                &json!({"activeDeadlineSeconds": 2, "template": {"spec": {"restartPolicy": "Never",
                "containers": [{"name": "main", "image": "alpine"}], "nodeSelector": {"no": "such-node"}}}}),
            ),
            Reason::Deadline,
            "DeadlineExceeded: ",
        ),
        case(a_job("bad", &json!({"backoffLimit": 0})), Reason::CrashLoop, "no such table; Job/"),
        case(a_job("fatal", &give_up), Reason::CrashLoop, "exit code 42: no such table; Job/"),
        case(done, Reason::Gone, "does not exist (any more)"),
        case(a_job("resting", &json!({"suspend": true})), Reason::Paused, "uspended"),
    ];
    explain_all(&place, cases, 6).await;
}

#[tokio::test]
async fn a_finalizer_that_holds_a_deletion_is_the_cause_and_what_is_gone_is_told() {
    let Some(place) = Place::new("finalizer").await else { return };
    let mut held = config_map("held", &json!({}));
    held["metadata"]["finalizers"] = json!(["team.io/keep"]);
    let held = place.one(held);
    place.apply(&held).await;
    // The Namespace takes what is in it along, and waits for it.
    place.plane.kubectl(&["delete", "namespace", place.namespace(), "--wait=false"]).expect("kubectl");
    explained(&place, &held, Reason::Finalizer, "team.io/keep").await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace()}});
    explained(&place, &place.one(namespace), Reason::Finalizer, "team.io/keep in 1 resource instances").await;
    let gone = place.one(config_map("gone", &json!({})));
    explained(&place, &gone, Reason::Gone, "does not exist (any more)").await;
}

#[tokio::test]
async fn a_hook_that_takes_too_long_fails_the_sync_with_the_deadline() {
    let Some(place) = Place::new("slow-hook").await else { return };
    let mut before = hook("before", "PreSync", 0, "BeforeHookCreation");
    before["spec"]["activeDeadlineSeconds"] = json!(2);
    before["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    let outcome = run(&job(&place, "one", objects([before, wave("a", 0)])), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Failed, "{outcome:?}");
    let told = [outcome.warnings, outcome.problems].concat().join("\n");
    assert!(told.contains("Job/") && told.contains("DeadlineExceeded: "), "{told}");
}
