//! Reads a cluster's version and served kinds, for `.Capabilities` of charts. Three small requests.

use futures::future::try_join3;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::connect::Cluster;
use slipway_gitops::error::{ApiError, Class};

/// Media type of aggregated discovery, which returns everything in one response (kubernetes/kubernetes
/// `staging/src/k8s.io/apiserver/pkg/endpoints/discovery/aggregated`).
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// `.Capabilities` of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Version without the provider's suffix: `v1.35.2` for `v1.35.2-eks-3025e55`, so that constraints match.
    pub version: String,
    /// Every served `group/version` and `group/version/kind`, sorted (argoproj/argo-cd `util/argo/argo.go`,
    /// APIResourcesToStrings).
    pub api_versions: Vec<String>,
}

impl Cluster {
    /// Reads version and kinds; never cached, so that a new CustomResourceDefinition counts at once.
    pub async fn capabilities(&self) -> Result<Capabilities, ApiError> {
        let (version, core, groups) = try_join3(self.read("/version"), self.read("/api"), self.read("/apis")).await?;
        let version = version.get("gitVersion").and_then(Value::as_str).unwrap_or_default();
        let mut api_versions = BTreeSet::new();
        for list in [core, groups] {
            if list.get("kind").and_then(Value::as_str) != Some("APIGroupDiscoveryList") {
                let problem = "the API server has no aggregated discovery, which Kubernetes 1.27 and later have";
                return Err(ApiError::local(Class::Other, problem));
            }
            add(&list, &mut api_versions);
        }
        let version = version.split(['-', '+']).next().unwrap_or_default().to_owned();
        Ok(Capabilities { version, api_versions: api_versions.into_iter().collect() })
    }

    /// The API server's version, as it says it.
    pub async fn server_version(&self) -> Result<String, ApiError> {
        let version = self.read("/version").await?;
        Ok(version.get("gitVersion").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    async fn read(&self, path: &str) -> Result<Value, ApiError> {
        let request = http::Request::get(path)
            .header(http::header::ACCEPT, format!("{AGGREGATED},application/json"))
            .body(Vec::new())
            .map_err(kube::core::request::Error::BuildRequest);
        Ok(self.send(request).await?.body)
    }
}

fn add(list: &Value, api_versions: &mut BTreeSet<String>) {
    let items = |of: &Value, field: &str| of.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    for group in items(list, "items") {
        let name = text(&group, "/metadata/name");
        for version in items(&group, "versions") {
            let number = text(&version, "/version");
            let version_name = if name.is_empty() { number } else { format!("{name}/{number}") };
            for resource in items(&version, "resources") {
                api_versions.insert(format!("{version_name}/{}", text(&resource, "/responseKind/kind")));
            }
            api_versions.insert(version_name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_listed_with_and_without_their_version() {
        let mut found = BTreeSet::new();
        let list = json!({"items": [
            {"metadata": {}, "versions": [{"version": "v1", "resources": [{"responseKind": {"kind": "Secret"}}]}]},
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1",
                "resources": [{"responseKind": {"kind": "Deployment"}}]}]},
            {"metadata": {"name": "stale.example.com"}, "versions": [{"version": "v1", "freshness": "Stale"}]},
        ]});
        add(&list, &mut found);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["apps/v1", "apps/v1/Deployment", "stale.example.com/v1", "v1", "v1/Secret"]);
    }
}
