//! Why is it not there yet? From what is live to the root cause: the object, what is wrong with it, the last event,
//! the last lines of a log.
//!
//! [`explain`] goes down from a workload to the pod that is stuck and reads what belongs to it; [`cause`] judges.
//! Reads only.

mod cause;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use slipway_manifest::{Object, ObjectId};

use crate::redactor::Redactor;

pub use crate::diagnose::cause::{Cause, Reason, cause};

/// Everything known about an object that does not come right.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The object itself, then what it made, down to its pods; the owner before the owned.
    pub objects: Vec<Object>,
    /// Their events.
    pub events: Vec<Event>,
}

/// What a controller told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whom it is about.
    pub object: ObjectId,
    /// `FailedMount`, `FailedCreate` …
    pub reason: String,
    /// In words.
    pub message: String,
    /// Whether it is a warning.
    pub warning: bool,
    /// When it was last told, as RFC 3339.
    pub time: String,
}

/// Why an object is not there yet. Prints as one line, and the log's lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What is wrong, and with which object.
    pub found: Cause,
    /// The last event about it, if that says something else.
    pub event: Option<Event>,
    /// The last lines of the container's log; the values of Secrets masked.
    pub log: Vec<String>,
}

impl Diagnosis {
    /// Without what `redactor` looks for. The log is without it already: its lines were cut after that.
    #[must_use]
    pub fn redacted(mut self, redactor: &Redactor) -> Self {
        let redact = |text: &mut String| {
            if let Cow::Owned(shown) = redactor.redact(text) {
                *text = shown;
            }
        };
        redact(&mut self.found.message);
        if let Some(event) = &mut self.event {
            redact(&mut event.message);
        }
        self
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.found)?;
        if let Some(Event { reason, message, .. }) = &self.event {
            write!(f, "; last event: {reason}: {message}")?;
        }
        for line in &self.log {
            write!(f, "\n  | {line}")?;
        }
        Ok(())
    }
}
