//! RFC 5280 alone: is this certificate valid under these anchors? The verdict behind `hikyaku chain`.

use const_oid::ObjectIdentifier;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::algorithm::Accepted;
use crate::anchors::AnchorSet;
use crate::certificate::Certificate;
use crate::path::{self, CertificatePool, CertificationPath, PathFailure, PathInputs};
use crate::policy::Freshness;
use crate::revocation::{self, CrlPool, OcspPool, RevocationSources, RevocationStatus, Times};

/// The verdict, as `CONTRACTS.md` §4 `chain` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainVerdict {
    /// Whether the certificate is valid.
    pub valid: bool,
    /// The kind of verdict, a stable word.
    pub code: ChainCode,
    /// Why, in one sentence.
    pub reason: String,
    /// Subjects from the leaf to the anchor; empty without a path.
    pub path: Vec<String>,
    /// Only revocation evidence is missing.
    #[serde(skip)]
    pub indeterminate: bool,
}

/// The kind of a [`ChainVerdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainCode {
    /// Valid.
    Valid,
    /// No path of sound signatures and matching names to an anchor.
    NoPath,
    /// A signature on the path is made with an algorithm or key that is not accepted.
    AlgorithmNotAccepted,
    /// RFC 5280 §6 refuses the path, or a CA is outside its validity.
    ConstraintsViolated,
    /// The certificate expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// A certificate of the path was revoked.
    Revoked,
    /// Only evidence of revocation is missing.
    RevocationUnknown,
}

/// Inputs of RFC 5280 §6.1.1, and whether revocation is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainOptions {
    /// `--policy`; empty stands for anyPolicy.
    pub policies: Vec<ObjectIdentifier>,
    /// `--require-explicit-policy`
    pub require_explicit_policy: bool,
    /// `--inhibit-policy-mapping`
    pub inhibit_policy_mapping: bool,
    /// `--inhibit-any-policy`
    pub inhibit_any_policy: bool,
    /// `--no-revocation`
    pub no_revocation: bool,
    /// `--accept-sha1`
    pub accepted: Accepted,
}

/// Judges `leaf` at `at`: path, and the revocation of every certificate below the anchor.
#[must_use]
pub fn chain(
    leaf: &Certificate,
    anchors: &AnchorSet,
    intermediates: &CertificatePool,
    crls: &CrlPool,
    ocsp: &OcspPool,
    at: OffsetDateTime,
    options: &ChainOptions,
) -> ChainVerdict {
    let inputs = PathInputs {
        policies: options.policies.clone(),
        explicit_policy: options.require_explicit_policy,
        policy_mapping_inhibit: options.inhibit_policy_mapping,
        any_policy_inhibit: options.inhibit_any_policy,
        leaf_validity_ignored: false,
        accepted: options.accepted,
    };
    let paths = match path::build_all(leaf, anchors, intermediates, &inputs, at) {
        Ok(paths) => paths,
        Err(failure) => return ChainVerdict::refused(code_of(&failure), failure.to_string(), Vec::new()),
    };
    // The best of all paths: valid before undecided before revoked.
    let verdicts = paths
        .iter()
        .map(|path| of_path(path, intermediates, crls, ocsp, at, options));
    let best = verdicts.min_by_key(|verdict| (!verdict.valid, !verdict.indeterminate));
    best.unwrap_or_else(|| ChainVerdict::refused(ChainCode::NoPath, "no path".into(), Vec::new()))
}

fn of_path(
    path: &CertificationPath,
    intermediates: &CertificatePool,
    crls: &CrlPool,
    ocsp: &OcspPool,
    at: OffsetDateTime,
    options: &ChainOptions,
) -> ChainVerdict {
    let below = path.certificates.iter().rev();
    let names = below
        .chain([&path.anchor.certificate])
        .map(|certificate| certificate.subject.to_string())
        .collect();
    let mut missing = None;
    if !options.no_revocation {
        let sources = RevocationSources {
            anchor: &path.anchor,
            certificates: intermediates,
            crls,
            ocsp,
            accepted: options.accepted,
            policy: None,
            known_since: &|_| at,
            until: None,
        };
        let times = Times {
            judged_at: at,
            at,
            skew: Duration::minutes(5),
            freshness: Freshness::Service,
        };
        for (index, certificate) in path.certificates.iter().enumerate() {
            match revocation::status(certificate, path.issuer_of(index), &sources, &times) {
                RevocationStatus::Good { .. } => {}
                RevocationStatus::Revoked { revocation, .. } => {
                    let reason = format!("{} was revoked at {}", certificate.subject, revocation.at);
                    return ChainVerdict::refused(ChainCode::Revoked, reason, names);
                }
                RevocationStatus::Unknown { reason, .. } => {
                    missing.get_or_insert(format!("revocation of {} is unknown: {reason}", certificate.subject));
                }
            }
        }
    }
    match missing {
        Some(reason) => ChainVerdict::refused(ChainCode::RevocationUnknown, reason, names),
        None => ChainVerdict {
            valid: true,
            code: ChainCode::Valid,
            reason: "valid".into(),
            path: names,
            indeterminate: false,
        },
    }
}

fn code_of(failure: &PathFailure) -> ChainCode {
    match failure {
        PathFailure::NoChain(_) | PathFailure::GivenUp => ChainCode::NoPath,
        PathFailure::Algorithm(_) => ChainCode::AlgorithmNotAccepted,
        PathFailure::Constraints(_) | PathFailure::OutOfTime(_) => ChainCode::ConstraintsViolated,
        PathFailure::LeafExpired(_) => ChainCode::Expired,
        PathFailure::LeafNotYetValid(_) => ChainCode::NotYetValid,
    }
}

impl ChainVerdict {
    fn refused(code: ChainCode, reason: String, path: Vec<String>) -> Self {
        Self {
            valid: false,
            code,
            reason,
            path,
            indeterminate: code == ChainCode::RevocationUnknown,
        }
    }
}
