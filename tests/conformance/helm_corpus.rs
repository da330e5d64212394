//! Real charts and what `helm template` printed for them (`corpus/README.md`).

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use slipway_budget::Budget;
use slipway_helm::{Options, Release, parse_values, render};
use slipway_manifest::yaml;

use crate::budget::leaves_room;
use crate::framework::{Outcome, same, tree};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let folder = shared.join("corpus/helm");
    if !folder.is_dir() {
        return Ok(None);
    }
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("cases.json"))?)?;
    let named = cases.into_iter().map(|case| {
        let part = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        (format!("{} {}", part("chart"), part("values")), case)
    });
    Ok(Some(Outcome::collect("helm-corpus", named, |case| check(&folder, case).map_err(|e| format!("{e:#}")))))
}

fn check(folder: &Path, case: &Value) -> Result<()> {
    let chart = folder.join("charts").join(case["chart"].as_str().context("a case names its chart")?);
    let budget = Budget::default();
    let values = match case["values"].as_str() {
        Some(file) => vec![parse_values(&std::fs::read_to_string(chart.join(file))?, &budget)?],
        None => Vec::new(),
    };
    let options = Options {
        values,
        release: Release { name: "rel".to_owned(), namespace: "ns1".to_owned(), ..Release::default() },
        kube_version: Some("1.33.0".to_owned()),
        include_crds: true,
        now: "2026-03-04T05:06:07Z".parse()?,
        budget: Some(budget.clone()),
        ..Options::default()
    };
    let rendered = render(&tree(&chart)?, "", &options);
    leaves_room(&budget).map_err(anyhow::Error::msg)?;
    match (rendered, case["golden"].as_str()) {
        (Err(_), None) => Ok(()),
        (Ok(_), None) => bail!("rendered, but must be refused: {}", case["error"]),
        (Err(error), Some(_)) => bail!(
            "refused: {error:#}{}",
            std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default()
        ),
        (Ok(rendered), Some(golden)) => {
            let golden = std::fs::read_to_string(folder.join("golden").join(golden))?;
            // Some charts print a key twice, which Helm's own reader takes.
            let mut expected = yaml::parse_manifests(&golden, yaml::Options::lenient(), &Budget::default())?;
            let mut found: Vec<Value> = rendered.manifests.into_iter().map(|manifest| manifest.value).collect();
            for path in case["any"].as_array().into_iter().flatten() {
                free(&mut expected, &mut found, path);
            }
            same(&expected, &found).map_err(anyhow::Error::msg)
        }
    }
}

/// Makes the leaves at `path` equal, if they are of one type.
fn free(expected: &mut [Value], found: &mut [Value], path: &Value) {
    let mut steps = path.as_array().into_iter().flatten();
    let Some(index) = steps.next().and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok()) else {
        return;
    };
    let (mut a, mut b) = (expected.get(index), found.get_mut(index));
    for step in steps {
        (a, b) = match step {
            Value::String(key) => (a.and_then(|a| a.get(key)), b.and_then(|b| b.get_mut(key))),
            other => {
                let at = other.as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or_default();
                (a.and_then(|a| a.get(at)), b.and_then(|b| b.get_mut(at)))
            }
        };
    }
    if let (Some(a), Some(b)) = (a, b)
        && std::mem::discriminant(a) == std::mem::discriminant(b)
    {
        *b = a.clone();
    }
}
