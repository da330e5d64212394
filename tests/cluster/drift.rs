use std::time::Duration;

use serde_json::json;
use slipway::reconcile::comparison::{self, Compared, Pair};
use slipway::reconcile::drift::{self, DriftedField, FingerprintKey};
use slipway::secret::StateKeys;
use slipway_gitops::Redactor;
use slipway_gitops::comparison::Rules;
use slipway_manifest::Object;

use crate::{Place, config_map, deployment};

/// What differs from `desired`; `None` where nothing is there.
async fn compare(place: &Place, desired: &Object) -> Option<Vec<DriftedField>> {
    let live = place.live(desired).await;
    let at = place.at(desired);
    let pair = Pair { object: desired, place: &at, live: live.as_ref(), validate: true };
    let answer = comparison::compare(&place.cluster, vec![pair], &Rules::default()).await.remove(0).unwrap();
    let keys = StateKeys { current: "key".into(), previous: None };
    match answer {
        Compared::Missing => None,
        Compared::Same => Some(Vec::new()),
        Compared::Differs(pair) => {
            Some(drift::compare(&pair.live, &pair.predicted, &FingerprintKey(&keys), &Redactor::default()))
        }
    }
}

#[tokio::test]
async fn what_others_changed_is_found_with_who_and_when() {
    let Some(place) = Place::new("drift").await else { return };
    let web = place.one(deployment("web", "nginx:1"));
    assert_eq!(compare(&place, &web).await, None);
    place.apply(&web).await;
    assert_eq!(compare(&place, &web).await, Some(vec![]));

    let namespace = place.namespace().to_owned();
    if place.plane.kubectl(&["-n", &namespace, "scale", "deployment/web", "--replicas=3"]).is_none() {
        return;
    }
    let set = ["-n", &namespace, "set", "image", "deployment/web", "web=nginx:hacked", "--field-manager=mallory"];
    place.plane.kubectl(&set);
    place.plane.kubectl(&["-n", &namespace, "annotate", "deployment/web", "by.hand/note=yes", "--field-manager=alice"]);

    // The time of a scaling comes from the controller's event, which comes a moment later.
    let mut found = compare(&place, &web).await.unwrap();
    for _ in 0..50 {
        if found[0].drift.time.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        found = compare(&place, &web).await.unwrap();
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let lines: Vec<String> = found
        .iter()
        .map(|one| {
            let drift = &one.drift;
            let timed = if drift.time.is_some() { " timed" } else { "" };
            let (desired, live, manager) = (text(&drift.desired), text(&drift.live), text(&drift.manager));
            format!("{}: {desired} -> {live} by {manager}{timed}", drift.field)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "spec.replicas: 1 -> 3 by kubectl timed",
            "spec.template.spec.containers[name=web].image: nginx:1 -> nginx:hacked by mallory timed",
        ]
    );
}

#[tokio::test]
async fn a_secret_differs_without_showing_its_values() {
    const CANARY: &str = "c4n4ry-hunter2";
    const ENCODED: &str = "YzRuNHJ5LWh1bnRlcjI=";
    let Some(place) = Place::new("secretdrift").await else { return };
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "one",
        "b": "same"}});
    let secret = place.one(secret);
    place.apply(&secret).await;
    let namespace = place.namespace().to_owned();
    let patch = json!({"stringData": {"a": CANARY}}).to_string();
    if place.plane.kubectl(&["-n", &namespace, "patch", "secret", "s", "-p", &patch]).is_none() {
        return;
    }
    let found = compare(&place, &secret).await.unwrap();
    assert_eq!(found.iter().map(|one| one.drift.field.as_str()).collect::<Vec<_>>(), ["data.a"]);
    assert_ne!(found[0].drift.live, found[0].drift.desired);
    let shown = format!("{found:?}");
    assert!(!shown.contains(CANARY) && !shown.contains(ENCODED), "{shown}");
}

#[tokio::test]
async fn a_removed_field_is_missed() {
    let Some(place) = Place::new("removal").await else { return };
    let map = place.one(config_map("c", &json!({"a": "1"})));
    place.apply(&map).await;
    let namespace = place.namespace().to_owned();
    let patch = r#"[{"op": "remove", "path": "/data/a"}]"#;
    if place.plane.kubectl(&["-n", &namespace, "patch", "configmap", "c", "--type=json", "-p", patch]).is_none() {
        return;
    }
    let found = compare(&place, &map).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].drift.live, None);
}
