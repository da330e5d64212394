//! infra/COST.md: its results are those of its own prices and assumptions, and of the template.

use std::collections::BTreeMap;
use std::fs;

use slipway_tests::tools;

/// Hours and minutes of a month.
const HOURS: f64 = 730.0;
const MINUTES: f64 = HOURS * 60.0;

/// The rows of the tables that give a name a number.
fn numbers(text: &str) -> BTreeMap<&str, f64> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once('`').expect("a name in code");
        let number = rest.split('|').nth(1).expect("a second column").trim();
        (name, number.parse().expect("a number"))
    })
    .collect()
}

/// `MemorySize` of a function in GB, and the minutes of its `rate(…)` default.
fn memory(template: &str, function: &str) -> f64 {
    let of =
        template.split(&format!("\n  {function}:\n    Type: AWS::Serverless::Function")).nth(1).expect("a function");
    let size = of.split("MemorySize: ").nth(1).and_then(|rest| rest.lines().next()).expect("its memory");
    size.parse::<f64>().expect("a number") / 1024.0
}

fn every(template: &str, parameter: &str) -> f64 {
    let of = template.split(&format!("\n  {parameter}:\n")).nth(1).expect("a parameter");
    let rate = of.split("Default: rate(").nth(1).and_then(|rest| rest.split(')').next()).expect("a rate");
    let (count, unit) = rate.split_once(' ').expect("count and unit");
    count.parse::<f64>().expect("a number") * if unit.starts_with("hour") { 60.0 } else { 1.0 }
}

/// The metrics of all alarms: those with mathematics have several.
fn alarm_metrics(template: &str) -> f64 {
    let alarms = template.split("Type: AWS::CloudWatch::Alarm").skip(1);
    let counts = alarms.map(|alarm| {
        let own = alarm.split("\n\n").next().unwrap_or_default();
        own.matches("MetricStat:").count().max(1)
    });
    counts.map(|count| f64::from(u32::try_from(count).expect("few"))).sum()
}

#[test]
fn the_results_are_those_of_the_formula() {
    let read = |path: &str| fs::read_to_string(tools::workspace().join(path)).expect("it is there");
    let (text, template) = (read("infra/COST.md"), read("infra/template.yaml"));
    let given = numbers(&text);
    let n = |name: &str| *given.get(name).unwrap_or_else(|| panic!("COST.md has no {name}"));
    let checks = MINUTES / every(&template, "DriftSchedule");
    let looks = MINUTES / every(&template, "CatchUpSchedule");
    let mut rows: Vec<Vec<String>> = vec![Vec::new(); 5];
    for applications in [0.0, 10.0, 100.0, 1000.0] {
        let (deployments, images) = (applications * n("deployments"), applications * n("images"));
        let gb_seconds = memory(&template, "GitHubWebhook") * deployments * n("url_seconds")
            + memory(&template, "SyncWorker") * deployments * n("worker_seconds")
            + memory(&template, "EcrPush")
                * (images * n("image_seconds") + looks * applications * n("catch_up_seconds"))
            + memory(&template, "DriftCheck") * checks * (n("check_seconds") + applications * n("check_seconds_each"));
        let invocations = 2.0 * deployments + images + looks + checks;
        let million = 1e6;
        let parts = [
            gb_seconds * n("gb_second") + invocations / million * n("lambda_request"),
            (n("polls") * MINUTES + 3.0 * deployments) / million * n("fifo_request")
                + (n("polls") * MINUTES + 3.0 * images) / million * n("queue_request"),
            (looks + checks) / million * n("schedule")
                + n("secrets") * n("secret")
                + 2.0 * invocations / 1e4 * n("secret_read")
                + invocations * n("log_kilobytes") / million * n("log_gb"),
            alarm_metrics(&template) * n("alarm_metric"),
        ];
        let all: f64 = parts.iter().sum();
        for (row, part) in rows.iter_mut().zip(parts.into_iter().chain([all])) {
            row.push(format!("{part:.2}"));
        }
    }
    let names = ["Lambda", "queues", "schedules, secrets, logs", "alarms", "**all**"];
    let lines: Vec<String> =
        names.iter().zip(rows).map(|(name, row)| format!("| {name} | {} |", row.join(" | "))).collect();
    let table = lines.join(
        "
",
    );
    assert!(text.contains(&table), "COST.md has to say:\n{table}");
    let nat = format!("add one for {:.2} (", n("nat_hour") * HOURS);
    assert!(text.contains(&nat), "COST.md has to say: {nat}");
}
