use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use slipway_cluster::delete::{self, PruneResult};
use slipway_cluster::{objects, wait};
use slipway_gitops::GroupKind;
use slipway_gitops::plan;
use slipway_gitops::prune_guard::Propagation;
use slipway_manifest::{Object, ObjectId};
use tokio::time::Instant;

use crate::{Place, config_map};

async fn delete(place: &Place, object: &Object, inventory: &BTreeSet<ObjectId>) -> PruneResult {
    delete::prune(&place.cluster, &place.at(object), object, &place.owner, inventory, Propagation::Foreground, false)
        .await
        .unwrap()
}

/// What is deleted in the foreground is gone when the garbage collector has seen it.
async fn gone(place: &Place, object: &Object) {
    let until = Instant::now() + Duration::from_mins(1);
    let outcomes = wait::wait(&place.cluster, &[place.at(object)], until, |_, object| wait::gone(object)).await;
    assert_eq!(outcomes[&object.id()].progress, wait::ConditionStatus::Done);
}

#[tokio::test]
async fn only_what_is_ours_beyond_doubt_goes() {
    let Some(place) = Place::new("prune").await else { return };
    let names = ["kept", "old", "copied", "unlabelled", "unknown"];
    let objects = place.prepare(names.map(|name| config_map(name, &json!({}))));
    for object in &objects {
        place.apply(object).await;
    }
    let namespace = place.namespace().to_owned();
    let tracking = format!("argocd.argoproj.io/tracking-id={namespace}:/ConfigMap:{namespace}/kept");
    if place.plane.kubectl(&["-n", &namespace, "annotate", "--overwrite", "configmap/copied", &tracking]).is_none() {
        return;
    }
    place.plane.kubectl(&["-n", &namespace, "label", "configmap/unlabelled", "applyset.kubernetes.io/part-of-"]);

    let inventory: BTreeSet<ObjectId> = objects.iter().map(Object::id).filter(|id| id.name != "unknown").collect();
    let group_kinds: BTreeSet<GroupKind> = inventory.iter().map(GroupKind::of).collect();
    let resources = group_kinds.iter().map(|kind| place.kinds.of_group_kind(kind).unwrap());
    let members = objects::members(&place.cluster, resources, &[namespace].into(), &place.owner.applyset).await;
    assert!(members.failures.is_empty());
    assert_eq!(members.objects.len(), 4, "the unlabelled one is no member");

    let extras = plan::prune_candidates(&objects[..1], &members.objects, &inventory, &place.owner);
    let pruned = extras.iter().filter(|(_, extra)| extra.skip_reason.is_none());
    assert_eq!(pruned.map(|(id, _)| id.name.as_str()).collect::<Vec<_>>(), ["old"]);

    // Even asked directly, the door stays shut on doubt.
    let mut outcomes = BTreeMap::new();
    for object in &objects[1..] {
        let live = place.live(object).await.unwrap();
        outcomes.insert(object.name().to_owned(), delete(&place, &live, &inventory).await);
    }
    assert_eq!(outcomes["old"], PruneResult::Deleted);
    for name in ["copied", "unlabelled", "unknown"] {
        assert!(matches!(outcomes[name], PruneResult::Kept(_)), "{name}: {:?}", outcomes[name]);
    }
    gone(&place, &objects[1]).await;
    assert!(place.live(&objects[0]).await.is_some());
}

#[tokio::test]
async fn an_object_that_was_replaced_is_kept() {
    let Some(place) = Place::new("replaced").await else { return };
    let map = place.one(config_map("c", &json!({})));
    let seen = place.apply(&map).await.object;
    let inventory = [map.id()].into();
    assert_eq!(delete(&place, &seen, &inventory).await, PruneResult::Deleted);
    gone(&place, &map).await;
    assert_eq!(delete(&place, &seen, &inventory).await, PruneResult::Gone);
    place.apply(&map).await;
    assert!(matches!(delete(&place, &seen, &inventory).await, PruneResult::Kept(_)));
    assert!(place.live(&map).await.is_some());
}
