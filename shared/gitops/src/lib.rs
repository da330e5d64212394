//! Decides what a GitOps sync does, without a cluster: annotations, managed fields, differences, health, plans, the
//! sync engine, the prune guard.
//!
//! Every function takes data and returns data. The manifest proves it: no client, no async runtime, no TLS, no AWS.
//!
//! A sync: [`plan::prepare`] the rendered objects, find [`plan::prune_candidates`] among the live ones, ask
//! [`prune_guard::prune_guard`], then run [`sync::step`] repeatedly with a [`sync::Executor`]. A comparison:
//! [`managed_fields::mutations`] and [`normalize`] remove what is no difference, [`redact`] hides Secrets,
//! [`comparison::findings`] lists the rest with its field managers, [`sync_status`] sums it up.

pub mod actions;
pub mod annotations;
pub mod api_resources;
pub mod app;
pub mod argocd_cm;
pub mod comparison;
pub mod diagnose;
pub mod diff;
pub mod error;
pub mod health;
pub mod identity;
pub mod location;
pub mod managed_fields;
pub mod normalize;
pub mod path;
pub mod plan;
pub mod prune_guard;
pub mod redact;
pub mod redactor;
pub mod revisions;
pub mod status;
pub mod sync;
pub mod sync_status;
pub mod tracking;

pub use api_resources::{ApiResource, ApiResources, DiscoverError, GroupKind, GroupVersionKind};
pub use error::{ApiError, Cause, Class, Failure, Verb};
pub use redactor::Redactor;
pub use revisions::Revisions;
