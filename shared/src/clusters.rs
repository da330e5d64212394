//! The clusters that manifests name as destinations, connected when first used and kept for warm invocations.

mod describe;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use slipway_cluster::{Auth, Cluster, ConnectError, Eks, Server};
use tokio::sync::Mutex;

use crate::aws::Aws;
use crate::config;
pub use describe::describe;

/// How manifests call the cluster of the settings (argoproj/argo-cd `pkg/apis/application/v1alpha1/values.go`).
pub const IN_CLUSTER_SERVER: &str = "https://kubernetes.default.svc";
/// Its name in Argo CD.
pub const IN_CLUSTER_NAME: &str = "in-cluster";

/// Why a destination can't be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The manifests name a cluster that nothing declares.
    #[error("no cluster is known as `{0}`: only `{IN_CLUSTER_SERVER}` and `{IN_CLUSTER_NAME}` are supported yet")]
    Unknown(String),
    /// EKS could not be asked.
    #[error("failed to describe EKS cluster `{name}` ({why})")]
    Describe {
        /// The cluster's name.
        name: String,
        /// What failed, or EKS's own words.
        why: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// EKS knows the cluster, but it has no endpoint (yet).
    #[error("EKS cluster `{0}` has no endpoint: it is being created or deleted")]
    NoEndpoint(String),
    /// The certificate authority is not base64 PEM.
    #[error("the certificate authority of cluster `{0}` is no base64 PEM")]
    Authority(String),
    /// No region or credentials in the environment.
    #[error("no AWS {0} in the environment, which the token for the cluster needs")]
    NoAws(&'static str),
    /// The connection could not be set up.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl ClusterError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Describe { .. } | Self::NoEndpoint(_))
    }
}

/// A cluster and what people call it.
#[derive(Clone)]
pub struct Destination {
    /// For messages and the name of commit statuses.
    pub name: String,
    /// The connection.
    pub cluster: Cluster,
}

/// Connections by the name or server that manifests use.
#[derive(Clone)]
pub struct Clusters {
    settings: config::Cluster,
    aws: Aws,
    known: Arc<Mutex<BTreeMap<String, Destination>>>,
}

impl Clusters {
    /// The clusters of `settings`; nothing is asked yet.
    pub fn new(settings: config::Cluster, aws: Aws) -> Self {
        Self { settings, aws, known: Arc::default() }
    }

    /// The cluster that a destination calls `server` or `name` (one of them is empty).
    pub async fn get(&self, server: &str, name: &str) -> Result<Destination, ClusterError> {
        let wanted = if server.is_empty() { name } else { server };
        if wanted.trim_end_matches('/') != IN_CLUSTER_SERVER && wanted != IN_CLUSTER_NAME {
            return Err(ClusterError::Unknown(wanted.to_owned()));
        }
        let mut known = self.known.lock().await;
        if let Some(found) = known.get(IN_CLUSTER_NAME) {
            return Ok(found.clone());
        }
        let found = self.connect().await?;
        known.insert(IN_CLUSTER_NAME.to_owned(), found.clone());
        Ok(found)
    }

    async fn connect(&self) -> Result<Destination, ClusterError> {
        match &self.settings {
            config::Cluster::Kubeconfig(path) => {
                let credentials = self.aws.config().await.credentials_provider();
                let cluster = Cluster::from_kubeconfig(Path::new(path), None, credentials).await?;
                Ok(Destination { name: IN_CLUSTER_NAME.to_owned(), cluster })
            }
            config::Cluster::Eks { name, endpoint } => {
                let aws = self.aws.config().await;
                let (url, ca) = match endpoint {
                    Some(known) => known.clone(),
                    None => describe(aws, name).await?,
                };
                let pem = STANDARD.decode(ca.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let ca = pem.ok_or_else(|| ClusterError::Authority(name.clone()))?;
                let region = aws.region().ok_or(ClusterError::NoAws("region"))?.to_string();
                let credentials = aws.credentials_provider().ok_or(ClusterError::NoAws("credentials"))?;
                let auth = Auth::Eks(Eks { region, cluster: name.clone(), credentials });
                let cluster = Cluster::connect(Server { url, ca: Some(ca), auth }).await?;
                Ok(Destination { name: name.clone(), cluster })
            }
        }
    }
}
