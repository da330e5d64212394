//! Helm's functions, one template a record (`vectors/README.template.md`).

use anyhow::{Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde_json::Value;
use slipway_helm::{Options, render_template};

pub(crate) fn check(case: &Value) -> Result<()> {
    let template = case["template"].as_str().unwrap_or_default();
    let options = Options { now: "2026-03-04T05:06:07Z".parse()?, ..Options::default() };
    let found = render_template("vec", template, &case["data"], &options);
    if let Some(error) = case["error"].as_str() {
        ensure!(found.is_err(), "{template}\nprinted {:?}, but must fail: {error}", String::from_utf8_lossy(&found?));
        return Ok(());
    }
    let found = match found {
        Ok(found) => found,
        Err(e) => bail!("{template}\n{e}"),
    };
    let shown = String::from_utf8_lossy(&found);
    if let Some(pattern) = case["matches"].as_str() {
        ensure!(Regex::new(pattern)?.is_match(&shown), "{template}\nprinted {shown:?}, which {pattern} does not match");
        return Ok(());
    }
    let expected = match case["expected_base64"].as_str() {
        Some(encoded) => STANDARD.decode(encoded)?,
        None => case["expected"].as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    ensure!(
        found == expected,
        "{template}\n{}\nexpected {:?}\nfound    {shown:?}",
        case["data"],
        String::from_utf8_lossy(&expected)
    );
    Ok(())
}
