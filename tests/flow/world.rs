//! The sandbox with the functions in it.

use std::time::Duration;

use serde_json::Value;
use slipway::aws::Aws;
use slipway::check::Checker;
use slipway::config::{Engine, GithubWebhook};
use slipway::deploy::Deployer;
use slipway_sandbox::World;
use slipway_sandbox::world::Options;
use tokio::time::Instant;

pub const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

pub struct Flow {
    pub world: World,
    pub deployer: Deployer,
    pub checker: Checker,
    _folder: tempfile::TempDir,
}

impl Flow {
    pub async fn start() -> Self {
        slipway::telemetry::start();
        let folder = tempfile::tempdir().unwrap();
        let world = World::start(folder.path(), Options::default()).await.unwrap();
        let aws = Aws::at(&world.aws.url(), slipway_sandbox::aws::REGION).await;
        let get = |name: &str| world.setting(name);
        let deployer = Deployer::new(GithubWebhook::load(get).unwrap(), aws.clone());
        let checker = Checker::new(Engine::load(get).unwrap(), aws);
        Self { world, deployer, checker, _folder: folder }
    }

    /// A shop with one Application, its Deployment and Service.
    pub async fn with_shop() -> Self {
        let flow = Self::start().await;
        flow.world.push("Add the shop", &shop()).unwrap();
        flow
    }

    /// Delivers every webhook and works off every message; gives the function's answers.
    pub async fn settle(&mut self) -> Vec<Value> {
        let mut answers = Vec::new();
        loop {
            let event = self.world.next_webhook().or_else(|| self.world.aws.next_event());
            let Some(event) = event else { return answers };
            answers.push(self.deployer.handle(event, soon(), "test").await.unwrap());
        }
    }

    pub async fn check(&self) -> Value {
        self.checker.handle(serde_json::json!({}), soon(), "check").await.unwrap()
    }

    pub fn deployment(&self) -> Value {
        self.world.cluster.get(DEPLOYMENT).expect("the Deployment exists")
    }

    pub fn messages(&self) -> Vec<String> {
        self.world.slack.messages().into_iter().map(|message| message.text).collect()
    }
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

pub fn shop() -> Vec<(&'static str, &'static str)> {
    vec![
        ("apps/web.yaml", include_str!("../reference/shop/apps/web.yaml")),
        ("web/kustomization.yaml", include_str!("../reference/shop/web/kustomization.yaml")),
        ("web/deployment.yaml", include_str!("../reference/shop/web/deployment.yaml")),
        ("web/service.yaml", include_str!("../reference/shop/web/service.yaml")),
        ("web/config.yaml", include_str!("../reference/shop/web/config.yaml")),
    ]
}
