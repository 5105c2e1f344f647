//! The walk through three relays: letters through all of them, one killed in the middle of an upload, then the one that writes the
//! trail; and whether everything that was acknowledged is there.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use formats::trail::{Event, Record};
use formats::wire::Receipt;
use http::Request;
use relay::config::Config;
use relay::keys::Keys;
use relay::log::LogSigner;
use time::OffsetDateTime;

use super::Many;
use crate::container::ContainerOptions;
use crate::desk::{Desk, append};
use crate::https::Reply;
use crate::relay::RelayProcess;
use crate::stage::Pair;
use crate::tally::Tally;

/// A letter that takes longer has found a fault.
const PATIENCE: Duration = Duration::from_secs(90);
/// Letters sent through each relay.
const EACH: usize = 3;
/// Letters sent while the relay that writes the trail is killed.
const MEANWHILE: usize = 12;
/// Bytes of the letter whose relay is killed.
const LARGE: usize = 24 << 20;

/// A letter ready to be sent.
struct Letter {
    id: String,
    bytes: Vec<u8>,
}

/// What was promised and shown.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<(Letter, Receipt)>,
    shown: BTreeMap<String, u64>,
}

/// Walks, and tells each step.
///
/// # Panics
/// If a relay does not do what it must, other than losing something: that is counted.
pub fn walk(many: &Many, tell: &dyn Fn(&str)) -> Tally {
    let pair = many.pair();
    let [one, two, three] = &many.relays[..] else {
        panic!("the walk leads through three relays")
    };
    assert!(one.log().contains("this relay writes the trail"), "{}", one.log());
    let mut ledger = Ledger::default();

    for relay in &many.relays {
        for _ in 0..EACH {
            let letter = letter(many, &pair, 0);
            let sent = pair.clinic.submit(relay, &letter.bytes);
            assert_eq!(
                sent.status,
                201,
                "{}\n{}",
                String::from_utf8_lossy(&sent.body),
                relay.log()
            );
            ledger.promised(letter, &sent);
        }
    }
    tell(&format!(
        "{EACH} letters through each of three relays; each relay hands out those of the others"
    ));
    ledger.fetch(&pair, &many.relays);

    let large = letter(many, &pair, LARGE);
    let (place, acknowledged) = killed_in_the_middle(two, &pair.clinic, &large);
    let offset = offset(three, &pair.clinic, &place).expect("another relay knows how far it is");
    assert!(
        offset >= acknowledged,
        "{acknowledged} bytes were acknowledged, {offset} are there"
    );
    tell(&format!(
        "the second relay killed in the middle of {} MiB: the third goes on behind byte {offset}",
        LARGE >> 20
    ));
    let rest = pair
        .clinic
        .https(three)
        .send(append(&place, offset as u64), &large.bytes[offset..]);
    assert_eq!(rest.expect("an answer to bytes").status, 204, "{}", three.log());
    let sent = pair.clinic.submit_upload(one, &place);
    assert!(matches!(sent.status, 200 | 201), "{}\n{}", sent.code(), one.log());
    ledger.promised(large, &sent);
    two.restart();

    let letters: Mutex<Vec<Letter>> = Mutex::new((0..MEANWHILE).map(|_| letter(many, &pair, 0)).collect());
    let sent = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for first in 0..3 {
            let (letters, sent, clinic) = (&letters, &sent, &pair.clinic);
            scope.spawn(move || {
                loop {
                    let next = letters.lock().expect("no sender panics").pop();
                    let Some(letter) = next else { return };
                    let receipt = send_anywhere(&many.relays, first, clinic, &letter);
                    sent.lock().expect("no sender panics").push((letter, receipt));
                }
            });
        }
        // In the middle: some are acknowledged, most are not.
        while sent.lock().expect("no sender panics").len() < MEANWHILE / 4 {
            std::thread::sleep(Duration::from_millis(5));
        }
        one.kill9();
    });
    for (letter, reply) in sent.into_inner().expect("no sender panics") {
        ledger.promised(letter, &reply);
    }
    let new = [two, three].map(|relay| relay.log().matches("this relay writes the trail").count());
    assert!(new.iter().sum::<usize>() > 0, "nobody has taken over");
    tell(&format!(
        "the relay that writes the trail killed under {MEANWHILE} letters: another writes on"
    ));

    ledger.fetch(&pair, [two, three]);
    one.restart();
    ledger.fetch(&pair, [one]);
    tell("every letter fetched from the others, then from the one that came back");
    ledger.judge(many, &pair)
}

impl Ledger {
    fn promised(&mut self, letter: Letter, reply: &Reply) {
        let receipt = serde_json::from_slice(&reply.body).expect("an acknowledgement is a receipt");
        self.acknowledged.push((letter, receipt));
    }

    /// Fetches every letter from each of these relays; what does not arrive as it was sent is forgotten here, and so lost.
    fn fetch<'a>(&mut self, pair: &Pair, relays: impl IntoIterator<Item = &'a RelayProcess>) {
        for relay in relays {
            for (letter, receipt) in &mut self.acknowledged {
                let path = format!("/v1/submissions/{}/container?purpose=view", letter.id);
                let got = pair.hospital.get_as(relay, &path, "staff", &[]);
                if got.status == 200 {
                    *self.shown.entry(letter.id.clone()).or_default() += 1;
                }
                if got.status != 200 || got.body != letter.bytes {
                    eprintln!("{}: {} {}\n{}", letter.id, got.status, got.code(), relay.log());
                    receipt.proof.clear();
                }
            }
        }
    }

    /// Compares with the trail what was promised and shown.
    fn judge(self, many: &Many, pair: &Pair) -> Tally {
        let (mut accepted, mut viewed) = (BTreeMap::<String, Vec<u64>>::new(), BTreeMap::<String, u64>::new());
        let (records, vkey) = trail(many);
        for (position, record) in records {
            match record.event {
                Event::Accepted(sent) => accepted.entry(sent.submission.to_string()).or_default().push(position),
                Event::Viewed(access) => *viewed.entry(access.submission.to_string()).or_default() += 1,
                _ => {}
            }
        }
        let listed = inbox(&pair.hospital, &many.relays[2]);
        let mut tally = Tally {
            duplicated: accepted.values().filter(|found| found.len() > 1).count() as u64
                + listed.values().filter(|times| **times > 1).count() as u64,
            ..Tally::default()
        };
        for (letter, receipt) in &self.acknowledged {
            tally.acknowledged += 1;
            let recorded = accepted
                .get(&letter.id)
                .is_some_and(|found| found == &[receipt.position]);
            let proven = receipt.verify(&vkey).is_ok();
            if !(recorded && proven && listed.contains_key(&letter.id)) {
                eprintln!("{}: recorded {recorded}, fetched and proven {proven}", letter.id);
                tally.lost += 1;
            }
        }
        for (id, shown) in &self.shown {
            tally.unrecorded_views += shown.saturating_sub(viewed.get(id).copied().unwrap_or_default());
        }
        tally
    }
}

/// A letter of the pair's, signed and stamped now, with an image of so many bytes.
fn letter(many: &Many, pair: &Pair, image: usize) -> Letter {
    let mut id = String::new();
    let (envelope, files) = pair.referral(|envelope, files| {
        envelope.id.as_str().clone_into(&mut id);
        if let Some((_, last)) = files.last_mut() {
            let noise = (0..image as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
            last.extend(noise);
        }
    });
    let hpki = many.services.hpki();
    let options = ContainerOptions::at(OffsetDateTime::now_utc());
    Letter {
        id,
        bytes: hpki.container(&hpki.doctor(), &envelope, &files, options),
    }
}

/// Begins a letter's upload at a relay, has its first third acknowledged, and kills the relay in the middle of the rest. The place
/// of the upload, and what was acknowledged.
fn killed_in_the_middle(relay: &RelayProcess, clinic: &Desk, letter: &Letter) -> (String, usize) {
    let begun = clinic.begin_upload(relay, letter.bytes.len() as u64, None);
    let place = begun.header("location").to_owned();
    let third = letter.bytes.len() / 3;
    let first = clinic.https(relay).send(append(&place, 0), &letter.bytes[..third]);
    assert_eq!(first.expect("an answer to bytes").status, 204, "{}", relay.log());
    let mut raw = clinic.https(relay).raw_from(1).expect("a connection");
    write!(
        raw,
        "PATCH {place} HTTP/1.1\r\nhost: 127.0.0.1\r\ntus-resumable: 1.0.0\r\nupload-offset: {third}\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {}\r\n\r\n",
        letter.bytes.len() - third
    )
    .expect("a request can be sent");
    raw.write_all(&letter.bytes[third..2 * third])
        .expect("bytes can be sent");
    raw.flush().expect("bytes can be sent");
    std::thread::sleep(Duration::from_millis(300));
    relay.kill9();
    let mut answer = Vec::new();
    let _cut = raw.read_to_end(&mut answer);
    assert!(answer.is_empty(), "it was not yet whole");
    (place, third)
}

/// How far an upload is.
fn offset(relay: &RelayProcess, clinic: &Desk, place: &str) -> Option<usize> {
    let head = Request::head(place).header("tus-resumable", "1.0.0");
    let reply = clinic.https(relay).send(head, &[]).ok()?;
    reply
        .header("upload-offset")
        .parse()
        .ok()
        .filter(|_| reply.status == 200)
}

/// Sends a letter as a client does that knows several relays: whatever fails is asked of the next, which goes on where it stopped.
fn send_anywhere(relays: &[RelayProcess], first: usize, clinic: &Desk, letter: &Letter) -> Reply {
    let deadline = Instant::now() + PATIENCE;
    let mut place: Option<String> = None;
    for relay in relays.iter().cycle().skip(first) {
        assert!(Instant::now() < deadline, "{} cannot be sent", letter.id);
        let https = clinic.https(relay);
        if place.is_none() {
            let request = Request::post("/v1/uploads")
                .header("tus-resumable", "1.0.0")
                .header("upload-length", letter.bytes.len());
            let begun = https.send(request, &[]).ok().filter(|begun| begun.status == 201);
            place = begun.map(|begun| begun.header("location").to_owned());
        }
        let Some(at) = &place else { continue };
        let Some(offset) = offset(relay, clinic, at) else {
            continue;
        };
        if offset < letter.bytes.len() {
            let sent = https.send(append(at, offset as u64), &letter.bytes[offset..]);
            if !sent.is_ok_and(|sent| sent.status == 204) {
                continue;
            }
        }
        let body = serde_json::json!({ "upload": at }).to_string();
        let request = Request::post("/v1/submissions").header("content-type", "application/json");
        if let Ok(reply) = https.send(request, body.as_bytes())
            && matches!(reply.status, 200 | 201)
        {
            return reply;
        }
    }
    panic!("there is no relay")
}

/// How often each letter is in the inbox.
fn inbox(hospital: &Desk, relay: &RelayProcess) -> BTreeMap<String, usize> {
    let (mut found, mut after) = (BTreeMap::new(), Some(0));
    while let Some(position) = after {
        let page = hospital
            .get(relay, &format!("/v1/inbox?after={position}&limit=100"))
            .json();
        for item in page["items"].as_array().into_iter().flatten() {
            *found
                .entry(item["id"].as_str().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        after = page["next"].as_u64();
    }
    found
}

/// All records, as one more relay reads them, and the key that verifies them.
fn trail(many: &Many) -> (Vec<(u64, Record)>, String) {
    let config = Config::load(&many.relays[0].config()).expect("the relay's configuration");
    let key = LogSigner::open(&config).expect("the log key");
    let (vkey, keys) = (
        key.vkey().to_owned(),
        Keys::open(&config.keys).expect("the relay's keys"),
    );
    let store =
        relay::store::open(&config.data, config.index, config.store.as_ref(), key, &keys).expect("the database");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut records = Vec::new();
    loop {
        let page = runtime
            .block_on(store.records(None, records.len() as u64, 500))
            .expect("records");
        for stored in &page {
            assert_eq!(stored.position, records.len() as u64, "a position is missing");
            let record = stored.record().expect("a record").expect("a record that is not erased");
            records.push((stored.position, record));
        }
        if page.is_empty() {
            return (records, vkey);
        }
    }
}
