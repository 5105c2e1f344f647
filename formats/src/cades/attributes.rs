//! Signed and unsigned attributes: which must be there, how often, and what they say.
//!
//! ```asn1
//! Attribute ::= SEQUENCE { attrType OBJECT IDENTIFIER, attrValues SET OF AttributeValue }     -- RFC 5652 §5.3
//! ```
//!
//! Attributes are written with `x509_cert::attr::Attribute`, but not read with it: it sorts the values of a SET OF as it reads,
//! and a time stamp is kept as sent. The values are read with `der`.

use std::time::Duration;

use const_oid::ObjectIdentifier;
use der::asn1::{Any, SetOfVec};
use der::{DateTime, Decode as _};
use time::OffsetDateTime;
use x509_cert::attr::Attribute;
use x509_cert::time::Time;

use super::algorithm::AlgorithmProtection;
use super::{ArchiveStamp, CadesError, MAX_ATTRIBUTES, Profile, SigningCertificate, ValidationValues, archive, ess};
use crate::oid;
use crate::tlv::{self, Element, Reader};

/// What the signed attributes say.
pub(super) struct SignedAttributes {
    pub(super) content_type: ObjectIdentifier,
    pub(super) message_digest: Vec<u8>,
    pub(super) signing_certificate: Option<SigningCertificate>,
    pub(super) signing_time: Option<OffsetDateTime>,
    pub(super) algorithm_protection: Option<AlgorithmProtection>,
    /// RevocationInfoArchival of plain CMS.
    pub(super) revocation: ValidationValues,
}

/// What the unsigned attributes carry.
#[derive(Default)]
pub(super) struct UnsignedAttributes {
    pub(super) timestamps: Vec<Vec<u8>>,
    pub(super) archive_stamps: Vec<ArchiveStamp>,
    pub(super) values: ValidationValues,
    pub(super) others: Vec<ObjectIdentifier>,
}

/// Reads the attributes inside `[0] IMPLICIT SignedAttributes`.
pub(super) fn read_signed(mut attributes: Reader<'_>, profile: Profile) -> Result<SignedAttributes, CadesError> {
    let mut content_type = Slot::new("content-type");
    let mut message_digest = Slot::new("message-digest");
    let mut version_1 = Slot::new("signing-certificate");
    let mut version_2 = Slot::new("signing-certificate-v2");
    let mut signing_time = Slot::new("signing-time");
    let mut algorithm_protection = Slot::new("cms-algorithm-protection");
    let mut revocation = ValidationValues::default();
    let mut count = 0;
    while let Some(attribute) = attributes.next()? {
        counted(&mut count)?;
        let (attribute_type, values) = read_attribute(&attribute)?;
        match attribute_type {
            oid::CONTENT_TYPE => content_type.fill(&values)?,
            oid::MESSAGE_DIGEST => message_digest.fill(&values)?,
            oid::SIGNING_CERTIFICATE => version_1.fill(&values)?,
            oid::SIGNING_CERTIFICATE_V2 => version_2.fill(&values)?,
            oid::SIGNING_TIME => signing_time.fill(&values)?,
            oid::CMS_ALGORITHM_PROTECTION => algorithm_protection.fill(&values)?,
            // Laid out like revocation-values.
            oid::ADOBE_REVOCATION if profile == Profile::PlainCms => {
                revocation = ValidationValues::of(oid::REVOCATION_VALUES, values.content);
            }
            _ => {}
        }
    }
    if profile != Profile::Token && version_1.value.is_some() {
        return Err(version_1.wrong("version 1 is not accepted for signers"));
    }
    let signing_certificate = match (&version_2.value, &version_1.value) {
        (Some(value), _) => Some(ess::read_version_2(value).map_err(|error| version_2.unreadable(error))?),
        (None, Some(value)) => Some(ess::read_version_1(value).map_err(|error| version_1.unreadable(error))?),
        (None, None) if profile == Profile::PlainCms => None,
        (None, None) => return Err(version_2.wrong("missing")),
    };
    let content_type =
        ObjectIdentifier::from_ber(content_type.required()?.raw).map_err(|_| content_type.wrong("malformed"))?;
    Ok(SignedAttributes {
        content_type,
        message_digest: message_digest
            .required()?
            .octets()
            .map_err(|_| message_digest.wrong("malformed"))?,
        signing_certificate,
        signing_time: match signing_time.value {
            Some(value) => Some(read_time(&value).ok_or_else(|| signing_time.wrong("malformed"))?),
            None => None,
        },
        revocation,
        algorithm_protection: match algorithm_protection.value {
            Some(value) => {
                Some(AlgorithmProtection::read(&value).map_err(|_| algorithm_protection.wrong("malformed"))?)
            }
            None => None,
        },
    })
}

/// Reads the attributes inside `[1] IMPLICIT UnsignedAttributes`.
pub(super) fn read_unsigned(mut attributes: Reader<'_>) -> Result<UnsignedAttributes, CadesError> {
    let mut found = UnsignedAttributes::default();
    let mut count = 0;
    while let Some(attribute) = attributes.next()? {
        counted(&mut count)?;
        let (attribute_type, values) = read_attribute(&attribute)?;
        if attribute_type == oid::SIGNATURE_TIME_STAMP {
            // Several stamps are several attributes; which of several values counts would be the reader's choice.
            let mut stamp = Slot::new("signature-time-stamp");
            stamp.fill(&values)?;
            found.timestamps.push(stamp.required()?.raw.to_vec());
            continue;
        }
        let mut inside = values.children();
        let single = match (inside.next()?, inside.next()?) {
            (Some(value), None) => Some(value),
            _ => None,
        };
        match (archive::kind_of(attribute_type), single) {
            (Some(kind), Some(value)) => found.archive_stamps.push(ArchiveStamp {
                kind,
                token: value.raw.to_vec(),
            }),
            (None, Some(value)) if found.values.take(attribute_type, value.raw)? => {}
            _ => found.others.push(attribute_type),
        }
    }
    Ok(found)
}

/// An attribute with one value.
pub(super) fn attribute(oid: ObjectIdentifier, value: Any) -> Result<Attribute, CadesError> {
    let values = SetOfVec::try_from(vec![value])?;
    Ok(Attribute { oid, values })
}

/// The signing-time attribute, to the second.
pub(super) fn signing_time(time: OffsetDateTime) -> Result<Attribute, CadesError> {
    let seconds = u64::try_from(time.unix_timestamp())
        .map_err(|_| CadesError::Malformed("the signing time is before 1970".to_owned()))?;
    // UTCTime up to 2049, GeneralizedTime after (RFC 5652 §11.3).
    let value = match Time::from(DateTime::from_unix_duration(Duration::from_secs(seconds))?) {
        Time::UtcTime(time) => Any::encode_from(&time)?,
        Time::GeneralTime(time) => Any::encode_from(&time)?,
    };
    attribute(oid::SIGNING_TIME, value)
}

fn read_time(value: &Element<'_>) -> Option<OffsetDateTime> {
    let seconds = Time::from_ber(value.raw).ok()?.to_unix_duration().as_secs();
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
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

/// Counts one more attribute.
fn counted(count: &mut usize) -> Result<(), CadesError> {
    *count += 1;
    if *count > MAX_ATTRIBUTES {
        return Err(CadesError::Malformed(format!("more than {MAX_ATTRIBUTES} attributes")));
    }
    Ok(())
}

pub(super) fn read_attribute<'a>(attribute: &Element<'a>) -> Result<(ObjectIdentifier, Element<'a>), CadesError> {
    attribute.tagged(tlv::SEQUENCE)?;
    let mut parts = attribute.children();
    let attribute_type = parts.any()?.oid()?;
    let values = parts.expect(tlv::SET)?;
    parts.finish()?;
    Ok((attribute_type, values))
}
