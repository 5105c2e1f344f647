//! The OCSP responder: RFC 6960 answers by the CA or by one it delegates to, right and wrong.

mod oddities;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc6960};
use der::asn1::{Any, OctetString};
use der::{Decode, Encode, Sequence};
use formats::digest::DigestAlgorithm;
use spki::AlgorithmIdentifierOwned;
use time::{Duration, OffsetDateTime};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::serial_number::SerialNumber;

use crate::card::usage;
use crate::hpki::{Ca, Issue, TestHpki};
use crate::keys::Key;
use crate::revocation_lists::Revoked;
use crate::roles::tlv;
use crate::x509::{
    distribution_points, encoded, extended_key_usage, extension, key_usage, name, serial, subject_key_identifier,
};

pub use oddities::{Delegate, Oddities};

/// SHA-1, by which most clients name an issuer.
const ID_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// Serial number of the certificate of every CA's responder.
pub const OCSP_RESPONDER_SERIAL: u64 = 0x50;

/// Who signs the answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Responder {
    /// A certificate of the CA with id-kp-OCSPSigning and id-pkix-ocsp-nocheck, sent along.
    #[default]
    Delegated,
    /// The CA itself.
    Ca,
}

/// What the responder knows and how it answers.
#[derive(Debug, Clone)]
pub struct OcspSpec {
    /// thisUpdate and producedAt.
    pub this_update: OffsetDateTime,
    /// nextUpdate.
    pub next_update: Option<OffsetDateTime>,
    /// The revoked.
    pub revoked: Vec<Revoked>,
    /// Serials it says it does not know.
    pub unknown: Vec<u64>,
    /// Who signs.
    pub responder: Responder,
    /// Key to sign with in place of the responder's: a forgery.
    pub signer: Option<Key>,
    /// Whether the nonce comes back changed.
    pub wrong_nonce: bool,
    /// Whether the answer is about the next serial number in place of the one asked for.
    pub wrong_certificate: bool,
    /// What else is odd.
    pub odd: Oddities,
}

impl OcspSpec {
    /// Issued at `this_update`, 96 hours to the next, everybody good.
    #[must_use]
    pub fn at(this_update: OffsetDateTime) -> Self {
        Self {
            this_update,
            next_update: Some(this_update + Duration::hours(96)),
            revoked: Vec::new(),
            unknown: Vec::new(),
            responder: Responder::default(),
            signer: None,
            wrong_nonce: false,
            wrong_certificate: false,
            odd: Oddities::default(),
        }
    }
}

/// RFC 6960 §4.2.1 OCSPResponseStatus: the answers without content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspError {
    /// malformedRequest(1)
    Malformed,
    /// unauthorized(6)
    Unauthorized,
}

impl OcspError {
    /// The OCSPResponse that says so.
    #[must_use]
    pub fn response(self) -> Vec<u8> {
        let status = match self {
            Self::Malformed => 1,
            Self::Unauthorized => 6,
        };
        tlv(0x30, &tlv(0x0a, &[status]))
    }
}

/// RFC 6960 §4.1.1 OCSPRequest.
#[derive(Sequence)]
struct OcspRequest {
    tbs_request: TbsRequest,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    signature: Option<Any>,
}

/// RFC 6960 §4.1.1 TBSRequest.
#[derive(Sequence)]
struct TbsRequest {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "Default::default")]
    version: u8,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    requestor_name: Option<Any>,
    request_list: Vec<OneRequest>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

/// RFC 6960 §4.1.1 Request.
#[derive(Sequence)]
struct OneRequest {
    certificate: CertId,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

/// RFC 6960 §4.1.1 CertID.
#[derive(Clone, Sequence)]
struct CertId {
    hash_algorithm: AlgorithmIdentifierOwned,
    issuer_name_hash: OctetString,
    issuer_key_hash: OctetString,
    serial_number: SerialNumber,
}

impl CertId {
    /// The certificate `serial_number` of `ca`, hashed with SHA-1.
    fn of(ca: Ca, serial_number: u64) -> Self {
        let octets = |bytes: &[u8]| {
            let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
            OctetString::new(hash.as_ref()).expect("a hash is short")
        };
        Self {
            hash_algorithm: AlgorithmIdentifierOwned {
                oid: ID_SHA_1,
                parameters: Some(Any::null()),
            },
            issuer_name_hash: octets(&encoded(&ca.name())),
            issuer_key_hash: octets(ca.key().public().subject_public_key.raw_bytes()),
            serial_number: serial(serial_number),
        }
    }

    /// The serial number; what is larger than any of ours comes out as the largest.
    fn number(&self) -> u64 {
        let octets = self.serial_number.as_bytes().iter();
        let mut octets = octets.map(|octet| u64::from(*octet));
        octets
            .try_fold(0_u64, |number, octet| number.checked_mul(256)?.checked_add(octet))
            .unwrap_or(u64::MAX)
    }

    fn is_of(&self, ca: Ca) -> bool {
        let algorithm: &Algorithm = match self.hash_algorithm.oid {
            ID_SHA_1 => &SHA1_FOR_LEGACY_USE_ONLY,
            rfc5912::ID_SHA_256 => &SHA256,
            _ => return false,
        };
        let is = |hash: &OctetString, bytes: &[u8]| hash.as_bytes() == digest(algorithm, bytes).as_ref();
        is(&self.issuer_name_hash, &encoded(&ca.name()))
            && is(&self.issuer_key_hash, ca.key().public().subject_public_key.raw_bytes())
    }
}

/// An OCSPRequest about the certificate `serial_number` of `ca`, without nonce.
#[must_use]
pub fn ocsp_request(ca: Ca, serial_number: u64) -> Vec<u8> {
    encoded(&OcspRequest {
        tbs_request: TbsRequest {
            version: 0,
            requestor_name: None,
            request_list: vec![OneRequest {
                certificate: CertId::of(ca, serial_number),
                extensions: None,
            }],
            extensions: None,
        },
        signature: None,
    })
}

impl TestHpki {
    /// The OCSPResponse of `ca`'s responder to an OCSPRequest, DER.
    #[must_use]
    pub fn ocsp(&self, ca: Ca, request: &[u8], spec: &OcspSpec) -> Vec<u8> {
        let Ok(request) = OcspRequest::from_der(request) else {
            return OcspError::Malformed.response();
        };
        let asked = &request.tbs_request;
        let strange = |one: &OneRequest| !one.certificate.is_of(ca) || spec.unknown.contains(&one.certificate.number());
        if spec.odd.unauthorized_if_unknown && asked.request_list.iter().any(strange) {
            return OcspError::Unauthorized.response();
        }
        let singles: Vec<u8> = asked
            .request_list
            .iter()
            .flat_map(|one| single(ca, &one.certificate, spec))
            .collect();
        let nonce = asked
            .extensions
            .iter()
            .flatten()
            .find(|one| one.extn_id == rfc6960::ID_PKIX_OCSP_NONCE);
        let responder_id = match spec.responder {
            _ if spec.odd.wrong_responder => tlv(0xa2, &tlv(0x04, &[0x2a; 20])),
            Responder::Ca => tlv(0xa1, &encoded(&ca.name())),
            Responder::Delegated => {
                let public = Key::Ocsp.public();
                let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, public.subject_public_key.raw_bytes());
                tlv(0xa2, &tlv(0x04, hash.as_ref()))
            }
        };
        let produced_at = generalized_time(spec.odd.produced_at.unwrap_or(spec.this_update), spec);
        let mut data = [responder_id, produced_at, tlv(0x30, &singles)].concat();
        let mut extensions: Vec<u8> = spec.odd.response_extensions.iter().flat_map(encoded).collect();
        if let Some(nonce) = nonce {
            let mut nonce = nonce.clone();
            if spec.wrong_nonce {
                nonce = extension(nonce.extn_id, nonce.critical, &tlv(0x04, &[0x2a; 8]));
            }
            extensions.extend(encoded(&nonce));
        }
        if !extensions.is_empty() {
            data.extend(tlv(0xa1, &tlv(0x30, &extensions)));
        }
        let data = tlv(0x30, &data);
        let own = match spec.responder {
            Responder::Ca => ca.key(),
            Responder::Delegated => Key::Ocsp,
        };
        let key = spec.signer.unwrap_or(own);
        let hash = DigestAlgorithm::Sha256;
        let signature = [&[0][..], &key.sign(&data, hash)].concat();
        let mut basic = [data, encoded(&key.signature_algorithm(hash)), tlv(0x03, &signature)].concat();
        if spec.responder == Responder::Delegated && !spec.odd.certificate_left_out {
            basic.extend(tlv(0xa0, &tlv(0x30, &self.ocsp_delegate(ca, &spec.odd.delegate))));
        }
        let kind = rfc6960::ID_PKIX_OCSP_BASIC.to_der().expect("an OID encodes");
        let bytes = tlv(0x30, &[kind, tlv(0x04, &tlv(0x30, &basic))].concat());
        tlv(0x30, &[tlv(0x0a, &[0]), tlv(0xa0, &bytes)].concat())
    }

    /// Certificate of the responder that `ca` delegates to, DER.
    #[must_use]
    pub fn ocsp_responder(&self, ca: Ca) -> Vec<u8> {
        self.ocsp_delegate(ca, &Delegate::default())
    }

    /// The same, odd.
    #[must_use]
    pub fn ocsp_delegate(&self, ca: Ca, odd: &Delegate) -> Vec<u8> {
        let ca = odd.issuer.unwrap_or(ca);
        let mut extensions = vec![
            ca.authority_key_identifier(),
            subject_key_identifier(Key::Ocsp),
            key_usage(usage(KeyUsages::DigitalSignature)),
        ];
        if !odd.not_for_ocsp {
            extensions.push(extended_key_usage(&[rfc5912::ID_KP_OCSP_SIGNING], false));
        }
        extensions.push(if odd.to_be_checked {
            distribution_points(None, &format!("{}{}", self.base_url, ca.crl_path()))
        } else {
            extension(rfc6960::ID_PKIX_OCSP_NOCHECK, false, &[5, 0])
        });
        self.issue(Issue {
            serial: OCSP_RESPONDER_SERIAL,
            issuer: ca,
            issuer_key: odd.issuer_key,
            subject: name(&[
                ("C", "JP"),
                ("O", "TEST Medical Certification Center"),
                ("CN", "TEST OCSP Responder 1"),
            ]),
            key: Key::Ocsp,
            not_before: self.now - Duration::days(30),
            not_after: odd.not_after.unwrap_or(self.now + Duration::days(30)),
            extensions,
        })
    }
}

/// RFC 6960 §4.2.1 SingleResponse.
fn single(ca: Ca, asked: &CertId, spec: &OcspSpec) -> Vec<u8> {
    let mut about = asked.clone();
    let number = asked.number();
    let other = || OctetString::new([0x2a; 20]).expect("a hash is short");
    if spec.odd.wrong_name_hash {
        about.issuer_name_hash = other();
    }
    if spec.odd.wrong_key_hash {
        about.issuer_key_hash = other();
    }
    if spec.wrong_certificate {
        about.serial_number = serial(number.wrapping_add(1));
    }
    let line = spec.revoked.iter().find(|line| line.serial == number);
    let status = match line {
        _ if !asked.is_of(ca) || spec.unknown.contains(&number) => vec![0x82, 0],
        None => vec![0x80, 0],
        Some(line) => {
            let reason = line
                .reason
                .map(|reason| tlv(0xa0, &tlv(0x0a, &[reason as u8])))
                .unwrap_or_default();
            tlv(0xa1, &[generalized_time(line.at, spec), reason].concat())
        }
    };
    let mut fields = [encoded(&about), status, generalized_time(spec.this_update, spec)].concat();
    fields.extend(
        spec.next_update
            .map(|at| tlv(0xa0, &generalized_time(at, spec)))
            .unwrap_or_default(),
    );
    let mut extensions: Vec<u8> = spec.odd.single_extensions.iter().flat_map(encoded).collect();
    extensions.extend(spec.odd.archive_cutoff.iter().flat_map(|at| {
        let value = generalized_time(*at, spec);
        encoded(&extension(rfc6960::ID_PKIX_OCSP_ARCHIVE_CUTOFF, false, &value))
    }));
    if !extensions.is_empty() {
        fields.extend(tlv(0xa1, &tlv(0x30, &extensions)));
    }
    tlv(0x30, &fields)
}

/// RFC 6960 §4.2.1: GeneralizedTime, whole seconds; of an odd responder with microseconds.
fn generalized_time(at: OffsetDateTime, spec: &OcspSpec) -> Vec<u8> {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let text = format!(
        "{year:04}{:02}{day:02}{hour:02}{minute:02}{second:02}{}Z",
        u8::from(month),
        if spec.odd.sub_seconds { ".194663" } else { "" }
    );
    tlv(0x18, text.as_bytes())
}
