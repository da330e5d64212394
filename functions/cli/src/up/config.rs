//! Reads the parameters out of `samconfig.toml`, as `slipway init` and `sam deploy --guided` write it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// The stack's name, if it has one, and the parameters in `file`. Errors: it is unreadable, or no such file.
pub(super) fn read(file: &Path) -> anyhow::Result<(Option<String>, BTreeMap<String, String>)> {
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    parse(&text).with_context(|| format!("failed to read {}", file.display()))
}

fn parse(text: &str) -> anyhow::Result<(Option<String>, BTreeMap<String, String>)> {
    let config: Value = toml::from_str(text)?;
    let find = |key: &str| config.pointer(&format!("/default/deploy/parameters/{key}"));
    let name = find("stack_name").and_then(Value::as_str).map(str::to_owned);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut parameters = BTreeMap::new();
    match find("parameter_overrides") {
        None => {}
        Some(Value::String(line)) => parameters.extend(pairs(line)?),
        Some(Value::Array(lines)) => {
            for line in lines {
                parameters.extend(pairs(&text(line))?);
            }
        }
        Some(Value::Object(table)) => parameters.extend(table.iter().map(|(key, value)| (key.clone(), text(value)))),
        Some(_) => bail!("parameter_overrides is neither a text, a list nor a table"),
    }
    Ok((name, parameters))
}

/// `Name="value" Other=value`: quotes hold spaces together, a backslash takes the next character as it is.
fn pairs(line: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let (mut word, mut is_quoted, mut is_word) = (String::new(), false, false);
    let mut characters = line.chars();
    loop {
        let next = characters.next();
        match next {
            Some('"') => (is_quoted, is_word) = (!is_quoted, true),
            Some('\\') if is_quoted => word.extend(characters.next()),
            Some(other) if is_quoted || !other.is_whitespace() => {
                word.push(other);
                is_word = true;
            }
            _ => {
                if is_word {
                    let (name, value) = word.split_once('=').with_context(|| format!("`{word}` is not NAME=VALUE"))?;
                    found.insert(name.to_owned(), value.to_owned());
                }
                word.clear();
                is_word = false;
                if next.is_none() {
                    break;
                }
            }
        }
    }
    if is_quoted {
        bail!("parameter_overrides ends within quotes");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_parameters_is_read() {
        let expected = BTreeMap::from([("A", "x y"), ("B", ""), ("C", "\"q\" \\")].map(|(a, b)| (a.into(), b.into())));
        for written in [
            r#"parameter_overrides = "A=\"x y\" B=\"\"  C=\"\\\"q\\\" \\\\\"""#,
            "parameter_overrides = ['A=\"x y\"', 'B=', 'C=\"\\\"q\\\" \\\\\"']",
            "[default.deploy.parameters.parameter_overrides]\nA = 'x y'\nB = ''\nC = '\"q\" \\'",
        ] {
            let text = format!("version = 0.1\n[default.deploy.parameters]\nstack_name = \"s\"\n{written}\n");
            assert_eq!(parse(&text).unwrap(), (Some("s".to_owned()), expected.clone()), "{written}");
        }
        assert_eq!(parse("version = 0.1").unwrap(), (None, BTreeMap::new()));
        for wrong in ["parameter_overrides = 'A=\"x'", "parameter_overrides = 'A'", "parameter_overrides = 1", "x"] {
            assert!(parse(&format!("[default.deploy.parameters]\n{wrong}")).is_err(), "{wrong}");
        }
    }
}
