//! Validates a held submission again with evidence that came later, and records what does not pass any more.

use std::collections::HashSet;
use std::sync::Arc;

use formats::digest::sha256;
use formats::trail::{Actor, Event, Revision, Submission};
use formats::wire::SubmissionId;
use time::OffsetDateTime;
use trust_store::report::{SignerSummary, rfc3339};
use trust_store::revocation::crl::Crl;
use trust_store::revocation::ocsp::{CertStatus, OcspResponse};
use trust_store::{Evidence, Indication, SubIndication, Subject, ValidationReport};

use super::piece::{Piece, Said};
use super::watch::{Entry, Part};
use crate::archive;
use crate::clock;
use crate::containers::ContainerError;
use crate::context::Context;
use crate::deliver::entries_below;
use crate::intake::kept;
use crate::observe;
use crate::problem::Problem;
use crate::store::{Batch, Condition, StoreError, SubmissionRow};
use crate::upload::Reading;

/// What another validation comes to.
pub(super) enum Verdict {
    /// It passes still.
    Stands,
    /// It is recorded as revised.
    Revised,
    /// It is not held any more, or was revised already.
    Gone,
    /// It could not be judged now; in words.
    Unknown(&'static str),
}

/// The signature files of a stored container.
pub(super) async fn signatures(context: &Context, submission: &Submission) -> Result<Vec<Vec<u8>>, Problem> {
    let is_signature = |name: &str| name.ends_with(".p7s");
    entries_below(
        &context.containers,
        &submission.stored_as,
        submission.size,
        "META-INF/",
        is_signature,
    )
    .await
}

/// Validates with the stored evidence and `pieces`. A verdict that fails because of a revocation is recorded.
pub(super) async fn again(
    context: &Context,
    id: &SubmissionId,
    pieces: &[(Arc<Piece>, Vec<Entry>)],
) -> Result<Verdict, Problem> {
    let Some(row) = context
        .store
        .submission(id)
        .await?
        .filter(|row| row.revised.is_none() && row.erased.is_none())
    else {
        return Ok(Verdict::Gone);
    };
    // By the times the verdict was made with: what proves them may have run out since.
    let recorded = kept::report(&context.containers, &row.submission).await?;
    let pieces = telling(pieces, &recorded);
    if pieces.is_empty() {
        return Ok(Verdict::Stands);
    }
    let stored_as = &row.submission.stored_as;
    let stored = context.containers.reader(stored_as).await?;
    let read = tokio::task::spawn_blocking(move || {
        let size = stored.size();
        Reading::whole(stored, size)
    });
    let container = read.await.map_err(|error| Problem::internal(&error))??;
    let container = match context.containers.beside(stored_as, archive::ARCHIVE).await {
        Ok(bytes) => archive::applied(&bytes, &container).unwrap_or(container),
        Err(ContainerError::Absent) => container,
        Err(error) => return Err(error.into()),
    };
    let mut evidence = kept::evidence(&context.containers, &row.submission).await?;
    let of_intake: HashSet<[u8; 32]> = evidence
        .crls
        .iter()
        .chain(&evidence.ocsp)
        .map(|der| sha256(der))
        .collect();
    pieces.iter().for_each(|(piece, _)| piece.kept.add_to(&mut evidence));
    let (trust, now) = (context.trust.current(), clock::now());
    let subject = Arc::new(Subject::Container(Box::new(container)));
    // What has run out since, such as the list about the time-stamp authority, is fetched as at intake.
    let gathered = context
        .fetcher
        .gather(&trust, &context.stamps, &subject, evidence, now)
        .await;
    let cause = pieces.clone();
    let judged = tokio::task::spawn_blocking(move || {
        let subject = Arc::try_unwrap(subject).unwrap_or_else(|shared| Subject::clone(&shared));
        let validated = trust.validate(subject.clone(), gathered.evidence, now);
        let is_revoked = verdicts(validated.report()).iter().any(OfOne::is_revoked);
        let without = is_revoked.then(|| {
            let evidence = without(validated.evidence(), &cause, &of_intake);
            trust.validate(subject, evidence, now).report().clone()
        });
        (validated, without)
    });
    let (validated, without) = judged.await.map_err(|error| Problem::internal(&error))?;
    let report = validated.report();
    if report.passed() {
        return Ok(Verdict::Stands);
    }
    let Some(without) = without else {
        return Ok(match report.sub_indication {
            Some(SubIndication::TryLater) => Verdict::Unknown("other evidence cannot be had"),
            // Something has run out, or the operator's trust has changed: no evidence against the letter.
            _ => Verdict::Unknown("it does not pass for a reason that is no revocation"),
        });
    };
    let (before, without, with) = (verdicts(&recorded), verdicts(&without), verdicts(report));
    let Some(revoked) = revoked_by(&pieces, &before, &without, &with) else {
        return Ok(Verdict::Unknown(
            "it does not pass for a revocation that the new evidence does not show",
        ));
    };
    let only_above = pieces
        .iter()
        .all(|(_, entries)| entries.iter().all(|entry| entry.part == Part::Above));
    if only_above && has_aged(&recorded, report) {
        return Ok(Verdict::Unknown("its time stamp proves the time of signing no more"));
    }
    let outcome = (revoked.indication, revoked.sub_indication);
    record(context, &row, &pieces, validated.evidence(), report, outcome).await
}

/// What a report says of one signature.
struct OfOne<'r> {
    indication: Indication,
    sub_indication: Option<SubIndication>,
    signer: Option<&'r SignerSummary>,
    time: Option<OffsetDateTime>,
}

impl OfOne<'_> {
    fn is_revoked(&self) -> bool {
        use SubIndication::{Revoked, RevokedCaNoPoe, RevokedNoPoe};
        matches!(self.sub_indication, Some(Revoked | RevokedCaNoPoe | RevokedNoPoe))
    }
}

/// The verdict on each signature; a report lists them only where there are several.
fn verdicts(report: &ValidationReport) -> Vec<OfOne<'_>> {
    let time = |stated: &Option<String>| stated.as_deref().and_then(clock::parse_rfc3339);
    if report.signatures.is_empty() {
        return vec![OfOne {
            indication: report.indication,
            sub_indication: report.sub_indication,
            signer: report.signer.as_ref(),
            time: time(&report.best_signature_time),
        }];
    }
    let each = report.signatures.iter().map(|one| OfOne {
        indication: one.indication,
        sub_indication: one.sub_indication,
        signer: one.signer.as_ref(),
        time: time(&one.best_signature_time),
    });
    each.collect()
}

/// The entries that speak against the verdict as it was made: of a signer's certificate those not later than the time recorded
/// for that very signature.
fn telling(pieces: &[(Arc<Piece>, Vec<Entry>)], recorded: &ValidationReport) -> Vec<(Arc<Piece>, Vec<Entry>)> {
    let recorded = verdicts(recorded);
    let tells = |entry: &Entry| {
        let of_it = |one: &&OfOne<'_>| {
            one.signer.is_some_and(|signer| {
                signer.serial.eq_ignore_ascii_case(&entry.serial) && signer.issuer == entry.issuer
            })
        };
        let mut signed = recorded.iter().filter(of_it).peekable();
        let known = signed.peek().is_some();
        entry.part != Part::Signer || !known || signed.any(|one| one.time.is_none_or(|time| entry.at <= time))
    };
    let each = pieces.iter().map(|(piece, entries)| {
        let entries: Vec<Entry> = entries.iter().filter(|entry| tells(entry)).cloned().collect();
        (Arc::clone(piece), entries)
    });
    each.filter(|(_, entries)| !entries.is_empty()).collect()
}

/// The first signature that fails because of `pieces`: it does not fail so without them, and either it is judged by the time
/// recorded for it, or they revoke its own signer no later than that, or its stamp is another's without them.
fn revoked_by<'v, 'r>(
    pieces: &[(Arc<Piece>, Vec<Entry>)],
    before: &[OfOne<'_>],
    without: &[OfOne<'_>],
    with: &'v [OfOne<'r>],
) -> Option<&'v OfOne<'r>> {
    let entries: Vec<&Entry> = pieces.iter().flat_map(|(_, entries)| entries).collect();
    with.iter().enumerate().find_map(|(at, one)| {
        let (before, without) = (before.get(at)?, without.get(at)?);
        is_because(&entries, before, without, one).then_some(one)
    })
}

fn is_because(entries: &[&Entry], before: &OfOne<'_>, without: &OfOne<'_>, with: &OfOne<'_>) -> bool {
    if !with.is_revoked() || without.is_revoked() {
        return false;
    }
    let later = |one: &OfOne<'_>| one.time > before.time;
    let of_signer = entries.iter().any(|entry| {
        let is_of =
            |signer: &SignerSummary| signer.serial.eq_ignore_ascii_case(&entry.serial) && signer.issuer == entry.issuer;
        let in_time = before.time.is_none_or(|time| entry.at <= time);
        entry.part == Part::Signer && with.signer.is_some_and(is_of) && in_time
    });
    // Without them its stamp proves the time still, or would once it can be asked: they are what takes it away.
    let stamped = !later(without) || without.sub_indication == Some(SubIndication::TryLater);
    !later(with) || of_signer || stamped
}

/// The evidence without what came after intake and says any of what `pieces` say.
fn without(evidence: &Evidence, pieces: &[(Arc<Piece>, Vec<Entry>)], of_intake: &HashSet<[u8; 32]>) -> Evidence {
    let stays = |der: &Vec<u8>| {
        let digest = sha256(der);
        of_intake.contains(&digest)
            || !pieces
                .iter()
                .any(|(piece, entries)| piece.sha256 == digest || says(der, piece, entries))
    };
    let mut evidence = evidence.clone();
    evidence.crls.retain(stays);
    evidence.ocsp.retain(stays);
    evidence
}

/// Whether a CRL or an OCSP response says one of what another piece says.
fn says(der: &[u8], piece: &Piece, entries: &[Entry]) -> bool {
    let serial = |entry: &Entry| hex::decode(&entry.serial).unwrap_or_default();
    if let Ok(crl) = Crl::parse(der) {
        let issuer = crl.issuer.to_string();
        return entries.iter().any(|entry| {
            let indirect =
                matches!(&piece.said, Said::List(list) if list.issuer == crl.issuer) && issuer != entry.issuer;
            indirect || (issuer == entry.issuer && crl.find(&crl.issuer, &serial(entry)).is_some())
        });
    }
    let response = OcspResponse::parse(der).ok().and_then(|response| response.basic);
    let singles = response.map(|basic| basic.singles).unwrap_or_default();
    singles.iter().any(|single| {
        let revokes = matches!(single.status, CertStatus::Revoked(_));
        revokes && entries.iter().any(|entry| single.cert_id.serial == serial(entry))
    })
}

/// Whether a signature that does not pass now is judged at a later time than when it was accepted.
fn has_aged(recorded: &ValidationReport, now: &ValidationReport) -> bool {
    let (recorded, now) = (verdicts(recorded), verdicts(now));
    let both = recorded.iter().zip(&now).filter(|(_, now)| now.is_revoked());
    both.into_iter().any(|(before, now)| now.time > before.time)
}

/// Report and evidence first, beside the old ones and under their digests; then the record that names them.
async fn record(
    context: &Context,
    row: &SubmissionRow,
    pieces: &[(Arc<Piece>, Vec<Entry>)],
    evidence: &Evidence,
    report: &ValidationReport,
    (indication, sub_indication): (Indication, Option<SubIndication>),
) -> Result<Verdict, Problem> {
    let stored_as = &row.submission.stored_as;
    let evidence = evidence.to_json().into_bytes();
    let text = serde_json::to_vec(report).map_err(|error| Problem::internal(&error))?;
    let (evidence_sha256, report_sha256) = (hex::encode(sha256(&evidence)), hex::encode(sha256(&text)));
    let containers = &context.containers;
    containers
        .put_beside(stored_as, &evidence_name(&evidence_sha256), evidence.into())
        .await?;
    containers
        .put_beside(stored_as, &report_name(&report_sha256), text.into())
        .await?;
    let indication = match indication {
        Indication::TotalFailed => "TOTAL-FAILED",
        Indication::Indeterminate | Indication::TotalPassed => "INDETERMINATE",
    };
    let (because, because_sha256) = because(pieces);
    let revision = Revision {
        indication: indication.to_owned(),
        sub_indication: sub_indication.map(|sub| sub.name().to_owned()),
        because,
        because_sha256,
        evidence_sha256,
        report_sha256,
    };
    let submission = &row.submission;
    let id = &submission.submission;
    let batch = Batch {
        actor: Actor::default(),
        time: clock::now(),
        events: vec![Event::VerdictRevised {
            submission: id.clone(),
            sender: submission.sender.facility.clone(),
            recipients: row.recipients.iter().map(|(facility, _)| facility.clone()).collect(),
            patient: submission.patient.clone(),
            revision: revision.clone(),
        }],
        conditions: vec![Condition::VerdictStands(id.clone())],
    };
    match context.store.commit(batch).committed().await {
        Ok(_) => {}
        Err(StoreError::Conflict(_)) => return Ok(Verdict::Gone),
        Err(error) => return Err(error.into()),
    }
    metrics::counter!(observe::REVISED).increment(1);
    tracing::error!(
        %id,
        sender = %submission.sender.facility,
        sub_indication = revision.sub_indication,
        because = revision.because,
        "the verdict on an accepted submission was revised: its delivery is stopped; tell sender and recipients by telephone too"
    );
    Ok(Verdict::Revised)
}

/// The piece that revokes earliest, in words, and its digest.
fn because(pieces: &[(Arc<Piece>, Vec<Entry>)]) -> (String, String) {
    let each = pieces
        .iter()
        .flat_map(|(piece, entries)| entries.iter().map(move |entry| (piece, entry)));
    let Some((piece, entry)) = each.min_by_key(|(_, entry)| entry.at) else {
        return Default::default();
    };
    let sentence = format!(
        "{}: certificate {} revoked at {}",
        piece.said,
        entry.serial,
        rfc3339(entry.at)
    );
    (sentence, hex::encode(piece.sha256))
}

/// Name of a revised report beside its container.
pub(crate) fn report_name(sha256: &str) -> String {
    format!("report.{sha256}.json")
}

/// Name of the evidence of a revision beside its container.
pub(crate) fn evidence_name(sha256: &str) -> String {
    format!("evidence.{sha256}.json")
}

#[cfg(test)]
mod tests;
