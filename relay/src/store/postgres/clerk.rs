//! The committer of one relay: as the sequencer it writes the trail, otherwise it proposes and waits for answers.

mod proposing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::sleep;
use uuid::Uuid;

use super::hot::Hot;
use super::lease;
use super::link::{ANSWERED, Link, News, PROPOSED, Session};
use super::newer::{Meeting, Newer};
use super::proposal;
use super::reign::{LENGTH, Reign, SEQUENCER, Writing, signed};
use super::timing::timed;
use super::trouble::Trouble;
use crate::log::LogSigner;
use crate::month_keys::MonthKeys;
use crate::store::committer::{GROUP_BATCHES, GROUP_BYTES, Job, seal};
use crate::store::round::Round;
use crate::store::{Batch, ClockGuard, Committed, StoreError};
use crate::trail::Group;

/// The lease is taken or kept so often.
const RENEW: Duration = Duration::from_millis(800);
/// Proposals and answers are looked for so often where the database tells of them, and where it does not.
const TOLD: Duration = Duration::from_millis(400);
const UNTOLD: Duration = Duration::from_millis(10);
/// So long a batch waits for an answer.
const PATIENCE: Duration = Duration::from_secs(25);
/// Batches that wait for an answer; more are taken when some have theirs.
const WAITING: usize = 8192;
/// Old answers are forgotten so often.
const FORGET: Duration = Duration::from_secs(600);
/// Opened keys of months are forgotten so often.
const KEYS: Duration = Duration::from_secs(60);
/// Steps of an erasure that are done before its answer.
const AT_ONCE: usize = 8;
/// A sequencer that met a proposal of a newer release leaves the lease to others for so long.
const ABSTAIN: Duration = Duration::from_secs(4);
/// Proposals read at once.
const PROPOSALS: i64 = 512;
/// A server ends a transaction whose relay has stopped in the middle of it.
const TIDY: &str = "SET idle_in_transaction_session_timeout = '5s'";
/// A proposal is no promise: it need not be on disk.
const LAX: &str = "SET synchronous_commit = off";

/// A batch of this relay that has no answer yet.
struct Waiting {
    batch: Batch,
    to: oneshot::Sender<Result<Committed, StoreError>>,
    since: Instant,
    /// It is written as a proposal.
    proposed: bool,
    /// It may have been committed, or be a proposal: its answer is looked for before it is taken again.
    doubtful: bool,
}

/// The committer.
pub(super) struct Clerk {
    link: Arc<Link>,
    key: LogSigner,
    keys: Arc<MonthKeys>,
    /// Whether an erasure may have rows left to remove.
    sweeping: bool,
    /// When keys were forgotten last.
    keyed: Instant,
    me: Uuid,
    jobs: UnboundedReceiver<Job>,
    ended: bool,
    news: Arc<News>,
    session: Option<Session>,
    /// Whether the database tells of proposals and answers.
    told: bool,
    /// For proposals, whose own durability does not matter.
    lax: Option<Session>,
    reign: Option<Reign>,
    waiting: BTreeMap<Uuid, Waiting>,
    leased: Option<Instant>,
    looked: Option<Instant>,
    forgot: Option<Instant>,
    /// How long to wait after trouble.
    pause: Option<Duration>,
    /// By how much clocks may differ, once it is told.
    guard: Arc<OnceLock<Arc<ClockGuard>>>,
    /// What the database's clock said, and when.
    clock: Option<(OffsetDateTime, Instant)>,
    /// So many batches are written one by one: the database has refused a group.
    alone: usize,
    newer: Newer,
    /// Until then the lease is left to others.
    abstain: Option<Instant>,
    /// Why this relay neither writes the trail nor asks for it to be written, for now.
    stopped: Option<StoreError>,
}

/// A batch that is being judged.
struct Taken {
    id: Uuid,
    batch: Batch,
    /// There is a row of it among the proposals.
    row: bool,
    /// It was never sent anywhere: if it is not written now, it is nowhere.
    fresh: bool,
}

impl Clerk {
    pub(super) fn new(
        link: Arc<Link>,
        key: LogSigner,
        keys: Arc<MonthKeys>,
        me: Uuid,
        jobs: UnboundedReceiver<Job>,
        news: Arc<News>,
        guard: Arc<OnceLock<Arc<ClockGuard>>>,
    ) -> Self {
        Self {
            link,
            key,
            keys,
            sweeping: true,
            keyed: Instant::now(),
            me,
            jobs,
            ended: false,
            news,
            session: None,
            told: false,
            lax: None,
            reign: None,
            waiting: BTreeMap::new(),
            leased: None,
            looked: None,
            forgot: None,
            pause: None,
            guard,
            clock: None,
            alone: 0,
            newer: Newer::default(),
            abstain: None,
            stopped: None,
        }
    }

    /// Works until nobody can hand in a batch and every batch has its answer.
    pub(super) fn run(mut self) {
        let mut more = true;
        while !(self.ended && self.waiting.is_empty()) {
            self.take_in(more);
            match self.turn() {
                Ok(again) => (more, self.pause) = (again, None),
                Err(trouble) => {
                    self.troubled(&trouble);
                    more = false;
                }
            }
            self.expire();
        }
        if let Some(session) = &self.session {
            // Otherwise the next has to wait for the lease's end.
            let _left = self.link.run(lease::give_up(session, self.me));
        }
    }

    /// Takes batches that were handed in; waits for one, for news, or until there is something to do.
    fn take_in(&mut self, at_once: bool) {
        let room = self.waiting.len() < WAITING && !self.ended;
        if !at_once {
            let until = self.idle();
            let (jobs, news) = (&mut self.jobs, &self.news);
            let first = self.link.wait(async {
                tokio::select! {
                    biased;
                    job = jobs.recv(), if room => Some(job),
                    () = news.woken() => None,
                    () = sleep(until) => None,
                }
            });
            match first {
                Some(Some(job)) => self.admit(job),
                Some(None) => self.ended = true,
                None => {}
            }
        }
        while self.waiting.len() < WAITING
            && let Ok(job) = self.jobs.try_recv()
        {
            self.admit(job);
        }
    }

    fn idle(&self) -> Duration {
        if let Some(pause) = self.pause {
            return pause;
        }
        let look = if self.told { TOLD } else { UNTOLD };
        let busy = self.reign.is_some() || !self.waiting.is_empty();
        let left =
            |since: Option<Instant>, every: Duration| since.map_or(every, |at| every.saturating_sub(at.elapsed()));
        let lease = left(self.leased, RENEW);
        if busy {
            lease.min(left(self.looked, look))
        } else {
            lease
        }
    }

    fn admit(&mut self, Job { batch, answer }: Job) {
        let waiting = Waiting {
            batch,
            to: answer,
            since: Instant::now(),
            proposed: false,
            doubtful: false,
        };
        self.waiting.insert(Uuid::now_v7(), waiting);
    }

    /// One step; whether there is more to do at once.
    fn turn(&mut self) -> Result<bool, Trouble> {
        if self.session.is_none() {
            self.connect()?;
        }
        if self.leased.is_none_or(|at| at.elapsed() >= RENEW) {
            self.ask_for_lease()?;
        }
        if let Some(why) = self.stopped.clone() {
            self.refuse(&why);
            return Ok(false);
        }
        if self.reign.is_none() {
            // The sequencer destroys keys; what is opened here must not outlive them by much.
            if self.keyed.elapsed() >= KEYS {
                self.keys.forget();
                self.keyed = Instant::now();
            }
            return self.propose();
        }
        let more = self.sequence()?;
        if self.sweeping
            && let (Some(session), Some(reign)) = (&self.session, &mut self.reign)
        {
            self.sweeping = reign.sweep(&self.link, session, &self.keys)?;
        }
        Ok(more || self.sweeping)
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        let news = Arc::clone(&self.news);
        let (session, told) = self.link.run(async {
            let session = self.link.session(Some(news)).await?;
            session.try_say(TIDY).await?;
            let told = session.try_say(&format!("LISTEN {PROPOSED}")).await?
                && session.try_say(&format!("LISTEN {ANSWERED}")).await?;
            Ok((session, told))
        })?;
        (self.session, self.told) = (Some(session), told);
        Ok(())
    }

    fn ask_for_lease(&mut self) -> Result<(), Trouble> {
        let Some(session) = &self.session else { return Ok(()) };
        if self.abstain.is_some_and(|until| Instant::now() < until) {
            self.leased = Some(Instant::now());
            return Ok(());
        }
        let now = self.link.run(lease::now(session))?;
        self.clock = Some((now, Instant::now()));
        let apart = self.guard.get().and_then(|guard| guard.apart(now));
        if let Some(why) = apart {
            if self.stopped.is_none() {
                tracing::error!(why, "this relay writes nothing while the clocks differ");
            }
            // Even if it is not held: whoever held it before a connection was lost does not know.
            self.link.run(lease::give_up_one(session, SEQUENCER, self.me))?;
            (self.reign, self.leased) = (None, Some(Instant::now()));
            self.stopped = Some(StoreError::Clock(why));
            return Ok(());
        }
        self.stopped = None;
        let epoch = self.link.run(lease::take(session, SEQUENCER, self.me, LENGTH))?;
        self.leased = Some(Instant::now());
        match (epoch, &self.reign) {
            (Some(epoch), Some(reign)) if reign.epoch == epoch => {}
            (Some(epoch), _) => {
                self.reign = Reign::begin(&self.link, session, epoch, &self.key, &self.keys)?;
                self.sweeping = true;
                if let Some(reign) = &self.reign {
                    tracing::info!(epoch, size = reign.size, "this relay writes the trail");
                    self.looked = None;
                }
            }
            (None, reigned) => {
                if reigned.is_some() {
                    tracing::warn!("another relay writes the trail now");
                }
                self.reign = None;
            }
        }
        if self.reign.is_some() && self.forgot.is_none_or(|at| at.elapsed() >= FORGET) {
            self.link.run(proposal::forget(session))?;
            self.forgot = Some(Instant::now());
        }
        Ok(())
    }

    /// Writes a group; whether there is more.
    fn sequence(&mut self) -> Result<bool, Trouble> {
        let (Some(session), Some(reign)) = (&self.session, &mut self.reign) else {
            return Ok(false);
        };
        let every = if self.told { TOLD } else { UNTOLD };
        let mut rows = Vec::new();
        if self.news.proposed() || self.looked.is_none_or(|at| at.elapsed() >= every) {
            rows = self.link.run(proposal::open(session, PROPOSALS))?;
            self.looked = Some(Instant::now());
        }
        let mut more = rows.len() as i64 == PROPOSALS;
        let doubtful = self.waiting.iter().filter(|(_, own)| own.doubtful).map(|(id, _)| *id);
        let unsure: Vec<Uuid> = rows.iter().map(|(id, _)| *id).chain(doubtful).collect();
        let answered: BTreeMap<_, _> = self
            .link
            .run(proposal::answers(session, &unsure))?
            .into_iter()
            .collect();

        let mut writing = Writing::default();
        let mut taken = Vec::new();
        let open: BTreeSet<Uuid> = rows.iter().map(|(id, _)| *id).collect();
        let mut hand_over = false;
        for (id, bytes) in rows {
            match proposal::decode(&bytes) {
                _ if answered.contains_key(&id) => writing.proposals.push(id),
                Ok(batch) => taken.push(Taken {
                    id,
                    batch,
                    row: true,
                    fresh: false,
                }),
                Err(newer) => match self.newer.meet(id, Instant::now(), PATIENCE) {
                    Meeting::First => hand_over = true,
                    Meeting::Again => {}
                    Meeting::Late => {
                        writing.proposals.push(id);
                        let refused = proposal::encode_answer(&Err(newer.refusal()));
                        writing.answers.push((id, refused));
                    }
                },
            }
        }
        if hand_over {
            tracing::warn!("a relay of a newer release asks for what this one does not know: it may write the trail");
            self.link.run(lease::give_up_one(session, SEQUENCER, self.me))?;
            self.reign = None;
            self.abstain = Some(Instant::now() + ABSTAIN);
            return Ok(true);
        }
        if !open.is_empty() {
            self.newer.keep(&open);
        }
        for (id, result) in answered {
            if let Some(own) = self.waiting.remove(&id) {
                let _gone = own.to.send(result);
            }
        }
        for (id, own) in &self.waiting {
            if !open.contains(id) && taken.len() < GROUP_BATCHES {
                let (id, batch) = (*id, own.batch.clone());
                taken.push(Taken {
                    id,
                    batch,
                    row: own.proposed,
                    fresh: !own.proposed && !own.doubtful,
                });
            }
        }
        if taken.is_empty() && writing.proposals.is_empty() {
            return Ok(false);
        }
        if self.alone > 0 {
            self.alone -= 1;
            more |= taken.len() > 1;
            taken.truncate(1);
        }
        let limit = self.guard.get().map(|guard| guard.limit());
        let time = limit
            .zip(self.clock)
            .map(|(limit, (said, at))| (said + at.elapsed(), limit));

        let hot = Hot::new(&self.link, session, &self.keys, &mut reign.rows);
        if let Err(error) = hot.learn(taken.iter().map(|taken| &taken.batch)) {
            hot.answered()?;
            return Err(Trouble::Refused(error.to_string()));
        }
        let mut round = Round::new(&hot, &self.keys, Group::without_place(reign.size));
        let (mut results, mut others) = (Vec::new(), !writing.answers.is_empty());
        let (mut fresh, mut rows) = (BTreeSet::new(), Vec::new());
        for mut one in taken {
            if round.group.length() >= GROUP_BYTES {
                more = true;
                break;
            }
            let timed = time.map_or(Ok(()), |(now, limit)| timed(&mut one.batch, now, limit, PATIENCE));
            let id = one.id;
            let result = timed.and_then(|()| round.take(one.batch));
            hot.answered()?;
            writing.answers.push((id, proposal::encode_answer(&result)));
            if one.row {
                rows.push(id);
            }
            if one.fresh {
                fresh.insert(id);
            }
            others |= !self.waiting.contains_key(&id);
            results.push((id, result));
        }
        let Round {
            index, records, erases, ..
        } = round;
        writing.changes = index.into_changes();
        writing.proposals.extend(&rows);
        for record in &records {
            writing.frames.push((signed(record.position)?, record.encode()));
        }
        self.sweeping |= erases;
        if !records.is_empty() {
            let sealed = seal(&hot, &self.key, &mut writing.changes);
            hot.answered()?;
            sealed.map_err(|error| Trouble::Refused(error.to_string()))?;
        }
        drop(hot);
        for (id, _) in &results {
            if let Some(own) = self.waiting.get_mut(id) {
                own.doubtful = true;
            }
        }
        match reign.write(&self.link, session, &self.keys, writing) {
            Ok(()) => {}
            Err(Trouble::Full) => {
                (self.reign, self.leased) = (None, None);
                // What has a row may still be written, from it: nothing can be said of that yet.
                for id in fresh {
                    self.answer(id, Err(StoreError::Full));
                }
                return Ok(false);
            }
            Err(Trouble::Refused(why)) if results.len() > 1 => {
                self.alone = results.len();
                return Err(Trouble::Refused(why));
            }
            Err(Trouble::Refused(why)) if results.len() == 1 => {
                // It will never be taken, and must not keep the others from being written.
                let refused = Err(StoreError::Broken(format!("database: {why}")));
                let answers = results.iter().map(|(id, _)| (*id, proposal::encode_answer(&refused)));
                let writing = Writing {
                    answers: answers.collect(),
                    proposals: rows,
                    ..Writing::default()
                };
                reign.write(&self.link, session, &self.keys, writing)?;
                tracing::error!(why, "the database refuses a batch; it is answered so");
                for (_, result) in &mut results {
                    *result = refused.clone();
                }
            }
            Err(trouble) => return Err(trouble),
        }
        // What is little is gone before the answer.
        for _ in 0..AT_ONCE {
            if !erases || !reign.sweep(&self.link, session, &self.keys)? {
                break;
            }
        }
        if others && self.told {
            self.link.run(session.try_say(&format!("NOTIFY {ANSWERED}")))?;
        }
        for (id, result) in results {
            self.answer(id, result);
        }
        Ok(more)
    }

    /// What was under way is in doubt. Sessions that are lost are made anew.
    fn troubled(&mut self, trouble: &Trouble) {
        tracing::warn!(?trouble, "the trail could not be written; trying again");
        self.reign = None;
        self.leased = None;
        self.looked = None;
        if !matches!(trouble, Trouble::Superseded | Trouble::Again(_)) {
            (self.session, self.lax) = (None, None);
            // A proposal that was not on disk may have gone with the database.
            for own in self.waiting.values_mut() {
                own.proposed = false;
            }
        }
        let pause = self.pause.map_or(Duration::from_millis(10), |pause| pause * 2);
        self.pause = Some(pause.min(Duration::from_millis(500)));
    }
}
