//! Changes one object as a person asks: by a patch, or by creating it.

use http::header::CONTENT_TYPE;
use kube::api::PostParams;
use serde_json::Value;
use slipway_gitops::managed_fields::FIELD_MANAGER;
use slipway_gitops::{Failure, Verb, path};

use crate::connect::Cluster;
use crate::objects::ObjectRef;

/// How a patch is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
    /// Kubernetes' own, for its built-in kinds.
    StrategicMerge,
}

impl PatchType {
    /// The header by which the API server tells them apart.
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::StrategicMerge => "application/strategic-merge-patch+json",
        }
    }
}

/// Patches the object at `place`, or its status.
///
/// # Errors
///
/// The API server's refusal.
pub async fn patch(
    cluster: &Cluster,
    place: &ObjectRef,
    (kind, body): (PatchType, &Value),
    is_status: bool,
) -> Result<(), Failure> {
    let send = async {
        let collection = place.resource.path(&place.namespace)?;
        let subresource = if is_status { "/status" } else { "" };
        let name = path::segment(&place.name)?;
        let request = http::Request::patch(format!("{collection}/{name}{subresource}?fieldManager={FIELD_MANAGER}"))
            .header(CONTENT_TYPE, kind.content_type())
            .body(body.to_string().into_bytes());
        cluster.send(request.map_err(kube::core::request::Error::BuildRequest)).await
    };
    send.await.map(|_| ()).map_err(place.failed(Verb::Apply))
}

/// Creates `body` at `place`.
///
/// # Errors
///
/// The API server's refusal.
pub async fn create(cluster: &Cluster, place: &ObjectRef, body: &Value) -> Result<(), Failure> {
    let send = async {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        cluster.send(place.request()?.create(&params, body.to_string().into_bytes())).await
    };
    send.await.map(|_| ()).map_err(place.failed(Verb::Apply))
}
