//! An account read back: rows of sender, receiver and operator; times; cells that would be formulas.

use formats::trail::{Access, LogKey};
use formats::wire::Purpose;
use futures_util::TryStreamExt as _;

use super::*;
use crate::store::MemoryStore;
use crate::store::conformance::{acceptance, batch, submission};

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_795_500_000 + seconds).unwrap()
}

async fn store() -> Arc<dyn Store> {
    let store = MemoryStore::new(LogKey::from_seed("relay.example", &[5; 32]).unwrap().0).unwrap();
    let mut sent = submission(1, "x-a", &["x-b"]);
    sent.patient = "=1+1".into();
    store.commit(acceptance(&sent)).committed().await.unwrap();
    let access = Access {
        submission: sent.submission,
        sender: "x-a".parse().unwrap(),
        recipient: "x-b".parse().unwrap(),
        patient: "=1+1".into(),
        purpose: Purpose::View,
        scope: vec!["letter/letter.pdf".into()],
    };
    let mut viewed = batch(vec![Event::Viewed(access)], vec![]);
    viewed.time = at(60);
    viewed.actor.person_id = Some("m1".parse().unwrap());
    viewed.actor.person_name = Some("看護, \"一郎\"".into());
    store.commit(viewed).committed().await.unwrap();
    for number in 100..300 {
        let mut other = acceptance(&submission(number, "x-c", &["x-d"]));
        other.time = at(120);
        store.commit(other).committed().await.unwrap();
    }
    Arc::new(store)
}

async fn read(store: &Arc<dyn Store>, of: Option<&str>, times: (Option<i64>, Option<i64>), format: Format) -> String {
    let request = Request {
        facility: of.map(|code| code.parse().unwrap()),
        from: times.0.map(at),
        to: times.1.map(at),
        format,
        actor: Actor::default(),
        now: at(1000),
    };
    let parts: Vec<Bytes> = export(Arc::clone(store), request)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    String::from_utf8(parts.concat()).unwrap()
}

#[tokio::test]
async fn sender_and_receiver_find_what_was_provided_and_who_looked() {
    let store = store().await;
    let text = read(&store, Some("x-a"), (None, None), Format::Csv).await;
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert!(lines[0].starts_with("\u{feff}position,time_utc,time_jst,kind,facility,facility_seq,person_id"));
    let id = "0193569a-7c00-7000-8000-000000000001";
    let digest = format!("{:064x}", 1);
    assert_eq!(
        lines[1],
        format!(
            "0,2026-11-24T06:00:00.000Z,2026-11-24T15:00:00.000+09:00,Accepted,x-a,1,,,,x-b,{id},'=1+1,letter/letter.pdf,letter,{digest},accepted,"
        )
    );
    assert!(
        lines[2].contains(",Viewed,x-a,2,m1,\"看護, \"\"一郎\"\"\",,x-b,"),
        "{}",
        lines[2]
    );
    assert!(
        lines[2].ends_with(",'=1+1,letter/letter.pdf,letter,,viewed,"),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].contains(",TrailRead,x-a,3,"),
        "the reading itself: {}",
        lines[3]
    );
    assert_eq!(lines.len(), 4);

    let text = read(&store, Some("x-b"), (Some(60), Some(61)), Format::Csv).await;
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[1].contains(",Viewed,x-b,2,m1,") && lines[1].contains(",x-a,"),
        "{}",
        lines[1]
    );
}

#[tokio::test]
async fn lines_are_the_records_as_committed() {
    let store = store().await;
    let text = read(&store, None, (None, None), Format::Jsonl).await;
    let stored = store.records(None, 0, 1000).await.unwrap();
    assert_eq!(text.lines().count(), stored.len());
    for (line, stored) in text.lines().zip(stored) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["position"], stored.position);
        assert_eq!(line["body"], stored.content.as_ref().unwrap().body);
        assert_eq!(line["salt"], STANDARD.encode(stored.content.as_ref().unwrap().salt));
    }
    assert_eq!(
        read(&store, None, (Some(61), Some(121)), Format::Jsonl)
            .await
            .lines()
            .count(),
        200
    );
    assert_eq!(read(&store, None, (Some(5000), None), Format::Jsonl).await, "");
}

#[tokio::test]
async fn nothing_is_read_that_cannot_be_recorded() {
    use crate::store::{Fault, FaultyStore};
    let inner = MemoryStore::new(LogKey::from_seed("relay.example", &[5; 32]).unwrap().0).unwrap();
    let store: Arc<dyn Store> = Arc::new(FaultyStore::new(inner, 1, Fault::Refused(StoreError::Full)));
    let request = Request {
        facility: None,
        from: None,
        to: None,
        format: Format::Csv,
        actor: Actor::default(),
        now: at(0),
    };
    assert!(matches!(export(store, request).await, Err(StoreError::Full)));
}
