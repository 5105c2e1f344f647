//! The time stamp authority's certificate, right and wrong.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use time::{Duration, OffsetDateTime};
use x509_cert::ext::pkix::KeyUsages;

use crate::card::usage;
use crate::hpki::{Ca, Issue, TestHpki, end_of_day_in_japan};
use crate::keys::Key;
use crate::x509::{distribution_points, extended_key_usage, key_usage, name, ocsp_location, subject_key_identifier};

impl TestHpki {
    /// The time stamp authority's certificate, DER: extendedKeyUsage critical, timeStamping only.
    #[must_use]
    pub fn tsa(&self) -> Vec<u8> {
        self.tsa_with(TsaSpec::default())
    }

    /// A time stamp authority's certificate, otherwise.
    #[must_use]
    pub fn tsa_with(&self, spec: TsaSpec) -> Vec<u8> {
        let mut extensions = vec![
            spec.ca.authority_key_identifier(),
            subject_key_identifier(spec.key),
            key_usage(usage(KeyUsages::DigitalSignature | KeyUsages::NonRepudiation)),
        ];
        if spec.with_crldp {
            extensions.push(distribution_points(None, &self.url(spec.ca.crl_path())));
        }
        if spec.with_ocsp {
            extensions.push(ocsp_location(&self.url(spec.ca.ocsp_path())));
        }
        if !spec.purposes.is_empty() {
            extensions.push(extended_key_usage(&spec.purposes, spec.critical));
        }
        self.issue(Issue {
            serial: spec.serial,
            issuer: spec.ca,
            issuer_key: None,
            subject: name(&[
                ("C", "JP"),
                ("O", "TEST Time Authority"),
                ("CN", "TEST Time Stamp Unit 1"),
            ]),
            key: spec.key,
            not_before: spec.not_before.unwrap_or(self.now - Duration::days(3 * 365)),
            not_after: spec
                .not_after
                .unwrap_or_else(|| end_of_day_in_japan(self.now + Duration::days(8 * 365))),
            extensions,
        })
    }
}

/// A time stamp authority's certificate to issue.
#[derive(Debug, Clone)]
pub struct TsaSpec {
    /// Who issues.
    pub ca: Ca,
    /// Its key.
    pub key: Key,
    /// Serial number.
    pub serial: u64,
    /// extendedKeyUsage; none: no extension.
    pub purposes: Vec<ObjectIdentifier>,
    /// Whether extendedKeyUsage is critical.
    pub critical: bool,
    /// Whether the certificate says where its CRL is.
    pub with_crldp: bool,
    /// Whether it says where the responder is.
    pub with_ocsp: bool,
    /// notBefore; by default three years ago.
    pub not_before: Option<OffsetDateTime>,
    /// notAfter; by default eight years ahead.
    pub not_after: Option<OffsetDateTime>,
}

impl Default for TsaSpec {
    fn default() -> Self {
        Self {
            ca: Ca::TsaRoot,
            key: Key::Tsa,
            serial: 0x30,
            purposes: vec![rfc5280::ID_KP_TIME_STAMPING],
            critical: true,
            with_crldp: true,
            with_ocsp: false,
            not_before: None,
            not_after: None,
        }
    }
}
