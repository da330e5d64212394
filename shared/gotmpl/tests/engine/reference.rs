//! `tests/reference/gotmpl`: cases with the answers of Go's text/template, error texts included.

use std::path::Path;
use std::rc::Rc;

use serde_json::Value as Json;
use slipway_gotmpl::{Budget, FuncMap, IntKind, Limits, List, Map, MissingKey, Numbers, Set, Value};

/// Where the answer differs from Go's on purpose; the reasons are in COMPATIBILITY.md.
const DIFFERENT: &[&str] = &[];

#[test]
fn equals_go() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/gotmpl");
    let (cases, answers) = (lines(&folder.join("cases.jsonl")), lines(&folder.join("expected.jsonl")));
    assert_eq!(cases.len(), answers.len(), "record the answers again");
    assert!(cases.len() > 1_000, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!(case["name"], answer["name"]);
        let expected = answer.get("output").map(|text| text.as_str().unwrap().to_owned());
        let expected = expected.ok_or_else(|| answer["error"].as_str().unwrap().to_owned());
        let found = render(case);
        let name = case["name"].as_str().unwrap();
        if (found == expected) == DIFFERENT.contains(&name) {
            wrong.push(format!("{name} {}\n  expected {expected:?}\n  found    {found:?}", case["template"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn lines(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn render(case: &Json) -> Result<String, String> {
    let missing_key = match case["missingkey"].as_str() {
        Some("zero") => MissingKey::Zero,
        Some("error") => MissingKey::Error,
        _ => MissingKey::Invalid,
    };
    let data =
        if case["ints"] == true { with_ints(&case["data"]) } else { Value::from_json(&case["data"], Numbers::Float) };
    let mut set = Set::new(Rc::new(FuncMap::default()), missing_key);
    set.parse("case", case["template"].as_str().unwrap()).map_err(|error| error.to_string())?;
    let out =
        Rc::new(set).execute("case", data, &Budget::new(slipway_budget::Budget::default(), Limits::default()), &());
    Ok(String::from_utf8_lossy(&out.map_err(|error| error.to_string())?).into_owned())
}

/// As the recorder does: whole numbers as `int`.
fn with_ints(data: &Json) -> Value {
    match data {
        Json::Array(items) => Value::List(items.iter().map(with_ints).collect::<List>()),
        Json::Object(entries) => {
            Value::Map(entries.iter().map(|(key, value)| (key.as_str(), with_ints(value))).collect::<Map>())
        }
        Json::Number(number) if number.is_i64() => Value::Int(IntKind::Int, number.as_i64().unwrap()),
        other => Value::from_json(other, Numbers::Float),
    }
}
