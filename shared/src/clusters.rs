//! Connects to destination clusters: the one of the settings, and those that Argo CD's cluster Secrets in the root
//! declare. Connected when first used and kept for warm invocations.
//!
//! A token opens a whole cluster for 15 minutes, and a writer of the root's Secrets need not be its administrator: a
//! token for a cluster goes to the endpoint that EKS itself returns for it (in the account of the Secret's role), by
//! https, and nowhere else.

mod describe;
mod endpoint;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use slipway_cluster::kubeconfig;
use slipway_cluster::state::Signer;
use slipway_cluster::{Auth, Cluster, ConnectError, Eks, Server};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::app::{AwsAuth, ClusterName, ClusterSecret, IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use crate::aws::Aws;
use crate::config;
pub use describe::describe;
use describe::describe_in;

/// How long EKS' description of a cluster is used: a push has many applications, and a cluster may be re-created under
/// its name.
const DESCRIBED: Duration = Duration::from_mins(5);

/// Why a destination can't be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No setting or Secret declares the cluster.
    #[error(
        "no cluster is known as `{0}`: declare it by a Secret at the root, labelled argocd.argoproj.io/secret-type: \
         cluster"
    )]
    Unknown(String),
    /// The request to EKS failed.
    #[error("failed to describe EKS cluster `{name}` ({why})")]
    Describe {
        /// The cluster's name.
        name: String,
        /// The failure, or EKS's message.
        why: String,
        /// The transport's error, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The cluster exists, but has no endpoint (yet).
    #[error("EKS cluster `{0}` has no endpoint: it is being created or deleted")]
    NoEndpoint(String),
    /// The Secret's server is not the cluster's endpoint.
    #[error(
        "the Secret of cluster `{name}` has the server `{server}`, but EKS cluster `{cluster}` is at `{endpoint}`: no \
         token is sent; set its `server` to that, or its `awsAuthConfig.clusterName` (and `roleARN`) to the cluster \
         that is meant"
    )]
    Elsewhere {
        /// The cluster's name in manifests.
        name: String,
        /// `server`.
        server: String,
        /// `awsAuthConfig.clusterName`.
        cluster: String,
        /// The endpoint that EKS returned.
        endpoint: String,
    },
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
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Describe { .. } | Self::NoEndpoint(_))
    }
}

/// A connected cluster and its display name.
#[derive(Clone)]
pub struct ConnectedCluster {
    /// Display name, for messages and commit statuses.
    pub name: String,
    /// The connection.
    pub cluster: Cluster,
}

/// Connections by the name or server in manifests.
#[derive(Clone)]
pub struct Clusters {
    settings: config::Cluster,
    aws: Aws,
    signer: Option<Signer>,
    known: Arc<Mutex<ConnectionCache>>,
}

/// Endpoint and certificate authority.
type Described = (String, String);

/// The connection to one cluster, with its Secret; the cluster of the settings has none. Held while it is made, so that
/// others wait for it, and for no other cluster.
type Slot = Arc<Mutex<Option<(Option<ClusterSecret>, ConnectedCluster)>>>;

#[derive(Default)]
struct ConnectionCache {
    declared: Vec<ClusterSecret>,
    /// By server.
    connected: BTreeMap<String, Slot>,
    /// EKS' descriptions with their time, by login and region.
    described: BTreeMap<(AwsAuth, Option<String>), (Instant, Described)>,
}

impl Clusters {
    /// Creates it for the cluster of `settings`; sends no request yet. Recorded states are signed by `signer`.
    pub fn new(settings: config::Cluster, aws: Aws, signer: Option<Signer>) -> Self {
        Self { settings, aws, signer, known: Arc::default() }
    }

    /// Registers the clusters that the root declares. One whose Secret has changed is reconnected.
    pub async fn register(&self, clusters: &[ClusterSecret]) {
        self.known.lock().await.declared = clusters.to_vec();
    }

    /// The display name of `cluster`.
    pub fn display_name<'a>(&'a self, cluster: &'a ClusterName) -> &'a str {
        match &self.settings {
            _ if cluster.server.trim_end_matches('/') != IN_CLUSTER_SERVER => match cluster.name.as_str() {
                "" => &cluster.server,
                name => name,
            },
            config::Cluster::Eks { name, .. } => name,
            config::Cluster::Kubeconfig { .. } => IN_CLUSTER_NAME,
        }
    }

    /// Connects every known cluster; failures are errors of their entries.
    pub async fn all(&self) -> Vec<Result<ConnectedCluster, ClusterError>> {
        let declared: Vec<String> = self.known.lock().await.declared.iter().map(|one| one.server.clone()).collect();
        let others = declared.iter().map(String::as_str).filter(|one| one.trim_end_matches('/') != IN_CLUSTER_SERVER);
        futures::future::join_all([IN_CLUSTER_SERVER].into_iter().chain(others).map(|server| self.get(server, "")))
            .await
    }

    /// Connects the cluster `server` or `name` of a destination (one of them is empty).
    pub async fn get(&self, server: &str, name: &str) -> Result<ConnectedCluster, ClusterError> {
        let mut known = self.known.lock().await;
        let is_meant = |one: &&ClusterSecret| if server.is_empty() { one.name == name } else { one.is_at(server) };
        let secret = known.declared.iter().find(is_meant).cloned();
        let is_ours = match &secret {
            // The Secret only renames the settings' cluster.
            Some(secret) => secret.is_at(IN_CLUSTER_SERVER),
            None => server.trim_end_matches('/') == IN_CLUSTER_SERVER || name == IN_CLUSTER_NAME,
        };
        let secret = secret.filter(|_| !is_ours);
        let key = match &secret {
            Some(secret) => secret.server.clone(),
            None if is_ours => IN_CLUSTER_SERVER.to_owned(),
            None => return Err(ClusterError::Unknown(if server.is_empty() { name } else { server }.to_owned())),
        };
        let slot = Arc::clone(known.connected.entry(key).or_default());
        drop(known);
        let mut slot = slot.lock().await;
        if let Some((by, found)) = slot.as_ref()
            && *by == secret
        {
            return Ok(found.clone());
        }
        let mut found = match &secret {
            Some(secret) => Box::pin(self.connect_declared(secret)).await?,
            None => Box::pin(self.connect()).await?,
        };
        if let Some(signer) = &self.signer {
            found.cluster = found.cluster.signing(signer.clone());
        }
        *slot = Some((secret, found.clone()));
        Ok(found)
    }

    async fn connect(&self) -> Result<ConnectedCluster, ClusterError> {
        match &self.settings {
            config::Cluster::Kubeconfig { files, context } => {
                let context = context.as_deref();
                let credentials = match kubeconfig::aws_login(files, context)? {
                    Some(login) => Box::pin(self.aws.config_of(&login)).await.credentials_provider(),
                    None => None,
                };
                let cluster = Cluster::from_kubeconfig(files, context, credentials)?;
                Ok(ConnectedCluster { name: IN_CLUSTER_NAME.to_owned(), cluster })
            }
            config::Cluster::Eks { name, endpoint } => {
                let aws = self.aws.config().await;
                let (url, ca) = match endpoint {
                    Some(known) => known.clone(),
                    None => describe(&self.aws, name).await?,
                };
                let credentials = aws.credentials_provider().ok_or(ClusterError::NoAws("credentials"))?;
                self.connect_eks(aws, name, name, url, &ca, credentials)
            }
        }
    }

    async fn connect_declared(&self, secret: &ClusterSecret) -> Result<ConnectedCluster, ClusterError> {
        let aws = self.aws.config().await;
        let AwsAuth { cluster_name, role_arn } = &secret.aws;
        let credentials = match role_arn {
            Some(role) => SharedCredentialsProvider::new(
                AssumeRoleProvider::builder(role).session_name("slipway").configure(aws).build().await,
            ),
            None => aws.credentials_provider().ok_or(ClusterError::NoAws("credentials"))?,
        };
        let key = (secret.aws.clone(), endpoint::region(&secret.server));
        let described = self.known.lock().await.described.get(&key).cloned();
        let (url, ca) = if let Some((_, described)) = described.filter(|(at, _)| at.elapsed() < DESCRIBED) {
            described
        } else {
            let there = aws.to_builder().credentials_provider(credentials.clone());
            let there = match &key.1 {
                Some(region) => there.region(Region::new(region.clone())),
                None => there,
            };
            let described = describe_in(&self.aws, &there.build(), cluster_name).await?;
            self.known.lock().await.described.insert(key, (Instant::now(), described.clone()));
            described
        };
        if !endpoint::is_same(&secret.server, &url) {
            let (name, server, cluster) = (secret.name.clone(), secret.server.clone(), cluster_name.clone());
            return Err(ClusterError::Elsewhere { name, server, cluster, endpoint: url });
        }
        self.connect_eks(aws, &secret.name, cluster_name, url, &ca, credentials)
    }

    /// Connects to the EKS cluster `cluster`, displayed as `name`. STS of our own region signs for clusters of any
    /// region.
    fn connect_eks(
        &self,
        aws: &SdkConfig,
        name: &str,
        cluster: &str,
        url: String,
        ca: &str,
        credentials: SharedCredentialsProvider,
    ) -> Result<ConnectedCluster, ClusterError> {
        let pem = STANDARD.decode(ca.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let ca = pem.ok_or_else(|| ClusterError::Authority(name.to_owned()))?;
        let region = aws.region().ok_or(ClusterError::NoAws("region"))?.to_string();
        let auth = Auth::Eks(Eks { region, cluster: cluster.to_owned(), credentials });
        let is_sandbox = self.aws.is_sandbox();
        // The sandbox's own cluster has no TLS, and so no certificate authority.
        let ca = Some(ca).filter(|ca| !is_sandbox || !ca.is_empty());
        let cluster = Cluster::connect(Server { url, ca, auth, is_sandbox })?;
        Ok(ConnectedCluster { name: name.to_owned(), cluster })
    }
}
