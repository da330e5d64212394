//! A tree of Applications, deployed by the functions onto the real control plane.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::Place;
use crate::functions::{Functions, in_a_while, recorded};

const REPOSITORY: &str = "https://github.com/acme/gitops";
/// How often a worker is killed; each time its Lease has to run out. `SLIPWAY_KILLS` for more.
const KILLS: u64 = 2;

fn app(name: &str, path: &str, project: &str, namespace: &str) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd", "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
        "spec": {"project": project, "source": {"repoURL": REPOSITORY, "path": path, "targetRevision": "main"},
            "destination": {"name": "in-cluster", "namespace": namespace},
            "syncPolicy": {"automated": {"prune": true}}}})
}

fn config(name: &str, namespace: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{a: b}}\n")
}

/// The ConfigMaps in the namespace of `place`.
fn configs(place: &Place) -> BTreeSet<String> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    crate::sync::list(place, "configmaps").iter().map(name).filter(|name| name != "kube-root-ca.crt").collect()
}

fn named(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Three deep: the project of the lowest is declared in the middle, and other objects stand beside the Applications at
/// each level.
fn deep(namespace: &str) -> Vec<(String, String)> {
    let one = |name: &str| format!("{namespace}-{name}");
    let child = |name: &str, project: &str| app(&one(name), &one(name), project, namespace).to_string();
    let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": one("team"), "namespace": "argocd"},
        "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": namespace}]}});
    let excluded = format!("apiVersion: v1\nkind: LimitRange\nmetadata: {{name: none, namespace: {namespace}}}\n");
    [
        (format!("{namespace}/one.yaml"), child("one", "default")),
        (format!("{namespace}/beside.yaml"), config("beside-the-root", namespace)),
        (format!("{}/two.yaml", one("one")), child("two", "default")),
        (format!("{}/project.yaml", one("one")), project.to_string()),
        (format!("{}/beside.yaml", one("one")), config("beside-one", namespace)),
        (format!("{}/three.yaml", one("two")), child("three", &one("team"))),
        (format!("{}/x.yaml", one("three")), config("lowest", namespace) + "---\n" + &excluded),
    ]
    .into()
}

/// An Application with Argo CD's settings.
fn settings(namespace: &str) -> [(String, String); 2] {
    let name = format!("{namespace}-cd");
    let mut app = app(&name, &name, "default", "argocd");
    app["spec"]["syncPolicy"]["syncOptions"] = json!(["CreateNamespace=true"]);
    let setting = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd"},
        "data": {"resource.exclusions": "[{kinds: [LimitRange]}]"}});
    [(format!("{namespace}/settings.yaml"), app.to_string()), (format!("{name}/cm.yaml"), setting.to_string())]
}

#[tokio::test]
async fn a_tree_three_deep_is_deployed_and_goes_as_it_came() {
    let Some(place) = Place::new("tree").await else { return };
    let mut functions = Functions::start(&place, &[]).await;
    let namespace = place.namespace().to_owned();
    let mut files = deep(&namespace);
    // One Application of the cluster has Argo CD's settings.
    files.extend(settings(&namespace));
    functions.push("Three deep", &files);
    functions.settle().await;
    let all = named(&["beside-the-root", "beside-one", "lowest"]);
    assert_eq!(configs(&place), all, "{:?}", functions.messages());
    assert!(crate::sync::list(&place, "limitranges").is_empty(), "argocd-cm excludes the kind");
    for name in ["one", "two", "three", "cd"] {
        let name = format!("{namespace}-{name}");
        let state = recorded(&place, &name).await.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(state.status.sync.status.to_string(), "Synced", "{name}: {state:?}");
    }

    // A child that leaves goes with what it has, once that is approved.
    functions.push("Drop the lowest", &[(format!("{namespace}-two/three.yaml"), String::new())]);
    functions.settle().await;
    assert_eq!(configs(&place), all, "it waits for an approval");
    let texts = functions.messages().join("\n");
    assert!(texts.contains("waits for an approval"), "{texts}");

    // What stands beside goes at once.
    functions.push("Drop what stands beside", &[(format!("{namespace}-one/beside.yaml"), String::new())]);
    functions.settle().await;
    assert_eq!(configs(&place), named(&["beside-the-root", "lowest"]));
}

/// One root chart, the environments by their value files.
#[tokio::test]
async fn a_root_chart_has_values_for_each_environment() {
    let Some(place) = Place::new("rootchart").await else { return };
    let namespace = place.namespace().to_owned();
    let mut root = app(&format!("{namespace}-root"), &format!("{namespace}-chart"), "default", "argocd");
    root["spec"]["source"]["helm"] = json!({"valueFiles": ["values.yaml", "values-prod.yaml"]});
    let mut functions = Functions::start(&place, &[("SLIPWAY_ROOT_APPLICATION", &root.to_string())]).await;
    let chart = |file: &str| format!("{namespace}-chart/{file}");
    let child = app("NAME", "PATH", "default", &namespace).to_string();
    let child =
        child.replace("NAME", &format!("{namespace}-{{{{ . }}}}")).replace("PATH", &format!("{namespace}-{{{{ . }}}}"));
    let templates = format!("{{{{- range .Values.apps }}}}\n---\n{child}\n{{{{- end }}}}\n");
    let beside = config("env", &namespace).replace("a: b", "env: '{{ .Values.env }}'");
    functions.push(
        "A root chart",
        &[
            (chart("Chart.yaml"), "apiVersion: v2\nname: root\nversion: 1.0.0\n".to_owned()),
            (chart("values.yaml"), "env: none\napps: [a]\n".to_owned()),
            (chart("values-prod.yaml"), "env: prod\napps: [a, b]\n".to_owned()),
            (chart("templates/apps.yaml"), templates),
            (chart("templates/env.yaml"), beside),
            (format!("{namespace}-a/x.yaml"), config("of-a", &namespace)),
            (format!("{namespace}-b/x.yaml"), config("of-b", &namespace)),
        ],
    );
    functions.settle().await;
    assert_eq!(configs(&place), named(&["env", "of-a", "of-b"]), "{:?}", functions.messages());
    let env = crate::sync::list(&place, "configmaps").into_iter().find(|one| one["metadata"]["name"] == "env").unwrap();
    assert_eq!(env["data"]["env"], "prod");
}

/// A worker that is killed anywhere leaves what the next one ends. `SLIPWAY_KILL_SEED` repeats a run.
#[tokio::test]
async fn a_killed_worker_leaves_a_tree_that_the_next_one_ends() {
    let Some(place) = Place::new("treekilled").await else { return };
    let mut functions = Functions::start(&place, &[]).await;
    let namespace = place.namespace().to_owned();
    let kills = std::env::var("SLIPWAY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let seed = std::env::var("SLIPWAY_KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    functions.push("Three deep", &deep(&namespace));
    functions.settle().await;
    for kill in 0..kills {
        let lowest = format!("{namespace}-three/x.yaml");
        let beside = format!("{namespace}-one/more.yaml");
        let (one, two) = (format!("lowest-{kill}"), format!("beside-{kill}"));
        functions.push("Change two levels", &[(lowest, config(&one, &namespace)), (beside, config(&two, &namespace))]);
        while let Some(event) = functions.next_event() {
            let cut = Duration::from_millis(u64::from(random.next_u32() % 400));
            let killed = functions.worker.handle(event.clone(), in_a_while(), "killed");
            if tokio::time::timeout(cut, killed).await.is_err() {
                // Nobody took the message from the queue.
                functions.worker.handle(event, in_a_while(), "the next").await.unwrap();
            }
        }
        functions.settle().await;
        let expected = named(&["beside-the-root", "beside-one", &one, &two]);
        assert_eq!(configs(&place), expected, "{kill} of seed {seed}: {:?}", functions.messages());
        for name in ["one", "two", "three"] {
            let state = recorded(&place, &format!("{namespace}-{name}")).await.unwrap();
            assert!(state.operation.is_none(), "{kill} of seed {seed}: {name}");
        }
    }
}
