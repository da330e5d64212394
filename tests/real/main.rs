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
