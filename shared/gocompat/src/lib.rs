//! Stands in for what Go programs share: the parts of Go's standard library, and of the libraries that Argo CD, Helm
//! and Kustomize all use, whose results our results have to equal byte for byte.
//!
//! | module | Go |
//! |---|---|
//! | [`path`] | `path`, and `path/filepath` as it is on Linux |
//! | [`filepath`] | `filepath.Match` |
//! | [`glob`] | `github.com/gobwas/glob` |
//! | [`url`] | `net/url` |
//! | [`regexp`] | `regexp` |
//! | [`strconv`] | `strconv` |
//! | [`time`] | `time.Time` and its layouts |
//! | [`duration`] | `time.Duration` |
//! | [`semver`] | `github.com/Masterminds/semver/v3` |
//! | [`quantity`] | `k8s.io/apimachinery/pkg/api/resource` |
//!
//! Pure: nothing here knows a clock, a network, an environment or files, and no other crate of ours.

pub mod duration;
pub mod filepath;
pub mod glob;
pub mod path;
pub mod quantity;
pub mod regexp;
pub mod semver;
pub mod strconv;
pub mod time;
pub mod url;

pub use glob::Glob;
