//! Combines the differences between a live object and Git with their field managers.

use crate::diff::{self, Difference};
use crate::managed_fields::owners::{self, FieldManager};
use crate::normalize::Normalizer;
use crate::redact;
use crate::status::SyncStatus;
use crate::sync_status::CompareOptions;
use slipway_manifest::Object;

/// A field that differs from Git, and its managers.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The field and both values; secret values are redacted.
    pub difference: Difference,
    /// The field's managers, others before ours, the latest first. A removed field has no owner: then the last writer
    /// of the object, if one is known.
    pub owners: Vec<FieldManager>,
}

/// The result of comparing one object.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The live object, not redacted; `None` if it does not exist.
    pub live: Option<Object>,
    /// The differences; empty for an object that does not exist.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// Whether the object is Synced.
    pub fn status(&self) -> SyncStatus {
        if self.live.is_some() && self.findings.is_empty() { SyncStatus::Synced } else { SyncStatus::OutOfSync }
    }
}

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

/// The redacted differences between `live` and the result of an apply, each with its managers. Pure.
pub fn findings(live: &Object, mut predicted: Object) -> Vec<Finding> {
    let mut shown = live.clone();
    redact::redact(&mut [&mut shown, &mut predicted], &[]);
    let finding = |difference: Difference| {
        let mut owners = match difference.live {
            Some(_) => owners::blame(live, &difference.path),
            None => Vec::new(),
        };
        owners.extend(owners::last_writer(live).filter(|_| difference.live.is_none()));
        Finding { difference, owners }
    };
    diff::diff(&shown, &predicted).into_iter().map(finding).collect()
}
