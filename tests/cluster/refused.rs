//! What the real API server refuses, and the remedy that is told with it.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::notify::report::AppSyncStatus;
use slipway_cluster::apply::{self, Options};
use slipway_gitops::diagnose::Reason;
use slipway_gitops::{Class, Failure};
use slipway_manifest::Object;

use crate::explain::explained;
use crate::sync::{job, objects, run, times};
use crate::{Place, config_map, deployment, kubectl_apply};

/// Applies `object`, which is refused as `class`: at once, or as soon as the rule is known that refuses it.
async fn refused(place: &Place, object: &Object, class: Class) -> Failure {
    let mut last = None;
    for _ in 0..100 {
        let live = place.live(object).await;
        let options = Options { dry_run: true, ..Options::default() };
        let answer = apply::apply(&place.cluster, place.resource(object), object, live.as_ref(), &options).await;
        match answer {
            Err(failure) if failure.source.class == class => return failure,
            answer => last = Some(answer.map(|applied| applied.change)),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} was not refused as {class:?}: {last:?}", object.id());
}

async fn assert_told(place: &Place, object: Value, class: Class, words: [&str; 2]) {
    let object = place.one(object);
    let told = refused(place, &object, class).await.with_remedy();
    assert!(told.contains(&object.id().to_string()), "{told}");
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
}

#[tokio::test]
async fn fields_that_are_wrong_or_can_not_change_are_told_with_the_remedy() {
    let Some(place) = Place::new("fields").await else { return };
    place.apply(&place.one(deployment("web", "nginx:1"))).await;
    let mut other = deployment("web", "nginx:1");
    other["spec"]["selector"]["matchLabels"] = json!({"other": "label"});
    other["spec"]["template"]["metadata"]["labels"] = json!({"other": "label"});
    assert_told(&place, other, Class::Immutable, ["field is immutable", "Force=true,Replace=true"]).await;
    let mut words = deployment("words", "nginx:1");
    words["spec"]["replicas"] = json!("many");
    assert_told(&place, words, Class::Malformed, ["replicas", "correct the field"]).await;
    let mut typo = deployment("typo", "nginx:1");
    typo["spec"]["replica"] = json!(1);
    assert_told(&place, typo, Class::Malformed, ["spec.replica", "correct the field"]).await;
    let mut invalid = deployment("invalid", "nginx:1");
    invalid["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(70_000);
    assert_told(&place, invalid, Class::Invalid, ["containerPort", "correct the field"]).await;
    // A value that can't be decoded is a 500 of server-side apply, and yet nothing that passes.
    let bytes = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bytes"},
        "binaryData": {"a": "no base64!"}});
    assert_told(&place, bytes, Class::Malformed, ["illegal base64", "correct the field"]).await;
    let mut nowhere = config_map("lost", &json!({}));
    nowhere["metadata"]["namespace"] = json!("nowhere");
    assert_told(&place, nowhere, Class::MissingNamespace, ["\"nowhere\" not found", "CreateNamespace=true"]).await;
}

#[tokio::test]
async fn a_quota_refuses_with_its_name_and_the_remedy() {
    let Some(place) = Place::new("full").await else { return };
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
        "spec": {"hard": {"count/configmaps": "0"}}});
    kubectl_apply(&place, &quota);
    let words = ["exceeded quota: small", "raise the ResourceQuota"];
    assert_told(&place, config_map("more", &json!({})), Class::Quota, words).await;
}

#[tokio::test]
async fn an_admission_policy_refuses_objects_and_pods_with_its_words() {
    let Some(place) = Place::new("admission").await else { return };
    let name = format!("owner.{}", place.namespace());
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps", "pods"]});
    let validation = json!({"expression": "has(object.metadata.labels) && 'owner' in object.metadata.labels",
        "message": "every object needs an owner"});
    let version = "admissionregistration.k8s.io/v1";
    let policy = json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
        "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}});
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": place.namespace()}});
    let binding = json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {
        "policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}}});
    kubectl_apply(&place, &policy);
    kubectl_apply(&place, &binding);
    let words = ["every object needs an owner", "admission rule"];
    assert_told(&place, config_map("c", &json!({})), Class::Denied, words).await;
    let web = place.one(deployment("web", "nginx:1"));
    place.apply(&web).await;
    explained(&place, &web, Reason::Denied, "every object needs an owner").await;
}

#[tokio::test]
async fn a_namespace_that_goes_takes_nothing_more() {
    let Some(place) = Place::new("going").await else { return };
    let mut held = config_map("held", &json!({}));
    held["metadata"]["finalizers"] = json!(["team.io/keep"]);
    place.apply(&place.one(held)).await;
    place.plane.kubectl(&["delete", "namespace", place.namespace(), "--wait=false"]).expect("kubectl");
    let words = ["because it is being terminated", "finalizers"];
    assert_told(&place, config_map("late", &json!({})), Class::Terminating, words).await;
}

#[tokio::test]
async fn a_kind_that_nobody_defined_stops_the_sync_with_the_remedy() {
    let Some(place) = Place::new("unknown").await else { return };
    let widget = json!({"apiVersion": "nobody.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
    let outcome = run(&job(&place, "one", objects([widget, config_map("c", &json!({}))])), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Failed, "{outcome:?}");
    let told = outcome.problems.join("\n");
    assert!(told.contains("Widget.") && told.contains("install its CustomResourceDefinition"), "{told}");
    assert!(place.live(&place.one(config_map("c", &json!({})))).await.is_none(), "nothing is applied");
}
