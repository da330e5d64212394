//! The control plane runs a Deployment to Available, and its kubectl works.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;
use slipway_tests::ControlPlane;

#[tokio::test]
async fn a_deployment_becomes_available() {
    let Some(cluster) = ControlPlane::shared() else { return };
    let namespace = cluster.namespace("harness").await;
    let deployments = Api::<Deployment>::namespaced(cluster.client().await, &namespace);
    let labels = json!({"app": "web"});
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web",
                "image": "nginx:1.27"}]}},
        },
    }))
    .expect("a Deployment");
    deployments.create(&PostParams::default(), &deployment).await.expect("the Deployment is created");
    let available = |object: Option<&Deployment>| {
        let status = object.and_then(|object| object.status.as_ref());
        status.and_then(|status| status.available_replicas) == Some(1)
    };
    tokio::time::timeout(Duration::from_mins(1), await_condition(deployments, "web", available))
        .await
        .expect("available within a minute")
        .expect("the watch lasts");
    let listed = cluster.kubectl(&["-n", &namespace, "get", "deployment", "-o", "name"]);
    assert!(listed.is_none_or(|text| text == "deployment.apps/web\n"));
}
