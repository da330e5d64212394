//! Reads and writes an object's owner: Argo CD's tracking id and the ApplySet label.
//!
//! Argo CD: argoproj/argo-cd `util/argo/resource_tracking.go`. ApplySet: kubernetes/enhancements KEP-3659. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use slipway_manifest::{Object, ObjectId};

/// Argo CD's tracking annotation.
pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
/// The label with the ApplySet's id.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// The annotation of `kubectl apply`, a copy of the whole object, secret values included.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A parsed tracking id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackingId {
    /// The application: its name, or `<namespace>_<name>` outside Argo CD's own namespace.
    pub app: String,
    /// The object that it was written for.
    pub object: ObjectId,
}

impl TrackingId {
    /// Parses `<app>:<group>/<Kind>:<namespace>/<name>`; `None` for other texts.
    pub fn parse(text: &str) -> Option<Self> {
        // Names of RBAC objects may contain colons, names of applications may not.
        let (app, rest) = text.split_once(':')?;
        let (group_kind, name) = rest.split_once(':')?;
        let (group, kind) = group_kind.split_once('/')?;
        let (namespace, name) = name.split_once('/')?;
        (!app.is_empty() && !kind.is_empty() && !name.is_empty())
            .then(|| Self { app: app.to_owned(), object: ObjectId::new(group, kind, namespace, name) })
    }

    /// The tracking id in an object's annotation.
    pub fn of(object: &Object) -> Option<Self> {
        Self::parse(object.annotation(TRACKING_ID)?)
    }

    /// Whether it describes `object` itself: a copy made by an operator carries another object's id. The namespace of a
    /// cluster-scoped object is the application's, and is not compared.
    pub fn describes(&self, object: &Object) -> bool {
        let id = object.id();
        self.object.group == id.group
            && self.object.kind == id.kind
            && self.object.name == id.name
            && (id.namespace.is_empty() || self.object.namespace == id.namespace)
    }
}

/// The tracking id of `object` in `app`; cluster-scoped objects get the application's `destination` namespace.
pub fn tracking_id(app: &str, object: &ObjectId, destination: &str) -> String {
    let namespace = if object.namespace.is_empty() { destination } else { &object.namespace };
    format!("{app}:{}/{}:{namespace}/{}", object.group, object.kind, object.name)
}

/// The ApplySet id of a parent ConfigMap (kubernetes/kubectl `pkg/cmd/apply/applyset.go`).
pub fn applyset_id(name: &str, namespace: &str) -> String {
    let hash = Sha256::digest(format!("{name}.{namespace}.ConfigMap."));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash))
}

/// Whether `object` provably belongs to `app`: label and tracking id agree, and the id describes this object.
pub fn is_ours(object: &Object, app: &str, applyset: &str) -> bool {
    object.label(PART_OF) == Some(applyset)
        && TrackingId::of(object).is_some_and(|id| id.app == app && id.describes(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_argo_cds() {
        let web = ObjectId::new("apps", "Deployment", "shop", "web");
        assert_eq!(tracking_id("team_shop", &web, "x"), "team_shop:apps/Deployment:shop/web");
        assert_eq!(
            tracking_id("shop", &ObjectId::new("", "Namespace", "", "shop"), "dest"),
            "shop:/Namespace:dest/shop"
        );
        let role = "shop:rbac.authorization.k8s.io/ClusterRole:shop/system:aggregate";
        assert_eq!(TrackingId::parse(role).unwrap().object.name, "system:aggregate");
        assert_eq!(TrackingId::parse("shop"), None);
        assert_eq!(TrackingId::parse("a:b:c"), None);
    }

    #[test]
    fn a_copied_id_is_not_ours() {
        let object = |namespace: &str| {
            Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                "name": "c", "namespace": namespace, "labels": {PART_OF: "set"},
                    "annotations": {TRACKING_ID: "shop:/ConfigMap:a/c"}}}))
            .unwrap()
        };
        assert!(is_ours(&object("a"), "shop", "set"));
        assert!(!is_ours(&object("copied"), "shop", "set"));
        assert!(!is_ours(&object("a"), "other", "set"));
        assert!(!is_ours(&object("a"), "shop", "another set"));
    }

    #[test]
    fn the_applyset_id_is_a_hash_of_its_parent() {
        let id = applyset_id("shop-1a2b", "slipway");
        assert_eq!(id.len(), "applyset--v1".len() + 43);
        assert_ne!(id, applyset_id("shop-1a2b", "other"));
    }
}
