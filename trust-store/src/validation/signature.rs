//! One signature, from its content to its level: the order of EN 319 102-1 §5.3 and §5.5.

use std::collections::BTreeSet;

use const_oid::db::rfc5911::ID_DATA;
use formats::asice::Manifest;
use formats::cades::{CadesError, SignedData, is_archive_attribute};
use formats::digest::Digests;
use formats::envelope::DocumentKind;
use formats::hc_role::HcRole;
use formats::pdf::PdfSignature;
use time::OffsetDateTime;

use super::existence::CONTENT;
use super::ledger::{Ledger, Row};
use super::stamp::{self, Over, Stamp};
use super::{Setting, authority, material, profile, route, signer};
use crate::certificate::Certificate;
use crate::evidence::EvidenceQuery;
use crate::policy::Level;
use crate::report::{SignerSummary, TimestampSummary, rfc3339};

/// More stamps than a signature has.
const MAX_STAMPS: usize = 16;

/// What a signature must be over.
pub(super) enum Content<'c> {
    /// The manifest of a container; `None` if no single manifest names the signature, which is told already.
    Manifest(Option<&'c Manifest>),
    /// What was supplied beside a bare signature.
    Bare(Option<&'c Digests>),
    /// The ranges that a signature inside a PDF is over.
    Pdf(&'c PdfSignature),
}

/// One signature as judged.
#[derive(Clone)]
pub(super) struct Judged {
    pub(super) name: String,
    pub(super) ledger: Ledger,
    pub(super) level: Option<Level>,
    pub(super) best_signature_time: Option<OffsetDateTime>,
    pub(super) signer: Option<SignerSummary>,
    pub(super) roles: Vec<HcRole>,
    /// Kinds of documents its route is open for.
    pub(super) kinds: Vec<DocumentKind>,
    pub(super) timestamps: Vec<TimestampSummary>,
    pub(super) queries: Vec<EvidenceQuery>,
    pub(super) signature_value: Option<Vec<u8>>,
    /// When it was made; `None` where that was never asked.
    pub(super) moment: Option<Moment>,
    /// Where an archive stands in for stamps that all fail: what is wrong with the earliest.
    pub(super) failed_stamp: Option<Failed>,
}

/// A stamp that does not pass.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) ledger: Ledger,
    pub(super) queries: Vec<EvidenceQuery>,
}

impl Judged {
    /// What is said of a container that holds none.
    pub(super) fn without_signature(ledger: Ledger) -> Self {
        Self {
            name: String::new(),
            ledger,
            level: None,
            best_signature_time: None,
            signer: None,
            roles: Vec::new(),
            kinds: Vec::new(),
            timestamps: Vec::new(),
            queries: Vec::new(),
            signature_value: None,
            moment: None,
            failed_stamp: None,
        }
    }
}

/// Judges one signature; `ledger` holds what weighs on it already.
pub(super) fn judge(
    name: &str,
    parsed: &Result<SignedData, CadesError>,
    content: &Content<'_>,
    ledger: Ledger,
    setting: &Setting<'_>,
) -> Judged {
    let mut judged = Judged {
        name: name.to_owned(),
        ..Judged::without_signature(ledger)
    };
    let ledger = &mut judged.ledger;
    // 1. Format.
    let signed = match parsed {
        Ok(signed) => signed,
        Err(error) => {
            let row = match error {
                CadesError::UnsupportedAlgorithm(_) => Row::CryptoConstraintsFailure,
                _ => Row::FormatFailure,
            };
            ledger.fail(
                "signature_format",
                row,
                format!("The signature cannot be read: {error}."),
            );
            return judged;
        }
    };
    ledger.pass(
        "signature_format",
        "The signature is a CAdES signature of this profile.",
    );
    profile::local(setting.policy, ledger);
    material::unreadable(signed, &setting.material, ledger);
    ledger.extend(setting.material.complaints.clone());
    judged.signature_value = Some(signed.signer.signature.clone());
    judged.level = Some(Level::BB);
    // 2. Content.
    signed_content(signed, content, ledger);
    // 3. The signer's certificate, and the signature by its key.
    let Some(certificate) = signer::identify(&signed.signer, setting.material.certificates.certificates(), ledger)
    else {
        return judged;
    };
    signer::value(signed, certificate, ledger);
    let standing = route::choose(certificate, setting);
    profile::usage(certificate, standing.rules.key_usage, ledger);
    profile::end_entity_policy(certificate, &standing.rules.signing_policies, ledger);
    let stated = profile::roles(certificate, ledger);
    let decides = matches!(content, Content::Manifest(_));
    judged.roles = route::qualification(certificate, &standing, stated, decides, setting, ledger);
    judged.kinds.clone_from(&standing.rules.kinds);
    judged.signer = Some(profile::summary(certificate, &judged.roles));
    // 4. When it existed.
    let stamps = stamps(signed, setting, ledger);
    judged.timestamps = stamps.iter().map(Stamp::summary).collect();
    let in_place = archived(signed, setting).filter(|since| certificate.is_valid_at(*since));
    let moment = match in_place {
        Some(since) if !stamps.is_empty() && stamps.iter().all(|stamp| !is_hopeful(stamp)) => {
            judged.failed_stamp = set_aside(stamps, ledger);
            proven_by_archive(since, Proof::Archived, ledger)
        }
        _ => {
            let moment = best_signature_time(stamps, setting, ledger, &mut judged.queries);
            match archived(signed, setting).filter(|_| moment.bare) {
                Some(since) => proven_by_archive(since, Proof::Proven, ledger),
                None => moment,
            }
        }
    };
    judged.best_signature_time = moment.stated;
    // 5. Whether the certificate could sign then: in time, trusted, not revoked, with algorithms still acceptable.
    validity(certificate, &moment, ledger);
    authority::of_signer(
        certificate,
        moment.time,
        moment.proof,
        &standing,
        setting,
        ledger,
        &mut judged.queries,
    );
    signer::algorithm_dates(signed, certificate, setting.policy, moment.time, ledger);
    reference_dates(content, signed, setting, moment.time, ledger);
    judged.moment = Some(moment);
    judged
}

/// Whether a signature's own stamps prove it, and its signer's path and revocation stand, with the material of `setting` alone.
pub(super) fn stands(signed: &SignedData, setting: &Setting<'_>) -> bool {
    let (mut ledger, mut queries) = (Ledger::default(), Vec::new());
    let certificates = setting.material.certificates.certificates();
    let Some(certificate) = signer::identify(&signed.signer, certificates, &mut ledger) else {
        return false;
    };
    let stamps = stamps(signed, setting, &mut Ledger::default());
    let moment = best_signature_time(stamps, setting, &mut ledger, &mut queries);
    authority::of_signer(
        certificate,
        moment.time,
        moment.proof,
        &route::choose(certificate, setting),
        setting,
        &mut ledger,
        &mut queries,
    );
    moment.proof == Proof::Proven && ledger.row().is_none()
}

/// The message digest is the content's.
fn signed_content(signed: &SignedData, content: &Content<'_>, ledger: &mut Ledger) {
    let signer = &signed.signer;
    if signed.content_type != ID_DATA || signer.attribute_content_type != signed.content_type {
        let detail = "The signature's content type is not id-data, or not the one the signer signed.";
        ledger.fail("content_type", Row::SigConstraintsFailure, detail);
    }
    let inside = signed
        .content
        .as_deref()
        .map(|bytes| signer.digest_algorithm.digest(bytes));
    let outside = match content {
        Content::Manifest(_) if inside.is_some() => {
            let detail = "The signature of a container must be detached; it holds content of its own.";
            ledger.fail("message_digest", Row::FormatFailure, detail);
            return;
        }
        Content::Manifest(None) => return,
        Content::Manifest(Some(manifest)) => Some(&manifest.digests),
        Content::Bare(digests) => *digests,
        Content::Pdf(signature) => Some(&signature.digests),
    };
    let outside = match outside.map(|digests| digests.get(signer.digest_algorithm)) {
        Some(None) => {
            let name = signer.digest_algorithm.name();
            let detail =
                format!("The {name} of the content was not computed: nothing to compare with what was signed.");
            ledger.fail("message_digest", Row::HashFailure, detail);
            return;
        }
        Some(Some(digest)) => Some(digest.to_vec()),
        None => None,
    };
    let Some(digest) = outside.as_ref().or(inside.as_ref()) else {
        let detail = "The signed content is not inside the signature and was not supplied.";
        ledger.fail("message_digest", Row::SignedDataNotFound, detail);
        return;
    };
    let differ = inside.is_some() && outside.is_some() && inside != outside;
    if differ {
        let detail = "The content inside the signature is not the content supplied.";
        ledger.fail("message_digest", Row::HashFailure, detail);
    } else if *digest == signer.message_digest {
        ledger.pass("message_digest", "The content is what was signed.");
    } else {
        ledger.fail(
            "message_digest",
            Row::HashFailure,
            "The content is not what was signed.",
        );
    }
}

/// Whether the hashes that lead from the signature (made at `time`) to its content, and from a manifest to the files, were still
/// acceptable when what they lead to became known: later, another file of the same hash may have taken its place.
fn reference_dates(
    content: &Content<'_>,
    signed: &SignedData,
    setting: &Setting<'_>,
    time: OffsetDateTime,
    ledger: &mut Ledger,
) {
    let existence = &setting.existence;
    let outlived = |name: &str, known: OffsetDateTime| signer::outlived(setting.policy, name, time.max(known));
    let (what, known) = match content {
        Content::Manifest(None) => return,
        Content::Manifest(Some(manifest)) => (manifest.name.as_str(), existence.of_entry(&manifest.name)),
        Content::Bare(_) => ("its content", existence.of_entry(CONTENT)),
        // Whatever stamp covers a signature in a PDF covers the bytes before it.
        Content::Pdf(signature) => ("its content", existence.of(&signature.contents)),
    };
    let digest = outlived(signed.signer.digest_algorithm.name(), known);
    let mut details: BTreeSet<String> = digest
        .map(|detail| format!("The signature names {what} by {detail}."))
        .into_iter()
        .collect();
    if let Content::Manifest(Some(manifest)) = content {
        for reference in &manifest.references {
            let detail = outlived(reference.algorithm.name(), existence.of_entry(&reference.path));
            details.extend(detail.map(|detail| format!("{} names files by {detail}.", manifest.name)));
        }
    }
    for detail in details {
        ledger.fail("algorithms", Row::CryptoConstraintsFailure, detail);
    }
}

/// The signature's own stamps and those among the evidence that are of it. Stamps of the future are not usable yet.
fn stamps(signed: &SignedData, setting: &Setting<'_>, ledger: &mut Ledger) -> Vec<Stamp> {
    let value = &signed.signer.signature;
    let mut tokens: Vec<&Vec<u8>> = signed.signer.timestamps.iter().collect();
    tokens.extend(
        setting
            .tokens
            .iter()
            .filter(|token| stamp::is_of(token, value, &setting.material)),
    );
    let mut seen: Vec<&Vec<u8>> = Vec::new();
    for token in tokens {
        if !seen.contains(&token) {
            seen.push(token);
        }
    }
    if seen.len() > MAX_STAMPS {
        ledger.warn(
            "timestamp",
            format!("Of {} time stamps only {MAX_STAMPS} are judged.", seen.len()),
        );
        seen.truncate(MAX_STAMPS);
    }
    let others = &signed.signer.other_unsigned_attributes;
    if others.iter().any(is_archive_attribute) {
        let detail = "Archive evidence inside the signature cannot be read and is set aside.";
        ledger.warn("archive", detail);
    }
    let over = Over::Signature(value);
    let mut stamps: Vec<Stamp> = seen
        .into_iter()
        .map(|token| stamp::judge(token, &over, setting.existence.of(token), setting))
        .collect();
    stamps.retain(|stamp| {
        let future = stamp.gen_time.filter(|time| *time > setting.latest());
        if let Some(time) = future {
            let (time, now) = (rfc3339(time), rfc3339(setting.now));
            ledger.warn(
                "timestamp",
                format!("A time stamp of {time} is not usable at {now}: it is later."),
            );
        }
        future.is_none()
    });
    stamps
}

/// Best signature time: when the signature is judged to have been made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    time: OffsetDateTime,
    pub(super) proof: Proof,
    /// As the report states it.
    stated: Option<OffsetDateTime>,
    /// There is no stamp of the signature value at all.
    pub(super) bare: bool,
}

/// Whether a stamp proves that the signature existed at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// One that passes.
    Proven,
    /// An archive time stamp, in place of the signature's own, which fail: it is not younger, and may be older.
    Archived,
    /// One that lacks evidence alone: once that is there, it may pass.
    Hoped,
    /// None.
    Missing,
}

/// Since when archive time stamps prove the signature's value, if they do.
fn archived(signed: &SignedData, setting: &Setting<'_>) -> Option<OffsetDateTime> {
    let since = setting.existence.of(&signed.signer.signature);
    (since < setting.now).then_some(since)
}

/// A signature none of whose own stamps passes is as old as the archive time stamps that cover it.
fn proven_by_archive(since: OffsetDateTime, proof: Proof, ledger: &mut Ledger) -> Moment {
    let detail = format!(
        "An archive time stamp proves that the signature existed at {}.",
        rfc3339(since)
    );
    ledger.pass("timestamp", detail);
    Moment {
        time: since,
        proof,
        stated: Some(since),
        bare: proof != Proof::Archived,
    }
}

/// A stamp that passes, or lacks evidence alone.
fn is_hopeful(stamp: &Stamp) -> bool {
    matches!(stamp.ledger.row(), None | Some(Row::TryLater))
}

/// Sets stamps aside that all fail; gives the earliest.
fn set_aside(mut stamps: Vec<Stamp>, ledger: &mut Ledger) -> Option<Failed> {
    stamps.sort_by_key(|stamp| (stamp.gen_time.is_none(), stamp.gen_time));
    let mut stamps = stamps.into_iter();
    let earliest = stamps.next()?;
    stamps.for_each(|stamp| ledger.extend_as_warnings(stamp.ledger));
    Some(Failed {
        ledger: earliest.ledger,
        queries: earliest.queries,
    })
}

/// genTime of the earliest stamp that passes, else the validator's clock. If none passes, the earliest stamp's own row counts.
fn best_signature_time(
    mut stamps: Vec<Stamp>,
    setting: &Setting<'_>,
    ledger: &mut Ledger,
    queries: &mut Vec<EvidenceQuery>,
) -> Moment {
    stamps.sort_by_key(|stamp| (stamp.gen_time.is_none(), stamp.gen_time));
    let bare = stamps.is_empty();
    let passed = stamps.iter().position(|stamp| stamp.ledger.row().is_none());
    let chosen = if setting.asking {
        stamps.iter().position(is_hopeful)
    } else {
        passed
    }
    .unwrap_or(0);
    let mut moment = Moment {
        time: setting.now,
        proof: Proof::Missing,
        stated: Some(setting.now),
        bare,
    };
    for (index, stamp) in stamps.into_iter().enumerate() {
        if index != chosen {
            // Once there is evidence, any of them may be the one that passes.
            if setting.asking && stamp.ledger.row() == Some(Row::TryLater) && moment.proof != Proof::Proven {
                queries.extend(stamp.queries);
            }
            ledger.extend_as_warnings(stamp.ledger);
            continue;
        }
        match (stamp.ledger.row(), stamp.gen_time) {
            (None, Some(time)) => {
                moment = Moment {
                    time,
                    proof: Proof::Proven,
                    stated: Some(time),
                    bare,
                }
            }
            // Only evidence is missing: everything else is judged as it will be once the stamp is confirmed.
            (Some(Row::TryLater), Some(time)) => {
                moment = Moment {
                    time,
                    proof: Proof::Hoped,
                    stated: None,
                    bare,
                }
            }
            _ => moment.stated = None,
        }
        ledger.extend(stamp.ledger);
        queries.extend(stamp.queries);
    }
    moment
}

/// Best signature time lies within the signer's validity.
fn validity(certificate: &Certificate, moment: &Moment, ledger: &mut Ledger) {
    let (from, to) = (rfc3339(certificate.not_before), rfc3339(certificate.not_after));
    let subject = &certificate.subject;
    if certificate.is_valid_at(moment.time) {
        ledger.pass("validity", format!("{subject} is valid from {from} to {to}."));
        return;
    }
    let telling = if moment.time < certificate.not_before {
        Row::NotYetValid
    } else {
        Row::Expired
    };
    let row = match moment.proof {
        Proof::Proven => telling,
        Proof::Archived | Proof::Hoped | Proof::Missing => Row::OutOfBoundsNoPoe,
    };
    if moment.proof == Proof::Hoped {
        ledger.may_become(telling);
    }
    let detail = format!(
        "{subject} is valid from {from} to {to}, not at {}.",
        rfc3339(moment.time)
    );
    ledger.fail("validity", row, detail);
}

#[cfg(test)]
mod tests;
