//! The harness itself: each real part starts, does what the flows need of it, and ends.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod controlplane;
mod cost;
mod documents;
mod eks;
mod release;
mod template;
