//! `selfHeal`: what was changed behind Git's back is undone, told once, and not for ever.

use http::Method;
use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, Flow};

const APPLICATION: &str = "applications/shop.yaml";

async fn healing(more: &str) -> Flow {
    let mut flow = Flow::deployed().await;
    let app = flow.read(APPLICATION).replace("      prune: true\n", "      prune: true\n      selfHeal: true\n") + more;
    assert!(app.contains("selfHeal"), "{app}");
    flow.push("Heal it", &[(APPLICATION, &app)]);
    flow.settle().await;
    flow
}

fn scale(flow: &Flow, replicas: u32) {
    let path = format!("{DEPLOYMENT}?fieldManager=kubectl-edit");
    let body = json!({"spec": {"replicas": replicas}});
    assert!(flow.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body).0.is_success());
}

fn replicas(flow: &Flow) -> Value {
    flow.deployment()["spec"]["replicas"].clone()
}

#[tokio::test]
async fn a_change_behind_gits_back_is_undone_and_told_once() {
    let flow = Box::pin(healing("")).await;
    scale(&flow, 5);
    let service = "/api/v1/namespaces/shop/services/web";
    assert!(flow.sandbox.cluster.call(Method::DELETE, service, "application/json", &Value::Null).0.is_success());
    let found = flow.check().await;
    assert_eq!(found["applications"]["shop"]["healed"], true, "{found}");
    assert_eq!(replicas(&flow), 2);
    assert!(flow.sandbox.cluster.get(service).is_some());
    let messages = flow.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    for part in [":adhesive_bandage: *shop*", "`spec.replicas`", "by `kubectl-edit`", "`Service/shop/web`"] {
        assert!(messages[1].contains(part), "{part} in {messages:?}");
    }
    assert_eq!(flow.check().await, json!({"applications": {"shop": {}}}));
    assert_eq!(flow.messages().len(), 2);
}

#[tokio::test]
async fn nobody_is_fought_for_ever() {
    let flow = Box::pin(healing("")).await;
    for round in 0..8 {
        scale(&flow, 5);
        // The back-off of a moment ago is over in the next check.
        forget_the_time(&flow).await;
        flow.check().await;
        assert_eq!(replicas(&flow), if round < 5 { 2 } else { 5 }, "round {round}");
    }
    let messages = flow.messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages[2].contains("is still being changed by kubectl-edit"), "{messages:?}");
}

#[tokio::test]
async fn what_comes_back_at_once_waits_for_the_back_off() {
    let flow = Box::pin(healing("")).await;
    scale(&flow, 5);
    flow.check().await;
    // The fifth time it would wait for 54 s.
    flow.edit_state(|state| {
        let note = state.notes.get_mut("selfHeal").expect("it was healed");
        note["attempts"] = json!(4);
        note["at"] = json!(jiff::Timestamp::now());
    })
    .await;
    scale(&flow, 5);
    flow.check().await;
    assert_eq!(replicas(&flow), 5);
    assert_eq!(flow.messages().len(), 2);
}

#[tokio::test]
async fn what_is_ignored_stays() {
    let rule =
        "  ignoreDifferences:\n    - group: apps\n      kind: Deployment\n      jsonPointers: [/spec/replicas]\n";
    let flow = Box::pin(healing(rule)).await;
    scale(&flow, 5);
    flow.check().await;
    assert_eq!(replicas(&flow), 5);
}

/// Turns back the clock of the last heal.
async fn forget_the_time(flow: &Flow) {
    flow.edit_state(|state| {
        if let Some(note) = state.notes.get_mut("selfHeal") {
            note["at"] = json!("2026-01-01T00:00:00Z");
        }
    })
    .await;
}
