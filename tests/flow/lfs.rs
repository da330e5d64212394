//! Files that Git LFS keeps: a chart's archive, its values and a manifest, fetched from GitHub where something reads
//! them; and an Application with a `sourceHydrator`, whose dry source is rendered.

use serde_json::{Value, json};
use slipway_tests::chart_server::pack;

use crate::charts::application;
use crate::world::Flow;

const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lfs-chart}\ndata: {v: '{{ .Values.v }}'}\n";

fn source(path: &str) -> Value {
    json!({"repoURL": "https://github.com/acme/gitops", "path": path, "targetRevision": "main"})
}

fn config(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": "1"}}).to_string()
}

fn data(flow: &Flow, name: &str) -> Option<Value> {
    let found = flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}"))?;
    Some(found["data"]["v"].clone())
}

#[tokio::test]
async fn what_git_lfs_keeps_is_fetched_where_something_reads_it() {
    let mut flow = Flow::deployed().await;
    let host = flow.sandbox.forge.url().trim_start_matches("http://").to_owned();
    flow.deployer = flow.another_with(&[("SLIPWAY_LOCAL_HOSTS", &host)]).await;
    let archive = pack(
        "sub",
        &[
            ("Chart.yaml", "apiVersion: v2\nname: sub\nversion: 1.0.0\n"),
            ("values.yaml", ""),
            ("templates/a.yaml", TEMPLATE),
        ],
    );
    let keep = |bytes: &[u8]| flow.sandbox.forge.keep(bytes);
    let (archive, values, manifest) =
        (keep(&archive), keep(b"sub: {v: of lfs}\n"), keep(config("lfs-plain").as_bytes()));
    let unread = keep(b"nobody reads this");
    let chart =
        "apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies: [{name: sub, version: 1.0.0, repository: ''}]\n";
    let helm = json!({"valueFiles": ["big.yaml"]});
    let mut with_values = source("chart");
    with_values["helm"] = helm;
    flow.push(
        "Add what is in Git LFS",
        &[
            ("applications/chart.yaml", &application("chart", &with_values).to_string()),
            ("applications/plain.yaml", &application("plain", &source("plain")).to_string()),
            ("chart/Chart.yaml", chart),
            ("chart/charts/sub-1.0.0.tgz", &archive),
            ("chart/big.yaml", &values),
            ("plain/a.yaml", &manifest),
            ("plain/film.mp4", &unread),
        ],
    );
    flow.settle().await;
    assert_eq!(data(&flow, "lfs-chart"), Some(json!("of lfs")), "{:?}", flow.messages());
    assert_eq!(data(&flow, "lfs-plain"), Some(json!("1")), "{:?}", flow.messages());
    let asked: Vec<String> = flow.sandbox.forge.exchanges().into_iter().map(|one| one.request.path).collect();
    let fetched = |pointer: &str| {
        let oid = pointer.split("sha256:").nth(1).unwrap().split('\n').next().unwrap();
        asked.iter().filter(|path| path.ends_with(&format!("/lfs/objects/{oid}"))).count()
    };
    assert_eq!([&archive, &values, &manifest, &unread].map(|pointer| fetched(pointer)), [1, 1, 1, 0], "{asked:?}");

    // One that was never pushed, and one of another size: the application that needs it is held, with a name.
    let size = manifest.lines().find_map(|line| line.strip_prefix("size ")).unwrap();
    for (pointer, problem) in [
        (manifest.replace(&format!("size {size}"), "size 7"), "more than 7 bytes"),
        (manifest.replace(&format!("size {size}"), "size 4096"), "what was fetched is not what the commit names"),
        (
            format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n", "0".repeat(64)),
            "Git LFS does not have it (404): push it by `git lfs push`",
        ),
    ] {
        flow.push("Break", &[("plain/a.yaml", &pointer)]);
        flow.settle().await;
        let told = flow.messages().pop().unwrap();
        assert!(told.contains(problem), "{told}");
        assert!(!told.contains("sandbox-token") && !told.contains("RemoteAuth"), "{told}");
    }
    assert_eq!(data(&flow, "lfs-plain"), Some(json!("1")));
}

#[tokio::test]
async fn the_dry_source_of_a_hydrator_is_rendered() {
    let mut flow = Flow::deployed().await;
    let mut app = application("dry", &Value::Null);
    app["spec"].as_object_mut().unwrap().remove("source");
    app["spec"]["sourceHydrator"] =
        json!({"drySource": source("dry"), "syncSource": {"targetBranch": "environments/prod", "path": "dry"}});
    flow.push("Hydrate", &[("applications/dry.yaml", &app.to_string()), ("dry/a.yaml", &config("lfs-dry"))]);
    flow.settle().await;
    assert_eq!(data(&flow, "lfs-dry"), Some(json!("1")), "{:?}", flow.messages());
}
