//! An Application with several sources, by hand.

use std::fs;

use serde_json::{Value, json};
use slipway::notify::report::short;
use slipway_sandbox::forge::Change;

use crate::shop::Shop;

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {password: canary}\n";

/// A manual Application with a map of its own, one of another repository, and a source that only lends.
async fn several() -> Shop {
    let mut shop = Shop::open().await;
    let folder = shop.folder.path().join("more.git");
    fs::create_dir_all(&folder).unwrap();
    shop.sandbox.forge.create("acme", "more", &folder).unwrap();
    push_more(&shop, "1");
    let root = "https://github.com/acme/gitops";
    let app = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "two", "namespace": "argocd"},
        "spec": {"project": "default", "destination": {"name": "in-cluster", "namespace": "shop"}, "sources": [
            {"repoURL": root, "path": "here", "targetRevision": "main", "kustomize": {"namePrefix": "my-"}},
            {"repoURL": "https://github.com/acme/more", "path": "there", "targetRevision": "main"},
            {"repoURL": root, "targetRevision": "main", "ref": "values"}]}});
    shop.push(&[
        ("applications/two.yaml", &app.to_string()),
        ("here/kustomization.yaml", "resources: [map.yaml, secret.yaml]\n"),
        ("here/secret.yaml", SECRET),
        ("here/map.yaml", &map("here", "1")),
    ]);
    shop.settle().await;
    shop.well("sync two").await;
    shop
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{v: '{value}'}}\n")
}

fn push_more(shop: &Shop, value: &str) -> String {
    let more = shop.sandbox.forge.repository("acme", "more").unwrap();
    let changes = [Change::write("there/map.yaml", map("there", value))];
    shop.sandbox.forge.push(&more, "main", "More", &changes).unwrap().to_string()
}

fn value(shop: &Shop, name: &str) -> String {
    let path = format!("/api/v1/namespaces/shop/configmaps/{name}");
    shop.sandbox.cluster.get(&path).map(|map| map["data"]["v"].as_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn several_sources_are_printed_as_argocd_prints_them() {
    let shop = Box::pin(several()).await;
    let root = shop.sandbox.head().unwrap().unwrap().to_string();
    let more = shop.sandbox.forge.repository("acme", "more").unwrap().branch("main").unwrap().unwrap().to_string();
    let get = shop.well("get two --show-operation").await;
    let sources = "Sources:\n\
                   - Repo:             https://github.com/acme/gitops\n  \
                     Target:           main\n  \
                     Path:             here\n  \
                     Name Prefix:      my-\n\
                   - Repo:             https://github.com/acme/more\n  \
                     Target:           main\n  \
                     Path:             there\n\
                   - Repo:             https://github.com/acme/gitops\n  \
                     Target:           main\n  \
                     Ref:              values\n\
                   SyncWindow:";
    assert!(get.contains(sources), "{get}");
    assert!(get.contains("Sync Status:        Synced to main\n"), "{get}");
    assert!(get.contains(&format!("Sync Revision:      {root}, {more}, {root}\n")), "{get}");
    let history = shop.well("history two").await;
    let rows: Vec<Vec<&str>> = history.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((&rows[0][..], rows[2].len()), (&["SOURCE", "https://github.com/acme/gitops"][..], 7), "{history}");
    let short = |commit: &str| format!("({})", short(commit));
    let revision = |line: usize| rows[line].last().map(ToString::to_string);
    assert_eq!((revision(2), revision(3)), (Some(short(&root)), Some(short(&root))), "{history}");
    assert_eq!(&rows[5][..], ["SOURCE", "https://github.com/acme/more"], "{history}");
    assert_eq!(revision(7), Some(short(&more)), "{history}");
    let list = shop.well("list").await;
    let row: Vec<&str> = list.lines().find(|line| line.contains("argocd/two")).unwrap().split_whitespace().collect();
    assert_eq!(&row[row.len() - 3..], ["https://github.com/acme/gitops", "here", "main"], "{list}");
}

#[tokio::test]
async fn a_rollback_restores_every_source() {
    let mut shop = Box::pin(several()).await;
    push_more(&shop, "2");
    shop.push(&[("here/map.yaml", &map("here", "2"))]);
    shop.settle().await;
    assert_eq!((value(&shop, "my-here"), value(&shop, "there")), ("1".to_owned(), "1".to_owned()));
    let diff = shop.run("diff two").await;
    assert!(diff.code == 1 && diff.out.contains("shop/my-here") && diff.out.contains("shop/there"), "{}", diff.out);
    let (manifests, _) = (shop.well("manifests two").await, shop.well("manifests shop").await);
    let names: Vec<&str> = manifests.lines().filter_map(|line| line.strip_prefix("  name: ")).collect();
    assert_eq!(
        (names, manifests.replace('\'', "\"").matches("v: \"2\"").count()),
        (vec!["my-here", "my-hidden", "there"], 2),
        "{manifests}"
    );
    assert!(manifests.contains("password: ++++") && !manifests.contains("canary"), "{manifests}");
    shop.well("sync two").await;
    assert_eq!((value(&shop, "my-here"), value(&shop, "there")), ("2".to_owned(), "2".to_owned()));
    shop.well("rollback two 0").await;
    assert_eq!((value(&shop, "my-here"), value(&shop, "there")), ("1".to_owned(), "1".to_owned()));
    let status = shop.status("two").await;
    assert_eq!(status["history"][2]["revisions"], status["history"][0]["revisions"], "{status}");

    // One source alone, at a commit of its own.
    let third = push_more(&shop, "3");
    push_more(&shop, "4");
    shop.well(&format!("sync two --revisions {third} --source-positions 2")).await;
    assert_eq!((value(&shop, "my-here"), value(&shop, "there")), ("2".to_owned(), "3".to_owned()));
    for (line, words) in [
        ("sync two --revision main", "two has several sources: use --revisions with --source-positions"),
        ("sync two --revisions main --source-positions 4", "two has no source 4 in `spec.sources`"),
        ("diff two --revisions main --source-positions 1,2", "--revisions and --source-positions need to be as many"),
        ("sync shop --revisions main --source-positions 1", "shop has no source 1 in `spec.sources`"),
    ] {
        let refused = shop.run(line).await;
        assert!(refused.code != 0 && refused.err.contains(words), "{line}: {}", refused.err);
    }

    // What was deployed of another number of sources can't be rendered any more.
    let mut app: Value = serde_json::from_str(&shop.read("applications/two.yaml")).unwrap();
    app["spec"]["sources"].as_array_mut().unwrap().remove(1);
    shop.push(&[("applications/two.yaml", &app.to_string())]);
    shop.settle().await;
    let refused = shop.run("rollback two 0").await;
    assert!(refused.code == 1 && refused.err.contains("are of other sources than it has now"), "{}", refused.err);
}

/// Both repositories are fetched, without a cluster.
#[tokio::test]
async fn several_sources_are_rendered_without_a_cluster() {
    let shop = Box::pin(several()).await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.args(["render", "--app", "two", "--root", "https://github.com/acme/gitops//applications?ref=main"]);
    command.env_clear().env("GITHUB_TOKEN", "sandbox-token").env("SLIPWAY_GITHUB_API", shop.sandbox.forge.url());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  name: ")).collect();
    assert_eq!(names, ["my-here", "my-hidden", "there"], "{text}{}", String::from_utf8_lossy(&output.stderr));
}
