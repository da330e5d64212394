//! The sandbox as its users meet it: over HTTP, and through the git command line.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test should stop at once"
)]

mod all;
mod client;
mod forge;
mod kube;
