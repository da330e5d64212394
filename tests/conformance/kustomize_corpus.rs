//! Published kustomization roots against `kubectl kustomize` (`corpus/README.md`).

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use slipway_budget::Budget;
use slipway_kustomize::{Options, render};
use slipway_manifest::Object;

use crate::budget::leaves_room;
use crate::framework::{Outcome, documents, same, tree};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let folder = shared.join("corpus/kustomize");
    if !folder.is_dir() {
        return Ok(None);
    }
    outcome("kustomize-corpus", &folder, |_, _| Ok(())).map(Some)
}

/// Judges the cases of `folder` (`cases.json`, `trees`, `golden`); `refused` sees our errors where one is wanted.
pub(crate) fn outcome(
    suite: &str,
    folder: &Path,
    refused: impl Fn(&str, &str) -> Result<(), String>,
) -> Result<Outcome> {
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("cases.json"))?)?;
    let tree = tree(&folder.join("trees"))?;
    let named = cases.into_iter().map(|case| (case["dir"].as_str().unwrap_or_default().to_owned(), case));
    Ok(Outcome::collect(suite, named, |case| {
        let dir = case["dir"].as_str().unwrap_or_default();
        let budget = Budget::default();
        let options = Options { budget: Some(budget.clone()), ..Options::default() };
        let rendered = render(&tree, dir, &options);
        leaves_room(&budget)?;
        match (case["golden"].as_str(), rendered) {
            (None, Err(error)) => refused(dir, &chain(&error)),
            (None, Ok(_)) => Err(format!("rendered, but must be refused: {}", case["error"])),
            (Some(_), Err(error)) => Err(format!("refused: {}", chain(&error))),
            (Some(golden), Ok(rendered)) => {
                let expected = golden_documents(&folder.join("golden").join(golden)).map_err(|e| format!("{e:#}"))?;
                let found: Vec<Value> = rendered.objects.into_iter().map(Object::into_value).collect();
                same(&expected, &found)
            }
        }
    }))
}

fn golden_documents(path: &Path) -> Result<Vec<Value>> {
    documents(&fs::read_to_string(path)?).with_context(|| path.display().to_string())
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
