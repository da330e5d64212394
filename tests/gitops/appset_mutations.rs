//! Sets that nobody would write: whatever stands in a set, the engine answers, and what it makes are Applications.

use serde_json::{Value, json};

use crate::appset::{applications, given};
use crate::framework::{records, workspace_root};

/// The values of every ninth of our own cases' sets, each replaced by an odd one.
#[test]
fn whatever_stands_in_a_set_is_answered() {
    let cases = records(&workspace_root().join("tests/reference/appset/cases.jsonl")).unwrap().unwrap();
    let odd = [json!(null), json!(-1), json!("{{"), json!("{{ . }}"), json!([{"a": {}}]), json!({"x": "{{x}}"})];
    let (mut answered, mut refused) = (0, 0);
    for (name, case) in cases.iter().step_by(9) {
        let (given, github) = (given(&case["inputs"]).unwrap(), &case["inputs"]["gitHub"]);
        let set = &case["applicationset"];
        let mut places = Vec::new();
        below(&set["spec"], &mut "/spec".to_owned(), &mut places);
        for (index, place) in places.iter().enumerate() {
            let mut changed = set.clone();
            *changed.pointer_mut(place).unwrap() = odd[index % odd.len()].clone();
            match applications(&changed, &given, github) {
                Ok(all) => {
                    assert!(all.iter().all(|one| one["metadata"]["namespace"] == "argocd"), "{name} {place}");
                    answered += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(answered > 500 && refused > 500, "{answered} answered, {refused} refused");
}

fn below(value: &Value, path: &mut String, places: &mut Vec<String>) {
    let length = path.len();
    places.push(path.clone());
    let mut descend = |step: &str, value: &Value| {
        path.push('/');
        path.push_str(&step.replace('~', "~0").replace('/', "~1"));
        below(value, path, places);
        path.truncate(length);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| descend(&index.to_string(), item)),
        Value::Object(entries) => entries.iter().for_each(|(key, item)| descend(key, item)),
        _ => {}
    }
}
