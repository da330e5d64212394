//! An application that only people sync: compared with its commit, recorded and told as OutOfSync with what differs, and left as
//! it is. Told again only when something about it changes.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use slipway_cluster::Cluster;
use slipway_cluster::lock::{self, Acquired};
use slipway_cluster::state::{self, Reached, State};
use slipway_cluster::status::{COMPARISON_ERROR, ResourceStatus, SyncStatus};
use slipway_manifest::ObjectId;

use super::sync::{Job, Outcome};
use crate::check::drift::Key;
use crate::check::{Comparison, differences};
use crate::engine::Engine;
use crate::error::chain;
use crate::notify::report::{Deployment, Phase};
use crate::notify::reporter::Reporter;

/// How long the Lease lasts; a comparison that takes longer renews it.
const LEASE: Duration = Duration::from_secs(30);

/// Compares the application of `job` with its cluster; writes its status and nothing else. Never fails: what went wrong is in
/// the outcome.
pub(super) async fn compare(engine: &Engine, reporter: Option<&Reporter>, job: &Job, holder: &str) -> Outcome {
    let options =
        lock::Options { holder: holder.to_owned(), duration: LEASE, patience: Duration::ZERO, wanted: String::new() };
    let lease = match lock::acquire(&job.destination.cluster, &job.owner.key, &options).await {
        Ok(Acquired::Mine(lease)) => lease,
        Ok(Acquired::Held { holder }) => return Outcome::failed(format!("{holder} is at work on it"), true),
        Err(error) => return Outcome::failed(chain(&error), true),
    };
    let bound = lease.cluster();
    let outcome = lease.hold(Box::pin(look(engine, reporter, job, &bound, lease.transitions()))).await;
    if let Err(error) = lease.release().await {
        tracing::warn!(app = job.owner.instance, error = chain(&error), "the lease was not given back");
    }
    match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(problem)) => Outcome::failed(problem, true),
        Err(lost) => Outcome::failed(chain(&lost), true),
    }
}

async fn look(
    engine: &Engine,
    reporter: Option<&Reporter>,
    job: &Job,
    cluster: &Cluster,
    transitions: u64,
) -> Result<Outcome, String> {
    let recorded = state::read(cluster, &job.owner.key).await.map_err(|error| chain(&error))?;
    let version = recorded.as_ref().map(|recorded| recorded.version().to_owned());
    let mut state = recorded.map(|recorded| recorded.state).unwrap_or_default();
    let secret = engine.state_key().await.map_err(|error| chain(&error))?;
    let comparison =
        differences(cluster, &job.owner, &job.permit, job.objects.clone(), &job.rules, &job.checks, &Key(&secret))
            .await;
    let extra: BTreeSet<ObjectId> = state
        .inventory
        .iter()
        .filter(|id| !comparison.objects.contains_key(id) && !job.wants_namespace(id))
        .cloned()
        .collect();
    let mut outcome = Outcome { phase: Phase::Healthy, ..Outcome::failed(String::new(), false) };
    outcome.problems.clone_from(&comparison.problems);
    outcome.warnings.clone_from(&job.warnings);
    outcome.changes = comparison.found.iter().map(|found| format!("{} differs", found.key)).collect();
    outcome.changes.extend(extra.iter().map(|id| format!("{id} is in the cluster only")));
    if !outcome.problems.is_empty() {
        outcome.phase = Phase::Failed;
    } else if !outcome.changes.is_empty() {
        outcome.phase = Phase::OutOfSync;
    }
    if outcome.phase == Phase::Healthy {
        state.attempt.reach(&job.revision, Reached::All);
    }
    let told = digest(job, &outcome, &comparison);
    if state.notes.get("manual") != Some(&json!(told)) && outcome.phase != Phase::Healthy {
        tell(reporter, job, &outcome).await;
    }
    state.notes.insert("manual".to_owned(), json!(told));
    state.notes.insert("application".to_owned(), job.about.clone());
    state.lease_transitions = transitions;
    record(&mut state, job, &comparison, &extra, &outcome);
    state::write(cluster, &job.owner.key, &state, version.as_deref()).await.map_err(|error| chain(&error))?;
    Ok(outcome)
}

/// What was told, without values: the same is not told twice.
fn digest(job: &Job, outcome: &Outcome, comparison: &Comparison) -> String {
    let prints: Vec<&str> = comparison.found.iter().map(|found| found.fingerprint.as_str()).collect();
    let text = json!([job.revision, outcome.changes, outcome.problems, prints]).to_string();
    hex::encode(Sha256::digest(text))
}

async fn tell(reporter: Option<&Reporter>, job: &Job, outcome: &Outcome) {
    let Some(reporter) = reporter else { return };
    let Outcome { phase, changes, problems, warnings, .. } = outcome;
    let deployment = Deployment {
        app: &job.owner.instance,
        cluster: &job.destination.name,
        repo: &job.repo,
        sha: &job.revision,
        phase: *phase,
        changes,
        problems,
        warnings,
    };
    reporter.tell(&deployment, &job.subscriptions, None).await;
}

/// The comparison in Argo CD's shape; the health of an object that was not compared is what was seen of it last.
fn record(state: &mut State, job: &Job, comparison: &Comparison, extra: &BTreeSet<ObjectId>, outcome: &Outcome) {
    let differs = |id: &ObjectId| {
        let name = id.to_string();
        let of = |key: &str| key.split(' ').next() == Some(&name);
        comparison.found.iter().any(|found| of(&found.key)) || comparison.unsure.contains(&name)
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
        Phase::Healthy => SyncStatus::Synced,
        Phase::Failed => SyncStatus::Unknown,
        _ => SyncStatus::OutOfSync,
    };
    status.sync.revision.clone_from(&job.revision);
    if comparison.problems.is_empty() {
        status.health.set(comparison.health(), Timestamp::now());
    }
    status.conditions.retain(|condition| condition.kind != COMPARISON_ERROR);
    status.source_type.clone_from(&job.source_type);
    status.reconciled_at = Some(Timestamp::now());
}
