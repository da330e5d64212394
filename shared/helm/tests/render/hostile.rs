//! Charts that try to use up time, memory or stack, or to read what is not theirs: each ends with an error that names
//! the template and the line.

use std::fmt::Write as _;

use slipway_budget::{Budget, Limits};
use slipway_helm::{HelmError, Options, RenderError, Set, SetKind, render};

use crate::{one, tree};

fn options() -> Options {
    let budget = Budget::new(Limits { steps: 1_000_000, bytes: 16 << 20 });
    Options { budget: Some(budget), ..Options::default() }
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

/// Each of these would go on, or grow, without end.
pub(crate) const LOOPS: &[&str] = &[
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

#[test]
fn loops_and_large_texts_end_at_the_budget() {
    for template in LOOPS {
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
    for (text, is_large) in [(&bomb, true), (&deep, false)] {
        let chart = tree(&[("values.yaml", text), ("templates/x.yaml", "a: 1\n")]);
        assert!(matches!(render(&chart, "", &options()), Err(HelmError::Load(_))));
        let chart = tree(&[
            ("bomb.yaml", text),
            ("templates/x.yaml", "a: {{ (.Files.Get \"bomb.yaml\" | fromYaml).Error | quote }}\n"),
        ]);
        // What is no YAML a template may ask for; a budget that is used up ends the render.
        let told = match render(&chart, "", &options()) {
            Ok(rendered) => rendered.manifests[0].value["a"].as_str().unwrap().to_owned(),
            Err(error) => error.report(),
        };
        let wanted =
            if is_large { "error calling fromYaml: the render exceeded its budget" } else { "error converting" };
        assert!(told.contains(wanted), "{told}");
        let chart = tree(&[("templates/x.yaml", text)]);
        assert!(matches!(render(&chart, "", &options()), Err(HelmError::Manifest { .. })));
    }
}

#[test]
fn schemas_fetch_nothing_and_end() {
    let loops = r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}"##;
    let file = r#"{"$ref": "file:///etc/passwd"}"#;
    let net = r#"{"$ref": "https://169.254.169.254/latest/meta-data"}"#;
    // Each level of it is looked at twice as often as the one above.
    let doubles = (0..60)
        .map(|n| format!(r##","a{n}": {{"allOf": [{{"$ref": "#/$defs/a{0}"}}, {{"$ref": "#/$defs/a{0}"}}]}}"##, n + 1))
        .collect::<Vec<_>>()
        .concat();
    let doubles = format!(r##"{{"$ref": "#/$defs/a0", "$defs": {{"a60": {{}}{doubles}}}}}"##);
    let chain =
        (0..3_000).map(|n| format!(r##","a{n}": {{"$ref": "#/$defs/a{}"}}"##, n + 1)).collect::<Vec<_>>().concat();
    let chain = format!(r##"{{"$ref": "#/$defs/a0", "$defs": {{"a3000": {{}}{chain}}}}}"##);
    for (schema, refusal) in [
        (loops, Some("reference cycle")),
        (file, Some("nothing is fetched")),
        (net, Some("nothing is fetched")),
        (net, Some("helm.skipSchemaValidation: true")),
        (&doubles, Some("values.schema.json of c: the render exceeded its budget of 1000000 steps")),
        (&chain, Some("too deeply")),
    ] {
        let chart = tree(&[("values.schema.json", schema), ("templates/x.yaml", "a: 1\n")]);
        let found = render(&chart, "", &options());
        if let Some(refusal) = refusal {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(refusal), "{error}");
        }
    }
    // Helm takes what a `urn:` stands for as fulfilled, and never loads what nothing refers to.
    for schema in [r#"{"$ref": "urn:a:b"}"#, r#"{"definitions": {"x": {"$ref": "https://example.com/z.json"}}}"#] {
        render(&tree(&[("values.schema.json", schema), ("templates/x.yaml", "a: 1\n")]), "", &options()).unwrap();
    }
}

/// The values may be passwords: neither what does not fit nor what a schema was built of is quoted.
#[test]
fn schemas_and_assignments_quote_no_value() {
    let wanted = [
        (r#"{"type": "string", "minLength": 40}"#, "at '/password': minLength: got 14, want 40"),
        (r#"{"type": "integer"}"#, "at '/password': got string, want integer"),
        (r#"{"pattern": "^[0-9]+$"}"#, "value does not match pattern '^[0-9]+$'"),
        (r#"{"enum": ["a", "b"]}"#, "value must be one of 'a', 'b'"),
        (r#"{"const": "a"}"#, "value must be 'a'"),
        (r#"{"format": "ipv4"}"#, "value is not valid ipv4: expected four decimals"),
        (r#"{"not": {}}"#, "'not' failed"),
        (r#"{"anyOf": [{"type": "null"}, {"type": "array"}]}"#, "'anyOf' failed\n  - at '/password': got string"),
        (r#"{"oneOf": [{}, {}]}"#, "'oneOf' failed, subschemas 0, 1 matched"),
        (r#"{"type": "nonsense", "default": "c4n4ry"}"#, "values.schema.json: at '/properties/password"),
    ];
    assert_eq!(wanted.len(), 10);
    for (schema, word) in wanted {
        // Of the drafts that assert formats the last.
        let draft = "http://json-schema.org/draft-07/schema#";
        let schema = format!("{{\"$schema\": \"{draft}\", \"properties\": {{\"password\": {schema}}}}}");
        let chart = tree(&[("values.schema.json", &schema), ("templates/x.yaml", "a: 1\n")]);
        // A list is of another type, which may be all that is said of it.
        for (value, word) in [("c4n4ry-hunter2", word), ("{c4n4ry-a,c4n4ry-b}", "")] {
            let sets = vec![Set::new(SetKind::Text, format!("password={value}"))];
            let rendered = render(&chart, "", &Options { sets, ..options() });
            if word.is_empty() && rendered.is_ok() {
                continue;
            }
            let error = rendered.unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("c4n4ry"), "{schema}: {error}");
        }
    }
    let sets = vec![Set::new(SetKind::Typed, "db.password={c4n4ry-a,b")];
    let error = render(&tree(&[]), "", &Options { sets, ..options() }).unwrap_err().to_string();
    assert_eq!(error, "failed to parse --set `db.password=…`: list must terminate with '}'");
}

/// Dates and durations at the ends of what can be counted are texts or errors, and end no process.
#[test]
fn dates_far_away_end_nothing() {
    let numbers = ["9223372036854775807", "-9223372036854775808", "0", "-1", "253402300800", "-377705116800"];
    let durations =
        ["9223372036854775807h", "9223372036854775807ns", "-9223372036854775808ns", "1e400", "-1h", "2562047h47m16s"];
    let mut templates = Vec::new();
    for number in numbers {
        for call in [
            "date \"2006-01-02T15:04:05.999999999Z07:00 Mon MST\" X",
            "htmlDate X",
            "dateInZone \"2006\" X \"Asia/Tokyo\"",
            "ago X",
            "duration X",
            "durationRound X",
        ] {
            templates.push(format!("{{{{ {} }}}}", call.replace('X', &format!("(int64 \"{number}\")"))));
        }
        let time = "(toDate \"2006-01-02\" \"2024-02-29\")";
        templates
            .push(format!("{{{{ ({time}.AddDate (int \"{number}\") (int \"{number}\") (int \"{number}\")).Unix }}}}"));
        templates.push(format!("{{{{ duration \"{number}\" }}}}{{{{ durationRound \"{number}\" }}}}"));
    }
    for duration in durations {
        for date in ["0001-01-01", "9999-12-31", "0000-01-01"] {
            let time = format!("(toDate \"2006-01-02\" \"{date}\")");
            templates.push(format!("{{{{ dateModify \"{duration}\" {time} }}}}"));
            templates.push(format!("{{{{ ({time} | dateModify \"{duration}\").UnixNano }}}}"));
            templates
                .push(format!("{{{{ ago (dateModify \"{duration}\" {time}) }}}}{{{{ (now.Sub {time}).String }}}}"));
        }
        templates.push(format!("{{{{ durationRound \"{duration}\" }}}}{{{{ mustDateModify \"{duration}\" now }}}}"));
    }
    assert_eq!(templates.len(), 6 * 8 + 6 * 10);
    for template in templates {
        // Whatever it gives, it comes to an end.
        let _ = one(&format!("a: '{template}'\n"), &options());
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
