//! Late revocation: a CRL issued after a letter was accepted may show that its signer was revoked before the signature.
//!
//! Every CRL that arrives is compared with the certificates the held submissions rest on (`watch`); only where it lists one that
//! matters is the submission validated again, with its stored evidence and the new one (`judge`). What does not pass any more is
//! delivered no more, and all whom it concerns are told. What could not be asked changes nothing and is tried again.
//!
//! Nothing here is state: at start the submissions are read from the store and compared with the kept CRLs.

mod judge;
mod watch;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use formats::trail::Event;
use formats::wire::{SubmissionId, SubmissionState};
use trust_store::Certificate;
use trust_store::revocation::crl::Crl;

use crate::clock;
use crate::context::Context;
use crate::observe;
use crate::problem::Problem;
use crate::store::SubmissionRow;
use judge::{Piece, Verdict};
use watch::{Entry, Watch};

pub(crate) use judge::{evidence_name, report_name};

/// The trail is looked at for new acceptances so often; CRLs are looked at when they arrive.
const PAUSE: Duration = Duration::from_secs(1);
/// Submissions or records read at once.
const PAGE: usize = 200;
/// Submissions validated again between two looks.
const AT_ONCE: usize = 4;
/// The pause before another try doubles up to this.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A submission that is to be validated again.
struct Due {
    pieces: BTreeMap<[u8; 32], (Arc<Piece>, Entry)>,
    next: Instant,
    pause: Duration,
}

/// What is known between two looks.
#[derive(Default)]
struct Late {
    watch: Watch,
    /// The newest CRL of each URL.
    pieces: HashMap<String, Arc<Piece>>,
    /// Position of the next record of the trail; `None` before the submissions of before were read.
    next: Option<u64>,
    due: BTreeMap<SubmissionId, Due>,
    /// Entries of authentic CRLs with which a submission still passed.
    settled: HashSet<(SubmissionId, Entry)>,
}

/// Watches until the task is dropped.
pub(crate) async fn watch(context: Context) {
    let mut late = Late::default();
    loop {
        if let Err(problem) = late.follow(&context).await {
            tracing::warn!(
                code = problem.code().as_str(),
                "the trail cannot be followed; late revocations wait"
            );
        }
        late.look(&context).await;
        late.judge(&context).await;
        metrics::gauge!(observe::UNCONFIRMED).set(late.watch.unconfirmed() as f64);
        metrics::gauge!(observe::REVISIONS_DUE).set(late.due.len() as f64);
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = context.fetcher.arrived() => {}
        }
    }
}

impl Late {
    /// Takes note of what was accepted or revised since the last look; the first time, of all that is held.
    async fn follow(&mut self, context: &Context) -> Result<(), Problem> {
        let mut next = match self.next {
            Some(next) => next,
            None => {
                // The size first: what is accepted while the submissions are read is then read twice, not missed.
                let size = context.store.size().await?;
                let mut last: Option<SubmissionId> = None;
                loop {
                    let page = context.store.submissions(last.as_ref(), PAGE).await?;
                    let Some(row) = page.last() else { break };
                    last = Some(row.submission.submission.clone());
                    for row in &page {
                        self.note(context, row).await;
                    }
                }
                size
            }
        };
        loop {
            let page = context.store.records(None, next, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for stored in &page {
                next = stored.position + 1;
                match stored.record()?.map(|record| record.event) {
                    Some(Event::Accepted(submission)) => {
                        let row = context.store.submission(&submission.submission).await?;
                        if let Some(row) = row {
                            self.note(context, &row).await;
                        }
                    }
                    // What is not held any more cannot be validated again, and is delivered no more.
                    Some(Event::VerdictRevised { submission, .. } | Event::ContainerErased { submission, .. }) => {
                        self.forget(&submission);
                    }
                    _ => {}
                }
            }
        }
        self.next = Some(next);
        Ok(())
    }

    /// Notes one submission and compares it with the CRLs that are there already.
    async fn note(&mut self, context: &Context, row: &SubmissionRow) {
        let submission = &row.submission;
        let id = &submission.submission;
        if row.state != SubmissionState::Accepted || row.revised.is_some() || row.erased.is_some() || self.watch.has(id)
        {
            return;
        }
        let signatures = match judge::signatures(context, submission).await {
            Ok(signatures) => signatures,
            Err(problem) => {
                tracing::error!(%id, code = problem.code().as_str(), "a stored container cannot be watched for late revocation");
                return;
            }
        };
        let trust = context.trust.current();
        let intermediates: Vec<Certificate> = trust
            .anchors
            .intermediates
            .iter()
            .filter_map(|der| Certificate::parse(der).ok())
            .collect();
        for anchor in trust.anchors.hpki.0.iter().chain(&trust.anchors.tsa.0) {
            self.watch.know(anchor.certificate.clone());
        }
        let signed_at = submission.signed_at.as_deref().and_then(clock::parse_rfc3339);
        let signatures = signatures.iter().map(Vec::as_slice);
        self.watch.add(id, signed_at, signatures, &intermediates);
        let known: Vec<_> = self.pieces.values().cloned().collect();
        for piece in known {
            self.watch.confirm_one(&piece.crl, id);
            let concerned = self.watch.concerns(&piece.crl, id);
            self.plan(concerned, &piece);
        }
    }

    fn forget(&mut self, id: &SubmissionId) {
        self.watch.remove(id);
        self.due.remove(id);
        self.settled.retain(|(settled, _)| settled != id);
    }

    /// Looks at the kept CRLs for new ones.
    async fn look(&mut self, context: &Context) {
        for (url, kept) in context.fetcher.kept() {
            let same = |known: &Arc<Piece>| Arc::ptr_eq(&known.kept, &kept) || known.kept.der == kept.der;
            if self.pieces.get(&url).is_some_and(same) {
                continue;
            }
            let parsed = tokio::task::spawn_blocking(move || {
                Crl::parse(&kept.der).ok().map(|crl| Arc::new(Piece::new(kept, crl)))
            });
            let Ok(Some(piece)) = parsed.await else { continue };
            self.watch.confirm(&piece.crl);
            let concerned = self.watch.concerned(&piece.crl);
            self.plan(concerned, &piece);
            self.pieces.insert(url, piece);
        }
    }

    fn plan(&mut self, concerned: impl IntoIterator<Item = (SubmissionId, Entry)>, piece: &Arc<Piece>) {
        for (id, entry) in concerned {
            if self.settled.contains(&(id.clone(), entry.clone())) {
                continue;
            }
            let due = self.due.entry(id).or_insert_with(|| Due {
                pieces: BTreeMap::new(),
                next: Instant::now(),
                pause: Duration::from_secs(1),
            });
            due.pieces.insert(piece.sha256, (Arc::clone(piece), entry));
            due.next = Instant::now();
        }
    }

    /// Validates again what is due, a few at a time.
    async fn judge(&mut self, context: &Context) {
        let now = Instant::now();
        let due: Vec<SubmissionId> = self
            .due
            .iter()
            .filter(|(_, due)| due.next <= now)
            .map(|(id, _)| id.clone())
            .take(AT_ONCE)
            .collect();
        for id in due {
            let Some(planned) = self.due.get_mut(&id) else { continue };
            let pieces: Vec<_> = planned.pieces.values().cloned().collect();
            planned.next = now + planned.pause;
            planned.pause = (planned.pause * 2).min(LONGEST);
            match judge::again(context, &id, &pieces).await {
                Ok(Verdict::Stands) => {
                    self.due.remove(&id);
                    // A list nobody known signed proves nothing, not even that its entries are settled.
                    let authentic = pieces
                        .into_iter()
                        .filter(|(piece, _)| self.watch.is_authentic(&piece.crl));
                    let settled: Vec<_> = authentic.map(|(_, entry)| (id.clone(), entry)).collect();
                    self.settled.extend(settled);
                }
                Ok(Verdict::Revised | Verdict::Gone) => self.forget(&id),
                Ok(Verdict::Unknown(why)) => {
                    tracing::info!(%id, why, "a late revocation cannot be judged yet; the verdict stands until it can");
                }
                Err(problem) => {
                    tracing::error!(%id, code = problem.code().as_str(), "a late revocation cannot be judged; tried again");
                }
            }
        }
    }
}
