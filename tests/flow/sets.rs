//! What ApplicationSets say of their Applications once these are there.

use serde_json::{Value, json};
use slipway_sandbox::forge::Change;

use crate::world::Flow;

const SET: &str = "applications/set.yaml";

/// A set of the Applications `elements` at `path`, which may do with them what `policy` says.
fn set(elements: &[&str], path: &str, policy: &str) -> Value {
    let elements: Vec<Value> = elements.iter().map(|app| json!({"app": app})).collect();
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "teams", "namespace": "argocd"},
        "spec": {
            "generators": [{"list": {"elements": elements}}],
            "syncPolicy": {"applicationsSync": policy, "preserveResourcesOnDeletion": true},
            "template": {
                "metadata": {"name": "{{app}}", "labels": {"step": "{{app}}"}},
                "spec": {"project": "default", "destination": {"name": "in-cluster", "namespace": "shop"},
                    "source": {"repoURL": "https://github.com/acme/gitops", "path": path, "targetRevision": "main",
                        "directory": {"jsonnet": {"extVars": [{"name": "of", "value": "s3cret-of-nobody"}]}}},
                    "syncPolicy": {"automated": {"prune": true}}}}}})
}

fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{a: {value}}}\n")
}

fn live(flow: &Flow, name: &str) -> Option<String> {
    let object = flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}"))?;
    Some(object["data"]["a"].as_str().unwrap().to_owned())
}

/// argoproj/argo-cd `docs/operator-manual/applicationset/Controlling-Resource-Modification.md`.
#[tokio::test]
async fn a_set_that_may_not_update_leaves_its_applications_as_it_made_them() {
    for (policy, updates) in [("sync", true), ("create-update", true), ("create-only", false), ("create-delete", false)]
    {
        let mut flow = Flow::deployed().await;
        let push = |flow: &Flow, elements: &[&str], path: &str, value: &str| {
            let set = set(elements, path, policy).to_string();
            let files = [
                (SET, set.as_str()),
                ("before/a/x.yaml", &config("a-before", value)),
                ("after/a/x.yaml", &config("a-after", value)),
                ("after/b/x.yaml", &config("b-after", value)),
            ];
            flow.push("Change the set", &files);
        };
        push(&flow, &["a"], "before/{{app}}", "one");
        flow.settle().await;
        assert_eq!(live(&flow, "a-before").as_deref(), Some("one"), "{policy}: {:?}", flow.messages());
        let state = flow.state("a").await.unwrap();
        assert!(!format!("{state:?}").contains("s3cret"), "{policy}: values are nobody's");

        // A new template, and a new element, which is made by it.
        push(&flow, &["a", "b"], "after/{{app}}", "two");
        flow.settle().await;
        let expected = if updates { (None, Some("two".to_owned())) } else { (Some("two".to_owned()), None) };
        assert_eq!((live(&flow, "a-before"), live(&flow, "a-after")), expected, "{policy}: {:?}", flow.messages());
        assert_eq!(live(&flow, "b-after").as_deref(), Some("two"), "{policy}: {:?}", flow.messages());

        // So it is for a function that remembers nothing, and for the check.
        flow.deployer = flow.another().await;
        flow.checker = flow.another_checker().await;
        push(&flow, &["a", "b"], "after/{{app}}", "three");
        flow.settle().await;
        flow.check().await;
        let kept = live(&flow, if updates { "a-after" } else { "a-before" });
        assert_eq!(kept.as_deref(), Some("three"), "{policy}: {:?}", flow.messages());
        let other = live(&flow, if updates { "a-before" } else { "a-after" });
        assert_eq!(other, None, "{policy}: {:?}", flow.messages());
        let told = flow.messages().join("\n");
        assert!(!told.contains(":x:") && !told.contains("no effect"), "{policy}: {told}");
    }
}

/// argoproj/argo-cd `docs/operator-manual/applicationset/Progressive-Syncs.md`, deletion strategies.
#[tokio::test]
async fn applications_of_later_steps_are_deleted_first() {
    for (order, expected) in [("Reverse", [&["c"][..], &["b"], &["a"]]), ("AllAtOnce", [&["a", "b", "c"], &[], &[]])] {
        let mut flow = Flow::deployed().await;
        let mut set = set(&["a", "b", "c"], "{{app}}", "sync");
        let step = |app: &str| json!({"matchExpressions": [{"key": "step", "operator": "In", "values": [app]}]});
        set["spec"]["strategy"] = json!({"type": "RollingSync", "deletionOrder": order,
            "rollingSync": {"steps": [step("a"), step("b"), step("c")]}});
        let set = set.to_string();
        let files = ["a", "b", "c"].map(|app| (format!("{app}/x.yaml"), config(&format!("of-{app}"), "one")));
        let mut changes = vec![(SET, set.as_str())];
        changes.extend(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        flow.push("Three steps", &changes);
        flow.settle().await;
        for app in ["a", "b", "c"] {
            assert!(live(&flow, &format!("of-{app}")).is_some(), "{app}: {:?}", flow.messages());
        }
        flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Drop the set", &[Change::delete(SET)]).unwrap();
        for (round, expected) in expected.into_iter().enumerate() {
            let before = flow.messages().len();
            if round == 0 {
                flow.settle().await;
            } else {
                flow.check().await;
            }
            let told = flow.messages().split_off(before);
            let gone = |app: &&&str| told.iter().any(|text| text.starts_with(&format!(":wastebasket: *{app}* is")));
            let gone: Vec<&str> = ["a", "b", "c"].iter().filter(gone).copied().collect();
            assert_eq!(gone, expected, "{order}, round {round}: {told:?}");
        }
        for app in ["a", "b", "c"] {
            assert!(flow.state(app).await.is_none() && live(&flow, &format!("of-{app}")).is_some(), "{app}");
        }
    }
}
