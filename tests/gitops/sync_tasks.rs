//! The order of a sync's tasks (`vectors/README.argo.md`).

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use slipway_gitops::annotations::Phase;
use slipway_gitops::plan::{self, Task};
use slipway_manifest::Object;

pub(crate) fn check(case: &Value) -> Result<()> {
    let tasks = case["tasks"].as_array().context("tasks")?;
    let mut sorted: Vec<Task> =
        tasks.iter().enumerate().map(|(index, task)| read(index, task)).collect::<Result<_>>()?;
    // The shared records sort tasks alone; ours are those of a whole sync, whose prunes run backwards.
    if let Some(all_last) = case["pruneLast"].as_bool() {
        plan::order_prunes(&mut sorted, all_last);
    }
    plan::sort(&mut sorted);
    let found: Vec<Value> = sorted
        .iter()
        .map(|task| {
            let object = match &task.action {
                plan::TaskAction::Apply(object) => Some(object),
                _ => task.live.as_ref(),
            };
            json!({"index": object.and_then(|o| o.get("index")), "phase": task.phase.as_str(), "wave": task.wave})
        })
        .collect();
    let order = case["order"].as_array().context("order")?;
    let wanted: Vec<Value> = order
        .iter()
        .zip(case["after"].as_array().context("after")?)
        .map(|(index, after)| json!({"index": index, "phase": after["phase"], "wave": after["wave"]}))
        .collect();
    ensure!(wanted == found, "expected {}\nfound    {}", json!(wanted), json!(found));
    Ok(())
}

/// A task of the record; its object remembers its index.
fn read(index: usize, task: &Value) -> Result<Task> {
    let text = |key: &str| task[key].as_str().unwrap_or_default();
    let api_version = match text("group") {
        "" => text("version").to_owned(),
        group => format!("{group}/{}", text("version")),
    };
    let object = Object::from_value(json!({
        "index": index, "apiVersion": api_version, "kind": text("kind"),
        "metadata": {"name": text("name"), "namespace": text("namespace"),
            "annotations": task.get("annotations").unwrap_or(&json!({}))},
        "spec": {"group": task.get("crdGroup"), "names": {"kind": task.get("crdKind")}}}))?;
    let phase = [Phase::PreSync, Phase::Sync, Phase::PostSync, Phase::SyncFail]
        .into_iter()
        .find(|phase| phase.as_str() == text("phase"))
        .context("a phase")?;
    Ok(if task["prune"] == true { Task { phase, ..Task::prune(object) } } else { Task::apply(object, None, phase) })
}
