//! What decides without a cluster (sync engine, tasks, hooks, health, differences, normalisation, projects) against
//! what Argo CD's own modules answered. The same settings and floors as `tests/conformance`; this binary links
//! `slipway-gitops` and no client, no runtime, no AWS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop by panicking"
)]

mod appset;
mod appset_corpus;
mod appset_mutations;
mod diff;
#[allow(dead_code, reason = "tests/conformance uses the rest of it")]
#[macro_use]
#[path = "../conformance/framework.rs"]
mod framework;
mod health;
mod hooks;
mod normalize;
mod project;
mod sync_engine;
mod sync_tasks;

suites! {
    appset_corpus,
    diff,
    normalize,
    sync_engine,
}

record_suites! {
    appset,
    health,
    hooks,
    project,
    sync_tasks,
}
