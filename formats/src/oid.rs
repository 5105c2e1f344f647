//! Object identifiers, one place for all. Grouped under the document that assigns them.

use const_oid::ObjectIdentifier;

/// `id-hcpki-at-healthcareactor`, ISO 17090-2: the attribute that carries the profession.
pub const HEALTHCARE_ACTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.0.17090.0.1");
/// `id-jhpki-cdata`: the coding scheme of the Japanese qualifications, MHLW HPKI certificate policy.
pub const JHPKI_CODED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.100495.1.6.1.1");
