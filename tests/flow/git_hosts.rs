//! Sources and bases on other git hosts than the root's, by git's own server.

use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};
use slipway::app;
use slipway::memory::Memory;
use slipway::render::Context;
use slipway::root::fetch::fetch_wanted;
use slipway::root::repositories::{Repositories, Unrendered};
use slipway::secret::Secrets;
use slipway::source::credentials::Credentials;
use slipway::source::git::GitRepository;
use slipway::source::github::{GitHub, GitHubSettings};
use slipway::source::helm_repository::HelmRepositories;
use slipway::source::{Checkouts, FetchError};
use slipway_gitops::status::SyncStatus;
use slipway_manifest::{Object, Tree};
use slipway_sandbox::http::{Body, Response, Server};
use slipway_tests::git_server::GitServer;
use slipway_tests::skip::or_skip;
use slipway_tests::tools;

use crate::charts::application;
use crate::credentials::secret;
use crate::world::{Flow, soon};

/// `user:c4n4ry`.
const BASIC: &str = "Basic dXNlcjpjNG40cnk=";
/// `user:r0tated`.
const ROTATED: &str = "Basic dXNlcjpyMHRhdGVk";

fn config(name: &str, value: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}).to_string()
}

/// What an event fetches, of a function that may fetch from local hosts, with what a root declares.
fn checkouts(hosts: &[&str], declared: &[Value], (timeout, memory): (Duration, Memory)) -> Checkouts {
    let secrets = Secrets::with(slipway::aws::Aws::default(), [("github".to_owned(), "t".to_owned().into())].into());
    let settings = GitHubSettings { api: "http://127.0.0.1:1".to_owned(), secret: "github".to_owned(), memory };
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let credentials = Credentials::default();
    let objects: Vec<Object> = declared.iter().map(|one| Object::from_value(one.clone()).unwrap()).collect();
    credentials.declare(&app::find(&objects));
    Checkouts::new(GitHub::new(settings, secrets))
        .with_charts(HelmRepositories::new(hosts, timeout))
        .with_credentials(Arc::new(credentials))
}

const LIMITS: (Duration, fn() -> Memory) = (Duration::from_secs(20), Memory::default);

fn usual(declared: &[Value]) -> Checkouts {
    checkouts(&["127.0.0.1", "localhost"], declared, (LIMITS.0, LIMITS.1()))
}

fn repository(host: &str, path: &str, project: &str) -> GitRepository {
    GitRepository::new(&format!("https://{host}/{path}").parse().unwrap(), project)
}

#[tokio::test]
async fn a_commit_is_what_git_has() {
    let server = GitServer::start().await;
    let team = server.create("group/sub/app.git");
    let long = (0..2000).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
    let files = [
        ("app/kustomization.yaml", "resources: [map.yaml]\n"),
        ("app/map.yaml", &config("a", "1")),
        ("long/1.txt", &long),
        ("long/2.txt", &format!("{long}more")),
        ("lfs.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        ("ünïcode/ä b.txt", "x"),
        ("empty", ""),
    ];
    symlink("map.yaml", team.folder().join("link")).unwrap();
    let first = team.push(&files);
    team.git(&["tag", "-a", "v1.0.0", "-m", "One"]);
    team.git(&["tag", "light"]);
    team.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{first},sub")]);
    std::fs::create_dir(team.folder().join("sub")).unwrap();
    let second = team.push(&[("app/map.yaml", &config("a", "2"))]);
    team.git(&["push", "-q", "--tags", "origin", "HEAD:refs/heads/release/1"]);
    let checkouts = usual(&[]);
    let app = repository(&server.host(), "group/sub/app", "default");
    for (revision, expected) in [
        ("main", &second),
        ("HEAD", &second),
        ("v1.0.0", &first),
        ("light", &first),
        ("release/1", &second),
        ("refs/heads/main", &second),
        ("refs/tags/v1.0.0", &first),
        (&first, &first),
    ] {
        assert_eq!(&checkouts.resolve_other(&app, revision).await.unwrap(), expected, "{revision}");
    }
    for wrong in ["none", "mai", "--upload-pack=x", "a..b"] {
        let error = checkouts.resolve_other(&app, wrong).await.unwrap_err();
        assert!(error.to_string().contains(wrong) && !error.is_retryable, "{error}");
    }
    let checkout = checkouts.get_other(&app, &second).await.unwrap();
    let mut listed: Vec<String> = checkout.tree.files_below("").unwrap().map(str::to_owned).collect();
    listed.extend(checkout.tree.links().map(|(link, target)| format!("{link} -> {target}")));
    listed.sort();
    let expected = [
        "app/kustomization.yaml",
        "app/map.yaml",
        "empty",
        "lfs.bin",
        "link -> map.yaml",
        "long/1.txt",
        "long/2.txt",
        "ünïcode/ä b.txt",
    ];
    assert_eq!(listed, expected);
    assert_eq!(checkout.tree.read_text("long/2.txt").unwrap(), format!("{long}more"));
    assert_eq!(checkout.tree.read_text("app/map.yaml").unwrap(), config("a", "2"));
    assert!(checkout.special.check_folder("sub").is_err() && checkout.special.check_folder("app").is_ok());
    assert!(checkout.special.check_files([&"lfs.bin".to_owned()]).is_err());
    // Asked once in an event, also where it fails, however it is written.
    let asked = server.asked(0).len();
    checkouts.get_other(&app, &second).await.unwrap();
    checkouts.resolve_other(&app, "main").await.unwrap();
    checkouts.resolve_other(&app, "none").await.unwrap_err();
    assert_eq!(server.asked(asked), Vec::<String>::new());
    assert!(server.asked(0).iter().all(|path| path.starts_with("/group/sub/app.git/")), "{:?}", server.asked(0));
    // One that is not called `.git`, and none at all.
    server.create("plain").push(&[("a", "1")]);
    checkouts.resolve_other(&repository(&server.host(), "plain", "default"), "main").await.unwrap();
    let none = checkouts.resolve_other(&repository(&server.host(), "none", "default"), "main").await.unwrap_err();
    assert!(none.to_string().contains("there is no such repository"), "{none}");
    let other = checkouts.get_other(&app, &"0".repeat(40)).await.unwrap_err();
    assert!(other.to_string().contains("the host says") || other.to_string().contains("does not have"), "{other}");
}

/// A host with a commit, and what its answers are made of.
struct Host {
    server: GitServer,
    team: slipway_tests::git_server::GitRepository,
    commit: String,
}

const SHORT: (Duration, fn() -> Memory) = (Duration::from_secs(2), Memory::default);
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const RESULT: &str = "application/x-git-upload-pack-result";

fn packet(text: &[u8]) -> Vec<u8> {
    [format!("{:04x}", text.len() + 4).as_bytes(), text].concat()
}

/// `piece` again and again.
fn stream(piece: &'static [u8], pause: Duration, kind: &'static str) -> Response {
    let (send, body) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while send.send(Bytes::from_static(piece)).is_ok() {
            tokio::time::sleep(pause).await;
        }
    });
    Response { body: Body::Stream(body), ..Response::new(StatusCode::OK, "") }.with("content-type", kind)
}

impl Host {
    async fn start() -> Self {
        let server = GitServer::start().await;
        let team = server.create("team/app.git");
        let commit = team.push(&[("a.yaml", &config("a", "1")), ("b.yaml", "x")]);
        Self { server, team, commit }
    }

    /// Checks that the commit can't be fetched, and what is said of it.
    async fn fails(&self, expected: &str, is_retryable: bool) {
        let checkouts = checkouts(&["127.0.0.1"], &[], (SHORT.0, SHORT.1()));
        let (started, host) = (Instant::now(), self.server.host());
        let app = repository(&host, "team/app", "default");
        let fetched: Result<_, FetchError> = checkouts.get_other(&app, &self.commit).await;
        let error = fetched.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(error.to_string().contains(&host) && started.elapsed() < Duration::from_secs(10), "{error}");
        assert_eq!(error.is_retryable, is_retryable, "{error}");
    }
}

/// What a host can do: nothing, slowly, without end, lies, and lead elsewhere.
#[tokio::test]
async fn hosts_that_misbehave_end_in_time_with_their_name() {
    let host = Host::start().await;
    let server = &host.server;
    let app = repository(&server.host(), "team/app", "default");
    // A redirect to itself, to the machine, and to the provider's addresses.
    for (to, expected) in [
        ("/team/app.git/info/refs?service=git-upload-pack", "more than 10 redirects"),
        ("http://169.254.169.254/team/app.git/info/refs?service=git-upload-pack", "SLIPWAY_LOCAL_HOSTS"),
        ("http://localhost:1/team/app.git/info/refs?service=git-upload-pack", "SLIPWAY_LOCAL_HOSTS"),
        ("http://[fd00:ec2::254]/x", "SLIPWAY_LOCAL_HOSTS"),
        ("file:///etc/passwd", "not followed"),
    ] {
        server.answer(move |_| Some(Response::new(StatusCode::FOUND, "").with("location", to)));
        host.fails(expected, false).await;
    }
    // What is posted is posted to where the repository is, and nowhere else.
    server.answer(|request| {
        let is_post = request.path.ends_with("/git-upload-pack");
        is_post.then(|| Response::new(StatusCode::TEMPORARY_REDIRECT, "").with("location", "http://127.0.0.1:1/"))
    });
    host.fails("redirects what is posted", false).await;
    server.answer(|_| Some(Response::new(StatusCode::BAD_GATEWAY, "")));
    host.fails("answered 502", true).await;
    server.answer(|_| Some(Response::new(StatusCode::FORBIDDEN, "")));
    host.fails("needs a login", false).await;
    server.answer(|_| Some(Response::new(StatusCode::OK, "<html>").with("content-type", "text/html")));
    host.fails("no repository of git", false).await;
    server.answer(move |_| Some(Response::new(StatusCode::OK, "<html>").with("content-type", ADVERTISEMENT)));
    host.fails("not git's", false).await;
    let first = [packet(b"# service=git-upload-pack\n"), b"0000".to_vec(), packet(b"version 1\n"), b"0000".to_vec()];
    let first = first.concat();
    server.answer(move |_| Some(Response::new(StatusCode::OK, first.clone()).with("content-type", ADVERTISEMENT)));
    host.fails("version 2", false).await;
    server.answer(move |_| Some(stream(b"0", Duration::from_secs(1), ADVERTISEMENT)));
    host.fails("no whole answer within 4 s", true).await;
    let long: &'static [u8] = packet(&vec![b'x'; 60_000]).leak();
    server.answer(move |_| Some(stream(long, Duration::ZERO, ADVERTISEMENT)));
    host.fails("the answer has more than", false).await;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let down = listener.local_addr().unwrap().to_string();
    drop(listener);
    let checkouts = checkouts(&["127.0.0.1"], &[], (SHORT.0, SHORT.1()));
    let error = checkouts.resolve_other(&repository(&down, "a/b", ""), "main").await.unwrap_err();
    assert!(error.is_retryable && error.to_string().contains("failed to reach"), "{error}");
    // A host that is not listed.
    let error = self::checkouts(&[], &[], (SHORT.0, SHORT.1())).resolve_other(&app, "main").await.unwrap_err();
    assert!(error.to_string().contains("SLIPWAY_LOCAL_HOSTS"), "{error}");
}

/// Packs that are none, or another commit's.
#[tokio::test]
async fn packs_are_what_they_say() {
    let host = Host::start().await;
    let (server, team, commit) = (&host.server, &host.team, host.commit.clone());
    let other = team.push(&[("a.yaml", &config("a", "2"))]);
    let app = repository(&server.host(), "team/app", "default");
    let result = |body: Vec<u8>| Response::new(StatusCode::OK, body).with("content-type", RESULT);
    let real = {
        let folder = team.folder();
        let pack = move |commit: &str| {
            use std::io::Write as _;
            use std::process::{Command, Stdio};
            let mut git = Command::new("git");
            git.args(["pack-objects", "--stdout", "--revs", "-q"]).current_dir(&folder);
            let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            git.stdin.take().unwrap().write_all(format!("{commit}\n").as_bytes()).unwrap();
            git.wait_with_output().unwrap().stdout
        };
        (pack(&commit), pack(&format!("{other}\n^{commit}")))
    };
    let answer = |pack: &[u8]| {
        let mut body = packet(b"packfile\n");
        for piece in pack.chunks(1000) {
            body.extend(packet(&[&[1], piece].concat()));
        }
        body.extend(b"0000");
        body
    };
    let mut flipped = real.0.clone();
    flipped[30] ^= 1;
    for (body, expected, is_retryable) in [
        (answer(&flipped), "the pack is broken", false),
        (answer(&real.1), "does not have the commit", false),
        (answer(b"no pack"), "the pack is broken", false),
        (answer(&[]), "does not have that commit", false),
        (packet(b"ERR upload-pack: not our ref\n"), "the host says: upload-pack: not our ref", false),
        ([packet(b"packfile\n"), packet(b"\x03out of memory\n")].concat(), "the host says: out of memory", false),
        (answer(&real.0)[..200].to_vec(), "ended early", true),
    ] {
        server.answer(move |request| {
            let is_post = request.path.ends_with("/git-upload-pack");
            is_post.then(|| result(body.clone()))
        });
        host.fails(expected, is_retryable).await;
    }
    let long: &'static [u8] = packet(&vec![b'x'; 60_000]).leak();
    server.answer(move |request| {
        let is_post = request.path.ends_with("/git-upload-pack");
        is_post.then(|| stream(long, Duration::ZERO, RESULT))
    });
    // Without end: the time or the bound of bytes, whichever comes first.
    let little = checkouts(&["127.0.0.1"], &[], (Duration::from_secs(20), Memory::of_mebibytes(4)));
    let error = little.get_other(&app, &commit).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("more than") || error.to_string().contains("memory affords"), "{error}");
}

#[tokio::test]
async fn credentials_are_those_of_the_repository() {
    let server = GitServer::start().await;
    let elsewhere = Server::start(0, Arc::new(|_| Response::new(StatusCode::NOT_FOUND, ""))).await.unwrap();
    let commit = server.create("team/app.git").push(&[("a.yaml", "x")]);
    server.answer(|request| {
        let is_let_in = request.header("authorization") == Some(BASIC);
        (!is_let_in).then(|| Response::new(StatusCode::UNAUTHORIZED, "").with("www-authenticate", "Basic"))
    });
    let login = json!({"url": format!("http://{}/team", server.host()), "username": "user", "password": "c4n4ry"});
    let mut scoped = login.clone();
    scoped["project"] = json!("shop");
    let app = |project: &str| repository(&server.host(), "team/app", project);
    let all = usual(&[secret("repo-creds", &login)]);
    assert_eq!(all.resolve_other(&app("any"), "main").await.unwrap(), commit);
    all.get_other(&app("any"), &commit).await.unwrap();
    let shop = usual(&[secret("repo-creds", &scoped)]);
    shop.get_other(&app("shop"), &commit).await.unwrap();
    let told = shop.get_other(&app("other"), &commit).await.map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("needs a login") && !told.contains("c4n4ry"), "{told}");
    let to = format!("{}/team/app.git/info/refs?service=git-upload-pack", elsewhere.url());
    server.answer(move |_| Some(Response::new(StatusCode::FOUND, "").with("location", &to)));
    usual(&[secret("repo-creds", &login)]).resolve_other(&app("any"), "main").await.unwrap_err();
    let asked = elsewhere.exchanges();
    assert!(!asked.is_empty() && asked.iter().all(|one| one.request.header("authorization").is_none()));
}

/// An Application whose source is on another host, with values for a chart in Git, and a base there.
#[tokio::test]
async fn applications_are_deployed_from_other_hosts() {
    let server = GitServer::start().await;
    let team = server.create("team/app.git");
    let first = team.push(&[
        ("web/kustomization.yaml", "resources: [map.yaml]\n"),
        ("web/map.yaml", &config("web-map", "1")),
        ("values.yaml", "greeting: far\n"),
    ]);
    team.git(&["tag", "-a", "v1.0.0", "-m", "One"]);
    team.push(&[]);
    server.answer(|request| {
        let is_let_in = request.header("authorization") == Some(BASIC);
        (!is_let_in).then(|| Response::new(StatusCode::UNAUTHORIZED, ""))
    });
    let mut flow = Flow::deployed().await;
    let host = server.host();
    let settings = [("SLIPWAY_LOCAL_HOSTS", &*host), ("SLIPWAY_REPOSITORY_SECRET", "repositories")];
    let login = json!([{"url": format!("http://{host}"), "secret-type": "repo-creds", "username": "user",
        "password": "c4n4ry"}]);
    flow.sandbox.aws.set_secret("repositories", &login.to_string());
    flow.deployer = flow.another_with(&settings).await;
    let mut environment = flow.sandbox.environment();
    environment.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let engine = slipway::config::Settings::load(|name: &str| environment.get(name).cloned()).unwrap();
    let aws = slipway::aws::Aws::at(&flow.sandbox.aws.url(), slipway_sandbox::aws::REGION).await;
    flow.checker = slipway::drift_check::DriftChecker::new(engine, aws);
    let url = format!("http://{host}/team/app.git");
    let web = application("web", &json!({"repoURL": url, "path": "web", "targetRevision": "main"}));
    let root = "https://github.com/acme/gitops";
    let chart = application(
        "chart",
        &json!([
            {"repoURL": url, "targetRevision": "v1.0.0", "ref": "far"},
            {"repoURL": root, "path": "chart", "targetRevision": "main", "helm": {"valueFiles": ["$far/values.yaml"]}},
        ]),
    );
    let based = application("based", &json!({"repoURL": root, "path": "based", "targetRevision": "main"}));
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chart-map}\ndata: {value: '{{ .Values.greeting }}'}\n";
    flow.push(
        "Add",
        &[
            ("applications/web.yaml", &web.to_string()),
            ("applications/chart.yaml", &chart.to_string()),
            ("applications/based.yaml", &based.to_string()),
            ("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n"),
            ("chart/templates/map.yaml", template),
            ("based/kustomization.yaml", &format!("namePrefix: based-\nresources: ['{url}/web?ref=v1.0.0']\n")),
        ],
    );
    flow.settle().await;
    let value = |flow: &Flow, name: &str| {
        let found = flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}"));
        found.map_or_else(|| format!("{:?}", flow.messages()), |found| found["data"]["value"].to_string())
    };
    for (name, expected) in [("web-map", "\"1\""), ("chart-map", "\"far\""), ("based-web-map", "\"1\"")] {
        assert_eq!(value(&flow, name), expected);
    }
    let head = team.git(&["rev-parse", "HEAD"]);
    let state = flow.state("web").await.unwrap();
    assert_eq!((state.attempt.revisions, state.status.sync.status), (head.as_str().into(), SyncStatus::Synced));
    assert_eq!(flow.state("based").await.unwrap().notes["remotes"][&format!("{url}/web?ref=v1.0.0")], json!(first));
    // What has not moved is not fetched again: one request finds the repository, two ask for the branch and the tag.
    let asked = server.asked(0).len();
    flow.push("Beside", &[("NOTES.md", "x")]);
    flow.settle().await;
    let again = server.asked(asked);
    assert!(again.len() == 3 && flow.statuses()[0]["description"].to_string().contains("4 unchanged"), "{again:?}");
    // A push there is found by the schedule.
    let second = team.push(&[("web/map.yaml", &config("web-map", "2"))]);
    flow.check().await;
    flow.settle().await;
    assert_eq!(value(&flow, "web-map"), "\"2\"");
    let state = flow.state("web").await.unwrap();
    assert_eq!((&state.attempt.revisions, state.status.sync.status), (&second.as_str().into(), SyncStatus::Synced));

    // With a webhook it comes at once, also by a credential that was rotated meanwhile: the secret is read again.
    let third = team.push(&[("web/map.yaml", &config("web-map", "3"))]);
    server.answer(|request| {
        let is_let_in = request.header("authorization") == Some(ROTATED);
        (!is_let_in).then(|| Response::new(StatusCode::UNAUTHORIZED, ""))
    });
    flow.sandbox.aws.set_secret("repositories", &login.to_string().replace("c4n4ry", "r0tated"));
    let hook = |token: &str, branch: &str| {
        let body = json!({"object_kind": "push", "ref": format!("refs/heads/{branch}"), "after": third,
            "project": {"git_http_url": url}});
        json!({"version": "2.0", "rawPath": "/", "headers": {"x-gitlab-event": "Push Hook", "x-gitlab-token": token, "x-gitlab-event-uuid": branch},
            "requestContext": {"http": {"method": "POST", "path": "/"}, "timeEpoch": 1}, "body": body.to_string(), "isBase64Encoded": false})
    };
    let refused = flow.deployer.handle(hook("wrong", "main"), soon(), "test").await.unwrap();
    assert_eq!((refused["statusCode"].clone(), flow.sandbox.aws.waiting()), (json!(401), 0));
    for branch in ["other", "main"] {
        let taken = flow.deployer.handle(hook("sandbox-webhook-secret", branch), soon(), "test").await.unwrap();
        assert_eq!(taken["statusCode"], 202, "{taken}");
        flow.settle().await;
        let expected = if branch == "main" { "\"3\"" } else { "\"2\"" };
        assert_eq!(value(&flow, "web-map"), expected, "{branch}");
    }
    let state = flow.state("web").await.unwrap();
    assert_eq!(state.attempt.revisions, third.as_str().into());
    let seen = format!("{:?}{}{:?}", flow.messages(), json!(state), flow.statuses());
    assert!(!seen.contains("c4n4ry") && !seen.contains("r0tated") && !seen.contains("YzRuNHJ5"), "{seen}");
}

/// Remote bases, bases of bases, components and files, as the real kustomize builds them from the same server.
#[tokio::test]
async fn remote_bases_are_built_as_kustomize_builds_them() {
    let Some(kubectl) = or_skip("kubectl", tools::kubectl()) else { return };
    let server = GitServer::start().await;
    let url = format!("http://{}", server.host());
    let deep = server.create("other/deep.git");
    let deep_commit = deep.push(&[
        ("kustomization.yaml", "resources: [map.yaml]\nnameSuffix: -deep\n"),
        ("map.yaml", &config("far", "1")),
        (
            "labels/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nlabels: [{pairs: {a: b}}]\n",
        ),
    ]);
    let team = server.create("team/app.git");
    team.push(&[
        (
            "web/kustomization.yaml",
            &format!("resources: [../common, '{url}/other/deep.git?ref={deep_commit}']\nnamePrefix: x-\n"),
        ),
        ("common/kustomization.yaml", "resources: [map.yaml]\nconfigMapGenerator: [{name: made, files: [a.txt]}]\n"),
        ("common/map.yaml", &config("near", "2")),
        ("common/a.txt", "text\n"),
    ]);
    team.git(&["tag", "v1.0.0"]);
    team.git(&["push", "-q", "--tags"]);
    let kustomization = format!(
        "resources:\n- {url}/team/app.git//web?ref=v1.0.0\n- git::{url}/team/app.git//common?ref=main&timeout=60s\n\
         components: ['{url}/other/deep.git//labels']\nnamespace: shop\n"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), &kustomization).unwrap();
    let mut build = std::process::Command::new(kubectl);
    build.arg("kustomize").arg(folder.path());
    // The server answers on this thread's runtime.
    let printed = tokio::task::spawn_blocking(move || tools::capture(&mut build).unwrap()).await.unwrap();
    let expected = slipway_manifest::yaml::parse_all(&printed).unwrap();
    let mut tree = Tree::default();
    tree.insert("app/kustomization.yaml", kustomization.into_bytes()).unwrap();
    let source = json!({"repoURL": "https://github.com/acme/gitops", "path": "app"});
    let app = app::Application::from_object(&Object::from_value(application("web", &source)).unwrap()).unwrap();
    let (checkouts, mut repositories, permit) =
        (usual(&[]), Repositories::default(), app::ProjectPermissions::allow_all());
    let rendered = loop {
        match repositories.render_offline(&tree, &app, &Context::default(), &permit) {
            Ok(rendered) => break rendered,
            Err(Unrendered::Missing(wanted)) => {
                Box::pin(fetch_wanted(wanted, &mut repositories, &checkouts, "github.com")).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    let found: Vec<Value> = rendered.objects.iter().map(|object| json!(object.as_map())).collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 5, "{printed}");
}
