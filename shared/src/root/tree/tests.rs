mod listings;
mod manual;

use std::sync::Arc;

use serde_json::json;
use slipway_manifest::Tree;

use super::*;
use crate::app::ProjectPermissions;
use crate::app::settings::Settings;
use crate::memory::Held;
use crate::root::places;
use crate::root::repositories::Unavailable;
use crate::source::RepoUrl;
use crate::source::github::Checkout;
use crate::source::verify::UnfetchedPaths;

const ROOT: &str = "https://github.com/acme/gitops";

fn checkout(url: &str, files: &[(&str, &str)]) -> Arc<Checkout> {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes()).unwrap();
    }
    let repo = url.parse::<RepoUrl>().unwrap().repo;
    Arc::new(Checkout {
        repo,
        sha: "0".repeat(40),
        tree: Arc::new(tree),
        special: UnfetchedPaths::default(),
        held: Held::default(),
    })
}

fn repositories(files: &[(&str, &str)]) -> Repositories {
    Repositories::of_folder([ROOT.parse().unwrap()].into(), checkout(ROOT, files))
}

fn read_with(files: &[(&str, &str)], options: &TreeOptions) -> ApplicationTree {
    let place = places::of_folder(ROOT, "root", "HEAD").unwrap();
    read(&[place], &repositories(files), options, &Budget::default())
}

fn read_root(files: &[(&str, &str)]) -> ApplicationTree {
    read_with(files, &TreeOptions::default())
}

/// An Application that goes to the namespace `to` of Argo CD's own cluster.
fn app(name: &str, path: &str, project: &str, to: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\n\
         spec: {{project: {project}, source: {{repoURL: 'git@github.com:acme/gitops.git', path: {path}}}, \
         destination: {{name: in-cluster, namespace: {to}}}}}\n"
    )
}

fn parent(name: &str, path: &str) -> String {
    app(name, path, "default", "argocd")
}

fn leaf(name: &str) -> String {
    app(name, &format!("apps/{name}"), "default", "shop")
}

fn project(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: {name}, namespace: argocd}}\n\
         spec: {spec}\n"
    )
}

fn names(tree: &ApplicationTree) -> Vec<&str> {
    tree.applications.iter().map(|one| one.identity.1.as_str()).collect()
}

fn problems(tree: &ApplicationTree) -> String {
    tree.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn applications_are_followed_at_any_depth() {
    let files = [
        ("root/a.yaml", parent("one", "one")),
        ("root/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n".to_owned()),
        ("one/two.yaml", parent("two", "two/overlay") + "---\n" + &leaf("one-leaf")),
        ("two/overlay/kustomization.yaml", "resources: [../base]\n".to_owned()),
        ("two/base/kustomization.yaml", "resources: [three.yaml]\n".to_owned()),
        ("two/base/three.yaml", parent("three", "charts/three")),
        ("charts/three/Chart.yaml", "name: three\nversion: 1.0.0\n".to_owned()),
        ("charts/three/values.yaml", "kind: Application\n".to_owned()),
        ("charts/three/templates/app.yaml", leaf("deep").replace("kind: Application", "kind: {{ .Values.kind }}")),
        ("charts/three/templates/project.yaml", project("team", "{sourceRepos: ['*']}")),
        ("apps/one-leaf/x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = read_root(&files);
    assert_eq!(names(&tree), ["one", "two", "one-leaf", "three", "deep"], "{}", problems(&tree));
    assert_eq!(problems(&tree), "");
    assert!(tree.incomplete.is_empty() && tree.missing.is_empty());
    let declared: Vec<String> = tree.applications.iter().map(|one| one.declared.to_string()).collect();
    assert_eq!(declared[0], "root/a.yaml");
    assert_eq!(declared[3], "two/base/three.yaml (by argocd/one → argocd/two)");
    assert_eq!(declared[4], "charts/three/templates/app.yaml (by argocd/one → argocd/two → argocd/three)");
    assert_eq!(tree.applications[4].parent, Some(3));
    assert!(tree.projects.is_known("team"));
    let others: Vec<&str> = tree.others.iter().map(|(_, object)| object.name()).collect();
    assert_eq!(others, ["own"]);
}

/// Of what can't be read the rest is used, and the tree says where it is incomplete.
#[test]
fn what_is_broken_is_alone_broken() {
    let broken = leaf("bad").replace("source:", "source: [");
    let not_usable = leaf("unusable").replace("project: default", "project: [1]");
    let files = [
        ("root/a.yaml", leaf("a") + "---\n" + &broken + "---\n" + &leaf("b")),
        ("root/b.yaml", not_usable),
        ("root/c.yaml", parent("gone", "nowhere") + "---\n" + &parent("kustomized", "kustomized")),
        ("root/z.yaml", leaf("z")),
        ("kustomized/kustomization.yaml", "resources: [missing.yaml, app.yaml]\n".to_owned()),
        ("kustomized/app.yaml", leaf("below")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = read_root(&files);
    assert_eq!(names(&tree), ["a", "b", "unusable", "gone", "kustomized", "z"]);
    assert!(tree.applications[2].app.is_err());
    assert!(problems(&tree).contains("`root/a.yaml`: the document on line"), "{}", problems(&tree));
    assert!(problems(&tree).contains("Application argocd/kustomized: what it declares can't be read"));
    assert_eq!(tree.incomplete.iter().filter(|part| !part.is_missing).count(), 2, "{:?}", tree.incomplete);
}

/// What is broken and no declaration leaves nothing open.
#[test]
fn a_broken_file_of_something_else_is_no_gap() {
    let tree = read_root(&[("root/a.yaml", &leaf("a")), ("root/b.yaml", "apiVersion: v1\nkind: A\nmetadata: [\n")]);
    assert_eq!((names(&tree), tree.incomplete.len(), tree.problems.len()), (vec!["a"], 0, 1));
}

#[test]
fn an_application_that_is_declared_twice_is_named_with_both_places() {
    let tree = read_root(&[("root/a.yaml", &leaf("web")), ("root/b.yaml", &leaf("web").replace("shop", "other"))]);
    let text = "Application argocd/web is declared twice, in root/a.yaml and in root/b.yaml: only the first is used; \
                remove one of them";
    assert_eq!(problems(&tree), text);
    assert_eq!((names(&tree), tree.duplicates.len()), (vec!["web"], 1));
    let tree = read_root(&[("root/a.yaml", &leaf("web")), ("root/b.yaml", &leaf("web"))]);
    assert_eq!((names(&tree), tree.problems.len()), (vec!["web"], 0), "the same is no contradiction");
}

#[test]
fn a_cycle_is_told_with_its_chain() {
    let tree = read_root(&[
        ("root/self.yaml", &parent("self", "root")),
        ("root/a.yaml", &parent("a", "a")),
        ("a/b.yaml", &parent("b", "b")),
        ("b/a.yaml", &parent("a", "a")),
    ]);
    assert_eq!(names(&tree), ["a", "self", "b"]);
    assert_eq!(
        problems(&tree),
        "b/a.yaml (by argocd/a → argocd/b): circular Applications: argocd/a → argocd/b → argocd/a"
    );
}

#[test]
fn a_chain_without_end_is_cut() {
    let mut files = vec![("root/a.yaml".to_owned(), parent("a0", "d0"))];
    files.extend((0..30).map(|at| (format!("d{at}/x.yaml"), parent(&format!("a{}", at + 1), &format!("d{}", at + 1)))));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let tree = read_root(&files);
    assert_eq!(tree.applications.len(), MAX_DEPTH + 1);
    assert!(problems(&tree).contains("more than 16 Applications above Application argocd/a17"), "{}", problems(&tree));
    assert_eq!(tree.incomplete.len(), 1);
}

/// What an Application declares counts only where its project lets it write that (attacks 16 and 22 of the project).
#[test]
fn nobody_declares_more_than_the_project_allows() {
    let own = "{sourceRepos: ['*'], destinations: [{name: in-cluster, namespace: team}]}";
    let wide = "{sourceRepos: ['*'], destinations: [{name: '*', server: '*', namespace: '*'}], \
                clusterResourceWhitelist: [{group: '*', kind: '*'}]}";
    let apps_only = "{sourceRepos: ['*'], destinations: [{server: '*', namespace: argocd}], \
                     namespaceResourceWhitelist: [{group: argoproj.io, kind: Application}]}";
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm, namespace: argocd}\n\
                    data: {resource.exclusions: '- kinds: [Deployment]'}\n";
    let evil = [leaf("evil"), project("default", wide), project("own", wide), settings.to_owned()].join("---\n");
    let elsewhere = parent("elsewhere", "elsewhere").replace("name: in-cluster", "server: https://prod");
    let files = [
        ("root/projects.yaml", project("own", own) + "---\n" + &project("apps-only", apps_only)),
        ("root/tenant.yaml", app("tenant", "tenant", "own", "team")),
        ("root/apps.yaml", app("apps", "apps", "apps-only", "argocd")),
        ("root/elsewhere.yaml", elsewhere),
        ("root/unknown.yaml", app("unknown", "unknown", "nobody", "argocd")),
        ("tenant/evil.yaml", evil.clone()),
        ("apps/good.yaml", evil.replace("name: evil", "name: good")),
        ("elsewhere/x.yaml", leaf("far")),
        ("unknown/x.yaml", leaf("unknown-child")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = read_root(&files);
    assert_eq!(names(&tree), ["apps", "elsewhere", "tenant", "unknown", "good"], "{}", problems(&tree));
    let told = problems(&tree);
    for what in [
        "Application argocd/tenant may not declare Application.argoproj.io/argocd/evil",
        "Application argocd/tenant may not declare AppProject.argoproj.io/argocd/default",
        "Application argocd/tenant may not declare ConfigMap/argocd/argocd-cm",
        "Application argocd/apps may not declare AppProject.argoproj.io/argocd/own",
        "Application argocd/unknown may not declare Application.argoproj.io/argocd/unknown-child: AppProject `nobody`",
    ] {
        assert!(told.contains(what), "{what} in {told}");
    }
    assert!(tree.projects.get("own").unwrap().destinations.len() == 1 && !told.contains("declared twice"));
    assert!(tree.manifests.settings == Settings::default());
    let open = read_with(&files, &TreeOptions { undeclared: Undeclared::Open, ..TreeOptions::default() });
    assert!(names(&open).contains(&"unknown-child"), "{}", problems(&open));
}

/// A project restricts the Applications whose own rendering does not declare it, wherever it is declared.
#[test]
fn a_project_counts_before_what_it_restricts() {
    let none = "{sourceRepos: ['*'], destinations: []}";
    let files = [
        ("root/a.yaml", parent("a", "a")),
        ("root/b.yaml", app("b", "b", "admin", "argocd")),
        ("root/admin.yaml", project("admin", "{sourceRepos: ['*'], destinations: [{server: '*', namespace: '*'}]}")),
        ("a/x.yaml", leaf("of-default")),
        ("b/default.yaml", project("default", none)),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = read_root(&files);
    assert_eq!(names(&tree), ["a", "b"], "{}", problems(&tree));
}

#[test]
fn another_repository_is_asked_for() {
    let other = "https://github.com/acme/other";
    let place = places::of_folder(ROOT, "root", "HEAD").unwrap();
    let elsewhere = parent("a", "apps").replace("git@github.com:acme/gitops.git", other);
    let mut given = repositories(&[("root/a.yaml", &elsewhere)]);
    let read =
        |given: &Repositories| read(std::slice::from_ref(&place), given, &TreeOptions::default(), &Budget::default());
    let wanted = (other.parse::<RepoUrl>().unwrap(), "HEAD".to_owned());
    assert_eq!(read(&given).missing, BTreeSet::from([wanted.clone()]));
    given.insert(wanted.clone(), Ok(checkout(other, &[("apps/x.yaml", &leaf("far"))])));
    let tree = read(&given);
    assert_eq!((names(&tree), tree.missing.len()), (vec!["a", "far"], 0));
    assert_eq!(tree.applications[1].declared.to_string(), "https://github.com/acme/other//apps/x.yaml (by argocd/a)");
    given.insert(wanted, Err(Unavailable::Failed("no such repository".to_owned())));
    let tree = read(&given);
    assert_eq!(names(&tree), ["a"]);
    assert!(!tree.incomplete[0].is_missing && tree.incomplete[0].reason.contains("no such repository"));
}

/// Settings that can't be read may restrict everything, and a project that can't be read may be `default`.
#[test]
fn unreadable_settings_open_nothing() {
    let cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\ndata: [\n";
    let tree = read_root(&[("root/a.yaml", &leaf("a")), ("root/cm.yaml", cm)]);
    let denied = |tree: &ApplicationTree| {
        let app = tree.applications[0].app.as_ref().unwrap();
        ProjectPermissions::of(app, &tree.projects, &[]).denied.map(|denied| denied.to_string()).unwrap_or_default()
    };
    assert!(denied(&tree).contains("`root/cm.yaml` (it can't be read"), "{}", denied(&tree));
    let tree = read_root(&[("root/a.yaml", &leaf("a")), ("root/p.yaml", &project("x", "[").replace('x', "default"))]);
    assert!(denied(&tree).contains("AppProject `default`"), "{}", denied(&tree));
    let tree = read_root(&[("root/a.yaml", &leaf("a"))]);
    assert_eq!(denied(&tree), "");
}

#[test]
fn settings_come_from_the_tree_before_the_options() {
    let settings = json!({"kustomize.buildOptions": "--enable-helm", "cluster.inClusterEnabled": "false"});
    let options = TreeOptions { settings: settings.as_object().unwrap().clone(), ..TreeOptions::default() };
    let cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm, namespace: argocd}\n\
              data: {cluster.inClusterEnabled: 'true'}\n";
    let tree = read_with(&[("root/a.yaml", &parent("a", "a")), ("a/cm.yaml", cm)], &options);
    assert!(tree.build.enable_helm && !tree.manifests.settings.is_in_cluster_off, "{}", problems(&tree));
    assert!(!read_root(&[]).build.enable_helm);
}

/// Build options that the tree declares count for its own kustomizations.
#[test]
fn a_tree_is_rendered_with_the_settings_that_it_declares() {
    let cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm, namespace: argocd}\n\
              data: {kustomize.buildOptions: --enable-helm}\n";
    let files = [
        ("root/a.yaml", parent("a", "k")),
        ("root/cm.yaml", cm.to_owned()),
        ("k/kustomization.yaml", "helmCharts: [{name: c}]\nhelmGlobals: {chartHome: charts}\n".to_owned()),
        ("k/charts/c/Chart.yaml", "name: c\nversion: 1.0.0\n".to_owned()),
        ("k/charts/c/values.yaml", "{}\n".to_owned()),
        ("k/charts/c/templates/x.yaml", leaf("below")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = read_root(&files);
    assert_eq!(names(&tree), ["a", "below"], "{}", problems(&tree));
}

/// An object without a namespace gets its parent's.
#[test]
fn namespaces_are_those_of_the_parent() {
    let bare = leaf("bare").replace(", namespace: argocd", "");
    let tree = read_root(&[
        ("root/a.yaml", &parent("a", "a")),
        ("root/b.yaml", &app("b", "b", "default", "team")),
        ("a/x.yaml", &bare),
        ("b/x.yaml", &bare),
    ]);
    let found: Vec<(&str, &str)> =
        tree.applications.iter().map(|one| (one.identity.0.as_str(), one.identity.1.as_str())).collect();
    assert_eq!(found, [("argocd", "a"), ("argocd", "b"), ("argocd", "bare"), ("team", "bare")]);
}

const SET: &str = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: SET, namespace: argocd}\n\
    spec:\n  generators: [GENERATOR]\n  template:\n    metadata: {name: 'NAME'}\n    spec: {project: default, \
    source: {repoURL: 'https://github.com/acme/gitops', path: 'PATH'}, \
    destination: {name: in-cluster, namespace: argocd}}\n";

fn set(name: &str, generator: &str, app: &str, path: &str) -> String {
    SET.replace("SET", name).replace("GENERATOR", generator).replace("NAME", app).replace("PATH", path)
}

/// What a set makes is followed, and a set sees the clusters that its own Applications declare.
#[test]
fn sets_make_applications() {
    let folders = "{git: {repoURL: 'https://github.com/acme/gitops', directories: [{path: 'teams/*'}]}}";
    let clusters = "{clusters: {selector: {matchLabels: {env: prod}}}}";
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: east, namespace: argocd, labels: {env: prod, \
                  argocd.argoproj.io/secret-type: cluster}}\nstringData: {name: east, server: 'https://east', \
                  config: '{\"awsAuthConfig\": {\"clusterName\": \"east\"}}'}\n";
    let files = [
        ("root/clusters.yaml", set("clusters", clusters, "on-{{name}}", "apps")),
        ("root/teams.yaml", set("teams", folders, "team-{{path.basename}}", "{{path}}")),
        ("teams/a/x.yaml", leaf("a-leaf")),
        ("teams/b/secret.yaml", secret.to_owned()),
        ("apps/x.yaml", String::new()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = read_root(&files);
    assert_eq!(names(&tree), ["on-east", "team-a", "team-b", "a-leaf"], "{}", problems(&tree));
    assert_eq!(tree.applications[0].declared.to_string(), "root/clusters.yaml (by ApplicationSet argocd/clusters)");
    let below = "teams/a/x.yaml (by ApplicationSet argocd/teams → argocd/team-a)";
    assert_eq!(tree.applications[3].declared.to_string(), below);
    assert_eq!((problems(&tree).as_str(), tree.incomplete.len(), tree.manifests.clusters.len()), ("", 0, 1));
}

/// A set that fails makes no shorter list: the tree is incomplete.
#[test]
fn a_set_that_fails_leaves_a_gap() {
    let fails = set("fails", "{list: {elements: [{app: a}, {app: a}]}}", "{{app}}", "apps");
    let pulls = "{pullRequest: {github: {owner: acme, repo: web}}}";
    let away = "{git: {repoURL: 'https://github.com/acme/other', directories: [{path: '*'}]}}";
    let plugin = "{plugin: {configMapRef: {name: x}}}";
    let good = set("good", "{list: {elements: [{app: good}]}}", "{{app}}", "apps")
        .replace("spec:\n  generators", "spec:\n  syncPolicy: {applicationsSync: create-only}\n  generators");
    let tree = read_root(&[
        ("root/a.yaml", &fails),
        ("root/b.yaml", &set("pulls", pulls, "pr-{{number}}", "apps")),
        ("root/c.yaml", &set("away", away, "x-{{path.basename}}", "apps")),
        ("root/d.yaml", &set("plugin", plugin, "{{x}}", "apps")),
        ("root/e.yaml", &good),
        ("apps/x.yaml", ""),
    ]);
    assert_eq!(names(&tree), ["good"], "{}", problems(&tree));
    assert!(problems(&tree).contains("ApplicationSet argocd/pulls needs the pull requests of acme/web"));
    assert!(
        problems(&tree).contains("ApplicationSet argocd/away needs repository https://github.com/acme/other at HEAD")
    );
    assert_eq!(tree.missing.len(), 1);
    let gaps: Vec<bool> = tree.incomplete.iter().map(|part| part.is_missing).collect();
    assert_eq!(gaps, [false, true, true, false], "{:?}", tree.incomplete);
}

/// On OpenShift Argo CD lives elsewhere.
#[test]
fn the_namespace_of_openshift_is_argo_cds_own() {
    let here = |text: String| text.replace("argocd", "openshift-gitops");
    let wide = "{sourceRepos: ['*'], destinations: [{server: '*', namespace: '*'}]}";
    let tree = read_root(&[
        ("root/a.yaml", &here(app("a", "a", "team", "argocd"))),
        ("root/team.yaml", &here(project("team", wide))),
        ("a/x.yaml", &here(leaf("x"))),
    ]);
    assert_eq!((names(&tree), problems(&tree).as_str()), (vec!["a", "x"], ""));
    let denied = |tree: &ApplicationTree| {
        let app = tree.applications[0].app.as_ref().unwrap();
        ProjectPermissions::of(app, &tree.projects, &[]).denied
    };
    assert_eq!(denied(&tree), None);
    let mixed = read_root(&[("root/a.yaml", &here(leaf("a"))), ("root/b.yaml", &leaf("b"))]);
    assert!(matches!(denied(&mixed), Some(Denied::ApplicationNamespace { .. })), "where both are, it is argocd");
}

/// The settings of an Argo CD whose own Application can't be rendered restrict all the same.
#[test]
fn settings_count_though_their_application_cannot_be_rendered() {
    let cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\n\
              data: {kustomize.buildOptions: --enable-helm}\n";
    let tree = read_root(&[
        ("root/a.yaml", &parent("a", "a")),
        ("a/kustomization.yaml", "resources: [https://github.com/argoproj/argo-cd//manifests?ref=v3]\n"),
        ("a/patches/cm.yaml", cm),
    ]);
    assert!(tree.build.enable_helm, "{}", problems(&tree));
    assert_eq!(tree.incomplete.len(), 1);
}

/// Clusters are made by other tools as often as not: what a set would make for one can be checked all the same.
#[test]
fn a_set_without_a_cluster_can_be_checked() {
    let clusters = "{clusters: {selector: {matchLabels: {env: prod}, matchExpressions: [{key: x, operator: Exists}]}}}";
    let text = set("s", clusters, "on-{{name}}", "{{metadata.annotations.base_path}}/apps")
        .replace("'https://github.com/acme/gitops'", "'{{metadata.annotations.addons_repo_url}}'");
    let files = [("root/a.yaml", text.as_str()), ("root/b.yaml", &leaf("b"))];
    assert_eq!(names(&read_root(&files)), ["b"]);
    let tree = read_with(&files, &TreeOptions { assumes_clusters: true, ..TreeOptions::default() });
    assert_eq!(names(&tree), ["b", "on-in-cluster"], "{}", problems(&tree));
    let source = &tree.applications[1].app.as_ref().unwrap().source;
    assert!(tree.applications[1].is_assumed && source.path == "unknown/apps" && source.repo_url.ends_with("/unknown"));
}

/// Settings that a kustomization which can't be rendered here writes in any of its forms.
#[test]
fn written_settings_are_found_in_patches_and_generators() {
    const EXCLUDES: &str = "[{kinds: [Event]}]";
    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: argocd-cm}}\ndata: {{resource.exclusions: '{EXCLUDES}'}}\n"
    );
    let operations = format!("- {{op: add, path: /data/resource.exclusions, value: '{EXCLUDES}'}}\n");
    let inline = |text: &str| json!(text).to_string();
    let values = format!("configs: {{cm: {{resource.exclusions: '{EXCLUDES}'}}}}");
    let chart = |name: &str, values: &str| {
        format!(
            "helmCharts: [{{name: {name}, repo: 'https://argoproj.github.io/argo-helm', version: 9.0.0, {values}}}]"
        )
    };
    let target = "target: {kind: ConfigMap, name: argocd-cm}";
    let elsewhere = "target: {kind: ConfigMap, name: other}";
    for (what, kustomization, is_found) in [
        ("a patch on the spot", format!("patches: [{{patch: {}}}]", inline(&manifest)), true),
        ("the old field", format!("patchesStrategicMerge: [{}]", inline(&manifest)), true),
        ("a JSON patch", format!("patches: [{{patch: {}, {target}}}]", inline(&operations)), true),
        ("its old field", format!("patchesJson6902: [{{patch: {}, {target}}}]", inline(&operations)), true),
        ("a JSON patch in a file", format!("patches: [{{path: patch.yaml, {target}}}]"), true),
        (
            "a patch of any name with a target",
            format!("patches: [{{patch: {}, {target}}}]", inline(&manifest.replace("argocd-cm", "any"))),
            true,
        ),
        (
            "a generator",
            format!("configMapGenerator: [{{name: argocd-cm, literals: ['resource.exclusions={EXCLUDES}']}}]"),
            true,
        ),
        ("values of Argo CD's chart", chart("argo-cd", &format!("valuesInline: {{{values}}}")), true),
        ("values in a file", chart("argo-cd", "valuesFile: values.yaml"), true),
        (
            "values below others",
            chart("argo-cd", "valuesFile: values.yaml, valuesInline: {configs: {cm: {a: b}}}"),
            true,
        ),
        (
            "values that others replace",
            chart("argo-cd", "valuesFile: values.yaml, valuesInline: {a: b}, valuesMerge: replace"),
            false,
        ),
        ("values of another chart", chart("other", &format!("valuesInline: {{{values}}}")), false),
        ("another target", format!("patches: [{{patch: {}, {elsewhere}}}] # argocd-cm", inline(&operations)), false),
        ("no patch", "# argocd-cm".to_owned(), false),
    ] {
        let text = format!(
            "resources: ['https://github.com/argoproj/argo-cd//manifests?ref=v3']\nnamespace: argocd\n{kustomization}\n"
        );
        let files = [
            ("root/a.yaml", app("cd", "cd", "default", "argocd")),
            ("cd/kustomization.yaml", text),
            ("cd/patch.yaml", operations.clone()),
            ("cd/values.yaml", values.clone()),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let tree = read_root(&files);
        let app = tree.applications[0].app.as_ref().unwrap();
        let permit = ProjectPermissions::of(app, &tree.projects, &tree.manifests.clusters);
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "x"}});
        let excluded = permit.excluded(&Object::from_value(event).unwrap()).is_some();
        assert_eq!(excluded, is_found, "{what}: {}", problems(&tree));
    }
}

/// Clusters of the settings count like those of Secrets in the tree.
#[test]
fn sets_see_the_clusters_of_the_settings() {
    let clusters = "{clusters: {selector: {matchLabels: {env: prod}}}}";
    let text = set("s", clusters, "on-{{name}}", "apps");
    let cluster = |name: &str, env: &str| {
        json!({"name": name, "server": format!("https://{name}"), "labels": {"env": env},
            "config": {"awsAuthConfig": {"clusterName": name}}})
    };
    let given = json!([cluster("east", "prod"), cluster("west", "dev")]).to_string();
    let options = TreeOptions { clusters: crate::root::clusters::secrets(&given).unwrap(), ..TreeOptions::default() };
    let tree = read_with(&[("root/a.yaml", text.as_str())], &options);
    assert_eq!(names(&tree), ["on-east"], "{}", problems(&tree));
    assert_eq!((problems(&tree).as_str(), tree.manifests.clusters.len()), ("", 2));
}

/// Teams that install Argo CD by its chart have its settings in the chart's values.
#[test]
fn values_of_argo_cds_chart_are_settings() {
    const CHARTS: &str = "https://argoproj.github.io/argo-helm";
    const EXCLUDES: &str = "configs: {cm: {resource.exclusions: \"[{kinds: [Event]}]\"}}";
    let chart = |values: &str| {
        let chart = format!("{{repoURL: '{CHARTS}', chart: argo-cd, targetRevision: 9.0.0, helm: {{{values}}}}}");
        let source = "source: {repoURL: 'git@github.com:acme/gitops.git', path: x}";
        parent("argo-cd", "x").replace(source, &format!("sources: [{chart}, {{repoURL: '{ROOT}', ref: values}}]"))
    };
    let files = |app: String, rest: &[(&'static str, &str)]| {
        let rest = rest.iter().map(|(path, text)| (*path, (*text).to_owned()));
        [("root/a.yaml", app)].into_iter().chain(rest).collect::<Vec<_>>()
    };
    let dependency = format!("{{name: argo-cd, version: 9.0.0, repository: '{CHARTS}'}}");
    let depends = format!("name: own\nversion: 1.0.0\ndependencies: [{dependency}]\n");
    let below = format!("argo-cd: {{{EXCLUDES}}}");
    for (what, files) in [
        ("inline", files(chart(&format!("valuesObject: {{{EXCLUDES}}}")), &[])),
        ("in a file", files(chart("valueFiles: [$values/argo/values.yaml]"), &[("argo/values.yaml", EXCLUDES)])),
        (
            "of a chart in Git",
            files(parent("argo-cd", "own"), &[("own/Chart.yaml", &depends), ("own/values.yaml", &below)]),
        ),
        ("nothing", files(chart(""), &[])),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let tree = read_root(&files);
        let app = tree.applications[0].app.as_ref().unwrap();
        let permit = ProjectPermissions::of(app, &tree.projects, &tree.manifests.clusters);
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "argocd"}});
        let excluded = permit.excluded(&Object::from_value(event).unwrap()).is_some();
        assert_eq!(excluded, what != "nothing", "{what}: {}", problems(&tree));
    }
    let tree = read_root(&[("root/a.yaml", &chart("valueFiles: [$values/none.yaml]"))]);
    assert!(problems(&tree).contains("give them by SLIPWAY_SETTINGS"), "{}", problems(&tree));
}

/// What a kustomization that can't be rendered here makes of the settings of its base.
#[test]
fn written_settings_are_merged_over_those_of_a_base() {
    let settings =
        |data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: argocd-cm}}\ndata: {{{data}}}\n");
    let remote = "https://github.com/argoproj/argo-cd//manifests?ref=v3";
    let files = [
        ("root/a.yaml", app("cd", "own-argocd", "default", "elsewhere")),
        ("argocd/kustomization.yaml", format!("resources: ['{remote}']\npatches: [{{path: cm.yaml}}]\n")),
        ("argocd/cm.yaml", settings("kustomize.buildOptions: --enable-helm, url: base")),
        (
            "own-argocd/kustomization.yaml",
            "namespace: argocd\nresources: [../argocd]\npatches: [{path: patches/cm.yaml}]\n".to_owned(),
        ),
        ("own-argocd/patches/cm.yaml", settings("url: own, resource.exclusions: '[{kinds: [Event]}]'")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = read_root(&files);
    let app = tree.applications[0].app.as_ref().unwrap();
    let permit = ProjectPermissions::of(app, &tree.projects, &tree.manifests.clusters);
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "x"}});
    assert!(permit.excluded(&Object::from_value(event).unwrap()).is_some(), "{}", problems(&tree));
    assert!(tree.build.enable_helm, "{}", problems(&tree));
}
