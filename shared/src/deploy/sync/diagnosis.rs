//! What blocks a sync, named: the object, the pod, its waiting reason, the last event, the last lines of a log.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use slipway_cluster::diagnose::diagnose;
use slipway_gitops::health::Health;
use slipway_gitops::status::ResourceResult;
use slipway_manifest::ObjectId;

use super::{SyncOperation, WORKLOADS};

/// So many objects are explained: each takes some requests, and readers need the first.
const MAX_DIAGNOSES: usize = 3;
/// A report does not wait longer for its reasons.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the state keeps the reasons of a sync that waits.
const DIAGNOSIS_NOTE: &str = "explained";

impl SyncOperation<'_> {
    /// As [`Run::explanations`], but asked only once for a sync that goes on in other invocations while its objects
    /// stay as they are.
    pub(super) async fn diagnose(&mut self) -> Vec<String> {
        let ids = self.progress.running().map(|(id, _)| id);
        let version = |id: &ObjectId| self.snapshot.live.get(id)?.pointer("/metadata/resourceVersion").cloned();
        let operation = self.executor.state.operation.as_ref().map(|operation| &operation.id);
        let key = json!([operation, self.progress.message, ids.map(version).collect::<Vec<_>>()]);
        let known = self.executor.state.notes.get(DIAGNOSIS_NOTE).filter(|note| note.get("key") == Some(&key));
        if let Some(lines) = known.and_then(|note| serde_json::from_value(note.get("lines")?.clone()).ok()) {
            return lines;
        }
        let lines = self.diagnoses().await;
        if operation.is_some() && !self.progress.phase.is_completed() {
            self.executor.state.notes.insert(DIAGNOSIS_NOTE.to_owned(), json!({ "key": key, "lines": lines }));
        } else {
            self.executor.state.notes.shift_remove(DIAGNOSIS_NOTE);
        }
        lines
    }

    /// The root causes of what failed, is degraded or is waited for.
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
