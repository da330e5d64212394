//! Events in, Deployments and messages out: the built functions on a real API server, moto, and a forge held to
//! GitHub's own description.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

mod clusters;
mod drift;
mod encrypted;
mod events;
mod examples;
mod heartbeat;
mod later;
mod placeholders;
mod push;
mod secrets;
mod webhook;

use slipway_tests::bed::Bed;
use slipway_tests::unpacked;

/// Asserts that none of `canaries` stands in the functions' logs, in Slack, in what Slipway records or in statuses.
fn told_nowhere(bed: &Bed, canaries: &[&str]) {
    let state = bed.cluster.kubectl(&["get", "configmap,lease,event", "-n", "slipway", "-o", "json"]).expect("kubectl");
    let state = unpacked(&serde_json::from_str(&state).expect("JSON"));
    let statuses = format!("{:?}", bed.forge.statuses(bed.head()));
    let slack = bed.slack.exchanges();
    let slack: String = slack.iter().map(|exchange| String::from_utf8_lossy(&exchange.request.body)).collect();
    for (place, text) in [("logs", bed.logs()), ("Slack", slack), ("state", state), ("statuses", statuses)] {
        assert!(!text.is_empty(), "nothing to look at in {place}");
        for canary in canaries {
            assert!(!text.contains(canary), "{canary} is in {place}");
        }
    }
}
