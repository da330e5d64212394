//! Deploys from an event to a running Deployment: the flow, AWS and GitHub.
//!
//! ```text
//! event ─► source ─► app ─► image ─► commit                     (ecr-push)
//! event ─► queue ─► source ─► app ─► render ─► deploy ─► notify (github-webhook)
//! event ─► app ─► source ─► render ─► drift_check ─► notify     (drift-check)
//! ```
//!
//! The functions and the command line run only what is here: [`image::run::ImageUpdater`], [`deploy::WebhookHandler`]
//! and [`drift_check::DriftChecker`] are the three entry points. `shared/GLOSSARY.md` maps the words of Kubernetes and
//! Argo CD to the types here.

pub mod event;
pub mod source;

pub use slipway_gitops::app;
pub mod image;
pub mod render;

pub mod deploy;
pub mod drift_check;
pub mod notify;
pub mod reconcile;

pub mod aws;
pub mod clusters;
pub mod config;
pub mod error;
pub mod http;
pub mod invocation;
pub mod memory;
pub mod printable;
pub mod root;
pub mod secret;
pub mod services;
pub mod telemetry;
pub mod time;
