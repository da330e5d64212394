//! Small charts that would take the memory or the time of a whole worker: each ends at a bound, and the error names the
//! bound and the file.

use std::fmt::Write as _;
use std::io::Write as _;

use slipway_budget::{Budget, Limits};
use slipway_helm::{Options, render};
use slipway_manifest::Tree;

/// A chart's files besides `Chart.yaml`.
type Files = Vec<(String, Vec<u8>)>;

/// A chart, with what its error says.
struct Bomb {
    name: &'static str,
    files: Box<dyn Fn() -> Files>,
    /// The file or chart that the error names.
    place: &'static str,
    bound: &'static str,
}

const TEMPLATE: &str = "c/templates/x.yaml";
const BUDGET: &str = "the render exceeded its budget of";

fn bomb(name: &'static str, files: impl Fn() -> Files + 'static, place: &'static str, bound: &'static str) -> Bomb {
    Bomb { name, files: Box::new(files), place, bound }
}

fn file(path: &str, text: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (path.to_owned(), text.into())
}

/// A million turns over `body`, with `big`, a file of nearly 5 MB with a line break each 80 bytes, in `$b`.
fn looped(body: &str) -> Files {
    let lines = format!("{}\n", "x".repeat(79)).repeat(62_000);
    let text = format!("{{{{ $b := .Files.Get \"big\" }}}}{{{{ range $i := until 1000000 }}}}{body}{{{{ end }}}}");
    vec![file("big", lines), file("templates/_e.tpl", "{{ define \"e\" }}{{ end }}"), file("templates/x.yaml", text)]
}

/// Each of these is repeated; `$b` is a text of 5 MB.
const LOOPS: &[(&str, &str)] = &[
    ("sha512 of a file", "{{ $_ := sha512sum $b }}"),
    ("sha256 of a file", "{{ $_ := sha256sum $b }}"),
    ("sha1 of a file", "{{ $_ := sha1sum $b }}"),
    ("adler32 of a file", "{{ $_ := adler32sum $b }}"),
    ("contains in a file", "{{ $_ := contains \"nope\" $b }}"),
    ("hasPrefix with a file", "{{ $_ := hasPrefix $b $b }}"),
    ("upper of a file", "{{ $_ := upper $b }}"),
    ("snakecase of a file", "{{ $_ := snakecase $b }}"),
    ("b64enc and b64dec of a file", "{{ $_ := b64enc $b | b64dec }}"),
    ("b32enc of a file", "{{ $_ := b32enc $b }}"),
    ("trunc of a file", "{{ $_ := trunc 4000000 $b }}"),
    ("nospace of a file", "{{ $_ := nospace $b }}"),
    ("trimAll of a file by itself", "{{ $_ := trimAll $b $b }}"),
    ("indent of a file", "{{ $_ := indent 8 $b }}"),
    ("replace in a file", "{{ $_ := replace \"x\" \"yy\" $b }}"),
    ("splitList of a file at nothing", "{{ $_ := splitList \"\" $b }}"),
    ("splitList of a file at each letter", "{{ $_ := splitList \"x\" $b }}"),
    ("quote of a file", "{{ $_ := quote $b }}"),
    ("eq of two files", "{{ $c := print $b }}{{ range until 1000000 }}{{ $_ := eq $b $c }}{{ end }}"),
    ("index with a long key", "{{ $d := dict $b 1 }}{{ range until 1000000 }}{{ $_ := index $d $b }}{{ end }}"),
    ("hasKey with a long key", "{{ $d := dict $b 1 }}{{ range until 1000000 }}{{ $_ := hasKey $d $b }}{{ end }}"),
    ("has of long texts", "{{ $_ := has $b (list (print $b) (print $b)) }}"),
    ("a date by a long layout", "{{ $_ := date $b now }}"),
    ("a date by a layout of many pieces", "{{ $_ := now.Format (repeat 1000000 \"2 \") }}"),
    ("toDate by a long layout", "{{ $_ := toDate $b \"2006\" }}"),
    (
        "semverCompare with a long constraint",
        "{{ $_ := semverCompare (repeat 130 \"1.0 - 2.0 || \" | printf \"%s1\") \"1\" }}",
    ),
    ("regexMatch in a file", "{{ $_ := regexMatch \"(a|b)*c$\" $b }}"),
    ("regexFindAll that looks to the end each time", "{{ $_ := regexFindAll \"x|.*y\" (replace \"\\n\" \"\" $b) -1 }}"),
    ("regexReplaceAll of each letter", "{{ $_ := regexReplaceAll \"(x)\" $b \"${1}${1}\" }}"),
    ("regexSplit of each letter", "{{ $_ := regexSplit \"x\" $b -1 }}"),
    ("new patterns, each large", "{{ $_ := regexMatch (printf \"%d[a-z]{900}\" $i) \"a\" }}"),
    ("regexQuoteMeta of a file", "{{ $_ := regexQuoteMeta $b }}"),
    (".Files.Lines", "{{ $_ := $.Files.Lines \"big\" }}"),
    (".Files.Glob", "{{ $_ := $.Files.Glob (repeat 2000 \"{a,b*}\") }}"),
    (".Files.AsConfig", "{{ $_ := $.Files.AsConfig }}"),
    (".Files.AsSecrets", "{{ $_ := $.Files.AsSecrets }}"),
    ("len of bytes", "{{ $_ := len ($.Files.GetBytes \"big\") }}"),
    ("truth of bytes", "{{ if $.Files.GetBytes \"big\" }}{{ end }}"),
    ("range over bytes", "{{ range $.Files.GetBytes \"big\" }}{{ break }}{{ end }}"),
    ("first of bytes", "{{ $_ := first ($.Files.GetBytes \"big\") }}"),
    ("toString of bytes", "{{ $_ := toString ($.Files.GetBytes \"big\") }}"),
    ("print of bytes", "{{ $_ := print ($.Files.GetBytes \"big\") }}"),
    ("bcrypt", "{{ $_ := bcrypt \"x\" }}"),
    ("htpasswd", "{{ $_ := htpasswd \"a\" (print $i) }}"),
    ("derivePassword", "{{ $_ := derivePassword 1 \"long\" \"p\" \"u\" (print $i) }}"),
    ("genPrivateKey", "{{ $_ := genPrivateKey \"rsa\" }}"),
    ("genPrivateKey of ECDSA", "{{ $_ := genPrivateKey \"ecdsa\" }}"),
    ("genCA", "{{ $c := genCA \"x\" 1 }}{{ $_ := $c.Cert }}"),
    ("genSignedCert", "{{ $c := genCA \"x\" 1 }}{{ $_ := genSignedCert \"x\" nil nil 1 $c }}"),
    (
        "genSelfSignedCert with many names",
        "{{ $n := until 1000 | toStrings }}{{ $c := genSelfSignedCert \"x\" nil (concat $n $n) 1 }}",
    ),
    ("encryptAES of a file", "{{ $_ := encryptAES \"k\" $b }}"),
    ("shuffle of a file", "{{ $_ := shuffle $b }}"),
    ("toJson of a file", "{{ $_ := toJson (dict \"a\" $b) }}"),
    ("toYaml of a file", "{{ $_ := toYaml (dict \"a\" $b) }}"),
    ("fromJson of numbers", "{{ $_ := printf \"[%s0]\" (repeat 2000000 \"0,\") | fromJsonArray }}"),
    ("fromYaml of numbers", "{{ $_ := printf \"[%s0]\" (repeat 2000000 \"0,\") | fromYamlArray }}"),
    ("printf with widths", "{{ $_ := printf \"%999999d\" 1 }}"),
    ("print of a file", "{{ $_ := print $b $b }}"),
    ("html of a file", "{{ $_ := html $b }}"),
    ("tpl of a file", "{{ $_ := tpl (printf \"{{ 1 }}%s\" $b) $ }}"),
    ("tpl of new texts", "{{ $_ := tpl (printf \"{{ %d }}\" $i) $ }}"),
    ("a file written", "{{ $b }}"),
    ("kept lists", "{{ $l := list }}{{ range $i := until 1000000 }}{{ $l = append $l (toString $i) }}{{ end }}"),
    ("kept texts", "{{ $l := list }}{{ range $i := until 1000000 }}{{ $l = list $l (upper $b) }}{{ end }}"),
    ("kept keys", "{{ $d := dict }}{{ range $i := until 1000000 }}{{ $_ := set $d (print $i) (list $i) }}{{ end }}"),
    (
        "keys, values, pick and omit",
        "{{ $d := dict }}{{ range until 5000 }}{{ $_ := set $d (print .) . }}{{ end }}\
         {{ range until 1000000 }}{{ $_ := keys $d }}{{ $_ := values $d }}{{ $_ := pick $d \"1\" }}\
         {{ $_ := omit $d \"1\" }}{{ end }}",
    ),
    (
        "range over keys",
        "{{ $d := dict }}{{ range until 5000 }}{{ $_ := set $d (print .) . }}{{ end }}\
         {{ range until 1000000 }}{{ range $d }}{{ break }}{{ end }}{{ end }}",
    ),
    ("sortAlpha", "{{ $l := until 10000 | toStrings }}{{ range until 1000000 }}{{ $_ := sortAlpha $l }}{{ end }}"),
    (
        "has, uniq and without",
        "{{ $l := until 2000 }}{{ range until 1000000 }}{{ $_ := has 1999 $l }}{{ $_ := uniq $l }}\
         {{ $_ := without $l 1 }}{{ end }}",
    ),
    (
        "reverse, rest and initial",
        "{{ $l := until 10000 }}{{ range until 1000000 }}{{ $_ := reverse $l }}{{ $_ := rest $l }}\
         {{ $_ := initial $l }}{{ end }}",
    ),
    ("slice of a list", "{{ $l := until 10000 }}{{ range until 1000000 }}{{ $_ := slice $l 1 }}{{ end }}"),
    ("join", "{{ $l := until 10000 | toStrings }}{{ range until 1000000 }}{{ $_ := join \"\" $l }}{{ end }}"),
    ("deepCopy", "{{ $d := dict \"a\" (until 10000) }}{{ range until 1000000 }}{{ $_ := deepCopy $d }}{{ end }}"),
    (
        "merge",
        "{{ $d := dict }}{{ range until 2000 }}{{ $_ := set $d (print .) . }}{{ end }}\
         {{ range until 1000000 }}{{ $_ := merge (dict) $d }}{{ end }}",
    ),
    ("nothing at all", "{{ range until 1000000 }}{{ end }}"),
    (
        "a sum",
        "{{ $x := 0 }}{{ range $i := until 1000000 }}{{ range $j := until 1000 }}{{ $x = add $x $j }}{{ end }}\
         {{ end }}",
    ),
    (
        "field access",
        "{{ $v := dict \"a\" (dict \"b\" 1) }}{{ range until 1000000 }}{{ range until 1000 }}\
         {{ $_ := $v.a.b }}{{ end }}{{ end }}",
    ),
    ("include", "{{ range until 1000000 }}{{ include \"e\" . }}{{ end }}"),
    ("small texts", "{{ range until 1000000 }}{{ $_ := print . | trimSuffix \"x\" | quote | upper }}{{ end }}"),
];

/// Patterns with values that ask for them again and again.
fn schema(schema: &str, values: String) -> Files {
    vec![file("values.schema.json", schema), file("values.yaml", values), file("templates/x.yaml", "a: 1\n")]
}

fn doubling_schema(levels: usize) -> String {
    let mut text = String::from(r##"{"$ref": "#/definitions/d0", "definitions": {"##);
    for level in 0..levels {
        let next = format!(r##"{{"$ref": "#/definitions/d{}"}}"##, level + 1);
        write!(text, r#""d{level}": {{"allOf": [{next}, {next}]}}, "#).unwrap();
    }
    text + &format!(r#""d{levels}": {{}}}}}}"#)
}

/// A packed chart of these entries: kind, name, length of a text of `x`.
fn packed(entries: &[(tar::EntryType, &str, usize)]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for (kind, name, length) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_size(*length as u64);
        header.set_entry_type(*kind);
        header.set_cksum();
        gz.write_all(header.as_bytes()).unwrap();
        let block = [b'x'; 512];
        for _ in 0..length.div_ceil(512) {
            gz.write_all(&block).unwrap();
        }
    }
    gz.write_all(&[0; 1024]).unwrap();
    gz.finish().unwrap()
}

fn archive(entries: &[(tar::EntryType, &str, usize)]) -> Files {
    vec![file("charts/b-1.tgz", packed(entries)), file("templates/x.yaml", "a: 1\n")]
}

/// Charts in charts, `levels` deep, each of which names the next one `copies` times.
fn aliases(levels: usize, copies: usize) -> Files {
    let mut files = vec![file("templates/x.yaml", "a: 1\n")];
    let mut folder = String::new();
    for level in 0..=levels {
        let name = if level == 0 { "c".to_owned() } else { format!("n{level}") };
        let mut chart = format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n");
        if level < levels {
            chart.push_str("dependencies:\n");
            for copy in 0..copies {
                writeln!(chart, "- {{name: n{}, version: 0.1.0, alias: a{copy}}}", level + 1).unwrap();
            }
        }
        files.push(file(&format!("{folder}Chart.yaml"), chart));
        write!(folder, "charts/n{}/", level + 1).unwrap();
    }
    files
}

fn imports(parent: &str) -> Files {
    let chart = format!(
        "apiVersion: v2\nname: c\nversion: 0.1.0\ndependencies:\n- name: b\n  version: 0.1.0\n  import-values:\n  \
         - {{child: x, parent: {parent}}}\n"
    );
    vec![
        file("Chart.yaml", chart),
        file("charts/b/Chart.yaml", "apiVersion: v2\nname: b\nversion: 0.1.0\n"),
        file("charts/b/values.yaml", "x: {y: 1}\n"),
    ]
}

fn bombs() -> Vec<Bomb> {
    let mut all: Vec<Bomb> = LOOPS.iter().map(|(name, body)| bomb(name, || looped(body), TEMPLATE, BUDGET)).collect();
    all.extend(texts());
    all.extend(schemas());
    all.extend(charts());
    all
}

fn texts() -> Vec<Bomb> {
    vec![
        bomb(
            "files kept in a list",
            || {
                let mut files = looped("{{ $l = append $l (upper $b) }}{{ $l = append $l ($.Files.Get \"big\") }}");
                files[2].1 = [b"{{ $l := list }}", files[2].1.as_slice()].concat();
                files
            },
            TEMPLATE,
            BUDGET,
        ),
        bomb(
            "60 MB of output that are numbers",
            || vec![file("templates/x.yaml", "a: [{{ repeat 30000000 \"0,\" }}0]")],
            TEMPLATE,
            BUDGET,
        ),
        bomb(
            "output that is lists",
            || vec![file("templates/x.yaml", "a: [{{ repeat 4000000 \"[],\" }}0]")],
            TEMPLATE,
            BUDGET,
        ),
        bomb(
            "output of many documents",
            || vec![file("templates/x.yaml", "{{ repeat 4000000 \"---\\na: 1\\n\" }}")],
            TEMPLATE,
            BUDGET,
        ),
        bomb(
            "values that are numbers",
            || vec![file("values.yaml", format!("a: [{}0]", "0,".repeat(2_400_000)))],
            "values.yaml",
            BUDGET,
        ),
        bomb(
            "80,000 definitions",
            || {
                let define = |n| format!("{{{{ define \"d{n}\" }}}}{{{{ add 1 2 3 4 5 6 7 }}}}{{{{ end }}}}");
                vec![file("templates/x.yaml", (0..80_000).map(define).collect::<Vec<_>>().concat())]
            },
            TEMPLATE,
            BUDGET,
        ),
        bomb(
            "a long action",
            || vec![file("templates/x.yaml", format!("{{{{ list {} }}}}", "1 ".repeat(2_000_000)))],
            TEMPLATE,
            BUDGET,
        ),
        bomb(
            "nested parentheses",
            || vec![file("templates/x.yaml", format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)))],
            TEMPLATE,
            "max expression depth exceeded (400)",
        ),
        bomb(
            "many variables",
            || {
                let text = (0..20_000).map(|n| format!("{{{{$a{n}:=1}}}}")).collect::<Vec<_>>().concat();
                vec![file("templates/x.yaml", text)]
            },
            "templates/x.yaml",
            "1000 variables in one scope",
        ),
    ]
}

fn schemas() -> Vec<Bomb> {
    vec![
        bomb(
            "a schema that doubles",
            || schema(&doubling_schema(40), "a: 1\n".into()),
            "values.schema.json of c",
            BUDGET,
        ),
        bomb(
            "a pattern over a long value",
            || {
                let pattern = r#"{"patternProperties": {"^a": {"allOf": [PARTS{}]}}}"#;
                let parts =
                    (0..2_000).map(|n| format!(r#"{{"pattern": "(a|b|{n})*c$"}},"#)).collect::<Vec<_>>().concat();
                schema(&pattern.replace("PARTS", &parts), format!("a: {}\n", "a".repeat(1_000_000)))
            },
            "values.schema.json of c",
            BUDGET,
        ),
        bomb(
            "keys with patterns",
            || {
                let parts = (0..3_000).map(|n| format!(r#""k{n}$": {{}},"#)).collect::<Vec<_>>().concat();
                let values = (0..30_000).map(|n| format!("key{n}: 1\n")).collect::<Vec<_>>().concat();
                schema(&format!(r#"{{"patternProperties": {{{parts}"z": {{}}}}}}"#), values)
            },
            "values.schema.json of c",
            BUDGET,
        ),
        bomb(
            "unique items again and again",
            || {
                let parts = r#"{"uniqueItems": true, "minItems": 1},"#.repeat(2_000);
                let values = (0..100_000).map(|n| format!("- {n}\n")).collect::<Vec<_>>().concat();
                schema(&format!(r#"{{"properties": {{"a": {{"allOf": [{parts}{{}}]}}}}}}"#), format!("a:\n{values}"))
            },
            "values.schema.json of c",
            BUDGET,
        ),
        bomb(
            "a long enumeration for many items",
            || {
                let listed = (0..200_000).map(|n| format!("{n},")).collect::<Vec<_>>().concat();
                let values = (0..20_000).map(|n| format!("- x{n}\n")).collect::<Vec<_>>().concat();
                let schema_text = format!(r#"{{"properties": {{"a": {{"items": {{"enum": [{listed}0]}}}}}}}}"#);
                schema(&schema_text, format!("a:\n{values}"))
            },
            "values.schema.json of c",
            BUDGET,
        ),
        bomb(
            "a schema of many parts",
            || {
                let parts = (0..150_000).map(|n| format!(r#""{n}":{{}},"#)).collect::<Vec<_>>().concat();
                schema(&format!(r#"{{"properties": {{{parts}"z": {{}}}}}}"#), "a: 1\n".into())
            },
            "values.schema.json of c",
            BUDGET,
        ),
    ]
}

fn charts() -> Vec<Bomb> {
    let kind = tar::EntryType::Regular;
    vec![
        bomb("aliases of aliases", || aliases(3, 120), "`a3`", "1000 charts below it, with a copy for each alias"),
        bomb("many aliases", || aliases(1, 1_001), "`c`", "1000 charts below it"),
        bomb("a long path of an import", || imports(&"a.".repeat(150_000)), "`c`", "100 keys in the path"),
        bomb(
            "an archive with a long name",
            move || archive(&[(tar::EntryType::GNULongName, "l", 900 << 20), (kind, "b/Chart.yaml", 1)]),
            "charts/b-1.tgz",
            "unpacked over 65536 bytes in `a header`",
        ),
        bomb(
            "an archive with a long PAX header",
            move || archive(&[(tar::EntryType::XHeader, "l", 900 << 20), (kind, "b/Chart.yaml", 1)]),
            "charts/b-1.tgz",
            "unpacked over 65536 bytes in `a header`",
        ),
        bomb(
            "an archive with a long global header",
            move || archive(&[(tar::EntryType::XGlobalHeader, "l", 900 << 20), (kind, "b/Chart.yaml", 1)]),
            "charts/b-1.tgz",
            "",
        ),
        bomb(
            "an archive with a long folder",
            move || archive(&[(tar::EntryType::Directory, "l", 900 << 20), (kind, "b/Chart.yaml", 1)]),
            "charts/b-1.tgz",
            "",
        ),
        bomb(
            "an archive of many folders",
            || archive(&vec![(tar::EntryType::Directory, "b/x/", 0); 200_000]),
            "charts/b-1.tgz",
            "",
        ),
        bomb(
            "an archive of many symlinks",
            || archive(&vec![(tar::EntryType::Symlink, "b/x", 0); 200_000]),
            "charts/b-1.tgz",
            "",
        ),
    ]
}

fn tree(bomb: &Bomb) -> Tree {
    let mut tree = crate::tree(&[]);
    for (path, bytes) in (bomb.files)() {
        tree.insert(&path, bytes).unwrap();
    }
    tree
}

/// With a fiftieth of the steps and a quarter of the bytes that a render has, as a build for tests is slow.
#[test]
fn small_charts_neither_fill_the_memory_nor_hold_the_worker() {
    let bombs = bombs();
    assert!(bombs.len() >= 100, "{}", bombs.len());
    let mut wrong = Vec::new();
    for bomb in bombs {
        let budget = Budget::new(Limits { steps: 1_000_000, bytes: 32 << 20 });
        let options = Options { budget: Some(budget), ..Options::default() };
        let error = match render(&tree(&bomb), "", &options) {
            Ok(_) => "nothing is wrong".to_owned(),
            Err(error) => error.report(),
        };
        if !error.contains(bomb.place) || !error.contains(bomb.bound) {
            wrong.push(format!("{}: {error:.300}", bomb.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Milliseconds that a processor worked for this process, also on threads that have ended.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // In hundredths of a second, of the process itself and of the system for it.
    let times = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
    times.sum::<u64>() * 10
}

/// With all that a render has, in the profile of the functions: `cargo test --release -p slipway-helm -- --ignored
/// --nocapture bombs`. A quarter is for what else the machine does.
#[test]
#[ignore = "measures: a build for tests is slow"]
fn each_of_them_ends_within_about_a_second() {
    let mut slow = Vec::new();
    let hostile = crate::hostile::LOOPS
        .iter()
        .map(|template| ((*template).to_owned(), vec![file("templates/x.yaml", *template)]));
    let rows: Vec<(String, Files)> =
        bombs().into_iter().map(|bomb| (bomb.name.to_owned(), (bomb.files)())).chain(hostile).collect();
    for (name, files) in rows {
        let mut tree = crate::tree(&[]);
        for (path, bytes) in files {
            tree.insert(&path, bytes).unwrap();
        }
        let budget = Budget::default();
        let options = Options { budget: Some(budget.clone()), ..Options::default() };
        let before = processor_time();
        let _ = std::hint::black_box(render(&tree, "", &options));
        let took = processor_time() - before;
        let (steps, bytes) = budget.used();
        println!("{took:6} ms {steps:10} steps {bytes:10} bytes  {name:.60}");
        // A chart may make three keys of 4,096 bits, so that four of them are within the budget.
        let most = if name == "genPrivateKey" { 2_500 } else { 1_250 };
        if took > most {
            slow.push(name);
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}
