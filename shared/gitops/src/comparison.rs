//! Holds what a comparison of an object with Git takes and gives.

use slipway_manifest::Object;

use crate::normalize::Normalizer;
use crate::sync_status::CompareOptions;

/// Rules for what counts as a difference.
#[derive(Debug, Default)]
pub struct Rules {
    /// Removes ignored fields.
    pub normalizer: Normalizer,
    /// The Application's compare options; an object's are added.
    pub options: CompareOptions,
}

/// A live object and the predicted result of an apply, as of the same moment, both without ignored fields. Not
/// redacted.
#[derive(Debug, Clone)]
pub struct LiveAndPredicted {
    /// The live object.
    pub live: Object,
    /// The API server's answer to the dry run.
    pub predicted: Object,
}
