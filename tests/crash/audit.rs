//! A stopped relay's files, judged: trail and index agree, no number is missing, no time goes back, earlier checkpoints stand.

use std::collections::{BTreeMap, BTreeSet};

use formats::trail::{Checkpoint, Event, LogKey, tree};
use formats::wire::{FacilityCode, SubmissionId};
use kit::RelayProcess;
use relay::config::Config;
use relay::keys::Keys;
use relay::store::{Embedded as _, FileStore, Store as _};

/// What a trail says.
#[derive(Default)]
pub(crate) struct Audited {
    /// Where the record of each accepted letter is.
    pub(crate) accepted: BTreeMap<SubmissionId, u64>,
    /// Letters accepted more than once.
    pub(crate) twice: Vec<SubmissionId>,
    /// How often each letter was viewed.
    pub(crate) viewed: BTreeMap<SubmissionId, u64>,
    /// Sizes of earlier checkpoints whose tree is not the beginning of today's.
    pub(crate) inconsistent: BTreeSet<u64>,
}

/// Reads the whole trail, compares the index with one made anew by `hikyaku-relay rebuild`, and `earlier` checkpoints with the
/// newest.
pub(crate) fn audit<'a>(relay: &RelayProcess, earlier: impl Iterator<Item = &'a Checkpoint>) -> Audited {
    let key = || {
        let text = std::fs::read_to_string(relay.folder().join("keys/log.key")).unwrap();
        LogKey::parse(text.trim()).unwrap()
    };
    let data = relay.data();
    let config = Config::load(&relay.config()).unwrap();
    let keys = Keys::open(&config.keys).unwrap();
    let open = || FileStore::open_in(config.index, &data, key(), &keys).unwrap();
    let store = open();
    assert!(store.torn.is_none(), "the relay left a torn tail behind");
    let before = store.dump().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut audited = runtime.block_on(read(&store));
    audited.inconsistent = runtime.block_on(inconsistent(&store, key().vkey(), earlier));
    drop(store);
    relay.admin(&["rebuild"]);
    let store = open();
    let after = store.dump().unwrap();
    let differs = before.iter().zip(&after).find(|(one, other)| one != other);
    assert_eq!(differs, None, "index and trail disagree");
    assert_eq!(before.len(), after.len(), "index and trail disagree");
    audited
}

async fn inconsistent<'a>(
    store: &FileStore,
    vkey: &str,
    earlier: impl Iterator<Item = &'a Checkpoint>,
) -> BTreeSet<u64> {
    let newest = Checkpoint::verify(&store.checkpoint().await.unwrap(), vkey).unwrap();
    let roots: BTreeSet<(u64, [u8; 32])> = earlier.map(|checkpoint| (checkpoint.size, checkpoint.root)).collect();
    let mut wrong = BTreeSet::new();
    for (size, root) in roots {
        let proof = relay::log::prove_consistency(store, newest.size, size).await;
        if !proof.is_ok_and(|proof| tree::consistent(&newest.root, newest.size, &root, size, &proof)) {
            wrong.insert(size);
        }
    }
    wrong
}

async fn read(store: &FileStore) -> Audited {
    let (mut audited, mut sequences, mut next) = (Audited::default(), BTreeMap::<FacilityCode, u64>::new(), 0);
    let mut time = String::new();
    loop {
        let page = store.records(None, next, 500).await.unwrap();
        for stored in &page {
            assert_eq!(stored.position, next, "a position is missing");
            next += 1;
            let record = stored.record().unwrap().unwrap();
            assert!(record.time >= time, "time goes back at position {}", stored.position);
            time.clone_from(&record.time);
            for (facility, number) in record.facility_seq {
                let last = sequences.entry(facility).or_default();
                assert_eq!(
                    number,
                    *last + 1,
                    "facility_seq has a gap at position {}",
                    stored.position
                );
                *last = number;
            }
            match record.event {
                Event::Accepted(submission) => {
                    let id = submission.submission.clone();
                    if audited.accepted.insert(id.clone(), stored.position).is_some() {
                        audited.twice.push(id);
                    }
                }
                Event::Viewed(access) => *audited.viewed.entry(access.submission).or_default() += 1,
                _ => {}
            }
        }
        if page.is_empty() {
            assert_eq!(store.size().await.unwrap(), next);
            return audited;
        }
    }
}
