use std::sync::Arc;

use serde_json::json;
use slipway_budget::Limits as Bounds;
use slipway_manifest::Tree;

use super::*;

fn set(spec: &Value) -> Object {
    let metadata = json!({"name": "set", "namespace": "argocd"});
    let mut set = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": metadata});
    set["spec"] = json!({"template": {"metadata": {"name": "{{name}}"}, "spec": {"project": "default"}}});
    set["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Object::from_value(set).unwrap()
}

fn tree(files: &[(&str, &str)]) -> Arc<Tree> {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes()).unwrap();
    }
    Arc::new(tree)
}

fn made(spec: &Value, given: &Given) -> Applications {
    match generate(&set(spec), given, &Budget::default()).unwrap() {
        Generated::Applications(all) => all,
        Generated::Needs(needs) => panic!("needs {needs:?}"),
    }
}

fn names(spec: &Value, given: &Given) -> Vec<String> {
    made(spec, given).objects.iter().map(|object| object.name().to_owned()).collect()
}

fn needs(spec: &Value, given: &Given) -> Vec<Need> {
    match generate(&set(spec), given, &Budget::default()).unwrap() {
        Generated::Needs(needs) => needs.into_iter().collect(),
        Generated::Applications(all) => panic!("needs nothing: {all:?}"),
    }
}

fn refusal(spec: &Value) -> Error {
    generate(&set(spec), &Given::default(), &Budget::default()).unwrap_err()
}

/// The error with its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn revision(url: &str) -> GitRevision {
    GitRevision { url: url.to_owned(), revision: "main".to_owned() }
}

#[test]
fn what_is_missing_is_asked_for_until_nothing_is() {
    let git = |url: &str, path: &str, prefix: &str| {
        let files = json!([{"path": path}]);
        json!({"repoURL": url, "revision": "main", "files": files, "pathParamPrefix": prefix})
    };
    let spec = json!({
        "template": {"metadata": {"name": "{{env}}-{{name}}"}, "spec": {"project": "default"}},
        "generators": [
            {"matrix": {"generators": [
                {"git": git("teams", "*.yaml", "team")}, {"git": git("{{repo}}", "*.yaml", "env")}]}},
            {"merge": {"mergeKeys": ["name"], "generators": [
                {"git": git("base", "x.yaml", "")}, {"git": git("over", "x.yaml", "")}]}}]});
    let mut given = Given::default();
    assert_eq!(needs(&spec, &given), ["base", "over", "teams"].map(|url| Need::Tree(revision(url))));
    given.trees.insert(revision("teams"), tree(&[("t.yaml", "[{name: a, repo: r1}, {name: b, repo: r2}]")]));
    given.trees.insert(revision("base"), tree(&[("x.yaml", "{name: x, env: none}")]));
    given.trees.insert(revision("over"), tree(&[("x.yaml", "{name: x, env: some}")]));
    assert_eq!(needs(&spec, &given), ["r1", "r2"].map(|url| Need::Tree(revision(url))));
    given.trees.insert(revision("r1"), tree(&[("envs/dev.yaml", "env: dev")]));
    given.trees.insert(revision("r2"), tree(&[("envs/qa.yaml", "env: qa"), ("envs/prod.yaml", "env: prod")]));
    assert_eq!(names(&spec, &given), ["dev-a", "prod-b", "qa-b", "some-x"]);
    given.trees.insert(revision("others"), tree(&[]));
    let looked_at = ["base", "over", "r1", "r2", "teams"].map(|url| Need::Tree(revision(url)));
    assert_eq!(made(&spec, &given).looked_at, looked_at.into(), "of what is given, what was used");
}

#[test]
fn github_is_asked_in_steps() {
    let repository = RepositoryRef { api: String::new(), owner: "org".to_owned(), repository: "one".to_owned() };
    let pulls = json!({"generators": [{"pullRequest": {"github": {"owner": "org", "repo": "one"}}}],
        "template": {"metadata": {"name": "pr-{{number}}"}, "spec": {"project": "default"}}});
    assert_eq!(needs(&pulls, &Given::default()), [Need::PullRequests(repository.clone())]);
    let mut given = Given::default();
    let pull = PullRequest { number: 7, ..PullRequest::default() };
    given.pull_requests.insert(repository.clone(), Some(vec![pull]));
    assert_eq!(names(&pulls, &given), ["pr-7"]);

    let scm = json!({"template": {"metadata": {"name": "{{repository}}-{{branch}}"}, "spec": {"project": "default"}},
        "generators": [{"scmProvider": {
            "github": {"organization": "org"}, "filters": [{"pathsExist": ["deploy/"]}]}}]});
    let organization = OrganizationRef { api: String::new(), organization: "org".to_owned() };
    assert_eq!(needs(&scm, &given), [Need::Repositories(organization.clone())]);
    let one = Repository {
        organization: "org".to_owned(),
        name: "one".to_owned(),
        default_branch: "main".to_owned(),
        ..Repository::default()
    };
    given.repositories.insert(organization, vec![one]);
    let branches = BranchesRef { repository: repository.clone(), only: Some("main".to_owned()) };
    assert_eq!(needs(&scm, &given), [Need::Branches(branches.clone())]);
    given.branches.insert(branches, vec![Branch { name: "main".to_owned(), sha: "abc".to_owned() }]);
    let path = PathRef { repository, branch: "main".to_owned(), path: "deploy".to_owned() };
    assert_eq!(needs(&scm, &given), [Need::Path(path.clone())]);
    for (found, expected) in [(true, vec!["one-main"]), (false, vec![])] {
        given.paths.insert(path.clone(), found);
        assert_eq!(names(&scm, &given), expected);
    }
}

#[test]
fn a_failure_names_set_generator_and_field() {
    let list = |elements: Value| json!({"list": {"elements": elements}});
    for (spec, generator, told) in [
        (
            json!({"generators": [list(json!([{"name": 5}]))]}),
            Some(0),
            "`spec.generators[0].list.elements[0].name`: expected a string",
        ),
        (
            json!({"generators": [list(json!([])), {"plugin": {}}]}),
            Some(1),
            "`spec.generators[1].plugin`: is not supported: it asks",
        ),
        (
            json!({"generators": [{"clusterDecisionResource": {}}]}),
            Some(0),
            "clusterDecisionResource`: is not supported: it reads",
        ),
        (
            json!({"generators": [{"lists": {}}]}),
            Some(0),
            "`spec.generators[0].lists`: is not supported: there is no generator",
        ),
        (json!({"generators": [{"pullRequest": {"gitlab": {}}}]}), Some(0), "only pull requests of GitHub"),
        (json!({"generators": [{"scmProvider": {"gitea": {}}}]}), Some(0), "only organizations of GitHub"),
        (
            json!({"generators": [{"matrix": {"generators": [
                list(json!([{"a": "b"}])), {"merge": {"generators": []}}]}}]}),
            Some(0),
            "`spec.generators[0].matrix.generators[1].merge.generators`: expected two or more generators, found 0",
        ),
        (json!({"generators": [list(json!([{"name": "a"}, {"name": "a"}]))]}), Some(0), "duplicate names: a"),
        (
            json!({"generators": [list(json!([{"x": "a"}]))], "goTemplate": true, "templatePatch": "{{",
                "template": {"metadata": {"name": "a"}, "spec": {"project": "default"}}}),
            None,
            "`spec.templatePatch`: template: base:1: unclosed action",
        ),
        (json!({"generators": "x"}), None, "`spec.generators`: expected a list, found a string"),
        (
            json!({"generators": [], "syncPolicy": {"applicationsSync": "never"}}),
            None,
            "`spec.syncPolicy.applicationsSync`: \"never\" is not one of",
        ),
        (
            json!({"generators": [], "strategy": {"type": "Canary"}}),
            None,
            "`spec.strategy.type`: \"Canary\" is not one of",
        ),
    ] {
        let error = refusal(&spec);
        assert_eq!(error.generator, generator, "{error}");
        let text = chain(&error);
        assert!(
            text.starts_with("failed to generate the Applications of the ApplicationSet argocd/set at `spec"),
            "{text}"
        );
        assert!(text.contains(told), "{text}\nlacks {told}");
    }
    let nameless = json!({"generators": [{"list": {"elements": [{}]}}], "template": {"spec": {"project": "x"}}});
    assert!(refusal(&nameless).to_string().contains("spec.template.metadata.name"));
}

#[test]
fn policies_are_told() {
    let all = made(
        &json!({
            "generators": [{"list": {"elements": [{"name": "a"}]}}],
            "template": {"metadata": {"name": "a"}, "spec": {"project": "{{name}}"}, "kind": "x"},
            "syncPolicy": {"applicationsSync": "create-update", "preserveResourcesOnDeletion": true},
            "ignoreApplicationDifferences": [{"name": "a", "jsonPointers": ["/spec/source/targetRevision"]}],
            "preservedFields": {"annotations": ["note"], "labels": ["l"]},
            "strategy": {"type": "RollingSync", "deletionOrder": "reverse",
                "rollingSync": {"steps": [{"maxUpdate": "25%"}]}}}),
        &Given::default(),
    );
    let sync = all.policy.applications_sync;
    assert!(sync == ApplicationsSync::CreateUpdate && sync.allows_update() && !sync.allows_delete());
    assert!(all.policy.preserve_resources_on_deletion && all.policy.reverse_deletion && all.has_templated_project);
    assert_eq!(all.policy.ignore_application_differences[0].json_pointers, ["/spec/source/targetRevision"]);
    assert_eq!(
        (&all.policy.preserved_annotations[..], &all.policy.preserved_labels[..]),
        (&["note".to_owned()][..], &["l".to_owned()][..])
    );
    let steps = vec![RolloutStep { match_expressions: Vec::new(), max_update: Some(MaxUpdate::Percent(25)) }];
    assert_eq!(all.policy.strategy, Strategy::RollingSync(steps));
    assert_eq!(all.unknown_fields, ["spec.template.kind"]);
    assert_eq!(all.objects[0].pointer("/metadata/finalizers"), None, "what it deployed stays");
    let bare = made(&json!({"generators": []}), &Given::default());
    assert_eq!((bare.policy, bare.objects.len()), (Policy::default(), 0));
}

#[test]
fn a_project_of_the_template_must_be_there_for_git() {
    let spec = json!({"generators": [{"git": {"repoURL": "r", "revision": "main", "directories": [{"path": "*"}]}}]});
    let mut given = Given { projects: Some(BTreeSet::new()), ..Given::default() };
    given.trees.insert(revision("r"), tree(&[("a/x", "")]));
    let error = generate(&set(&spec), &given, &Budget::default()).unwrap_err();
    assert_eq!(error.field, "spec.template.spec.project");
    assert!(matches!(*error.kind, ErrorKind::Project(name) if name == "default"));
    given.projects = Some(["default".to_owned()].into());
    assert_eq!(made(&spec, &given).objects.len(), 1);
}

#[test]
fn hidden_folders_and_symlinks_are_no_folders() {
    let mut files = Tree::default();
    for path in ["a/x", ".b/x", "a/.c/d/x", "a/e/x"] {
        files.insert(path, b"".as_slice()).unwrap();
    }
    files.insert_link("link", "a").unwrap();
    let spec = json!({
        "template": {"metadata": {"name": "{{path.basename}}"}, "spec": {"project": "default"}},
        "generators": [{"git": {"repoURL": "r", "revision": "main",
            "directories": [{"path": "*"}, {"path": "*/*"}, {"path": "*/*/*"}]}}]});
    let mut given = Given::default();
    given.trees.insert(revision("r"), Arc::new(files));
    assert_eq!(names(&spec, &given), ["a", "e"]);
    given.include_hidden_directories = true;
    assert_eq!(names(&spec, &given), [".b", "a", ".c", "d", "e"]);
}

/// Attack 16: sets that make far too much end soon, with an error that names the bound.
#[test]
fn sets_that_explode_end_at_a_bound() {
    let list = |count: usize, key: &str| {
        let elements: Vec<Value> = (0..count).map(|n| json!({key: format!("{key}{n}")})).collect();
        json!({"list": {"elements": elements}})
    };
    let matrix = |one: &Value, other: &Value| json!({"matrix": {"generators": [one, other]}});
    let (a, b, c) = (list(300, "a"), list(300, "b"), list(300, "c"));
    let deep: String = (0..2_000).map(|_| "{{with .}}").chain((0..2_000).map(|_| "{{end}}")).collect();
    let template = |name: &str| json!({"metadata": {"name": name}, "spec": {"project": "default"}});
    let element = json!({"list": {"elements": [{"name": "x"}]}});
    for (what, spec, told) in [
        ("a list", json!({"generators": [list(20_000, "name")]}), "more than 10000 Applications"),
        (
            "a matrix",
            json!({"template": template("{{a}}-{{b}}"), "generators": [matrix(&a, &b)]}),
            "more than 10000 Applications",
        ),
        (
            "a matrix of a matrix",
            json!({"template": template("{{a}}-{{b}}-{{c}}"), "generators": [matrix(&matrix(&a, &b), &c)]}),
            "more than 100000 sets of parameters",
        ),
        (
            "elements out of a template",
            json!({"goTemplate": true, "generators": [matrix(&element, &json!({"list": {"elements": [],
                "elementsYaml": "{{ range until 1000000 }}- {a: b}\n{{ end }}"}}))]}),
            "budget of",
        ),
        (
            "a name that grows",
            json!({"goTemplate": true, "template": template("{{repeat 1000000000 .name}}"), "generators": [element]}),
            "budget of",
        ),
        (
            "an endless loop",
            json!({"goTemplate": true, "generators": [element],
                "template": template("{{range until 100000000}}{{end}}")}),
            "budget of",
        ),
        (
            "a template in a template",
            json!({"goTemplate": true, "generators": [element],
                "template": template("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}")}),
            "maximum template depth",
        ),
        (
            "a deep template",
            json!({"goTemplate": true, "template": template(&deep), "generators": [element]}),
            "max expression depth exceeded",
        ),
        ("an alias bomb", json!({"generators": [{"list": {"elements": [], "elementsYaml": bomb()}}]}), "budget of"),
        (
            "a patch that grows",
            json!({"goTemplate": true, "template": template("a"), "generators": [element],
                "templatePatch": "a: {{repeat 1000000000 \"x\"}}"}),
            "budget of",
        ),
    ] {
        let begun = std::time::Instant::now();
        let text = chain(&refusal(&spec));
        assert!(text.contains(told), "{what}: {text}");
        assert!(begun.elapsed().as_secs() < 30, "{what} took {:?}", begun.elapsed());
    }
}

fn bomb() -> String {
    let mut text = "- &a0 {k: v}\n".to_owned();
    for n in 1..12 {
        let of = format!("*a{}, ", n - 1).repeat(10);
        text = format!("{text}- &a{n} {{l: [{of}]}}\n");
    }
    text
}

#[test]
fn a_budget_that_is_used_up_is_an_error_and_no_shorter_list() {
    let spec = json!({"generators": [{"list": {"elements": [{"name": "a"}, {"name": "b"}]}}]});
    let whole = Budget::default();
    assert!(generate(&set(&spec), &Given::default(), &whole).is_ok());
    let (steps, _) = whole.used();
    let mut refused = 0;
    for part in 0..20 {
        let small = Budget::new(Bounds { steps: steps * part / 20, ..Bounds::default() });
        match generate(&set(&spec), &Given::default(), &small) {
            Ok(Generated::Applications(all)) => assert_eq!(all.objects.len(), 2),
            Ok(needs) => panic!("{needs:?}"),
            Err(error) => {
                assert!(chain(&error).contains("budget of"), "{}", chain(&error));
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    let few = Budget::new(Bounds { bytes: 16, ..Bounds::default() });
    assert!(generate(&set(&spec), &Given::default(), &few).is_err());
}

#[test]
fn random_values_and_times_are_the_callers() {
    let spec = json!({"goTemplate": true, "generators": [{"list": {"elements": [{"name": "a"}]}}],
        "template": {"metadata": {"name": "{{ randAlphaNum 8 | lower }}-{{ now | date \"2006\" }}"},
            "spec": {"project": "default"}}});
    let other = Given { seed: [1; 32], ..Given::default() };
    let first = names(&spec, &Given::default());
    assert!(first == names(&spec, &Given::default()) && first != names(&spec, &other));
    assert!(first[0].ends_with("-1970"), "{first:?}");
}
