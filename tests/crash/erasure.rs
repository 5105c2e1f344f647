//! kill -9 in the middle of erasures, restart, again: in the end nothing of what is erased can be read, and the rest stands.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use formats::trail::{Access, Event, LogKey};
use formats::wire::{Purpose, SubmissionId};
use kit::stage::PATIENT_ID;
use kit::{RelayOptions, Stage};
use relay::config::Config;
use relay::containers::Containers;
use relay::keys::Keys;
use relay::store::conformance::{batch, submission};
use relay::store::{FileStore, Store as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const SENDER: &str = "1310000001";
const RECIPIENT: &str = "1320000002";
/// Months whose time is over.
const MONTHS: [u8; 4] = [1, 2, 3, 4];
/// Letters, and refusals, of each.
const EACH: u64 = 60;
const ROUNDS: u64 = 12;

#[test]
fn an_erasure_that_is_killed_again_and_again_leaves_nothing_readable() {
    let stage = Stage::new(&RelayOptions::default());
    stage.relay.stop();
    fs::remove_dir_all(stage.relay.data()).unwrap();
    fs::create_dir(stage.relay.data()).unwrap();
    let key = fs::read_to_string(stage.relay.folder().join("keys/log.key")).unwrap();
    let key = || LogKey::parse(key.trim()).unwrap();
    let keys = Keys::open(&Config::load(&stage.relay.config()).unwrap().keys).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let recent = runtime.block_on(fill(&stage.relay.data(), key(), &keys));

    let (mut killed, mut seen) = (0, left(&stage.relay.data()));
    assert_eq!(seen, (MONTHS.len(), 2 * MONTHS.len() * usize::try_from(EACH).unwrap()));
    for round in 1..=ROUNDS {
        stage.relay.restart();
        let since = Instant::now();
        // Once something goes, a moment that differs from round to round.
        while left(&stage.relay.data()) == seen && since.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(round * 7 % 40));
        stage.relay.kill9();
        let now = left(&stage.relay.data());
        killed += usize::from(now != seen && now != (0, 0));
        seen = now;
        if seen == (0, 0) {
            break;
        }
    }
    assert!(killed > 0, "no kill fell into an erasure");
    stage.relay.restart();
    let since = Instant::now();
    while left(&stage.relay.data()) != (0, 0) {
        let (left, log) = (left(&stage.relay.data()), stage.relay.log());
        assert!(since.elapsed() < Duration::from_secs(150), "{left:?} are left: {log}");
        std::thread::sleep(Duration::from_millis(50));
    }
    stage.relay.stop();
    // The index is that of a rebuild, and what is not over is there.
    let store = FileStore::open(&stage.relay.data(), key(), &keys).unwrap();
    runtime.block_on(async {
        let row = store.submission(&recent).await.unwrap().unwrap();
        let containers = Containers::open(&stage.relay.data(), keys.clone()).unwrap();
        containers
            .beside(&row.submission.stored_as, "report.json")
            .await
            .unwrap();
    });
    let before = relay::store::Embedded::dump(&store).unwrap();
    drop(store);
    let rebuilt = FileStore::rebuild(&stage.relay.data(), key(), &keys).unwrap();
    assert!(relay::store::Embedded::dump(&rebuilt).unwrap() == before);
    println!("{killed} kills fell into an erasure");
}

/// Keys of erased months, copies of them too, and folders of what belonged to them.
fn left(data: &Path) -> (usize, usize) {
    let names = |folder: &str| {
        let entries = fs::read_dir(data.join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    let key = |name: &&String| name.starts_with("2018-") && name.contains("account.key");
    // Ids of 2018 begin so; so do the digests of its refusals here.
    let old = |name: &&String| name.starts_with("016") || name.starts_with("refused.");
    let aside = fs::read_dir(data.join("containers/orphans")).map_or(0, Iterator::count);
    let (keys, stored) = (names("keys"), names("containers"));
    (
        keys.iter().filter(key).count(),
        stored.iter().filter(old).count() + aside,
    )
}

/// Letters and refusals of [`MONTHS`] of 2018, and one letter of last month, whose id is answered.
async fn fill(data: &Path, key: LogKey, keys: &Keys) -> SubmissionId {
    let store = FileStore::open(data, key, keys).unwrap();
    let containers = Containers::open(data, keys.clone()).unwrap();
    for code in [SENDER, RECIPIENT] {
        let added = Event::FacilityAdded {
            facility: code.parse().unwrap(),
            name: "TEST".into(),
        };
        commit(&store, "2018-01-01T00:00:00Z", added).await;
    }
    for month in MONTHS {
        let at = format!("2018-{month:02}-15T00:00:00Z");
        for number in 0..EACH {
            let number = u64::from(month) * 1000 + number;
            let id = letter(&store, &containers, &at, number).await;
            let erased = Event::ContainerErased {
                submission: id,
                sender: SENDER.parse().unwrap(),
                recipients: vec![RECIPIENT.parse().unwrap()],
                patient: PATIENT_ID.into(),
                container_sha256: "01".repeat(32),
            };
            commit(&store, &at, erased).await;
            let digest = format!("{number:064x}");
            let refused = Event::Refused {
                facility: SENDER.parse().unwrap(),
                submission: None,
                code: "validation_failed".into(),
                sub_indication: None,
                container_sha256: None,
                report_sha256: Some(digest.clone()),
            };
            let name = format!("refused.{digest}");
            containers.put_beside(&name, "report.json", "{}".into()).await.unwrap();
            let file = data.join("containers").join(name).join("report.json.sealed");
            let then = OffsetDateTime::parse(&at, &Rfc3339).unwrap();
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_modified(then.into()).unwrap();
            commit(&store, &at, refused).await;
        }
    }
    let recent = OffsetDateTime::now_utc() - time::Duration::days(40);
    letter(&store, &containers, &recent.format(&Rfc3339).unwrap(), 9).await
}

async fn letter(store: &FileStore, containers: &Containers, at: &str, number: u64) -> SubmissionId {
    let mut sent = submission(number, SENDER, &[RECIPIENT]);
    let made = OffsetDateTime::parse(at, &Rfc3339).unwrap().unix_timestamp() * 1000;
    let id = format!("{:08x}-{:04x}-7000-8000-{number:012x}", made >> 16, made & 0xffff);
    sent.submission = id.parse().unwrap();
    sent.stored_as = Containers::name(&sent.submission, &id.replace('-', ""));
    sent.patient = PATIENT_ID.into();
    let (id, stored_as) = (sent.submission.clone(), sent.stored_as.clone());
    containers
        .put_beside(&stored_as, "report.json", "{}".into())
        .await
        .unwrap();
    commit(store, at, Event::Accepted(Box::new(sent))).await;
    let access = Access {
        submission: id.clone(),
        sender: SENDER.parse().unwrap(),
        recipient: RECIPIENT.parse().unwrap(),
        patient: PATIENT_ID.into(),
        purpose: Purpose::View,
        scope: vec!["*".into()],
        categories: Vec::new(),
    };
    commit(store, at, Event::Viewed(access)).await;
    id
}

async fn commit(store: &FileStore, at: &str, event: Event) {
    let mut batch = batch(vec![event], vec![]);
    batch.time = OffsetDateTime::parse(at, &Rfc3339).unwrap();
    store.commit(batch).committed().await.unwrap();
}
