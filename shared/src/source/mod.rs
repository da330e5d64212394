//! Fetches a commit of a repository as a verified [`Tree`](slipway_manifest::Tree), and commits to a branch.

mod app_token;
pub mod archive;
pub mod checkouts;
pub mod commit;
pub mod github;
pub mod history;
pub mod local;
pub mod verify;

pub use checkouts::Checkouts;
pub use slipway_gitops::location::{Location, LocationError, Repo, RepoUrl, is_revision};
