//! A stopped relay's files, judged: trail and index agree, nothing is twice, no number is missing.

use std::collections::BTreeMap;

use formats::trail::{Event, LogKey};
use formats::wire::{FacilityCode, SubmissionId};
use kit::RelayProcess;
use relay::config::Config;
use relay::keys::Keys;
use relay::store::{Embedded as _, SledStore, Store as _};

/// Reads the whole trail, compares the index with one made anew by `hikyaku-relay rebuild`, and returns where each
/// accepted letter's record is.
pub(crate) fn audit(relay: &RelayProcess) -> BTreeMap<SubmissionId, u64> {
    let key = || {
        let text = std::fs::read_to_string(relay.folder().join("keys/log.key")).unwrap();
        LogKey::parse(text.trim()).unwrap()
    };
    let data = relay.folder().join("data");
    let keys = Keys::open(&Config::load(&relay.folder().join("relay.toml")).unwrap().keys).unwrap();
    let store = SledStore::open(&data, key(), &keys).unwrap();
    assert!(store.torn.is_none(), "the relay left a torn tail behind");
    let before = store.dump().unwrap();
    let accepted = tokio::runtime::Runtime::new().unwrap().block_on(read(&store));
    drop(store);
    relay.admin(&["rebuild"]);
    let store = SledStore::open(&data, key(), &keys).unwrap();
    let after = store.dump().unwrap();
    let differs = before.iter().zip(&after).find(|(one, other)| one != other);
    assert_eq!(differs, None, "index and trail disagree");
    assert_eq!(before.len(), after.len(), "index and trail disagree");
    accepted
}

async fn read(store: &SledStore) -> BTreeMap<SubmissionId, u64> {
    let (mut accepted, mut sequences, mut next) = (BTreeMap::new(), BTreeMap::<FacilityCode, u64>::new(), 0);
    loop {
        let page = store.records(None, next, 500).await.unwrap();
        for stored in &page {
            assert_eq!(stored.position, next, "a position is missing");
            next += 1;
            let record = stored.record().unwrap().unwrap();
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
            if let Event::Accepted(submission) = record.event {
                let twice = accepted.insert(submission.submission.clone(), stored.position);
                assert_eq!(twice, None, "accepted twice: {}", submission.submission);
            }
        }
        if page.is_empty() {
            assert_eq!(store.size().await.unwrap(), next);
            return accepted;
        }
    }
}
