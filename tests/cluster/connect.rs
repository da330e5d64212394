use std::collections::BTreeSet;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::{Value, json};
use slipway_cluster::{Cluster, ConnectError};
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
    let cluster = Cluster::from_kubeconfig(&plane.kubeconfig, None, None).unwrap();
    assert!(cluster.resolve(&gvks(), &BTreeSet::new()).await.is_complete());
    assert!(Cluster::from_kubeconfig(&plane.kubeconfig, Some("no-such-context"), None).is_err());
}

#[tokio::test]
async fn no_program_is_started_for_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("started");
    let program = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch",
        "args": [trace.to_str().unwrap()], "interactiveMode": "Never"}});
    let file = kubeconfig(&program);
    let Err(error) = Cluster::from_kubeconfig(file.path(), None, Some(credentials())) else { panic!("connected") };
    assert!(matches!(error, ConnectError::ExecPlugin { .. }));
    assert!(error.to_string().contains("`touch "), "{error}");
    assert!(!trace.exists());
}

#[tokio::test]
async fn the_aws_command_line_is_understood_not_started() {
    let user = |args: &[&str]| json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": args}});
    let file = kubeconfig(&user(&["--region", "eu-central-1", "eks", "get-token", "--cluster-name", "prod"]));
    assert!(Cluster::from_kubeconfig(file.path(), None, Some(credentials())).is_ok());
    assert!(Cluster::from_kubeconfig(file.path(), None, None).is_err());
    let role =
        ["--region=eu-central-1", "eks", "get-token", "--cluster-name=prod", "--role-arn", "arn:aws:iam::1:role/x"];
    assert!(Cluster::from_kubeconfig(kubeconfig(&user(&role)).path(), None, Some(credentials())).is_err());
}

#[test]
fn what_is_not_supported_or_half_given_is_refused() {
    let certificate = json!({"client-certificate-data": "LS0tLS0="});
    for (user, reason) in [(certificate, "go together"), (json!({"username": "me", "password": "x"}), "`username`")] {
        let file = kubeconfig(&user);
        let Err(error) = Cluster::from_kubeconfig(file.path(), None, None) else { panic!("connected") };
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains(reason), "{cause}");
    }
}

#[tokio::test]
async fn a_broken_kubeconfig_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "clusters: [").unwrap();
    let Err(error) = Cluster::from_kubeconfig(file.path(), None, None) else { panic!("connected") };
    assert_eq!(error.to_string(), format!("failed to read kubeconfig {}", file.path().display()));
}
