//! `slipway root check` over a local folder, as a team runs it in a Git hook or a workflow.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use slipway_tests::chart_server::ChartServer;

use super::shop::Ran;

fn app(name: &str, source: &str, more: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: {name}\n  namespace: argocd\n\
         spec:\n  source: {source}\n  destination: {{name: in-cluster, namespace: shop}}\n{more}"
    )
}

fn here(path: &str) -> String {
    format!("{{repoURL: 'git@github.com/acme/gitops', path: {path}}}")
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";

/// A clone of acme/gitops with these files.
pub(crate) fn clone(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let origin = "[remote \"origin\"]\n\turl = https://github.com/Acme/GitOps.git\n";
    for (path, text) in files.iter().chain(&[(".git/config", origin)]) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn check(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.args(["root", "check", "--offline", "--local"]).arg(folder).args(arguments);
    let output = command.env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn each_application_is_told_with_its_reasons() {
    let option = "  syncPolicy: {syncOptions: [Createnamespace=true]}\n";
    let chart = "{repoURL: 'https://charts.example.com', chart: redis, targetRevision: 1.2.3}";
    let folder = clone(&[
        ("root/good.yaml", &app("good", &here("apps/good"), option)),
        ("root/chart.yaml", &app("chart", chart, "")),
        ("root/away.yaml", &app("away", "{repoURL: 'https://gitlab.com/a/b/c', path: x}", "")),
        ("root/other.yaml", &app("other", "{repoURL: 'https://github.com/acme/other', path: x}", "")),
        ("root/gone.yaml", &app("gone", &here("apps/gone"), "")),
        ("root/bad.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: [\n"),
        ("root/parent.yaml", &app("parent", &here("more"), "").replace("namespace: shop", "namespace: argocd")),
        ("more/child.yaml", &app("child", &here("apps/good"), "")),
        ("apps/good/x.yaml", CONFIG_MAP),
    ]);
    let ran = check(folder.path(), &["--root", "/root", "-o", "json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{} {}", ran.out, ran.err));
    let short: Vec<(&str, &str, &str)> = found["applications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| ["name", "verdict", "declaredIn"].map(|key| one[key].as_str().unwrap()).into())
        .collect();
    let expected = [
        ("away", "needs", "root/away.yaml"),
        ("chart", "needs", "root/chart.yaml"),
        ("gone", "refused", "root/gone.yaml"),
        ("good", "ok", "root/good.yaml"),
        ("other", "needs", "root/other.yaml"),
        ("parent", "ok", "root/parent.yaml"),
        ("child", "ok", "more/child.yaml (by argocd/parent)"),
    ];
    assert_eq!(short, expected, "{found:#}");
    let reasons = |at: usize| found["applications"][at]["reasons"].to_string();
    assert!(reasons(1).contains("needs chart charts.example.com/redis 1.2.3"), "{}", reasons(1));
    assert!(reasons(2).contains("source path `apps/gone` is no folder of the repository"), "{}", reasons(2));
    assert!(reasons(3).contains("unknown sync option `Createnamespace=true` has no effect"), "{}", reasons(3));
    assert!(reasons(4).contains("needs repository https://github.com/acme/other at HEAD"), "{}", reasons(4));
    assert_eq!(found["problems"].as_array().unwrap().len(), 1, "{found:#}");
    assert_eq!(ran.code, 1);

    let github = check(folder.path(), &["--root", "https://github.com/acme/gitops//root", "-o", "github"]).out;
    assert!(github.contains("::error file=root/gone.yaml,line=4::argocd/gone: source path"), "{github}");
    assert!(github.contains("::error file=root/bad.yaml,line=1::"), "{github}");
    assert!(github.contains("::warning file=root/good.yaml,line=4::"), "{github}");
}

#[test]
fn what_is_all_right_ends_well() {
    let team = app("web", &here("apps/good"), "  project: team\n");
    let folder = clone(&[("a/b/web.yaml", &team), ("apps/good/x.yaml", CONFIG_MAP)]);
    let strict = check(folder.path(), &[]);
    assert_eq!(strict.code, 1);
    assert!(strict.out.contains("needs    argocd/web  a/b/web.yaml"), "{}", strict.out);
    assert!(strict.out.contains("problem: AppProject `team` is declared nowhere"), "{}", strict.out);
    let project = "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: team}\n\
                   spec: {sourceRepos: ['*'], destinations: [{server: '*', namespace: '*'}]}\n";
    fs::write(folder.path().join("a/project.yaml"), project).unwrap();
    let ran = check(folder.path(), &[]);
    let expected = "ok       argocd/web  a/b/web.yaml\n1 Applications: 1 ok, 0 need something, 0 refused; 0 problems\n";
    assert_eq!((ran.out.as_str(), ran.code), (expected, 0), "{}", ran.err);
    let none = check(folder.path(), &["--root", "apps"]);
    assert!(none.code == 1 && none.err.contains("no Application was found"), "{}", none.err);
    assert!(check(folder.path(), &["--root", "/nowhere"]).err.contains("`/nowhere` is no folder"));
}

/// Roots of two clusters that declare the same set are checked apart; a set that looks elsewhere is a row itself.
#[test]
fn sets_that_are_not_known_are_rows_and_roots_of_two_clusters_are_apart() {
    let set = |url: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {{name: all, namespace: argocd}}\n\
             spec:\n  generators: [{{git: {{repoURL: '{url}', directories: [{{path: 'apps/*'}}]}}}}]\n  template:\n    \
             metadata: {{name: '{{{{path.basename}}}}'}}\n    spec:\n      source: {{repoURL: '{url}', path: \
             '{{{{path}}}}'}}\n      destination: {{name: in-cluster, namespace: shop}}\n"
        )
    };
    let (here, away) = (set("https://github.com/acme/gitops"), set("https://github.com/acme/other"));
    let folder = clone(&[("one/set.yaml", &here), ("two/set.yaml", &away), ("apps/web/x.yaml", CONFIG_MAP)]);
    let ran = check(folder.path(), &["--root", "/one", "--root", "/two", "-o", "json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let rows: Vec<(&str, &str, &str)> = found["applications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| ["name", "declaredIn", "verdict"].map(|key| row[key].as_str().unwrap_or_default()).into())
        .collect();
    let made = "one/set.yaml (by ApplicationSet argocd/all)";
    assert_eq!(rows, [("web", made, "ok"), ("all", "two/set.yaml", "needs")], "{}", ran.out);
    let problems = found["problems"].to_string();
    assert!(problems.contains("is declared by the roots `/one` and `/two`, which are checked apart"), "{problems}");
    // Nothing but the set says which repository the folder is.
    fs::write(folder.path().join(".git/config"), "").unwrap();
    let ran = check(folder.path(), &["--root", "/one", "-o", "json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((found["applications"][0]["name"].as_str(), ran.code), (Some("web"), 0), "{} {}", ran.out, ran.err);
}

/// Without a remote the repository is the one whose paths are there.
#[test]
fn a_folder_without_a_remote_is_recognised() {
    let folder = clone(&[("envs/dev/web.yaml", &app("web", &here("apps/good"), "")), ("apps/good/x.yaml", CONFIG_MAP)]);
    fs::write(folder.path().join(".git/config"), "").unwrap();
    let ran = check(folder.path(), &["--root", "/envs/*", "-o", "json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let expected = json!([{"namespace": "argocd", "name": "web", "declaredIn": "envs/dev/web.yaml", "verdict": "ok",
        "reasons": []}]);
    assert_eq!((&found["applications"], ran.code), (&expected, 0), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains("is taken for https://github.com/acme/gitops"), "{}", ran.err);
}

/// What lies in Helm repositories is fetched and rendered where it may be; a project that does not name it refuses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charts_of_repositories_are_checked_as_rendered() {
    let server = ChartServer::start().await;
    server.publish("page", "1.0.0");
    server.publish("page", "1.2.0");
    let url = server.url();
    let source =
        |version: &str, more: &str| format!("{{repoURL: '{url}', chart: page, targetRevision: {version}{more}}}");
    let chart = format!(
        "apiVersion: v2\nname: umbrella\nversion: 0.1.0\n\
         dependencies: [{{name: page, version: ~1.0, repository: '{url}'}}]\n"
    );
    let bad = source("1.x", ", helm: {valueFiles: [nowhere.yaml]}");
    let project = "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: narrow}\n\
                   spec: {sourceRepos: ['https://github.com/*/*'], destinations: [{server: '*', namespace: '*'}]}\n";
    let folder = clone(&[
        ("root/good.yaml", &app("good", &source("1.x", ""), "")),
        ("root/none.yaml", &app("none", &source("^3", ""), "")),
        ("root/bad.yaml", &app("bad", &bad, "")),
        ("root/umbrella.yaml", &app("umbrella", &here("umbrella"), "")),
        ("root/narrow.yaml", &app("narrow", &here("umbrella"), "  project: narrow\n")),
        ("root/project.yaml", project),
        ("umbrella/Chart.yaml", &chart),
    ]);
    let run = |offline: &[&str], command: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(command)
            .arg("--local")
            .arg(folder.path())
            .args(offline)
            .env_clear()
            .env("SLIPWAY_LOCAL_HOSTS", server.host())
            .output()
            .unwrap();
        (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
    };
    let check = ["root", "check", "--root", "/root"];
    let (offline, _) = run(&["--offline"], &check);
    assert!(server.asked(0).is_empty());
    assert!(offline.contains("5 Applications: 0 ok, 4 need something, 1 refused"), "{offline}");
    let (online, _) = run(&[], &check);
    assert!(online.contains("5 Applications: 2 ok, 0 need something, 3 refused"), "{online}");
    for words in ["failed to find `^3`", "nowhere.yaml", "AppProject `narrow` does not allow the source"] {
        assert!(online.contains(words), "{words}: {online}");
    }
    let (printed, errors) = run(&[], &["render", "--app", "good"]);
    assert!(printed.contains("name: good-page") && printed.contains("version: 1.2.0"), "{printed}{errors}");
    let (printed, errors) = run(&[], &["render", "--app", "umbrella"]);
    assert!(printed.contains("version: 1.0.0"), "{printed}{errors}");
    let (_, errors) = run(&["--offline"], &["render", "--app", "umbrella"]);
    assert!(errors.contains("page ~1.0 was not fetched"), "{errors}");
}
