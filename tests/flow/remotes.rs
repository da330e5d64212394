//! Remote bases and files of kustomizations.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use slipway_gitops::status::SyncStatus;
use slipway_sandbox::forge::{Change, Repository};
use slipway_sandbox::http::Response;
use slipway_tests::chart_server::ChartServer;

use crate::charts::{World, application};

/// The functions, a repository with bases, and a server with files.
struct Remotes {
    world: World,
    bases: Arc<Repository>,
}

fn config(name: &str, value: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}).to_string()
}

impl Remotes {
    async fn start() -> Self {
        let world = Box::pin(World::start()).await;
        let folder = world.flow.sandbox.repository.folder().with_file_name("bases.git");
        fs::create_dir_all(&folder).unwrap();
        let bases = world.flow.sandbox.forge.create("acme", "bases", &folder).unwrap();
        Self { world, bases }
    }

    /// Pushes the bases; the commit.
    fn publish(&self, files: &[(&str, &str)]) -> String {
        let changes: Vec<Change> = files.iter().map(|(path, text)| Change::write(*path, *text)).collect();
        self.world.flow.sandbox.forge.push(&self.bases, "main", "Bases", &changes).unwrap().to_string()
    }

    /// A base `web` that has a base of its own.
    fn publish_web(&self, value: &str) -> String {
        self.publish(&[
            ("web/kustomization.yaml", "resources: [../common]\n"),
            ("common/kustomization.yaml", "resources: [config.yaml]\n"),
            ("common/config.yaml", &config("base", value)),
        ])
    }

    fn tag(&self, name: &str, commit: &str) {
        let folder = self.bases.folder();
        let git = Command::new("git").arg("--git-dir").arg(folder).args(["tag", "-f", name, commit]).output().unwrap();
        assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
    }

    /// Pushes the kustomization of the Application `web`.
    async fn push(&mut self, kustomization: &str) {
        let source = json!({"repoURL": "https://github.com/acme/gitops", "path": "web", "targetRevision": "main"});
        let app = application("web", &source).to_string();
        self.world.flow.push("Web", &[("applications/web.yaml", &app), ("web/kustomization.yaml", kustomization)]);
        self.world.flow.settle().await;
    }

    fn value(&self, name: &str) -> String {
        let value = self.world.map(name).map(|data| data["value"].as_str().unwrap().to_owned());
        value.unwrap_or_else(|| format!("none: {:?}", self.world.flow.messages()))
    }

    /// The paths that were asked of the repository of the bases since request number `since`.
    fn asked(&self, since: usize) -> Vec<String> {
        let exchanges = self.world.flow.sandbox.forge.exchanges();
        let paths = exchanges.into_iter().skip(since).map(|exchange| exchange.request.path);
        paths.filter(|path| path.starts_with("/repos/acme/bases")).collect()
    }

    fn requests(&self) -> usize {
        self.world.flow.sandbox.forge.exchanges().len()
    }
}

#[tokio::test]
async fn bases_and_files_from_elsewhere_are_deployed() {
    let mut remotes = Box::pin(Remotes::start()).await;
    let first = remotes.publish_web("1");
    remotes.tag("v1.0.0", &first);
    remotes.publish_web("2");
    remotes.world.server.answer("/file.yaml", |_| Response::new(StatusCode::OK, config("file", "raw")));
    let patch = "- {op: replace, path: /data/value, value: patched}\n";
    remotes.world.server.answer("/v1.0.0/patch.yaml", move |_| Response::new(StatusCode::OK, patch));
    let url = remotes.world.server.url();
    for (base, expected) in [
        ("https://github.com/acme/bases//web?ref=v1.0.0", "1"),
        ("git@github.com:acme/bases.git//web?ref=main&submodules=false", "2"),
        ("github.com/acme/bases/web?timeout=90s", "2"),
        (&*format!("ssh://git@github.com/acme/bases.git//web?ref={first}"), "1"),
    ] {
        let text = format!(
            "resources: ['{base}', '{url}/file.yaml']\npatches:\n- target: {{kind: ConfigMap, name: file}}\n  path: \
             {url}/v1.0.0/patch.yaml\n"
        );
        remotes.push(&text).await;
        assert_eq!(
            (remotes.value("base"), remotes.value("file")),
            (expected.to_owned(), "patched".to_owned()),
            "{base}"
        );
        let notes = remotes.world.state().await.notes;
        assert_eq!(notes["remotes"][base].as_str().unwrap().len(), 40, "{notes:?}");
    }
}

/// What names a commit or a version is not asked for again; a branch is, and only that.
#[tokio::test]
async fn what_does_not_change_is_not_fetched_again() {
    let mut remotes = Box::pin(Remotes::start()).await;
    let first = remotes.publish_web("1");
    remotes.tag("v1.0.0", &first);
    let server_url = remotes.world.server.url();
    remotes.world.server.answer("/v2.0.0/file.yaml", |_| Response::new(StatusCode::OK, config("file", "raw")));
    for (reference, expected) in
        [("v1.0.0", vec![]), (&*first, vec![]), ("main", vec!["/repos/acme/bases/commits/main".to_owned()])]
    {
        let text =
            format!("resources: ['github.com/acme/bases//web?ref={reference}', '{server_url}/v2.0.0/file.yaml']\n");
        remotes.push(&text).await;
        assert_eq!(remotes.value("base"), "1");
        let (since, files) = (remotes.requests(), remotes.world.server.asked(0).len());
        remotes.world.flow.push("Beside", &[("NOTES.md", reference)]);
        remotes.world.flow.settle().await;
        assert_eq!((remotes.asked(since), remotes.world.server.asked(files)), (expected, vec![]), "{reference}");
        let status = remotes.world.flow.statuses()[0]["description"].to_string();
        assert!(status.contains("unchanged") && !status.contains("deployed"), "{status}");
    }
}

/// A branch that has moved comes with the next push, and not in between.
#[tokio::test]
async fn a_base_at_a_branch_moves_with_the_next_push() {
    let mut remotes = Box::pin(Remotes::start()).await;
    remotes.publish_web("1");
    remotes.push("resources: ['https://github.com/acme/bases//web?ref=main']\n").await;
    assert_eq!(remotes.value("base"), "1");
    remotes.publish_web("2");
    remotes.world.flow.check().await;
    assert_eq!(
        (remotes.value("base"), remotes.world.state().await.status.sync.status),
        ("1".to_owned(), SyncStatus::Synced)
    );
    remotes.world.flow.push("Beside", &[("NOTES.md", "x")]);
    remotes.world.flow.settle().await;
    assert_eq!(remotes.value("base"), "2");
}

/// Every repository that is fetched from, also by what was fetched, has to be allowed.
#[tokio::test]
async fn a_project_allows_what_is_fetched() {
    let mut remotes = Box::pin(Remotes::start()).await;
    let url = remotes.world.server.url();
    remotes.world.server.answer("/file.yaml", |_| Response::new(StatusCode::OK, config("file", "raw")));
    remotes.publish(&[
        ("web/kustomization.yaml", &format!("resources: ['{url}/file.yaml']\n")),
        ("deep/kustomization.yaml", "resources: ['https://github.com/acme/gitops//secret?ref=main']\n"),
    ]);
    remotes.world.flow.settle().await;
    let project = |repositories: &[&str]| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"},
            "spec": {"sourceRepos": repositories, "destinations": [{"server": "*", "namespace": "*"}]}})
        .to_string()
    };
    let own = "https://github.com/acme/gitops";
    for (allowed, base, denied) in [
        (vec![own], "https://github.com/acme/bases//web", "https://github.com/acme/bases"),
        (vec![own], "git@github.com:acme/bases.git//web", "https://github.com/acme/bases"),
        (vec![own, "https://github.com/acme/bases"], "https://github.com/acme/bases//web?ref=main", "/file.yaml"),
        (vec!["*", "!https://github.com/acme/bases.git"], "github.com/acme/Bases//web?ref=main", "acme/Bases"),
    ] {
        let (since, files) = (remotes.requests(), remotes.world.server.asked(0).len());
        remotes.world.flow.push("Project", &[("applications/project.yaml", &project(&allowed))]);
        remotes.push(&format!("resources: ['{base}']\n")).await;
        let told = remotes.world.flow.messages().join("\n");
        let expected =
            format!("does not allow the source `{}", if denied.starts_with('/') { url.as_str() } else { "https" });
        assert!(told.contains(&expected) && told.contains(denied), "{base}: {told}");
        assert_eq!(remotes.world.server.asked(files), Vec::<String>::new(), "{base}");
        assert!(denied.starts_with('/') || remotes.asked(since).is_empty(), "{base}: {:?}", remotes.asked(since));
    }
}

/// Attacks by what a kustomization names: options and commands, cycles, other hosts of the machine.
#[tokio::test]
async fn what_a_kustomization_names_can_not_harm() {
    let mut remotes = Box::pin(Remotes::start()).await;
    let url = remotes.world.server.url();
    remotes.publish(&[
        ("loop/kustomization.yaml", "resources: ['https://github.com/acme/bases//loop?ref=main']\n"),
        ("out/kustomization.yaml", "resources: [../../../web]\n"),
        ("files/kustomization.yaml", "configMapGenerator: [{name: stolen, files: [../../../web/secret.txt]}]\n"),
        ("a/kustomization.yaml", "resources: ['https://github.com/acme/bases//b?ref=main']\n"),
        ("b/kustomization.yaml", "resources: ['github.com/acme/bases//a?ref=main']\n"),
    ]);
    remotes.world.flow.push("A file", &[("web/secret.txt", "mine")]);
    let elsewhere = ["http://169.254.169.254/latest/x.yaml", "http://localhost:1/x.yaml", "http://[::1]/x.yaml"];
    for (at, to) in elsewhere.into_iter().enumerate() {
        remotes
            .world
            .server
            .answer(&format!("/{at}.yaml"), move |_| Response::new(StatusCode::FOUND, "").with("location", to));
    }
    remotes.world.server.answer("/self.yaml", |_| Response::new(StatusCode::FOUND, "").with("location", "/self.yaml"));
    remotes.world.server.answer("/down.yaml", |_| Response::new(StatusCode::FORBIDDEN, "c4n4ry"));
    let base = |path: &str| format!("https://github.com/acme/bases//{path}?ref=main");
    let raw = |path: &str| format!("{url}/{path}.yaml");
    for (resource, expected) in [
        (base("loop"), "cycle"),
        (base("a"), "cycle"),
        (base("out"), "is not in or below"),
        (base("files"), "files"),
        (base("none"), "none"),
        ("github.com/acme/bases//web?ref=--upload-pack=touch".to_owned(), "github.com/acme/bases"),
        ("--upload-pack=touch".to_owned(), "upload-pack"),
        ("ext::sh -c touch% /tmp/x".to_owned(), "ext::sh"),
        ("file:///etc".to_owned(), "file:///etc"),
        ("https://user:c4n4ry@github.com/acme/bases//web".to_owned(), "github.com/acme/bases"),
        ("http://169.254.169.254/latest/meta-data/x.yaml".to_owned(), "SLIPWAY_LOCAL_HOSTS"),
        (raw("0"), "SLIPWAY_LOCAL_HOSTS"),
        (raw("1"), "SLIPWAY_LOCAL_HOSTS"),
        (raw("2"), "SLIPWAY_LOCAL_HOSTS"),
        (raw("self"), "more than 10 redirects"),
        (raw("missing"), "answered 404"),
        (raw("down"), "needs a login"),
    ] {
        let before = remotes.world.flow.messages().len();
        remotes.push(&format!("resources: [\"{resource}\"]\n")).await;
        let told = remotes.world.flow.messages().split_off(before).join("\n");
        assert!(told.contains(expected) && told.contains("ailed"), "{resource}: {told}");
        assert!(!told.contains("c4n4ry"), "{told}");
        assert!(remotes.world.map("stolen").is_none());
    }
    let state: Value = json!(remotes.world.flow.state("web").await);
    assert!(!state.to_string().contains("c4n4ry"));
}

/// A remote file that is behind a login, and one that is too large or without end.
#[tokio::test]
async fn files_are_bounded_and_logged_in_for() {
    let mut remotes = Box::pin(Remotes::start()).await;
    let url = remotes.world.server.url();
    remotes.world.server.content().authorization = "Basic dXNlcjpjNG40cnk=".to_owned();
    remotes.world.server.answer("/team/file.yaml", |request| match request.header("authorization") {
        Some("Basic dXNlcjpjNG40cnk=") => Response::new(StatusCode::OK, config("file", "raw")),
        _ => Response::new(StatusCode::UNAUTHORIZED, ""),
    });
    let login = json!({"url": format!("{url}/team"), "username": "user", "password": "c4n4ry"});
    let secret = crate::credentials::secret("repo-creds", &login);
    remotes.world.flow.push("Login", &[("applications/login.yaml", &secret.to_string())]);
    remotes.push(&format!("resources: ['{url}/team/file.yaml']\n")).await;
    assert_eq!(remotes.value("file"), "raw");
    let other = ChartServer::start().await;
    other.answer("/x.yaml", |_| Response::new(StatusCode::OK, vec![b' '; 40 << 20]));
    let host = format!("{},{}", remotes.world.server.host(), other.host());
    remotes.world.flow.deployer = remotes.world.flow.another_with(&[("SLIPWAY_LOCAL_HOSTS", &host)]).await;
    remotes.push(&format!("resources: ['{}/x.yaml']\n", other.url())).await;
    assert!(remotes.world.said("the answer has more than"), "{:?}", remotes.world.flow.messages());
}

/// Applications that a remote base declares are children as any others, where the project allows its repository.
#[tokio::test]
async fn applications_of_a_remote_base_are_deployed() {
    let mut remotes = Box::pin(Remotes::start()).await;
    let own = "https://github.com/acme/gitops";
    let source = |path: &str| json!({"repoURL": own, "path": path, "targetRevision": "main"});
    let publish = |remotes: &Remotes, path: &str| {
        let child = application("child", &source(path)).to_string();
        remotes.publish(&[("apps/kustomization.yaml", "resources: [child.yaml]\n"), ("apps/child.yaml", &child)])
    };
    let first = publish(&remotes, "child");
    remotes.tag("v1.0.0", &first);
    remotes.world.flow.settle().await;
    let mut parent = application("web", &source("web"));
    parent["spec"]["project"] = json!("team");
    parent["spec"]["destination"]["namespace"] = json!("argocd");
    // The project is known once its own Application is read.
    let projects = application("zz-projects", &source("projects"));
    let project = |repositories: &[&str]| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "team", "namespace": "argocd"},
            "spec": {"sourceRepos": repositories, "destinations": [{"server": "*", "namespace": "*"}]}})
        .to_string()
    };
    let push = |remotes: &Remotes, allowed: &[&str], reference: &str| {
        let base = format!("resources: ['https://github.com/acme/bases//apps?ref={reference}']\n");
        let files = [
            ("applications/web.yaml", parent.to_string()),
            ("applications/zz.yaml", projects.to_string()),
            ("projects/team.yaml", project(allowed)),
            ("web/kustomization.yaml", base),
            ("child/x.yaml", config("of-child", "one")),
            ("other/x.yaml", config("of-other", "one")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        remotes.world.flow.push("Web", &files);
    };
    let since = remotes.requests();
    push(&remotes, &[own], "v1.0.0");
    remotes.world.flow.settle().await;
    assert!(remotes.world.map("of-child").is_none(), "{:?}", remotes.world.flow.messages());
    assert_eq!(remotes.asked(since), Vec::<String>::new(), "what the project denies is not asked for");

    push(&remotes, &["*"], "v1.0.0");
    remotes.world.flow.settle().await;
    assert_eq!(remotes.value("of-child"), "one");
    let second = publish(&remotes, "other");
    remotes.tag("v2.0.0", &second);
    remotes.world.flow.settle().await;
    push(&remotes, &["*"], "v2.0.0");
    remotes.world.flow.settle().await;
    assert_eq!((remotes.value("of-other"), remotes.world.map("of-child")), ("one".to_owned(), None));

    // A base that can't be had leaves all as it is.
    push(&remotes, &["*"], "v3.0.0");
    remotes.world.flow.settle().await;
    remotes.world.flow.check().await;
    assert_eq!(remotes.value("of-other"), "one");
    assert!(remotes.world.flow.state("child").await.is_some(), "{:?}", remotes.world.flow.messages());
}
