use serde_json::json;
use slipway_manifest::Object;

use super::*;
use crate::memory::Held;
use crate::source::verify::UnfetchedPaths;

type Files<'a> = &'a [(&'a str, &'a str)];

fn app(spec: &Value, annotations: &Value) -> Application {
    let mut spec = spec.clone();
    spec["destination"] = json!({"name": "in-cluster"});
    let sources = if spec.get("sources").is_some() { &mut spec["sources"] } else { &mut spec["source"] };
    let all = if let Value::Array(all) = sources { all.iter_mut().collect() } else { vec![sources] };
    for source in all {
        source["repoURL"] = "https://github.com/acme/gitops".into();
    }
    let metadata = json!({"name": "web", "annotations": annotations});
    let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata,
        "spec": spec});
    Application::from_object(&Object::from_value(object).unwrap()).unwrap()
}

/// Links are written as `-> TARGET`.
fn reaches(files: Files<'_>, sha: &str) -> Reaches {
    let mut tree = Tree::default();
    for (path, text) in files {
        match text.strip_prefix("-> ") {
            Some(target) => tree.insert_link(path, target).unwrap(),
            None => tree.insert(path, text.as_bytes()).unwrap(),
        }
    }
    let (repo, special) = ("acme/gitops".parse().unwrap(), UnfetchedPaths::default());
    let checkout = Checkout { repo, sha: sha.to_owned(), tree: Arc::new(tree), special, held: Held::default() };
    Reaches::new(Arc::new(checkout), Arc::default())
}

/// The files of `files` whose change, removal or addition changes the digest of `app`, with one to be added.
fn reached(app: &Application, files: Files<'_>, added: &str) -> Vec<String> {
    let digest = |files: Files<'_>| reach(app, &vec![Some(reaches(files, "0")); app.all_sources().len()]).digest;
    let before = digest(files);
    let mut found = Vec::new();
    for (at, (path, _)) in files.iter().enumerate() {
        let mut changed = files.to_vec();
        changed.remove(at);
        let is_removed = digest(&changed) != before;
        changed.insert(at, (path, "changed: true\n"));
        assert_eq!(is_removed, digest(&changed) != before, "{path}");
        found.extend(is_removed.then(|| (*path).to_owned()));
    }
    let more = [files, &[(added, "")]].concat();
    found.extend((digest(&more) != before).then(|| added.to_owned()));
    found
}

fn at(path: &str) -> Value {
    json!({"source": {"path": path}})
}

#[test]
fn a_folder_is_reached_with_all_below() {
    let files: Files<'_> = &[("app/a.yaml", ""), ("app/b/c/d.txt", "x ../../../other/o.yaml"), ("other/o.yaml", "")];
    let app = app(&at("app"), &json!({}));
    assert_eq!(reached(&app, files, "app/new.yaml"), ["app/a.yaml", "app/b/c/d.txt", "app/new.yaml"]);
    assert_eq!(reached(&app, files, "apple/new.yaml"), ["app/a.yaml", "app/b/c/d.txt"]);
}

#[test]
fn what_a_kustomization_names_is_reached_wherever_it_stands() {
    for (what, kustomization, place) in [
        ("a base", "resources: ['../base']", "base/deep/x.yaml"),
        ("a component", "components:\n- ../../gitops/base/", ""),
        ("a file", "resources:\n  - ../base/x.yaml # of all", "base/x.yaml"),
        ("a spaced path", "resources:\n  - \"../my base\"", "my base/x.yaml"),
        ("a folded path", "resources:\n  - ../my\n    base", "my base/x.yaml"),
        ("an escaped path", "resources: [\"\\x2e./base\"]", "base/x.yaml"),
        ("JSON", "{\"resources\": [\"..\\/base\"]}", "base/x.yaml"),
        ("a key", "configMapGenerator: [{name: a, files: [key=../base/x.txt]}]", "base/x.txt"),
        ("an env", "configMapGenerator: [{name: a, envs: [../base/x.env]}]", "base/x.env"),
        ("a patch", "patches: [{path: ../base/x.yaml}]", "base/x.yaml"),
        ("a replacement", "replacements: [{path: ../base/x.yaml}]", "base/x.yaml"),
        ("a schema", "openapi: {path: ../base/x.json}", "base/x.json"),
        ("values", "helmCharts: [{name: a, valuesFile: ../base/x.yaml}]", "base/x.yaml"),
        ("charts", "helmGlobals: {chartHome: ../base}\nhelmCharts: [{name: a}]", "base/a/Chart.yaml"),
        ("an inline generator", "generators:\n- |\n  kind: X\n  valuesFile: ../base/x.yaml", "base/x.yaml"),
        ("a generator's file", "generators: [gen/g.yaml]", "base/x.yaml"),
        ("an anchor", "x: &b ../base\nresources: [*b]", "base/x.yaml"),
        ("a detour", "resources: [sub/../../base]", "base/x.yaml"),
    ] {
        let generator = ("app/gen/g.yaml", "kind: HelmChartInflationGenerator\nvaluesFile: ../base/x.yaml\n");
        let files: Files<'_> = &[("app/kustomization.yaml", kustomization), generator, ("app.yaml", ""), (place, "")];
        let files = if place.is_empty() { &files[..3] } else { files };
        let found = reached(&app(&at("app"), &json!({})), files, "new.yaml");
        let expected = ["app/kustomization.yaml", "app/gen/g.yaml", place];
        let expected: Vec<&str> = expected.into_iter().filter(|path| !path.is_empty()).collect();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn what_jsonnet_imports_is_reached_wherever_it_stands() {
    let files: Files<'_> = &[
        ("app/a.jsonnet", "local x = import '..\\u002fbase/x y.libsonnet', v = import 'v.libsonnet'; x"),
        ("base/x y.libsonnet", "import 'z.txt'"),
        ("base/z.txt", "importstr '../data/d.json'"),
        ("data/d.json", ""),
        ("vendor/v.libsonnet", "import '../data2/e'"),
        ("data2/e", ""),
        ("other/import.libsonnet", "import '../app/a.jsonnet'"),
    ];
    let one = app(&json!({"source": {"path": "app", "directory": {"jsonnet": {"libs": ["vendor"]}}}}), &json!({}));
    let all: Vec<&str> = files[..6].iter().map(|(path, _)| *path).collect();
    assert_eq!(reached(&one, files, "base/new.libsonnet"), all);
    // Where nothing stands yet, something may come.
    assert_eq!(reached(&one, files, "base/v.libsonnet"), all);
    assert_eq!(reached(&one, files, "app/z.txt"), [&all[..], &["app/z.txt"]].concat());
    let plain = app(&at("app"), &json!({}));
    assert_eq!(reached(&plain, files, "new"), all[..4]);
}

#[test]
fn bases_of_bases_are_reached_and_cycles_end() {
    let files: Files<'_> = &[
        ("app/kustomization.yaml", "resources: [../one]"),
        ("one/kustomization.yaml", "resources: [../two, a.yaml]"),
        ("two/Kustomization", "components: [../app, ../three]"),
        ("three/kustomization.yml", ""),
        ("four/kustomization.yaml", ""),
    ];
    let one = app(&at("app"), &json!({}));
    let expected: Vec<&str> = files[..4].iter().map(|(path, _)| *path).collect();
    assert_eq!(reached(&one, files, "one/new.yaml"), [&expected[..], &["one/new.yaml"]].concat());
}

#[test]
fn a_base_that_is_missing_is_reached_when_it_comes() {
    let one = app(&at("app"), &json!({}));
    let kustomization = ("app/kustomization.yaml", "resources: [../base]");
    assert_eq!(reached(&one, &[kustomization], "base/x.yaml"), ["app/kustomization.yaml", "base/x.yaml"]);
    let digest = |files: Files<'_>| reach(&one, &[Some(reaches(files, "0"))]).digest;
    let link = ("base", "-> elsewhere");
    assert_ne!(digest(&[kustomization]), digest(&[kustomization, link, ("elsewhere/x.yaml", "")]));
}

#[test]
fn symlinks_are_reached_with_what_is_behind_them() {
    let one = app(&at("app"), &json!({}));
    let digest = |files: Files<'_>| reach(&one, &[Some(reaches(files, "0"))]).digest;
    for (what, one, other) in [
        ("a target", ("app/x", "-> ../a"), ("app/x", "-> ../b")),
        ("a folder's file", ("a/f.yaml", "1"), ("a/f.yaml", "2")),
        ("a link of the target", ("a/l", "-> ../b/f.yaml"), ("a/l", "-> ../c/f.yaml")),
        ("a file behind two", ("c/f.yaml", "1"), ("c/f.yaml", "2")),
    ] {
        let mut files = vec![("app/x", "-> ../a"), ("a/l", "-> ../c/f.yaml"), ("c/f.yaml", "1"), ("b/f.yaml", "")];
        files.retain(|(path, _)| *path != one.0);
        let (one, other) = ([&files[..], &[one]].concat(), [&files[..], &[other]].concat());
        assert_ne!(digest(&one), digest(&other), "{what}");
    }
    let linked: Files<'_> = &[("app", "-> real"), ("real/kustomization.yaml", "resources: [../base]"), ("base/x", "")];
    let mut changed = linked.to_vec();
    changed[2].1 = "1";
    assert_ne!(digest(linked), digest(&changed), "the folder itself is behind one");
}

#[test]
fn value_files_are_reached_in_every_source() {
    let files: Files<'_> = &[
        (
            "chart/Chart.yaml",
            "dependencies:\n- {name: a, version: '1', repository: file://../lib}\nhome: https://a.b\n",
        ),
        ("lib/Chart.yaml", ""),
        ("values/a.yaml", ""),
        ("values/web.yaml", ""),
        ("env/prod/x.yaml", ""),
        ("other.yaml", ""),
    ];
    let helm = json!({"valueFiles": ["/values/a.yaml", "../env/*/x.yaml", "../values/$ARGOCD_APP_NAME.yaml"],
        "ignoreMissingValueFiles": true, "fileParameters": [{"name": "a", "path": "../more.txt"}]});
    let one = app(&json!({"source": {"path": "chart", "helm": helm}}), &json!({}));
    let all: Vec<&str> = files[..5].iter().map(|(path, _)| *path).collect();
    for added in ["env/new/x.yaml", "more.txt"] {
        assert_eq!(reached(&one, files, added), [&all[..], &[added]].concat());
    }
    assert_eq!(reached(&one, files, "values/new.yaml"), all);

    let helm = json!({"valueFiles": ["$v/values/a.yaml", "$v/env/$ARGOCD_APP_NAME/*.yaml"]});
    let sources = json!([{"ref": "v"}, {"path": "chart", "helm": helm}]);
    let several = app(&json!({"sources": sources}), &json!({}));
    let all = ["chart/Chart.yaml", "lib/Chart.yaml", "values/a.yaml", "env/prod/x.yaml", "env/new.yaml"];
    assert_eq!(reached(&several, files, "env/new.yaml"), all);
}

#[test]
fn what_the_source_and_its_overrides_name_is_reached() {
    let kustomize = json!({"components": ["../one"], "patches": [{"path": "../two.yaml"}]});
    let one = app(&json!({"source": {"path": "app", "kustomize": kustomize}}), &json!({}));
    let files: Files<'_> = &[("app/kustomization.yaml", ""), ("one/kustomization.yaml", ""), ("two.yaml", "")];
    assert_eq!(reached(&one, files, "one/x.yaml").len(), 4);
    let files: Files<'_> = &[
        ("app/kustomization.yaml", ""),
        ("app/.argocd-source-web.yaml", "kustomize: {components: [../one]}"),
        ("one/kustomization.yaml", ""),
        ("two.yaml", ""),
    ];
    assert_eq!(reached(&app(&at("app"), &json!({})), files, "one/x.yaml").len(), 4);
}

#[test]
fn what_depends_on_the_commit_or_can_not_be_bounded_changes_with_it() {
    let chart = ("app/Chart.yaml", "name: a\n");
    let parameters = json!([{"name": "a", "value": "${ARGOCD_APP_REVISION_SHORT}"}]);
    for (spec, files, is_open) in [
        (at("app"), vec![chart], false),
        (json!({"source": {"path": "app", "helm": {"parameters": parameters}}}), vec![chart], true),
        (at("app"), vec![chart, ("app/.argocd-source.yaml", "helm: {values: \"a: $ARGOCD_APP_REVISION\"}")], true),
        (at("app"), vec![("app/kustomization.yaml", "resources: [../a\n")], true),
        (at("app"), vec![("app/kustomization.yaml", "helmCharts: [{name: ../../a}]\n")], true),
        (at("app"), vec![("app/kustomization.yaml", "resources: ['https://github.com/a/b//c?ref=main']\n")], false),
        (
            at("app"),
            vec![("app/kustomization.yaml", "helmCharts: [{name: a, repo: 'https://charts.example.com'}]")],
            true,
        ),
        (at("app"), vec![("app/kustomization.yaml", "resources:\n- git@github.com:a/b\nx: ext\n")], true),
        (at("app"), vec![("app/kustomization.yaml", "# https://github.com/a/b\n")], false),
        (json!({"source": {"path": "app", "directory": {"jsonnet": {"libs": ["a"]}}}}), vec![], false),
        (json!({"source": {"path": "app", "directory": {"jsonnet": {"libs": ["../a"]}}}}), vec![], true),
        (json!({"source": {"path": "../app"}}), vec![], true),
        (at("link"), vec![chart, ("link", "-> app")], true),
    ] {
        let app = app(&spec, &json!({}));
        let at = |sha| reach(&app, &[Some(reaches(&files, sha))]).digest;
        assert_eq!(at("1") != at("2"), is_open, "{spec} {files:?}");
    }
}

#[test]
fn what_is_remote_is_named() {
    let files: Files<'_> = &[
        ("app/kustomization.yaml", "resources: [../base, 'https://github.com/a/b//c?ref=main']\n"),
        (
            "base/kustomization.yaml",
            "components:\n- git@github.com:a/d\npatches: [{path: 'https://x.example/p.yaml'}]\n",
        ),
        ("elsewhere/kustomization.yaml", "resources: [github.com/a/unseen]\n"),
    ];
    let kustomize = json!({"components": ["github.com/a/own"]});
    let app = app(&json!({"source": {"path": "app", "kustomize": kustomize}}), &json!({}));
    let named = reach(&app, &[Some(reaches(files, "1"))]).remotes;
    let named: Vec<&str> = named.iter().map(|remote| remote.raw.as_str()).collect();
    let expected =
        ["git@github.com:a/d", "github.com/a/own", "https://github.com/a/b//c?ref=main", "https://x.example/p.yaml"];
    assert_eq!(named, expected);
}

#[test]
fn what_a_team_says_its_application_is_made_of_is_reached_too() {
    let files: Files<'_> = &[
        ("app/kustomization.yaml", "resources: [../base]"),
        ("base/x.yaml", ""),
        ("other/x.yaml", ""),
        ("env/a/values.yaml", ""),
        ("env/a/more/values.yaml", ""),
    ];
    for (paths, added, expected) in [
        (".", "app/new", vec![0, 1, 5]),
        ("sub", "other/new", vec![0, 1]),
        (".;../other", "other/new", vec![0, 1, 2, 5]),
        ("/other/x.yaml", "other/new", vec![0, 1, 2]),
        ("/env/*/values.yaml;", "env/b/values.yaml", vec![0, 1, 3, 5]),
        ("/", "new", vec![0, 1, 2, 3, 4, 5]),
        ("../../nowhere", "new", vec![0, 1]),
    ] {
        let app = app(&at("app"), &json!({ GENERATE_PATHS: paths }));
        let all: Vec<&str> = files.iter().map(|(path, _)| *path).chain([added]).collect();
        let expected: Vec<&str> = expected.into_iter().map(|at| all[at]).collect();
        assert_eq!(reached(&app, files, added), expected, "{paths}");
    }
}
