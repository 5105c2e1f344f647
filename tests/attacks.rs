//! Attacks on the whole house, by the real programs. Each once succeeded, or shows where one ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::Cursor;
use std::sync::Arc;

use formats::asice::{Container, FilePlan, SignedManifest, write};
use http::{Method, Request};
use kit::{Ca, ContainerOptions, CrlReason, CrlSpec, Https, Pair, RelayOptions, Stage};
use time::{Duration, OffsetDateTime};

#[path = "attacks/flood.rs"]
mod flood;

fn stage() -> Arc<Stage> {
    Stage::shared(|_| {})
}

/// The content of a DER element, and what follows it.
fn open(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let octets = usize::from(long & 0x7f);
            let length = der[2..2 + octets]
                .iter()
                .fold(0, |all, octet| all << 8 | usize::from(*octet));
            (2 + octets, length)
        }
    };
    (&der[start..start + length], &der[start + length..])
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84], &length[..], content].concat()
}

/// A signature with CRLs put inside, where the signature does not cover them: RFC 5652 §5.1 `crls [1]`.
fn with_crls(signature: &[u8], crls: &[Vec<u8>]) -> Vec<u8> {
    let (info, _) = open(signature);
    let (_, explicit) = open(info);
    let oid = &info[..info.len() - explicit.len()];
    let (signed_data, _) = open(open(explicit).0);
    let mut rest = signed_data;
    // version, digestAlgorithms, encapContentInfo, certificates
    for _ in 0..4 {
        rest = open(rest).1;
    }
    let before = &signed_data[..signed_data.len() - rest.len()];
    let inside = [before, &element(0xa1, &crls.concat()), rest].concat();
    let explicit = element(0xa0, &element(0x30, &inside));
    element(0x30, &[oid, &explicit].concat())
}

/// A container as the kit makes it, its signature changed by `change`.
fn resigned(stage: &Stage, pair: &Pair, card: &kit::Card, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (envelope, files) = pair.referral(|_, _| {});
    let mut all = vec![("submission.json".to_owned(), envelope.to_json().unwrap())];
    all.extend(files);
    let plans: Vec<_> = all
        .iter()
        .map(|(path, bytes)| FilePlan::measure(path, &mut bytes.as_slice()).unwrap())
        .collect();
    let manifest = formats::asice::manifest_for(&plans);
    let options = ContainerOptions::at(OffsetDateTime::now_utc());
    let signature = change(&stage.services.hpki().signature(card, &manifest, options));
    let signed = SignedManifest {
        manifest: &manifest,
        signature: &signature,
    };
    let mut container = Vec::new();
    let content = |path: &str| {
        all.iter()
            .find(|(known, _)| known == path)
            .map(|(_, bytes)| bytes.as_slice())
    };
    write(&mut container, &[signed], &plans, |path| {
        content(path).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    })
    .unwrap();
    container
}

#[test]
fn an_old_crl_inside_the_signature_does_not_hide_what_the_authority_has_published() {
    let stage = Stage::new(&RelayOptions::default());
    let (pair, card, now) = (stage.pair(), stage.services.hpki().doctor(), OffsetDateTime::now_utc());
    let hpki = stage.services.hpki();
    stage
        .services
        .revoke(&card, now - Duration::hours(1), CrlReason::KeyCompromise);
    // The thief brings lists from before the theft, which say themselves that they are current.
    let old = CrlSpec::at(now - Duration::hours(3));
    let crls = [hpki.crl(Ca::Sign, old.clone()), hpki.sarl(old)];
    let container = resigned(&stage, &pair, &card, |signature| with_crls(signature, &crls));
    let parsed = Container::read(&mut Cursor::new(&container)).unwrap();
    let signature = &parsed.signatures[0].bytes;
    let profile = formats::cades::Profile::Document;
    assert_eq!(
        formats::cades::SignedData::parse(signature, profile).unwrap().crls,
        crls
    );

    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!((reply.status, reply.code().as_str()), (422, "validation_failed"));
    assert_eq!(reply.json()["report"]["sub_indication"], "REVOKED");
}

#[test]
fn a_second_end_record_in_the_comment_does_not_redirect_files() {
    let stage = stage();
    let pair = stage.pair();
    let decoy = b"not what the doctor signed as the letter";
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |envelope, files| {
        // A directory of the attacker's own lies inside a file that is signed as something harmless.
        files.push(("attachments/note.txt".into(), decoy.to_vec()));
        let mut document = envelope.documents[0].clone();
        document.path = "attachments/".into();
        document.media_type = "text/plain".into();
        envelope.documents.push(document);
    });
    let end = container.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").unwrap();
    let mut bytes = container.clone();
    let mut second = container[end..].to_vec();
    second[12..16].copy_from_slice(&0_u32.to_le_bytes());
    second[20..22].copy_from_slice(&7_u16.to_le_bytes());
    bytes[end + 20..end + 22].copy_from_slice(&u16::try_from(second.len()).unwrap().to_le_bytes());
    bytes.extend(second);
    let reply = pair.clinic.submit(&stage.relay, &bytes);
    if reply.status == 201 {
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/submissions/{id}/files/letter/letter.pdf");
        let letter = pair.hospital.get_as(&stage.relay, &path, "staff", &[]);
        assert_eq!((letter.status, letter.body), (200, kit::letter_pdf()));
    } else {
        assert_eq!((reply.status, reply.code().as_str()), (422, "container_profile"));
    }
}

#[test]
fn invented_methods_do_not_grow_the_figures() {
    let stage = stage();
    let ca = std::fs::read(stage.relay.folder().join("keys/ca.pem")).unwrap();
    let port = stage.relay.portal_url().rsplit_once(':').unwrap().1.parse().unwrap();
    let mut portal = Https::new(port, &ca, None).unwrap().open().unwrap();
    for number in 0..20 {
        let method = Method::from_bytes(format!("INVENTED{number}").as_bytes()).unwrap();
        let reply = portal
            .send(Request::builder().method(method).uri("/healthz"), &[])
            .unwrap();
        assert_eq!(reply.status, 405);
    }
    let figures = String::from_utf8(stage.relay.portal("/metrics").body).unwrap();
    assert!(figures.contains("hikyaku_requests_total"));
    assert!(
        !figures.contains("INVENTED"),
        "who has no certificate makes the relay's memory grow"
    );
}

#[test]
fn names_do_not_command_the_terminal_of_who_reads_them() {
    let stage = stage();
    let pair = stage.pair();
    let evil = "TEST\u{1b}]0;pwned\u{7}\u{1b}[2J\n0000  Accepted  \u{202e}clinic";
    let container = {
        let (mut envelope, files) = pair.referral(|_, _| {});
        evil.clone_into(&mut envelope.sender.name);
        envelope.to_json().map(|_| (envelope, files))
    };
    let Ok((envelope, files)) = container else {
        return; // The envelope itself refuses such a name: nobody gets to see it.
    };
    let options = ContainerOptions::at(OffsetDateTime::now_utc());
    let hpki = stage.services.hpki();
    let reply = pair.clinic.submit(
        &stage.relay,
        &hpki.container(&hpki.doctor(), &envelope, &files, options),
    );
    assert_eq!(reply.status, 201);
    let shown = pair.hospital.run(["inbox"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    assert_eq!(text.lines().count(), 1, "{text:?}");
}

#[test]
fn what_the_relay_keeps_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = stage();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(mode(&stage.relay.data()), 0, "others may look into the data folder");
    assert_eq!(mode(&stage.relay.data().join("admin.sock")), 0);
    for key in ["ca.key", "tls.key", "log.key"] {
        let path = stage.relay.folder().join("keys").join(key);
        assert_eq!(mode(&path), 0, "{key}");
    }
}

#[test]
fn lists_made_to_be_laborious_cost_little_and_with_too_many_signers_prove_nothing() {
    let (now, profile) = (OffsetDateTime::now_utc(), formats::cades::Profile::Document);
    let hpki = kit::TestHpki::new("http://127.0.0.1:1", now);
    let card = hpki.doctor();
    // The same bytes with another end of their signature: they parse, and are signed by nobody.
    let forged = |der: &[u8], number: u16| {
        let mut bytes = der.to_vec();
        let end = bytes.len() - 2;
        bytes[end..].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let current = CrlSpec::at(now - Duration::hours(1));
    let list = hpki.crl(Ca::Sign, current.clone());
    let evidence = |authorities: u16| trust_store::Evidence {
        certificates: (0..authorities)
            .map(|number| forged(&hpki.ca(Ca::Sign), number))
            .collect(),
        crls: vec![
            list.clone(),
            hpki.sarl(current.clone()),
            hpki.crl(Ca::TsaRoot, current.clone()),
        ],
        ..trust_store::Evidence::default()
    };
    let anchors = |ca| trust_store::AnchorSet(trust_store::TrustAnchor::parse(&hpki.ca(ca)).unwrap());
    let store = trust_store::TrustStore {
        anchors: trust_store::Anchors {
            hpki: anchors(Ca::Root),
            tsa: anchors(Ca::TsaRoot),
            ..trust_store::Anchors::default()
        },
        policy: trust_store::Policy::default(),
    };
    let signature = hpki.signature(&card, b"content", ContainerOptions::at(now));
    let judged = |lists: u16, authorities: u16| {
        let lists: Vec<_> = (0..lists).map(|number| forged(&list, number)).collect();
        let bytes = with_crls(&signature, &lists);
        assert_eq!(formats::cades::SignedData::parse(&bytes, profile).unwrap().crls, lists);
        let content = Some(formats::digest::Digests::of(b"content").into());
        let subject = trust_store::Subject::Signature { bytes, content };
        let validated = store.validate(subject, evidence(authorities), now);
        let report = validated.report();
        (report.indication, report.sub_indication)
    };
    // What leads nowhere is tried as the signer of no list.
    for lists in [10, 1000] {
        assert_eq!(judged(lists, 15), (trust_store::Indication::TotalPassed, None));
    }
    let given_up = Some(trust_store::SubIndication::TryLater);
    assert_eq!(judged(10, 20), (trust_store::Indication::Indeterminate, given_up));
}

#[test]
fn of_two_at_once_one_wins() {
    let stage = stage();
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let sender = pair.clinic.https(&stage.relay);
    let places: Vec<String> = (0..3)
        .map(|_| {
            let begun = pair.clinic.begin_upload(&stage.relay, container.len() as u64, None);
            let place = begun.header("location").to_owned();
            assert_eq!(
                sender.send(kit::desk::append(&place, 0), &container).unwrap().status,
                204
            );
            place
        })
        .collect();
    let mut answers: Vec<u16> = std::thread::scope(|scope| {
        let (pair, stage) = (&pair, &stage);
        let under_way: Vec<_> = places
            .iter()
            .chain(&places)
            .map(|place| scope.spawn(move || pair.clinic.submit_upload(&stage.relay, place).status))
            .collect();
        under_way.into_iter().map(|one| one.join().unwrap()).collect()
    });
    answers.sort_unstable();
    assert_eq!(answers, [200, 200, 200, 200, 200, 201], "one submission, one receipt");

    let joined = stage.relay.add_facility(&kit::stage::code(), "TEST Clinic");
    let portal = stage.relay.portal_url();
    let enrol = |device: &str| {
        let arguments = ["enroll", "--relay", &portal, "--code", &joined.code, "--device", device];
        kit::Desk::new().run(arguments).status.success()
    };
    let enrolled = std::thread::scope(|scope| {
        let enrol = &enrol;
        let under_way = ["a", "b", "c"].map(|device| scope.spawn(move || enrol(device)));
        under_way
            .into_iter()
            .map(|one| one.join().unwrap())
            .filter(|done| *done)
            .count()
    });
    assert_eq!(enrolled, 1, "a code makes one device");
}

#[test]
fn a_look_in_ranges_is_accounted_for_like_any_other() {
    let stage = stage();
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let id = pair.clinic.submit(&stage.relay, &container).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/submissions/{id}/files/letter/letter.pdf");
    let all = pair
        .hospital
        .get_as(&stage.relay, &path, "staff", &[("range", "bytes=0-")]);
    assert_eq!((all.status, all.body), (206, kit::letter_pdf()));
    let unnamed = pair.hospital.get(&stage.relay, "/v1/trail?format=csv");
    assert_eq!((unnamed.status, unnamed.code()), (428, "person_required".into()));
    let account = pair.hospital.get_as(&stage.relay, "/v1/trail?format=csv", "staff", &[]);
    let account = String::from_utf8(account.body).unwrap();
    let look = account.lines().find(|line| line.contains(",Viewed,")).unwrap();
    assert!(look.contains(",letter,"), "{look}");
}
