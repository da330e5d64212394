//! `slipway images` beside the sandbox: what ecr-push would do, shown and done.

use std::process::Command;

use serde_json::{Value, json};
use slipway_sandbox::IMAGE;

use super::shop::{Ran, Shop};

const KUSTOMIZATION: &str = "shop/kustomization.yaml";

/// `slipway images LINE`, with the environment of the functions.
async fn run(shop: &Shop, line: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.arg("images").args(line.split(' ')).env_clear().envs(shop.sandbox.environment());
    command.env_remove("SLIPWAY_GITHUB_SECRET").env("GITHUB_TOKEN", "sandbox-token");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

async fn read(shop: &Shop, line: &str) -> Value {
    let Ran { code, out, err } = run(shop, line).await;
    assert_eq!(code, 0, "{line}: {out}{err}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tag_is_explained_and_the_chosen_one_written() {
    let shop = Box::pin(Shop::open()).await;
    for tag in ["1.2.0", "1.1.0", "pr-7", "2.0.0"] {
        shop.sandbox.aws.push_image(IMAGE, tag);
    }
    let app = shop.read("applications/shop.yaml").replace("/shop/web\n", "/shop/web:1.x\n");
    shop.push(&[("applications/shop.yaml", &app)]);
    let before = shop.read(KUSTOMIZATION);
    let list = read(&shop, "list -o json").await;
    assert_eq!(list["problems"], json!([]), "{list:#}");
    let image = &list["images"][0];
    assert_eq!((&image["application"], &image["strategy"]), (&json!("argocd/shop"), &json!("semver")), "{list:#}");
    assert_eq!(
        (&image["writtenTo"][0]["file"], &image["writtenTo"][0]["tag"]),
        (&json!(KUSTOMIZATION), &json!("1.0.0"))
    );
    let wide = run(&shop, "list").await.out;
    assert!(wide.contains("acme/gitops main: shop/kustomization.yaml images["), "{wide}");

    let explained = read(&shop, "explain shop -o json").await;
    let tags: Vec<(&str, &str)> = explained["images"][0]["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["tag"].as_str().unwrap(), one["why"].as_str().unwrap_or("chosen")))
        .collect();
    for expected in [
        ("1.2.0", "chosen"),
        ("1.1.0", "1.1.0 is no higher version than 1.2.0"),
        ("1.0.0", "1.0.0 is no higher version than 1.2.0"),
        ("pr-7", "pr-7 is no version"),
        ("2.0.0", "2.0.0 does not fit the constraint"),
    ] {
        assert!(tags.contains(&expected), "{expected:?}: {tags:?}");
    }
    let change = &explained["images"][0]["result"]["changes"][0];
    assert_eq!(
        (&change["old"], &change["new"], &change["file"]),
        (&json!("1.0.0"), &json!("1.2.0"), &json!(KUSTOMIZATION))
    );
    let wide = run(&shop, "explain argocd/shop").await.out;
    assert!(wide.contains("would write shop: 1.0.0 → 1.2.0 in shop/kustomization.yaml images["), "{wide}");

    let dry = read(&shop, "update shop --dry-run -o json").await;
    assert_eq!(dry["branches"]["acme/gitops main"]["changes"][0]["new"], "1.2.0", "{dry:#}");
    assert_eq!(shop.read(KUSTOMIZATION), before, "a dry run writes nothing");
    let updated = read(&shop, "update shop -o json").await;
    let head = shop.sandbox.head().unwrap().unwrap().to_string();
    assert_eq!(updated["branches"]["acme/gitops main"]["commit"], json!(head), "{updated:#}");
    assert_eq!(shop.read(KUSTOMIZATION), before.replace("newTag: 1.0.0", "newTag: 1.2.0"));

    let unknown = run(&shop, "explain nowhere").await;
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("no Application `nowhere` of the root keeps an image up to date"), "{}", unknown.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_t_be_updated_is_told_by_name_and_code() {
    let shop = Box::pin(Shop::open()).await;
    let app = shop.read("applications/shop.yaml");
    shop.push(&[("applications/shop.yaml", &app.replace("write-back-method: git", "write-back-method: gut"))]);
    let told = run(&shop, "explain shop").await;
    assert_eq!(told.code, 1, "{}", told.out);
    assert!(told.err.contains("write-back-method: expected `git` or `argocd`, found `gut`"), "{}", told.err);
    // What a person took back stays so, and the reason is shown.
    shop.push(&[("applications/shop.yaml", &app)]);
    shop.sandbox.aws.push_image(IMAGE, "1.1.0");
    let before = shop.read(KUSTOMIZATION);
    shop.push(&[(KUSTOMIZATION, &before.replace("newTag: 1.0.0", "newTag: 1.1.0"))]);
    shop.push(&[(KUSTOMIZATION, &before)]);
    let told = run(&shop, "explain shop").await;
    assert!(told.out.contains("unchanged   shop: 1.1.0 was taken back in Git for 1.0.0"), "{}{}", told.out, told.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promotions_are_shown_with_what_they_wait_for() {
    let mut shop = Box::pin(Shop::open()).await;
    let app =
        shop.read("applications/shop.yaml").replace("name: shop\n", "name: prod\n").replace("path: shop", "path: prod");
    let app = app.replace("    automated:\n      prune: true\n", "");
    let app = app.replace("  annotations:\n", "  annotations:\n    slipway.dev/promote-from: argocd/shop\n");
    shop.push(&[("applications/prod.yaml", &app), ("prod/kustomization.yaml", &shop.read(KUSTOMIZATION))]);
    shop.settle().await;
    let run = async |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(line.split(' ')).env_clear().envs(shop.sandbox.environment());
        command.env_remove("SLIPWAY_GITHUB_SECRET").env("GITHUB_TOKEN", "sandbox-token");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let found: Value = serde_json::from_str(&run("promotions -o json").await).unwrap();
    let one = &found["promotions"][0];
    assert_eq!((&one["application"], &one["from"]), (&json!("argocd/prod"), &json!("argocd/shop")), "{found:#}");
    // The sandbox gives no Ingress an address.
    assert_eq!((&one["state"], &one["why"]), (&json!("waits"), &json!("it is Synced and Progressing")), "{found:#}");
    assert!(one["images"][0].as_str().unwrap().ends_with("/shop/web:1.0.0"), "{found:#}");
    let wide = run("promotions").await;
    assert!(wide.contains("web:1.0.0  waits: it is Synced and Progressing"), "{wide}");
    let list = run("images explain prod").await;
    assert!(list.contains("prod gets its images from another Application: see `slipway promotions`"), "{list}");
}
