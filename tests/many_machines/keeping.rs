//! `check`, `backup` and `restore` where relays share a database and a bucket: what is kept there moves to a data folder, to another
//! database and bucket, and back; and `check` says which of the two is not of the other's moment.

use std::fs;
use std::process::{Command, Output};

use formats::wire::Receipt;
use kit::{ContainerOptions, Many, Pair, RelayProcess, skip};
use serde_json::Value;
use time::OffsetDateTime;
use toml::Table;

use super::many;

/// A letter that was taken in.
struct Sent {
    bytes: Vec<u8>,
    receipt: Receipt,
}

fn send(many: &Many, pair: &Pair, relay: &RelayProcess) -> Sent {
    let (envelope, files) = pair.referral(|_, _| {});
    let hpki = many.services.hpki();
    let options = ContainerOptions::at(OffsetDateTime::now_utc());
    let bytes = hpki.container(&hpki.doctor(), &envelope, &files, options);
    let answer = pair.clinic.submit(relay, &bytes);
    assert_eq!(answer.status, 201, "{}\n{}", answer.json(), relay.log());
    Sent {
        receipt: serde_json::from_slice(&answer.body).unwrap(),
        bytes,
    }
}

/// The letters are fetched whole, each once in the inbox, and their receipts of old are of the log.
fn serves(pair: &Pair, relay: &RelayProcess, sent: &[Sent], vkey: &str) {
    let inbox = pair.hospital.get(relay, "/v1/inbox").json();
    assert_eq!(inbox["items"].as_array().unwrap().len(), sent.len(), "{inbox}");
    for Sent { bytes, receipt } in sent {
        let path = |what: &str| format!("/v1/submissions/{}/{what}", receipt.id);
        let got = pair.hospital.get_as(relay, &path("container"), "staff", &[]);
        assert!(
            got.status == 200 && got.body == *bytes,
            "{}\n{}",
            receipt.id,
            relay.log()
        );
        receipt.verify(vkey).unwrap();
        let again: Receipt = serde_json::from_slice(&pair.clinic.get(relay, &path("receipt")).body).unwrap();
        again.verify(vkey).unwrap();
        assert_eq!((again.position, &again.body), (receipt.position, &receipt.body));
        assert_eq!(pair.clinic.get(relay, &path("report")).status, 200);
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// `hikyaku-relay ARGUMENTS --json`: exit code and answer.
fn ask(relay: &RelayProcess, arguments: &[&str]) -> (i32, Value, String) {
    answered(&relay.try_admin(&[arguments, &["--json"]].concat()))
}

fn answered(output: &Output) -> (i32, Value, String) {
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), answer, said(output))
}

fn agrees(relay: &RelayProcess) -> Value {
    let (exit, report, said) = ask(relay, &["check", "--rate", "unlimited"]);
    assert_eq!(exit, 0, "{said}");
    assert!(report["differences"].as_array().unwrap().is_empty(), "{said}");
    report
}

fn done(relay: &RelayProcess, arguments: &[&str]) -> Value {
    let (exit, answer, said) = ask(relay, arguments);
    assert_eq!(exit, 0, "{said}");
    answer
}

/// Changes a relay's configuration, which it reads at its next start.
fn configure(relay: &RelayProcess, change: impl FnOnce(&mut Table)) {
    let mut config: Table = fs::read_to_string(relay.config()).unwrap().parse().unwrap();
    change(&mut config);
    fs::write(relay.config(), config.to_string()).unwrap();
}

/// Another database and bucket.
fn elsewhere(relay: &RelayProcess, database: &str, bucket: &str) {
    configure(relay, |config| {
        config["store"]["postgres"] = database.into();
        config["containers"]["s3"] = bucket.into();
    });
}

#[test]
fn what_relays_share_is_backed_up_beside_them_and_restored_to_a_folder_and_to_another_database_and_bucket() {
    let name = "what_relays_share_is_backed_up_beside_them_and_restored_to_a_folder_and_to_another_database_and_bucket";
    let Some(many) = many(name, 2, None, &[]) else { return };
    let [one, two] = &many.relays[..] else { panic!() };
    let vkey = fs::read_to_string(one.folder().join("keys/log.vkey")).unwrap();
    let pair = many.pair();
    let mut sent: Vec<Sent> = (0..4).map(|at| send(&many, &pair, &many.relays[at % 2])).collect();
    let foreign = {
        let (mut envelope, files) = pair.referral(|_, _| {});
        envelope.sender.facility = "1399999999".parse().unwrap();
        let hpki = many.services.hpki();
        hpki.container(
            &hpki.doctor(),
            &envelope,
            &files,
            ContainerOptions::at(OffsetDateTime::now_utc()),
        )
    };
    assert_eq!(pair.clinic.submit(two, &foreign).status, 422);
    let report = agrees(two);
    assert!(
        report["rows"].as_u64().unwrap() > 50 && report["files"].as_u64().unwrap() >= 12,
        "{report}"
    );
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let first = done(one, &["backup", "--to", &at("backup"), "--rate", "unlimited"]);
    // Letters come in through both while it looks and copies.
    let copied = std::thread::scope(|scope| {
        let copying = scope.spawn(|| {
            let made = done(two, &["backup", "--to", &at("backup"), "--rate", "unlimited"]);
            agrees(one);
            made
        });
        for at in 0..6 {
            sent.push(send(&many, &pair, &many.relays[at % 2]));
        }
        copying.join().unwrap()
    });
    let newest = done(one, &["backup", "--to", &at("backup"), "--rate", "unlimited"]);
    assert!(
        newest["records"].as_u64() >= copied["records"].as_u64()
            && copied["records"].as_u64() > first["records"].as_u64(),
        "{first} {copied} {newest}"
    );
    let again = done(two, &["backup", "--to", &at("backup"), "--rate", "unlimited"]);
    let (all, new) = (again["bytes"].as_u64().unwrap(), again["new_bytes"].as_u64().unwrap());
    assert!(new < all / 2, "what is there already is not copied again: {again}");
    for relay in [one, two] {
        relay.stop();
    }

    // Every generation is whole; the newest becomes the data folder of a relay that stands alone.
    for made in [&first, &copied] {
        let name = made["name"].as_str().unwrap();
        done(
            one,
            &[
                "restore",
                "--from",
                &at("backup"),
                "--generation",
                name,
                "--to",
                &at(name),
            ],
        );
    }
    let restored = done(one, &["restore", "--from", &at("backup"), "--to", &at("alone")]);
    assert_eq!(restored["name"], again["name"]);
    let shared = fs::read_to_string(one.config()).unwrap();
    configure(one, |config| {
        config.remove("store");
        config.remove("containers");
        config["data"] = at("alone").into();
    });
    one.moved(Some(at("alone").into()));
    one.restart();
    serves(&pair, one, &sent, &vkey);
    sent.push(send(&many, &pair, one));
    agrees(one);
    // And from there into an empty database and bucket.
    done(one, &["backup", "--to", &at("second"), "--rate", "unlimited"]);
    one.stop();
    one.moved(None);
    fs::write(one.config(), shared).unwrap();
    let (database, bucket) = (many.postgres.database(), many.bucket.name());
    for relay in [one, two] {
        elsewhere(relay, &database, &bucket);
    }
    let restored = done(two, &["restore", "--from", &at("second")]);
    assert_eq!(restored["compared"]["differences"].as_array().unwrap().len(), 0);
    let (exit, _, refused) = ask(two, &["restore", "--from", &at("second")]);
    assert!(exit == 1 && refused.contains("records already"), "{refused}");
    for relay in [one, two] {
        relay.restart();
        serves(&pair, relay, &sent, &vkey);
        agrees(relay);
    }
    // The log goes on: what comes now is behind what was, and its month has the keys it had.
    sent.push(send(&many, &pair, one));
    serves(&pair, two, &sent, &vkey);
    let verified = done(two, &["trail", "verify"]);
    assert_eq!(
        (&verified["valid"], &verified["erased"]),
        (&true.into(), &0.into()),
        "{verified}"
    );
}

#[test]
fn check_says_whether_database_or_bucket_is_of_an_older_moment_and_which_record_is_damaged() {
    let name = "check_says_whether_database_or_bucket_is_of_an_older_moment_and_which_record_is_damaged";
    if Command::new("faketime").arg("--version").output().is_err() {
        return skip(name, "faketime is not installed");
    }
    let Some(many) = many(name, 1, None, &[]) else { return };
    let relay = &many.relays[0];
    let pair = many.pair();
    let _old = send(&many, &pair, relay);
    let (address, newest) = many.database.rsplit_once('=').unwrap();
    let bucket = config_of(relay, "containers", "s3");
    relay.stop();
    many.postgres
        .sql("postgres", &format!("CREATE DATABASE older TEMPLATE {newest}"));
    relay.restart();
    let new = send(&many, &pair, relay);
    relay.stop();

    // The database of before, the bucket of now. What came just now might wait for its record: some time later.
    elsewhere(relay, &format!("{address}=older"), &bucket);
    let later = Command::new("faketime")
        .args(["-f", "+12m"])
        .arg(kit::bin("hikyaku-relay"))
        .args(["check", "--json", "--config"])
        .arg(relay.config())
        .output()
        .unwrap();
    let (exit, report, said) = answered(&later);
    assert_eq!(exit, 0, "{said}");
    assert_eq!(
        (
            &report["apart"]["without_record"],
            &report["apart"]["without_container"]
        ),
        (&1.into(), &0.into()),
        "{said}"
    );

    // The database of now, and a bucket that has lost what came last.
    elsewhere(relay, &many.database, &bucket);
    agrees(relay);
    let row = many.postgres.sql(
        newest,
        &format!("SELECT id FROM hikyaku_uploads WHERE submission = '{}'", new.receipt.id),
    );
    many.bucket.lose(&bucket, &format!("containers/{row}"));
    let (exit, report, said) = ask(relay, &["check"]);
    assert_eq!(exit, 1, "{said}");
    let apart = &report["apart"];
    assert_eq!(
        (&apart["without_container"], &apart["without_record"]),
        (&1.into(), &0.into()),
        "{said}"
    );
    assert_eq!(apart["between"][0], new.receipt.position, "{said}");
    let codes = |report: &Value| -> Vec<String> {
        let found = report["differences"].as_array().unwrap().iter();
        found.map(|found| found["code"].as_str().unwrap().to_owned()).collect()
    };
    assert!(codes(&report).iter().all(|code| code == "file-missing"), "{said}");
    // Parts without a list belong to the upload whose row still is there.
    assert_eq!(report["leftovers"].as_array().unwrap().len(), 0, "{said}");

    // A row of the index, a record changed, a record gone.
    let sql = |statement: &str| many.postgres.sql(newest, statement);
    sql("DELETE FROM hikyaku_rows WHERE key = (SELECT key FROM hikyaku_rows WHERE substr(key, 1, 1) = 's' LIMIT 1)");
    let (_, report, said) = ask(relay, &["check"]);
    assert!(codes(&report).contains(&"index".to_owned()), "{said}");
    relay.admin(&["rebuild"]);
    sql("UPDATE hikyaku_records SET frame = set_byte(frame, 70, get_byte(frame, 70) # 1) WHERE position = 3");
    let (exit, report, said) = ask(relay, &["check"]);
    let first = &report["differences"][0];
    assert!(
        exit == 1 && first["code"] == "trail-damaged" && first["position"] == 3,
        "{said}"
    );
    // It goes on behind it: every record that is damaged or missing is named, and what belongs to them is not left over.
    sql("DELETE FROM hikyaku_records WHERE position = 2");
    sql("UPDATE hikyaku_records SET frame = set_byte(frame, 70, get_byte(frame, 70) # 1) WHERE position = 6");
    sql("UPDATE hikyaku_records SET frame = substr(frame, 1, 20) WHERE position = 7");
    let (exit, report, said) = ask(relay, &["check"]);
    let found = report["differences"].as_array().unwrap().iter();
    let damaged: Vec<_> = found
        .filter(|found| found["code"] == "trail-damaged")
        .map(|found| found["position"].as_u64().unwrap())
        .collect();
    assert!(exit == 1 && damaged == [2, 3, 6, 7], "{said}");
    assert_eq!(report["leftovers"].as_array().unwrap().len(), 0, "{said}");
}

fn config_of(relay: &RelayProcess, table: &str, key: &str) -> String {
    let config: Table = fs::read_to_string(relay.config()).unwrap().parse().unwrap();
    config[table][key].as_str().unwrap().to_owned()
}
