//! One signature, from its content to its level: the order of EN 319 102-1 §5.3 and §5.5.

use const_oid::db::rfc5911::ID_DATA;
use formats::asice::Manifest;
use formats::cades::{CadesError, SignedData, is_archive_attribute};
use formats::digest::Digests;
use formats::envelope::DocumentKind;
use formats::hc_role::HcRole;
use time::OffsetDateTime;

use super::ledger::{Ledger, Row};
use super::stamp::{self, Over, Stamp};
use super::{Setting, authority, material, profile, route, signer};
use crate::certificate::Certificate;
use crate::evidence::EvidenceQuery;
use crate::policy::{Level, Policy};
use crate::report::{SignerSummary, TimestampSummary, rfc3339};

/// More stamps than a signature has.
const MAX_STAMPS: usize = 16;

/// What a signature must be over.
pub(super) enum Content<'c> {
    /// The manifest of a container; `None` if no single manifest names the signature, which is told already.
    Manifest(Option<&'c Manifest>),
    /// What was supplied beside a bare signature.
    Bare(Option<&'c Digests>),
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
    let mut moment = best_signature_time(stamps, setting, ledger, &mut judged.queries);
    if moment.bare {
        archived(signed, setting, &mut moment, ledger);
    }
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
    if let Content::Manifest(Some(manifest)) = content {
        reference_dates(manifest, setting.policy, moment.time, ledger);
    }
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
    };
    let outside = outside.map(|digests| {
        let digest = digests.get(signer.digest_algorithm);
        digest.map(<[u8]>::to_vec).unwrap_or_default()
    });
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

/// Whether the hashes a manifest names its files by were still acceptable at `time`.
fn reference_dates(manifest: &Manifest, policy: &Policy, time: OffsetDateTime, ledger: &mut Ledger) {
    let mut names: Vec<&str> = manifest.references.iter().map(|one| one.algorithm.name()).collect();
    names.sort_unstable();
    names.dedup();
    for detail in names
        .into_iter()
        .filter_map(|name| signer::outlived(policy, name, time))
    {
        let detail = format!("{} names files by {detail}.", manifest.name);
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
    /// One that lacks evidence alone: once that is there, it may pass.
    Hoped,
    /// None.
    Missing,
}

/// A signature without a stamp of its own is as old as the archive time stamps that cover it.
fn archived(signed: &SignedData, setting: &Setting<'_>, moment: &mut Moment, ledger: &mut Ledger) {
    let since = setting.existence.of(&signed.signer.signature);
    if since < setting.now {
        (moment.time, moment.proof, moment.stated) = (since, Proof::Proven, Some(since));
        let detail = format!(
            "An archive time stamp proves that the signature existed at {}.",
            rfc3339(since)
        );
        ledger.pass("timestamp", detail);
    }
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
    let hoped = |stamp: &Stamp| matches!(stamp.ledger.row(), None | Some(Row::TryLater));
    let chosen = if setting.asking {
        stamps.iter().position(hoped)
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
        Proof::Hoped | Proof::Missing => Row::OutOfBoundsNoPoe,
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
