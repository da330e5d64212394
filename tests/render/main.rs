//! `slipway render` as a user sees it: recorded answers of the binary, and beside the real `helm template`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod helm_template;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use slipway_tests::tools;

/// Name of the record, arguments; paths are below `tests/reference`.
const CASES: &[(&str, &[&str])] = &[
    ("folder", &["hello-spring/service.yaml"]),
    ("no_chart", &["hello-spring", "--set", "a=1"]),
    ("kustomization", &["hello-spring"]),
    (
        "values",
        &[
            "helm/charts/web",
            "-f",
            "helm/charts/web/case-values.yaml",
            "--set",
            "replicas=3",
            "--name",
            "rel",
            "-n",
            "shop",
        ],
    ),
    ("missing_values", &["helm/charts/web", "-f", "nowhere.yaml"]),
    ("bad_set", &["helm/charts/web", "--set-json", "a={1}"]),
    ("function", &["helm/charts/err_function"]),
    ("include_chain", &["helm/charts/err_include_chain"]),
    ("kube_version", &["helm/charts/err_kube_version"]),
    ("missing_dependency", &["helm/charts/err_missing_dependency"]),
    ("missing_template", &["helm/charts/err_missing_template"]),
    ("nil_pointer", &["helm/charts/err_nil_pointer"]),
    ("required", &["helm/charts/err_required"]),
    ("schema", &["helm/charts/err_schema"]),
    ("schema_skipped", &["helm/charts/err_schema", "--skip-schema-validation"]),
    ("no_hooks", &["helm/charts/web", "--no-hooks", "--skip-tests", "--is-upgrade"]),
    ("show_only", &["helm/charts/web", "--show-only", "templates/config.yaml"]),
    ("show_nothing", &["helm/charts/web", "--show-only", "templates/nowhere.yaml"]),
    ("syntax", &["helm/charts/err_syntax"]),
    ("values_file", &["helm/charts/err_values"]),
    ("yaml", &["helm/charts/err_yaml"]),
];

fn slipway(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.current_dir(folder).arg("render").args(arguments);
    command
}

/// Standard output, standard error and the exit code are those recorded; `SLIPWAY_RECORD=1` records them.
#[test]
fn answers_read_as_recorded() {
    let tests = tools::workspace().join("tests");
    let mut wrong = Vec::new();
    for (name, arguments) in CASES {
        let output = slipway(&tests.join("reference"), arguments).output().unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let mut text = format!("$ slipway render {}\n{out}", arguments.join(" "));
        write!(text, "{}{err}", if out.is_empty() { "" } else { "--- standard error\n" }).unwrap();
        writeln!(text, "--- exit code {}", output.status.code().unwrap()).unwrap();
        let record = tests.join(format!("render/recorded/{name}.txt"));
        if std::env::var_os("SLIPWAY_RECORD").is_some() {
            fs::write(&record, &text).unwrap();
        }
        if fs::read_to_string(&record).unwrap_or_default() != text {
            wrong.push(text);
        }
    }
    assert!(wrong.is_empty(), "look, then run with SLIPWAY_RECORD=1:\n{}", wrong.join("\n"));
}

/// Paths of `--set-file` are the user's; a chart's archive renders like its folder.
#[test]
fn flags_of_helm_template_have_their_effect() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n");
    write("chart/crds/crd.yaml", "apiVersion: v1\nkind: Crd\nmetadata: {name: crd}\n");
    write(
        "chart/templates/x.yaml",
        "values: {{ .Values | toJson }}\nrelease: {{ .Release.Name }}/{{ .Release.Namespace }}\nkube: {{ \
         .Capabilities.KubeVersion }}\nhas: {{ .Capabilities.APIVersions.Has \"x/v1\" }}\n",
    );
    write("note.txt", "line, one\n");
    let arguments = [
        "chart",
        "--set",
        "a=1",
        "--set-string",
        "b=1",
        "--set-json",
        "c={\"d\":[1]}",
        "--set-literal",
        "e=x,y=z",
        "--set-file",
        "f=note.txt",
        "--include-crds",
        "--kube-version",
        "1.30",
        "--api-versions",
        "x/v1",
        "--name",
        "r",
        "-n",
        "ns",
    ];
    let output = tools::capture(&mut slipway(folder.path(), &arguments)).unwrap();
    let expected = "---\n# Source: c/crds/crd.yaml\napiVersion: v1\nkind: Crd\nmetadata:\n  name: crd\n---\n# Source: \
         c/templates/x.yaml\nhas: true\nkube: v1.30.0\nrelease: r/ns\nvalues:\n  a: 1\n  b: \"1\"\n  c:\n    d:\n    \
         - 1\n  e: x,y=z\n  f: |\n    line, one\n";
    assert_eq!(sorted(&output), sorted(expected));
    tools::run(Command::new("tar").current_dir(folder.path()).args(["czf", "c.tgz", "chart"])).unwrap();
    let mut archive = arguments;
    if let Some(first) = archive.first_mut() {
        *first = "c.tgz";
    }
    assert_eq!(tools::capture(&mut slipway(folder.path(), &archive)).unwrap(), output);
}

/// What lies in the folder itself renders, in a git repository and without one.
#[test]
fn the_folder_may_be_the_repository_itself() {
    let config = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n");
    let cases = [
        ("a.yaml", config("plain"), "plain"),
        ("kustomization.yaml", "resources: [a.yaml]\nnamePrefix: p-\n".to_owned(), "p-plain"),
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n".to_owned(), "templated"),
    ];
    for is_repository in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        if is_repository {
            fs::create_dir(folder.path().join(".git")).unwrap();
        }
        fs::create_dir(folder.path().join("templates")).unwrap();
        fs::write(folder.path().join("templates/t.yaml"), config("templated")).unwrap();
        for (file, text, name) in &cases {
            if *file == "Chart.yaml" {
                fs::remove_file(folder.path().join("kustomization.yaml")).unwrap();
            }
            fs::write(folder.path().join(file), text).unwrap();
            let whole = folder.path().to_str().unwrap();
            for (at, path) in [(".", "."), (".", "./"), ("templates", ".."), (".", whole)] {
                let output = tools::capture(&mut slipway(&folder.path().join(at), &[path])).unwrap();
                assert!(output.contains(&format!("  name: {name}\n")), "{file} {path}: {output}");
            }
        }
    }
}

/// Lines in any order: how mappings are sorted is another test's.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}
