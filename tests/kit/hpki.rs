//! The test HPKI: root, signing CA, authentication CA, and a time stamp authority under a root of its own.
//!
//! Shapes are those of the deployed certificates; names and keys are plainly those of a test.

use const_oid::db::rfc5280;
use formats::hc_role::{self, HcRole};
use time::{Date, Duration, OffsetDateTime, Time, UtcOffset};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::name::Name;
use x509_cert::time::Validity;

use crate::card::{AUTHENTICATION_POLICY, Card, CardSpec, SIGNING_POLICY, usage};
use crate::keys::Key;
use crate::x509::{
    TbsCertificate, authority_key_identifier, basic_constraints, directory_alt_name, distribution_points, extension,
    key_usage, name, name_under, ocsp_location, policies, serial, signed, subject_key_identifier, time,
};

/// A certificate authority of the test HPKI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ca {
    /// HPKI root
    Root,
    /// Signing CA, `…-forNonRepudiation`
    Sign,
    /// The same signing CA by name, after its key was rolled over
    SignRollover,
    /// Authentication CA, `…-forAuthentication-forIndividual`
    Auth,
    /// Root of the time stamp authority: another tree
    TsaRoot,
    /// Root of another authority, with keys that no algorithm date ends (P-384); not in [`TestHpki::write_trust`]
    LastingTsaRoot,
}

impl Ca {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Root,
        Self::Sign,
        Self::SignRollover,
        Self::Auth,
        Self::TsaRoot,
        Self::LastingTsaRoot,
    ];

    /// Its name as subject and issuer.
    #[must_use]
    pub fn name(self) -> Name {
        let ministry = ("O", "TEST Ministry of Health");
        let authority = ("O", "TEST Medical Certification Center");
        let unit = ("OU", "TEST HPKI CA");
        match self {
            Self::Root => name(&[
                ("C", "JP"),
                ministry,
                ("OU", "TEST Policy Planning and Evaluation"),
                ("OU", "TEST HPKI Root CA"),
            ]),
            Self::Sign | Self::SignRollover => name(&[
                ("C", "JP"),
                authority,
                unit,
                ("CN", "HPKI-01-TestSignCA-forNonRepudiation"),
            ]),
            Self::Auth => name(&[
                ("C", "JP"),
                authority,
                unit,
                ("CN", "HPKI-01-TestAuthCA-forAuthentication-forIndividual"),
            ]),
            Self::TsaRoot => name(&[
                ("C", "JP"),
                ("O", "TEST Time Authority"),
                ("CN", "TEST Time Stamp Root CA"),
            ]),
            Self::LastingTsaRoot => name(&[
                ("C", "JP"),
                ("O", "TEST Time Authority"),
                ("CN", "TEST Lasting Time Stamp Root CA"),
            ]),
        }
    }

    /// Its key.
    #[must_use]
    pub fn key(self) -> Key {
        match self {
            Self::Root => Key::Root,
            Self::Sign => Key::SignCa,
            Self::SignRollover => Key::SignCaRollover,
            Self::Auth => Key::AuthCa,
            Self::TsaRoot => Key::TsaRoot,
            Self::LastingTsaRoot => Key::LastingTsaRoot,
        }
    }

    /// Serial number of its certificate.
    #[must_use]
    pub fn serial(self) -> u64 {
        match self {
            Self::Root | Self::TsaRoot | Self::LastingTsaRoot => 1,
            Self::Sign => 4,
            Self::Auth => 5,
            Self::SignRollover => 6,
        }
    }

    /// Who issued its certificate.
    #[must_use]
    pub fn issuer(self) -> Self {
        match self {
            Self::TsaRoot | Self::LastingTsaRoot => self,
            _ => Self::Root,
        }
    }

    /// Where the CRL of what it issued lies, below the base URL.
    #[must_use]
    pub fn crl_path(self) -> &'static str {
        match self {
            Self::Root => "/crl/sarl.crl",
            Self::Sign => "/crl/sign.crl",
            Self::SignRollover => "/crl/sign-rollover.crl",
            Self::Auth => "/crl/auth.crl",
            Self::TsaRoot => "/crl/tsa.crl",
            Self::LastingTsaRoot => "/crl/lasting-tsa.crl",
        }
    }

    /// Where the responder on what it issued lies, below the base URL.
    #[must_use]
    pub fn ocsp_path(self) -> &'static str {
        match self {
            Self::Root => "/ocsp/root",
            Self::Sign => "/ocsp/sign",
            Self::SignRollover => "/ocsp/sign-rollover",
            Self::Auth => "/ocsp/auth",
            Self::TsaRoot => "/ocsp/tsa",
            Self::LastingTsaRoot => "/ocsp/lasting-tsa",
        }
    }

    pub(crate) fn authority_key_identifier(self) -> Extension {
        authority_key_identifier(self.key(), &self.issuer().name(), self.serial())
    }
}

/// Path of the root's revocation list about itself.
pub(crate) const RARL_PATH: &str = "/crl/rarl.crl";
/// Directory names of the two parts of the root's revocation list.
pub(crate) const SARL: &str = "SARL";
pub(crate) const RARL: &str = "RARL";

const CPS: &str = "http://test.invalid/hpki/repository/";

/// The CAs and their keys. Issuing is deterministic: the same `base_url` and `now` give the same bytes.
#[derive(Debug, Clone)]
pub struct TestHpki {
    pub(crate) base_url: String,
    pub(crate) now: OffsetDateTime,
}

impl TestHpki {
    /// CRL distribution points lie under `base_url` (no slash at its end); validity of everything is chosen around `now`.
    #[must_use]
    pub fn new(base_url: &str, now: OffsetDateTime) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            now,
        }
    }

    /// The time everything is arranged around.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.now
    }

    /// Certificate of a CA, DER.
    #[must_use]
    pub fn ca(&self, ca: Ca) -> Vec<u8> {
        self.ca_with(ca, |_| {})
    }

    /// Certificate of a CA with its extensions changed by `change` before it is signed.
    #[must_use]
    pub fn ca_with(&self, ca: Ca, change: impl FnOnce(&mut Vec<Extension>)) -> Vec<u8> {
        let (years_ago, years_ahead) = match ca {
            Ca::Root => (11, 19),
            Ca::TsaRoot => (8, 12),
            Ca::LastingTsaRoot => (4, 26),
            Ca::SignRollover => (2, 18),
            Ca::Sign | Ca::Auth => (10, 10),
        };
        let mut extensions = self.ca_extensions(ca);
        change(&mut extensions);
        self.issue(Issue {
            serial: ca.serial(),
            issuer: ca.issuer(),
            issuer_key: None,
            subject: ca.name(),
            key: ca.key(),
            not_before: self.now - Duration::days(365 * years_ago),
            not_after: end_of_day_in_japan(self.now + Duration::days(365 * years_ahead)),
            extensions,
        })
    }

    /// Certificate of a CA that names its issuer's responder in place of a list.
    #[must_use]
    pub fn ca_by_responder(&self, ca: Ca) -> Vec<u8> {
        self.ca_with(ca, |extensions| {
            extensions.retain(|one| one.extn_id != rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS);
            extensions.push(ocsp_location(&self.url(ca.issuer().ocsp_path())));
        })
    }

    /// Issues a card.
    #[must_use]
    pub fn card(&self, spec: CardSpec) -> Card {
        let mut extensions = vec![spec.ca.authority_key_identifier(), subject_key_identifier(spec.key)];
        extensions.extend(spec.key_usage.map(key_usage));
        extensions.extend(spec.alternative_name.as_ref().map(directory_alt_name));
        if spec.with_crldp {
            extensions.push(distribution_points(None, &self.url(spec.ca.crl_path())));
        }
        if spec.with_ocsp {
            extensions.push(ocsp_location(&self.url(spec.ca.ocsp_path())));
        }
        let roles: Vec<HcRole> = spec.roles.into_iter().map(HcRole).collect();
        let role_extension = spec
            .role_extension
            .or_else(|| (!roles.is_empty()).then(|| hc_role::encode(&roles)));
        extensions
            .extend(role_extension.map(|value| extension(rfc5280::ID_CE_SUBJECT_DIRECTORY_ATTRIBUTES, false, &value)));
        if !spec.policies.is_empty() {
            extensions.push(policies(&spec.policies, CPS));
        }
        extensions.extend(spec.extra_extensions);
        let certificate = self.issue(Issue {
            serial: spec.serial,
            issuer: spec.ca,
            issuer_key: spec.issuer_key,
            subject: spec.subject,
            key: spec.key,
            not_before: spec
                .not_before
                .unwrap_or_else(|| midnight_in_japan(self.now - Duration::days(365))),
            not_after: spec
                .not_after
                .unwrap_or_else(|| end_of_day_in_japan(self.now + Duration::days(4 * 365))),
            extensions,
        });
        let mut chain = vec![self.ca(spec.ca)];
        if spec.ca.issuer() != spec.ca {
            chain.push(self.ca(spec.ca.issuer()));
        }
        Card {
            certificate,
            chain,
            pkcs8: spec.key.pkcs8(),
            serial: spec.serial,
            ca: spec.ca,
            key: spec.key,
        }
    }

    /// [`CardSpec::doctor`], issued.
    #[must_use]
    pub fn doctor(&self) -> Card {
        self.card(CardSpec::doctor())
    }

    /// [`CardSpec::pharmacist`], issued.
    #[must_use]
    pub fn pharmacist(&self) -> Card {
        self.card(CardSpec::pharmacist())
    }

    /// [`CardSpec::nurse`], issued.
    #[must_use]
    pub fn nurse(&self) -> Card {
        self.card(CardSpec::nurse())
    }

    /// [`CardSpec::dentist`], issued.
    #[must_use]
    pub fn dentist(&self) -> Card {
        self.card(CardSpec::dentist())
    }

    /// [`CardSpec::no_role`], issued.
    #[must_use]
    pub fn no_role(&self) -> Card {
        self.card(CardSpec::no_role())
    }

    /// [`CardSpec::ec_doctor`], issued.
    #[must_use]
    pub fn ec_doctor(&self) -> Card {
        self.card(CardSpec::ec_doctor())
    }

    /// [`CardSpec::auth`], issued.
    #[must_use]
    pub fn auth_card(&self) -> Card {
        self.card(CardSpec::auth())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn ca_extensions(&self, ca: Ca) -> Vec<Extension> {
        let ca_key_usage = key_usage(usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign));
        let mut extensions = vec![
            ca.issuer().authority_key_identifier(),
            subject_key_identifier(ca.key()),
            basic_constraints(),
        ];
        match ca {
            Ca::Root => {
                let japanese = name(&[
                    ("C", "JP"),
                    ("O", "テスト厚生省"),
                    ("OU", "テスト政策統括官"),
                    ("OU", "テストＨＰＫＩルート認証局"),
                ]);
                let part = name_under(&ca.name(), RARL);
                extensions.extend([
                    ca_key_usage,
                    directory_alt_name(&japanese),
                    distribution_points(Some(part), &self.url(RARL_PATH)),
                ]);
            }
            Ca::TsaRoot | Ca::LastingTsaRoot => extensions.push(ca_key_usage),
            Ca::Sign | Ca::SignRollover | Ca::Auth => {
                let part = name_under(&Ca::Root.name(), SARL);
                let points = distribution_points(Some(part), &self.url(Ca::Root.crl_path()));
                // The deployed CAs differ in this order, so these do.
                if ca == Ca::Auth {
                    extensions.extend([ca_key_usage, points, policies(&[AUTHENTICATION_POLICY], CPS)]);
                } else {
                    extensions.extend([policies(&[SIGNING_POLICY], CPS), ca_key_usage, points]);
                }
            }
        }
        extensions
    }

    pub(crate) fn issue(&self, issue: Issue) -> Vec<u8> {
        let key = issue.issuer_key.unwrap_or(issue.issuer.key());
        let tbs = TbsCertificate {
            version: 2,
            serial_number: serial(issue.serial),
            signature: key.signature_algorithm(key.natural_digest()),
            issuer: issue.issuer.name(),
            validity: Validity::new(time(issue.not_before), time(issue.not_after)),
            subject: issue.subject,
            subject_public_key_info: issue.key.public(),
            extensions: issue.extensions,
        };
        signed(&tbs, key)
    }
}

/// One certificate to issue.
pub(crate) struct Issue {
    pub(crate) serial: u64,
    pub(crate) issuer: Ca,
    pub(crate) issuer_key: Option<Key>,
    pub(crate) subject: Name,
    pub(crate) key: Key,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
    pub(crate) extensions: Vec<Extension>,
}

/// 00:00:00 of that day in Japan.
fn midnight_in_japan(at: OffsetDateTime) -> OffsetDateTime {
    let date: Date = at.to_offset(japan()).date();
    date.with_time(Time::MIDNIGHT).assume_offset(japan())
}

/// 23:59:59 of that day in Japan.
pub(crate) fn end_of_day_in_japan(at: OffsetDateTime) -> OffsetDateTime {
    midnight_in_japan(at) + Duration::days(1) - Duration::seconds(1)
}

fn japan() -> UtcOffset {
    UtcOffset::from_hms(9, 0, 0).expect("nine hours is an offset")
}
