//! AWS: one configuration (rustls with ring, the only TLS stack), clients made when first used.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::result::SdkError;
use tokio::sync::OnceCell;

/// The account that the process runs in; cheap to clone.
///
/// Nothing is read before a client is asked for, so that a cold start pays for what it uses.
#[derive(Debug, Clone, Default)]
pub struct Aws {
    config: Arc<OnceCell<SdkConfig>>,
}

impl Aws {
    /// An account behind one endpoint, with credentials that open nothing: the sandbox's.
    pub async fn at(endpoint: &str, region: &str) -> Self {
        let credentials = Credentials::new("AKIASANDBOX", "sandbox", None, None, "sandbox");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client())
            .endpoint_url(endpoint)
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials)
            .load()
            .await;
        Self { config: Arc::new(OnceCell::new_with(Some(config))) }
    }

    /// Region, credentials and endpoints, as AWS's own variables and files give them.
    pub async fn config(&self) -> &SdkConfig {
        self.config
            .get_or_init(|| aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()).load())
            .await
    }

    /// A client of Secrets Manager.
    pub async fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(self.config().await)
    }

    /// A client of SQS.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(self.config().await)
    }

    /// A client of ECR.
    pub async fn ecr(&self) -> aws_sdk_ecr::Client {
        aws_sdk_ecr::Client::new(self.config().await)
    }
}

/// The HTTP client that every AWS client shares.
pub fn http_client() -> aws_smithy_runtime_api::client::http::SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// AWS's code of an error (`ResourceNotFoundException`), or what kind of failure it was.
pub fn error_code<E, R>(error: &SdkError<E, R>) -> String
where
    E: aws_sdk_sqs::error::ProvideErrorMetadata,
{
    match error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or("unknown error").to_owned(),
        SdkError::TimeoutError(_) => "timed out".to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        SdkError::ResponseError(_) => "unreadable answer".to_owned(),
        _ => "request could not be made".to_owned(),
    }
}
