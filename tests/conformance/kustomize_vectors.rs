//! Kustomize's own test-suite as data (`vectors/README.md`).

use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use serde_json::Value;
use slipway_kustomize::{LoadRestrictions, Options, Order, render};
use slipway_manifest::Tree;

use crate::framework::{Outcome, documents, records, same};
use crate::kustomize_corpus::chain;

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/kustomize.jsonl"))?;
    Ok(cases
        .map(|cases| Outcome::collect("kustomize-vectors", cases, |case| check(case).map_err(|e| format!("{e:#}")))))
}

fn check(case: &Value) -> Result<()> {
    let mut tree = Tree::default();
    for (path, text) in case["files"].as_object().into_iter().flatten() {
        tree.insert(inside(path), text.as_str().unwrap_or_default().as_bytes())?;
    }
    for (path, text) in case["files_base64"].as_object().into_iter().flatten() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap_or_default())?;
        tree.insert(inside(path), bytes)?;
    }
    let root = inside(case["root"].as_str().unwrap_or_default());
    match (render(&tree, root, &options(&case["options"])), case["expected"].as_str()) {
        (Err(_), None) => Ok(()),
        (Ok(_), None) => anyhow::bail!("rendered, but must be refused: {}", case["error"]),
        (Err(error), Some(_)) => anyhow::bail!("refused: {}", chain(&error)),
        (Ok(rendered), Some(expected)) => {
            let found: Vec<Value> = rendered.objects.into_iter().map(slipway_manifest::Object::into_value).collect();
            same(&documents(expected)?, &found).map_err(anyhow::Error::msg)
        }
    }
}

fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn options(given: &Value) -> Options<'static> {
    Options {
        order: match given["reorder"].as_str() {
            Some("legacy") => Order::Legacy,
            Some("unspecified") => Order::Unspecified,
            _ => Order::None,
        },
        load_restrictions: match given["loadRestrictions"].as_str() {
            Some("LoadRestrictionsNone") => LoadRestrictions::None,
            _ => LoadRestrictions::RootOnly,
        },
        managed_by_label: given["addManagedbyLabel"].as_bool().unwrap_or(false),
        ..Options::default()
    }
}
