//! `eks:DescribeCluster`, the one call to EKS: a signed GET, since the whole SDK of EKS would weigh more than everything
//! else that a function links.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use slipway_cluster::token::dns_suffix;

use super::ClusterError;
use crate::http::Http;

/// EKS answers within milliseconds; a minute of the invocation is not spent on waiting for it.
const LIMIT: Duration = Duration::from_secs(10);

/// AWS signs a path with its unreserved characters (RFC 3986) as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Endpoint and certificate authority (base64 PEM) of the EKS cluster `name`.
///
/// Errors: no region or credentials, no answer, an answer other than 200 with EKS's own words, a cluster without an endpoint.
pub async fn describe(aws: &SdkConfig, name: &str) -> Result<(String, String), ClusterError> {
    let failed = |why: String, source: Option<Box<dyn std::error::Error + Send + Sync>>| ClusterError::Describe {
        name: name.to_owned(),
        why,
        source,
    };
    let request = signed(aws, name).await.map_err(|refused| match refused {
        Refused::NoAws(what) => ClusterError::NoAws(what),
        Refused::Sign(source) => failed("the request can't be signed".to_owned(), Some(source)),
    })?;
    let answer = Http::default().send(request, LIMIT).await;
    let answer = answer.map_err(|error| failed("no answer".to_owned(), Some(Box::new(error))))?;
    let text = |pointer: &str| answer.body.pointer(pointer).and_then(|value| value.as_str()).map(str::to_owned);
    if answer.status != 200 {
        let words = text("/message").or_else(|| text("/Message")).unwrap_or_default();
        return Err(failed(format!("HTTP {}: {words}", answer.status), None));
    }
    let found = text("/cluster/endpoint").zip(text("/cluster/certificateAuthority/data"));
    found.ok_or_else(|| ClusterError::NoEndpoint(name.to_owned()))
}

enum Refused {
    NoAws(&'static str),
    Sign(Box<dyn std::error::Error + Send + Sync>),
}

async fn signed(aws: &SdkConfig, name: &str) -> Result<http::Request<Full<Bytes>>, Refused> {
    let region = aws.region().ok_or(Refused::NoAws("region"))?.as_ref();
    let provider = aws.credentials_provider().ok_or(Refused::NoAws("credentials"))?;
    let credentials = provider.provide_credentials().await.map_err(|error| Refused::Sign(error.into()))?;
    let endpoint = match aws.endpoint_url() {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None => format!("https://eks.{region}.{}", dns_suffix(region)),
    };
    let url = format!("{endpoint}/clusters/{}", utf8_percent_encode(name, RESERVED));

    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("eks")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| Refused::Sign(error.into()))?
        .into();
    let signable = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::empty());
    let signed = signable.and_then(|signable| sign(signable, &params)).map_err(|error| Refused::Sign(error.into()))?;
    let mut request = http::Request::get(&url).body(Full::default()).map_err(|error| Refused::Sign(error.into()))?;
    signed.into_parts().0.apply_to_request_http1x(&mut request);
    Ok(request)
}
