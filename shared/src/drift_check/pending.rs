//! Tells changes of a commit that are not applied yet from out-of-band changes. Pure.
//!
//! After a failed or selective sync the rest of the objects is as an earlier commit left it: that is Git's own change.
//! An out-of-band change shows by the owner of the field, and for a missing object by whether it existed when the sync
//! ended.

use std::collections::BTreeSet;

use slipway_cluster::state::State;
use slipway_gitops::health::Health;
use slipway_gitops::status::ResultCode;

use crate::reconcile::drift::DriftedField;

/// Keeps the differences in `found` that are drift, where the commit, or the Application's spec, is not applied yet.
/// `is_same_spec`: what the last operation applied was of that spec.
pub(super) fn retain_drift(found: &mut Vec<DriftedField>, state: &State, is_same_spec: bool) {
    let applied = if is_same_spec { applied(state) } else { BTreeSet::new() };
    found.retain(|one| {
        let is_gone = one.drift.field.is_empty();
        // A reported difference stays reported until it is resolved.
        applied.contains(&one.drift.object)
            || state.drift.contains_key(&one.key)
            || if is_gone { was_there(state, &one.drift.object) } else { one.by_others }
    });
}

/// The objects of the commit that the last operation applied.
fn applied(state: &State) -> BTreeSet<String> {
    let last = state.status.operation_state.as_ref().and_then(|last| last.sync_result.as_ref());
    let results = last.filter(|result| result.revisions == state.attempt.revisions).map(|result| &result.resources);
    let applied = results.into_iter().flatten().filter(|result| result.status == Some(ResultCode::Synced));
    applied.map(|result| result.id().to_string()).collect()
}

fn was_there(state: &State, object: &str) -> bool {
    let row = state.status.resources.iter().find(|row| row.id().to_string() == object);
    row.is_some_and(|row| row.health.as_ref().is_none_or(|verdict| verdict.health != Health::Missing))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_cluster::state::Reached;

    use super::*;
    use crate::notify::report::Drift;

    fn found(object: &str, field: &str, by_others: bool) -> DriftedField {
        let drift = Drift {
            object: format!("ConfigMap/shop/{object}"),
            field: field.to_owned(),
            desired: None,
            live: None,
            manager: None,
            time: None,
        };
        DriftedField { key: format!("{object} {field}"), fingerprint: String::new(), former: None, by_others, drift }
    }

    #[test]
    fn what_a_commit_did_not_bring_yet_is_no_drift() {
        let row = |name: &str, health: &str| {
            json!({"kind": "ConfigMap", "namespace": "shop", "name": name,
            "health": {"status": health}})
        };
        let result = |name: &str, status: &str| {
            json!({"kind": "ConfigMap", "namespace": "shop", "name": name,
            "status": status})
        };
        let status = json!({
            "resources": [row("late", "Missing"), row("deleted", "Healthy")],
            "operationState": {"phase": "Failed", "startedAt": "2026-11-01T00:00:00Z", "syncResult": {
                "revision": "new", "resources": [result("applied", "Synced"), result("refused", "SyncFailed")]}}});
        let mut state = State::default();
        state.status = serde_json::from_value(status).unwrap();
        state.attempt.reach(&"new".into(), None, Reached::Tried);
        state.drift.insert("known data.a".to_owned(), String::new());
        let all = [
            found("applied", "data.a", false),
            found("refused", "data.a", false),
            found("refused", "data.b", true),
            found("known", "data.a", false),
            found("late", "", false),
            found("deleted", "", false),
            found("unheard", "", false),
        ];
        let left = |state: &State, is_same_spec| {
            let mut left = all.to_vec();
            retain_drift(&mut left, state, is_same_spec);
            left.into_iter().map(|one| one.key).collect::<Vec<_>>()
        };
        assert_eq!(left(&state, true), ["applied data.a", "refused data.b", "known data.a", "deleted "]);
        // Of another spec, or for another commit, the last operation proves nothing.
        assert_eq!(left(&state, false), ["refused data.b", "known data.a", "deleted "]);
        state.attempt.reach(&"newer".into(), None, Reached::Tried);
        assert_eq!(left(&state, true), ["refused data.b", "known data.a", "deleted "]);
    }
}
