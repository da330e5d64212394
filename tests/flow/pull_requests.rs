//! ApplicationSets over pull requests and over the repositories of an organization, from the webhook to the cluster.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use slipway_sandbox::faults::Failure;
use slipway_sandbox::forge::{Change, Repository};
use slipway_tests::GitHub;

use crate::world::Flow;

/// A set with one Application for each pull request of `acme/web` that has the label `preview`.
fn previews(generator: &Value) -> String {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "previews", "namespace": "argocd"},
        "spec": {"goTemplate": true, "generators": [generator], "template": {
            "metadata": {"name": "pr-{{.number}}", "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
            "spec": {"project": "default", "destination": {"name": "in-cluster", "namespace": "shop"},
                "source": {"repoURL": "https://github.com/acme/web", "path": "deploy",
                    "targetRevision": "{{.head_sha}}", "kustomize": {"namePrefix": "pr-{{.number}}-"}},
                "syncPolicy": {"automated": {}}}}}})
    .to_string()
}

fn labelled() -> Value {
    json!({"pullRequest": {"github": {"owner": "acme", "repo": "web", "labels": ["preview"]}}})
}

/// A second repository with a branch for a change, whose pull requests the set looks at.
struct Web {
    flow: Flow,
    repository: Arc<Repository>,
    _folder: tempfile::TempDir,
}

impl Web {
    async fn start(generator: &Value) -> Self {
        let flow = Flow::deployed().await;
        let folder = tempfile::tempdir().unwrap();
        let repository = flow.sandbox.forge.create("acme", "web", folder.path()).unwrap();
        let mut web = Self { repository, _folder: folder, flow };
        web.commit("main", "1");
        web.commit("change", "2");
        web.flow.push("Previews", &[("applications/previews.yaml", &previews(generator))]);
        web.settle().await;
        web
    }

    fn commit(&mut self, branch: &str, value: &str) {
        let config = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{a: '{value}'}}\n");
        let changes = [
            Change::write("deploy/kustomization.yaml", "resources: [config.yaml]\n"),
            Change::write("deploy/config.yaml", config),
        ];
        self.flow.sandbox.forge.push(&self.repository, branch, "Change", &changes).unwrap();
    }

    fn open(&self, labels: &[&str]) -> u64 {
        self.flow.sandbox.forge.open_pull_request(&self.repository, "change", labels).unwrap()
    }

    fn close(&self, number: u64) {
        let change = |pull: &mut slipway_sandbox::forge::PullRequest| pull.is_open = false;
        self.flow.sandbox.forge.change_pull_request(&self.repository, number, "closed", change).unwrap();
    }

    fn label(&self, number: u64, action: &str, labels: &[&str]) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let change = |pull: &mut slipway_sandbox::forge::PullRequest| pull.labels = labels;
        self.flow.sandbox.forge.change_pull_request(&self.repository, number, action, change).unwrap();
    }

    async fn settle(&mut self) {
        self.flow.settle().await;
    }

    /// What the preview of a pull request has.
    fn value(&self, number: u64) -> Value {
        let path = format!("/api/v1/namespaces/shop/configmaps/pr-{number}-web");
        self.flow.sandbox.cluster.get(&path).map_or(Value::Null, |found| found["data"]["a"].clone())
    }

    /// Holds every request that GitHub got and every answer to GitHub's own description.
    fn check_github(&self) {
        let Some(github) = GitHub::load() else { return };
        let seen = github.check(&self.flow.sandbox.forge.exchanges()).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(seen.iter().any(|operation| operation.contains("/pulls")), "{seen:?}");
    }

    /// The next lists of pull requests are answered by this.
    fn answer(&self, status: StatusCode, body: Value, headers: Vec<(&'static str, String)>) {
        let path_contains = "/acme/web/pulls?".to_owned();
        let failure = Failure { method: None, path_contains, count: 100, status, headers, body };
        self.flow.sandbox.forge.faults().failures.arm(failure);
    }
}

/// Attack 22: nothing is polled, and what has not changed costs nothing of the rate limit.
#[tokio::test]
async fn a_pull_request_has_its_preview_until_it_is_closed() {
    let mut web = Box::pin(Web::start(&labelled())).await;
    let (labelled, plain) = (web.open(&["preview", "ui"]), web.open(&[]));
    web.settle().await;
    assert_eq!((web.value(labelled), web.value(plain)), (json!("2"), Value::Null), "{:?}", web.flow.messages());

    web.label(plain, "labeled", &["preview"]);
    web.settle().await;
    assert_eq!(web.value(plain), "2");

    web.commit("change", "3");
    web.label(labelled, "synchronize", &["preview"]);
    web.settle().await;
    assert_eq!(web.value(labelled), "3", "{:?}", web.flow.messages());

    let lists = |web: &Web| {
        let exchanges = web.flow.sandbox.forge.exchanges();
        let lists = exchanges.into_iter().filter(|exchange| exchange.request.path == "/repos/acme/web/pulls");
        lists.map(|exchange| exchange.status.as_u16()).collect::<Vec<_>>()
    };
    let since = lists(&web).len();
    web.flow.push("Something else", &[("NOTES.md", "hello")]);
    web.settle().await;
    assert_eq!(lists(&web)[since..], [304], "an unchanged list is not sent again");

    web.close(labelled);
    web.settle().await;
    assert_eq!((web.value(labelled), web.value(plain)), (Value::Null, json!("3")), "{:?}", web.flow.messages());
    assert!(web.flow.state(&format!("pr-{labelled}")).await.is_none());
    assert!(!web.flow.messages().join("\n").contains("approval"), "{:?}", web.flow.messages());
    web.check_github();
}

/// The schedule makes up for an event that was lost.
#[tokio::test]
async fn the_check_finds_what_no_event_told() {
    let mut web = Box::pin(Web::start(&labelled())).await;
    let number = web.open(&["preview"]);
    while web.flow.next_webhook().is_some() {}
    web.flow.check().await;
    assert_eq!(web.value(number), "2", "{:?}", web.flow.messages());
    web.close(number);
    while web.flow.next_webhook().is_some() {}
    web.flow.check().await;
    assert_eq!(web.value(number), Value::Null, "{:?}", web.flow.messages());
}

/// Neither what fails nor a list that is shorter than it should be deletes anything.
#[tokio::test]
async fn no_answer_of_github_deletes_an_open_preview() {
    let limited = vec![("retry-after", "60".to_owned())];
    for (what, status, body, headers) in [
        ("an error", StatusCode::BAD_GATEWAY, json!({"message": "Server Error"}), vec![]),
        ("the rate limit", StatusCode::FORBIDDEN, json!({"message": "secondary rate limit"}), limited),
        ("no permission", StatusCode::FORBIDDEN, json!({"message": "Resource not accessible"}), vec![]),
        ("no repository", StatusCode::NOT_FOUND, json!({"message": "Not Found"}), vec![]),
        ("no list", StatusCode::OK, json!({"a": 1}), vec![]),
        ("an empty list", StatusCode::OK, json!([]), vec![]),
    ] {
        let mut web = Box::pin(Web::start(&labelled())).await;
        let number = web.open(&["preview"]);
        web.settle().await;
        assert_eq!(web.value(number), "2", "{what}");
        web.answer(status, body, headers);
        web.flow.push("Touch", &[("applications/notes.yaml", "")]);
        web.settle().await;
        for _ in 0..2 {
            web.flow.check().await;
        }
        assert_eq!(web.value(number), "2", "{what}: {:?}", web.flow.messages());
        assert!(web.flow.state(&format!("pr-{number}")).await.is_some(), "{what}");
    }
}

/// A message whose list GitHub refuses for now comes again.
#[tokio::test]
async fn an_event_in_an_outage_is_worked_on_later() {
    let mut web = Box::pin(Web::start(&labelled())).await;
    web.answer(StatusCode::TOO_MANY_REQUESTS, json!({"message": "rate limit"}), vec![("retry-after", "60".to_owned())]);
    let number = web.open(&["preview"]);
    let message = web.flow.message().await;
    let answer = web.flow.deployer.handle(message.clone(), crate::world::soon(), "limited").await.unwrap();
    let is_again = !answer["batchItemFailures"].as_array().unwrap().is_empty();
    assert!(is_again || web.flow.sandbox.aws.next_schedule().is_some(), "{answer}");
    assert_eq!(web.value(number), Value::Null);
    web.flow.sandbox.forge.faults().failures.clear();
    web.flow.deployer.handle(message, crate::world::soon(), "later").await.unwrap();
    assert_eq!(web.value(number), "2");
}

/// A pull request that is open and no longer selected is no proof that its preview may go.
#[tokio::test]
async fn what_is_no_longer_selected_waits_for_an_approval() {
    let mut web = Box::pin(Web::start(&labelled())).await;
    let number = web.open(&["preview"]);
    web.settle().await;
    web.label(number, "unlabeled", &[]);
    web.settle().await;
    assert_eq!(web.value(number), "2");
    assert!(web.flow.messages().join("\n").contains("waits for an approval"), "{:?}", web.flow.messages());
}

/// Each branch of each repository of the organization that has the path.
#[tokio::test]
async fn repositories_of_an_organization_are_deployed() {
    let filters = json!([{"repositoryMatch": "^web$", "pathsExist": ["deploy/config.yaml"], "branchMatch": "main"}]);
    let generator = json!({"scmProvider": {"cloneProtocol": "https", "filters": filters,
        "github": {"organization": "acme", "allBranches": true}, "values": {}}});
    let mut web = Box::pin(Web::start(&labelled())).await;
    let set = previews(&generator).replace("pr-{{.number}}", "{{.repository}}-{{.branchNormalized}}");
    let set = set.replace("{{.head_sha}}", "{{.sha}}").replace("\"previews\"", "\"all\"");
    web.flow.push("All", &[("applications/all.yaml", &set)]);
    web.settle().await;
    let path = |branch: &str| format!("/api/v1/namespaces/shop/configmaps/web-{branch}-web");
    assert!(web.flow.sandbox.cluster.get(&path("main")).is_some(), "{:?}", web.flow.messages());
    assert!(web.flow.sandbox.cluster.get(&path("change")).is_none());
    assert!(web.flow.state("gitops-main").await.is_none());
    web.check_github();
}
