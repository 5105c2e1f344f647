//! What the desks were promised, and whether the relay keeps it: counted after each fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use client::relay_api::{ApiError, RelayApi};
use formats::digest::sha256;
use formats::trail::{Checkpoint, InclusionProof};
use formats::wire::{Purpose, Receipt, SubmissionId};
use futures_util::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use kit::stage::{Pair, Stage};
use kit::tally::Tally;
use tokio::runtime::Runtime;

use super::audit::audit;
use super::letters::{Letter, api, inbox};

/// What a pair of desks was promised.
pub(crate) struct Ledger<'a> {
    pub(crate) pair: &'a Pair,
    pub(crate) acknowledged: Vec<(Letter, Receipt)>,
    pub(crate) views: Views,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(pair: &'a Pair) -> Self {
        Self {
            pair,
            acknowledged: Vec::new(),
            views: Views::default(),
        }
    }
}

/// How often each container was shown to a person.
#[derive(Clone, Default)]
pub(crate) struct Views(Arc<Mutex<BTreeMap<SubmissionId, u64>>>);

impl Views {
    pub(crate) fn total(&self) -> u64 {
        self.0.lock().unwrap().values().sum()
    }

    /// Looks at a container. It counts as shown from the head of the answer on, whatever becomes of the rest.
    pub(crate) async fn look(&self, hospital: &RelayApi, letter: &Letter) -> Result<(), ApiError> {
        let person = "staff".parse().unwrap();
        let response = hospital.container(&letter.id, &person, Purpose::View, 0).await?;
        *self.0.lock().unwrap().entry(letter.id.clone()).or_default() += 1;
        // Cut off in the middle it was shown all the same.
        let _cut = response.into_body().collect().await;
        Ok(())
    }
}

/// Fetches everything that was acknowledged, stops the relay and compares its files with what the desks know, starts it again,
/// and tells the tally.
pub(crate) fn judge(fault: &str, stage: &Stage, runtime: &Runtime, ledgers: &[Ledger<'_>]) {
    let mut tally = Tally::default();
    let mut whole = BTreeSet::new();
    let mut vkey = String::new();
    for Ledger { pair, acknowledged, .. } in ledgers {
        let (clinic, hospital) = (api(&pair.clinic, &stage.relay), api(&pair.hospital, &stage.relay));
        vkey = runtime.block_on(clinic.policy()).unwrap().log_vkey;
        let listed = runtime.block_on(inbox(&hospital));
        tally.duplicated += listed.values().filter(|times| **times > 1).count() as u64;
        let fetched = runtime.block_on(fetch(&hospital, acknowledged));
        whole.extend(fetched.into_iter().filter(|id| listed.contains_key(id)));
    }
    let earlier: BTreeMap<&SubmissionId, Option<Checkpoint>> = ledgers
        .iter()
        .flat_map(|ledger| &ledger.acknowledged)
        .map(|(letter, receipt)| (&letter.id, proven(receipt, &vkey)))
        .collect();
    stage.relay.stop();
    let audited = audit(&stage.relay, earlier.values().flatten());
    stage.relay.restart();
    tally.duplicated += audited.twice.len() as u64;
    for Ledger {
        acknowledged, views, ..
    } in ledgers
    {
        for (letter, receipt) in acknowledged {
            tally.acknowledged += 1;
            let recorded = audited.accepted.get(&letter.id) == Some(&receipt.position);
            let proof = earlier.get(&letter.id).and_then(Option::as_ref);
            let proven = proof.is_some_and(|checkpoint| !audited.inconsistent.contains(&checkpoint.size));
            let fetched = whole.contains(&letter.id);
            if !(recorded && proven && fetched) {
                eprintln!(
                    "{fault}: {}: recorded {recorded}, proven {proven}, fetched {fetched}",
                    letter.id
                );
                tally.lost += 1;
            }
        }
        for (id, shown) in views.0.lock().unwrap().iter() {
            let recorded = audited.viewed.get(id).copied().unwrap_or_default();
            tally.unrecorded_views += shown.saturating_sub(recorded);
        }
    }
    tally.tell(fault);
}

/// The checkpoint that a receipt verifies against.
fn proven(receipt: &Receipt, vkey: &str) -> Option<Checkpoint> {
    let record = receipt.verify(vkey).ok()?;
    if record.encode().ok()? != receipt.body {
        return None;
    }
    let proof = InclusionProof::parse(&receipt.proof).ok()?;
    Checkpoint::verify(&proof.checkpoint, vkey).ok()
}

/// The letters that arrive as they were sent.
async fn fetch(hospital: &RelayApi, acknowledged: &[(Letter, Receipt)]) -> Vec<SubmissionId> {
    let one = |(letter, _): &(Letter, Receipt)| {
        let (hospital, letter) = (hospital.clone(), letter.clone());
        tokio::spawn(async move {
            let person = "staff".parse().unwrap();
            let response = hospital.container(&letter.id, &person, Purpose::Import, 0).await.ok()?;
            let bytes = response.into_body().collect().await.ok()?.to_bytes();
            (hex::encode(sha256(&bytes)) == letter.sha256).then_some(letter.id)
        })
    };
    stream::iter(acknowledged.iter().map(one))
        .buffer_unordered(16)
        .filter_map(|fetched| async { fetched.unwrap() })
        .collect()
        .await
}
