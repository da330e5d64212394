//! github-webhook's answers, from the binary itself: what is refused leaves no message behind.

use std::collections::BTreeSet;

use serde_json::json;
use slipway::event::github::MAX_BODY;
use slipway_sandbox::forge::Change;

use crate::events::REQUESTS;
use crate::push::{APPLICATION, WEB};
use slipway_tests::bed::{Bed, event};

#[tokio::test]
async fn only_what_is_signed_and_sound_reaches_the_queue() {
    let Some(mut bed) = Bed::new(WEB).await else { return };
    let mut queued = BTreeSet::new();
    for (name, expected) in REQUESTS {
        let mut request = event(&format!("github-webhook/{name}"));
        // What is signed is a message once, whatever the GUID of the delivery, which is not.
        request["headers"]["x-github-delivery"] = json!(format!("72d3162e-cc78-11e3-81ab-{:012}", queued.len()));
        let answer = bed.invoke("github-webhook", &request).await;
        assert_eq!(answer["statusCode"], expected, "{name}: {answer}");
        if expected == 202 {
            queued.insert(request["headers"]["x-hub-signature-256"].to_string());
        }
    }
    let mut large = event("github-webhook/push");
    large["body"] = json!("x".repeat(MAX_BODY + 1));
    assert_eq!(bed.invoke("github-webhook", &large).await["statusCode"], 413);
    assert_eq!(queued.len(), 3, "in base64 it is the same body");
    assert_eq!(bed.drain().await, queued.len());
    assert_eq!(bed.slack.messages().len(), 0);
}

#[tokio::test]
async fn a_push_to_another_branch_changes_nothing() {
    let Some(mut bed) = Bed::new(WEB).await else { return };
    let change = Change::write("web/deployment.yaml", "kind: Deployment\n");
    bed.forge.push(&bed.repository, "feature/x", "Try", &[change]).expect("a new branch");
    bed.hook().await;
    assert_eq!(bed.work().await, 1, "the message is taken, for the worker alone knows the branches");
    assert_eq!(bed.slack.messages().len(), 0, "{}", bed.logs());
    let namespaces = bed.cluster.kubectl(&["get", "namespace", "-o", "name"]);
    assert!(namespaces.is_none_or(|text| !text.contains(&format!("namespace/{}\n", bed.name))));
}

#[tokio::test]
async fn two_pushes_a_second_apart_both_reach_the_worker() {
    let Some(mut bed) = Bed::new(WEB).await else { return };
    bed.commit("One", &[Change::write("apps/web.yaml", APPLICATION.replace("{name}", &bed.name) + "# 1\n")]);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    // The very same content, as a revert of a revert has it.
    bed.commit("Two", &[Change::write("apps/web.yaml", APPLICATION.replace("{name}", &bed.name))]);
    bed.hook().await;
    bed.hook().await;
    assert_eq!(bed.work().await, 2, "{}", bed.logs());
}
