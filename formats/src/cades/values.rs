//! Certificates and revocation data kept in unsigned attributes: certificate-values and revocation-values, RFC 5126 §6.3.
//!
//! ```asn1
//! CertificateValues ::= SEQUENCE OF Certificate
//! RevocationValues  ::= SEQUENCE { crlVals [0] SEQUENCE OF CertificateList OPTIONAL,
//!                                  ocspVals [1] SEQUENCE OF BasicOCSPResponse OPTIONAL,
//!                                  otherRevVals [2] OtherRevVals OPTIONAL }
//! ```

use const_oid::ObjectIdentifier;

use super::parse::{CONTEXT_0, CONTEXT_1};
use super::{CadesError, MAX_CERTIFICATES, MAX_CRLS};
use crate::oid;
use crate::tlv::{self, Element, TlvError};

const CONTEXT_2: u8 = 0xa2;

/// What the attributes keep, each as sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValidationValues {
    /// Certificates, DER.
    pub certificates: Vec<Vec<u8>>,
    /// CRLs, DER.
    pub crls: Vec<Vec<u8>>,
    /// BasicOCSPResponses, DER.
    pub ocsp: Vec<Vec<u8>>,
}

/// Whether an unsigned attribute belongs to the archive: its values are evidence or a proof of existence.
#[must_use]
pub fn is_archive_attribute(attribute_type: &ObjectIdentifier) -> bool {
    let known = [oid::CERTIFICATE_VALUES, oid::REVOCATION_VALUES];
    known.contains(attribute_type) || super::archive::kind_of(*attribute_type).is_some()
}

impl ValidationValues {
    /// What one value of an attribute keeps; nothing, if it is of another type or malformed: it is not signed, so it breaks nothing.
    #[must_use]
    pub fn of(attribute_type: ObjectIdentifier, value: &[u8]) -> Self {
        let mut found = Self::default();
        match found.take(attribute_type, value) {
            Ok(true) => found,
            _ => Self::default(),
        }
    }

    /// Takes one value, if it is of one of the two types and well formed.
    ///
    /// # Errors
    /// More than a signature may carry.
    pub(super) fn take(&mut self, attribute_type: ObjectIdentifier, value: &[u8]) -> Result<bool, CadesError> {
        let read = match attribute_type {
            oid::CERTIFICATE_VALUES => certificates(value),
            oid::REVOCATION_VALUES => revocation(value),
            _ => return Ok(false),
        };
        let Ok(read) = read else { return Ok(false) };
        self.certificates.extend(read.certificates);
        self.crls.extend(read.crls);
        self.ocsp.extend(read.ocsp);
        if self.certificates.len() > MAX_CERTIFICATES || self.crls.len() + self.ocsp.len() > MAX_CRLS {
            return Err(CadesError::Malformed(format!(
                "more than {MAX_CERTIFICATES} certificates or {MAX_CRLS} revocation values"
            )));
        }
        Ok(true)
    }
}

fn certificates(value: &[u8]) -> Result<ValidationValues, TlvError> {
    Ok(ValidationValues {
        certificates: sequences(&Element::only(value)?)?,
        ..ValidationValues::default()
    })
}

fn revocation(value: &[u8]) -> Result<ValidationValues, TlvError> {
    let value = Element::only(value)?;
    value.tagged(tlv::SEQUENCE)?;
    let mut fields = value.children();
    let mut found = ValidationValues::default();
    if let Some(lists) = fields.optional(CONTEXT_0)? {
        found.crls = sequences(&lists.explicit()?)?;
    }
    if let Some(responses) = fields.optional(CONTEXT_1)? {
        found.ocsp = sequences(&responses.explicit()?)?;
    }
    fields.optional(CONTEXT_2)?;
    fields.finish()?;
    Ok(found)
}

/// The elements of a SEQUENCE OF SEQUENCE, as sent.
fn sequences(list: &Element<'_>) -> Result<Vec<Vec<u8>>, TlvError> {
    list.tagged(tlv::SEQUENCE)?;
    let (mut list, mut found) = (list.children(), Vec::new());
    while let Some(element) = list.next()? {
        element.tagged(tlv::SEQUENCE)?;
        found.push(element.raw.to_vec());
    }
    Ok(found)
}
