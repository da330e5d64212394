//! Charts that try to use up time, memory or stack, or to read what is not theirs: each ends with an error that names
//! the template and the line.

use std::fmt::Write as _;

use slipway_helm::{HelmError, Limits, Options, RenderError, render};

use crate::{one, tree};

fn options() -> Options {
    Options { limits: Limits { steps: 1_000_000, output: 16 << 20, ..Options::default().limits }, ..Options::default() }
}

fn refused(template: &str) -> RenderError {
    let started = std::time::Instant::now();
    let error = one(template, &options()).expect_err(template);
    assert!(started.elapsed().as_secs() < 60, "{template} took {:?}", started.elapsed());
    match error {
        HelmError::Render(error) => *error,
        other => panic!("{template}: {other}"),
    }
}

#[test]
fn loops_and_large_texts_end_at_the_budget() {
    let hostile = [
        "{{ until 1000000000 }}",
        "{{ range until 100000 }}{{ range until 100000 }}x{{ end }}{{ end }}",
        "{{ untilStep 0 9223372036854775807 1 }}",
        "{{ seq 1 1000000000 }}",
        "{{ repeat 1000000000 \"x\" }}",
        "{{ \"x\" | indent 1000000000 }}",
        "{{ $s := repeat 10000 \"x\" }}{{ replace \"x\" $s $s }}",
        "{{ $s := \"x\" }}{{ range until 64 }}{{ $s = print $s $s }}{{ end }}",
        "{{ $s := \"x\" }}{{ range until 64 }}{{ $s = cat $s $s }}{{ end }}",
        "{{ $l := list 1 }}{{ range until 64 }}{{ $l = concat $l $l }}{{ end }}",
        "{{ $l := list 1 }}{{ range until 64 }}{{ $l = list $l $l }}{{ end }}{{ toJson $l }}",
        "{{ $d := dict }}{{ range until 64 }}{{ $d = dict \"a\" $d \"b\" $d }}{{ end }}{{ deepCopy $d | len }}",
        "{{ randAlphaNum 1000000000 }}",
        "{{ range until 1000000 }}{{ bcrypt \"x\" }}{{ end }}",
        "{{ range until 1000000 }}{{ genPrivateKey \"ecdsa\" }}{{ end }}",
        "{{ regexReplaceAll \"\" (repeat 10000 \"x\") (repeat 10000 \"y\") }}",
        "{{ range $i := until 1000000 }}{{ regexMatch (printf \"a%d\" $i) \"a\" }}{{ end }}",
        "{{ wrapWith 1 (repeat 10000 \"x\") (repeat 10000 \"y\") }}",
        "{{ splitList \"\" (repeat 30000000 \"x\") | len }}",
        // 1 GB of output.
        "{{ range until 1000 }}{{ repeat 1000000 \"x\" }}{{ end }}",
        "{{ define \"big\" }}{{ repeat 1000000 \"x\" }}{{ end }}\
         {{ range until 1000 }}{{ $_ := include \"big\" . }}{{ end }}",
        "{{ range until 1000 }}{{ tpl (repeat 1000000 \"x\") $ }}{{ end }}",
        "{{ range until 1000 }}{{ repeat 1000000 \"y\" | b64enc | sha256sum }}{{ end }}",
    ];
    for template in hostile {
        let error = refused(template);
        assert!(error.limit.is_some(), "{template}: {error}");
        assert_eq!((error.template.as_str(), error.line), ("c/templates/x.yaml", 1), "{template}: {error}");
    }
}

#[test]
fn recursion_ends() {
    let hostile = [
        "{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}",
        "{{ define \"a\" }}{{ include \"b\" . }}{{ end }}{{ define \"b\" }}{{ include \"a\" . }}{{ end }}\
         {{ include \"a\" . }}",
        "{{ $_ := set . \"t\" \"{{ tpl .t . }}\" }}{{ tpl .t . }}",
        "{{ define \"a\" }}{{ tpl \"{{ include `a` . }}\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ $d | mustToJson }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ deepCopy $d }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ $e := dict }}{{ $_ := set $e \"d\" $e }}{{ deepEqual $d $e }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ print $d }}",
    ];
    for template in hostile {
        let error = refused(template);
        assert_eq!((error.template.as_str(), error.line), ("c/templates/x.yaml", 1), "{template}: {error}");
    }
    for template in [
        format!("{}1{}", "{{ if true }}".repeat(100_000), "{{ end }}".repeat(100_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)),
    ] {
        let error = refused(&template);
        assert!(error.limit.is_some(), "{error}");
    }
}

/// Patterns that other engines need ages for, and such whose compiled form would be huge.
#[test]
fn regular_expressions_neither_blow_up_nor_go_back() {
    for template in [
        r#"a: {{ regexMatch "^(x+x+)+y$" (repeat 100000 "x") }}"#,
        r#"a: {{ regexMatch "^(([a-z])+.)+[A-Z]([a-z])+$" (repeat 100000 "a") }}"#,
        r#"a: {{ regexReplaceAll "(a|aa)+$" (repeat 100000 "a") "" | len }}"#,
    ] {
        let started = std::time::Instant::now();
        one(template, &options()).expect(template);
        assert!(started.elapsed().as_secs() < 60, "{template} took {:?}", started.elapsed());
    }
    for template in [
        r#"{{ mustRegexMatch "((a{100}){100}){100}" "a" }}"#,
        r#"{{ mustRegexMatch (repeat 100000 "(") "a" }}"#,
        r#"{{ mustRegexFindAll (printf "%s" (repeat 200000 "a?")) "a" -1 }}"#,
        r#"{{ mustRegexMatch (repeat 300000 "\pL") "a" }}"#,
    ] {
        let error = refused(template);
        assert_eq!((error.template.as_str(), error.line), ("c/templates/x.yaml", 1), "{template}: {error}");
    }
}

/// A dependency by `file://` is read in the repository, and nowhere else.
#[test]
fn local_dependencies_stay_in_the_repository() {
    let chart = |repository: &str| {
        let yaml = format!(
            "apiVersion: v2\nname: c\nversion: 0.1.0\n\
             dependencies: [{{name: lib, version: 1.x, repository: \"{repository}\"}}]\n"
        );
        let mut tree = slipway_manifest::Tree::default();
        for (path, text) in [
            ("chart/Chart.yaml", yaml.as_str()),
            ("chart/templates/x.yaml", "a: {{ include \"lib\" . }}\n"),
            ("lib/Chart.yaml", "apiVersion: v2\nname: lib\nversion: 1.2.3\n"),
            ("lib/templates/_x.tpl", "{{ define \"lib\" }}found{{ end }}"),
        ] {
            tree.insert(path, text.as_bytes()).unwrap();
        }
        render(&tree, "chart", &Options { local_dependencies: true, ..options() })
    };
    let found = chart("file://../lib").unwrap();
    assert_eq!(found.manifests[0].value["a"], "found");
    assert!(found.files.contains("lib/templates/_x.tpl"));
    for outside in ["file://../../lib", "file:///etc", "file://../../../etc"] {
        assert!(chart(outside).is_err(), "{outside}");
    }
    assert!(matches!(chart("https://charts.example.com"), Err(HelmError::MissingDependencies { .. })));
}

#[test]
fn bombs_in_data_end() {
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    for i in 1..30 {
        writeln!(bomb, "a{i}: &a{i} [*a{p}, *a{p}, *a{p}]", p = i - 1).unwrap();
    }
    let deep = "[".repeat(100_000);
    for text in [&bomb, &deep] {
        let chart = tree(&[("values.yaml", text), ("templates/x.yaml", "a: 1\n")]);
        assert!(matches!(render(&chart, "", &options()), Err(HelmError::Load(_))));
        let chart = tree(&[
            ("bomb.yaml", text),
            ("templates/x.yaml", "a: {{ (.Files.Get \"bomb.yaml\" | fromYaml).Error | quote }}\n"),
        ]);
        let rendered = render(&chart, "", &options()).unwrap();
        assert!(
            rendered.manifests[0].value["a"].as_str().unwrap().starts_with("error converting"),
            "{:?}",
            rendered.manifests
        );
        let chart = tree(&[("templates/x.yaml", text)]);
        assert!(matches!(render(&chart, "", &options()), Err(HelmError::Manifest { .. })));
    }
}

#[test]
fn schemas_fetch_nothing_and_end() {
    let loops = r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}"##;
    let file = r#"{"$ref": "file:///etc/passwd"}"#;
    let net = r#"{"$ref": "https://169.254.169.254/latest/meta-data"}"#;
    for (schema, refusal) in [(loops, None), (file, Some("nothing is fetched")), (net, Some("nothing is fetched"))] {
        let chart = tree(&[("values.schema.json", schema), ("templates/x.yaml", "a: 1\n")]);
        let found = render(&chart, "", &options());
        if let Some(refusal) = refusal {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(refusal), "{error}");
        }
    }
}

#[test]
fn nothing_outside_of_the_chart_is_seen() {
    let files =
        "a: x{{ .Files.Get \"../secret.txt\" }}{{ .Files.Get \"/etc/passwd\" }}{{ len (.Files.Glob \"../**\") }}\n";
    let mut repository = slipway_manifest::Tree::default();
    for (path, text) in [
        ("chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n"),
        ("chart/templates/x.yaml", files),
        ("secret.txt", "secret"),
    ] {
        repository.insert(path, text.as_bytes()).unwrap();
    }
    let rendered = render(&repository, "chart", &options()).unwrap();
    assert_eq!(rendered.manifests[0].value["a"], "x0");
    assert_eq!(
        rendered.files.iter().map(String::as_str).collect::<Vec<_>>(),
        ["chart/Chart.yaml", "chart/templates/x.yaml"]
    );
    repository.insert_link("chart/out.txt", "../../etc/passwd").unwrap();
    assert!(matches!(render(&repository, "chart", &options()), Err(HelmError::Load(_))));
    for function in ["env \"HOME\"", "expandenv \"$HOME\""] {
        let error = one(&format!("{{{{ {function} }}}}"), &options()).unwrap_err();
        assert!(error.to_string().contains("not defined"), "{error}");
    }
    let dns = one("a: {{ getHostByName \"example.com\" | quote }}", &options()).unwrap();
    assert_eq!(dns.manifests[0].value["a"], "");
}
