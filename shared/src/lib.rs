//! From an event to a running Deployment: the flow, AWS and GitHub.
//!
//! ```text
//! event ─► source ─► app ─► image ─► commit                     (ecr-push)
//! event ─► queue ─► source ─► app ─► render ─► deploy ─► notify (github-webhook)
//! event ─► app ─► source ─► render ─► check ─► notify           (drift-check)
//! ```
//!
//! The functions and the command line run what stands here and nothing else: [`image::run::Pusher`], [`deploy::Deployer`]
//! and [`check::Checker`] are the three entry points.

pub mod event;
pub mod source;

pub mod app;
pub mod image;
pub mod render;

pub mod check;
pub mod deploy;
pub mod notify;

pub mod aws;
pub mod clusters;
pub mod config;
pub mod engine;
pub mod error;
pub mod http;
pub mod invocation;
pub mod root;
pub mod secret;
pub mod telemetry;
pub mod time;
