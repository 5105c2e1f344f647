//! The seeds the kit makes: for each target a few small inputs of every kind it reads.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use formats::asice::archive::{Archive, derive};
use formats::asice::{Container, FilePlan, manifest_for};
use formats::cades::{Profile, SignedData};
use formats::digest::DigestAlgorithm;
use formats::timestamp::{FailInfo, Request, Response, Token};
use formats::trail::{Actor, Entry, Event, ExportHead, LogKey, Record, Skipped, commitment};
use formats::wire::{Receipt, SubmissionId};
use kit::{Ca, CardSpec, ContainerOptions, CrlReason, CrlSpec, OcspSpec, Responder, RoleShape, TestHpki, TokenSpec};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use trust_store::{Evidence, Policy};

const NOW: OffsetDateTime = datetime!(2026-11-20 03:00:00 UTC);

/// Target, file name, bytes.
type Seed = (&'static str, String, Vec<u8>);

/// All of them, the same each time but for ECDSA signatures.
pub(crate) fn all() -> Vec<Seed> {
    let hpki = TestHpki::new("http://hpki.example", NOW);
    let mut seeds = containers(&hpki);
    seeds.extend(signatures(&hpki));
    seeds.extend(lists_and_certificates(&hpki));
    seeds.extend(documents());
    seeds.extend(signed_pdfs(&hpki));
    seeds.extend(trail());
    seeds.extend(evidence(&hpki));
    seeds
}

fn seed(target: &'static str, name: &str, bytes: impl AsRef<[u8]>) -> Seed {
    (target, name.to_owned(), bytes.as_ref().to_vec())
}

/// An input whose first byte says how it is to be read.
fn led(target: &'static str, name: &str, lead: u8, bytes: &[u8]) -> Seed {
    seed(target, name, [&[lead], bytes].concat())
}

fn fixture(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/validation");
    fs::read(root.join(name)).unwrap()
}

fn containers(hpki: &TestHpki) -> Vec<Seed> {
    let (mut envelope, files) = kit::referral();
    envelope.documents.truncate(1);
    let letter = &files[..1];
    let stamped = ContainerOptions::at(NOW - Duration::hours(1));
    let bare = ContainerOptions {
        stamp: None,
        signing_time: None,
    };
    let small = hpki.container(&hpki.doctor(), &envelope, letter, stamped);
    let smaller = hpki.container(&hpki.ec_doctor(), &envelope, letter, bare);
    let (derived, archive) = derived(hpki, &small);
    let plans = [FilePlan::measure(&letter[0].0, &mut letter[0].1.as_slice()).unwrap()];
    vec![
        led("container", "small", 0, &small),
        led("container", "small_put_right", 1, &small),
        led("container", "smaller", 1, &smaller),
        led(
            "container",
            "deflated",
            0,
            &fixture("deflated_by_other_software/container.asice"),
        ),
        led("intake", "small_byte_by_byte", 0, &small),
        led("intake", "small_put_right", 5, &small),
        led("intake", "smaller", 3, &smaller),
        led("archive", "small", 2, &small),
        led("archive", "derived", 2, &derived),
        led("archive", "manifest", 4 * 7, &archive.0),
        led("archive", "file", 1, archive.1.as_bytes()),
        led("manifest", "one_file", 7, &manifest_for(&plans)),
        seed("envelope", "referral", envelope.to_json().unwrap()),
    ]
}

/// A container with an archive manifest and its token; the manifest alone, and the archive's file.
fn derived(hpki: &TestHpki, container: &[u8]) -> (Vec<u8>, (Vec<u8>, String)) {
    let read = Container::read(&mut Cursor::new(container)).unwrap();
    let mut archive = Archive::of(&read, &mut Cursor::new(container)).unwrap();
    let next = archive.next_manifest(&read).unwrap();
    let (manifest, imprint) = (next.bytes.clone(), DigestAlgorithm::Sha256.digest(&next.bytes));
    archive.stamp(
        next,
        hpki.tsa_token(DigestAlgorithm::Sha256, &imprint, TokenSpec::at(NOW)),
    );
    let mut out = Vec::new();
    derive(&mut Cursor::new(container), &archive, &mut out).unwrap();
    (out, (manifest, archive.to_json()))
}

fn signatures(hpki: &TestHpki) -> Vec<Seed> {
    let at = NOW - Duration::hours(1);
    let signed = hpki.signature(&hpki.doctor(), b"content", ContainerOptions::at(at));
    let bare = ContainerOptions {
        stamp: None,
        signing_time: Some(at),
    };
    let other = hpki.signature(&hpki.card(CardSpec::p384_doctor()), b"content", bare);
    let token = SignedData::parse(&signed, Profile::Document).unwrap().signer.timestamps[0].clone();
    let imprint = DigestAlgorithm::Sha256.digest(b"content");
    let request = Request {
        algorithm: DigestAlgorithm::Sha256,
        imprint: imprint.clone(),
        nonce: Some(vec![1, 2, 3]),
        cert_req: true,
        policy: None,
    };
    let spec = TokenSpec {
        ess: kit::Ess::V1,
        nonce: Some(vec![7]),
        ..TokenSpec::at(at)
    };
    let first = hpki.tsa_token(DigestAlgorithm::Sha256, &imprint, spec);
    vec![
        seed("cms", "stamped", &signed),
        seed("cms", "with_signing_time", other),
        seed("cms", "attached", fixture("attached_equal/signature.p7s")),
        seed("cms", "token", &token),
        seed("token", "token", &token),
        seed("token", "first_version", &first),
        seed("token", "info", Token::parse(&token).unwrap().info.encode().unwrap()),
        seed("token", "request", request.encode()),
        seed("token", "granted", Response::Granted(token.clone()).encode()),
        seed(
            "token",
            "rejected",
            Response::Rejected(FailInfo::BadAlg, "no".into()).encode(),
        ),
    ]
}

fn lists_and_certificates(hpki: &TestHpki) -> Vec<Seed> {
    let issued = NOW - Duration::hours(2);
    let spec = CrlSpec::at(issued)
        .revoking(7, issued, CrlReason::KeyCompromise)
        .revoking(9, issued, CrlReason::CertificateHold);
    let serial = hpki.doctor().serial;
    let request = kit::ocsp::ocsp_request(Ca::Sign, serial);
    let answer = |spec| hpki.ocsp(Ca::Sign, &request, &spec);
    let mut revoked = OcspSpec::at(issued);
    let reason = CrlReason::KeyCompromise;
    revoked.revoked = vec![kit::Revoked::new(serial, issued, reason)];
    let by_authority = OcspSpec {
        responder: Responder::Ca,
        ..OcspSpec::at(issued)
    };
    vec![
        seed("crl", "three_lines", hpki.crl(Ca::Sign, spec)),
        seed("crl", "part", hpki.sarl(CrlSpec::at(issued))),
        seed("ocsp", "good", answer(OcspSpec::at(issued))),
        seed("ocsp", "revoked", answer(revoked)),
        seed("ocsp", "by_the_authority", answer(by_authority)),
        seed("ocsp", "unauthorized", [0x30, 3, 0x0a, 1, 6]),
        seed("certificate", "doctor", &hpki.doctor().certificate),
        seed("certificate", "curve", &hpki.ec_doctor().certificate),
        seed("certificate", "authority", hpki.ca(Ca::Sign)),
        seed("certificate", "root", hpki.ca(Ca::Root)),
        seed("certificate", "stamps", hpki.tsa()),
        seed(
            "certificate",
            "roles",
            RoleShape::of(&["Medical Doctor", "Dentist"]).encode(),
        ),
    ]
}

fn documents() -> Vec<Seed> {
    let image = kit::dicom(1, 1, 1);
    vec![
        seed("dicom", "image", &image[..image.len().min(1024)]),
        led("letter", "pdf", 3, &kit::letter_pdf()),
        led("letter", "fhir", 3, &kit::letter_fhir()),
        led("letter", "cda", 3, &kit::letter_cda()),
    ]
}

/// A signed letter; and attacks on it that once succeeded elsewhere.
fn signed_pdfs(hpki: &TestHpki) -> Vec<Seed> {
    let letter = kit::letter_pdf();
    let options = ContainerOptions::at(NOW - Duration::hours(1));
    let signed = kit::pdf::signed(&letter, kit::pdf::Look::PLAIN, |bytes| {
        hpki.signature(&hpki.doctor(), bytes, options)
    });
    let attacks = kit::pdf::attacks(&signed).into_iter().enumerate().step_by(4);
    let mut seeds: Vec<Seed> = attacks
        .map(|(number, (_, bytes))| seed("pdf", &format!("attack_{number}"), bytes))
        .collect();
    seeds.push(seed("pdf", "letter", letter));
    seeds.push(seed("pdf", "signed", signed));
    seeds
}

fn trail() -> Vec<Seed> {
    let record = |event| Record {
        v: 1,
        time: "2026-11-20T03:00:00.000Z".into(),
        facility_seq: [("1310000001".parse().unwrap(), 1)].into(),
        actor: Actor::default(),
        event,
    };
    let added = record(Event::FacilityAdded {
        facility: "1310000001".parse().unwrap(),
        name: "TEST Clinic".into(),
    });
    let body = added.encode().unwrap();
    let (key, _) = LogKey::from_seed("relay.example/fuzz", &[7; 32]).unwrap();
    let note = key.sign(1, &[9; 32]).unwrap();
    let id: SubmissionId = "01935a2b-0000-7000-8000-000000000000".parse().unwrap();
    let receipt = Receipt::new(id, 0, body.clone(), &[3; 32], &[[4; 32]], &note);
    let line = |push: &dyn Fn(&mut Vec<u8>)| {
        let mut line = Vec::new();
        push(&mut line);
        line
    };
    let entry = commitment(&[3; 32], body.as_bytes());
    let head = ExportHead {
        facility: None,
        extract: false,
        checkpoint: note.clone(),
        witnessed: vec![note.clone()],
    };
    let skipped = Skipped {
        from: 2,
        to: 7,
        nodes: vec![[1; 32], [2; 32], [3; 32]],
    };
    // Key ID, time and signature, all zero but the ID.
    let witnessed = format!("{note}— witness.example/w1 63Yswg{}==\n", "A".repeat(96));
    vec![
        seed("trail", "proof", receipt.proof.clone()),
        seed("trail", "tile", "0/x001/x234/067"),
        seed("trail", "tile-partial", "entries/273.p/112"),
        seed("trail", "export-head", line(&|out| head.push(out))),
        seed(
            "trail",
            "export-record",
            line(&|out| Entry::push_record(out, 5, &body, &[3; 32], &entry)),
        ),
        seed(
            "trail",
            "export-erased",
            line(&|out| Entry::push_erased(out, 6, &entry)),
        ),
        seed("trail", "export-skipped", line(&|out| skipped.push(out))),
        seed("trail", "cosigned", witnessed),
        seed("trail", "record", body),
        seed("trail", "checkpoint", note),
        seed("trail", "receipt", serde_json::to_vec(&receipt).unwrap()),
    ]
}

fn evidence(hpki: &TestHpki) -> Vec<Seed> {
    let mut evidence = Evidence::default();
    let list = hpki.crl(Ca::Sign, CrlSpec::at(NOW));
    evidence.add("crl", &list);
    evidence.add("certificate", &hpki.tsa());
    let store = trust_store::TrustStore {
        anchors: trust_store::Anchors {
            hpki: trust_store::AnchorSet(trust_store::TrustAnchor::parse(&hpki.ca(Ca::Root)).unwrap()),
            ..trust_store::Anchors::default()
        },
        policy: Policy::default(),
    };
    let subject = trust_store::Subject::Signature {
        bytes: hpki.signature(&hpki.doctor(), b"content", ContainerOptions::at(NOW)),
        content: None,
    };
    let validated = store.validate(subject, evidence.clone(), NOW);
    vec![
        seed("evidence", "file", evidence.to_json()),
        seed("evidence", "objects", [list, hpki.tsa()].concat()),
        seed("evidence", "pem", hpki.doctor().certificates_pem()),
        seed("evidence", "report", serde_json::to_vec(validated.report()).unwrap()),
        seed("evidence", "policy", Policy::default().to_toml()),
    ]
}
