//! Reads cluster Secrets, by which Argo CD declares clusters (argoproj/argo-cd
//! `docs/operator-manual/declarative-setup.md`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use slipway_manifest::Object;
use slipway_manifest::names::Form;

use super::AppError;

/// The in-cluster server of manifests (argoproj/argo-cd `pkg/apis/application/v1alpha1/values.go`).
pub const IN_CLUSTER_SERVER: &str = "https://kubernetes.default.svc";
/// The name of that cluster in Argo CD.
pub const IN_CLUSTER_NAME: &str = "in-cluster";
/// The annotation that makes Argo CD's controller skip a cluster.
const SKIP_RECONCILE: &str = "argocd.argoproj.io/skip-reconcile";

/// A cluster that a Secret labelled `argocd.argoproj.io/secret-type: cluster` declares. Credentials in it are not read,
/// nor is `tlsClientConfig`: endpoint and certificate authority come from EKS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSecret {
    /// `name`, by which destinations may refer to it.
    pub name: String,
    /// `server`, the URL of its API.
    pub server: String,
    /// `config.awsAuthConfig`.
    pub aws: AwsAuth,
    /// `namespaces` that may be used; empty allows all.
    pub namespaces: Vec<String>,
    /// `clusterResources`: whether cluster-scoped objects are allowed, too, where `namespaces` is set.
    pub cluster_resources: bool,
    /// `project` that the cluster belongs to; empty for any.
    pub project: String,
    /// The annotation `argocd.argoproj.io/skip-reconcile`: nothing is deployed there.
    pub is_skipped: bool,
}

/// Credentials of an EKS cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AwsAuth {
    /// `clusterName`: the EKS name, which goes into the token.
    pub cluster_name: String,
    /// `roleARN` to assume, if any.
    pub role_arn: Option<String>,
}

impl fmt::Display for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.server)
    }
}

impl ClusterSecret {
    /// Whether both declare the same cluster, or two with one name.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name || self.is_at(&other.server)
    }

    /// Whether it is the cluster at `server`.
    pub fn is_at(&self, server: &str) -> bool {
        self.server.trim_end_matches('/') == server.trim_end_matches('/')
    }
}

/// Whether `object` is a cluster Secret.
pub fn is_cluster(object: &Object) -> bool {
    object.label("argocd.argoproj.io/secret-type") == Some("cluster")
}

impl ClusterSecret {
    /// Reads the Secret, `stringData` before `data`. Errors repeat none of its values, except namespaces.
    pub fn from_object(object: &Object) -> Result<Self, AppError> {
        let id = object.id().to_string();
        let invalid = |problem: &str| AppError::Invalid { object: id.clone(), problem: problem.to_owned() };
        let need = |field: &str| match entry(object, field) {
            Some(Ok(text)) if !text.is_empty() => Ok(text),
            Some(Err(())) => Err(invalid(&format!("`data.{field}` is no base64 text"))),
            _ => Err(AppError::Missing { object: id.clone(), field: format!("data.{field}") }),
        };
        let server = need("server")?;
        let name = need("name").unwrap_or_else(|_| server.clone());
        // The functions' own cluster is reached by their settings.
        let is_own = server.trim_end_matches('/') == IN_CLUSTER_SERVER;
        let config = if is_own { "{}".to_owned() } else { need("config")? };
        let config: Value = serde_json::from_str(&config).map_err(|_| invalid("`config` is no JSON"))?;
        let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let cluster_name = match text("/awsAuthConfig/clusterName") {
            Some(name) => name,
            None if is_own => IN_CLUSTER_NAME.to_owned(),
            None => {
                let field = "config: a cluster without awsAuthConfig.clusterName".to_owned();
                return Err(AppError::NotSupported { object: id, field });
            }
        };
        // EKS's own rule for names (`CreateCluster`).
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !cluster_name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !cluster_name.bytes().all(is_plain) {
            return Err(invalid("`config`: `awsAuthConfig.clusterName` is no name of an EKS cluster"));
        }
        let optional = |field: &str| entry(object, field).and_then(Result::ok).unwrap_or_default();
        let names = optional("namespaces");
        let namespaces: Vec<String> =
            names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        for namespace in &namespaces {
            Form::Label.check(&id, "data.namespaces", namespace)?;
        }
        Ok(Self {
            name,
            server,
            aws: AwsAuth { cluster_name, role_arn: text("/awsAuthConfig/roleARN").filter(|arn| !arn.is_empty()) },
            namespaces,
            cluster_resources: optional("clusterResources") == "true",
            project: optional("project"),
            is_skipped: !matches!(object.annotation(SKIP_RECONCILE), None | Some("" | "false")),
        })
    }
}

/// The text of a field in a Secret, `stringData` before `data`.
pub fn secret_text(secret: &Object, field: &str) -> Option<String> {
    entry(secret, field).and_then(Result::ok)
}

fn entry(object: &Object, field: &str) -> Option<Result<String, ()>> {
    if let Some(text) = object.pointer(&format!("/stringData/{field}")) {
        return Some(text.as_str().map(str::to_owned).ok_or(()));
    }
    let text = object.pointer(&format!("/data/{field}"))?;
    let bytes = text.as_str().and_then(|text| STANDARD.decode(text.trim()).ok());
    Some(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(()))
}
