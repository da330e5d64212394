//! A function with little memory: what does not fit is told with the repository's name, and stops nobody else.

use serde_json::{Value, json};
use slipway::drift_check::DriftChecker;
use slipway_sandbox::forge::Change;

use crate::world::{Flow, soon};

const APPLICATION: &str = "applications/shop.yaml";
const LITTLE: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";

/// Pushes repositories, each with a ConfigMap and so many files of 400 kB, and an Application of each.
fn push(flow: &Flow, repositories: &[(&str, usize)]) -> Vec<tempfile::TempDir> {
    let app = flow.read(APPLICATION);
    let mut folders = Vec::new();
    let mut manifests = Vec::new();
    for (name, count) in repositories {
        let folder = tempfile::tempdir().unwrap();
        let repository = flow.sandbox.forge.create("acme", name, folder.path()).unwrap();
        let config_map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let large = (0..*count).map(|n| Change::write(format!("large/{n}"), vec![u8::try_from(n).unwrap(); 400_000]));
        let changes: Vec<Change> = std::iter::once(Change::write("app/a.yaml", config_map)).chain(large).collect();
        flow.sandbox.forge.push(&repository, "main", "Begin", &changes).unwrap();
        let manifest = app
            .replace("name: shop\n", &format!("name: {name}\n"))
            .replace("path: shop", "path: app")
            .replace("github.com/acme/gitops", &format!("github.com/acme/{name}"));
        manifests.push((format!("applications/{name}.yaml"), manifest));
        folders.push(folder);
    }
    let manifests: Vec<(&str, &str)> = manifests.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    flow.push("Add them", &manifests);
    folders
}

fn has(flow: &Flow, name: &str) -> bool {
    flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}")).is_some()
}

/// 4 MB, of which 2.5 hold what is fetched.
#[tokio::test]
async fn a_repository_beyond_the_functions_memory_is_told_and_a_larger_function_takes_it() {
    let mut flow = Flow::deployed().await;
    flow.deployer = flow.another_with(&[(LITTLE, "4")]).await;
    let _folders = push(&flow, &[("large", 7), ("small", 1)]);
    let answers = flow.settle().await;
    assert_eq!(answers.last().unwrap(), &json!({"batchItemFailures": []}), "it is not tried for ever");
    assert!(!has(&flow, "large") && has(&flow, "small"));
    let told = flow.messages().join("\n");
    for part in ["failed to unpack acme/large at", "the function's memory affords 2621440 bytes of what is fetched"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    flow.deployer = flow.another_with(&[(LITTLE, "8")]).await;
    flow.push("Try again", &[("NOTES.md", "1")]);
    flow.settle().await;
    flow.push(
        "And the manifest",
        &[("applications/large.yaml", &format!("{}\n", flow.read("applications/large.yaml")))],
    );
    flow.settle().await;
    assert!(has(&flow, "large"), "{:?}", flow.messages());
}

/// Each of them fits, two of them do not.
#[tokio::test]
async fn what_does_not_fit_side_by_side_is_fetched_one_after_the_other() {
    let mut flow = Flow::deployed().await;
    flow.deployer = flow.another_with(&[(LITTLE, "4")]).await;
    let names = ["one", "two", "three", "four"];
    let _folders = push(&flow, &names.map(|name| (name, 4)));
    flow.settle().await;
    for name in names {
        assert!(has(&flow, name), "{name}: {:?}", flow.messages());
    }
    let environment = flow.sandbox.environment();
    let get = |name: &str| if name == LITTLE { Some("4".to_owned()) } else { environment.get(name).cloned() };
    let settings = slipway::config::Settings::load(get).unwrap();
    let aws = slipway::aws::Aws::at(&flow.sandbox.aws.url(), slipway_sandbox::aws::REGION).await;
    let checked = DriftChecker::new(settings, aws).handle(json!({}), soon(), "little").await.unwrap();
    let checked: Vec<&Value> = names.iter().map(|name| &checked["applications"][name]).collect();
    assert_eq!(checked, [&json!({}); 4]);
}
