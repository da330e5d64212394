//! What the worker and `drift-check` share: the root, GitHub, the clusters, Slack.

use std::time::Duration;

use secrecy::SecretString;

use crate::aws::Aws;
use crate::clusters::Clusters;
use crate::config;
use crate::error::{Failure, chain};
use crate::notify::reporter::Reporter;
use crate::notify::slack::Slack;
use crate::root::{self, Root};
use crate::secret::{SecretError, Secrets};
use crate::source::github::GitHub;
use crate::source::{Checkouts, Location};

/// The way to everything outside.
#[derive(Clone)]
pub struct Services {
    /// Where the Applications lie.
    pub root: Location,
    /// GitHub.
    pub github: GitHub,
    /// The destinations.
    pub clusters: Clusters,
    /// Slack, where it is wanted.
    pub slack: Option<Slack>,
    /// How long a sync may take in all.
    pub sync_timeout: Duration,
    secrets: Secrets,
    state_secret: String,
}

impl Services {
    /// An engine of these settings; nothing is asked yet.
    pub fn new(settings: config::Settings, aws: Aws, secrets: Secrets) -> Self {
        let config::Settings { root, github, cluster, state_secret, sync_timeout, slack } = settings;
        Self {
            root,
            github: GitHub::new(github, secrets.clone()),
            slack: slack.map(|slack| Slack::new(slack, secrets.clone(), aws.http().clone())),
            clusters: Clusters::new(cluster, aws),
            sync_timeout,
            secrets,
            state_secret,
        }
    }

    /// Reads the root; from then on the clusters that it declares can be reached.
    pub async fn load_root(&self, checkouts: &Checkouts) -> Result<Root, Failure> {
        let root = root::load(&self.root, checkouts).await?;
        self.clusters.register(&root.clusters).await;
        Ok(root)
    }

    /// The key under which drift is fingerprinted.
    pub async fn state_key(&self) -> Result<SecretString, SecretError> {
        self.secrets.get(&self.state_secret).await
    }

    /// Who tells of one event, where Slack is wanted.
    pub fn reporter(&self) -> Option<Reporter> {
        self.slack.clone().map(Reporter::new)
    }

    /// Sends a message where Slack is wanted; that it did not get through is only logged.
    pub async fn notify(&self, text: &str) {
        if let Some(slack) = &self.slack
            && let Err(error) = slack.post(text).await
        {
            tracing::warn!(error = chain(&error), "Slack was not told");
        }
    }
}
