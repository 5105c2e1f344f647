//! Containers good and hostile, through every way of reading. The ZIP maker here can make what no honest tool would.

use std::borrow::Cow;
use std::io::Cursor;

use super::*;
use crate::digest::sha256;

mod arbitrary;
mod archived;
mod derived;
mod hostile;
mod large;
mod maker;
mod ordinary;

const LETTER: &[u8] = b"%PDF-1.7 letter";
const IMAGE: &[u8] = &[7; 3000];

pub(super) fn envelope() -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "version": 1, "id": "01932b5c-7a00-7abc-8def-0123456789ab", "created": "2026-11-22T10:00:00+09:00",
        "sender": { "facility": "1310000001", "name": "A", "department": null, "person": null },
        "recipients": [ { "facility": "x-hospital", "name": "B", "department": null, "person": null } ],
        "patient": { "id": "1", "name": "山田　太郎", "kana": null, "birth_date": "1970-01-01", "sex": "M" },
        "documents": [
            { "path": "letter/letter.pdf", "kind": "Referral", "category": "letter", "media_type": "application/pdf", "title": "t" },
            { "path": "images/", "kind": "ImageStudy", "category": "image", "media_type": "application/dicom", "title": "t" }
        ],
        "in_reply_to": null
    }))
    .unwrap()
}

fn content() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("submission.json", envelope()),
        ("letter/letter.pdf", LETTER.to_vec()),
        ("images/画像 1.dcm", IMAGE.to_vec()),
        ("images/empty", Vec::new()),
    ]
}

fn plans(content: &[(&str, Vec<u8>)]) -> Vec<FilePlan> {
    content
        .iter()
        .map(|(path, bytes)| FilePlan::measure(path, &mut &bytes[..]).unwrap())
        .collect()
}

/// What the writer makes, with as many signatures as asked for.
fn written(signatures: u16) -> Vec<u8> {
    let content = content();
    let plans = plans(&content);
    let manifests: Vec<_> = (1..=signatures)
        .map(|number| manifest::encode(number, &plans))
        .collect();
    let signed: Vec<_> = manifests
        .iter()
        .map(|manifest| SignedManifest {
            manifest,
            signature: b"signature",
        })
        .collect();
    let mut out = Vec::new();
    write(&mut out, &signed, &plans, |path| {
        Ok(Cursor::new(
            content.iter().find(|(name, _)| *name == path).unwrap().1.clone(),
        ))
    })
    .unwrap();
    out
}

fn read(bytes: &[u8]) -> Container {
    Container::read(&mut Cursor::new(bytes)).unwrap()
}

/// Readers have their codes from this software.
fn code(finding: &Finding) -> &'static str {
    match finding.code {
        Cow::Borrowed(code) => code,
        Cow::Owned(_) => panic!("a code made up while reading"),
    }
}

fn fatal_codes(container: &Container) -> Vec<&'static str> {
    container
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Fatal)
        .map(code)
        .collect()
}

fn codes(container: &Container) -> Vec<&'static str> {
    container.findings.iter().map(code).collect()
}

#[test]
fn written_then_read() {
    for signatures in [1, 3] {
        let bytes = written(signatures);
        let container = read(&bytes);
        assert_eq!(container.findings, []);
        assert_eq!((container.sha256, container.size), (sha256(&bytes), bytes.len() as u64));
        assert_eq!(
            (container.manifests.len(), container.signatures.len()),
            (signatures.into(), signatures.into())
        );
        assert_eq!(container.envelope.as_ref().unwrap().documents.len(), 2);
        let unpacker = Unpacker::open(&mut Cursor::new(&bytes)).unwrap();
        for ((path, content), file) in content().iter().zip(&container.files) {
            assert_eq!((*path, content.len() as u64), (file.path.as_str(), file.size));
            assert_eq!(file.digests.get(DigestAlgorithm::Sha256), Some(&sha256(content)[..]));
            let at = usize::try_from(file.offset.unwrap()).unwrap();
            assert_eq!(&bytes[at..at + content.len()], content);
            let mut out = Vec::new();
            unpacker.extract(&mut Cursor::new(&bytes), path, &mut out).unwrap();
            assert_eq!(&out, content);
        }
    }
}

fn take_in(bytes: &[u8], piece: usize) -> Result<(Container, String), IntakeError> {
    let mut intake = Intake::new(Limits::default());
    let mut log = String::new();
    for piece in bytes.chunks(piece) {
        intake.push(piece, &mut |event| {
            match event {
                IntakeEvent::FileBytes(bytes) => log.extend(bytes.iter().map(|b| format!("{b:02x}"))),
                IntakeEvent::FileEnd(file) => log.push_str(&format!("end {}\n", file.path)),
                IntakeEvent::FileStart {
                    path,
                    size,
                    offset,
                    document,
                } => {
                    log.push_str(&format!("start {path} {size} {offset} {document}\n"));
                }
                IntakeEvent::Manifest(manifest) => log.push_str(&format!("{}\n", manifest.name)),
                IntakeEvent::Signature(bytes) => log.push_str(&format!("{}\n", bytes.len())),
                IntakeEvent::Envelope(envelope, bytes) => log.push_str(&format!("{envelope:?} {}\n", bytes.len())),
            }
            Ok::<(), IntakeError>(())
        })?;
    }
    Ok((intake.finish()?, log))
}

/// What both ways of reading must agree on.
fn substance(container: &Container) -> impl PartialEq + std::fmt::Debug + use<> {
    let signatures: Vec<_> = container
        .signatures
        .iter()
        .map(|s| (s.name.clone(), s.bytes.clone()))
        .collect();
    let Container {
        sha256,
        size,
        manifests,
        envelope,
        files,
        findings,
        ..
    } = container.clone();
    ((sha256, size, manifests, signatures), (envelope, files, findings))
}

#[test]
fn intake_agrees_with_reader_in_pieces_of_any_size() {
    for signatures in [1, 2] {
        let bytes = written(signatures);
        let (whole, log) = take_in(&bytes, usize::MAX).unwrap();
        assert_eq!(substance(&whole), substance(&read(&bytes)));
        assert!(log.contains("start images/画像 1.dcm 3000"), "{log}");
        for piece in [1, 7, 4096] {
            let (container, pieces) = take_in(&bytes, piece).unwrap();
            assert_eq!((substance(&container), pieces), (substance(&whole), log.clone()));
        }
    }
}
