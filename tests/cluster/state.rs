use slipway_cluster::state::{self, State, StateError};
use slipway_manifest::ObjectId;

use crate::Place;

#[tokio::test]
async fn of_two_writers_one_learns_of_the_other() {
    let Some(place) = Place::new("state").await else { return };
    assert!(state::read(&place.cluster, &place.key).await.unwrap().is_none());
    let mut state = State::default();
    state.inventory.insert(ObjectId::new("apps", "Deployment", "shop", "web"));
    state.status.sync.revisions = "abc".into();
    state::write(&place.cluster, &place.key, &state, None).await.unwrap();
    assert!(matches!(state::write(&place.cluster, &place.key, &state, None).await, Err(StateError::Conflict { .. })));

    let read = state::read(&place.cluster, &place.key).await.unwrap().unwrap();
    assert_eq!(read.state, state);
    state.status.sync.revisions = "def".into();
    let next = state::write(&place.cluster, &place.key, &state, Some(read.version())).await.unwrap();
    assert_ne!(next, read.version());
    let late = state::write(&place.cluster, &place.key, &read.state, Some(read.version())).await;
    assert!(matches!(late, Err(StateError::Conflict { .. })));

    let name = place.key.object_name();
    let annotation = r"jsonpath={.metadata.annotations.applyset\.kubernetes\.io/contains-group-kinds}";
    if let Some(kinds) = place.plane.kubectl(&[
        "-n",
        slipway_gitops::identity::STATE_NAMESPACE,
        "get",
        "configmap",
        &name,
        "-o",
        annotation,
    ]) {
        assert_eq!(kinds, "Deployment.apps");
    }
    let read = state::read(&place.cluster, &place.key).await.unwrap().unwrap();
    state::delete(&place.cluster, &read).await.unwrap();
    assert!(state::read(&place.cluster, &place.key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_large_inventory_is_kept_whole() {
    let Some(place) = Place::new("large").await else { return };
    let mut state = State::default();
    // Names that do not compress.
    let mut number: u64 = 1;
    for _ in 0..40_000 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.inventory.insert(ObjectId::new(
            "",
            "ConfigMap",
            "shop",
            format!("{number:x}{:x}", number.rotate_left(32)),
        ));
    }
    state::write(&place.cluster, &place.key, &state, None).await.unwrap();
    let read = state::read(&place.cluster, &place.key).await.unwrap().unwrap();
    assert_eq!(read.state.inventory, state.inventory);
    state::delete(&place.cluster, &read).await.unwrap();
}
