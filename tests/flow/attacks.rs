//! Attacks and accidents, replayed: what a repository, an object or an API server can do to an application.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_sandbox::faults::Failure;
use slipway_sandbox::forge::Change;
use slipway_sandbox::http::Exchange;
use tokio::time::Instant;

use crate::world::{DEPLOYMENT, Flow, KUSTOMIZATION, soon};

const APPLICATION: &str = "applications/shop.yaml";
const INGRESS: &str = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web";
const MAPS: &str = "/api/v1/namespaces/shop/configmaps";
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
const PART_OF: &str = "applyset.kubernetes.io/part-of";

impl Flow {
    fn has(&self, path: &str) -> bool {
        self.sandbox.cluster.get(path).is_some()
    }

    fn assert_whole(&self, what: &str) {
        for path in [DEPLOYMENT, INGRESS, "/api/v1/namespaces/shop/services/web", &format!("{MAPS}/web")] {
            assert!(self.has(path), "{what}: {path} is gone");
        }
    }

    fn remove(&self, message: &str, paths: &[&str]) {
        let changes: Vec<Change> = paths.iter().map(|path| Change::delete(*path)).collect();
        self.sandbox.forge.push(&self.sandbox.repository, "main", message, &changes).unwrap();
    }

    /// The kustomization without its Ingress.
    fn without_ingress(&self) -> String {
        self.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "")
    }
}

fn map(name: &str, annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop",
        "annotations": annotations}, "data": {"of": "another"}})
}

/// The Application `two`, with plain manifests beside the shop's.
fn second(flow: &Flow) -> String {
    flow.read(APPLICATION).replace("name: shop\n", "name: two\n").replace("path: shop", "path: two")
}

/// Attack 25: what claims to be another application's is neither pruned nor adopted, whoever claims it.
#[tokio::test]
async fn an_object_that_claims_another_applications_id_is_neither_pruned_nor_adopted() {
    let mut flow = Flow::deployed().await;
    let label = flow.deployment()["metadata"]["labels"][PART_OF].clone();
    // Somebody else in the cluster: the shop's id alone, with its label too, and the id of an object that the shop has.
    let ids =
        [("alone", "alone", json!(null)), ("labelled", "labelled", label.clone()), ("copied", "web", label.clone())];
    for (name, id, label) in ids {
        let mut spoof = map(name, &json!({TRACKING_ID: format!("shop:/ConfigMap:shop/{id}")}));
        spoof["metadata"]["labels"] = json!({ PART_OF: label });
        let (status, answer) = flow.sandbox.cluster.call(Method::POST, MAPS, "application/json", &spoof);
        assert!(status.is_success() || label.is_null(), "{answer}");
    }
    // Another application in Git: claims the shop's id for its own object, and brings an object that is the shop's.
    let mut liar = map("liar", &json!({TRACKING_ID: "shop:/ConfigMap:shop/liar"}));
    liar["metadata"]["labels"] = json!({ PART_OF: label });
    let two = second(&flow);
    let files = [("two/liar.yaml", liar.to_string()), ("two/web.yaml", map("web", &json!({})).to_string())];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    flow.push("Lie", &[files, vec![("applications/two.yaml", &two)]].concat());
    flow.settle().await;
    let told = flow.messages().join("\n");
    assert!(told.contains("SharedResourceWarning: ConfigMap/shop/web is part of applications"), "{told}");
    let get = |name: &str| flow.sandbox.cluster.get(&format!("{MAPS}/{name}")).unwrap();
    assert_eq!(get("web")["data"], json!({"GREETING": "Welcome to the shop"}), "it is not adopted");
    let liar = get("liar")["metadata"].clone();
    assert_eq!(liar["annotations"][TRACKING_ID], "two:/ConfigMap:shop/liar", "who applies it is whose it is");
    assert_ne!(liar["labels"][PART_OF], label);

    let without = flow.without_ingress();
    flow.push("Drop the ingress", &[(KUSTOMIZATION, &without)]);
    flow.settle().await;
    assert!(flow.sandbox.cluster.gone(INGRESS).await, "the shop prunes");
    for name in ["labelled", "copied", "liar", "web"] {
        assert!(flow.has(&format!("{MAPS}/{name}")), "{name} was pruned");
    }
}

/// Attack 29: an annotation that nobody can read stops no other object and makes nothing go round in circles.
#[tokio::test]
async fn malformed_annotations_stop_nothing_and_end() {
    let mut flow = Flow::deployed().await;
    let poison = [
        ("wave-words", json!({"argocd.argoproj.io/sync-wave": "abc"})),
        ("wave-huge", json!({"argocd.argoproj.io/sync-wave": "999999999999"})),
        ("wave-endless", json!({"argocd.argoproj.io/sync-wave": "99999999999999999999999999"})),
        ("wave-lowest", json!({"argocd.argoproj.io/sync-wave": "-9223372036854775808"})),
        ("weight-words", json!({"helm.sh/hook-weight": "heavy"})),
        ("options", json!({"argocd.argoproj.io/sync-options": ",,=,Prune=maybe, Force=,ServerSideApply"})),
        ("compare", json!({"argocd.argoproj.io/compare-options": "ServerSideDiff=perhaps,,="})),
        ("policy", json!({"argocd.argoproj.io/hook-delete-policy": "Sometimes"})),
        ("ignored", json!({"argocd.argoproj.io/ignore-healthcheck": "maybe"})),
        // No hook type: it never runs, as with Argo CD.
        ("hook-garbage", json!({"argocd.argoproj.io/hook": "Whenever,,"})),
    ];
    let list =
        poison.iter().map(|(name, annotations)| map(name, annotations).to_string()).collect::<Vec<_>>().join("\n---\n");
    let annotations = "  annotations:\n    slipway.dev/prune-approved: '!!'\n    \
                       argocd.argoproj.io/deletion-approved: yesterday\n    argocd.argoproj.io/compare-options: ',='\n";
    let app = flow.read(APPLICATION).replace("  annotations:\n", annotations);
    let with = flow.without_ingress().replace("  - service.yaml\n", "  - service.yaml\n  - poison.yaml\n");
    flow.push("Poison", &[(KUSTOMIZATION, &with), ("shop/poison.yaml", &list), (APPLICATION, &app)]);
    let answers = flow.settle().await;
    assert_eq!(answers[1..], [json!({"batchItemFailures": []})]);
    for (name, _) in &poison {
        assert_eq!(flow.has(&format!("{MAPS}/{name}")), *name != "hook-garbage", "{name}");
    }
    assert!(flow.sandbox.cluster.gone(INGRESS).await, "the others go on");
    assert_eq!(flow.statuses()[0]["state"], "success");

    let (messages, writes) = (flow.messages().len(), writes(&flow));
    flow.push("Elsewhere", &[("shop/NOTES.md", "1")]);
    flow.settle().await;
    assert_eq!((flow.messages().len(), flow.check().await), (messages, json!({"applications": {"shop": {}}})));
    assert_eq!(self::writes(&flow), writes, "nothing is written again");
}

/// How often an object of the shop was written.
fn writes(flow: &Flow) -> usize {
    let exchanges = flow.sandbox.cluster.exchanges();
    let is_write = |exchange: &&Exchange| {
        let request = &exchange.request;
        request.method != Method::GET && request.path.contains("/namespaces/shop/") && request.query("dryRun").is_none()
    };
    exchanges.iter().filter(is_write).count()
}

/// Attack 29: an annotation that is no string is refused by name, once, and other applications go on.
#[tokio::test]
async fn a_poisoned_application_stops_no_other_and_is_not_tried_for_ever() {
    let mut flow = Flow::deployed().await;
    let two = second(&flow);
    let poison = map("poison", &json!({"argocd.argoproj.io/sync-wave": 5})).to_string();
    let without = flow.without_ingress();
    let files = [("two/poison.yaml", poison.as_str()), ("applications/two.yaml", &two), (KUSTOMIZATION, &without)];
    flow.push("Poison two", &files);
    let answers = flow.settle().await;
    assert_eq!(answers[1..], [json!({"batchItemFailures": []})], "it is not asked for again");
    assert!(flow.sandbox.cluster.gone(INGRESS).await, "the shop goes on");
    assert!(!flow.has(&format!("{MAPS}/poison")));
    let told = flow.messages().join("\n");
    assert!(told.contains("*two*") && told.contains("ConfigMap/shop/poison"), "{told}");
}

/// Attack 31: nothing is pruned while the API server can't say what there is; it is as soon as it can.
#[tokio::test]
async fn nothing_is_pruned_while_the_api_server_fails() {
    let kinds = [
        ("/namespaces/shop/ingresses", StatusCode::TOO_MANY_REQUESTS),
        ("/namespaces/shop/ingresses", StatusCode::INTERNAL_SERVER_ERROR),
        ("/namespaces/shop/configmaps", StatusCode::SERVICE_UNAVAILABLE),
        ("/apis/networking.k8s.io", StatusCode::SERVICE_UNAVAILABLE),
        ("/apis/apps/v1", StatusCode::GATEWAY_TIMEOUT),
    ];
    for (path, status) in kinds {
        let what = format!("{path} answers {status}");
        let mut flow = Flow::deployed().await;
        let without = flow.without_ingress();
        flow.push("Drop the ingress", &[(KUSTOMIZATION, &without)]);
        let message = flow.message().await;
        // What a warm worker remembers of kinds must not hide it.
        flow.deployer = flow.another().await;
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
            "message": "on purpose"});
        let path_contains = path.to_owned();
        let failure =
            Failure { method: Some(Method::GET), path_contains, count: usize::MAX, status, headers: vec![], body };
        flow.sandbox.cluster.failures().arm(failure);
        let deadline = Instant::now() + Duration::from_secs(10);
        let answer = flow.deployer.handle(message.clone(), deadline, "test").await.unwrap();
        let comes_again = answer["batchItemFailures"].as_array().unwrap().len() == 1;
        assert!(comes_again || flow.sandbox.aws.waiting() == 1, "{what}: it comes again, or its rest does");
        flow.sandbox.cluster.failures().clear();
        flow.assert_whole(&what);

        let answer = flow.deployer.handle(message, soon(), "test").await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}), "{what}");
        assert!(flow.sandbox.cluster.gone(INGRESS).await, "{what}");
    }
}

/// Attack 32: a source that is not where the Application says, then one that moved with it.
#[tokio::test]
async fn a_renamed_path_deletes_nothing() {
    let mut flow = Flow::deployed().await;
    let names = ["kustomization", "configmap", "deployment", "service", "ingress"];
    let files = names.map(|name| (format!("store/{name}.yaml"), flow.read(&format!("shop/{name}.yaml"))));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    flow.push("Copy", &files);
    let olds = names.map(|name| format!("shop/{name}.yaml"));
    flow.remove("Remove the old ones", &olds.each_ref().map(String::as_str));
    flow.settle().await;
    flow.assert_whole("the path is gone");
    assert!(flow.messages().join("\n").contains("no such file: `shop`"), "{:?}", flow.messages());
    let before = writes(&flow);
    let app = flow.read(APPLICATION).replace("path: shop", "path: store");
    flow.push("Follow", &[(APPLICATION, &app)]);
    flow.settle().await;
    flow.assert_whole("the Application follows");
    assert_eq!(writes(&flow), before);
    assert_eq!(flow.statuses()[0]["state"], "success");
}

/// Attack 32: an Application that leaves the root; with the finalizer that asks for a cascade, that waits for approval.
#[tokio::test]
async fn a_deleted_application_file_deletes_nothing_by_itself() {
    for finalizers in ["", "  finalizers: [resources-finalizer.argocd.argoproj.io]\n"] {
        let mut flow = Flow::deployed().await;
        let app =
            flow.read(APPLICATION).replace("  namespace: argocd\n", &format!("  namespace: argocd\n{finalizers}"));
        flow.push("Set up", &[(APPLICATION, &app), ("applications/kept.yaml", &map("kept", &json!({})).to_string())]);
        flow.settle().await;
        flow.remove("Lose the file", &[APPLICATION]);
        flow.settle().await;
        flow.check().await;
        flow.assert_whole(finalizers);
    }
}

/// argo-cd#9227, #18780: a root or a forge that fails half-way deletes nothing.
#[tokio::test]
async fn a_blip_of_root_or_forge_deletes_nothing() {
    let broken = [("applications/kustomization.yaml", "resources: [shop.yaml, gone.yaml]\n")];
    for (what, files) in
        [("a root that can't be read", broken.as_slice()), ("an overloaded forge", &[]), ("a cut listing", &[])]
    {
        let mut flow = Flow::deployed().await;
        let without = flow.without_ingress();
        flow.push("Drop the ingress", &[[(KUSTOMIZATION, without.as_str())].as_slice(), files].concat());
        let message = flow.message().await;
        match what {
            "an overloaded forge" => flow.sandbox.forge.faults().fail_with_502("/repos/", usize::MAX),
            "a cut listing" => flow.sandbox.forge.faults().truncate_trees(Some(3)),
            _ => {}
        }
        let answer = flow.deployer.handle(message.clone(), soon(), "test").await.unwrap();
        flow.assert_whole(what);
        if files.is_empty() {
            flow.sandbox.forge.faults().failures.clear();
            flow.sandbox.forge.faults().truncate_trees(None);
            flow.deployer.handle(message, soon(), "test").await.unwrap();
            assert!(flow.sandbox.cluster.gone(INGRESS).await, "{what}: {answer}");
        }
    }
}

/// Two roots, or two Slipways, with an Application of one name on one cluster: the tracking ids are the same.
#[tokio::test]
async fn two_roots_with_one_name_do_not_take_each_others_objects() {
    let mut flow = Flow::deployed().await;
    let map = |of: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"},
        "data": {"of": of}})
        .to_string()
    };
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own", "namespace": "shop"}});
    let application = flow.read(APPLICATION).replace("path: shop", "path: rival");
    flow.push(
        "Another root",
        &[
            ("roots/shop.yaml", application.as_str()),
            ("rival/web.yaml", map("rival").as_str()),
            ("rival/own.yaml", own.to_string().as_str()),
        ],
    );
    flow.settle().await;
    let before = flow.sandbox.cluster.get(&format!("{MAPS}/web")).unwrap();
    let told = flow.messages().len();
    flow.deployer = flow.another_with(&[("SLIPWAY_ROOT", "https://github.com/acme/gitops//roots?ref=main")]).await;
    flow.push("Go on", &[("NOTES.md", "1")]);
    flow.settle().await;
    let told = flow.messages().split_off(told).join("\n");
    assert_eq!(flow.sandbox.cluster.get(&format!("{MAPS}/web")).unwrap(), before);
    let own = flow.sandbox.cluster.get(&format!("{MAPS}/own")).expect("what is nobody else's is deployed");
    for part in [
        "ConfigMap/shop/web is part of applications shop and shop of https://github.com/acme/gitops//applications",
        "where that root is no longer deployed, delete ConfigMap/slipway/shop-",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("ConfigMap/shop/own is part"), "{told}");

    // The remedy: the first root is no longer deployed.
    let set = before["metadata"]["labels"][PART_OF].clone();
    let states = flow.sandbox.cluster.get("/api/v1/namespaces/slipway/configmaps").unwrap();
    let is_first = |item: &&Value| item["metadata"]["labels"]["applyset.kubernetes.io/id"] == set;
    let first = states["items"].as_array().unwrap().iter().find(is_first).unwrap()["metadata"]["name"].clone();
    let path = format!("/api/v1/namespaces/slipway/configmaps/{}", first.as_str().unwrap());
    flow.sandbox.cluster.call(Method::DELETE, &path, "application/json", &json!({}));
    flow.push("Go on again", &[("rival/web.yaml", &map("heir"))]);
    flow.settle().await;
    let taken = flow.sandbox.cluster.get(&format!("{MAPS}/web")).unwrap();
    assert_eq!(taken["data"]["of"], "heir", "{:?}", flow.messages());
    assert_eq!(taken["metadata"]["labels"][PART_OF], own["metadata"]["labels"][PART_OF]);
}

/// Names from a repository are shown to people, in Slack, in commit statuses and in a terminal.
#[tokio::test]
async fn names_of_files_neither_drive_a_terminal_nor_hide() {
    let mut flow = Flow::deployed().await;
    let kustomization = "resources: [\"a\\e[2J\\u202Egpj.yaml\"]\n";
    flow.push("Hide", &[(KUSTOMIZATION, kustomization)]);
    flow.settle().await;
    let told = flow.messages().pop().unwrap();
    assert!(told.contains(r"\u{202e}gpj.yaml") && told.contains("could not be deployed"), "{told}");
    let statuses = serde_json::to_string(&flow.statuses()).unwrap();
    for text in [&told, &statuses] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && !text.contains("\\u001b"), "{text}");
    }
    assert_eq!(flow.statuses()[0]["state"], "failure");
}

/// Attack 7 (GHSA-6jqw-jwf5-rp8h): a checkout is a value in memory, of one commit alone.
#[tokio::test]
async fn no_application_reads_anothers_checkout() {
    const CANARY: &str = "c4n4ry-checkout";
    let mut flow = Flow::deployed().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let theirs = flow.sandbox.forge.create("acme", "theirs", folders[0].path()).unwrap();
    let mine = flow.sandbox.forge.create("acme", "mine", folders[1].path()).unwrap();
    let secret = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: theirs}}\ndata: {{a: {CANARY}}}\n");
    let changes = ["app/x.yaml", "app/secret.txt", "app/values.yaml"].map(|path| Change::write(path, secret.clone()));
    flow.sandbox.forge.push(&theirs, "main", "Begin", &changes).unwrap();
    let places = ["../../theirs/app/", "../../acme/theirs/app/", "/theirs/app/", "/tmp/", "../app/", "/app/"];
    let gets: Vec<String> =
        places.iter().map(|place| format!("{{{{ .Files.Get \"{place}secret.txt\" | indent 2 }}}}\n")).collect();
    let gets = gets.concat();
    let template = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: chart}}\ndata:\n  a: |\n    x\n{gets}");
    let mut changes = vec![
        Change::write("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n"),
        Change::write("chart/templates/x.yaml", template),
    ];
    for (number, place) in places.iter().enumerate() {
        let base = format!("resources: [{place}x.yaml]\n");
        let files = format!("configMapGenerator: [{{name: k, files: [{place}secret.txt]}}]\n");
        changes.push(Change::write(format!("base{number}/kustomization.yaml"), base));
        changes.push(Change::write(format!("files{number}/kustomization.yaml"), files));
    }
    flow.sandbox.forge.push(&mine, "main", "Begin", &changes).unwrap();
    let shop = flow.read(APPLICATION);
    let app = |name: &str, repository: &str, path: &str| {
        let app =
            shop.replace("name: shop\n", &format!("name: {name}\n")).replace("path: shop", &format!("path: {path}"));
        (format!("applications/{name}.yaml"), app.replace("acme/gitops", &format!("acme/{repository}")))
    };
    let mut manifests = vec![app("theirs", "theirs", "app"), app("chart", "mine", "chart")];
    for number in 0..places.len() {
        for kind in ["base", "files"] {
            let name = format!("{kind}{number}");
            manifests.push(app(&name, "mine", &name));
        }
    }
    let manifests: Vec<(&str, &str)> = manifests.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    flow.push("All of them", &manifests);
    flow.settle().await;
    assert!(flow.has(&format!("{MAPS}/theirs")) && flow.has(&format!("{MAPS}/chart")), "{:?}", flow.messages());
    let list = flow.sandbox.cluster.get(MAPS).unwrap();
    let holders: Vec<&Value> =
        list["items"].as_array().unwrap().iter().filter(|map| map["data"].to_string().contains(CANARY)).collect();
    assert_eq!(holders.len(), 1, "{holders:?}");
    assert!(!flow.messages().join("\n").contains(CANARY));
}
