//! Our own cases against what Helm's library said of them (`tests/reference/schema`, recorded with Helm 4.1.4).

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use slipway_gotmpl::Map;

use super::check_one;

fn lines(path: &Path) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn values(case: &Json) -> Map {
    crate::values::from_json(case["values"].as_object().unwrap())
}

#[test]
fn schemas_are_taken_as_helm_takes_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/schema");
    let (cases, expected) = (lines(&folder.join("cases.jsonl")), lines(&folder.join("expected.jsonl")));
    assert_eq!(cases.len(), expected.len());
    let mut wrong = Vec::new();
    for (case, expected) in cases.iter().zip(&expected) {
        let budget = slipway_budget::Budget::default();
        let found = match check_one(case["schema"].as_str().unwrap().as_bytes(), &values(case), &budget).unwrap() {
            Ok(()) => "valid",
            Err(mistakes) if mistakes.iter().any(|one| one.starts_with("values.schema.json: ")) => "refused",
            Err(_) => "invalid",
        };
        if expected["answer"] != found {
            wrong.push(format!("{case}\n  {found}, {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
