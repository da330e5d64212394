//! Holds what one event deploys.

use std::collections::{BTreeMap, BTreeSet};

use super::app_deletion::RemovedApplication;
use super::select::BranchHead;
use crate::app::Projects;
use crate::notify::reporter::Reporter;
use crate::reconcile::sync::dependencies::ReadyCache;
use crate::root::ResolvedApplication;
use crate::source::Checkouts;

/// What one event is about.
pub(super) struct PushBatch {
    pub(super) checkouts: Checkouts,
    /// The branch that was pushed, or all that the one application tracks.
    pub(super) branches: Vec<BranchHead>,
    pub(super) members: Vec<ResolvedApplication>,
    /// Applications for which the push changes nothing: they are only counted.
    pub(super) unchanged: Vec<ResolvedApplication>,
    pub(super) reporter: Option<Reporter>,
    /// The id of the operation to resume, where the batch is not a new commit.
    pub(super) resume_operation: Option<String>,
    /// Applications whose manifests were removed from the root.
    pub(super) removed: Vec<RemovedApplication>,
    pub(super) projects: Projects,
    /// How many times this health check was rescheduled.
    pub(super) attempt: u32,
    /// Whether an earlier invocation began this batch.
    pub(super) is_continuation: bool,
    pub(super) ready: ReadyCache,
    /// Names of dependent applications, by the name of the application that they wait for.
    pub(super) waiting: BTreeMap<String, BTreeSet<String>>,
}

impl PushBatch {
    /// Creates an empty batch for `branches`.
    pub(super) fn new(checkouts: Checkouts, branches: Vec<BranchHead>) -> Self {
        let (members, removed, projects) = (Vec::new(), Vec::new(), Projects::default());
        Self {
            checkouts,
            branches,
            members,
            unchanged: Vec::new(),
            reporter: None,
            resume_operation: None,
            removed,
            projects,
            attempt: 0,
            is_continuation: false,
            ready: ReadyCache::default(),
            waiting: BTreeMap::new(),
        }
    }
}
