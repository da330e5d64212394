//! Secrets change while the functions run, and no push is lost: the webhook's on GitHub's side and on ours in either
//! order, GitHub's and Slack's tokens, and the key of what the cluster remembers.

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use slipway_sandbox::faults::Failure;

use crate::world::{DEPLOYMENT, Flow, KUSTOMIZATION, soon};

/// The Function URL's answer to a push that is signed with `secret`.
async fn deliver(flow: &mut Flow, secret: &str) -> Value {
    let mut webhooks = flow.sandbox.forge.subscribe(secret);
    flow.push("Again", &[("NOTES.md", secret)]);
    let delivery = webhooks.try_recv().unwrap().to_function_url_event(false, Timestamp::now());
    flow.deployer.handle(delivery, soon(), "intake").await.unwrap()["statusCode"].clone()
}

/// How often Secrets Manager was asked for the webhook's secret.
fn reads(flow: &Flow) -> usize {
    let asks = |body: &[u8]| String::from_utf8_lossy(body).contains("slipway/webhook");
    flow.sandbox.aws.exchanges().iter().filter(|exchange| asks(&exchange.request.body)).count()
}

#[tokio::test]
async fn the_webhooks_secret_may_change_on_either_side_first() {
    // Ours is changed first, GitHub still signs with the one before; then GitHub's.
    let mut flow = Flow::deployed().await;
    flow.sandbox.aws.set_secret("slipway/webhook", "after");
    flow.deployer = flow.another().await;
    assert_eq!(deliver(&mut flow, "sandbox-webhook-secret").await, 202);
    assert_eq!(deliver(&mut flow, "after").await, 202);
    assert_eq!(deliver(&mut flow, "neither").await, 401);

    // A day later the one before opens nothing.
    let long_ago = Timestamp::now() - SignedDuration::from_hours(25);
    flow.sandbox.aws.set_secret_at("slipway/webhook", "later", long_ago);
    flow.deployer = flow.another().await;
    assert_eq!(deliver(&mut flow, "after").await, 401);
    assert_eq!(deliver(&mut flow, "later").await, 202);
}

/// A warm instance, that knows the secret before.
#[tokio::test]
async fn a_flood_of_wrong_signatures_costs_one_look() {
    let mut flow = Flow::deployed().await;
    assert_eq!(deliver(&mut flow, "sandbox-webhook-secret").await, 202);
    flow.sandbox.aws.set_secret("slipway/webhook", "after");
    let before = reads(&flow);
    for n in 0..50 {
        assert_eq!(deliver(&mut flow, &format!("wrong-{n}")).await, 401);
    }
    assert!(reads(&flow) - before <= 2, "{} reads", reads(&flow) - before);
}

/// GitHub and Slack refuse the token that a warm instance knows. The new secrets hold the tokens of the stand-ins, too.
#[tokio::test]
async fn a_token_that_was_replaced_is_read_anew() {
    let mut flow = Flow::deployed().await;
    let before = flow.messages().len();
    flow.sandbox.aws.set_secret("slipway/github", r#"{"token": "sandbox-token"}"#);
    flow.sandbox.aws.set_secret("slipway/slack", "xoxb-sandbox\n");
    flow.sandbox.forge.faults().failures.arm(refused(1));
    let failure =
        Failure { status: StatusCode::OK, body: json!({"ok": false, "error": "token_revoked"}), ..refused(1) };
    flow.sandbox.slack.failures().arm(failure);
    change(&flow);
    assert_eq!(flow.settle().await.last().unwrap(), &json!({"batchItemFailures": []}));
    assert!(image(&flow).ends_with(":1.0.1"), "{}", image(&flow));
    assert_eq!(flow.messages().len(), before + 1, "{:?}", flow.messages());
}

/// The new token is stored only after the old one was revoked.
#[tokio::test]
async fn a_push_waits_for_the_new_token() {
    let mut flow = Flow::deployed().await;
    let before = flow.messages().len();
    change(&flow);
    let message = flow.message().await;
    flow.sandbox.forge.faults().failures.arm(refused(usize::MAX));
    let answer = flow.deployer.handle(message.clone(), soon(), "test").await.unwrap();
    assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(flow.messages().len(), before, "nothing is told that passes: {:?}", flow.messages());
    flow.sandbox.forge.faults().failures.clear();
    let answer = flow.deployer.handle(message, soon(), "test").await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert!(image(&flow).ends_with(":1.0.1"), "{}", image(&flow));
}

/// What was told is not told again because the key of its fingerprint is another.
#[tokio::test]
async fn a_new_state_key_tells_no_drift_anew() {
    let mut flow = Flow::deployed().await;
    let path = format!("{DEPLOYMENT}?fieldManager=kubectl-edit");
    let change = json!({"spec": {"replicas": 5}});
    flow.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &change);
    assert_eq!(flow.check().await["applications"]["shop"]["new"], 1);
    let before = flow.messages().len();
    flow.sandbox.aws.set_secret("slipway/state", "another-key");
    flow.checker = flow.another_checker().await;
    for _ in 0..2 {
        let verdict = flow.check().await;
        assert_eq!(verdict.pointer("/applications/shop/new"), None, "{verdict}");
    }
    assert_eq!(flow.messages().len(), before, "{:?}", flow.messages());
}

/// So many requests are refused for their token.
fn refused(count: usize) -> Failure {
    Failure {
        method: None,
        path_contains: "/".to_owned(),
        count,
        status: StatusCode::UNAUTHORIZED,
        headers: Vec::new(),
        body: json!({"message": "Bad credentials"}),
    }
}

/// Pushes another image, without the Ingress, for whose address a sync would wait.
fn change(flow: &Flow) {
    let other = flow.read(KUSTOMIZATION).replace("newTag: 1.0.0", "newTag: 1.0.1").replace("  - ingress.yaml\n", "");
    flow.push("Another image", &[(KUSTOMIZATION, &other)]);
}

fn image(flow: &Flow) -> String {
    flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}
