//! `slipway render --app`: what an Application asks for, as a team tries it before anything is installed.

use std::path::Path;
use std::process::Command;

use crate::check::clone;
use crate::shop::Ran;

fn render(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.current_dir(folder).arg("render").args(arguments).env_clear();
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

fn app(name: &str, sources: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\nspec:\n  \
         {sources}\n  destination: {{name: in-cluster, namespace: shop}}\n"
    )
}

const URL: &str = "https://github.com/acme/gitops";

#[test]
fn every_source_of_an_application_is_rendered_by_name_and_by_file() {
    let several = format!(
        "sources: [{{repoURL: '{URL}', path: chart, helm: {{valueFiles: [$lent/values/prod.yaml]}}}}, {{repoURL: \
         '{URL}', ref: lent}}, {{repoURL: '{URL}', path: plain}}]"
    );
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\n";
    let away = "source: {repoURL: 'https://github.com/acme/other', path: x}";
    let helm = "source: {repoURL: 'https://charts.example.com', chart: redis, targetRevision: 1.2.3}";
    let folder = clone(&[
        ("apps/web.yaml", &app("web", &several)),
        ("apps/away.yaml", &app("away", away)),
        ("apps/helm.yaml", &app("helm", helm)),
        ("other/web.yaml", &app("web", &several).replace("namespace: argocd", "namespace: team")),
        ("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n"),
        (
            "chart/templates/map.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\ndata: {v: '{{ .Values.v }}'}\n",
        ),
        ("values/prod.yaml", "v: lent\n"),
        ("plain/map.yaml", map),
    ]);
    let expected = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\ndata:\n  v: lent\n---\napiVersion: v1\n\
                    kind: ConfigMap\nmetadata:\n  name: plain\n";
    for arguments in [
        vec!["--app", "argocd/web", "--local", ".", "--offline"],
        vec!["--app", "apps/web.yaml", "--offline"],
        vec!["--app", "web", "--local", ".", "--root", "/apps", "--offline"],
    ] {
        let ran = render(folder.path(), &arguments);
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!((ran.code, lines(&ran.out)), (0, lines(expected)), "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.find("lent") < ran.out.find("plain"), "in the order of the sources: {}", ran.out);
    }
    for (arguments, words) in [
        (
            vec!["--app", "web", "--local", ".", "--offline"],
            "`web` is more than one Application: argocd/web in apps/web.yaml",
        ),
        (vec!["--app", "away", "--local", ".", "--offline"], "https://github.com/acme/other at HEAD was not fetched"),
        (
            vec!["--app", "helm", "--local", ".", "--offline"],
            "argocd/helm: chart charts.example.com/redis 1.2.3 was not fetched",
        ),
        (vec!["--app", "nowhere", "--local", ".", "--offline"], "no Application `nowhere`; there are: argocd/"),
        (vec!["--app", "web"], "name a root by --root, or a folder by --local"),
        (vec!["chart", "--offline"], "cannot be used with"),
        (vec![], "<PATH>"),
    ] {
        let ran = render(folder.path(), &arguments);
        assert!(ran.code != 0 && ran.err.contains(words), "{arguments:?}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn what_a_render_does_not_touch_is_not_read() {
    let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let folder = clone(&[
        ("app/kustomization.yaml", "resources: [own.yaml, ../base]\n"),
        ("app/own.yaml", &map("own")),
        ("base/kustomization.yaml", "resources: [base.yaml, built/made.yaml]\n"),
        ("base/base.yaml", &map("base")),
        ("base/built/made.yaml", &map("made")),
        (".gitignore", "built\n"),
        ("plain/one.yaml", &map("one")),
    ]);
    let path = |inner: &str| folder.path().join(inner);
    // Above the limit of a file: to read one is an error.
    for huge in ["huge.bin", "plain/huge.yaml"] {
        std::fs::File::create(path(huge)).unwrap().set_len(40 << 20).unwrap();
    }
    std::os::unix::fs::symlink("/etc", path("outside")).unwrap();
    let app = render(folder.path(), &["app"]);
    assert_eq!((app.code, app.out.matches("kind: ConfigMap").count()), (0, 3), "{}{}", app.out, app.err);
    let plain = render(folder.path(), &["plain"]);
    assert!(plain.code == 1 && plain.err.contains("`plain/huge.yaml` goes over the limit of"), "{}", plain.err);
    std::fs::write(path("top.yaml"), map("top")).unwrap();
    let top = render(folder.path(), &["."]);
    assert_eq!((top.code, top.out.matches("name: top").count()), (0, 1), "{}{}", top.out, top.err);
    std::fs::write(path("base/kustomization.yaml"), "resources: [../outside/passwd]\n").unwrap();
    let outside = render(folder.path(), &["app"]);
    assert!(outside.err.contains("symlink `outside` points outside the repository"), "{}", outside.err);
}

#[test]
fn what_is_rendered_is_printed_as_json_or_written_to_files() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: shop}\n";
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\nmetadata: \
                    {name: b}\n";
    let folder = clone(&[
        ("app/kustomization.yaml", "resources: [own.yaml]\n"),
        ("app/own.yaml", map),
        ("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("chart/templates/all.yaml", template),
        ("evil/Chart.yaml", "apiVersion: v2\nname: ../../evil\nversion: 1.0.0\n"),
        ("evil/templates/all.yaml", template),
    ]);
    for (path, names) in [("app", vec!["one"]), ("chart", vec!["b", "a"])] {
        let json = render(folder.path(), &[path, "-o", "json"]);
        let list: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        let items: Vec<&str> =
            list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!((list["kind"].as_str(), items), (Some("List"), names), "{}", json.err);
    }
    let app = render(folder.path(), &["app", "--output-dir", "out"]);
    assert_eq!(app.out, "wrote out/shop_v1_configmap_one.yaml\n", "{}", app.err);
    let chart = render(folder.path(), &["chart", "--output-dir", "out"]);
    assert_eq!(chart.out, "wrote out/web/templates/all.yaml\n", "{}", chart.err);
    let text = std::fs::read_to_string(folder.path().join("out/web/templates/all.yaml")).unwrap();
    assert_eq!(text.matches("# Source: web/templates/all.yaml\n").count(), 2, "{text}");
    let evil = render(folder.path(), &["evil", "--output-dir", "out"]);
    assert_ne!(evil.code, 0, "{}", evil.out);
    let free = render(folder.path(), &["app", "--load-restrictor", "LoadRestrictionsNone"]);
    assert!(free.err.contains("can't read what lies outside the repository"), "{}", free.err);
    assert_eq!(render(folder.path(), &["app", "--load-restrictor", "LoadRestrictionsRootOnly"]).code, 0);
}
