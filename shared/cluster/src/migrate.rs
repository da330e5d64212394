//! Migrates managed fields of Argo CD and `kubectl apply` to ours.

use crate::connect::Cluster;
use crate::objects::{self, ObjectRef};
use http::header::CONTENT_TYPE;
use slipway_gitops::error::{ApiError, Class, Failure, Verb};
use slipway_gitops::managed_fields::FIELD_MANAGER;
use slipway_gitops::managed_fields::migrate::patch;
use slipway_manifest::Object;

/// How often a take-over is tried when others write at the same time.
const MAX_PATCH_ATTEMPTS: usize = 4;

/// Moves the fields of Argo CD, `kubectl apply` and `more` managers on `live` over to ours and removes the
/// last-applied annotation.
///
/// Gives the object as it is then; `None` if there was nothing to take over.
pub async fn migrate(
    cluster: &Cluster,
    place: &ObjectRef,
    live: &Object,
    more: &[String],
) -> Result<Option<Object>, Failure> {
    let mut current = live.clone();
    for attempt in 1.. {
        let Some(patch) = patch(&current, more) else { return Ok((attempt > 1).then_some(current)) };
        let send = async {
            let (request, name) = place.named()?;
            let url = format!("{}/{name}?fieldManager={FIELD_MANAGER}", request.url_path);
            let body = serde_json::to_vec(&patch).map_err(|e| ApiError::local(Class::Malformed, e.to_string()))?;
            let request = http::Request::patch(url)
                .header(CONTENT_TYPE, "application/json-patch+json")
                .body(body)
                .map_err(kube::core::request::Error::BuildRequest);
            objects::object(cluster.send(request).await?.body)
        };
        match send.await {
            Ok(object) => return Ok(Some(object)),
            Err(error) if error.class == Class::Conflict && attempt < MAX_PATCH_ATTEMPTS => {
                match objects::get(cluster, place).await? {
                    Some(object) => current = object,
                    None => return Ok(None),
                }
            }
            Err(error) => return Err(place.failed(Verb::TakeOver)(error)),
        }
    }
    Ok(None)
}
