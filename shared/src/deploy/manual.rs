//! An application that only people sync: compared with its commit, recorded and told as OutOfSync with what differs,
//! and left as it is. Told again only when something about it changes.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use slipway_cluster::Cluster;
use slipway_cluster::lease::{self, Acquisition};
use slipway_cluster::state::{self, Reached, State};
use slipway_gitops::status::{COMPARISON_ERROR, ResourceStatus, SyncStatus};
use slipway_manifest::ObjectId;

use super::sync::{SyncOutcome, SyncRequest};
use crate::drift_check::drift::FingerprintKey;
use crate::drift_check::{AppComparison, differences};
use crate::error::chain;
use crate::notify::report::{AppSyncStatus, SyncReport};
use crate::notify::reporter::Reporter;
use crate::services::Services;

/// How long the Lease lasts; a comparison that takes longer renews it.
const LEASE_DURATION: Duration = Duration::from_secs(30);

/// Compares the application of `request` with its cluster; writes its status and nothing else. Never fails: what went
/// wrong is in the outcome.
pub(super) async fn compare(
    engine: &Services,
    reporter: Option<&Reporter>,
    request: &SyncRequest,
    holder: &str,
) -> SyncOutcome {
    let options = lease::Options {
        holder: holder.to_owned(),
        duration: LEASE_DURATION,
        expires_after: Duration::ZERO,
        pending_request: String::new(),
    };
    let lease = match lease::acquire(&request.destination.cluster, &request.owner.key, &options).await {
        Ok(Acquisition::Acquired(lease)) => lease,
        Ok(Acquisition::Held { holder }) => return SyncOutcome::failed(format!("{holder} is at work on it"), true),
        Err(error) => return SyncOutcome::failed(chain(&error), true),
    };
    let bound = lease.cluster();
    let outcome =
        lease.keep_renewed(Box::pin(compare_live(engine, reporter, request, &bound, lease.transitions()))).await;
    if let Err(error) = lease.release().await {
        tracing::warn!(app = request.owner.instance, error = chain(&error), "the lease was not given back");
    }
    match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(problem)) => SyncOutcome::failed(problem, true),
        Err(lost) => SyncOutcome::failed(chain(&lost), true),
    }
}

async fn compare_live(
    engine: &Services,
    reporter: Option<&Reporter>,
    request: &SyncRequest,
    cluster: &Cluster,
    transitions: u64,
) -> Result<SyncOutcome, String> {
    let recorded = state::read(cluster, &request.owner.key).await.map_err(|error| chain(&error))?;
    let version = recorded.as_ref().map(|recorded| recorded.version().to_owned());
    let mut state = recorded.map(|recorded| recorded.state).unwrap_or_default();
    let secret = engine.state_key().await.map_err(|error| chain(&error))?;
    let comparison = differences(
        cluster,
        &request.owner,
        &request.permit,
        request.objects.clone(),
        &request.rules,
        &request.checks,
        &FingerprintKey(&secret),
    )
    .await;
    let extra: BTreeSet<ObjectId> = state
        .inventory
        .iter()
        .filter(|id| !comparison.objects.contains_key(id) && !request.wants_namespace(id))
        .cloned()
        .collect();
    let mut outcome = SyncOutcome { phase: AppSyncStatus::Healthy, ..SyncOutcome::failed(String::new(), false) };
    outcome.problems.clone_from(&comparison.problems);
    outcome.warnings.clone_from(&request.warnings);
    outcome.changes = comparison.found.iter().map(|found| format!("{} differs", found.key)).collect();
    outcome.changes.extend(extra.iter().map(|id| format!("{id} is in the cluster only")));
    if !outcome.problems.is_empty() {
        outcome.phase = AppSyncStatus::Failed;
    } else if !outcome.changes.is_empty() {
        outcome.phase = AppSyncStatus::OutOfSync;
    }
    if outcome.phase == AppSyncStatus::Healthy {
        state.attempt.reach(&request.revision, Reached::All);
    }
    let told = digest(request, &outcome, &comparison);
    if state.notes.get("manual") != Some(&json!(told)) && outcome.phase != AppSyncStatus::Healthy {
        notify(reporter, request, &outcome).await;
    }
    state.notes.insert("manual".to_owned(), json!(told));
    state.notes.insert("application".to_owned(), request.application.clone());
    state.lease_transitions = transitions;
    record(&mut state, request, &comparison, &extra, &outcome);
    state::write(cluster, &request.owner.key, &state, version.as_deref()).await.map_err(|error| chain(&error))?;
    Ok(outcome)
}

/// What was told, without values: the same is not told twice.
fn digest(request: &SyncRequest, outcome: &SyncOutcome, comparison: &AppComparison) -> String {
    let prints: Vec<&str> = comparison.found.iter().map(|found| found.fingerprint.as_str()).collect();
    let text = json!([request.revision, outcome.changes, outcome.problems, prints]).to_string();
    hex::encode(Sha256::digest(text))
}

async fn notify(reporter: Option<&Reporter>, request: &SyncRequest, outcome: &SyncOutcome) {
    let Some(reporter) = reporter else { return };
    let SyncOutcome { phase, changes, problems, warnings, .. } = outcome;
    let deployment = SyncReport {
        app: &request.owner.instance,
        cluster: &request.destination.name,
        repo: &request.repo,
        sha: &request.revision,
        phase: *phase,
        changes,
        problems,
        warnings,
    };
    reporter.notify(&deployment, &request.subscriptions, None).await;
}

/// The comparison in Argo CD's shape; the health of an object that was not compared is what was seen of it last.
fn record(
    state: &mut State,
    request: &SyncRequest,
    comparison: &AppComparison,
    extra: &BTreeSet<ObjectId>,
    outcome: &SyncOutcome,
) {
    let differs = |id: &ObjectId| {
        let name = id.to_string();
        let of = |key: &str| key.split(' ').next() == Some(&name);
        comparison.found.iter().any(|found| of(&found.key)) || comparison.uncompared.contains(&name)
    };
    let status = &mut state.status;
    let known = std::mem::take(&mut status.resources);
    let row = |id: &ObjectId, version: &str, out_of_sync: bool| ResourceStatus {
        status: Some(if out_of_sync { SyncStatus::OutOfSync } else { SyncStatus::Synced }),
        health: comparison
            .health
            .get(id)
            .cloned()
            .unwrap_or_else(|| known.iter().find(|row| row.id() == *id).and_then(|row| row.health.clone())),
        ..ResourceStatus::of(id, version)
    };
    status.resources = comparison.objects.iter().map(|(id, version)| row(id, version, differs(id))).collect();
    status.resources.extend(extra.iter().map(|id| ResourceStatus { requires_pruning: true, ..row(id, "", true) }));
    status.sync.status = match outcome.phase {
        AppSyncStatus::Healthy => SyncStatus::Synced,
        AppSyncStatus::Failed => SyncStatus::Unknown,
        _ => SyncStatus::OutOfSync,
    };
    status.sync.revision.clone_from(&request.revision);
    if comparison.problems.is_empty() {
        status.health.set(comparison.health(), Timestamp::now());
    }
    status.conditions.retain(|condition| condition.kind != COMPARISON_ERROR);
    status.source_type.clone_from(&request.source_type);
    status.reconciled_at = Some(Timestamp::now());
}
