//! All parts together, as the demo starts them.

use http::Method;
use serde_json::{Value, json};
use slipway_sandbox::{Aws, IMAGE, Options, Sandbox};

use crate::client::send;

#[tokio::test]
async fn everything_starts_seeded() {
    let folder = tempfile::tempdir().unwrap();
    let (sandbox, mut webhooks) = Sandbox::start(Options::new(folder.path())).await.unwrap();
    let environment = sandbox.environment();
    let webhook = webhooks.try_recv().unwrap().to_function_url_event(true, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(webhook["headers"]["x-github-event"], json!("push"));
    let kustomization = sandbox.read("shop/kustomization.yaml").unwrap().unwrap();
    assert!(kustomization.contains(&format!("name: {}/{IMAGE}", Aws::registry())), "{kustomization}");
    assert!(std::fs::read_to_string(sandbox.kubeconfig()).unwrap().contains(&sandbox.cluster.url()));

    let event = sandbox.aws.push_image(IMAGE, "1.1.0");
    assert_eq!(event["detail"]["image-tag"], json!("1.1.0"));
    let call = |target: &'static str, body: Value| {
        let url = environment["AWS_ENDPOINT_URL"].clone();
        async move { send("POST", &url, &[("x-amz-target", target)], body.to_string()).await }
    };
    let images = call("AmazonEC2ContainerRegistry_V20150921.DescribeImages", json!({"repositoryName": IMAGE})).await;
    assert_eq!(images.json()["imageDetails"].as_array().unwrap().len(), 2);
    let secret = call("secretsmanager.GetSecretValue", json!({"SecretId": "slipway/slack"})).await;
    assert_eq!(secret.json()["SecretString"], json!("xoxb-sandbox"));
    let missing = call("secretsmanager.GetSecretValue", json!({"SecretId": "nope"})).await;
    assert_eq!((missing.status.as_u16(), &missing.json()["__type"]), (400, &json!("ResourceNotFoundException")));
    let message = json!({"QueueUrl": environment["SLIPWAY_QUEUE_URL"], "MessageBody": "{}", "MessageGroupId": "g",
        "MessageDeduplicationId": "1"});
    for _ in 0..2 {
        assert_eq!(call("AmazonSQS.SendMessage", message.clone()).await.status.as_u16(), 200);
    }
    let queued = sandbox.aws.next_event().unwrap();
    assert_eq!(queued["Records"][0]["attributes"]["MessageGroupId"], json!("g"));
    assert_eq!(sandbox.aws.waiting(), 0, "the same deduplication id is one message");

    let slack = |method: &str, body: Value| {
        let url = format!("{}/{method}", environment["SLIPWAY_SLACK_API"]);
        let headers = [("authorization", "Bearer xoxb-sandbox"), ("content-type", "application/json")];
        async move { send("POST", &url, &headers, body.to_string()).await.json() }
    };
    let posted = slack("chat.postMessage", json!({"channel": "#deployments", "text": "hello"})).await;
    assert_eq!(posted["ok"], json!(true));
    let edit = json!({"channel": posted["channel"], "ts": posted["ts"], "text": "bye"});
    assert_eq!(slack("chat.update", edit).await["ok"], json!(true));
    assert_eq!((sandbox.slack.messages()[0].text.as_str(), sandbox.slack.messages()[0].edits), ("bye", 1));

    for (_, path) in
        [("deployment", "shop/deployment.yaml"), ("service", "shop/service.yaml"), ("ingress", "shop/ingress.yaml")]
    {
        let text = sandbox.read(path).unwrap().unwrap();
        let object: Value = slipway_manifest::yaml::parse(&text).unwrap();
        let plural = match object["kind"].as_str().unwrap() {
            "Deployment" => "apis/apps/v1/namespaces/default/deployments",
            "Service" => "api/v1/namespaces/default/services",
            _ => "apis/networking.k8s.io/v1/namespaces/default/ingresses",
        };
        let url = format!("/{plural}/web?fieldManager=slipway");
        let (status, answer) = sandbox.cluster.call(Method::PATCH, &url, "application/apply-patch+yaml", &object);
        assert_eq!(status.as_u16(), 201, "{answer}");
    }
}
