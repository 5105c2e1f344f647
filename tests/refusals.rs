//! What bad input gets: a clear refusal with a stable code, and nothing lost.
//!
//! Every case goes to the real relay over real TLS. After each the inbox is as before, the refusal is in the trail, the log names
//! no patient, and the relay goes on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::asice::{FilePlan, manifest_for};
use formats::cades::{Profile, SignedData, with_timestamp};
use formats::digest::DigestAlgorithm;
use formats::envelope::Envelope;
use http::Request;
use kit::desk::append;
use kit::stage::SECRETS;
use kit::zip::{Entry, archive, entries};
use kit::{Card, CardSpec, ContainerOptions, CrlReason, Key, Pair, RelayOptions, Reply, Stage, TokenSpec, TsaSpec};
use time::{Duration, OffsetDateTime};

/// The most memory the relay may have had after all of this: it holds pieces, not what headers claim.
const MEMORY: u64 = 400 << 20;

const MANIFEST: &str = "META-INF/ASiCManifest001.xml";
const SIGNATURE: &str = "META-INF/signature001.p7s";

/// A doctor whose card is on the CRL since yesterday.
fn revoked() -> CardSpec {
    CardSpec {
        serial: 0x901,
        ..CardSpec::doctor()
    }
}

fn stage() -> Arc<Stage> {
    Stage::shared(|stage| {
        let card = stage.services.hpki().card(revoked());
        let yesterday = OffsetDateTime::now_utc() - Duration::days(1);
        stage.services.revoke(&card, yesterday, CrlReason::KeyCompromise);
    })
}

fn now() -> ContainerOptions {
    ContainerOptions::at(OffsetDateTime::now_utc())
}

/// Refused with `code`; afterwards the hospital has nothing, the trail has the refusal, and the relay is well.
fn refused(stage: &Stage, pair: &Pair, what: &str, container: &[u8], code: &str) -> Reply {
    let reply = pair.clinic.submit(&stage.relay, container);
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!((reply.status, reply.code().as_str()), (422, code), "{what}: {text}");
    for field in ["type", "title", "detail", "action"] {
        assert!(
            reply.json()[field].as_str().is_some_and(|said| !said.is_empty()),
            "{what}: no {field} in {text}"
        );
    }
    assert_eq!(
        pair.hospital.get(&stage.relay, "/v1/inbox").json()["items"],
        serde_json::json!([]),
        "{what}"
    );
    reply
}

/// How many refusals with this code the sender's account tells of.
fn accounted(stage: &Stage, pair: &Pair, code: &str) -> usize {
    let account = stage
        .relay
        .admin(&["trail", "export", "--facility", &pair.from, "--format", "csv"]);
    account
        .lines()
        .filter(|line| line.contains("Refused") && line.contains(code))
        .count()
}

fn well(stage: &Stage) {
    assert_eq!(stage.relay.portal("/readyz").status, 200);
    stage.relay.assert_log_keeps_quiet(&SECRETS);
    if let Some(peak) = stage.relay.peak_memory() {
        assert!(peak < MEMORY, "the relay has had {} MiB", peak >> 20);
    }
}

/// A container of any files, signed over a manifest of `signed`, so that both may differ.
fn sealed(stage: &Stage, files: &[(String, Vec<u8>)], signed: &[(String, Vec<u8>)]) -> Vec<u8> {
    let plans: Vec<FilePlan> = signed
        .iter()
        .map(|(path, bytes)| FilePlan::measure(path, &mut bytes.as_slice()).unwrap())
        .collect();
    let manifest = manifest_for(&plans);
    let signature = stage
        .services
        .hpki()
        .signature(&stage.services.hpki().doctor(), &manifest, now());
    let mut all = vec![
        Entry::new("mimetype", b"application/vnd.etsi.asic-e+zip"),
        Entry::new(MANIFEST, &manifest),
        Entry::new(SIGNATURE, &signature),
    ];
    all.extend(files.iter().map(|(path, bytes)| Entry::new(path, bytes)));
    archive(&all)
}

/// Everything of a referral that is signed, the envelope first.
fn contents(pair: &Pair) -> Vec<(String, Vec<u8>)> {
    let (envelope, files) = pair.referral(|_, _| {});
    let mut all = vec![("submission.json".to_owned(), envelope.to_json().unwrap())];
    all.extend(files);
    all
}

fn sub_indication(reply: &Reply) -> String {
    reply.json()["report"]["sub_indication"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn containers_outside_the_profile() {
    let stage = stage();
    let pair = stage.pair();
    let good = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let parts = entries(&good);
    let changed = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut parts = parts.clone();
        change(&mut parts);
        archive(&parts)
    };
    let deflated = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap();
        [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
    };
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("nothing of a container", b"this is no container at all".to_vec()),
        ("garbled", good.iter().map(|byte| byte ^ 0x5a).collect()),
        ("ends in the middle", good[..good.len() / 2].to_vec()),
        ("its last byte is missing", good[..good.len() - 1].to_vec()),
        ("bytes before", [b"MZ", &good[..]].concat()),
        ("bytes after", [&good[..], b"\0"].concat()),
        ("no mimetype", changed(&|parts| drop(parts.remove(0)))),
        (
            "another mimetype",
            changed(&|parts| parts[0].bytes = b"application/zip".to_vec()),
        ),
        ("envelope before META-INF", changed(&|parts| parts.swap(1, 3))),
        ("files in another order", changed(&|parts| parts.swap(4, 5))),
        ("no signature", changed(&|parts| drop(parts.remove(2)))),
        ("no manifest", changed(&|parts| drop(parts.remove(1)))),
        ("no envelope", changed(&|parts| drop(parts.remove(3)))),
        (
            "a file without reference",
            changed(&|parts| parts.push(Entry::new("letter/more.pdf", &kit::letter_pdf()))),
        ),
        ("a reference without file", changed(&|parts| drop(parts.pop()))),
        ("a name twice", changed(&|parts| parts.push(parts[4].clone()))),
        (
            "two names that differ by case",
            changed(&|parts| {
                let twin = Entry::new("LETTER/letter.pdf", &parts[4].bytes);
                parts.push(twin);
            }),
        ),
        (
            "a name that escapes",
            changed(&|parts| parts[4].name = "../letter.pdf".to_owned()),
        ),
        (
            "an absolute name",
            changed(&|parts| parts[4].name = "/letter.pdf".to_owned()),
        ),
        (
            "a backslash",
            changed(&|parts| parts[4].name = "letter\\letter.pdf".to_owned()),
        ),
        ("a drive", changed(&|parts| parts[4].name = "C:letter.pdf".to_owned())),
        (
            "a directory entry",
            changed(&|parts| parts.push(Entry::new("images/", b""))),
        ),
        (
            "another name in the directory",
            changed(&|parts| parts[4].central_name = Some("letter/letter.exe".into())),
        ),
        ("an encrypted entry", changed(&|parts| parts[4].flags |= 1)),
        ("a data descriptor", changed(&|parts| parts[4].flags |= 8)),
        (
            "a compressed file",
            changed(&|parts| {
                parts[4].bytes = deflated(&parts[4].bytes);
                parts[4].method = 8;
            }),
        ),
        (
            "a compressed manifest",
            changed(&|parts| {
                parts[1].bytes = deflated(&parts[1].bytes);
                parts[1].method = 8;
            }),
        ),
        (
            "a manifest with a DOCTYPE",
            changed(&|parts| {
                let text = String::from_utf8(parts[1].bytes.clone()).unwrap();
                let doctype = "<!DOCTYPE a [<!ENTITY b \"cccccccccc\"><!ENTITY d \"&b;&b;&b;&b;&b;&b;&b;\">]>";
                parts[1].bytes = text.replacen("?>", &format!("?>{doctype}"), 1).into_bytes();
            }),
        ),
    ];
    for (what, container) in &rows {
        refused(&stage, &pair, what, container, "container_profile");
    }
    assert_eq!(accounted(&stage, &pair, "container_profile"), rows.len());
    // The control: taken apart and put together again, it is good, and nothing above has used up its id.
    let reply = pair.clinic.submit(&stage.relay, &archive(&parts));
    assert_eq!(reply.status, 201, "{}", reply.json());
    well(&stage);
}

#[test]
fn what_is_signed_and_what_arrives_must_be_the_same() {
    let stage = stage();
    let pair = stage.pair();
    let all = contents(&pair);
    let without = |path: &str| all.iter().filter(|(name, _)| name != path).cloned().collect::<Vec<_>>();
    let with = |path: &str, bytes: &[u8]| {
        let mut files = all.clone();
        files.iter_mut().find(|(name, _)| name == path).unwrap().1 = bytes.to_vec();
        files
    };
    assert_eq!(entries(&sealed(&stage, &all, &all)).len(), 7);
    let envelope = String::from_utf8(all[0].1.clone())
        .unwrap()
        .replace("\"1970-01-01\"", "\"1970-01-02\"");
    assert_ne!(envelope.as_bytes(), all[0].1);
    let rows = [
        (
            "a file not in the manifest",
            sealed(&stage, &all, &without("images/IM0002")),
        ),
        (
            "a file only in the manifest",
            sealed(&stage, &without("images/IM0002"), &all),
        ),
        (
            "another letter than was signed",
            sealed(&stage, &with("letter/letter.pdf", b"%PDF-1.4 another"), &all),
        ),
        (
            "another envelope than was signed",
            sealed(&stage, &with("submission.json", envelope.as_bytes()), &all),
        ),
    ];
    for (what, container) in &rows {
        let reply = pair.clinic.submit(&stage.relay, container);
        let code = reply.code();
        assert_eq!(reply.status, 422, "{what}: {}", reply.json());
        let same =
            code == "container_profile" || (code == "validation_failed" && sub_indication(&reply) == "HASH_FAILURE");
        assert!(same, "{what}: {}", reply.json());
    }
    assert_eq!(
        pair.hospital.get(&stage.relay, "/v1/inbox").json()["items"],
        serde_json::json!([])
    );
    well(&stage);
}

#[test]
fn envelopes_that_say_nothing_good() {
    let stage = stage();
    let (pair, other) = (stage.pair(), stage.pair());
    let doctor = stage.services.hpki().doctor();
    let changed = |change: &dyn Fn(&mut Envelope)| stage.container(&pair, &doctor, |envelope, _| change(envelope));
    let mismatch = changed(&|envelope| envelope.sender.facility = other.from.parse().unwrap());
    refused(&stage, &pair, "another sender", &mismatch, "sender_mismatch");
    let unknown = changed(&|envelope| envelope.recipients[0].facility = "9999999999".parse().unwrap());
    refused(&stage, &pair, "an unknown recipient", &unknown, "recipient_unknown");

    let all = contents(&pair);
    let text = String::from_utf8(all[0].1.clone()).unwrap();
    for (what, envelope) in [
        ("no JSON", "{".to_owned()),
        ("an unknown field", text.replacen('{', "{\"more\": 1, ", 1)),
        ("a field twice", text.replacen('{', "{\"version\": 1, ", 1)),
        ("a day that never was", text.replace("1970-01-01", "1970-02-30")),
        (
            "a document that is not there",
            text.replace("letter/letter.pdf", "letter/other.pdf"),
        ),
        ("nested without end", format!("{{\"version\": {}", "[".repeat(200_000))),
    ] {
        assert_ne!(envelope, text, "{what}");
        let mut files = all.clone();
        files[0].1 = envelope.into_bytes();
        let reply = pair.clinic.submit(&stage.relay, &sealed(&stage, &files, &files));
        let code = reply.code();
        assert!(
            ["envelope_invalid", "container_profile"].contains(&code.as_str()),
            "{what}: {}",
            reply.json()
        );
    }
    well(&stage);
}

#[test]
fn signatures_that_do_not_pass() {
    let stage = stage();
    let pair = stage.pair();
    let hpki = stage.services.hpki();
    let card = |spec: CardSpec| hpki.card(spec);
    let yesterday = OffsetDateTime::now_utc() - Duration::days(1);
    let rows: Vec<(&str, Card, &str)> = vec![
        (
            "a pharmacist on a referral",
            hpki.pharmacist(),
            "SIG_CONSTRAINTS_FAILURE",
        ),
        ("a card without profession", hpki.no_role(), "SIG_CONSTRAINTS_FAILURE"),
        ("the authentication card", hpki.auth_card(), "SIG_CONSTRAINTS_FAILURE"),
        ("a revoked card", card(revoked()), "REVOKED"),
        (
            "an expired card",
            card(CardSpec {
                not_after: Some(yesterday),
                serial: 0x902,
                ..CardSpec::doctor()
            }),
            // Clear before the authority is asked whether the stamp proves its time, and so never asked.
            "OUT_OF_BOUNDS_NO_POE",
        ),
        (
            "a card of another policy",
            card(CardSpec {
                policies: vec![kit::card::TEST_SIGNING_POLICY],
                serial: 0x903,
                ..CardSpec::doctor()
            }),
            "SIG_CONSTRAINTS_FAILURE",
        ),
        (
            "a card that no CA issued",
            card(CardSpec {
                issuer_key: Some(Key::Spare),
                serial: 0x904,
                ..CardSpec::doctor()
            }),
            "NO_CERTIFICATE_CHAIN_FOUND",
        ),
    ];
    for (what, card, sub) in &rows {
        let container = stage.container(&pair, card, |_, _| {});
        let reply = refused(&stage, &pair, what, &container, "validation_failed");
        assert_eq!(sub_indication(&reply), *sub, "{what}: {}", reply.json());
    }
    assert_eq!(accounted(&stage, &pair, "validation_failed"), rows.len());
    well(&stage);
}

#[test]
fn time_stamps_that_prove_nothing() {
    let stage = stage();
    let pair = stage.pair();
    let hpki = stage.services.hpki();
    let stamped = |stamp: Option<TokenSpec>| {
        let (envelope, files) = pair.referral(|_, _| {});
        let options = ContainerOptions {
            stamp,
            signing_time: None,
        };
        hpki.container(&hpki.doctor(), &envelope, &files, options)
    };
    let good = TokenSpec::at(OffsetDateTime::now_utc());
    let no_authority = TokenSpec {
        certificate: Some(hpki.tsa_with(TsaSpec {
            purposes: Vec::new(),
            serial: 0x31,
            ..TsaSpec::default()
        })),
        ..good.clone()
    };
    let signing_ca = TokenSpec {
        certificate: Some(hpki.tsa_with(TsaSpec {
            ca: kit::Ca::Sign,
            serial: 0x32,
            ..TsaSpec::default()
        })),
        ..good.clone()
    };
    let forged = TokenSpec {
        key: Key::Spare,
        ..good
    };
    for (what, container, expected) in [
        (
            "an authority without the key purpose",
            stamped(Some(no_authority)),
            "SIG_CONSTRAINTS_FAILURE",
        ),
        (
            "an authority below the wrong anchor",
            stamped(Some(signing_ca)),
            "NO_CERTIFICATE_CHAIN_FOUND",
        ),
        (
            "a token signed by another key",
            stamped(Some(forged)),
            "SIG_CRYPTO_FAILURE",
        ),
        ("no stamp", stamped(None), "SIG_CONSTRAINTS_FAILURE"),
        ("the stamp of another signature", swapped(&stage, &pair), "HASH_FAILURE"),
    ] {
        let reply = refused(&stage, &pair, what, &container, "validation_failed");
        assert_eq!(sub_indication(&reply), expected, "{what}: {}", reply.json());
    }
    well(&stage);
}

/// A good token, moved from another signature.
fn swapped(stage: &Stage, pair: &Pair) -> Vec<u8> {
    let hpki = stage.services.hpki();
    let mut parts = entries(&stage.container(pair, &hpki.doctor(), |_, _| {}));
    let bare = |content: &[u8]| {
        let options = ContainerOptions {
            stamp: None,
            signing_time: None,
        };
        hpki.signature(&hpki.doctor(), content, options)
    };
    let other = bare(b"another manifest");
    let value = SignedData::parse(&other, Profile::Document).unwrap().signer.signature;
    let imprint = DigestAlgorithm::Sha256.digest(&value);
    let token = hpki.tsa_token(
        DigestAlgorithm::Sha256,
        &imprint,
        TokenSpec::at(OffsetDateTime::now_utc()),
    );
    parts[2].bytes = with_timestamp(&bare(&parts[1].bytes), &token).unwrap();
    archive(&parts)
}

#[test]
fn programs_scripts_and_macros_do_not_travel() {
    let stage = stage();
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    let mut program = b"MZ\x90\0\x03\0\0\0".to_vec();
    program.resize(4096, 0);
    let mut in_preamble = kit::dicom(1, 1, 1);
    in_preamble[..5].copy_from_slice(b"MZ\x90\0\x03");
    let office = archive(&[
        Entry::new("[Content_Types].xml", b"<Types/>"),
        Entry::new("word/vbaProject.bin", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ]);
    let rows: [(&str, usize, Vec<u8>); 5] = [
        ("a program called a letter", 0, program),
        ("a program in a DICOM preamble", 1, in_preamble),
        ("a script called a letter", 0, b"#!/bin/sh\nrm -rf /\n".to_vec()),
        ("a document with macros", 0, office),
        (
            "a PDF that runs JavaScript",
            0,
            b"%PDF-1.7\n1 0 obj <</S /JavaScript /JS (x)>>\nendobj\n".to_vec(),
        ),
    ];
    for (what, file, bytes) in &rows {
        let container = stage.container(&pair, &doctor, |_, files| files[*file].1.clone_from(bytes));
        refused(&stage, &pair, what, &container, "forbidden_content");
    }
    let named = stage.container(&pair, &doctor, |_, files| files[2].0 = "images/viewer.exe".to_owned());
    refused(&stage, &pair, "a name that runs", &named, "forbidden_content");
    assert_eq!(accounted(&stage, &pair, "forbidden_content"), rows.len() + 1);
    well(&stage);
}

#[test]
fn bombs_are_not_unpacked_and_claims_not_believed() {
    let stage = stage();
    let pair = stage.pair();
    let good = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let parts = entries(&good);
    let changed = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut parts = parts.clone();
        change(&mut parts);
        archive(&parts)
    };
    let nested = |tag: &[u8], depth: usize| tag.repeat(depth);
    let many: Vec<Entry> = (0..60_000)
        .map(|number| Entry::new(&format!("images/{number}"), b""))
        .collect();
    let mut end_claims = good.clone();
    let end = end_claims.len() - 22;
    end_claims[end + 8..end + 20].fill(0xff);
    for (what, container) in [
        (
            "an entry that claims 4 GiB",
            changed(&|parts| parts[4].claimed = Some(u32::MAX - 1)),
        ),
        (
            "a signature that claims 4 GiB",
            changed(&|parts| parts[2].claimed = Some(u32::MAX - 1)),
        ),
        (
            "an envelope that claims 4 GiB",
            changed(&|parts| parts[3].claimed = Some(u32::MAX - 1)),
        ),
        (
            "a ZIP64 size without its field",
            changed(&|parts| parts[4].claimed = Some(u32::MAX)),
        ),
        ("a directory that claims the world", end_claims),
        (
            "a deflate bomb",
            changed(&|parts| {
                parts[4].bytes = vec![0; 1 << 20];
                parts[4].method = 8;
                parts[4].claimed = Some(u32::MAX - 1);
            }),
        ),
        (
            "sixty thousand empty files",
            changed(&|parts| parts.extend(many.iter().cloned())),
        ),
        (
            "CMS nested without end",
            changed(&|parts| parts[2].bytes = nested(b"\x30\x80", 2 << 20)),
        ),
        (
            "CMS that claims 4 GiB",
            changed(&|parts| parts[2].bytes = nested(b"\x30\x84\xff\xff\xff\xff", 1000)),
        ),
        (
            "an endless CMS string",
            changed(&|parts| parts[2].bytes = nested(b"\x24\x80\x04\x01\x00", 1 << 20)),
        ),
        (
            "a manifest of one opening tag after the other",
            changed(&|parts| parts[1].bytes = nested(b"<a>", 1 << 20)),
        ),
    ] {
        let reply = pair.clinic.submit(&stage.relay, &container);
        let refused = ["container_profile", "validation_failed"].contains(&reply.code().as_str());
        assert!(
            reply.status == 422 && refused,
            "{what}: {} {}",
            reply.status,
            String::from_utf8_lossy(&reply.body)
        );
    }
    assert_eq!(pair.clinic.submit(&stage.relay, &good).status, 201, "the relay goes on");
    well(&stage);
    println!(
        "the relay has had {} MiB",
        stage.relay.peak_memory().unwrap_or_default() >> 20
    );
}

#[test]
fn uploads_that_go_wrong_can_be_put_right() {
    let stage = Stage::new(&RelayOptions {
        limits: vec![("max_container", "1MiB".into())],
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let relay = &stage.relay;
    let good = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let https = pair.clinic.https(relay);

    // Too large is said before any byte.
    let large = pair.clinic.begin_upload(relay, (1 << 20) + 1, None);
    assert_eq!((large.status, large.code().as_str()), (413, "too_large"));
    let place = pair
        .clinic
        .begin_upload(relay, good.len() as u64, None)
        .header("location")
        .to_owned();
    let early = pair.clinic.submit_upload(relay, &place);
    assert_eq!((early.status, early.code().as_str()), (409, "upload_incomplete"));

    // More than was announced, at the wrong place, with the wrong hash, without the protocol's version: each is told.
    let ahead = https.send(append(&place, 10), &good[10..20]).unwrap();
    assert_eq!((ahead.status, ahead.code().as_str()), (409, "offset_mismatch"));
    let wrong = format!("sha256 {}", STANDARD.encode([7; 32]));
    let wrong = https
        .send(append(&place, 0).header("upload-checksum", wrong), &good[..100])
        .unwrap();
    assert_eq!((wrong.status, wrong.code().as_str()), (460, "checksum_mismatch"));
    let bare = https.send(Request::patch(&place), &good[..100]).unwrap();
    assert_eq!((bare.status, bare.code().as_str()), (412, "tus_version"));

    // A line that breaks: what arrived is kept, and the rest goes on from there.
    https.break_off(append(&place, 0), good.len(), &good[..5000]).unwrap();
    let head = https
        .send(Request::head(&place).header("tus-resumable", "1.0.0"), &[])
        .unwrap();
    let offset: usize = head.header("upload-offset").parse().unwrap();
    assert!(offset <= 5000, "{offset}");
    let rest = https.send(append(&place, offset as u64), &good[offset..]).unwrap();
    assert_eq!(rest.status, 204, "{}", rest.json());
    let more = https.send(append(&place, good.len() as u64), b"more").unwrap();
    assert_eq!((more.status, more.code().as_str()), (413, "too_large"));
    let receipt = pair.clinic.submit_upload(relay, &place);
    assert_eq!(receipt.status, 201, "{}", receipt.json());

    // The whole is not what was announced.
    let other = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let begun = pair
        .clinic
        .begin_upload(relay, other.len() as u64, Some(&"0".repeat(64)));
    let sent = https.send(append(begun.header("location"), 0), &other).unwrap();
    assert_eq!((sent.status, sent.code().as_str()), (460, "checksum_mismatch"));
    let gone = https
        .send(
            Request::delete(begun.header("location")).header("tus-resumable", "1.0.0"),
            &[],
        )
        .unwrap();
    assert_eq!(gone.status, 204);
    for body in [
        "",
        "{",
        "{\"upload\": 1}",
        "{\"upload\": \"/v1/uploads/../../etc/passwd\"}",
        "{\"upload\":\"x\",\"y\":1}",
    ] {
        let request = Request::post("/v1/submissions").header("content-type", "application/json");
        let reply = https.send(request, body.as_bytes()).unwrap();
        assert!([400, 404].contains(&reply.status), "{body}: {}", reply.status);
    }
    assert_eq!(
        pair.hospital.get(relay, "/v1/inbox").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    well(&stage);
}

#[test]
fn a_full_disk_is_said_before_any_byte_and_deliveries_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Tmpfs::mount(folder.path(), "320m") else {
        println!("skipped: a_full_disk_is_said_before_any_byte_and_deliveries_go_on (no right to mount a small disk)");
        return;
    };
    let stage = Stage::new(&RelayOptions {
        data: Some(folder.path().join("data")),
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let sent = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(sent.status, 201, "{}", sent.json());
    let large = pair.clinic.begin_upload(&stage.relay, 200 << 20, None);
    assert_eq!((large.status, large.code().as_str()), (507, "no_space"));

    // What is left now is kept for the trail.
    std::fs::write(folder.path().join("other"), vec![1; 100 << 20]).unwrap();
    let little = pair.clinic.begin_upload(&stage.relay, 1000, None);
    assert_eq!((little.status, little.code().as_str()), (507, "no_space"));
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    let fetched = pair
        .hospital
        .get_as(&stage.relay, &format!("/v1/submissions/{id}/container"), "staff", &[]);
    assert!(fetched.status == 200 && fetched.body == container);
    let acknowledge = Request::post(format!("/v1/submissions/{id}/acknowledgement")).header("hikyaku-person", "staff");
    assert_eq!(
        pair.hospital.https(&stage.relay).send(acknowledge, &[]).unwrap().status,
        200
    );

    std::fs::remove_file(folder.path().join("other")).unwrap();
    let again = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    assert_eq!(
        pair.clinic.submit(&stage.relay, &again).status,
        201,
        "with room again, it takes in again"
    );
    well(&stage);
    drop(stage);
    drop(small);
}

/// A small disk in memory, unmounted when dropped.
struct Tmpfs<'a>(&'a std::path::Path);

impl<'a> Tmpfs<'a> {
    fn mount(folder: &'a std::path::Path, size: &str) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        // Lazily: a relay that a failed test leaves may still be ending.
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}
