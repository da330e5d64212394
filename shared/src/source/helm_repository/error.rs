//! Why a chart can't be had.

use crate::memory::MemoryFull;
use crate::source::download::FetchError;

/// Why a chart can't be had; of one event all that use the chart get the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// `repoURL` or `chart` is no address of a chart.
    #[error("`{url}` is no Helm repository that charts are fetched from: {problem}")]
    Url {
        /// `repoURL`.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No version is one that is asked for.
    #[error("failed to find `{revision}` of {chart}: {problem}")]
    Range {
        /// `targetRevision`.
        revision: String,
        /// The chart.
        chart: String,
        /// The cause.
        problem: String,
    },
    /// The repository did not answer, or not with what was asked for.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was fetched is not what the repository says that it has.
    #[error("failed to verify {what}: its digest is sha256:{found}, and the repository says {expected}")]
    Digest {
        /// The chart or the URL.
        what: String,
        /// What the repository says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// What else the event has fetched leaves no memory for the chart.
    #[error("failed to hold the files of {of}")]
    Full {
        /// The chart and its version.
        of: String,
        /// The limit.
        #[source]
        source: MemoryFull,
    },
    /// The archive can't be unpacked.
    #[error("failed to unpack {of}: {problem}")]
    Archive {
        /// The chart and its version.
        of: String,
        /// The cause.
        problem: String,
    },
}

impl ChartError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_retryable,
            Self::Full { source, .. } => source.is_retryable(),
            Self::Url { .. } | Self::Range { .. } | Self::Digest { .. } | Self::Archive { .. } => false,
        }
    }

    pub(super) fn fetch(what: &str, problem: impl ToString) -> Self {
        Self::Fetch(FetchError::of(what, problem))
    }
}
