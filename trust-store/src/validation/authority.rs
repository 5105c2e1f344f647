//! The path from a certificate to an anchor of its purpose, and the revocation of every certificate on it.

use formats::timestamp::TstInfo;
use time::OffsetDateTime;

use super::ledger::{Ledger, Row};
use super::route::{self, Standing};
use super::signature::Proof;
use super::{Setting, profile, signer};
use crate::algorithm;
use crate::anchors::AnchorSet;
use crate::certificate::Certificate;
use crate::evidence::EvidenceQuery;
use crate::path::{self, CertificationPath, PathFailure, PathInputs};
use crate::policy::{Freshness, TsaRevocation};
use crate::report::rfc3339;
use crate::revocation::{self, OcspRequest, Revocation, RevocationSources, RevocationStatus, Times, names_evidence};

/// Links followed, and certificates of one name tried, on the way to the issuer that is missing.
const MAX_CLIMB: usize = 8;
const MAX_NAMESAKES: usize = 16;

/// Path and revocation of a signer's certificate at `time`. `proof`: whether a stamp proves that the signature existed then.
pub(super) fn of_signer(
    certificate: &Certificate,
    time: OffsetDateTime,
    proof: Proof,
    standing: &Standing,
    setting: &Setting<'_>,
    ledger: &mut Ledger,
    queries: &mut Vec<EvidenceQuery>,
) {
    let judge = |path: &CertificationPath| signer_path(path, time, proof, standing, setting);
    best_path(
        certificate,
        standing.route.anchors(setting.anchors),
        time,
        setting,
        "certificate_path",
        judge,
        ledger,
        queries,
    );
}

fn signer_path(
    path: &CertificationPath,
    time: OffsetDateTime,
    proof: Proof,
    standing: &Standing,
    setting: &Setting<'_>,
) -> Finding {
    let (mut ledger, mut queries) = (Ledger::default(), Vec::new());
    let authorities = path
        .certificates
        .split_last()
        .map(|(_, authorities)| authorities)
        .unwrap_or_default();
    profile::authority_policies(authorities.iter(), &standing.rules.signing_policies, &mut ledger);
    let mut until = None;
    for (index, certificate) in path.certificates.iter().enumerate() {
        let is_leaf = index + 1 == path.certificates.len();
        let times = Times {
            judged_at: time,
            at: setting.now,
            skew: setting.policy.clock_skew,
            // Lists about authorities come monthly or yearly: a letter cannot wait for one that is newer than its signature.
            freshness: if is_leaf {
                setting.policy.freshness
            } else {
                Freshness::Service
            },
        };
        let subject = &certificate.subject;
        let revoked_row = |proof: Proof| match (is_leaf, proof) {
            (false, _) => Row::RevokedCaNoPoe,
            (true, Proof::Proven) => Row::Revoked,
            (true, Proof::Archived | Proof::Hoped | Proof::Missing) => Row::RevokedNoPoe,
        };
        // What it comes to once the stamp that is hoped for passes.
        let hoped_row = revoked_row(if proof == Proof::Hoped { Proof::Proven } else { proof });
        let status = status(path, index, certificate, until, &times, setting);
        until = Some(revocation::vouches_until(certificate, &status, until));
        match status {
            RevocationStatus::Good {
                source,
                this_update,
                revoked_later,
                ..
            } => {
                let detail = format!(
                    "{subject} was not revoked at {} ({source} of {}).",
                    rfc3339(time),
                    rfc3339(this_update)
                );
                ledger.pass("revocation", detail);
                if let Some(later) = revoked_later {
                    let detail = format!("{subject} was revoked at {}, after the signature.", stated(&later));
                    ledger.warn("revocation", detail);
                }
            }
            RevocationStatus::Revoked {
                revocation: revoked, ..
            } => {
                ledger.may_become(hoped_row);
                ledger.fail(
                    "revocation",
                    revoked_row(proof),
                    format!("{subject} was revoked at {}.", stated(&revoked)),
                );
            }
            RevocationStatus::Unknown { reason, answered } => {
                let detail = format!(
                    "Whether {subject} was revoked at {} is not known: {reason}.",
                    rfc3339(time)
                );
                ledger.fail("revocation", Row::TryLater, detail);
                ledger.may_become(hoped_row);
                ask(certificate, path.issuer_of(index), answered, setting, &mut queries);
            }
        }
    }
    Finding { ledger, queries }
}

/// Path and revocation of a time-stamp authority's certificate at the time since when its token is `known`.
pub(super) fn of_stamp(
    certificate: &Certificate,
    info: &TstInfo,
    known: OffsetDateTime,
    setting: &Setting<'_>,
    ledger: &mut Ledger,
    queries: &mut Vec<EvidenceQuery>,
) {
    let judge = |path: &CertificationPath| {
        let mut finding = stamp_path(path, info.gen_time, known, setting);
        route::accreditation(path, info, setting, &mut finding.ledger);
        finding
    };
    best_path(
        certificate,
        &setting.anchors.tsa,
        known,
        setting,
        "timestamp_path",
        judge,
        ledger,
        queries,
    );
}

fn stamp_path(
    path: &CertificationPath,
    gen_time: OffsetDateTime,
    known: OffsetDateTime,
    setting: &Setting<'_>,
) -> Finding {
    let (mut ledger, mut queries) = (Ledger::default(), Vec::new());
    if setting.policy.tsa_revocation == TsaRevocation::Off {
        ledger.pass(
            "timestamp_revocation",
            "The policy leaves the revocation of time-stamp authorities unchecked.",
        );
        return Finding { ledger, queries };
    }
    let times = Times {
        judged_at: known,
        at: setting.now,
        skew: setting.policy.clock_skew,
        // Strict asks for evidence newer than a past moment; of the present moment there can be none.
        freshness: Freshness::Service,
    };
    let mut until = None;
    for (index, certificate) in path.certificates.iter().enumerate() {
        let is_leaf = index + 1 == path.certificates.len();
        let subject = &certificate.subject;
        let revoked_row = if is_leaf {
            Row::RevokedNoPoe
        } else {
            Row::RevokedCaNoPoe
        };
        let status = status(path, index, certificate, until, &times, setting);
        until = Some(revocation::vouches_until(certificate, &status, until));
        match status {
            RevocationStatus::Good { .. } => {
                let detail = if known == setting.now {
                    format!("{subject} is not revoked.")
                } else {
                    format!("{subject} was not revoked at {}.", rfc3339(known))
                };
                ledger.pass("timestamp_revocation", detail);
            }
            RevocationStatus::Revoked {
                revocation: revoked,
                current,
            } if is_leaf && revoked.at > gen_time && revoked.reason.spares_earlier() => {
                let detail = format!(
                    "{subject} was revoked at {}, after the time stamp and not for its key.",
                    stated(&revoked)
                );
                ledger.warn("timestamp_revocation", detail);
                let demanded = setting.policy.tsa_revocation != TsaRevocation::IfNamed || names_evidence(certificate);
                if !current && demanded {
                    let detail = format!(
                        "Whether {subject} was revoked at {} for a worse reason is not known: the evidence is no longer current. {}",
                        rfc3339(known),
                        super::HINT
                    );
                    ledger.fail("timestamp_revocation", Row::TryLater, detail);
                    ledger.may_become(revoked_row);
                    ask(certificate, path.issuer_of(index), false, setting, &mut queries);
                }
            }
            RevocationStatus::Revoked {
                revocation: revoked, ..
            } => {
                ledger.fail(
                    "timestamp_revocation",
                    revoked_row,
                    format!("{subject} was revoked at {}.", stated(&revoked)),
                );
            }
            RevocationStatus::Unknown { .. }
                if setting.policy.tsa_revocation == TsaRevocation::IfNamed && !names_evidence(certificate) =>
            {
                let detail = format!("{subject} names neither CRL nor OCSP; the policy asks for none then.");
                ledger.pass("timestamp_revocation", detail);
            }
            RevocationStatus::Unknown { reason, answered } => {
                let detail = format!(
                    "Whether {subject} is revoked at {} is not known: {reason}. {}",
                    rfc3339(known),
                    super::HINT
                );
                ledger.fail("timestamp_revocation", Row::TryLater, detail);
                ledger.may_become(revoked_row);
                ask(certificate, path.issuer_of(index), answered, setting, &mut queries);
            }
        }
    }
    Finding { ledger, queries }
}

/// What one path comes to.
struct Finding {
    ledger: Ledger,
    queries: Vec<EvidenceQuery>,
}

/// Finds a path that `judge` has nothing against. If there is none, a revoked leaf decides, else the path that came furthest:
/// a CA with several certificates is not lost by one of them, but no other path makes a revoked leaf good.
#[allow(clippy::too_many_arguments, reason = "one search, with where to write what it finds")]
fn best_path(
    certificate: &Certificate,
    anchors: &AnchorSet,
    time: OffsetDateTime,
    setting: &Setting<'_>,
    name: &str,
    judge: impl Fn(&CertificationPath) -> Finding,
    ledger: &mut Ledger,
    queries: &mut Vec<EvidenceQuery>,
) {
    // Whether the leaf is in time is a check of its own, with rows of its own.
    let inputs = PathInputs {
        leaf_validity_ignored: true,
        ..PathInputs::default()
    };
    let subject = &certificate.subject;
    let paths = match path::build_all(certificate, anchors, &setting.material.certificates, &inputs, time) {
        Ok(paths) => paths,
        Err(failure) => {
            match failure {
                PathFailure::NoChain(_) => ask_for_issuer(certificate, anchors, None, setting, queries),
                // One that has ended does not hide another of the same key.
                PathFailure::OutOfTime(_) => ask_for_issuer(certificate, anchors, Some(time), setting, queries),
                _ => {}
            }
            let row = match failure {
                PathFailure::NoChain(_) | PathFailure::GivenUp => Row::NoCertificateChainFound,
                PathFailure::Algorithm(_) => Row::CryptoConstraintsFailure,
                // What has ended with its CAs lacks a proof that it is older, like what ended alone (EN 319 102-1 §5.2.6.4).
                PathFailure::OutOfTime(_) if !certificate.is_valid_at(time) => Row::OutOfBoundsNoPoe,
                PathFailure::Constraints(_) | PathFailure::OutOfTime(_) => Row::ChainConstraintsFailure,
                PathFailure::LeafExpired(_) | PathFailure::LeafNotYetValid(_) => Row::OutOfBoundsNoPoe,
            };
            let detail = format!(
                "{subject} does not lead to a trust anchor at {}: {failure}.",
                rfc3339(time)
            );
            ledger.fail(name, row, detail);
            return;
        }
    };
    let mut best: Option<Finding> = None;
    for path in &paths {
        let mut finding = Finding {
            ledger: Ledger::default(),
            queries: Vec::new(),
        };
        let anchor = &path.anchor.certificate.subject;
        let detail = format!("{subject} leads to the trust anchor {anchor} at {}.", rfc3339(time));
        finding.ledger.pass(name, detail);
        for warning in &path.warnings {
            finding.ledger.warn(name, warning.as_str());
        }
        algorithm_dates(path, time, setting, &mut finding.ledger);
        let judged = judge(path);
        finding.ledger.extend(judged.ledger);
        finding.queries = judged.queries;
        let row = finding.ledger.row();
        let rank = |row: Option<Row>| match row {
            Some(Row::Revoked | Row::RevokedNoPoe) => (2, row),
            None => (1, row),
            Some(_) => (0, row),
        };
        if best.as_ref().is_none_or(|best| rank(row) > rank(best.ledger.row())) {
            best = Some(finding);
        }
    }
    if let Some(best) = best {
        ledger.extend(best.ledger);
        queries.extend(best.queries);
    }
}

/// A revocation's date; the date since when the key is believed bad is told and decides nothing.
fn stated(revoked: &Revocation) -> String {
    let at = rfc3339(revoked.at);
    match revoked.invalidity_date {
        Some(date) => format!("{at} (invalidityDate {})", rfc3339(date)),
        None => at,
    }
}

fn algorithm_dates(path: &CertificationPath, time: OffsetDateTime, setting: &Setting<'_>, ledger: &mut Ledger) {
    for (index, certificate) in path.certificates.iter().enumerate() {
        let key = &path.issuer_of(index).key;
        // What is not accepted at all never became part of a path.
        let names = algorithm::algorithm_names(&certificate.signature_algorithm, None, key).unwrap_or_default();
        // The leaf is as old as the signature that names it by its hash. A CA's certificate that nothing proves to be as old may
        // have been made by whoever broke the algorithm since.
        let is_leaf = index + 1 == path.certificates.len();
        let since = if is_leaf {
            time
        } else {
            time.max(setting.existence.of(certificate.der()))
        };
        for name in names {
            if let Some(detail) = signer::outlived(setting.policy, &name, since) {
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
    until: Option<OffsetDateTime>,
    times: &Times,
    setting: &Setting<'_>,
) -> RevocationStatus {
    let sources = RevocationSources {
        anchor: &path.anchor,
        certificates: &setting.material.certificates,
        crls: &setting.material.crls,
        ocsp: &setting.material.ocsp,
        accepted: algorithm::Accepted::Listed,
        policy: Some(setting.policy),
        known_since: &|evidence| setting.existence.of(evidence),
        until,
    };
    revocation::status(certificate, path.issuer_of(index), &sources, times)
}

/// Asked only for certificates on a path that verifies: their URLs are an authority's words, not an attacker's.
/// `answered`: a responder said that it does not know the certificate.
fn ask(
    certificate: &Certificate,
    issuer: &Certificate,
    answered: bool,
    setting: &Setting<'_>,
    queries: &mut Vec<EvidenceQuery>,
) {
    let (issuer_name, subject) = (certificate.issuer.to_string(), certificate.subject.to_string());
    let crl = |urls| EvidenceQuery::Crl {
        issuer: issuer_name.clone(),
        subject: subject.clone(),
        urls,
    };
    // A delta on a list that is no longer current may be what is: where the certificate says, or a list that its issuer signed.
    let newest = setting.material.crls.newest(&certificate.issuer);
    let signed = newest.filter(|list| !list.delta_urls.is_empty() && list.verify_signature(&issuer.key).is_ok());
    let delta = match (revocation::delta_urls(certificate), signed) {
        (named, Some(list)) if named.is_empty() => crl(list.delta_urls.clone()),
        (named, _) => crl(named),
    };
    let by_crl = crl(revocation::urls(certificate));
    let by_ocsp = EvidenceQuery::Ocsp {
        issuer: issuer_name,
        subject,
        urls: revocation::ocsp_urls(certificate),
        request: OcspRequest::about(certificate, issuer),
        answered,
    };
    for query in [by_crl, delta, by_ocsp] {
        if !query.urls().is_empty() && !queries.contains(&query) {
            queries.push(query);
        }
    }
}

/// Asks for the certificate of the issuer that nobody has, where the certificate that names it says where it is. That is the word
/// of a certificate that leads nowhere yet; [`EvidenceQuery::Certificate`] says what follows.
/// `valid_at`: when the issuer that is missing must be valid, where those at hand are not.
fn ask_for_issuer(
    leaf: &Certificate,
    anchors: &AnchorSet,
    valid_at: Option<OffsetDateTime>,
    setting: &Setting<'_>,
    queries: &mut Vec<EvidenceQuery>,
) {
    let mut current = leaf;
    for _ in 0..MAX_CLIMB {
        let of_name = |one: &&Certificate| one.subject == current.issuer;
        let known = anchors.0.iter().map(|anchor| &anchor.certificate).filter(of_name);
        let known = known.chain(setting.material.certificates.with_subject(&current.issuer));
        let in_time = |one: &&Certificate| valid_at.is_none_or(|at| one.is_valid_at(at));
        let known = known.filter(in_time);
        let signed = |one: &&Certificate| current.verify_signature(&one.key).is_ok();
        let found = known.take(MAX_NAMESAKES).find(signed);
        match found {
            Some(above) if above != current => current = above,
            Some(_) => return,
            None => break,
        }
    }
    let query = EvidenceQuery::Certificate {
        issuer: current.issuer.to_string(),
        subject: current.subject.to_string(),
        urls: revocation::issuer_urls(current),
    };
    if !query.urls().is_empty() && !queries.contains(&query) {
        queries.push(query);
    }
}

#[cfg(test)]
mod tests;
