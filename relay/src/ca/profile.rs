//! The relay CA's certificates as RFC 5280 structures: fields, names, extensions.

use const_oid::AssociatedOid;
pub(super) use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME};
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use der::asn1::{Any, AnyRef, BitString, Int, ObjectIdentifier, OctetString, SetOfVec, Utf8StringRef};
use der::{Encode, Sequence};
use sha2::{Digest as _, Sha256};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::OffsetDateTime;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::time::{Time, Validity};

use super::{CaError, make};

/// ```text
/// TBSCertificate  ::=  SEQUENCE  {
///      version         [0]  EXPLICIT Version DEFAULT v1,
///      serialNumber         CertificateSerialNumber,
///      signature            AlgorithmIdentifier,
///      issuer               Name,
///      validity             Validity,
///      subject              Name,
///      subjectPublicKeyInfo SubjectPublicKeyInfo,
///      extensions      [3]  EXPLICIT Extensions OPTIONAL }
/// ```
/// [RFC 5280 §4.1](https://www.rfc-editor.org/rfc/rfc5280#section-4.1)
#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: Int,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// ```text
/// Certificate  ::=  SEQUENCE  {
///      tbsCertificate       TBSCertificate,
///      signatureAlgorithm   AlgorithmIdentifier,
///      signatureValue       BIT STRING  }
/// ```
#[derive(Sequence)]
struct Signed<'a> {
    tbs: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// The bytes to sign, with a random serial of 127 bits.
pub(super) fn to_be_signed(
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    (not_before, not_after): (OffsetDateTime, OffsetDateTime),
    subject: Name,
    spki: SubjectPublicKeyInfoOwned,
    extensions: Vec<Extension>,
) -> Result<Vec<u8>, CaError> {
    let mut serial = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| CaError::Make("no random bytes".into()))?;
    // Positive and without a leading zero, whatever the bits.
    serial[0] = serial[0] & 0x7f | 0x40;
    let tbs = TbsCertificate {
        version: 2,
        serial_number: Int::new(&serial).map_err(make)?,
        signature,
        issuer,
        validity: Validity::new(moment(not_before)?, moment(not_after)?),
        subject,
        subject_public_key_info: spki,
        extensions,
    };
    tbs.to_der().map_err(make)
}

/// The certificate of signed bytes.
pub(super) fn signed(tbs: &[u8], algorithm: &AlgorithmIdentifierOwned, signature: &[u8]) -> Result<Vec<u8>, CaError> {
    let signed = Signed {
        tbs: AnyRef::try_from(tbs).map_err(make)?,
        algorithm: algorithm.clone(),
        signature: BitString::from_bytes(signature).map_err(make)?,
    };
    signed.to_der().map_err(make)
}

/// A distinguished name, each part in a set of its own, as UTF8String.
pub(super) fn name(parts: &[(ObjectIdentifier, &str)]) -> Result<Name, CaError> {
    let mut sequence = RdnSequence::default();
    for (oid, text) in parts {
        // X.520 bounds both names used here to 64 characters.
        if text.is_empty() || text.chars().count() > 64 {
            return Err(CaError::Name((*text).to_owned()));
        }
        let value = Any::from(Utf8StringRef::new(text).map_err(make)?);
        let set = SetOfVec::try_from(vec![AttributeTypeAndValue { oid: *oid, value }]).map_err(make)?;
        sequence.push(RelativeDistinguishedName::from(set));
    }
    Ok(Name::hazmat_from_rdn_sequence(sequence))
}

/// Extensions of the CA itself: no CA below it.
pub(super) fn authority(spki: &SubjectPublicKeyInfoOwned) -> Result<Vec<Extension>, CaError> {
    Ok(vec![
        extension(
            true,
            &BasicConstraints {
                ca: true,
                path_len_constraint: Some(0),
            },
        )?,
        extension(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
        extension(false, &SubjectKeyIdentifier(key_identifier(spki)?))?,
    ])
}

/// Extensions of a TLS end entity.
pub(super) fn end_entity(
    spki: &SubjectPublicKeyInfoOwned,
    issuer: &OctetString,
    purpose: ObjectIdentifier,
    names: Vec<GeneralName>,
) -> Result<Vec<Extension>, CaError> {
    let issuer = AuthorityKeyIdentifier {
        key_identifier: Some(issuer.clone()),
        ..Default::default()
    };
    Ok(vec![
        extension(
            true,
            &BasicConstraints {
                ca: false,
                path_len_constraint: None,
            },
        )?,
        extension(true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
        extension(false, &ExtendedKeyUsage(vec![purpose]))?,
        extension(false, &SubjectAltName(names))?,
        extension(false, &SubjectKeyIdentifier(key_identifier(spki)?))?,
        extension(false, &issuer)?,
    ])
}

/// Whether a certificate may sign others.
pub(super) fn is_authority(certificate: &Certificate) -> bool {
    let tbs = certificate.tbs_certificate();
    matches!(tbs.get_extension::<BasicConstraints>(), Ok(Some((_, constraints))) if constraints.ca)
}

/// Keys a TLS 1.3 client certificate here may have.
pub(super) fn acceptable_key(spki: &SubjectPublicKeyInfoOwned) -> bool {
    let parameter = || spki.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok();
    match spki.algorithm.oid {
        ID_EC_PUBLIC_KEY => matches!(parameter(), Some(SECP_256_R_1 | SECP_384_R_1)),
        // A modulus of 2048 bits alone is 257 bytes of DER.
        RSA_ENCRYPTION => (264..=1100).contains(&spki.subject_public_key.raw_bytes().len()),
        _ => false,
    }
}

/// What names the CA's key in what it issues: the identifier its certificate states, which who made it has chosen
/// ([RFC 5280 §4.2.1.1](https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.1)), else one made of its key.
pub(super) fn authority_identifier(certificate: &Certificate) -> Result<OctetString, CaError> {
    let tbs = certificate.tbs_certificate();
    match tbs.get_extension::<SubjectKeyIdentifier>() {
        Ok(Some((_, SubjectKeyIdentifier(stated)))) => Ok(stated),
        _ => key_identifier(tbs.subject_public_key_info()),
    }
}

/// [RFC 7093 §2](https://www.rfc-editor.org/rfc/rfc7093#section-2) method 1.
pub(super) fn key_identifier(spki: &SubjectPublicKeyInfoOwned) -> Result<OctetString, CaError> {
    let digest: [u8; 32] = Sha256::digest(spki.subject_public_key.raw_bytes()).into();
    OctetString::new(&digest[..20]).map_err(make)
}

fn extension<E: Encode + AssociatedOid>(critical: bool, value: &E) -> Result<Extension, CaError> {
    let extn_value = OctetString::new(value.to_der().map_err(make)?).map_err(make)?;
    Ok(Extension {
        extn_id: E::OID,
        critical,
        extn_value,
    })
}

/// UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5).
fn moment(time: OffsetDateTime) -> Result<Time, CaError> {
    let seconds = u64::try_from(time.unix_timestamp()).map_err(make)?;
    let time = der::DateTime::from_unix_duration(std::time::Duration::from_secs(seconds)).map_err(make)?;
    Ok(Time::from(time))
}
