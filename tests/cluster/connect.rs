use std::collections::BTreeSet;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use http::StatusCode;
use serde_json::{Value, json};
use slipway_cluster::kubeconfig::{AwsLogin, aws_login};
use slipway_cluster::{Auth, Cluster, ConnectError, Server};
use slipway_sandbox::http::{Response, Server as Listener};
use slipway_tests::ControlPlane;

use crate::gvks;

/// A kubeconfig file with `user`, the server being one that nobody listens on.
fn kubeconfig(user: &Value) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "a", "user": user}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]});
    std::fs::write(file.path(), text.to_string()).unwrap();
    file
}

fn credentials() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::from_keys("AKIDEXAMPLE", "secret", None))
}

#[tokio::test]
async fn a_kubeconfig_leads_to_the_cluster() {
    let Some(plane) = ControlPlane::shared() else { return };
    let cluster = Cluster::from_kubeconfig(&[&plane.kubeconfig], None, None).unwrap();
    assert!(cluster.resolve(&gvks(), &BTreeSet::new()).await.is_complete());
    assert!(Cluster::from_kubeconfig(&[&plane.kubeconfig], Some("no-such-context"), None).is_err());
    assert_eq!(cluster.username().await.unwrap(), "admin", "the control plane's `tokens.csv` has it");
}

#[tokio::test]
async fn no_program_is_started_for_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("started");
    let program = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch",
        "args": [trace.to_str().unwrap()], "interactiveMode": "Never"}});
    let file = kubeconfig(&program);
    let Err(error) = Cluster::from_kubeconfig(&[file.path()], None, Some(credentials())) else { panic!("connected") };
    assert!(matches!(error, ConnectError::ExecPlugin { .. }));
    assert!(error.to_string().contains("`touch "), "{error}");
    assert!(!trace.exists());
}

#[tokio::test]
async fn the_aws_command_line_is_understood_not_started() {
    let user = |args: &[&str]| {
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws", "args": args}})
    };
    let file = kubeconfig(&user(&["--region", "eu-central-1", "eks", "get-token", "--cluster-name", "prod"]));
    assert!(Cluster::from_kubeconfig(&[file.path()], None, Some(credentials())).is_ok());
    assert!(Cluster::from_kubeconfig(&[file.path()], None, None).is_err());
    let login = |user: &Value| aws_login(&[kubeconfig(user).path()], None);
    let base = AwsLogin { cluster: "prod".to_owned(), region: "eu-central-1".to_owned(), ..AwsLogin::default() };
    let text = |text: &str| Some(text.to_owned());
    // As `aws eks update-kubeconfig --profile P --role-arn R` of 2.x writes it.
    let args = ["--region", "eu-central-1", "eks", "get-token", "--cluster-name", "prod", "--output", "json"];
    let mut written = user(&[&args[..], &["--role", "arn:aws:iam::1:role/x"]].concat());
    written["exec"]["env"] = json!([{"name": "AWS_PROFILE", "value": "corp"}]);
    let expected = AwsLogin { default_profile: text("corp"), role_arn: text("arn:aws:iam::1:role/x"), ..base.clone() };
    assert_eq!(login(&written).unwrap(), Some(expected));
    let flags = ["--region=eu-central-1", "eks", "get-token", "--cluster-name=prod", "--profile", "p", "--role-arn=r"];
    let expected = AwsLogin { profile: text("p"), role_arn: text("r"), ..base };
    assert_eq!(login(&user(&flags)).unwrap(), Some(expected));
    assert_eq!(login(&json!({"token": "t"})).unwrap(), None);
    // What can't be obeyed would make somebody else of the caller.
    let more = [&args[..], &["--cluster-id", "1"]].concat();
    let mut variable = user(&args);
    variable["exec"]["env"] = json!([{"name": "AWS_CONFIG_FILE", "value": "x"}]);
    for (user, word) in [
        (user(&more), "`--cluster-id`"),
        (variable, "the variable `AWS_CONFIG_FILE`"),
        (user(&["eks", "get-token", "--cluster-name", "prod"]), "no `--region`"),
        (user(&["eks", "get-token", "--cluster-name"]), "`--cluster-name` without a value"),
    ] {
        let error = login(&user).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("does not obey"), "{error}");
    }
}

#[test]
fn what_is_not_supported_or_half_given_is_refused() {
    let certificate = json!({"client-certificate-data": "LS0tLS0="});
    for (user, reason) in [(certificate, "go together"), (json!({"username": "me", "password": "x"}), "`username`")] {
        let file = kubeconfig(&user);
        let Err(error) = Cluster::from_kubeconfig(&[file.path()], None, None) else { panic!("connected") };
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains(reason), "{cause}");
    }
}

/// Whoever stands between reads what goes by http: nothing is sent there that opens something.
#[tokio::test]
async fn credentials_go_by_https_only() {
    let connect = |url: &str, is_sandbox: bool| {
        let auth = Auth::Token("canary".to_owned().into());
        Cluster::connect(Server { url: url.to_owned(), ca: None, auth, is_sandbox })
    };
    for (url, is_sandbox) in [
        ("http://prod.example.com", false),
        ("http://prod.example.com", true),
        ("http://169.254.170.2", true),
        ("http://127.0.0.1:9001", false),
        ("HTTP://prod.example.com", false),
        ("http://localhost.example.com", true),
    ] {
        let Err(error) = connect(url, is_sandbox) else { panic!("{url}") };
        assert!(matches!(error, ConnectError::Plain { .. }), "{error}");
        assert!(error.to_string().contains(url) && !error.to_string().contains("canary"), "{error}");
    }
    for (url, is_sandbox) in
        [("https://prod.example.com", false), ("http://127.0.0.1:9001", true), ("http://[::1]:9", true)]
    {
        assert!(connect(url, is_sandbox).is_ok(), "{url}");
    }
    let by_file = |user: &Value| {
        let file = kubeconfig(user);
        let text = std::fs::read_to_string(file.path()).unwrap().replace("https://127.0.0.1:9", "http://127.0.0.1:9");
        std::fs::write(file.path(), text).unwrap();
        Cluster::from_kubeconfig(&[file.path()], None, None)
    };
    assert!(matches!(by_file(&json!({"token": "canary"})), Err(ConnectError::Plain { .. })));
    assert!(by_file(&json!({})).is_ok(), "nothing is sent that opens anything");
}

/// An API server that answers with a redirect gets no credentials sent elsewhere.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Listener::start(0, Arc::new(|_| Response::json(StatusCode::OK, &json!({})))).await.unwrap();
    let to = elsewhere.url();
    let redirect = move |_| Response::new(StatusCode::TEMPORARY_REDIRECT, "").with("location", &format!("{to}/api/v1"));
    let server = Listener::start(0, Arc::new(redirect)).await.unwrap();
    let auth = Auth::Token("canary".to_owned().into());
    let cluster = Cluster::connect(Server { url: server.url(), ca: None, auth, is_sandbox: true }).unwrap();
    assert!(!cluster.resolve(&gvks(), &BTreeSet::new()).await.is_complete());
    assert!(cluster.capabilities().await.is_err());
    assert!(!server.exchanges().is_empty() && elsewhere.exchanges().is_empty());
}

#[tokio::test]
async fn a_broken_kubeconfig_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "clusters: [").unwrap();
    let Err(error) = Cluster::from_kubeconfig(&[file.path()], None, None) else { panic!("connected") };
    assert_eq!(error.to_string(), format!("failed to read kubeconfig {}", file.path().display()));
}
