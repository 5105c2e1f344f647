//! The envelope field by field: what is accepted and which field an error names.

use super::*;
use serde_json::{Value, json};

fn good() -> Value {
    json!({
        "version": 1, "id": "01932b5c-7a00-7abc-8def-0123456789ab", "created": "2026-11-22T10:00:00+09:00",
        "sender": { "facility": "1310000001", "name": "クリニック", "department": "内科", "person": null },
        "recipients": [ { "facility": "x-hospital", "name": "病院", "department": "循環器内科", "person": null } ],
        "patient": { "id": "98765", "name": "山田　太郎", "kana": null, "birth_date": "2000-02-29", "sex": "M" },
        "documents": [
            { "path": "letter/letter.pdf", "kind": "Referral", "category": "letter", "media_type": "application/pdf", "title": "秘密" },
            { "path": "images/", "kind": "ImageStudy", "category": "image-report", "media_type": "application/dicom", "title": "胸部CT" }
        ],
        "in_reply_to": null
    })
}

fn parse(json: &Value) -> Result<Envelope, EnvelopeError> {
    Envelope::parse(&serde_json::to_vec(json).unwrap())
}

#[test]
fn good_envelope() {
    let envelope = parse(&good()).unwrap();
    assert_eq!(envelope.documents[1].category, Category::ImageReport);
    assert_eq!(Envelope::parse(&envelope.to_json().unwrap()).unwrap(), envelope);
    let debug = format!("{envelope:?} {:?}", envelope.patient);
    assert!(debug.contains("Referral") && debug.contains("1310000001"), "{debug}");
    for secret in ["山田", "98765", "秘密", "2000", "letter.pdf"] {
        assert!(!debug.contains(secret), "{debug}");
    }
}

#[test]
fn every_field_rule() {
    let table: &[(&str, Value, &str)] = &[
        ("/version", json!(2), "version"),
        ("/version", json!("1"), "version"),
        ("/version", json!(1.0), "version"),
        ("/id", json!("01932B5C-7A00-7ABC-8DEF-0123456789AB"), "id"),
        ("/id", json!("01932b5c-7a00-4abc-8def-0123456789ab"), "id"),
        ("/created", json!("2026-02-30T10:00:00+09:00"), "created"),
        ("/created", json!("2026-11-22"), "created"),
        ("/created", json!("2026-11-22T10:00:00"), "created"),
        ("/sender/facility", json!("131000000"), "sender.facility"),
        ("/sender/facility", json!("x-UPPER"), "sender.facility"),
        ("/sender/name", json!(null), "sender.name"),
        ("/sender/person", json!(1), "sender.person"),
        ("/recipients", json!([]), "recipients"),
        ("/recipients", json!({}), "recipients"),
        ("/recipients/0/facility", json!(1_310_000_001), "recipients[0].facility"),
        (
            "/recipients/0",
            json!(["x-hospital", "病院", null, null]),
            "recipients[0]",
        ),
        ("/patient", json!(null), "patient"),
        ("/patient/birth_date", json!("1999-02-29"), "patient.birth_date"),
        ("/patient/birth_date", json!("1999-2-09"), "patient.birth_date"),
        ("/patient/birth_date", json!("+999-02-09"), "patient.birth_date"),
        ("/patient/sex", json!("X"), "patient.sex"),
        ("/patient/name", json!("\u{fffe}"), "patient.name"),
        ("/documents", json!([]), "documents"),
        ("/documents/0/kind", json!("Letter"), "documents[0].kind"),
        ("/documents/0/category", json!("Letter"), "documents[0].category"),
        ("/documents/0/media_type", json!("pdf"), "documents[0].media_type"),
        (
            "/documents/0/media_type",
            json!("application/pdf\n"),
            "documents[0].media_type",
        ),
        ("/documents/0/media_type", json!("a/b; c"), "documents[0].media_type"),
        ("/documents/0/path", json!("../x"), "documents[0].path"),
        ("/documents/0/path", json!("/x"), "documents[0].path"),
        ("/documents/0/path", json!("/"), "documents[0].path"),
        ("/documents/0/path", json!("submission.json"), "documents[0].path"),
        ("/documents/0/path", json!("mimetype"), "documents[0].path"),
        ("/documents/0/path", json!("META-INF/"), "documents[0].path"),
        ("/documents/0/path", json!("meta-inf/x"), "documents[0].path"),
        ("/in_reply_to", json!("x"), "in_reply_to"),
    ];
    for (pointer, value, expected) in table {
        let mut json = good();
        *json.pointer_mut(pointer).unwrap() = value.clone();
        match parse(&json) {
            Err(EnvelopeError::Field { field, .. }) => assert_eq!(&field, expected),
            other => panic!("{pointer} {value}: {other:?}"),
        }
    }
    let mut json = good();
    json["documents"][0]["media_type"] = json!("application/fhir+json; fhirVersion=4.0");
    assert!(parse(&json).is_ok());
}

#[test]
fn missing_and_unknown_fields() {
    for parent in ["", "/sender", "/recipients/0", "/patient", "/documents/0"] {
        let keys: Vec<String> = good()
            .pointer(parent)
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        for key in keys {
            let mut json = good();
            json.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(&key);
            assert!(
                matches!(
                    parse(&json),
                    Err(EnvelopeError::Field {
                        problem: "is missing",
                        ..
                    })
                ),
                "{parent}/{key}"
            );
        }
        let mut json = good();
        json.pointer_mut(parent).unwrap()["山田"] = json!(1);
        let error = parse(&json).unwrap_err();
        assert!(
            matches!(
                error,
                EnvelopeError::Field {
                    problem: "has an unknown field",
                    ..
                }
            ),
            "{parent}"
        );
        assert!(!error.to_string().contains("山田"));
    }
}

#[test]
fn json_rules() {
    let text = serde_json::to_string(&good()).unwrap();
    let duplicate = |from: &str, to: &str| Envelope::parse(text.replacen(from, to, 1).as_bytes());
    for (from, to) in [
        ("\"version\":1", "\"version\":1,\"version\":1"),
        ("\"sex\":\"M\"", "\"sex\":\"M\",\"\\u0073ex\":\"M\""),
        ("\"version\":1", "\"version\":1,\"x\":{\"a\":[{\"b\":1,\"b\":1}]}"),
    ] {
        assert!(
            matches!(duplicate(from, to), Err(EnvelopeError::DuplicateField { .. })),
            "{to}"
        );
    }
    assert!(matches!(
        duplicate("山田", "\\ud800"),
        Err(EnvelopeError::NotJson { .. })
    ));
    let not_json = |bytes: &[u8]| matches!(Envelope::parse(bytes), Err(EnvelopeError::NotJson { .. }));
    assert!(not_json(b""));
    assert!(not_json(format!("{text} x").as_bytes()));
    assert!(not_json("[".repeat(100_000).as_bytes()));
    assert!(matches!(Envelope::parse(b"[]"), Err(EnvelopeError::Field { .. })));
    assert_eq!(
        Envelope::parse(format!("\u{feff}{text}").as_bytes()),
        Err(EnvelopeError::NotUtf8)
    );
    assert_eq!(
        Envelope::parse(&[&text.as_bytes()[..10], &[0xff]].concat()),
        Err(EnvelopeError::NotUtf8)
    );
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Envelope::parse(&utf16).is_err());
    let padded = format!("{text}{}", " ".repeat(MAX_ENVELOPE_SIZE - text.len()));
    assert!(Envelope::parse(padded.as_bytes()).is_ok());
    assert_eq!(
        Envelope::parse(format!("{padded} ").as_bytes()),
        Err(EnvelopeError::TooLarge)
    );
}

#[test]
fn recipients_once() {
    let mut json = good();
    let first = json["recipients"][0].clone();
    json["recipients"].as_array_mut().unwrap().push(first);
    json["recipients"][1]["name"] = json!("別名");
    assert!(matches!(
        parse(&json),
        Err(EnvelopeError::Field {
            problem: "is there twice",
            ..
        })
    ));
    json["recipients"][1]["department"] = json!("外科");
    assert!(parse(&json).is_ok());
}

#[test]
fn files_belong_to_documents() {
    let envelope = parse(&good()).unwrap();
    let assign = |paths: &[&str]| envelope.assign(paths);
    assert_eq!(
        assign(&["submission.json", "letter/letter.pdf", "images/1", "images/a/2"]),
        Ok(vec![None, Some(0), Some(1), Some(1)])
    );
    assert_eq!(
        assign(&["letter/letter.pdf"]),
        Err(EnvelopeError::WithoutFile { index: 1 })
    );
    let stray = |path: &str| EnvelopeError::Unassigned {
        path: path.into(),
        documents: 0,
    };
    assert_eq!(assign(&["letter/letter.pdf", "images/1", "other"]), Err(stray("other")));
    assert_eq!(
        assign(&["letter/letter.pdf/x", "images/1"]),
        Err(stray("letter/letter.pdf/x"))
    );
    assert_eq!(assign(&["images"]), Err(stray("images")));
    let twice = |path: &str, also: &str| {
        let mut json = good();
        json["documents"][0]["path"] = json!(also);
        parse(&json).unwrap().assign(&[path])
            == Err(EnvelopeError::Unassigned {
                path: path.into(),
                documents: 2,
            })
    };
    assert!(twice("images/1", "images/1"));
    assert!(twice("images/a/1", "images/a/"));
    assert!(twice("images/1", "images/"));
}
