//! Defines how a sync ends: its outcome, its continuation, its errors.

use jiff::Timestamp;
use slipway_cluster::lease::LockError;
use slipway_cluster::state::{Operation, StateError};
use slipway_gitops::Revisions;
use slipway_manifest::ObjectId;

use super::wait::reschedule_delay;
use crate::app::project::Denied;
use crate::notify::report::AppSyncStatus;
use crate::time;

/// How a sync ended.
#[derive(Debug, Clone, Default)]
pub struct SyncOutcome {
    /// Overall result.
    pub phase: AppSyncStatus,
    /// What changed, one line per object.
    pub changes: Vec<String>,
    /// What failed, one line each.
    pub problems: Vec<String>,
    /// What users should know although it is no failure.
    pub warnings: Vec<String>,
    /// Whether a retry of the same request may succeed.
    pub retry: bool,
    /// Another worker asked for this application while it was locked; requeue it.
    pub requeue: bool,
    /// The message by which the sync goes on in another invocation.
    pub next: Option<Continuation>,
}

/// The message that resumes a sync in another invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The operation's id, or [`REFRESH_PREFIX`] and a commit.
    pub operation: String,
    /// How many times it was resumed.
    pub attempt: u32,
    /// The earliest delivery, by EventBridge Scheduler.
    pub not_before: Option<Timestamp>,
}

/// What a message asks for, told by the id that it carries: that of an operation, or of a look at an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// To go on with the sync of this id.
    Sync,
    /// To go on with the deletion of this id.
    Delete,
    /// To compare the application and see how well it is: no operation has this id.
    RefreshHealth,
}

impl Resume {
    /// The ids of deletions begin so; part of the recorded format.
    const DELETE: &'static str = "delete-";
    /// The ids of looks begin so; part of the messages' format.
    const REFRESH_HEALTH: &'static str = "look-";

    /// What the message with `id` asks for.
    pub fn of(id: &str) -> Self {
        match id {
            _ if id.starts_with(Self::DELETE) => Self::Delete,
            _ if id.starts_with(Self::REFRESH_HEALTH) => Self::RefreshHealth,
            _ => Self::Sync,
        }
    }

    /// The id of a look that `cause` is the reason of.
    pub fn refresh_id(cause: &str) -> String {
        format!("{}{cause}", Self::REFRESH_HEALTH)
    }

    /// The id of a deletion that began at `started`.
    pub(super) fn delete_id(started: Timestamp) -> String {
        format!("{}{}", Self::DELETE, started.as_millisecond())
    }
}

/// How the id of an operation begins: the commits, in short.
pub(super) fn operation_prefix(revisions: &Revisions) -> String {
    revisions.short().replace(", ", "-")
}

impl Continuation {
    /// Schedules another health refresh; `round` is the number of earlier ones.
    pub(super) fn refresh_health(revisions: &Revisions, round: u32) -> Self {
        let not_before = Some(time::date_after(reschedule_delay(round)));
        Self {
            operation: Resume::refresh_id(&operation_prefix(revisions)),
            attempt: round.saturating_add(1),
            not_before,
        }
    }

    pub(super) fn of(operation: &Operation) -> Self {
        let Operation { id, attempt, not_before, .. } = operation;
        Self { operation: id.clone(), attempt: *attempt, not_before: *not_before }
    }
}

impl SyncOutcome {
    /// The outcome of a sync that could not begin.
    pub fn failed(problem: String, retry: bool) -> Self {
        Self { phase: AppSyncStatus::Failed, problems: vec![problem], retry, ..Self::default() }
    }

    pub(crate) fn in_progress_by(holder: &str) -> Self {
        let problem = format!("operation already in progress: {holder} syncs this commit afterwards");
        Self { phase: AppSyncStatus::Waiting, ..Self::failed(problem, false) }
    }
}

/// Why a sync stops before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    #[error(transparent)]
    State(Box<StateError>),
    #[error(transparent)]
    Lock(Box<LockError>),
    #[error("deadline of this invocation exceeded")]
    DeadlineExceeded,
    #[error("nothing is applied: the project refuses {0} of the objects")]
    NotPermitted(usize),
    #[error(transparent)]
    Denied(Box<Denied>),
    #[error("the operation to resume has completed")]
    OperationEnded,
    /// The deletion needs approval; holds the message.
    #[error("{0}")]
    Unapproved(String),
    /// The deletion is skipped; holds the message.
    #[error("{0}")]
    Skipped(String),
    #[error("nothing is changed: failed to read some of the application's live objects")]
    LiveStateUnreadable,
    #[error("{0}")]
    DeletionBlocked(String),
    #[error("the sync of {revisions} failed before and is not retried: {message}")]
    AlreadyFailed { revisions: String, message: String },
    #[error("operation already in progress: complete the sync of {revisions} before a selective sync")]
    OperationInProgress { revisions: String },
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
            Self::State(error) => error.is_retryable(),
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
