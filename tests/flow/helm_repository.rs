//! What is fetched from Helm repositories and registries, and what of it is refused.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hyper::body::Bytes;
use sha2::{Digest as _, Sha256};
use slipway::memory::{Memory, Meter};
use slipway::source::helm_repository::{ChartError, Charts, HelmChart, HelmRepositories};
use slipway_sandbox::http::{Body, Response, Server};

use slipway_tests::chart_server::ChartServer;

const LIMIT: Duration = Duration::from_secs(10);

/// The charts of an event, of a function that may fetch from `hosts` at local addresses.
fn charts(hosts: &[&str], limit: Duration) -> Charts {
    of_event(HelmRepositories::new(hosts.iter().map(|host| (*host).to_owned()).collect(), limit))
}

fn of_event(repositories: HelmRepositories) -> Charts {
    Charts::new(repositories, Meter::new(Memory::default().fetched()))
}

/// The chart `web` over HTTP, and from the registry.
fn both(server: &ChartServer) -> [HelmChart; 2] {
    [HelmChart::new(&server.url(), "web").unwrap(), HelmChart::new(&server.host(), "team/web").unwrap()]
}

#[tokio::test]
async fn the_highest_version_of_a_range_is_fetched() {
    let server = ChartServer::start().await;
    for version in ["1.2.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0+build.1"] {
        server.publish("web", version);
    }
    server.content().asks_login = true;
    for chart in both(&server) {
        let charts = charts(&["127.0.0.1"], LIMIT);
        for (revision, expected) in [
            ("~1.2", "1.2.0"),
            ("1.x", "1.10.0"),
            ("*", "2.0.0+build.1"),
            (">=2.0.0-0 <2.0.0", "2.0.0-rc.1"),
            ("1.9", "1.9.0"),
            ("9.9.9", "9.9.9"),
        ] {
            assert_eq!(charts.resolve(&chart, revision).await.unwrap(), expected, "{chart} {revision}");
        }
        for wrong in ["^3", "main", "HEAD"] {
            let error = charts.resolve(&chart, wrong).await.unwrap_err();
            assert!(matches!(error, ChartError::Range { .. }) && !error.is_retryable(), "{error}");
        }
        for version in ["1.10.0", "2.0.0+build.1"] {
            let files = charts.get(&chart, version).await.unwrap();
            assert!(files.tree.read_text("Chart.yaml").unwrap().contains(version), "{chart} {version}");
        }
        let error = charts.get(&chart, "9.9.9").await.unwrap_err().to_string();
        assert!(error.contains("failed to f") && error.contains("9.9.9"), "{error}");
    }
}

#[tokio::test]
async fn what_is_kept_is_not_fetched_again() {
    let server = ChartServer::start().await;
    server.publish("web", "1.0.0");
    for chart in both(&server) {
        let repositories = HelmRepositories::new(vec![server.host()], LIMIT);
        let event = async || {
            let (charts, from) = (of_event(repositories.clone()), server.asked(0).len());
            for _ in 0..3 {
                let version = charts.resolve(&chart, "1.x").await.unwrap();
                charts.get(&chart, &version).await.unwrap();
            }
            server.server.exchanges().split_off(from)
        };
        event().await;
        let again = event().await;
        let paths: Vec<&str> = again.iter().map(|exchange| exchange.request.path.as_str()).collect();
        assert!(["/index.yaml", "/v2/team/web/tags/list"].contains(&paths[0]) && paths.len() == 1, "{paths:?}");
        assert!(paths[0].starts_with("/v2") || again[0].status == StatusCode::NOT_MODIFIED, "{again:?}");
    }
}

#[tokio::test]
async fn local_addresses_are_refused_by_name_by_address_and_by_redirect() {
    let server = ChartServer::start().await;
    server.publish("web", "1.0.0");
    let port = server.host().rsplit(':').next().unwrap().to_owned();
    let refused = async |charts: &Charts, url: &str| {
        let chart = HelmChart::new(url, "web").unwrap();
        let error = charts.resolve(&chart, "*").await.unwrap_err();
        assert!(error.to_string().contains("SLIPWAY_LOCAL_HOSTS") && !error.is_retryable(), "{url}: {error}");
    };
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433"] {
        for scheme in ["http://", "oci://"] {
            let chart = HelmChart::new(&format!("{scheme}{host}:{port}"), "web").unwrap();
            let error = charts(&[], LIMIT).resolve(&chart, "*").await.unwrap_err();
            let is_named = error.to_string().contains("SLIPWAY_LOCAL_HOSTS");
            // TLS has no name for an address that is written so.
            assert!(
                is_named || (scheme == "oci://" && error.to_string().contains("invalid dns name")),
                "{host}: {error}"
            );
        }
    }
    assert!(server.asked(0).is_empty(), "nothing reached the server");
    // That one host is listed does not open others, neither for a redirect nor for an archive or a login.
    for elsewhere in ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://localhost/"] {
        server.answer("/index.yaml", move |_| Response::new(StatusCode::FOUND, "").with("location", elsewhere));
        refused(&charts(&[&server.host()], LIMIT), &server.url()).await;
    }
    server.answer("/index.yaml", |_| {
        let entry = "entries:\n  web:\n  - version: 1.0.0\n    urls: ['http://169.254.169.254/web.tgz']\n";
        Response::new(StatusCode::OK, entry)
    });
    let [chart, oci] = both(&server);
    let error = charts(&[&server.host()], LIMIT).get(&chart, "1.0.0").await.unwrap_err();
    assert!(error.to_string().contains("SLIPWAY_LOCAL_HOSTS"), "{error}");
    server.answer("/v2/team/web/tags/list", |_| {
        let challenge = "Bearer realm=\"http://169.254.169.254/token\",service=\"x\"";
        Response::new(StatusCode::UNAUTHORIZED, "").with("www-authenticate", challenge)
    });
    let error = charts(&[&server.host()], LIMIT).resolve(&oci, "*").await.unwrap_err();
    assert!(error.to_string().contains("SLIPWAY_LOCAL_HOSTS"), "{error}");
}

#[tokio::test]
async fn redirects_end_and_take_no_credential_along() {
    let server = ChartServer::start().await;
    let storage = ChartServer::start().await;
    server.publish("web", "1.0.0");
    server.content().asks_login = true;
    let [http, oci] = both(&server);
    server.answer("/index.yaml", |_| Response::new(StatusCode::FOUND, "").with("location", "/index.yaml"));
    let hosts = [&*server.host(), &*storage.host()];
    let error = charts(&hosts, LIMIT).resolve(&http, "*").await.unwrap_err().to_string();
    assert!(error.contains("more than 10 redirects"), "{error}");
    assert_eq!(server.asked(0).len(), 11);
    for bad in ["file:///etc/passwd", "gopher://x/", "http://user@x/", "http:///x"] {
        server.answer("/index.yaml", move |_| Response::new(StatusCode::FOUND, "").with("location", bad));
        charts(&hosts, LIMIT).resolve(&http, "*").await.unwrap_err();
    }
    // A registry that keeps its blobs elsewhere.
    let archive = server.content().charts.values().next().unwrap().clone();
    let blob = format!("/v2/team/web/blobs/sha256:{}", hex::encode(Sha256::digest(&archive)));
    let to = format!("{}/blob?signature=secret", storage.url());
    server.answer(&blob, move |_| Response::new(StatusCode::TEMPORARY_REDIRECT, "").with("location", &to));
    storage.answer("/blob", move |_| Response::new(StatusCode::OK, archive.clone()));
    charts(&hosts, LIMIT).get(&oci, "1.0.0").await.unwrap();
    let asked = storage.server.exchanges();
    assert_eq!((asked.len(), asked[0].request.header("authorization")), (1, None));
    assert!(server.server.exchanges().iter().any(|one| one.request.header("authorization").is_some()));
}

#[tokio::test]
async fn lies_about_digests_and_sizes_are_told() {
    let server = ChartServer::start().await;
    server.publish("web", "1.0.0");
    let [http, oci] = both(&server);
    let fails = async |chart: &HelmChart, expected: &str| {
        let error = charts(&[&server.host()], LIMIT).get(chart, "1.0.0").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.is_retryable(), "{error}");
    };
    let mut other = server.content().charts.values().next().unwrap().clone();
    let blob = format!("/v2/team/web/blobs/sha256:{}", hex::encode(Sha256::digest(&other)));
    other[20] ^= 1;
    for path in ["/web-1.0.0.tgz", &blob] {
        let other = other.clone();
        server.answer(path, move |_| Response::new(StatusCode::OK, other.clone()));
    }
    fails(&http, "failed to verify").await;
    fails(&oci, "failed to verify").await;
    server.answer(&blob, |_| Response::new(StatusCode::OK, vec![0; 1 << 20]));
    fails(&oci, "the answer has more than").await;
    server.answer("/v2/team/web/manifests/1.0.0", |_| {
        Response::new(StatusCode::OK, "{}").with("docker-content-digest", "sha256:00")
    });
    fails(&oci, "failed to verify the manifest").await;
    server.answer("/index.yaml", |_| {
        Response::new(StatusCode::OK, "entries:\n  web:\n  - version: 1.0.0\n    urls: [bomb.tgz]\n")
    });
    server.answer("/bomb.tgz", |_| Response::new(StatusCode::OK, "no archive"));
    fails(&http, "failed to unpack").await;
}

/// What is fetched counts with all else that the event fetches, and waits for it where that is the larger part.
#[tokio::test]
async fn what_does_not_fit_the_memory_is_told() {
    let server = ChartServer::start().await;
    server.publish("web", "1.0.0");
    for chart in both(&server) {
        let meter = Meter::new(1_000_000);
        let repositories = HelmRepositories::new(vec![server.host()], LIMIT);
        let mut others = meter.hold();
        others.grow(999_999).unwrap();
        let charts = Charts::new(repositories.clone(), meter.clone());
        let error = charts.get(&chart, "1.0.0").await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        drop((others, charts));
        let charts = Charts::new(repositories.clone(), meter.clone());
        charts.get(&chart, "1.0.0").await.unwrap();
        assert!(meter.used() > 0);
        drop(charts);
        assert_eq!(meter.used(), 0);
        let error = Charts::new(repositories, Meter::new(10)).get(&chart, "1.0.0").await.unwrap_err();
        let told = slipway::error::chain(&error);
        assert!(told.contains("1.0.0") && told.contains("affords 10 bytes"), "{told}");
        assert!(!error.is_retryable(), "it never fits");
        let little = of_event(HelmRepositories::new(vec![server.host()], LIMIT).within(Memory::of_mebibytes(0)));
        assert!(little.get(&chart, "1.0.0").await.unwrap_err().to_string().contains("failed to fetch"));
    }
}

#[tokio::test]
async fn a_server_that_is_down_slow_or_endless_ends_in_time() {
    // One byte a second, and a stream without end.
    let slow = Server::start(
        0,
        Arc::new(|_| {
            let (send, body) = tokio::sync::mpsc::unbounded_channel();
            tokio::spawn(async move {
                while send.send(Bytes::from_static(b"x")).is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            Response { body: Body::Stream(body), ..Response::new(StatusCode::OK, "") }
        }),
    );
    let slow = slow.await.unwrap();
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let down = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let server = ChartServer::start().await;
    server.answer("/index.yaml", |_| Response::new(StatusCode::BAD_GATEWAY, "").with("retry-after", "1"));
    for (url, expected) in
        [(slow.url(), "no whole answer within 2 s"), (down, "failed to reach"), (server.url(), "answered 502")]
    {
        let started = std::time::Instant::now();
        let charts = charts(&["127.0.0.1"], Duration::from_secs(2));
        let chart = HelmChart::new(&url, "web").unwrap();
        // All that use it in one event wait once.
        for _ in 0..5 {
            let error = charts.resolve(&chart, "*").await.unwrap_err();
            assert!(error.to_string().contains(expected) && error.is_retryable(), "{error}");
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{url}");
    }
    // Not retried: a login is missing.
    server.answer("/index.yaml", |_| Response::new(StatusCode::FORBIDDEN, ""));
    let error = charts(&["127.0.0.1"], LIMIT).resolve(&both(&server)[0], "*").await.unwrap_err();
    assert!(error.to_string().contains("login") && !error.is_retryable(), "{error}");
}

#[test]
fn only_addresses_of_charts_are_taken() {
    for (url, chart, shown) in [
        ("https://charts.example.com/", "web", "charts.example.com/web"),
        ("https://charts.example.com/stable", "web", "charts.example.com/stable/web"),
        ("oci://ghcr.io/acme/charts", "web", "ghcr.io/acme/charts/web"),
        ("registry-1.docker.io/bitnamicharts", "nginx", "registry-1.docker.io/bitnamicharts/nginx"),
        ("ghcr.io/acme", "charts/web", "ghcr.io/acme/charts/web"),
    ] {
        assert_eq!(HelmChart::new(url, chart).unwrap().to_string(), shown);
    }
    for (url, chart) in [
        ("ssh://charts.example.com", "web"),
        ("file:///srv/charts", "web"),
        ("https://user:hunter2@charts.example.com", "web"),
        ("oci://user@ghcr.io/acme", "web"),
        ("https://charts.example.com", "../web"),
        ("https://charts.example.com", "a/b"),
        ("ghcr.io/acme", "a/../../b"),
        ("ghcr.io/acme", "web?x"),
        ("https://charts.example.com/#x", "web"),
        ("", "web"),
        ("https://", "web"),
    ] {
        let error = HelmChart::new(url, chart).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
