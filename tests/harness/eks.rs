//! The cluster token: equal to what `aws eks get-token` makes, accepted by the API server, refused one byte off.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use secrecy::ExposeSecret;
use serde_json::Value;
use slipway_cluster::token::eks_token;
use slipway_tests::skip::or_skip;
use slipway_tests::{Authenticator, ControlPlane, Options, tools};

const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// As Lambda's are: long, with characters that a URL must escape.
const SESSION: &str = "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCWV1LWNlbnRyYWwtMSJHMEUCIQ+D/abc==";

fn credentials(session: Option<&str>) -> Credentials {
    Credentials::new(ACCESS_KEY, SECRET_KEY, session.map(str::to_owned), None, "test")
}

fn environment(region: &str, session: Option<&str>) -> Vec<(String, String)> {
    let pairs = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
    ];
    let session = session.map(|token| ("AWS_SESSION_TOKEN", token));
    pairs.into_iter().chain(session).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_token_equals_that_of_the_aws_command_line() {
    let Some(python) = or_skip("aws eks get-token", tools::python()) else { return };
    let mut compared = 0;
    for region in ["eu-central-1", "us-east-1", "ap-southeast-4"] {
        for session in [None, Some(SESSION)] {
            for (cluster, epoch) in [("prod", 1_790_000_000_u64), ("team_a-Stage-2", 1_767_225_599)] {
                let mut command = Command::new(python.join("python"));
                command.arg(tools::workspace().join("tests/python/get_token.py")).arg(epoch.to_string());
                command.args(["eks", "get-token", "--cluster-name", cluster, "--region", region, "--output", "json"]);
                command.env_remove("AWS_PROFILE").envs(environment(region, session));
                let printed: Value =
                    serde_json::from_str(&tools::capture(&mut command).expect("aws answers")).expect("JSON");
                let now = UNIX_EPOCH + Duration::from_secs(epoch);
                let ours = eks_token(&credentials(session), region, cluster, now).expect("a token");
                assert_eq!(printed["status"]["token"].as_str(), Some(ours.expose_secret()), "{region} {cluster}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 12);
}

#[tokio::test]
async fn the_api_server_takes_the_token_and_none_that_is_one_byte_off() {
    let region = "eu-central-1";
    let Some(authenticator) = Authenticator::start("prod", &environment(region, Some(SESSION))).await else { return };
    let options = Options { token_webhook: Some(authenticator.url.clone()), bare: true };
    let Some(cluster) = ControlPlane::start(&options) else { return };
    let status = async |token: &str| {
        let mut config = kube::Config::new(cluster.endpoint.parse().expect("a URL"));
        config.root_cert = Some(cluster.authorities());
        config.auth_info.token = Some(token.to_owned().into());
        let client = kube::Client::try_from(config).expect("a client");
        match client.list_core_api_versions().await {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(error) => panic!("{error}"),
        }
    };
    let token = |cluster: &str, now| eks_token(&credentials(Some(SESSION)), region, cluster, now).expect("a token");
    let good = token("prod", SystemTime::now());
    let good = good.expose_secret();
    assert_eq!(status(good).await, 200);

    let mut refused = 0;
    // Every part of the token is signed: spread the changes over its whole length, the last byte included.
    for at in (12..good.len()).step_by(good.len() / 16).chain([good.len() - 1]) {
        let mut off = good.as_bytes().to_vec();
        off[at] = if off[at] == b'A' { b'B' } else { b'A' };
        let off = String::from_utf8(off).expect("ASCII");
        assert_eq!(status(&off).await, 401, "byte {at}");
        refused += 1;
    }
    assert!(refused > 16);
    assert_eq!(status(token("stage", SystemTime::now()).expose_secret()).await, 401, "another cluster's token");
    let old = SystemTime::now() - Duration::from_mins(16);
    assert_eq!(status(token("prod", old).expose_secret()).await, 401, "a token of 16 minutes ago");
}
