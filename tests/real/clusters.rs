use slipway::aws::Aws;
use slipway::clusters::describe;
use slipway::error;
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
