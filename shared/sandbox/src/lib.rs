//! A Kubernetes API, a git forge, ECR and Slack in one process, on loopback HTTP: what `slipway demo` and the fast
//! tests run against instead of a cluster, GitHub, AWS and Slack.
//!
//! [`Sandbox::start`] starts all parts, with a GitOps repository to begin with. Each part also starts alone
//! ([`Forge::start`], [`Cluster::start`], …) and hands out every request and response it saw ([`http::Exchange`]), so
//! that tests can hold it to the real thing. No process is started, nothing outside loopback is called, time comes from
//! the [`Clock`] of the caller.

pub mod aws;
pub mod faults;
pub mod forge;
pub mod http;
pub mod kube;
mod sandbox;
pub mod slack;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use aws::Aws;
pub use forge::Forge;
pub use kube::Cluster;
pub use sandbox::{IMAGE, Options, Sandbox};
pub use slack::Slack;

/// Where the sandbox takes the time from.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// The clock of the machine.
pub fn system_clock() -> Clock {
    Arc::new(jiff::Timestamp::now)
}

/// Locks for a short, synchronous change; a panic elsewhere does not stop the sandbox.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
