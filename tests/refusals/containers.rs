//! Containers that are not what the profile says, and contents that must not travel.

use super::*;

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
            "container_profile",
            sealed(&stage, &all, &without("images/IM0002")),
        ),
        (
            "a file only in the manifest",
            "container_profile",
            sealed(&stage, &without("images/IM0002"), &all),
        ),
        (
            "another letter than was signed",
            "validation_failed",
            sealed(&stage, &with("letter/letter.pdf", b"%PDF-1.4 another"), &all),
        ),
        (
            "another envelope than was signed",
            "container_profile",
            sealed(&stage, &with("submission.json", envelope.as_bytes()), &all),
        ),
    ];
    for (what, code, container) in &rows {
        let reply = refused(&stage, &pair, what, container, code);
        let named = if *code == "validation_failed" {
            "HASH_FAILURE".into()
        } else {
            serde_json::Value::Null
        };
        assert_eq!(
            reply.json()["report"]["sub_indication"],
            named,
            "{what}: {}",
            reply.json()
        );
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
