//! `policy.toml`: what this relay or verifier demands beyond the standards. `CONTRACTS.md` §3.

mod file;
mod lists;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use const_oid::ObjectIdentifier;
use time::{Duration, OffsetDateTime};

use crate::role_policy::RolePolicy;
pub use lists::{AccreditedTsa, Attestation, Qualification, RequiredUsage, Route, RouteRules};

/// The policy as validated. [`Policy::default`] is the default of every key.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// `signing_policies`, dotted OIDs.
    pub signing_policies: Vec<ObjectIdentifier>,
    /// `minimum_level`.
    pub minimum_level: Level,
    /// `signer_timestamp`.
    pub signer_timestamp: SignerTimestamp,
    /// `freshness`.
    pub freshness: Freshness,
    /// `clock_skew`, not negative.
    pub clock_skew: Duration,
    /// `tsa_policies`; empty: any.
    pub tsa_policies: Vec<ObjectIdentifier>,
    /// `tsa_revocation`.
    pub tsa_revocation: TsaRevocation,
    /// `[roles]`.
    pub roles: RolePolicy,
    /// `[algorithms]`: last acceptable moment by name. A name that is absent has no end.
    pub algorithms: BTreeMap<String, OffsetDateTime>,
    /// `[routes.accredited]`; `None`: closed.
    pub accredited: Option<RouteRules>,
    /// `[routes.jpki]`; `None`: closed.
    pub jpki: Option<RouteRules>,
    /// `[[attested]]`
    pub attested: Vec<Attestation>,
    /// `[[tsa]]`; empty: every authority under an anchor.
    pub accredited_tsas: Vec<AccreditedTsa>,
}

/// Why a `policy.toml` is not one: the key, and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML at all.
    #[error("policy.toml does not parse: {0}")]
    Toml(String),
    /// A key this version does not know.
    #[error("policy.toml: unknown key `{key}`; known here: {known}")]
    UnknownKey {
        /// The key, dotted.
        key: String,
        /// The keys known at that place.
        known: String,
    },
    /// A value outside what its key allows.
    #[error("policy.toml: `{key}` must be {allowed}")]
    Value {
        /// The key, dotted.
        key: String,
        /// What it must be.
        allowed: String,
    },
}

/// ETSI signature levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// B-B
    BB,
    /// B-T
    BT,
    /// B-LT
    BLt,
    /// B-LTA
    BLta,
}

/// What a missing signature time stamp means where `minimum_level` asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignerTimestamp {
    /// SIG_CONSTRAINTS_FAILURE
    Required,
    /// TRY_LATER
    RelayAdds,
}

/// When revocation evidence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// nextUpdate ≥ best signature time
    Service,
    /// thisUpdate ≥ best signature time
    Strict,
}

/// Whether the revocation of a TSA certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsaRevocation {
    /// If the certificate names a CRL or OCSP.
    IfNamed,
    /// Always.
    Required,
    /// Never.
    Off,
}

impl Policy {
    /// Reads `policy.toml`. What it does not name keeps its default.
    ///
    /// # Errors
    /// [`PolicyError`] for what is not TOML, unknown keys and wrong values.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        file::read(text)
    }

    /// The whole policy as `policy.toml`, defaults written out. [`Policy::from_toml`] of it gives the same policy.
    #[must_use]
    pub fn to_toml(&self) -> String {
        file::write(self)
    }

    /// What differs from the defaults, as lines of `policy.toml` with their whole key: what an operator decided otherwise.
    #[must_use]
    pub fn local(&self) -> Vec<String> {
        static DEFAULT: LazyLock<Policy> = LazyLock::new(Policy::default);
        if *self == *DEFAULT {
            return Vec::new();
        }
        let defaults = whole_lines(&DEFAULT.to_toml());
        let mut lines = whole_lines(&self.to_toml());
        lines.retain(|line| !defaults.contains(line));
        lines
    }

    /// The rules of the route that is always open.
    #[must_use]
    pub fn hpki(&self) -> RouteRules {
        RouteRules {
            signing_policies: self.signing_policies.clone(),
            kinds: crate::role_policy::KINDS.map(|(kind, _)| kind).to_vec(),
            qualification: Qualification::Certificate,
            key_usage: RequiredUsage::NonRepudiation,
        }
    }

    /// The rules of a route; `None` if it is closed.
    #[must_use]
    pub fn route(&self, route: Route) -> Option<RouteRules> {
        match route {
            Route::Hpki => Some(self.hpki()),
            Route::Accredited => self.accredited.clone(),
            Route::Jpki => self.jpki.clone(),
        }
    }

    /// SHA-256 of [`Policy::to_toml`]: the same for equal policies however they were written.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        formats::digest::sha256(self.to_toml().as_bytes())
    }

    /// The last acceptable moment of an algorithm by its `[algorithms]` name, if it has one.
    #[must_use]
    pub fn last_acceptable(&self, algorithm: &str) -> Option<OffsetDateTime> {
        self.algorithms.get(algorithm).copied()
    }
}

/// Lines with the table they stand in: `roles.Referral = […]`.
fn whole_lines(toml: &str) -> Vec<String> {
    let mut table = String::new();
    let mut lines = Vec::new();
    for line in toml.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('[') && line.ends_with(']') {
            table = format!("{}.", line.trim_matches(['[', ']']));
        } else {
            lines.push(format!("{table}{line}"));
        }
    }
    lines
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            signing_policies: vec![ObjectIdentifier::new_unwrap("1.2.392.100495.1.5.1.1.3.1")],
            minimum_level: Level::BT,
            signer_timestamp: SignerTimestamp::Required,
            freshness: Freshness::Service,
            clock_skew: Duration::minutes(5),
            tsa_policies: Vec::new(),
            tsa_revocation: TsaRevocation::IfNamed,
            roles: RolePolicy::default(),
            // CRYPTREC: 112 bits of security end with 2030.
            algorithms: BTreeMap::from([("rsa2048".to_owned(), time::macros::datetime!(2030-12-31 23:59:59 UTC))]),
            accredited: None,
            jpki: None,
            attested: Vec::new(),
            accredited_tsas: Vec::new(),
        }
    }
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 4] = [Self::BB, Self::BT, Self::BLt, Self::BLta];

    /// ETSI's name, as `policy.toml` and the report write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BB => "B-B",
            Self::BT => "B-T",
            Self::BLt => "B-LT",
            Self::BLta => "B-LTA",
        }
    }
}

impl SignerTimestamp {
    const ALL: [Self; 2] = [Self::Required, Self::RelayAdds];

    fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::RelayAdds => "relay-adds",
        }
    }
}

impl Freshness {
    const ALL: [Self; 2] = [Self::Service, Self::Strict];

    fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Strict => "strict",
        }
    }
}

impl TsaRevocation {
    const ALL: [Self; 3] = [Self::IfNamed, Self::Required, Self::Off];

    fn name(self) -> &'static str {
        match self {
            Self::IfNamed => "if-named",
            Self::Required => "required",
            Self::Off => "off",
        }
    }
}
