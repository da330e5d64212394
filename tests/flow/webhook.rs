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
