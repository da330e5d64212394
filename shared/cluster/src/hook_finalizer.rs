//! Removes our hook finalizer so that pending deletions can complete, and our tracking metadata from objects that are
//! kept.

use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use slipway_manifest::Object;

use crate::connect::Cluster;
use crate::objects::{self, ObjectRef};
use slipway_gitops::error::{Class, Failure, Verb};
use slipway_gitops::health::HOOK_FINALIZER;
use slipway_gitops::identity::AppIdentity;
use slipway_gitops::managed_fields::FIELD_MANAGER;
use slipway_gitops::managed_fields::record::LAST_APPLIED_FIELDS;
use slipway_gitops::tracking::{self, PART_OF, TRACKING_ID};

/// Attempts when other managers write at the same time.
const MAX_PATCH_ATTEMPTS: usize = 4;

/// Removes our finalizer from the hook at `place`, last seen as `live`; returns the resulting object, `None` where it
/// is gone.
pub async fn remove_hook_finalizer(
    cluster: &Cluster,
    place: &ObjectRef,
    live: &Object,
) -> Result<Option<Object>, Failure> {
    patch(cluster, place, live, |object| Some(json!({ "finalizers": kept(object)? }))).await
}

/// Removes the tracking metadata of `owner` from the object at `place`, last seen as `live`: the object stays,
/// unmanaged. Returns the resulting object, `None` where it is gone.
pub async fn remove_tracking(
    cluster: &Cluster,
    place: &ObjectRef,
    live: &Object,
    owner: &AppIdentity,
) -> Result<Option<Object>, Failure> {
    let marks = json!({"labels": {PART_OF: null}, "annotations": {TRACKING_ID: null, LAST_APPLIED_FIELDS: null}});
    let is_ours = |object: &Object| tracking::is_ours(object, &owner.app, &owner.applyset);
    patch(cluster, place, live, |object| is_ours(object).then(|| marks.clone())).await
}

/// Patches the metadata of the object at `place` with the result of `change`, again where another manager writes at the
/// same time; `None` is no change.
async fn patch(
    cluster: &Cluster,
    place: &ObjectRef,
    live: &Object,
    change: impl Fn(&Object) -> Option<Value>,
) -> Result<Option<Object>, Failure> {
    let mut current = live.clone();
    for attempt in 1.. {
        let Some(mut metadata) = change(&current) else { break };
        let send = async {
            let (request, name) = place.named()?;
            let url = format!("{}/{name}?fieldManager={FIELD_MANAGER}", request.url_path);
            if let (Some(fields), Some(version)) =
                (metadata.as_object_mut(), current.pointer("/metadata/resourceVersion"))
            {
                fields.insert("resourceVersion".to_owned(), version.clone());
            }
            let body = json!({ "metadata": metadata }).to_string().into_bytes();
            let request = http::Request::patch(url)
                .header(CONTENT_TYPE, "application/merge-patch+json")
                .body(body)
                .map_err(kube::core::request::Error::BuildRequest);
            objects::object(cluster.send(request).await?.body)
        };
        match send.await {
            Ok(object) => return Ok(Some(object)),
            Err(error) if error.class == Class::NotFound => return Ok(None),
            Err(error) if error.class == Class::Conflict && attempt < MAX_PATCH_ATTEMPTS => {
                match objects::get(cluster, place).await? {
                    Some(object) => current = object,
                    None => return Ok(None),
                }
            }
            Err(error) => return Err(place.failed(Verb::Patch)(error)),
        }
    }
    Ok(Some(current))
}

/// The finalizers without ours; `None` where ours is not among them.
fn kept(object: &Object) -> Option<Vec<&Value>> {
    let finalizers = object.pointer("/metadata/finalizers")?.as_array()?;
    let kept: Vec<&Value> = finalizers.iter().filter(|name| *name != HOOK_FINALIZER).collect();
    (kept.len() < finalizers.len()).then_some(kept)
}
