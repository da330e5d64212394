//! Image pushes that come as messages of a queue: many become few commits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::lock::Mutex;
use http::StatusCode;
use serde_json::{Value, json};
use slipway_sandbox::IMAGE;
use slipway_sandbox::faults::Failure;

use crate::world::{Flow, KUSTOMIZATION};

/// Messages of SQS with these events in them, each under its id.
fn batch(messages: &[(String, Value)]) -> Value {
    let record = |(id, event): &(String, Value)| json!({"messageId": id, "body": event.to_string()});
    json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() })
}

fn failed(answer: &Value) -> BTreeSet<String> {
    let items = answer["batchItemFailures"].as_array().unwrap().iter();
    items.map(|item| item["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

fn arm(flow: &Flow, path: &str, status: StatusCode, headers: &[(&'static str, &str)], message: &str, count: usize) {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let (path_contains, body) = (path.to_owned(), json!({ "message": message }));
    flow.sandbox.forge.faults().failures.arm(Failure { method: None, path_contains, count, status, headers, body });
}

/// A copy of the shop for each of these images, in one commit; its kustomizations as they are then.
fn copies(flow: &Flow, count: usize) -> BTreeMap<String, String> {
    let (app, kustomization) = (flow.read("applications/shop.yaml"), flow.read(KUSTOMIZATION));
    let mut files = Vec::new();
    for name in (0..count).map(|index| format!("app-{index}")) {
        let image = |text: &str| text.replace("/shop/web", &format!("/shop/{name}"));
        let app = image(&app).replace("name: shop\n", &format!("name: {name}\n"));
        files.push((format!("applications/{name}.yaml"), app.replace("path: shop", &format!("path: {name}"))));
        files.push((format!("{name}/kustomization.yaml"), image(&kustomization)));
    }
    let changes: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    flow.push("Add copies", &changes);
    files.into_iter().filter(|(path, _)| path.ends_with("kustomization.yaml")).collect()
}

/// A hundred pushes within seconds, taken by four workers in batches of ten, while GitHub fails in every way that it
/// knows and allows 80 writes a minute: every update lands once, in few commits, nothing else changes, and no message
/// comes near a dead-letter queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pushes_become_few_commits() {
    const COUNT: usize = 100;
    let flow = Flow::deployed().await;
    let before = copies(&flow, COUNT);
    let start = flow.sandbox.head().unwrap().unwrap();
    flow.sandbox.forge.faults().limit_content(80);
    let limit = "You have exceeded a secondary rate limit.";
    for round in 0..4 {
        arm(&flow, "graphql", StatusCode::BAD_GATEWAY, &[], "Server Error", 2 + round);
        arm(&flow, "commits/", StatusCode::SERVICE_UNAVAILABLE, &[], "x", 1);
        arm(&flow, "graphql", StatusCode::CONFLICT, &[], "Conflict", 2);
        arm(&flow, "graphql", StatusCode::UNPROCESSABLE_ENTITY, &[], "Validation Failed", 1);
        arm(&flow, "graphql", StatusCode::FORBIDDEN, &[], limit, 1);
        arm(&flow, "graphql", StatusCode::TOO_MANY_REQUESTS, &[("retry-after", "1")], limit, 1);
    }
    let queue: VecDeque<(String, Value, usize)> = (0..COUNT)
        .map(|index| {
            let mut event = flow.sandbox.aws.push_image(&format!("shop/app-{index}"), "1.1.0");
            event["id"] = json!(format!("event-{index}"));
            (format!("message-{index}"), event, 1)
        })
        .collect();
    let queue = &Mutex::new(queue);
    let work = async || {
        let worker = flow.another_pusher().await;
        loop {
            let mut waiting = queue.lock().await;
            let upto = waiting.len().min(10);
            let taken: Vec<_> = waiting.drain(..upto).collect();
            drop(waiting);
            if taken.is_empty() {
                return;
            }
            let messages: Vec<_> = taken.iter().map(|(id, event, _)| (id.clone(), event.clone())).collect();
            let again = failed(&worker.handle(batch(&messages)).await.unwrap());
            let again = taken.into_iter().filter(|(id, ..)| again.contains(id));
            queue.lock().await.extend(again.map(|(id, event, received)| {
                assert!(received < 5, "{id} was received {received} times");
                (id, event, received + 1)
            }));
        }
    };
    futures::join!(work(), work(), work(), work());

    for (path, before) in &before {
        assert_eq!(flow.read(path), before.replace("newTag: 1.0.0", "newTag: 1.1.0"), "{path}");
    }
    let end = flow.sandbox.head().unwrap().unwrap();
    let difference = flow.sandbox.repository.difference(Some(start), Some(end)).unwrap();
    assert_eq!(difference.modified.iter().collect::<BTreeSet<_>>(), before.keys().collect(), "nothing else changes");
    assert!(difference.added.is_empty() && difference.removed.is_empty(), "{difference:?}");
    let commits = flow.sandbox.repository.commits_between(Some(start), end).unwrap();
    assert!(commits.len() <= 25, "{} commits", commits.len());
    let lines = commits.iter().flat_map(|commit| commit.message.lines().filter(|line| line.starts_with("Event: ")));
    let events: Vec<&str> = lines.collect();
    assert_eq!(events.len(), COUNT, "each once");
    assert_eq!(events.iter().collect::<BTreeSet<_>>().len(), COUNT);
}

/// Where GitHub's limit of writes is reached, what is left waits for it.
#[tokio::test]
async fn a_limit_of_writes_is_waited_for() {
    let flow = Flow::deployed().await;
    copies(&flow, 3);
    flow.sandbox.forge.faults().limit_content(2);
    for index in 0..3 {
        let event = flow.sandbox.aws.push_image(&format!("shop/app-{index}"), "1.1.0");
        flow.pusher.handle(event).await.unwrap();
    }
    assert!(flow.sandbox.forge.faults().refused_content() > 0);
    assert!((0..3).all(|index| flow.read(&format!("app-{index}/kustomization.yaml")).contains("newTag: 1.1.0")));
}

/// Of a batch only what may succeed later comes again; what can't be read goes to the dead-letter queue.
#[tokio::test]
async fn only_what_failed_comes_again() {
    let flow = Flow::deployed().await;
    let other = flow.read("applications/shop.yaml").replace("name: shop\n", "name: other\n");
    let other = other.replace("/shop/web", "/shop/other").replace("acme/gitops", "acme/busy");
    let other = other.replace("targetRevision: main", "targetRevision: HEAD");
    flow.push("Add one elsewhere", &[("applications/other.yaml", &other)]);
    arm(
        &flow,
        "acme/busy",
        StatusCode::TOO_MANY_REQUESTS,
        &[],
        "You have exceeded a secondary rate limit.",
        usize::MAX,
    );
    let good = ("good".to_owned(), flow.sandbox.aws.push_image(IMAGE, "1.1.0"));
    let busy = ("busy".to_owned(), flow.sandbox.aws.push_image("shop/other", "1.1.0"));
    let unnamed = ("unnamed".to_owned(), flow.sandbox.aws.push_image("nobody", "1.1.0"));
    let mut deleted = ("deleted".to_owned(), flow.sandbox.aws.push_image(IMAGE, "9.9.9"));
    deleted.1["detail"]["action-type"] = json!("DELETE");
    let broken = ("broken".to_owned(), json!({"source": "aws.ecr"}));
    let answer = flow.pusher.handle(batch(&[good, busy, unnamed, deleted, broken])).await.unwrap();
    assert_eq!(failed(&answer), ["broken", "busy"].map(str::to_owned).into());
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"));
}
