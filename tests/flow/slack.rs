//! A Slack that hangs or crawls keeps no deployment waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use slipway::deploy::WebhookHandler;
use slipway_sandbox::faults::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::report::many;
use crate::world::Flow;

const APPLICATIONS: usize = 100;

/// A worker whose Slack answers after `delay`; with the number of requests that it got.
async fn worker(flow: &Flow, delay: Duration) -> (WebhookHandler, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let _ = stream.read(&mut vec![0; 1 << 16]).await;
                seen.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(delay).await;
                let body = r#"{"ok": true, "channel": "C", "ts": "1"}"#;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (flow.another_with(&[("SLIPWAY_SLACK_API", &url)]).await, requests)
}

/// Deploys a hundred applications; gives how long it took, and the requests that Slack got.
async fn deploy(delay: Duration) -> (Duration, usize) {
    let mut flow = Flow::deployed().await;
    let files = many(APPLICATIONS);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    flow.push("Add many", &files);
    let message = flow.message().await;
    let (worker, requests) = worker(&flow, delay).await;
    let begun = Instant::now();
    let answer = worker.handle(message, begun + Duration::from_mins(10), "test").await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let deployed = (0..APPLICATIONS).filter(|n| n % 10 != 0);
    for n in deployed {
        let path = format!("/api/v1/namespaces/shop/configmaps/many-{n:02}");
        assert!(flow.sandbox.cluster.get(&path).is_some(), "{path}");
    }
    (begun.elapsed(), requests.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_slack_that_never_answers_holds_up_no_deployment() {
    let (took, requests) = Box::pin(deploy(Duration::from_hours(1))).await;
    assert!((1..=3).contains(&requests), "{requests} requests");
    assert!(took < Duration::from_mins(2), "{took:?}");
}

#[tokio::test]
async fn a_slack_that_crawls_holds_up_no_deployment() {
    let (took, requests) = Box::pin(deploy(Duration::from_secs(3))).await;
    assert!((2..=5).contains(&requests), "the first message, and at the end: {requests} requests");
    assert!(took < Duration::from_mins(2), "{took:?}");
}

/// A deployment whose first messages Slack limits is told once Slack takes messages again.
#[tokio::test]
async fn a_limit_of_slack_is_waited_for() {
    let mut flow = Flow::deployed().await;
    let text = flow.read("shop/configmap.yaml").replace("Welcome", "Hello");
    flow.push("Change the text", &[("shop/configmap.yaml", &text)]);
    flow.sandbox.slack.failures().arm(Failure {
        method: None,
        path_contains: "/".to_owned(),
        count: 2,
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: vec![("retry-after", "3".to_owned())],
        body: json!({"ok": false, "error": "ratelimited"}),
    });
    let before = flow.messages().len();
    flow.settle().await;
    let told = flow.messages().split_off(before);
    assert!(told.len() == 1 && told[0].contains("*shop* is deployed to"), "{told:?}");
}
