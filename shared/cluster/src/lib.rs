//! Kubernetes as Slipway sees it: connect, find out the kinds, plan, apply, prune, compare, wait, lock, remember.
//!
//! The only crate that knows kube. Everything here computes a plan or reads, but for the one door: [`apply`] and
//! [`prune`] change a cluster; [`state`] and [`lock`] write Slipway's own two objects beside it.

pub mod apply;
pub mod blame;
pub mod connect;
pub mod diff;
pub mod discover;
pub mod error;
pub mod fieldset;
pub mod live;
pub mod mask;
pub mod takeover;
pub mod token;
pub mod tracking;

pub use connect::{Auth, Cluster, ConnectError, Deadline, Eks, Server};
pub use discover::{DiscoverError, GroupKind, Gvk, Kinds, Resource};
pub use error::{ApiError, Cause, Class, Failure, Verb};
