//! Answers the template function `lookup` (helm/helm `pkg/engine/lookup_func.go`). Reads only.

use std::sync::Arc;

use kube::api::ListParams;
use serde_json::{Value, json};
use slipway_manifest::Object;

use crate::connect::Cluster;
use crate::objects::{self, Listed, ObjectRef};
use slipway_gitops::api_resources::ApiResource;
use slipway_gitops::error::{Failure, Verb};

/// Returns the object `name` in `namespace`; null where it does not exist.
pub async fn get(
    cluster: &Cluster,
    resource: &Arc<ApiResource>,
    namespace: &str,
    name: &str,
) -> Result<Value, Failure> {
    if resource.namespaced && namespace.is_empty() {
        return Ok(Value::Null);
    }
    Ok(objects::get(cluster, &place(resource, namespace, name)).await?.map_or(Value::Null, Object::into_value))
}

/// Lists all objects in `namespace` (empty: all namespaces).
pub async fn list(cluster: &Cluster, resource: &Arc<ApiResource>, namespace: &str) -> Result<Listed, Failure> {
    let listed = objects::list(cluster, resource, namespace, &ListParams::default()).await;
    listed.map_err(place(resource, namespace, "").failed(Verb::Read))
}

impl Listed {
    /// The list in the API server's shape.
    pub fn into_value(self, resource: &ApiResource) -> Value {
        let items: Vec<Value> = self.objects.into_iter().map(Object::into_value).collect();
        json!({
            "apiVersion": resource.gvk.api_version(),
            "kind": format!("{}List", resource.gvk.kind),
            "metadata": { "resourceVersion": self.version },
            "items": items,
        })
    }
}

fn place(resource: &Arc<ApiResource>, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef { resource: Arc::clone(resource), namespace: namespace.to_owned(), name: name.to_owned() }
}
