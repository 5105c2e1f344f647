//! TLS: 1.3 only, aws-lc-rs only; devices must show a certificate of the relay's own CA.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::CertificatePaths;
use crate::folder::owners_alone;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not go together, or cannot be used for TLS 1.3.
    #[error("TLS certificate and key cannot be used: {0}")]
    Unusable(String),
}

/// Acceptors of the API listener (client certificate required) and of the portal listener (none asked for).
///
/// # Errors
/// [`TlsError`], in words for the operator.
pub(crate) fn acceptors(own: &CertificatePaths, ca: &Path) -> Result<(TlsAcceptor, TlsAcceptor), TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let issuer = certificates(ca)?
        .into_iter()
        .next()
        .ok_or_else(|| unreadable(ca, "no certificate in it"))?;
    roots.add(issuer).map_err(unusable)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| TlsError::Unusable(error.to_string()))?;
    let api = with_own(builder(&provider)?.with_client_cert_verifier(verifier), own)?;
    let portal = with_own(builder(&provider)?.with_no_client_auth(), own)?;
    Ok((api, portal))
}

/// For connections to another server, known by the certificates in `ca`; shows `own` where there is one.
///
/// # Errors
/// [`TlsError`], in words for the operator.
pub(crate) fn connector(ca: &Path, own: Option<&CertificatePaths>) -> Result<TlsConnector, TlsError> {
    let mut roots = RootCertStore::empty();
    for issuer in certificates(ca)? {
        roots.add(issuer).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(unreadable(ca, "no certificate in it"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = private_key(&own.key)?;
            let chain = certificates(&own.certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(unusable)?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn builder(
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
    ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)
}

fn with_own(
    builder: ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    own: &CertificatePaths,
) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(&own.certificate)?;
    let key = private_key(&own.key)?;
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed session would skip the look at the client certificate's validity.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    owners_alone(path).map_err(|error| unreadable(path, error))?;
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, reason: impl std::fmt::Display) -> TlsError {
    TlsError::Read {
        path: path.into(),
        reason: reason.to_string(),
    }
}

fn unusable(error: rustls::Error) -> TlsError {
    TlsError::Unusable(error.to_string())
}
