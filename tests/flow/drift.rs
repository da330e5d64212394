//! A change behind Git's back becomes a message, once; its end too.

use http::Method;
use serde_json::json;

use crate::world::{DEPLOYMENT, Flow};

#[tokio::test]
async fn a_scaled_deployment_is_told_once_and_its_end_too() {
    let mut flow = Flow::with_shop().await;
    flow.settle().await;
    assert_eq!(flow.check().await, json!({"applications": {"web": {}}}));

    let scale = |replicas: u32| json!({"spec": {"replicas": replicas}});
    let path = format!("{DEPLOYMENT}?fieldManager=kubectl-edit");
    let patch = |body| flow.world.cluster.call(Method::PATCH, &path, "application/merge-patch+json", &body);
    assert!(patch(scale(5)).0.is_success());
    let found = flow.check().await;
    assert_eq!(found["applications"]["web"]["differs"], json!(["Deployment/shop/web spec.replicas"]), "{found}");
    let messages = flow.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    for part in ["`Deployment/shop/web` `spec.replicas`", "Git has `2`, the cluster `5`", "by `kubectl-edit` at 20"] {
        assert!(messages[1].contains(part), "{part} in {messages:?}");
    }

    assert_eq!(flow.check().await["applications"]["web"]["new"], json!(null));
    assert_eq!(flow.messages().len(), 2);

    assert!(patch(scale(2)).0.is_success());
    let gone = flow.check().await;
    assert_eq!(gone["applications"]["web"]["resolved"], json!(["Deployment/shop/web spec.replicas"]), "{gone}");
    let messages = flow.messages();
    assert!(messages.len() == 3 && messages[2].contains("resolved"), "{messages:?}");
}

#[tokio::test]
async fn a_deleted_object_and_a_changed_secret_are_told_without_values() {
    let mut flow = Flow::with_shop().await;
    flow.settle().await;
    let cluster = &flow.world.cluster;
    let (status, _) =
        cluster.call(Method::DELETE, "/api/v1/namespaces/shop/services/web", "application/json", &json!(null));
    assert!(status.is_success());
    let secret = json!({"data": {"password": "Y2FuYXJ5LW90aGVy"}});
    let path = "/api/v1/namespaces/shop/secrets/password?fieldManager=attacker";
    assert!(cluster.call(Method::PATCH, path, "application/merge-patch+json", &secret).0.is_success());
    let found = flow.check().await;
    assert_eq!(
        found["applications"]["web"]["differs"],
        json!(["Secret/shop/password data.password", "Service/shop/web"])
    );
    let told = flow.messages().join("\n");
    assert!(told.contains("attacker") && !told.contains("Y2FuYXJ5"), "{told}");
}
