//! An application whose source is a chart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::world::Flow;

const APPLICATION: &str = r"apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: chart, namespace: argocd}
spec:
  project: default
  source:
    repoURL: https://github.com/acme/gitops
    path: chart
    targetRevision: main
    helm: {valueFiles: [prod.yaml]}
  destination: {name: in-cluster, namespace: shop}
  syncPolicy: {automated: {prune: true}, retry: {limit: 0}}
";
const TEMPLATE: &str = r#"apiVersion: v1
kind: Secret
metadata: {name: random}
data:
  password: {{ randAlphaNum 12 | b64enc }}
  since: {{ now | date "2006-01-02T15:04:05" | b64enc }}
  env: {{ .Values.env | b64enc }}
  web: {{ (lookup "apps/v1" "Deployment" "shop" "web").metadata.name | b64enc }}
  hidden: {{ (lookup "v1" "ConfigMap" "default" "").items | toJson | b64enc }}
  own: {{ (lookup "v1" "ConfigMap" "slipway" "").items | toJson | b64enc }}
  kube: {{ .Capabilities.KubeVersion.Version | b64enc }}
  has: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | toString | b64enc }}
"#;

fn secret(flow: &Flow) -> Value {
    let secret = flow.sandbox.cluster.get("/api/v1/namespaces/shop/secrets/random").expect("the Secret exists");
    secret["data"].clone()
}

/// Random values and dates stay over pushes, objects are looked up in the own namespace only, and nothing drifts.
#[tokio::test]
async fn a_chart_is_deployed_and_stays_as_it_is() {
    let mut flow = Flow::deployed().await;
    flow.push(
        "Add a chart",
        &[
            ("applications/chart.yaml", APPLICATION),
            ("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n"),
            ("chart/prod.yaml", "env: one\n"),
            ("chart/templates/secret.yaml", TEMPLATE),
        ],
    );
    flow.settle().await;
    let first = secret(&flow);
    let text = |data: &Value, key: &str| {
        let bytes = STANDARD.decode(data[key].as_str().unwrap_or_default());
        String::from_utf8(bytes.unwrap()).unwrap()
    };
    assert_eq!(text(&first, "env"), "one");
    assert_eq!(text(&first, "web"), "web");
    assert_eq!([text(&first, "hidden"), text(&first, "own")], ["null", "null"]);
    assert_eq!(text(&first, "has"), "true");
    assert!(text(&first, "kube").starts_with("v1."));
    let said = flow.messages().join("\n");
    assert!(said.contains("slipway.dev/lookup-namespaces"), "{said}");
    assert!(said.contains("the namespace `slipway` holds Slipway's own state, which charts may not read"), "{said}");

    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    flow.push("Change a value", &[("chart/prod.yaml", "env: two\n")]);
    flow.settle().await;
    let second = secret(&flow);
    assert_eq!(text(&second, "env"), "two");
    for key in ["password", "since"] {
        assert_eq!(first[key], second[key], "{key}");
    }
    let checked = flow.check().await;
    assert_eq!(checked["applications"]["chart"], json!({}), "{checked}");
}

/// What a team may read: ConfigMaps of its own namespaces, and those namespaces.
fn team(flow: &Flow) -> [(&'static str, String); 1] {
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "team-a"},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "https://kubernetes.default.svc", "namespace": "team-*"}],
            "clusterResourceWhitelist": [{"group": "", "kind": "Namespace", "name": "team-*"}],
            "namespaceResourceWhitelist": [{"group": "", "kind": "ConfigMap"}]}});
    let make = |path: &str, object: &Value| {
        let (status, answer) = flow.sandbox.cluster.call(Method::POST, path, "application/json", object);
        assert!(status.is_success(), "{answer}");
    };
    for name in ["team-a", "team-b"] {
        make("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    for (namespace, kind, plural) in [
        ("kube-system", "Secret", "secrets"),
        ("kube-system", "ConfigMap", "configmaps"),
        ("team-b", "ConfigMap", "configmaps"),
    ] {
        let object = json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"name": "crown", "namespace": namespace},
            "data": {"jewel": STANDARD.encode(format!("c4n4ry-{namespace}"))}});
        make(&format!("/api/v1/namespaces/{namespace}/{plural}"), &object);
    }
    [("applications/project.yaml", project.to_string())]
}

const LOOT: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: loot}
data:
  one: {{ lookup "v1" "Secret" "kube-system" "crown" | toJson | quote }}
  many: {{ lookup "v1" "Secret" "kube-system" "" | toJson | quote }}
  all: {{ lookup "v1" "Secret" "" "" | toJson | quote }}
  role: {{ lookup "v1" "Namespace" "" "kube-system" | toJson | quote }}
  roles: {{ lookup "v1" "Namespace" "" "" | toJson | quote }}
  state: {{ lookup "v1" "ConfigMap" "slipway" "" | toJson | quote }}
  maps: {{ range (lookup "v1" "ConfigMap" "" "").items }}{{ .metadata.namespace }}/{{ .metadata.name }} {{ end }}
  friend: {{ (lookup "v1" "ConfigMap" "team-b" "crown").data.jewel }}
  mine: {{ (lookup "v1" "Namespace" "" "team-a").metadata.name }}
"#;

fn thief(namespace: &str) -> String {
    APPLICATION
        .replace("namespace: argocd", "namespace: argocd, annotations: {slipway.dev/lookup-namespaces: \"*\"}")
        .replace("project: default", "project: team-a")
        .replace("namespace: shop", &format!("namespace: {namespace:?}"))
        .replace("    helm: {valueFiles: [prod.yaml]}\n", "")
}

/// The annotation asks within the project and opens nothing beyond it.
#[tokio::test]
async fn a_chart_reads_what_its_project_allows() {
    let mut flow = Flow::deployed().await;
    let [(path, project)] = team(&flow);
    let app = thief("team-a");
    let files = [
        (path, project.as_str()),
        ("applications/chart.yaml", &app),
        ("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n"),
        ("chart/templates/loot.yaml", LOOT),
    ];
    flow.push("Steal", &files);
    flow.settle().await;
    let loot = flow.sandbox.cluster.get("/api/v1/namespaces/team-a/configmaps/loot").expect("it is deployed");
    let loot = loot["data"].as_object().unwrap();
    for hidden in ["one", "many", "all", "role", "roles", "state"] {
        assert_eq!(loot[hidden], "{}", "{hidden}");
    }
    assert_eq!(loot["maps"], "team-b/crown", "of all namespaces, those of the project");
    assert_eq!(loot["friend"], STANDARD.encode("c4n4ry-team-b"));
    assert_eq!(loot["mine"], "team-a");
    let said = flow.messages().join("\n");
    for words in [
        "a chart looks up Secret/kube-system/crown and is told that there is none: AppProject `team-a` does not allow",
        "a chart looks up Namespace/kube-system and is told that there is none: AppProject `team-a` does not allow",
        "a chart looks up ConfigMap/* and is told of those that AppProject `team-a` lets it read",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let reads = flow.sandbox.cluster.exchanges().into_iter().filter(|one| one.request.path.contains("/secrets"));
    assert_eq!(reads.count(), 0, "what may not be read is not asked for");
    assert!(!said.contains("c4n4ry"), "{said}");
}

/// A namespace that is none would lead the read elsewhere: `*-dev` fits it, and its URL ends in a query.
#[tokio::test]
async fn a_namespace_that_leads_elsewhere_is_refused() {
    let mut flow = Flow::deployed().await;
    let [(path, project)] = team(&flow);
    let project = project.replace("team-*", "*-dev");
    let hostile = "kube-system/secrets?x=-dev";
    let app = thief(hostile);
    let template = |namespace: &str| {
        LOOT.split_inclusive('\n').take(3).collect::<String>()
            + &format!("data: {{x: {{{{ lookup \"v1\" \"ConfigMap\" {namespace:?} \"\" | toJson | quote }}}}}}\n")
    };
    let (chart, loot) = ("apiVersion: v2\nname: chart\nversion: 1.0.0\n", template(hostile));
    let files = [
        (path, project.as_str()),
        ("applications/chart.yaml", &app),
        ("chart/Chart.yaml", chart),
        ("chart/templates/loot.yaml", &loot),
    ];
    flow.push("Steal", &files);
    flow.settle().await;
    let said = flow.messages().join("\n");
    assert!(said.contains("`spec.destination.namespace` must be") && said.contains(hostile), "{said}");

    // By the lookup alone, from a namespace that is one.
    flow.push("Steal", &[("applications/chart.yaml", &thief("x-dev"))]);
    flow.settle().await;
    let said = flow.messages().join("\n");
    assert!(said.contains("`namespace` must be") && said.contains("kube-system/secrets?x=-dev"), "{said}");

    // By an object's own namespace, name or kind.
    for object in [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": hostile}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "../../../kube-system/secrets/crown",
            "namespace": "x-dev"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap/kube-system", "metadata": {"name": "x"}}),
        json!({"apiVersion": "v1/namespaces/kube-system", "kind": "ConfigMap", "metadata": {"name": "x"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "../x",
            "annotations": {"argocd.argoproj.io/hook": "PreSync"}}}),
    ] {
        let before = flow.messages().len();
        flow.push("Steal", &[("chart/templates/loot.yaml", &object.to_string())]);
        flow.settle().await;
        let said = flow.messages()[before..].join("\n");
        assert!(said.contains("must be") && said.contains("found"), "{object}: {said}");
    }
    let stolen = flow
        .sandbox
        .cluster
        .exchanges()
        .into_iter()
        .filter(|one| one.request.path.contains("kube-system") || one.request.path.contains("/secrets"));
    assert_eq!(stolen.map(|one| one.request.path).collect::<Vec<_>>(), Vec::<String>::new());
}
