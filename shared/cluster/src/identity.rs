//! Whom the API server takes us for.

use kube::api::PostParams;
use kube::core::Request;
use serde_json::{Value, json};

use crate::connect::Cluster;
use slipway_gitops::error::{ApiError, Class};

/// Who sends no credentials.
const ANONYMOUS: &str = "system:anonymous";

impl Cluster {
    /// The name of whoever these credentials belong to, as the API server's audit log has it: a `SelfSubjectReview`,
    /// which everybody may ask for since Kubernetes 1.28. An error where the API server knows no name.
    pub async fn username(&self) -> Result<String, ApiError> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let request = Request::new("/apis/authentication.k8s.io/v1/selfsubjectreviews");
        let request = request.create(&PostParams::default(), review.to_string().into_bytes());
        let answer = self.send(request).await?.body;
        let name = answer.pointer("/status/userInfo/username").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() || name == ANONYMOUS {
            return Err(ApiError::local(Class::Other, "the API server knows no name of whoever asks"));
        }
        Ok(name.to_owned())
    }
}
