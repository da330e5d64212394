//! Six hours without GitHub, the API server or Slack lose no deployment, and no person has to act. The time is
//! that of the schedules.

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use slipway::deploy::WebhookHandler;
use slipway_sandbox::faults::Failure;

use crate::world::{Flow, KUSTOMIZATION, soon};

const OUTAGE: SignedDuration = SignedDuration::from_hours(6);

/// A worker that may delay messages.
async fn worker(flow: &Flow) -> WebhookHandler {
    flow.another_with(&[("SLIPWAY_SCHEDULE_ROLE", "arn:aws:iam::123456789012:role/resume")]).await
}

/// Every request to a path with `path` in it fails, in a way that no client waits for.
fn down(path: &str) -> Failure {
    Failure {
        method: None,
        path_contains: path.to_owned(),
        count: usize::MAX,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        headers: Vec::new(),
        body: Value::Null,
    }
}

/// Works off the queue and fires the schedules until [`OUTAGE`] has passed; gives the longest pause. SQS gets no
/// message back.
async fn sit_out(flow: &Flow, worker: &WebhookHandler) -> SignedDuration {
    let (mut passed, mut longest) = (SignedDuration::ZERO, SignedDuration::ZERO);
    while passed < OUTAGE {
        let event = flow.sandbox.aws.next_event().expect("a message");
        let answer = worker.handle(event, soon(), "test").await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}), "after {passed:?}");
        assert_eq!(flow.sandbox.aws.waiting(), 0);
        let at = flow.sandbox.aws.next_schedule().expect("the message comes again");
        let pause = at.duration_since(Timestamp::now());
        (passed, longest) = (passed + pause, longest.max(pause));
    }
    longest
}

/// Pushes another image, without the Ingress, for whose address a sync would wait.
fn change(flow: &Flow) {
    let other = flow.read(KUSTOMIZATION).replace("newTag: 1.0.0", "newTag: 1.0.1").replace("  - ingress.yaml\n", "");
    flow.push("Another image", &[(KUSTOMIZATION, &other)]);
}

fn image(flow: &Flow) -> String {
    flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

/// Delivers what waits, and all that comes of it.
async fn go_on(flow: &Flow, worker: &WebhookHandler) {
    while let Some(event) = flow.sandbox.aws.next_event() {
        let answer = worker.handle(event, soon(), "test").await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
    }
}

#[tokio::test]
async fn github_may_be_down() {
    let mut flow = Flow::deployed().await;
    let worker = worker(&flow).await;
    change(&flow);
    worker.handle(flow.next_webhook().unwrap(), soon(), "intake").await.unwrap();
    let before = flow.messages().len();
    flow.sandbox.forge.faults().failures.arm(down("/"));
    let longest = sit_out(&flow, &worker).await;
    assert!(longest <= SignedDuration::from_mins(15), "{longest:?} after its end the push is deployed");
    let told = flow.messages().split_off(before);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("the push to main of acme/gitops waits for a service that fails"), "{told:?}");
    assert!(told[0].contains("500") && told[0].contains("every 15 minutes"), "{told:?}");

    flow.sandbox.forge.faults().failures.clear();
    go_on(&flow, &worker).await;
    assert!(image(&flow).ends_with(":1.0.1"));
}

#[tokio::test]
async fn an_api_server_may_be_down() {
    let mut flow = Flow::deployed().await;
    let worker = worker(&flow).await;
    change(&flow);
    worker.handle(flow.next_webhook().unwrap(), soon(), "intake").await.unwrap();
    flow.sandbox.cluster.failures().arm(down("/"));
    sit_out(&flow, &worker).await;
    flow.sandbox.cluster.failures().clear();
    go_on(&flow, &worker).await;
    assert!(image(&flow).ends_with(":1.0.1"));
}

/// What a sync may dry-run it can't write: the operation and its five retries fail.
#[tokio::test]
async fn an_api_server_may_fail_in_the_middle() {
    let mut flow = Flow::deployed().await;
    let worker = worker(&flow).await;
    change(&flow);
    worker.handle(flow.next_webhook().unwrap(), soon(), "intake").await.unwrap();
    let before = flow.messages().len();
    // The client sends `dryRun` before `force`.
    flow.sandbox.cluster.failures().arm(Failure { method: Some(Method::PATCH), ..down("/deployments/web?force") });
    sit_out(&flow, &worker).await;
    let told = flow.messages().split_off(before);
    flow.sandbox.cluster.failures().clear();
    go_on(&flow, &worker).await;
    assert!(image(&flow).ends_with(":1.0.1"), "{told:?}");
    assert_eq!(told.len(), 2, "that it failed, and that it is tried again: {told:?}");
}

#[tokio::test]
async fn slack_may_be_down() {
    let mut flow = Flow::deployed().await;
    let worker = worker(&flow).await;
    change(&flow);
    worker.handle(flow.next_webhook().unwrap(), soon(), "intake").await.unwrap();
    flow.sandbox.slack.failures().arm(down("/"));
    go_on(&flow, &worker).await;
    assert!(image(&flow).ends_with(":1.0.1"));
}
