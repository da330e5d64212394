//! Holds the clients and settings that the worker and `drift-check` share: the root, GitHub, the clusters, Slack.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use slipway_cluster::state::Signer;

use crate::aws::Aws;
use crate::clusters::Clusters;
use crate::config;
use crate::error::{Failure, chain};
use crate::notify::report::AppSyncStatus;
use crate::notify::reporter::Reporter;
use crate::notify::slack::Slack;
use crate::notify::subscribe::Subscriptions;
use crate::root::last_sync::Recorded;
use crate::root::places::RootPlaces;
use crate::root::{self, Root};
use crate::secret::{SecretError, Secrets, StateKeys};
use crate::source::Checkouts;
use crate::source::credentials::Credentials;
use crate::source::decrypt::Decryption;
use crate::source::github::GitHub;
use crate::source::helm_repository::{self, HelmRepositories};

/// What signs recorded states: the secret `name`, also as it was before its last rotation.
pub fn signer(secrets: &Secrets, name: &str) -> Signer {
    let (secrets, name) = (secrets.clone(), name.to_owned());
    Signer::new(move |reload| {
        let (secrets, name) = (secrets.clone(), name.clone());
        Box::pin(async move {
            let keys = async {
                if !reload {
                    return Ok(vec![secrets.get(&name).await?]);
                }
                let current = secrets.reload(&name).await?;
                Ok([Some(current), secrets.previous(&name, None).await?].into_iter().flatten().collect())
            };
            keys.await.map_err(|error: SecretError| chain(&error))
        })
    })
}

/// The clients of the outside world, and their settings.
#[derive(Clone)]
pub struct Services {
    /// The places of the root.
    pub root: RootPlaces,
    /// Client for commits, archives and commit statuses.
    pub github: GitHub,
    /// The destination clusters.
    pub clusters: Clusters,
    /// Slack, where it is configured.
    pub slack: Option<Slack>,
    /// The Helm repositories that charts are fetched from.
    pub helm_repositories: HelmRepositories,
    /// What decrypts files of a source.
    pub decryption: Decryption,
    /// Limit of one sync over all its invocations.
    pub sync_timeout: Duration,
    secrets: Secrets,
    state_secret: Option<String>,
    repository_secret: Option<String>,
}

impl Services {
    /// Creates the clients from the settings; sends no request yet.
    pub fn new(settings: config::Settings, aws: Aws, secrets: Secrets) -> Self {
        let config::Settings {
            root,
            github,
            cluster,
            state_secret,
            sync_timeout,
            slack,
            local_hosts,
            repository_secret,
            sops,
        } = settings;
        Self {
            root,
            github: GitHub::new(github, secrets.clone()),
            slack: slack.map(|slack| Slack::new(slack, secrets.clone(), aws.http().clone())),
            helm_repositories: HelmRepositories::new(local_hosts, helm_repository::TIMEOUT).with_ecr(aws.clone()),
            decryption: Decryption::new(sops, aws.clone(), secrets.clone()),
            clusters: Clusters::new(cluster, aws, state_secret.as_ref().map(|name| signer(&secrets, name))),
            sync_timeout,
            secrets,
            state_secret,
            repository_secret,
        }
    }

    /// Creates an empty cache of commits and charts, for one event.
    pub fn checkouts(&self) -> Checkouts {
        self.equip(Checkouts::new(self.github.clone()))
    }

    /// `checkouts` with the charts and the credentials of the settings.
    pub fn equip(&self, checkouts: Checkouts) -> Checkouts {
        let secret = self.repository_secret.clone();
        let credentials = secret.map(|name| Credentials::of_secret(self.secrets.clone(), name)).unwrap_or_default();
        checkouts.with_charts(self.helm_repositories.clone()).with_credentials(Arc::new(credentials))
    }

    /// Reads the root, and registers the clusters that it declares.
    pub async fn load_root(&self, checkouts: &Checkouts) -> Result<Root, Failure> {
        let recorded = Recorded(self);
        let root = root::load(&self.root, checkouts, Some(recorded)).await?;
        self.clusters.register(&root.clusters).await;
        Ok(root)
    }

    /// The secret that drift fingerprints are keyed with.
    pub async fn state_key(&self) -> Result<SecretString, SecretError> {
        match &self.state_secret {
            Some(name) => self.secrets.get(name).await,
            None => Ok(SecretString::from("local")),
        }
    }

    /// Whether what is recorded is kept from who can read it by a secret.
    pub fn has_state_secret(&self) -> bool {
        self.state_secret.is_some()
    }

    /// The same, with the secret before it.
    pub async fn state_keys(&self) -> Result<StateKeys, SecretError> {
        let current = self.state_key().await?;
        let previous = match &self.state_secret {
            Some(name) => self.secrets.previous(name, None).await?,
            None => None,
        };
        Ok(StateKeys { current, previous })
    }

    /// Creates the reporter of one event, where Slack is configured.
    pub fn reporter(&self) -> Option<Reporter> {
        self.slack.clone().map(Reporter::new)
    }

    /// Sends a message to Slack's channel, where it is configured; what can't be sent is logged. Returns whether it was
    /// sent, or will never be: a Slack that is down or limits is no reason to forget it.
    pub async fn notify(&self, text: &str) -> bool {
        let Some(slack) = &self.slack else { return true };
        Self::notify_channel(slack, slack.channel(), text).await
    }

    /// Sends a message to the channels that `to` subscribes to `phase`; the same as of [`Services::notify`].
    pub async fn notify_subscribers(&self, to: &Subscriptions, phase: AppSyncStatus, text: &str) -> bool {
        let Some(slack) = &self.slack else { return true };
        let mut is_told = true;
        for channel in to.channels(phase, slack.channel()) {
            is_told &= Self::notify_channel(slack, &channel, text).await;
        }
        is_told
    }

    async fn notify_channel(slack: &Slack, channel: &str, text: &str) -> bool {
        if slack.is_suspended() {
            tracing::warn!(text, "not sent to Slack, which did not answer a short while ago");
            return false;
        }
        let Err(error) = slack.post_to(channel, text).await else { return true };
        tracing::warn!(channel, error = chain(&error), text, "failed to notify Slack");
        !error.is_passing()
    }
}
