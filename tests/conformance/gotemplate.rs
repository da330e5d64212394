//! Go's text/template run with Helm's functions and options (`vectors/README.template.md`).

use anyhow::{Result, bail};
use serde_json::Value;
use slipway_helm::{Options, render_template};

/// An error passes when it is raised on the same line and, where Go names one, in the same column.
pub(crate) fn check(case: &Value) -> Result<()> {
    let text = |field: &str| case[field].as_str().unwrap_or_default();
    let found = render_template("vec", text("template"), &case["data"], &Options::default());
    match (found, case["expected"].as_str()) {
        (Ok(found), Some(expected)) if found == expected.as_bytes() => Ok(()),
        (Ok(found), Some(expected)) => {
            bail!("expected {expected:?}, found {:?}", String::from_utf8_lossy(&found))
        }
        (Ok(found), None) => bail!("must fail: {}\nfound {:?}", text("error"), String::from_utf8_lossy(&found)),
        (Err(error), Some(expected)) => bail!("expected {expected:?}\nfailed: {error}"),
        (Err(error), None) if is_at(&error.to_string(), place(text("error"))) => Ok(()),
        (Err(error), None) => bail!("must fail: {}\nfailed: {error}", text("error")),
    }
}

/// Whether `error` names the place: not only the first digits of its number.
fn is_at(error: &str, place: &str) -> bool {
    error.match_indices(place).any(|(at, _)| {
        let after = error.get(at + place.len()..).unwrap_or_default();
        !after.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Where an error is: `vec:LINE`, or `vec:LINE:COLUMN`.
fn place(error: &str) -> &str {
    let place = error.strip_prefix("template: ").unwrap_or(error);
    let colons: Vec<usize> = place.match_indices(':').map(|(at, _)| at).take(3).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let end = match colons.as_slice() {
        [_, line, column] if place.get(line + 1..*column).is_some_and(is_number) => *column,
        [_, line, ..] => *line,
        _ => place.len(),
    };
    place.get(..end).unwrap_or(place)
}
