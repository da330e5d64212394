//! How a sync ends.

use jiff::Timestamp;
use slipway_cluster::lease::LockError;
use slipway_cluster::state::{Operation, StateError};
use slipway_manifest::ObjectId;

use super::wait::reschedule_delay;
use crate::app::project::Denied;
use crate::notify::report::{AppSyncStatus, short};
use crate::time;

/// How a sync ended.
#[derive(Debug, Clone)]
pub struct SyncOutcome {
    /// In a word.
    pub phase: AppSyncStatus,
    /// What changed, one line an object.
    pub changes: Vec<String>,
    /// What failed, one line each.
    pub problems: Vec<String>,
    /// What users should know.
    pub warnings: Vec<String>,
    /// Whether the same may succeed later by itself.
    pub retry: bool,
    /// Whether somebody wants a look again, because they found us at work.
    pub requeue: bool,
    /// The sync goes on in another invocation.
    pub next: Option<Continuation>,
}

/// A sync that waits for another invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// Its id.
    pub operation: String,
    /// How often it was taken up.
    pub attempt: u32,
    /// Not before this.
    pub not_before: Option<Timestamp>,
}

/// How the id of a message begins that belongs to no sync: somebody shall look.
pub const REFRESH_PREFIX: &str = "look-";

impl Continuation {
    /// A look at what was applied, after a rest; `round` came before.
    pub(super) fn refresh_health(revision: &str, round: u32) -> Self {
        let not_before = Some(time::date_after(reschedule_delay(round)));
        Self { operation: format!("{REFRESH_PREFIX}{}", short(revision)), attempt: round.saturating_add(1), not_before }
    }

    pub(super) fn of(operation: &Operation) -> Self {
        let Operation { id, attempt, not_before, .. } = operation;
        Self { operation: id.clone(), attempt: *attempt, not_before: *not_before }
    }
}

impl SyncOutcome {
    /// A sync that could not begin.
    pub fn failed(problem: String, retry: bool) -> Self {
        let none = Vec::new;
        Self {
            phase: AppSyncStatus::Failed,
            changes: none(),
            problems: vec![problem],
            warnings: none(),
            retry,
            requeue: false,
            next: None,
        }
    }

    pub(super) fn in_progress_by(holder: &str) -> Self {
        let problem = format!("{holder} is at work on it and takes this commit up afterwards");
        Self { phase: AppSyncStatus::Waiting, ..Self::failed(problem, false) }
    }
}

/// Why a sync stops where it stands.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    #[error(transparent)]
    State(Box<StateError>),
    #[error(transparent)]
    Lock(Box<LockError>),
    #[error("the time of this invocation is over")]
    DeadlineExceeded,
    #[error("nothing is applied: the project refuses {0} of the objects")]
    NotPermitted(usize),
    #[error(transparent)]
    Denied(Box<Denied>),
    #[error("the sync to go on with has ended")]
    OperationEnded,
    /// What is to be deleted waits for its approval, in words.
    #[error("{0}")]
    Unapproved(String),
    /// What is to be deleted is left alone, in words.
    #[error("{0}")]
    Skipped(String),
    #[error("nothing is changed: not everything that the application has could be read")]
    LiveStateUnreadable,
    #[error("{0}")]
    DeletionBlocked(String),
    #[error("the sync of {revision} failed before and is not tried again: {message}")]
    AlreadyFailed { revision: String, message: String },
    #[error("the sync of {revision} is not at its end: a part of it can't be synced before; sync all of it")]
    OperationInProgress { revision: String },
    #[error("{id} was applied by {manager} at {time}, after Slipway: turn off the other engine's automated sync")]
    ConflictingController { id: Box<ObjectId>, manager: String, time: String },
}

impl From<StateError> for SyncError {
    fn from(error: StateError) -> Self {
        Self::State(Box::new(error))
    }
}

impl SyncError {
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::State(error) => !matches!(**error, StateError::Damaged { .. }),
            Self::Lock(_) | Self::DeadlineExceeded | Self::LiveStateUnreadable => true,
            Self::Unapproved(_)
            | Self::Skipped(_)
            | Self::DeletionBlocked(_)
            | Self::OperationEnded
            | Self::AlreadyFailed { .. }
            | Self::OperationInProgress { .. }
            | Self::NotPermitted(_)
            | Self::Denied(_)
            | Self::ConflictingController { .. } => false,
        }
    }
}
