use std::collections::BTreeSet;

use slipway_cluster::Cluster;
use slipway_gitops::{DiscoverError, GroupKind, GroupVersionKind};

use crate::{Place, gvks};

#[tokio::test]
async fn kinds_resolve_and_unknown_ones_are_named() {
    let Some(place) = Place::new("discover").await else { return };
    let widget =
        GroupVersionKind { group: "example.com".to_owned(), version: "v1".to_owned(), kind: "Widget".to_owned() };
    let typo = GroupVersionKind { group: "apps".to_owned(), version: "v1".to_owned(), kind: "Deplyment".to_owned() };
    let wanted = gvks().into_iter().chain([widget.clone(), typo.clone()]).collect();
    let ingress = GroupKind { group: "networking.k8s.io".to_owned(), kind: "Ingress".to_owned() };
    let role = GroupKind { group: "rbac.authorization.k8s.io".to_owned(), kind: "ClusterRole".to_owned() };
    let gone = GroupKind { group: "gone.example.com".to_owned(), kind: "Old".to_owned() };
    let known = [ingress.clone(), role.clone(), gone.clone()].into();
    let kinds = place.cluster.resolve(&wanted, &known).await;

    let deployment = kinds.of_group_kind(&"Deployment.apps".parse().unwrap()).unwrap();
    assert!(deployment.namespaced && deployment.supports("patch") && deployment.plural == "deployments");
    assert_eq!(kinds.of_group_kind(&ingress).unwrap().gvk.version, "v1");
    assert!(!kinds.of_group_kind(&role).unwrap().namespaced);
    assert!(kinds.is_complete());
    for error in
        [kinds.get(&widget).unwrap_err(), kinds.get(&typo).unwrap_err(), kinds.of_group_kind(&gone).unwrap_err()]
    {
        assert!(matches!(error, DiscoverError::UnknownKind { .. }), "{error}");
    }
    assert!(kinds.get(&typo).unwrap_err().to_string().contains("apps/v1 Deplyment"));
}

#[tokio::test]
async fn what_could_not_be_asked_is_no_unknown_kind() {
    // Nobody listens there.
    let server = slipway_cluster::Server {
        url: "https://127.0.0.1:9".to_owned(),
        ca: None,
        auth: slipway_cluster::Auth::Token("x".into()),
        is_sandbox: false,
    };
    let cluster = Cluster::connect(server).unwrap();
    let kinds = cluster.resolve(&gvks(), &BTreeSet::new()).await;
    assert!(!kinds.is_complete());
    for gvk in gvks() {
        assert!(matches!(kinds.get(&gvk), Err(DiscoverError::Incomplete { .. })), "{gvk}");
    }
}
