#![allow(clippy::needless_pass_by_value)] // `json!` reads better in place

use serde_json::json;

use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes()).unwrap();
    }
    tree
}

fn app(source: Value) -> Application {
    let mut full = json!({"repoURL": "https://github.com/acme/gitops", "path": "apps"});
    full.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web", "namespace": "argocd"},
        "spec": {"source": full, "destination": {"name": "in-cluster", "namespace": "shop"}},
    });
    Application::from_object(&Object::from_value(object).unwrap()).unwrap()
}

fn names(rendered: &Rendered) -> Vec<String> {
    rendered.objects.iter().map(|object| object.name().to_owned()).collect()
}

fn config(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

#[test]
fn folders_are_read_by_name_and_recursed_on_request() {
    let tree = tree(&[
        ("apps/b.yaml", &config("b")),
        ("apps/a/x.yml", &config("ax")),
        ("apps/a.json", r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "json"}}"#),
        ("apps/.hidden.yaml", &config("hidden")),
        ("apps/skipped.yaml", &format!("# +argocd:skip-file-rendering\n{}", config("no"))),
        ("apps/readme.md", "x"),
        ("other/c.yaml", &config("c")),
    ]);
    assert_eq!(names(&render(&tree, &app(json!({})), &Context::default()).unwrap()), ["hidden", "json", "b"]);
    let rendered = render(&tree, &app(json!({"directory": {"recurse": true}})), &Context::default()).unwrap();
    assert_eq!(names(&rendered), ["hidden", "ax", "json", "b"]);
    assert!(
        rendered.depends_on("apps/new.yaml")
            && rendered.depends_on("apps/a/x.yml")
            && !rendered.depends_on("other/c.yaml")
    );
    let only =
        |directory: Value| names(&render(&tree, &app(json!({"directory": directory})), &Context::default()).unwrap());
    assert_eq!(only(json!({"recurse": true, "include": "{a/*,b.yaml}"})), ["ax", "b"]);
    assert_eq!(only(json!({"recurse": true, "include": "*.yaml", "exclude": "*b*"})), ["hidden"; 1]);
}

#[test]
fn lists_streams_and_foreign_files() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: one}}\n- \
                {apiVersion: v1, kind: A, metadata: {name: two}}\n";
    let tree = tree(&[
        ("apps/1.yaml", &format!("# c\n---\n{}---\n---\n{}", config("a"), config("b"))),
        ("apps/2.yaml", list),
        ("apps/3.yaml", "apiVersion: v1\nkind: ConfigMapList\nitems:\n"),
        ("apps/4.yaml", "replicas: 1\n"),
        ("apps/5.yaml", "not: [yaml\n"),
        (
            "apps/6.yaml",
            "{\"apiVersion\": \"v1\", \"kind\": \"A\", \"metadata\": {\"name\": \"j1\"}}\n{\"apiVersion\": \"v1\", \
             \"kind\": \"A\", \"metadata\": {\"name\": \"j2\"}}",
        ),
        ("apps/7.yaml", ""),
        ("apps/8.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: x, name: twice}\n"),
    ]);
    let rendered = render(&tree, &app(json!({})), &Context::default()).unwrap();
    assert_eq!(names(&rendered), ["a", "b", "one", "two", "j1", "j2", "twice"]);
    assert_eq!(
        rendered.warnings,
        [
            "`apps/4.yaml` is not a Kubernetes manifest and is passed over",
            "`apps/5.yaml` is not a Kubernetes manifest and is passed over",
            "`apps/8.yaml` line 3: key `name` already set in map: the last one counts",
        ]
    );
}

#[test]
fn errors_name_the_file() {
    let error = |file: &str, text: &str| {
        let tree = tree(&[(file, text)]);
        crate::error::chain(&render(&tree, &app(json!({})), &Context::default()).unwrap_err())
    };
    let broken = format!("{}---\napiVersion: v1\nkind: [\n", config("a"));
    assert_eq!(
        error("apps/a.yaml", &broken),
        "failed to read `apps/a.yaml`: line 7: did not find a value where one is expected"
    );
    assert_eq!(error("apps/a.yaml", &format!("{}---\na: 1\n", config("a"))), "`apps/a.yaml`: document 2 has no `kind`");
    assert_eq!(error("apps/a.jsonnet", "{}"), "`apps/a.jsonnet`: object 1 of what it evaluates to has no `kind`");
    assert_eq!(
        error("apps/a.jsonnet", "[[]]"),
        "`apps/a.jsonnet`: evaluates to what is neither an object nor a list of objects"
    );
    assert_eq!(
        error("apps/a.jsonnet", "{\n  kind: error 'none' }"),
        "failed to evaluate `apps/a.jsonnet`: apps/a.jsonnet:2:9: none"
    );
    assert_eq!(
        error("apps/a.json", "{} {}"),
        "`apps/a.json`: holds several objects, of which a JSON file may have one"
    );
    assert_eq!(
        error("apps/a.yaml", "kind: A\nmetadata: {name: x}\n"),
        "`apps/a.yaml` holds what is no Kubernetes object: missing or empty `apiVersion` in A/x"
    );
    assert_eq!(error("x/a.yaml", ""), "source path `apps` is no folder of the repository");
    for path in ["../etc", "/etc", "/", "a/../.."] {
        let out = app(json!({"path": path}));
        assert!(matches!(render(&Tree::default(), &out, &Context::default()).unwrap_err(), RenderError::Path { .. }));
    }
    let large = format!("# {}\n{}", "x".repeat(6_000_000), config("a"));
    let tree = tree(&[("apps/a.yaml", &large), ("apps/b.yaml", &large)]);
    assert!(matches!(render(&tree, &app(json!({})), &Context::default()).unwrap_err(), RenderError::TooLarge { .. }));
}

/// A symlink can't show files outside of the repository.
#[test]
fn symlinks_stay_inside() {
    let mut t = tree(&[("apps/real/a.yaml", &config("a")), ("shared/s.yaml", &config("s"))]);
    t.insert_link("apps/link.yaml", "../shared/s.yaml").unwrap();
    t.insert_link("apps/dir", "real").unwrap();
    t.insert_link("apps/gone.yaml", "nothing.yaml").unwrap();
    let rendered = render(&t, &app(json!({"directory": {"recurse": true}})), &Context::default()).unwrap();
    assert_eq!(names(&rendered), ["s", "a"]);
    assert!(rendered.files.contains("shared/s.yaml"));
    assert_eq!(rendered.warnings, ["`apps/gone.yaml` is a symlink to nothing and is passed over"]);
    t.insert_link("apps/z.yaml", "../../etc/passwd").unwrap();
    assert!(render(&t, &app(json!({})), &Context::default()).is_err());
}

#[test]
fn the_folder_s_files_choose_the_tool() {
    let kind = |files: &[&str], source: Value| {
        let files: Vec<(String, &str)> = files.iter().map(|file| (format!("apps/{file}"), "")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        source_type(&tree(&files), &app(source).source).unwrap()
    };
    assert_eq!(kind(&["a.yaml"], json!({})), SourceType::Directory);
    assert_eq!(kind(&["Chart.yaml"], json!({})), SourceType::Helm);
    assert_eq!(kind(&["Chart.yaml", "kustomization.yaml"], json!({})), SourceType::Kustomize);
    assert_eq!(kind(&["Kustomization"], json!({"directory": {}})), SourceType::Directory);
    assert_eq!(kind(&["a.yaml"], json!({"kustomize": {}})), SourceType::Kustomize);
}

#[test]
fn source_files_override_the_application() {
    let tree = tree(&[
        ("apps/a.yaml", &config("a")),
        ("apps/b.yaml", &config("b")),
        ("apps/.argocd-source.yaml", "directory: {include: 'a*'}\nrepoURL: evil\n"),
        ("apps/.argocd-source-web.yaml", "directory: {include: 'b*'}\n"),
        ("apps/.argocd-source-other.yaml", "directory: {include: 'x*'}\n"),
    ]);
    let rendered = render(&tree, &app(json!({})), &Context::default()).unwrap();
    assert_eq!(names(&rendered), ["b"]);
    assert!(rendered.files.contains("apps/.argocd-source-web.yaml"));
}

#[test]
fn kustomize_settings_go_into_the_kustomization() {
    let source = json!({"kustomize": {
        "namePrefix": "p-", "namespace": "n", "images": ["nginx:1.27", "a=r.io/b@sha256:1", "old=*:2"],
        "commonLabels": {"rev": "${ARGOCD_APP_REVISION_SHORT}"}, "commonAnnotations": {"x": "$y"},
            "replicas": [{"name": "d", "count": "3"}],
        "labelWithoutSelector": true,
    }});
    let app = app(source);
    let tree = tree(&[(
        "apps/kustomization.yaml",
        "resources: [x.yaml]\nimages:\n- name: old\n  newName: kept\n  newTag: '1'\n",
    )]);
    let context = Context { revision: "0123456789".to_owned(), ..Context::default() };
    let changed =
        kustomize::edited(&tree, &app, "apps", app.source.kustomize.as_ref().unwrap(), &context, false).unwrap();
    let value = yaml::parse(changed.read_text("apps/kustomization.yaml").unwrap()).unwrap();
    assert_eq!(
        value,
        json!({
            "resources": ["x.yaml"], "namePrefix": "p-", "namespace": "n",
            "images": [
                {"name": "a", "newName": "r.io/b", "digest": "sha256:1"}, {"name": "nginx", "newTag": "1.27"},
                {"name": "old", "newName": "kept", "newTag": "2"},
            ],
            "labels": [{"pairs": {"rev": "0123456"}, "includeSelectors": false, "includeTemplates": false}],
            "commonAnnotations": {"x": "$y"}, "replicas": [{"name": "d", "count": 3}],
        })
    );
}

/// Ways to write the repository's root as `path`; the last one is not obvious.
const TOP: [&str; 5] = ["", ".", "./", "././", "x/.."];

fn at_top(path: &str, more: Value) -> Application {
    let mut source = json!({"path": path});
    source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app(source)
}

#[test]
fn plain_manifests_may_lie_at_the_top() {
    let tree = tree(&[
        ("a.yaml", &config("a")),
        ("b.yaml", &config("b")),
        ("below/c.yaml", &config("c")),
        (".argocd-source.yaml", "directory: {recurse: true}\n"),
        (".argocd-source-web.yaml", "directory: {include: '{a,below/*}.yaml'}\n"),
    ]);
    for path in TOP {
        let rendered = render(&tree, &at_top(path, json!({})), &Context::default()).unwrap();
        assert_eq!(names(&rendered), ["a", "c"], "`{path}`");
        let touches = |file: &str| rendered.depends_on(file);
        assert!(touches("a.yaml") && touches("new.yaml") && touches(".argocd-source.yaml"), "`{path}`");
    }
    let named = render_folder(&tree, "", &Context::default()).unwrap();
    assert_eq!(names(&named), ["a", "b", "c"]);
    assert!(render_folder(&Tree::default(), "", &Context::default()).unwrap().objects.is_empty());
}

#[test]
fn a_kustomization_may_lie_at_the_top() {
    let tree = tree(&[
        ("kustomization.yaml", "resources: [base, a.yaml]\n"),
        ("a.yaml", &config("a")),
        ("base/kustomization.yaml", "resources: [b.yaml]\n"),
        ("base/b.yaml", &config("b")),
        (
            "part/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnameSuffix: -part\n",
        ),
        (".argocd-source-web.yaml", "kustomize: {namePrefix: p-}\n"),
    ]);
    let set = json!({"kustomize": {"components": ["part", "./missing"], "ignoreMissingComponents": true}});
    for path in TOP {
        let rendered = render(&tree, &at_top(path, set.clone()), &Context::default()).unwrap();
        assert_eq!(names(&rendered), ["p-a-part", "p-b-part"], "`{path}`");
        let touches = |file: &str| rendered.depends_on(file);
        assert!(
            touches("kustomization.yml") && touches("base/b.yaml") && touches("part/kustomization.yaml"),
            "`{path}`"
        );
    }
}

#[test]
fn a_chart_may_lie_at_the_top() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {{ toYaml .Values | \
                    nindent 2 }}\n";
    let tree = tree(&[
        (
            "Chart.yaml",
            "apiVersion: v2\nname: chart\nversion: 1.0.0\ndependencies: [{name: lib, version: 0.x, repository: \
                'file://./libs/lib'}]\n",
        ),
        ("values.yaml", "from: chart\nwith: chart\nset: chart\n"),
        ("envs/prod.yaml", "from: file\n"),
        ("templates/a.yaml", template),
        ("libs/lib/Chart.yaml", "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n"),
        (".argocd-source-web.yaml", "helm: {parameters: [{name: set, value: patched}]}\n"),
    ]);
    for (path, files) in TOP.iter().flat_map(|path| [(path, "envs/prod.yaml"), (path, "/envs/*.yaml")]) {
        let helm = json!({"helm": {"valueFiles": [files]}});
        let rendered = render(&tree, &at_top(path, helm), &Context::default()).unwrap();
        let data = rendered.objects[0].pointer("/data").unwrap();
        let found = ["from", "with", "set"].map(|key| data[key].as_str().unwrap());
        assert_eq!(found, ["file", "chart", "patched"], "`{path}` {files}");
        for file in ["values.yaml", "new.yaml", "templates/new.yaml", "envs/prod.yaml", "libs/lib/Chart.yaml"] {
            assert!(rendered.depends_on(file), "`{path}` {file}");
        }
        let escape = at_top(path, json!({"helm": {"valueFiles": ["../secret.yaml"]}}));
        let error = crate::error::chain(&render(&tree, &escape, &Context::default()).unwrap_err());
        assert!(error.contains("leaves the repository"), "{error}");
    }
}

/// A chart as a source: Argo CD's settings, facts of the cluster, and which files a new render depends on.
#[test]
fn charts_are_sources() {
    let tree = tree(&[
        (
            "apps/Chart.yaml",
            "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: lib, version: 0.x, repository: \
                'file://../lib'}]\n",
        ),
        ("apps/values.yaml", "replicas: 1\nfrom: chart\n"),
        ("apps/envs/prod.yaml", "from: file\n"),
        (
            "apps/templates/a.yaml",
            "apiVersion: v1\n\
             kind: ConfigMap\n\
             metadata: {name: {{ .Release.Name }}, annotations: {helm.sh/hook: pre-install}}\n\
             data:\n\
             \x20 from: {{ .Values.from }}\n\
             \x20 version: {{ .Capabilities.KubeVersion }}\n\
             \x20 has: {{ .Capabilities.APIVersions.Has \"example.com/v1/Thing\" | quote }}\n\
             \x20 namespace: {{ .Release.Namespace }}\n\
             \x20 revision: {{ .Values.revision | quote }}\n\
             \x20 lib: {{ include \"lib\" . }}\n\
             \x20 random: {{ randAlphaNum 8 }}\n\
             \x20 now: {{ now | date \"2006\" | quote }}\n\
             \x20 live: {{ (lookup \"v1\" \"Secret\" \"shop\" \"s\").data.k | quote }}\n",
        ),
        ("lib/Chart.yaml", "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n"),
        ("lib/templates/_l.tpl", "{{ define \"lib\" }}from the library{{ end }}"),
        ("other/x.yaml", ""),
    ]);
    let helm = json!({"helm": {
        "valueFiles": ["envs/*.yaml", "missing.yaml"], "ignoreMissingValueFiles": true, "typo": 1,
        "parameters": [{"name": "revision", "value": "$ARGOCD_APP_REVISION_SHORT"}],
    }});
    let mut context = Context { revision: "0123456789".to_owned(), ..Context::default() };
    context.facts.kube_version = Some("v1.35.2".to_owned());
    context.facts.api_versions = vec!["example.com/v1/Thing".to_owned()];
    context.facts.now = "2026-03-04T05:06:07Z".parse().unwrap();
    let first = render(&tree, &app(helm.clone()), &context).unwrap();
    let need = first.needs.first().unwrap().clone();
    assert_eq!((need.kind.as_str(), need.namespace.as_str(), need.name.as_str()), ("Secret", "shop", "s"));
    context.facts.lookups.insert(need, json!({"data": {"k": "v"}}));
    let second = render(&tree, &app(helm.clone()), &context).unwrap();
    assert!(second.needs.is_empty());
    assert_eq!(
        second.warnings,
        ["Application.argoproj.io/argocd/web: unknown field `spec.source.helm.typo` has no effect"]
    );
    let object = &second.objects[0];
    assert_eq!((object.name(), object.annotation("helm.sh/hook")), ("web", Some("pre-install")));
    let data = |rendered: &Rendered| rendered.objects[0].pointer("/data").unwrap().clone();
    let found = data(&second);
    for (key, value) in [
        ("from", "file"),
        ("revision", "0123456"),
        ("version", "v1.35.2"),
        ("has", "true"),
        ("namespace", "shop"),
        ("lib", "from the library"),
        ("now", "2026"),
        ("live", "v"),
    ] {
        assert_eq!(found[key], value, "{key}");
    }
    assert_eq!(
        found["random"],
        data(&render(&tree, &app(helm.clone()), &context).unwrap())["random"],
        "random values stay"
    );
    context.facts.seed = [1; 32];
    assert_ne!(found["random"], data(&render(&tree, &app(helm), &context).unwrap())["random"]);
    for path in [
        "apps/envs/prod.yaml",
        "apps/envs/new.yaml",
        "apps/missing.yaml",
        "apps/templates/new.yaml",
        "lib/templates/_l.tpl",
    ] {
        assert!(second.depends_on(path), "{path}");
    }
    assert!(!second.depends_on("other/x.yaml"));
}

#[test]
fn errors_of_charts_say_what_to_do() {
    let error = |files: &[(&str, &str)], helm: Value| {
        let mut all = vec![("apps/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")];
        all.retain(|(path, _)| !files.iter().any(|(own, _)| own == path));
        all.extend(files);
        crate::error::chain(&render(&tree(&all), &app(json!({"helm": helm})), &Context::default()).unwrap_err())
    };
    let dependent = "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: redis, version: 17.x, \
        repository: https://charts.example.com}]\n";
    assert_eq!(
        error(&[("apps/Chart.yaml", dependent)], json!({})),
        "failed to render chart `apps`: found in Chart.yaml of `web`, but missing in charts/ directory: redis 17.x \
            from https://charts.example.com; nothing is fetched while rendering: run `helm dependency \
            update` in the chart's folder and commit `charts/`"
    );
    assert_eq!(
        error(&[], json!({"valueFiles": ["missing.yaml"]})),
        "Application.argoproj.io/argocd/web: failed to read `spec.source.helm`: failed to read the value file \
         `missing.yaml`: no such file: `apps/missing.yaml`"
    );
    assert_eq!(
        error(&[("apps/templates/a.yaml", "a: {{ .Values.x | toYml }}")], json!({})),
        "failed to render chart `apps`: parse error at (web/templates/a.yaml:1): function \"toYml\" not defined"
    );
    let escape = dependent.replace("https://charts.example.com", "file://../../../etc");
    assert!(
        error(&[("apps/Chart.yaml", &escape)], json!({})).contains("leaves the repository"),
        "{}",
        error(&[("apps/Chart.yaml", &escape)], json!({}))
    );
}

#[test]
fn kustomizations_render_charts_where_that_is_enabled() {
    let tree = tree(&[
        (
            "apps/kustomization.yaml",
            "namePrefix: p-\nhelmCharts: [{name: web, releaseName: rel, namespace: shop, valuesInline: {a: inline}}]\n",
        ),
        ("apps/charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("apps/charts/web/values.yaml", "a: default\nb: default\n"),
        (
            "apps/charts/web/templates/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace \
             }}}\ndata: {a: {{ .Values.a }}, b: {{ .Values.b }}}\n",
        ),
    ]);
    let refused = crate::error::chain(&render(&tree, &app(json!({})), &Context::default()).unwrap_err());
    assert!(refused.contains("--enable-helm"), "{refused}");
    let build = BuildOptions { enable_helm: true, ..BuildOptions::default() };
    let rendered = render(&tree, &app(json!({})), &Context { build, ..Context::default() }).unwrap();
    let object = rendered.objects[0].as_map();
    assert_eq!(object["metadata"], json!({"name": "p-rel", "namespace": "shop"}));
    assert_eq!(object["data"], json!({"a": "inline", "b": "default"}));
    assert!(
        rendered.depends_on("apps/charts/web/templates/a.yaml")
            && rendered.depends_on("apps/charts/web/templates/new.yaml")
    );
}

/// What kubectl 1.35.2 does with helm 4.1.4: a name that nobody gives is `release-name`, and bad ones are refused.
#[test]
fn charts_of_kustomizations_have_the_names_that_helm_gives() {
    let rendered = |chart: &str| {
        let tree = tree(&[
            ("apps/kustomization.yaml", &format!("helmCharts: [{chart}]\n")),
            ("apps/charts/foo/Chart.yaml", "apiVersion: v2\nname: foo\nversion: 1.0.0\n"),
            (
                "apps/charts/foo/templates/a.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-cm}\n",
            ),
        ]);
        let build = BuildOptions { enable_helm: true, ..BuildOptions::default() };
        render(&tree, &app(json!({})), &Context { build, ..Context::default() }).map(|rendered| names(&rendered))
    };
    for (chart, name) in [
        ("{name: foo}", "release-name-cm"),
        ("{name: foo, releaseName: b.c}", "b.c-cm"),
        ("{name: foo, nameTemplate: 'x-{{ lower \"A\" }}'}", "x-a-cm"),
    ] {
        assert_eq!(rendered(chart).unwrap(), [name], "{chart}");
    }
    for (chart, words) in [
        ("{name: foo, nameTemplate: 'x-{{ .Chart.Name }}'}", "invalid release name `x-<no value>`"),
        ("{name: foo, releaseName: B_c}", "invalid release name `B_c`"),
        ("{name: foo, releaseName: b, nameTemplate: a}", "cannot set nameTemplate and also releaseName"),
    ] {
        let error = crate::error::chain(&rendered(chart).unwrap_err());
        assert!(error.contains(words), "{chart}: {error}");
    }
}

/// In the words of helm 4.1.4, where it has any.
#[test]
fn charts_that_can_t_be_installed_are_refused() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let good = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
    for (files, words) in [
        (
            [("apps/Chart.yaml", "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n"), ("apps/x", "")],
            "library charts are not installable",
        ),
        (
            [("apps/Chart.yaml", "apiVersion: v3\nname: web\nversion: 1.0.0\n"), ("apps/x", "")],
            "unsupported chart version",
        ),
        ([("apps/Chart.yaml", good), ("apps/.helmignore", "!values.yaml")], "`.helmignore` leaves it out"),
        ([("apps/Chart.yaml", good), ("apps/charts/a.tgz", pointer)], "a pointer of Git LFS"),
    ] {
        let error = crate::error::chain(&render(&tree(&files), &app(json!({})), &Context::default()).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
}

/// Where no cluster is asked, what fails for want of an answer has failed.
#[test]
fn folders_that_fail_are_not_empty() {
    let chart = [
        ("apps/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("apps/templates/a.yaml", "{{ fail (lookup \"v1\" \"Secret\" \"x\" \"y\" | toJson) }}"),
    ];
    assert!(render_folder(&tree(&chart), "apps", &Context::default()).is_err());
    let inside = chart.map(|(path, text)| (path.replace("apps/", "apps/charts/web/"), text));
    let mut files: Vec<(&str, &str)> = inside.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    files.push(("apps/kustomization.yaml", "helmCharts: [{name: web}]"));
    let build = BuildOptions { enable_helm: true, ..BuildOptions::default() };
    assert!(render_folder(&tree(&files), "apps", &Context { build, ..Context::default() }).is_err());
    let asked = render(&tree(&files), &app(json!({})), &Context { build, ..Context::default() }).unwrap();
    assert_eq!(asked.needs.len(), 1);
}

#[test]
fn files_that_are_not_utf_8() {
    let mut tree = tree(&[("apps/a.yaml", &config("a"))]);
    let utf_16: Vec<u8> = [0xfeff].into_iter().chain(config("b").encode_utf16()).flat_map(u16::to_le_bytes).collect();
    tree.insert("apps/b.yaml", utf_16).unwrap();
    tree.insert("apps/values.yaml", b"gr\xfc\xdfe: 1\n".to_vec()).unwrap();
    let rendered = render(&tree, &app(json!({})), &Context::default()).unwrap();
    assert_eq!(names(&rendered), ["a", "b"]);
    assert_eq!(rendered.warnings, ["`apps/values.yaml` is not a Kubernetes manifest and is passed over"]);
    tree.insert("apps/c.yaml", b"apiVersion: v1\nkind: A\nmetadata: {name: \"\xfc\"}\n".to_vec()).unwrap();
    let error = crate::error::chain(&render(&tree, &app(json!({})), &Context::default()).unwrap_err());
    assert!(error.ends_with("`apps/c.yaml` is not valid UTF-8: save it as UTF-8"), "{error}");
}

/// Argo CD's own examples, where they are at hand.
#[test]
fn the_example_applications_render() {
    let root = std::path::Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/corpus/kustomize/trees/argoproj+argocd-example-apps"
    ));
    if !root.is_dir() {
        println!("skipped: {} is absent", root.display());
        return;
    }
    let mut tree = Tree::default();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                tree.insert(name, std::fs::read(&path).unwrap()).unwrap();
            }
        }
    }
    let ids = |path: &str| {
        let rendered = render_folder(&tree, path, &Context::default()).unwrap();
        rendered.objects.iter().map(|object| object.id().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids("guestbook"), ["Deployment/guestbook-ui", "Service/guestbook-ui"]);
    assert_eq!(ids("kustomize-guestbook"), ["Service/kustomize-guestbook-ui", "Deployment/kustomize-guestbook-ui"]);
    assert_eq!(ids("sync-waves").len(), 7);
    assert_eq!(ids("jsonnet-guestbook"), ["Service/jsonnet-guestbook-ui", "Deployment/jsonnet-guestbook-ui"]);
    assert_eq!(ids("jsonnet-guestbook-tla"), ["Service/jsonnet-guestbook-ui", "Deployment/jsonnet-guestbook-ui"]);
}

#[test]
fn jsonnet_is_evaluated_with_the_variables_and_libraries_of_the_source() {
    let map = |name: &str, more: &str| {
        format!("{{ apiVersion: 'v1', kind: 'ConfigMap', metadata: {{ name: {name} }}, data: {{ {more} }} }}")
    };
    let files = [
        ("apps/a.jsonnet", &*format!("[{}, null, {}]", map("std.extVar('name')", ""), map("'two'", ""))),
        ("apps/b.jsonnet", &*format!("function(env, count) {}", map("env", "c: std.toString(count + 1)"))),
        ("apps/c.jsonnet", &format!("local l = import 'l.libsonnet'; {}", map("'c'", "l: l.text"))),
        ("apps/d.jsonnet", "null"),
        (
            "apps/e.jsonnet",
            "{ apiVersion: 'v1', kind: 'List', items: [(import 'c.jsonnet') { metadata+: { name: 'e' } }] }",
        ),
        ("apps/no.jsonnet", "error 'excluded'"),
        ("apps/x.libsonnet", "error 'a library'"),
        ("lib/l.libsonnet", "{ text: importstr 'more/t.txt' }"),
        ("lib/more/t.txt", "of the library"),
        ("vendor/l.libsonnet", "{ text: 'the last one is asked first' }"),
    ];
    let all = tree(&files);
    let source = |libs: Value| {
        app(json!({"directory": {"exclude": "no.*", "jsonnet": {
            "extVars": [{"name": "name", "value": "${ARGOCD_APP_NAME}-map"}],
            "tlas": [{"name": "env", "value": "prod"}, {"name": "count", "value": "1", "code": true}],
            "libs": libs,
        }}}))
    };
    let rendered = render(&all, &source(json!(["vendor", "lib"])), &Context::default()).unwrap();
    assert_eq!(names(&rendered), ["web-map", "two", "prod", "c", "e"]);
    assert_eq!(rendered.objects[2].get("data").unwrap(), &json!({"c": "2"}));
    assert_eq!(rendered.objects[3].get("data").unwrap(), &json!({"l": "of the library"}));
    for path in ["apps/c.jsonnet", "lib/l.libsonnet", "lib/more/t.txt", "apps/l.libsonnet", "apps/new.jsonnet"] {
        assert!(rendered.depends_on(path), "{path}");
    }
    assert!(!rendered.depends_on("vendor/other.libsonnet"));
    let rendered = render(&all, &source(json!(["lib", "/vendor"])), &Context::default()).unwrap();
    assert_eq!(rendered.objects[3].get("data").unwrap(), &json!({"l": "the last one is asked first"}));
}

/// Attack 5.
#[test]
fn jsonnet_imports_stay_inside_the_repository() {
    let error = |import: &str, libs: Value| {
        let mut tree = tree(&[("apps/a.jsonnet", import)]);
        tree.insert_link("apps/link.libsonnet", "../../../../proc/self/environ").unwrap();
        let app = app(json!({"directory": {"jsonnet": {"libs": libs}}}));
        crate::error::chain(&render(&tree, &app, &Context::default()).unwrap_err())
    };
    for name in ["/proc/self/environ", "../../../proc/self/environ", "../../var/task/bootstrap", "link.libsonnet"] {
        for keyword in ["import", "importstr", "importbin"] {
            let error = error(&format!("{keyword} '{name}'"), json!([]));
            assert!(error.contains("apps/a.jsonnet:1:1: import of"), "{error}");
        }
    }
    let found = error("importstr 'self/environ'", json!(["/proc", "apps"]));
    assert!(found.contains("there is no such file, neither beside `apps/a.jsonnet`"), "{found}");
    let found = error("importstr 'self/environ'", json!(["../../proc"]));
    assert!(found.contains("leaves"), "{found}");
}

/// Attack 15.
#[test]
fn a_jsonnet_file_that_never_ends_fails_alone() {
    let program = "local f(s, n) = if n == 0 then s else f(s + s, n - 1); f('x', 60)";
    let doubled = tree(&[("apps/a.jsonnet", program), ("apps/b.yaml", &config("b"))]);
    let error = crate::error::chain(&render(&doubled, &app(json!({})), &Context::default()).unwrap_err());
    assert!(error.starts_with("failed to read `apps/a.jsonnet`: the render exceeded its budget"), "{error}");
    let deep = "local f(n) = 1 + f(n + 1); f(0)";
    let deep = tree(&[("apps/a.jsonnet", deep)]);
    let error = crate::error::chain(&render(&deep, &app(json!({})), &Context::default()).unwrap_err());
    assert!(error.contains("max stack frames exceeded"), "{error}");
}

#[test]
fn plugins_are_refused_but_for_placeholders() {
    let files = tree(&[
        ("apps/a.yaml", &config("a")),
        ("apps/sub/b.yaml", &config("b")),
        ("chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n"),
        ("chart/values.yaml", "v: default\n"),
        ("chart/templates/a.yaml", &format!("{}data: {{v: '{{{{ .Values.v }}}}'}}\n", config("a"))),
        ("kust/kustomization.yaml", "namePrefix: k-\nresources: [a.yaml]\n"),
        ("kust/a.yaml", &config("a")),
    ]);
    let rendered = |path: &str, plugin: Value| {
        let rendered = render(&files, &app(json!({"path": path, "plugin": plugin})), &Context::default());
        rendered.map_err(|error| crate::error::chain(&error))
    };
    assert_eq!(names(&rendered("apps", json!({"name": "argocd-vault-plugin"})).unwrap()), ["a", "b"]);
    assert_eq!(names(&rendered("kust", json!({"name": "argocd-vault-plugin-kustomize"})).unwrap()), ["k-a"]);
    let env =
        json!([{"name": "HELM_VALUES", "value": "v: given\n"}, {"name": "AVP_TYPE", "value": "awssecretsmanager"}]);
    let chart = rendered("chart", json!({"name": "argocd-vault-plugin-helm", "env": env})).unwrap();
    assert_eq!(chart.objects[0].get("data").unwrap(), &json!({"v": "given"}));
    let env = json!([{"name": "HELM_ARGS", "value": "-f x.yaml"}]);
    let error = rendered("chart", json!({"name": "argocd-vault-plugin-helm", "env": env})).unwrap_err();
    assert!(error.contains("the variable `HELM_ARGS` of argocd-vault-plugin has no effect here"), "{error}");
    for (name, instead) in
        [("tanka", "Jsonnet is evaluated"), ("kustomized-helm", "helmCharts"), ("cdk8s", "of your CI")]
    {
        let error = rendered("apps", json!({"name": name})).unwrap_err();
        assert!(
            error.starts_with(&format!("config management plugin `{name}` is not run")) && error.contains(instead),
            "{error}"
        );
    }
}

/// Attack 13: the budget is that of the whole render, whichever tool reads.
#[test]
fn whatever_is_read_draws_from_the_budget_of_the_render() {
    use slipway_budget::{Budget, Limits};

    let numbers = format!("{}data: [{}0]\n", config("x"), "0, ".repeat(20_000));
    let list =
        format!(r#"{{"apiVersion": "v1", "kind": "X", "metadata": {{"name": "x"}}, "a": [{}0]}}"#, "0,".repeat(20_000));
    let aliases = format!("a: &a {}\nb: [{}]\n", "x".repeat(10_000), "*a, ".repeat(1_000));
    let copies =
        (0..30).map(|n| format!("- {{op: copy, from: /data, path: /data/c{n}}}\n")).collect::<Vec<_>>().concat();
    let patch = "resources: [x.yaml]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]\n";
    let small = format!("{}data: {{a: b}}\n", config("x"));
    let chart = ("apps/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n");
    let prefixed = app(json!({"kustomize": {"namePrefix": "a-"}}));
    let cases = [
        (app(json!({})), vec![("apps/x.yaml", numbers.as_str())], "`apps/x.yaml`"),
        (app(json!({})), vec![("apps/x.json", list.as_str())], "`apps/x.json`"),
        (app(json!({})), vec![("apps/x.yaml", list.as_str())], "`apps/x.yaml`"),
        (app(json!({})), vec![("apps/other.yaml", aliases.as_str())], "`apps/other.yaml`"),
        (app(json!({})), vec![("apps/.argocd-source.yaml", aliases.as_str())], "`apps/.argocd-source.yaml`"),
        (prefixed, vec![("apps/kustomization.yaml", aliases.as_str())], "`apps/kustomization.yaml`"),
        (
            app(json!({})),
            vec![("apps/kustomization.yaml", patch), ("apps/x.yaml", &small), ("apps/p.yaml", &copies)],
            "failed to patch ConfigMap",
        ),
        (
            app(json!({"helm": {"valueFiles": ["v.yaml"]}})),
            vec![chart, ("apps/v.yaml", aliases.as_str())],
            "`apps/v.yaml`",
        ),
        (app(json!({})), vec![chart, ("apps/crds/x.yaml", numbers.as_str())], "crds/x.yaml"),
    ];
    for (app, files, place) in cases {
        let budget = Budget::new(Limits { steps: 1_000_000, bytes: 2 << 20 });
        let context = Context { budget, ..Context::default() };
        let error = crate::error::chain(&render(&tree(&files), &app, &context).unwrap_err());
        assert!(error.contains("the render exceeded its budget of 2097152 bytes"), "{place}: {error}");
        assert!(error.contains(place), "{place}: {error}");
    }
}

/// A value file as SOPS writes it; nobody here has its key.
const ENCRYPTED: &str = "password: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\nsops:\n    mac: x\n";

#[test]
fn files_that_are_encrypted_are_asked_for_and_used_as_they_were() {
    let config = config("chart").replace('}', ", annotations: {password: '{{ .Values.password }}'}}");
    let tree = tree(&[
        ("apps/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("apps/templates/all.yaml", &config),
        ("apps/secrets.yaml", ENCRYPTED),
        ("apps/other/secrets.yaml", ENCRYPTED),
        ("plain/secret.yaml", &format!("{}{ENCRYPTED}", self::config("plain"))),
        ("operator/secret.yaml", &format!("{}{ENCRYPTED}", self::config("own")).replace("ConfigMap", "SopsSecret")),
    ]);
    let decrypted = |path: &str, text: &str| Context {
        decrypted: slipway_sops::DecryptedFiles {
            files: [(path.to_owned(), text.as_bytes().into())].into(),
            ..Default::default()
        },
        ..Context::default()
    };
    for name in
        ["secrets://secrets.yaml", "secrets+age-import:///key.txt?secrets.yaml", "secrets.yaml.dec", "secrets.yaml"]
    {
        let app = app(json!({"helm": {"valueFiles": [name]}}));
        let asks = render(&tree, &app, &Context::default()).unwrap();
        assert_eq!(asks.encrypted.keys().collect::<Vec<_>>(), ["apps/secrets.yaml"], "{name}");
        let rendered = render(&tree, &app, &decrypted("apps/secrets.yaml", "password: opened\n")).unwrap();
        assert_eq!(rendered.objects[0].annotation("password"), Some("opened"), "{name}");
        assert!(rendered.encrypted.is_empty());
        let offline = render_offline(&tree, &app, &Context::default());
        assert_eq!(offline.as_ref().is_err_and(RenderError::is_missing), name != "secrets.yaml", "{name}");
    }
    let plain = app(json!({"path": "plain"}));
    assert_eq!(render(&tree, &plain, &Context::default()).unwrap().encrypted.len(), 1);
    let context = decrypted("plain/secret.yaml", &self::config("opened"));
    assert_eq!(names(&render(&tree, &plain, &context).unwrap()), ["opened"]);
    let operator = render(&tree, &app(json!({"path": "operator"})), &Context::default()).unwrap();
    assert!(operator.encrypted.is_empty() && operator.objects.len() == 1);
    for kind in ["'SopsSecret'", "\"SopsSecret\"", "  SopsSecret # of an operator"] {
        let manifest = format!("{}{ENCRYPTED}", self::config("own")).replace("ConfigMap", kind);
        let tree = self::tree(&[("operator/secret.yaml", &manifest)]);
        let operator = render(&tree, &app(json!({"path": "operator"})), &Context::default()).unwrap();
        assert!(operator.encrypted.is_empty() && operator.objects.len() == 1, "{kind}");
    }
}
