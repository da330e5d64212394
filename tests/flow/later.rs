//! A sync that nobody goes on with is not lost.

use jiff::Timestamp;
use serde_json::json;
use slipway_cluster::state::Operation;

use crate::world::{Flow, KUSTOMIZATION};

#[tokio::test]
async fn the_check_takes_up_what_is_overdue() {
    let mut flow = Flow::deployed().await;
    let other = flow.read(KUSTOMIZATION).replace("newTag: 1.0.0", "newTag: 1.0.1");
    flow.push("Another image", &[(KUSTOMIZATION, &other)]);
    flow.next_webhook();
    let head = flow.sandbox.head().unwrap().unwrap().to_string();
    let operation = |not_before: Timestamp| Operation {
        id: "lost-1".to_owned(),
        revisions: head.as_str().into(),
        started_at: Timestamp::now(),
        steps_done: 0,
        attempt: 1,
        retries: 0,
        not_before: Some(not_before),
    };
    let ahead = operation(Timestamp::now() + jiff::SignedDuration::from_hours(12));
    flow.edit_state(|state| state.operation = Some(ahead)).await;
    flow.check().await;
    assert!(flow.state("shop").await.unwrap().operation.is_some(), "it is not its time yet");
    // Long ago, and dates that no back-off reaches: a damaged state keeps nobody from going on.
    for due in [Timestamp::now() - jiff::SignedDuration::from_mins(10), Timestamp::MIN, Timestamp::MAX] {
        let overdue = Operation { retries: u32::MAX, steps_done: u32::MAX, ..operation(due) };
        flow.edit_state(|state| {
            state.operation = Some(overdue);
            state.status.operation_state = None;
        })
        .await;
        let found = flow.check().await;
        assert!(found["applications"]["shop"]["skipped"].to_string().contains("abandoned operation"), "{due}: {found}");
        assert_eq!(flow.state("shop").await.unwrap().operation, None, "{due}");
    }
    let image = &flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, &json!("123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web:1.0.1"));
}
