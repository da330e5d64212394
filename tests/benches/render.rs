//! Kustomizations rendered in one process, beside krusty (Kustomize's own library, in one process too) and `kubectl
//! kustomize` processes: each side from files on disk to rendered, ordered YAML. Roots are those of
//! `corpus/kustomize` in the folder that `SLIPWAY_SHARED` names (default `../shared`), or else of
//! `tests/reference/kustomize`.
//!
//! Our side reads the files that a render needs, which an earlier render told. kubectl is `KUBECTL`, or left out.

// A benchmark prints, and may stop by panicking; its numbers are rounded.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use slipway_kustomize::{Options, render};
use slipway_manifest::{Tree, yaml};
use slipway_tests::files;

/// As in the functions and the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().position(|argument| argument == "--ours") {
        Some(at) => ours(Path::new(&arguments[at + 1]), &arguments[at + 2..]),
        None => compare(),
    }
}

/// The folder of trees and the roots in it.
fn roots() -> (PathBuf, Vec<String>) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let shared = workspace.join(env::var("SLIPWAY_SHARED").unwrap_or("../shared".to_owned())).join("corpus/kustomize");
    let folder = if shared.is_dir() { shared } else { workspace.join("tests/reference/kustomize") };
    let cases: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let dirs = cases.as_array().unwrap().iter().filter(|case| case["golden"].is_string());
    let dirs = dirs.map(|case| case["dir"].as_str().unwrap().to_owned()).collect();
    (folder.join("trees").canonicalize().unwrap(), dirs)
}

fn compare() {
    let (trees, roots) = roots();
    let listed = needed(&trees, &roots);
    let list = trees.with_file_name("needed.txt");
    let list =
        env::temp_dir().join(format!("slipway-bench-{}-{}", std::process::id(), list.file_name().unwrap().display()));
    fs::write(&list, listed).unwrap();
    let us = run(Command::new(env::current_exe().unwrap()).arg("--ours").arg(&trees).arg(&list), "");
    fs::remove_file(&list).unwrap();
    report("slipway, in process", &us, None);
    let input = roots.iter().fold(String::new(), |mut text, root| {
        let _ = writeln!(text, "{}", trees.join(root).display());
        text
    });
    match krusty() {
        Some(program) => report("krusty, in process", &run(&mut Command::new(program), &input), Some(&us)),
        None => println!("krusty: go is not there, or could not build it"),
    }
    if let Ok(kubectl) = env::var("KUBECTL") {
        report("kubectl kustomize", &processes(&kubectl, &trees, &roots), Some(&us));
    }
}

/// A line a root: its folder and the files it needs, tabs between.
fn needed(trees: &Path, roots: &[String]) -> String {
    let mut text = String::new();
    for root in roots {
        let repository = root.split('/').next().unwrap();
        let tree = files::tree(trees, repository);
        let files: BTreeSet<String> = render(&tree, root, &Options::default()).unwrap().files;
        let files: Vec<String> = files.into_iter().collect();
        writeln!(text, "{root}\t{}", files.join("\t")).unwrap();
    }
    text
}

/// The child that is measured: reads and renders each root of the list, says how long each took.
fn ours(trees: &Path, arguments: &[String]) {
    let list = fs::read_to_string(&arguments[0]).unwrap();
    let (mut times, mut bytes) = (String::new(), 0);
    for line in list.lines() {
        let mut parts = line.split('\t');
        let root = parts.next().unwrap();
        let start = Instant::now();
        let mut tree = Tree::default();
        for file in parts {
            tree.insert(file, fs::read(trees.join(file)).unwrap()).unwrap();
        }
        let rendered = render(&tree, root, &Options::default()).unwrap();
        let mut text = String::new();
        for object in rendered.objects {
            if !text.is_empty() {
                text.push_str("---\n");
            }
            text.push_str(&yaml::to_string(&object.into_value()));
        }
        let time = start.elapsed();
        // Read after the clock, so that the work is not left out.
        bytes += text.len();
        writeln!(times, "{}", time.as_nanos()).unwrap();
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("{times}peak {}\nbytes {bytes}", peak.split_whitespace().next().unwrap());
}

struct Measured {
    times: Vec<Duration>,
    peak_kib: Option<u64>,
}

impl Measured {
    fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        times[times.len() / 2]
    }

    fn total(&self) -> Duration {
        self.times.iter().sum()
    }
}

/// Runs a program that prints nanoseconds a line and last its peak.
fn run(command: &mut Command, input: &str) -> Measured {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let times = text.lines().filter_map(|line| line.parse().ok()).map(Duration::from_nanos).collect();
    let peak_kib = text.lines().find_map(|line| line.strip_prefix("peak ")?.parse().ok());
    Measured { times, peak_kib }
}

/// The Go program beside us, built into `target/krusty`.
fn krusty() -> Option<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = package.parent()?.join("target/krusty");
    let source = package.join("benches/krusty");
    println!("building krusty (about a minute the first time)");
    let built = Command::new("go")
        .args(["build", "-mod=mod", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source)
        .status()
        .ok()?;
    built.success().then_some(program)
}

fn processes(kubectl: &str, trees: &Path, roots: &[String]) -> Measured {
    // Every tenth root: the processes' start is most of their time.
    let times = roots.iter().step_by(10).map(|root| {
        let start = Instant::now();
        let output = Command::new(kubectl).arg("kustomize").arg(trees.join(root)).output().unwrap();
        assert!(output.status.success(), "{root}");
        start.elapsed()
    });
    Measured { times: times.collect(), peak_kib: None }
}

fn report(name: &str, side: &Measured, us: Option<&Measured>) {
    let peak = side.peak_kib.map_or(String::new(), |kib| format!(", peak {:.1} MiB", kib as f64 / 1024.0));
    println!("{name}: {} roots, median {:.3?}, all {:.3?}{peak}", side.times.len(), side.median(), side.total());
    if let Some(us) = us {
        let ratio = |them: f64, us: f64| them / us;
        let mean = |side: &Measured| side.total().as_secs_f64() / side.times.len() as f64;
        print!(
            "    we are {:.1} times as fast at the median",
            ratio(side.median().as_secs_f64(), us.median().as_secs_f64())
        );
        println!(", {:.1} times over all", ratio(mean(side), mean(us)));
    }
}
