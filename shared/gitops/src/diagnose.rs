//! Describes why an object is not healthy: the object, its root cause, the last event, the last lines of a log.
//!
//! The cluster crate gathers the [`Evidence`], from a workload down to its stuck pod; [`cause`] evaluates it.

mod cause;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use slipway_manifest::{Object, ObjectId};

use crate::redactor::Redactor;

pub use crate::diagnose::cause::{Cause, Reason, cause};

/// What is known about an unhealthy object.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The object, then its children down to the pods; an owner comes before its dependents.
    pub objects: Vec<Object>,
    /// The objects' events.
    pub events: Vec<Event>,
}

/// A Kubernetes event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `involvedObject`.
    pub object: ObjectId,
    /// `FailedMount`, `FailedCreate` …
    pub reason: String,
    /// The controller's message.
    pub message: String,
    /// Whether its type is `Warning`.
    pub warning: bool,
    /// When it last occurred, as RFC 3339.
    pub time: String,
}

/// The diagnosis of an object. Prints as one line, with the log's lines below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The root cause and its object.
    pub found: Cause,
    /// The last event of that object, unless it repeats the cause.
    pub event: Option<Event>,
    /// The last lines of the container's log, redacted.
    pub log: Vec<String>,
}

impl Diagnosis {
    /// Redacts all texts. The log is redacted already: its lines were cut after that.
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
