//! Times that a manifest asks for, however long, end nobody's process: what is wrong with one application is no
//! other's business.

use serde_json::json;
use slipway_gitops::status::{OperationPhase, SyncStatus};

use crate::world::Flow;

fn application(name: &str, retry: &serde_json::Value) -> String {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "source": {"repoURL": "https://github.com/acme/gitops", "path": name, "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {}, "retry": retry}}})
    .to_string()
}

/// A Secret that no API server takes.
const BROKEN: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: broken}\nstringData: {a: {b: c}}\n";

#[tokio::test]
async fn endless_back_offs_are_one_applications_matter() {
    let mut flow = Flow::deployed().await;
    let durations = [
        "18446744073709551615",
        "340282366920938463463374607431768211456",
        "9223372036854775807h",
        "9223372036854775807ns",
        "2562047h47m16.854775807s",
        "1e400",
        "1.5",
        "0",
        "-1",
        "-9223372036854775808ns",
    ];
    let mut files = Vec::new();
    for (number, duration) in durations.iter().enumerate() {
        let name = format!("hostile-{number}");
        let retry = json!({"limit": 1, "backoff": {"duration": duration, "maxDuration": duration, "factor": i64::MAX}});
        files.push((format!("applications/{name}.yaml"), application(&name, &retry)));
        files.push((format!("{name}/secret.yaml"), BROKEN.replace("broken", &name)));
    }
    let calm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: calm}\ndata: {a: b}\n";
    files.push(("applications/calm.yaml".to_owned(), application("calm", &json!({}))));
    files.push(("calm/c.yaml".to_owned(), calm.to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    flow.push("Add what waits for ever", &files);
    let message = flow.message().await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(25);
    flow.deployer.handle(message, deadline, "test").await.unwrap();

    assert!(flow.sandbox.cluster.get("/api/v1/namespaces/shop/configmaps/calm").is_some(), "the others are deployed");
    assert_eq!(flow.state("calm").await.unwrap().status.sync.status, SyncStatus::Synced);
    for (number, duration) in durations.iter().enumerate() {
        let state = flow.state(&format!("hostile-{number}")).await.expect("it was tried");
        let last = state.status.operation_state.expect("it was tried");
        let not_before = state.operation.and_then(|operation| operation.not_before);
        let in_a_day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        assert!(not_before.is_none_or(|at| at <= in_a_day), "{duration}: {not_before:?}");
        assert_ne!(last.phase, OperationPhase::Succeeded, "{duration}");
    }
}
