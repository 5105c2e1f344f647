//! The time stamp authority: RFC 3161 tokens and responses, right and wrong.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest as legacy_digest};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc3161, rfc5911};
use der::asn1::{Any, Null, ObjectIdentifier as DerOid, OctetString, SetOfVec};
use der::{Decode, Sequence};
use formats::digest::DigestAlgorithm;
use spki::AlgorithmIdentifierOwned;
use time::OffsetDateTime;
use x509_cert::Certificate;
use x509_cert::attr::Attribute;

use crate::hpki::TestHpki;
use crate::keys::Key;
use crate::roles::tlv;
use crate::x509::encoded;

/// Policy the test authority stamps under.
pub const TSA_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.200999.1.1");

/// Which ESS attribute a token carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ess {
    /// signing-certificate (SHA-1), as most deployed tokens still do.
    V1,
    /// signing-certificate-v2 (SHA-256).
    V2,
}

/// What a token says and who signs it.
#[derive(Debug, Clone)]
pub struct TokenSpec {
    /// genTime; milliseconds are written where there are any.
    pub gen_time: OffsetDateTime,
    /// Content octets of the nonce.
    pub nonce: Option<Vec<u8>>,
    /// Which ESS attribute.
    pub ess: Ess,
    /// TSA policy.
    pub policy: ObjectIdentifier,
    /// The authority's certificate in place of [`TestHpki::tsa`] (see [`TestHpki::tsa_with`]).
    pub certificate: Option<Vec<u8>>,
    /// Key that signs.
    pub key: Key,
    /// Whether the token carries the certificate (certReq).
    pub with_certificate: bool,
    /// Hash of the token's own signature.
    pub digest: DigestAlgorithm,
    /// TSTInfo version; 1.
    pub version: u8,
    /// serialNumber of the token.
    pub serial: u64,
}

impl TokenSpec {
    /// A good token of `gen_time`.
    #[must_use]
    pub fn at(gen_time: OffsetDateTime) -> Self {
        Self {
            gen_time,
            nonce: None,
            ess: Ess::V2,
            policy: TSA_POLICY,
            certificate: None,
            key: Key::Tsa,
            with_certificate: true,
            digest: DigestAlgorithm::Sha256,
            version: 1,
            serial: u64::try_from(gen_time.unix_timestamp_nanos() / 1_000_000).unwrap_or(1),
        }
    }
}

/// RFC 3161 §2.4.1 TimeStampReq.
#[derive(Sequence)]
pub(crate) struct TimeStampReq {
    version: u8,
    pub(crate) message_imprint: MessageImprint,
    req_policy: Option<DerOid>,
    /// INTEGER of any size.
    pub(crate) nonce: Option<Any>,
    #[asn1(default = "Default::default")]
    pub(crate) cert_req: bool,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Vec<x509_cert::ext::Extension>>,
}

/// RFC 3161 §2.4.1 MessageImprint.
#[derive(Clone, Sequence)]
pub(crate) struct MessageImprint {
    pub(crate) hash_algorithm: AlgorithmIdentifierOwned,
    pub(crate) hashed_message: OctetString,
}

/// RFC 3161 §2.4.2 TSTInfo.
#[derive(Sequence)]
struct TstInfo {
    version: u8,
    policy: ObjectIdentifier,
    message_imprint: MessageImprint,
    serial_number: u64,
    /// GeneralizedTime; `der`'s own type knows no fractions of a second.
    gen_time: Any,
    nonce: Option<Any>,
}

impl TestHpki {
    /// A TimeStampToken (DER ContentInfo) over `imprint`, which `algorithm` made.
    #[must_use]
    pub fn tsa_token(&self, algorithm: DigestAlgorithm, imprint: &[u8], spec: TokenSpec) -> Vec<u8> {
        let imprint = MessageImprint {
            hash_algorithm: algorithm_identifier(algorithm),
            hashed_message: OctetString::new(imprint).expect("an imprint is short"),
        };
        self.token(imprint, spec)
    }

    pub(crate) fn token(&self, message_imprint: MessageImprint, spec: TokenSpec) -> Vec<u8> {
        let certificate = spec.certificate.unwrap_or_else(|| self.tsa());
        let info = encoded(&TstInfo {
            version: spec.version,
            policy: spec.policy,
            message_imprint,
            serial_number: spec.serial,
            gen_time: any(&generalized_time(spec.gen_time)),
            nonce: spec.nonce.map(|octets| any(&tlv(0x02, &octets))),
        });
        let ess = match spec.ess {
            Ess::V1 => {
                let hash = legacy_digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate);
                (rfc5911::ID_AA_SIGNING_CERTIFICATE, ess_attribute(hash.as_ref()))
            }
            Ess::V2 => (
                rfc5911::ID_AA_SIGNING_CERTIFICATE_V_2,
                ess_attribute(&formats::digest::sha256(&certificate)),
            ),
        };
        let signed_attributes = attributes([
            (rfc5911::ID_CONTENT_TYPE, encoded(&rfc3161::ID_CT_TST_INFO)),
            (rfc5911::ID_MESSAGE_DIGEST, tlv(0x04, &spec.digest.digest(&info))),
            ess,
        ]);
        let signature = spec.key.sign(&encoded(&signed_attributes), spec.digest);
        let parsed = Certificate::from_der(&certificate).expect("the authority's certificate parses");
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: parsed.tbs_certificate().issuer().clone(),
                serial_number: parsed.tbs_certificate().serial_number().clone(),
            }),
            digest_alg: algorithm_identifier(spec.digest),
            signed_attrs: Some(signed_attributes),
            signature_algorithm: spec.key.signature_algorithm(spec.digest),
            signature: OctetString::new(signature).expect("a signature is short"),
            unsigned_attrs: None,
        };
        let certificates = spec.with_certificate.then(|| {
            CertificateSet::try_from(vec![CertificateChoices::Certificate(parsed)])
                .expect("one certificate makes a set")
        });
        let signed_data = SignedData {
            version: CmsVersion::V3,
            digest_algorithms: SetOfVec::try_from(vec![algorithm_identifier(spec.digest)]).expect("one makes a set"),
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: rfc3161::ID_CT_TST_INFO,
                econtent: Some(any(&tlv(0x04, &info))),
            },
            certificates,
            crls: None,
            signer_infos: SignerInfos::try_from(vec![signer]).expect("one signer makes a set"),
        };
        encoded(&ContentInfo {
            content_type: rfc5911::ID_SIGNED_DATA,
            content: any(&encoded(&signed_data)),
        })
    }
}

/// A TimeStampResp that grants `token`.
#[must_use]
pub fn granted(token: &[u8]) -> Vec<u8> {
    let status = tlv(0x30, &tlv(0x02, &[0]));
    tlv(0x30, &[&status, token].concat())
}

/// A TimeStampResp that refuses: status rejection(2), failInfo badRequest(2).
#[must_use]
pub fn rejected() -> Vec<u8> {
    let text = tlv(0x30, &tlv(0x0c, b"refused by the test authority"));
    let status = [tlv(0x02, &[2]), text, tlv(0x03, &[5, 0x20])].concat();
    tlv(0x30, &tlv(0x30, &status))
}

pub(crate) fn algorithm_identifier(algorithm: DigestAlgorithm) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: algorithm.oid(),
        parameters: Some(Any::from(Null)),
    }
}

/// SigningCertificate(V2) with one certificate and nothing but its hash: the default hash of v2 is SHA-256.
fn ess_attribute(hash: &[u8]) -> Vec<u8> {
    tlv(0x30, &tlv(0x30, &tlv(0x30, &tlv(0x04, hash))))
}

fn attributes<const N: usize>(values: [(ObjectIdentifier, Vec<u8>); N]) -> SetOfVec<Attribute> {
    let attributes = values.map(|(oid, value)| Attribute {
        oid,
        values: SetOfVec::try_from(vec![any(&value)]).expect("one value makes a set"),
    });
    SetOfVec::try_from(attributes.to_vec()).expect("different attributes make a set")
}

fn any(der: &[u8]) -> Any {
    Any::from_der(der).expect("own DER reads back")
}

/// RFC 3161 §2.4.2: fractions without trailing zeros.
fn generalized_time(at: OffsetDateTime) -> Vec<u8> {
    let at = at.to_offset(time::UtcOffset::UTC);
    let whole = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    let fraction = format!(".{:03}", at.millisecond());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    tlv(0x18, format!("{whole}{fraction}Z").as_bytes())
}

/// The parts of a request the authority answers; `None` if it is not one.
pub(crate) fn read_request(der: &[u8]) -> Option<TimeStampReq> {
    TimeStampReq::from_der(der).ok()
}

/// Content octets of a nonce.
pub(crate) fn nonce_octets(nonce: &Any) -> Vec<u8> {
    nonce.value().to_vec()
}
