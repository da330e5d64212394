//! What the template function `lookup` gives (helm/helm `pkg/engine/lookup_func.go`). Reads only.

use std::sync::Arc;

use kube::api::ListParams;
use serde_json::{Value, json};
use slipway_manifest::Object;

use crate::connect::Cluster;
use crate::discover::Resource;
use crate::error::{Failure, Verb};
use crate::live::{self, Listed, Place};

/// The object `name` in `namespace`; null where there is none.
pub async fn get(cluster: &Cluster, resource: &Arc<Resource>, namespace: &str, name: &str) -> Result<Value, Failure> {
    if resource.namespaced && namespace.is_empty() {
        return Ok(Value::Null);
    }
    Ok(live::get(cluster, &place(resource, namespace, name)).await?.map_or(Value::Null, Object::into_value))
}

/// All objects in `namespace` (empty: everywhere).
pub async fn list(cluster: &Cluster, resource: &Arc<Resource>, namespace: &str) -> Result<Listed, Failure> {
    let listed = live::list(cluster, resource, namespace, &ListParams::default()).await;
    listed.map_err(place(resource, namespace, "").failed(Verb::Read))
}

impl Listed {
    /// The list as the API server would give it.
    pub fn into_value(self, resource: &Resource) -> Value {
        let items: Vec<Value> = self.objects.into_iter().map(Object::into_value).collect();
        json!({
            "apiVersion": resource.gvk.api_version(),
            "kind": format!("{}List", resource.gvk.kind),
            "metadata": { "resourceVersion": self.version },
            "items": items,
        })
    }
}

fn place(resource: &Arc<Resource>, namespace: &str, name: &str) -> Place {
    Place { resource: Arc::clone(resource), namespace: namespace.to_owned(), name: name.to_owned() }
}
