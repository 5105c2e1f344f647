//! Signed and unsigned attributes: which must be there, how often, and what they say.
//!
//! ```asn1
//! Attribute ::= SEQUENCE { attrType OBJECT IDENTIFIER, attrValues SET OF AttributeValue }     -- RFC 5652 §5.3
//! SigningCertificate   ::= SEQUENCE { certs SEQUENCE OF ESSCertID,   policies … OPTIONAL }    -- RFC 2634 §5.4
//! SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, policies … OPTIONAL }    -- RFC 5035 §3
//! ESSCertID   ::= SEQUENCE { certHash OCTET STRING, issuerSerial IssuerSerial OPTIONAL }
//! ESSCertIDv2 ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier DEFAULT sha256,
//!                            certHash OCTET STRING, issuerSerial IssuerSerial OPTIONAL }
//! IssuerSerial ::= SEQUENCE { issuer GeneralNames, serialNumber INTEGER }
//! ```

use const_oid::ObjectIdentifier;
use time::OffsetDateTime;

use super::{CadesError, CertificateHash, EssVersion, Profile, SigningCertificate, algorithm};
use crate::digest::DigestAlgorithm;
use crate::oid;
use crate::tlv::{self, Element, Reader, time as asn1_time};

/// directoryName in GeneralName.
const DIRECTORY_NAME: u8 = 0xa4;

/// What the signed attributes say.
pub(super) struct SignedAttributes {
    pub(super) content_type: ObjectIdentifier,
    pub(super) message_digest: Vec<u8>,
    pub(super) signing_certificate: SigningCertificate,
    pub(super) signing_time: Option<OffsetDateTime>,
}

/// What the unsigned attributes carry.
#[derive(Default)]
pub(super) struct UnsignedAttributes {
    pub(super) timestamps: Vec<Vec<u8>>,
    pub(super) others: Vec<ObjectIdentifier>,
}

/// Reads the attributes inside `[0] IMPLICIT SignedAttributes`.
pub(super) fn read_signed(mut attributes: Reader<'_>, profile: Profile) -> Result<SignedAttributes, CadesError> {
    let mut content_type = Slot::new("content-type");
    let mut message_digest = Slot::new("message-digest");
    let mut version_1 = Slot::new("signing-certificate");
    let mut version_2 = Slot::new("signing-certificate-v2");
    let mut signing_time = Slot::new("signing-time");
    while let Some(attribute) = attributes.next()? {
        let (attribute_type, values) = read_attribute(&attribute)?;
        match attribute_type {
            oid::CONTENT_TYPE => content_type.fill(&values)?,
            oid::MESSAGE_DIGEST => message_digest.fill(&values)?,
            oid::SIGNING_CERTIFICATE => version_1.fill(&values)?,
            oid::SIGNING_CERTIFICATE_V2 => version_2.fill(&values)?,
            oid::SIGNING_TIME => signing_time.fill(&values)?,
            _ => {}
        }
    }
    if profile == Profile::Document && version_1.value.is_some() {
        return Err(version_1.wrong("version 1 is not accepted for signers"));
    }
    let signing_certificate = match (&version_2.value, &version_1.value) {
        (Some(value), _) => read_version_2(value).map_err(|error| version_2.unreadable(error))?,
        (None, Some(value)) => read_version_1(value).map_err(|error| version_1.unreadable(error))?,
        (None, None) => return Err(version_2.wrong("missing")),
    };
    Ok(SignedAttributes {
        content_type: content_type
            .required()?
            .oid()
            .map_err(|_| content_type.wrong("malformed"))?,
        message_digest: message_digest
            .required()?
            .octets()
            .map_err(|_| message_digest.wrong("malformed"))?,
        signing_certificate,
        signing_time: match signing_time.value {
            Some(value) => Some(asn1_time::read(&value).map_err(|_| signing_time.wrong("malformed"))?),
            None => None,
        },
    })
}

/// Reads the attributes inside `[1] IMPLICIT UnsignedAttributes`.
pub(super) fn read_unsigned(mut attributes: Reader<'_>) -> Result<UnsignedAttributes, CadesError> {
    let mut found = UnsignedAttributes::default();
    while let Some(attribute) = attributes.next()? {
        let (attribute_type, values) = read_attribute(&attribute)?;
        if attribute_type == oid::SIGNATURE_TIME_STAMP {
            // Several stamps are several attributes; which of several values counts would be the reader's choice.
            let mut stamp = Slot::new("signature-time-stamp");
            stamp.fill(&values)?;
            found.timestamps.push(stamp.required()?.raw.to_vec());
        } else {
            found.others.push(attribute_type);
        }
    }
    Ok(found)
}

/// DER of an attribute with one value, itself DER.
pub(super) fn encode_attribute(attribute_type: &ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    let values = tlv::encode(tlv::SET, &[value]);
    tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(attribute_type), &values])
}

/// DER of the signing-certificate attribute for a certificate with this hash; SHA-1 makes it version 1.
pub(super) fn encode_signing_certificate(hash: &CertificateHash, issuer: &[u8], serial: &[u8]) -> Vec<u8> {
    let issuer = tlv::encode(tlv::SEQUENCE, &[&tlv::encode(DIRECTORY_NAME, &[issuer])]);
    let issuer_serial = tlv::encode(tlv::SEQUENCE, &[&issuer, &tlv::encode(tlv::INTEGER, &[serial])]);
    let (attribute_type, algorithm, hash) = match hash {
        CertificateHash::Sha1(hash) => (oid::SIGNING_CERTIFICATE, Vec::new(), hash.as_slice()),
        // DER leaves a DEFAULT out.
        CertificateHash::Sha2(DigestAlgorithm::Sha256, hash) => {
            (oid::SIGNING_CERTIFICATE_V2, Vec::new(), hash.as_slice())
        }
        CertificateHash::Sha2(digest, hash) => (
            oid::SIGNING_CERTIFICATE_V2,
            algorithm::encode_digest(*digest),
            hash.as_slice(),
        ),
    };
    let certificate = tlv::encode(
        tlv::SEQUENCE,
        &[&algorithm, &tlv::encode(tlv::OCTET_STRING, &[hash]), &issuer_serial],
    );
    let certificates = tlv::encode(tlv::SEQUENCE, &[&certificate]);
    encode_attribute(&attribute_type, &tlv::encode(tlv::SEQUENCE, &[&certificates]))
}

/// Room for the one value of an attribute that may occur once.
struct Slot<'a> {
    attribute: &'static str,
    value: Option<Element<'a>>,
}

impl<'a> Slot<'a> {
    fn new(attribute: &'static str) -> Self {
        Self { attribute, value: None }
    }

    fn fill(&mut self, values: &Element<'a>) -> Result<(), CadesError> {
        let mut values = values.children();
        let value = values.next()?.ok_or_else(|| self.wrong("has no value"))?;
        if values.next()?.is_some() {
            return Err(self.wrong("has several values"));
        }
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.wrong("occurs twice")),
        }
    }

    fn required(&self) -> Result<Element<'a>, CadesError> {
        self.value.ok_or_else(|| self.wrong("missing"))
    }

    fn wrong(&self, problem: &'static str) -> CadesError {
        CadesError::Attribute {
            attribute: self.attribute,
            problem,
        }
    }

    /// A digest this house does not accept stays that; anything else is a malformed value.
    fn unreadable(&self, error: CadesError) -> CadesError {
        match error {
            CadesError::UnsupportedAlgorithm(_) => error,
            _ => self.wrong("malformed"),
        }
    }
}

fn read_attribute<'a>(attribute: &Element<'a>) -> Result<(ObjectIdentifier, Element<'a>), CadesError> {
    attribute.tagged(tlv::SEQUENCE)?;
    let mut parts = attribute.children();
    let attribute_type = parts.any()?.oid()?;
    let values = parts.expect(tlv::SET)?;
    parts.finish()?;
    Ok((attribute_type, values))
}

fn read_version_1(value: &Element<'_>) -> Result<SigningCertificate, CadesError> {
    let mut parts = first_certificate(value)?;
    let hash = parts.any()?.octets()?;
    let hash: [u8; 20] = hash
        .try_into()
        .map_err(|_| CadesError::Malformed("a SHA-1 hash has 20 octets".to_owned()))?;
    Ok(SigningCertificate {
        version: EssVersion::V1,
        hash: CertificateHash::Sha1(hash),
        issuer_serial: parts.next()?.as_ref().map(read_issuer_serial).transpose()?,
    })
}

fn read_version_2(value: &Element<'_>) -> Result<SigningCertificate, CadesError> {
    let mut parts = first_certificate(value)?;
    let digest = match parts.optional(tlv::SEQUENCE)? {
        Some(identifier) => algorithm::read_digest(&identifier)?,
        None => DigestAlgorithm::Sha256,
    };
    let hash = parts.any()?.octets()?;
    if hash.len() != digest.output_len() {
        return Err(CadesError::Malformed(
            "a certificate hash has another length than its algorithm gives".to_owned(),
        ));
    }
    Ok(SigningCertificate {
        version: EssVersion::V2,
        hash: CertificateHash::Sha2(digest, hash),
        issuer_serial: parts.next()?.as_ref().map(read_issuer_serial).transpose()?,
    })
}

/// The fields of the first ESSCertID: the signer's own certificate (RFC 5035 §5.4). The rest may name its chain.
fn first_certificate<'a>(value: &Element<'a>) -> Result<Reader<'a>, CadesError> {
    value.tagged(tlv::SEQUENCE)?;
    let certificates = value.children().expect(tlv::SEQUENCE)?;
    Ok(certificates.children().expect(tlv::SEQUENCE)?.children())
}

/// Issuer and serial, where the issuer is one directory name.
fn read_issuer_serial(issuer_serial: &Element<'_>) -> Result<(Vec<u8>, Vec<u8>), CadesError> {
    issuer_serial.tagged(tlv::SEQUENCE)?;
    let mut parts = issuer_serial.children();
    let names = parts.expect(tlv::SEQUENCE)?;
    let serial = parts.expect(tlv::INTEGER)?.content.to_vec();
    parts.finish()?;
    let name = Element::only(names.content)?;
    name.tagged(DIRECTORY_NAME)?;
    Ok((name.explicit()?.raw.to_vec(), serial))
}
