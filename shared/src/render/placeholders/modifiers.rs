//! What placeholders do with a value before it is put in their place (argoproj-labs/argocd-vault-plugin
//! `pkg/kube/modifiers.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_manifest::yaml;

use super::json_path;

/// The widest indentation.
const MAX_INDENT: usize = 100;
/// Bytes of a result: Kubernetes takes no larger Secret.
const MAX_BYTES: usize = 4 << 20;

/// `value` after the modifier `step`. No error quotes the value.
pub(super) fn apply(step: &str, value: Value) -> Result<Value, String> {
    let (name, argument) = step.split_once(char::is_whitespace).unwrap_or((step, ""));
    let argument = argument.trim();
    if !argument.is_empty() && !matches!(name, "jsonPath" | "indent") {
        return Err(format!("the modifier `{name}` takes no argument"));
    }
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        _ => Err(format!("the modifier `{name}` needs a text, and the value is none")),
    };
    match name {
        "base64encode" => text(value).map(|text| STANDARD.encode(text).into()),
        "base64decode" => {
            let plain = STANDARD.decode(text(value)?.trim()).ok().and_then(|plain| String::from_utf8(plain).ok());
            plain.map(Value::String).ok_or_else(|| "the value is no text in base64".to_owned())
        }
        "sha256sum" => text(value).map(|text| hex::encode(Sha256::digest(text)).into()),
        "jsonParse" => serde_json::from_str(&text(value)?).map_err(|_| "the value is no JSON".to_owned()),
        "yamlParse" => yaml::parse(&text(value)?).map_err(|_| "the value is no YAML".to_owned()),
        "jsonPath" => json_path(argument, &value).map(Value::String),
        "indent" => indent(argument, &text(value)?).map(Value::String),
        _ => Err(format!(
            "there is no modifier `{name}`: known are base64encode, base64decode, jsonPath, jsonParse, yamlParse, \
             indent and sha256sum"
        )),
    }
}

/// The lines but the first one behind so many spaces.
fn indent(argument: &str, text: &str) -> Result<String, String> {
    let width: usize = argument.parse().map_err(|_| "`indent` needs a number".to_owned())?;
    let mut lines = text.split('\n').map(str::trim);
    let first = lines.next().unwrap_or_default().to_owned();
    if width > MAX_INDENT || text.len().saturating_mul(width) > MAX_BYTES {
        return Err(format!("an indentation by {width} is too wide"));
    }
    let more = lines.map(|line| if line.is_empty() { String::new() } else { " ".repeat(width) + line });
    Ok([first].into_iter().chain(more).collect::<Vec<_>>().join("\n"))
}

/// What the JSONPath `template` makes of `value`, or of the JSON in it.
fn json_path(template: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => {
            let parsed = serde_json::from_str(text).map_err(|_| "the value is no JSON".to_owned())?;
            json_path::fill(template, &parsed)
        }
        other => json_path::fill(template, other),
    }
}
