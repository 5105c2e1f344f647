//! One time-stamp token, RFC 3161: does it prove that what it must be over existed at its genTime?
//! Certificate, revocation and algorithms of its authority are judged at the time since when the token itself is known to have
//! existed: the validator's clock, unless an archive time stamp covers it.

use const_oid::db::rfc5280::{ID_CE_EXT_KEY_USAGE, ID_KP_TIME_STAMPING};
use formats::cades::CadesError;
use formats::digest::{DigestAlgorithm, Digests};
use formats::timestamp::{TimestampError, Token, TstInfo};
use time::OffsetDateTime;

use super::Setting;
use super::ledger::{Ledger, Row};
use super::material::Material;
use super::{authority, signer};
use crate::certificate::Certificate;
use crate::evidence::EvidenceQuery;
use crate::report::{TimestampSummary, rfc3339};

/// A token as judged.
pub(super) struct Stamp {
    /// genTime, where readable.
    pub(super) gen_time: Option<OffsetDateTime>,
    /// The token's own checks.
    pub(super) ledger: Ledger,
    /// What is missing for a verdict on it.
    pub(super) queries: Vec<EvidenceQuery>,
    summary: TimestampSummary,
}

impl Stamp {
    /// The token as the report shows it.
    pub(super) fn summary(&self) -> TimestampSummary {
        let indication = self.ledger.row().map_or("PASSED", |row| row.sub_indication().name());
        TimestampSummary {
            indication: indication.to_owned(),
            ..self.summary.clone()
        }
    }
}

/// What a token must be over.
pub(super) enum Over<'o> {
    /// This SignatureValue.
    Signature(&'o [u8]),
    /// Content with these digests: an archive manifest.
    Manifest(&'o Digests),
    /// A PDF up to the stamp's own place, with these digests.
    Document(&'o Digests),
    /// What was asked for: the imprint under this algorithm.
    Asked(DigestAlgorithm, &'o [u8]),
    /// Parts of a signature that have one of these imprints.
    Imprints(&'o [Vec<u8>]),
}

/// Whether a token found among the evidence is of this signature.
pub(super) fn is_of(bytes: &[u8], signature_value: &[u8], material: &Material) -> bool {
    material
        .token(bytes)
        .is_ok_and(|token| token.info.is_of(signature_value))
}

/// Judges one token. `known`: since when it is known to have existed.
pub(super) fn judge(bytes: &[u8], over: &Over<'_>, known: OffsetDateTime, setting: &Setting<'_>) -> Stamp {
    let mut stamp = Stamp {
        gen_time: None,
        ledger: Ledger::default(),
        queries: Vec::new(),
        summary: TimestampSummary {
            gen_time: None,
            tsa: None,
            policy: None,
            kind: match over {
                Over::Signature(_) | Over::Asked(..) => "signature",
                Over::Manifest(_) | Over::Document(_) | Over::Imprints(_) => "archive",
            }
            .to_owned(),
            indication: String::new(),
        },
    };
    let token = match setting.material.token(bytes) {
        Ok(token) => token,
        Err(error) => {
            let row = match error {
                TimestampError::UnsupportedAlgorithm(_) | TimestampError::Cms(CadesError::UnsupportedAlgorithm(_)) => {
                    Row::CryptoConstraintsFailure
                }
                _ => Row::FormatFailure,
            };
            stamp.ledger.fail(
                "timestamp_format",
                row,
                format!("A time stamp cannot be read: {error}."),
            );
            return stamp;
        }
    };
    stamp.gen_time = Some(token.info.gen_time);
    stamp.summary.gen_time = Some(rfc3339(token.info.gen_time));
    stamp.summary.policy = Some(token.info.policy.to_string());
    let ledger = &mut stamp.ledger;

    // A token is not older than it says, whatever covers it.
    let known = known.max(token.info.gen_time.min(setting.now));
    imprint(&token.info, over, known, setting, ledger);
    content(&token, ledger);
    policy(&token.info, setting, ledger);

    let certificates = setting.material.certificates.certificates();
    let Some(certificate) = signer::identify(&token.signed_data.signer, certificates, ledger) else {
        return stamp;
    };
    stamp.summary.tsa = Some(certificate.subject.to_string());
    signer::value(&token.signed_data, certificate, ledger);
    signer::algorithm_dates(&token.signed_data, certificate, setting.policy, known, ledger);
    purpose(certificate, ledger);
    validity(certificate, token.info.gen_time, known, ledger);
    authority::of_stamp(certificate, &token.info, known, setting, ledger, &mut stamp.queries);
    stamp
}

/// The imprint is of what the token stands beside: one moved here from elsewhere proves nothing.
fn imprint(info: &TstInfo, over: &Over<'_>, known: OffsetDateTime, setting: &Setting<'_>, ledger: &mut Ledger) {
    let hash = info.imprint_algorithm.map(|algorithm| algorithm.name());
    if let Some(detail) = hash.and_then(|hash| signer::outlived(setting.policy, hash, known)) {
        let detail = format!("The time stamp's imprint is made with {detail}.");
        ledger.fail("timestamp_imprint", Row::CryptoConstraintsFailure, detail);
    }
    match info.imprint_algorithm {
        None => {
            let detail = "The time stamp's imprint is made with a hash that is not accepted.";
            ledger.fail("timestamp_imprint", Row::CryptoConstraintsFailure, detail);
        }
        Some(algorithm) => {
            let (same, good, bad) = match over {
                Over::Signature(value) => (
                    algorithm.digest(value) == info.imprint,
                    "The time stamp is of this signature.",
                    "The time stamp is of another signature.",
                ),
                Over::Asked(asked, imprint) => (
                    *asked == algorithm && *imprint == info.imprint,
                    "The time stamp is of this signature.",
                    "The time stamp is of another signature.",
                ),
                Over::Manifest(digests) => (
                    digests.get(algorithm) == Some(&info.imprint),
                    "The archive time stamp is of its archive manifest.",
                    "The archive time stamp is of another archive manifest.",
                ),
                Over::Document(digests) => (
                    digests.get(algorithm) == Some(&info.imprint),
                    "The document time stamp is of this PDF up to its own revision.",
                    "The document time stamp is of another PDF.",
                ),
                Over::Imprints(accepted) => (
                    accepted.contains(&info.imprint),
                    "The archive time stamp is of this signature and its parts.",
                    "The archive time stamp is of another signature, or of other parts.",
                ),
            };
            if same {
                ledger.pass("timestamp_imprint", good);
            } else {
                ledger.fail("timestamp_imprint", Row::HashFailure, bad);
            }
        }
    }
}

/// The token's signature is over its TSTInfo.
fn content(token: &Token, ledger: &mut Ledger) {
    let signed = &token.signed_data;
    let digest = signed
        .content
        .as_deref()
        .map(|content| signed.signer.digest_algorithm.digest(content));
    if digest.as_deref() != Some(signed.signer.message_digest.as_slice()) {
        ledger.fail(
            "timestamp_content",
            Row::HashFailure,
            "The time stamp's content is not what its authority signed.",
        );
    }
    if signed.signer.attribute_content_type != signed.content_type {
        let detail = "The time stamp's content type is not the one its authority signed.";
        ledger.fail("timestamp_content", Row::SigConstraintsFailure, detail);
    }
}

fn policy(info: &TstInfo, setting: &Setting<'_>, ledger: &mut Ledger) {
    let accepted = &setting.policy.tsa_policies;
    if !accepted.is_empty() && !accepted.contains(&info.policy) {
        let detail = format!(
            "The time stamp is issued under {}, which `tsa_policies` does not list.",
            info.policy
        );
        ledger.fail("timestamp_policy", Row::SigConstraintsFailure, detail);
    }
}

/// RFC 3161 §2.3: extKeyUsage is critical and names timeStamping alone.
fn purpose(certificate: &Certificate, ledger: &mut Ledger) {
    let subject = &certificate.subject;
    let critical = certificate
        .extension(&ID_CE_EXT_KEY_USAGE)
        .is_some_and(|extension| extension.critical);
    let purposes = certificate.extended_key_usage();
    let alone = matches!(&purposes, Ok(Some(list)) if list.as_slice() == [ID_KP_TIME_STAMPING]);
    if critical && alone {
        ledger.pass(
            "timestamp_authority",
            format!("{subject} is a time-stamp authority and nothing else."),
        );
    } else {
        let detail =
            format!("{subject} is no time-stamp authority: extKeyUsage must be critical and timeStamping alone.");
        ledger.fail("timestamp_authority", Row::SigConstraintsFailure, detail);
    }
    let usage = certificate.key_usage();
    let signs = match &usage {
        Ok(Some(usage)) => usage.digital_signature() || usage.non_repudiation(),
        Ok(None) => true,
        Err(_) => false,
    };
    if !signs {
        let detail = format!("The key of {subject} is not for signing.");
        ledger.fail("timestamp_authority", Row::SigConstraintsFailure, detail);
    }
}

/// genTime lies within the authority's validity, and so does the time since when the token is known.
fn validity(certificate: &Certificate, gen_time: OffsetDateTime, known: OffsetDateTime, ledger: &mut Ledger) {
    let subject = &certificate.subject;
    let (from, to) = (rfc3339(certificate.not_before), rfc3339(certificate.not_after));
    if !certificate.is_valid_at(gen_time) {
        let detail = format!(
            "The time stamp says {}, outside the validity of {subject} ({from} to {to}).",
            rfc3339(gen_time)
        );
        ledger.fail("timestamp_validity", Row::OutOfBoundsNoPoe, detail);
    }
    if certificate.is_valid_at(known) {
        ledger.pass("timestamp_validity", format!("{subject} is valid from {from} to {to}."));
    } else {
        let detail = format!(
            "{subject} is valid from {from} to {to}, not at {}. {}",
            rfc3339(known),
            super::HINT
        );
        ledger.fail("timestamp_validity", Row::OutOfBoundsNoPoe, detail);
    }
}
