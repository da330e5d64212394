//! The shop in the sandbox, and `slipway app` beside it.

use std::process::Command;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::config::{self, GithubWebhook};
use slipway::deploy::WebhookHandler;
use slipway::drift_check::DriftChecker;
use slipway_sandbox::forge::{Change, Delivery};
use slipway_sandbox::{Options, Sandbox, aws};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

pub(crate) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

/// The sandbox with the shop deployed.
pub(crate) struct Shop {
    pub(crate) sandbox: Sandbox,
    pub(crate) webhooks: UnboundedReceiver<Delivery>,
    pub(crate) deployer: WebhookHandler,
    pub(crate) checker: DriftChecker,
    pub(crate) folder: tempfile::TempDir,
}

/// What a run of the binary left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sandbox, webhooks) = Sandbox::start(Options::new(folder.path())).await.unwrap();
        let environment = sandbox.environment();
        let settings = GithubWebhook::load(|name: &str| environment.get(name).cloned()).unwrap();
        let deployer = WebhookHandler::new(settings, Aws::at(&sandbox.aws.url(), aws::REGION).await);
        let settings = config::Settings::load(|name: &str| environment.get(name).cloned()).unwrap();
        let checker = DriftChecker::new(settings, Aws::at(&sandbox.aws.url(), aws::REGION).await);
        let mut shop = Self { sandbox, webhooks, deployer, checker, folder };
        shop.settle().await;
        shop
    }

    pub(crate) async fn settle(&mut self) {
        loop {
            let webhook =
                self.webhooks.try_recv().ok().map(|one| one.to_function_url_event(false, jiff::Timestamp::now()));
            let Some(event) = webhook.or_else(|| self.sandbox.aws.next_event()) else { return };
            self.deployer.handle(event, Instant::now() + Duration::from_mins(1), "test").await.unwrap();
        }
    }

    /// The same shop, but synced by hand.
    pub(crate) async fn by_hand() -> Self {
        let mut shop = Box::pin(Self::open()).await;
        let path = "applications/shop.yaml";
        let manual = shop.read(path).replace("    automated:\n      prune: true\n", "");
        shop.push(&[(path, &manual)]);
        shop.settle().await;
        shop
    }

    pub(crate) fn read(&self, path: &str) -> String {
        self.sandbox.read(path).unwrap().unwrap()
    }

    pub(crate) fn push(&self, files: &[(&str, &str)]) {
        let changes: Vec<Change> = files.iter().map(|(path, text)| Change::write(*path, *text)).collect();
        self.sandbox.forge.push(&self.sandbox.repository, "main", "Change", &changes).unwrap();
    }

    pub(crate) fn replicas(&self) -> Value {
        self.sandbox.cluster.get(DEPLOYMENT).unwrap()["spec"]["replicas"].clone()
    }

    pub(crate) fn scale(&self, replicas: u32) {
        let body = json!({"spec": {"replicas": replicas}});
        let path = format!("{DEPLOYMENT}?fieldManager=kubectl-edit");
        assert!(self.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body).0.is_success());
    }

    /// `slipway app LINE`, with a kubeconfig and a token and nothing else.
    pub(crate) async fn run(&self, line: &str) -> Ran {
        self.run_as(&[], line).await
    }

    /// As [`Shop::run`], with more of an environment.
    pub(crate) async fn run_as(&self, more: &[(&str, &str)], line: &str) -> Ran {
        self.run_group(more, &format!("app {line}")).await
    }

    /// `slipway LINE`, as [`Shop::run_as`].
    pub(crate) async fn run_group(&self, more: &[(&str, &str)], line: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(line.split(' ')).env_clear();
        command.env("KUBECONFIG", self.sandbox.kubeconfig()).env("GITHUB_TOKEN", "sandbox-token");
        command.env("SLIPWAY_GITHUB_API", self.sandbox.forge.url()).stdin(std::process::Stdio::null());
        command.envs(more.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What `get` prints as JSON.
    pub(crate) async fn status(&self, name: &str) -> Value {
        let get: Value = serde_json::from_str(&self.well(&format!("get {name} -o json")).await).unwrap();
        get["status"].clone()
    }

    /// What drift-check says of the shop.
    pub(crate) async fn check(&self) -> Value {
        let found = self.checker.handle(json!({}), Instant::now() + Duration::from_mins(1), "check").await.unwrap();
        found["applications"]["shop"].clone()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.sandbox.slack.messages().into_iter().map(|message| message.text).collect()
    }

    pub(crate) async fn well(&self, line: &str) -> String {
        let Ran { code, out, err } = self.run(line).await;
        assert_eq!(code, 0, "{line}: {out}{err}");
        out
    }
}
