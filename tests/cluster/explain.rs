use std::time::Duration;

use serde_json::{Value, json};
use slipway_cluster::explain::{Explanation, Reason, explain};
use slipway_manifest::Object;

use crate::{Place, config_map, deployment, kubectl_apply};

/// What is found once there is something to find: controllers take a moment.
pub(crate) async fn explained(place: &Place, object: &Object, reason: Reason) -> Explanation {
    let mut last = None;
    for _ in 0..100 {
        let live = place.live(object).await;
        last = explain(&place.cluster, &place.at(object), live.as_ref(), &[]).await;
        if last.as_ref().is_some_and(|last| last.found.reason == reason) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let last = last.expect("something is found");
    assert_eq!(last.found.reason, reason, "{last}");
    last
}

#[tokio::test]
async fn a_quota_that_refuses_pods_is_named_and_not_only_the_waiting_deployment() {
    let Some(place) = Place::new("quota").await else { return };
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    kubectl_apply(&place, &quota);
    let web = place.one(deployment("web", "nginx:1"));
    place.apply(&web).await;
    let found = explained(&place, &web, Reason::Quota).await;
    assert!(found.to_string().contains("exceeded quota: none"), "{found}");
}

#[tokio::test]
async fn a_pod_that_no_node_takes_is_named_with_the_schedulers_words() {
    let Some(place) = Place::new("unschedulable").await else { return };
    let mut web = deployment("web", "nginx:1");
    web["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    let web = place.one(web);
    place.apply(&web).await;
    let found = explained(&place, &web, Reason::Unschedulable).await;
    assert!(found.found.object.kind == "Pod" && found.to_string().contains("node"), "{found}");
}

#[tokio::test]
async fn a_finalizer_that_holds_a_deletion_is_named_and_so_is_what_is_gone() {
    let Some(place) = Place::new("finalizer").await else { return };
    let mut held = config_map("held", &json!({}));
    held["metadata"]["finalizers"] = json!(["team.io/keep"]);
    let held = place.one(held);
    place.apply(&held).await;
    if place.plane.kubectl(&["-n", place.namespace(), "delete", "configmap", "held", "--wait=false"]).is_none() {
        return;
    }
    let found = explained(&place, &held, Reason::Finalizer).await;
    assert!(found.to_string().contains("team.io/keep"), "{found}");
    let gone = place.one(config_map("gone", &json!({})));
    explained(&place, &gone, Reason::Gone).await;
}

/// What the kubelet of a node that only the harness plays says of a pod.
fn play_kubelet(place: &Place, pod: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let arguments =
        ["-n", place.namespace(), "patch", "pod", pod, "--subresource=status", "--type=merge", "-p", &patch];
    place.plane.kubectl(&arguments).expect("kubectl");
}

/// A pod spec on that node.
fn on_no_node() -> Value {
    json!({"nodeName": "nowhere", "restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.invalid/app:1"}]})
}

#[tokio::test]
async fn a_pod_whose_kubelet_can_not_start_it_is_explained_in_the_kubelets_words() {
    let Some(place) = Place::new("kubelet").await else { return };
    let state = |state: Value| {
        json!({"phase": "Pending", "containerStatuses": [
        {"name": "main", "image": "registry.invalid/app:1", "imageID": "", "ready": false, "restartCount": 3, "state": state}]})
    };
    let waiting = |reason: &str, message: &str| state(json!({"waiting": {"reason": reason, "message": message}}));
    let cases = [
        (
            "pull",
            waiting("ImagePullBackOff", "Back-off pulling image"),
            Reason::ImagePull,
            "can't pull registry.invalid/app:1",
        ),
        (
            "loop",
            waiting("CrashLoopBackOff", "back-off 40s restarting failed container"),
            Reason::CrashLoop,
            "again and again",
        ),
        (
            "config",
            waiting("CreateContainerConfigError", "secret \"db\" not found"),
            Reason::Configuration,
            "secret \"db\" not found",
        ),
        (
            "memory",
            state(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})),
            Reason::OutOfMemory,
            "memory",
        ),
    ];
    for (name, status, reason, words) in cases {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": on_no_node()});
        let pod = place.one(pod);
        place.apply(&pod).await;
        play_kubelet(&place, name, &status);
        let found = explained(&place, &pod, reason).await;
        assert!(found.to_string().contains(words), "{found}");
    }
}

#[tokio::test]
async fn what_no_controller_can_or_will_do_is_explained() {
    let Some(place) = Place::new("controllers").await else { return };
    let labels = json!({"app": "bare"});
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "labels": labels}, "spec": on_no_node()});
    pod["spec"]["containers"][0]["image"] = json!("nginx:1");
    place.apply(&place.one(pod)).await;
    let group = format!("{}.example.com", place.namespace());
    let crd = |plural: &str| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Gadget", "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
    };
    place.apply(&place.one(crd("gadgets"))).await;
    place.served(&group, "v1", "Gadget").await;
    let rules = json!([{"host": "shop.example.com", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]);
    let cases = [
        (
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "none"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}}),
            Reason::DisruptionBudget,
            "pods are healthy",
        ),
        (
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"storageClassName": "fast",
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
            Reason::Provisioning,
            "fast",
        ),
        (
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}, "spec": {"ingressClassName": "nginx",
            "rules": rules}}),
            Reason::NoController,
            "nginx",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"type": "LoadBalancer",
            "ports": [{"port": 80}]}}),
            Reason::NoController,
            "address",
        ),
        (crd("gizmos"), Reason::Definition, "Gadget"),
    ];
    for (object, reason, words) in cases {
        let object = place.one(object);
        place.apply(&object).await;
        let found = explained(&place, &object, reason).await;
        assert!(found.to_string().contains(words), "{found}");
    }
}
