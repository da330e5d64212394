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

// A test may stop by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod diff;
mod framework;
mod gotemplate;
mod health;
mod helm_corpus;
mod helm_engine;
mod hooks;
mod imageupdater;
mod kustomize_corpus;
mod kustomize_reference;
mod kustomize_vectors;
mod normalize;
mod project;
mod semver;
mod sprig;
mod strvals;
mod sync_engine;
mod sync_tasks;

/// Makes a test of each suite, so that `cargo test` counts them and one can be asked for by name.
macro_rules! suites {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            framework::judge(&stringify!($name).replace('_', "-"), $name::run);
        })*
    };
}

suites! {
    diff,
    helm_corpus,
    helm_engine,
    imageupdater,
    kustomize_corpus,
    kustomize_vectors,
    normalize,
    sync_engine,
}

/// Makes two tests of each suite: over the shared records, and over our own, which are always there.
macro_rules! record_suites {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            let suite = stringify!($name).replace('_', "-");
            framework::judge(&suite, |shared| framework::shared_records(shared, &suite, $name::check));
        })*

        mod reference {
            $(#[test]
            fn $name() {
                let suite = stringify!($name).replace('_', "-");
                super::framework::judge_reference(&suite, |folder| {
                    super::framework::own_records(folder, &suite, super::$name::check)
                });
            })*
        }
    };
}

record_suites! {
    gotemplate,
    health,
    hooks,
    project,
    semver,
    sprig,
    strvals,
    sync_tasks,
}

#[test]
fn kustomize_reference() {
    framework::judge_reference("kustomize-reference", kustomize_reference::run);
}
