//! Creates the token by which an AWS identity authenticates to an EKS cluster: a presigned STS GetCallerIdentity.
//!
//! Byte-equal to the token of `aws eks get-token` for the same credentials and time (aws/aws-cli
//! `awscli/customizations/eks/get_token.py`, boto/botocore `botocore/auth.py`). Pure: the clock is an argument.

#![warn(clippy::arithmetic_side_effects)]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;

/// How long a token is used: the server accepts it for 15 minutes, clients renew it a minute earlier.
pub const LIFETIME: Duration = Duration::from_mins(14);

/// Why no token could be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The signer rejected its input.
    #[error("failed to sign the token for EKS cluster `{cluster}`")]
    Sign {
        /// Name of the EKS cluster.
        cluster: String,
        /// The signer's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Creates the bearer token for EKS cluster `cluster` in `region` at `now`: `k8s-aws-v1.` and the base64url of a GET of
/// STS' regional GetCallerIdentity, signed for 60 seconds together with the header `x-k8s-aws-id`.
pub fn eks_token(
    credentials: &Credentials,
    region: &str,
    cluster: &str,
    now: SystemTime,
) -> Result<SecretString, TokenError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| TokenError::Sign { cluster: cluster.to_owned(), source };
    let endpoint = format!("https://sts.{region}.{}/", dns_suffix(region));
    let operation = "Action=GetCallerIdentity&Version=2011-06-15";

    let identity = credentials.clone().into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_mins(1));
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| failed(error.into()))?
        .into();
    let headers = [("x-k8s-aws-id", cluster)];
    let request =
        SignableRequest::new("GET", format!("{endpoint}?{operation}"), headers.into_iter(), SignableBody::empty())
            .map_err(|error| failed(error.into()))?;
    let (instructions, _) = sign(request, &params).map_err(|error| failed(error.into()))?.into_parts();

    // The signature covers the parameters in sorted order; the URL has botocore's order.
    let mut query = vec![operation.to_owned()];
    for name in ORDER {
        let values = instructions.params().iter().filter(|(key, _)| *key == name);
        query.extend(values.map(|(_, value)| format!("{name}={}", utf8_percent_encode(value, RESERVED))));
    }
    let query = query.join("&");
    Ok(SecretString::from(format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(format!("{endpoint}?{query}")))))
}

/// The order of botocore's parameters in a presigned URL.
const ORDER: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
];

/// AWS signs unreserved characters (RFC 3986) of paths and queries as they are, and all others escaped.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The DNS suffix of a region's partition (boto/botocore `botocore/data/partitions.json`).
pub fn dns_suffix(region: &str) -> &'static str {
    const SUFFIXES: [(&str, &str); 6] = [
        ("cn-", "amazonaws.com.cn"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("eusc-", "amazonaws.eu"),
    ];
    SUFFIXES.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("amazonaws.com", |(_, suffix)| suffix)
}
