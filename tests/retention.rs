//! Records whose time is over: erased by a running relay, with proofs, rebuild and what is held as they must be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use formats::trail::{Access, Event, LogKey, Revision};
use formats::wire::{Purpose, Receipt, SubmissionId};
use kit::desk::files_below;
use kit::stage::PATIENT_ID;
use kit::{Desk, Fault, Joined, RelayOptions, Stage, bin};
use relay::config::Config;
use relay::containers::Containers;
use relay::keys::Keys;
use relay::store::conformance::{batch, submission};
use relay::store::{Embedded as _, FileStore, Store as _};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A relay that is stopped and has recorded nothing yet.
struct House(Stage);

impl House {
    fn new() -> Self {
        let stage = Stage::new(&RelayOptions::default());
        stage.relay.stop();
        // Its trail is to begin years ago.
        fs::remove_dir_all(stage.relay.data()).unwrap();
        fs::create_dir(stage.relay.data()).unwrap();
        Self(stage)
    }

    fn data(&self) -> PathBuf {
        self.0.relay.data()
    }

    fn log_key(&self) -> LogKey {
        let file = self.0.relay.folder().join("keys/log.key");
        LogKey::parse(fs::read_to_string(file).unwrap().trim()).unwrap()
    }

    fn keys(&self) -> Keys {
        Keys::open(&Config::load(&self.0.relay.config()).unwrap().keys).unwrap()
    }

    fn store(&self) -> FileStore {
        FileStore::open(&self.data(), self.log_key(), &self.keys()).unwrap()
    }

    fn admin(&self, arguments: &[&str]) -> String {
        self.0.relay.admin(arguments)
    }

    /// A desk of a facility that is there already.
    fn desk(&self, facility: &str) -> Desk {
        let said: Value = serde_json::from_str(&self.admin(&["facility", "code", facility, "--json"])).unwrap();
        let (desk, code) = (Desk::new(), said["code"].as_str().unwrap().to_owned());
        let facility = facility.to_owned();
        desk.enrol(&self.0.relay, &Joined { facility, code });
        desk
    }

    /// Whether something of a submission is stored.
    fn stored(&self, id: &SubmissionId) -> bool {
        let folder = format!("{id}.{}", id.as_str().replace('-', ""));
        self.data().join("containers").join(folder).exists()
    }

    /// Whether the report of a refusal is there.
    fn refused(&self, digest: &str) -> bool {
        let folder = format!("containers/refused.{}", digest.repeat(32));
        self.data().join(folder).exists()
    }

    fn has_key(&self, name: &str) -> bool {
        self.data().join("keys").join(name).exists()
    }

    fn until(&self, what: &str, done: impl Fn() -> bool) {
        let since = Instant::now();
        while !done() {
            let log = self.0.relay.log();
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "{what} did not happen: {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// `hikyaku trail verify FILE`: what it finds in an export that is as signed.
fn verified(export: &str, vkey: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export.jsonl");
    fs::write(&file, export).unwrap();
    let mut command = Command::new(bin("hikyaku"));
    let command = command.args(["trail", "verify", "--json", "--log-key", vkey]).arg(file);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    serde_json::from_slice(&said.stdout).unwrap()
}

/// Positions an export says are erased.
fn erased_in(export: &str) -> Vec<u64> {
    let lines = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let erased = lines.filter(|line| line["erased"] == true);
    erased.map(|line| line["position"].as_u64().unwrap()).collect()
}

const SENDER: &str = "1310000001";
const RECIPIENT: &str = "1320000002";

async fn commit(store: &FileStore, at: &str, event: Event) -> u64 {
    let mut batch = batch(vec![event], vec![]);
    batch.time = OffsetDateTime::parse(at, &Rfc3339).unwrap();
    store.commit(batch).committed().await.unwrap().positions[0]
}

async fn sent(store: &FileStore, at: &str, number: u64) -> SubmissionId {
    let mut sent = submission(number, SENDER, &[RECIPIENT]);
    // Its id tells when it was made (RFC 9562, version 7).
    let made = OffsetDateTime::parse(at, &Rfc3339).unwrap().unix_timestamp() * 1000;
    let id = format!("{:08x}-{:04x}-7000-8000-{number:012x}", made >> 16, made & 0xffff);
    sent.submission = id.parse().unwrap();
    // As the relay names what it stores: what follows the point was made at the same time.
    sent.stored_as = Containers::name(&sent.submission, &id.replace('-', ""));
    sent.patient = PATIENT_ID.into();
    let id = sent.submission.clone();
    commit(store, at, Event::Accepted(Box::new(sent))).await;
    id
}

async fn viewed(store: &FileStore, at: &str, id: &SubmissionId) {
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
}

/// Its verdict is revised: it is stopped, and its container stays.
async fn stopped(store: &FileStore, at: &str, id: &SubmissionId) {
    let revised = Event::VerdictRevised {
        submission: id.clone(),
        sender: SENDER.parse().unwrap(),
        recipients: vec![RECIPIENT.parse().unwrap()],
        patient: PATIENT_ID.into(),
        revision: Revision {
            indication: "TOTAL-FAILED".into(),
            sub_indication: Some("REVOKED".into()),
            because: "CRL of TEST CA".into(),
            because_sha256: "01".repeat(32),
            evidence_sha256: "02".repeat(32),
            report_sha256: "03".repeat(32),
        },
    };
    commit(store, at, revised).await;
}

async fn erased(store: &FileStore, at: &str, id: &SubmissionId) {
    let event = Event::ContainerErased {
        submission: id.clone(),
        sender: SENDER.parse().unwrap(),
        recipients: vec![RECIPIENT.parse().unwrap()],
        patient: PATIENT_ID.into(),
        container_sha256: "01".repeat(32),
    };
    commit(store, at, event).await;
}

/// A trail of years: of March 2018 everything is over, of April something will be held, of May something was never fetched.
async fn years(house: &House) -> (Vec<SubmissionId>, Receipt) {
    let store = house.store();
    for code in [SENDER, RECIPIENT] {
        let added = Event::FacilityAdded {
            facility: code.parse().unwrap(),
            name: "TEST".into(),
        };
        commit(&store, "2018-03-01T00:00:00Z", added).await;
    }
    let march = sent(&store, "2018-03-05T00:00:00Z", 1).await;
    viewed(&store, "2018-03-06T00:00:00Z", &march).await;
    let doubtful = sent(&store, "2018-03-07T00:00:00Z", 5).await;
    viewed(&store, "2018-03-08T00:00:00Z", &doubtful).await;
    let april = sent(&store, "2018-04-05T00:00:00Z", 2).await;
    viewed(&store, "2018-04-06T00:00:00Z", &april).await;
    let refused = Event::Refused {
        facility: SENDER.parse().unwrap(),
        submission: None,
        code: "validation_failed".into(),
        sub_indication: None,
        container_sha256: None,
        report_sha256: Some("bb".repeat(32)),
    };
    commit(&store, "2018-04-07T00:00:00Z", refused).await;
    let may = sent(&store, "2018-05-05T00:00:00Z", 3).await;
    stopped(&store, "2018-06-01T00:00:00Z", &doubtful).await;
    for id in [&march, &april] {
        erased(&store, "2018-08-01T00:00:00Z", id).await;
    }
    let recent = OffsetDateTime::now_utc() - time::Duration::days(40);
    let recent = sent(&store, &recent.format(&Rfc3339).unwrap(), 4).await;
    // Of March also one that is stopped, and the reports of two refusals of which a crash has left the first.
    let containers = Containers::open(&house.data(), house.keys()).unwrap();
    for id in [&march, &april, &may, &recent, &doubtful] {
        let stored_as = store.submission(id).await.unwrap().unwrap().submission.stored_as;
        let put = containers.put_beside(&stored_as, "report.json", "{}".into());
        put.await.unwrap();
    }
    for digest in ["aa".repeat(32), "bb".repeat(32)] {
        let name = format!("refused.{digest}");
        let put = containers.put_beside(&name, "report.json", "{}".into());
        put.await.unwrap();
        let file = house
            .data()
            .join(format!("containers/refused.{digest}/report.json.sealed"));
        let then = OffsetDateTime::parse("2017-03-07T00:00:00Z", &Rfc3339).unwrap();
        fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_modified(then.into())
            .unwrap();
    }
    let position = store.submission(&march).await.unwrap().unwrap().position;
    let receipt = store.receipt(&march, position).await.unwrap().unwrap();
    (vec![march, april, may, recent, doubtful], receipt)
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files_below(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn months_go_when_their_time_is_over_and_what_is_held_or_waited_for_stays() {
    let house = House::new();
    let vkey = house.log_key().vkey().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ids, receipt) = runtime.block_on(years(&house));
    let [march, april, may, recent, doubtful] = &ids[..] else {
        unreachable!()
    };
    house.admin(&["hold", "set", april.as_str(), "--reason", "TEST order of a court"]);
    let listed = house.admin(&["hold", "list", "--json"]);
    assert!(
        listed.contains(april.as_str()) && listed.contains("TEST order"),
        "{listed}"
    );
    // A backup of trail and index from before, without the keys.
    let backup = tempfile::tempdir().unwrap();
    for name in ["trail", "index"] {
        copy(&house.data().join(name), &backup.path().join(name));
    }

    house.0.relay.restart();
    house.until("the erasure of March", || !house.has_key("2018-03.account.key"));
    // August is nothing but erasures of containers: of what is held it stays, too.
    house.until("the word about April", || house.0.relay.log().contains(april.as_str()));
    assert!(house.has_key("2018-04.account.key") && house.has_key("2018-05.account.key"));
    assert!(house.has_key("2018-03.standing.key"));
    house.until("the files of March", || !house.stored(march) && !house.stored(doubtful));
    assert!(house.stored(april) && house.stored(may));
    // What no record names that can be read, and is older than any may be, is what an erasure has left.
    house.until("the end of a report without a record", || !house.refused("aa"));
    assert!(house.refused("bb"), "a record names this one");

    let export = house.admin(&["trail", "export", "--format", "jsonl"]);
    // June has nothing but what became of the one that is stopped.
    assert_eq!(erased_in(&export), [2, 3, 4, 5, 10], "the records of March and June");
    assert!(export.contains("KeyDestroyed"));
    assert_eq!(verified(&export, &vkey)["erased"], 5);
    house.admin(&["hold", "lift", april.as_str(), "--reason", "TEST the order is lifted"]);
    house.0.relay.stop();
    house.0.relay.restart();
    house.until("the erasure of April", || !house.has_key("2018-04.account.key"));
    house.until("the erasure of August", || !house.has_key("2018-08.account.key"));
    assert!(
        house.has_key("2018-05.account.key"),
        "what was never fetched is never erased"
    );

    // What is left proves itself as before, with the gaps named.
    house.until("the erasure of June", || !house.has_key("2018-06.account.key"));
    house.until("the report of April", || !house.refused("bb"));
    let export = house.admin(&["trail", "export", "--format", "jsonl"]);
    assert_eq!(erased_in(&export), [2, 3, 4, 5, 6, 7, 8, 10, 11, 12]);
    assert!(!export.contains(march.as_str()) && export.contains(may.as_str()));
    assert_eq!(verified(&export, &vkey)["erased"], 10);
    let table = house.admin(&["trail", "export", "--format", "csv"]);
    assert!(
        table.contains(may.as_str()) && !table.contains(march.as_str()),
        "{table}"
    );
    let proof = house.admin(&["trail", "prove", "2"]);
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1"), "{proof}");

    // Its facilities, too, are told that there were records; of an id that never was, nothing.
    let desk = house.desk(SENDER);
    house.admin(&["member", "add", SENDER, "staff", "TEST person"]);
    let own = desk.get_as(&house.0.relay, "/v1/trail?format=jsonl", "staff", &[]);
    let own = String::from_utf8(own.body).unwrap();
    assert_eq!(verified(&own, &vkey)["facility"], SENDER);
    assert!(!own.contains(march.as_str()) && own.contains(may.as_str()));
    let ask = |id: &SubmissionId, what: &str| desk.get(&house.0.relay, &format!("/v1/submissions/{id}{what}"));
    for (id, what) in [
        (march, ""),
        (march, "/container"),
        (march, "/report"),
        (april, "/receipt"),
        (april, "/events"),
    ] {
        let gone = ask(id, what);
        let said = (gone.status, gone.code());
        assert_eq!(said, (410, "records_erased".into()), "{what}: {}", gone.json());
    }
    assert_eq!(ask(may, "").status, 200);
    let never = "0193569a-7c00-7000-8000-00000000ffff".parse().unwrap();
    assert_eq!(ask(&never, "").status, 404);
    house.0.relay.stop();

    // A rebuild restores what is not erased, and nothing else.
    let store = house.store();
    let before = store.dump().unwrap();
    runtime.block_on(async {
        for (id, there) in [(march, false), (april, false), (may, true), (recent, true)] {
            assert_eq!(store.submission(id).await.unwrap().is_some(), there, "{id}");
        }
        let row = store.submission(recent).await.unwrap().unwrap();
        let vkey = house.log_key().vkey().to_owned();
        store
            .receipt(recent, row.position)
            .await
            .unwrap()
            .unwrap()
            .verify(&vkey)
            .unwrap();
        receipt.verify(&vkey).unwrap();
    });
    drop(store);
    house.admin(&["rebuild"]);
    assert!(house.store().dump().unwrap() == before);

    // Nothing on the disk tells of a patient, and the backup without keys tells nothing.
    for folder in [house.data(), backup.path().to_path_buf()] {
        for (name, bytes) in files_below(&folder) {
            assert!(
                !bytes
                    .windows(PATIENT_ID.len())
                    .any(|part| part == PATIENT_ID.as_bytes()),
                "{name}"
            );
        }
    }
    let without = FileStore::open(backup.path(), house.log_key(), &house.keys()).map(drop);
    assert!(without.unwrap_err().to_string().contains("2018-03.account.key"));
    // With the keys of now it opens: what was destroyed since stays erased, although this trail does not know it.
    copy(&house.data().join("keys"), &backup.path().join("keys"));
    let restored = FileStore::open(backup.path(), house.log_key(), &house.keys()).unwrap();
    runtime.block_on(async {
        for (id, there) in [(march, false), (april, false), (may, true), (recent, true)] {
            assert_eq!(restored.submission(id).await.unwrap().is_some(), there, "{id}");
        }
        let records = restored.records(None, 0, 100).await.unwrap();
        assert!(records[2].content.is_none() && records[0].content.is_some());
    });
}

/// No time-stamp authority has told the time, as right after a start with a wrong clock: nothing is erased until one has.
#[test]
fn nothing_is_erased_before_an_authority_has_told_the_time() {
    let house = House::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(years(&house));
    house.0.services.fault("/tsa", Some(Fault::Down));
    // What no record names, put aside in 2018: it too is told by its time alone.
    let aside = house
        .data()
        .join("containers/orphans/01624d3a-0000-7000-8000-000000000001.01624d3a000070008000000000000001");
    std::fs::create_dir_all(&aside).unwrap();
    house.0.relay.restart();
    house.until("the doubt", || {
        house
            .0
            .relay
            .log()
            .contains("nothing is erased while the clock is in doubt")
    });
    std::thread::sleep(Duration::from_secs(2));
    assert!(house.has_key("2018-03.account.key") && aside.exists());
    house.0.services.fault("/tsa", None);
    house.until("the erasure of March", || !house.has_key("2018-03.account.key"));
    house.until("the end of what was put aside", || !aside.exists());
}
