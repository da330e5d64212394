//! What the cluster remembers is believed where it is signed; whoever else writes ConfigMaps deploys nothing by it.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::deploy::trust;
use slipway::memory::Memory;
use slipway::root::tracked::{SourceRepository, TrackedSource};
use slipway::secret::Secrets;
use slipway::source::Checkouts;
use slipway::source::github::{GitHub, GitHubSettings};
use slipway_cluster::Cluster;
use slipway_cluster::state::{self, AppKey, State};
use slipway_sandbox::aws;
use slipway_sandbox::forge::{Change, Signature};

use crate::world::{DEPLOYMENT, Flow, KUSTOMIZATION};

const ANNOTATION: &str = "slipway.dev/state-mac";

/// The ConfigMap with the state of the one application.
fn state_path(flow: &Flow) -> String {
    let list = flow.sandbox.cluster.get("/api/v1/namespaces/slipway/configmaps").unwrap();
    let items = list["items"].as_array().unwrap();
    let state = items.iter().find(|item| item["binaryData"]["state"].is_string()).expect("a state");
    format!("/api/v1/namespaces/slipway/configmaps/{}", state["metadata"]["name"].as_str().unwrap())
}

fn signature(flow: &Flow) -> Value {
    flow.sandbox.cluster.get(&state_path(flow)).unwrap()["metadata"]["annotations"][ANNOTATION].clone()
}

fn patch(flow: &Flow, path: &str, body: &Value) {
    let (status, answer) = flow.sandbox.cluster.call(Method::PATCH, path, "application/merge-patch+json", body);
    assert!(status.is_success(), "{answer}");
}

/// Writes the state as somebody does who has no key: without a signature.
async fn forge(flow: &Flow, edit: impl FnOnce(&mut State)) {
    let cluster = Cluster::from_kubeconfig(&[flow.sandbox.kubeconfig()], None, None).unwrap();
    let key = state::list(&cluster).await.unwrap().remove(0);
    let mut recorded = state::read(&cluster, &key).await.unwrap().unwrap();
    assert!(recorded.state.is_unsigned);
    edit(&mut recorded.state);
    let version = recorded.version().to_owned();
    state::write(&cluster, &key, &recorded.state, Some(&version)).await.unwrap();
}

/// A commit that nobody merged, as of a pull request: another image, with a hook for the deletion.
fn unmerged(flow: &Flow) -> String {
    let evil = flow.read(KUSTOMIZATION).replace("newTag: 1.0.0", "newTag: 6.6.6");
    let head = flow.sandbox.head().unwrap().unwrap();
    let repository = &flow.sandbox.repository;
    let mallory = Signature { name: "Mallory".into(), email: "m@example.com".into(), time: Timestamp::now() };
    let changes = [Change::write(KUSTOMIZATION, evil)];
    let commit = repository.write_commit(Some(head), &changes, "Trust me", &mallory, &mallory).unwrap();
    assert!(repository.objects().move_reference("refs/heads/pull", None, commit).unwrap());
    commit.to_string()
}

fn image(flow: &Flow) -> String {
    flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

fn heals(flow: &Flow) {
    let app = flow.read("applications/shop.yaml").replace("prune: true", "prune: true\n      selfHeal: true");
    assert!(app.contains("selfHeal"), "{app}");
    flow.push("Heal", &[("applications/shop.yaml", &app)]);
}

#[tokio::test]
async fn a_commit_from_a_forged_state_is_not_rendered() {
    let mut flow = Flow::deployed().await;
    heals(&flow);
    flow.settle().await;
    assert_eq!(flow.check().await, json!({"applications": {"shop": {}}}));
    let (before, genuine) = (image(&flow), flow.state("shop").await.unwrap());
    let commit = unmerged(&flow);
    for part in ["attempt", "history", "both"] {
        forge(&flow, |state| {
            if part != "history" {
                state.attempt.revisions = commit.as_str().into();
            }
            if part != "attempt" {
                let entry = json!({"id": 7, "revision": commit, "deployedAt": "2026-11-01T00:00:00Z",
                    "initiatedBy": {"automated": true}});
                state.status.history.push(serde_json::from_value(entry).unwrap());
            }
        })
        .await;
        let told = flow.messages().len();
        let first = flow.check().await;
        let second = flow.check().await;
        assert_eq!(image(&flow), before, "{part}: {first} {second}");
        let state = flow.state("shop").await.unwrap();
        assert!(!serde_json::to_string(&state).unwrap().contains(&commit), "{part}");
        assert_eq!(state.attempt.revisions, genuine.attempt.revisions, "{part}: {first} {second}");
        let told = flow.messages().split_off(told).join("\n");
        assert!(told.contains("is not signed, and names commits that are not on") && told.contains(&commit), "{told}");
        assert!(signature(&flow).is_string(), "{part}: it is signed again");
    }
}

/// What is put back by who kept a copy: as Slipway wrote and signed it then.
fn copy(flow: &Flow) -> Value {
    let state = flow.sandbox.cluster.get(&state_path(flow)).unwrap();
    let signature = &state["metadata"]["annotations"][ANNOTATION];
    json!({"metadata": {"annotations": {ANNOTATION: signature}}, "binaryData": state["binaryData"]})
}

#[tokio::test]
async fn an_older_state_that_is_put_back_is_told_and_used_like_an_unsigned_one() {
    let mut flow = Flow::deployed().await;
    heals(&flow);
    flow.settle().await;
    let older = copy(&flow);
    let change = flow.read(KUSTOMIZATION).replace("newTag: 1.0.0", "newTag: 1.0.1");
    flow.push("Another image", &[(KUSTOMIZATION, &change)]);
    flow.settle().await;
    assert_eq!(flow.check().await, json!({"applications": {"shop": {}}}));
    let (genuine, told) = (flow.state("shop").await.unwrap(), flow.messages().len());
    patch(&flow, &state_path(&flow), &older);
    flow.check().await;
    // What differed from the older commit is said to be resolved.
    flow.check().await;
    assert_eq!(flow.check().await, json!({"applications": {"shop": {}}}));
    assert!(image(&flow).ends_with(":1.0.1"), "{}", image(&flow));
    let state = flow.state("shop").await.unwrap();
    assert_eq!(state.attempt.revisions, genuine.attempt.revisions, "it goes on");
    assert!(state.generation > genuine.generation, "{} {}", state.generation, genuine.generation);
    let texts = flow.messages().split_off(told);
    assert_eq!(texts.iter().filter(|text| text.contains("which was put back")).count(), 1, "told once: {texts:?}");
    assert!(texts.iter().any(|text| text.contains("an older state of shop")), "{texts:?}");
}

/// A cluster that is restored: the Lease may be older, newer or lost.
#[tokio::test]
async fn whatever_of_state_and_lease_a_backup_restores_the_application_goes_on() {
    for lease in ["older", "newer", "lost"] {
        let mut flow = Flow::deployed().await;
        let leases = "/apis/coordination.k8s.io/v1/namespaces/slipway/leases";
        let path = format!("{leases}/{}", state_path(&flow).rsplit('/').next().unwrap());
        let number = |flow: &Flow| {
            let lease = flow.sandbox.cluster.get(&path).unwrap();
            lease["metadata"]["annotations"]["slipway.dev/state-generation"].clone()
        };
        let (older, first) = (copy(&flow), number(&flow));
        assert!(first.is_string());
        flow.push("Go on", &[("shop/NOTES.md", "1")]);
        flow.settle().await;
        assert_ne!(number(&flow), first, "each write has a number of its own");
        patch(&flow, &state_path(&flow), &older);
        match lease {
            "older" => {
                patch(&flow, &path, &json!({"metadata": {"annotations": {"slipway.dev/state-generation": first}}}));
            }
            "lost" => {
                let (status, answer) = flow.sandbox.cluster.call(Method::DELETE, &path, "", &Value::Null);
                assert!(status.is_success(), "{answer}");
            }
            _ => {}
        }
        let change = flow.read(KUSTOMIZATION).replace("newTag: 1.0.0", "newTag: 1.0.1");
        flow.push("Another image", &[(KUSTOMIZATION, &change)]);
        flow.settle().await;
        assert!(image(&flow).ends_with(":1.0.1"), "{lease}: {}", image(&flow));
        flow.check().await;
        assert!(signature(&flow).is_string(), "{lease}");
    }
}

/// The deletion was approved, and began; then the Application was wanted again.
#[tokio::test]
async fn a_deletion_does_not_go_on_by_a_state_that_was_put_back() {
    let mut flow = Flow::deployed().await;
    let finalizer = "  finalizers: [resources-finalizer.argocd.argoproj.io]\nspec:\n";
    let app = flow.read("applications/shop.yaml").replacen("spec:\n", finalizer, 1);
    flow.push("Say how it ends", &[("applications/shop.yaml", &app)]);
    flow.settle().await;
    let genuine = copy(&flow);
    flow.edit_state(|state| {
        let operation =
            json!({"id": "delete-1", "revision": state.attempt.revisions.to_string(), "startedAt": Timestamp::now()});
        state.operation = Some(serde_json::from_value(operation).unwrap());
        state.notes.insert("deletion".to_owned(), json!({"stage": "PreDelete"}));
    })
    .await;
    let begun = copy(&flow);
    patch(&flow, &state_path(&flow), &genuine);
    let change = flow.read(KUSTOMIZATION).replace("newTag: 1.0.0", "newTag: 1.0.1");
    flow.push("Another image", &[(KUSTOMIZATION, &change)]);
    flow.settle().await;
    patch(&flow, &state_path(&flow), &begun);
    let changes = [Change::delete("applications/shop.yaml"), Change::write("applications/README.md", "Applications")];
    flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Remove", &changes).unwrap();
    let told = flow.messages().len();
    flow.settle().await;
    flow.check().await;
    assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_some() && flow.state("shop").await.is_some());
    let told = flow.messages().split_off(told);
    let held = told.iter().filter(|text| text.contains("is not the state that Slipway wrote last")).count();
    assert_eq!(held, 1, "told once: {told:?}");
}

#[tokio::test]
async fn a_state_of_an_older_version_is_signed_by_the_next_check_and_loses_nothing() {
    let flow = Flow::deployed().await;
    let genuine = flow.state("shop").await.unwrap();
    forge(&flow, |_| {}).await;
    assert_eq!(signature(&flow), Value::Null);
    let told = flow.messages().len();
    assert_eq!(flow.check().await, json!({"applications": {"shop": {}}}));
    let adopted = flow.state("shop").await.unwrap();
    assert!(signature(&flow).is_string());
    assert_eq!((adopted.attempt, adopted.inventory), (genuine.attempt, genuine.inventory));
    assert_eq!(adopted.status.history, genuine.status.history);
    assert_eq!(flow.messages().len(), told, "{:?}", flow.messages());
}

#[tokio::test]
async fn a_signature_that_does_not_fit_stops_the_application_by_name() {
    let mut flow = Flow::deployed().await;
    let path = state_path(&flow);
    patch(&flow, &path, &json!({"metadata": {"annotations": {ANNOTATION: "00".repeat(32)}}}));
    let told = flow.messages().len();
    let checked = flow.check().await;
    let change = flow.read(KUSTOMIZATION).replace("newTag: 1.0.0", "newTag: 1.0.1");
    flow.push("Another image", &[(KUSTOMIZATION, &change)]);
    let answers = flow.settle().await;
    assert_eq!(answers.last().unwrap(), &json!({"batchItemFailures": []}), "it is not tried for ever");
    flow.check().await;
    let told = flow.messages().split_off(told);
    assert_eq!(told.len(), 2, "by the first check and by the push: {told:?}");
    for text in told.iter().map(String::as_str).chain([checked.to_string().as_str()]) {
        for part in ["the state of argocd/shop is not what Slipway wrote", "without the annotation"] {
            assert!(text.contains(part), "{text}");
        }
    }
    patch(&flow, &path, &json!({"metadata": {"annotations": {ANNOTATION: "11".repeat(32)}}}));
    let before = flow.messages().len();
    flow.check().await;
    flow.check().await;
    assert_eq!(flow.messages().len(), before + 1, "another one is news: {:?}", flow.messages());
    // The remedy of the message.
    patch(&flow, &path, &json!({"metadata": {"annotations": {ANNOTATION: null}}}));
    flow.check().await;
    flow.settle().await;
    assert!(image(&flow).ends_with(":1.0.1") && signature(&flow).is_string(), "{}", image(&flow));
}

/// An application that the root does not have, in a state that somebody made up: its hooks would run with our rights.
#[tokio::test]
async fn a_made_up_application_is_not_deleted_and_its_hooks_do_not_run() {
    let mut flow = Flow::deployed().await;
    let commit = unmerged(&flow);
    forge(&flow, |state| {
        state.notes.get_mut("application").unwrap()["rootRevision"] = json!(commit);
        state.notes.get_mut("application").unwrap()["metadata"]["finalizers"] =
            json!(["resources-finalizer.argocd.argoproj.io", "pre-delete-finalizer.argocd.argoproj.io"]);
    })
    .await;
    let other = flow.read("applications/shop.yaml").replace("name: shop", "name: other");
    let changes = [Change::delete("applications/shop.yaml"), Change::write("applications/other.yaml", other)];
    flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Remove", &changes).unwrap();
    let told = flow.messages().len();
    flow.settle().await;
    let told = flow.messages().split_off(told).join("\n");
    assert!(told.contains("nothing is deleted") && told.contains("is not signed by Slipway"), "{told}");
    assert!(told.contains("slipway app delete argocd/shop"), "{told}");
    assert!(flow.sandbox.cluster.get(DEPLOYMENT).is_some() && flow.state("shop").await.is_some());
    let reads = flow.sandbox.forge.exchanges();
    assert!(!reads.iter().any(|exchange| exchange.request.path.contains(&commit)), "the commit was read");
}

/// What the command line asks before a rollback and a deletion.
#[tokio::test]
async fn only_a_signed_state_or_the_branch_vouches_for_a_commit() {
    let flow = Flow::deployed().await;
    let secrets = Secrets::new(Aws::at(&flow.sandbox.aws.url(), aws::REGION).await);
    let (api, secret) = (flow.sandbox.forge.url().to_owned(), "slipway/github".to_owned());
    let settings = GitHubSettings { api, secret, memory: Memory::default() };
    let first = flow.sandbox.head().unwrap().unwrap().to_string();
    let foreign = unmerged(&flow);
    flow.push("Go on", &[("NOTES.md", "1")]);
    let head = flow.sandbox.head().unwrap().unwrap().to_string();
    let checkouts = Checkouts::new(GitHub::new(settings, secrets));
    let repository = SourceRepository::Git("acme/gitops".parse().unwrap());
    let main = TrackedSource { repository, revision: "main".to_owned() };
    let app = AppKey { root: "r".into(), namespace: "argocd".into(), name: "shop".into() };
    let unknown = "0".repeat(40);
    for (revision, is_unsigned, is_used) in [
        (&foreign, false, true),
        (&first, true, true),
        (&head, true, true),
        (&foreign, true, false),
        (&unknown, true, false),
        (&"heads/pull".to_owned(), true, false),
        (&format!("{first}/../../{foreign}"), true, false),
    ] {
        let mut state = State::default();
        state.is_unsigned = is_unsigned;
        let checked = trust::check(&checkouts, (&app, &state), &main, revision).await;
        assert_eq!(checked.is_ok(), is_used, "{revision}: {checked:?}");
    }
}
