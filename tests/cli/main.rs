//! The verbs of `slipway app`, as a person runs them: the binary beside the sandbox.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod check;
mod doctor;
mod images;
mod init;
mod parents;
mod render;
mod shop;
mod sources;
mod up;
mod verbs;

use std::path::PathBuf;

use serde_json::{Value, json};
use slipway::notify::report::short;
use slipway_sandbox::faults::Failure;

use shop::{DEPLOYMENT, Ran, Shop};

#[tokio::test]
async fn what_the_cluster_remembers_is_printed_as_argocd_prints_it() {
    let shop = Shop::open().await;
    let list = shop.well("list").await;
    let columns: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    let expected = [
        "argocd/shop",
        "https://kubernetes.default.svc",
        "shop",
        "default",
        "Synced",
        "Progressing",
        "Auto-Prune",
        "<none>",
        "https://github.com/acme/gitops",
        "shop",
        "main",
    ];
    assert_eq!(columns, expected, "{list}");
    assert_eq!(shop.well("list -o name").await, "argocd/shop\n");
    assert_eq!(shop.well("list -p other -o name").await, "");
    let several = format!("/nonexistent/kubeconfig::{}", shop.sandbox.kubeconfig().display());
    assert_eq!(shop.run_as(&[("KUBECONFIG", &several)], "list -o name").await.out, "argocd/shop\n");
    let get: Value = serde_json::from_str(&shop.well("get shop -o json").await).unwrap();
    assert_eq!(get["status"]["sync"]["status"], "Synced");
    assert!(shop.well("get argocd/shop --show-operation").await.contains("\nPhase:              Succeeded\n"));
    assert!(shop.well("get shop -o yaml").await.contains("  sync:\n"));
    let history = shop.well("history shop").await;
    assert!(history.starts_with("SOURCE  https://github.com/acme/gitops\nID      DATE"), "{history}");
    assert_eq!(shop.well("history shop -o id").await, "0\n");
    assert!(
        shop.well("wait shop --sync --operation --timeout 20").await.contains("Sync Status:        Synced to main")
    );
    // The sandbox gives no Ingress an address.
    let late = shop.run("wait shop --health --timeout 1").await;
    assert!(
        late.err.starts_with("slipway: timed out (1s) waiting for shop: Ingress/shop/web is Progressing"),
        "{}",
        late.err
    );
    let unknown = shop.run("get nowhere").await;
    assert_eq!(unknown.code, 1);
    assert_eq!(unknown.err, "slipway: no application `nowhere` in this cluster; there are: argocd/shop\n");
}

#[tokio::test]
async fn a_difference_is_shown_and_synced_away() {
    let shop = Shop::open().await;
    assert_eq!(shop.well("diff shop").await, "");
    shop.scale(5);
    let diff = shop.run("diff shop").await;
    assert_eq!(diff.code, 1, "{}", diff.err);
    assert!(diff.out.contains("===== apps/Deployment shop/web ======\n"), "{}", diff.out);
    assert!(diff.out.contains("<   replicas: 5\n---\n>   replicas: 2\n"), "{}", diff.out);
    assert!(shop.well("sync shop --dry-run").await.contains(">   replicas: 2"));
    assert_eq!(shop.replicas(), 5, "a dry run changes nothing");
    let sync = shop.well("sync shop").await;
    assert!(sync.contains("Sync Status:        Synced to main"), "{sync}");
    assert_eq!(shop.replicas(), 2);
    let waited = shop.run("wait shop --timeout 1 --operation").await;
    assert_eq!(waited.code, 0, "{}", waited.err);
    let nowhere = shop.run("diff shop --revision nowhere").await;
    assert_eq!(nowhere.code, 2, "{}", nowhere.err);
}

#[tokio::test]
async fn a_part_is_synced_for_itself_without_hooks_and_no_history() {
    const MAP: &str = "/api/v1/namespaces/shop/configmaps/settings";
    let mut shop = Shop::by_hand().await;
    let map = |value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
        "data": {"a": value}})
    };
    let hook = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "before",
        "annotations": {"argocd.argoproj.io/hook": "PreSync"}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main",
            "image": "alpine"}]}}}});
    let with =
        shop.read("shop/kustomization.yaml").replace("  - ingress.yaml\n", "  - settings.json\n  - before.json\n");
    let three = shop.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    let files = [
        ("shop/kustomization.yaml", with.as_str()),
        ("shop/deployment.yaml", &three),
        ("shop/settings.json", &map("one").to_string()),
        ("shop/before.json", &hook.to_string()),
    ];
    shop.push(&files);
    shop.settle().await;
    let typo = shop.run("sync shop --resource apps:Deployment:wbe").await;
    assert!(
        typo.err.contains("`apps:Deployment:wbe` matches no object") && typo.err.contains("apps:Deployment:shop/web"),
        "{}",
        typo.err
    );
    let malformed = shop.run("sync shop --resource web").await;
    assert!(malformed.err.contains("write GROUP:KIND:NAME"), "{}", malformed.err);
    let dry = shop.well("sync shop --dry-run --resource :ConfigMap:settings").await;
    assert!(dry.contains("/ConfigMap shop/settings") && !dry.contains("Deployment"), "{dry}");

    shop.well("sync shop --resource :ConfigMap:shop/settings").await;
    assert_eq!(shop.sandbox.cluster.get(MAP).unwrap()["data"]["a"], "one");
    assert_eq!(shop.replicas(), 2);
    assert!(shop.sandbox.cluster.get("/apis/batch/v1/namespaces/shop/jobs/before").is_none(), "no hook runs");
    assert_eq!(shop.well("history shop -o id").await, "0\n");
    let get: Value = serde_json::from_str(&shop.well("get shop -o json").await).unwrap();
    let status = |kind: &str| {
        get["status"]["resources"].as_array().unwrap().iter().find(|row| row["kind"] == kind).unwrap()["status"].clone()
    };
    assert_eq!(
        (status("ConfigMap"), status("Deployment"), status("Ingress")),
        (json!("Synced"), json!("OutOfSync"), json!("OutOfSync"))
    );
    assert_eq!(get["status"]["sync"]["status"], "OutOfSync");
    assert_eq!(get["status"]["operationState"]["operation"]["sync"]["resources"][0]["name"], "settings");

    shop.well("wait shop --resource :ConfigMap:settings --timeout 3").await;
    let late = shop.run("wait shop --resource apps:*:* --sync --timeout 1").await;
    assert_eq!(late.err, "slipway: timed out (1s) waiting for shop: Deployment/shop/web is OutOfSync\n");
    let nobody = shop.run("sync shop --label app=nobody").await;
    assert!(nobody.err.contains("nothing in Git has the label `app=nobody`"), "{}", nobody.err);

    // All but the Deployment: what Git has no more is pruned.
    shop.well("sync shop --prune --resource !apps:Deployment:*").await;
    assert!(shop.sandbox.cluster.gone("/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web").await);
    assert_eq!(shop.replicas(), 2);
    // What the parts left is as an earlier commit left it.
    let told = shop.told();
    assert_eq!((shop.check().await, shop.told()), (json!({}), told));
    let whole = shop.well("sync shop").await;
    assert!(whole.contains("Sync Status:        Synced to main"), "{whole}");
    assert_eq!((shop.replicas(), shop.well("history shop -o id").await.as_str()), (json!(3), "0\n1\n"));
}

#[tokio::test]
async fn what_cannot_be_changed_is_made_anew_by_force_and_found_by_its_label() {
    let mut shop = Shop::by_hand().await;
    let uid = |shop: &Shop| shop.sandbox.cluster.get(DEPLOYMENT).unwrap()["metadata"]["uid"].clone();
    let before = uid(&shop);
    let other = shop.read("shop/deployment.yaml").replace("app: web", "app: other");
    shop.push(&[("shop/deployment.yaml", &other)]);
    shop.settle().await;
    let refused = shop.run("sync shop --label app=other").await;
    assert!(refused.code == 1 && refused.err.contains("field is immutable"), "{}{}", refused.out, refused.err);
    shop.run("sync shop --label app=other --force").await;
    let live = shop.sandbox.cluster.get(DEPLOYMENT).unwrap();
    assert_eq!(live["spec"]["selector"]["matchLabels"]["app"], "other", "{live}");
    assert_ne!(uid(&shop), before);
    assert_eq!(shop.well("history shop -o id").await, "0\n");
}

#[tokio::test]
async fn what_is_synced_by_hand_waits_is_synced_and_rolled_back() {
    let mut shop = Shop::by_hand().await;
    let three = shop.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    shop.push(&[("shop/deployment.yaml", &three)]);
    shop.settle().await;
    assert_eq!(shop.replicas(), 2);
    assert!(shop.well("get shop").await.contains("Sync Status:        OutOfSync from main"));
    let late = shop.run("wait shop --sync --timeout 2").await;
    assert_eq!((late.code, late.err.as_str()), (1, "slipway: timed out (2s) waiting for shop: it is OutOfSync\n"));
    shop.well("sync shop").await;
    assert_eq!(shop.replicas(), 3);
    assert_eq!(shop.well("history shop -o id").await, "0\n1\n");
    let told = shop.told();
    shop.well("rollback shop 0").await;
    assert_eq!(shop.replicas(), 2);
    assert_eq!((shop.check().await, shop.told()), (json!({}), told), "what was rolled back is what is compared with");
    assert_eq!(shop.replicas(), 2);
    let status = shop.status("shop").await;
    let began: Vec<&Value> = status["history"].as_array().unwrap().iter().map(|one| &one["initiatedBy"]).collect();
    let (itself, by_hand) = (json!({"automated": true}), json!({"username": "sandbox"}));
    assert_eq!(began, [&itself, &by_hand, &by_hand]);
    assert_eq!(status["operationState"]["operation"]["initiatedBy"], by_hand);
    let unknown = shop.run("rollback shop 7").await;
    assert!(unknown.err.contains("no such deployment; its history: 0, 1, 2"), "{}", unknown.err);
}

const HELD: &str = "web:stuck";

/// A Job that fails after four seconds (a busy machine needs one to start it) as long as its image can't start.
fn smoke_test(hook: &str) -> String {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "smoke-test",
        "annotations": {"argocd.argoproj.io/hook": hook}},
        "spec": {"activeDeadlineSeconds": 4, "template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "main", "image": HELD}]}}}})
    .to_string()
}

#[tokio::test]
async fn a_commit_whose_hook_failed_is_tried_again_by_a_person_and_by_nobody_else() {
    let mut shop = Shop::open().await;
    shop.sandbox.cluster.hold_image(HELD);
    // An Ingress without an address would hold the hook up.
    let with = shop.read("shop/kustomization.yaml").replace("  - ingress.yaml\n", "  - test.json\n");
    let map = shop.read("shop/configmap.yaml").replace("Welcome", "Hello");
    let job = smoke_test("PostSync");
    let files = [("shop/kustomization.yaml", with.as_str()), ("shop/configmap.yaml", &map), ("shop/test.json", &job)];
    shop.push(&files);
    shop.settle().await;
    let operation = |status: &Value| {
        let last = &status["operationState"];
        (last["phase"].clone(), last["operation"]["initiatedBy"].clone())
    };
    let status = shop.status("shop").await;
    assert_eq!(operation(&status), (json!("Failed"), json!({"automated": true})));
    assert_eq!(shop.check().await, json!({}));

    // Whoever the cluster does not know is the user of the machine.
    shop.sandbox.cluster.failures().arm(Failure {
        method: None,
        path_contains: "selfsubjectreviews".to_owned(),
        count: 1,
        status: http::StatusCode::FORBIDDEN,
        headers: Vec::new(),
        body: Value::Null,
    });
    let failed = shop.run_as(&[("USER", "alice")], "sync shop").await;
    assert_eq!(failed.code, 1, "{}{}", failed.out, failed.err);
    let status = shop.status("shop").await;
    assert_eq!(operation(&status), (json!("Failed"), json!({"username": "alice"})), "the hook ran again");
    assert_eq!(shop.well("history shop -o id").await, "0\n");

    shop.sandbox.cluster.release_images();
    shop.run("sync shop --timeout 30").await;
    let status = shop.status("shop").await;
    assert_eq!(operation(&status), (json!("Succeeded"), json!({"username": "sandbox"})));
    assert_eq!(shop.well("history shop -o id").await, "0\n1\n");
    assert_eq!(status["history"][1]["initiatedBy"], json!({"username": "sandbox"}));
    assert_eq!(shop.check().await, json!({}));
}

#[tokio::test]
async fn a_sync_that_its_timeout_cuts_off_is_recorded_and_can_be_done_again() {
    let mut shop = Shop::by_hand().await;
    shop.sandbox.cluster.hold_image(HELD);
    // What is of a later wave waits for the Deployment, which can't become healthy, and would for an Ingress, too.
    let without = shop.read("shop/kustomization.yaml").replace("  - ingress.yaml\n", "");
    let deployment = shop.read("shop/deployment.yaml");
    let tag = deployment.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap();
    let held = deployment.replace(tag, HELD);
    let later = "metadata:\n  annotations: {argocd.argoproj.io/sync-wave: \"1\"}\n";
    let map = shop.read("shop/configmap.yaml").replacen("metadata:\n", later, 1).replace("Welcome", "Hello");
    let files =
        [("shop/kustomization.yaml", without.as_str()), ("shop/deployment.yaml", &held), ("shop/configmap.yaml", &map)];
    shop.push(&files);
    shop.settle().await;

    let cut_off = shop.run("sync shop --timeout 3").await;
    assert_eq!(cut_off.code, 1, "{}{}", cut_off.out, cut_off.err);
    let last = shop.status("shop").await["operationState"].clone();
    assert_eq!((&last["phase"], &last["operation"]["initiatedBy"]["username"]), (&json!("Failed"), &json!("sandbox")));

    shop.sandbox.cluster.release_images();
    shop.run("sync shop --timeout 30").await;
    assert_eq!(shop.status("shop").await["operationState"]["phase"], "Succeeded");
}

#[tokio::test]
async fn a_person_may_put_an_older_commit_in_the_place_of_the_head() {
    let mut shop = Shop::open().await;
    let first = shop.sandbox.head().unwrap().unwrap().to_string();
    let healing = shop.read("applications/shop.yaml").replace("prune: true\n", "prune: true\n      selfHeal: true\n");
    let three = shop.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    shop.push(&[("applications/shop.yaml", &healing), ("shop/deployment.yaml", &three)]);
    shop.settle().await;
    let head = shop.sandbox.head().unwrap().unwrap().to_string();
    assert_eq!(shop.replicas(), 3);
    shop.run(&format!("sync shop --revision {first}")).await;
    assert_eq!(shop.replicas(), 2);
    for _ in 0..2 {
        assert_eq!(shop.check().await, json!({"behind": head}));
    }
    assert_eq!(shop.replicas(), 2);
    let told = shop.told().pop().unwrap();
    assert!(told.contains(&format!("sandbox synced {} last, and not {}", short(&first), short(&head))), "{told}");
    assert!(!told.contains("redeliver"), "{told}");
}

#[tokio::test]
async fn a_deletion_that_stands_still_tells_who_began_it() {
    let mut shop = Shop::open().await;
    shop.sandbox.cluster.hold_image(HELD);
    let with = shop.read("shop/kustomization.yaml").replace("  - ingress.yaml\n", "  - ingress.yaml\n  - test.json\n");
    shop.push(&[("shop/kustomization.yaml", &with), ("shop/test.json", &smoke_test("PreDelete"))]);
    shop.settle().await;
    let held = shop.run("delete shop --yes").await;
    assert!(held.code == 1 && held.err.contains("blocked at PreDelete"), "{}{}", held.out, held.err);
    let began = shop.status("shop").await["operationState"]["operation"]["initiatedBy"].clone();
    assert_eq!(began, json!({"username": "sandbox"}));
}

#[tokio::test]
async fn a_folder_stands_for_the_repository() {
    let shop = Shop::by_hand().await;
    let root = shop.folder.path().join("checkout");
    for path in [
        "applications/shop.yaml",
        "shop/kustomization.yaml",
        "shop/deployment.yaml",
        "shop/service.yaml",
        "shop/ingress.yaml",
        "shop/configmap.yaml",
    ] {
        let file: PathBuf = root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, shop.read(path).replace("replicas: 2", "replicas: 4")).unwrap();
    }
    let local = format!("--local {}", root.display());
    let diff = shop.run(&format!("diff shop {local}")).await;
    assert!(diff.out.contains(">   replicas: 4"), "{}{}", diff.out, diff.err);
    shop.well(&format!("sync shop {local}")).await;
    assert_eq!(shop.replicas(), 4);
}

#[tokio::test]
async fn pruning_is_asked_for_and_the_brake_approved_by_its_digest() {
    let shop = Shop::by_hand().await;
    let without = shop.read("shop/kustomization.yaml").replace("  - ingress.yaml\n", "");
    shop.push(&[("shop/kustomization.yaml", &without)]);
    let ingress = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web";
    shop.run("sync shop").await;
    assert!(shop.sandbox.cluster.get(ingress).is_some(), "nothing is pruned unasked");
    shop.well("sync shop --prune").await;
    assert!(shop.sandbox.cluster.gone(ingress).await);

    shop.push(&[("shop/kustomization.yaml", "resources: [nothing.yaml]\n"), ("shop/nothing.yaml", "# nothing\n")]);
    let held = shop.run("sync shop --prune").await;
    assert_eq!(held.code, 1);
    let digest = held.err.split("slipway.dev/prune-approved: ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(shop.sandbox.cluster.get(DEPLOYMENT).is_some());
    let approved = shop.run(&format!("sync shop --approve-prune {digest}")).await;
    assert!(shop.sandbox.cluster.gone(DEPLOYMENT).await, "{}{}", approved.out, approved.err);
}

/// Case H #2 by hand: by a sync of all and of that part alone, and what is printed before and after.
#[tokio::test]
async fn the_destinations_namespace_stays_and_it_is_said_why() {
    for line in ["sync shop --prune", "sync shop --prune --resource :Namespace:shop", "sync shop"] {
        let mut shop = Shop::by_hand().await;
        let before = shop.read("shop/kustomization.yaml");
        let with = before.replace("  - ingress.yaml\n", "  - ingress.yaml\n  - namespace.yaml\n");
        let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
        shop.push(&[("shop/kustomization.yaml", &with), ("shop/namespace.yaml", namespace)]);
        shop.well("sync shop").await;
        let live = |shop: &Shop| shop.sandbox.cluster.get("/api/v1/namespaces/shop").unwrap();
        assert!(live(&shop)["metadata"].to_string().contains("tracking-id"));
        shop.push(&[("shop/kustomization.yaml", &before)]);
        for look in ["diff shop", "sync shop --prune --dry-run"] {
            let Ran { code, out, err } = shop.run(look).await;
            assert_eq!((code, out.contains("Namespace")), (0, false), "{look}: {out}");
            assert!(err.contains("Namespace/shop is in Git no more and stays: CreateNamespace=true"), "{look}: {err}");
        }
        // A part without it leaves it as it is.
        shop.well("sync shop --prune --resource :ConfigMap:web").await;
        assert!(live(&shop)["metadata"].to_string().contains("tracking-id"));
        assert!(shop.well("get shop").await.contains("Sync Status:        Synced to main"));
        let synced = shop.well(line).await;
        let row = synced.lines().find(|line| line.contains("PruneSkipped")).unwrap_or_else(|| panic!("{synced}"));
        assert!(row.contains(" Namespace ") && row.contains("CreateNamespace=true asks for it"), "{synced}");
        assert!(synced.contains("Sync Status:        Synced to main"), "{synced}");
        assert!(live(&shop)["metadata"].get("deletionTimestamp").is_none());
        assert!(!live(&shop)["metadata"].to_string().contains("tracking-id"));
        shop.settle().await;
        assert!(shop.well("get shop").await.contains("Sync Status:        Synced to main"));
        shop.well("delete shop --yes").await;
        assert!(live(&shop)["metadata"].get("deletionTimestamp").is_none(), "it outlives the application");
    }
}

/// Case H #30 by hand.
#[tokio::test]
async fn nothing_is_pruned_without_prune_whatever_it_says_of_itself() {
    let shop = Shop::by_hand().await;
    let before = shop.read("shop/kustomization.yaml");
    let map = |name: &str, option: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name,
            "annotations": {"argocd.argoproj.io/sync-options": option}}})
        .to_string()
    };
    let with = before.replace("  - ingress.yaml\n", "  - ingress.yaml\n  - asks.json\n  - keeps.json\n");
    let (asks, keeps) = (map("asks", "Prune=true"), map("keeps", "Prune=false"));
    shop.push(&[("shop/kustomization.yaml", &with), ("shop/asks.json", &asks), ("shop/keeps.json", &keeps)]);
    shop.well("sync shop").await;
    shop.push(&[("shop/kustomization.yaml", &before)]);
    let dry = shop.run("sync shop --dry-run").await;
    assert_eq!(dry.out, "nothing would change\n");
    for reason in
        ["ConfigMap/shop/asks is in Git no more and stays: ignored (requires pruning)", "ConfigMap/shop/keeps"]
    {
        assert!(dry.err.contains(reason), "{}", dry.err);
    }
    let diff = shop.run("diff shop").await;
    assert!(diff.code == 1 && diff.out.contains("/ConfigMap shop/asks"), "it differs: {}", diff.out);
    let live = |name: &str| shop.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}")).is_some();
    for line in ["sync shop", "sync shop --resource :ConfigMap:asks"] {
        let synced = shop.run(line).await;
        assert!(live("asks") && live("keeps"), "{line}: {}", synced.out);
    }
    let dry = shop.run("sync shop --prune --dry-run").await;
    assert!(dry.out.contains("shop/asks") && !dry.out.contains("shop/keeps"), "{}", dry.out);
    let synced = shop.run("sync shop --prune").await;
    assert!(!live("asks") && live("keeps"), "{}", synced.out);
    assert!(synced.out.contains("ignored (no prune)"), "{}", synced.out);
}

#[tokio::test]
async fn what_one_refused_object_leaves_of_a_diff_is_shown() {
    let shop = Shop::by_hand().await;
    let three = shop.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    let service = shop.read("shop/service.yaml").replace("port: 80", "port: 8080");
    shop.push(&[("shop/deployment.yaml", &three), ("shop/service.yaml", &service)]);
    shop.sandbox.cluster.failures().arm(Failure {
        method: Some(http::Method::PATCH),
        path_contains: "/services/web".to_owned(),
        count: usize::MAX,
        status: http::StatusCode::UNPROCESSABLE_ENTITY,
        headers: Vec::new(),
        body: json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "Service \"web\" is invalid: spec.clusterIP: field is immutable"}),
    });
    for line in ["diff shop", "sync shop --dry-run"] {
        let Ran { code, out, err } = shop.run(line).await;
        assert!(out.contains(">   replicas: 3"), "{line}: {out}{err}");
        assert!(err.contains("Service/shop/web") && err.contains("immutable"), "{line}: {out}{err}");
        assert_ne!(code, 0, "{line}: {out}{err}");
    }
}

#[tokio::test]
async fn an_application_that_is_left_alone_says_so_and_how_to_go_on() {
    let mut shop = Shop::by_hand().await;
    let path = "applications/shop.yaml";
    let app = shop.read(path);
    let annotation = "    argocd.argoproj.io/skip-reconcile: 'true'\n";
    let three = shop.read("shop/deployment.yaml").replace("replicas: 2", "replicas: 3");
    let skipped = app.replace("  annotations:\n", &format!("  annotations:\n{annotation}"));
    shop.push(&[(path, &skipped), ("shop/deployment.yaml", &three)]);
    shop.settle().await;
    let says = |text: &str| {
        text.contains("is skipped by its annotation argocd.argoproj.io/skip-reconcile")
            && text.contains("remove the annotation at the root, or set it to \"false\"")
    };
    let get = shop.well("get shop").await;
    assert!(says(get.lines().find(|line| line.starts_with("Reconciled:")).unwrap()), "{get}");
    let list = shop.run("list").await;
    assert!(list.out.contains("  ReconcileSkipped  ") && says(&list.err), "{}{}", list.out, list.err);
    for line in ["sync shop", "sync shop --resource apps:Deployment:web", "rollback shop 0", "delete shop --yes"] {
        let Ran { code, out, err } = shop.run(line).await;
        assert!(code == 1 && says(&err), "{line}: {out}{err}");
    }
    assert_eq!(shop.replicas(), 2);
    for line in ["diff shop", "sync shop --dry-run"] {
        let Ran { out, err, .. } = shop.run(line).await;
        assert!(out.contains(">   replicas: 3") && says(&err), "{line}: {out}{err}");
    }
    shop.push(&[(path, &app)]);
    shop.settle().await;
    assert!(!shop.well("get shop").await.contains("Reconciled:"));
    shop.well("sync shop").await;
    assert_eq!(shop.replicas(), 3);
}

#[tokio::test]
async fn a_deletion_asks_and_takes_all_of_it() {
    let shop = Shop::open().await;
    let unasked = shop.run("delete shop").await;
    assert_eq!(unasked.code, 1);
    assert!(unasked.err.contains("use --yes"), "{}", unasked.err);
    assert!(shop.sandbox.cluster.get(DEPLOYMENT).is_some());
    let deleted = shop.well("delete shop --yes").await;
    assert!(deleted.ends_with("application 'shop' deleted\n"), "{deleted}");
    assert!(shop.sandbox.cluster.gone(DEPLOYMENT).await);
    assert!(shop.run("get shop").await.err.contains("Slipway has deployed nothing"));
}

#[tokio::test]
async fn a_deletion_runs_its_hooks_and_takes_a_digest_for_a_yes() {
    let mut shop = Shop::open().await;
    let hook = |kind: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": kind.to_lowercase(),
            "annotations": {"argocd.argoproj.io/hook": kind}},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main",
                "image": "alpine"}]}}}})
        .to_string()
    };
    let with = shop
        .read("shop/kustomization.yaml")
        .replace("  - ingress.yaml\n", "  - ingress.yaml\n  - pre.json\n  - post.json\n");
    let files = [
        ("shop/kustomization.yaml", with.as_str()),
        ("shop/pre.json", &hook("PreDelete")),
        ("shop/post.json", &hook("PostDelete")),
    ];
    shop.push(&files);
    shop.settle().await;
    let wrong = shop.run("delete shop --approve-prune 0123456789abcdef").await;
    assert_eq!(wrong.code, 1);
    let digest = wrong.err.split("--approve-prune ").nth(1).unwrap().trim().trim_end_matches('`').to_owned();
    assert!(shop.sandbox.cluster.get(DEPLOYMENT).is_some());
    let get: Value = serde_json::from_str(&shop.well("get shop -o json").await).unwrap();
    assert_eq!(get["status"]["conditions"][0]["type"], "DeletionError");
    assert!(get["metadata"]["finalizers"].to_string().contains("post-delete-finalizer.argocd.argoproj.io"));
    shop.well(&format!("delete shop --approve-prune {digest}")).await;
    assert!(shop.sandbox.cluster.gone(DEPLOYMENT).await);
    let job = |name: &str| shop.sandbox.cluster.get(&format!("/apis/batch/v1/namespaces/shop/jobs/{name}"));
    assert_eq!(job("postdelete").unwrap()["status"]["succeeded"], 1);
    let before = "/apis/batch/v1/namespaces/shop/jobs/predelete";
    assert!(shop.sandbox.cluster.gone(before).await, "what ran before is one of its objects");
}

#[tokio::test]
async fn without_cascade_its_objects_stay() {
    let shop = Shop::open().await;
    shop.well("delete shop --yes --cascade=false").await;
    assert!(shop.sandbox.cluster.get(DEPLOYMENT).is_some());
    assert!(shop.run("get shop").await.err.contains("Slipway has deployed nothing"));
}

#[tokio::test]
async fn windows_hold_people_too() {
    let shop = Shop::by_hand().await;
    let application = shop.read("applications/shop.yaml").replace("project: default", "project: shop");
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "shop"},
        "spec": {
            "sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            "syncWindows": [{"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}]}});
    shop.push(&[("applications/shop.yaml", &application), ("applications/project.yaml", &project.to_string())]);
    let held = shop.run("sync shop").await;
    assert_eq!(held.code, 1);
    assert!(held.err.starts_with("slipway: shop is blocked by sync window `deny * * * * *` for 1h"), "{}", held.err);
}
