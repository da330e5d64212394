//! Keeps what the state of an application remembers besides its status: each note a type of its own under one key.
//!
//! A note that can't be read counts as none: it only says what was told or tried before.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slipway_cluster::state::State;

use crate::notify::reporter::LastNotification;
use crate::root::listings::Listings;

/// Bytes of the lists in a state.
const MAX_LISTINGS: usize = 64 << 10;

/// What the state remembers under [`Note::KEY`].
pub trait Note: Serialize + DeserializeOwned {
    /// The key among the state's notes; part of the recorded format.
    const KEY: &'static str;

    /// Reads the note.
    fn of(state: &State) -> Option<Self> {
        state.notes.get(Self::KEY).and_then(|note| Self::deserialize(note).ok())
    }

    /// Writes the note in the place of the one before.
    fn keep(&self, state: &mut State) {
        state.notes.insert(Self::KEY.to_owned(), json!(self));
    }

    /// Removes the note.
    fn forget(state: &mut State) {
        state.notes.shift_remove(Self::KEY);
    }
}

/// The Application's `metadata` and `spec` as far as `app get` shows them; no values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplicationSummary(pub Value);

impl Note for ApplicationSummary {
    const KEY: &'static str = "application";
}

/// SHA-256 of the archives that charts of Helm repositories were deployed from, by chart and version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartDigests(pub BTreeMap<String, String>);

impl ChartDigests {
    /// Writes the note; none where there are no such charts.
    pub fn keep_or_forget(&self, state: &mut State) {
        if self.0.is_empty() { Self::forget(state) } else { self.keep(state) }
    }
}

impl Note for ChartDigests {
    const KEY: &'static str = "charts";
}

/// What the remote bases and files of kustomizations were when they were deployed: commits, and SHA-256 of files, by
/// what the kustomizations say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteVersions(pub BTreeMap<String, String>);

impl RemoteVersions {
    /// Writes the note; none where nothing is remote.
    pub fn keep_or_forget(&self, state: &mut State) {
        if self.0.is_empty() { Self::forget(state) } else { self.keep(state) }
    }
}

impl Note for RemoteVersions {
    const KEY: &'static str = "remotes";
}

/// What GitHub listed for the ApplicationSet that makes the Application, when it was synced: with that its manifest can
/// be made again once the list has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedListings(pub Listings);

impl RecordedListings {
    /// Writes the note. None where nothing was listed, or more than fits beside the rest of the state: a person deletes
    /// that application.
    pub fn keep_or_forget(listings: Option<&Listings>, state: &mut State) {
        let note = listings.map(|listings| json!(listings)).filter(|note| note.to_string().len() <= MAX_LISTINGS);
        match note {
            Some(note) => {
                state.notes.insert(Self::KEY.to_owned(), note);
            }
            None => Self::forget(state),
        }
    }
}

impl Note for RecordedListings {
    const KEY: &'static str = "listings";
}

/// The manifest of the Application as its ApplicationSet made it first, sealed, where the set may not change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstManifest(pub String);

impl FirstManifest {
    /// Writes the note; none where the set may change the Application.
    pub fn keep_or_forget(sealed: Option<&str>, state: &mut State) {
        match sealed {
            Some(sealed) => Self(sealed.to_owned()).keep(state),
            None => Self::forget(state),
        }
    }
}

impl Note for FirstManifest {
    const KEY: &'static str = "firstManifest";
}

/// The digest of what was told of an application that people sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedOutOfSync(pub String);

impl Note for ReportedOutOfSync {
    const KEY: &'static str = "manual";
}

/// The heads of the branches, one for each source, of which was told that the application is behind them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedBehind(pub String);

impl Note for ReportedBehind {
    const KEY: &'static str = "behind";
}

/// What was told of images that are not promoted from the application, by the Application that waits for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedPromotions(pub BTreeMap<String, String>);

impl Note for ReportedPromotions {
    const KEY: &'static str = "promotions";
}

/// There where Slack did not get to know that the application is Degraded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UntoldDegraded {}

impl Note for UntoldDegraded {
    const KEY: &'static str = "untoldDegraded";
}

/// The commits, and the digest of the Application's `spec`, that `drift-check` deployed, or tried to, because their
/// event got lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeUpFor(pub String);

impl Note for MadeUpFor {
    const KEY: &'static str = "madeUpFor";
}

/// The commits whose sync failed because a service was down: it is tried again, as if it had not been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedInOutage(pub String);

impl Note for FailedInOutage {
    const KEY: &'static str = "failedInOutage";
}

/// The objects of which was told that they can't be compared with Git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedUncompared(pub Vec<String>);

impl Note for ReportedUncompared {
    const KEY: &'static str = "uncompared";
}

/// Why the application, whose manifest was removed, can't be deleted, as it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedDeletionError(pub String);

impl Note for ReportedDeletionError {
    const KEY: &'static str = "deletionError";
}

/// How far a deletion is, or what holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// The stage that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Why nothing goes on until a person acts, as it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

impl Note for Deletion {
    const KEY: &'static str = "deletion";
}

/// The root causes found for a sync that waits, asked for once while what they were read from stays the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosed {
    /// What they were read from.
    pub key: Value,
    /// The causes, in words.
    pub lines: Vec<String>,
}

impl Note for Diagnosed {
    const KEY: &'static str = "explained";
}

/// The self-heals of the same commits, in a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelfHealAttempts {
    /// The commits.
    pub revision: String,
    /// How many there were, without a check between them that found nothing.
    pub attempts: u32,
    /// The last one.
    pub at: Timestamp,
    /// What was told of, by object and field: fingerprints.
    pub told: BTreeMap<String, String>,
}

impl Note for SelfHealAttempts {
    const KEY: &'static str = "selfHeal";
}

/// The time that charts get as that of the first deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstDeployedAt(pub Timestamp);

impl Note for FirstDeployedAt {
    const KEY: &'static str = "firstDeployedAt";

    /// Writes the note once: later deployments do not change what the first one was.
    fn keep(&self, state: &mut State) {
        state.notes.entry(Self::KEY).or_insert_with(|| json!(self));
    }
}

impl Note for LastNotification {
    const KEY: &'static str = "slack";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_keep_their_recorded_form() {
        let mut state = State::default();
        ReportedBehind("abc".to_owned()).keep(&mut state);
        Deletion { stage: Some("PreDelete".to_owned()), held: None }.keep(&mut state);
        FirstDeployedAt("2026-01-01T00:00:00Z".parse().unwrap()).keep(&mut state);
        let notes = json!({"behind": "abc", "deletion": {"stage": "PreDelete"},
            "firstDeployedAt": "2026-01-01T00:00:00Z"});
        assert_eq!(json!(state.notes), notes);
        assert_eq!(ReportedBehind::of(&state), Some(ReportedBehind("abc".to_owned())));
        ReportedBehind::forget(&mut state);
        assert_eq!(ReportedBehind::of(&state), None);
    }

    #[test]
    fn the_first_deployment_stays_the_first() {
        let mut state = State::default();
        for at in ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"] {
            FirstDeployedAt(at.parse().unwrap()).keep(&mut state);
        }
        assert_eq!(state.notes["firstDeployedAt"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_damaged_note_counts_as_none() {
        let mut state = State::default();
        state.notes.insert("selfHeal".to_owned(), json!("x"));
        assert_eq!(SelfHealAttempts::of(&state), None);
    }
}
