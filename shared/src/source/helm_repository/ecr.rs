//! Logs in at ECR, whose registries know AWS' roles.

use aws_config::Region;
use secrecy::SecretString;

use super::ChartError;
use crate::aws::{Aws, error_code};
use crate::source::download::FetchError;

/// The region of `host`, where that is a registry of ECR: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`. The token of the role
/// goes to such hosts only.
pub(super) fn region(host: &str) -> Option<&str> {
    let rest = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let (account, rest) = rest.split_once(".dkr.")?;
    let region = rest.strip_prefix("ecr.").or_else(|| rest.strip_prefix("ecr-fips."))?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_region = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_account && is_region).then_some(region)
}

/// The value of the header `Authorization` for ECR in `region`, by the role that the function has.
pub(super) async fn credential(aws: &Aws, region: &str) -> Result<SecretString, ChartError> {
    let what = format!("a login at ECR in {region}");
    let config = aws_sdk_ecr::config::Builder::from(aws.config().await).region(Region::new(region.to_owned())).build();
    let answer = aws_sdk_ecr::Client::from_conf(config).get_authorization_token().send().await;
    let answer = answer
        .map_err(|error| FetchError::later(&what, format!("ecr:GetAuthorizationToken: {}", error_code(&error))))?;
    let token = answer.authorization_data().first().and_then(|data| data.authorization_token());
    let token = token.ok_or_else(|| ChartError::fetch(&what, "the answer has no token"))?;
    Ok(SecretString::from(format!("Basic {token}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registries_of_ecr_get_the_roles_token() {
        for (host, expected) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
            ("123456789012.dkr.ecr.eu-west-1.evilamazonaws.com", None),
            ("123456789012.dkr.ecr.evil.example.amazonaws.com", None),
            ("evil.example.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("12345678901.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com:8443", None),
            ("bucket.s3.eu-west-1.amazonaws.com", None),
            ("public.ecr.aws", None),
        ] {
            assert_eq!(region(host), expected, "{host}");
        }
    }
}
