//! What a relay hands to the one that writes the trail, and what those that wait are told.

use std::time::Instant;

use uuid::Uuid;

use super::{Clerk, LAX, PATIENCE, TOLD, UNTOLD};
use crate::store::committer::GROUP_BYTES;
use crate::store::postgres::link::PROPOSED;
use crate::store::postgres::proposal;
use crate::store::postgres::trouble::Trouble;
use crate::store::{Committed, StoreError};

impl Clerk {
    /// Writes what is new as proposals, and takes the answers there are.
    pub(super) fn propose(&mut self) -> Result<bool, Trouble> {
        let (mut ids, mut batches, mut bytes, mut unreadable) = (Vec::new(), Vec::new(), 0, Vec::new());
        for (id, own) in self.waiting.iter().filter(|(_, own)| !own.proposed) {
            match proposal::encode(&own.batch) {
                Ok(batch) => {
                    bytes += batch.len();
                    ids.push(*id);
                    batches.push(batch);
                }
                Err(error) => unreadable.push((*id, error)),
            }
            if bytes >= GROUP_BYTES {
                break;
            }
        }
        for (id, error) in unreadable {
            self.answer(id, Err(error));
        }
        if !ids.is_empty() {
            if self.lax.is_none() {
                let lax = self.link.run(async {
                    let session = self.link.session(None).await?;
                    session.try_say(LAX).await?;
                    Ok(session)
                })?;
                self.lax = Some(lax);
            }
            let mut fresh = Vec::new();
            for id in &ids {
                if let Some(own) = self.waiting.get_mut(id) {
                    if !own.doubtful {
                        fresh.push(*id);
                    }
                    own.doubtful = true;
                }
            }
            let Some(lax) = &self.lax else { return Ok(true) };
            match self.link.run(proposal::propose(lax, &ids, &batches)) {
                Err(Trouble::Full) => {
                    for id in fresh {
                        self.answer(id, Err(StoreError::Full));
                    }
                    return Ok(false);
                }
                done => done?,
            }
            for id in &ids {
                if let Some(own) = self.waiting.get_mut(id) {
                    own.proposed = true;
                }
            }
            if self.told {
                self.link.run(lax.try_say(&format!("NOTIFY {PROPOSED}")))?;
            }
        }
        let every = if self.told { TOLD } else { UNTOLD };
        let due = self.news.answered() || self.looked.is_none_or(|at| at.elapsed() >= every);
        if due && let Some(session) = &self.session {
            let proposed: Vec<Uuid> = self
                .waiting
                .iter()
                .filter(|(_, own)| own.doubtful)
                .map(|(id, _)| *id)
                .collect();
            self.looked = Some(Instant::now());
            for (id, result) in self.link.run(proposal::answers(session, &proposed))? {
                self.answer(id, result);
            }
        }
        Ok(self.waiting.values().any(|own| !own.proposed))
    }

    /// Refuses what was never sent. What was may have been written, or will be by another relay: its answer is looked for when this
    /// one goes on.
    pub(super) fn refuse(&mut self, why: &StoreError) {
        let fresh = self.waiting.iter().filter(|(_, own)| !own.doubtful).map(|(id, _)| *id);
        for id in fresh.collect::<Vec<_>>() {
            self.answer(id, Err(why.clone()));
        }
        self.looked = Some(Instant::now());
    }

    pub(super) fn answer(&mut self, id: Uuid, result: Result<Committed, StoreError>) {
        if let Some(own) = self.waiting.remove(&id) {
            // Whoever asked may have gone; it happened all the same.
            let _gone = own.to.send(result);
        }
    }

    /// Tells those that have waited too long what is known.
    pub(super) fn expire(&mut self) {
        let late = self.waiting.iter().filter(|(_, own)| own.since.elapsed() >= PATIENCE);
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            let doubtful = self.waiting.get(&id).is_some_and(|own| own.doubtful);
            let what = if doubtful {
                "the database did not say whether it was committed"
            } else {
                "the database does not answer; nothing was written"
            };
            self.answer(id, Err(StoreError::Broken(what.into())));
        }
    }
}
