//! The three functions on the sandbox: the same clients, the same HTTP, no account and no cluster.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod attacks;
mod attacks_workers;
mod attempt;
mod behind;
mod chart;
mod charts;
mod credentials;
mod delete;
mod depends;
mod deploy;
mod drift;
mod flood;
mod git_hosts;
mod heal;
mod helm_repository;
mod image;
mod image_batches;
mod image_faults;
mod image_measures;
mod image_targets;
mod later;
mod lfs;
mod login;
mod memory;
mod namespace;
mod outage;
mod project;
mod promises;
mod promotions;
mod proposals;
mod pull_requests;
mod reach;
mod remotes;
mod report;
mod retry;
mod rotation;
mod secrets;
mod sets;
mod signed;
mod skip;
mod slack;
mod sources;
mod tree;
mod umbrella;
mod unchanged;
mod unrenderable;
mod webhook;
mod world;
