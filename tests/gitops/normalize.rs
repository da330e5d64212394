//! What ignoreDifferences, system-level overrides and known types leave of an object (`vectors/README.argo.md`).

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::normalize::Normalizer;
use slipway_manifest::Object;

use crate::framework::{Outcome, records};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/normalize.jsonl"))?;
    Ok(cases.map(|cases| Outcome::collect("normalize", cases, |case| check(case).map_err(|e| format!("{e:#}")))))
}

fn check(case: &Value) -> Result<()> {
    let overrides = case["overrides"].as_object().map(Overrides::from_map).unwrap_or_default();
    let rules = case["ignoreDifferences"].as_array().context("a list")?;
    let normalizer = Normalizer::new(rules, &overrides);
    let expected = &case["expected"];
    if expected.is_null() {
        ensure!(normalizer.is_err(), "the list should be refused");
        return Ok(());
    }
    let normalizer = normalizer?;
    let object = |value: &Value| Object::from_value(value.clone()).context("an object");
    if case["kind"] == "pair" {
        let (mut live, mut target) = (object(&case["live"])?, object(&case["target"])?);
        normalizer.ignore_managed_fields_managers(&mut live, &mut target);
        for (name, found) in [("live", live), ("target", target)] {
            let found = found.into_value();
            ensure!(found == expected[name], "{name}: expected {}, found {found}", expected[name]);
        }
        return Ok(());
    }
    let mut found = object(&case["object"])?;
    normalizer.normalize(&mut found)?;
    let found = found.into_value();
    ensure!(found == *expected, "expected {expected}, found {found}");
    Ok(())
}
