//! Laborious JSON, XML, PDF and notes: deep, wide, repeated.

use std::hint::black_box;

use formats::asice::manifest;
use formats::content::Sniffer;
use formats::envelope::Envelope;
use formats::letter;
use formats::trail::{Checkpoint, LogKey, Record};
use formats::wire::Receipt;
use trust_store::{AnchorSet, Anchors, Evidence, Policy, TrustStore, ValidationReport};

use super::{Case, SIZE};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make, read| Case { name, make, read };
    vec![
        case("FHIR nested without end", || b"{\"a\":".repeat(SIZE / 5), letter),
        case("FHIR of a million empty lists", || fhir(b"[],"), letter),
        case("FHIR of a million numbers", || fhir(b"0,"), letter),
        case(
            "FHIR of a million patients",
            || fhir(b"{\"resource\":{\"resourceType\":\"Patient\",\"name\":[{\"text\":\"a\"}]}},"),
            letter,
        ),
        case("CDA nested without end", || cda("", &"<a>".repeat(SIZE / 3)), letter),
        case(
            "CDA with a million attributes",
            || cda(&numbered(" a", "=''"), ""),
            letter,
        ),
        case(
            "CDA with a million namespaces",
            || cda(&numbered(" xmlns:a", "='b'"), ""),
            letter,
        ),
        case(
            "CDA with a million institutions",
            || {
                cda(
                    "",
                    &format!("<representedOrganization>{}", "<name>a</name>".repeat(SIZE / 14)),
                )
            },
            letter,
        ),
        case(
            "CDA with a million entities",
            || cda("", &"&lt;".repeat(SIZE / 4)),
            letter,
        ),
        case(
            "CDA with one long text",
            || cda("", &format!("<title>{}</title>", "a".repeat(SIZE - 400))),
            letter,
        ),
        case(
            "CDA with a long comment",
            || cda("", &format!("<!--{}", "-".repeat(SIZE - 400))),
            letter,
        ),
        case(
            "PDF of nothing but beginnings",
            || [b"%PDF-1.7\n".to_vec(), b"/ByteRang".repeat(SIZE / 9)].concat(),
            letter,
        ),
        case(
            "PDF of nothing but objects",
            || {
                [
                    b"%PDF-1.7\n".to_vec(),
                    b"1 0 obj<</ByteRange[0 1 2 3]/Type/Sig>>endobj\n".repeat(SIZE / 47),
                ]
                .concat()
            },
            letter,
        ),
        case(
            "PDF nested without end",
            || [b"%PDF-1.7\n1 0 obj".to_vec(), b"[<<".repeat(SIZE / 3)].concat(),
            letter,
        ),
        case("PDF whose tables point at each other", circular, letter),
        case(
            "a manifest of a million attributes",
            || manifest_with(&numbered(" a", "=''"), ""),
            manifest,
        ),
        case(
            "a manifest of a million namespaces",
            || manifest_with(&numbered(" xmlns:a", "='b'"), ""),
            manifest,
        ),
        case(
            "a manifest nested without end",
            || manifest_with("", &"<a>".repeat(SIZE / 3)),
            manifest,
        ),
        case(
            "a manifest of references",
            || manifest_with("", &references()),
            manifest,
        ),
        case(
            "a manifest of comments",
            || manifest_with("", &"<!---->".repeat(SIZE / 7)),
            manifest,
        ),
        case(
            "a manifest of one long text",
            || manifest_with("", &"a".repeat(SIZE - 400)),
            manifest,
        ),
        case(
            "an envelope nested without end",
            || b"{\"a\":".repeat(SIZE / 5),
            envelope,
        ),
        case(
            "an envelope of one field",
            || b"{\"version\":1,".repeat(SIZE / 13),
            envelope,
        ),
        case("a mebibyte of documents", documents, envelope),
        case(
            "evidence of a million empty texts",
            || evidence_file(b"\"\","),
            evidence,
        ),
        case("evidence nested without end", || b"[".repeat(SIZE), evidence),
        case(
            "PEM of nothing but beginnings",
            || b"-----BEGIN A-----\n".repeat(SIZE / 18),
            evidence,
        ),
        case(
            "PEM with a label of megabytes",
            || {
                [
                    b"-----BEGIN ".to_vec(),
                    vec![b'A'; SIZE / 2],
                    b"-----".to_vec(),
                    vec![b'A'; SIZE / 2 - 100],
                ]
                .concat()
            },
            evidence,
        ),
        case("a record nested without end", || b"{\"a\":".repeat(SIZE / 5), record),
        case("a checkpoint of a million signatures", note, record),
        case("a receipt with a proof without end", receipt, record),
    ]
}

/// A store that trusts nobody.
pub(crate) fn store() -> TrustStore {
    TrustStore {
        anchors: Anchors {
            hpki: AnchorSet::default(),
            tsa: AnchorSet::default(),
            ..Anchors::default()
        },
        policy: Policy::default(),
    }
}

fn letter(bytes: &[u8]) {
    let _ = black_box(letter::describe(bytes));
    let mut sniffer = Sniffer::new("letter/letter.xml");
    for piece in bytes.chunks(65_536) {
        let _ = black_box(sniffer.push(piece));
    }
    let _ = black_box(sniffer.finish());
}

fn manifest(bytes: &[u8]) {
    let _ = black_box(manifest::parse("META-INF/ASiCManifest001.xml", bytes));
    let mut reader = manifest::ManifestReader::archive("META-INF/ASiCArchiveManifest.xml");
    for piece in bytes.chunks(1000) {
        if reader.push(piece).is_err() {
            return;
        }
    }
    let _ = black_box(reader.finish_archive());
}

fn envelope(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(bytes) {
        let paths: Vec<&str> = envelope
            .documents
            .iter()
            .map(|document| document.path.as_str())
            .collect();
        let _ = black_box(envelope.assign(&paths));
        let _ = black_box(envelope.to_json());
    }
}

fn evidence(bytes: &[u8]) {
    let mut evidence = Evidence::default();
    evidence.add("evidence", bytes);
    drop(evidence);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = black_box(Evidence::from_json(text));
        let _ = black_box(serde_json::from_str::<ValidationReport>(text));
    }
}

fn record(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (key, _) = LogKey::from_seed("relay.example/hostile", &[7; 32]).unwrap();
    let _ = black_box(Record::parse(text));
    let _ = black_box(Checkpoint::verify(text, key.vkey()));
    if let Ok(receipt) = serde_json::from_str::<Receipt>(text) {
        let _ = black_box(receipt.verify(key.vkey()));
    }
}

fn numbered(before: &str, after: &str) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() + 64 > SIZE - 1000 {
            break;
        }
        text.push_str(before);
        text.push_str(&format!("{number:x}"));
        text.push_str(after);
    }
    text
}

fn fhir(entry: &[u8]) -> Vec<u8> {
    let begin = br#"{"resourceType":"Bundle","type":"document","entry":[{"resource":{"resourceType":"Composition"}},"#;
    let many = entry.repeat((SIZE - 200) / entry.len());
    [&begin[..], &many, b"{}]}"].concat()
}

fn cda(attributes: &str, inside: &str) -> Vec<u8> {
    let mut text = format!("<ClinicalDocument xmlns='urn:hl7-org:v3'{attributes}>{inside}");
    if !inside.contains("<a>") && !inside.contains("<!--") {
        if inside.starts_with("<representedOrganization>") {
            text.push_str("</representedOrganization>");
        }
        text.push_str("</ClinicalDocument>");
    }
    text.into_bytes()
}

fn manifest_with(attributes: &str, inside: &str) -> Vec<u8> {
    format!(
        "<asic:ASiCManifest xmlns:asic='http://uri.etsi.org/02918/v1.2.1#' xmlns:ds='http://www.w3.org/2000/09/xmldsig#'{attributes}>\
         <asic:SigReference URI='META-INF/signature001.p7s'/>{inside}</asic:ASiCManifest>"
    )
    .into_bytes()
}

/// Many references, none of which is wrong.
fn references() -> String {
    let mut text = String::new();
    for number in 0..SIZE / 220 {
        text.push_str(&format!(
            "<asic:DataObjectReference URI='{number}'><ds:DigestMethod Algorithm='http://www.w3.org/2001/04/xmlenc#sha256'/>\
             <ds:DigestValue>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</ds:DigestValue></asic:DataObjectReference>"
        ));
        if text.len() > SIZE - 1000 {
            break;
        }
    }
    text
}

/// As many documents as an envelope can have, all of one path.
fn documents() -> Vec<u8> {
    let (mut envelope, _) = kit::referral();
    let document = envelope.documents[0].clone();
    envelope.documents = vec![document; 1_000_000 / 180];
    envelope.to_json().unwrap_or_else(|_| b"{}".to_vec())
}

fn evidence_file(entry: &[u8]) -> Vec<u8> {
    let many = entry.repeat((SIZE - 200) / entry.len());
    [
        &br#"{"version":1,"certificates":["#[..],
        &many,
        br#"""],"crls":[],"ocsp":[],"tokens":[],"unreadable":[]}"#,
    ]
    .concat()
}

fn note() -> Vec<u8> {
    let (key, _) = LogKey::from_seed("relay.example/hostile", &[7; 32]).unwrap();
    let note = key.sign(1, &[9; 32]).unwrap();
    let (text, line) = note.split_at(note.find("\n\n").unwrap() + 2);
    format!("{text}{}", line.repeat(SIZE / line.len())).into_bytes()
}

fn receipt() -> Vec<u8> {
    let (key, _) = LogKey::from_seed("relay.example/hostile", &[7; 32]).unwrap();
    let note = key.sign(1, &[9; 32]).unwrap();
    let id = "01935a2b-0000-7000-8000-000000000000".parse().unwrap();
    let proof = vec![[7; 32]; SIZE / 48];
    serde_json::to_vec(&Receipt::new(id, 0, "{}".into(), &[3; 32], &proof, &note)).unwrap()
}

/// A PDF whose cross-reference tables name each other as the one before.
fn circular() -> Vec<u8> {
    let mut text = String::from("%PDF-1.7\n");
    while text.len() < SIZE - 200 {
        let here = text.len();
        text.push_str(&format!(
            "xref\n0 1\n0000000000 65535 f \ntrailer<</Size 1/Prev {}/Root 1 0 R>>\n",
            here.saturating_sub(70)
        ));
    }
    text.push_str("startxref\n9\n%%EOF\n");
    text.into_bytes()
}
