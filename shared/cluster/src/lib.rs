//! Kubernetes as Slipway sees it: connect, find out the kinds, plan, apply, prune, compare, wait, lock, remember.
//!
//! The only crate that knows kube. Everything here computes a plan or reads, but for the one door: [`apply`],
//! [`prune`] and [`release`] change a cluster; [`state`] and [`lock`] write Slipway's own two objects beside it.
//!
//! The way of a sync: [`Cluster::resolve`] the kinds, [`plan::prepare`] what was rendered, [`lock::acquire`], [`state::read`],
//! [`live::members`], [`plan::extras`], [`prune::brake`], then [`engine::step`] after [`engine::step`], whose door is [`apply::apply`],
//! [`prune::prune`] and [`release::release`], with [`state::write`] and [`wait::wait`] between them.
//! The way of a comparison: [`compare::settle`], which is [`apply::apply`] as a dry run without what webhooks add ([`predict`]) and what is to be
//! ignored ([`normalize`]), then [`mask::mask`], [`diff::diff`] and [`blame::blame`]; [`sync_status`] sums it up.

pub mod apply;
pub mod blame;
pub mod capabilities;
pub mod compare;
pub mod connect;
pub mod diff;
pub mod discover;
pub mod engine;
pub mod error;
pub mod explain;
pub mod fieldset;
pub mod health;
pub mod hook;
mod identity;
mod kubeconfig;
mod lean;
pub mod live;
pub mod lock;
pub mod lookup;
pub mod mask;
pub mod normalize;
pub mod overrides;
mod path;
pub mod plan;
pub mod predict;
pub mod prune;
pub mod redact;
pub mod release;
mod scaled;
pub mod state;
pub mod status;
pub mod sync_status;
pub mod takeover;
pub mod token;
pub mod tracking;
mod transport;
pub mod unchanged;
pub mod wait;

pub use connect::{Auth, Cluster, ConnectError, Deadline, Eks, Server};
pub use discover::{DiscoverError, GroupKind, Gvk, Kinds, Resource};
pub use error::{ApiError, Cause, Class, Failure, Verb};
pub use redact::Redactor;
