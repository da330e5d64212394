//! Decides what GitOps means, without a cluster: annotations, managed fields, differences, health, plans, the sync
//! engine, the prune guard.
//!
//! Everything here takes data and gives data. The manifest proves it: no client, no async runtime, no TLS, no AWS.
//!
//! The way of a sync: [`plan::prepare`] what was rendered, [`plan::prune_candidates`] of what is live,
//! [`prune_guard::prune_guard`], then [`sync::step`] after [`sync::step`] through an [`sync::Executor`]. The way of a
//! comparison: [`managed_fields::mutations`] and [`normalize`] leave out what is no difference, [`redact`] hides
//! Secrets, [`comparison::findings`] names what is left and who owns it, [`sync_status`] sums it up.

pub mod annotations;
pub mod api_resources;
pub mod argocd_cm;
pub mod comparison;
pub mod diagnose;
pub mod diff;
pub mod error;
pub mod health;
pub mod identity;
pub mod managed_fields;
pub mod normalize;
pub mod path;
pub mod plan;
pub mod prune_guard;
pub mod redact;
pub mod redactor;
pub mod status;
pub mod sync;
pub mod sync_status;
pub mod tracking;

pub use api_resources::{ApiResource, ApiResources, DiscoverError, GroupKind, GroupVersionKind};
pub use error::{ApiError, Cause, Class, Failure, Verb};
pub use redactor::Redactor;
