//! Reading and writing against what sigs.k8s.io/yaml itself answered (`testdata/`, recorded by `testdata/record.sh`).

use serde_json::Value;

use super::*;

/// Texts on which we knowingly differ from go-yaml, by why.
const DIFFERENT: [(&str, &[&str]); 0] = [];

fn records(name: &str) -> Vec<Value> {
    let path = format!("{}/testdata/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn reads_what_go_reads() {
    let records = records("read");
    assert!(records.len() > 450, "{}", records.len());
    let mut wrong = Vec::new();
    for record in &records {
        let text = record["yaml"].as_str().unwrap();
        if DIFFERENT.iter().any(|(_, texts)| texts.contains(&text)) {
            continue;
        }
        let ours = parse_with(text, Options::lenient());
        let want: Option<Value> = record["json"].as_str().map(|json| serde_json::from_str(json).unwrap());
        match (&ours, &want) {
            (Ok(ours), Some(want)) if ours == want => {}
            (Err(_), None) => {}
            _ => wrong.push(format!("{text:?}\n    ours {ours:?}\n    go   {}{}", record["json"], record["error"])),
        }
    }
    assert!(wrong.len() <= 26, "{} of {}:\n{}", wrong.len(), records.len(), wrong.join("\n"));
}

#[test]
fn writes_what_go_writes() {
    let records = records("write");
    assert!(records.len() > 250, "{}", records.len());
    let mut wrong = Vec::new();
    for record in &records {
        let value: Value = serde_json::from_str(record["json"].as_str().unwrap()).unwrap();
        let (ours, want) = (to_string_go(&value), record["yaml"].as_str().unwrap());
        if ours != want {
            wrong.push(format!("{value}\n    ours {ours:?}\n    go   {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), records.len(), wrong.join("\n"));
}

#[test]
fn what_is_written_is_read_back() {
    let records = records("write");
    for record in &records {
        let value: Value = serde_json::from_str(record["json"].as_str().unwrap()).unwrap();
        let texts = [to_string(&value), to_string_go(&value)];
        // A merge key that go-yaml does not quote can't be read back, nor can Unicode's own line breaks.
        for text in texts.iter().filter(|text| !text.contains("<<:") && !text.contains('\u{2028}')) {
            let back = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(to_string_go(&back), to_string_go(&value), "{text}");
        }
    }
}
