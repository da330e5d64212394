use std::time::Duration;

use serde_json::json;
use slipway_cluster::explain::{Explanation, Reason, explain};
use slipway_manifest::Object;

use crate::{Place, config_map, deployment, kubectl_apply};

/// What is found once there is something to find: controllers take a moment.
async fn explained(place: &Place, object: &Object, reason: Reason) -> Explanation {
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
