//! Fetches a commit of a repository as a verified [`Tree`](slipway_manifest::Tree), and commits to a branch; fetches
//! charts of Helm repositories, and what kustomizations name elsewhere; decrypts what SOPS encrypted.

pub mod app_token;
pub mod archive;
pub mod checkouts;
pub mod commit;
pub mod credentials;
pub mod decrypt;
mod download;
pub mod files;
pub mod git;
pub mod github;
pub mod helm_repository;
pub mod history;
mod kept;
pub mod lfs;
pub mod local;
pub mod placeholders;
pub mod remote;
pub mod verify;

pub use checkouts::Checkouts;
pub use download::FetchError;
use github::GithubError;
use helm_repository::ChartError;
pub use slipway_gitops::location::{Location, LocationError, Repo, RepoUrl, is_revision};

/// Why what a source follows can't be resolved or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// GitHub did not return the commit.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// The Helm repository did not return the chart.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// A host did not return what a kustomization names.
    #[error(transparent)]
    Remote(#[from] FetchError),
}

impl SourceError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Github(error) => error.is_retryable(),
            Self::Chart(error) => error.is_retryable(),
            Self::Remote(error) => error.is_retryable,
        }
    }
}
