//! Charts rendered in process, beside Helm's own engine (a Go program, in process too) and `helm template` processes:
//! each side from files on disk to sorted manifests. The renderings are those of `corpus/helm` in the folder that
//! `SLIPWAY_SHARED` names (default `../shared`). Each side takes the median of a few rounds of each rendering; ours
//! on one thread with a deep stack, as the functions run on.
//!
//! `cargo bench -p slipway-tests --bench helm [-- ROUNDS]`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark may stop by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::Value;
use slipway_budget::Budget;
use slipway_helm::{Options, Release, parse_values, render};
use slipway_tests::{files, tools};

/// As in the functions and the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let rounds = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5_usize);
    let shared = tools::workspace().join(env::var("SLIPWAY_SHARED").unwrap_or_else(|_| "../shared".to_owned()));
    let folder = shared.join("corpus/helm");
    let Ok(text) = fs::read(folder.join("cases.json")) else { return println!("no cases in {}", folder.display()) };
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let charts = folder.join("charts").canonicalize().unwrap();
    let repeatable: Vec<bool> = cases.iter().map(|case| case["any"].as_array().is_none_or(Vec::is_empty)).collect();
    // One deep stack for all, as for a render with many charts.
    let all = || cases.iter().map(|case| median(rounds, || ours(&charts, case))).collect();
    let ours: Vec<Duration> = slipway_helm::on_stack(80 << 20, all).unwrap();
    report("slipway", &ours, &repeatable, None);
    match tools::helm_engine() {
        Ok(engine) => {
            let times = tools::capture(
                Command::new(engine).args([&folder.join("cases.json"), &charts]).arg(rounds.to_string()),
            );
            let times: Vec<Duration> =
                times.unwrap().lines().map(|line| Duration::from_nanos(line.parse().unwrap())).collect();
            report("Helm's engine", &times, &repeatable, Some(&ours));
        }
        Err(missing) => println!("Helm's engine: {missing:?}"),
    }
    match tools::helm() {
        Ok(helm) => {
            let times: Vec<Duration> = cases.iter().map(|case| median(1, || process(&helm, &charts, case))).collect();
            report("helm template", &times, &repeatable, Some(&ours));
        }
        Err(missing) => println!("helm template: {missing:?}"),
    }
}

fn median(rounds: usize, work: impl Fn()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

fn ours(charts: &Path, case: &Value) {
    let chart = charts.join(case["chart"].as_str().unwrap());
    let tree = files::tree(&chart, "");
    let budget = Budget::default();
    let values = case["values"]
        .as_str()
        .map(|file| parse_values(&fs::read_to_string(chart.join(file)).unwrap(), &budget).unwrap());
    let options = Options {
        values: values.into_iter().collect(),
        release: Release { name: "rel".to_owned(), namespace: "ns1".to_owned(), ..Release::default() },
        kube_version: Some("1.33.0".to_owned()),
        budget: Some(budget),
        ..Options::default()
    };
    let rendered = render(&tree, "", &options).unwrap_or_else(|error| panic!("{case}: {error}"));
    std::hint::black_box(rendered.manifests.len());
}

fn process(helm: &PathBuf, charts: &Path, case: &Value) {
    let chart = charts.join(case["chart"].as_str().unwrap());
    let mut command = Command::new(helm);
    command.args(["template", "rel"]).arg(&chart).args(["--namespace", "ns1", "--kube-version", "1.33.0"]);
    if let Some(file) = case["values"].as_str() {
        command.arg("-f").arg(chart.join(file));
    }
    tools::capture(&mut command).unwrap();
}

fn report(name: &str, times: &[Duration], repeatable: &[bool], us: Option<&[Duration]>) {
    let middle = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() / 2]
    };
    let sum = |times: &[Duration]| -> Duration {
        times.iter().zip(repeatable).filter(|(_, repeatable)| **repeatable).map(|(time, _)| time).sum()
    };
    let count = repeatable.iter().filter(|repeatable| **repeatable).count();
    println!(
        "{name}: median {:.3?} of {}, sum {:.3?} of the {count} repeatable",
        middle(times),
        times.len(),
        sum(times)
    );
    if let Some(us) = us {
        let ratio = |them: Duration, us: Duration| them.as_secs_f64() / us.as_secs_f64();
        println!(
            "    slipway is {:.1} times as fast at the median, {:.1} times over the sum",
            ratio(middle(times), middle(us)),
            ratio(sum(times), sum(us))
        );
    }
}
