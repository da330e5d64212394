//! The texts that Image Updater's templates make of changes: the commit's message and the branch's name
//! (`vectors/README.argo.md`).

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use slipway::image::Reference;
use slipway::image::message::{BranchOf, Changed, branch_name, default_message, message};

pub(crate) fn check(case: &Value) -> Result<()> {
    let text = |key: &str| case[key].as_str().unwrap_or_default();
    let changes: Vec<Changed> = case["changes"].as_array().into_iter().flatten().map(changed).collect();
    let (template, app, expected) = (text("template"), text("app"), text("text"));
    let found = match text("kind") {
        "message" => message(template, app, &changes),
        "branch" => {
            let of = BranchOf { namespace: text("appNamespace"), app, target_key: text("targetKey") };
            branch_name(template, of, &changes).unwrap_or_default()
        }
        other => bail!("{other} is no kind of a record"),
    };
    ensure!(found == expected, "expected {expected:?}, found {found:?}");
    if case["isDefault"] == true {
        let found = default_message(app, &changes);
        ensure!(found == expected, "by default: expected {expected:?}, found {found:?}");
    }
    Ok(())
}

fn changed(change: &Value) -> Changed {
    let text = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
    Changed {
        image: Reference::parse(&text("image")).name,
        alias: text("alias"),
        old: text("oldTag"),
        new: change["newDigest"].as_str().map_or_else(|| text("newTag"), str::to_owned),
        labels: change["labels"].as_object().into_iter().flatten().map(label).collect(),
    }
}

fn label((key, value): (&String, &Value)) -> (String, String) {
    (key.clone(), value.as_str().unwrap_or_default().to_owned())
}
