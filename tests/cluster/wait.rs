use std::time::Duration;

use serde_json::json;
use slipway_cluster::wait::{self, ConditionStatus};
use tokio::time::Instant;

use crate::{Place, config_map, deployment};

#[tokio::test]
async fn a_deployment_is_waited_for_until_it_is_healthy() {
    let Some(place) = Place::new("wait").await else { return };
    let objects =
        place.prepare([deployment("web", "nginx:1"), deployment("api", "nginx:1"), config_map("c", &json!({}))]);
    for object in &objects {
        place.apply(object).await;
    }
    let places: Vec<_> = objects.iter().map(|object| place.at(object)).collect();
    let until = Instant::now() + Duration::from_mins(1);
    let outcomes = wait::wait(&place.cluster, &places, until, |_, object| wait::healthy(object)).await;
    assert_eq!(outcomes.len(), 3);
    for (id, outcome) in &outcomes {
        assert_eq!(outcome.progress, ConditionStatus::Done, "{id}");
    }
    assert!(Instant::now() < until);
}

#[tokio::test]
async fn a_wait_ends_with_its_deadline_and_says_for_what() {
    let Some(place) = Place::new("deadline").await else { return };
    let mut web = deployment("web", "nginx:1");
    web["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    let objects = place.prepare([web, config_map("missing", &json!({}))]);
    place.apply(&objects[0]).await;
    let places: Vec<_> = objects.iter().map(|object| place.at(object)).collect();
    let outcomes =
        wait::wait(&place.cluster, &places, Instant::now() + Duration::from_secs(3), |_, object| wait::healthy(object))
            .await;
    let message = |index: usize| match &outcomes[&objects[index].id()].progress {
        ConditionStatus::Waiting(message) => message.clone(),
        other => panic!("{other:?}"),
    };
    assert!(message(0).starts_with("Waiting for rollout to finish"), "{}", message(0));
    assert_eq!(message(1), "it does not exist");
}
