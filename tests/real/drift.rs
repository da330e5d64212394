//! What someone changes behind Git's back is told once, with who and when, and its end too.

use crate::push::{APPLICATION, DEPLOYMENT, KUSTOMIZATION, WEB};
use slipway_tests::bed::{Bed, image_of};

#[tokio::test]
async fn a_scaled_deployment_is_told_once_and_then_resolved() {
    let Some(mut bed) = Bed::new(WEB).await else { return };
    bed.deploy_first().await;
    assert_eq!(told(&mut bed).await.len(), 1, "the deployment itself, and no drift");

    let scale = ["-n", &bed.name.clone(), "scale", "deployment/web"];
    let Some(_) = bed.cluster.kubectl(&[&scale[..], &["--replicas=5"]].concat()) else { return };
    let messages = told(&mut bed).await;
    assert_eq!(messages.len(), 2, "{messages:?}\n{}", bed.logs());
    // The API server records no time for a write through `scale`: then it is when the check saw it.
    for part in ["Deployment/", "web", "spec.replicas", "`2`", "`5`", "by `kubectl`", " at 20"] {
        assert!(messages[1].contains(part), "no {part} in: {}", messages[1]);
    }
    assert_eq!(told(&mut bed).await.len(), 2, "the same drift is told once");

    bed.cluster.kubectl(&[&scale[..], &["--replicas=2"]].concat());
    let messages = told(&mut bed).await;
    assert_eq!(messages.len(), 3, "{messages:?}\n{}", bed.logs());
    assert!(messages[2].contains("resolved"), "{}", messages[2]);
    assert_eq!(told(&mut bed).await.len(), 3, "its end is told once too");

    let patch = ["patch", "deployment/web", "--field-manager=oncall", "-p", r#"{"spec":{"replicas":4}}"#];
    bed.cluster.kubectl(&[&scale[..2], &patch[..]].concat());
    let live = bed.deployment("web").await;
    let entries = live.metadata.managed_fields.iter().flatten();
    let oncall = entries.into_iter().find(|entry| entry.manager.as_deref() == Some("oncall"));
    let time = oncall.and_then(|entry| entry.time.clone()).expect("the API server records who and when").0.to_string();
    let messages = told(&mut bed).await;
    assert_eq!(messages.len(), 4, "{messages:?}\n{}", bed.logs());
    for part in ["spec.replicas", "`2`", "`4`", "by `oncall`", &time] {
        assert!(messages[3].contains(part), "no {part} in: {}", messages[3]);
    }
    bed.check_github();
}

#[tokio::test]
async fn where_an_application_heals_itself_a_change_is_undone_and_told_once() {
    let healing = APPLICATION.replace("automated: {}", "automated: {selfHeal: true}");
    let files = [
        ("apps/web.yaml", healing.as_str()),
        ("web/deployment.yaml", DEPLOYMENT),
        ("web/kustomization.yaml", KUSTOMIZATION),
    ];
    let Some(mut bed) = Bed::new(&files).await else { return };
    bed.deploy_first().await;
    assert_eq!(told(&mut bed).await.len(), 1, "the deployment itself");
    let history = ["app", "history", &format!("{}-web", bed.name), "-o", "id"];
    let before = bed.slipway(&history);

    let image = ["-n", &bed.name.clone(), "set", "image", "deployment/web", "web=evil:1", "--field-manager=mallory"];
    let Some(_) = bed.cluster.kubectl(&image) else { return };
    let messages = told(&mut bed).await;
    assert_eq!(messages.len(), 2, "{messages:?}\n{}", bed.logs());
    for part in [":adhesive_bandage:", "Deployment/", "image", "evil:1", "by `mallory`"] {
        assert!(messages[1].contains(part), "no {part} in: {}", messages[1]);
    }
    assert!(image_of(&bed.deployment("web").await).ends_with("/web:1.4.1"));
    assert_eq!(told(&mut bed).await.len(), 2, "it is told once");
    assert_eq!(bed.slipway(&history), before, "a heal is no deployment");
    bed.check_github();
}

/// Runs drift-check and gives all that Slack has then.
async fn told(bed: &mut Bed) -> Vec<String> {
    bed.check().await;
    bed.slack.messages().into_iter().map(|message| message.text).collect()
}
