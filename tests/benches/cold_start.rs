//! How long a function takes from nothing to its first answer, beside the start of `kubectl`.
//!
//! `cargo bench -p slipway-tests --profile dev --bench cold_start` builds the functions as they are deployed and
//! prints the README's table. Each run starts the emulator anew; the clock runs from the first event, upon which the
//! emulator starts the function, to the answer: start of the process, settings, clients, runtime, one event that asks
//! for nothing.

#![allow(clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a program that prints a table")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use slipway_tests::{Function, skip, tools};

const RUNS: usize = 20;

/// Each function with an event that it answers without asking anyone.
const FUNCTIONS: [(&str, &str); 3] = [
    ("ecr-push", "ecr-push/deleted"),
    ("github-webhook", "github-webhook/no-signature"),
    ("drift-check", "drift-check/not-a-schedule"),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let Some(kubectl) = skip::or_skip("the comparison", tools::kubectl()) else { return };
    let folder = slipway_tests::release_binaries();
    let mut times = vec![Vec::new(); FUNCTIONS.len() + 1];
    // Alternating, so that whatever else the machine does hits all alike.
    for _ in 0..RUNS {
        for (row, (name, event)) in FUNCTIONS.iter().enumerate() {
            let Some(time) = first_answer(&folder.join(name), event).await else { return };
            times[row].push(time);
        }
        let start = Instant::now();
        tools::run(Command::new(&kubectl).args(["version", "--client"])).expect("kubectl starts");
        times[FUNCTIONS.len()].push(start.elapsed());
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    let of = medians[FUNCTIONS.len()].as_secs_f64();
    println!("| | first answer, median of {RUNS} | of kubectl's | binary |\n|---|---|---|---|");
    for ((name, _), median) in FUNCTIONS.iter().zip(&medians) {
        let size = fs::metadata(folder.join(name)).expect("it was built").len();
        let (time, share) = (median.as_secs_f64(), 100.0 * median.as_secs_f64() / of);
        println!(
            "| `{name}` | {:.1} ms | {share:.0} % | {}.{} MB |",
            time * 1e3,
            size / 1_000_000,
            size / 100_000 % 10
        );
    }
    println!("| `kubectl version --client` | {:.1} ms | 100 % | |", of * 1e3);
}

async fn first_answer(binary: &Path, event: &str) -> Option<Duration> {
    let secrets =
        ["GITHUB", "WEBHOOK", "STATE"].map(|secret| (format!("SLIPWAY_{secret}_SECRET"), "unused".to_owned()));
    let others = [
        ("SLIPWAY_ROOT", "https://github.com/acme/gitops//apps?ref=main"),
        ("SLIPWAY_QUEUE_URL", "http://127.0.0.1:9/queue.fifo"),
        ("SLIPWAY_CLUSTER", "prod"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "unused"),
    ];
    let others = others.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let environment: Vec<_> = secrets.into_iter().chain(others).collect();
    let event = fs::read(tools::workspace().join("events").join(format!("{event}.json"))).expect("the case is there");
    let event: Value = serde_json::from_slice(&event).expect("JSON");
    let function = Function::start(binary, &environment).await?;
    let start = Instant::now();
    let answer = function.invoke(&event).await;
    let time = start.elapsed();
    assert!(answer.get("errorType").is_none(), "{}: {answer}\n{}", binary.display(), function.log());
    Some(time)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
