//! Attack 30: workers and events that come twice, late, at the same time, die, or live by another clock.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use slipway_sandbox::http::{Exchange, Request};
use slipway_sandbox::{IMAGE, system_clock};
use tokio::time::Instant;

use crate::world::{Flow, KUSTOMIZATION, soon};

impl Flow {
    fn push_tag(&self, tag: &str) {
        let kustomization = self.read(KUSTOMIZATION);
        let (before, _) = kustomization.split_once("newTag: ").unwrap();
        self.push(tag, &[(KUSTOMIZATION, &format!("{before}newTag: {tag}\n"))]);
    }

    fn tag(&self) -> String {
        let live = self.deployment();
        let image = live["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
        image.rsplit(':').next().unwrap().to_owned()
    }

    /// How often the Deployment was applied with an image of this tag.
    fn applied(&self, tag: &str) -> usize {
        let exchanges = self.sandbox.cluster.exchanges();
        let image = format!("{IMAGE}:{tag}");
        let is_apply = |request: &Request| {
            request.method == Method::PATCH
                && request.path.ends_with("/deployments/web")
                && request.query("dryRun").is_none()
                && String::from_utf8_lossy(&request.body).contains(&image)
        };
        exchanges.iter().filter(|exchange| is_apply(&exchange.request)).count()
    }
}

#[tokio::test]
async fn two_pushes_a_second_apart_at_two_workers_end_with_the_later_applied_once() {
    let mut flow = Flow::deployed().await;
    flow.sandbox.cluster.hold_image(":1.0.1");
    flow.push_tag("1.0.1");
    let one = flow.message().await;
    let (first, second) = (flow.deployer.clone(), flow.another().await);
    // The first waits for a rollout that never ends.
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        flow.push_tag("1.0.2");
        let two = flow.message().await;
        second.handle(two, soon(), "second").await
    };
    let (first, second) = tokio::join!(first.handle(one, soon(), "first"), later);
    for answer in [first, second] {
        assert_eq!(answer.unwrap(), json!({"batchItemFailures": []}));
    }
    flow.settle().await;
    assert_eq!((flow.tag().as_str(), flow.applied("1.0.1"), flow.applied("1.0.2")), ("1.0.2", 1, 1));
    let statuses = flow.statuses();
    assert_eq!(statuses[0]["state"], "success", "{statuses:?}");
}

#[tokio::test]
async fn one_message_at_two_workers_at_once_is_applied_once() {
    let mut flow = Flow::deployed().await;
    flow.push_tag("1.0.1");
    let message = flow.message().await;
    let (first, second) = (flow.another().await, flow.another().await);
    let answers =
        tokio::join!(first.handle(message.clone(), soon(), "first"), second.handle(message, soon(), "second"));
    assert_eq!(
        (answers.0.unwrap(), answers.1.unwrap()),
        (json!({"batchItemFailures": []}), json!({"batchItemFailures": []}))
    );
    assert_eq!((flow.tag().as_str(), flow.applied("1.0.1")), ("1.0.1", 1));
}

#[tokio::test]
async fn a_doubled_image_event_is_one_commit() {
    let flow = Flow::deployed().await;
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let (one, two) = tokio::join!(flow.pusher.handle(event.clone()), flow.pusher.handle(event.clone()));
    let late = flow.pusher.handle(event).await;
    let commits: Vec<Value> = [one, two, late]
        .into_iter()
        .map(|result| result.unwrap()["branches"]["acme/gitops main"]["commit"].clone())
        .filter(|commit| !commit.is_null())
        .collect();
    assert_eq!(commits, [json!(flow.sandbox.head().unwrap().unwrap().to_string())]);
}

/// The commit is there, and whoever was to apply it died: at any moment, its message comes again.
#[tokio::test]
async fn a_worker_that_dies_between_commit_and_apply_is_made_good_by_the_same_message() {
    let mut flow = Flow::deployed().await;
    for number in 1..=8_u64 {
        let tag = format!("1.1.{number}");
        let event = flow.sandbox.aws.push_image(IMAGE, &tag);
        flow.pusher.handle(event).await.unwrap();
        let message = flow.message().await;
        let dying = flow.another().await;
        let life = Duration::from_millis(15 * number * number);
        let died = tokio::time::timeout(life, dying.handle(message.clone(), soon(), "worker")).await;
        // SQS gives it to another worker of the same function; the Lease of the dead one has its name.
        let answer = flow.deployer.handle(message, soon(), "worker").await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}), "after {life:?}, {died:?}");
        assert_eq!(flow.tag(), tag, "after {life:?}");
        assert!((1..=2).contains(&flow.applied(&tag)), "after {life:?}");
        assert_eq!(flow.statuses()[0]["state"], "success", "after {life:?}");
    }
}

/// The invocation ends inside a wait; what is queued goes on from the recorded state, and said twice does nothing more.
#[tokio::test]
async fn a_time_out_inside_a_wait_is_resumed_from_the_recorded_state() {
    let mut flow = Flow::deployed().await;
    let metadata = "metadata:\n  annotations: {argocd.argoproj.io/sync-wave: '1'}\n  labels: {wave: one}\n";
    let later = flow.read("shop/service.yaml").replacen("metadata:\n", metadata, 1);
    // An Ingress without an address would hold its wave for ever.
    let without = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "");
    flow.push("A wave after the rollout", &[("shop/service.yaml", &later), (KUSTOMIZATION, &without)]);
    flow.sandbox.cluster.hold_image(":1.0.1");
    flow.push_tag("1.0.1");
    let message = flow.message().await;
    let answer = flow.deployer.handle(message, Instant::now() + Duration::from_secs(4), "first").await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let service = || {
        flow.sandbox.cluster.get("/api/v1/namespaces/shop/services/web").unwrap()["metadata"]["labels"]["wave"].clone()
    };
    assert_eq!((flow.tag().as_str(), service()), ("1.0.1", Value::Null), "the wave waits");

    flow.sandbox.cluster.release_images();
    let rest = loop {
        let message = flow.sandbox.aws.next_event().expect("the rest is queued");
        if message.to_string().contains("operation") {
            break message;
        }
    };
    for id in ["second", "third"] {
        assert_eq!(
            flow.another().await.handle(rest.clone(), soon(), id).await.unwrap(),
            json!({"batchItemFailures": []})
        );
    }
    assert_eq!(service(), "one");
    assert_eq!(flow.applied("1.0.1"), 1);
    assert_eq!(flow.statuses()[0]["state"], "success");
}

#[tokio::test]
async fn a_day_between_the_clocks_makes_no_difference() {
    for hours in [-25, 25] {
        let clock = system_clock();
        let mut flow =
            Flow::start_at(std::sync::Arc::new(move || clock() + jiff::SignedDuration::from_hours(hours))).await;
        flow.settle().await;
        let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
        flow.pusher.handle(event).await.unwrap();
        flow.settle().await;
        assert_eq!((flow.tag().as_str(), flow.applied("1.1.0")), ("1.1.0", 1), "{hours} h");
        assert_eq!(flow.statuses()[0]["state"], "success", "{hours} h");
        assert_eq!(flow.check().await, json!({"applications": {"shop": {}}}), "{hours} h");
    }
}

/// As long as a message is worked on it is kept from coming again, and no longer than two minutes ahead, so that a
/// dead worker's comes soon.
#[tokio::test]
async fn a_message_is_renewed_as_long_as_it_is_worked_on() {
    let mut flow = Flow::deployed().await;
    flow.push_tag("1.0.1");
    let message = flow.message().await;
    let receipt = message["Records"][0]["receiptHandle"].clone();
    flow.deployer.handle(message, soon(), "test").await.unwrap();
    let exchanges = flow.sandbox.aws.exchanges();
    let action = |exchange: &Exchange| exchange.request.header("x-amz-target").unwrap_or_default().to_owned();
    let renewals = exchanges.iter().filter(|exchange| action(exchange).ends_with("ChangeMessageVisibility"));
    let bodies: Vec<Value> = renewals.map(|exchange| serde_json::from_slice(&exchange.request.body).unwrap()).collect();
    let last = bodies.last().expect("a sign of life");
    assert_eq!((&last["ReceiptHandle"], &last["VisibilityTimeout"]), (&receipt, &json!(120)));
}

/// Looking whether the branch has moved costs nothing of GitHub's rate limit as long as it has not.
#[tokio::test]
async fn a_waiting_worker_asks_github_only_whether_anything_changed() {
    let mut flow = Flow::deployed().await;
    flow.sandbox.cluster.hold_image(":1.0.1");
    flow.push_tag("1.0.1");
    let message = flow.message().await;
    let before = flow.sandbox.forge.exchanges().len();
    let deadline = Instant::now() + Duration::from_secs(45);
    flow.deployer.handle(message, deadline, "test").await.unwrap();
    let asked = flow.sandbox.forge.exchanges().split_off(before);
    let looks = asked.iter().filter(|exchange| exchange.request.path.ends_with("/commits/heads/main"));
    let statuses: Vec<u16> = looks.map(|exchange| exchange.status.as_u16()).collect();
    let unchanged = statuses.iter().filter(|status| **status == 304).count();
    assert!(unchanged >= 1 && statuses.len() - unchanged <= 2, "{statuses:?}");
}
