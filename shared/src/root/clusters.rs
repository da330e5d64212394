//! Reads the clusters that the settings give, beside the cluster Secrets of the tree.

use serde_json::{Map, Value, json};
use slipway_manifest::{Object, YamlError, yaml};

use crate::app::project::CONTROL_NAMESPACE;
use crate::app::{AppError, ClusterSecret};

/// The fields of a cluster that are text in its Secret.
const FIELDS: [&str; 6] = ["name", "server", "config", "namespaces", "clusterResources", "project"];
/// The fields of a cluster that are its Secret's metadata.
const METADATA: [&str; 2] = ["labels", "annotations"];
/// What makes a Secret one of a cluster.
const CLUSTER_LABEL: &str = "argocd.argoproj.io/secret-type";

/// Why a text is no list of clusters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClustersError {
    /// The text is not YAML or JSON.
    #[error("failed to read a list of clusters")]
    Yaml(#[from] YamlError),
    /// The text is no list of mappings.
    #[error("expected a list of clusters, each with `name`, `server` and `config.awsAuthConfig.clusterName`")]
    Form,
    /// A cluster has a field that cluster Secrets do not have.
    #[error("cluster {name} has an unknown field `{field}`: known are {}, {}", FIELDS.join(", "), METADATA.join(", "))]
    Field {
        /// The cluster's name.
        name: String,
        /// The field.
        field: String,
    },
    /// A cluster can't be used.
    #[error("failed to read a cluster")]
    Cluster(#[from] AppError),
}

/// The cluster Secrets that stand for a YAML list: each item has the fields of a Secret's `stringData` (`config` as a
/// mapping or as JSON, `namespaces` as a list or with commas), and `labels` and `annotations`, or is a Secret itself.
pub fn secrets(text: &str) -> Result<Vec<Object>, ClustersError> {
    let items = match yaml::parse(text)? {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        _ => return Err(ClustersError::Form),
    };
    let secrets: Vec<Object> = items.into_iter().map(secret).collect::<Result<_, _>>()?;
    for secret in &secrets {
        ClusterSecret::from_object(secret)?;
    }
    Ok(secrets)
}

/// The cluster Secret that one item of [`secrets`] stands for; whether it can be used is not checked.
pub(super) fn secret(item: Value) -> Result<Object, ClustersError> {
    let Value::Object(mut fields) = item else { return Err(ClustersError::Form) };
    let is_secret = fields.get("kind").is_some_and(|kind| kind == "Secret");
    let name = fields.get(if is_secret { "metadata" } else { "name" });
    let name = if is_secret { name.and_then(|metadata| metadata.get("name")) } else { name };
    let name = name.and_then(Value::as_str).ok_or(ClustersError::Form)?.to_owned();
    if !is_secret {
        fields = as_secret(&name, &fields)?;
    }
    let mut secret = Object::from_map(fields);
    secret.set_namespace(CONTROL_NAMESPACE);
    let labels = secret.metadata_mut().entry("labels").or_insert_with(|| json!({}));
    labels.as_object_mut().ok_or(ClustersError::Form)?.insert(CLUSTER_LABEL.to_owned(), json!("cluster"));
    Ok(secret)
}

fn as_secret(name: &str, fields: &Map<String, Value>) -> Result<Map<String, Value>, ClustersError> {
    let mut data = Map::new();
    let mut metadata = Map::from_iter([("name".to_owned(), json!(format!("cluster-{name}")))]);
    for (key, value) in fields {
        if METADATA.contains(&key.as_str()) {
            metadata.insert(key.clone(), value.clone());
            continue;
        }
        if !FIELDS.contains(&key.as_str()) {
            return Err(ClustersError::Field { name: name.to_owned(), field: key.clone() });
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            other => other.to_string(),
        };
        data.insert(key.clone(), json!(text));
    }
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
    Ok(secret.as_object().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;

    #[test]
    fn clusters_are_what_their_secrets_would_say() {
        let text = "
- name: prod
  server: https://prod.example.com
  config: {awsAuthConfig: {clusterName: prod-1, roleARN: arn:aws:iam::1:role/deployer}}
  namespaces: [shop, web]
  clusterResources: true
  labels: {env: prod}
- kind: Secret
  metadata: {name: stage}
  stringData: {name: stage, server: https://stage.example.com, config: '{\"awsAuthConfig\": {\"clusterName\": \"s\"}}'}
";
        let secrets = secrets(text).unwrap();
        let clusters: Vec<ClusterSecret> =
            secrets.iter().map(|secret| ClusterSecret::from_object(secret).unwrap()).collect();
        assert_eq!(secrets[0].label("env"), Some("prod"));
        assert_eq!(secrets[1].label(CLUSTER_LABEL), Some("cluster"));
        assert_eq!(clusters[0].to_string(), "prod (https://prod.example.com)");
        assert_eq!(clusters[0].namespaces, ["shop", "web"]);
        assert!(clusters[0].cluster_resources && !clusters[1].cluster_resources);
        assert_eq!(clusters[0].aws.role_arn.as_deref(), Some("arn:aws:iam::1:role/deployer"));
        assert_eq!(clusters[1].aws.cluster_name, "s");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("{name: prod}", "expected a list of clusters"),
            ("[prod]", "expected a list of clusters"),
            ("[{server: https://x}]", "expected a list of clusters"),
            ("[{name: prod, clusterName: x}]", "cluster prod has an unknown field `clusterName`"),
            ("[{name: prod, server: https://x}]", "data.config"),
            ("[{name: prod, server: https://x, config: {bearerToken: SECRET}}]", "awsAuthConfig.clusterName"),
            ("[{name: prod, server: https://x, labels: 1, config: {awsAuthConfig: {clusterName: x}}}]", "expected"),
            ("[", "failed to read a list of clusters"),
        ];
        for (text, part) in cases {
            let error = chain(&secrets(text).unwrap_err());
            assert!(error.contains(part) && !error.contains("SECRET"), "{text}: {error}");
        }
        assert_eq!(secrets("").unwrap().len(), 0);
    }
}
