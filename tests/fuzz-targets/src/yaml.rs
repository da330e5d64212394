//! YAML: read, written, and edited in place.

use serde_json::Value;
use slipway_budget::Budget;
use slipway_manifest::edit::{self, Image};
use slipway_manifest::yaml::{self, Options};

use crate::parts::{self, is_same};

type Print = fn(&Value) -> String;

/// Any bytes by either rules; what was read is the same when it is written and read again.
pub fn yaml(data: &[u8]) {
    let Ok(text) = yaml::decode(data) else { return };
    let mut documents = Vec::new();
    for options in [Options::default(), Options::lenient()] {
        documents.extend(yaml::parse_with(&text, options, &Budget::default()));
        documents.extend(yaml::parse_manifests(&text, options, &Budget::default()).unwrap_or_default());
    }
    documents.extend(yaml::parse_all(&text).unwrap_or_default());
    documents.dedup();
    for document in &documents {
        for (print, is_of_go) in
            [(yaml::to_string as Print, false), (yaml::to_string_go, true), (yaml::to_string_pretty, true)]
        {
            let printed = print(document);
            // Go's own printer gets these wrong, whose bytes we copy.
            if is_of_go && (printed.contains(['\u{85}', '\u{2028}', '\u{2029}']) || printed.contains("<<")) {
                continue;
            }
            let again = yaml::parse(&printed);
            assert!(
                again.as_ref().is_ok_and(|again| is_same(again, document)),
                "{document}\nis written as\n{printed}\nand read as {again:?}"
            );
        }
    }
}

const TAG: &str = "fuzzed-tag";

/// A kustomization behind the name of an image. Nothing but `images` changes, what stands around the tag stays byte
/// for byte, and the same edit again changes nothing.
pub fn set_image(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [name, text] = parts::lines(text);
    let image = Image { name: name.to_owned(), new_tag: Some(TAG.to_owned()), ..Image::default() };
    let Ok(Some(edited)) = edit::set_image(text, &image) else { return };
    assert_eq!(edit::set_image(&edited, &image), Ok(None), "the edit is done:\n{edited}");
    assert_eq!(text.ends_with('\n'), edited.ends_with('\n'), "{edited}");

    let read = |text: &str| yaml::parse(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    let (before, after) = (read(text), read(&edited));
    let rest = |value: &Value| {
        let mut fields = value.as_object().cloned().unwrap_or_default();
        fields.shift_remove("images");
        fields
    };
    assert_eq!(rest(&before), rest(&after), "{edited}");
    let list = |value: &Value| value.get("images").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_other = |entry: &&Value| entry.get("name").and_then(Value::as_str) != Some(name);
    let (before, after) = (list(&before), list(&after));
    assert!(before.iter().filter(is_other).eq(after.iter().filter(is_other)), "{edited}");

    // Where the tag alone changes and is written once, as it is, nothing else may.
    let entry = before.iter().find(|entry| !is_other(entry)).and_then(Value::as_object);
    let Some(tag) = entry.and_then(|entry| entry.get("newTag")).and_then(Value::as_str) else { return };
    // A block becomes a plain scalar; of a value with an alias there are several.
    let is_simple = !text.contains(['&', '*', '>', '|']);
    let is_plain = tag.len() > 3 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_alone = entry.is_some_and(|entry| !entry.contains_key("newName") && !entry.contains_key("digest"));
    if is_plain && is_alone && is_simple && text.matches(tag).count() == 1 {
        assert_eq!(edited, text.replacen(tag, TAG, 1));
    }
}
