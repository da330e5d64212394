//! Fetches the files of a source: of a commit, or of a version of a chart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use slipway_manifest::Tree;

use super::charts::key;
use crate::root::tracked::{SourceRepository, TrackedSource};
use crate::source::github::Checkout;
use crate::source::helm_repository::{ChartFiles, HelmChart};
use crate::source::lfs::LfsPointer;
use crate::source::verify::VerifyError;
use crate::source::{Checkouts, Repo, SourceError};

/// The files of a source at its revision. Prints as `REVISION of REPOSITORY`.
pub(super) enum SourceFiles {
    Commit(Arc<Checkout>),
    Chart { chart: HelmChart, version: String, files: Arc<ChartFiles> },
}

impl SourceFiles {
    pub(super) async fn fetch(
        checkouts: &Checkouts,
        tracked: &TrackedSource,
        revision: &str,
    ) -> Result<Self, SourceError> {
        Ok(match &tracked.repository {
            SourceRepository::Git(repo) => Self::Commit(checkouts.get_when_there_is_room(repo, revision).await?),
            SourceRepository::Other(repository) => {
                Self::Commit(Box::pin(checkouts.get_other(repository, revision)).await?)
            }
            SourceRepository::Chart(chart) => {
                let files = Box::pin(checkouts.charts().get(chart, revision)).await?;
                Self::Chart { chart: chart.clone(), version: revision.to_owned(), files }
            }
        })
    }

    pub(super) fn tree(&self) -> &Arc<Tree> {
        match self {
            Self::Commit(checkout) => &checkout.tree,
            Self::Chart { files, .. } => &files.tree,
        }
    }

    pub(super) fn revision(&self) -> &str {
        match self {
            Self::Commit(checkout) => &checkout.sha,
            Self::Chart { version, .. } => version,
        }
    }

    /// A chart with its version, and the digest of its archive.
    pub(super) fn digest(&self) -> Option<(String, String)> {
        match self {
            Self::Commit(_) => None,
            Self::Chart { chart, version, files } => Some((key(chart, version), files.digest.clone())),
        }
    }

    /// The pointers of Git LFS among `paths`, and where their files are; none where they are not fetched from.
    pub(super) fn lfs<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a String>,
    ) -> Option<(&Repo, BTreeMap<String, LfsPointer>)> {
        let Self::Commit(checkout) = self else { return None };
        let known = checkout.special.lfs();
        let pointers = paths.into_iter().filter(|path| known.contains(*path)).filter_map(|path| {
            let pointer = LfsPointer::parse(checkout.tree.read(path).ok()?)?;
            Some((path.clone(), pointer))
        });
        let pointers: BTreeMap<_, _> = pointers.collect();
        (!pointers.is_empty()).then_some((&checkout.repo, pointers))
    }

    /// The pointers of Git LFS in the folder `path`.
    pub(super) fn lfs_below(&self, path: &str) -> Vec<String> {
        let Self::Commit(checkout) = self else { return Vec::new() };
        let folder = path.trim_matches('/');
        let is_below =
            |one: &&String| folder.is_empty() || one.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        checkout.special.lfs().iter().filter(is_below).cloned().collect()
    }

    /// Checks that the folder `path` is in the commit; a chart is whole.
    pub(super) fn check_folder(&self, path: &str) -> Result<(), VerifyError> {
        match self {
            Self::Commit(checkout) => checkout.special.check_folder(path),
            Self::Chart { .. } => Ok(()),
        }
    }

    /// The same of `files` that were read.
    pub(super) fn check_files(&self, files: &BTreeSet<String>) -> Result<(), VerifyError> {
        match self {
            Self::Commit(checkout) => checkout.special.check_files(files),
            Self::Chart { .. } => Ok(()),
        }
    }
}

impl fmt::Display for SourceFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(checkout) => write!(f, "{} of {}", checkout.sha, checkout.repo),
            Self::Chart { chart, version, .. } => write!(f, "{version} of {chart}"),
        }
    }
}
