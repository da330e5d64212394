//! kustomize build, in process.
