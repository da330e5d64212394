//! One message a commit and channel, one status a commit and cluster, whatever the number of applications.

use serde_json::json;

use crate::world::Flow;

fn config_map(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}}).to_string()
}

/// `count` applications of a ConfigMap each; every tenth can't be rendered.
pub(crate) fn many(count: usize) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for n in 0..count {
        let name = format!("many-{n:02}");
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {
                "source": {"repoURL": "https://github.com/acme/gitops", "path": name, "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
                "syncPolicy": {"automated": {}, "retry": {"limit": 0},
                "syncOptions": ["CreateNamespace=true"]}}});
        files.push((format!("applications/{name}.yaml"), application.to_string()));
        let broken = n % 10 == 0;
        files.push((
            format!("{name}/kustomization.yaml"),
            format!("resources: [{}]\n", if broken { "nowhere.yaml" } else { "c.yaml" }),
        ));
        files.push((format!("{name}/c.yaml"), config_map(&name)));
    }
    files
}

#[tokio::test]
async fn many_applications_are_one_message_and_few_statuses() {
    let mut flow = Flow::deployed().await;
    let before = flow.messages().len();
    let files = many(30);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    flow.push("Add many", &files);
    flow.settle().await;
    let messages = flow.messages();
    assert_eq!(messages.len(), before + 1, "{messages:?}");
    let told = messages.last().unwrap();
    assert!(told.starts_with(":x: *30 applications* at `") && told.contains(": 3 failed, 27 deployed\n"), "{told}");
    assert!(
        told.lines().nth(1).unwrap().starts_with(":x: *many-00* on in-cluster: failed to render many-00"),
        "{told}"
    );
    assert!(told.contains(":white_check_mark: *many-01* on in-cluster: 1 change"), "{told}");
    let all = flow.sandbox.slack.messages();
    let threads: Vec<_> = all.iter().filter(|message| !message.thread.is_empty()).collect();
    assert!(!threads.is_empty() && threads.iter().all(|one| one.text.len() <= 4_000), "{threads:?}");
    assert!(threads[0].text.contains("nowhere.yaml"), "what failed comes first");

    let contexts: Vec<String> = flow
        .statuses()
        .iter()
        .map(|one| format!("{} {}", one["context"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert_eq!(contexts.len(), 4, "{contexts:?}");
    assert!(
        contexts.contains(&"slipway/in-cluster failure".to_owned())
            && contexts.contains(&"slipway/in-cluster/many-20 failure".to_owned()),
        "{contexts:?}"
    );
}

#[tokio::test]
async fn annotations_choose_who_hears() {
    let mut flow = Flow::start().await;
    let path = "applications/shop.yaml";
    let application = flow.read(path).replace(
        "  annotations:\n",
        "  annotations:\n    notifications.argoproj.io/subscribe.on-deployed.slack: releases;team\n",
    );
    flow.push("Subscribe", &[(path, &application)]);
    flow.settle().await;
    let mut channels: Vec<String> = flow.sandbox.slack.messages().into_iter().map(|message| message.channel).collect();
    channels.sort();
    assert_eq!(channels, ["releases", "team"]);
}
