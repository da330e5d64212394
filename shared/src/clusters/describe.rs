//! Calls `eks:DescribeCluster`, the only request to EKS: a signed GET, since the whole SDK of EKS would be larger than
//! everything else that a function links.

use std::time::Duration;

use aws_config::SdkConfig;
use http::Method;
use percent_encoding::utf8_percent_encode;
use slipway_cluster::token::RESERVED;

use super::ClusterError;
use crate::aws::Aws;
use crate::aws::sign::{self, Call, SignError};

/// EKS answers within milliseconds; waiting longer would use up the invocation.
const LIMIT: Duration = Duration::from_secs(10);

/// Endpoint and certificate authority (base64 PEM) of the EKS cluster `name` in our own region and account.
///
/// Errors: no region or credentials, no response, a response other than 200 with EKS's message, a cluster without an
/// endpoint.
pub async fn describe(aws: &Aws, name: &str) -> Result<(String, String), ClusterError> {
    describe_in(aws, aws.config().await, name).await
}

/// Like [`describe`], in the region and account of `config`.
pub(super) async fn describe_in(aws: &Aws, config: &SdkConfig, name: &str) -> Result<(String, String), ClusterError> {
    let failed = |why: String, source: Option<Box<dyn std::error::Error + Send + Sync>>| ClusterError::Describe {
        name: name.to_owned(),
        why,
        source,
    };
    let path = format!("/clusters/{}", utf8_percent_encode(name, RESERVED));
    let call = Call { service: "eks", region: None, method: Method::GET, path: &path, headers: &[], body: "" };
    let request = sign::request(config, call).await.map_err(|error| match error {
        SignError::NoAws(what) => ClusterError::NoAws(what),
        error => failed("the request can't be signed".to_owned(), Some(Box::new(error))),
    })?;
    let answer = aws.http().send(request, LIMIT).await;
    let answer = answer.map_err(|error| failed("no answer".to_owned(), Some(Box::new(error))))?;
    let text = |pointer: &str| answer.body.pointer(pointer).and_then(|value| value.as_str()).map(str::to_owned);
    if answer.status != 200 {
        let words = text("/message").or_else(|| text("/Message")).unwrap_or_default();
        return Err(failed(format!("HTTP {}: {words}", answer.status), None));
    }
    let found = text("/cluster/endpoint").zip(text("/cluster/certificateAuthority/data"));
    found.ok_or_else(|| ClusterError::NoEndpoint(name.to_owned()))
}
