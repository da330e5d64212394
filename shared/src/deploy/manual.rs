//! Compares an application that only people sync with its commit: recorded and told as OutOfSync with what differs, and
//! left as it is. Told again only when something about it changes.

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use slipway_cluster::state::Reached;
use slipway_gitops::status::SyncStatus;

use crate::error::chain;
use crate::notify::report::{AppSyncStatus, SyncReport};
use crate::notify::reporter::Reporter;
use crate::reconcile::comparison::{AppComparison, Scope, differences};
use crate::reconcile::drift::FingerprintKey;
use crate::reconcile::notes::{ApplicationSummary, FirstManifest, Note as _, ReportedOutOfSync};
use crate::reconcile::session::{Opened, Session};
use crate::reconcile::status::{self, Observed};
use crate::reconcile::sync::{SyncOutcome, SyncRequest};
use crate::services::Services;

/// Compares the application of `request` with its cluster; writes its status and nothing else. Never fails: what went
/// wrong is in the outcome.
pub(super) async fn compare(
    engine: &Services,
    reporter: Option<&Reporter>,
    request: &SyncRequest,
    holder: &str,
) -> SyncOutcome {
    let session = match Session::open(&request.destination.cluster, &request.owner.key, holder).await {
        Ok(Opened::Ours(session)) => session,
        Ok(Opened::HeldBy(holder)) => return SyncOutcome::in_progress_by(&holder),
        Err(error) => return SyncOutcome::failed(chain(&error), true),
    };
    let outcome = session.hold(Box::pin(compare_live(engine, reporter, request, &session))).await;
    session.close().await;
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
    session: &Session,
) -> Result<SyncOutcome, String> {
    let stored = session.read().await.map_err(|error| chain(&error))?;
    let version = stored.as_ref().map(|stored| stored.version().to_owned());
    let mut state = stored.map(|stored| stored.state).unwrap_or_default();
    let keys = engine.state_keys().await.map_err(|error| chain(&error))?;
    let scope = Scope {
        owner: &request.owner,
        permit: &request.permit,
        rules: &request.rules,
        checks: &request.checks,
        inventory: &state.inventory,
        kept_namespace: request.kept_namespace(),
        validate: !request.policy.options.no_validate,
        key: &FingerprintKey(&keys),
    };
    let compared = differences(&session.cluster(), &scope, request.objects.clone()).await;
    let observed = Observed::of(&compared, &state.status.resources).with(request.declared.clone());
    let mut outcome = SyncOutcome { warnings: request.warnings.clone(), ..SyncOutcome::default() };
    outcome.problems.clone_from(&compared.problems);
    outcome.changes = compared.found.iter().map(|found| format!("{} differs", found.key)).collect();
    outcome.changes.extend(compared.extraneous.keys().map(|id| format!("{id} is in the cluster only")));
    let unsynced = request.declared.iter().filter(|row| row.status == Some(SyncStatus::OutOfSync));
    outcome.changes.extend(unsynced.map(|row| {
        let how = if row.requires_pruning { "is declared no longer" } else { "differs" };
        format!("{} {how}", row.id())
    }));
    outcome.phase = match observed.sync {
        SyncStatus::Unknown => AppSyncStatus::Failed,
        SyncStatus::OutOfSync => AppSyncStatus::OutOfSync,
        SyncStatus::Synced => AppSyncStatus::Healthy,
    };
    if outcome.phase == AppSyncStatus::Healthy {
        state.attempt.reach(&request.revisions, request.spec_digest.as_deref(), Reached::All);
        state.attempt.inputs_digest.clone_from(&request.inputs_digest);
    }
    let told = ReportedOutOfSync(digest(request, &outcome, &compared));
    if ReportedOutOfSync::of(&state).as_ref() != Some(&told) && outcome.phase != AppSyncStatus::Healthy {
        notify(reporter, request, &outcome).await;
    }
    told.keep(&mut state);
    ApplicationSummary(request.application.clone()).keep(&mut state);
    FirstManifest::keep_or_forget(request.first_manifest.as_deref(), &mut state);
    request.charts.keep_or_forget(&mut state);
    observed.write(&mut state.status, &request.revisions, Timestamp::now());
    status::write_compared_to(&mut state.status, &request.application);
    status::write_source(&mut state.status, &request.source_types, None);
    session.write(&mut state, version.as_deref()).await.map_err(|error| chain(&error))?;
    Ok(outcome)
}

/// A digest of what was told, without values: the same is not told twice.
fn digest(request: &SyncRequest, outcome: &SyncOutcome, compared: &AppComparison) -> String {
    let prints: Vec<&str> = compared.found.iter().map(|found| found.fingerprint.as_str()).collect();
    let text = json!([request.revisions.to_string(), outcome.changes, outcome.problems, prints]).to_string();
    hex::encode(Sha256::digest(text))
}

async fn notify(reporter: Option<&Reporter>, request: &SyncRequest, outcome: &SyncOutcome) {
    let Some(reporter) = reporter else { return };
    let SyncOutcome { phase, changes, problems, warnings, .. } = outcome;
    let (repo, sha) = request.commit(request.reported);
    let report = SyncReport {
        app: &request.owner.instance,
        cluster: &request.destination.name,
        repo,
        sha,
        phase: *phase,
        changes,
        problems,
        warnings,
    };
    reporter.notify(&report, &request.subscriptions, None).await;
}
