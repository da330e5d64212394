use serde_json::{Value, json};
use slipway::app::ClusterSecret;
use slipway::aws::Aws;
use slipway::clusters::{ClusterError, Clusters, describe};
use slipway::{config, error};
use slipway_manifest::Object;
use slipway_tests::Moto;

/// A cluster known by name only: endpoint and certificate authority come from EKS.
#[tokio::test]
async fn eks_describes_the_cluster() {
    let Some(moto) = Moto::start().await else { return };
    moto.aws(&[
        "eks",
        "create-cluster",
        "--name",
        "blue_1",
        "--role-arn",
        "arn:aws:iam::123456789012:role/eks",
        "--resources-vpc-config",
        "subnetIds=subnet-1",
    ]);
    let endpoint =
        moto.aws(&["eks", "describe-cluster", "--name", "blue_1", "--query", "cluster.endpoint", "--output", "text"]);
    let aws = Aws::at(&moto.endpoint, Moto::REGION).await;
    let (found, authority) = describe(&aws, "blue_1").await.expect("EKS knows it");
    assert_eq!(found, endpoint.trim());
    assert!(!authority.is_empty());

    let refused = describe(&aws, "green").await.expect_err("EKS does not know it");
    assert_eq!(
        error::chain(&refused),
        "failed to describe EKS cluster `green` (HTTP 404: No cluster found for name: green.)"
    );
}

/// A declared cluster is where EKS says that it is, in its own region and in the account of its role; a token goes
/// nowhere else.
#[tokio::test]
async fn a_declared_cluster_is_looked_for_in_its_own_region_and_account() {
    let Some(moto) = Moto::start().await else { return };
    let role = "arn:aws:iam::111122223333:role/deployer";
    let assumed = moto.aws(&["sts", "assume-role", "--role-arn", role, "--role-session-name", "test"]);
    let assumed: Value = serde_json::from_str(&assumed).expect("JSON");
    let secret = |key: &str| assumed["Credentials"][key].as_str().expect("a credential").to_owned();
    let [id, key, token] = [secret("AccessKeyId"), secret("SecretAccessKey"), secret("SessionToken")];
    let theirs = [
        ("AWS_ACCESS_KEY_ID", id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", key.as_str()),
        ("AWS_SESSION_TOKEN", token.as_str()),
    ];
    let region = ["--region", "eu-west-1"];
    let create = [
        "eks",
        "create-cluster",
        "--name",
        "green",
        "--role-arn",
        role,
        "--resources-vpc-config",
        "subnetIds=subnet-1",
    ];
    let describe = ["eks", "describe-cluster", "--name", "green", "--query", "cluster.endpoint", "--output", "text"];
    moto.aws_as(&theirs, &[create.as_slice(), &region].concat());
    let endpoint = moto.aws_as(&theirs, &[describe.as_slice(), &region].concat()).trim().to_owned();
    assert!(endpoint.contains(".eu-west-1.eks.amazonaws.com"), "{endpoint}");

    let aws = Aws::at(&moto.endpoint, Moto::REGION).await;
    let settings = config::Cluster::Eks { name: "none".to_owned(), endpoint: None };
    let clusters = Clusters::new(settings, aws, None);
    let get = async |server: &str, role: Option<&str>| {
        let config = json!({"awsAuthConfig": {"clusterName": "green", "roleARN": role}}).to_string();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "green"},
            "stringData": {"name": "green", "server": server, "config": config}});
        let secret = ClusterSecret::from_object(&Object::from_value(secret).expect("an object")).expect("a cluster");
        clusters.register(&[secret]).await;
        clusters.get("", "green").await.err().expect("moto's certificate authority is none")
    };
    // Everything fits but moto's certificate authority, which is no PEM.
    assert!(matches!(get(&endpoint, Some(role)).await, ClusterError::Authority(_)));
    let ours = get(&endpoint, None).await;
    assert!(error::chain(&ours).contains("No cluster found"), "our own account has none: {ours}");
    for elsewhere in ["https://thief.gr7.eu-west-1.eks.amazonaws.com".to_owned(), endpoint.replace("https", "http")] {
        let refused = get(&elsewhere, Some(role)).await;
        assert!(matches!(refused, ClusterError::Elsewhere { .. }), "{refused}");
        assert!(refused.to_string().contains(&elsewhere) && refused.to_string().contains(&endpoint), "{refused}");
    }
    // What names no region is looked for in our own.
    let refused = get("https://thief.example", Some(role)).await;
    assert!(error::chain(&refused).contains("No cluster found"), "{refused}");
}
