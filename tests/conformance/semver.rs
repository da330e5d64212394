//! Masterminds/semver's own tests and more (`vectors/README.template.md`).

use std::cmp::Ordering;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use slipway_gocompat::semver::{Constraint, Version};

pub(crate) fn check(case: &Value) -> Result<()> {
    let found = answer(case);
    // The words of an error are a hint.
    if case.get("message").is_some() {
        ensure!(found.is_string(), "found {found}, expected an error");
        return Ok(());
    }
    let wanted = ["match", "valid", "parsed", "result", "sorted"]
        .into_iter()
        .find_map(|key| case.get(key))
        .cloned()
        .unwrap_or_default();
    ensure!(found == wanted, "expected {wanted}, found {found}");
    Ok(())
}

fn answer(case: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |key: &str| case[key].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let versions = |key: &str| texts(key).iter().map(|text| Version::parse(text).unwrap()).collect::<Vec<_>>();
    if case.get("compare").is_some() {
        return match versions("compare").as_slice() {
            [a, b] => json!(match a.cmp(b) {
                Ordering::Less => -1,
                Ordering::Equal => 0,
                Ordering::Greater => 1,
            }),
            _ => Value::Null,
        };
    }
    if case.get("sort").is_some() {
        let mut versions = versions("sort");
        versions.sort();
        return versions.into_iter().map(|version| version.original).collect();
    }
    let version = || Version::parse(&text(&case["version"]));
    let Some(constraint) = case["constraint"].as_str() else {
        return version().map_or_else(|e| json!(e.to_string()), |version| parsed(&version));
    };
    match Constraint::parse(constraint) {
        Err(error) => json!(error.to_string()),
        Ok(constraint) if case.get("version").is_some() => {
            version().map_or(Value::Null, |v| json!(constraint.check(&v)))
        }
        Ok(_) => json!(true),
    }
}

fn parsed(version: &Version) -> Value {
    json!({
        "major": version.major, "minor": version.minor, "patch": version.patch, "prerelease": version.pre,
        "metadata": version.metadata, "original": version.original, "string": version.to_string(),
    })
}
