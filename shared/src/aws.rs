//! Creates AWS clients from one configuration (rustls with ring, the only TLS stack), each when it is first used.

pub mod sign;

use std::sync::Arc;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::body::SdkBody;
use http_body_util::Full;
use hyper::body::Bytes;
use slipway_cluster::kubeconfig::AwsLogin;
use tokio::sync::OnceCell;

use crate::http::{Http, HttpError};

/// Limit of one call where the SDK has none of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The AWS account of the process; cheap to clone.
///
/// Nothing is read before a client is needed, so that a cold start pays only for what it uses.
#[derive(Debug, Clone, Default)]
pub struct Aws {
    config: Arc<OnceCell<SdkConfig>>,
    http: Http,
    is_sandbox: bool,
}

impl Aws {
    /// An account behind one endpoint, with credentials that open nothing: the sandbox's.
    pub async fn at(endpoint: &str, region: &str) -> Self {
        let credentials = Credentials::new("AKIASANDBOX", "sandbox", None, None, "sandbox");
        let http = Http::default();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client_of(&http))
            .endpoint_url(endpoint)
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials)
            .load()
            .await;
        Self { config: Arc::new(OnceCell::new_with(Some(config))), http, is_sandbox: true }
    }

    /// Whether its credentials open nothing, so that tokens derived from them are no secrets. Only code can set this,
    /// by [`at`](Self::at).
    pub fn is_sandbox(&self) -> bool {
        self.is_sandbox
    }

    /// Region, credentials and endpoints, from AWS's own variables and files.
    pub async fn config(&self) -> &SdkConfig {
        self.config
            .get_or_init(|| aws_config::defaults(BehaviorVersion::latest()).http_client(client_of(&self.http)).load())
            .await
    }

    /// The same in the name of a role, which may be one of another account.
    pub async fn config_as(&self, role: &str) -> SdkConfig {
        assume(self.config().await, role).await
    }

    /// The same account, with the credentials that a kubeconfig asks for, as the AWS command line takes them.
    pub async fn config_of(&self, login: &AwsLogin) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client_of(&self.http))
            .region(Region::new(login.region.clone()));
        if let Some(profile) = login.profile.as_ref().or(login.default_profile.as_ref()) {
            loader = loader.profile_name(profile);
        }
        if let Some(profile) = &login.profile {
            let only = ProfileFileCredentialsProvider::builder().profile_name(profile);
            loader = loader.credentials_provider(only.build());
        }
        let config = loader.load().await;
        let Some(role) = &login.role_arn else { return config };
        assume(&config, role).await
    }

    /// The HTTP client below, for other requests: its root certificates are read once.
    pub fn http(&self) -> &Http {
        &self.http
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

async fn assume(config: &SdkConfig, role: &str) -> SdkConfig {
    let assume = AssumeRoleProvider::builder(role).session_name("slipway").configure(config);
    let assumed = match config.credentials_provider() {
        Some(own) => assume.build_from_provider(own).await,
        None => assume.build().await,
    };
    config.to_builder().credentials_provider(SharedCredentialsProvider::new(assumed)).build()
}

/// The HTTP client of every AWS client. The SDK's own would link HTTP/2, which is not used.
fn client_of(http: &Http) -> SharedHttpClient {
    let http = http.clone();
    http_client_fn(move |settings, _| {
        let limits = settings.connect_timeout().zip(settings.read_timeout());
        let limit = limits.map_or(CALL_TIMEOUT, |(connect, read)| connect + read);
        SharedHttpConnector::new(Connector { http: http.clone(), limit })
    })
}

/// Adapts [`Http`] to the SDK.
#[derive(Debug)]
struct Connector {
    http: Http,
    limit: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (http, limit) = (self.http.clone(), self.limit);
        HttpConnectorFuture::new(async move {
            let answer = tokio::time::timeout(limit, exchange(&http, request)).await;
            answer.unwrap_or_else(|late| Err(ConnectorError::timeout(late.into())))
        })
    }
}

async fn exchange(http: &Http, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let user = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let (head, body) = request.try_into_http1x().map_err(|error| user(error.into()))?.into_parts();
    let bytes = body.bytes().map(Bytes::copy_from_slice).ok_or_else(|| user("a streamed body is never sent".into()))?;
    let answer = http.exchange_bytes(http::Request::from_parts(head, Full::new(bytes))).await;
    let answer = answer.map_err(|error| match error {
        error @ (HttpError::Request { .. } | HttpError::Roots(_)) => ConnectorError::user(error.into()),
        error => ConnectorError::io(error.into()),
    })?;
    HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::other(error.into(), None))
}

/// AWS's code of an error (`ResourceNotFoundException`), or the kind of failure.
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
