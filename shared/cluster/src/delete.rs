//! Deletes objects that Git no longer has, and only those that provably belong to the application.
//!
//! Guarantees: an object is deleted only where the inventory holds it, its ApplySet label and tracking id both name the
//! application, and it is still the one that was read (uid). A prune that looks like an accident waits for approval
//! ([`slipway_gitops::prune_guard`]).

use std::collections::BTreeSet;

use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use serde_json::Value;
use slipway_manifest::{Object, ObjectId};

use crate::connect::Cluster;
use crate::objects::ObjectRef;
use slipway_gitops::error::{ApiError, Class, Failure, Verb};
use slipway_gitops::identity::AppIdentity;
use slipway_gitops::prune_guard::{HOLDS_STATE, Propagation, holds_state, ownership_mismatch};

/// The result of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PruneResult {
    /// Deleted, or deleted as soon as its finalizers are removed.
    Deleted,
    /// Already gone.
    Gone,
    /// Already being deleted.
    AlreadyDeleting,
    /// Not deleted, for this reason.
    Kept(String),
}

/// Deletes `live` at `place` if it provably belongs to `owner`; a dry run only checks that.
pub async fn prune(
    cluster: &Cluster,
    place: &ObjectRef,
    live: &Object,
    owner: &AppIdentity,
    inventory: &BTreeSet<ObjectId>,
    propagation: Propagation,
    dry_run: bool,
) -> Result<PruneResult, Failure> {
    if live.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null()) {
        return Ok(PruneResult::AlreadyDeleting);
    }
    if let Some(mismatch) = ownership_mismatch(live, owner, inventory) {
        return Ok(PruneResult::Kept(mismatch));
    }
    delete(cluster, place, live, propagation, dry_run).await
}

/// Deletes exactly `live` at `place`, no other object of that name; the caller has checked its owner.
pub async fn delete(
    cluster: &Cluster,
    place: &ObjectRef,
    live: &Object,
    propagation: Propagation,
    dry_run: bool,
) -> Result<PruneResult, Failure> {
    if holds_state(live) {
        return Ok(PruneResult::Kept(HOLDS_STATE.to_owned()));
    }
    let Some(uid) = live.pointer("/metadata/uid").and_then(Value::as_str) else {
        return Ok(PruneResult::Kept("it has no uid".to_owned()));
    };
    let params = DeleteParams {
        dry_run,
        propagation_policy: Some(match propagation {
            Propagation::Foreground => PropagationPolicy::Foreground,
            Propagation::Background => PropagationPolicy::Background,
            Propagation::Orphan => PropagationPolicy::Orphan,
        }),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    let answer = async {
        let (request, name) = place.named()?;
        cluster.send(request.delete(&name, &params)).await
    };
    match answer.await {
        Ok(_) => Ok(PruneResult::Deleted),
        Err(error) if error.class == Class::NotFound => Ok(PruneResult::Gone),
        Err(ApiError { class: Class::Conflict, .. }) => {
            Ok(PruneResult::Kept("it was replaced by another of the same name".to_owned()))
        }
        Err(error) => Err(place.failed(Verb::Delete)(error)),
    }
}
