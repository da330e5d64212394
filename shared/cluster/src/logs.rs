//! Reads the logs of a pod's containers.

use futures::{AsyncBufReadExt as _, Stream, TryStreamExt as _};
pub use kube::api::LogParams;
use kube::core::Request;
use slipway_gitops::error::{ApiError, Class};
use slipway_gitops::path;
use slipway_manifest::Object;

use crate::connect::Cluster;

/// The containers of `pod`, those that initialise it first.
pub fn containers(pod: &Object) -> Vec<String> {
    let of = |pointer: &str| {
        let list = pod.pointer(pointer).and_then(serde_json::Value::as_array).into_iter().flatten();
        list.filter_map(|container| container.get("name")?.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    [of("/spec/initContainers"), of("/spec/containers")].concat()
}

/// The lines of a container's log, as they come where `params` follow it.
///
/// # Errors
///
/// The API server's refusal, at once or later.
pub async fn lines(
    cluster: &Cluster,
    (namespace, pod): (&str, &str),
    params: &LogParams,
) -> Result<impl Stream<Item = Result<String, ApiError>> + use<>, ApiError> {
    let request = Request::new(path::collection("v1", namespace, "pods")?).logs(&path::segment(pod)?, params);
    let lines = cluster.stream(request).await?.lines();
    Ok(lines.map_err(|error| ApiError::local(Class::Unavailable, format!("the log ended: {error}"))))
}
