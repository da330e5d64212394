//! The repository (2): which one, at which commit, as a verified [`Tree`](slipway_manifest::Tree); and the one way to
//! change it.

pub mod archive;
pub mod checkouts;
pub mod commit;
pub mod github;
pub mod local;
pub mod verify;

mod location;

pub use checkouts::Checkouts;
pub use location::{Location, LocationError, Repo, RepoUrl, is_revision};
