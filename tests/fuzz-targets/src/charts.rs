//! Helm: a chart's files, its templates, what an Application sets for it.

use std::collections::BTreeMap;

use serde_json::json;
use slipway_budget::Budget;
use slipway_helm::argo::{self, Context};
use slipway_helm::{Options, Set, SetKind, merge_values, render, render_name, render_template};
use slipway_manifest::{Tree, yaml};

use crate::parts;

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes()).expect("a small tree holds some files");
    }
    tree
}

const CHART: &str = "apiVersion: v2\nname: fuzz\nversion: 1.0.0\n";

/// Renders the chart `fuzz` of `tree` twice, which gives the same.
fn render_chart(tree: &Tree, options: &Options) {
    let rendered = || match render(tree, "fuzz", options) {
        Ok(rendered) => Ok(rendered.manifests.into_iter().map(|one| (one.source, one.value)).collect::<Vec<_>>()),
        Err(error) => Err(format!("{error} {}", error.report())),
    };
    assert_eq!(rendered(), rendered());
}

/// A chart: `Chart.yaml`, values, a template, partials, `.helmignore` and the values of the Application.
pub fn helm_chart(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [chart, values, template, partials, ignore, user] = parts::parts(text);
    let tree = tree(&[
        ("fuzz/Chart.yaml", if chart.is_empty() { CHART } else { chart }),
        ("fuzz/values.yaml", values),
        ("fuzz/templates/a.yaml", template),
        ("fuzz/templates/_a.tpl", partials),
        ("fuzz/.helmignore", ignore),
        ("fuzz/files/a.txt", "a\nb\n"),
        ("fuzz/charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 0.1.0\n"),
        ("fuzz/charts/sub/values.yaml", "a: 1\nexports: {data: {b: 2}}\n"),
        ("fuzz/charts/sub/templates/b.yaml", "b: {{ .Values.a }}\n"),
    ]);
    let values = yaml::parse(user).into_iter().filter(serde_json::Value::is_object).collect();
    render_chart(&tree, &Options { values, ..Options::default() });
}

/// A schema, and values that it judges.
pub fn helm_schema(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [schema, values] = parts::parts(text);
    let tree = tree(&[("fuzz/Chart.yaml", CHART), ("fuzz/values.schema.json", schema), ("fuzz/values.yaml", values)]);
    render_chart(&tree, &Options::default());
}

/// A template with all functions of Helm, by itself and as the name of a release.
pub fn helm_template(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let data = json!({
        "a": 1, "b": "text", "l": [1, "two", null, [3]], "m": {"x": {"y": "z"}, "n": null}, "t": true, "f": 1.5,
    });
    let rendered = || render_template("fuzz", text, &data, &Options::default()).map_err(|error| error.to_string());
    assert_eq!(rendered(), rendered());
    let _ = render_name(text, &Options::default());
}

/// Reads the text, writes and reads it again: what comes is the same.
const TOML: &str = r#"
{{- $once := fromToml .text -}}
{{- if not (hasKey $once "Error") -}}
{{- $printed := toToml $once -}}
{{- if ne (toJson (fromToml $printed)) (toJson $once) -}}
{{- fail (printf "%s became %s" (toJson $once) $printed) -}}
{{- end -}}
{{- end -}}
"#;

/// TOML, through the functions of templates.
pub fn toml(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    if let Err(error) = render_template("toml", TOML, &json!({"text": text}), &Options::default()) {
        assert!(!error.to_string().contains("became"), "{error}");
    }
}

/// Assignments, a line each, by each of the flags. No error repeats a value.
pub fn strvals(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let kinds = [SetKind::Json, SetKind::Typed, SetKind::Text, SetKind::File, SetKind::Literal];
    for kind in kinds {
        let sets = text.lines().take(10).map(|line| Set::new(kind, line)).collect();
        let _ = merge_values(&Tree::default(), &Options { sets, ..Options::default() });
        // The value of a --set-file is a path, which is told.
        let Some((key, value)) = text.split_once('=').filter(|_| kind != SetKind::File) else { continue };
        let secret = format!("{key}={}", value.replace(char::is_alphanumeric, "c4n4ry"));
        let sets = vec![Set::new(kind, secret)];
        if let Err(error) = merge_values(&Tree::default(), &Options { sets, ..Options::default() }) {
            assert!(key.contains("c4n4ry") || !error.to_string().contains("c4n4ry"), "{error}");
        }
    }
}

/// `spec.source.helm` of an Application.
pub fn helm_source(data: &[u8]) {
    let Some(helm) = parts::text(data).and_then(|text| yaml::parse(text).ok()) else { return };
    let tree = tree(&[
        ("fuzz/Chart.yaml", CHART),
        ("fuzz/values.yaml", "a: 1\n"),
        ("fuzz/extra.yaml", "b: {c: [1, 2]}\n"),
        ("fuzz/templates/a.yaml", "a: {{ .Values | toJson }}\n"),
    ]);
    let env = BTreeMap::from([("ARGOCD_APP_NAME".to_owned(), "web".to_owned())]);
    let budget = Budget::default();
    let context = Context {
        tree: &tree,
        path: "fuzz",
        app: "web",
        namespace: "shop",
        kube_version: Some("v1.35.0"),
        api_versions: &[],
        env: &env,
        budget: &budget,
    };
    if let Ok((options, read)) = argo::options(&helm, &context) {
        assert!(read.files.iter().all(|path| path.split('/').all(|part| part != "..")), "{:?}", read.files);
        render_chart(&tree, &options);
    }
}
