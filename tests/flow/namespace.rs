//! The destination's namespace: who makes it, who may give it labels, and that it outlives what made it.

use http::Method;
use serde_json::{Value, json};
use slipway_gitops::status::{ResultCode, SyncStatus};
use slipway_sandbox::forge::Change;

use crate::world::{DEPLOYMENT, Flow};

const APPLICATION: &str = "applications/shop.yaml";
const PLACE: &str = "/api/v1/namespaces/place";
const PRECIOUS: &str = "/api/v1/namespaces/place/configmaps/precious";
const CREATE: &str = "CreateNamespace=true";

/// An Application `plain` whose manifests lie in `plain/` and go to the namespace `place`.
fn application(options: &[&str], metadata: &Value, more: &Value) -> String {
    let mut spec = json!({
        "project": "default",
        "source": {"repoURL": "https://github.com/acme/gitops", "path": "plain", "targetRevision": "main"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "place"},
        "syncPolicy": {"automated": {"prune": true}, "retry": {"limit": 0}, "syncOptions": options}});
    if !metadata.is_null() {
        spec["syncPolicy"]["managedNamespaceMetadata"] = metadata.clone();
    }
    spec["syncPolicy"]["automated"].as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let metadata =
        json!({"name": "plain", "namespace": "argocd", "finalizers": ["resources-finalizer.argocd.argoproj.io"]});
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": spec}).to_string()
}

fn namespace(name: &str) -> String {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}).to_string()
}

fn map(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).to_string()
}

/// The namespaces `place` and `other` are applied, and somebody keeps something in each.
async fn applied(application: &str) -> Flow {
    let mut flow = Flow::start().await;
    let files = [
        ("applications/plain.yaml", application),
        ("plain/place.yaml", &namespace("place")),
        ("plain/other.yaml", &namespace("other")),
        ("plain/map.yaml", &map("map")),
    ];
    flow.push("A namespace of its own", &files);
    flow.settle().await;
    for namespace in ["place", "other"] {
        let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
        let precious = serde_json::from_str(&map("precious")).unwrap();
        let made = flow.sandbox.cluster.call(Method::POST, &maps, "application/json", &precious);
        assert!(made.0.is_success(), "{namespace}: {}", made.1);
    }
    flow
}

async fn drop_files(flow: &mut Flow, paths: &[&str]) {
    let changes: Vec<Change> = paths.iter().map(|path| Change::delete(*path)).collect();
    flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Drop it", &changes).unwrap();
    flow.settle().await;
}

fn is_there(flow: &Flow, path: &str) -> bool {
    let found = flow.sandbox.cluster.get(path);
    found.is_some_and(|object| object.pointer("/metadata/deletionTimestamp").is_none())
}

/// Case H #2: what CreateNamespace asks for is not pruned, whatever Git had.
#[tokio::test]
async fn the_destinations_namespace_stays_when_it_leaves_git() {
    let labels = json!({"labels": {"team": "shop"}});
    for (metadata, more) in [(Value::Null, json!({})), (labels, json!({})), (Value::Null, json!({"selfHeal": true}))] {
        let mut flow = applied(&application(&[CREATE], &metadata, &more)).await;
        assert!(flow.state("plain").await.unwrap().inventory.iter().any(|id| id.name == "place"));
        drop_files(&mut flow, &["plain/place.yaml"]).await;
        assert!(is_there(&flow, PLACE) && is_there(&flow, PRECIOUS), "{metadata} {more}");

        let state = flow.state("plain").await.unwrap();
        assert_eq!(state.status.sync.status, SyncStatus::Synced);
        let results = state.status.operation_state.unwrap().sync_result.unwrap().resources;
        let said = results.iter().find(|result| result.status == Some(ResultCode::PruneSkipped)).unwrap();
        assert_eq!((said.name.as_str(), said.message.contains(CREATE)), ("place", true), "{said:?}");
        assert!(
            flow.messages().last().unwrap().contains("Namespace/place was removed from Git and is kept, unmanaged")
        );
        // It is one that the option made: nobody's, with all that it had.
        assert!(!state.inventory.iter().any(|id| id.name == "place"), "{:?}", state.inventory);
        let live = flow.sandbox.cluster.get(PLACE).unwrap();
        let marks = live["metadata"].to_string();
        assert!(!marks.contains("tracking-id") && !marks.contains("applyset"), "{live}");
        let enforced = &live["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        assert_eq!(enforced.is_string(), metadata.is_null(), "{live}");

        let told = flow.messages().len();
        assert_eq!(flow.check().await["applications"]["plain"], json!({}));
        flow.push("Something else", &[("plain/more.yaml", &map("more"))]);
        flow.settle().await;
        let state = flow.state("plain").await.unwrap();
        assert_eq!(state.status.resources.iter().filter(|row| row.requires_pruning).count(), 0);
        assert_eq!(flow.messages().len(), told + 1, "told once");
        assert!(is_there(&flow, PLACE) && is_there(&flow, PRECIOUS));
    }
}

#[tokio::test]
async fn another_namespace_and_one_that_nobody_asks_for_are_pruned() {
    let mut flow = applied(&application(&[CREATE], &Value::Null, &json!({}))).await;
    drop_files(&mut flow, &["plain/other.yaml"]).await;
    assert!(!is_there(&flow, "/api/v1/namespaces/other") && is_there(&flow, PLACE));

    let mut flow = applied(&application(&[], &Value::Null, &json!({}))).await;
    drop_files(&mut flow, &["plain/place.yaml", "plain/map.yaml"]).await;
    assert!(!is_there(&flow, PLACE) && is_there(&flow, "/api/v1/namespaces/other"));
}

/// What stays so is no survivor for the brake.
#[tokio::test]
async fn a_namespace_that_stays_does_not_loosen_the_brake() {
    let mut flow = applied(&application(&[CREATE], &Value::Null, &json!({}))).await;
    flow.push("Empty it", &[("plain/README.md", "nothing")]);
    drop_files(&mut flow, &["plain/place.yaml", "plain/other.yaml", "plain/map.yaml"]).await;
    for path in [PLACE, "/api/v1/namespaces/other", "/api/v1/namespaces/place/configmaps/map"] {
        assert!(is_there(&flow, path), "{path}");
    }
    let told = flow.messages().pop().unwrap();
    assert!(told.contains("all 2 objects of the application would be deleted"), "{told}");
}

/// The namespace that the option made is not deleted with the application; one that Git has is, as with Argo CD.
#[tokio::test]
async fn only_a_namespace_of_git_goes_with_the_application() {
    for (leaves_git, stays) in [(true, true), (false, false)] {
        let app = application(&[CREATE], &Value::Null, &json!({}));
        let mut flow = applied(&app).await;
        if leaves_git {
            drop_files(&mut flow, &["plain/place.yaml"]).await;
        }
        drop_files(&mut flow, &["applications/plain.yaml"]).await;
        let told = flow.messages().pop().unwrap();
        let digest = told.split("--approve-prune ").nth(1).expect(&told).split('`').next().unwrap();
        let mut approved: Value = serde_json::from_str(&app).unwrap();
        approved["metadata"]["annotations"] = json!({ "slipway.dev/prune-approved": digest });
        flow.push("It may go", &[("applications/plain.yaml", &approved.to_string())]);
        flow.settle().await;
        drop_files(&mut flow, &["applications/plain.yaml"]).await;
        assert!(!is_there(&flow, "/api/v1/namespaces/other"), "{:?}", flow.messages().pop());
        assert_eq!(is_there(&flow, PLACE), stays, "{:?}", flow.messages().pop());
    }
}

/// Fault H9: the labels of a namespace that exists are asked of the project, too.
#[tokio::test]
async fn metadata_of_a_namespace_is_asked_of_the_project() {
    let app = |flow: &Flow, metadata: &str| {
        let metadata = format!("  syncPolicy:\n    managedNamespaceMetadata: {metadata}\n");
        flow.read(APPLICATION).replace("project: default", "project: shop").replace("  syncPolicy:\n", &metadata)
    };
    let project = |field: &str, value: Value| {
        let mut spec = json!({
            "sourceRepos": ["*"], "destinations": [{"server": "https://kubernetes.default.svc", "namespace": "shop"}],
            "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}]});
        spec[field] = value;
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "shop"}, "spec": spec})
            .to_string()
    };
    let privileged = "{labels: {pod-security.kubernetes.io/enforce: privileged}}";
    let restricted = "{labels: {pod-security.kubernetes.io/enforce: restricted}}";
    let noted = "{annotations: {scheduler.alpha.kubernetes.io/node-selector: a=b}}";
    let nothing = json!([]);
    for (field, value, metadata, is_allowed) in [
        ("clusterResourceWhitelist", &nothing, privileged, false),
        ("clusterResourceWhitelist", &nothing, noted, false),
        // Nothing would change, and Argo CD asks all the same.
        ("clusterResourceWhitelist", &nothing, restricted, false),
        ("clusterResourceBlacklist", &json!([{"group": "", "kind": "Namespace"}]), privileged, false),
        ("destinations", &json!([{"server": "*", "namespace": "other"}]), privileged, false),
        ("clusterResourceWhitelist", &nothing, "{}", true),
        ("clusterResourceWhitelist", &json!([{"group": "", "kind": "Namespace"}]), privileged, true),
    ] {
        let mut flow = Flow::start().await;
        let admins = serde_json::from_str::<Value>(&namespace("shop")).unwrap();
        assert!(
            flow.sandbox.cluster.call(Method::POST, "/api/v1/namespaces", "application/json", &admins).0.is_success()
        );
        let application = app(&flow, metadata);
        flow.push(
            "Use a project",
            &[(APPLICATION, &application), ("applications/p.yaml", &project(field, value.clone()))],
        );
        flow.settle().await;
        let what = format!("{field}: {value}, {metadata}");
        assert_eq!(flow.sandbox.cluster.get(DEPLOYMENT).is_some(), is_allowed, "{what}");
        let live = flow.sandbox.cluster.get("/api/v1/namespaces/shop").unwrap();
        let enforced = &live["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        let expected = if is_allowed && metadata == privileged { "privileged" } else { "restricted" };
        assert_eq!(enforced, expected, "{what}");
        assert!(!live["metadata"].to_string().contains("node-selector"), "{what}");
        let told = flow.messages().join("\n");
        assert_eq!(told.contains("AppProject `shop`"), !is_allowed, "{what}: {told}");
    }
}

/// Case H #30: an annotation does not prune where the sync does not.
#[tokio::test]
async fn prune_true_prunes_only_where_the_sync_prunes() {
    let asks = |name: &str, option: &str| {
        let mut map: Value = serde_json::from_str(&map(name)).unwrap();
        map["metadata"]["annotations"] = json!({ "argocd.argoproj.io/sync-options": option });
        map.to_string()
    };
    let path = |name: &str| format!("/api/v1/namespaces/place/configmaps/{name}");
    for (prunes, options, gone) in [
        (false, &[CREATE][..], &[][..]),
        (false, &[CREATE, "Prune=false"], &[]),
        // It outdoes the application's option.
        (true, &[CREATE, "Prune=false"], &["asks", "first"]),
        (true, &[CREATE], &["asks", "first", "says-nothing"]),
    ] {
        let mut flow = Flow::start().await;
        let files = [
            ("applications/plain.yaml", application(options, &Value::Null, &json!({ "prune": prunes }))),
            ("plain/kept.yaml", map("kept")),
            ("plain/asks.yaml", asks("asks", "Prune=true")),
            // The first of several counts, as in Argo CD.
            ("plain/first.yaml", asks("first", " Prune=true , Prune=false")),
            ("plain/last.yaml", asks("last", "Prune=false,Prune=true")),
            ("plain/says-nothing.yaml", map("says-nothing")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        flow.push("Some maps", &files);
        flow.settle().await;
        let all = ["asks", "first", "last", "says-nothing"];
        drop_files(&mut flow, &all.map(|name| format!("plain/{name}.yaml")).each_ref().map(String::as_str)).await;
        flow.push("Something else", &[("plain/more.yaml", &map("more"))]);
        flow.settle().await;
        for name in all {
            assert_eq!(!is_there(&flow, &path(name)), gone.contains(&name), "{name} with {options:?}, {prunes}");
        }
        if !prunes {
            let state = flow.state("plain").await.unwrap();
            let results = state.status.operation_state.unwrap().sync_result.unwrap().resources;
            let said = results.iter().find(|result| result.name == "asks").unwrap();
            assert_eq!(said.message, "ignored (requires pruning)");
        }
    }
}

/// A confirmation confirms a prune; it asks for none.
#[tokio::test]
async fn a_confirmation_prunes_only_where_the_sync_prunes() {
    const ASKS: &str = "/api/v1/namespaces/place/configmaps/asks";
    for prunes in [false, true] {
        let mut flow = Flow::start().await;
        let app = application(&[CREATE], &Value::Null, &json!({ "prune": prunes }));
        let mut asks: Value = serde_json::from_str(&map("asks")).unwrap();
        asks["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-options": "Prune=confirm"});
        let files = [
            ("applications/plain.yaml", app.as_str()),
            ("plain/kept.yaml", &map("kept")),
            ("plain/asks.yaml", &asks.to_string()),
        ];
        flow.push("Some maps", &files);
        flow.settle().await;
        let changes = [Change::delete("plain/asks.yaml"), Change::write("plain/more.yaml", map("more"))];
        flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Drop it", &changes).unwrap();
        flow.settle().await;
        let waits = flow.state("plain").await.unwrap().status.operation_state.unwrap();
        assert!(waits.message.contains("pruning confirmation of"), "{}", waits.message);
        let mut approved: Value = serde_json::from_str(&app).unwrap();
        let soon = jiff::Timestamp::now() + std::time::Duration::from_mins(5);
        approved["metadata"]["annotations"] = json!({"argocd.argoproj.io/deletion-approved": soon.to_string()});
        flow.push("It may go", &[("applications/plain.yaml", &approved.to_string())]);
        flow.settle().await;
        assert_eq!(is_there(&flow, ASKS), !prunes, "with prune: {prunes}");
        assert!(is_there(&flow, "/api/v1/namespaces/place/configmaps/more"), "the sync goes on");
    }
}
