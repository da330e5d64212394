//! Where the cases lie, how a suite is judged and how its failures are written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use slipway_manifest::Tree;

/// Makes a test of each suite, so that `cargo test` counts them and one can be asked for by name.
macro_rules! suites {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            framework::judge(&stringify!($name).replace('_', "-"), $name::run);
        })*
    };
}

/// Makes two tests of each suite: over the shared records, and over our own, which are always there.
macro_rules! record_suites {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            let suite = stringify!($name).replace('_', "-");
            framework::judge(&suite, |shared| framework::shared_records(shared, &suite, $name::check));
        })*

        mod reference {
            $(#[test]
            fn $name() {
                let suite = stringify!($name).replace('_', "-");
                super::framework::judge_reference(&suite, |folder| {
                    super::framework::own_records(folder, &suite, super::$name::check)
                });
            })*
        }
    };
}

/// What came of one suite.
pub(crate) struct Outcome {
    /// Name, as in `tests/conformance.toml`.
    pub suite: String,
    /// Cases run.
    pub total: usize,
    /// Cases that failed.
    pub failures: Vec<Failure>,
    /// Cases that are known to differ from the real tool, and do.
    pub known: usize,
}

/// A case that failed.
pub(crate) struct Failure {
    /// Name of the case.
    pub name: String,
    /// What differs, in a few lines.
    pub diff: String,
}

impl Outcome {
    /// Runs `case` on each named input and collects those that give a difference.
    pub(crate) fn collect<T>(
        suite: &str,
        cases: impl IntoIterator<Item = (String, T)>,
        case: impl Fn(&T) -> Result<(), String>,
    ) -> Self {
        let mut outcome = Self { suite: suite.to_owned(), total: 0, failures: Vec::new(), known: 0 };
        for (name, input) in cases {
            outcome.total += 1;
            if let Err(diff) = case(&input) {
                outcome.failures.push(Failure { name, diff });
            }
        }
        outcome
    }

    /// Sets aside the failures that are in `known` by name; one of these that passes, or that nobody asks for, is a
    /// failure.
    pub(crate) fn except(mut self, known: &BTreeMap<String, String>) -> Self {
        let is_known = |failure: &Failure| known.contains_key(&failure.name);
        let (differs, failures): (Vec<_>, Vec<_>) = self.failures.into_iter().partition(is_known);
        self.known = differs.len();
        self.failures = failures;
        for name in known.keys().filter(|name| differs.iter().all(|failure| failure.name != **name)) {
            self.failures
                .push(Failure { name: name.clone(), diff: "differs no more: take it out of the list".to_owned() });
        }
        self
    }
}

/// Which of a suite's own cases differ from the real tool: name and reason, one a line.
const KNOWN: &str = "known-differences.txt";

/// Runs a suite over the shared records of its name; `None` where they are not there.
pub(crate) fn shared_records(
    shared: &Path,
    suite: &str,
    check: impl Fn(&Value) -> Result<()>,
) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors").join(format!("{}.jsonl", suite.replace('-', "_"))))?;
    Ok(cases.map(|cases| Outcome::collect(suite, cases, |case| check(case).map_err(|e| format!("{e:#}")))))
}

/// Runs a suite over our own cases with the answers of the real tool (`reference/README.md`).
pub(crate) fn own_records(reference: &Path, suite: &str, check: impl Fn(&Value) -> Result<()>) -> Result<Outcome> {
    let folder = reference.join(suite);
    let read = |file: &str| records(&folder.join(file))?.with_context(|| format!("{suite} has no {file}"));
    let cases = answered(read("cases.jsonl")?, read("expected.jsonl")?)?;
    let suite = format!("{suite}-reference");
    let outcome = Outcome::collect(&suite, cases, |case| check(case).map_err(|e| format!("{e:#}")));
    let known = folder.join(KNOWN);
    let known = if known.is_file() { known_differences(&fs::read_to_string(known)?)? } else { BTreeMap::new() };
    Ok(outcome.except(&known))
}

/// Each case with its answer.
fn answered(cases: Vec<(String, Value)>, answers: Vec<(String, Value)>) -> Result<BTreeMap<String, Value>> {
    ensure!(cases.len() == answers.len(), "{} cases, {} answers: record them anew", cases.len(), answers.len());
    let mut records = BTreeMap::new();
    for ((name, mut case), (answered, answer)) in cases.into_iter().zip(answers) {
        ensure!(name == answered, "{answered} answers {name}: record them anew");
        let answer = answer.as_object().cloned().context("an answer is an object")?;
        case.as_object_mut().context("a case is an object")?.extend(answer);
        ensure!(records.insert(name.clone(), case).is_none(), "{name} is there twice");
    }
    Ok(records)
}

/// Names with the reasons why they differ; between them stands a tab where the name has spaces.
pub(crate) fn known_differences(text: &str) -> Result<BTreeMap<String, String>> {
    let split = |line: &str| {
        let split = line.split_once('\t').or_else(|| line.split_once(' '));
        let (name, reason) = split.with_context(|| format!("{line} differs without a reason"))?;
        Ok((name.to_owned(), reason.trim().to_owned()))
    };
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(split).collect()
}

/// Runs a suite in the folder of shared cases and compares it with its floor. The suite gives `None` where its cases
/// are not there.
pub(crate) fn judge(name: &str, run: impl FnOnce(&Path) -> Result<Option<Outcome>>) {
    let root = workspace_root();
    let required = env::var_os("SLIPWAY_REQUIRE_SHARED").is_some_and(|v| !v.is_empty());
    let shared = shared_folder(&root, env::var("SLIPWAY_SHARED").ok().as_deref()).unwrap();
    let outcome = shared.and_then(|folder| run(&folder).unwrap_or_else(|e| panic!("{name}: {e:#}")));
    let Some(outcome) = outcome else {
        say(&format!("conformance {name} absent"));
        assert!(!required, "the cases of {name} are absent and SLIPWAY_REQUIRE_SHARED is set");
        return;
    };
    conclude(&root, &outcome);
}

/// Runs a suite over `tests/reference`, which is always there.
pub(crate) fn judge_reference(name: &str, run: impl FnOnce(&Path) -> Result<Outcome>) {
    let root = workspace_root();
    let outcome = run(&root.join("tests/reference")).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    conclude(&root, &outcome);
    let failed: Vec<&str> = outcome.failures.iter().map(|failure| failure.name.as_str()).collect();
    assert!(
        is_report() || failed.is_empty(),
        "{name}: {failed:?} differ; see target/conformance/{}.txt",
        outcome.suite
    );
}

fn conclude(root: &Path, outcome: &Outcome) {
    let name = &outcome.suite;
    let passed = outcome.total.saturating_sub(outcome.failures.len() + outcome.known);
    say(&format!("conformance {name} {passed}/{}", outcome.total));
    let report = root.join("target/conformance").join(format!("{name}.txt"));
    write_failures(&report, &outcome.failures).unwrap();
    assert_ne!(outcome.total, 0, "{name} has no case");
    if is_report() {
        return;
    }
    let floor = floor(&fs::read_to_string(root.join("tests/conformance.toml")).unwrap(), name).unwrap();
    assert!(passed >= floor, "{name}: {passed} pass, below the floor of {floor}; see {}", report.display());
}

/// Whether to tell the numbers only.
fn is_report() -> bool {
    env::var("SLIPWAY_CONFORMANCE").is_ok_and(|mode| mode == "report")
}

/// A line that is seen also when the test passes.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The root of the workspace: cargo runs tests in the package's folder.
pub(crate) fn workspace_root() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = above.into_iter().find(|folder| folder.join("Cargo.lock").exists());
    root.expect("tests lie in the workspace").to_path_buf()
}

fn shared_folder(root: &Path, named: Option<&str>) -> Result<Option<PathBuf>> {
    let folder = root.join(named.unwrap_or("../shared"));
    if folder.join("corpus").is_dir() || folder.join("vectors").is_dir() {
        return Ok(Some(folder));
    }
    // A folder that is not there holds nothing, as where nobody names one: SLIPWAY_REQUIRE_SHARED is for who counts
    // on it.
    if named.is_some() && folder.is_dir() {
        bail!("SLIPWAY_SHARED names {}, which holds neither `corpus` nor `vectors`", folder.display());
    }
    Ok(None)
}

fn floor(floors: &str, suite: &str) -> Result<usize> {
    floors
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == suite)
        .with_context(|| format!("tests/conformance.toml has no floor for {suite}"))
        .and_then(|(_, number)| Ok(number.trim().parse()?))
}

fn write_failures(path: &Path, failures: &[Failure]) -> Result<()> {
    let mut text = String::new();
    for Failure { name, diff } in failures {
        writeln!(text, "{name}\n    {}\n", diff.trim_end().replace('\n', "\n    "))?;
    }
    fs::create_dir_all(path.parent().context("a report lies in a folder")?)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// The records of a file of JSON lines with their names; `None` where there is no such file.
pub(crate) fn records(path: &Path) -> Result<Option<Vec<(String, Value)>>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let parse = |line: &str| -> Result<_> {
        let record: Value = serde_json::from_str(line)?;
        Ok((record["name"].as_str().context("a record has a name")?.to_owned(), record))
    };
    text.lines().filter(|line| !line.is_empty()).map(parse).collect::<Result<_>>().map(Some)
}

/// The files and symlinks below `folder` on disk as a tree.
pub(crate) fn tree(folder: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let entry = entry?;
            let path = entry.path();
            let name = path.strip_prefix(folder)?.to_str().context("file names are UTF-8")?.to_owned();
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                tree.insert_link(&name, fs::read_link(&path)?.to_str().context("links are UTF-8")?)?;
            } else if kind.is_dir() {
                folders.push(path);
            } else {
                tree.insert(&name, fs::read(&path)?)?;
            }
        }
    }
    Ok(tree)
}

/// The documents of a YAML text that are not empty.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>> {
    Ok(slipway_manifest::yaml::parse_all(text)?.into_iter().filter(|value| !value.is_null()).collect())
}

/// `Ok` where both lists hold equal documents in the same order; else where they differ first.
pub(crate) fn same(expected: &[Value], found: &[Value]) -> Result<(), String> {
    for (index, (want, got)) in expected.iter().zip(found).enumerate() {
        if let Some(diff) = difference(want, got, &mut format!("document {index} {}", title(want))) {
            return Err(diff);
        }
    }
    if expected.len() == found.len() {
        return Ok(());
    }
    let extra = expected.get(found.len()).or_else(|| found.get(expected.len())).map(title).unwrap_or_default();
    Err(format!("expected {} documents, found {}: first one more is {extra}", expected.len(), found.len()))
}

fn title(document: &Value) -> String {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

fn difference(want: &Value, got: &Value, path: &mut String) -> Option<String> {
    let length = path.len();
    let mut descend = |step: String, want: Option<&Value>, got: Option<&Value>| {
        path.push_str(&step);
        let diff = match (want, got) {
            (Some(want), Some(got)) => difference(want, got, path),
            (want, got) => Some(format!("{path}: expected {}, found {}", short(want), short(got))),
        };
        path.truncate(length);
        diff
    };
    match (want, got) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.into_iter().find_map(|key| descend(format!(".{key}"), a.get(key), b.get(key)))
        }
        (Value::Array(a), Value::Array(b)) => {
            (0..a.len().max(b.len())).find_map(|i| descend(format!("[{i}]"), a.get(i), b.get(i)))
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        _ if want == got => None,
        _ => Some(format!("{path}: expected {}, found {}", short(Some(want)), short(Some(got)))),
    }
}

fn short(value: Option<&Value>) -> String {
    value.map_or("nothing".to_owned(), |value| value.to_string().chars().take(300).collect())
}

#[test]
fn a_named_folder_without_cases_is_an_error() {
    let root = workspace_root();
    let error = shared_folder(&root, Some("tests/conformance")).unwrap_err().to_string();
    assert!(error.contains("tests/conformance, which holds neither `corpus` nor `vectors`"), "{error}");
    assert!(shared_folder(Path::new("/nowhere/at/all"), None).unwrap().is_none());
    assert!(shared_folder(&root, Some("/nowhere/at/all")).unwrap().is_none());
}

#[test]
fn known_differences_are_exact() {
    let cases = ["differs", "differs-unsaid", "same"].map(|name| (name.to_owned(), name != "same"));
    let outcome = Outcome::collect("s", cases, |differs| if *differs { Err("x".to_owned()) } else { Ok(()) });
    let known = known_differences("differs for a reason\nsame as ever\n\ngone away\n").unwrap();
    let outcome = outcome.except(&known);
    let failed: Vec<&str> = outcome.failures.iter().map(|failure| failure.name.as_str()).collect();
    assert_eq!((outcome.known, failed), (1, vec!["differs-unsaid", "gone", "same"]));
    assert!(known_differences("unreasoned").unwrap_err().to_string().contains("without a reason"));
}

#[test]
fn answers_belong_to_their_cases() {
    let named = |name: &str, key: &str| (name.to_owned(), serde_json::json!({"name": name, key: 1}));
    let records = answered(vec![named("a", "asked")], vec![named("a", "told")]).unwrap();
    assert_eq!(records["a"], serde_json::json!({"name": "a", "asked": 1, "told": 1}));
    assert!(answered(vec![named("a", "asked")], vec![named("b", "told")]).is_err());
    assert!(answered(vec![named("a", "asked")], vec![]).is_err());
    let twice = |key| vec![named("a", key), named("a", key)];
    assert!(answered(twice("asked"), twice("told")).unwrap_err().to_string().contains("twice"));
}

#[test]
fn floors_are_found_by_suite() {
    assert_eq!(floor("# a = 1\na = 2\nab=3\n", "ab").unwrap(), 3);
    assert!(floor("a = 2", "b").unwrap_err().to_string().contains("no floor for b"));
}

#[test]
fn a_difference_names_its_path() {
    let doc = |n: i32| serde_json::json!({"kind": "A", "metadata": {"name": "x"}, "list": [1, n]});
    assert!(same(&[doc(2)], &[doc(2)]).is_ok());
    assert_eq!(same(&[doc(2)], &[doc(3)]).unwrap_err(), "document 0 A//x.list[1]: expected 2, found 3");
    assert_eq!(same(&[], &[doc(3)]).unwrap_err(), "expected 0 documents, found 1: first one more is A//x");
}
