//! Charts and kustomizations in Git that need charts of Helm repositories.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use slipway_manifest::yaml;
use slipway_tests::{skip, tools};

use crate::charts::{World, application};
use slipway_tests::chart_server::{ChartServer, pack};

fn source(path: &str) -> Value {
    json!({"repoURL": "https://github.com/acme/gitops", "path": path, "targetRevision": "main"})
}

/// A chart that others depend on: a ConfigMap of its own name with its version and a value.
fn publish(server: &ChartServer, name: &str, version: &str) {
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {{{{ .Chart.Name }}}}}}\ndata: {{version: '{version}', \
         size: '{{{{ .Values.size }}}}'}}\n"
    );
    let files = [("Chart.yaml", &*metadata), ("values.yaml", "size: small\n"), ("templates/map.yaml", &map)];
    server.content().charts.insert((name.to_owned(), version.to_owned()), pack(name, &files));
}

/// Dependencies over HTTP and from a registry, with an alias, a condition, ranges; one is vendored.
fn files(server: &ChartServer) -> Vec<(&'static str, String)> {
    let (http, oci) = (server.url(), format!("oci://{}/team", server.host()));
    let chart = format!(
        "apiVersion: v2\nname: umbrella\nversion: 0.1.0\ndependencies:\n\
         - {{name: redis, version: ^17.1, repository: '{http}'}}\n\
         - {{name: pg, alias: db, version: 1.2.3, repository: '{http}'}}\n\
         - {{name: pg, alias: other, version: 1.x, repository: '{http}'}}\n\
         - {{name: extra, version: '*', repository: '{http}', condition: extra.enabled}}\n\
         - {{name: queue, version: ~2.0, repository: '{oci}'}}\n\
         - {{name: near, version: '>=0.1', repository: 'file://../near'}}\n"
    );
    vec![
        ("umbrella/Chart.yaml", chart),
        ("umbrella/values.yaml", "db: {size: large}\nextra: {enabled: false}\n".to_owned()),
        ("umbrella/templates/own.yaml", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: own}\n".to_owned()),
        ("near/Chart.yaml", "apiVersion: v2\nname: near\nversion: 0.3.0\n".to_owned()),
        ("near/templates/near.yaml", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: near}\n".to_owned()),
    ]
}

fn publish_all(server: &ChartServer) {
    for (name, version) in [
        ("redis", "17.1.0"),
        ("redis", "17.4.0"),
        ("redis", "18.0.0"),
        ("pg", "1.2.3"),
        ("pg", "1.3.0"),
        ("extra", "1.0.0"),
        ("queue", "2.0.7"),
        ("queue", "2.1.0"),
    ] {
        publish(server, name, version);
    }
}

fn push(world: &World, files: &[(&'static str, String)]) {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    world.flow.push("Files", &files);
}

// The real helm asks the server meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependencies_that_are_not_vendored_are_fetched_as_helm_fetches_them() {
    let mut world = Box::pin(World::start()).await;
    publish_all(&world.server);
    let files = files(&world.server);
    push(&world, &files);
    world.push("Add web", &[application("web", &source("umbrella"))]).await;
    let names = ["redis", "db", "other", "extra", "queue", "near", "own"];
    let deployed = names.map(|name| world.map(name));
    let data = |version: &str, size: &str| Some(json!({"version": version, "size": size}));
    let empty = Some(Value::Null);
    let expected = [
        data("17.4.0", "small"),
        data("1.2.3", "large"),
        // The first of those in `charts/` that its range allows.
        data("1.2.3", "small"),
        None,
        data("2.0.7", "small"),
        empty.clone(),
        empty,
    ];
    assert_eq!(deployed, expected, "{:?}", world.flow.messages());
    let digests = world.state().await.notes["charts"].clone();
    assert_eq!(digests.as_object().map(serde_json::Map::len), Some(5), "{digests}");
    if let Some(helm) = skip::or_skip("helm dependency build", tools::helm()) {
        let mut by_helm = by_helm(&helm, &files, &names);
        // Of two archives of one chart that a range allows, helm takes now one and now the other.
        by_helm[2].clone_from(&deployed[2]);
        assert_eq!(by_helm, deployed, "as the real helm has it");
    }
    // The same commit stays with the versions that were deployed; the next one takes newer ones.
    publish(&world.server, "redis", "17.9.0");
    world.flow.checker = crate::charts::checker(&world.flow.sandbox, &world.server).await;
    let found = world.flow.check().await;
    assert_eq!(found["applications"]["web"], json!({}), "{found}");
    world
        .flow
        .push("Go on", &[("umbrella/templates/own.yaml", "{kind: ConfigMap, apiVersion: v1, metadata: {name: own}}")]);
    world.flow.settle().await;
    assert_eq!(world.map("redis").unwrap()["version"], "17.9.0", "{:?}", world.flow.messages());
}

/// The data of the ConfigMaps `names` of the real helm's render.
fn by_helm<const N: usize>(helm: &Path, files: &[(&str, String)], names: &[&str; N]) -> [Option<Value>; N] {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(helm);
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, folder.path().join("home"));
        }
        let done = command.args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    // It takes OCI dependencies over plain HTTP by a flag only.
    run(&["dependency", "update", "umbrella", "--plain-http"]);
    let objects = yaml::parse_all(&run(&["template", "web", "umbrella"])).unwrap();
    names.map(|name| {
        let object = objects.iter().find(|object| object["metadata"]["name"] == name)?;
        Some(object.get("data").cloned().unwrap_or_default())
    })
}

#[tokio::test]
async fn a_lock_decides_and_one_out_of_sync_is_told() {
    let mut world = Box::pin(World::start()).await;
    publish_all(&world.server);
    let chart = format!(
        "apiVersion: v2\nname: umbrella\nversion: 0.1.0\ndependencies:\n\
         - {{name: redis, version: 17.x, repository: '{}'}}\n",
        world.server.url()
    );
    let lock = "dependencies:\n- name: redis\n  repository: x\n  version: 17.1.0\n";
    push(&world, &[("umbrella/Chart.yaml", chart.clone()), ("umbrella/Chart.lock", lock.to_owned())]);
    world.push("Add web", &[application("web", &source("umbrella"))]).await;
    assert_eq!(world.map("redis").unwrap()["version"], "17.1.0", "{:?}", world.flow.messages());
    push(&world, &[("umbrella/Chart.yaml", chart.replace("17.x", "18.x"))]);
    world.flow.settle().await;
    assert!(world.said("it is out of sync, run `helm dependency update`"), "{:?}", world.flow.messages());
    assert_eq!(world.map("redis").unwrap()["version"], "17.1.0");
}

#[tokio::test]
async fn helm_charts_of_kustomizations_are_fetched_where_helm_is_enabled() {
    let mut world = Box::pin(World::start()).await;
    publish_all(&world.server);
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm, namespace: argocd}\n\
                    data: {kustomize.buildOptions: --enable-helm}\n";
    let kustomization = format!(
        "namePrefix: k-\nhelmCharts:\n- {{name: redis, repo: '{}', version: 17.1.0, releaseName: r}}\n\
         - {{name: queue, repo: 'oci://{}/team', version: 2.1.0, releaseName: q, valuesInline: {{size: huge}}}}\n",
        world.server.url(),
        world.server.host()
    );
    push(&world, &[("kust/kustomization.yaml", kustomization), ("applications/cm.yaml", settings.to_owned())]);
    world.push("Add web", &[application("web", &source("kust"))]).await;
    assert_eq!(
        world.map("k-redis"),
        Some(json!({"version": "17.1.0", "size": "small"})),
        "{:?}",
        world.flow.messages()
    );
    assert_eq!(world.map("k-queue"), Some(json!({"version": "2.1.0", "size": "huge"})));
}

#[tokio::test]
async fn a_dependency_that_the_project_does_not_allow_is_not_fetched() {
    let mut world = Box::pin(World::start()).await;
    publish_all(&world.server);
    push(&world, &files(&world.server));
    let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "narrow", "namespace": "argocd"},
        "spec": {"sourceRepos": ["https://github.com/acme/*"], "destinations": [{"server": "*", "namespace": "*"}]}});
    let mut app = application("web", &source("umbrella"));
    app["spec"]["project"] = json!("narrow");
    world.push("Add", &[project, app]).await;
    assert!(world.said("does not allow the source `http://127.0.0.1"), "{:?}", world.flow.messages());
    assert_eq!((world.map("own"), world.server.asked(0)), (None, vec![]));
}
