//! Whom the client talks to: TLS 1.3 only, the relay known by its own CA, or before enrolment by that CA's pin.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::{Decode, Encode};
use formats::digest::sha256;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::{ApiError, provider};

/// What enrolment left on this machine.
#[derive(Clone)]
pub struct Identity {
    /// Device certificate and its issuers, PEM.
    pub chain: Vec<u8>,
    /// Device key, PEM (PKCS #8).
    pub key: Vec<u8>,
    /// The relay's CA, PEM.
    pub relay_ca: Vec<u8>,
}

/// SHA-256 of the SubjectPublicKeyInfo of the relay's CA: the second half of an enrolment code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

impl Pin {
    /// Reads the base64url form of an enrolment code.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text.trim()).ok()?.try_into().ok().map(Self)
    }
}

pub(super) fn enrolled(identity: &Identity) -> Result<ClientConfig, ApiError> {
    let unusable = |what: &str| ApiError::Unexpected(format!("the {what} of this device cannot be read"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&identity.relay_ca) {
        let certificate = certificate.map_err(|_| unusable("relay's CA certificate"))?;
        roots.add(certificate).map_err(|_| unusable("relay's CA certificate"))?;
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&identity.chain)
        .collect::<Result<_, _>>()
        .map_err(|_| unusable("certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|_| unusable("key"))?;
    builder()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| ApiError::Unexpected(format!("the certificate of this device cannot be used: {error}")))
}

pub(super) fn pinned(pin: Pin) -> Result<ClientConfig, ApiError> {
    Ok(builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedCa { pin }))
        .with_no_client_auth())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, ApiError> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| ApiError::Unexpected(error.to_string()))
}

/// Accepts a server whose chain, as sent, ends in the CA with this pin; validity, name and signatures are judged as ever.
#[derive(Debug)]
struct PinnedCa {
    pin: Pin,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates
            .iter()
            .find(|certificate| spki_sha256(certificate) == Some(self.pin.0))
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)?;
        rustls::client::verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What went wrong in TLS, where the person can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server's certificate is not of the CA expected.
    OtherIssuer,
    /// The server wants a certificate of the client (RFC 8446 §6.2, `certificate_required`).
    CertificateRequired,
}

/// Looks for what TLS said among the causes of `error`.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        match current.downcast_ref::<Error>() {
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
                return Some(Refusal::OtherIssuer);
            }
            Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
                return Some(Refusal::CertificateRequired);
            }
            _ => {}
        }
        // An `io::Error` passes over the error it wraps when asked for its source.
        cause = match current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    None
}

fn spki_sha256(certificate: &[u8]) -> Option<[u8; 32]> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    Some(sha256(
        &certificate.tbs_certificate().subject_public_key_info().to_der().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_32_bytes_in_base64url() {
        assert_eq!(
            Pin::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            Some(Pin([0; 32]))
        );
        for wrong in [
            "",
            "AAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(Pin::parse(wrong), None, "{wrong}");
        }
    }
}
