//! Charts and what Helm's engine makes of them (`vectors/README.template.md`).

use std::path::Path;

use anyhow::{Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use slipway_helm::{HelmError, Options, Release, render_texts};
use slipway_manifest::Tree;

use crate::framework::{Outcome, records};
use crate::strvals::sets;

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/helm_engine.jsonl"))?;
    Ok(cases.map(|cases| Outcome::collect("helm-engine", cases, |case| check(case).map_err(|e| format!("{e:#}")))))
}

fn check(case: &Value) -> Result<()> {
    let mut tree = Tree::default();
    for (path, text) in case["files"].as_object().into_iter().flatten() {
        tree.insert(&format!("chart/{path}"), text.as_str().unwrap_or_default().as_bytes())?;
    }
    for (path, text) in case["files_base64"].as_object().into_iter().flatten() {
        tree.insert(&format!("chart/{path}"), STANDARD.decode(text.as_str().unwrap_or_default())?)?;
    }
    let found = render_texts(&tree, "chart", &options(case)?);
    match (found, case["expected"].as_object()) {
        (Err(error), None) => {
            let stage = stage(&error);
            let expected = case["stage"].as_str().unwrap_or_default();
            ensure!(
                stage.contains(&expected),
                "failed at {stage:?} with {error:#}\nexpected at {expected}: {}",
                case["error"]
            );
            Ok(())
        }
        (Ok(_), None) => bail!("rendered, but must be refused: {}", case["error"]),
        (Err(error), Some(_)) => bail!("refused: {error:#}"),
        (Ok(found), Some(expected)) => {
            let found: Vec<(String, String)> = found
                .into_iter()
                .map(|(path, text)| (path, String::from_utf8_lossy(&text).into_owned()))
                .filter(|(path, text)| !text.trim().is_empty() && !path.ends_with("NOTES.txt"))
                .collect();
            for (path, text) in &found {
                let wanted = expected.get(path).and_then(Value::as_str);
                ensure!(wanted == Some(text), "{path}\nexpected {wanted:?}\nfound    {text:?}");
            }
            ensure!(found.len() == expected.len(), "expected {:?}", expected.keys());
            Ok(())
        }
    }
}

fn options(case: &Value) -> Result<Options> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let release = &case["release"];
    let versions = case["capabilities"]["apiVersions"].as_array();
    Ok(Options {
        values: case["values"].as_object().map(|values| Value::Object(values.clone())).into_iter().collect(),
        sets: sets(&case["args"]),
        release: Release {
            name: text(&release["Name"]),
            namespace: text(&release["Namespace"]),
            revision: release["Revision"].as_i64().unwrap_or(1),
            is_upgrade: release["IsUpgrade"] == true,
        },
        kube_version: case["capabilities"]["kubeVersion"].as_str().map(str::to_owned),
        api_versions: versions.into_iter().flatten().map(text).collect(),
        builtin_api_versions: versions.is_none(),
        now: "2026-03-04T05:06:07Z".parse()?,
        ..Options::default()
    })
}

/// The stages of the vectors that an error may come from.
fn stage(error: &HelmError) -> &'static [&'static str] {
    match error {
        HelmError::Load(_) => &["load"],
        HelmError::Set(_) | HelmError::ValuesType { .. } => &["values"],
        HelmError::MissingDependencies { .. } => &["missing"],
        HelmError::Coalesce(_) => &["dependencies", "coalesce"],
        HelmError::Schema { .. } => &["schema"],
        HelmError::IncompatibleKubeVersion { .. } => &["kubeVersion"],
        HelmError::Render(_) => &["render"],
        _ => &[],
    }
}
