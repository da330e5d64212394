//! Connects with certificates that a root declares: the authorities of a host, and the client's own certificate.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;

use super::HttpError;
use crate::app::repository::ClientCertificate;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The certificates of a connection; by default the system's authorities, and none of the client.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tls {
    /// The authorities that the host is trusted by instead of the system's: PEM.
    pub authorities: Option<String>,
    /// The client's own certificate.
    pub client: Option<ClientCertificate>,
}

impl Tls {
    /// The configuration of its connections; `None` for the usual one.
    pub(super) fn config(&self) -> Result<Option<ClientConfig>, HttpError> {
        if *self == Self::default() {
            return Ok(None);
        }
        let wrong = |what| move |source: Cause| HttpError::Certificate { what, source };
        let (of_host, of_client) = (wrong("the host's entry in argocd-tls-certs-cm"), wrong("`tlsClientCertData`"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| of_host(error.into()))?;
        let builder = match &self.authorities {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem).map_err(of_host)? {
                    roots.add(certificate).map_err(|error| of_host(error.into()))?;
                }
                builder.with_root_certificates(roots)
            }
            None => builder.with_native_roots().map_err(HttpError::Roots)?,
        };
        Ok(Some(match &self.client {
            None => builder.with_no_client_auth(),
            Some(ClientCertificate { certificate, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
                // An error of a key may say what is in it.
                let key = key.map_err(|_| of_client("`tlsClientCertKey` is no private key in PEM".into()))?;
                let chain = certificates(certificate).map_err(of_client)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| of_client(error.into()))?
            }
        }))
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
    if found.is_empty() { Err("it has no certificate in PEM".into()) } else { Ok(found) }
}
