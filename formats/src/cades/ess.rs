//! The ESS signing-certificate attribute: which certificate the signer means, RFC 5035 §5.4 (version 2) and RFC 2634 §5.4 (1).

use der::asn1::{Any, OctetString};
use der::{Decode as _, Encode as _, Sequence, Tag, TagNumber, Tagged as _};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use super::attributes::attribute;
use super::{CadesError, CertificateHash, EssVersion, SigningCertificate, algorithm};
use crate::digest::DigestAlgorithm;
use crate::oid;
use crate::tlv::Element;

/// `SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, policies SEQUENCE OF PolicyInformation OPTIONAL }`.
#[derive(Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
    policies: Option<Any>,
}

/// `ESSCertIDv2 ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier DEFAULT sha256, certHash OCTET STRING, issuerSerial IssuerSerial
/// OPTIONAL }`.
#[derive(Sequence)]
struct EssCertIdV2 {
    /// `None`: SHA-256.
    hash_algorithm: Option<AlgorithmIdentifierOwned>,
    cert_hash: OctetString,
    issuer_serial: Option<IssuerSerial>,
}

/// `SigningCertificate ::= SEQUENCE { certs SEQUENCE OF ESSCertID, policies SEQUENCE OF PolicyInformation OPTIONAL }`.
#[derive(Sequence)]
struct SigningCertificateV1 {
    certs: Vec<EssCertIdV1>,
    policies: Option<Any>,
}

/// `ESSCertID ::= SEQUENCE { certHash OCTET STRING, issuerSerial IssuerSerial OPTIONAL }`; the hash is SHA-1.
#[derive(Sequence)]
struct EssCertIdV1 {
    cert_hash: OctetString,
    issuer_serial: Option<IssuerSerial>,
}

/// `IssuerSerial ::= SEQUENCE { issuer GeneralNames, serialNumber INTEGER }`. Name and number stay as they are sent, because they
/// are compared octet by octet with those of a certificate; `GeneralName` would write them anew.
#[derive(Sequence)]
pub(super) struct IssuerSerial {
    issuer: Vec<Any>,
    serial_number: Any,
}

/// directoryName in GeneralName; explicit, because Name is a CHOICE.
const DIRECTORY_NAME: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber(4),
};

impl IssuerSerial {
    pub(super) fn of(issuer: &Name, serial: &SerialNumber) -> Result<Self, CadesError> {
        Ok(Self {
            issuer: vec![Any::new(DIRECTORY_NAME, issuer.to_der()?)?],
            serial_number: Any::encode_from(serial)?,
        })
    }

    /// Issuer and serial, where the issuer is one directory name.
    fn stated(&self) -> Result<(Vec<u8>, Vec<u8>), CadesError> {
        match self.issuer.as_slice() {
            [name] if name.tag() == DIRECTORY_NAME && self.serial_number.tag() == Tag::Integer => {
                let name = Element::only(name.value())?;
                Ok((name.raw.to_vec(), self.serial_number.value().to_vec()))
            }
            _ => Err(CadesError::Malformed("an issuer is not one directory name".to_owned())),
        }
    }
}

/// The attribute for a certificate with this hash; SHA-1 makes it version 1.
pub(super) fn encode(hash: &CertificateHash, issuer_serial: IssuerSerial) -> Result<Attribute, CadesError> {
    let issuer_serial = Some(issuer_serial);
    match hash {
        CertificateHash::Sha1(hash) => {
            let certs = vec![EssCertIdV1 {
                cert_hash: OctetString::new(hash.as_slice())?,
                issuer_serial,
            }];
            let value = SigningCertificateV1 { certs, policies: None };
            attribute(oid::SIGNING_CERTIFICATE, Any::encode_from(&value)?)
        }
        CertificateHash::Sha2(digest, hash) => {
            let certs = vec![EssCertIdV2 {
                // DER leaves a DEFAULT out.
                hash_algorithm: match digest {
                    DigestAlgorithm::Sha256 => None,
                    other => Some(algorithm::of_digest(*other)),
                },
                cert_hash: OctetString::new(hash.as_slice())?,
                issuer_serial,
            }];
            let value = SigningCertificateV2 { certs, policies: None };
            attribute(oid::SIGNING_CERTIFICATE_V2, Any::encode_from(&value)?)
        }
    }
}

/// Reads version 1. The first entry is the signer's own certificate; the rest may name its chain.
pub(super) fn read_version_1(value: &Element<'_>) -> Result<SigningCertificate, CadesError> {
    let first = SigningCertificateV1::from_ber(value.raw)?.certs.into_iter().next();
    let first = first.ok_or_else(|| CadesError::Malformed("no certificate is named".to_owned()))?;
    let hash = <[u8; 20]>::try_from(first.cert_hash.as_bytes())
        .map_err(|_| CadesError::Malformed("a SHA-1 hash has 20 octets".to_owned()))?;
    Ok(SigningCertificate {
        version: EssVersion::V1,
        hash: CertificateHash::Sha1(hash),
        issuer_serial: first.issuer_serial.as_ref().map(IssuerSerial::stated).transpose()?,
    })
}

/// Reads version 2, as [`read_version_1`].
pub(super) fn read_version_2(value: &Element<'_>) -> Result<SigningCertificate, CadesError> {
    let first = SigningCertificateV2::from_ber(value.raw)?.certs.into_iter().next();
    let first = first.ok_or_else(|| CadesError::Malformed("no certificate is named".to_owned()))?;
    let digest = match &first.hash_algorithm {
        Some(named) => algorithm::digest(named)?,
        None => DigestAlgorithm::Sha256,
    };
    if first.cert_hash.as_bytes().len() != digest.output_len() {
        return Err(CadesError::Malformed(
            "a certificate hash has another length than its algorithm gives".to_owned(),
        ));
    }
    Ok(SigningCertificate {
        version: EssVersion::V2,
        hash: CertificateHash::Sha2(digest, first.cert_hash.as_bytes().to_vec()),
        issuer_serial: first.issuer_serial.as_ref().map(IssuerSerial::stated).transpose()?,
    })
}
