//! Guards prunes: decides what must not be deleted, and which prunes need approval.

use crate::identity::{AppIdentity, STATE_NAMESPACE};
use crate::tracking;
use sha2::{Digest as _, Sha256};
use slipway_manifest::{Object, ObjectId};
use std::collections::BTreeSet;

/// Deletion propagation: what happens to dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// Dependents are deleted first.
    #[default]
    Foreground,
    /// Dependents are deleted afterwards.
    Background,
    /// Dependents are kept.
    Orphan,
}

/// Returns why `live` may not be pruned for `owner`, or `None`. Pure.
pub fn ownership_mismatch(live: &Object, owner: &AppIdentity, inventory: &BTreeSet<ObjectId>) -> Option<String> {
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

/// The decision on a prune.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PruneDecision {
    /// The prune may proceed.
    Allowed,
    /// The prune needs approval of exactly this plan.
    NeedsApproval {
        /// Why it looks like an accident.
        reason: String,
        /// The digest that an approval has to name.
        digest: String,
    },
}

/// A digest of exactly the objects to delete, for an approval to name.
pub fn digest(prunes: &BTreeSet<ObjectId>) -> String {
    let ids: Vec<String> =
        prunes.iter().map(|id| format!("{}/{}/{}/{}", id.group, id.kind, id.namespace, id.name)).collect();
    let hash = Sha256::digest(ids.join("\n"));
    hex::encode(hash.iter().copied().take(8).collect::<Vec<u8>>())
}

/// Decides whether `prunes` need approval. They do if
/// * no object except hooks would be left, unless `allow_empty`, or
/// * they are more than ten objects and more than a fifth of the `members` of the inventory,
///
/// unless `approved` is the digest of exactly these objects. Pure.
pub fn prune_guard(
    prunes: &BTreeSet<ObjectId>,
    survivors: usize,
    members: usize,
    allow_empty: bool,
    approved: Option<&str>,
) -> PruneDecision {
    let (count, digest) = (prunes.len(), digest(prunes));
    if count == 0 || approved == Some(digest.as_str()) {
        return PruneDecision::Allowed;
    }
    let reason = if survivors == 0 && !allow_empty {
        format!("all {count} objects of the application would be deleted")
    } else if count > 10.max(members / 5) {
        format!("{count} of {members} objects would be deleted")
    } else {
        return PruneDecision::Allowed;
    };
    PruneDecision::NeedsApproval { reason, digest }
}

/// The reason for keeping the namespace of the states.
pub const HOLDS_STATE: &str = "it holds the state of every application";

/// Whether `live` is the Namespace of the states: without them no object's owner is known.
pub fn holds_state(live: &Object) -> bool {
    (live.group(), live.kind(), live.name()) == ("", "Namespace", STATE_NAMESPACE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn prunes(count: usize) -> BTreeSet<ObjectId> {
        (0..count).map(|n| ObjectId::new("", "ConfigMap", "a", format!("c{n}"))).collect()
    }

    fn needs_approval(count: usize, survivors: usize, allow_empty: bool) -> bool {
        prune_guard(&prunes(count), survivors, count + survivors, allow_empty, None) != PruneDecision::Allowed
    }

    #[test]
    fn prunes_that_look_like_an_accident_need_approval() {
        assert!(!needs_approval(0, 0, false));
        assert!(needs_approval(1, 0, false));
        assert!(!needs_approval(1, 0, true));
        assert!(!needs_approval(10, 1, false));
        assert!(needs_approval(11, 1, false));
        assert!(!needs_approval(20, 80, false));
        assert!(needs_approval(21, 79, false));
    }

    /// Whichever manager applied the Namespace, and whichever project allows it.
    #[test]
    fn the_namespace_of_the_state_is_not_deleted() {
        let owner = AppIdentity { app: "shop".to_owned(), applyset: "set".to_owned(), namespace: "shop".to_owned() };
        for (kind, name, stays) in
            [("Namespace", "slipway", true), ("Namespace", "other", false), ("Node", "slipway", false)]
        {
            let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
            let mut object = Object::from_value(object).unwrap();
            let id = owner.set_tracking(&mut object);
            let mismatch = ownership_mismatch(&object, &owner, &BTreeSet::from([id]));
            assert_eq!(mismatch.is_some(), stays, "{kind} {name}: {mismatch:?}");
        }
    }

    #[test]
    fn an_approval_is_for_exactly_one_plan() {
        let approved = digest(&prunes(11));
        assert_eq!(prune_guard(&prunes(11), 1, 12, false, Some(&approved)), PruneDecision::Allowed);
        assert_ne!(prune_guard(&prunes(12), 1, 13, false, Some(&approved)), PruneDecision::Allowed);
    }
}
