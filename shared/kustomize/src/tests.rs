//! Whole renders at their bounds: what a hostile or careless repository may hold.

use std::collections::BTreeMap;

use serde_json::json;
use slipway_manifest::Tree;

use crate::{Chart, Error, Helm, Options, Overrides, Place, RemoteKind, needs, render};

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes()).unwrap();
    }
    tree
}

fn rendered(files: &[(&str, &str)]) -> Result<Vec<serde_json::Value>, Error> {
    let rendered = render(&tree(files), "root", &Options::default())?;
    Ok(rendered.objects.into_iter().map(slipway_manifest::Object::into_value).collect())
}

fn message(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |source| format!("{error}: {}", message(source)))
}

/// A kustomization for every field that names a file, with `PATH` in its place.
const FILE_FIELDS: [&str; 22] = [
    "resources: [PATH]",
    "bases: [PATH]",
    "components: [PATH]",
    "crds: [PATH]",
    "configurations: [PATH]",
    "openapi: {path: PATH}\nnamePrefix: a",
    "generators: [PATH]",
    "transformers: [PATH]",
    "validators: [PATH]",
    "patches: [{path: PATH, target: {kind: A}}]",
    "patchesStrategicMerge: [PATH]",
    "patchesJson6902: [{path: PATH, target: {name: a, kind: A, version: v1}}]",
    "replacements: [{path: PATH}]",
    "configMapGenerator: [{name: c, files: [PATH]}]",
    "configMapGenerator: [{name: c, files: [k=PATH]}]",
    "configMapGenerator: [{name: c, envs: [PATH]}]",
    "configMapGenerator: [{name: c, env: PATH}]",
    "secretGenerator: [{name: c, files: [PATH]}]",
    "secretGenerator: [{name: c, envs: [PATH]}]",
    "helmCharts: [{name: ok, valuesFile: PATH}]",
    "helmCharts: [{name: ok, additionalValuesFiles: [PATH]}]",
    "helmCharts: [{name: PATH}]",
];

struct NoHelm;

impl Helm for NoHelm {
    fn template(&self, _: &Tree, _: &Chart) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(String::new())
    }
}

#[test]
fn no_field_reaches_outside() {
    let options = Options { helm: Some(&NoHelm), ..Options::default() };
    let mut cases = 0;
    for field in FILE_FIELDS {
        for path in
            ["../../../etc/passwd", "/etc/passwd", "link", "../secret/kustomization.yaml", "up/kustomization.yaml"]
        {
            let mut tree = tree(&[
                ("root/kustomization.yaml", &field.replace("PATH", path)),
                ("root/charts/ok/Chart.yaml", ""),
                ("secret/kustomization.yaml", CONFIG_MAP),
            ]);
            tree.insert_link("root/link", "../../etc/passwd").unwrap();
            tree.insert_link("root/up", "../secret").unwrap();
            let error = render(&tree, "root", &options).expect_err(field);
            assert!(!message(&error).contains("root:x"), "{field}: {path}");
            cases += 1;
        }
    }
    assert_eq!(cases, FILE_FIELDS.len() * 5);
}

/// Attack 9 (CVE-2026-113709): generators, transformers and validators that are programs.
#[test]
fn plugins_that_are_programs_are_refused() {
    let function = |how: &str| {
        format!(
            "apiVersion: v1\nkind: Anything\nmetadata:\n  name: p\n  annotations:\n    \
             config.kubernetes.io/function: |\n      {how}\n"
        )
    };
    let plugins = [
        function("exec: {path: ./run.sh}"),
        function("container: {image: evil}"),
        function("starlark: {path: ./run.star}"),
        "apiVersion: someteam.example.com/v1\nkind: SedTransformer\nmetadata: {name: p}\nargsOneLiner: s/a/b/\n"
            .to_owned(),
        "apiVersion: builtin\nkind: SecretsFromDatabase\nmetadata: {name: p}\n".to_owned(),
    ];
    for plugin in &plugins {
        for field in ["generators", "transformers", "validators"] {
            let kustomization = format!("{field}: [plugin.yaml]\nresources: [cm.yaml]\n");
            let files = [
                ("root/kustomization.yaml", kustomization.as_str()),
                ("root/plugin.yaml", plugin),
                ("root/run.sh", "#!/bin/sh\necho 'kind: Secret'\n"),
                ("root/run.star", ""),
                ("root/cm.yaml", CONFIG_MAP),
            ];
            let error = rendered(&files).expect_err(field);
            assert!(message(&error).contains("unable to load"), "{field} {plugin}: {}", message(&error));
        }
    }
}

/// What KSOPS decrypts is missing only where its files are there; what else would be run stays refused.
#[test]
fn what_is_encrypted_is_told_apart_from_what_is_wrong() {
    let generator =
        |kind: &str, files: &str| format!("apiVersion: viaduct.ai/v1\nkind: {kind}\nmetadata: {{name: s}}\n{files}");
    for (plugin, expected) in [
        (
            generator("ksops", "files: [./secret.enc.yaml]\n"),
            "generator `s` of KSOPS needs root/secret.enc.yaml decrypted",
        ),
        (generator("ksops-exec", "files: [secret.enc.yaml]\n"), "of KSOPS needs"),
        (
            generator("ksops", "secretFrom: [{files: [a=secret.enc.yaml], binaryFiles: [secret.enc.yaml]}]\n"),
            "needs root/secret.enc.yaml, root/secret.enc.yaml decrypted",
        ),
        (generator("ksops", "files: [missing.enc.yaml]\n"), "no such file"),
        (generator("ksops", "files: [../other/secret.enc.yaml]\n"), "is not in or below"),
        (generator("ksops", "files: 1\n"), "fails configuration"),
        (generator("other", "files: [secret.enc.yaml]\n"), "unable to load"),
    ] {
        let files = [
            ("root/kustomization.yaml", "generators: [plugin.yaml]\n"),
            ("root/plugin.yaml", plugin.as_str()),
            ("root/secret.enc.yaml", "sops: {}\n"),
            ("other/secret.enc.yaml", "sops: {}\n"),
        ];
        let error = message(&rendered(&files).expect_err("nothing is decrypted"));
        assert!(error.contains(expected), "{plugin}: {error}");
    }
}

#[test]
fn malformed_values_of_every_field_end_in_an_error_or_a_result() {
    let fields = [
        "apiVersion",
        "kind",
        "metadata",
        "openapi",
        "namePrefix",
        "nameSuffix",
        "namespace",
        "commonLabels",
        "labels",
        "commonAnnotations",
        "patchesStrategicMerge",
        "patchesJson6902",
        "patches",
        "images",
        "imageTags",
        "replacements",
        "replicas",
        "vars",
        "sortOptions",
        "resources",
        "components",
        "crds",
        "bases",
        "configMapGenerator",
        "secretGenerator",
        "helmGlobals",
        "helmCharts",
        "helmChartInflationGenerator",
        "generatorOptions",
        "configurations",
        "generators",
        "transformers",
        "validators",
        "buildMetadata",
    ];
    let values = [
        "",
        "~",
        "1",
        "-1.5",
        "true",
        "x",
        "[]",
        "{}",
        "[~]",
        "[1]",
        "[x]",
        "[{}]",
        "[[x]]",
        "{a: b}",
        "{a: ~}",
        "{name: x}",
        "[{name: x}]",
        "[{path: .}]",
        "[{patch: x, target: {}}]",
        "[{source: {}, targets: [{}]}]",
        "[{pairs: {a: b}, fields: [{path: '//'}]}]",
        "[{name: '('}]",
        "'\u{7f}'",
    ];
    let mut refused = 0;
    for field in fields {
        for value in values {
            let kustomization =
                format!("{field}: {value}\n{}", if field == "resources" { "" } else { "resources: [c.yaml]\n" });
            refused += usize::from(
                rendered(&[("root/kustomization.yaml", &kustomization), ("root/c.yaml", CONFIG_MAP)]).is_err(),
            );
        }
    }
    assert!((400..fields.len() * values.len()).contains(&refused), "{refused}");
}

#[test]
fn bombs_and_loops_end_in_named_errors() {
    let bomb = (1..10).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
        text + &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(","))
    });
    let bomb = format!("{CONFIG_MAP}{bomb}");
    let error = rendered(&[("root/kustomization.yaml", "resources: [a.yaml]"), ("root/a.yaml", &bomb)]).unwrap_err();
    assert!(message(&error).contains("exceeded its budget"), "{}", message(&error));
    let deep = format!("{CONFIG_MAP}x: {}{}", "[".repeat(150), "]".repeat(150));
    let error = rendered(&[("root/kustomization.yaml", "resources: [a.yaml]"), ("root/a.yaml", &deep)]).unwrap_err();
    assert!(message(&error).contains("nested deeper"), "{}", message(&error));
    let mut chain: Vec<(String, String)> = (0..500)
        .map(|i| {
            (
                format!("{}/kustomization.yaml", if i == 0 { "root".to_owned() } else { format!("b{i}") }),
                format!("resources: [../b{}]", i + 1),
            )
        })
        .collect();
    chain.push(("b500/kustomization.yaml".to_owned(), "namePrefix: a".to_owned()));
    let chain: Vec<(&str, &str)> = chain.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert!(message(&rendered(&chain).unwrap_err()).contains("bases deep"));
}

#[test]
fn ten_thousand_resources_render_in_seconds() {
    let documents = (0..10_000).map(|i| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{i}}}\n\
             spec: {{selector: {{app: s{i}}}, ports: [{{port: 80}}]}}\n"
        )
    });
    let text: String = documents.collect();
    let kustomization = "resources: [all.yaml]\nnamePrefix: p-\nnamespace: ns\ncommonLabels: {a: b}\n\
        configMapGenerator: [{name: c, literals: [a=b]}]\n\
        patches:\n- target: {kind: Service, name: s1.*}\n  patch: |-\n    \
        - {op: add, path: /spec/type, value: NodePort}\n";
    let start = std::time::Instant::now();
    let objects = rendered(&[("root/kustomization.yaml", kustomization), ("root/all.yaml", &text)]).unwrap();
    assert_eq!(objects.len(), 10_001);
    // Quadratic work would take minutes, even here without optimisation.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let files = [
        (
            "root/kustomization.yaml",
            "resources: [c.yaml]\nnamePrefix: p-\ncommonLabels: {z: a, b: c}\nbuildMetadata: [originAnnotations]\n",
        ),
        ("root/c.yaml", CONFIG_MAP),
    ];
    let text = || serde_json::to_string(&rendered(&files).unwrap()).unwrap();
    assert_eq!(text(), text());
}

#[test]
fn remote_things_are_needs_until_they_are_in_the_tree() {
    let kustomization = "resources:\n- github.com/o/r//deploy?ref=v1\n- https://example.com/a.yaml\n\
        patches:\n- path: https://example.com/p.yaml\n";
    let mut tree = tree(&[("root/kustomization.yaml", kustomization)]);
    let found = needs(&tree, "root", &Options::default()).unwrap();
    let raw: Vec<&str> = found.iter().map(|remote| remote.raw.as_str()).collect();
    assert_eq!(raw, ["github.com/o/r//deploy?ref=v1", "https://example.com/a.yaml", "https://example.com/p.yaml"]);
    assert!(matches!(&found.first().unwrap().kind, RemoteKind::Git { reference, .. } if reference == "v1"));
    let error = render(&tree, "root", &Options::default()).unwrap_err();
    assert!(message(&error).contains("was not fetched"), "{}", message(&error));
    for (path, text) in [
        (".remote/0/deploy/kustomization.yaml", "resources: [../common]\n"),
        (".remote/0/common/kustomization.yaml", "resources: [c.yaml]\n"),
        (".remote/0/common/c.yaml", CONFIG_MAP),
        (".remote/1.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"),
        (".remote/2.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {a: b}}\n"),
    ] {
        tree.insert(path, text.as_bytes()).unwrap();
    }
    let place = |(path, repository): (&str, &str)| Place { path: path.to_owned(), repository: repository.to_owned() };
    let places = [(".remote/0/deploy", ".remote/0"), (".remote/1.yaml", ""), (".remote/2.yaml", "")].map(place);
    let remotes: BTreeMap<String, Place> = raw.iter().map(|raw| (*raw).to_owned()).zip(places).collect();
    let options = Options { remotes: Some(&remotes), ..Options::default() };
    assert!(needs(&tree, "root", &options).unwrap().is_empty());
    let rendered = render(&tree, "root", &options).unwrap();
    assert_eq!(rendered.objects.len(), 2);
    assert_eq!(rendered.objects.last().unwrap().label("a"), Some("b"));
    assert!(rendered.files.contains(".remote/0/common/c.yaml"));
    // The bases of a remote base stay in its repository, and are none of those that led to it.
    for (resource, expected) in [("../../../root", "is not in or below"), ("..", "cycle"), (".", "cycle")] {
        tree.insert(".remote/0/deploy/kustomization.yaml", format!("resources: [{resource}]\n").into_bytes()).unwrap();
        let error = message(&render(&tree, "root", &options).unwrap_err());
        assert!(error.contains(expected), "{resource}: {error}");
    }
}

#[test]
fn argo_options_go_on_top() {
    let overrides = Overrides {
        name_prefix: "p-".into(),
        namespace: "ns".into(),
        images: vec!["nginx=other:2".into()],
        replicas: vec![("web".into(), 4)],
        common_labels: BTreeMap::from([("a".into(), "b".into())]),
        label_without_selector: true,
        common_annotations: BTreeMap::from([("c".into(), "d".into())]),
        components: vec!["../none".into()],
        ignore_missing_components: true,
        patches: vec![
            json!({"target": {"kind": "Deployment"}, "patch": "- {op: add, path: /spec/paused, value: true}"}),
        ],
        ..Overrides::default()
    };
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n\
        spec: {template: {spec: {containers: [{name: c, image: 'nginx:1'}]}}}\n";
    let tree = tree(&[("root/kustomization.yaml", "resources: [d.yaml]"), ("root/d.yaml", deployment)]);
    let options = Options { overrides: Some(overrides.clone()), ..Options::default() };
    let objects = render(&tree, "root", &options).unwrap().objects;
    assert_eq!(
        objects[0].to_value(),
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "p-web", "namespace": "ns", "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"paused": true, "replicas": 4, "template": {"metadata": {"annotations": {"c": "d"}},
            "spec": {"containers": [{"name": "c", "image": "other:2"}]}}}})
    );
    let missing =
        Options { overrides: Some(Overrides { ignore_missing_components: false, ..overrides }), ..Options::default() };
    assert!(render(&tree, "root", &missing).is_err());
}

#[test]
fn charts_are_rendered_by_the_caller() {
    struct Echo;
    impl Helm for Echo {
        fn template(&self, _: &Tree, chart: &Chart) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
            Ok(format!(
                "{CONFIG_MAP}data: {{path: {}, release: {}, values: {:?}}}\n",
                chart.path, chart.release_name, chart.values
            ))
        }
    }
    let tree = tree(&[
        ("root/kustomization.yaml", "helmCharts: [{name: app, releaseName: r, valuesInline: {a: {c: 2}}}]"),
        ("root/charts/app/values.yaml", "a: {b: 1}\n"),
    ]);
    let options = Options { helm: Some(&Echo), ..Options::default() };
    let objects = render(&tree, "root", &options).unwrap().objects;
    assert_eq!(objects[0].pointer("/data/path"), Some(&json!("root/charts/app")));
    assert_eq!(objects[0].pointer("/data/values"), Some(&json!(["a:\n  b: 1\n  c: 2\n"])));
    let error = render(&tree, "root", &Options::default()).unwrap_err();
    assert!(message(&error).contains("helm must be enabled"));
}

/// As KSOPS v4 prints it, and kustomize takes a plugin's output.
#[test]
fn what_ksops_names_is_generated_once_it_is_decrypted() {
    let plugin = "\
apiVersion: viaduct.ai/v1
kind: ksops
metadata: {name: s}
files: [secret.enc.yaml]
secretFrom:
- metadata: {name: made, labels: {a: b}}
  type: example.com/kind
  files: [config=text.enc]
  binaryFiles: [text.enc]
  envs: [app.env]
";
    let files = [
        ("root/kustomization.yaml", "namePrefix: x-\ngenerators: [plugin.yaml]\n"),
        ("root/plugin.yaml", plugin),
        (
            "root/secret.enc.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  annotations:\n    \
             kustomize.config.k8s.io/needs-hash: 'true'\n",
        ),
        ("root/text.enc", "text\n"),
        ("root/app.env", "# no\nUSER=u=v\n"),
    ];
    let decrypted = ["secret.enc.yaml", "text.enc", "app.env"].map(|name| format!("root/{name}")).into();
    let options = Options { decrypted, ..Options::default() };
    let objects = render(&tree(&files), "root", &options).unwrap().objects;
    let [made, hashed] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!(
        made.clone().into_value(),
        serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x-made", "labels": {"a": "b"}},
            "type": "example.com/kind", "stringData": {"USER": "u=v", "config": "text\n"},
            "data": {"text.enc": "dGV4dAo="},
        })
    );
    assert!(hashed.name().starts_with("x-s-") && hashed.annotation("kustomize.config.k8s.io/needs-hash").is_none());
}
