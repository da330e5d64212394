//! An image push becomes one commit, whose diff is one line.

use serde_json::{Value, json};
use slipway_sandbox::IMAGE;
use slipway_sandbox::aws::Aws;

use crate::world::{Flow, KUSTOMIZATION};

#[tokio::test]
async fn an_image_push_is_committed_and_deployed() {
    let mut flow = Flow::deployed().await;
    let before = flow.read(KUSTOMIZATION);
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(event.clone()).await.unwrap();
    let branch = &result["branches"]["acme/gitops main"];
    assert_eq!(branch["changes"], json!(["shop: 1.0.0 → 1.1.0"]), "{result}");
    assert_eq!(flow.read(KUSTOMIZATION), before.replace("newTag: 1.0.0", "newTag: 1.1.0"));
    assert_eq!(branch["commit"], json!(flow.sandbox.head().unwrap().unwrap().to_string()));

    flow.settle().await;
    let image = flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert!(image.as_str().unwrap().ends_with("/shop/web:1.1.0"), "{image}");
    let messages = flow.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");

    // The same event once more, and one that comes late: no commit.
    for event in [event, flow.sandbox.aws.push_image(IMAGE, "1.0.1")] {
        let result = flow.pusher.handle(event).await.unwrap();
        assert_eq!(result["branches"]["acme/gitops main"]["commit"], Value::Null, "{result}");
    }
    assert!(flow.next_webhook().is_none());
}

#[tokio::test]
async fn an_image_that_nobody_names_asks_for_nothing() {
    let flow = Flow::deployed().await;
    for repository in ["shop/web-evil", "shop/we", "other"] {
        let event = flow.sandbox.aws.push_image(repository, "9.9.9");
        assert_eq!(flow.pusher.handle(event).await.unwrap(), json!({"branches": {}}), "{repository}");
    }
}

#[tokio::test]
async fn two_image_pushes_at_once_both_land() {
    let flow = Flow::deployed().await;
    let app = flow.read("applications/shop.yaml");
    let second =
        app.replace("name: shop\n", "name: two\n").replace("/shop/web", "/shop/two").replace("path: shop", "path: two");
    let kustomization = flow.read(KUSTOMIZATION).replace("/shop/web", "/shop/two");
    flow.push("Add two", &[("applications/two.yaml", &second), ("two/kustomization.yaml", &kustomization)]);
    let one = flow.sandbox.aws.push_image(IMAGE, "1.2.0");
    let two = flow.sandbox.aws.push_image("shop/two", "1.3.0");
    let (one, two) = tokio::join!(flow.pusher.handle(one), flow.pusher.handle(two));
    assert!(one.unwrap().to_string().contains("1.2.0") && two.unwrap().to_string().contains("1.3.0"));
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.2.0"));
    assert!(flow.read("two/kustomization.yaml").contains("newTag: 1.3.0"));
}

/// The event of a schedule, as EventBridge Scheduler sends it.
fn schedule() -> Value {
    json!({"version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.scheduler",
        "account": "123456789012", "time": "2026-11-19T10:00:00Z", "region": "eu-central-1", "resources": [],
        "detail": "{}"})
}

#[tokio::test]
async fn a_push_whose_event_got_lost_is_made_up_for() {
    let mut flow = Flow::deployed().await;
    let before = flow.read(KUSTOMIZATION);
    let _lost = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(schedule()).await.unwrap();
    assert_eq!(result["branches"]["acme/gitops main"]["changes"], json!(["shop: 1.0.0 → 1.1.0"]), "{result}");
    assert_eq!(flow.read(KUSTOMIZATION), before.replace("newTag: 1.0.0", "newTag: 1.1.0"));
    flow.settle().await;
    let image = flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert!(image.as_str().unwrap().ends_with("/shop/web:1.1.0"), "{image}");

    // Where nothing got lost nothing is committed: one list of tags, no more.
    let calls = flow.sandbox.aws.exchanges().len();
    let result = flow.pusher.handle(schedule()).await.unwrap();
    assert_eq!(result["branches"]["acme/gitops main"]["commit"], Value::Null, "{result}");
    assert_eq!(flow.sandbox.aws.exchanges().len(), calls + 1);
    assert!(flow.next_webhook().is_none());
}

#[tokio::test]
async fn an_image_that_a_person_took_back_stays_so_until_another_is_pushed() {
    let flow = Flow::deployed().await;
    let before = flow.read(KUSTOMIZATION);
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    flow.pusher.handle(event.clone()).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"));
    flow.push("Revert: 1.1.0 loses orders", &[(KUSTOMIZATION, &before)]);

    let unrelated = flow.sandbox.aws.push_image(IMAGE, "pr-7");
    let older = flow.sandbox.aws.push_image(IMAGE, "1.0.5");
    let told = flow.messages().len();
    for (event, words) in [
        (schedule(), "1.1.0 was taken back in Git for 1.0.0"),
        (unrelated, "pr-7 is no version"),
        (event, "1.1.0 was taken back in Git for 1.0.0"),
        (
            older.clone(),
            "1.1.0 was taken back in Git for 1.0.0, which stays until something newer is pushed: 1.0.5 is not",
        ),
    ] {
        let result = flow.pusher.handle(event).await.unwrap();
        let branch = &result["branches"]["acme/gitops main"];
        assert_eq!(branch["commit"], Value::Null, "{result}");
        assert!(branch["unchanged"].to_string().contains(words), "{words}: {result}");
    }
    assert_eq!(flow.read(KUSTOMIZATION), before);
    // Slack hears of the images that were pushed and not taken, of each once.
    flow.pusher.handle(older).await.unwrap();
    let messages = flow.messages();
    assert_eq!(messages.len(), told + 2, "{messages:?}");
    assert!(messages.last().unwrap().contains("1.1.0 was taken back in Git for 1.0.0"), "{messages:?}");

    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.1");
    flow.pusher.handle(event).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.1"));
}

/// A repository that can't be listed, and one that is not ECR's, hold up no other.
#[tokio::test]
async fn one_registry_that_refuses_holds_up_no_other() {
    let flow = Flow::deployed().await;
    let app = flow.read("applications/shop.yaml");
    let second =
        app.replace("name: shop\n", "name: two\n").replace("/shop/web", "/shop/two").replace("path: shop", "path: two");
    let third = app.replace("name: shop\n", "name: three\n").replace(&Aws::registry(), "docker.io");
    let files = [("applications/two.yaml", second.as_str()), ("applications/three.yaml", &third)];
    flow.push("Add two that can't be listed", &files);
    flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(schedule()).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"), "{result}");
    let problems = result["branches"]["refused"]["problems"].to_string();
    assert!(problems.contains("/shop/two (RepositoryNotFoundException)"), "{result}");
    assert!(!problems.contains("docker.io"), "{result}");
}
