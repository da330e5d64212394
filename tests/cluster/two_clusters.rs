//! An ApplicationSet over the folders of a repository and two API servers, deployed by the functions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use slipway_sandbox::aws;
use slipway_tests::{Authenticator, ControlPlane, Options};

use crate::Place;
use crate::functions::{Functions, in_a_while, recorded};

const REPOSITORY: &str = "https://github.com/acme/gitops";
/// The name of the second EKS cluster, of its Secret, and of the destination.
const SECOND: &str = "second";

/// The Secret that makes the second cluster a destination: its token is EKS's.
fn secret(second: &ControlPlane) -> Value {
    let config = json!({"awsAuthConfig": {"clusterName": SECOND}});
    json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": SECOND, "namespace": "argocd", "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        "stringData": {"name": SECOND, "server": second.endpoint, "config": config.to_string()}})
}

/// One Application for each folder below `NAMESPACE-apps` and each cluster, Argo CD's own among them.
fn set(namespace: &str) -> Value {
    let folders = json!({"git": {"repoURL": REPOSITORY, "revision": "main",
        "directories": [{"path": format!("{namespace}-apps/*")}]}});
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": namespace, "namespace": "argocd"},
        "spec": {
            "goTemplate": true, "goTemplateOptions": ["missingkey=error"],
            "generators": [{"matrix": {"generators": [folders, {"clusters": {}}]}}],
            "template": {
                "metadata": {"name": format!("{namespace}-{{{{.path.basename}}}}-{{{{.name}}}}")},
                "spec": {
                    "project": "default",
                    "source": {"repoURL": REPOSITORY, "path": "{{.path.path}}", "targetRevision": "main"},
                    "destination": {"server": "{{.server}}", "namespace": namespace},
                    "syncPolicy": {"automated": {"prune": true, "selfHeal": true},
                        "syncOptions": ["CreateNamespace=true"]}}}}})
}

fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value}}}\n")
}

/// The second API server, which knows EKS's tokens; `None` where there is none.
pub(crate) async fn second() -> Option<(ControlPlane, Authenticator)> {
    // The sandbox's credentials, by which both sides derive the token.
    let environment = [
        ("AWS_ACCESS_KEY_ID", "AKIASANDBOX"),
        ("AWS_SECRET_ACCESS_KEY", "sandbox"),
        ("AWS_REGION", aws::REGION),
        ("AWS_DEFAULT_REGION", aws::REGION),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let authenticator = Authenticator::start(SECOND, &environment).await?;
    let options = Options { token_webhook: Some(authenticator.url.clone()), bare: true };
    Some((ControlPlane::start(&options)?, authenticator))
}

/// Tells the sandbox's EKS of the second cluster.
pub(crate) fn announce(functions: &Functions, second: &ControlPlane) {
    functions.sandbox.aws.set_cluster_with(SECOND, &second.endpoint, &STANDARD.encode(&second.ca));
}

/// A matrix set over two folders and both clusters, with `value` in each folder.
pub(crate) fn matrix(namespace: &str, second: &ControlPlane, value: &str) -> Vec<(String, String)> {
    let file = |folder: &str| (file(namespace, folder), config(folder, value));
    [
        (format!("{namespace}/set.yaml"), set(namespace).to_string()),
        (format!("{namespace}/second.yaml"), secret(second).to_string()),
        file("one"),
        file("two"),
    ]
    .into()
}

fn file(namespace: &str, folder: &str) -> String {
    format!("{namespace}-apps/{folder}/config.yaml")
}

#[tokio::test]
async fn a_matrix_of_folders_and_clusters_is_deployed_to_two_api_servers() {
    let Some(place) = Place::new("matrix").await else { return };
    let Some((second, _authenticator)) = second().await else { return };
    let namespace = place.namespace().to_owned();
    let mut functions = Functions::start(&place, &[]).await;
    announce(&functions, &second);
    let values = |name: &str| {
        let path = ["-n", &namespace, "get", "configmap", name, "--ignore-not-found", "-o", "jsonpath={.data.value}"];
        [place.plane.kubectl(&path).unwrap(), second.kubectl(&path).unwrap()]
    };

    functions.push("Two folders, two clusters", &matrix(&namespace, &second, "first"));
    functions.settle().await;
    let told = functions.messages();
    for name in ["one", "two"] {
        assert_eq!(values(name), ["first", "first"], "{name}: {told:?}");
    }
    for name in ["one-in-cluster", "two-in-cluster"] {
        let state = recorded(&place, &format!("{namespace}-{name}")).await.unwrap();
        assert_eq!(state.status.sync.status.to_string(), "Synced", "{name}");
    }

    // A push that reaches one folder changes it on both; the other stays as it was deployed.
    functions.push("Change one folder", &[(file(&namespace, "one"), config("one", "second"))]);
    functions.settle().await;
    assert_eq!([values("one"), values("two")], [["second", "second"], ["first", "first"]]);

    // What somebody changes on the second cluster is found there, and healed.
    let patch = ["-n", &namespace, "patch", "configmap", "two", "--type=merge", "-p", r#"{"data": {"value": "x"}}"#];
    second.kubectl(&patch).unwrap();
    functions.checker.handle(json!({}), in_a_while(), "check").await.unwrap();
    assert_eq!(values("two"), ["first", "first"], "{:?}", functions.messages());
}
