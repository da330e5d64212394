//! The harness: real parts for the tests, installed under `target/tools` and started on loopback.
//!
//! | part | module |
//! |---|---|
//! | a Kubernetes control plane with kwok's kubelets | [`ControlPlane`] |
//! | EKS's authenticator | [`Authenticator`] |
//! | AWS (moto) | [`Moto`] |
//! | GitHub's own descriptions of its interfaces | [`GitHub`] |
//! | a bed of all of them for one test | [`bed`] |
//! | a Helm repository and an OCI registry | [`chart_server`] |
//! | folders on disk as trees | [`files`] |
//! | the built functions under AWS's runtime interface emulator | [`Function`] |
//! | what is installed, from where, at which version | [`tools`] |
//! | what is packed, unpacked | [`unpacked`] |
//!
//! Each `start` gives `None` where the machine lacks what the part is made from (Go, Python, npm), after saying so;
//! with `SLIPWAY_REQUIRE_REAL_PARTS=1` that is a failure. Everything started ends with its owner, panics included.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a harness that cannot do its work has to fail the test at once, and says why"
)]

pub mod bed;
pub mod chart_server;
mod controlplane;
mod eks;
pub mod files;
pub mod git_server;
mod github;
pub mod http;
mod lambda;
mod moto;
mod process;
pub mod skip;
pub mod tools;
mod unpack;

pub use controlplane::{ControlPlane, Options};
pub use eks::Authenticator;
pub use github::{GitHub, app_key};
pub use lambda::{Function, Usage, binaries, release_binaries, release_command};
pub use moto::Moto;
pub use unpack::unpacked;
