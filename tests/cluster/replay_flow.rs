//! What the functions themselves ask of the API server, from the first push of an application to the prune of one of
//! its objects, recorded on the sandbox and asked again of both.

#[path = "../flow/world.rs"]
#[allow(dead_code, reason = "the flow's own tests use the rest")]
mod world;

use http::Method;
use serde_json::json;
use slipway_sandbox::http::Exchange;

use crate::replay::{MERGE, Pair, Side, client_of, replay};
use world::{DEPLOYMENT, Flow, KUSTOMIZATION};

#[tokio::test]
async fn the_flows_requests_get_the_same_answers() {
    let Some(pair) = Pair::start().await else { return };
    let recorded = Box::pin(record()).await;
    for kind in ["deployments", "services", "ingresses", "configmaps", "leases"] {
        let is_write = |exchange: &&Exchange| {
            exchange.request.method != Method::GET && exchange.request.path.contains(&format!("/{kind}"))
        };
        assert!(recorded.iter().filter(is_write).count() >= 2, "{kind} are written");
    }
    let found = replay(&pair, recorded).await;
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Deploys, changes by hand, checks, deploys a change of every kind with lists keyed by name, and prunes.
async fn record() -> Vec<Exchange> {
    let mut flow = Flow::deployed().await;
    let hand = Side { client: client_of(&flow.sandbox.cluster) };
    let scale = json!({"spec": {"replicas": 5}});
    hand.json(&Method::PATCH, &format!("{DEPLOYMENT}/scale"), MERGE, "kubectl/v1", &scale).await;
    flow.check().await;
    let file = |name: &str| flow.read(&format!("shop/{name}.yaml"));
    let deployment = file("deployment").replace(
        "ports:",
        "env:\n            - {name: B, value: b}\n            - {name: A, value: a}\n          ports:",
    );
    let service = file("service").replace("ports:", "ports:\n    - {name: dns, port: 53, protocol: UDP}");
    let config = file("configmap").replace("\ndata:", "\ndata:\n  added: \"1\"");
    flow.push(
        "Change lists keyed by name",
        &[("shop/deployment.yaml", &deployment), ("shop/service.yaml", &service), ("shop/configmap.yaml", &config)],
    );
    flow.settle().await;
    let fewer = flow.read(KUSTOMIZATION).replace("  - ingress.yaml\n", "");
    flow.push("Remove the Ingress", &[(KUSTOMIZATION, &fewer)]);
    flow.settle().await;
    assert!(flow.sandbox.cluster.gone("/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web").await);
    flow.check().await;
    flow.sandbox.cluster.exchanges()
}
