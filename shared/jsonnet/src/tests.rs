//! Against what go-jsonnet says of our cases (`tests/reference/jsonnet`), and what hostile programs may take.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway_budget::{Budget, Exceeded};

use crate::{Files, JsonnetError, STACK, Variable, Variables, evaluate, imports};

struct Given {
    files: BTreeMap<String, String>,
    libs: Vec<String>,
}

impl Files for Given {
    fn import(&self, from: &str, name: &str) -> Result<(String, Vec<u8>), String> {
        let home = from.rsplit_once('/').map_or("", |(home, _)| home);
        let folders = [home].into_iter().chain(self.libs.iter().rev().map(String::as_str));
        let paths = folders.map(|folder| format!("{folder}/{name}").trim_start_matches('/').to_owned());
        let found =
            paths.into_iter().find_map(|path| Some((path.clone(), self.files.get(&path)?.clone().into_bytes())));
        found.ok_or_else(|| format!("{name} is not there"))
    }
}

/// With the stack that it needs.
fn on_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

fn run(text: &str) -> Result<Value, JsonnetError> {
    let files = Given { files: BTreeMap::new(), libs: Vec::new() };
    on_stack(|| evaluate("main.jsonnet", text.as_bytes(), &files, &Variables::default(), &Budget::default()))
}

fn texts(case: &Value, field: &str) -> BTreeMap<String, String> {
    serde_json::from_value(case.get(field).cloned().unwrap_or(json!({}))).unwrap()
}

fn answer(case: &Value) -> Result<Value, JsonnetError> {
    let libs = serde_json::from_value(case.get("libs").cloned().unwrap_or(json!([]))).unwrap();
    let files = Given { files: texts(case, "files"), libs };
    let both = |text: &str, code: &str| {
        let text = texts(case, text).into_iter().map(|(name, value)| (name, Variable::Text(value)));
        text.chain(texts(case, code).into_iter().map(|(name, value)| (name, Variable::Code(value)))).collect()
    };
    let variables = Variables { external: both("extVars", "extCode"), arguments: both("tlaVars", "tlaCode") };
    let main = files.files["main.jsonnet"].clone();
    on_stack(|| evaluate("main.jsonnet", main.as_bytes(), &files, &variables, &Budget::default()))
}

#[test]
fn programs_have_the_values_that_go_jsonnet_gives_them() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/jsonnet");
    let lines = |file: &str| -> Vec<Value> {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let known = fs::read_to_string(folder.join("known-differences.txt")).unwrap();
    let mut known: BTreeSet<&str> = known.lines().filter_map(|line| line.split(' ').next()).collect();
    let (mut values, mut errors, mut wrong) = (0, 0, Vec::new());
    for (case, expected) in lines("cases.jsonl").iter().zip(lines("expected.jsonl")) {
        let name = case["name"].as_str().unwrap();
        assert_eq!(expected["name"], *name);
        // Both went through the same reader of numbers.
        let ours = answer(case).map(|value| serde_json::from_str::<Value>(&value.to_string()).unwrap());
        let is_same = match (&ours, expected.get("value")) {
            (Ok(ours), Some(value)) => numbers(ours) == numbers(value),
            (Err(JsonnetError::Exceeded(_)), _) => expected["error"].as_str().unwrap().contains("max stack frames"),
            (ours, value) => ours.is_err() && value.is_none(),
        };
        if is_same {
            *if ours.is_ok() { &mut values } else { &mut errors } += 1;
        } else if !known.remove(name) {
            wrong.push(format!("{name}: {} is {ours:?}, expected {expected}", case["files"]["main.jsonnet"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(known, BTreeSet::new(), "these don't differ any more");
    assert!(values >= 195 && errors >= 70, "{values} values, {errors} errors");
}

/// All numbers as go-jsonnet has them: it knows no integers.
fn numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(numbers).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), numbers(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn whole_numbers_are_integers() {
    assert_eq!(run("[80, 1e3, 0.5, -3, 4294967296]").unwrap().to_string(), "[80,1000,0.5,-3,4294967296]");
}

#[test]
fn an_error_says_where_and_in_the_words_of_the_program() {
    let error = |text: &str| run(text).unwrap_err().to_string();
    assert_eq!(error("{\n  a: error 'no image',\n}"), "main.jsonnet:2:6: no image");
    assert_eq!(error("{ a: 1,\n b }"), "main.jsonnet:2:4: rightbrace is not expected here");
    assert_eq!(
        error("local f(x) = std.length(x);\nf(1)"),
        "main.jsonnet:1:14: unexpected type number, expected \
        string, array, object or function"
    );
    assert_eq!(error("local x = 1;\nx + y"), "main.jsonnet:2:5: unknown variable: y");
}

#[test]
fn hostile_programs_end_within_their_budget() {
    let steps = |program: &str| match run(program) {
        Err(JsonnetError::Exceeded(exceeded)) => exceeded,
        other => panic!("{program}: {other:?}"),
    };
    let limits = Budget::default().limits();
    let too_large = [
        "std.repeat('x', 1e12)",
        "local f(n) = f(n + 1); f(0)",
        "local d(s, n) = if n == 0 then s else d(s + s, n - 1); std.length(d('x', 60))",
        "std.strReplace(std.repeat('x', 1000000), 'x', std.repeat('y', 1000000))",
        "std.length(std.splitLimit(std.repeat('a', 20000000), 'a', -1))",
        "std.length(std.findSubstr('a', std.repeat('a', 20000000)))",
        "std.length(std.deepJoin(std.makeArray(1000, function(i) std.repeat('x', 1000000))))",
    ];
    for program in too_large {
        let started = Instant::now();
        assert_eq!(steps(program), Exceeded::Bytes(limits.bytes), "{program}");
        assert!(started.elapsed() < Duration::from_mins(1), "{program} took {:?}", started.elapsed());
    }
    for program in ["std.makeArray(1e12, function(i) i)", "std.range(0, 1e15)"] {
        assert_eq!(steps(program), Exceeded::Steps(limits.steps), "{program}");
    }
    assert!(run("'%1000000000d' % 1").unwrap_err().to_string().contains("a field of a format is wider"));
    let doubled = "local d(s, n) = if n == 0 then s else d([s, s], n - 1) tailstrict; d('x', 60)";
    assert!(matches!(run(doubled), Err(JsonnetError::Exceeded(_))));
}

#[test]
fn no_recursion_overflows_the_stack() {
    let too_deep = |program: &str| {
        let error = run(program).unwrap_err().to_string();
        assert!(
            error.contains("deep") || error.contains("infinite"),
            "{}: {error}",
            program.get(..60).unwrap_or(program)
        );
    };
    for program in [
        "local a = a; a",
        "{ x: self.y, y: self.x }",
        "local f(n) = 1 + f(n + 1); f(0)",
        "local f(n) = [x for a in [1] for x in f(n + 1)]; f(0)",
        "local f(n) = { [k]: f(n + 1)[k] for k in ['a'] }.a; f(0)",
        "local f(n) = std.foldl(function(a, b) f(n + 1), [1], 0); f(0)",
        "local f(n) = std.sort([2, 1], function(x) f(n + 1)); f(0)",
        "local f(n) = { assert f(n + 1), a: 1 }.a; f(0)",
        "local f(n) = { a: f(n + 1) } == { a: f(n + 1) }; f(0)",
        "local f(n) = [f(n + 1)]; f(0)",
        "local f(n) = [f(n + 1)]; std.manifestYamlDoc(f(0))",
        "local f(x, n) = if n == 0 then x else f([x], n - 1) tailstrict; f(1, 100000)",
        "std.parseYaml(std.repeat('[', 100000))",
    ] {
        too_deep(program);
    }
    for (part, end) in [
        ("local a = 1; ", "1"),
        ("if true then ", "1"),
        ("function(x) ", "1"),
        ("error ", "1"),
        ("assert true; ", "1"),
        ("{ a: ", ""),
        ("[", ""),
        ("(", ""),
        ("- ", "1"),
        ("f(", ""),
    ] {
        // As deep as the parser goes, and far beyond.
        for times in [600, 1_900, 100_000] {
            let _ = run(&(part.repeat(times) + end));
        }
        too_deep(&(part.repeat(100_000) + end));
    }
    too_deep(&format!("{}1", "1 + ".repeat(100_000)));
    too_deep(&format!("{{}}{}", ".a".repeat(100_000)));
    assert!(run(&format!("{}1", "-".repeat(100_000))).unwrap_err().to_string().contains("operators follow"));
    assert_eq!(run(&format!("{}1", "1 + ".repeat(2_000))).unwrap(), json!(2_001));
}

#[test]
fn imports_are_found_without_evaluating() {
    let text = br"local a = import 'a.libsonnet', b = importstr '../\u0062 c'; // import 'no'
        { c: importbin 'c', 'import': 1 }";
    assert_eq!(imports(text), BTreeSet::from(["a.libsonnet", "../b c", "c"].map(str::to_owned)));
    assert_eq!(imports(b"import 'a' \""), BTreeSet::new());
}
