//! Late revocation: evidence issued after a letter was accepted may show that its signer was revoked before the signature.
//!
//! Every CRL that arrives is compared with the certificates the held submissions rest on (`watch`). Of a certificate of which no
//! list is current its OCSP responder is asked again at intervals, as long as a submission rests on it. Only where a certificate that
//! matters is spoken against is the submission validated again, with its stored evidence and the new one (`judge`). What does not pass any more is
//! delivered no more, and all whom it concerns are told. What could not be asked changes nothing and is tried again.
//!
//! Nothing here is state: at start the submissions are read from the store and compared with what is kept.

mod judge;
mod piece;
mod rests;
mod watch;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use formats::trail::Event;
use formats::wire::{SubmissionId, SubmissionState};
use trust_store::{Certificate, Evidence};

use crate::clock;
use crate::context::Context;
use crate::intake::kept;
use crate::observe;
use crate::problem::Problem;
use crate::store::SubmissionRow;
use judge::Verdict;
use piece::Piece;
use rests::{Asked, Letter, Rests};
use watch::{Entry, Watch};

pub(crate) use judge::{evidence_name, report_name};

/// The trail is looked at for new acceptances so often; evidence is looked at when it arrives.
const PAUSE: Duration = Duration::from_secs(1);
/// Submissions or records read at once.
const PAGE: usize = 200;
/// Submissions validated again between two looks.
const AT_ONCE: usize = 4;
/// Evidence with which one submission is validated again.
const MOST_PIECES: usize = 16;
/// The pause before another try doubles up to this.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A submission that is to be validated again.
struct Due {
    pieces: BTreeMap<[u8; 32], (Arc<Piece>, Vec<Entry>)>,
    next: Instant,
    pause: Duration,
}

/// What is known between two looks.
#[derive(Default)]
struct Late {
    watch: Watch,
    /// The CRLs of each URL, the responses to each question: the newest may be one that nobody signed.
    pieces: HashMap<String, Vec<Arc<Piece>>>,
    /// What could not be read, until when it rests, and how long the next time.
    unread: BTreeMap<SubmissionId, (Instant, Duration)>,
    /// Position of the next record of the trail; `None` before the submissions of before were read.
    next: Option<u64>,
    due: BTreeMap<SubmissionId, Due>,
    /// What authentic evidence states and with which a submission still passed.
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
        late.read_again(&context).await;
        late.look(&context).await;
        context.fetcher.follow(late.watch.wanted());
        {
            let current = late.current();
            let listed = |asked: &&Arc<Asked>| asked.lists.iter().any(|url| current.contains(url.as_str()));
            let asked = late.watch.asked().filter(|asked| !listed(asked));
            let asked = asked.map(|asked| (asked.key.as_str(), &asked.question));
            context.fetcher.follow_answers(&asked.collect());
        }
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

    /// Notes one submission and compares it with what is there already.
    async fn note(&mut self, context: &Context, row: &SubmissionRow) {
        let submission = &row.submission;
        let id = &submission.submission;
        if row.state != SubmissionState::Accepted || row.revised.is_some() || row.erased.is_some() || self.watch.has(id)
        {
            return;
        }
        let rests = match rests(context, row).await {
            Ok(rests) => rests,
            Err(problem) => {
                let code = problem.code().as_str();
                tracing::error!(%id, code, "a submission cannot be watched for late revocation yet; it is read again");
                let pause = self
                    .unread
                    .get(id)
                    .map_or(PAUSE, |(_, pause)| (*pause * 2).min(LONGEST));
                self.unread.insert(id.clone(), (Instant::now() + pause, pause));
                return;
            }
        };
        self.unread.remove(id);
        // Lists of a CA whose key is another by now: the operator's certificates know it.
        let trust = context.trust.current();
        let anchors = &trust.anchors;
        let known = anchors
            .intermediates
            .iter()
            .filter_map(|der| Certificate::parse(der).ok());
        known.for_each(|authority| self.watch.know(&authority));
        let sets = anchors.sets();
        let roots = sets.iter().flat_map(|(_, set)| &set.0);
        roots.for_each(|anchor| self.watch.know(&anchor.certificate));
        self.watch.add(id, rests);
        let known: Vec<_> = self.pieces.values().flatten().cloned().collect();
        for piece in known {
            self.watch
                .confirm_one(&piece.said, id, |watch| piece.is_authentic(watch));
            let concerned = self.watch.concerns(&piece.said, id);
            self.plan(concerned, &piece);
        }
    }

    /// Notes what could not be read before.
    async fn read_again(&mut self, context: &Context) {
        let now = Instant::now();
        let due = self.unread.iter().filter(|(_, (next, _))| *next <= now);
        let due: Vec<SubmissionId> = due.map(|(id, _)| id.clone()).take(AT_ONCE).collect();
        for id in due {
            match context.store.submission(&id).await {
                Ok(Some(row)) if row.state == SubmissionState::Accepted && row.erased.is_none() => {
                    self.note(context, &row).await;
                }
                Ok(_) => {
                    self.unread.remove(&id);
                }
                // The store is looked at again anyway.
                Err(_) => {}
            }
        }
    }

    fn forget(&mut self, id: &SubmissionId) {
        self.watch.remove(id);
        self.due.remove(id);
        self.unread.remove(id);
        self.settled.retain(|(settled, _)| settled != id);
    }

    /// Looks at what is kept for what is new.
    async fn look(&mut self, context: &Context) {
        let lists = context.fetcher.every_kept().into_iter();
        let lists = lists.map(|(url, kept)| (url, (kept, None)));
        let answers = self.watch.asked().map(|asked| {
            let kept = context.fetcher.kept_under(&asked.key);
            (asked.key.clone(), (kept, Some(Arc::clone(asked))))
        });
        let every: BTreeMap<String, (Vec<_>, Option<Arc<Asked>>)> = lists.chain(answers).collect();
        self.pieces.retain(|key, _| every.contains_key(key));
        for (key, (kept, asked)) in every {
            let known = self.pieces.remove(&key).unwrap_or_default();
            let mut pieces = Vec::new();
            for kept in kept {
                let same = |known: &&Arc<Piece>| Arc::ptr_eq(&known.kept, &kept) || known.kept.der == kept.der;
                if let Some(known) = known.iter().find(same) {
                    pieces.push(Arc::clone(known));
                    continue;
                }
                let asked = asked.clone();
                let read = tokio::task::spawn_blocking(move || Piece::read(kept, asked.as_deref()).map(Arc::new));
                let Ok(Some(piece)) = read.await else { continue };
                self.watch.confirm(&piece.said);
                let concerned = self.watch.concerned(&piece.said);
                self.plan(concerned, &piece);
                pieces.push(piece);
            }
            self.pieces.insert(key, pieces);
        }
    }

    fn plan(&mut self, concerned: impl IntoIterator<Item = (SubmissionId, Entry)>, piece: &Arc<Piece>) {
        for (id, entry) in concerned {
            let is_settled = self.settled.contains(&(id.clone(), entry.clone()));
            if is_settled || !(piece.is_authentic(&self.watch) || entry.is_indirect_in(&piece.said)) {
                continue;
            }
            let due = self.due.entry(id).or_insert_with(|| Due {
                pieces: BTreeMap::new(),
                next: Instant::now(),
                pause: Duration::from_secs(1),
            });
            let (_, entries) = due
                .pieces
                .entry(piece.sha256)
                .or_insert_with(|| (Arc::clone(piece), Vec::new()));
            if !entries.contains(&entry) {
                entries.push(entry);
            }
            // Each answer of a responder is another file that says the same. What nobody signed goes first, then the oldest.
            while due.pieces.len() > MOST_PIECES {
                let worth = |piece: &Arc<Piece>| (piece.is_authentic(&self.watch), piece.said.this_update());
                let least = due.pieces.iter().min_by_key(|(_, (piece, _))| worth(piece));
                let Some(least) = least.map(|(sha256, _)| *sha256) else {
                    break;
                };
                due.pieces.remove(&least);
            }
            due.next = Instant::now();
        }
    }

    /// Addresses of which an authentic list is current. It serves many letters, a response one card: only where there is none is the
    /// responder asked about a card that names both.
    fn current(&self) -> HashSet<&str> {
        let now = clock::now();
        let is_current = |piece: &Arc<Piece>| {
            piece.kept.next_update.is_some_and(|next| next >= now) && piece.is_authentic(&self.watch)
        };
        let lists = self.pieces.iter().filter(|(_, pieces)| pieces.iter().any(is_current));
        lists.map(|(url, _)| url.as_str()).collect()
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
        // Each relay knows what is due, so that any can go on; one does it.
        if due.is_empty() || !context.leads("revise").await {
            return;
        }
        for id in due {
            let Some(planned) = self.due.get_mut(&id) else { continue };
            let pieces: Vec<_> = planned.pieces.values().cloned().collect();
            planned.next = now + planned.pause;
            planned.pause = (planned.pause * 2).min(LONGEST);
            match judge::again(context, &id, &pieces).await {
                Ok(Verdict::Stands) => {
                    self.due.remove(&id);
                    // What nobody known signed proves nothing, not even that what it states is settled.
                    let authentic = pieces.into_iter().filter(|(piece, _)| piece.is_authentic(&self.watch));
                    let entries = authentic.flat_map(|(_, entries)| entries);
                    self.settled.extend(entries.map(|entry| (id.clone(), entry)));
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

/// What a submission rests on. What lies beside it is read only where the signatures do not bring everything themselves: it is
/// as large as the lists in it.
async fn rests(context: &Context, row: &SubmissionRow) -> Result<Rests, Problem> {
    let submission = &row.submission;
    let signatures = Arc::new(judge::signatures(context, submission).await?);
    let of = |evidence: Evidence| {
        let (signatures, trust) = (Arc::clone(&signatures), context.trust.current());
        let signed_at = submission.signed_at.as_deref().and_then(clock::parse_rfc3339);
        let received = clock::parse_rfc3339(&row.received);
        tokio::task::spawn_blocking(move || {
            let letter = Letter {
                signatures: &signatures,
                evidence: &evidence,
                signed_at,
                received,
            };
            Rests::of(letter, &trust.anchors)
        })
    };
    let rests = of(Evidence::default())
        .await
        .map_err(|error| Problem::internal(&error))?;
    if rests.is_whole {
        return Ok(rests);
    }
    let evidence = kept::evidence(&context.containers, submission).await?;
    of(evidence).await.map_err(|error| Problem::internal(&error))
}
