//! An application whose source is a chart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
  syncPolicy: {automated: {prune: true}}
";
const TEMPLATE: &str = r#"apiVersion: v1
kind: Secret
metadata: {name: random}
data:
  password: {{ randAlphaNum 12 | b64enc }}
  since: {{ now | date "2006-01-02T15:04:05" | b64enc }}
  env: {{ .Values.env | b64enc }}
  web: {{ (lookup "apps/v1" "Deployment" "shop" "web").metadata.name | b64enc }}
  hidden: {{ (lookup "v1" "ConfigMap" "slipway" "").items | toJson | b64enc }}
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
    assert_eq!(text(&first, "hidden"), "null");
    assert_eq!(text(&first, "has"), "true");
    assert!(text(&first, "kube").starts_with("v1."));
    let said = flow.messages().join("\n");
    assert!(said.contains("slipway.dev/lookup-namespaces"), "{said}");

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
