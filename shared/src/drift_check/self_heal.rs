//! Re-applies what was changed out of band, where the Application asks for it (`automated.selfHeal`): a selective sync
//! of the deployed commit, of only the objects that differ, without hooks.
//!
//! Argo CD heals without end, with a back-off (argoproj/argo-cd `controller/appcontroller.go`, shouldSelfHeal; 2 s,
//! times 3, at most 5 min). Here an application that is changed again at every check is healed `MAX_HEAL_ATTEMPTS`
//! times, then only reported.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use slipway_cluster::state::{Attempt, Reached, State};
use slipway_gitops::Revisions;
use slipway_gitops::status::SyncStatus;
use slipway_gitops::sync::{is_being_deleted, kept_reason};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{DriftChecker, now};
use crate::deploy::prepare;
use crate::error::chain;
use crate::notify::report::{self, AppSyncStatus, Drift};
use crate::reconcile::comparison::AppComparison;
use crate::reconcile::drift::{self, DriftedField};
use crate::reconcile::notes::{Note as _, SelfHealAttempts};
use crate::reconcile::sync::{self, Deadlines, OperationKind};
use crate::root::ResolvedApplication;
use crate::source::Checkouts;

/// Self-heals in a row, without a check between them that finds nothing: beyond that another controller is fighting.
const MAX_HEAL_ATTEMPTS: u32 = 5;
const BACKOFF_BASE: Duration = Duration::from_secs(2);
const BACKOFF_FACTOR: u32 = 3;
const BACKOFF_MAX: Duration = Duration::from_mins(5);

/// What is to be done about what differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum SelfHealDecision {
    /// No self-heal: they are reported as drift.
    #[default]
    No,
    /// Not yet: the back-off after the last self-heal has not passed.
    Later,
    /// The limit is reached: no further self-heals.
    GivenUp,
    /// Re-apply the objects.
    Now(SelfHealPlan),
}

/// A self-heal to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SelfHealPlan {
    revisions: Revisions,
    resources: BTreeSet<ObjectId>,
    /// The differences that were not reported yet.
    drifts: Vec<Drift>,
}

/// Decides, and records in `state` that a self-heal begins. Excluded are applications that could not be compared
/// completely, that a sync window blocks, that are about to get another commit (`is_behind`), or whose commit was not
/// applied completely: as in Argo CD, a failed sync, and so a failed self-heal, is fixed by a person or a commit
/// (argoproj/argo-cd `controller/appcontroller.go`, autoSync).
pub(super) fn plan(
    state: &mut State,
    app: &ResolvedApplication,
    compared: &AppComparison,
    is_behind: bool,
    at: Timestamp,
) -> SelfHealDecision {
    if !app.app.sync_policy.automated.is_some_and(|automated| automated.enabled && automated.self_heal) {
        return SelfHealDecision::No;
    }
    let differs = compared.results.iter().filter(|(_, verdict)| verdict.status != SyncStatus::Synced && verdict.counts);
    let options = prepare::policy_of(&app.app).options;
    let is_pruned = |live: &Object| !is_being_deleted(live) && kept_reason(live, &options).is_none();
    let heals = |id: &&ObjectId| compared.extraneous.get(*id).is_none_or(is_pruned);
    let resources: BTreeSet<ObjectId> = differs.map(|(id, _)| id).filter(heals).cloned().collect();
    if resources.is_empty() {
        SelfHealAttempts::forget(state);
        return SelfHealDecision::No;
    }
    let Attempt { revisions, reached, .. } = state.attempt.clone();
    let is_failed = reached != Reached::All || state.status.failed(&revisions).is_some();
    let is_busy = is_behind || state.operation.is_some();
    if is_failed || is_busy || !compared.problems.is_empty() || app.blocked_by_window(false, at).is_some() {
        return SelfHealDecision::No;
    }
    let revision = revisions.to_string();
    let mut heals = SelfHealAttempts::of(state).filter(|heals| heals.revision == revision).unwrap_or_default();
    if heals.attempts > MAX_HEAL_ATTEMPTS {
        return SelfHealDecision::No;
    }
    let delay =
        BACKOFF_BASE.saturating_mul(BACKOFF_FACTOR.saturating_pow(heals.attempts.saturating_sub(1))).min(BACKOFF_MAX);
    if heals.attempts > 0 && Duration::try_from(at.duration_since(heals.at)).unwrap_or_default() < delay {
        return SelfHealDecision::Later;
    }
    heals.attempts = heals.attempts.saturating_add(1);
    (heals.at, heals.revision) = (at, revision);
    let (new, _) = drift::new_since(&compared.found, &heals.told, &[]);
    let drifts = new.into_iter().map(|found| found.drift.clone()).collect();
    let tell = |found: &DriftedField| (found.key.clone(), found.fingerprint.clone());
    heals.told.extend(compared.found.iter().map(tell));
    let is_over = heals.attempts > MAX_HEAL_ATTEMPTS;
    heals.keep(state);
    if is_over {
        SelfHealDecision::GivenUp
    } else {
        SelfHealDecision::Now(SelfHealPlan { revisions, resources, drifts })
    }
}

impl DriftChecker {
    /// Re-applies the objects of `plan` and reports it. Returns whether it did: not where another commit came in
    /// between, or another invocation resumes the sync. A failure is returned as a message.
    pub(super) async fn heal(
        &self,
        app: &ResolvedApplication,
        checkouts: &Checkouts,
        plan: SelfHealPlan,
        id: &str,
        until: Instant,
    ) -> Result<bool, Vec<String>> {
        let SelfHealPlan { revisions, resources, drifts } = plan;
        let mut request = match Box::pin(prepare::prepare(&self.engine, checkouts, app, &revisions)).await {
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
            let what = format!("{} on {cluster} failed to self-heal", app.instance());
            if !drifts.is_empty() {
                self.engine.notify(&report::problem(&what, &outcome.problems)).await;
            }
            return Err(outcome.problems);
        }
        let is_healed = outcome.next.is_none() && !outcome.changes.is_empty();
        if is_healed && !drifts.is_empty() {
            self.engine.notify(&report::healed(&app.instance(), cluster, &revisions, &drifts, &now())).await;
        }
        Ok(is_healed)
    }
}

/// Says that another manager keeps changing the application.
pub(super) fn given_up(app: &ResolvedApplication, cluster: &str, drifts: &[Drift]) -> String {
    let by: BTreeSet<&str> = drifts.iter().filter_map(|drift| drift.manager.as_deref()).collect();
    let by: Vec<&str> = by.into_iter().collect();
    let what = format!(
        "{} on {cluster} was self-healed {MAX_HEAL_ATTEMPTS} times and is still being changed by {}: self-heal is \
         suspended until the application is Synced or has a new commit",
        app.instance(),
        if by.is_empty() { "an unknown manager".to_owned() } else { by.join(", ") }
    );
    let lines: Vec<String> = drifts.iter().map(|drift| format!("{} {}", drift.object, drift.field)).collect();
    report::problem(&what, &lines)
}
