//! Builds an HTTP client for an API server: TLS, connections, retries.
//!
//! kube's own path from a kubeconfig to a client links a YAML parser, token caches and the code that starts credential
//! programs: none of it is used here, and all of it would be loaded at each cold start.

use std::net::IpAddr;
use std::time::Duration;

use hyper_rustls::{ConfigBuilderExt as _, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::middleware::BaseUriLayer;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use secrecy::{ExposeSecret as _, SecretString};
use tower::retry::RetryLayer;
use tower::util::MapErrLayer;

/// How long a connection may take to open: the API server of EKS is in the same region.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Endpoint and TLS settings of an API server.
pub(crate) struct Endpoint {
    /// `https://…`, or `http://…` for a server without credentials.
    pub(crate) url: String,
    /// PEM certificates that the server's certificate is verified against; `None` trusts the system's.
    pub(crate) ca: Option<String>,
    /// PEM of a client certificate and its key.
    pub(crate) identity: Option<(String, SecretString)>,
    /// The name in the server's certificate, where it differs from the URL's.
    pub(crate) server_name: Option<String>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Endpoint {
    /// Whether the connection is encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.uri().is_some_and(|url| url.scheme() == Some(&http::uri::Scheme::HTTPS))
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        self.uri().and_then(|url| address(url.host()?)).is_some_and(|address| address.is_loopback())
    }

    fn uri(&self) -> Option<http::Uri> {
        self.url.parse().ok()
    }
}

/// Builds a client of `endpoint` that retries when the server is overloaded (429, 503, 504). Sends no request yet. It
/// contacts no other server: a redirect is returned like any other response.
///
/// Errors: the URL, a certificate or the key is unreadable.
pub(crate) fn client(endpoint: &Endpoint) -> Result<kube::Client, BoxError> {
    let url: http::Uri = endpoint.url.parse()?;
    if url.authority().is_none() {
        return Err(format!("`{}` is not the URL of a server", endpoint.url).into());
    }
    let http: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector(endpoint)?);
    Ok(ClientBuilder::new(http, "default")
        .with_layer(&MapErrLayer::new(BoxError::from))
        .with_layer(&RetryLayer::new(RetryPolicy::server_retry()))
        .with_layer(&BaseUriLayer::new(url))
        .build())
}

fn connector(endpoint: &Endpoint) -> Result<HttpsConnector<HttpConnector>, BoxError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    // Requests are small and each response is awaited: delaying packets gains nothing.
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls(endpoint)?).https_or_http();
    let builder = match &endpoint.server_name {
        Some(name) => {
            builder.with_server_name_resolver(FixedServerNameResolver::new(ServerName::try_from(name.clone())?))
        }
        None => builder,
    };
    Ok(builder.enable_http1().wrap_connector(tcp))
}

fn tls(endpoint: &Endpoint) -> Result<ClientConfig, BoxError> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions()?;
    let builder = match &endpoint.ca {
        None => builder.with_native_roots()?,
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    Ok(match &endpoint.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())?;
            builder.with_client_auth_cert(certificates(certificate)?, key)?
        }
    })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err("there is no certificate in the PEM text".into()) } else { Ok(found) }
}
