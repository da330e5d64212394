use aws_credential_types::Credentials;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use slipway_cluster::token;

/// `tests/reference/eks-token/record.py` recorded what the real `aws eks get-token` prints.
#[test]
fn the_token_is_what_the_aws_command_line_makes() {
    let records: Vec<Value> = serde_json::from_str(include_str!("../reference/eks-token/tokens.json")).unwrap();
    assert_eq!(records.len(), 8);
    for record in records {
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let session = record["sessionToken"].as_str().map(str::to_owned);
        let credentials = Credentials::from_keys(text("accessKey"), text("secretKey"), session);
        let now: jiff::Timestamp = text("time").parse().unwrap();
        let made = token::eks_token(&credentials, &text("region"), &text("cluster"), now.into()).unwrap();
        assert_eq!(made.expose_secret(), text("token"), "{} {}", text("region"), text("cluster"));
    }
}
