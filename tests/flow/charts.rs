//! Applications whose source is a chart of a Helm repository.

use http::StatusCode;
use serde_json::{Value, json};
use slipway::config::{GithubWebhook, Settings};
use slipway::deploy::WebhookHandler;
use slipway::drift_check::DriftChecker;
use slipway_cluster::state::{Reached, State};
use slipway_gitops::Revisions;
use slipway_gitops::status::SyncStatus;
use slipway_sandbox::http::Response;
use slipway_sandbox::{Sandbox, aws};

use crate::attempt::map;
use crate::world::Flow;
use slipway_tests::chart_server::{ChartServer, chart};

/// The functions with a chart server that they may ask.
pub(crate) struct World {
    pub(crate) flow: Flow,
    pub(crate) server: ChartServer,
}

impl World {
    pub(crate) async fn start() -> Self {
        let server = ChartServer::start().await;
        let mut flow = Flow::deployed().await;
        let settings = [("SLIPWAY_LOCAL_HOSTS", server.host())];
        flow.deployer = flow.another_with(&settings.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
        flow.checker = checker(&flow.sandbox, &server).await;
        Self { flow, server }
    }

    /// Pushes Applications, and one with plain manifests beside them.
    pub(crate) async fn push(&mut self, message: &str, applications: &[Value]) {
        let texts: Vec<(String, String)> = applications
            .iter()
            .map(|app| (format!("applications/{}.yaml", app["metadata"]["name"].as_str().unwrap()), app.to_string()))
            .collect();
        let files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.flow.push(message, &files);
        self.flow.settle().await;
    }

    pub(crate) fn map(&self, name: &str) -> Option<Value> {
        Some(self.flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}"))?["data"].clone())
    }

    fn version(&self) -> String {
        self.map("web-page").map_or_else(String::new, |data| data["version"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn state(&self) -> State {
        self.flow.state("web").await.unwrap()
    }

    pub(crate) fn said(&self, words: &str) -> bool {
        self.flow.messages().iter().any(|message| message.contains(words))
    }
}

pub(crate) async fn checker(sandbox: &Sandbox, server: &ChartServer) -> DriftChecker {
    let mut environment = sandbox.environment();
    environment.insert("SLIPWAY_LOCAL_HOSTS".to_owned(), server.host());
    let settings = Settings::load(|name: &str| environment.get(name).cloned()).unwrap();
    DriftChecker::new(settings, slipway::aws::Aws::at(&sandbox.aws.url(), aws::REGION).await)
}

pub(crate) fn application(name: &str, source: &Value) -> Value {
    let field = if source.is_array() { "sources" } else { "source" };
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": "argocd"},
        "spec": {"project": "default", field: source, "destination": {"name": "in-cluster", "namespace": "shop"},
            "syncPolicy": {"automated": {"prune": true}, "retry": {"limit": 0}}}})
}

/// Over HTTP, and from a registry.
fn sources(server: &ChartServer, revision: &str) -> [Value; 2] {
    let helm = json!({"parameters": [{"name": "greeting", "value": "welcome"}], "releaseName": "web"});
    [server.url(), server.host()]
        .map(|url| json!({"repoURL": url, "chart": "web", "targetRevision": revision, "helm": helm}))
}

#[tokio::test]
async fn a_chart_is_deployed_and_its_version_is_the_revision() {
    for kind in [0, 1] {
        let mut world = Box::pin(World::start()).await;
        world.server.content().asks_login = true;
        world.server.publish("web", "1.0.0");
        world.server.publish("web", "1.1.0");
        let source = &sources(&world.server, "1.0.0")[kind];
        world.push("Add web", &[application("web", source)]).await;
        let data = world.map("web-page").unwrap_or_else(|| panic!("{:?}", world.flow.messages()));
        assert_eq!((&data["version"], &data["greeting"]), (&json!("1.0.0"), &json!("welcome")));
        let state = world.state().await;
        assert_eq!((state.status.sync.status, &state.status.sync.revisions), (SyncStatus::Synced, &"1.0.0".into()));
        assert_eq!((state.attempt.reached, &state.attempt.revisions), (Reached::All, &"1.0.0".into()));
        let status = json!(state.status);
        assert_eq!((&status["sourceType"], &status["history"][0]["revision"]), (&json!("Helm"), &json!("1.0.0")));
        let shown = &status["history"][0]["source"];
        assert_eq!(
            (&shown["chart"], &shown["repoURL"], &shown["path"]),
            (&json!("web"), &source["repoURL"], &Value::Null)
        );
        assert_eq!(state.notes["application"]["url"], Value::Null);
        let place = format!("`1.0.0` of {}/web", world.server.host());
        assert!(world.said(&place), "{:?}", world.flow.messages());
        assert_eq!(world.flow.statuses()[0]["state"], "success", "told of the commit that names it");
        // The same again asks nothing, and neither does a check by the warm function that fetched it.
        let (asked, told) = (world.server.asked(0).len(), world.flow.messages().len());
        world.flow.push("Beside", &[("NOTES.md", "1")]);
        world.flow.settle().await;
        assert_eq!((world.server.asked(asked), world.flow.messages().len()), (vec![], told));
        world.flow.check().await;
        let asked = world.server.asked(0).len();
        let found = world.flow.check().await;
        assert_eq!((&found["applications"]["web"], world.server.asked(asked)), (&json!({}), vec![]));
    }
}

#[tokio::test]
async fn a_new_version_of_a_range_is_deployed_by_a_push_and_by_drift_check() {
    for kind in [0, 1] {
        let mut world = Box::pin(World::start()).await;
        world.server.publish("web", "1.0.0");
        let app = application("web", &sources(&world.server, "1.x")[kind]);
        world.push("Add web", std::slice::from_ref(&app)).await;
        assert_eq!(world.version(), "1.0.0", "{:?}", world.flow.messages());
        world.server.publish("web", "1.1.0");
        world.server.publish("web", "2.0.0");
        world.flow.push("Beside", &[("applications/other.yaml", "# nothing")]);
        world.flow.settle().await;
        assert_eq!(world.version(), "1.1.0", "{:?}", world.flow.messages());
        world.server.publish("web", "1.2.0");
        world.flow.check().await;
        assert_eq!(world.version(), "1.2.0", "{:?}", world.flow.messages());
        let state = world.state().await;
        assert_eq!((state.status.sync.revisions, state.attempt.reached), ("1.2.0".into(), Reached::All));
        let found = world.flow.check().await;
        assert_eq!(found["applications"]["web"], json!({}), "{found}");
    }
}

#[tokio::test]
async fn values_of_git_go_with_a_chart_of_a_repository() {
    let mut world = Box::pin(World::start()).await;
    world.server.publish("web", "1.0.0");
    world
        .flow
        .push("Values", &[("values/web.yaml", "greeting: from git\n"), ("extra/x.yaml", &map("x", "1", &json!({})))]);
    let root = "https://github.com/acme/gitops";
    let app = application(
        "web",
        &json!([
            {"repoURL": world.server.url(), "chart": "web", "targetRevision": "^1",
                "helm": {"valueFiles": ["$values/values/web.yaml"]}},
            {"repoURL": root, "targetRevision": "main", "ref": "values", "path": "extra"},
        ]),
    );
    world.push("Add web", &[app]).await;
    assert_eq!(world.map("web-page").unwrap()["greeting"], "from git", "{:?}", world.flow.messages());
    assert_eq!(world.map("x").unwrap()["v"], "1");
    let head = world.flow.head();
    let at = |version: &str, head: &str| Revisions::PerSource(vec![version.to_owned(), head.to_owned()]);
    assert_eq!(world.state().await.status.sync.revisions, at("1.0.0", &head));
    world.flow.push("Values", &[("values/web.yaml", "greeting: changed\n")]);
    world.flow.settle().await;
    assert_eq!(world.map("web-page").unwrap()["greeting"], "changed");
    assert_eq!(world.state().await.status.sync.revisions, at("1.0.0", &world.flow.head()));
}

/// What can't be had holds the application that needs it, and no other.
#[tokio::test]
async fn a_repository_that_lies_or_lacks_the_version_holds_that_application_alone() {
    let mut world = Box::pin(World::start()).await;
    world.server.publish("web", "1.0.0");
    world.server.answer("/web-1.0.0.tgz", |_| Response::new(StatusCode::OK, chart("web", "1.0.0", "another")));
    let [web, _] = sources(&world.server, "1.0.0");
    let mut none = web.clone();
    none["targetRevision"] = json!("^7");
    let local = json!({"repoURL": "http://169.254.169.254", "chart": "web", "targetRevision": "1.0.0"});
    let beside = json!({"repoURL": "https://github.com/acme/gitops", "path": "extra", "targetRevision": "main"});
    world.flow.push("Beside", &[("extra/x.yaml", &map("x", "1", &json!({})))]);
    let apps = [("web", &web), ("none", &none), ("local", &local), ("beside", &beside)];
    world.push("Add", &apps.map(|(name, source)| application(name, source))).await;
    assert_eq!((world.map("web-page"), world.map("x").is_some()), (None, true), "{:?}", world.flow.messages());
    for words in ["failed to verify", "failed to find `^7`", "169.254.169.254 is at a loopback or link-local address"] {
        assert!(world.said(words), "{words}: {:?}", world.flow.messages());
    }
    let asked = world.server.asked(0);
    assert!(asked.iter().all(|path| ["/index.yaml", "/web-1.0.0.tgz"].contains(&path.as_str())), "{asked:?}");
    // It is mended by who serves it.
    world.server.content().answers.clear();
    world.flow.push("Again", &[("applications/again.yaml", "# nothing")]);
    world.flow.settle().await;
    assert_eq!(world.version(), "1.0.0", "{:?}", world.flow.messages());
}

/// It comes back later; what is there already stays, and is compared as long as the function remembers its chart.
#[tokio::test]
async fn an_outage_of_a_repository_passes() {
    let mut world = Box::pin(World::start()).await;
    world.server.publish("web", "1.0.0");
    world.push("Add web", &[application("web", &sources(&world.server, "1.x")[0])]).await;
    assert_eq!(world.version(), "1.0.0");
    world.server.answer("/index.yaml", |_| Response::new(StatusCode::SERVICE_UNAVAILABLE, ""));
    world.flow.push("Beside", &[("applications/other.yaml", "# nothing"), ("extra/x.yaml", "")]);
    let message = world.flow.message().await;
    world.flow.deployer.handle(message, crate::world::soon(), "outage").await.unwrap();
    let found = world.flow.check().await;
    let problems = found["applications"]["web"]["problems"].to_string();
    assert!(problems.contains("the server answered 503"), "{found}");
    assert_eq!(world.version(), "1.0.0");
    world.server.content().answers.clear();
    world.server.publish("web", "1.5.0");
    world.flow.check().await;
    assert_eq!(world.version(), "1.5.0", "{:?}", world.flow.messages());
}

#[tokio::test]
async fn a_version_whose_content_changed_is_told_and_not_deployed() {
    let mut world = Box::pin(World::start()).await;
    world.server.publish("web", "1.0.0");
    let app = application("web", &sources(&world.server, "1.0.0")[0]);
    world.push("Add web", std::slice::from_ref(&app)).await;
    assert_eq!(world.map("web-page").unwrap()["note"], "");
    let other = chart("web", "1.0.0", "swapped");
    world.server.content().charts.insert(("web".to_owned(), "1.0.0".to_owned()), other);
    world.flow.deployer = cold(&world).await;
    let mut changed = app.clone();
    changed["spec"]["source"]["helm"]["parameters"][0]["value"] = json!("changed");
    world.push("Change web", &[changed.clone()]).await;
    let data = world.map("web-page").unwrap();
    assert_eq!((&data["note"], &data["greeting"]), (&json!(""), &json!("welcome")));
    assert!(world.said("a version's content must not change"), "{:?}", world.flow.messages());
    // A new version is another thing.
    world.server.publish("web", "1.0.1");
    changed["spec"]["source"]["targetRevision"] = json!("1.0.1");
    world.push("Go on", &[changed]).await;
    assert_eq!(world.version(), "1.0.1", "{:?}", world.flow.messages());
}

async fn cold(world: &World) -> WebhookHandler {
    let mut environment = world.flow.sandbox.environment();
    environment.insert("SLIPWAY_LOCAL_HOSTS".to_owned(), world.server.host());
    let settings = GithubWebhook::load(|name: &str| environment.get(name).cloned()).unwrap();
    WebhookHandler::new(settings, slipway::aws::Aws::at(&world.flow.sandbox.aws.url(), aws::REGION).await)
}

#[tokio::test]
async fn a_repository_that_the_project_does_not_name_is_not_asked() {
    let mut world = Box::pin(World::start()).await;
    world.server.publish("web", "1.0.0");
    let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "narrow", "namespace": "argocd"},
        "spec": {"sourceRepos": ["https://github.com/acme/*"], "destinations": [{"server": "*", "namespace": "*"}]}});
    let narrow = |source: &Value| {
        let mut app = application("web", source);
        app["spec"]["project"] = json!("narrow");
        app
    };
    for source in sources(&world.server, "1.x") {
        world.push("Add", &[project.clone(), narrow(&source)]).await;
        assert!(world.said("is not permitted") || world.said("does not allow"), "{:?}", world.flow.messages());
        assert_eq!((world.map("web-page"), world.server.asked(0)), (None, vec![]));
    }
    let mut wide = project.clone();
    wide["spec"]["sourceRepos"] = json!([world.server.url()]);
    world.push("Allow", &[wide, narrow(&sources(&world.server, "1.x")[0])]).await;
    assert_eq!(world.version(), "1.0.0", "{:?}", world.flow.messages());
}
