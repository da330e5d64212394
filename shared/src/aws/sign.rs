//! Signs single requests to AWS services whose whole SDK would be larger than everything else that a function links.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_types::service_config::ServiceConfigKey;
use http::{Method, Request};
use http_body_util::Full;
use hyper::body::Bytes;
use slipway_cluster::token::dns_suffix;

/// Why a request could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// No region or credentials in the environment.
    #[error("no AWS {0} in the environment")]
    NoAws(&'static str),
    /// The credentials could not be obtained, or the request is invalid.
    #[error("failed to sign a request to AWS {service}")]
    Sign {
        /// The service's signing name.
        service: &'static str,
        /// The signer's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A request to an AWS service.
pub struct Call<'a> {
    /// The service's signing name.
    pub service: &'static str,
    /// Where; the configured region without.
    pub region: Option<&'a str>,
    /// The method.
    pub method: Method,
    /// Begins with `/`, and is encoded ([`slipway_cluster::token::RESERVED`]).
    pub path: &'a str,
    /// Headers besides those of the signature.
    pub headers: &'a [(&'static str, &'a str)],
    /// JSON, or empty.
    pub body: &'a str,
}

/// Builds the request of `call`, signed now. The endpoint is the one configured for the service
/// (`AWS_ENDPOINT_URL_EKS`), the one for all (`AWS_ENDPOINT_URL`), or AWS's own.
pub async fn request(aws: &SdkConfig, call: Call<'_>) -> Result<Request<Full<Bytes>>, SignError> {
    let body = Bytes::copy_from_slice(call.body.as_bytes());
    request_with(aws, call, body).await
}

/// Like [`request`], with `body` in the place of the call's own: a file.
pub async fn request_with(aws: &SdkConfig, call: Call<'_>, body: Bytes) -> Result<Request<Full<Bytes>>, SignError> {
    let Call { service, region, method, path, headers, .. } = call;
    let failed = |source| SignError::Sign { service, source };
    let region = region.or(aws.region().map(AsRef::as_ref)).ok_or(SignError::NoAws("region"))?;
    let provider = aws.credentials_provider().ok_or(SignError::NoAws("credentials"))?;
    let credentials = provider.provide_credentials().await.map_err(|error| failed(error.into()))?;
    let endpoint = endpoint(aws, service).or_else(|| aws.endpoint_url().map(str::to_owned));
    let endpoint = endpoint.unwrap_or_else(|| format!("https://{service}.{region}.{}", dns_suffix(region)));
    let url = format!("{}{path}", endpoint.trim_end_matches('/'));

    let mut settings = SigningSettings::default();
    if service == "s3" {
        // It wants the digest in a header, and signs paths as they are.
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
    }
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(|error| failed(error.into()))?
        .into();
    let signable = SignableRequest::new(method.as_str(), &url, headers.iter().copied(), SignableBody::Bytes(&body));
    let signed = signable.and_then(|signable| sign(signable, &params)).map_err(|error| failed(error.into()))?;
    let request = headers
        .iter()
        .fold(Request::builder().method(method).uri(&url), |request, (name, value)| request.header(*name, *value));
    let mut request = request.body(Full::from(body.clone())).map_err(|error| failed(error.into()))?;
    signed.into_parts().0.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// The endpoint that variables or the profile set for `service` alone, as AWS's own SDKs read it.
fn endpoint(aws: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service).profile("endpoint_url").env("AWS_ENDPOINT_URL");
    aws.service_config()?.load_config(key.build().ok()?)
}
