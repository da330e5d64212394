//! `--set` and its sisters (`vectors/README.template.md`).

use anyhow::Result;
use serde_json::Value;
use slipway_helm::{Options, Set, SetKind, merge_values};
use slipway_manifest::Tree;

use crate::framework::same;

pub(crate) fn check(case: &Value) -> Result<()> {
    let mut tree = Tree::default();
    for (path, text) in case["files"].as_object().into_iter().flatten() {
        tree.insert(path, text.as_str().unwrap_or_default().as_bytes())?;
    }
    let options = Options {
        values: case["base"].as_object().map(|base| Value::Object(base.clone())).into_iter().collect(),
        sets: sets(&case["args"]),
        ..Options::default()
    };
    match (merge_values(&tree, &options), &case["expected"]) {
        (Err(_), Value::Null) => Ok(()),
        (Ok(found), Value::Null) => {
            anyhow::bail!("read as {}, but must be refused: {}", Value::Object(found), case["error"])
        }
        (Err(error), _) => anyhow::bail!("refused: {error}"),
        (Ok(found), expected) => {
            same(std::slice::from_ref(expected), &[Value::Object(found)]).map_err(anyhow::Error::msg)
        }
    }
}

/// The flags of a record.
pub(crate) fn sets(args: &Value) -> Vec<Set> {
    let kind = |flag: &str| match flag {
        "set-json" => SetKind::Json,
        "set-string" => SetKind::Text,
        "set-file" => SetKind::File,
        "set-literal" => SetKind::Literal,
        _ => SetKind::Typed,
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    args.as_array().into_iter().flatten().map(|arg| Set::new(kind(&text(&arg[0])), text(&arg[1]))).collect()
}
