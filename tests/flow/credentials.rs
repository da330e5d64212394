//! Charts behind a login: which credential is used, and where it goes to.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use slipway::app;
use slipway::memory::{Memory, Meter};
use slipway::source::credentials::Credentials;
use slipway::source::helm_repository::{Charts, HelmChart, HelmRepositories};
use slipway_manifest::Object;
use slipway_sandbox::http::Response;
use slipway_tests::chart_server::{ChartServer, pack};

use crate::charts::{World, application};

/// `user:c4n4ry`.
const BASIC: &str = "Basic dXNlcjpjNG40cnk=";
/// What no text may hold.
const CANARIES: [&str; 2] = ["c4n4ry", "YzRuNHJ5"];

pub(crate) fn secret(kind: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "stringData": data, "metadata": {"name": "login",
        "namespace": "argocd", "labels": {"argocd.argoproj.io/secret-type": kind}}})
}

fn login(url: &str) -> Value {
    json!({"url": url, "username": "user", "password": "c4n4ry"})
}

fn credentials(declared: &[Value]) -> Arc<Credentials> {
    let credentials = Credentials::default();
    let objects: Vec<Object> = declared.iter().map(|one| Object::from_value(one.clone()).unwrap()).collect();
    let found = app::find(&objects);
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    credentials.declare(&found);
    Arc::new(credentials)
}

/// The charts of an event, with what a root declares.
fn charts(repositories: &HelmRepositories, declared: &[Value]) -> Charts {
    Charts::new(repositories.clone(), Meter::new(Memory::default().fetched())).with_credentials(credentials(declared))
}

fn repositories(servers: &[&ChartServer]) -> HelmRepositories {
    HelmRepositories::new(servers.iter().map(|server| server.host()).collect(), Duration::from_secs(10))
}

/// The header of each request, without those that have none.
fn shown(server: &ChartServer) -> Vec<String> {
    let exchanges = server.server.exchanges();
    exchanges.iter().filter_map(|one| Some(one.request.header("authorization")?.to_owned())).collect()
}

async fn fetched(charts: &Charts, chart: &HelmChart) -> Result<String, String> {
    let told = |error: &dyn std::fmt::Display| {
        let text = error.to_string();
        assert!(CANARIES.iter().all(|canary| !text.contains(canary)), "{text}");
        text
    };
    let version = Box::pin(charts.resolve(chart, "*")).await.map_err(|error| told(&error))?;
    Box::pin(charts.get(chart, &version)).await.map_err(|error| told(&error))?;
    Ok(version)
}

#[tokio::test]
async fn repositories_and_registries_are_logged_in_at() {
    let server = ChartServer::start().await;
    server.publish("web", "1.0.0");
    server.content().authorization = BASIC.to_owned();
    let (url, host) = (server.url(), server.host());
    let http = HelmChart::new(&url, "web").unwrap();
    let oci = HelmChart::new(&format!("oci://{host}/team"), "web").unwrap();
    for asks_login in [false, true] {
        server.content().asks_login = asks_login;
        for (chart, secrets) in [
            (&http, [secret("repository", &login(&url)), secret("repo-creds", &login(&url))]),
            (&oci, [secret("repository", &login(&format!("{host}/team"))), secret("repo-creds", &login(&url))]),
        ] {
            let none = fetched(&charts(&repositories(&[&server]), &[]), chart).await.unwrap_err();
            assert!(none.contains("needs a login") && none.contains("SLIPWAY_REPOSITORY_SECRET"), "{none}");
            for secret in secrets {
                let charts = charts(&repositories(&[&server]), &[secret]);
                assert_eq!(fetched(&charts, chart).await.unwrap(), "1.0.0", "{chart} {asks_login}");
            }
        }
    }
    server.content().authorization = "Basic other".to_owned();
    let refused = fetched(&charts(&repositories(&[&server]), &[secret("repo-creds", &login(&url))]), &http).await;
    assert!(refused.unwrap_err().contains("does not take the login of Secret/argocd/login"));
    server.content().authorization = "Bearer c4n4ry".to_owned();
    let token = secret("repo-creds", &json!({"url": url, "bearerToken": "c4n4ry"}));
    assert_eq!(fetched(&charts(&repositories(&[&server]), &[token]), &http).await.unwrap(), "1.0.0");
    let ssh = secret("repository", &json!({"url": url, "sshPrivateKey": "c4n4ry"}));
    let told = fetched(&charts(&repositories(&[&server]), &[ssh]), &http).await.unwrap_err();
    assert!(told.contains("`sshPrivateKey` of Secret/argocd/login is of no use"), "{told}");
}

/// Neither along a redirect, nor for an archive that lies elsewhere, nor to a login at another host.
#[tokio::test]
async fn no_credential_reaches_another_host() {
    let server = ChartServer::start().await;
    let other = ChartServer::start().await;
    for server in [&server, &other] {
        server.publish("web", "1.0.0");
    }
    let http = HelmChart::new(&server.url(), "web").unwrap();
    let oci = HelmChart::new(&server.host(), "team/web").unwrap();
    let hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let both = HelmRepositories::new(hosts, Duration::from_secs(10));
    let prefix = || charts(&both, &[secret("repo-creds", &login(&server.url()))]);
    let to = format!("{}/index.yaml", other.url());
    server.answer("/index.yaml", move |_| Response::new(StatusCode::FOUND, "").with("location", &to));
    fetched(&prefix(), &http).await.unwrap();
    let index = format!("entries:\n  web:\n  - version: 1.0.0\n    urls: ['{}/web-1.0.0.tgz']\n", other.url());
    server.answer("/index.yaml", move |_| Response::new(StatusCode::OK, index.clone()));
    fetched(&charts(&repositories(&[&server, &other]), &[secret("repo-creds", &login(&server.url()))]), &http)
        .await
        .unwrap();
    assert!(!other.asked(0).is_empty() && shown(&other).is_empty(), "{:?}", shown(&other));
    assert!(!shown(&server).is_empty());
    // A name of the same machine is another host.
    let realm = format!("{}/token", other.url().replace("127.0.0.1", "localhost"));
    server.answer("/v2/team/web/tags/list", move |_| {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
        Response::new(StatusCode::UNAUTHORIZED, "").with("www-authenticate", &challenge)
    });
    let told = fetched(&prefix(), &oci).await.unwrap_err();
    assert!(told.contains("is not its own host"), "{told}");
    assert!(shown(&other).is_empty());
}

/// What lies beside the URL of `repo-creds` is another's; the archive of a repository may lie anywhere on its host.
#[tokio::test]
async fn a_prefix_bounds_where_a_credential_goes() {
    let server = ChartServer::start().await;
    for (path, archive) in [("/team/index.yaml", "../other/web.tgz"), ("/own/index.yaml", "/files/web.tgz")] {
        let index = format!("entries:\n  web:\n  - version: 1.0.0\n    urls: ['{archive}']\n");
        server.answer(path, move |_| Response::new(StatusCode::OK, index.clone()));
    }
    let archive = pack("web", &[("Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")]);
    for path in ["/other/web.tgz", "/files/web.tgz"] {
        let archive = archive.clone();
        server.answer(path, move |_| Response::new(StatusCode::OK, archive.clone()));
    }
    let secrets = [
        secret("repo-creds", &login(&format!("{}/team", server.url()))),
        secret("repository", &login(&format!("{}/own", server.url()))),
    ];
    for (folder, expected) in [("team", vec!["/team/index.yaml"]), ("own", vec!["/own/index.yaml", "/files/web.tgz"])] {
        let from = server.asked(0).len();
        let chart = HelmChart::new(&format!("{}/{folder}", server.url()), "web").unwrap();
        fetched(&charts(&repositories(&[&server]), &secrets), &chart).await.unwrap();
        let exchanges = server.server.exchanges().split_off(from);
        let with_login = exchanges.iter().filter(|one| one.request.header("authorization").is_some());
        let with_login: Vec<&str> = with_login.map(|one| one.request.path.as_str()).collect();
        assert_eq!(with_login, expected);
    }
}

/// What a project fetched by its own credential is not handed to another, neither in one event nor by a warm function.
#[tokio::test]
async fn a_credential_of_a_project_serves_that_project() {
    let server = ChartServer::start().await;
    server.publish("web", "1.0.0");
    server.content().authorization = BASIC.to_owned();
    let mut data = login(&server.url());
    data["project"] = json!("shop");
    let repositories = repositories(&[&server]);
    for url in [server.url(), server.host()] {
        let chart = HelmChart::new(&url, "web").unwrap();
        data["url"] = json!(server.url());
        for _ in 0..2 {
            let charts = charts(&repositories, &[secret("repository", &data), secret("repo-creds", &data)]);
            assert_eq!(fetched(&charts, &chart.of_project("shop")).await.unwrap(), "1.0.0");
            for other in ["default", "payments"] {
                fetched(&charts, &chart.of_project(other)).await.unwrap_err();
                Box::pin(charts.get(&chart.of_project(other), "1.0.0")).await.unwrap_err();
            }
        }
    }
}

/// A real server that has a certificate of its own authority, and asks for one of that.
struct TlsServer {
    process: Child,
    folder: tempfile::TempDir,
    url: String,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl TlsServer {
    fn start(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let make = |arguments: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(arguments.split(' ')).current_dir(folder.path()).stderr(Stdio::null());
            assert!(openssl.status().unwrap().success(), "openssl {arguments}");
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        make(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"));
        std::fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost").unwrap();
        for name in ["server", "client"] {
            make(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            let sign = "x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names";
            make(&format!("{sign} -in {name}.csr -out {name}.pem"));
        }
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut serve = Command::new("openssl");
        serve.args(["s_server", "-WWW", "-accept", &port.to_string(), "-cert", "server.pem", "-key", "server.key"]);
        serve.args(["-CAfile", "ca.pem", "-Verify", "1", "-verify_return_error", "-quiet"]).current_dir(folder.path());
        let process = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, folder, url: format!("https://localhost:{port}") }
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap()
    }
}

#[tokio::test]
async fn hosts_are_trusted_by_the_authorities_that_the_root_declares() {
    let archive = pack("web", &[("Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")]);
    let index = "entries:\n  web:\n  - version: 1.0.0\n    urls: [web.tgz]\n";
    let server = TlsServer::start(&[("index.yaml", index.as_bytes()), ("web.tgz", &archive)]);
    let repositories = HelmRepositories::new(vec!["localhost".to_owned()], Duration::from_secs(10));
    let chart = HelmChart::new(&server.url, "web").unwrap();
    let authority = |pem: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"localhost": pem},
            "metadata": {"name": "argocd-tls-certs-cm", "namespace": "argocd"}})
    };
    let (trusted, key) = (authority(&server.read("ca.pem")), server.read("client.key"));
    let client = |key: &str| {
        let data = json!({"url": server.url, "tlsClientCertData": server.read("client.pem"), "tlsClientCertKey": key});
        secret("repository", &data)
    };
    let fetch = async |declared: &[Value]| fetched(&charts(&repositories, declared), &chart).await;
    assert_eq!(fetch(&[trusted.clone(), client(&key)]).await.unwrap(), "1.0.0");
    // Without its authority, without the client's certificate, with another authority, with what is none.
    assert!(fetch(&[client(&key)]).await.unwrap_err().contains("UnknownIssuer"));
    fetch(std::slice::from_ref(&trusted)).await.unwrap_err();
    assert!(fetch(&[authority(&server.read("client.pem")), client(&key)]).await.is_err());
    let told = fetch(&[authority("c4n4ry"), client(&key)]).await.unwrap_err();
    assert!(told.contains("failed to read the host's entry in argocd-tls-certs-cm"), "{told}");
    let insecure = secret("repository", &json!({"url": server.url, "insecure": "true"}));
    let told = fetch(&[insecure]).await.unwrap_err();
    assert!(told.contains("`insecure`") && told.contains("argocd-tls-certs-cm"), "{told}");
}

#[tokio::test]
async fn a_key_that_is_none_is_not_repeated() {
    let server = TlsServer::start(&[]);
    let data = json!({"url": server.url, "tlsClientCertData": server.read("client.pem"), "tlsClientCertKey": "c4n4ry"});
    let repositories = HelmRepositories::new(vec!["localhost".to_owned()], Duration::from_secs(10));
    let chart = HelmChart::new(&server.url, "web").unwrap();
    let told = fetched(&charts(&repositories, &[secret("repository", &data)]), &chart).await.unwrap_err();
    assert!(told.contains("`tlsClientCertKey` is no private key"), "{told}");
}

/// From Git and from the settings, through the functions; the password is seen nowhere.
#[tokio::test]
async fn a_chart_behind_a_login_is_deployed() {
    let mut world = Box::pin(World::start()).await;
    world.server.publish("web", "1.0.0");
    world.server.content().authorization = BASIC.to_owned();
    let (url, host) = (world.server.url(), world.server.host());
    let source = json!({"repoURL": url, "chart": "web", "targetRevision": "1.x"});
    world.push("Add web", &[application("web", &source)]).await;
    assert!(world.map("web-page").is_none() && world.said("needs a login"), "{:?}", world.flow.messages());
    let declared = secret("repo-creds", &login(&url));
    world.flow.push("Add the login", &[("applications/login.yaml", &declared.to_string())]);
    world.flow.settle().await;
    assert_eq!(world.map("web-page").unwrap()["version"], "1.0.0", "{:?}", world.flow.messages());
    // The settings' come first; a warm function reads them again within five minutes.
    world.flow.sandbox.aws.set_secret("repositories", &json!([login("https://elsewhere.example")]).to_string());
    let settings = [("SLIPWAY_LOCAL_HOSTS", &*host), ("SLIPWAY_REPOSITORY_SECRET", "repositories")];
    world.flow.deployer = world.flow.another_with(&settings).await;
    world.server.content().authorization = "Basic dXNlcjpjNG40cnktMg==".to_owned();
    world.server.publish("web", "1.1.0");
    world.flow.push("Again", &[("applications/login.yaml", &secret("repo-creds", &login(&host)).to_string())]);
    world.flow.settle().await;
    assert_eq!(world.map("web-page").unwrap()["version"], "1.0.0", "the old password is not taken");
    let given = json!([{"url": url, "secret-type": "repo-creds", "username": "user", "password": "c4n4ry-2"}]);
    world.flow.sandbox.aws.set_secret("repositories", &given.to_string());
    world.flow.deployer = world.flow.another_with(&settings).await;
    world.flow.push(
        "And again",
        &[("applications/web.yaml", &{
            let mut app = application("web", &source);
            app["metadata"]["annotations"] = json!({"x": "y"});
            app.to_string()
        })],
    );
    world.flow.settle().await;
    assert_eq!(world.map("web-page").unwrap()["version"], "1.1.0", "{:?}", world.flow.messages());
    let state = format!("{:?}{:?}", json!(world.state().await), world.flow.statuses());
    let seen = format!("{state}{:?}", world.flow.messages());
    assert!(CANARIES.iter().all(|canary| !seen.contains(canary)), "{seen}");
    assert!(world.flow.sandbox.cluster.get("/api/v1/namespaces/argocd/secrets/login").is_none(), "it stays out");
}
