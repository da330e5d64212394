use std::time::Duration;

use serde_json::{Value, json};
use slipway_cluster::apply;
use slipway_cluster::dry_run;
use slipway_gitops::comparison::{Comparison, Rules};
use slipway_gitops::status::SyncStatus;
use slipway_manifest::Object;

use crate::{Place, config_map, deployment};

async fn compare(place: &Place, desired: &Object) -> Comparison {
    let live = place.live(desired).await;
    let (options, rules) = (apply::Options::default(), Rules::default());
    dry_run::compare(&place.cluster, place.resource(desired), desired, live, &options, &rules).await.unwrap()
}

#[tokio::test]
async fn what_others_changed_is_found_with_who_and_when() {
    let Some(place) = Place::new("drift").await else { return };
    let web = place.one(deployment("web", "nginx:1"));
    assert_eq!(compare(&place, &web).await.status(), SyncStatus::OutOfSync);
    place.apply(&web).await;
    let same = compare(&place, &web).await;
    assert_eq!((same.status(), same.findings), (SyncStatus::Synced, vec![]));

    let namespace = place.namespace().to_owned();
    if place.plane.kubectl(&["-n", &namespace, "scale", "deployment/web", "--replicas=3"]).is_none() {
        return;
    }
    let set = ["-n", &namespace, "set", "image", "deployment/web", "web=nginx:hacked", "--field-manager=mallory"];
    place.plane.kubectl(&set);
    place.plane.kubectl(&["-n", &namespace, "annotate", "deployment/web", "by.hand/note=yes", "--field-manager=alice"]);

    // The time of a scaling comes from the controller's event, which comes a moment later.
    let mut found = compare(&place, &web).await;
    for _ in 0..50 {
        if !found.findings[0].owners[0].time.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        found = compare(&place, &web).await;
    }
    assert_eq!(found.status(), SyncStatus::OutOfSync);
    let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
    let lines: Vec<String> = found
        .findings
        .iter()
        .map(|finding| {
            let owner = &finding.owners[0];
            let (desired, live) = (text(&finding.difference.desired), text(&finding.difference.live));
            let timed = if owner.time.is_empty() { "" } else { " timed" };
            format!("{}: {desired} -> {live} by {}{}{timed}", finding.difference.path, owner.manager, owner.subresource)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "spec.replicas: 1 -> 3 by kubectlscale timed",
            r#"spec.template.spec.containers[name=web].image: "nginx:1" -> "nginx:hacked" by mallory timed"#,
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
    let findings = compare(&place, &secret).await.findings;
    assert_eq!(findings.iter().map(|finding| finding.difference.path.to_string()).collect::<Vec<_>>(), ["data.a"]);
    assert_ne!(findings[0].difference.live, findings[0].difference.desired);
    let shown = format!("{findings:?}");
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
    let findings = compare(&place, &map).await.findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].difference.live, None);
}
