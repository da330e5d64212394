//! What `.github/SECURITY.md` promises: the tests that it names are there, and what is so by design is so in the
//! sources.

use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_table_names_is_there() {
    let table = fs::read_to_string(top().join(".github/SECURITY.md")).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|cells| cells.len() == 7 && cells[1].parse::<u8>().is_ok())
        .collect();
    assert_eq!(rows.len(), 38, "the rows of the table");
    let mut wrong = Vec::new();
    for row in &rows {
        let (number, mut files) = (row[1], 0);
        let mut source = String::new();
        for name in quoted(row[4]) {
            if name.contains('/') {
                files += 1;
                source = fs::read_to_string(top().join(name)).unwrap_or_default();
                if source.is_empty() && !top().join(name).is_dir() {
                    wrong.push(format!("{number}: there is no {name}"));
                }
            } else if !source.contains(&format!("fn {name}(")) {
                wrong.push(format!("{number}: {name} is not in the file before it"));
            }
        }
        if files == 0 {
            wrong.push(format!("{number}: no test"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Attacks 7, 9 and 11: no process is started and no file is written, by any function or renderer.
#[test]
fn the_sources_start_no_process_and_write_no_file() {
    /// The crates that are not in a function: what tests and `slipway demo` run in, and the command line.
    const OTHERS: [&str; 2] = ["shared/sandbox", "functions/cli"];
    const WORDS: [&str; 9] = [
        "process::Command",
        "Command::new",
        "fs::write",
        "File::create",
        "create_dir",
        "OpenOptions",
        "tempfile",
        "libc::exec",
        "libloading",
    ];
    let mut folders = vec![top().join("shared"), top().join("functions"), top().join("events")];
    let (mut read, mut found) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "tests") && !OTHERS.contains(&shown.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|end| end == "rs") && !shown.ends_with("tests.rs") {
                read += 1;
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                found.extend(WORDS.iter().filter(|word| code.contains(*word)).map(|word| format!("{shown}: {word}")));
            }
        }
    }
    assert!(read > 200, "{read}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}
