//! The verbs that ask the cluster, and those that list what the root declares.

use http::Method;
use serde_json::{Value, json};

use crate::shop::{DEPLOYMENT, Ran, Shop};

/// `slipway LINE`, of another group than `app`.
async fn group(shop: &Shop, line: &str) -> Ran {
    let root = ("SLIPWAY_ROOT", "https://github.com/acme/gitops//applications?ref=main");
    shop.run_group(&[root], line).await
}

async fn well(shop: &Shop, line: &str) -> String {
    let Ran { code, out, err } = group(shop, line).await;
    assert_eq!(code, 0, "{line}: {out}{err}");
    out
}

#[tokio::test]
async fn resources_are_a_list_and_a_tree_with_pods() {
    let shop = Shop::open().await;
    let list = shop.well("resources shop").await;
    assert!(list.starts_with("GROUP"), "{list}");
    let of = |kind: &str| list.lines().filter(|line| line.split_whitespace().any(|word| word == kind)).count();
    assert_eq!((of("Deployment"), of("ReplicaSet"), of("Pod")), (1, 0, 0), "{list}");
    let tree = shop.well("resources shop -o tree").await;
    assert!(tree.contains("└─web-") && tree.contains("  ├─web-") && tree.contains("  └─web-"), "{tree}");
    let detailed = shop.well("resources shop -o tree=detailed").await;
    assert!(detailed.lines().next().unwrap().ends_with("  REASON"), "{detailed}");
    assert!(detailed.lines().any(|line| line.contains("Pod") && line.contains("Healthy")), "{detailed}");
    let get = shop.well("get shop -o tree").await;
    assert!(get.starts_with("Name:               argocd/shop\n"), "{get}");
    assert!(get.contains("\nKIND/NAME") && get.contains("└─ReplicaSet/web-"), "{get}");
    assert!(get.lines().any(|line| line.starts_with("Deployment/web") && line.contains("Synced")), "{get}");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left-over"}});
    let made = shop.sandbox.cluster.call(Method::POST, "/api/v1/namespaces/shop/configmaps", "application/json", &map);
    assert!(made.0.is_success());
    let orphaned = shop.well("resources shop --orphaned").await;
    let rows: Vec<Vec<&str>> = orphaned.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["ConfigMap", "shop", "left-over", "Yes"]], "{orphaned}");
}

#[tokio::test]
async fn logs_are_those_of_the_pods_and_can_be_chosen() {
    let shop = Shop::open().await;
    let all = shop.well("logs shop").await;
    assert_eq!(all.lines().filter(|line| line.ends_with("/web ready")).count(), 2, "{all}");
    let tail = shop.well("logs shop --tail 1 --kind Deployment --resource-name web -c web").await;
    assert!(tail.lines().count() == 2 && !tail.contains("image"), "{tail}");
    let filtered = shop.well("logs shop --filter !ready").await;
    assert!(filtered.lines().count() == 2 && filtered.contains("image"), "{filtered}");
    let none = shop.run("logs shop --container nowhere").await;
    assert_eq!((none.code, none.err.as_str()), (1, "slipway: no container of shop fits\n"));
}

#[tokio::test]
async fn actions_change_the_object_and_refuse_what_its_state_forbids() {
    let shop = Shop::open().await;
    let list = shop.well("actions list shop --kind Deployment").await;
    assert!(list.contains("apps   Deployment  web   restart  false\n"), "{list}");
    let json: Value = serde_json::from_str(&shop.well("actions list shop -o json").await).unwrap();
    assert!(json.as_array().unwrap().iter().any(|one| one["Action"] == "resume" && one["Disabled"] == true), "{json}");
    shop.well("actions run shop restart --kind Deployment --resource-name web").await;
    let template = || shop.sandbox.cluster.get(DEPLOYMENT).unwrap()["spec"]["template"]["metadata"].clone();
    assert!(template()["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string(), "{}", template());
    shop.well("actions run shop scale --kind Deployment --param replicas=7").await;
    assert_eq!(shop.replicas(), 7);
    for (line, expected) in [
        ("actions run shop resume --kind Deployment", "can't do `resume` in its present state"),
        ("actions run shop restart --kind Service", "has no action `restart`; it has: none"),
        ("actions run shop fly --kind Deployment", "has no action `fly`; it has: pause, restart, resume, scale"),
        ("actions run shop scale --kind Deployment", "`scale` needs the number of replicas"),
        ("actions run shop restart", "several objects fit: "),
        ("actions run shop restart --kind Nothing", "no object of the application fits; it has: "),
    ] {
        let ran = shop.run(line).await;
        assert!(ran.code == 1 && ran.err.contains(expected), "{line}: {}", ran.err);
    }
}

#[tokio::test]
async fn one_object_is_shown_patched_and_deleted() {
    let shop = Shop::open().await;
    let shown = shop.well("get-resource shop --kind Deployment").await;
    assert!(shown.contains("kind: Deployment\n") && shown.contains("  replicas: 2\n"), "{shown}");
    shop.well("patch-resource shop --kind Deployment --patch {\"spec\":{\"replicas\":5}}").await;
    assert_eq!(shop.replicas(), 5);
    let json = "[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":6}]";
    shop.well(&format!("patch-resource shop --kind Deployment --patch {json} --patch-type json")).await;
    assert_eq!(shop.replicas(), 6);
    let bad = shop.run("patch-resource shop --kind Deployment --patch nonsense").await;
    assert!(bad.err.starts_with("slipway: --patch is no JSON: "), "{}", bad.err);
    assert!(shop.well("delete-resource shop --kind Deployment").await.contains("Deployment/shop/web deleted"));
    let left = shop.sandbox.cluster.get(DEPLOYMENT);
    assert!(left.is_none_or(|left| left["metadata"]["deletionTimestamp"].is_string()));
}

#[tokio::test]
async fn applications_are_chosen_by_labels_and_projects() {
    let mut shop = Shop::by_hand().await;
    let path = "applications/shop.yaml";
    let labelled = shop.read(path).replacen("  name: shop\n", "  name: shop\n  labels: {team: a}\n", 1);
    let other = labelled
        .replacen("name: shop", "name: shop-two", 1)
        .replace("team: a", "team: b")
        .replace("namespace: shop", "namespace: shop-two")
        .replace("path: shop", "path: two");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n";
    shop.push(&[(path, &labelled), ("applications/two.yaml", &other), ("two/map.yaml", map)]);
    shop.settle().await;
    shop.well("sync -l team").await;
    assert_eq!(shop.well("list -l team=a -o name").await, "argocd/shop\n");
    assert_eq!(shop.well("list -l team!=a -o name -N argocd").await, "argocd/shop-two\n");
    assert_eq!(shop.well("list -l team -N other -o name").await, "");
    shop.well("wait --selector team=a --operation --sync --timeout 20").await;
    shop.well("wait shop shop-two --operation --timeout 20").await;
    let nothing = shop.run("sync").await;
    assert!(nothing.err.contains("name an application, or choose by --selector or --project"), "{}", nothing.err);
    let revision = shop.run("sync -l team --revision main").await;
    assert!(revision.err.contains("a revision is of one application, not of 2"), "{}", revision.err);
    let asked = shop.run("sync shop --preview-changes").await;
    assert!(asked.err.contains("nothing is synced without a terminal to ask on: use --assume-yes"), "{}", asked.err);
    let done = shop.run("sync shop --preview-changes --assume-yes --async --server-side --strategy apply").await;
    assert!(done.err.contains("--async has no effect"), "{}", done.err);
    assert!(done.out.starts_with("nothing would change\n"), "{}", done.out);
}

#[tokio::test]
async fn what_the_root_declares_is_listed() {
    let mut shop = Shop::open().await;
    let head = |kind: &str, name: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: argocd}}\nspec:\n"
        )
    };
    let project = "  description: Ours
  sourceRepos: ['*']
  destinations: [{server: '*', namespace: team}]
  syncWindows: [{kind: deny, schedule: '0 22 * * *', duration: 1h, applications: ['*']}]
";
    let set = "  generators: [{list: {elements: [{env: one}, {env: two}]}}]
  template:
    metadata: {name: 'set-{{env}}'}
    spec:
      project: default
      source: {repoURL: 'https://github.com/acme/gitops', path: shop, targetRevision: main}
      destination: {name: in-cluster, namespace: shop}
";
    let (project, set) = (head("AppProject", "team") + project, head("ApplicationSet", "both") + set);
    shop.push(&[("applications/project.yaml", &project), ("applications/set.yaml", &set)]);
    shop.settle().await;
    let projects = well(&shop, "proj list").await;
    let row = |name: &str| projects.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace();
    assert_eq!(row("team").collect::<Vec<_>>(), ["team", "Ours", "*,team", "*", "<none>", "<none>"], "{projects}");
    assert!(row("default").count() > 0);
    let one: Value = serde_json::from_str(&well(&shop, "proj get team -o json").await).unwrap();
    assert_eq!(one["spec"]["syncWindows"][0]["schedule"], "0 22 * * *");
    let windows = well(&shop, "proj windows list team").await;
    assert!(windows.contains("deny") && windows.contains("Disabled"), "{windows}");
    let unknown = group(&shop, "proj get nobody").await;
    assert!(unknown.err.ends_with("no project `nobody`; there are: default, team\n"), "{}", unknown.err);
    let clusters = well(&shop, "cluster list").await;
    let cells: Vec<&str> = clusters.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(
        matches!(cells.as_slice(), [_, "in-cluster", version, "Successful"] if version.starts_with("v1.")),
        "{clusters}"
    );
    let repos = well(&shop, "repo list").await;
    assert_eq!(
        repos.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["git", "https://github.com/acme/gitops", "3"],
        "{repos}"
    );
    let sets = well(&shop, "appset list").await;
    assert!(sets.contains("applications/set.yaml") && sets.contains("argocd/set-one,argocd/set-two"), "{sets}");
}

#[tokio::test]
async fn what_git_decides_is_answered_with_the_file() {
    let shop = Shop::open().await;
    let set = shop.run("set shop --parameter a=b").await;
    assert!(
        set.code == 1 && set.err.contains("shop is changed in Git: change applications/shop.yaml in "),
        "{}",
        set.err
    );
    let create = shop.run("create guestbook --repo https://github.com/x/y --path z").await;
    assert!(create.err.contains("by adding an Application manifest to the root in Git"), "{}", create.err);
    let confirm = shop.run("confirm-deletion shop").await;
    assert!(confirm.err.contains("`slipway app delete NAME --approve-prune DIGEST`"), "{}", confirm.err);
    let refreshed = shop.run("get shop --refresh").await;
    assert!(refreshed.code == 0 && refreshed.err.contains("`slipway app diff shop` compares"), "{}", refreshed.err);
    for shell in ["bash", "zsh", "fish"] {
        assert!(well(&shop, &format!("completion {shell}")).await.contains("slipway"), "{shell}");
    }
    assert!(well(&shop, "version").await.starts_with("slipway: "));
}
