//! Placeholders of argocd-vault-plugin, for secrets and parameters of AWS (moto's): deployed from plain manifests, by a
//! kustomization and by a chart of the plugin. What stands there is seen in the cluster and nowhere else.

use serde_json::{Value, json};
use slipway_sandbox::forge::Change;
use slipway_tests::bed::Bed;

const CANARIES: [&str; 4] = ["canary-pass", "Y2FuYXJ5LXBhc3M=", "canary-old", "canary-token"];

fn project(name: &str, annotations: &Value) -> String {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]},
    })
    .to_string()
}

fn application(name: &str, project: &str, namespace: &str, plugin: &Value) -> String {
    let source = json!({"repoURL": format!("https://github.com/acme/{namespace}"), "path": name, "plugin": plugin});
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": format!("{namespace}-{name}")},
        "spec": {"project": project, "source": source,
            "destination": {"name": "in-cluster", "namespace": namespace},
            "syncPolicy": {"automated": {}, "retry": {"limit": 0}, "syncOptions": ["CreateNamespace=true"]}},
    })
    .to_string()
}

#[tokio::test]
async fn placeholders_are_replaced_and_their_values_seen_nowhere_else() {
    let Some(mut bed) = Bed::new(&[("apps/.keep", "")]).await else { return };
    let namespace = bed.name.clone();
    let db = bed.secret("db", &json!({"user": "shop", "pass": "canary-old"}).to_string()).await;
    let old: Value =
        serde_json::from_str(&bed.aws_cli(&["secretsmanager", "describe-secret", "--secret-id", &db])).unwrap();
    let old = old["VersionIdsToStages"].as_object().unwrap().keys().next().unwrap().clone();
    let now = json!({"user": "shop", "pass": "canary-pass", "conf": {"hosts": ["db-1"]}}).to_string();
    bed.aws_cli(&["secretsmanager", "put-secret-value", "--secret-id", &db, "--secret-string", &now]);
    let parameter = format!("/{namespace}/token");
    bed.aws_cli(&["ssm", "put-parameter", "--type", "SecureString", "--name", &parameter, "--value", "canary-token"]);
    let other = bed.secret("hidden", r#"{"a": "canary-hidden"}"#).await;
    let arns = format!("arn:aws:secretsmanager:*:*:secret:{db}-??????, arn:aws:ssm:*:*:parameter/{namespace}/*");
    bed.set("SLIPWAY_PLACEHOLDER_SECRETS", &arns);
    let map = |name: &str, data: &Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}).to_string()
    };
    let secret = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "plain", "annotations": {"avp.kubernetes.io/path": db}},
        "stringData": {"pass": "<pass>", "old": format!("<path:{db}#pass#{old}>")},
        "data": {"encoded": "<pass | base64encode>"}});
    let url = format!("pg://<path:{db}#user>:<path:{db}#pass>@<path:{db}#conf | jsonPath {{.hosts[0]}}>/?<no>");
    let plain = json!({"url": url, "token": format!("<path:ssm:{parameter}#value>")});
    let helm = json!({"name": "argocd-vault-plugin-helm",
        "env": [{"name": "HELM_VALUES", "value": format!("pass: <path:{db}#pass>\n")}]});
    let avp = json!({"name": "argocd-vault-plugin"});
    let texts = [
        ("apps/project.yaml", project("trusted", &json!({"slipway.dev/decrypt": "sops, placeholders"}))),
        ("apps/other.yaml", project("other", &json!({"slipway.dev/decrypt": "sops"}))),
        ("apps/plain.yaml", application("plain", "trusted", &namespace, &Value::Null)),
        ("apps/generated.yaml", application("generated", "trusted", &namespace, &Value::Null)),
        ("apps/chart.yaml", application("chart", "trusted", &namespace, &helm)),
        ("apps/refused.yaml", application("refused", "other", &namespace, &avp)),
        ("apps/untouched.yaml", application("untouched", "other", &namespace, &Value::Null)),
        ("apps/hidden.yaml", application("hidden", "trusted", &namespace, &Value::Null)),
        ("plain/secret.yaml", secret.to_string()),
        ("plain/map.yaml", map("plain", &plain)),
        (
            "generated/kustomization.yaml",
            "secretGenerator:\n- {name: made, literals: ['p=<path:DB#pass>']}\n\
            generatorOptions: {disableNameSuffixHash: true}\n"
                .replace("DB", &db),
        ),
        ("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n".into()),
        (
            "chart/templates/map.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chart}\n\
            data: {pass: {{ .Values.pass | quote }}}\n"
                .into(),
        ),
        ("refused/map.yaml", map("refused", &json!({"a": "1"}))),
        ("untouched/map.yaml", map("untouched", &json!({"a": format!("<path:{db}#pass>")}))),
        ("hidden/map.yaml", map("hidden", &json!({"a": format!("<path:{other}#a>")}))),
    ];
    let changes: Vec<Change> = texts.iter().map(|(path, text)| Change::write(*path, text.as_str())).collect();
    bed.deploy("Deploy what has placeholders", &changes).await;
    bed.work().await;

    let data = |kind: &str, name: &str, key: &str| {
        let found = bed.cluster.kubectl(&["-n", &namespace, "get", kind, name, "-o", "json"]);
        let found: Value = serde_json::from_str(&found.unwrap_or_else(|| panic!("no {name}\n{}", bed.logs()))).unwrap();
        found["data"][key].as_str().unwrap_or_else(|| panic!("{name}: {found}")).to_owned()
    };
    assert_eq!(
        (data("secret", "plain", "pass"), data("secret", "plain", "encoded")),
        (CANARIES[1].into(), CANARIES[1].into())
    );
    assert_eq!(data("secret", "plain", "old"), "Y2FuYXJ5LW9sZA==");
    assert_eq!(data("configmap", "plain", "url"), "pg://shop:canary-pass@db-1/?<no>");
    assert_eq!(data("configmap", "plain", "token"), "canary-token");
    assert_eq!(data("secret", "made", "p"), CANARIES[1]);
    assert_eq!(data("configmap", "chart", "pass"), "canary-pass");
    assert_eq!(data("configmap", "untouched", "a"), format!("<path:{db}#pass>"));
    let told: Vec<String> = bed.slack.messages().into_iter().map(|message| message.text).collect();
    let leave = "annotate it with `slipway.dev/decrypt: placeholders`";
    let set = "is none of the secrets that SLIPWAY_PLACEHOLDER_SECRETS names";
    assert!([leave, set].iter().all(|part| told.iter().any(|text| text.contains(part))), "{told:#?}");

    // Drift of what is no Secret is told without the value.
    bed.cluster
        .kubectl(&["-n", &namespace, "patch", "configmap", "plain", "-p", r#"{"data":{"url":"changed"}}"#])
        .unwrap();
    bed.check().await;
    assert!(bed.slack.messages().iter().any(|message| message.text.contains("ConfigMap/")), "the drift is told");

    crate::told_nowhere(&bed, &[&CANARIES[..], &["canary-hidden"]].concat());
}

/// A secret that changes while Git stays as it is, is drift: told, and healed where the Application says so.
#[tokio::test]
async fn a_secret_that_changes_alone_is_found_by_the_check() {
    let Some(mut bed) = Bed::new(&[("apps/.keep", "")]).await else { return };
    let namespace = bed.name.clone();
    let db = bed.secret("db", r#"{"pass": "canary-first"}"#).await;
    bed.set("SLIPWAY_PLACEHOLDER_SECRETS", &format!("arn:aws:secretsmanager:*:*:secret:{db}-??????"));
    let healed = application("healed", "trusted", &namespace, &Value::Null);
    let healed = healed.replace(r#""automated":{}"#, r#""automated":{"selfHeal":true}"#);
    assert!(healed.contains("selfHeal"));
    let secret = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"pass": format!("<path:{db}#pass>")}})
        .to_string()
    };
    let texts = [
        ("apps/project.yaml", project("trusted", &json!({"slipway.dev/decrypt": "placeholders"}))),
        ("apps/told.yaml", application("told", "trusted", &namespace, &Value::Null)),
        ("apps/healed.yaml", healed),
        ("told/secret.yaml", secret("told")),
        ("healed/secret.yaml", secret("healed")),
    ];
    let changes: Vec<Change> = texts.iter().map(|(path, text)| Change::write(*path, text.as_str())).collect();
    bed.deploy("Deploy what has placeholders", &changes).await;
    bed.work().await;
    let pass = |bed: &Bed, name: &str| {
        let found = bed.cluster.kubectl(&["-n", &namespace, "get", "secret", name, "-o", "jsonpath={.data.pass}"]);
        found.unwrap_or_else(|| panic!("no {name}\n{}", bed.logs()))
    };
    let (first, next) = ("Y2FuYXJ5LWZpcnN0", "Y2FuYXJ5LW5leHQ=");
    assert_eq!([pass(&bed, "told"), pass(&bed, "healed")], [first, first]);
    let before = bed.slack.messages().len();
    bed.check().await;
    assert_eq!(bed.slack.messages().len(), before, "nothing has changed yet: {:#?}", bed.slack.messages());

    let now = json!({"pass": "canary-next"}).to_string();
    bed.aws_cli(&["secretsmanager", "put-secret-value", "--secret-id", &db, "--secret-string", &now]);
    bed.check().await;
    let told: Vec<String> = bed.slack.messages().into_iter().skip(before).map(|message| message.text).collect();
    let expected = format!("Secret/{namespace}/told");
    assert!(told.iter().any(|text| text.contains(&expected)), "{told:#?}\n{}", bed.logs());
    assert_eq!([pass(&bed, "told"), pass(&bed, "healed")], [first, next], "{told:#?}");
    crate::told_nowhere(&bed, &["canary-first", "canary-next", first, next]);
}
