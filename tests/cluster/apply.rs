use serde_json::json;
use slipway_cluster::apply::{self, Change, Options};
use slipway_gitops::Class;
use slipway_gitops::managed_fields::FIELD_MANAGER;
use slipway_gitops::managed_fields::{set, subset};
use slipway_manifest::Object;

use crate::{Place, config_map, deployment};

#[tokio::test]
async fn creates_then_leaves_alone_then_configures() {
    let Some(place) = Place::new("apply").await else { return };
    let web = place.one(deployment("web", "nginx:1"));
    let created = place.apply(&web).await;
    assert_eq!(created.change, Change::Created);
    assert_eq!(created.to_string(), format!("Deployment/{}/web created", place.namespace()));
    let live = place.live(&web).await.unwrap();
    assert_eq!(set::entries(&live)[0].manager, FIELD_MANAGER);

    assert_eq!(place.apply(&web).await.change, Change::Unchanged);

    let changed = place.one(deployment("web", "nginx:2"));
    assert_eq!(place.dry_run(&changed).await.change, Change::Configured);
    assert_eq!(place.apply(&changed).await.change, Change::Configured);
    let image = place.live(&web).await.unwrap().pointer("/spec/template/spec/containers/0/image").cloned();
    assert_eq!(image, Some(json!("nginx:2")));
}

#[tokio::test]
async fn what_did_not_change_is_seen_without_asking() {
    let Some(place) = Place::new("unchanged").await else { return };
    let mut web = deployment("web", "nginx:1");
    web["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    web["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["-v"]);
    web["spec"]["template"]["spec"]["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
    let rule = json!({"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
        "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}});
    let objects = place.prepare([
        web,
        config_map("c", &json!({"a": "1", "b": ""})),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "YQ=="}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {
            "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 80}, {"name": "dns",
                "port": 53, "protocol": "UDP"}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
            "spec": {"rules": [rule]}}),
    ]);
    for object in &objects {
        assert_eq!(place.apply(object).await.change, Change::Created, "{}", object.id());
        let live = place.live(object).await.unwrap();
        assert!(subset::is_unchanged(object, &live, &[]), "{}: {}", object.id(), live.to_value());
        let mut other = object.clone();
        other.set_label("more", "yes");
        assert!(!subset::is_unchanged(&other, &live, &[]), "{}", object.id());
    }
    let namespace = place.namespace().to_owned();
    if place.plane.kubectl(&["-n", &namespace, "scale", "deployment/web", "--replicas=2"]).is_some() {
        assert!(!subset::is_unchanged(&objects[0], &place.live(&objects[0]).await.unwrap(), &[]));
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let Some(place) = Place::new("dryrun").await else { return };
    let map = place.one(config_map("c", &json!({"a": "1"})));
    assert_eq!(place.dry_run(&map).await.change, Change::Created);
    assert!(place.live(&map).await.is_none());
}

#[tokio::test]
async fn a_field_removed_in_git_goes() {
    let Some(place) = Place::new("removed").await else { return };
    place.apply(&place.one(config_map("c", &json!({"a": "1", "b": "2"})))).await;
    let less = place.one(config_map("c", &json!({"a": "1"})));
    place.apply(&less).await;
    assert_eq!(place.live(&less).await.unwrap().get("data"), Some(&json!({"a": "1"})));
}

#[tokio::test]
async fn refusals_are_explained() {
    let Some(place) = Place::new("refused").await else { return };
    let class = async |object: &Object| {
        let refused = apply::apply(&place.cluster, place.resource(object), object, None, &Options::default()).await;
        let failure = refused.expect_err("refused");
        assert!(!failure.with_remedy().is_empty());
        (failure.source.class, failure.with_remedy())
    };
    let mut nowhere = place.one(config_map("c", &json!({})));
    nowhere.set_namespace("no-such-namespace");
    let (found, text) = class(&nowhere).await;
    assert_eq!(found, Class::MissingNamespace, "{text}");
    assert!(text.starts_with("failed to apply ConfigMap/no-such-namespace/c: namespaces"), "{text}");

    let mut web = deployment("web", "nginx:1");
    place.apply(&place.one(web.clone())).await;
    web["spec"]["selector"]["matchLabels"]["app"] = json!("other");
    web["spec"]["template"]["metadata"]["labels"]["app"] = json!("other");
    let (found, text) = class(&place.one(web)).await;
    assert_eq!(found, Class::Immutable, "{text}");

    let mut unknown = deployment("x", "nginx:1");
    unknown["spec"]["replicaz"] = json!(1);
    let (found, text) = class(&place.one(unknown)).await;
    assert_eq!(found, Class::Malformed, "{text}");
    assert!(text.contains("replicaz"), "{text}");

    let mut bad = deployment("x", "nginx:1");
    bad["spec"]["replicas"] = json!(-1);
    let (found, text) = class(&place.one(bad)).await;
    assert_eq!(found, Class::Invalid, "{text}");
    assert!(text.contains("spec.replicas"), "{text}");
}

#[tokio::test]
async fn a_quota_is_told_apart_from_missing_rights() {
    let Some(place) = Place::new("quota").await else { return };
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q",
        "namespace": place.namespace()},
        "spec": {"hard": {"configmaps": "0"}}});
    place
        .plane
        .client()
        .await
        .request::<serde_json::Value>(
            http::Request::post(format!("/api/v1/namespaces/{}/resourcequotas", place.namespace()))
                .header("content-type", "application/json")
                .body(quota.to_string().into_bytes())
                .unwrap(),
        )
        .await
        .unwrap();
    // The quota's controller has to see it first.
    for number in 0..100 {
        let map = place.one(config_map(&format!("c{number}"), &json!({})));
        let applied = apply::apply(&place.cluster, place.resource(&map), &map, None, &Options::default()).await;
        match applied {
            Err(failure) => {
                assert_eq!(failure.source.class, Class::Quota, "{}", failure.with_remedy());
                return;
            }
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    panic!("the quota never refused");
}

#[tokio::test]
async fn a_namespace_is_made_once() {
    let Some(place) = Place::new("namespace").await else { return };
    let (none, options) = (serde_json::Map::new(), Options::default());
    let labels = serde_json::Map::from_iter([("team".to_owned(), json!("a"))]);
    let name = format!("{}-made", place.namespace());
    let make = async |labels| apply::create_namespace(&place.cluster, &name, labels, &none, &options).await.unwrap();
    assert_eq!(make(&none).await.change, Change::Created);
    assert_eq!(make(&none).await.change, Change::Unchanged);
    assert_eq!(make(&labels).await.object.label("team"), Some("a"));
}
