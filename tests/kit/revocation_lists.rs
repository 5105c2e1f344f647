//! CRLs of the CAs and the two ARLs of the root, in the deployed shapes.

use const_oid::db::rfc5280;
use der::asn1::{Any, OctetString};
use der::{Decode as _, Sequence};
use spki::AlgorithmIdentifierOwned;
use time::{Duration, OffsetDateTime};
use x509_cert::crl::RevokedCert;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::name::Name;
use x509_cert::time::Time;

use crate::hpki::{Ca, RARL, SARL, TestHpki};
use crate::keys::Key;
use crate::x509::{encoded, extension, name_under, serial, signed, time};

/// RFC 5280 §5.1 TBSCertList, v2.
#[derive(Sequence)]
struct TbsCertList {
    version: u8,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    this_update: Time,
    next_update: Option<Time>,
    revoked_certificates: Option<Vec<RevokedCert>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    crl_extensions: Vec<Extension>,
}

/// One line of a CRL.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// Serial number.
    pub serial: u64,
    /// revocationDate.
    pub at: OffsetDateTime,
    /// reasonCode; `None`: no extension.
    pub reason: Option<CrlReason>,
    /// Further entry extensions, e.g. invalidityDate.
    pub extensions: Vec<Extension>,
}

impl Revoked {
    /// Revoked `at`, for `reason`.
    #[must_use]
    pub fn new(serial: u64, at: OffsetDateTime, reason: CrlReason) -> Self {
        Self {
            serial,
            at,
            reason: Some(reason),
            extensions: Vec::new(),
        }
    }
}

/// What is on a CRL and when it was issued.
#[derive(Debug, Clone)]
pub struct CrlSpec {
    /// thisUpdate.
    pub this_update: OffsetDateTime,
    /// nextUpdate.
    pub next_update: Option<OffsetDateTime>,
    /// The revoked.
    pub revoked: Vec<Revoked>,
    /// cRLNumber.
    pub number: u64,
    /// issuingDistributionPoint in place of the usual one (none for end entities, the part's for the root).
    pub distribution_point: Option<IssuingDistributionPoint>,
    /// Key to sign with in place of the CA's: a forgery.
    pub signer: Option<Key>,
    /// Appended as they are.
    pub extra_extensions: Vec<Extension>,
}

impl CrlSpec {
    /// Issued at `this_update`, 96 hours to the next, nobody revoked.
    #[must_use]
    pub fn at(this_update: OffsetDateTime) -> Self {
        Self {
            this_update,
            next_update: Some(this_update + Duration::hours(96)),
            revoked: Vec::new(),
            number: u64::try_from(this_update.unix_timestamp() / 60).unwrap_or(1),
            distribution_point: None,
            signer: None,
            extra_extensions: Vec::new(),
        }
    }

    /// The same with one more revoked.
    #[must_use]
    pub fn revoking(mut self, serial: u64, at: OffsetDateTime, reason: CrlReason) -> Self {
        self.revoked.push(Revoked::new(serial, at, reason));
        self
    }
}

impl TestHpki {
    /// A full CRL of `ca`: authorityKeyIdentifier and cRLNumber, nothing more.
    #[must_use]
    pub fn crl(&self, ca: Ca, spec: CrlSpec) -> Vec<u8> {
        let key = spec.signer.unwrap_or(ca.key());
        let number = extension(rfc5280::ID_CE_CRL_NUMBER, false, &encoded(&spec.number));
        let mut crl_extensions = vec![ca.authority_key_identifier(), number];
        crl_extensions.extend(spec.distribution_point.map(|point| {
            // By its own number: the crate gives the type that of subjectInfoAccess.
            extension(rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT, true, &encoded(&point))
        }));
        crl_extensions.extend(spec.extra_extensions);
        let revoked: Vec<RevokedCert> = spec.revoked.into_iter().map(entry).collect();
        let tbs = TbsCertList {
            version: 1,
            signature: key.signature_algorithm(key.natural_digest()),
            issuer: ca.name(),
            this_update: time(spec.this_update),
            next_update: spec.next_update.map(time),
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions,
        };
        signed(&tbs, key)
    }

    /// The root's list of revoked CAs, part `CN=SARL`.
    #[must_use]
    pub fn sarl(&self, spec: CrlSpec) -> Vec<u8> {
        self.root_list(SARL, spec)
    }

    /// The root's list about itself, part `CN=RARL`.
    #[must_use]
    pub fn rarl(&self, spec: CrlSpec) -> Vec<u8> {
        self.root_list(RARL, spec)
    }

    fn root_list(&self, part: &str, mut spec: CrlSpec) -> Vec<u8> {
        let name = name_under(&Ca::Root.name(), part);
        spec.distribution_point.get_or_insert(IssuingDistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![GeneralName::DirectoryName(name)])),
            only_contains_user_certs: false,
            only_contains_ca_certs: true,
            only_some_reasons: None,
            indirect_crl: false,
            only_contains_attribute_certs: false,
        });
        self.crl(Ca::Root, spec)
    }
}

fn entry(revoked: Revoked) -> RevokedCert {
    let reason = revoked.reason.map(|reason| Extension {
        extn_id: rfc5280::ID_CE_CRL_REASONS,
        critical: false,
        extn_value: OctetString::new(encoded(&reason)).expect("a reason is short"),
    });
    let extensions: Vec<Extension> = reason.into_iter().chain(revoked.extensions).collect();
    RevokedCert {
        serial_number: serial(revoked.serial),
        revocation_date: time(revoked.at),
        crl_entry_extensions: (!extensions.is_empty()).then_some(extensions),
    }
}

/// An entry extension invalidityDate: since when the key is believed bad.
#[must_use]
pub fn invalidity_date(at: OffsetDateTime) -> Extension {
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    let value = [&[0x18, 15], text.as_bytes()].concat();
    Any::from_der(&value).expect("fifteen characters make a GeneralizedTime");
    extension(rfc5280::ID_CE_INVALIDITY_DATE, false, &value)
}
