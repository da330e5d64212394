//! Why a kustomization is refused.

/// Why a kustomization is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder holds none of the three file names.
    #[error("unable to find one of `kustomization.yaml`, `kustomization.yml` or `Kustomization` in `{path}`")]
    NoKustomization {
        /// The folder.
        path: String,
    },
}
