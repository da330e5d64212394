//! What a project forbids is refused with words that help, what its windows hold waits, what people sync waits for
//! them.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use slipway::app::ClusterSecret;
use slipway::aws::Aws;
use slipway::clusters::Clusters;
use slipway::config;
use slipway_manifest::Object;
use slipway_sandbox::aws;
use slipway_sandbox::forge::Change;
use slipway_sandbox::http::{Response, Server as Listener};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::world::{DEPLOYMENT, Flow, soon};

const APPLICATION: &str = "applications/shop.yaml";

fn project(spec: &Value) -> String {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "shop"}, "spec": spec})
        .to_string()
}

/// Pushes the project, and the shop into it, before anything was deployed.
async fn pushed(spec: &Value) -> Flow {
    let mut flow = Flow::start().await;
    let application = flow.read(APPLICATION).replace("project: default", "project: shop");
    flow.push("Use a project", &[(APPLICATION, &application), ("applications/project.yaml", &project(spec))]);
    flow.settle().await;
    flow
}

fn open() -> Value {
    json!({
        "sourceRepos": ["https://github.com/acme/*"],
        "destinations": [{"server": "https://kubernetes.default.svc", "namespace": "shop"}],
        "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}]})
}

fn with(field: &str, value: Value) -> Value {
    let mut spec = open();
    spec[field] = value;
    spec
}

#[tokio::test]
async fn a_project_that_allows_all_of_it_changes_nothing() {
    let flow = pushed(&open()).await;
    flow.deployment();
    assert_eq!(flow.statuses()[0]["state"], "success");
}

/// Attack 22.
#[tokio::test]
async fn what_a_project_forbids_is_refused_in_words_that_help() {
    for (spec, words) in [
        (with("sourceRepos", json!(["https://github.com/other/*"])), "add it to `spec.sourceRepos`"),
        (with("destinations", json!([])), "add it to `spec.destinations`"),
        (
            with("namespaceResourceBlacklist", json!([{"group": "networking.k8s.io", "kind": "Ingress"}])),
            "does not allow Ingress/shop/web: `spec.namespaceResourceBlacklist` lists it",
        ),
        (with("clusterResourceWhitelist", json!([])), "kind: Namespace}` to `spec.clusterResourceWhitelist`"),
    ] {
        let flow = pushed(&spec).await;
        assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_none(), "{words}");
        let told = flow.messages().join("\n");
        assert!(told.contains("AppProject `shop`") && told.contains(words), "{words} in {told}");
        assert_eq!(flow.statuses()[0]["state"], "failure", "{words}");
    }
}

/// What a project restricts and Slipway does not is refused, not deployed without it.
#[tokio::test]
async fn a_control_that_is_not_obeyed_refuses() {
    let accounts = json!([{"server": "*", "namespace": "*", "defaultServiceAccount": "shop:deployer"}]);
    for (field, value) in [
        ("signatureKeys", json!([{"keyID": "4AEE18F83AFDEB23"}])),
        (
            "sourceIntegrity",
            json!({"git": {"policies": [{"repos": [{"url": "*"}], "gpg": {"mode": "head", "keys": ["A"]}}]}}),
        ),
        ("destinationServiceAccounts", accounts),
        ("permitOnlyMyFriends", json!(true)),
    ] {
        let mut flow = pushed(&with(field, value)).await;
        assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_none(), "{field}");
        let told = flow.messages().join("\n");
        assert!(
            told.contains("AppProject `shop` sets restrictions") && told.contains(&format!("`spec.{field}`")),
            "{told}"
        );
        assert_eq!(flow.statuses()[0]["state"], "failure", "{field}");

        flow.push("Remove it", &[("applications/project.yaml", &project(&open()))]);
        flow.settle().await;
        flow.deployment();
    }
}

fn settings(key: &str, value: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {key: value}})
        .to_string()
}

/// What `argocd-cm` excludes is left alone: neither made, nor changed, nor pruned.
#[tokio::test]
async fn what_argocd_cm_excludes_is_left_alone() {
    let mut flow = Flow::deployed().await;
    let ingress = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web";
    let before = flow.sandbox.cluster.get(ingress).unwrap();
    let excluded = settings("resource.exclusions", "- apiGroups: ['networking.*']\n  kinds: [Ingress]\n");
    let text = flow.read("shop/ingress.yaml").replace("shop.example.com", "other.example.com");
    let deployment = flow.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    flow.push(
        "Exclude",
        &[("applications/cm.yaml", &excluded), ("shop/ingress.yaml", &text), ("shop/deployment.yaml", &deployment)],
    );
    flow.settle().await;
    assert_eq!(flow.deployment()["spec"]["replicas"], 3, "the others go on");
    assert_eq!(flow.sandbox.cluster.get(ingress).unwrap(), before);
    let told = flow.messages().join("\n");
    assert!(
        told.contains("does not allow Ingress/shop/web: `resource.exclusions` excludes it; it is left out"),
        "{told}"
    );

    let kustomization = flow.read("shop/kustomization.yaml").replace("  - ingress.yaml\n", "");
    flow.push("Drop it", &[("shop/kustomization.yaml", &kustomization)]);
    flow.settle().await;
    assert_eq!(flow.sandbox.cluster.get(ingress).unwrap(), before, "it is not pruned");
}

/// A kind that the project allowed once is not deleted in its name either.
#[tokio::test]
async fn what_a_project_no_longer_allows_is_not_pruned() {
    let mut flow = pushed(&open()).await;
    let ingress = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web";
    let before = flow.sandbox.cluster.get(ingress).expect("the Ingress is deployed");
    let strict = with("namespaceResourceBlacklist", json!([{"group": "networking.k8s.io", "kind": "Ingress"}]));
    let kustomization = flow.read("shop/kustomization.yaml").replace("  - ingress.yaml\n", "");
    let files = [("applications/project.yaml", project(&strict)), ("shop/kustomization.yaml", kustomization)];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    flow.push("Forbid it and drop it", &files);
    flow.settle().await;
    assert_eq!(flow.sandbox.cluster.get(ingress).as_ref(), Some(&before), "{:?}", flow.messages());
    flow.push("Allow it again", &[("applications/project.yaml", &project(&open()))]);
    flow.settle().await;
    assert_eq!(flow.sandbox.cluster.get(ingress), None, "{:?}", flow.messages());
}

#[tokio::test]
async fn what_argocd_cm_restricts_for_all_refuses_all() {
    for (key, value, said) in [
        (
            "application.sync.impersonation.enabled",
            "true",
            "the ConfigMap argocd-cm sets restrictions that Slipway does not",
        ),
        ("globalProjects", "- projectName: all\n", "`globalProjects`"),
        ("resource.exclusions", "- kinds: Ingress", "`resource.exclusions` (`kinds` is no list of strings)"),
        ("cluster.inClusterEnabled", "false", "`cluster.inClusterEnabled`"),
        ("kustomize.enable", "false", "sources that kustomize renders: `kustomize.enable`"),
    ] {
        let mut flow = Flow::start().await;
        flow.push("Restrict", &[("applications/cm.yaml", &settings(key, value))]);
        flow.settle().await;
        assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_none(), "{key}");
        let told = flow.messages().join("\n");
        assert!(told.contains(said), "{key}: {told}");
    }
}

#[tokio::test]
async fn a_project_that_nobody_declares_is_an_error() {
    let mut flow = Flow::start().await;
    let application = flow.read(APPLICATION).replace("project: default", "project: nowhere");
    flow.push("Use a project", &[(APPLICATION, &application)]);
    flow.settle().await;
    assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_none());
    assert!(flow.messages().join("\n").contains("AppProject `nowhere` is not declared at the root"));
}

#[tokio::test]
async fn a_window_holds_a_sync_and_the_check_after_it_catches_up() {
    let deny = json!([{"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["shop"]}]);
    let mut flow = pushed(&with("syncWindows", deny)).await;
    assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_none());
    let told = flow.messages().join("\n");
    assert!(
        told.contains("*shop* is blocked by a sync window")
            && told.contains("blocked by sync window `deny * * * * *` for 1h"),
        "{told}"
    );
    assert_eq!(flow.statuses()[0]["state"], "pending");
    flow.check().await;
    assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_none(), "it is still held");

    let allow = json!([{"kind": "allow", "schedule": "* * * * *", "duration": "1h", "applications": ["shop"]}]);
    flow.push("Open", &[("applications/project.yaml", &project(&with("syncWindows", allow)))]);
    while flow.next_webhook().is_some() {}
    flow.check().await;
    flow.deployment();
}

#[tokio::test]
async fn what_people_sync_is_told_with_its_diff_and_waits() {
    let mut flow = Flow::deployed().await;
    let manual = flow.read(APPLICATION).replace("    automated:\n      prune: true\n", "");
    let deployment = flow.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    flow.push("By hand", &[(APPLICATION, &manual), ("shop/deployment.yaml", &deployment)]);
    flow.settle().await;
    assert_eq!(flow.deployment()["spec"]["replicas"], 2);
    let messages = flow.messages();
    assert!(messages[1].contains("needs a manual sync"), "{messages:?}");
    assert!(messages[1].contains("Deployment/shop/web spec.replicas differs"), "{messages:?}");
    let statuses = flow.statuses();
    assert_eq!(statuses[0]["state"], "pending", "{statuses:?}");

    let notes = flow.messages().len();
    flow.push("Elsewhere", &[("NOTES.md", "1")]);
    flow.settle().await;
    assert_eq!(flow.messages().len(), notes + 1, "another commit is told");
}

fn cluster(server: &str, eks_name: &str) -> Value {
    let config = json!({"awsAuthConfig": {"clusterName": eks_name}});
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "other", "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        "stringData": {"name": "other", "server": server, "config": config.to_string()}})
}

/// A token for a cluster goes to the endpoint that EKS names for it: a Secret that leads elsewhere gets none (attack
/// 10).
#[tokio::test]
async fn no_token_goes_where_a_secret_points() {
    let thief = Listener::start(0, Arc::new(|_| Response::json(StatusCode::OK, &json!({})))).await.unwrap();
    for (server, eks_name, said) in [
        (thief.url(), "sandbox", "but EKS cluster `sandbox` is at `http://127.0.0.1:"),
        (thief.url().replace("127.0.0.1", "localhost"), "sandbox", "no token is sent"),
        ("http://169.254.170.2".to_owned(), "sandbox", "has the server `http://169.254.170.2`, but EKS cluster"),
        (thief.url(), "production", "failed to describe EKS cluster `production` (HTTP 404"),
        (thief.url(), "plain", "credentials are sent by https only"),
    ] {
        let mut flow = Flow::start().await;
        // What EKS itself names counts only by https, or on the sandbox's loopback.
        flow.sandbox.aws.set_cluster("plain", "http://plain.example.com");
        let server = if eks_name == "plain" { "http://plain.example.com".to_owned() } else { server };
        let application = flow.read(APPLICATION).replace("server: https://kubernetes.default.svc", "name: other");
        let secret = cluster(&server, eks_name).to_string();
        flow.push("Go elsewhere", &[(APPLICATION, &application), ("applications/other.yaml", &secret)]);
        // A cluster that can't be described may be there a moment later: its message comes again, without end here.
        let message = flow.message().await;
        flow.deployer.handle(message, soon(), "test").await.unwrap();
        assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_none(), "{server}");
        let told = format!("{}\n{}", flow.messages().join("\n"), flow.statuses()[0]);
        assert!(told.contains(said), "{said} in {told}");
        flow.check().await;
    }
    assert_eq!(thief.exchanges().len(), 0, "nobody was asked anything there");
}

/// A cluster that EKS is slow to describe keeps nobody from another one.
#[tokio::test]
async fn one_cluster_does_not_wait_for_the_description_of_another() {
    let flow = Flow::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let aws = Aws::at(&format!("http://{}", silent.local_addr().unwrap()), aws::REGION).await;
    let kubeconfig = flow.sandbox.kubeconfig().display().to_string();
    let clusters =
        Clusters::new(config::Cluster::Kubeconfig { files: vec![kubeconfig.into()], context: None }, aws, None);
    let secret = Object::from_value(cluster("https://0123.gr7.eu-west-1.eks.amazonaws.com", "slow")).unwrap();
    clusters.register(&[ClusterSecret::from_object(&secret).unwrap()]).await;
    let slow = async { clusters.get("", "other").await.err().expect("EKS does not answer") };
    let quick = async {
        // The slow one is on its way by then.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        clusters.get("https://kubernetes.default.svc", "").await.unwrap();
        begun.elapsed()
    };
    tokio::select! {
        error = slow => panic!("the other came first: {error}"),
        took = quick => assert!(took < Duration::from_secs(5), "{took:?}"),
    }
}

/// An Argo CD cluster Secret makes a destination: here the same API server under another name.
#[tokio::test]
async fn a_declared_cluster_is_deployed_to() {
    let mut flow = Flow::start().await;
    let server = flow.sandbox.cluster.url();
    let secret = cluster(&server, "sandbox");
    let application = flow.read(APPLICATION).replace("server: https://kubernetes.default.svc", "name: other");
    flow.push("Go elsewhere", &[(APPLICATION, &application), ("applications/other.yaml", &secret.to_string())]);
    flow.settle().await;
    flow.deployment();
    assert_eq!(flow.statuses()[0]["context"], "slipway/other");
    assert!(flow.messages()[0].contains("*other*"));

    // What its Secret does not name is refused; nothing is applied, deleted or forgotten.
    let mut limited = secret;
    limited["stringData"]["namespaces"] = json!("team-a,team-b");
    let kustomization = flow.read("shop/kustomization.yaml").replace("  - ingress.yaml\n", "");
    flow.push(
        "Limit",
        &[("applications/other.yaml", &limited.to_string()), ("shop/kustomization.yaml", &kustomization)],
    );
    flow.settle().await;
    let told = flow.messages().join("\n");
    assert!(
        told.contains("the cluster `other` does not take") && told.contains("allows the namespaces team-a, team-b"),
        "{told}"
    );
    assert!(flow.sandbox.cluster.get("/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web").is_some());
    let checked = flow.check().await["applications"]["shop"].clone();
    assert!(checked["problems"].to_string().contains("does not take Deployment/shop/web"), "{checked}");
    assert_eq!(checked["differs"], Value::Null, "{checked}");
}

/// Slipway's credential writes to repositories that another team's Application may not change.
#[tokio::test]
async fn an_image_is_committed_only_where_the_project_lets_the_application_read() {
    let mut flow = pushed(&with("sourceRepos", json!(["https://github.com/acme/gitops"]))).await;
    let before = flow.head();
    let annotation = "argocd-image-updater.argoproj.io/git-repository: https://github.com/acme/other";
    let application =
        flow.read(APPLICATION).replace("  annotations:\n", &format!("  annotations:\n    {annotation}\n"));
    flow.push("Write elsewhere", &[(APPLICATION, &application)]);
    flow.settle().await;
    let image = flow.read("applications/shop.yaml");
    let image = image.lines().find_map(|line| line.split_once("web=")).map(|(_, image)| image.trim()).unwrap();
    let repository = image.split_once('/').unwrap().1.to_owned();
    let event = flow.sandbox.aws.push_image(&repository, "1.1.0");
    flow.pusher.handle(event).await.unwrap();
    let told = flow.messages().join("\n");
    assert!(told.contains("does not allow the source `https://github.com/acme/other`"), "{told}");
    assert_ne!(flow.head(), before, "the test's own push");
}

/// The shop, from a repository that was renamed: its manifests are in `acme/crown`, which was `acme/crate`.
async fn renamed(written: &str, source_repos: Value) -> (Flow, tempfile::TempDir) {
    let flow = Flow::start().await;
    let folder = tempfile::tempdir().unwrap();
    let crown = flow.sandbox.forge.create("acme", "crown", folder.path()).unwrap();
    flow.sandbox.forge.forward("acme/crate", &crown);
    let files = ["configmap.yaml", "deployment.yaml", "service.yaml", "ingress.yaml", "kustomization.yaml"]
        .map(|name| Change::write(format!("shop/{name}"), flow.read(&format!("shop/{name}"))));
    flow.sandbox.forge.push(&crown, "main", "Begin", &files).unwrap();
    let application = flow.read(APPLICATION).replace("project: default", "project: shop");
    let application = application.replace("github.com/acme/gitops", &format!("github.com/{written}"));
    let project = project(&with("sourceRepos", source_repos));
    flow.push("Use a project", &[(APPLICATION, &application), ("applications/project.yaml", &project)]);
    (flow, folder)
}

/// Attack 22. GitHub forwards a repository's former names.
#[tokio::test]
async fn a_former_name_passes_by_no_denial() {
    let root = "https://github.com/acme/gitops";
    for (written, source_repos, is_allowed) in [
        ("acme/crate", json!(["*", "!https://github.com/acme/crown"]), false),
        ("acme/crate", json!([root, "https://github.com/acme/crate"]), false),
        ("acme/crate", json!([root, "https://github.com/acme/cr*"]), true),
        ("acme/crown", json!([root, "https://github.com/acme/crown"]), true),
        ("Acme/Crown", json!([root, "https://github.com/acme/crown"]), true),
    ] {
        let (mut flow, _folder) = renamed(written, source_repos.clone()).await;
        flow.settle().await;
        assert_eq!(flow.sandbox.cluster.get(DEPLOYMENT).is_some(), is_allowed, "{written} {source_repos}");
        let told = flow.messages().join("\n");
        let words = "does not allow the source `https://github.com/acme/crown`, which is what GitHub forwards \
                     `https://github.com/acme/crate` to";
        assert_eq!(told.contains(words), !is_allowed, "{written} {source_repos}: {told}");
    }
}

/// What such a repository declares counts no more than what it deploys.
#[tokio::test]
async fn a_parent_declares_nothing_by_a_former_name() {
    for denial in [None, Some("!https://github.com/acme/crown")] {
        let (mut flow, _folder) = renamed("acme/crate", json!(["*"])).await;
        let crown = flow.sandbox.forge.repository("acme", "crown").unwrap();
        let child = flow.read(APPLICATION).replace("name: shop\n", "name: child\n");
        let child = child.replace("project: default", "project: shop").replace("acme/gitops", "acme/crown");
        let files = [Change::write("apps/child.yaml", child)];
        flow.sandbox.forge.push(&crown, "main", "Declare", &files).unwrap();
        let here = "https://kubernetes.default.svc";
        let mut spec = with("destinations", json!([{"server": here, "namespace": "*"}]));
        spec["sourceRepos"] = json!(["*"]);
        let mut parent = spec.clone();
        parent["sourceRepos"] = [Some("*"), denial].into_iter().flatten().collect();
        let parent = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "parent"}, "spec": parent})
        .to_string();
        let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "parent", "namespace": "argocd"}, "spec": {"project": "parent",
            "source": {"repoURL": "https://github.com/acme/crate", "path": "apps", "targetRevision": "main"},
            "destination": {"server": here, "namespace": "argocd"}, "syncPolicy": {"automated": {}}}});
        flow.push(
            "A parent",
            &[
                ("applications/parent.yaml", &application.to_string()),
                ("applications/project.yaml", &project(&spec)),
                ("applications/parents.yaml", &parent),
                (APPLICATION, ""),
            ],
        );
        flow.settle().await;
        assert_eq!(flow.state("child").await.is_some(), denial.is_none(), "{denial:?} {:?}", flow.messages());
    }
}

#[tokio::test]
async fn no_image_is_committed_by_a_former_name() {
    let (mut flow, _folder) = renamed("acme/crate", json!(["*", "!https://github.com/acme/crown"])).await;
    flow.settle().await;
    let crown = flow.sandbox.forge.repository("acme", "crown").unwrap();
    let before = crown.branch("main").unwrap();
    let application = flow.read(APPLICATION);
    let image = application.lines().find_map(|line| line.split_once("web=")).map(|(_, image)| image.trim()).unwrap();
    let event = flow.sandbox.aws.push_image(image.split_once('/').unwrap().1, "1.1.0");
    flow.pusher.handle(event).await.unwrap();
    let told = flow.messages().join("\n");
    assert!(
        told.contains("shop: AppProject `shop` does not allow the source `https://github.com/acme/crown`"),
        "{told}"
    );
    assert_eq!(crown.branch("main").unwrap(), before);
}
