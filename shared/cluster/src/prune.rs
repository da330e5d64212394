//! Deleting what Git has no more, and never on doubt.
//!
//! Guarantees: only an object that the inventory holds, whose ApplySet label and tracking id both say it is the application's, and that is
//! still the very one looked at (uid) is deleted. The brake holds a prune that looks like an accident.

use std::collections::BTreeSet;

use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_manifest::{Object, ObjectId};

use crate::connect::Cluster;
use crate::error::{ApiError, Class, Failure, Verb};
use crate::live::Place;
use crate::plan::Owner;
use crate::state;
use crate::tracking;

/// What happens to what an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// It goes first.
    #[default]
    Foreground,
    /// It goes later.
    Background,
    /// It stays.
    Orphan,
}

/// What became of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pruned {
    /// It is deleted, or will be when its finalizers let it go.
    Deleted,
    /// It was gone already.
    Gone,
    /// It was being deleted already.
    AlreadyDeleting,
    /// It stays, for this reason.
    Spared(String),
}

/// Deletes `live` at `place` if it is beyond doubt `owner`'s; in a dry run only asks whether it could.
pub async fn prune(
    cluster: &Cluster,
    place: &Place,
    live: &Object,
    owner: &Owner,
    inventory: &BTreeSet<ObjectId>,
    propagation: Propagation,
    dry_run: bool,
) -> Result<Pruned, Failure> {
    if live.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null()) {
        return Ok(Pruned::AlreadyDeleting);
    }
    if let Some(doubt) = doubt(live, owner, inventory) {
        return Ok(Pruned::Spared(doubt));
    }
    delete(cluster, place, live, propagation, dry_run).await
}

/// Deletes `live` at `place`, and no other object of that name; whose it is, the caller knows.
pub async fn delete(
    cluster: &Cluster,
    place: &Place,
    live: &Object,
    propagation: Propagation,
    dry_run: bool,
) -> Result<Pruned, Failure> {
    if holds_state(live) {
        return Ok(Pruned::Spared(HOLDS_STATE.to_owned()));
    }
    let Some(uid) = live.pointer("/metadata/uid").and_then(Value::as_str) else {
        return Ok(Pruned::Spared("it has no uid".to_owned()));
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
        Ok(_) => Ok(Pruned::Deleted),
        Err(error) if error.class == Class::NotFound => Ok(Pruned::Gone),
        Err(ApiError { class: Class::Conflict, .. }) => {
            Ok(Pruned::Spared("it was replaced by another of the same name".to_owned()))
        }
        Err(error) => Err(place.failed(Verb::Delete)(error)),
    }
}

/// Why `live` must not be deleted in the name of `owner`; `None` where nothing speaks against it. Pure.
pub fn doubt(live: &Object, owner: &Owner, inventory: &BTreeSet<ObjectId>) -> Option<String> {
    let id = live.id();
    if holds_state(live) {
        return Some(HOLDS_STATE.to_owned());
    }
    if !inventory.contains(&id) {
        return Some("it is not in the inventory of what was applied".to_owned());
    }
    if !tracking::is_ours(live, &owner.app, &owner.applyset) {
        return Some("its tracking id and its ApplySet label do not both say that it is this application's".to_owned());
    }
    None
}

const HOLDS_STATE: &str = "it holds the state of every application";

/// Whether `live` is the Namespace without which nobody knows what is whose.
fn holds_state(live: &Object) -> bool {
    (live.group(), live.kind(), live.name()) == ("", "Namespace", state::NAMESPACE)
}

/// Whether a prune may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Clear,
    /// It waits for the approval of exactly this plan.
    Held {
        /// What looks like an accident.
        reason: String,
        /// What an approval has to name.
        digest: String,
    },
}

/// A digest of exactly what would be deleted: what an approval is for.
pub fn digest(prunes: &BTreeSet<ObjectId>) -> String {
    let ids: Vec<String> =
        prunes.iter().map(|id| format!("{}/{}/{}/{}", id.group, id.kind, id.namespace, id.name)).collect();
    let hash = Sha256::digest(ids.join("\n"));
    hex::encode(hash.iter().copied().take(8).collect::<Vec<u8>>())
}

/// The brake: holds `prunes` after which no member but hooks would survive, unless `allow_empty`, and more than ten members and more than a
/// fifth of them, unless `approved` is the digest of exactly these. `members` is how many objects the inventory holds. Pure.
pub fn brake(
    prunes: &BTreeSet<ObjectId>,
    survivors: usize,
    members: usize,
    allow_empty: bool,
    approved: Option<&str>,
) -> Verdict {
    let (count, digest) = (prunes.len(), digest(prunes));
    if count == 0 || approved == Some(digest.as_str()) {
        return Verdict::Clear;
    }
    let reason = if survivors == 0 && !allow_empty {
        format!("all {count} objects of the application would be deleted")
    } else if count > 10.max(members / 5) {
        format!("{count} of {members} objects would be deleted")
    } else {
        return Verdict::Clear;
    };
    Verdict::Held { reason, digest }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn prunes(count: usize) -> BTreeSet<ObjectId> {
        (0..count).map(|n| ObjectId::new("", "ConfigMap", "a", format!("c{n}"))).collect()
    }

    fn is_held(count: usize, survivors: usize, allow_empty: bool) -> bool {
        brake(&prunes(count), survivors, count + survivors, allow_empty, None) != Verdict::Clear
    }

    #[test]
    fn the_brake_holds_what_looks_like_an_accident() {
        assert!(!is_held(0, 0, false));
        assert!(is_held(1, 0, false));
        assert!(!is_held(1, 0, true));
        assert!(!is_held(10, 1, false));
        assert!(is_held(11, 1, false));
        assert!(!is_held(20, 80, false));
        assert!(is_held(21, 79, false));
    }

    /// Whoever applied the Namespace, and whatever project allows it.
    #[test]
    fn the_namespace_of_the_state_is_not_deleted() {
        let owner = Owner { app: "shop".to_owned(), applyset: "set".to_owned(), namespace: "shop".to_owned() };
        for (kind, name, stays) in
            [("Namespace", "slipway", true), ("Namespace", "other", false), ("Node", "slipway", false)]
        {
            let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
            let mut object = Object::from_value(object).unwrap();
            let id = owner.mark(&mut object);
            let doubt = doubt(&object, &owner, &BTreeSet::from([id]));
            assert_eq!(doubt.is_some(), stays, "{kind} {name}: {doubt:?}");
        }
    }

    #[test]
    fn an_approval_is_for_exactly_one_plan() {
        let approved = digest(&prunes(11));
        assert_eq!(brake(&prunes(11), 1, 12, false, Some(&approved)), Verdict::Clear);
        assert_ne!(brake(&prunes(12), 1, 13, false, Some(&approved)), Verdict::Clear);
    }
}
