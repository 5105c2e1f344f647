//! The path from a certificate to an anchor of its purpose, and the revocation of every certificate on it.

use const_oid::db::rfc5280::{ID_CE_CRL_DISTRIBUTION_POINTS, ID_PE_AUTHORITY_INFO_ACCESS};
use time::OffsetDateTime;

use super::ledger::{Ledger, Row};
use super::{Setting, profile, signer};
use crate::algorithm;
use crate::anchors::AnchorSet;
use crate::certificate::Certificate;
use crate::evidence::EvidenceQuery;
use crate::path::{self, CertificationPath, PathFailure, PathInputs};
use crate::policy::{Freshness, TsaRevocation};
use crate::report::rfc3339;
use crate::revocation::{self, Reason, RevocationSources, RevocationStatus, Times};

/// Path and revocation of a signer's certificate at `time`. `proven`: a stamp proves that the signature existed then.
pub(super) fn of_signer(
    certificate: &Certificate,
    time: OffsetDateTime,
    proven: bool,
    setting: &Setting<'_>,
    ledger: &mut Ledger,
    queries: &mut Vec<EvidenceQuery>,
) {
    let Some(path) = build(
        certificate,
        &setting.anchors.hpki,
        time,
        setting,
        "certificate_path",
        ledger,
    ) else {
        return;
    };
    let authorities = path
        .certificates
        .split_last()
        .map(|(_, authorities)| authorities)
        .unwrap_or_default();
    profile::authority_policies(authorities.iter(), setting.policy, ledger);
    let times = Times {
        judged_at: time,
        at: setting.now,
        skew: setting.policy.clock_skew,
        freshness: setting.policy.freshness,
    };
    for (index, certificate) in path.certificates.iter().enumerate() {
        let is_leaf = index + 1 == path.certificates.len();
        let subject = &certificate.subject;
        match status(&path, index, certificate, &times, setting) {
            RevocationStatus::Good {
                this_update,
                revoked_later,
                ..
            } => {
                let detail = format!(
                    "{subject} was not revoked at {} (CRL of {}).",
                    rfc3339(time),
                    rfc3339(this_update)
                );
                ledger.pass("revocation", detail);
                if let Some(later) = revoked_later {
                    let detail = format!("{subject} was revoked at {}, after the signature.", rfc3339(later.at));
                    ledger.warn("revocation", detail);
                }
            }
            RevocationStatus::Revoked(revoked) => {
                let row = match (is_leaf, proven) {
                    (false, _) => Row::RevokedCaNoPoe,
                    (true, true) => Row::Revoked,
                    (true, false) => Row::RevokedNoPoe,
                };
                ledger.fail(
                    "revocation",
                    row,
                    format!("{subject} was revoked at {}.", rfc3339(revoked.at)),
                );
            }
            RevocationStatus::Unknown { reason } => {
                let detail = format!(
                    "Whether {subject} was revoked at {} is not known: {reason}.",
                    rfc3339(time)
                );
                ledger.fail("revocation", Row::TryLater, detail);
                ask(certificate, queries);
            }
        }
    }
}

/// Path and revocation of a time-stamp authority's certificate at the validator's clock.
pub(super) fn of_stamp(
    certificate: &Certificate,
    gen_time: OffsetDateTime,
    setting: &Setting<'_>,
    ledger: &mut Ledger,
    queries: &mut Vec<EvidenceQuery>,
) {
    let name = "timestamp_path";
    let Some(path) = build(certificate, &setting.anchors.tsa, setting.now, setting, name, ledger) else {
        return;
    };
    if setting.policy.tsa_revocation == TsaRevocation::Off {
        ledger.pass(
            "timestamp_revocation",
            "The policy leaves the revocation of time-stamp authorities unchecked.",
        );
        return;
    }
    let times = Times {
        judged_at: setting.now,
        at: setting.now,
        skew: setting.policy.clock_skew,
        // Strict asks for evidence newer than a past moment; of the present moment there can be none.
        freshness: Freshness::Service,
    };
    for (index, certificate) in path.certificates.iter().enumerate() {
        let is_leaf = index + 1 == path.certificates.len();
        let subject = &certificate.subject;
        match status(&path, index, certificate, &times, setting) {
            RevocationStatus::Good { .. } => {
                ledger.pass("timestamp_revocation", format!("{subject} is not revoked."));
            }
            RevocationStatus::Revoked(revoked) if is_leaf && revoked.at > gen_time && keeps_tokens(revoked.reason) => {
                let detail = format!(
                    "{subject} was revoked at {}, after the time stamp and not for its key.",
                    rfc3339(revoked.at)
                );
                ledger.warn("timestamp_revocation", detail);
            }
            RevocationStatus::Revoked(revoked) => {
                let row = if is_leaf {
                    Row::RevokedNoPoe
                } else {
                    Row::RevokedCaNoPoe
                };
                ledger.fail(
                    "timestamp_revocation",
                    row,
                    format!("{subject} was revoked at {}.", rfc3339(revoked.at)),
                );
            }
            RevocationStatus::Unknown { .. }
                if setting.policy.tsa_revocation == TsaRevocation::IfNamed && !names_evidence(certificate) =>
            {
                let detail = format!("{subject} names neither CRL nor OCSP; the policy asks for none then.");
                ledger.pass("timestamp_revocation", detail);
            }
            RevocationStatus::Unknown { reason } => {
                let detail = format!(
                    "Whether {subject} is revoked at {} is not known: {reason}. {}",
                    rfc3339(setting.now),
                    super::HINT
                );
                ledger.fail("timestamp_revocation", Row::TryLater, detail);
                ask(certificate, queries);
            }
        }
    }
}

fn build(
    certificate: &Certificate,
    anchors: &AnchorSet,
    time: OffsetDateTime,
    setting: &Setting<'_>,
    name: &str,
    ledger: &mut Ledger,
) -> Option<CertificationPath> {
    // Whether the leaf is in time is a check of its own, with rows of its own.
    let inputs = PathInputs {
        leaf_validity_ignored: true,
        ..PathInputs::default()
    };
    let subject = &certificate.subject;
    match path::build(certificate, anchors, &setting.material.certificates, &inputs, time) {
        Ok(path) => {
            let anchor = &path.anchor.certificate.subject;
            ledger.pass(
                name,
                format!("{subject} leads to the trust anchor {anchor} at {}.", rfc3339(time)),
            );
            for warning in &path.warnings {
                ledger.warn(name, warning.as_str());
            }
            algorithm_dates(&path, time, setting, ledger);
            Some(path)
        }
        Err(failure) => {
            let row = match failure {
                PathFailure::NoChain(_) => Row::NoCertificateChainFound,
                PathFailure::Algorithm(_) => Row::CryptoConstraintsFailure,
                PathFailure::Constraints(_) => Row::ChainConstraintsFailure,
                PathFailure::LeafExpired(_) | PathFailure::LeafNotYetValid(_) => Row::OutOfBoundsNoPoe,
            };
            ledger.fail(
                name,
                row,
                format!(
                    "{subject} does not lead to a trust anchor at {}: {failure}.",
                    rfc3339(time)
                ),
            );
            None
        }
    }
}

fn algorithm_dates(path: &CertificationPath, time: OffsetDateTime, setting: &Setting<'_>, ledger: &mut Ledger) {
    for (index, certificate) in path.certificates.iter().enumerate() {
        let key = &path.issuer_of(index).key;
        // What is not accepted at all never became part of a path.
        let names = algorithm::algorithm_names(&certificate.signature_algorithm, None, key).unwrap_or_default();
        for name in names {
            if let Some(detail) = signer::outlived(setting.policy, &name, time) {
                let detail = format!("The certificate of {} is signed with {detail}.", certificate.subject);
                ledger.fail("algorithms", Row::CryptoConstraintsFailure, detail);
            }
        }
    }
}

fn status(
    path: &CertificationPath,
    index: usize,
    certificate: &Certificate,
    times: &Times,
    setting: &Setting<'_>,
) -> RevocationStatus {
    let sources = RevocationSources {
        anchor: &path.anchor,
        certificates: &setting.material.certificates,
        crls: &setting.material.crls,
    };
    revocation::status(certificate, path.issuer_of(index), &sources, times)
}

/// Asked only for certificates on a path that verifies: their URLs are an authority's words, not an attacker's.
fn ask(certificate: &Certificate, queries: &mut Vec<EvidenceQuery>) {
    let urls = revocation::urls(certificate);
    let query = EvidenceQuery::Crl {
        issuer: certificate.issuer.to_string(),
        subject: certificate.subject.to_string(),
        urls,
    };
    let EvidenceQuery::Crl { urls, .. } = &query;
    if !urls.is_empty() && !queries.contains(&query) {
        queries.push(query);
    }
}

fn names_evidence(certificate: &Certificate) -> bool {
    [ID_CE_CRL_DISTRIBUTION_POINTS, ID_PE_AUTHORITY_INFO_ACCESS]
        .iter()
        .any(|oid| certificate.extension(oid).is_some())
}

/// RFC 3161 §4: tokens made before survive these reasons alone. No reason given counts as the worst.
fn keeps_tokens(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AffiliationChanged | Reason::Superseded | Reason::CessationOfOperation | Reason::PrivilegeWithdrawn
    )
}
