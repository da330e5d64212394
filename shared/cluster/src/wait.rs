//! Waits for objects by watching them, within a deadline; never polls.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt as _, pin_mut};
use kube::api::{ListParams, WatchParams};
use kube::core::Request;
use slipway_manifest::{Object, ObjectId};
use tokio::time::Instant;

use crate::connect::{Cluster, Event};
use crate::objects::{self, ObjectRef};
use crate::partial::WithoutManagedFields;
use slipway_gitops::error::ApiError;
use slipway_gitops::health::{self, Health};

/// Status of the condition that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionStatus {
    /// Met.
    Done,
    /// Not met yet, for this reason.
    Waiting(String),
    /// It can't be met any more, for this reason.
    Failed(String),
}

/// The result of waiting for one object.
#[derive(Debug, Clone)]
pub struct WaitResult {
    /// The last evaluation.
    pub progress: ConditionStatus,
    /// The object as last observed; its managedFields may be missing.
    pub object: Option<Object>,
}

/// Waits until `judge` returns done or failed for each object at `places`, or until `until`.
///
/// Each result is the last evaluation. An object that was done and is then deleted, such as a Job with a time to live,
/// stays done. A broken watch is opened again; its error is reported in the result.
pub async fn wait(
    cluster: &Cluster,
    places: &[ObjectRef],
    until: Instant,
    judge: impl Fn(&ObjectId, Option<&Object>) -> ConditionStatus + Sync,
) -> BTreeMap<ObjectId, WaitResult> {
    let groups = objects::collections(places);
    let waits = groups.values().map(|(_, group)| wait_for_group(cluster, group, until, &judge));
    join_all(waits).await.into_iter().flatten().collect()
}

/// Whether an object that is no hook lets the sync go on: when it is healthy, or its kind has no health
/// (argoproj/argo-cd `gitops-engine/pkg/sync/sync_context.go`).
pub fn healthy(object: Option<&Object>) -> ConditionStatus {
    is_healthy(object, object.and_then(health::of))
}

/// Like [`healthy`], for an object with the health `verdict`.
pub fn is_healthy(object: Option<&Object>, verdict: Option<health::HealthStatus>) -> ConditionStatus {
    if object.is_none() {
        return ConditionStatus::Waiting("it does not exist".to_owned());
    }
    let Some(verdict) = verdict else { return ConditionStatus::Done };
    let message = if verdict.message.is_empty() { verdict.health.to_string() } else { verdict.message };
    match verdict.health {
        Health::Healthy => ConditionStatus::Done,
        Health::Degraded => ConditionStatus::Failed(message),
        Health::Suspended | Health::Progressing | Health::Missing | Health::Unknown => {
            ConditionStatus::Waiting(message)
        }
    }
}

/// Whether an object is gone.
pub fn gone(object: Option<&Object>) -> ConditionStatus {
    let Some(object) = object else { return ConditionStatus::Done };
    let finalizers = object.pointer("/metadata/finalizers").and_then(serde_json::Value::as_array);
    let names: Vec<&str> = finalizers.into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    ConditionStatus::Waiting(if names.is_empty() {
        "it still exists".to_owned()
    } else {
        format!("finalizers hold it: {}", names.join(", "))
    })
}

type Condition<'a> = &'a (dyn Fn(&ObjectId, Option<&Object>) -> ConditionStatus + Sync);

/// The objects of one kind in one namespace share one list and one watch.
async fn wait_for_group(
    cluster: &Cluster,
    group: &[&ObjectRef],
    until: Instant,
    judge: Condition<'_>,
) -> Vec<(ObjectId, WaitResult)> {
    let start = |place: &&ObjectRef| {
        (
            place.name.clone(),
            WaitResult { progress: ConditionStatus::Waiting("nothing was seen of it yet".to_owned()), object: None },
        )
    };
    let mut outcomes: BTreeMap<String, WaitResult> = group.iter().map(start).collect();
    let watching = async {
        while let Err(error) = follow(cluster, group, judge, &mut outcomes).await {
            for outcome in outcomes.values_mut().filter(|outcome| outcome.object.is_none() && is_open(outcome)) {
                outcome.progress = ConditionStatus::Waiting(error.to_string());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    // After the deadline the result is what was observed until then.
    let _ = tokio::time::timeout_at(until, watching).await;
    let outcome = |place: &&ObjectRef| Some((place.id(), outcomes.get(&place.name)?.clone()));
    group.iter().filter_map(outcome).collect()
}

fn is_open(outcome: &WaitResult) -> bool {
    matches!(outcome.progress, ConditionStatus::Waiting(_))
}

/// Lists and watches once: returns when nothing is left to wait for, or an error when the watch breaks.
async fn follow(
    cluster: &Cluster,
    group: &[&ObjectRef],
    judge: Condition<'_>,
    outcomes: &mut BTreeMap<String, WaitResult>,
) -> Result<(), ApiError> {
    let Some(first) = group.first() else { return Ok(()) };
    let fields = match group {
        [only] => format!("metadata.name={}", only.name),
        _ => String::new(),
    };
    let listed = objects::list_for::<WithoutManagedFields>(
        cluster,
        &first.resource,
        &first.namespace,
        &ListParams::default().fields(&fields),
    )
    .await?;
    let mut found: BTreeMap<String, Object> =
        listed.objects.into_iter().map(|object| (object.name().to_owned(), object)).collect();
    for (name, outcome) in outcomes.iter_mut() {
        let object = found.remove(name);
        observe(first, name, object, judge, outcome);
    }
    if !outcomes.values().any(is_open) {
        return Ok(());
    }
    let params = WatchParams::default().fields(&fields);
    let request = Request::new(first.resource.path(&first.namespace)?);
    let events = cluster.watch::<WithoutManagedFields>(request.watch(&params, &listed.version)).await?;
    pin_mut!(events);
    while let Some(event) = events.next().await {
        let (object, exists) = match event? {
            Event::Is(object) => (object, true),
            Event::Gone(object) => (object, false),
            Event::Bookmark => continue,
        };
        let object = objects::object(object.into())?;
        let name = object.name().to_owned();
        if let Some(outcome) = outcomes.get_mut(&name) {
            observe(first, &name, exists.then_some(object), judge, outcome);
        }
        if !outcomes.values().any(is_open) {
            return Ok(());
        }
    }
    Err(ApiError::local(slipway_gitops::error::Class::Unavailable, "the watch ended"))
}

fn observe(place: &ObjectRef, name: &str, object: Option<Object>, judge: Condition<'_>, outcome: &mut WaitResult) {
    let is_going = object.as_ref().is_none_or(|object| object.pointer("/metadata/deletionTimestamp").is_some());
    if is_going && outcome.object.is_some() && outcome.progress == ConditionStatus::Done {
        return;
    }
    let id = ObjectId::new(&place.resource.gvk.group, &place.resource.gvk.kind, &place.namespace, name);
    outcome.progress = judge(&id, object.as_ref());
    outcome.object = object;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn health_decides_whether_to_go_on() {
        let object = |value| Object::from_value(value).unwrap();
        let map = object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
        assert_eq!(healthy(Some(&map)), ConditionStatus::Done);
        assert!(matches!(healthy(None), ConditionStatus::Waiting(_)));
        let job = object(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"},
            "status": {"conditions": [{"type": "Failed", "status": "True", "message": "no luck"}]}}));
        assert_eq!(healthy(Some(&job)), ConditionStatus::Failed("no luck".to_owned()));
    }

    #[test]
    fn what_holds_a_deletion_is_named() {
        let held = Object::from_value(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": ["x/y"]}}),
        )
        .unwrap();
        assert_eq!(gone(Some(&held)), ConditionStatus::Waiting("finalizers hold it: x/y".to_owned()));
        assert_eq!(gone(None), ConditionStatus::Done);
    }
}
