//! What projects allow and when their windows are open (`vectors/README.argo.md`).

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use slipway_gitops::app::project::{SyncWindow, WindowError};
use slipway_gitops::app::{AppProject, Application, ClusterName};
use slipway_manifest::Object;

pub(crate) fn check(case: &Value) -> Result<()> {
    let mut object = case["project"].clone();
    object["apiVersion"] = json!("argoproj.io/v1alpha1");
    object["kind"] = json!("AppProject");
    // Upstream's own tests give none.
    if object["metadata"]["name"].is_null() {
        object["metadata"]["name"] = json!("proj");
    }
    let project = AppProject::from_object(&Object::from_value(object)?)?;
    match case["kind"].as_str().context("a record has a kind")? {
        "permission" => permission(case, &project),
        _ => window(case, &project),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn cluster(value: &Value) -> ClusterName {
    ClusterName { server: text(&value["server"]).to_owned(), name: text(&value["name"]).to_owned() }
}

fn permission(case: &Value, project: &AppProject) -> Result<()> {
    let check = &case["check"];
    let own = case.get("projectClusters").or_else(|| check.get("projectClusters")).and_then(Value::as_array);
    let own: Vec<ClusterName> = own.into_iter().flatten().map(cluster).collect();
    let found = if let Some(source) = check.get("source") {
        project.permits_source(text(&source["repoURL"]))
    } else if let Some(destination) = check.get("destination") {
        project.permits_destination(&cluster(destination), text(&destination["namespace"]), &own)
    } else if let Some(resource) = check.get("resource") {
        let [group, kind, name] = ["group", "kind", "name"].map(|field| text(&resource[field]));
        project.permits_kind(group, kind, name, resource["namespaced"] == true)
    } else if let Some(live) = check.get("liveResource") {
        let group = text(&live["group"]);
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let object = Object::from_value(json!({
            "apiVersion": version, "kind": live["kind"],
            "metadata": {"name": live["name"], "namespace": live["namespace"]}}))?;
        project.permits_object(&object, &cluster(&check["cluster"]), &own)
    } else {
        let namespace = check.get("appNamespace").context("a check has a subject")?;
        project.permits_application_in(text(namespace), text(&check["controllerNamespace"]))
    };
    ensure!(json!(found) == case["allowed"], "expected {}, found {found}", case["allowed"]);
    Ok(())
}

fn window(case: &Value, project: &AppProject) -> Result<()> {
    let at = text(&case["at"]).parse()?;
    let started = case["operationStartedAt"].as_str().map(str::parse).transpose()?;
    let app = &case["app"];
    let cluster = cluster(&app["destination"]);
    let namespace = text(&app["destination"]["namespace"]);
    let concerned = project.windows_of(text(&app["name"]), &cluster, namespace);
    let index = |window: &SyncWindow| project.windows.iter().position(|one| std::ptr::eq(one, window));
    let matching: Vec<_> = concerned.iter().filter_map(|window| index(window)).collect();
    ensure!(json!(matching) == case["matching"], "matching: expected {}, found {matching:?}", case["matching"]);
    let states: Result<Vec<_>, WindowError> =
        concerned.iter().map(|window| Ok((index(window), window.is_active(at)?))).collect();
    let active: Vec<_> = states.unwrap_or_default().into_iter().filter_map(|(n, open)| n.filter(|_| open)).collect();
    ensure!(json!(active) == case["active"], "active: expected {}, found {active:?}", case["active"]);
    let application = Application::from_object(&Object::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": app["name"]},
        "spec": {"source": {"repoURL": "https://github.com/a/b"}, "destination": {"name": "x",
            "namespace": namespace}}}))?)?;
    for (key, manual) in [("manual", true), ("auto", false)] {
        let found = project.held(&application, &cluster, manual, at, started).is_ok_and(|held| held.is_none());
        ensure!(json!(found) == case["canSync"][key], "{key}: expected {}, found {found}", case["canSync"][key]);
    }
    Ok(())
}
