//! Asks the API server what our credentials may do.

use kube::api::{GetParams, PostParams};
use kube::core::Request;
use serde_json::{Value, json};

use crate::connect::Cluster;
use slipway_gitops::error::{ApiError, Class};

/// What may be allowed: a verb on the objects of a resource; `*` stands for all of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission<'a> {
    /// `get`, `create`, `patch` …
    pub verb: &'a str,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The resource: `configmaps`.
    pub resource: &'a str,
    /// The namespace; empty for all of them, and for what has none.
    pub namespace: &'a str,
}

impl Cluster {
    /// Whether these credentials have the permission: a `SelfSubjectAccessReview`, which every user may create.
    pub async fn may(&self, permission: Permission<'_>) -> Result<bool, ApiError> {
        let Permission { verb, group, resource, namespace } = permission;
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
            "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace}}});
        let request = Request::new("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
        let request = request.create(&PostParams::default(), review.to_string().into_bytes());
        let answer = self.send(request).await?.body;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or_default())
    }

    /// `mapRoles` of the ConfigMap `aws-auth`: the IAM roles that a cluster of mode CONFIG_MAP knows; empty where there
    /// is none.
    pub async fn mapped_roles(&self) -> Result<String, ApiError> {
        let request = Request::new("/api/v1/namespaces/kube-system/configmaps");
        match self.send(request.get("aws-auth", &GetParams::default())).await {
            Ok(found) => {
                Ok(found.body.pointer("/data/mapRoles").and_then(Value::as_str).unwrap_or_default().to_owned())
            }
            Err(error) if error.class == Class::NotFound || error.class == Class::MissingNamespace => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}
