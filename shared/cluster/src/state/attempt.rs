//! Remembers which commits an application was brought to last, or tried to be, and how far that went.

use serde::{Deserialize, Serialize};
use slipway_gitops::Revisions;
use slipway_gitops::status::{OperationPhase, Status};

/// How far a commit was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Reached {
    /// A selective sync applied some objects.
    #[default]
    Part,
    /// A complete sync was tried.
    Tried,
    /// It was applied completely: its sync succeeded, or nothing differed.
    All,
}

/// The commits that the cluster was last synced to, or tried to be, and that it is compared with: one for each source
/// of the Application. Not the last successful ones, which would undo failed ones; nor
/// [`slipway_gitops::status::Sync::revisions`] of an application with manual sync, which may not be synced yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// Their SHAs; empty before the first sync.
    #[serde(flatten)]
    pub revisions: Revisions,
    /// How far they were applied.
    pub reached: Reached,
    /// The Application's `spec` that it was tried with, as a keyed digest; `None` where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec_digest: Option<String>,
    /// All that it was tried with, as a keyed digest: the Application, its project and settings, and what its render
    /// can reach of the commits. At another commit with the same digest nothing is different. `None` where it is not
    /// known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<String>,
}

impl Attempt {
    /// Whether it is one with these commits and the `spec` of this digest. A digest that is not known may be any.
    pub fn is_of(&self, revisions: &Revisions, spec_digest: Option<&str>) -> bool {
        let known = self.spec_digest.as_deref();
        self.revisions == *revisions && (known.is_none() || spec_digest.is_none() || known == spec_digest)
    }

    /// Whether none was tried yet.
    pub fn is_none(&self) -> bool {
        self.revisions.is_empty()
    }

    /// Whether it applied completely what has one of these [`inputs_digest`](Self::inputs_digest)s.
    pub fn has_deployed(&self, inputs_digests: &[String]) -> bool {
        self.reached == Reached::All && self.inputs_digest.as_ref().is_some_and(|known| inputs_digests.contains(known))
    }

    /// Records how far the commits were applied with the `spec` of this digest; never less than before for the same
    /// attempt. Its inputs are not known then.
    pub fn reach(&mut self, revisions: &Revisions, spec_digest: Option<&str>, reached: Reached) {
        let before = if self.is_of(revisions, spec_digest) { self.reached } else { reached };
        let spec_digest = spec_digest.map(str::to_owned);
        *self = Self { revisions: revisions.clone(), reached: before.max(reached), spec_digest, inputs_digest: None };
    }

    /// Derives it from a status of an older version, whose history held every commit that the cluster was seen at.
    pub(super) fn of(status: &Status) -> Self {
        let deployed = status.history.last().map(|last| &last.revisions).filter(|last| !last.is_empty());
        let of = |revisions: &Revisions, reached| Self { revisions: revisions.clone(), reached, ..Self::default() };
        let all = |revisions: &Revisions| of(revisions, Reached::All);
        if let Some(deployed) = deployed.filter(|deployed| **deployed == status.sync.revisions) {
            return all(deployed);
        }
        let last = status.operation_state.as_ref();
        match last.and_then(|last| Some((last, last.attempted()?))) {
            Some((_, revisions)) if deployed == Some(revisions) => all(revisions),
            Some((last, revisions)) => {
                let reached = match (last.is_part(), last.phase) {
                    (true, _) => Reached::Part,
                    (false, OperationPhase::Succeeded) => Reached::All,
                    (false, _) => Reached::Tried,
                };
                of(revisions, reached)
            }
            None => deployed.map(all).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_gets_further_and_another_begins_anew() {
        let mut attempt = Attempt::default();
        for (revision, reached, expected) in [
            ("a", Reached::Tried, Reached::Tried),
            ("a", Reached::All, Reached::All),
            ("a", Reached::Part, Reached::All),
            ("b", Reached::Part, Reached::Part),
            ("b", Reached::Tried, Reached::Tried),
        ] {
            attempt.reach(&revision.into(), None, reached);
            assert_eq!(attempt, Attempt { revisions: revision.into(), reached: expected, ..Attempt::default() });
        }
    }

    #[test]
    fn another_spec_of_the_same_commit_is_another_attempt() {
        let mut attempt = Attempt::default();
        for (spec_digest, reached, expected) in [
            (None, Reached::All, Reached::All),
            (Some("one"), Reached::Tried, Reached::All),
            (Some("two"), Reached::Tried, Reached::Tried),
            (Some("two"), Reached::All, Reached::All),
        ] {
            attempt.reach(&"a".into(), spec_digest, reached);
            assert_eq!((attempt.reached, attempt.spec_digest.as_deref()), (expected, spec_digest));
        }
    }
}
