//! Where the cases lie, how a suite is judged and how its failures are written down.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use slipway_manifest::Tree;

/// What came of one suite.
pub(crate) struct Outcome {
    /// Name, as in `tests/conformance.toml`.
    pub suite: String,
    /// Cases run.
    pub total: usize,
    /// Cases that failed.
    pub failures: Vec<Failure>,
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
        let mut outcome = Self { suite: suite.to_owned(), total: 0, failures: Vec::new() };
        for (name, input) in cases {
            outcome.total += 1;
            if let Err(diff) = case(&input) {
                outcome.failures.push(Failure { name, diff });
            }
        }
        outcome
    }
}

/// Runs a suite in the folder of shared cases and compares it with its floor. The suite gives `None` where its cases are not there.
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
    conclude(&root, name, &outcome);
}

/// Runs a suite over `tests/reference`, which is always there.
pub(crate) fn judge_reference(name: &str, run: impl FnOnce(&Path) -> Result<Outcome>) {
    let root = workspace_root();
    let outcome = run(&root.join("tests/reference")).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    conclude(&root, name, &outcome);
}

fn conclude(root: &Path, name: &str, outcome: &Outcome) {
    let passed = outcome.total - outcome.failures.len();
    say(&format!("conformance {} {passed}/{}", outcome.suite, outcome.total));
    let report = root.join("target/conformance").join(format!("{}.txt", outcome.suite));
    write_failures(&report, &outcome.failures).unwrap();
    assert_ne!(outcome.total, 0, "{name} has no case");
    if env::var("SLIPWAY_CONFORMANCE").is_ok_and(|mode| mode == "report") {
        return;
    }
    let floor = floor(&fs::read_to_string(root.join("tests/conformance.toml")).unwrap(), &outcome.suite).unwrap();
    assert!(passed >= floor, "{name}: {passed} pass, below the floor of {floor}; see {}", report.display());
}

/// A line that is seen also when the test passes.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The root of the workspace: cargo runs tests in the package's folder.
pub(crate) fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_path_buf()
}

fn shared_folder(root: &Path, named: Option<&str>) -> Result<Option<PathBuf>> {
    let folder = root.join(named.unwrap_or("../shared"));
    if folder.join("corpus").is_dir() || folder.join("vectors").is_dir() {
        return Ok(Some(folder));
    }
    if named.is_some() {
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
