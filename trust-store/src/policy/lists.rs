//! What an operator keeps lists of: other routes by which a signer may be trusted, signers whose qualification somebody checked,
//! and the time-stamp authorities that are accredited.

use const_oid::ObjectIdentifier;
use formats::envelope::DocumentKind;
use time::OffsetDateTime;

use crate::anchors::{AnchorSet, Anchors};
use crate::certificate::Certificate;
use crate::report::rfc3339;

/// By which anchors, and by which rules, a signer is trusted. The MHLW guideline names three; only HPKI is open unless a policy
/// opens another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// 保健医療福祉分野の公開鍵基盤
    Hpki,
    /// 電子署名法の認定認証事業者
    Accredited,
    /// 公的個人認証サービス
    Jpki,
}

/// `[routes.…]`: the rules of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRules {
    /// `signing_policies`: at least one.
    pub signing_policies: Vec<ObjectIdentifier>,
    /// `kinds`: what may be signed by this route.
    pub kinds: Vec<DocumentKind>,
    /// `qualification`
    pub qualification: Qualification,
    /// `key_usage`
    pub key_usage: RequiredUsage,
}

/// Where a signer's qualification comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualification {
    /// From `[[attested]]`: the certificate states none, somebody checked it otherwise.
    Attested,
    /// From hcRole in the certificate.
    Certificate,
}

/// What keyUsage must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredUsage {
    /// nonRepudiation
    NonRepudiation,
    /// nonRepudiation or digitalSignature
    DigitalSignature,
}

/// `[[attested]]`: a signer whose qualification was checked outside the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Issuer of the certificate, RFC 4514 as a report writes it.
    pub issuer: String,
    /// Its serial number, hex as a report writes it.
    pub serial: String,
    /// SHA-256 of the certificate's DER, hex, where stated: then no other certificate of that issuer's name and that number is meant.
    pub certificate: Option<String>,
    /// The roles that were checked.
    pub roles: Vec<String>,
    /// Who checked.
    pub checked_by: String,
    /// On which day, `YYYY-MM-DD`.
    pub checked_on: String,
}

/// `[[tsa]]`: a time-stamp authority on the accredited list the operator keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccreditedTsa {
    /// Name of the service.
    pub name: String,
    /// SHA-256 of its anchor's DER, hex.
    pub anchor: String,
    /// Policies it is accredited for; empty: any.
    pub policies: Vec<ObjectIdentifier>,
    /// Where the operator has this from.
    pub source: String,
    /// Begin of the accreditation.
    pub from: Option<OffsetDateTime>,
    /// Its end.
    pub until: Option<OffsetDateTime>,
}

impl Route {
    /// All of them, in the order tried.
    pub const ALL: [Self; 3] = [Self::Hpki, Self::Accredited, Self::Jpki];

    /// As `policy.toml`, the trust directory's folder and the report write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hpki => "hpki",
            Self::Accredited => "accredited",
            Self::Jpki => "jpki",
        }
    }

    /// The anchors of this route.
    #[must_use]
    pub fn anchors(self, anchors: &Anchors) -> &AnchorSet {
        match self {
            Self::Hpki => &anchors.hpki,
            Self::Accredited => &anchors.accredited,
            Self::Jpki => &anchors.jpki,
        }
    }
}

impl Qualification {
    pub(super) const ALL: [Self; 2] = [Self::Attested, Self::Certificate];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::Certificate => "certificate",
        }
    }
}

impl RequiredUsage {
    pub(super) const ALL: [Self; 2] = [Self::NonRepudiation, Self::DigitalSignature];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NonRepudiation => "non-repudiation",
            Self::DigitalSignature => "digital-signature",
        }
    }
}

impl Attestation {
    /// Whether it is about `certificate`.
    #[must_use]
    pub fn is_of(&self, certificate: &Certificate) -> bool {
        let pinned = self.certificate.as_ref();
        self.serial == hex::encode(&certificate.serial)
            && self.issuer == certificate.issuer.to_string()
            && pinned.is_none_or(|pinned| *pinned == hex::encode(formats::digest::sha256(certificate.der())))
    }
}

impl AccreditedTsa {
    /// Why a token of this authority under `policy` and of `time` is outside its accreditation, if so.
    #[must_use]
    pub fn objection(&self, policy: &ObjectIdentifier, time: OffsetDateTime) -> Option<String> {
        if !self.policies.is_empty() && !self.policies.contains(policy) {
            return Some(format!("{} is not accredited for the policy {policy}", self.name));
        }
        if let Some(from) = self.from.filter(|from| time < *from) {
            return Some(format!("{} is accredited from {} on", self.name, rfc3339(from)));
        }
        if let Some(until) = self.until.filter(|until| time > *until) {
            return Some(format!("{} was accredited until {}", self.name, rfc3339(until)));
        }
        None
    }
}
