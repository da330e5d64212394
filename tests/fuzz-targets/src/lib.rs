//! What fuzzing runs: a function for each parser of what comes from outside, from the bytes to the law that must hold.
//!
//! | called by | with |
//! |---|---|
//! | `tests/fuzz/fuzz_targets`, one program a target (`cargo +nightly fuzz`) | what libFuzzer makes up |
//! | `tests/seeds.rs`, an ordinary test | the files of `tests/fuzz/seeds` |
//!
//! A target goes in where the product does, with the product's own limits, so that a hang or an exhausted memory is a
//! finding, too. Where a law exists (what is printed is read as the same, an edit changes one place) it is asserted.
//! What a target takes apart is parted by lines of `====`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a law that does not hold has to end the run, and says which"
)]

pub mod applications;
pub mod archives;
pub mod charts;
pub mod clusters;
pub mod encrypted;
pub mod events;
pub mod expressions;
pub mod kustomizations;
pub mod locations;
pub mod objects;
mod parts;
pub mod templates;
pub mod texts;
pub mod times;
pub mod yaml;

/// A target: its name, that of its seeds' folder and of its program, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("application", applications::application),
    ("argocd_cm", applications::argocd_cm),
    ("chart_archive", archives::chart_archive),
    ("cluster_secret", clusters::cluster_secret),
    ("cron", times::cron),
    ("date", times::date),
    ("duration", times::duration),
    ("ecr", events::ecr),
    ("glob", texts::glob),
    ("gotmpl_exec", templates::gotmpl_exec),
    ("gotmpl_parse", templates::gotmpl_parse),
    ("health", objects::health),
    ("helm_chart", charts::helm_chart),
    ("helm_schema", charts::helm_schema),
    ("helm_source", charts::helm_source),
    ("helm_template", charts::helm_template),
    ("host_webhook", events::host_webhook),
    ("image_list", applications::image_list),
    ("jq", expressions::jq),
    ("jsonnet", expressions::jsonnet),
    ("kubeconfig", clusters::kubeconfig),
    ("kustomize_load", kustomizations::kustomize_load),
    ("kustomize_patch", kustomizations::kustomize_patch),
    ("location", locations::location),
    ("lua", expressions::lua),
    ("managed_fields", objects::managed_fields),
    ("quantity", texts::quantity),
    ("queue", events::queue),
    ("redactor", objects::redactor),
    ("refusal", objects::refusal),
    ("regexp", texts::regexp),
    ("repository_archive", archives::repository_archive),
    ("repository_listing", archives::repository_listing),
    ("semver", texts::semver),
    ("set_image", yaml::set_image),
    ("sops", encrypted::sops),
    ("state", clusters::state),
    ("strconv", texts::strconv),
    ("strvals", charts::strvals),
    ("subscriptions", applications::subscriptions),
    ("toml", charts::toml),
    ("webhook", events::webhook),
    ("yaml", yaml::yaml),
];
