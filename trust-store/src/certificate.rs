//! A certificate as sent: read tolerantly, its bytes kept, because signatures are over bytes and not over what we would write.

use std::ops::Range;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::Decode;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::OffsetDateTime;

use crate::algorithm::{self, Accepted, AlgorithmError};
use crate::name::DistinguishedName;
pub use crate::tlv::Malformed;
use crate::tlv::{self, Cursor};

/// A certificate, RFC 5280 §4.1.
/// ```text
/// Certificate ::= SEQUENCE { tbsCertificate TBSCertificate, signatureAlgorithm AlgorithmIdentifier, signature BIT STRING }
/// ```
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Range<usize>,
    /// 1, 2 or 3.
    pub version: u8,
    /// Content octets of the serial number.
    pub serial: Vec<u8>,
    /// Who issued it.
    pub issuer: DistinguishedName,
    /// Whose it is.
    pub subject: DistinguishedName,
    /// First second of validity.
    pub not_before: OffsetDateTime,
    /// Last second of validity.
    pub not_after: OffsetDateTime,
    /// Public key.
    pub key: SubjectPublicKeyInfoOwned,
    /// Algorithm of the issuer's signature.
    pub signature_algorithm: AlgorithmIdentifierOwned,
    signature: Vec<u8>,
    extensions: Vec<Extension>,
    /// What was read although the profile forbids it.
    pub warnings: Vec<String>,
}

/// One extension, RFC 5280 §4.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// extnID
    pub oid: ObjectIdentifier,
    /// critical
    pub critical: bool,
    /// Content of extnValue.
    pub value: Vec<u8>,
}

/// Bits of keyUsage, RFC 5280 §4.2.1.3, bit 0 lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage(pub u32);

impl KeyUsage {
    /// digitalSignature (0)
    #[must_use]
    pub fn digital_signature(self) -> bool {
        self.0 & 1 != 0
    }
    /// nonRepudiation, contentCommitment (1)
    #[must_use]
    pub fn non_repudiation(self) -> bool {
        self.0 & (1 << 1) != 0
    }
    /// keyCertSign (5)
    #[must_use]
    pub fn key_cert_sign(self) -> bool {
        self.0 & (1 << 5) != 0
    }
    /// cRLSign (6)
    #[must_use]
    pub fn crl_sign(self) -> bool {
        self.0 & (1 << 6) != 0
    }
}

/// basicConstraints, RFC 5280 §4.2.1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// cA
    pub ca: bool,
    /// pathLenConstraint
    pub path_len: Option<u32>,
}

/// Larger than any certificate of use.
const MAX_BYTES: usize = 1 << 20;
const MAX_EXTENSIONS: usize = 256;

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl std::fmt::Debug for Certificate {
    /// Without the subject, who may be a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("serial", &hex::encode(&self.serial))
            .field("issuer", &self.issuer.to_string())
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads one certificate. Negative or zero serials, GeneralizedTime before 2050 and non-critical basicConstraints in a CA are
    /// read with a warning.
    ///
    /// # Errors
    /// [`Malformed`] for bytes that are not one DER certificate.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_BYTES {
            return Err(Malformed("larger than any certificate"));
        }
        let mut warnings = Vec::new();
        let mut outer = Cursor::sequence_of(bytes)?;
        let tbs_start = bytes.len() - outer.0.len();
        let tbs = outer.expect(tlv::SEQUENCE)?;
        let outer_algorithm = outer.expect(tlv::SEQUENCE)?.whole;
        let signature = tlv::octets_of_bits(outer.expect(tlv::BIT_STRING)?.value)?.to_vec();
        outer.finish()?;

        let mut fields = tbs.inside();
        let version = match fields.optional(0xa0)? {
            None => 1,
            Some(explicit) => match explicit.inside().expect(tlv::INTEGER)?.value {
                [number @ 0..=2] => number + 1,
                _ => return Err(Malformed("an unknown version")),
            },
        };
        let serial = fields.expect(tlv::INTEGER)?.value.to_vec();
        match serial.first() {
            None => return Err(Malformed("an empty serial number")),
            Some(first) if *first >= 0x80 => warnings.push("the serial number is negative".into()),
            Some(_) if serial.iter().all(|octet| *octet == 0) => warnings.push("the serial number is zero".into()),
            Some(_) => {}
        }
        if fields.expect(tlv::SEQUENCE)?.whole != outer_algorithm {
            return Err(Malformed("two different signature algorithms"));
        }
        let issuer = DistinguishedName::parse(fields.expect(tlv::SEQUENCE)?.whole)?;
        let mut validity = fields.expect(tlv::SEQUENCE)?.inside();
        let mut bound = || -> Result<OffsetDateTime, Malformed> {
            let generalized = validity.peek() == Some(tlv::GENERALIZED_TIME);
            let time = validity.time()?;
            if generalized && time.year() < 2050 {
                warnings.push("validity before 2050 is written as GeneralizedTime".into());
            }
            Ok(time)
        };
        let (not_before, not_after) = (bound()?, bound()?);
        validity.finish()?;
        let subject = DistinguishedName::parse(fields.expect(tlv::SEQUENCE)?.whole)?;
        let key = SubjectPublicKeyInfoOwned::from_der(fields.expect(tlv::SEQUENCE)?.whole)
            .map_err(|_| Malformed("a public key that does not parse"))?;
        fields.optional(0x81)?;
        fields.optional(0x82)?;
        let extensions = match fields.optional(0xa3)? {
            None => Vec::new(),
            Some(_) if version < 3 => return Err(Malformed("extensions before version 3")),
            Some(explicit) => {
                let mut inner = explicit.inside();
                let list = inner.expect(tlv::SEQUENCE)?;
                inner.finish()?;
                parse_extensions(list.inside())?
            }
        };
        fields.finish()?;
        let signature_algorithm = AlgorithmIdentifierOwned::from_der(outer_algorithm)
            .map_err(|_| Malformed("a signature algorithm that does not parse"))?;
        let mut certificate = Self {
            der: bytes.to_vec(),
            tbs: tbs_start..tbs_start + tbs.whole.len(),
            version,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            key,
            signature_algorithm,
            signature,
            extensions,
            warnings,
        };
        let lax = certificate
            .extension(&rfc5280::ID_CE_BASIC_CONSTRAINTS)
            .is_some_and(|found| !found.critical);
        if lax && certificate.is_ca() {
            certificate
                .warnings
                .push("basicConstraints of a CA is not critical".into());
        }
        Ok(certificate)
    }

    /// The bytes as sent.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The bytes its signature is over.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        self.der.get(self.tbs.clone()).unwrap_or_default()
    }

    /// Its extensions, in their order.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// One extension. None occurs twice.
    #[must_use]
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.oid == *oid)
    }

    /// Whether `time` lies within its validity.
    #[must_use]
    pub fn is_valid_at(&self, time: OffsetDateTime) -> bool {
        self.not_before <= time && time <= self.not_after
    }

    /// Whether issuer and subject are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Whether basicConstraints says it is a CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        matches!(self.basic_constraints(), Ok(Some(BasicConstraints { ca: true, .. })))
    }

    /// basicConstraints, where present.
    ///
    /// # Errors
    /// [`Malformed`] if it does not parse.
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>, Malformed> {
        let Some(extension) = self.extension(&rfc5280::ID_CE_BASIC_CONSTRAINTS) else {
            return Ok(None);
        };
        let mut fields = Cursor::sequence_of(&extension.value)?;
        let ca = fields.boolean()?.unwrap_or(false);
        let path_len = fields
            .optional(tlv::INTEGER)?
            .map(|found| tlv::small_integer(found.value))
            .transpose()?;
        fields.finish()?;
        Ok(Some(BasicConstraints { ca, path_len }))
    }

    /// keyUsage, where present.
    ///
    /// # Errors
    /// [`Malformed`] if it does not parse.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, Malformed> {
        let Some(extension) = self.extension(&rfc5280::ID_CE_KEY_USAGE) else {
            return Ok(None);
        };
        let mut cursor = Cursor(&extension.value);
        let bits = tlv::named_bits(cursor.expect(tlv::BIT_STRING)?.value)?;
        cursor.finish()?;
        Ok(Some(KeyUsage(bits)))
    }

    /// Purposes of extKeyUsage, where present.
    ///
    /// # Errors
    /// [`Malformed`] if it does not parse.
    pub fn extended_key_usage(&self) -> Result<Option<Vec<ObjectIdentifier>>, Malformed> {
        let Some(extension) = self.extension(&rfc5280::ID_CE_EXT_KEY_USAGE) else {
            return Ok(None);
        };
        let mut list = Cursor::sequence_of(&extension.value)?;
        let mut purposes = Vec::new();
        while !list.is_empty() {
            purposes.push(list.oid()?);
        }
        Ok(Some(purposes))
    }

    /// Policies of certificatePolicies, qualifiers left aside; empty where absent.
    ///
    /// # Errors
    /// [`Malformed`] if it does not parse, is empty, or names a policy twice.
    pub fn policies(&self) -> Result<Vec<ObjectIdentifier>, Malformed> {
        let Some(extension) = self.extension(&rfc5280::ID_CE_CERTIFICATE_POLICIES) else {
            return Ok(Vec::new());
        };
        let mut list = Cursor::sequence_of(&extension.value)?;
        let mut policies = Vec::new();
        while !list.is_empty() {
            let mut information = list.expect(tlv::SEQUENCE)?.inside();
            let policy = information.oid()?;
            information.optional(tlv::SEQUENCE)?;
            information.finish()?;
            policies.push(policy);
        }
        let count = policies.len();
        policies.sort_unstable();
        policies.dedup();
        if count == 0 || policies.len() != count {
            return Err(Malformed("certificatePolicies is empty or repeats itself"));
        }
        Ok(policies)
    }

    /// subjectKeyIdentifier, a hint.
    #[must_use]
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        let extension = self.extension(&rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER)?;
        Cursor(&extension.value)
            .expect(tlv::OCTET_STRING)
            .ok()
            .map(|found| found.value)
    }

    /// keyIdentifier of authorityKeyIdentifier, a hint.
    #[must_use]
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        let extension = self.extension(&rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER)?;
        Cursor::sequence_of(&extension.value)
            .ok()?
            .optional(0x80)
            .ok()?
            .map(|found| found.value)
    }

    /// Whether the key in `issuer` made this certificate's signature. Names are not compared.
    ///
    /// # Errors
    /// As [`algorithm::verify`].
    pub fn verify_signature(&self, issuer: &SubjectPublicKeyInfoOwned) -> Result<(), AlgorithmError> {
        self.verify_accepting(issuer, Accepted::Listed)
    }

    /// As [`Self::verify_signature`], with SHA-1 where `accepted` says so.
    pub(crate) fn verify_accepting(
        &self,
        issuer: &SubjectPublicKeyInfoOwned,
        accepted: Accepted,
    ) -> Result<(), AlgorithmError> {
        algorithm::verify_accepting(accepted, &self.signature_algorithm, issuer, self.tbs(), &self.signature)
    }
}

/// Extensions of a certificate, CRL or CRL entry; refused if one occurs twice.
pub(crate) fn parse_extensions(mut list: Cursor<'_>) -> Result<Vec<Extension>, Malformed> {
    let mut extensions: Vec<Extension> = Vec::new();
    while !list.is_empty() {
        let mut fields = list.expect(tlv::SEQUENCE)?.inside();
        let oid = fields.oid()?;
        let critical = fields.boolean()?.unwrap_or(false);
        let value = fields.expect(tlv::OCTET_STRING)?.value.to_vec();
        fields.finish()?;
        if extensions.len() >= MAX_EXTENSIONS || extensions.iter().any(|known| known.oid == oid) {
            return Err(Malformed("an extension twice, or too many"));
        }
        extensions.push(Extension { oid, critical, value });
    }
    Ok(extensions)
}
