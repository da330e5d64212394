//! Brings applications to their commits, and says how far they are from them: what the worker, `drift-check` and the
//! command line share.
//!
//! [`session`] holds the Lease and the state, [`comparison`] says what differs, [`sync`] applies, [`status`] is the
//! only writer of an Application's status, [`notes`] what the state remembers besides.

pub mod comparison;
pub mod drift;
pub mod notes;
pub mod session;
pub(crate) mod status;
pub mod sync;
