//! What placeholders do with a value before it is put in their place (argoproj-labs/argocd-vault-plugin
//! `pkg/kube/modifiers.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_manifest::yaml;

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

/// What kubectl's JSONPath gives for `template`, of which fields, indices and texts are known:
/// `{.users[0].name}{':'}{.password}`.
fn json_path(template: &str, value: &Value) -> Result<String, String> {
    let parsed: Value;
    let value = match value {
        Value::String(text) => {
            parsed = serde_json::from_str(text).map_err(|_| "the value is no JSON".to_owned())?;
            &parsed
        }
        other => other,
    };
    let (mut made, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        made.push_str(before);
        let (expression, after) = after.split_once('}').ok_or("`jsonPath` has a `{` without its `}`")?;
        let expression = expression.trim();
        let quoted = ['\'', '"'].iter().find_map(|quote| expression.strip_prefix(*quote)?.strip_suffix(*quote));
        match quoted {
            Some(text) => made.push_str(&text.replace("\\n", "\n").replace("\\t", "\t")),
            None => match field(expression, value)? {
                Value::String(text) => made.push_str(text),
                Value::Null => {}
                other => made.push_str(&other.to_string()),
            },
        }
        if made.len() > MAX_BYTES {
            return Err("what `jsonPath` makes is too large".to_owned());
        }
        rest = after;
    }
    Ok(made + rest)
}

fn field<'v>(expression: &str, value: &'v Value) -> Result<&'v Value, String> {
    let unknown = || {
        format!("`jsonPath {{{expression}}}` is not supported: write fields and indices, such as `{{.users[0].name}}`")
    };
    let (mut value, mut rest) = (value, expression.strip_prefix('$').unwrap_or(expression));
    while !rest.is_empty() && rest != "." {
        let key;
        if let Some(after) = rest.strip_prefix('[') {
            let (inner, after) = after.split_once(']').ok_or_else(unknown)?;
            rest = after;
            let quoted = ['\'', '"'].iter().find_map(|quote| inner.strip_prefix(*quote)?.strip_suffix(*quote));
            let Some(quoted) = quoted else {
                let place: usize = inner.parse().map_err(|_| unknown())?;
                value = value.get(place).ok_or_else(|| format!("the value has nothing at `[{place}]`"))?;
                continue;
            };
            key = quoted;
        } else {
            let after = rest.strip_prefix('.').ok_or_else(unknown)?;
            // A dot in a name is written behind a backslash.
            let end = after.char_indices().find(|(at, char)| {
                let is_escaped = after.get(..*at).is_some_and(|before| before.ends_with('\\'));
                *char == '[' || *char == '.' && !is_escaped
            });
            let (name, after) = after.split_at_checked(end.map_or(after.len(), |(at, _)| at)).ok_or_else(unknown)?;
            if name.is_empty() || name.contains(['*', '?', '@']) {
                return Err(unknown());
            }
            rest = after;
            let plain = name.replace("\\.", ".");
            value = value.get(&plain).ok_or_else(|| format!("the value has no field `{plain}`"))?;
            continue;
        }
        value = value.get(key).ok_or_else(|| format!("the value has no field `{key}`"))?;
    }
    Ok(value)
}
