//! Writes an Application's status: the only place where it changes, so that `app get`, Slack and commit statuses agree.
//!
//! Sync and health come from a comparison, whatever became of the operation: an application whose last sync failed is
//! Synced where nothing differs, and one that is as in Git may be Degraded (argoproj/argo-cd `controller/state.go`,
//! `controller/health.go`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use slipway_cluster::state::State;
use slipway_gitops::Revisions;
use slipway_gitops::health::{self, Health, HealthStatus};
use slipway_gitops::status::{
    COMPARISON_ERROR, Condition, Deployment, OperationPhase, OperationState, ResourceStatus, SourceTypes, Status,
    SyncStatus,
};
use slipway_gitops::sync_status;
use slipway_manifest::ObjectId;

use super::comparison::AppComparison;

/// The condition of an application whose deletion waits for a person (argoproj/argo-cd
/// `pkg/apis/application/v1alpha1/types.go`).
const DELETION_ERROR: &str = "DeletionError";
/// The condition of an application that has an object more than once (argoproj/argo-cd
/// `pkg/apis/application/v1alpha1/types.go`).
const REPEATED_RESOURCE_WARNING: &str = "RepeatedResourceWarning";
/// Objects of which that is said: the state has bounds.
const MAX_REPEATED: usize = 20;
/// The most characters of a condition's message.
const MAX_MESSAGE: usize = 2_000;

/// What is known of the objects of an application at one commit.
pub(crate) struct Observed {
    /// A row for each object that counts: those of Git, and what is live and requires pruning.
    pub resources: Vec<ResourceStatus>,
    /// Whether the cluster has what Git has.
    pub sync: SyncStatus,
    /// Whether every object could be compared; where not, the health of the application stays as it was.
    pub is_whole: bool,
    /// How often each object is in Git that is there more than once.
    pub repeated: BTreeMap<ObjectId, usize>,
}

impl Observed {
    /// What `compared` says, with the health that `known` rows had where an object could not be read.
    pub(crate) fn of(compared: &AppComparison, known: &[ResourceStatus]) -> Self {
        let unhealthy: BTreeMap<ObjectId, Option<HealthStatus>> =
            known.iter().map(|row| (row.id(), row.health.clone())).collect();
        let row = |id: &ObjectId, version: &str| ResourceStatus {
            status: Some(match compared.results.get(id) {
                Some(verdict) => verdict.status,
                None if compared.uncompared.contains(&id.to_string()) => SyncStatus::Unknown,
                None => SyncStatus::Synced,
            }),
            health: compared.health.get(id).or_else(|| unhealthy.get(id)).cloned().flatten(),
            requires_pruning: compared.extraneous.contains_key(id),
            ..ResourceStatus::of(id, version)
        };
        let desired = compared.objects.iter().map(|(id, version)| row(id, version));
        let extraneous = compared.extraneous.iter().map(|(id, live)| row(id, live.version()));
        let results = compared.results.values().copied().map(Some);
        Self {
            resources: desired.chain(extraneous).collect(),
            sync: sync_status::aggregate(results, !compared.problems.is_empty()),
            is_whole: compared.problems.is_empty(),
            repeated: compared.repeated.clone(),
        }
    }

    /// The same with rows of what the application declares to Argo CD, which no cluster has.
    pub(crate) fn with(mut self, declared: Vec<ResourceStatus>) -> Self {
        let is_synced = |row: &ResourceStatus| row.status == Some(SyncStatus::Synced);
        if self.sync == SyncStatus::Synced && !declared.iter().all(is_synced) {
            self.sync = SyncStatus::OutOfSync;
        }
        self.resources.extend(declared);
        self
    }

    /// Writes it as the comparison with the commits `revisions`.
    pub(crate) fn write(self, status: &mut Status, revisions: &Revisions, now: Timestamp) {
        self.set_health(status, now);
        write_repeated(status, &self.repeated, now);
        status.resources = self.resources;
        status.sync.status = self.sync;
        status.sync.revisions.clone_from(revisions);
        status.conditions.retain(|condition| condition.kind != COMPARISON_ERROR);
        status.reconciled_at = Some(now);
    }

    fn set_health(&self, status: &mut Status, now: Timestamp) {
        if self.is_whole {
            let counted = self.resources.iter().filter(|row| !is_unknown_child(row));
            status.health.set(health::aggregate(counted.map(|row| row.health.as_ref())), now);
        }
    }

    /// Writes of it how well the objects are, where the status tells of another commit than was compared with.
    pub(crate) fn write_health(self, status: &mut Status, now: Timestamp) {
        self.set_health(status, now);
        let seen: BTreeMap<ObjectId, Option<HealthStatus>> =
            self.resources.into_iter().map(|row| (row.id(), row.health)).collect();
        for row in &mut status.resources {
            if let Some(health) = seen.get(&row.id()) {
                row.health.clone_from(health);
            }
        }
        status.reconciled_at = Some(now);
    }
}

/// Whether the row is of a child Application that is missing or of which nothing is known: it does not make its parent
/// worse (argoproj/argo-cd `controller/health.go`).
fn is_unknown_child(row: &ResourceStatus) -> bool {
    let is_child = row.group == "argoproj.io" && row.kind == "Application";
    is_child && row.health.as_ref().is_some_and(|found| matches!(found.health, Health::Missing | Health::Unknown))
}

/// Writes that the cluster could not be compared with Git. `revisions` are the commits, where some are
/// meant.
pub(crate) fn write_unknown(status: &mut Status, revisions: Option<&Revisions>, now: Timestamp) {
    status.sync.status = SyncStatus::Unknown;
    if let Some(revisions) = revisions {
        status.sync.revisions.clone_from(revisions);
    }
    status.reconciled_at = Some(now);
}

/// Writes why the commits `revisions` can't be compared with the cluster.
pub(crate) fn write_comparison_error(status: &mut Status, revisions: &Revisions, problem: &str, now: Timestamp) {
    write_unknown(status, Some(revisions), now);
    set_condition(status, COMPARISON_ERROR, problem, now);
}

/// Writes the last operation, or the one under way.
pub(crate) fn write_operation(status: &mut Status, operation: OperationState) {
    status.operation_state = Some(operation);
}

/// Writes the sources that are compared, where `application` has several (argoproj/argo-cd `controller/state.go`).
pub(crate) fn write_compared_to(status: &mut Status, application: &Value) {
    let field = |name: &str| Some((name.to_owned(), application.get("spec")?.get(name)?.clone()));
    status.sync.compared_to = match field("sources") {
        Some(sources) => field("destination").into_iter().chain([sources]).collect(),
        None => Map::new(),
    };
}

/// Writes what rendered the objects and which images they name.
pub(crate) fn write_source(status: &mut Status, source_types: &SourceTypes, images: Option<&[String]>) {
    status.source_types.clone_from(source_types);
    if let Some(images) = images {
        status.summary.images = images.to_vec();
    }
}

/// Appends a deployment to the history, under the next number.
pub(crate) fn push_history(status: &mut Status, deployment: Deployment) {
    let id = status.history.last().map_or(0, |last| last.id.saturating_add(1));
    status.history.push(Deployment { id, ..deployment });
}

/// Ends the operation of a worker that is gone: where a person began it, nothing else goes on with it.
pub(crate) fn fail_interrupted(state: &mut State, message: &str, now: Timestamp) {
    state.operation = None;
    if let Some(last) = state.status.operation_state.as_mut().filter(|last| !last.phase.is_completed()) {
        last.phase = OperationPhase::Failed;
        message.clone_into(&mut last.message);
        last.finished_at = Some(now);
    }
}

/// Writes that a deletion begins: the operation before says nothing of it.
pub(crate) fn begin_deletion(status: &mut Status) {
    status.operation_state = None;
}

/// Writes a warning for each object that is in Git more than once; one that stands keeps its time (argoproj/argo-cd
/// `controller/state.go`, DeduplicateTargetObjects).
fn write_repeated(status: &mut Status, repeated: &BTreeMap<ObjectId, usize>, now: Timestamp) {
    let message = |(ObjectId { group, kind, namespace, name, .. }, count): (&ObjectId, &usize)| {
        let key = format!("{group}/{kind}/{namespace}/{name}");
        format!("Resource {key} appeared {count} times among application resources.")
    };
    let (standing, others) = std::mem::take(&mut status.conditions)
        .into_iter()
        .partition::<Vec<_>, _>(|condition| condition.kind == REPEATED_RESOURCE_WARNING);
    let wanted = repeated.iter().take(MAX_REPEATED).map(message).map(|message| {
        let known = standing.iter().find(|condition| condition.message == message).cloned();
        let kind = REPEATED_RESOURCE_WARNING.to_owned();
        known.unwrap_or(Condition { kind, message, last_transition_time: Some(now) })
    });
    status.conditions = others.into_iter().chain(wanted).collect();
}

/// Writes what holds a deletion.
pub(crate) fn write_deletion_error(status: &mut Status, problem: &str, now: Timestamp) {
    set_condition(status, DELETION_ERROR, problem, now);
}

/// Writes that nothing is deleted any more; `is_begun` where the deletion was an operation.
pub(crate) fn end_deletion(status: &mut Status, is_begun: bool) {
    status.conditions.retain(|condition| condition.kind != DELETION_ERROR);
    if is_begun {
        status.operation_state = None;
    }
}

/// A condition stands once for each type.
fn set_condition(status: &mut Status, kind: &str, message: &str, now: Timestamp) {
    status.conditions.retain(|condition| condition.kind != kind);
    status.conditions.push(Condition {
        kind: kind.to_owned(),
        message: message.chars().take(MAX_MESSAGE).collect(),
        last_transition_time: Some(now),
    });
}

#[cfg(test)]
mod tests {
    use slipway_gitops::sync_status::ComparisonResult;

    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId::new("", "ConfigMap", "shop", name)
    }

    fn compared() -> AppComparison {
        let mut compared = AppComparison::default();
        for (name, status) in [("same", SyncStatus::Synced), ("differs", SyncStatus::OutOfSync)] {
            compared.objects.insert(id(name), "v1".to_owned());
            compared.results.insert(id(name), ComparisonResult { status, counts: true });
            compared.health.insert(id(name), None);
        }
        compared
    }

    #[test]
    fn rows_and_sync_status_come_from_the_comparison() {
        let mut status = Status::default();
        let now = Timestamp::UNIX_EPOCH;
        Observed::of(&compared(), &[]).write(&mut status, &"abc".into(), now);
        let rows: Vec<_> = status.resources.iter().map(|row| (row.name.as_str(), row.status)).collect();
        assert_eq!(rows, [("differs", Some(SyncStatus::OutOfSync)), ("same", Some(SyncStatus::Synced))]);
        assert_eq!((status.sync.status, &status.sync.revisions), (SyncStatus::OutOfSync, &"abc".into()));
        assert_eq!(status.health.status, Health::Healthy);
    }

    #[test]
    fn what_could_not_be_compared_is_unknown_and_keeps_its_health() {
        let mut compared = compared();
        compared.objects.insert(id("unread"), "v1".to_owned());
        compared.uncompared.push(id("unread").to_string());
        compared.problems.push("failed to read".to_owned());
        let health = Some(HealthStatus::new(Health::Degraded, "as before"));
        let known = ResourceStatus { health: health.clone(), ..ResourceStatus::of(&id("unread"), "v1") };
        let mut status = Status::default();
        Observed::of(&compared, &[known]).write(&mut status, &"abc".into(), Timestamp::UNIX_EPOCH);
        let unread = status.resources.iter().find(|row| row.name == "unread").unwrap();
        assert_eq!((unread.status, &unread.health), (Some(SyncStatus::Unknown), &health));
        assert_eq!((status.sync.status, status.health.last_transition_time), (SyncStatus::Unknown, None));
    }

    #[test]
    fn a_child_of_which_nothing_is_known_does_not_count() {
        let child = ObjectId::new("argoproj.io", "Application", "argocd", "child");
        let health = |found| {
            let row = ResourceStatus {
                health: Some(HealthStatus::new(found, "")),
                status: Some(SyncStatus::Synced),
                ..ResourceStatus::of(&child, "v1alpha1")
            };
            let mut status = Status::default();
            Observed::of(&compared(), &[]).with(vec![row]).write(&mut status, &"a".into(), Timestamp::UNIX_EPOCH);
            assert_eq!(status.resources.len(), 3);
            status.health.status
        };
        for (found, expected) in [
            (Health::Healthy, Health::Healthy),
            (Health::Missing, Health::Healthy),
            (Health::Unknown, Health::Healthy),
            (Health::Progressing, Health::Progressing),
            (Health::Degraded, Health::Degraded),
        ] {
            assert_eq!(health(found), expected);
        }
    }

    #[test]
    fn a_condition_stands_once() {
        let mut status = Status::default();
        write_comparison_error(&mut status, &"a".into(), "first", Timestamp::UNIX_EPOCH);
        write_comparison_error(&mut status, &"b".into(), &"x".repeat(3_000), Timestamp::UNIX_EPOCH);
        assert_eq!(status.conditions.len(), 1);
        assert_eq!(status.conditions[0].message.len(), MAX_MESSAGE);
        assert_eq!(status.sync.status, SyncStatus::Unknown);
    }

    #[test]
    fn what_is_there_more_than_once_is_a_warning_until_it_is_not() {
        let mut status = Status::default();
        write_comparison_error(&mut status, &"a".into(), "first", Timestamp::UNIX_EPOCH);
        let [one, two] = [("one", 2), ("two", 3)].map(|(name, count)| (id(name), count));
        write_repeated(&mut status, &[one.clone(), two].into(), Timestamp::UNIX_EPOCH);
        let before = status.conditions.clone();
        let said: Vec<&str> = before.iter().map(|condition| condition.message.as_str()).collect();
        let words = "times among application resources.";
        let [first, second] = [("one", 2), ("two", 3)]
            .map(|(name, count)| format!("Resource /ConfigMap/shop/{name} appeared {count} {words}"));
        assert_eq!(said, ["first", &first, &second]);
        write_repeated(&mut status, &[one].into(), Timestamp::MAX);
        assert_eq!(status.conditions, before[..2], "its time stays");
        write_repeated(&mut status, &BTreeMap::new(), Timestamp::MAX);
        assert_eq!(status.conditions, before[..1]);
    }

    #[test]
    fn history_counts_up() {
        let mut status = Status::default();
        for revision in ["a", "b"] {
            let deployment = Deployment {
                id: 0,
                revisions: revision.into(),
                deployed_at: Timestamp::UNIX_EPOCH,
                deploy_started_at: None,
                sources: slipway_gitops::status::RecordedSources::default(),
                initiated_by: slipway_gitops::status::Initiator::automated(),
            };
            push_history(&mut status, deployment);
        }
        assert_eq!(status.history.iter().map(|one| one.id).collect::<Vec<_>>(), [0, 1]);
    }
}
