//! authorityInfoAccess: where a certificate says its OCSP responder and its issuer's certificate are. RFC 5280 §4.2.2.1.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};

use super::distribution_point::web_address;
use crate::certificate::Certificate;
use crate::path::general_name::GeneralName;
use crate::tlv::{self, Cursor, Malformed};

/// More descriptions than any certificate has.
const MAX_DESCRIPTIONS: usize = 64;

/// The http(s) URLs of the OCSP responders of `certificate`, in its order; empty if none or unreadable.
#[must_use]
pub fn ocsp_urls(certificate: &Certificate) -> Vec<String> {
    web_addresses(certificate, &rfc5912::ID_AD_OCSP)
}

/// The http(s) URLs where the certificate of the issuer of `certificate` is published (caIssuers); empty if none or unreadable.
#[must_use]
pub fn issuer_urls(certificate: &Certificate) -> Vec<String> {
    web_addresses(certificate, &rfc5912::ID_AD_CA_ISSUERS)
}

/// Whether an OCSP responder is named. An extension that does not parse counts as naming one.
pub(crate) fn names_ocsp(certificate: &Certificate) -> bool {
    match descriptions(certificate) {
        Ok(found) => found.iter().any(|(method, _)| *method == rfc5912::ID_AD_OCSP),
        Err(_) => true,
    }
}

/// Whether a certificate says where its CRL or its OCSP responder is.
pub(crate) fn names_evidence(certificate: &Certificate) -> bool {
    certificate.extension(&rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS).is_some() || names_ocsp(certificate)
}

fn web_addresses(certificate: &Certificate, wanted: &ObjectIdentifier) -> Vec<String> {
    let found = descriptions(certificate).unwrap_or_default();
    let of_method = found.into_iter().filter(|(method, _)| method == wanted);
    of_method.filter_map(|(_, location)| web_address(location)).collect()
}

/// ```text
/// AuthorityInfoAccessSyntax ::= SEQUENCE SIZE (1..MAX) OF AccessDescription
/// AccessDescription ::= SEQUENCE { accessMethod OBJECT IDENTIFIER, accessLocation GeneralName }
/// ```
fn descriptions(certificate: &Certificate) -> Result<Vec<(ObjectIdentifier, GeneralName)>, Malformed> {
    let Some(extension) = certificate.extension(&rfc5280::ID_PE_AUTHORITY_INFO_ACCESS) else {
        return Ok(Vec::new());
    };
    let mut list = Cursor::sequence_of(&extension.value)?;
    let mut found = Vec::new();
    while !list.is_empty() {
        if found.len() >= MAX_DESCRIPTIONS {
            return Err(Malformed("more access descriptions than are read"));
        }
        let mut fields = list.expect(tlv::SEQUENCE)?.inside();
        found.push((fields.oid()?, GeneralName::parse(fields.next()?)?));
        fields.finish()?;
    }
    Ok(found)
}
