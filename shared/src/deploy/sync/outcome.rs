//! How a sync ends.

use jiff::Timestamp;
use slipway_cluster::lock::LockError;
use slipway_cluster::state::{Operation, StateError};
use slipway_manifest::ObjectId;

use super::waiting::rest;
use crate::app::project::Denied;
use crate::notify::report::{Phase, short};
use crate::time;

/// How a sync ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In a word.
    pub phase: Phase,
    /// What changed, one line an object.
    pub changes: Vec<String>,
    /// What failed, one line each.
    pub problems: Vec<String>,
    /// What users should know.
    pub warnings: Vec<String>,
    /// Whether the same may succeed later by itself.
    pub retry: bool,
    /// Whether somebody wants a look again, because they found us at work.
    pub again: bool,
    /// The sync goes on in another invocation.
    pub next: Option<Next>,
}

/// A sync that waits for another invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Its id.
    pub operation: String,
    /// How often it was taken up.
    pub attempt: u32,
    /// Not before this.
    pub not_before: Option<Timestamp>,
}

/// How the id of a message begins that belongs to no sync: somebody shall look.
pub const LOOK: &str = "look-";

impl Next {
    /// A look at what was applied, after a rest; `round` came before.
    pub(super) fn look(revision: &str, round: u32) -> Self {
        let not_before = Some(time::date_after(rest(round)));
        Self { operation: format!("{LOOK}{}", short(revision)), attempt: round.saturating_add(1), not_before }
    }

    pub(super) fn of(operation: &Operation) -> Self {
        let Operation { id, attempt, not_before, .. } = operation;
        Self { operation: id.clone(), attempt: *attempt, not_before: *not_before }
    }
}

impl Outcome {
    /// A sync that could not begin.
    pub fn failed(problem: String, retry: bool) -> Self {
        let none = Vec::new;
        Self {
            phase: Phase::Failed,
            changes: none(),
            problems: vec![problem],
            warnings: none(),
            retry,
            again: false,
            next: None,
        }
    }

    pub(super) fn left_to(holder: &str) -> Self {
        let problem = format!("{holder} is at work on it and takes this commit up afterwards");
        Self { phase: Phase::Waiting, ..Self::failed(problem, false) }
    }
}

/// Why a sync stops where it stands.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    State(Box<StateError>),
    #[error(transparent)]
    Lock(Box<LockError>),
    #[error("the time of this invocation is over")]
    Time,
    #[error("nothing is applied: the project refuses {0} of the objects")]
    Refused(usize),
    #[error(transparent)]
    Denied(Box<Denied>),
    #[error("the sync to go on with has ended")]
    Ended,
    /// What is to be deleted waits for its approval, in words.
    #[error("{0}")]
    Unapproved(String),
    /// What is to be deleted is left alone, in words.
    #[error("{0}")]
    Skipped(String),
    #[error("nothing is changed: not everything that the application has could be read")]
    Unread,
    #[error("{0}")]
    Undeleted(String),
    #[error("the sync of {revision} failed before and is not tried again: {message}")]
    Tried { revision: String, message: String },
    #[error("the sync of {revision} is not at its end: a part of it can't be synced before; sync all of it")]
    Busy { revision: String },
    #[error("{id} was applied by {manager} at {time}, after Slipway: turn off the other engine's automated sync")]
    Rival { id: Box<ObjectId>, manager: String, time: String },
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::State(Box::new(error))
    }
}

impl Stop {
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::State(error) => !matches!(**error, StateError::Damaged { .. }),
            Self::Lock(_) | Self::Time | Self::Unread => true,
            Self::Unapproved(_)
            | Self::Skipped(_)
            | Self::Undeleted(_)
            | Self::Ended
            | Self::Tried { .. }
            | Self::Busy { .. }
            | Self::Refused(_)
            | Self::Denied(_)
            | Self::Rival { .. } => false,
        }
    }
}
