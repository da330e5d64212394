//! A commit that failed, or is slow, is what the cluster is compared with all the same: nobody puts it back to the
//! commit before.

use http::Method;
use serde_json::{Value, json};
use slipway::notify::report::short;
use slipway_cluster::state::State;
use slipway_gitops::health::Health;
use slipway_gitops::status::{OperationPhase, SyncStatus};

use crate::world::{Flow, soon};

/// An Application named `name` with its files in the folder of that name.
pub(crate) fn application(name: &str, policy: &Value) -> (String, String) {
    let mut policy = policy.clone();
    policy["syncOptions"] = json!(["CreateNamespace=true"]);
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "project": "default", "source": {"repoURL": "https://github.com/acme/gitops", "path": name,
                "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": name}, "syncPolicy": policy}});
    (format!("applications/{name}.yaml"), application.to_string())
}

pub(crate) fn automated(self_heal: bool) -> Value {
    json!({"automated": {"prune": true, "selfHeal": self_heal}, "retry": {"limit": 0}})
}

pub(crate) fn map(name: &str, value: &str, annotations: &Value) -> String {
    let metadata = json!({"name": name, "annotations": annotations});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": value}}).to_string()
}

fn wave(number: u32) -> Value {
    json!({"argocd.argoproj.io/sync-wave": number.to_string()})
}

/// A Deployment that is Degraded a second after pods of its image can't start.
pub(crate) fn rollout(name: &str, image: &str) -> String {
    let labels = json!({"app": name});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 1, "progressDeadlineSeconds": 1, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}}})
    .to_string()
}

/// A Job that fails after a second where its image can't start.
pub(crate) fn smoke_test(image: &str) -> String {
    let annotations = json!({"argocd.argoproj.io/hook": "PostSync"});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "smoke-test", "annotations": annotations},
        "spec": {
        "activeDeadlineSeconds": 1,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}}}})
    .to_string()
}

impl Flow {
    pub(crate) fn push_all(&self, message: &str, files: &[(String, String)]) {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.push(message, &files);
    }

    /// Pushes the files and works them off.
    async fn deploy(&mut self, files: &[(&str, String)]) -> String {
        let files: Vec<(String, String)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), text.clone())).collect();
        self.push_all("Change it", &files);
        self.settle().await;
        self.head()
    }

    pub(crate) fn head(&self) -> String {
        self.sandbox.head().unwrap().unwrap().to_string()
    }

    /// The value in a ConfigMap.
    pub(crate) fn value(&self, namespace: &str, name: &str) -> Value {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        self.sandbox.cluster.get(&path).map_or(Value::Null, |map| map["data"]["v"].clone())
    }

    /// Changes a ConfigMap behind Git's back.
    pub(crate) fn edit(&self, namespace: &str, name: &str, value: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager=kubectl-edit");
        let body = json!({"data": {"v": value}});
        let (status, answer) = self.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body);
        assert!(status.is_success(), "{answer}");
    }

    pub(crate) fn delete(&self, path: &str) {
        assert!(self.sandbox.cluster.call(Method::DELETE, path, "application/json", &Value::Null).0.is_success());
    }

    async fn recorded(&self, name: &str) -> State {
        self.state(name).await.unwrap_or_else(|| panic!("{name} is not recorded"))
    }

    async fn revisions(&self, name: &str) -> Vec<String> {
        self.recorded(name).await.status.history.into_iter().map(|one| one.revisions.to_string()).collect()
    }
}

fn phase(state: &State) -> Option<OperationPhase> {
    state.status.operation_state.as_ref().map(|last| last.phase)
}

const ROLLOUT: &str = "/apis/apps/v1/namespaces/roll/deployments/web";

fn image(flow: &Flow) -> Value {
    flow.sandbox.cluster.get(ROLLOUT).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

/// Three applications that were well at the first commit; at the second `roll` is Degraded, `half` stops between its
/// waves, and the hook of `post` fails. Gives both commits.
async fn failed(self_heal: bool) -> (Flow, String, String) {
    let mut flow = Flow::start().await;
    flow.sandbox.cluster.hold_image(":stuck");
    let files = [
        ("roll/d.yaml", rollout("web", "web:1")),
        ("half/a.yaml", map("a", "1", &wave(0))),
        ("half/b.yaml", map("b", "1", &wave(1))),
        ("post/a.yaml", map("a", "1", &json!({}))),
    ];
    let apps = ["roll", "half", "post"].map(|name| application(name, &automated(self_heal)));
    let files: Vec<(String, String)> =
        files.into_iter().map(|(path, text)| (path.to_owned(), text)).chain(apps).collect();
    flow.push_all("Begin", &files);
    flow.settle().await;
    let first = flow.head();
    let second = flow
        .deploy(&[
            ("roll/d.yaml", rollout("web", "web:stuck")),
            ("half/a.yaml", map("a", "2", &wave(0))),
            ("half/d.yaml", rollout("slow", "web:stuck")),
            ("half/b.yaml", map("b", "2", &wave(1))),
            ("post/a.yaml", map("a", "2", &json!({}))),
            ("post/job.yaml", smoke_test("web:stuck")),
        ])
        .await;
    (flow, first, second)
}

#[tokio::test]
async fn what_failed_or_is_degraded_is_neither_undone_nor_called_drift() {
    for self_heal in [true, false] {
        let (flow, first, second) = failed(self_heal).await;
        let both = [first.clone(), second.clone()];
        assert_eq!(flow.revisions("roll").await, both, "its operation succeeded, whatever became of its health");
        assert_eq!(flow.revisions("half").await, both[..1]);
        assert_eq!(flow.revisions("post").await, both[..1]);
        let told = flow.messages();
        for _ in 0..2 {
            let found = flow.check().await;
            for name in ["roll", "half", "post"] {
                assert_eq!(found["applications"][name], json!({}), "selfHeal: {self_heal}: {found}");
            }
        }
        assert_eq!(image(&flow), "web:stuck");
        assert_eq!((flow.value("half", "a"), flow.value("half", "b")), (json!("2"), json!("1")));
        assert_eq!(flow.value("post", "a"), "2");
        assert_eq!(flow.messages(), told, "there is nothing to tell");
        for (name, phase_of, sync, health) in [
            ("roll", OperationPhase::Succeeded, SyncStatus::Synced, Health::Degraded),
            ("half", OperationPhase::Failed, SyncStatus::OutOfSync, Health::Degraded),
            ("post", OperationPhase::Failed, SyncStatus::Synced, Health::Healthy),
        ] {
            let state = flow.recorded(name).await;
            assert_eq!(state.status.sync.revisions.to_string(), second, "{name}");
            assert_eq!(phase(&state), Some(phase_of), "{name}");
            assert_eq!((state.status.sync.status, state.status.health.status), (sync, health), "{name}");
        }
    }
}

#[tokio::test]
async fn a_hand_change_to_a_failed_deployment_is_told_and_stays() {
    let (flow, ..) = failed(true).await;
    flow.check().await;
    let told = flow.messages().len();
    // What the sync applied, and what it never came to.
    flow.edit("half", "a", "hand");
    flow.edit("half", "b", "hand");
    flow.edit("post", "a", "hand");
    let found = flow.check().await;
    assert_eq!(found["applications"]["half"]["differs"], json!(["ConfigMap/half/a data.v", "ConfigMap/half/b data.v"]));
    assert_eq!(found["applications"]["post"]["differs"], json!(["ConfigMap/post/a data.v"]));
    for app in ["half", "post"] {
        assert_eq!(found["applications"][app]["healed"], Value::Null, "a failed sync is not tried again: {found}");
    }
    for (namespace, name) in [("half", "a"), ("half", "b"), ("post", "a")] {
        assert_eq!(flow.value(namespace, name), "hand");
    }
    let more = flow.messages().split_off(told).join("\n");
    assert!(more.contains("Git has `2`, the cluster `hand`") && more.contains("kubectl-edit"), "{more}");
    assert_eq!(flow.check().await["applications"]["half"]["new"], Value::Null, "it is told once");

    flow.delete("/api/v1/namespaces/half/configmaps/b");
    let found = flow.check().await;
    let differs = json!(["ConfigMap/half/a data.v", "ConfigMap/half/b"]);
    assert_eq!(found["applications"]["half"]["differs"], differs, "it was there: {found}");
    let found = flow.check().await;
    assert_eq!(
        (&found["applications"]["half"]["differs"], &found["applications"]["half"]["resolved"]),
        (&differs, &Value::Null)
    );
}

#[tokio::test]
async fn a_hand_change_to_a_degraded_deployment_is_undone() {
    let (flow, _, second) = failed(true).await;
    let body = json!({"spec": {"replicas": 3}});
    let path = format!("{ROLLOUT}?fieldManager=kubectl-edit");
    assert!(flow.sandbox.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body).0.is_success());
    let told = flow.messages().len();
    let found = flow.check().await;
    assert_eq!(found["applications"]["roll"]["healed"], true, "{found}");
    let live = flow.sandbox.cluster.get(ROLLOUT).unwrap();
    assert_eq!((&live["spec"]["replicas"], image(&flow)), (&json!(1), json!("web:stuck")));
    let more = flow.messages().split_off(told);
    assert!(more.len() == 1 && more[0].contains("*roll* on *in-cluster* is healed"), "{more:?}");
    assert!(more[0].contains(short(&second)), "{more:?}");
}

#[tokio::test]
async fn an_application_whose_first_deployment_went_wrong_is_checked() {
    for self_heal in [true, false] {
        let mut flow = Flow::start().await;
        flow.sandbox.cluster.hold_image(":stuck");
        let (roll, half) = (application("roll", &automated(self_heal)), application("half", &automated(self_heal)));
        flow.deploy(&[
            (&roll.0, roll.1.clone()),
            (&half.0, half.1.clone()),
            ("roll/d.yaml", rollout("web", "web:stuck")),
            ("roll/a.yaml", map("a", "git", &json!({}))),
            ("half/a.yaml", map("a", "git", &wave(0))),
            ("half/d.yaml", rollout("slow", "web:stuck")),
            ("half/b.yaml", map("b", "git", &wave(1))),
        ])
        .await;
        let found = flow.check().await;
        assert_eq!(found["applications"]["roll"], json!({}), "{found}");
        assert_eq!(found["applications"]["half"], json!({}), "what never came is no drift: {found}");
        flow.edit("roll", "a", "live");
        flow.edit("half", "a", "live");
        let found = flow.check().await;
        assert_eq!(found["applications"]["roll"]["differs"], json!(["ConfigMap/roll/a data.v"]), "{found}");
        assert_eq!(found["applications"]["half"]["differs"], json!(["ConfigMap/half/a data.v"]), "{found}");
        assert_eq!(flow.value("roll", "a"), if self_heal { "git" } else { "live" });
        assert_eq!(flow.value("half", "a"), "live", "its sync failed");
        assert_eq!(flow.value("half", "b"), Value::Null);
    }
}

#[tokio::test]
async fn a_failed_hook_is_remembered_when_nothing_differs_any_more() {
    let (mut flow, first, _) = failed(true).await;
    flow.push("Nothing that counts", &[("NOTES.md", "hello")]);
    flow.settle().await;
    let third = flow.head();
    assert_eq!(
        flow.revisions("post").await,
        std::slice::from_ref(&first),
        "a commit that changes nothing is no deployment"
    );
    let post = flow.recorded("post").await;
    assert_eq!((post.status.sync.revisions.to_string(), phase(&post)), (third.clone(), Some(OperationPhase::Failed)));
}

#[tokio::test]
async fn the_same_commit_again_after_a_failed_hook_is_no_success() {
    let (mut flow, first, _) = failed(true).await;
    flow.push("Again", &[("post/a.yaml", &map("a", "3", &json!({})))]);
    let third = flow.head();
    let message = flow.message().await;
    for _ in 0..2 {
        flow.deployer.handle(message.clone(), soon(), "test").await.unwrap();
    }
    assert_eq!(flow.value("post", "a"), "3");
    assert_eq!(flow.revisions("post").await, [first]);
    let post = flow.recorded("post").await;
    assert_eq!((post.status.sync.revisions.to_string(), phase(&post)), (third.clone(), Some(OperationPhase::Failed)));
    assert_eq!(flow.statuses()[0]["state"], "failure", "{:?}", flow.statuses());
    assert!(!flow.messages().last().unwrap().contains("*post* is deployed"), "{:?}", flow.messages());
}

#[tokio::test]
async fn an_application_of_which_nothing_exists_is_missing() {
    let mut flow = Flow::start().await;
    let refused = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"v": 1}});
    let failing = application("failing", &automated(true));
    let waiting = application("waiting", &json!({}));
    flow.deploy(&[
        (&failing.0, failing.1.clone()),
        (&waiting.0, waiting.1.clone()),
        ("failing/a.yaml", map("a", "1", &json!({}))),
        ("failing/b.yaml", refused.to_string()),
        ("waiting/a.yaml", map("a", "1", &json!({}))),
    ])
    .await;
    assert_eq!(flow.value("failing", "a"), Value::Null, "a dry run refuses all of it");
    for _ in 0..2 {
        for name in ["failing", "waiting"] {
            let status = flow.recorded(name).await.status;
            assert_eq!(status.health.status, Health::Missing, "{name}");
            assert_eq!(status.sync.status, SyncStatus::OutOfSync, "{name}");
            let row = status.resources.iter().find(|row| row.name == "a").unwrap();
            assert_eq!(row.health.as_ref().map(|verdict| verdict.health), Some(Health::Missing), "{name}");
        }
        flow.check().await;
    }
    // It is Healthy only where everything is.
    flow.deploy(&[("failing/b.yaml", map("b", "1", &json!({})))]).await;
    assert_eq!(flow.recorded("failing").await.status.health.status, Health::Healthy);
    flow.delete("/api/v1/namespaces/failing/configmaps/b");
    flow.deploy(&[("failing/c.yaml", refused.to_string().replace(r#""b""#, r#""c""#))]).await;
    let status = flow.recorded("failing").await.status;
    assert_eq!(status.health.status, Health::Missing);
    let row = status.resources.iter().find(|row| row.name == "b").unwrap();
    assert_eq!(row.health.as_ref().map(|verdict| verdict.health), Some(Health::Missing));
}
