//! Reference charts: good ones against what real Helm printed, `err_*` ones against our own messages.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slipway_budget::Budget;
use slipway_helm::{Options, Release, Set, SetKind, parse_values, render};
use slipway_manifest::{Tree, yaml};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/helm")
}

fn load(folder: &Path) -> Tree {
    let mut tree = Tree::default();
    let mut left = vec![folder.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                tree.insert(path.strip_prefix(folder).unwrap().to_str().unwrap(), fs::read(&path).unwrap()).unwrap();
            }
        }
    }
    tree
}

fn options(chart: &Path) -> Options {
    let values = chart.join("case-values.yaml");
    let sets = fs::read_to_string(chart.join("case-set.txt")).unwrap_or_default();
    Options {
        values: fs::read_to_string(values)
            .ok()
            .map(|text| parse_values(&text, &Budget::default()).unwrap())
            .into_iter()
            .collect(),
        sets: sets.lines().map(|line| Set::new(SetKind::Typed, line)).collect(),
        release: Release { name: "rel".to_owned(), namespace: "shop".to_owned(), ..Release::default() },
        kube_version: Some("1.33.0".to_owned()),
        include_crds: true,
        ..Options::default()
    }
}

#[test]
fn charts_render_as_helm_renders_them_and_errors_read_as_recorded() {
    let (mut good, mut bad) = (0, 0);
    let mut names: Vec<_> = fs::read_dir(folder().join("charts")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for chart in names {
        let name = chart.file_name().unwrap().to_str().unwrap().to_owned();
        let found = render(&load(&chart), "", &options(&chart));
        if name.starts_with("err_") {
            let error = found.expect_err(&name);
            let mut text = format!("{error:#}\n");
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                writeln!(text, "  caused by: {next}").unwrap();
                cause = next.source();
            }
            snapshot(&folder().join(format!("errors/{name}.txt")), &text);
            bad += 1;
            continue;
        }
        let golden = fs::read_to_string(folder().join(format!("golden/{name}.yaml"))).unwrap();
        let expected = yaml::parse_manifests(&golden, yaml::Options::lenient(), &Budget::default()).unwrap();
        let found: Vec<Value> =
            found.unwrap_or_else(|e| panic!("{name}: {e:#}")).manifests.into_iter().map(|m| m.value).collect();
        assert_eq!(found, expected, "{name}");
        good += 1;
    }
    assert!(good >= 3 && bad >= 8, "{good} good, {bad} bad");
}

/// Compares with the recorded text; `SLIPWAY_RECORD=1` writes it.
fn snapshot(path: &Path, text: &str) {
    if std::env::var_os("SLIPWAY_RECORD").is_some() {
        fs::write(path, text).unwrap();
    }
    let recorded = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, recorded, "{}; look, then run with SLIPWAY_RECORD=1", path.display());
}
