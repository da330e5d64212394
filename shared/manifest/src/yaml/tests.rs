//! Reading and writing against what sigs.k8s.io/yaml itself answered (`testdata/`, recorded by `testdata/record`).

use serde_json::Value;
use slipway_budget::Budget;

use super::*;

/// Texts on which we knowingly differ from go-yaml v2, by why.
const DIFFERENT: [(&str, &[&str]); 2] = [
    ("keys lose that they were floats", &[".inf: v", "16777217.0: v"]),
    ("line breaks of Unicode are text, as in YAML 1.2", &["a: \u{2028}x", "a: \u{85}x"]),
];

fn records(name: &str) -> Vec<Value> {
    let path = format!("{}/testdata/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn reads_what_go_reads() {
    let records = records("read");
    assert!(records.len() > 450, "{}", records.len());
    let mut wrong = Vec::new();
    for record in &records {
        let text = record["yaml"].as_str().unwrap();
        if DIFFERENT.iter().any(|(_, texts)| texts.contains(&text)) {
            continue;
        }
        let ours = parse_with(text, Options::lenient(), &Budget::default());
        let want: Option<Value> = record["json"].as_str().map(|json| serde_json::from_str(json).unwrap());
        match (&ours, &want) {
            (Ok(ours), Some(want)) if ours == want => {}
            (Err(_), None) => {}
            _ => wrong.push(format!("{text:?}\n    ours {ours:?}\n    go   {}{}", record["json"], record["error"])),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), records.len(), wrong.join("\n"));
}

#[test]
fn errors_name_the_line() {
    let line = |text: &str| parse_all(text).unwrap_err().line;
    assert_eq!(line("a: 1\nb:\n  c: 1\n d: 2\n"), 4);
    assert_eq!(line("a: 1\na: 2\n"), 2);
    assert_eq!(line("a: 1\n---\nb: [1\n"), 4);
    assert_eq!(line("a: 1\nb: \"x\n"), 2);
    assert_eq!(parse_all_bytes(b"a: 1\nb: \xff\n").unwrap_err().to_string(), "line 2: invalid UTF-8");
    let manifests = parse_manifests("a: 1\n---\nb: 1\nb: 2\n", Options::default(), &Budget::default());
    assert_eq!(manifests.unwrap_err().to_string(), "line 4: key `b` already set in map");
    assert_eq!(parse("a: .inf").unwrap_err().kind, YamlErrorKind::NotFinite(".inf".into()));
}

/// Attack 13: what would take unbounded time or memory is refused, in bounded time and memory.
#[test]
fn bombs_are_refused() {
    use std::fmt::Write as _;
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{before}]").unwrap();
    }
    assert!(matches!(parse(&bomb).unwrap_err().kind, YamlErrorKind::AliasBomb(_)));
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
        assert!(matches!(parse(&deep).unwrap_err().kind, YamlErrorKind::TooDeep(100)), "{:?}", deep.chars().next());
    }
    let mut steps = String::new();
    for depth in 0..2000 {
        writeln!(steps, "{}a:", " ".repeat(depth)).unwrap();
    }
    assert!(matches!(parse(&steps).unwrap_err().kind, YamlErrorKind::TooDeep(100)));
    let many = "---\na: 1\n".repeat(100_001);
    assert!(matches!(parse_all(&many).unwrap_err().kind, YamlErrorKind::TooManyDocuments(100_000)));
    assert!(parse_manifests(&many, Options::default(), &Budget::default()).is_err());
    assert!(parse_all(&"&a ".repeat(100_000)).is_err());
    assert!(parse_all(&"!a ".repeat(100_000)).is_err());
    assert!(parse(&format!("a: {}", "9".repeat(1_000_000))).is_ok());
}

/// Attack 13: small texts that become large. What is made is charged before it is, so that each ends at the budget.
#[test]
fn what_a_text_becomes_is_charged() {
    let nested = (0..90).fold("[0]".to_owned(), |inner, level| format!("&a{level} [{inner}]"));
    let long = "x".repeat(100_000);
    let texts = [
        ("a long scalar, aliased", format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(20_000))),
        ("a long key, aliased", format!("a: &a {{? {long}\n : 1}}\nb: [{}]\n", "*a, ".repeat(20_000))),
        ("a long scalar, merged", format!("a: &a {{k: {long}}}\nb: [{}]\n", "{<<: *a}, ".repeat(20_000))),
        ("anchors around anchors", nested.replace("[0]", &format!("[{}0]", "0, ".repeat(5_000)))),
        ("a list of numbers", format!("[{}0]", "0,".repeat(500_000))),
        ("a list of nothing", "-\n".repeat(500_000)),
        ("keys without values", (0..200_000).fold(String::new(), |all, n| all + &format!("{n}:\n"))),
        ("empty mappings", format!("[{}0]", "{},".repeat(500_000))),
        ("mappings of one key", format!("[{}0]", "a: b,".repeat(200_000))),
        ("small documents", "---\n1\n".repeat(90_000)),
    ];
    let mut wrong = Vec::new();
    for (name, text) in &texts {
        for (limits, bound) in [
            (slipway_budget::Limits { steps: u64::MAX, bytes: 8 << 20 }, "bytes"),
            (slipway_budget::Limits { steps: 50_000, bytes: usize::MAX }, "steps"),
        ] {
            let budget = Budget::new(limits);
            let read = parse_manifests(text, Options::lenient(), &budget);
            let told = read.map_or_else(|e| e.to_string(), |_| "nothing is wrong".to_owned());
            // A document leaves nothing that is charged, but its steps are.
            let ends = told.contains(bound) || *name == "small documents" && bound == "bytes";
            if !ends {
                wrong.push(format!("{name}: {bound}: {told:.200}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(parse(&"%TAG !a! tag:\n".repeat(100)).is_err());
    assert!(parse(&format!("%TAG !a! {long}\n--- !a!b c")).is_err());
}

#[test]
fn streams_follow_yaml() {
    use serde_json::json;
    assert_eq!(
        parse_all("a: 1\n---\n---\nb: 2\n...\n--- c\n").unwrap(),
        [json!({"a": 1}), json!(null), json!({"b": 2}), json!("c")]
    );
    assert_eq!(parse_all("").unwrap(), Vec::<Value>::new());
    assert_eq!(parse_all("# nothing\n").unwrap(), Vec::<Value>::new());
    assert!(parse_all("a: &x 1\n---\nb: *x\n").is_err());
    assert!(parse_all("  a: 1\nb: 2\n").is_err());
    assert_eq!(
        parse_manifests("# c\n---\na: 1\n--- # x\n\n---\nb: 2", Options::default(), &Budget::default()).unwrap().len(),
        2
    );
}

#[test]
fn rules_differ_where_the_readers_do() {
    use serde_json::json;
    let merged = "a: &x {p: 1}\nb: {p: 2, <<: *x}";
    assert_eq!(parse(merged).unwrap()["b"], json!({"p": 2}));
    assert_eq!(parse_with(merged, Options::lenient(), &Budget::default()).unwrap()["b"], json!({"p": 1}));
    assert_eq!(parse_with("a: 1\na: 2", Options::lenient(), &Budget::default()).unwrap(), json!({"a": 2}));
    assert!(parse("a: 1\na: 2").is_err());
}

#[test]
fn writes_what_go_writes() {
    let records = records("write");
    assert!(records.len() > 250, "{}", records.len());
    let mut wrong = Vec::new();
    for record in &records {
        let value: Value = serde_json::from_str(record["json"].as_str().unwrap()).unwrap();
        let (ours, want) = (to_string_go(&value), record["yaml"].as_str().unwrap());
        if ours != want {
            wrong.push(format!("{value}\n    ours {ours:?}\n    go   {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), records.len(), wrong.join("\n"));
}

#[test]
fn what_is_written_is_read_back() {
    let records = records("write");
    for record in &records {
        let value: Value = serde_json::from_str(record["json"].as_str().unwrap()).unwrap();
        let texts = [to_string(&value), to_string_go(&value)];
        // A merge key that go-yaml does not quote can't be read back, nor can Unicode's own line breaks.
        for text in texts.iter().filter(|text| !text.contains("<<:") && !text.contains('\u{2028}')) {
            let back = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(to_string_go(&back), to_string_go(&value), "{text}");
        }
    }
}
