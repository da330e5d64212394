//! Why a kustomization is refused.

use slipway_budget::Exceeded;
use slipway_manifest::{TreeError, YamlError, YamlErrorKind};

use crate::remote::Remote;

/// Why a kustomization is refused. Causes hang on `source`; messages do not repeat them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder holds none of the three file names.
    #[error("unable to find one of `kustomization.yaml`, `kustomization.yml` or `Kustomization` in `{path}`")]
    NoKustomization {
        /// The folder.
        path: String,
    },
    /// The folder holds several of the three file names.
    #[error("found multiple kustomization files in `{path}`: keep one")]
    ManyKustomizations {
        /// The folder.
        path: String,
    },
    /// A base or component that is not a folder.
    #[error("must build at a folder: `{path}` is none")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// A path that begins with `/`, starts with a dash or holds characters that no path has.
    #[error("path `{path}` must be relative to the kustomization")]
    BadPath {
        /// The path as written.
        path: String,
    },
    /// A base that holds, or is, a folder that is being built.
    #[error("cycle detected: `{path}` contains `{visited}`, which is being built")]
    Cycle {
        /// The base.
        path: String,
        /// The folder being built.
        visited: String,
    },
    /// Bases nested too deeply.
    #[error("`{path}` is more than {limit} bases deep")]
    TooDeep {
        /// The base.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// More objects than the limit.
    #[error("more than {limit} objects")]
    TooManyObjects {
        /// The limit.
        limit: usize,
    },
    /// A generator that decrypts files (viaduct-ai/kustomize-sops).
    #[error("generator `{generator}` of KSOPS needs {} decrypted", .files.join(", "))]
    Encrypted {
        /// Its name.
        generator: String,
        /// The files that are not, which are there: their paths in the tree.
        files: Vec<String>,
    },
    /// A file outside of the kustomization's folder.
    #[error("security: file `{path}` is not in or below `{root}`: make it a base, or move it there")]
    Restricted {
        /// The file.
        path: String,
        /// The folder of the kustomization.
        root: String,
    },
    /// A file can't be read.
    #[error("failed to read `{path}`")]
    Read {
        /// The path, seen from the tree's root.
        path: String,
        /// Why.
        source: TreeError,
    },
    /// A file is not YAML.
    #[error("malformed YAML in `{path}`")]
    Yaml {
        /// The file, or what else held the text.
        path: String,
        /// Why.
        source: YamlError,
    },
    /// A kustomization file with a field that does not exist or has a value of the wrong type.
    #[error("invalid kustomization `{path}`: {problem}")]
    Kustomization {
        /// The file.
        path: String,
        /// Which field, and what is wrong.
        problem: String,
    },
    /// Something remote was not resolved before the render.
    #[error("`{}` is remote and was not fetched: resolve it before rendering", .0.raw)]
    Remote(Box<Remote>),
    /// A chart of `helmCharts` that is not in the tree.
    #[error("no chart found at `{folder}`: vendor it there, nothing is pulled while rendering")]
    MissingChart {
        /// The folder in which it would be.
        folder: String,
        /// Its name.
        name: String,
        /// The repository that the kustomization names; may be empty.
        repo: String,
        /// The version that the kustomization names; may be empty.
        version: String,
    },
    /// Two resources of one identity.
    #[error("may not add resource with an already registered id: {id}")]
    Duplicate {
        /// The identity.
        id: String,
    },
    /// A step of the build and its cause.
    #[error("{step}")]
    Within {
        /// What was being done, to what.
        step: String,
        /// Why it failed.
        source: Box<Error>,
    },
    /// The budget of the render is used up.
    #[error(transparent)]
    Budget(#[from] Exceeded),
    /// A rule of Kustomize is broken.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::Refused(what.into())
    }

    /// Whether the budget of the render is used up: then nothing else may be tried in place of what failed.
    pub(crate) fn is_exceeded(&self) -> bool {
        match self {
            Self::Budget(_) | Self::Yaml { source: YamlError { kind: YamlErrorKind::Exceeded(_), .. }, .. } => true,
            Self::Within { source, .. } => source.is_exceeded(),
            _ => false,
        }
    }

    /// This error as the cause of the failure of `step`.
    pub(crate) fn within(self, step: impl Into<String>) -> Self {
        Self::Within { step: step.into(), source: Box::new(self) }
    }
}
