//! What does not change costs nothing but looking.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::world::{Flow, KUSTOMIZATION};

const OBJECTS: usize = 1000;

fn many(value: &str) -> String {
    let mut text = String::new();
    for number in 0..OBJECTS {
        let value = if number == 0 { value } else { "same" };
        let _ = writeln!(
            text,
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: many-{number}\ndata:\n  key: {value}\n---"
        );
    }
    text
}

/// What the cluster was asked since request number `since`: writes (path and whether it was a dry run) and lists by
/// path, pages of one list counted once. Slipway's own two objects are left out.
fn asked(flow: &Flow, since: usize) -> (Vec<(String, bool)>, BTreeMap<String, usize>) {
    let (mut writes, mut lists) = (Vec::new(), BTreeMap::new());
    for exchange in flow.sandbox.cluster.exchanges().into_iter().skip(since) {
        let request = &exchange.request;
        let has = |key: &str| request.query.iter().any(|(name, value)| name == key && !value.is_empty());
        if request.path.contains("/namespaces/slipway/") {
            continue;
        }
        if request.method != "GET" {
            writes.push((request.path.clone(), has("dryRun")));
        } else if !has("continue") && !has("watch") {
            *lists.entry(request.path.clone()).or_default() += 1;
        }
    }
    (writes, lists)
}

#[tokio::test]
async fn a_thousand_unchanged_objects_cost_one_list_a_kind_and_no_write() {
    let mut flow = Flow::deployed().await;
    let with = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "  - ingress.yaml\n  - many.yaml\n");
    flow.push("Add many", &[(KUSTOMIZATION, &with), ("shop/many.yaml", &many("same"))]);
    flow.settle().await;
    let last = format!("/api/v1/namespaces/shop/configmaps/many-{}", OBJECTS - 1);
    assert!(flow.sandbox.cluster.get(&last).is_some(), "{:?}", flow.messages());

    let before = flow.sandbox.cluster.exchanges().len();
    flow.push("Say something else", &[("shop/many.yaml", &format!("# the same\n{}", many("same")))]);
    flow.settle().await;
    let (writes, lists) = asked(&flow, before);
    assert!(writes.is_empty(), "{writes:?}");
    assert!(!lists.is_empty() && lists.len() < 20, "{lists:?}");
    assert!(lists.values().all(|count| *count == 1), "{lists:?}");

    let before = flow.sandbox.cluster.exchanges().len();
    flow.push("Change one", &[("shop/many.yaml", &many("other"))]);
    flow.settle().await;
    let (mut writes, _) = asked(&flow, before);
    writes.sort();
    let path = "/api/v1/namespaces/shop/configmaps/many-0".to_owned();
    assert_eq!(writes, [(path.clone(), false), (path, true)], "one suspect: its dry run and its apply");
}
