//! A flood at the URL of requests that nobody signed: each is refused, and nothing behind the URL hears of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway::deploy::WebhookHandler;

use crate::world::{Flow, soon};

/// Requests a second.
const RATE: usize = 2_000;
/// Ticks a second: so many requests come at once as fall between two.
const TICKS: u64 = 100;

/// Sends `url` one of `requests` after the other, [`RATE`] a second; gives how many it answered, and how many of them
/// with a refusal.
async fn send(url: &WebhookHandler, seconds: u64, requests: &[Value]) -> (usize, usize) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(TICKS).unwrap());
    let mut requests = requests.iter().cycle();
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..seconds * TICKS {
        ticks.tick().await;
        for request in requests.by_ref().take(RATE / usize::try_from(TICKS).unwrap()) {
            let answer = url.handle(request.clone(), soon(), "flood").await.unwrap();
            answered += 1;
            refused += usize::from((400..500).contains(&answer["statusCode"].as_u64().unwrap()));
        }
    }
    (answered, refused)
}

/// The half that answers the URL gets a flood of `seconds`; then the genuine push, which is deployed as always.
async fn flood(seconds: u64) {
    let mut flow = Flow::start().await;
    let others =
        ["SLIPWAY_ROOT", "SLIPWAY_GITHUB_SECRET", "SLIPWAY_STATE_SECRET", "SLIPWAY_CLUSTER", "SLIPWAY_KUBECONFIG"];
    let url = flow.another_with(&others.map(|name| (name, ""))).await;
    let genuine = flow.next_webhook().unwrap();
    let with = |pointer: &str, value: Value| {
        let mut request = genuine.clone();
        *request.pointer_mut(pointer).unwrap() = value;
        request
    };
    let signature = "/headers/x-hub-signature-256";
    let unsigned = [
        with("/headers", json!({"x-github-event": "push"})),
        with(signature, json!("sha1=00")),
        with(signature, json!("x".repeat(8_000))),
        with("/requestContext/http/method", json!("GET")),
        json!({"body": "x".repeat(8_000)}),
    ];
    let heard = |flow: &Flow| {
        let sandbox = &flow.sandbox;
        (sandbox.aws.exchanges().len(), sandbox.aws.waiting(), sandbox.forge.statuses(sandbox.head().unwrap().unwrap()))
    };
    let before = heard(&flow);
    let all = usize::try_from(seconds).unwrap() * RATE;
    assert_eq!(send(&url, seconds, &unsigned).await, (all, all));
    assert_eq!(heard(&flow), before, "no look-up, no message");

    // A signature that might be one has to be compared: with a secret that is looked up a few times in all.
    let forged = [with(signature, json!(format!("sha256={}", "0".repeat(64))))];
    let start = Instant::now();
    assert_eq!(send(&url, seconds, &forged).await, (all, all));
    let (exchanges, waiting, statuses) = heard(&flow);
    // The secret and the one before it, every ten seconds.
    let (looks, most) = (exchanges - before.0, 3 + 2 * (start.elapsed().as_secs() / 10));
    assert!(looks as u64 <= most, "{looks} look-ups, more than {most}");
    assert_eq!((waiting, statuses), (before.1, before.2), "no message");

    assert_eq!(url.handle(genuine, soon(), "genuine").await.unwrap()["statusCode"], 202);
    flow.settle().await;
    assert_eq!(flow.deployment()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_flood_of_unsigned_requests_reaches_nothing() {
    Box::pin(flood(1)).await;
}

/// Processor time of this process in seconds, and the most memory that it has held, in bytes.
fn usage() -> (f64, u64) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let stat = read("stat");
    // Behind the name in brackets: user and system time are the 12th and 13th, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u32 = fields[11..13].iter().map(|field| field.parse::<u32>().unwrap()).sum();
    let status = read("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (f64::from(ticks) / 100.0, peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024)
}

/// By itself, as what it prints is that of the whole process:
/// `cargo test --release -p slipway-tests --test flow a_minute_of -- --ignored --nocapture`
#[tokio::test]
#[ignore = "takes two minutes"]
async fn a_minute_of_it_takes_bounded_time_and_memory() {
    Box::pin(flood(1)).await;
    let (time, memory) = usage();
    Box::pin(flood(60)).await;
    let (time, memory) = (usage().0 - time, usage().1 - memory);
    let requests = 2 * 60 * RATE;
    println!("{requests} requests: {time:.1} s of processor time, {} MB more at the most", memory >> 20);
    assert!(memory < 64 << 20, "{memory} bytes more");
}
