//! Compares each object with Git, and sums the results up to the application's sync status. Pure.
//!
//! The rules are Argo CD's (argoproj/argo-cd `controller/state.go`).

use slipway_manifest::Object;

use crate::annotations;
use crate::status::SyncStatus;
use crate::tracking::TrackingId;

/// The annotation with compare options, on an object or on the Application.
pub const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";

/// The options in [`COMPARE_OPTIONS`]. `ServerSideDiff` is accepted and ignored: comparison is always a server-side dry
/// run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompareOptions {
    /// `IgnoreExtraneous`: an object that Git no longer has does not make the application OutOfSync.
    pub ignore_extraneous: bool,
    /// `IncludeMutationWebhook=true`: what mutating webhooks change in fields that are not ours is a difference, too.
    pub include_mutation_webhook: bool,
}

impl CompareOptions {
    /// Parses a comma-separated list; unknown options are ignored, as in Argo CD.
    pub fn parse(text: &str) -> Self {
        let has = |wanted: &str| text.split(',').any(|option| option.trim() == wanted);
        Self {
            ignore_extraneous: has("IgnoreExtraneous"),
            include_mutation_webhook: has("IncludeMutationWebhook=true"),
        }
    }

    /// The options of one object.
    pub fn of(object: &Object) -> Self {
        object.annotation(COMPARE_OPTIONS).map(Self::parse).unwrap_or_default()
    }
}

/// The comparison of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComparisonResult {
    /// The object's own status.
    pub status: SyncStatus,
    /// Whether it counts for the application's status.
    pub counts: bool,
}

/// Compares an object of application `app` that Git has as `desired` and the cluster as `live`; `differs` says whether
/// their fields differ.
///
/// `None` for what is not compared: hooks, skipped objects, and copies, whose tracking id names another object.
/// `managed_namespace` is the destination's namespace if the sync creates it: it does not count while it is missing.
pub fn compare(
    app: &str,
    desired: Option<&Object>,
    live: Option<&Object>,
    differs: bool,
    managed_namespace: Option<&str>,
) -> Option<ComparisonResult> {
    let either = desired.or(live)?;
    if annotations::is_hook(either) || annotations::is_skipped(either) {
        return None;
    }
    let status = |status, counts| Some(ComparisonResult { status, counts });
    match (desired, live) {
        (Some(_), Some(_)) if differs => status(SyncStatus::OutOfSync, true),
        (Some(_), Some(_)) => status(SyncStatus::Synced, true),
        (Some(desired), None) => {
            let is_managed = desired.group().is_empty()
                && desired.kind() == "Namespace"
                && managed_namespace == Some(desired.name());
            status(SyncStatus::OutOfSync, !is_managed)
        }
        (None, Some(live)) => {
            TrackingId::of(live).filter(|id| id.app == app && id.describes(live))?;
            status(SyncStatus::OutOfSync, !CompareOptions::of(live).ignore_extraneous)
        }
        (None, None) => None,
    }
}

/// The application's status; `failed` says that something could not be rendered or compared, or is forbidden: then the
/// status is Unknown.
pub fn aggregate(results: impl IntoIterator<Item = Option<ComparisonResult>>, failed: bool) -> SyncStatus {
    if failed {
        return SyncStatus::Unknown;
    }
    let counted = results.into_iter().flatten().filter(|verdict| verdict.counts);
    counted.map(|verdict| verdict.status).max().unwrap_or(SyncStatus::Synced)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(kind: &str, annotations: &Value) -> Object {
        Object::from_value(
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "annotations": annotations}}),
        )
        .unwrap()
    }

    #[test]
    fn each_object_is_judged_by_what_git_and_the_cluster_have() {
        fn judge(desired: Option<&Object>, live: Option<&Object>, differs: bool) -> Option<ComparisonResult> {
            compare("shop", desired, live, differs, Some("a"))
        }
        let plain = object("ConfigMap", &json!({}));
        let out = Some(ComparisonResult { status: SyncStatus::OutOfSync, counts: true });
        assert_eq!(judge(Some(&plain), Some(&plain), false).unwrap().status, SyncStatus::Synced);
        assert_eq!(judge(Some(&plain), Some(&plain), true), out);
        assert_eq!(judge(Some(&plain), None, false), out);
        let ours = object("ConfigMap", &json!({"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:/a"}));
        assert_eq!(judge(None, Some(&ours), false), out);
        let spared = json!({"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:/a",
            COMPARE_OPTIONS: "ServerSideDiff=true, IgnoreExtraneous"});
        assert!(!judge(None, Some(&object("ConfigMap", &spared)), false).unwrap().counts);
        let copied = object("ConfigMap", &json!({"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:/b"}));
        assert_eq!(judge(None, Some(&copied), false), None);
        assert_eq!(judge(Some(&object("Job", &json!({"argocd.argoproj.io/hook": "Sync"}))), None, false), None);
        assert!(!judge(Some(&object("Namespace", &json!({}))), None, false).unwrap().counts);
    }

    #[test]
    fn one_object_out_of_sync_is_enough_and_a_failure_is_unknown() {
        let of = |status, counts| Some(ComparisonResult { status, counts });
        let synced = of(SyncStatus::Synced, true);
        assert_eq!(aggregate([synced, None, of(SyncStatus::OutOfSync, false)], false), SyncStatus::Synced);
        assert_eq!(aggregate([synced, of(SyncStatus::OutOfSync, true)], false), SyncStatus::OutOfSync);
        assert_eq!(aggregate([synced], true), SyncStatus::Unknown);
        assert_eq!(aggregate([], false), SyncStatus::Synced);
    }
}
