//! Applications that Applications declare which only people sync: a push alone changes nothing about them.

use serde_json::{Value, json};
use slipway_sandbox::forge::Change;

use crate::shop::Shop;

const URL: &str = "https://github.com/acme/gitops";

fn app(name: &str, path: &str, namespace: &str, policy: &Value) -> String {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {"project": "default", "source": {"repoURL": URL, "path": path, "targetRevision": "main"},
            "destination": {"name": "in-cluster", "namespace": namespace}, "syncPolicy": policy}})
    .to_string()
}

fn parent() -> String {
    app("parent", "parent", "argocd", &json!({}))
}

fn child(path: &str) -> String {
    app("child", path, "shop", &json!({"automated": {"prune": true}}))
}

fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{a: {value}}}\n")
}

fn live(shop: &Shop, name: &str) -> Option<String> {
    let object = shop.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}"))?;
    Some(object["data"]["a"].as_str().unwrap().to_owned())
}

/// Sync status of the parent, and of its one child in it.
async fn statuses(shop: &Shop) -> [String; 2] {
    let status = shop.status("parent").await;
    let row = status["resources"].as_array().unwrap().iter().find(|row| row["kind"] == "Application");
    [&status["sync"]["status"], &row.unwrap()["status"]].map(|status| status.as_str().unwrap().to_owned())
}

fn both(status: &str) -> [String; 2] {
    [status.to_owned(), status.to_owned()]
}

#[tokio::test]
async fn children_follow_the_last_sync_of_their_parent() {
    let mut shop = Box::pin(Shop::open()).await;
    shop.push(&[
        ("applications/parent.yaml", &parent()),
        ("parent/child.yaml", &child("child")),
        ("child/x.yaml", &config("of-child", "one")),
        ("other/x.yaml", &config("of-other", "one")),
    ]);
    shop.settle().await;
    shop.check().await;
    assert_eq!(live(&shop, "of-child"), None, "{:?}", shop.told());
    let told = shop.told().join("\n");
    let asks = "Application argocd/child is not deployed yet: only people sync Application argocd/parent, which \
                declares it; run `slipway app sync argocd/parent`";
    assert!(told.contains(asks), "{told}");
    assert_eq!(statuses(&shop).await, both("OutOfSync"));

    shop.well("sync parent").await;
    assert_eq!(statuses(&shop).await, both("Synced"));
    shop.check().await;
    assert_eq!(live(&shop, "of-child").as_deref(), Some("one"), "{:?}", shop.told());

    // The child follows its own branch, and not what its parent would make of it.
    shop.push(&[("parent/child.yaml", &child("other")), ("child/x.yaml", &config("of-child", "two"))]);
    shop.settle().await;
    shop.check().await;
    assert_eq!((live(&shop, "of-child").as_deref(), live(&shop, "of-other")), (Some("two"), None));
    assert_eq!(statuses(&shop).await, both("OutOfSync"));
    assert!(
        shop.told().iter().any(|text| text.contains("Application.argoproj.io/argocd/child differs")),
        "{:?}",
        shop.told()
    );

    shop.well("sync parent").await;
    shop.check().await;
    assert_eq!(live(&shop, "of-other").as_deref(), Some("one"), "{:?}", shop.told());
    assert_eq!(statuses(&shop).await, both("Synced"));

    // What Git drops stays until the parent is synced, and then, too, because a person prunes.
    let before = shop.told().len();
    let drop = [Change::delete("parent/child.yaml"), Change::write("parent/y.yaml", config("beside", "one"))];
    shop.sandbox.forge.push(&shop.sandbox.repository, "main", "Drop the child", &drop).unwrap();
    shop.settle().await;
    shop.push(&[("other/x.yaml", &config("of-other", "two"))]);
    shop.settle().await;
    shop.check().await;
    assert_eq!(live(&shop, "of-other").as_deref(), Some("two"));
    let told = shop.told();
    assert!(!told[before..].iter().any(|text| text.contains("nothing is deleted")), "{told:?}");
    shop.well("sync parent").await;
    shop.check().await;
    let told = shop.told().join("\n");
    assert!(live(&shop, "of-other").is_some() && told.contains("run `slipway app delete argocd/child`"), "{told}");
}

#[tokio::test]
async fn a_set_of_a_parent_that_was_never_synced_makes_nothing() {
    let mut shop = Box::pin(Shop::open()).await;
    let template: Value = serde_json::from_str(&child("child")).unwrap();
    let set = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "set", "namespace": "argocd"},
        "spec": {"generators": [{"list": {"elements": [{"name": "child"}]}}],
            "template": {"metadata": {"name": "{{name}}"}, "spec": template["spec"]}}});
    let automated = app("parent", "parent", "argocd", &json!({"automated": {}}));
    shop.push(&[
        ("applications/parent.yaml", &parent()),
        ("parent/set.yaml", &set.to_string()),
        ("child/x.yaml", &config("of-child", "one")),
    ]);
    shop.settle().await;
    assert_eq!(live(&shop, "of-child"), None);

    // Made while the parent was automated: it is still there when only people sync it, and follows as before.
    shop.push(&[("applications/parent.yaml", &automated)]);
    shop.settle().await;
    assert_eq!(live(&shop, "of-child").as_deref(), Some("one"), "{:?}", shop.told());
    shop.push(&[("applications/parent.yaml", &parent()), ("child/x.yaml", &config("of-child", "two"))]);
    shop.settle().await;
    assert_eq!(live(&shop, "of-child").as_deref(), Some("two"), "{:?}", shop.told());
    shop.push(&[("parent/set.yaml", &set.to_string().replace(r#""path":"child""#, r#""path":"elsewhere""#))]);
    shop.settle().await;
    shop.push(&[("child/x.yaml", &config("of-child", "three"))]);
    shop.settle().await;
    assert_eq!(live(&shop, "of-child").as_deref(), Some("three"), "{:?}", shop.told());
}

/// The values of a parent's chart are in another repository.
#[tokio::test]
async fn each_source_of_a_parent_is_read_as_it_was_synced() {
    let mut shop = Box::pin(Shop::open()).await;
    let folder = shop.folder.path().join("values.git");
    std::fs::create_dir_all(&folder).unwrap();
    let values = shop.sandbox.forge.create("acme", "values", &folder).unwrap();
    let choose = |shop: &Shop, path: &str| {
        let changes = [Change::write("parent.yaml", format!("path: {path}\n"))];
        shop.sandbox.forge.push(&values, "main", "Choose", &changes).unwrap();
    };
    choose(&shop, "child");
    let mut parent: Value = serde_json::from_str(&parent()).unwrap();
    let spec = parent["spec"].as_object_mut().unwrap();
    spec.remove("source");
    spec.insert(
        "sources".to_owned(),
        json!([
        {"repoURL": URL, "path": "chart", "targetRevision": "main", "helm": {"valueFiles": ["$values/parent.yaml"]}},
        {"repoURL": "https://github.com/acme/values", "targetRevision": "main", "ref": "values"}]),
    );
    shop.push(&[
        ("applications/parent.yaml", &parent.to_string()),
        ("chart/Chart.yaml", "apiVersion: v2\nname: parent\nversion: 1.0.0\n"),
        ("chart/templates/child.yaml", &child("{{ .Values.path }}")),
        ("child/x.yaml", &config("of-child", "one")),
        ("other/x.yaml", &config("of-other", "one")),
    ]);
    shop.settle().await;
    assert_eq!(live(&shop, "of-child"), None);
    shop.well("sync parent").await;
    shop.check().await;
    assert_eq!(live(&shop, "of-child").as_deref(), Some("one"), "{:?}", shop.told());

    choose(&shop, "other");
    shop.settle().await;
    shop.push(&[("other/x.yaml", &config("of-other", "two")), ("child/x.yaml", &config("of-child", "two"))]);
    shop.settle().await;
    shop.check().await;
    assert_eq!((live(&shop, "of-child").as_deref(), live(&shop, "of-other")), (Some("two"), None));
    shop.well("sync parent").await;
    shop.check().await;
    assert_eq!(live(&shop, "of-other").as_deref(), Some("two"), "{:?}", shop.told());
}
