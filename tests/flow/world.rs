//! The sandbox with the functions in it.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::config::{EcrPush, GithubWebhook, Settings};
use slipway::deploy::WebhookHandler;
use slipway::drift_check::DriftChecker;
use slipway::image::run::ImageUpdater;
use slipway_cluster::Cluster;
use slipway_cluster::state::{self, AppKey, Signer, State};
use slipway_sandbox::forge::{Change, Delivery};
use slipway_sandbox::{Clock, Options, Sandbox, aws};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

pub(crate) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
pub(crate) const KUSTOMIZATION: &str = "shop/kustomization.yaml";

pub(crate) struct Flow {
    pub(crate) sandbox: Sandbox,
    pub(crate) webhooks: UnboundedReceiver<Delivery>,
    pub(crate) pusher: ImageUpdater,
    pub(crate) deployer: WebhookHandler,
    pub(crate) checker: DriftChecker,
    _folder: tempfile::TempDir,
}

impl Flow {
    /// The sandbox with its shop; the webhook of the first push waits.
    pub(crate) async fn start() -> Self {
        Box::pin(Self::start_at(slipway_sandbox::system_clock())).await
    }

    /// With everything but the functions by another clock.
    pub(crate) async fn start_at(clock: Clock) -> Self {
        slipway::telemetry::start();
        let folder = tempfile::tempdir().unwrap();
        let options = Options { clock, ..Options::new(folder.path()) };
        let (sandbox, webhooks) = Box::pin(Sandbox::start(options)).await.unwrap();
        let aws = Aws::at(&sandbox.aws.url(), aws::REGION).await;
        let environment = sandbox.environment();
        let get = |name: &str| environment.get(name).cloned();
        Self {
            pusher: ImageUpdater::new(EcrPush::load(get).unwrap(), aws.clone()),
            deployer: WebhookHandler::new(GithubWebhook::load(get).unwrap(), aws.clone()),
            checker: DriftChecker::new(Settings::load(get).unwrap(), aws),
            sandbox,
            webhooks,
            _folder: folder,
        }
    }

    /// The shop, deployed.
    pub(crate) async fn deployed() -> Self {
        let mut flow = Box::pin(Self::start()).await;
        Box::pin(flow.settle()).await;
        flow
    }

    /// Another instance of the worker, that remembers nothing.
    pub(crate) async fn another(&self) -> WebhookHandler {
        self.another_with(&[]).await
    }

    /// The same with other settings; an empty one counts as not set.
    pub(crate) async fn another_with(&self, settings: &[(&str, &str)]) -> WebhookHandler {
        let mut environment = self.sandbox.environment();
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let settings = GithubWebhook::load(|name: &str| environment.get(name).cloned()).unwrap();
        WebhookHandler::new(settings, Aws::at(&self.sandbox.aws.url(), aws::REGION).await)
    }

    /// Another instance of ecr-push, that remembers nothing.
    pub(crate) async fn another_pusher(&self) -> ImageUpdater {
        self.another_pusher_with(&[]).await
    }

    /// The same with other settings.
    pub(crate) async fn another_pusher_with(&self, settings: &[(&str, &str)]) -> ImageUpdater {
        let mut environment = self.sandbox.environment();
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let settings = EcrPush::load(|name: &str| environment.get(name).cloned()).unwrap();
        ImageUpdater::new(settings, Aws::at(&self.sandbox.aws.url(), aws::REGION).await)
    }

    /// Another instance of drift-check, that remembers nothing.
    pub(crate) async fn another_checker(&self) -> DriftChecker {
        let environment = self.sandbox.environment();
        let settings = Settings::load(|name: &str| environment.get(name).cloned()).unwrap();
        DriftChecker::new(settings, Aws::at(&self.sandbox.aws.url(), aws::REGION).await)
    }

    /// Queues the webhooks that wait; gives the message that the worker gets next.
    pub(crate) async fn message(&mut self) -> Value {
        while let Some(webhook) = self.next_webhook() {
            assert_eq!(self.deployer.handle(webhook, soon(), "intake").await.unwrap()["statusCode"], 202);
        }
        self.sandbox.aws.next_event().expect("a message")
    }

    pub(crate) fn next_webhook(&mut self) -> Option<Value> {
        let delivery = self.webhooks.try_recv().ok()?;
        Some(delivery.to_function_url_event(false, jiff::Timestamp::now()))
    }

    /// Delivers every webhook and works off every message; gives the function's answers.
    pub(crate) async fn settle(&mut self) -> Vec<Value> {
        let mut answers = Vec::new();
        loop {
            let event = self.next_webhook().or_else(|| self.sandbox.aws.next_event());
            let Some(event) = event else { return answers };
            answers.push(Box::pin(self.deployer.handle(event, soon(), "test")).await.unwrap());
        }
    }

    pub(crate) fn push(&self, message: &str, files: &[(&str, &str)]) {
        let changes: Vec<Change> = files.iter().map(|(path, text)| Change::write(*path, *text)).collect();
        self.sandbox.forge.push(&self.sandbox.repository, "main", message, &changes).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        self.sandbox.read(path).unwrap().unwrap()
    }

    pub(crate) async fn check(&self) -> Value {
        self.checker.handle(json!({}), soon(), "check").await.unwrap()
    }

    /// The cluster, whose states are signed with the functions' key.
    pub(crate) fn cluster(&self) -> Cluster {
        let keys = |_| Box::pin(async { Ok(vec![SecretString::from("sandbox-state-key")]) }) as _;
        Cluster::from_kubeconfig(&[self.sandbox.kubeconfig()], None, None).unwrap().signing(Signer::new(keys))
    }

    /// Changes what the cluster remembers of the one application.
    pub(crate) async fn edit_state(&self, edit: impl FnOnce(&mut State)) {
        let cluster = self.cluster();
        let key = state::list(&cluster).await.unwrap().remove(0);
        let mut recorded = state::read(&cluster, &key).await.unwrap().unwrap();
        edit(&mut recorded.state);
        let version = recorded.version().to_owned();
        state::write(&cluster, &key, &recorded.state, Some(&version)).await.unwrap();
    }

    /// What the cluster remembers of the application `name`.
    pub(crate) async fn state(&self, name: &str) -> Option<State> {
        let cluster = self.cluster();
        let key = self.state_keys().await.into_iter().find(|key| key.name == name)?;
        Some(state::read(&cluster, &key).await.unwrap()?.state)
    }

    /// The applications that the cluster remembers.
    pub(crate) async fn state_keys(&self) -> Vec<AppKey> {
        state::list(&self.cluster()).await.unwrap()
    }

    pub(crate) fn deployment(&self) -> Value {
        self.sandbox.cluster.get(DEPLOYMENT).expect("the Deployment exists")
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        let messages = self.sandbox.slack.messages().into_iter().filter(|message| message.thread.is_empty());
        messages.map(|message| message.text).collect()
    }

    pub(crate) fn statuses(&self) -> Vec<Value> {
        self.sandbox.forge.statuses(self.sandbox.head().unwrap().unwrap())
    }
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}
