//! Files that SOPS encrypted, with age and for a key of AWS KMS (moto's): deployed as plain files, by KSOPS, by
//! Kustomize's generators and as value files of helm-secrets. What was in them is seen in the cluster and nowhere else.

use serde_json::{Value, json};
use slipway_sandbox::forge::Change;
use slipway_tests::bed::Bed;
use slipway_tests::tools;

const PROJECT: &str = "\
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: NAME, annotations: {slipway.dev/decrypt: sops}}
spec:
  sourceRepos: ['*']
  destinations: [{server: '*', namespace: '*'}]
  clusterResourceWhitelist: [{group: '*', kind: '*'}]
";
const KSOPS: &str = "\
apiVersion: viaduct.ai/v1
kind: ksops
metadata: {name: secrets, annotations: {config.kubernetes.io/function: 'exec: {path: ksops}'}}
files: [./documents.yaml]
secretFrom:
- metadata: {name: files}
  files: [note=text.txt]
  binaryFiles: [bytes.bin]
";
/// What helm-secrets' users do: a value file of a chart, here also where no Secret is.
const TEMPLATE: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: chart}
stringData: {password: {{ .Values.db.password | quote }}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: chart}
data: {url: 'postgres://shop:{{ .Values.db.password }}@db', port: {{ .Values.db.port | quote }}}
";
/// The plaintext of `values.yaml`, `text.txt`, `app.env`, and in base64.
const CANARIES: [&str; 5] = ["s3cret-value", "czNjcmV0LXZhbHVl", "binary text", "p=a=s s", "cD1hPXMgcw=="];

fn recorded(name: &str) -> Vec<u8> {
    let folder = tools::workspace().join("tests/reference/sops");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn application(name: &str, project: &str, namespace: &str, helm: &Value) -> String {
    let source = json!({"repoURL": format!("https://github.com/acme/{namespace}"), "path": name, "helm": helm});
    let full = format!("{namespace}-{name}");
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": full},
        "spec": {"project": project, "source": source,
            "destination": {"name": "in-cluster", "namespace": namespace},
            "syncPolicy": {"automated": {}, "retry": {"limit": 0}, "syncOptions": ["CreateNamespace=true"]}},
    })
    .to_string()
}

/// `documents.yaml` as SOPS would have encrypted it for a key of KMS: its data key wrapped by that.
fn for_kms(bed: &Bed) -> (String, String) {
    let created: Value = serde_json::from_str(&bed.aws_cli(&["kms", "create-key"])).expect("JSON");
    let arn = created["KeyMetadata"]["Arn"].as_str().expect("an ARN").to_owned();
    let key = tempfile::NamedTempFile::new().expect("a file");
    let hex = String::from_utf8(recorded("data-key-of-documents.hex")).expect("hex");
    std::fs::write(key.path(), hex::decode(hex.trim()).expect("hex")).expect("a file");
    let plaintext = format!("fileb://{}", key.path().display());
    let context = ["--encryption-context", "app=shop"];
    let encrypt = [&["kms", "encrypt", "--key-id", &arn, "--plaintext", &plaintext], &context[..]].concat();
    let wrapped: Value = serde_json::from_str(&bed.aws_cli(&encrypt)).expect("JSON");
    let wrapped = wrapped["CiphertextBlob"].as_str().expect("a blob");
    let file = String::from_utf8(recorded("cases/documents.yaml")).expect("UTF-8");
    let (before, rest) = file.split_once("    age:\n").expect("keys of age");
    let keys = format!("    kms:\n        - arn: {arn}\n          enc: {wrapped}\n          context: {{app: shop}}\n");
    let mut changed = before.to_owned() + &keys;
    for (number, part) in rest.split("    age:\n").enumerate() {
        let after = part.split_once("    encrypted_regex").expect("a rule").1;
        changed = changed + if number > 0 { &keys } else { "" } + "    encrypted_regex" + after;
    }
    (arn, changed)
}

#[tokio::test]
async fn encrypted_files_are_deployed_and_seen_nowhere_else() {
    let Some(mut bed) = Bed::new(&[("apps/.keep", "")]).await else { return };
    let namespace = bed.name.clone();
    let (arn, documents) = for_kms(&bed);
    let secret = bed.secret("age", &String::from_utf8(recorded("keys.txt")).unwrap()).await;
    bed.set("SLIPWAY_SOPS_AGE_SECRET", &secret);
    bed.set("SLIPWAY_SOPS_KMS_KEYS", &arn);
    let helm = json!({"valueFiles": ["secrets://secrets.yaml"]});
    let other = PROJECT.replace("NAME", "other").replace(", annotations: {slipway.dev/decrypt: sops}", "");
    let texts = [
        ("apps/project.yaml", PROJECT.replace("NAME", "trusted")),
        ("apps/other.yaml", other),
        ("apps/plain.yaml", application("plain", "trusted", &namespace, &Value::Null)),
        ("apps/generated.yaml", application("generated", "trusted", &namespace, &Value::Null)),
        ("apps/chart.yaml", application("chart", "trusted", &namespace, &helm)),
        ("apps/refused.yaml", application("refused", "other", &namespace, &Value::Null)),
        (
            "generated/kustomization.yaml",
            "generators: [ksops.yaml]\nsecretGenerator:\n- {name: env, envs: [app.env]}\n".into(),
        ),
        ("generated/ksops.yaml", KSOPS.to_owned()),
        ("generated/documents.yaml", documents),
        ("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n".into()),
        ("chart/templates/all.yaml", TEMPLATE.to_owned()),
    ];
    let files = [
        ("plain/secret.yaml", "secret.yaml"),
        ("refused/secret.yaml", "secret.yaml"),
        ("generated/text.txt", "text.txt"),
        ("generated/bytes.bin", "bytes.bin"),
        ("generated/app.env", "app.env"),
        ("chart/secrets.yaml", "values.yaml"),
    ];
    let mut changes: Vec<Change> = texts.iter().map(|(path, text)| Change::write(*path, text.as_str())).collect();
    changes.extend(files.iter().map(|(path, case)| Change::write(*path, recorded(&format!("cases/{case}")))));
    bed.deploy("Deploy what is encrypted", &changes).await;
    bed.work().await;

    let secret = |name: &str, key: &str| {
        let found = bed.cluster.kubectl(&["-n", &namespace, "get", "secret", name, "-o", "json"]);
        let found: Value = serde_json::from_str(&found.unwrap_or_else(|| panic!("no {name}\n{}", bed.logs()))).unwrap();
        found["data"][key].as_str().unwrap_or_else(|| panic!("{name}: {found}")).to_owned()
    };
    assert_eq!(secret("db", "user"), "c2hvcA==");
    assert_eq!((secret("a", "a"), secret("b", "b")), ("b25l".to_owned(), "dHdv".to_owned()));
    assert_eq!(secret("files", "note"), "aGVsbG8KYmluYXJ5IHRleHQK");
    assert_eq!(secret("chart", "password"), CANARIES[1]);
    let map = bed.cluster.kubectl(&["-n", &namespace, "get", "configmap", "chart", "-o", "jsonpath={.data.url}"]);
    assert_eq!(map.unwrap(), "postgres://shop:s3cret-value@db");
    let told: Vec<String> = bed.slack.messages().into_iter().map(|message| message.text).collect();
    let refusal = "AppProject `other` does not let it be decrypted: annotate it with `slipway.dev/decrypt: sops`";
    assert!(told.iter().any(|text| text.contains(refusal)), "{told:#?}");

    // Drift of what is no Secret is told without the value.
    bed.cluster
        .kubectl(&["-n", &namespace, "patch", "configmap", "chart", "-p", r#"{"data":{"url":"changed"}}"#])
        .unwrap();
    bed.check().await;
    assert!(bed.slack.messages().iter().any(|message| message.text.contains("ConfigMap/")), "the drift is told");

    crate::told_nowhere(&bed, &[&CANARIES[..], &["AGE-SECRET-KEY"]].concat());
}
