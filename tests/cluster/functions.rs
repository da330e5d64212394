//! The functions on the real control plane, as a team has them: GitHub, the queue and Slack are the sandbox's.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use slipway::aws::Aws;
use slipway::config::{GithubWebhook, Settings};
use slipway::deploy::WebhookHandler;
use slipway::drift_check::DriftChecker;
use slipway_cluster::state::State;
use slipway_cluster::{Cluster, state};
use slipway_sandbox::forge::{Change, Delivery, Repository};
use slipway_sandbox::{Options, Sandbox, aws};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::Place;

/// The functions, with a root of their own: the folder of the place's name.
pub(crate) struct Functions {
    pub(crate) sandbox: Sandbox,
    pub(crate) webhooks: UnboundedReceiver<Delivery>,
    pub(crate) worker: WebhookHandler,
    pub(crate) checker: DriftChecker,
    pub(crate) folder: tempfile::TempDir,
}

impl Functions {
    /// With `settings` besides those of the sandbox; an empty one counts as not set.
    pub(crate) async fn start(place: &Place, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sandbox, mut webhooks) = Box::pin(Sandbox::start(Options::new(folder.path()))).await.unwrap();
        // Of the sandbox's own application.
        webhooks.recv().await.unwrap();
        let root = format!("https://github.com/acme/gitops//{}?ref=main", place.namespace());
        let mut environment = sandbox.environment();
        environment.insert("SLIPWAY_KUBECONFIG".to_owned(), place.plane.kubeconfig.display().to_string());
        environment.insert("SLIPWAY_ROOT".to_owned(), root);
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let get = |name: &str| environment.get(name).cloned();
        let aws = Aws::at(&sandbox.aws.url(), aws::REGION).await;
        let worker = WebhookHandler::new(GithubWebhook::load(get).unwrap(), aws.clone());
        let checker = DriftChecker::new(Settings::load(get).unwrap(), aws);
        Self { sandbox, webhooks, worker, checker, folder }
    }

    /// Commits `files` to the GitOps repository; an empty one is deleted.
    pub(crate) fn push(&self, message: &str, files: &[(String, String)]) {
        self.push_to(&self.sandbox.repository, message, files);
    }

    /// Commits `files` to `repository`; gives the commit.
    pub(crate) fn push_to(&self, repository: &Repository, message: &str, files: &[(String, String)]) -> String {
        let change = |(path, text): &(String, String)| match text.as_str() {
            "" => Change::delete(path.clone()),
            text => Change::write(path.clone(), text),
        };
        let changes: Vec<Change> = files.iter().map(change).collect();
        self.sandbox.forge.push(repository, "main", message, &changes).unwrap().to_string()
    }

    /// Another repository of GitHub, which is empty.
    pub(crate) fn repository(&self, name: &str) -> Arc<Repository> {
        let folder = self.folder.path().join(format!("{name}.git"));
        fs::create_dir_all(&folder).unwrap();
        self.sandbox.forge.create("acme", name, &folder).unwrap()
    }

    /// What Slack has been told.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.sandbox.slack.messages().into_iter().map(|message| message.text).collect()
    }

    /// Delivers every webhook and works off every message.
    pub(crate) async fn settle(&mut self) {
        while let Some(event) = self.next_event() {
            self.worker.handle(event, in_a_while(), "sync").await.unwrap();
        }
    }

    /// The next webhook, or the next message of the queue.
    pub(crate) fn next_event(&mut self) -> Option<serde_json::Value> {
        let webhook = self.webhooks.try_recv().ok();
        let webhook = webhook.map(|one| one.to_function_url_event(false, jiff::Timestamp::now()));
        webhook.or_else(|| self.sandbox.aws.next_event())
    }
}

/// What is recorded of the application `name`, without the functions' key: nobody can tell who signed it.
pub(crate) async fn recorded(place: &Place, name: &str) -> Option<State> {
    let cluster = Cluster::from_kubeconfig(&[&place.plane.kubeconfig], None, None).unwrap();
    let key = state::list(&cluster).await.unwrap().into_iter().find(|key| key.name == name)?;
    Some(state::read(&cluster, &key).await.unwrap().unwrap().state)
}

pub(crate) fn in_a_while() -> Instant {
    Instant::now() + Duration::from_mins(2)
}
