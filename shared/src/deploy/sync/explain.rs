//! What blocks a sync, named: the object, the pod, its waiting reason, the last event, the last lines of a log.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use slipway_cluster::explain::explain;
use slipway_cluster::health::Health;
use slipway_cluster::status::ResourceResult;
use slipway_manifest::ObjectId;

use super::{Run, WORKLOADS};

/// So many objects are explained: each takes some requests, and readers need the first.
const MOST: usize = 3;
/// A report does not wait longer for its reasons.
const LIMIT: Duration = Duration::from_secs(5);

/// Where the state keeps the reasons of a sync that waits.
const NOTE: &str = "explained";

impl Run<'_> {
    /// As [`Run::explanations`], but asked only once for a sync that goes on in other invocations while its objects stay as they are.
    pub(super) async fn explained(&mut self) -> Vec<String> {
        let ids = self.progress.running().map(|(id, _)| id);
        let version = |id: &ObjectId| self.view.live.get(id)?.pointer("/metadata/resourceVersion").cloned();
        let operation = self.book.state.operation.as_ref().map(|operation| &operation.id);
        let key = json!([operation, self.progress.message, ids.map(version).collect::<Vec<_>>()]);
        let known = self.book.state.notes.get(NOTE).filter(|note| note.get("key") == Some(&key));
        if let Some(lines) = known.and_then(|note| serde_json::from_value(note.get("lines")?.clone()).ok()) {
            return lines;
        }
        let lines = self.explanations().await;
        if operation.is_some() && !self.progress.phase.is_completed() {
            self.book.state.notes.insert(NOTE.to_owned(), json!({ "key": key, "lines": lines }));
        } else {
            self.book.state.notes.shift_remove(NOTE);
        }
        lines
    }

    /// The root causes of what failed, is degraded or is waited for.
    pub(super) async fn explanations(&self) -> Vec<String> {
        let book = &self.book;
        let is_bad = |(id, health): (&ObjectId, Health)| {
            health == Health::Degraded || health == Health::Progressing && WORKLOADS.contains(&id.kind.as_str())
        };
        let unwell = book.health.iter().filter(|(id, verdict)| is_bad((id, verdict.health))).map(|(id, _)| id);
        let running = self.progress.running().map(|(id, _)| id);
        let failed: Vec<ObjectId> = self.progress.failed().map(ResourceResult::id).collect();
        let ids: BTreeSet<&ObjectId> = failed.iter().chain(running).chain(unwell).collect();
        let asked = ids.into_iter().filter_map(|id| Some((book.places.get(id)?, self.view.live.get(id)?))).take(MOST);
        let asked = asked.map(|(place, live)| explain(&book.cluster, place, Some(live)));
        let found = tokio::time::timeout(LIMIT, join_all(asked)).await.unwrap_or_default();
        found.into_iter().flatten().map(|found| found.to_string()).collect()
    }
}
