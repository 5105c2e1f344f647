//! The relay's CA: certificates for devices and for the relay's own TLS, ECDSA P-256.
//!
//! It vouches for machines in this relay's net only; signers and time stamps are never judged by it.

mod profile;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, ID_EC_PUBLIC_KEY, SECP_256_R_1};
use der::asn1::{BitString, Ia5String, OctetString};
use der::{Decode as _, DecodePem as _, Encode as _};
use formats::wire::{DeviceId, FacilityCode};
use sha2::{Digest as _, Sha256};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::OffsetDateTime;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use crate::folder::owners_alone;

/// Life of a device certificate. It is renewed long before; a device that is silent for so long enrols anew.
pub const DEVICE_LIFE: time::Duration = time::Duration::days(90);

/// Why a certificate was not issued, or the CA not opened.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// A file is not what it should be.
    #[error("{0}: {1}")]
    Malformed(PathBuf, &'static str),
    /// The public key is no SubjectPublicKeyInfo, or of a kind TLS 1.3 here does not take.
    #[error("the public key is not of a supported kind (P-256, P-384, or RSA of 2048 bits and more)")]
    PublicKey,
    /// A name that fits no certificate.
    #[error("{0:?} fits no certificate")]
    Name(String),
    /// The certificate could not be put together or signed.
    #[error("the certificate could not be made: {0}")]
    Make(String),
}

/// The CA, ready to sign.
pub struct RelayCa {
    certificate: Vec<u8>,
    subject: Name,
    spki: SubjectPublicKeyInfoOwned,
    identifier: OctetString,
    key: EcdsaKeyPair,
}

/// A new P-256 key.
pub struct NewKey {
    /// PKCS #8 as PEM: secret.
    pub pem: String,
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
}

impl NewKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`CaError::Make`] if the system has no random bytes.
    pub fn generate() -> Result<Self, CaError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| CaError::Make("no random bytes".into()))?;
        let key = signing_key(document.as_ref()).ok_or_else(|| CaError::Make("key not readable".into()))?;
        Ok(Self {
            pem: pem("PRIVATE KEY", document.as_ref())?,
            spki: public_key(&key)?.to_der().map_err(make)?,
        })
    }
}

impl RelayCa {
    /// Makes a new CA with a certificate of its own.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn create(
        name: &str,
        key: &NewKey,
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let subject = profile::name(&[(profile::COMMON_NAME, name)])?;
        let spki = SubjectPublicKeyInfoOwned::from_der(&key.spki).map_err(make)?;
        let (_, document) = der::Document::from_pem(&key.pem).map_err(make)?;
        let key = signing_key(document.as_bytes()).ok_or_else(|| CaError::Make("key not readable".into()))?;
        let mut ca = Self {
            certificate: Vec::new(),
            subject: subject.clone(),
            identifier: profile::key_identifier(&spki)?,
            spki,
            key,
        };
        let extensions = profile::authority(&ca.spki)?;
        ca.certificate = ca.sign(subject, ca.spki.clone(), not_before, not_after, extensions)?;
        Ok(ca)
    }

    /// Opens the CA from its certificate (PEM) and key (PEM, PKCS #8, P-256).
    ///
    /// # Errors
    /// [`CaError::Read`], [`CaError::Malformed`] naming the file and what it lacks.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CaError> {
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| CaError::Read(path.into(), error));
        let parsed = Certificate::from_pem(read(certificate)?)
            .map_err(|_| CaError::Malformed(certificate.into(), "not one certificate in PEM"))?;
        let tbs = parsed.tbs_certificate();
        if !profile::is_authority(&parsed) {
            return Err(CaError::Malformed(certificate.into(), "not the certificate of a CA"));
        }
        owners_alone(key).map_err(|error| CaError::Read(key.into(), error))?;
        let (_, document) = der::Document::from_pem(&read(key)?)
            .map_err(|_| CaError::Malformed(key.into(), "not a key in PEM (PKCS #8)"))?;
        let signing = signing_key(document.as_bytes())
            .ok_or_else(|| CaError::Malformed(key.into(), "not a P-256 key in PKCS #8"))?;
        if public_key(&signing)? != *tbs.subject_public_key_info() {
            return Err(CaError::Malformed(key.into(), "not the key of the CA's certificate"));
        }
        Ok(Self {
            certificate: parsed.to_der().map_err(make)?,
            subject: tbs.subject().clone(),
            spki: tbs.subject_public_key_info().clone(),
            identifier: profile::authority_identifier(&parsed)?,
            key: signing,
        })
    }

    /// The CA's certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The CA's certificate, PEM.
    ///
    /// # Errors
    /// None that happens: only a certificate that was made or read is encoded.
    pub fn certificate_pem(&self) -> Result<String, CaError> {
        certificate_pem(&self.certificate)
    }

    /// The key pin: base64url, without padding, of the SHA-256 of the CA's SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// As [`RelayCa::certificate_pem`].
    pub fn pin(&self) -> Result<String, CaError> {
        Ok(URL_SAFE_NO_PAD.encode(Sha256::digest(self.spki.to_der().map_err(make)?)))
    }

    /// A certificate for a device: clientAuth, SAN URI `hikyaku:FACILITY:DEVICE`.
    ///
    /// `spki` is the SubjectPublicKeyInfo of the device's request (DER), whose signature the caller has checked.
    ///
    /// # Errors
    /// [`CaError::PublicKey`], [`CaError::Make`].
    pub fn issue_device(
        &self,
        spki: &[u8],
        facility: &FacilityCode,
        device: &DeviceId,
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<Vec<u8>, CaError> {
        let spki = subject_key(spki)?;
        let subject = profile::name(&[
            (profile::ORGANIZATION_NAME, facility.as_str()),
            (profile::COMMON_NAME, device.as_str()),
        ])?;
        let uri = Ia5String::new(&device_uri(facility, device)).map_err(make)?;
        let names = vec![GeneralName::UniformResourceIdentifier(uri)];
        let extensions = profile::end_entity(&spki, &self.identifier, ID_KP_CLIENT_AUTH, names)?;
        self.sign(subject, spki, not_before, not_after, extensions)
    }

    /// A certificate for a TLS server under these DNS names and IP addresses.
    ///
    /// # Errors
    /// [`CaError::PublicKey`], [`CaError::Name`], [`CaError::Make`].
    pub fn issue_server(
        &self,
        spki: &[u8],
        names: &[String],
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<Vec<u8>, CaError> {
        let spki = subject_key(spki)?;
        let first = names.first().ok_or_else(|| CaError::Name(String::new()))?;
        let alternatives = names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?;
        let extensions = profile::end_entity(&spki, &self.identifier, ID_KP_SERVER_AUTH, alternatives)?;
        self.sign(
            profile::name(&[(profile::COMMON_NAME, first)])?,
            spki,
            not_before,
            not_after,
            extensions,
        )
    }

    fn sign(
        &self,
        subject: Name,
        spki: SubjectPublicKeyInfoOwned,
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
        extensions: Vec<x509_cert::ext::Extension>,
    ) -> Result<Vec<u8>, CaError> {
        let algorithm = AlgorithmIdentifierOwned {
            oid: ECDSA_WITH_SHA_256,
            parameters: None,
        };
        let tbs = profile::to_be_signed(
            algorithm.clone(),
            self.subject.clone(),
            (not_before, not_after),
            subject,
            spki,
            extensions,
        )?;
        let signature = self
            .key
            .sign(&SystemRandom::new(), &tbs)
            .map_err(|_| CaError::Make("the key did not sign".into()))?;
        profile::signed(&tbs, &algorithm, signature.as_ref())
    }
}

/// What a device certificate's SAN says: `hikyaku:FACILITY:DEVICE`.
#[must_use]
pub fn device_uri(facility: &FacilityCode, device: &DeviceId) -> String {
    format!("hikyaku:{facility}:{device}")
}

/// A certificate as PEM.
///
/// # Errors
/// [`CaError::Make`] if it is too long for PEM.
pub fn certificate_pem(certificate: &[u8]) -> Result<String, CaError> {
    pem("CERTIFICATE", certificate)
}

fn pem(label: &str, der: &[u8]) -> Result<String, CaError> {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).map_err(|error| CaError::Make(error.to_string()))
}

fn signing_key(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).ok()
}

fn public_key(key: &EcdsaKeyPair) -> Result<SubjectPublicKeyInfoOwned, CaError> {
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: ID_EC_PUBLIC_KEY,
            parameters: Some((&SECP_256_R_1).into()),
        },
        subject_public_key: BitString::from_bytes(key.public_key().as_ref()).map_err(make)?,
    })
}

fn subject_key(spki: &[u8]) -> Result<SubjectPublicKeyInfoOwned, CaError> {
    SubjectPublicKeyInfoOwned::from_der(spki)
        .ok()
        .filter(profile::acceptable_key)
        .ok_or(CaError::PublicKey)
}

fn server_name(name: &str) -> Result<GeneralName, CaError> {
    match name.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => Ok(GeneralName::IpAddress(
            OctetString::new(address.octets()).map_err(make)?,
        )),
        Ok(IpAddr::V6(address)) => Ok(GeneralName::IpAddress(
            OctetString::new(address.octets()).map_err(make)?,
        )),
        Err(_) => Ok(GeneralName::DnsName(
            Ia5String::new(name).map_err(|_| CaError::Name(name.into()))?,
        )),
    }
}

fn make(error: impl std::fmt::Display) -> CaError {
    CaError::Make(error.to_string())
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn verify(ca: &RelayCa, leaf: &[u8], usage: KeyUsage, seconds: u64) -> Result<(), webpki::Error> {
        let (ca, leaf) = (CertificateDer::from(ca.certificate()), CertificateDer::from(leaf));
        let anchors = [anchor_from_trusted_cert(&ca).unwrap()];
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], now, usage, None, None)
            .map(drop)
    }

    fn ca() -> (RelayCa, NewKey) {
        let key = NewKey::generate().unwrap();
        let ca = RelayCa::create("TEST relay CA", &key, at(1_700_000_000), at(2_600_000_000)).unwrap();
        (ca, key)
    }

    #[test]
    fn device_and_server_certificates_verify_for_their_purpose_only() {
        let (ca, _) = ca();
        let (facility, device) = ("1310000001".parse().unwrap(), "desk-1".parse().unwrap());
        let spki = NewKey::generate().unwrap().spki;
        let leaf = ca
            .issue_device(&spki, &facility, &device, at(1_700_000_000), at(1_707_776_000))
            .unwrap();
        verify(&ca, &leaf, KeyUsage::client_auth(), 1_700_000_100).unwrap();
        assert!(verify(&ca, &leaf, KeyUsage::server_auth(), 1_700_000_100).is_err());
        assert!(verify(&ca, &leaf, KeyUsage::client_auth(), 1_707_776_001).is_err());
        let uri = b"hikyaku:1310000001:desk-1";
        assert!(leaf.windows(uri.len()).any(|window| window == uri));

        let names = ["relay.example".into(), "127.0.0.1".into(), "::1".into()];
        let server = ca
            .issue_server(&spki, &names, at(1_700_000_000), at(1_707_776_000))
            .unwrap();
        verify(&ca, &server, KeyUsage::server_auth(), 1_700_000_100).unwrap();
        let server = CertificateDer::from(server);
        let server = EndEntityCert::try_from(&server).unwrap();
        for name in ["relay.example", "127.0.0.1", "::1"] {
            server
                .verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap())
                .unwrap();
        }
        assert!(
            server
                .verify_is_valid_for_subject_name(&ServerName::try_from("other.example").unwrap())
                .is_err()
        );
    }

    #[test]
    fn opens_what_was_written_and_nothing_that_does_not_fit_together() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("ca.pem"), folder.path().join("ca.key"));
        let (ca, secret) = ca();
        std::fs::write(&certificate, ca.certificate_pem().unwrap()).unwrap();
        crate::folder::replace(&key, secret.pem.as_bytes()).unwrap();
        let opened = RelayCa::load(&certificate, &key).unwrap();
        assert_eq!(opened.pin().unwrap(), ca.pin().unwrap());
        assert_eq!(opened.pin().unwrap().len(), 43);
        let facility = "x-a".parse().unwrap();
        let spki = NewKey::generate().unwrap().spki;
        let leaf = opened.issue_device(
            &spki,
            &facility,
            &"d".parse().unwrap(),
            at(1_700_000_000),
            at(1_800_000_000),
        );
        verify(&ca, &leaf.unwrap(), KeyUsage::client_auth(), 1_700_000_100).unwrap();

        crate::folder::replace(&key, NewKey::generate().unwrap().pem.as_bytes()).unwrap();
        assert!(matches!(RelayCa::load(&certificate, &key), Err(CaError::Malformed(path, _)) if path == key));
        let leaf = ca
            .issue_server(&spki, &["a.example".into()], at(1_700_000_000), at(1_800_000_000))
            .unwrap();
        std::fs::write(&certificate, certificate_pem(&leaf).unwrap()).unwrap();
        assert!(matches!(RelayCa::load(&certificate, &key), Err(CaError::Malformed(path, _)) if path == certificate));
    }

    #[test]
    fn unsuitable_keys_are_refused() {
        let (ca, _) = ca();
        let (facility, device) = ("x-a".parse().unwrap(), "d".parse().unwrap());
        let mut spki = NewKey::generate().unwrap().spki;
        let issue = |spki: &[u8]| ca.issue_device(spki, &facility, &device, at(1_700_000_000), at(1_800_000_000));
        assert!(matches!(issue(b"no key"), Err(CaError::PublicKey)));
        // The last octet of the OID of P-256 made that of P-192's successor: another curve.
        let curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let place = spki.windows(8).position(|window| window == curve).unwrap();
        spki[place + 7] = 0x01;
        assert!(matches!(issue(&spki), Err(CaError::PublicKey)));
    }
}
