//! A tree of Applications, deployed by the functions onto the real control plane.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Place;
use crate::functions::{Functions, recorded};

const REPOSITORY: &str = "https://github.com/acme/gitops";

fn app(name: &str, path: &str, project: &str, namespace: &str) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd", "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
        "spec": {"project": project, "source": {"repoURL": REPOSITORY, "path": path, "targetRevision": "main"},
            "destination": {"name": "in-cluster", "namespace": namespace},
            "syncPolicy": {"automated": {"prune": true}}}})
}

pub(crate) fn config(name: &str, namespace: &str) -> String {
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
pub(crate) fn deep(namespace: &str) -> Vec<(String, String)> {
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

/// The Application of a root chart, with the values of an environment.
pub(crate) fn chart_root(namespace: &str) -> String {
    let mut root = app(&format!("{namespace}-root"), &format!("{namespace}-chart"), "default", "argocd");
    root["spec"]["source"]["helm"] = json!({"valueFiles": ["values.yaml", "values-prod.yaml"]});
    root.to_string()
}

/// The root chart, with two Applications and `env` in a ConfigMap beside them, and what the Applications deploy.
pub(crate) fn root_chart(namespace: &str, env: &str) -> Vec<(String, String)> {
    let chart = |file: &str| format!("{namespace}-chart/{file}");
    let child = app("NAME", "PATH", "default", namespace).to_string();
    let child =
        child.replace("NAME", &format!("{namespace}-{{{{ . }}}}")).replace("PATH", &format!("{namespace}-{{{{ . }}}}"));
    let templates = format!("{{{{- range .Values.apps }}}}\n---\n{child}\n{{{{- end }}}}\n");
    let beside = config("env", namespace).replace("a: b", "env: '{{ .Values.env }}'");
    [
        (chart("Chart.yaml"), "apiVersion: v2\nname: root\nversion: 1.0.0\n".to_owned()),
        (chart("values.yaml"), "env: none\napps: [a]\n".to_owned()),
        (chart("values-prod.yaml"), format!("env: {env}\napps: [a, b]\n")),
        (chart("templates/apps.yaml"), templates),
        (chart("templates/env.yaml"), beside),
        (format!("{namespace}-a/x.yaml"), config("of-a", namespace)),
        (format!("{namespace}-b/x.yaml"), config("of-b", namespace)),
    ]
    .into()
}

/// One root chart, the environments by their value files.
#[tokio::test]
async fn a_root_chart_has_values_for_each_environment() {
    let Some(place) = Place::new("rootchart").await else { return };
    let namespace = place.namespace().to_owned();
    let mut functions = Functions::start(&place, &[("SLIPWAY_ROOT_APPLICATION", &chart_root(&namespace))]).await;
    functions.push("A root chart", &root_chart(&namespace, "prod"));
    functions.settle().await;
    assert_eq!(configs(&place), named(&["env", "of-a", "of-b"]), "{:?}", functions.messages());
    let env = crate::sync::list(&place, "configmaps").into_iter().find(|one| one["metadata"]["name"] == "env").unwrap();
    assert_eq!(env["data"]["env"], "prod");
}
