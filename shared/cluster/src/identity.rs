//! Asks the API server which user our credentials belong to.

use kube::api::PostParams;
use kube::core::Request;
use serde_json::{Value, json};

use crate::connect::Cluster;
use slipway_gitops::error::{ApiError, Class};

/// The user of requests without credentials.
const ANONYMOUS: &str = "system:anonymous";

impl Cluster {
    /// The user that these credentials belong to, as in the API server's audit log: a `SelfSubjectReview`, which every
    /// user may create since Kubernetes 1.28. An error where the API server returns no name.
    pub async fn username(&self) -> Result<String, ApiError> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let request = Request::new("/apis/authentication.k8s.io/v1/selfsubjectreviews");
        let request = request.create(&PostParams::default(), review.to_string().into_bytes());
        let answer = self.send(request).await?.body;
        let name = answer.pointer("/status/userInfo/username").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() || name == ANONYMOUS {
            return Err(ApiError::local(Class::Other, "the API server returned no username for these credentials"));
        }
        Ok(name.to_owned())
    }
}
