//! Programs that teams write: jq of ignoreDifferences, Lua of health checks, Jsonnet.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use slipway_budget::{Budget, Limits};
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::health::Checks;
use slipway_gitops::normalize::Normalizer;
use slipway_jsonnet::{Files, JsonnetError, STACK, Variables, evaluate};
use slipway_manifest::Object;

use crate::parts::{self, is_part};

/// What programs look at where the input has no object of its own.
const OBJECT: &str = "
apiVersion: example.com/v1
kind: Widget
metadata: {name: web, generation: 3, labels: {app: web, tier: front}}
spec:
  replicas: 2
  template:
    containers:
    - {name: a, image: 'r/a:1', env: [{name: A, value: '1'}, {name: B}]}
    - {name: b, image: 'r/b:2', ports: [80, 443]}
status:
  observedGeneration: 3
  conditions: [{type: Ready, status: 'True', message: all well}, {type: Busy, status: 'False'}]
";

fn subject(text: &str) -> Option<Object> {
    parts::object(if text.trim().is_empty() { OBJECT } else { text })
}

/// An entry of ignoreDifferences with one expression, and with the same text as a pointer: fields and items go, nothing
/// comes or changes.
pub fn jq(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [expression, object] = parts::parts(text);
    let Some(object) = subject(object) else { return };
    for field in ["jqPathExpressions", "jsonPointers"] {
        let entry = json!({"group": "*", "kind": "*", field: [expression]});
        let Ok(normalizer) = Normalizer::new(&[entry], &Overrides::default()) else { continue };
        let mut left = object.clone();
        if normalizer.normalize(&mut left).is_ok() {
            assert!(
                is_part(&left.to_value(), &object.to_value()),
                "{field} {expression}: {} became {}",
                object.to_value(),
                left.to_value()
            );
        }
    }
}

fn clock() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// A health check in `argocd-cm`: it ends, with a health and a message of bounded length.
pub fn lua(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [script, object] = parts::parts(text);
    let Some(object) = subject(object) else { return };
    let group = if object.group().is_empty() { String::new() } else { format!("{}_", object.group()) };
    let key = format!("resource.customizations.health.{group}{}", object.kind());
    let overrides = Overrides::from_config_map(&Map::from_iter([(key, Value::from(script))]));
    let checks = Checks::new(Arc::new(overrides)).with_clock(clock);
    if let Some(status) = checks.of(&object, Timestamp::UNIX_EPOCH) {
        assert!(status.message.chars().count() < 5_000, "{}", status.message.len());
    }
}

struct NoFiles;

impl Files for NoFiles {
    fn import(&self, _: &str, name: &str) -> Result<(String, Vec<u8>), String> {
        Err(format!("{name} is not there"))
    }
}

/// A program: it ends, and its value is a program with that value.
pub fn jsonnet(data: &[u8]) {
    let run = |text: &[u8]| {
        let budget = Budget::new(Limits { steps: 10_000_000, bytes: 64 << 20 });
        let value = || evaluate("main.jsonnet", text, &NoFiles, &Variables::default(), &budget);
        slipway_helm::on_stack(STACK, value).expect("a thread")
    };
    let Ok(value) = run(data) else { return };
    match run(value.to_string().as_bytes()) {
        Ok(again) => assert_eq!(again.to_string(), value.to_string()),
        Err(JsonnetError::Exceeded(_)) => {}
        Err(error) => panic!("{value}: {error}"),
    }
}
