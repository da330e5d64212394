//! Says what differs between a live object and what Git asks for, and who owns it.

use crate::diff::{self, Difference};
use crate::managed_fields::owners::{self, FieldManager};
use crate::normalize::Normalizer;
use crate::redact;
use crate::status::SyncStatus;
use crate::sync_status::CompareOptions;
use slipway_manifest::Object;

/// A field that is not as in Git, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The field and both values, masked if they are secret.
    pub difference: Difference,
    /// Who owns it, others before us, the latest first. A field that is gone has no owner: then who wrote to the
    /// object last, if anybody.
    pub owners: Vec<FieldManager>,
}

/// What a comparison found.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The object as it is, not masked; `None` if it does not exist.
    pub live: Option<Object>,
    /// What differs; empty for an object that does not exist.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// Whether the cluster has what Git has.
    pub fn status(&self) -> SyncStatus {
        if self.live.is_some() && self.findings.is_empty() { SyncStatus::Synced } else { SyncStatus::OutOfSync }
    }
}

/// What counts as a difference.
#[derive(Debug, Default)]
pub struct Rules {
    /// What is to be ignored.
    pub normalizer: Normalizer,
    /// The Application's own options; an object's add to them.
    pub options: CompareOptions,
}

/// An object and what an apply would make of it, as of the same moment, both without what is to be ignored. Not masked.
#[derive(Debug, Clone)]
pub struct LiveAndPredicted {
    /// As it is.
    pub live: Object,
    /// As it would be.
    pub predicted: Object,
}

/// The masked differences between `live` and what an apply would make of it, each with its owners. Pure.
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
