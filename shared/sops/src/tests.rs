//! What the real SOPS encrypted (`tests/reference/sops`), against what it says of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use slipway_budget::Budget;
use slipway_manifest::yaml;

use crate::age::Identities;
use crate::{EncryptedFile, MasterKey, SopsError};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/sops")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// The plaintext and the values, by the first identity that opens the file.
fn decrypt(path: &str, content: &[u8], keys: &str) -> Result<(Vec<u8>, Vec<String>), SopsError> {
    let budget = Budget::default();
    let identities = Identities::parse(&keys.into()).unwrap();
    let file = EncryptedFile::parse(path, content, &budget)?.expect("it is encrypted");
    let wrapped = file.keys()?.into_iter().filter_map(|key| match key {
        MasterKey::Age { wrapped, .. } => Some(wrapped),
        _ => None,
    });
    let key = wrapped.map(|wrapped| identities.unwrap(&wrapped)).find_map(Result::transpose);
    let key = key.ok_or(SopsError::Metadata("encrypted for others".to_owned()))??;
    file.decrypt(&key, &budget).map(|plain| (plain.content, plain.values))
}

/// What a file says, whatever its layout.
fn meaning(path: &str, content: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(content).into_owned();
    match path.rsplit('.').next() {
        Some("yaml") => yaml::parse_all(&text).unwrap(),
        Some("json") => vec![serde_json::from_str(&text).unwrap()],
        Some("env") => vec![text.lines().filter(|line| !line.starts_with('#')).collect()],
        _ => vec![content.to_vec().into()],
    }
}

#[test]
fn files_that_sops_encrypted_are_decrypted_as_by_sops() {
    let keys = read("keys.txt");
    let answers: BTreeMap<String, Value> = read("expected.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|answer| (answer["name"].as_str().unwrap().to_owned(), answer))
        .collect();
    let (mut equal, mut refused) = (0, 0);
    for (name, answer) in &answers {
        let content = fs::read(folder().join("cases").join(name)).unwrap();
        let ours = decrypt(name, &content, &keys);
        match answer.get("plain") {
            // Which SOPS reads.
            Some(_) if name == "app.ini" => assert!(matches!(ours, Err(SopsError::NotSupported(..)))),
            Some(plain) => {
                let theirs = STANDARD.decode(plain.as_str().unwrap()).unwrap();
                let (ours, _) = ours.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(meaning(name, &ours), meaning(name, &theirs), "{name}");
                equal += 1;
            }
            None => {
                ours.map(|_| ()).expect_err(name);
                refused += 1;
            }
        }
    }
    assert_eq!((equal, refused), (18, 7));
}
