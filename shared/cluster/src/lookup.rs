//! What the template function `lookup` gives (helm/helm `pkg/engine/lookup_func.go`). Reads only.

use std::sync::Arc;

use kube::api::ListParams;
use serde_json::{Value, json};

use crate::connect::Cluster;
use crate::discover::Resource;
use crate::error::{Failure, Verb};
use crate::live::{self, Place};

/// The object `name`, or where that is empty the list of all in `namespace` (empty: everywhere); null where there is none.
pub async fn lookup(
    cluster: &Cluster,
    resource: &Arc<Resource>,
    namespace: &str,
    name: &str,
) -> Result<Value, Failure> {
    let namespace = if resource.namespaced { namespace } else { "" };
    let place = Place { resource: Arc::clone(resource), namespace: namespace.to_owned(), name: name.to_owned() };
    if name.is_empty() {
        let listed = live::list(cluster, resource, namespace, &ListParams::default()).await;
        let listed = listed.map_err(place.failed(Verb::Read))?;
        let items: Vec<Value> = listed.objects.into_iter().map(slipway_manifest::Object::into_value).collect();
        return Ok(json!({
            "apiVersion": resource.gvk.api_version(),
            "kind": format!("{}List", resource.gvk.kind),
            "metadata": { "resourceVersion": listed.version },
            "items": items,
        }));
    }
    if resource.namespaced && namespace.is_empty() {
        return Ok(Value::Null);
    }
    Ok(live::get(cluster, &place).await?.map_or(Value::Null, slipway_manifest::Object::into_value))
}
