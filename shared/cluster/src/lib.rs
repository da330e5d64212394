//! Talks to Kubernetes API servers: connects, discovers kinds, reads, applies, deletes, waits, locks, records.
//!
//! Decisions are made in `slipway-gitops`; this crate sends the requests. Only [`apply`], [`delete`], [`migrate`],
//! [`hook_finalizer`] and [`patch`] change an application's objects; [`state`] and [`lease`] write Slipway's own two
//! objects.

pub mod access;
pub mod apply;
pub mod capabilities;
pub mod connect;
pub mod delete;
pub mod diagnose;
pub mod discover;
pub mod dry_run;
pub mod hook_finalizer;
mod identity;
pub mod kubeconfig;
pub mod lease;
pub mod logs;
pub mod lookup;
pub mod migrate;
pub mod objects;
mod partial;
pub mod patch;
pub mod resource_tree;
mod scale;
pub mod state;
pub mod token;
mod transport;
pub mod wait;

pub use connect::{Auth, Cluster, ConnectError, Deadline, Eks, Server};
