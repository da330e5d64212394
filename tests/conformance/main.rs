//! Our renderers against what the real tools made of the same input. A suite is a function in a file of its own. Our
//! own cases (`tests/reference`) are always there, the shared ones need a folder:
//!
//! ```text
//! SLIPWAY_SHARED            the folder with `corpus` and `vectors` (default `../shared` beside the workspace)
//! SLIPWAY_REQUIRE_SHARED    a suite whose cases are absent fails
//! SLIPWAY_CONFORMANCE       `report`: print and write the numbers, apply no floors
//! ```
//!
//! Floors are in `tests/conformance.toml`; the cases that fail are written to `target/conformance/SUITE.txt`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop by panicking"
)]

mod budget;
#[macro_use]
mod framework;
mod gitops;
mod gotemplate;
mod helm_corpus;
mod helm_engine;
mod image_declarations;
mod image_edits;
mod imageupdater;
mod kustomize_corpus;
mod kustomize_reference;
mod kustomize_vectors;
mod reach;
mod semver;
mod sprig;
mod strvals;
mod template_commit;

suites! {
    gitops,
    helm_corpus,
    helm_engine,
    image_declarations,
    image_edits,
    imageupdater,
    kustomize_corpus,
    kustomize_vectors,
    reach,
}

record_suites! {
    gotemplate,
    semver,
    sprig,
    strvals,
}

#[test]
fn template_commit() {
    framework::judge("template-commit", |shared| {
        framework::shared_records(shared, "template-commit", template_commit::check)
    });
}

#[test]
fn kustomize_reference() {
    framework::judge_reference("kustomize-reference", kustomize_reference::run);
}
