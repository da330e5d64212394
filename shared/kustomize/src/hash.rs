//! The hash that a generated ConfigMap's or Secret's name ends with (kustomize `api/hasher`).

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::node::{Node, Scalar};
use crate::resource::Resource;

/// The ten characters for `resource` as it is now.
pub(crate) fn suffix(resource: &Resource) -> Result<String, Error> {
    let mut text = String::new();
    match resource.kind() {
        "ConfigMap" => {
            text.push('{');
            if let Some(binary) = resource.node.get("binaryData").filter(|node| node.as_map().is_some()) {
                text.push_str("\"binaryData\":");
                value(&mut text, Some(binary))?;
                text.push(',');
            }
            text.push_str("\"data\":");
            value(&mut text, resource.node.get("data"))?;
        }
        "Secret" => {
            text.push_str("{\"data\":");
            value(&mut text, resource.node.get("data"))?;
        }
        other => return Err(Error::refused(format!("no name suffix hash is known for a {other}"))),
    }
    write_string(&mut text, ",\"kind\":", resource.kind());
    // Kustomize looks the name up by a path that nothing has, so it is always empty.
    text.push_str(",\"name\":\"\"");
    if resource.kind() == "Secret" {
        if let Some(strings) = resource.node.get("stringData").filter(|node| node.as_map().is_some()) {
            text.push_str(",\"stringData\":");
            value(&mut text, Some(strings))?;
        }
        write_string(&mut text, ",\"type\":", resource.node.get("type").map(Node::as_text).unwrap_or_default());
    }
    text.push('}');
    Ok(encode(&hex::encode(Sha256::digest(text.as_bytes()))))
}

/// Letters and digits that make no words.
fn encode(hex: &str) -> String {
    hex.chars()
        .take(10)
        .map(|c| match c {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            other => other,
        })
        .collect()
}

fn value(text: &mut String, node: Option<&Node>) -> Result<(), Error> {
    match node {
        None => text.push_str("\"\""),
        Some(Node::Scalar(Scalar { text: scalar, .. })) => write_string(text, "", scalar),
        Some(node) => json(text, &node.to_value().map_err(Error::Refused)?),
    }
    Ok(())
}

/// JSON as Go writes it: keys sorted, `<`, `>` and `&` escaped.
fn json(text: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for (i, key) in keys.into_iter().enumerate() {
                write_string(text, if i == 0 { "{" } else { "," }, key);
                text.push(':');
                if let Some(value) = map.get(key) {
                    json(text, value);
                }
            }
            text.push_str(if map.is_empty() { "{}" } else { "}" });
        }
        Value::Array(list) => {
            text.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                json(text, item);
            }
            text.push(']');
        }
        Value::String(string) => write_string(text, "", string),
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

fn write_string(text: &mut String, before: &str, string: &str) {
    text.push_str(before);
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c if u32::from(c) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}
