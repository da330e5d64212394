//! Letting a hook go: our finalizer is taken off, so that whoever wants the object gone gets it gone.

use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use slipway_manifest::Object;

use crate::apply::MANAGER;
use crate::connect::Cluster;
use crate::error::{Class, Failure, Verb};
use crate::health::HOOK_FINALIZER;
use crate::live::{self, Place};

/// How often it is tried when others write at the same time.
const ATTEMPTS: usize = 4;

/// Takes our finalizer off the hook at `place`, which was last seen as `live`; gives it as it is then, `None` if it is gone.
pub async fn release(cluster: &Cluster, place: &Place, live: &Object) -> Result<Option<Object>, Failure> {
    let mut current = live.clone();
    for attempt in 1.. {
        let Some(kept) = kept(&current) else { break };
        let send = async {
            let url = format!("{}/{}?fieldManager={MANAGER}", place.request()?.url_path, place.name);
            let version = current.pointer("/metadata/resourceVersion");
            let body = json!({"metadata": {"finalizers": kept, "resourceVersion": version}}).to_string().into_bytes();
            let request = http::Request::patch(url)
                .header(CONTENT_TYPE, "application/merge-patch+json")
                .body(body)
                .map_err(kube::core::request::Error::BuildRequest);
            live::object(cluster.send(request).await?.body)
        };
        match send.await {
            Ok(object) => return Ok(Some(object)),
            Err(error) if error.class == Class::NotFound => return Ok(None),
            Err(error) if error.class == Class::Conflict && attempt < ATTEMPTS => {
                match live::get(cluster, place).await? {
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
