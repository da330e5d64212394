//! Diagnoses what blocks a sync: the object, the pod, its waiting reason, the last event, the last lines of a log.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use slipway_cluster::diagnose::diagnose;
use slipway_gitops::health::Health;
use slipway_gitops::status::ResourceResult;
use slipway_manifest::ObjectId;

use super::{SyncOperation, WORKLOADS};
use crate::reconcile::notes::{Diagnosed, Note as _};

/// Diagnosed objects of one report: each costs some requests, and a reader needs only the first.
const MAX_DIAGNOSES: usize = 3;
/// A report waits no longer than this for its diagnoses.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(5);

impl SyncOperation<'_> {
    /// Like [`SyncOperation::diagnoses`], but asks only once for a sync that goes on in other invocations while its
    /// objects stay as they are.
    pub(super) async fn diagnose(&mut self) -> Vec<String> {
        let ids = self.progress.running().map(|(id, _)| id);
        let version = |id: &ObjectId| self.snapshot.live.get(id)?.pointer("/metadata/resourceVersion").cloned();
        let operation = self.executor.state.operation.as_ref().map(|operation| &operation.id);
        let key = json!([operation, self.progress.message, ids.map(version).collect::<Vec<_>>()]);
        if let Some(known) = Diagnosed::of(&self.executor.state).filter(|known| known.key == key) {
            return known.lines;
        }
        let lines = self.diagnoses().await;
        if operation.is_some() && !self.progress.phase.is_completed() {
            Diagnosed { key, lines: lines.clone() }.keep(&mut self.executor.state);
        } else {
            Diagnosed::forget(&mut self.executor.state);
        }
        lines
    }

    /// Diagnoses what failed, is degraded or is still progressing.
    pub(super) async fn diagnoses(&self) -> Vec<String> {
        let executor = &self.executor;
        let is_bad = |(id, health): (&ObjectId, Health)| {
            health == Health::Degraded || health == Health::Progressing && WORKLOADS.contains(&id.kind.as_str())
        };
        let unwell = executor.health.iter().filter(|(id, verdict)| is_bad((id, verdict.health))).map(|(id, _)| id);
        let running = self.progress.running().map(|(id, _)| id);
        let failed: Vec<ObjectId> = self.progress.failed().map(ResourceResult::id).collect();
        let ids: BTreeSet<&ObjectId> = failed.iter().chain(running).chain(unwell).collect();
        let asked = ids
            .into_iter()
            .filter_map(|id| Some((executor.objects.get(id)?, self.snapshot.live.get(id)?)))
            .take(MAX_DIAGNOSES);
        let asked = asked.map(|(place, live)| diagnose(&executor.cluster, place, Some(live)));
        let found = tokio::time::timeout(DIAGNOSIS_TIMEOUT, join_all(asked)).await.unwrap_or_default();
        found.into_iter().flatten().map(|found| found.to_string()).collect()
    }
}
