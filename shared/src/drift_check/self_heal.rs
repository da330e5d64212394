//! Undoing what was changed behind Git's back, where the Application asks for it (`automated.selfHeal`): a partial
//! sync of the commit that is deployed, of nothing but what differs, without hooks.
//!
//! Argo CD heals without end, with a back-off (argoproj/argo-cd `controller/appcontroller.go`, shouldSelfHeal; 2 s,
//! times 3, at most 5 min). Here whoever is changed again and again at every check is healed a few times, and then
//! left to people.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use slipway_cluster::state::{Attempt, Reached, State};
use slipway_gitops::status::SyncStatus;
use slipway_manifest::ObjectId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::drift::{self, DriftedField};
use super::{AppComparison, DriftChecker, now};
use crate::deploy::prepare;
use crate::deploy::sync::{self, Deadlines, OperationKind};
use crate::error::chain;
use crate::notify::report::{self, AppSyncStatus, Drift};
use crate::root::ResolvedApplication;
use crate::source::Checkouts;

/// Heals in a row, without a check that finds nothing in between.
const MAX_HEAL_ATTEMPTS: u32 = 5;
const BACKOFF_BASE: Duration = Duration::from_secs(2);
const BACKOFF_FACTOR: u32 = 3;
const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// Where the state remembers it.
const SELF_HEAL_NOTE: &str = "selfHeal";

/// What the state remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SelfHealAttempts {
    revision: String,
    attempts: u32,
    at: Timestamp,
    /// What was told of, by object and field: fingerprints.
    told: BTreeMap<String, String>,
}

/// What is to be done about what differs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SelfHealDecision {
    /// Nothing: it is told as drift.
    No,
    /// Nothing yet: the last time was only just now.
    Later,
    /// Nothing any more, from now on.
    GivenUp,
    /// It is undone.
    Now(SelfHealPlan),
}

/// A heal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SelfHealPlan {
    revision: String,
    resources: BTreeSet<ObjectId>,
    /// What was not told yet.
    drifts: Vec<Drift>,
}

/// Decides, and notes in `state` that it begins. Nothing is healed that could not be compared as a whole, that a
/// window holds, that is about to get another commit (`is_behind`), or whose commit is not all there: as in Argo CD,
/// a sync that failed is for a person or a commit to mend (argoproj/argo-cd `controller/appcontroller.go`, autoSync),
/// and so is a heal.
pub(super) fn plan(
    state: &mut State,
    app: &ResolvedApplication,
    compared: &AppComparison,
    is_behind: bool,
    at: Timestamp,
) -> SelfHealDecision {
    let automated = app.app.sync_policy.automated.filter(|automated| automated.enabled && automated.self_heal);
    let Some(automated) = automated else { return SelfHealDecision::No };
    let is_extra = |id: &ObjectId| !compared.objects.contains_key(id);
    let differs =
        compared.verdicts.iter().filter(|(_, verdict)| verdict.status != SyncStatus::Synced && verdict.counts);
    let resources: BTreeSet<ObjectId> =
        differs.map(|(id, _)| id.clone()).filter(|id| automated.prune || !is_extra(id)).collect();
    if resources.is_empty() {
        state.notes.shift_remove(SELF_HEAL_NOTE);
        return SelfHealDecision::No;
    }
    let Attempt { revision, reached } = state.attempt.clone();
    let is_failed = reached != Reached::All || state.status.failed(&revision).is_some();
    let is_busy = is_behind || state.operation.is_some();
    if is_failed || is_busy || !compared.problems.is_empty() || app.blocked_by_window(false, at).is_some() {
        return SelfHealDecision::No;
    }
    let known = state.notes.get(SELF_HEAL_NOTE).and_then(|note| serde_json::from_value(note.clone()).ok());
    let mut heals = known.filter(|heals: &SelfHealAttempts| heals.revision == revision).unwrap_or_default();
    if heals.attempts > MAX_HEAL_ATTEMPTS {
        return SelfHealDecision::No;
    }
    let delay =
        BACKOFF_BASE.saturating_mul(BACKOFF_FACTOR.saturating_pow(heals.attempts.saturating_sub(1))).min(BACKOFF_MAX);
    if heals.attempts > 0 && Duration::try_from(at.duration_since(heals.at)).unwrap_or_default() < delay {
        return SelfHealDecision::Later;
    }
    heals.attempts += 1;
    (heals.at, heals.revision) = (at, revision.clone());
    let (new, _) = drift::new_since(&compared.found, &heals.told, &[]);
    let drifts = new.into_iter().map(|found| found.drift.clone()).collect();
    let tell = |found: &DriftedField| (found.key.clone(), found.fingerprint.clone());
    heals.told.extend(compared.found.iter().map(tell));
    let is_over = heals.attempts > MAX_HEAL_ATTEMPTS;
    state.notes.insert(SELF_HEAL_NOTE.to_owned(), json!(heals));
    if is_over {
        SelfHealDecision::GivenUp
    } else {
        SelfHealDecision::Now(SelfHealPlan { revision, resources, drifts })
    }
}

impl DriftChecker {
    /// Undoes what `plan` names, and tells of it; whether it did: not where another commit came in between, or
    /// another invocation goes on with it. What could not be undone is an error, in words.
    pub(super) async fn heal(
        &self,
        app: &ResolvedApplication,
        checkouts: &Checkouts,
        plan: SelfHealPlan,
        id: &str,
        until: Instant,
    ) -> Result<bool, Vec<String>> {
        let SelfHealPlan { revision, resources, drifts } = plan;
        let mut request = match Box::pin(prepare::prepare(&self.engine, checkouts, app, &revision)).await {
            Ok(request) => request,
            Err(error) => return Err(vec![chain(&error)]),
        };
        request.policy.operation = OperationKind::SelfHeal;
        request.policy.options.skip_hooks = true;
        request.policy.options.resources = Some(resources);
        let (_never, stop) = watch::channel(false);
        let outcome = Box::pin(sync::sync(&request, None, id, Deadlines::until(until), stop)).await;
        let cluster = &request.destination.name;
        if outcome.phase == AppSyncStatus::Failed {
            let what = format!("{} on {cluster} could not be brought back to what Git says", app.instance());
            if !drifts.is_empty() {
                self.engine.notify(&report::problem(&what, &outcome.problems)).await;
            }
            return Err(outcome.problems);
        }
        let is_healed = outcome.next.is_none() && !outcome.changes.is_empty();
        if is_healed && !drifts.is_empty() {
            self.engine.notify(&report::healed(&app.instance(), cluster, &revision, &drifts, &now())).await;
        }
        Ok(is_healed)
    }

    /// Says that somebody else is at work.
    pub(super) async fn give_up(&self, app: &ResolvedApplication, cluster: &str, drifts: &[Drift]) {
        let by: BTreeSet<&str> = drifts.iter().filter_map(|drift| drift.manager.as_deref()).collect();
        let by: Vec<&str> = by.into_iter().collect();
        let what = format!(
            "{} on {cluster} was brought back to what Git says {MAX_HEAL_ATTEMPTS} times and is changed again and \
             again by {}: it is left as it is until it stays, or Git says something else",
            app.instance(),
            if by.is_empty() { "somebody".to_owned() } else { by.join(", ") }
        );
        let lines: Vec<String> = drifts.iter().map(|drift| format!("{} {}", drift.object, drift.field)).collect();
        self.engine.notify(&report::problem(&what, &lines)).await;
    }
}
