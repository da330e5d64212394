//! What does not change costs nothing but looking.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use crate::world::{Flow, KUSTOMIZATION};

const OBJECTS: usize = 1000;

fn many(value: &str) -> String {
    let mut text = String::new();
    for number in 0..OBJECTS {
        let value = if number == 0 { value } else { "same" };
        let _ = writeln!(
            text,
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: many-{number}\ndata:\n  key: {value}\n---"
        );
    }
    text
}

/// What the cluster was asked since request number `since`: writes (path and whether it was a dry run) and lists by
/// path, pages of one list counted once. Slipway's own two objects are left out.
fn asked(flow: &Flow, since: usize) -> (Vec<(String, bool)>, BTreeMap<String, usize>) {
    let (mut writes, mut lists) = (Vec::new(), BTreeMap::new());
    for exchange in flow.sandbox.cluster.exchanges().into_iter().skip(since) {
        let request = &exchange.request;
        let has = |key: &str| request.query.iter().any(|(name, value)| name == key && !value.is_empty());
        if request.path.contains("/namespaces/slipway/") {
            continue;
        }
        if request.method != "GET" {
            writes.push((request.path.clone(), has("dryRun")));
        } else if !has("continue") && !has("watch") {
            *lists.entry(request.path.clone()).or_default() += 1;
        }
    }
    (writes, lists)
}

#[tokio::test]
async fn a_thousand_unchanged_objects_cost_one_list_a_kind_and_no_write() {
    let mut flow = Flow::deployed().await;
    let with = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "  - ingress.yaml\n  - many.yaml\n");
    flow.push("Add many", &[(KUSTOMIZATION, &with), ("shop/many.yaml", &many("same"))]);
    flow.settle().await;
    let last = format!("/api/v1/namespaces/shop/configmaps/many-{}", OBJECTS - 1);
    assert!(flow.sandbox.cluster.get(&last).is_some(), "{:?}", flow.messages());

    let before = flow.sandbox.cluster.exchanges().len();
    flow.push("Say something else", &[("shop/many.yaml", &format!("# the same\n{}", many("same")))]);
    flow.settle().await;
    let (writes, lists) = asked(&flow, before);
    assert!(writes.is_empty(), "{writes:?}");
    assert!(!lists.is_empty() && lists.len() < 20, "{lists:?}");
    assert!(lists.values().all(|count| *count == 1), "{lists:?}");

    let before = flow.sandbox.cluster.exchanges().len();
    flow.push("Change one", &[("shop/many.yaml", &many("other"))]);
    flow.settle().await;
    let (mut writes, _) = asked(&flow, before);
    writes.sort();
    let path = "/api/v1/namespaces/shop/configmaps/many-0".to_owned();
    assert_eq!(writes, [(path.clone(), false), (path, true)], "one suspect: its dry run and its apply");
}

/// An application whose objects lie in a namespace that it shares with others.
fn application(name: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\nspec:\n  \
         project: default\n  source: {{repoURL: 'https://github.com/acme/gitops.git', path: {name}, targetRevision: \
         HEAD}}\n  destination: {{server: 'https://kubernetes.default.svc', namespace: many}}\n  syncPolicy: \
         {{automated: {{prune: true}}, syncOptions: [CreateNamespace=true]}}\n"
    )
}

/// Objects of four kinds that the sandbox's controllers leave alone.
fn four(name: &str) -> String {
    let meta = format!("metadata: {{name: {name}, labels: {{app: {name}}}}}");
    let head = |group: &str, kind: &str| format!("apiVersion: {group}\nkind: {kind}\n{meta}\n");
    let objects = [
        head("v1", "ConfigMap") + &format!("data: {{name: {name}}}\n"),
        head("v1", "ServiceAccount"),
        head("rbac.authorization.k8s.io/v1", "Role") + "rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]\n",
        head("v1", "Service") + &format!("spec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n"),
    ];
    objects.join("---\n")
}

#[tokio::test]
async fn a_check_of_unchanged_applications_costs_lists_alone() {
    const APPS: usize = 10;
    const PLURALS: [&str; 4] = [
        "/api/v1/namespaces/many/configmaps",
        "/api/v1/namespaces/many/serviceaccounts",
        "/api/v1/namespaces/many/services",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/many/roles",
    ];
    let mut flow = Flow::deployed().await;
    let names: Vec<String> = (0..APPS).map(|number| format!("app-{number:02}")).collect();
    let files: Vec<(String, String)> = names
        .iter()
        .flat_map(|name| {
            [(format!("applications/{name}.yaml"), application(name)), (format!("{name}/all.yaml"), four(name))]
        })
        .collect();
    flow.push("Add many", &files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
    flow.settle().await;
    // What is known once for all applications, as the kinds, is asked at the first check.
    flow.check().await;

    let before = flow.sandbox.cluster.exchanges().len();
    let found = flow.check().await;
    let checked = found["applications"].as_object().unwrap();
    assert_eq!(checked.len(), APPS + 1, "{found}");
    assert!(checked.values().all(|verdict| *verdict == json!({})), "{found}");
    let (writes, lists) = asked(&flow, before);
    assert!(writes.is_empty(), "{writes:?}");
    let lists: BTreeMap<&str, usize> = lists
        .iter()
        .filter(|(path, _)| !path.contains("/namespaces/shop/"))
        .map(|(path, count)| (path.as_str(), *count))
        .collect();
    assert_eq!(lists, PLURALS.map(|path| (path, APPS)).into(), "one list a kind, and nothing else");

    // Of ours, each application has a state, read once; nothing is locked and nothing is written.
    let own: Vec<_> =
        flow.sandbox.cluster.exchanges().into_iter().skip(before).map(|exchange| exchange.request).collect();
    let own: Vec<_> = own.iter().filter(|request| request.path.contains("/namespaces/slipway/")).collect();
    assert!(own.iter().all(|request| request.method == "GET" && request.path.contains("/configmaps")), "{own:?}");
    // And one list of all states, for applications whose manifests are gone.
    assert_eq!(own.len(), APPS + 1 + 1);
}
