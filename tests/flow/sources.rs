//! An Application with several sources (`spec.sources`), in several repositories.

use std::fs;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::deploy::trust;
use slipway::memory::Memory;
use slipway::notify::report::short;
use slipway::secret::Secrets;
use slipway::source::Checkouts;
use slipway::source::github::{GitHub, GitHubSettings};
use slipway::{config, root};
use slipway_cluster::Cluster;
use slipway_cluster::state::{self, Reached, State};
use slipway_gitops::Revisions;
use slipway_gitops::status::{OperationPhase, SyncStatus};
use slipway_sandbox::aws;
use slipway_sandbox::forge::{Change, Repository, Signature};

use crate::attempt::map;
use crate::world::{Flow, soon};

const APPLICATION: &str = "applications/web.yaml";

/// A chart and plain manifests in the root's repository, and the chart's values in another.
struct Web {
    flow: Flow,
    values: Arc<Repository>,
}

impl Web {
    async fn start() -> Self {
        let flow = Flow::deployed().await;
        let folder = flow.sandbox.repository.folder().with_file_name("values.git");
        fs::create_dir_all(&folder).unwrap();
        let values = flow.sandbox.forge.create("acme", "values", &folder).unwrap();
        Self { flow, values }
    }

    /// With everything deployed.
    async fn deployed() -> Self {
        let mut web = Self::start().await;
        web.push_values("First values", "greeting: hello\n");
        web.push_web(&sources());
        web.flow.settle().await;
        assert_eq!(web.greeting(), "hello prod", "{:?}", web.flow.messages());
        web
    }

    fn push_values(&self, message: &str, text: &str) -> String {
        let changes = [Change::write("web/prod.yaml", text)];
        self.flow.sandbox.forge.push(&self.values, "main", message, &changes).unwrap().to_string()
    }

    fn push_web(&self, sources: &Value) {
        let chart = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
        let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\n\
                        data: {greeting: '{{ .Values.greeting }} {{ .Values.env }}'}\n";
        self.flow.push(
            "Add web",
            &[
                (APPLICATION, &application(sources)),
                ("chart/Chart.yaml", chart),
                ("chart/values.yaml", "env: none\n"),
                ("chart/prod.yaml", "env: prod\n"),
                ("chart/templates/map.yaml", template),
                ("extra/beside.yaml", &map("beside", "1", &json!({}))),
            ],
        );
    }

    fn data(&self, name: &str) -> Option<Value> {
        let map = self.flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}"))?;
        Some(map["data"].clone())
    }

    fn greeting(&self) -> String {
        self.data("page").map(|data| data["greeting"].as_str().unwrap().to_owned()).unwrap_or_default()
    }

    fn head_of_values(&self) -> String {
        self.values.branch("main").unwrap().unwrap().to_string()
    }

    /// The heads that the three sources track.
    fn heads(&self) -> Revisions {
        let root = self.flow.head();
        Revisions::PerSource(vec![root.clone(), self.head_of_values(), root])
    }

    async fn state(&self) -> State {
        self.flow.state("web").await.unwrap()
    }

    fn last_message(&self) -> String {
        self.flow.messages().pop().unwrap()
    }
}

fn sources() -> Value {
    let root = "https://github.com/acme/gitops";
    json!([
        {"repoURL": root, "path": "chart", "targetRevision": "main",
            "helm": {"valueFiles": ["prod.yaml", "$values/web/prod.yaml"]}},
        {"repoURL": "https://github.com/acme/values", "targetRevision": "main", "ref": "values"},
        {"repoURL": root, "path": "extra", "targetRevision": "main"},
    ])
}

fn application(sources: &Value) -> String {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web", "namespace": "argocd"},
        "spec": {"project": "default", "sources": sources, "destination": {"name": "in-cluster", "namespace": "shop"},
            "syncPolicy": {"automated": {"prune": true}, "retry": {"limit": 0}}}})
    .to_string()
}

#[tokio::test]
async fn all_sources_are_deployed_and_recorded_as_argo_cd_records_them() {
    let web = Box::pin(Web::deployed()).await;
    assert_eq!(web.data("beside").unwrap()["v"], "1");
    let state = web.state().await;
    assert_eq!((state.status.sync.status, &state.status.sync.revisions), (SyncStatus::Synced, &web.heads()));
    assert_eq!((state.attempt.reached, &state.attempt.revisions), (Reached::All, &web.heads()));
    let status = json!(state.status);
    let commits = json!(web.heads().as_slice());
    assert_eq!((&status["sync"]["revisions"], &status["sync"]["revision"]), (&commits, &Value::Null));
    assert_eq!((&status["sourceTypes"], &status["sourceType"]), (&json!(["Helm", "", "Directory"]), &Value::Null));
    assert_eq!(status["sync"]["comparedTo"]["sources"].as_array().map(Vec::len), Some(3));
    let history = &status["history"][0];
    assert_eq!((&history["revisions"], &history["revision"]), (&commits, &Value::Null));
    let shown = json!([
        {"repoURL": "https://github.com/acme/gitops", "path": "chart", "targetRevision": "main",
            "helm": {"valueFiles": ["prod.yaml", "$values/web/prod.yaml"]}},
        {"repoURL": "https://github.com/acme/values", "targetRevision": "main", "ref": "values"},
        {"repoURL": "https://github.com/acme/gitops", "path": "extra", "targetRevision": "main"},
    ]);
    assert_eq!((&history["sources"], &history["source"]), (&shown, &Value::Null));
    let result = &status["operationState"]["syncResult"];
    assert_eq!((&result["revisions"], &result["revision"], &result["sources"]), (&commits, &json!(""), &shown));
    assert_eq!(status["operationState"]["operation"]["sync"]["revisions"], commits);
    let summary = &state.notes["application"];
    assert_eq!((&summary["spec"]["sources"], &summary["spec"]["source"]), (&shown, &Value::Null));
    let page = format!("https://github.com/acme/gitops/tree/{}/chart", web.flow.head());
    assert_eq!(summary["url"], page);
}

/// The values alone are pushed: the chart is rendered with them, and told of their commit.
#[tokio::test]
async fn a_push_to_the_repository_of_a_ref_is_deployed() {
    let mut web = Box::pin(Web::deployed()).await;
    let told = web.flow.messages().len();
    let commit = web.push_values("Greet", "greeting: welcome\n");
    web.flow.settle().await;
    assert_eq!(web.greeting(), "welcome prod", "{:?}", web.flow.messages());
    assert_eq!(web.state().await.status.sync.revisions, web.heads());
    assert_eq!(web.flow.messages().len(), told + 1, "{:?}", web.flow.messages());
    let message = web.last_message();
    assert!(message.contains("*web* is deployed") && message.contains(short(&commit)), "{message}");
    assert!(message.contains("acme/values"), "{message}");
    let statuses = web.flow.sandbox.forge.statuses(web.values.branch("main").unwrap().unwrap());
    assert_eq!(statuses[0]["state"], "success", "{statuses:?}");
}

#[tokio::test]
async fn the_same_commits_again_do_nothing() {
    let mut web = Box::pin(Web::deployed()).await;
    web.push_values("Greet", "greeting: welcome\n");
    let message = web.flow.message().await;
    web.flow.deployer.handle(message.clone(), soon(), "first").await.unwrap();
    assert_eq!(web.greeting(), "welcome prod");
    let (before, told) = (web.state().await, web.flow.messages().len());
    let answer = web.flow.another().await.handle(message, soon(), "again").await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let after = web.state().await;
    assert_eq!(
        (after.status.history, after.status.operation_state),
        (before.status.history, before.status.operation_state)
    );
    assert_eq!(web.flow.messages().len(), told);
    let found = web.flow.check().await;
    assert_eq!(found["applications"]["web"], json!({}), "{found}");
}

/// Two workers, each with the push of another repository: whoever comes second asks the first to go on.
#[tokio::test]
async fn pushes_of_two_sources_at_once_end_at_both() {
    let mut web = Box::pin(Web::deployed()).await;
    web.push_values("Greet", "greeting: both\n");
    let first = web.flow.message().await;
    web.flow.push("Both", &[("extra/beside.yaml", &map("beside", "2", &json!({})))]);
    let second = web.flow.message().await;
    let other = web.flow.another().await;
    let both = tokio::join!(web.flow.deployer.handle(first, soon(), "first"), other.handle(second, soon(), "second"),);
    let well = json!({"batchItemFailures": []});
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (well.clone(), well));
    web.flow.settle().await;
    assert_eq!((web.greeting().as_str(), &web.data("beside").unwrap()["v"]), ("both prod", &json!("2")));
    let state = web.state().await;
    assert_eq!((state.attempt.reached, &state.attempt.revisions), (Reached::All, &web.heads()));
    assert_eq!((state.operation, &state.status.sync.revisions), (None, &web.heads()));
}

/// What depends on it is deployed after it, whichever source was pushed.
#[tokio::test]
async fn what_depends_on_several_sources_comes_after_all_of_them() {
    let mut web = Box::pin(Web::deployed()).await;
    let mut after: Value = serde_json::from_str(&application(&json!([]))).unwrap();
    after["metadata"]["name"] = json!("after");
    after["metadata"]["annotations"] = json!({"slipway.dev/depends-on": "web"});
    after["spec"]["sources"] = json!([sources()[1], {"repoURL": "https://github.com/acme/gitops", "path": "after"}]);
    web.flow.push(
        "After",
        &[("applications/after.yaml", &after.to_string()), ("after/a.yaml", &map("after", "1", &json!({})))],
    );
    web.flow.settle().await;
    assert_eq!(web.data("after").unwrap()["v"], "1", "{:?}", web.flow.messages());
    web.push_values("Greet", "greeting: welcome\n");
    web.flow.push("Both", &[("after/a.yaml", &map("after", "2", &json!({})))]);
    web.flow.settle().await;
    assert_eq!((web.greeting().as_str(), &web.data("after").unwrap()["v"]), ("welcome prod", &json!("2")));
    let heads = Revisions::PerSource(vec![web.head_of_values(), web.flow.head()]);
    assert_eq!(web.flow.state("after").await.unwrap().status.sync.revisions, heads);
    assert!(!web.flow.messages().join("\n").contains("waiting for"), "{:?}", web.flow.messages());
}

/// The hooks of a deletion are of the commits that were deployed, and the objects of every source go.
#[tokio::test]
async fn a_removed_application_goes_with_all_of_its_sources() {
    let mut web = Box::pin(Web::deployed()).await;
    let mut app: Value = serde_json::from_str(&application(&sources())).unwrap();
    app["metadata"]["finalizers"] = json!(["resources-finalizer.argocd.argoproj.io"]);
    web.flow.push("Cascade", &[(APPLICATION, &app.to_string())]);
    web.flow.settle().await;
    let remove = [Change::delete(APPLICATION)];
    web.flow.sandbox.forge.push(&web.flow.sandbox.repository, "main", "Remove", &remove).unwrap();
    web.flow.settle().await;
    let told = web.last_message();
    let digest = told.split("--approve-prune ").nth(1).unwrap_or_else(|| panic!("{told}"));
    let digest: String = digest.chars().take_while(char::is_ascii_alphanumeric).collect();
    app["metadata"]["annotations"] = json!({"slipway.dev/prune-approved": digest});
    web.flow.push("Back, with the approval", &[(APPLICATION, &app.to_string())]);
    web.flow.settle().await;
    web.flow.sandbox.forge.push(&web.flow.sandbox.repository, "main", "Remove", &remove).unwrap();
    web.flow.settle().await;
    assert!(web.data("page").is_none() && web.data("beside").is_none(), "{:?}", web.flow.messages());
    assert!(web.flow.state("web").await.is_none());
}

/// Neither a branch that no source tracks, nor a file that none reads, begins a sync.
#[tokio::test]
async fn what_concerns_no_source_is_no_deployment() {
    let mut web = Box::pin(Web::deployed()).await;
    let before = web.state().await.status;
    let changes = [Change::write("web/prod.yaml", "greeting: never\n")];
    web.flow.sandbox.forge.push(&web.values, "next", "On another branch", &changes).unwrap();
    web.flow.settle().await;
    assert_eq!(web.state().await.status.sync.revisions, before.sync.revisions);
    let changes = [Change::write("NOTES.md", "hello")];
    web.flow.sandbox.forge.push(&web.values, "main", "Say hello", &changes).unwrap();
    web.flow.settle().await;
    let after = web.state().await.status;
    assert_eq!((after.sync.revisions, after.history), (before.sync.revisions, before.history));
    assert_eq!(web.greeting(), "hello prod");
}

#[tokio::test]
async fn a_lost_push_of_any_source_is_made_up_for() {
    let mut web = Box::pin(Web::deployed()).await;
    web.push_values("Lost", "greeting: late\n");
    while web.flow.next_webhook().is_some() {}
    let found = web.flow.check().await;
    assert_eq!(found["applications"]["web"]["behind"], json!(web.heads().to_string()), "{found}");
    assert_eq!(web.greeting(), "late prod");
    assert_eq!(web.state().await.status.sync.revisions, web.heads());
    assert_eq!(web.flow.check().await["applications"]["web"], json!({}));
}

/// A hand's change of what any source brought is drift.
#[tokio::test]
async fn drift_is_told_of_every_source() {
    let web = Box::pin(Web::deployed()).await;
    for (name, key) in [("page", "greeting"), ("beside", "v")] {
        let path = format!("/api/v1/namespaces/shop/configmaps/{name}?fieldManager=kubectl-edit");
        let body = json!({"data": {key: "made by hand"}});
        let patched = web.flow.sandbox.cluster.call(http::Method::PATCH, &path, "application/merge-patch+json", &body);
        assert!(patched.0.is_success());
    }
    let found = web.flow.check().await;
    let differs = json!(["ConfigMap/shop/beside data.v", "ConfigMap/shop/page data.greeting"]);
    assert_eq!(found["applications"]["web"]["differs"], differs, "{found}");
    let (message, heads) = (web.last_message(), web.heads().short());
    assert!(message.contains(&format!("differs from Git at `{heads}`")), "{message}");
}

#[tokio::test]
async fn a_source_that_the_project_denies_refuses_the_whole() {
    let mut web = Web::start().await;
    web.push_values("First values", "greeting: hello\n");
    let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "team"},
        "spec": {"sourceRepos": ["https://github.com/acme/gitops"],
            "destinations": [{"server": "*", "namespace": "*"}]}});
    web.push_web(&sources());
    let text = web.flow.read(APPLICATION).replace(r#""project":"default""#, r#""project":"team""#);
    assert!(text.contains("team"), "{text}");
    web.flow.push("A project", &[("applications/team.yaml", &project.to_string()), (APPLICATION, &text)]);
    web.flow.settle().await;
    assert!(web.data("page").is_none() && web.data("beside").is_none());
    let told = web.flow.messages().join("\n");
    assert!(told.contains("AppProject `team` does not allow the source `https://github.com/acme/values`"), "{told}");
}

#[tokio::test]
async fn a_ref_that_no_source_has_is_named() {
    let mut web = Web::start().await;
    let mut list = sources();
    list[1]["ref"] = json!("other");
    web.push_values("First values", "greeting: hello\n");
    web.push_web(&list);
    web.flow.settle().await;
    assert!(web.data("page").is_none() && web.data("beside").is_none());
    let message = web.last_message();
    assert!(message.contains("$values/web/prod.yaml"), "{message}");
}

/// One source can't be rendered, and the objects of the others wait with it.
#[tokio::test]
async fn a_source_that_can_not_be_rendered_holds_all() {
    let mut web = Box::pin(Web::deployed()).await;
    let commit = web.push_values("Break it", "greeting: [\n");
    web.flow.push("Both", &[("extra/beside.yaml", &map("beside", "2", &json!({})))]);
    web.flow.settle().await;
    assert_eq!((web.greeting().as_str(), &web.data("beside").unwrap()["v"]), ("hello prod", &json!("1")));
    let state = web.state().await;
    assert_eq!((state.status.sync.status, &state.status.sync.revisions), (SyncStatus::Unknown, &web.heads()));
    let statuses = web.flow.sandbox.forge.statuses(web.values.branch("main").unwrap().unwrap());
    assert_eq!(statuses[0]["state"], "failure", "{statuses:?}");
    let told = web.flow.messages().join("\n");
    assert!(told.contains(short(&commit)) && told.contains("web/prod.yaml"), "{told}");

    web.push_values("Mend it", "greeting: well\n");
    web.flow.settle().await;
    assert_eq!((web.greeting().as_str(), &web.data("beside").unwrap()["v"]), ("well prod", &json!("2")));
}

/// The last of them is deployed, with Argo CD's warning.
#[tokio::test]
async fn an_object_of_two_sources_is_taken_from_the_last() {
    let mut web = Box::pin(Web::deployed()).await;
    let again = map("page", "of the last", &json!({}));
    web.flow.push("Again", &[("extra/page.yaml", &again)]);
    web.flow.settle().await;
    assert_eq!(web.data("page").unwrap(), json!({"v": "of the last"}));
    let condition = |state: &State| {
        let found = state.status.conditions.iter().find(|condition| condition.kind == "RepeatedResourceWarning");
        found.map(|condition| condition.message.clone())
    };
    let words = "Resource /ConfigMap/shop/page appeared 2 times among application resources.";
    assert_eq!(condition(&web.state().await).as_deref(), Some(words));
    assert!(
        web.last_message().contains("ConfigMap/shop/page is in the manifests more than once"),
        "{}",
        web.last_message()
    );
    assert_eq!(web.flow.check().await["applications"]["web"], json!({}));
    assert_eq!(condition(&web.state().await).as_deref(), Some(words), "a check leaves it");

    web.flow
        .sandbox
        .forge
        .push(&web.flow.sandbox.repository, "main", "Once", &[Change::delete("extra/page.yaml")])
        .unwrap();
    web.flow.settle().await;
    assert_eq!(web.greeting(), "hello prod");
    assert_eq!(condition(&web.state().await), None);
}

/// A state without a signature names a commit of the second source that nobody merged, as of a pull request.
#[tokio::test]
async fn a_commit_from_a_forged_state_is_not_rendered_of_any_source() {
    let web = Box::pin(Web::deployed()).await;
    let genuine = web.heads();
    let mallory = Signature { name: "Mallory".into(), email: "m@example.com".into(), time: Timestamp::now() };
    let changes = [Change::write("web/prod.yaml", "greeting: trust me\n")];
    let head = web.values.branch("main").unwrap();
    let evil = web.values.write_commit(head, &changes, "Trust me", &mallory, &mallory).unwrap();
    assert!(web.values.objects().move_reference("refs/heads/pull", None, evil).unwrap());
    let mut forged = genuine.as_slice().to_vec();
    forged[1] = evil.to_string();
    let forged = Revisions::PerSource(forged);

    let cluster = Cluster::from_kubeconfig(&[web.flow.sandbox.kubeconfig()], None, None).unwrap();
    let key = state::list(&cluster).await.unwrap().into_iter().find(|key| key.name == "web").unwrap();
    let mut recorded = state::read(&cluster, &key).await.unwrap().unwrap();
    recorded.state.attempt.revisions = forged.clone();
    recorded.state.status.history[0].revisions = forged.clone();
    let version = recorded.version().to_owned();
    state::write(&cluster, &key, &recorded.state, Some(&version)).await.unwrap();
    web.flow.check().await;
    assert_eq!(web.greeting(), "hello prod");
    let state = web.state().await;
    assert_eq!(state.attempt.revisions, genuine);
    assert!(!json!(state).to_string().contains(&evil.to_string()));
    let told = web.flow.messages().join("\n");
    assert!(told.contains("names commits that are not on") && told.contains("`main` of acme/values"), "{told}");

    // What the command line asks before a rollback.
    let secrets = Secrets::new(Aws::at(&web.flow.sandbox.aws.url(), aws::REGION).await);
    let api = web.flow.sandbox.forge.url().to_owned();
    let settings = GitHubSettings { api, secret: "slipway/github".to_owned(), memory: Memory::default() };
    let checkouts = Checkouts::new(GitHub::new(settings, secrets));
    let environment = web.flow.sandbox.environment();
    let places = config::Settings::load(|name: &str| environment.get(name).cloned()).unwrap().root;
    let root = root::load(&places, &checkouts, None).await.unwrap_or_else(|failure| panic!("{}", failure.message));
    let tracked = &root.members.iter().find(|member| member.app.name == "web").unwrap().tracked;
    for (revisions, is_used) in [(&genuine, true), (&forged, false)] {
        let checked = trust::check_all(&checkouts, (&key, &recorded.state), tracked, revisions).await;
        assert_eq!(checked.is_ok(), is_used, "{revisions}: {checked:?}");
    }
}

/// From one source to several and back, at whatever commits: what is deployed is another version.
#[tokio::test]
async fn an_application_may_get_more_sources_and_lose_them() {
    let mut web = Box::pin(Web::deployed()).await;
    let one = application(&json!([])).replace(r#""sources":[]"#, &format!(r#""source":{}"#, sources()[2]));
    web.flow.push("One source", &[(APPLICATION, &one)]);
    web.flow.settle().await;
    let state = web.state().await;
    assert_eq!(state.status.sync.revisions, web.flow.head().into(), "{:?}", web.flow.messages());
    assert!(json!(state.status).get("sourceTypes").is_none());
    assert!(web.data("page").is_none() && web.data("beside").is_some());

    web.flow.push("Several", &[(APPLICATION, &application(&sources()))]);
    while web.flow.next_webhook().is_some() {}
    let found = web.flow.check().await;
    assert_eq!(found["applications"]["web"]["behind"], json!(web.heads().to_string()), "{found}");
    assert_eq!(web.greeting(), "hello prod");
    let last = web.state().await.status.operation_state.unwrap();
    assert_eq!((last.phase, last.sync_result.unwrap().revisions), (OperationPhase::Succeeded, web.heads()));
}

#[tokio::test]
async fn sources_that_can_not_be_deployed_are_named() {
    let mut web = Web::start().await;
    let mut chart = sources();
    chart[0] = json!({"repoURL": "ssh://charts.example.com", "chart": "web", "targetRevision": "1.0.0"});
    let mut twice = sources();
    twice[2]["ref"] = json!("values");
    let lent = json!([sources()[1]]);
    for (what, sources, words) in [
        (
            "a chart",
            chart,
            "`spec.sources[0].repoURL`: `ssh://charts.example.com` is no Helm repository that charts are fetched from",
        ),
        ("one ref twice", twice, "more than one has `ref: values`"),
        ("only a ref", lent, "`spec.sources` has no source with manifests"),
    ] {
        web.flow.push(what, &[(APPLICATION, &application(&sources))]);
        web.flow.settle().await;
        assert!(web.last_message().contains(words), "{what}: {}", web.last_message());
        assert!(web.flow.state("web").await.is_none(), "{what}");
    }
}
