//! What someone changes behind Git's back is told once, with who and when, and its end too.

use crate::bed::Bed;
use crate::push::WEB;

#[tokio::test]
async fn a_scaled_deployment_is_told_once_and_then_resolved() {
    let Some(mut bed) = Bed::new(WEB).await else { return };
    bed.deploy_first().await;
    bed.check().await;
    let deployed = bed.slack.messages().len();
    assert_eq!(deployed, 1, "{:?}\n{}", bed.slack.messages(), bed.logs());

    let namespace = bed.name.clone();
    let Some(_) = bed.cluster.kubectl(&["-n", &namespace, "scale", "deployment/web", "--replicas=5"]) else { return };
    bed.check().await;
    let messages = bed.slack.messages();
    assert_eq!(messages.len(), deployed + 1, "{messages:?}\n{}", bed.logs());
    let told = &messages[deployed].text;
    let live = bed.deployment("web").await;
    let scaled =
        live.metadata.managed_fields.iter().flatten().find(|entry| entry.subresource.as_deref() == Some("scale"));
    let scaled = scaled.expect("kubectl scale leaves its name");
    let time = scaled.time.as_ref().expect("and the time").0.to_string();
    for part in ["web", "spec.replicas", "`2`", "`5`", scaled.manager.as_deref().unwrap_or_default(), &time] {
        assert!(told.contains(part), "no {part} in: {told}");
    }

    bed.check().await;
    assert_eq!(bed.slack.messages().len(), deployed + 1, "the same drift is told once");

    bed.cluster.kubectl(&["-n", &namespace, "scale", "deployment/web", "--replicas=2"]);
    bed.check().await;
    let messages = bed.slack.messages();
    assert_eq!(messages.len(), deployed + 2, "{messages:?}\n{}", bed.logs());
    assert!(messages[deployed + 1].text.contains("resolved"), "{}", messages[deployed + 1].text);
    bed.check().await;
    assert_eq!(bed.slack.messages().len(), deployed + 2);
    bed.check_github();
}
