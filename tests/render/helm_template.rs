//! The binary beside the real one, on real charts: the same manifests, from the same templates, in the same order.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use slipway_budget::Budget;
use slipway_manifest::yaml;
use slipway_tests::{skip, tools};

/// Every so-manieth rendering of the corpus; the suite `helm-corpus` has them all.
const STEP: usize = 6;

#[test]
fn charts_print_what_helm_template_prints() {
    let Some(helm) = skip::or_skip("helm template", tools::helm()) else { return };
    let shared = tools::workspace().join(std::env::var("SLIPWAY_SHARED").unwrap_or_else(|_| "../shared".to_owned()));
    let folder = shared.join("corpus/helm");
    let Ok(cases) = std::fs::read(folder.join("cases.json")) else {
        return println!("skipped: no charts in {}", folder.display());
    };
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    let text = |case: &Value, key: &str| case.get(key).and_then(Value::as_str).map(str::to_owned);
    let repeatable =
        cases.iter().filter(|case| case["golden"].is_string() && case["any"].as_array().is_none_or(Vec::is_empty));
    let mut compared = 0;
    for case in repeatable.step_by(STEP) {
        let chart = folder.join("charts").join(text(case, "chart").unwrap());
        let values = text(case, "values").map(|file| chart.join(file));
        let flags = |command: &mut Command| {
            command.args(["--namespace", "ns1", "--include-crds", "--kube-version", "1.33.0"]);
            command.args(values.iter().flat_map(|file| [Path::new("-f"), file.as_path()]));
            tools::capture(command).unwrap()
        };
        let theirs = flags(Command::new(&helm).args(["template", "rel"]).arg(&chart));
        let ours = flags(super::slipway(&chart, &[".", "--root", ".", "--name", "rel"]).current_dir(&chart));
        let name = chart.display();
        assert_eq!(sources(&ours), sources(&theirs), "{name}: templates and their order");
        assert!(documents(&ours) == documents(&theirs), "{name}: manifests differ");
        compared += 1;
    }
    assert!(compared >= 15, "only {compared} renderings");
}

fn sources(text: &str) -> Vec<&str> {
    let pairs = text.lines().zip(text.lines().skip(1)).filter(|(before, _)| *before == "---");
    pairs.filter_map(|(_, line)| line.strip_prefix("# Source: ")).collect()
}

fn documents(text: &str) -> Vec<Value> {
    yaml::parse_manifests(text, yaml::Options::lenient(), &Budget::default()).unwrap()
}
