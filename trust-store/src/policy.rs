//! `policy.toml`: what this relay or verifier demands beyond the standards. `CONTRACTS.md` §3.

use time::{Duration, OffsetDateTime};

/// The policy as validated. [`Policy::default`] is the default of every key.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// `signing_policies`, dotted OIDs.
    pub signing_policies: Vec<const_oid::ObjectIdentifier>,
    /// `minimum_level`.
    pub minimum_level: Level,
    /// `signer_timestamp`.
    pub signer_timestamp: SignerTimestamp,
    /// `freshness`.
    pub freshness: Freshness,
    /// `clock_skew`.
    pub clock_skew: Duration,
    /// `tsa_policies`; empty: any.
    pub tsa_policies: Vec<const_oid::ObjectIdentifier>,
    /// `tsa_revocation`.
    pub tsa_revocation: TsaRevocation,
    /// `[roles]`.
    pub roles: crate::role_policy::RolePolicy,
    /// `[algorithms]`: last acceptable date by name.
    pub algorithms: std::collections::BTreeMap<String, OffsetDateTime>,
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
