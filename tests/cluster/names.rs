//! Names in URLs, on a real API server: any that Kubernetes takes, and none that leads elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::api::ListParams;
use serde_json::json;
use slipway_cluster::apply::{self, Options};
use slipway_cluster::delete::{self, PruneResult};
use slipway_cluster::{objects, wait};
use slipway_gitops::prune_guard::Propagation;
use slipway_gitops::{Class, GroupVersionKind};
use slipway_manifest::{Object, names};
use tokio::time::Instant;

use crate::Place;

/// RBAC takes every text as a name that can be a segment of a path.
#[tokio::test]
async fn an_odd_name_is_applied_read_and_pruned() {
    let Some(place) = Place::new("odd-names").await else { return };
    let gvk = GroupVersionKind {
        group: "rbac.authorization.k8s.io".into(),
        version: "v1".into(),
        kind: "ClusterRole".into(),
    };
    let kinds = place.cluster.resolve(&[gvk.clone()].into(), &BTreeSet::new()).await;
    let resource = kinds.get(&gvk).unwrap();
    for odd in ["system:a-b.c", "a b?c=d&e#f;g+h", "\u{fc}\\'\"<>", "...", "a@b!$*(,)"] {
        let name = format!("{}:{odd}", place.namespace());
        let mut role = Object::from_value(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
                "rules": []}))
        .unwrap();
        names::check(&role).unwrap();
        place.owner.set_tracking(&mut role);
        let made = apply::apply(&place.cluster, resource, &role, None, &Options::default()).await.unwrap().object;
        assert_eq!(made.name(), name);
        let at = objects::ObjectRef::of(resource, &role);
        let read = objects::get(&place.cluster, &at).await.unwrap().unwrap();
        assert_eq!(read.pointer("/metadata/uid"), made.pointer("/metadata/uid"), "{name}");
        let inventory = BTreeSet::from([role.id()]);
        let pruned =
            delete::prune(&place.cluster, &at, &read, &place.owner, &inventory, Propagation::Background, false).await;
        assert_eq!(pruned.unwrap(), PruneResult::Deleted, "{name}");
        assert_eq!(objects::get(&place.cluster, &at).await.unwrap(), None, "{name}");
    }
}

/// The API server divides a path after it unescaped it: what is escaped leads elsewhere as well as what is not, so
/// that nothing of it is sent.
#[tokio::test]
async fn a_name_that_leads_elsewhere_is_never_asked_for() {
    let Some(place) = Place::new("hostile-names").await else { return };
    if let Some(escaped) = place.plane.kubectl(&["get", "--raw", "/api/v1/namespaces/kube-system%2Fconfigmaps"]) {
        assert!(escaped.contains("ConfigMapList"), "{escaped}");
    }
    let map = place.one(crate::config_map("x", &json!({})));
    let resource = place.resource(&map);
    for namespace in ["kube-system/secrets?x=-dev", "kube-system%2Fsecrets", "..", "../kube-system"] {
        let at = |name: &str| objects::ObjectRef {
            resource: resource.clone(),
            namespace: namespace.into(),
            name: name.into(),
        };
        let refused = objects::get(&place.cluster, &at("x")).await.unwrap_err();
        assert_eq!(refused.source.class, Class::Invalid, "{refused}");
        let refused = objects::list(&place.cluster, resource, namespace, &ListParams::default()).await.err().unwrap();
        assert_eq!(refused.class, Class::Invalid, "{refused}");
        let found = objects::list_live(&place.cluster, &[at("x")], &[at("y")], "set").await;
        assert_eq!((found.objects, found.failures.len()), (BTreeMap::new(), 2));
        let until = Instant::now() + Duration::from_millis(100);
        let waited = wait::wait(&place.cluster, &[at("x")], until, |_, object| wait::gone(object)).await;
        assert!(waited.values().all(|outcome| outcome.progress != wait::ConditionStatus::Done), "{namespace}");
    }
    for name in ["..", "../secrets/x", "x%2F..", "x/status"] {
        let at =
            objects::ObjectRef { resource: resource.clone(), namespace: place.namespace().into(), name: name.into() };
        assert_eq!(objects::get(&place.cluster, &at).await.unwrap_err().source.class, Class::Invalid, "{name}");
    }
    let version = "v1/namespaces/kube-system/secrets?x=".to_owned();
    let gvk = GroupVersionKind { group: String::new(), version, kind: "Secret".to_owned() };
    assert!(!place.cluster.resolve(&[gvk].into(), &BTreeSet::new()).await.is_complete());
}
