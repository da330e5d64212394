//! `slipway render` of one kustomization in a repository of 100,000 files and a gigabyte, beside `kubectl kustomize`:
//! both as processes, over 60 roots of `corpus/kustomize` in the folder that `SLIPWAY_SHARED` names.
//!
//! `cargo bench --workspace --profile dev --bench folder` builds the command line as it is shipped. Needs GNU `time`,
//! which tells the memory of a process.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a program that prints a table"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use slipway_tests::{release_command, skip, tools};

const ROOTS: usize = 60;
const FOLDERS: usize = 1_000;
const FILES: usize = 100;
/// Of each file that no render reads.
const BYTES: usize = 10_000;
/// The best of so many runs of each side, which take turns.
const RUNS: usize = 3;

fn main() {
    let Some(kubectl) = skip::or_skip("the comparison", tools::kubectl()) else { return };
    let trees = tools::workspace().join("../shared/corpus/kustomize/trees");
    let Ok(cases) = fs::read(trees.with_file_name("cases.json")) else {
        return println!("{} is not there", trees.display());
    };
    let slipway = release_command();
    let cases: serde_json::Value = serde_json::from_slice(&cases).unwrap();
    let roots: Vec<&str> = cases
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|case| case["golden"].is_string().then(|| case["dir"].as_str()).flatten())
        .collect();
    let roots: Vec<&str> = roots.iter().copied().step_by(roots.len().div_ceil(ROOTS)).collect();
    let repository = tempfile::tempdir().unwrap();
    fill(repository.path(), &trees, &roots);
    let mut ours = Side::default();
    let mut theirs = Side::default();
    for root in &roots {
        let folder = repository.path().join(root);
        let mut best = [(Duration::MAX, u64::MAX); 2];
        for _ in 0..RUNS {
            let mut us = Command::new(&slipway);
            us.arg("render").arg(&folder);
            let mut them = Command::new(&kubectl);
            them.arg("kustomize").arg(&folder);
            for (best, command) in best.iter_mut().zip([us, them]) {
                let spent = measured(&command);
                *best = (best.0.min(spent.0), best.1.min(spent.1));
            }
        }
        ours.0.push(best[0]);
        theirs.0.push(best[1]);
    }
    println!(
        "\n{} roots in {} files\n\n| | median | all | median of the peaks |\n|---|---|---|---|",
        roots.len(),
        FOLDERS * FILES
    );
    for (name, side) in [("slipway render", &ours), ("kubectl kustomize", &theirs)] {
        println!("| {name} | {:.1} ms | {:.2} s | {:.1} MB |", side.median() * 1e3, side.total(), side.peak() / 1e3);
    }
    println!(
        "| share | {:.2} | {:.2} | {:.2} |",
        ours.median() / theirs.median(),
        ours.total() / theirs.total(),
        ours.peak() / theirs.peak()
    );
}

/// Wall time and peak in kB of each root.
#[derive(Default)]
struct Side(Vec<(Duration, u64)>);

impl Side {
    fn total(&self) -> f64 {
        self.0.iter().map(|(time, _)| time.as_secs_f64()).sum()
    }

    fn median(&self) -> f64 {
        let mut times: Vec<Duration> = self.0.iter().map(|(time, _)| *time).collect();
        times.sort();
        times[times.len() / 2].as_secs_f64()
    }

    fn peak(&self) -> f64 {
        let mut peaks: Vec<u64> = self.0.iter().map(|(_, peak)| *peak).collect();
        peaks.sort_unstable();
        peaks[peaks.len() / 2] as f64
    }
}

/// The wall time of a run that succeeds, and its peak in kB.
fn measured(command: &Command) -> (Duration, u64) {
    let mut timed = Command::new("time");
    timed.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args());
    let start = Instant::now();
    let output = timed.output().unwrap();
    let spent = start.elapsed();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}");
    (spent, errors.lines().last().unwrap().parse().unwrap())
}

/// A git repository with the trees of the roots, and much that they don't read.
fn fill(repository: &Path, trees: &Path, roots: &[&str]) {
    fs::create_dir(repository.join(".git")).unwrap();
    for name in roots.iter().map(|root| root.split('/').next().unwrap()) {
        let to = repository.join(name);
        if !to.exists() {
            copy(&trees.join(name), &to);
        }
    }
    let text = "a: b\n".repeat(BYTES / 5);
    for folder in 0..FOLDERS {
        let folder: PathBuf = repository.join(format!("unread/{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..FILES {
            fs::write(folder.join(format!("{file}.yaml")), &text).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, place) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &place);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), place).unwrap();
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}
