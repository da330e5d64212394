//! What reaches the queue, and what does not.

use serde_json::json;

use crate::world::{Flow, soon};

#[tokio::test]
async fn only_genuine_pushes_are_queued() {
    let mut flow = Flow::start().await;
    let genuine = flow.next_webhook().unwrap();
    let cases = [
        ("/headers/x-hub-signature-256", json!("sha256=00"), 401),
        ("/headers/x-hub-signature-256", json!(""), 401),
        ("/body", json!(genuine["body"].as_str().unwrap().replace("main", "prod")), 401),
        ("/requestContext/http/method", json!("GET"), 405),
    ];
    for (pointer, value, status) in cases {
        let mut forged = genuine.clone();
        *forged.pointer_mut(pointer).unwrap() = value;
        let answer = flow.deployer.handle(forged, soon(), "test").await.unwrap();
        assert_eq!(answer["statusCode"], status, "{pointer}");
    }
    assert_eq!(flow.sandbox.aws.waiting(), 0);
    for _ in 0..2 {
        let answer = flow.deployer.handle(genuine.clone(), soon(), "test").await.unwrap();
        assert_eq!(answer["statusCode"], 202);
    }
    assert_eq!(flow.sandbox.aws.waiting(), 1, "a redelivery is the same message");
}

#[tokio::test]
async fn two_pushes_are_two_messages_and_a_ping_none() {
    let mut flow = Flow::start().await;
    flow.push("Again", &[("NOTES.md", "1")]);
    while let Some(event) = flow.next_webhook() {
        assert_eq!(flow.deployer.handle(event, soon(), "test").await.unwrap()["statusCode"], 202);
    }
    assert_eq!(flow.sandbox.aws.waiting(), 2);
    flow.sandbox.forge.ping(&flow.sandbox.repository);
    let ping = flow.next_webhook().unwrap();
    assert_eq!(flow.deployer.handle(ping, soon(), "test").await.unwrap()["statusCode"], 200);
    assert_eq!(flow.sandbox.aws.waiting(), 2);
}

#[tokio::test]
async fn the_url_and_the_worker_are_two_functions() {
    let mut flow = Flow::start().await;
    let worker = flow.another_with(&[("SLIPWAY_WEBHOOK_SECRET", "")]).await;
    let workers =
        ["SLIPWAY_ROOT", "SLIPWAY_GITHUB_SECRET", "SLIPWAY_STATE_SECRET", "SLIPWAY_CLUSTER", "SLIPWAY_KUBECONFIG"];
    let url = flow.another_with(&workers.map(|name| (name, ""))).await;

    let webhook = flow.next_webhook().unwrap();
    let refused = worker.handle(webhook.clone(), soon(), "test").await.unwrap();
    assert_eq!(refused["statusCode"], 404);
    assert!(refused["body"].as_str().unwrap().contains("SLIPWAY_WEBHOOK_SECRET is not set"), "{refused}");
    assert_eq!(url.handle(webhook, soon(), "test").await.unwrap()["statusCode"], 202);

    let message = flow.sandbox.aws.next_event().unwrap();
    let refused = url.handle(message.clone(), soon(), "test").await.unwrap_err();
    assert!(refused.to_string().contains("SLIPWAY_ROOT is not set"), "{refused}");
    assert_eq!(worker.handle(message, soon(), "test").await.unwrap(), json!({"batchItemFailures": []}));
    assert_eq!(flow.deployment()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn requests_that_cannot_be_genuine_cost_no_call() {
    let mut flow = Flow::start().await;
    let genuine = flow.next_webhook().unwrap();
    let with = |pointer: &str, value| {
        let mut request = genuine.clone();
        *request.pointer_mut(pointer).unwrap() = value;
        request
    };
    let digits = "0".repeat(63);
    let signature = "/headers/x-hub-signature-256";
    let flood = [
        (with(signature, json!(null)), 400),
        (with(signature, json!("")), 401),
        (with(signature, json!("sha1=00")), 401),
        (with(signature, json!(format!("sha256={digits}"))), 401),
        (with(signature, json!(format!("sha256={digits}00"))), 401),
        (with(signature, json!(format!("sha256={digits}g"))), 401),
        (with(signature, json!("x".repeat(100_000))), 401),
        (with("/body", json!("x".repeat(5 << 20 | 1))), 413),
        (json!({}), 400),
        (json!([]), 400),
    ];
    let before = flow.sandbox.aws.exchanges().len();
    for (request, status) in flood {
        for _ in 0..50 {
            let answer = flow.deployer.handle(request.clone(), soon(), "test").await.unwrap();
            assert_eq!(answer["statusCode"], status, "{answer}");
        }
    }
    assert_eq!(flow.sandbox.aws.exchanges().len(), before);
}

/// A captured body is genuine, under whatever delivery id it comes.
#[tokio::test]
async fn a_replayed_body_is_the_same_message_under_any_id() {
    let mut flow = Flow::start().await;
    let genuine = flow.next_webhook().unwrap();
    for n in 0..20 {
        let mut again = genuine.clone();
        again["headers"]["x-github-delivery"] = json!(format!("00000000-0000-0000-0000-{n:012}"));
        let answer = flow.deployer.handle(again, soon(), "test").await.unwrap();
        assert_eq!(answer["statusCode"], 202);
    }
    assert_eq!(flow.sandbox.aws.waiting(), 1);
}

#[tokio::test]
async fn only_listed_repositories_are_heard() {
    let mut flow = Flow::start().await;
    let genuine = flow.next_webhook().unwrap();
    for (listed, status) in
        [("other/*", 403), ("acme/git", 403), ("other/x, ACME/*", 202), ("acme/gitops", 202), (" ", 202)]
    {
        let worker = flow.another_with(&[("SLIPWAY_REPOSITORIES", listed)]).await;
        let answer = worker.handle(genuine.clone(), soon(), "test").await.unwrap();
        assert_eq!(answer["statusCode"], status, "{listed}");
    }
}
