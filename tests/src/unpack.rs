//! What is packed, unpacked: a canary in a gzipped, base64-encoded field is found by no plain search.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::Value;

/// Everything that `value` says: its own text, and below it each of its strings that is packed, as it is unpacked.
///
/// Whoever looks for something in it should make sure first that something is found that must be there.
pub fn unpacked(value: &Value) -> String {
    let mut out = value.to_string();
    collect(value, &mut out);
    out
}

fn collect(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => unpack(text, out),
        Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, out)),
        _ => {}
    }
}

fn unpack(text: &str, out: &mut String) {
    let Ok(bytes) = STANDARD.decode(text) else { return };
    let mut plain = String::new();
    let is_packed = GzDecoder::new(bytes.as_slice()).read_to_string(&mut plain).is_ok();
    let plain = if is_packed { Some(plain) } else { String::from_utf8(bytes).ok() };
    if let Some(plain) = plain {
        out.push('\n');
        out.push_str(&plain);
    }
}
