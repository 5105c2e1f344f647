//! Names, extensions and signed structures in the shapes the deployed HPKI uses (RDN order, string types, extension order).

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc4519, rfc5280, rfc5912};
use der::asn1::{Any, BitString, Ia5String, OctetString, PrintableStringRef, Utf8StringRef};
use der::{DateTime, Encode, Sequence};
use sha2::{Digest as _, Sha256};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::OffsetDateTime;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{CertificatePolicies, PolicyInformation, PolicyQualifierInfo};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints,
    KeyUsage, SubjectAltName,
};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use crate::keys::Key;

/// RFC 5280 §4.1 TBSCertificate, v3. The builder of `x509-cert` sorts and adds for itself; HPKI's order is to be kept.
#[derive(Clone, Sequence)]
pub(crate) struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(crate) version: u8,
    pub(crate) serial_number: SerialNumber,
    pub(crate) signature: AlgorithmIdentifierOwned,
    pub(crate) issuer: Name,
    pub(crate) validity: Validity,
    pub(crate) subject: Name,
    pub(crate) subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    pub(crate) extensions: Vec<Extension>,
}

/// SEQUENCE { toBeSigned, signatureAlgorithm, signature }: certificate and CRL alike.
#[derive(Sequence)]
struct Signed {
    to_be_signed: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Signs `to_be_signed` with `key`.
pub(crate) fn signed(to_be_signed: &impl Encode, key: Key) -> Vec<u8> {
    let message = encoded(to_be_signed);
    let digest = key.natural_digest();
    encoded(&Signed {
        algorithm: key.signature_algorithm(digest),
        signature: BitString::from_bytes(&key.sign(&message, digest)).expect("a signature fits a BIT STRING"),
        to_be_signed: <Any as der::Decode>::from_der(&message).expect("own DER reads back"),
    })
}

/// DER of `value`.
pub(crate) fn encoded(value: &impl Encode) -> Vec<u8> {
    value.to_der().expect("values of the kit encode")
}

/// A name from its attributes, one RDN each, in the order given: PrintableString for C and serialNumber, else UTF8String.
#[must_use]
pub fn name(attributes: &[(&str, &str)]) -> Name {
    let mut sequence = RdnSequence::default();
    for (kind, value) in attributes {
        let oid = match *kind {
            "C" => rfc4519::C,
            "O" => rfc4519::O,
            "OU" => rfc4519::OU,
            "CN" => rfc4519::CN,
            "serialNumber" => rfc4519::SERIAL_NUMBER,
            other => panic!("the kit knows no attribute {other}"),
        };
        let value = if matches!(*kind, "C" | "serialNumber") {
            Any::from(PrintableStringRef::new(value).expect("printable"))
        } else {
            Any::from(Utf8StringRef::new(value).expect("UTF-8"))
        };
        let attribute = AttributeTypeAndValue { oid, value };
        sequence.push(RelativeDistinguishedName::try_from(vec![attribute]).expect("one attribute makes an RDN"));
    }
    Name::hazmat_from_rdn_sequence(sequence)
}

/// `base` with one more RDN `CN=common_name`: how the root names the parts of its revocation list.
#[must_use]
pub(crate) fn name_under(base: &Name, common_name: &str) -> Name {
    let mut sequence = RdnSequence::from(base.clone());
    for rdn in RdnSequence::from(name(&[("CN", common_name)])).iter() {
        sequence.push(rdn.clone());
    }
    Name::hazmat_from_rdn_sequence(sequence)
}

/// RFC 5280 Time: UTCTime until 2049, then GeneralizedTime. Whole seconds.
#[must_use]
pub(crate) fn time(at: OffsetDateTime) -> Time {
    let seconds = u64::try_from(at.unix_timestamp()).expect("after 1970");
    let at = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds)).expect("before 9999");
    Time::from(at)
}

/// A serial number as HPKI issues them: small and positive.
#[must_use]
pub(crate) fn serial(number: u64) -> SerialNumber {
    let bytes = number.to_be_bytes();
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    SerialNumber::new(&bytes[start..]).expect("eight bytes make a serial number")
}

/// 20 bytes that name a public key: the head of its SHA-256 (RFC 7093 §2, method 1).
#[must_use]
pub(crate) fn key_identifier(key: &SubjectPublicKeyInfoOwned) -> Vec<u8> {
    Sha256::digest(key.subject_public_key.raw_bytes())[..20].to_vec()
}

/// An extension around DER that may be anything.
#[must_use]
pub fn extension(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Extension {
    Extension {
        extn_id: oid,
        critical,
        extn_value: OctetString::new(value).expect("a value fits an OCTET STRING"),
    }
}

/// authorityKeyIdentifier with all three fields, as every HPKI certificate and CRL has it.
pub(crate) fn authority_key_identifier(key: Key, issuer_of_ca: &Name, serial_of_ca: u64) -> Extension {
    let value = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(key_identifier(&key.public())).expect("20 bytes")),
        authority_cert_issuer: Some(vec![GeneralName::DirectoryName(issuer_of_ca.clone())]),
        authority_cert_serial_number: Some(serial(serial_of_ca)),
    };
    extension(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &encoded(&value))
}

pub(crate) fn subject_key_identifier(key: Key) -> Extension {
    let value = OctetString::new(key_identifier(&key.public())).expect("20 bytes");
    extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, &encoded(&value))
}

/// basicConstraints of a CA: critical, without pathLen.
pub(crate) fn basic_constraints() -> Extension {
    let value = BasicConstraints {
        ca: true,
        path_len_constraint: None,
    };
    extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &encoded(&value))
}

pub(crate) fn key_usage(usage: KeyUsage) -> Extension {
    extension(rfc5280::ID_CE_KEY_USAGE, true, &encoded(&usage))
}

pub(crate) fn directory_alt_name(subject: &Name) -> Extension {
    let value = SubjectAltName(vec![GeneralName::DirectoryName(subject.clone())]);
    extension(rfc5280::ID_CE_SUBJECT_ALT_NAME, false, &encoded(&value))
}

/// certificatePolicies: critical, each policy with a CPS URI.
pub(crate) fn policies(policies: &[ObjectIdentifier], cps: &str) -> Extension {
    let cps = Ia5String::new(cps).expect("a URI is IA5");
    let value = policies
        .iter()
        .map(|policy| PolicyInformation {
            policy_identifier: *policy,
            policy_qualifiers: Some(vec![PolicyQualifierInfo {
                policy_qualifier_id: rfc5912::ID_QT_CPS,
                qualifier: Some(Any::encode_from(&cps).expect("IA5String encodes")),
            }]),
        })
        .collect();
    extension(
        rfc5280::ID_CE_CERTIFICATE_POLICIES,
        true,
        &encoded(&CertificatePolicies(value)),
    )
}

/// cRLDistributionPoints: the directory name, where there is one, in a point of its own before the URI's.
pub(crate) fn distribution_points(directory: Option<Name>, uri: &str) -> Extension {
    let uri = GeneralName::UniformResourceIdentifier(Ia5String::new(uri).expect("a URI is IA5"));
    let points = directory
        .map(GeneralName::DirectoryName)
        .into_iter()
        .chain([uri])
        .map(|name| DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![name])),
            reasons: None,
            crl_issuer: None,
        })
        .collect();
    extension(
        rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS,
        false,
        &encoded(&CrlDistributionPoints(points)),
    )
}

/// freshestCRL: where the delta is.
///
/// # Panics
/// If `uri` is not ASCII.
#[must_use]
pub fn delta_location(uri: &str) -> Extension {
    Extension {
        extn_id: rfc5280::ID_CE_FRESHEST_CRL,
        ..distribution_points(None, uri)
    }
}

/// authorityInfoAccess with one OCSP responder.
pub(crate) fn ocsp_location(uri: &str) -> Extension {
    access(rfc5912::ID_AD_OCSP, uri)
}

/// authorityInfoAccess that says where the issuer's certificate is.
///
/// # Panics
/// If `uri` is not ASCII.
#[must_use]
pub fn issuer_location(uri: &str) -> Extension {
    access(rfc5912::ID_AD_CA_ISSUERS, uri)
}

fn access(method: ObjectIdentifier, uri: &str) -> Extension {
    let value = AuthorityInfoAccessSyntax(vec![AccessDescription {
        access_method: method,
        access_location: GeneralName::UniformResourceIdentifier(Ia5String::new(uri).expect("a URI is IA5")),
    }]);
    extension(rfc5280::ID_PE_AUTHORITY_INFO_ACCESS, false, &encoded(&value))
}

pub(crate) fn extended_key_usage(purposes: &[ObjectIdentifier], critical: bool) -> Extension {
    extension(rfc5280::ID_CE_EXT_KEY_USAGE, critical, &encoded(&purposes.to_vec()))
}
