//! An account read back: rows of sender, receiver and operator; times; cells that would be formulas.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::envelope::Category;
use formats::trail::{Access, Checkpoint, ExportLine, Finding, FindingKind, LogKey, TrailVerdict, Verification};
use formats::wire::Purpose;
use futures_util::TryStreamExt as _;

use super::*;
use crate::store::MemoryStore;
use crate::store::conformance::{acceptance, batch, submission};

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_795_500_000 + seconds).unwrap()
}

async fn store() -> Arc<dyn Store> {
    let store = MemoryStore::new(LogKey::from_seed("relay.example", &[5; 32]).unwrap().0).unwrap();
    let mut sent = submission(1, "x-a", &["x-b"]);
    sent.patient = "=1+1".into();
    store.commit(acceptance(&sent)).committed().await.unwrap();
    let access = Access {
        submission: sent.submission,
        sender: "x-a".parse().unwrap(),
        recipient: "x-b".parse().unwrap(),
        patient: "=1+1".into(),
        purpose: Purpose::View,
        scope: vec!["letter/letter.pdf".into()],
        categories: vec![Category::Letter],
    };
    let mut viewed = batch(vec![Event::Viewed(access)], vec![]);
    viewed.time = at(60);
    viewed.actor.person_id = Some("m1".parse().unwrap());
    viewed.actor.person_name = Some("看護, \"一郎\"".into());
    store.commit(viewed).committed().await.unwrap();
    for number in 100..300 {
        let mut other = acceptance(&submission(number, "x-c", &["x-d"]));
        other.time = at(120);
        store.commit(other).committed().await.unwrap();
    }
    Arc::new(store)
}

async fn read(store: &Arc<dyn Store>, of: Option<&str>, times: (Option<i64>, Option<i64>), format: Format) -> String {
    let query = Query {
        facility: of.map(|code| code.parse().unwrap()),
        from: times.0.map(at),
        to: times.1.map(at),
        ..Query::default()
    };
    String::from_utf8(ask(store, query, format).await).unwrap()
}

async fn ask(store: &Arc<dyn Store>, query: Query, format: Format) -> Vec<u8> {
    ask_in(store, query, format, Encoding::Utf8).await
}

async fn ask_in(store: &Arc<dyn Store>, query: Query, format: Format, encoding: Encoding) -> Vec<u8> {
    let request = Request {
        query,
        format,
        encoding,
        actor: Actor::default(),
        now: at(1000),
    };
    let parts: Vec<Bytes> = export(Arc::clone(store), request)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    parts.concat()
}

#[tokio::test]
async fn sender_and_receiver_find_what_was_provided_and_who_looked() {
    let store = store().await;
    let text = read(&store, Some("x-a"), (None, None), Format::Csv).await;
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert!(lines[0].starts_with("\u{feff}position,time_utc,time_jst,kind,facility,facility_seq,person_id"));
    let id = "0193569a-7c00-7000-8000-000000000001";
    let digest = format!("{:064x}", 1);
    assert_eq!(
        lines[1],
        format!(
            "0,2026-11-24T06:00:00.000Z,2026-11-24T15:00:00.000+09:00,Accepted,x-a,1,,,,x-b,{id},'=1+1,letter/letter.pdf,letter,{digest},accepted,"
        )
    );
    assert!(
        lines[2].contains(",Viewed,x-a,2,m1,\"看護, \"\"一郎\"\"\",,x-b,"),
        "{}",
        lines[2]
    );
    assert!(
        lines[2].ends_with(",'=1+1,letter/letter.pdf,letter,,viewed,"),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].contains(",TrailRead,x-a,3,"),
        "the reading itself: {}",
        lines[3]
    );
    assert_eq!(lines.len(), 4);

    let text = read(&store, Some("x-b"), (Some(60), Some(61)), Format::Csv).await;
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[1].contains(",Viewed,x-b,2,m1,") && lines[1].contains(",x-a,"),
        "{}",
        lines[1]
    );
}

#[tokio::test]
async fn lines_are_the_records_as_committed() {
    let store = store().await;
    let text = read(&store, None, (None, None), Format::Jsonl).await;
    let stored = store.records(None, 0, 1000).await.unwrap();
    assert_eq!(text.lines().count(), stored.len() + 1);
    for (line, stored) in text.lines().skip(1).zip(stored) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["position"], stored.position);
        assert_eq!(line["body"], stored.content.as_ref().unwrap().body);
        assert_eq!(line["salt"], STANDARD.encode(stored.content.as_ref().unwrap().salt));
    }
    let part = read(&store, None, (Some(61), Some(121)), Format::Jsonl).await;
    assert_eq!(part.matches("\"body\":").count(), 200);
    let none = read(&store, None, (Some(5000), None), Format::Jsonl).await;
    assert_eq!(none.matches("\"body\":").count(), 0);
}

/// Verifies an export by itself and against `earlier`.
fn verify(export: &str, earlier: Vec<(String, Checkpoint)>) -> Result<TrailVerdict, Finding> {
    let vkey = LogKey::from_seed("relay.example", &[5; 32])
        .unwrap()
        .0
        .vkey()
        .to_owned();
    let mut lines = export.lines();
    let Ok(ExportLine::Head(head)) = ExportLine::read(lines.next().unwrap().as_bytes(), None) else {
        panic!("no first line")
    };
    let mut verification = Verification::new(&head, &vkey, &[], earlier)?;
    for line in lines {
        match ExportLine::read(line.as_bytes(), verification.facility()).unwrap() {
            ExportLine::Head(head) => verification.again(&head, &vkey, &[])?,
            ExportLine::Entry(entry) => verification.entry(&entry)?,
            ExportLine::Skipped(skipped) => verification.skipped(&skipped)?,
        }
    }
    verification.finish()
}

#[tokio::test]
async fn every_export_of_json_lines_proves_itself() {
    let store = store().await;
    let vkey = LogKey::from_seed("relay.example", &[5; 32])
        .unwrap()
        .0
        .vkey()
        .to_owned();
    let old = Checkpoint::verify(&store.checkpoint().await.unwrap(), &vkey).unwrap();
    let held = || vec![("old".to_owned(), old.clone())];
    let all = read(&store, None, (None, None), Format::Jsonl).await;
    let verdict = verify(&all, held()).unwrap();
    assert_eq!(
        (verdict.records, verdict.extract, verdict.conclusive()),
        (203, false, true)
    );
    for (facility, records) in [("x-a", 3), ("x-b", 3), ("x-c", 201), ("x-d", 201), ("x-none", 1)] {
        let query = Query {
            facility: Some(facility.parse().unwrap()),
            held: vec![old.size],
            ..Query::default()
        };
        let text = String::from_utf8(ask(&store, query, Format::Jsonl).await).unwrap();
        let verdict = verify(&text, held()).unwrap();
        assert_eq!(
            (verdict.records, verdict.sequence),
            (records, Some((1, records))),
            "{facility}"
        );
        assert!(verdict.conclusive() && !verdict.extract);
        // A record that is not shown leaves a gap in the numbers, though the root comes out right.
        let bodies: Vec<&str> = text.lines().filter(|line| line.contains("\"body\":")).collect();
        let without = text.replacen(&format!("{}\n", bodies[0]), "", 1);
        let kind = verify(&without, held()).unwrap_err().kind;
        assert!(
            matches!(kind, FindingKind::Removed | FindingKind::Truncated),
            "{facility}: {kind:?}"
        );
    }
    for query in [
        Query {
            patient: Some("=1+1".into()),
            ..Query::default()
        },
        Query {
            from: Some(at(61)),
            to: Some(at(121)),
            facility: Some("x-c".parse().unwrap()),
            ..Query::default()
        },
    ] {
        let text = String::from_utf8(ask(&store, query, Format::Jsonl).await).unwrap();
        let verdict = verify(&text, Vec::new()).unwrap();
        assert!(verdict.extract && verdict.records >= 2);
    }
}

#[tokio::test]
async fn an_export_that_broke_off_goes_on_and_proves_itself() {
    let store = store().await;
    for facility in [None, Some("x-c")] {
        let query = Query {
            facility: facility.map(|code| code.parse().unwrap()),
            ..Query::default()
        };
        let first = String::from_utf8(ask(&store, query.clone(), Format::Jsonl).await).unwrap();
        let first: String = first.lines().take(50).map(|line| format!("{line}\n")).collect();
        let last: serde_json::Value = serde_json::from_str(first.lines().last().unwrap()).unwrap();
        let rest = Query {
            after: last["position"].as_u64(),
            ..query
        };
        let rest = String::from_utf8(ask(&store, rest, Format::Jsonl).await).unwrap();
        let verdict = verify(&format!("{first}{rest}"), Vec::new()).unwrap();
        assert!(verdict.records > 200 && verdict.conclusive());
        assert!(verify(&first, Vec::new()).is_err() && verify(&rest, Vec::new()).is_err());
    }
}

#[tokio::test]
async fn nothing_is_read_that_cannot_be_recorded() {
    use crate::store::{Fault, FaultyStore};
    let inner = MemoryStore::new(LogKey::from_seed("relay.example", &[5; 32]).unwrap().0).unwrap();
    let store: Arc<dyn Store> = Arc::new(FaultyStore::new(inner, 1, Fault::Refused(StoreError::Full)));
    let request = Request {
        query: Query::default(),
        format: Format::Csv,
        encoding: Encoding::Utf8,
        actor: Actor::default(),
        now: at(0),
    };
    assert!(matches!(export(store, request).await, Err(StoreError::Full)));
}

#[tokio::test]
async fn an_extract_says_that_it_is_one() {
    let store = store().await;
    let of = |patient: Option<&str>, person: Option<&str>| Query {
        facility: Some("x-a".parse().unwrap()),
        patient: patient.map(str::to_owned),
        person: person.map(str::to_owned),
        to: Some(at(500)),
        ..Query::default()
    };
    let rows = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        text.split_terminator("\r\n")
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // The period ends before the reading, which closes an extract all the same.
    let found = rows(ask(&store, of(None, Some("看護, \"一郎\"")), Format::Csv).await);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("1,") && found[0].contains(",Viewed,"),
        "{}",
        found[0]
    );
    assert!(found[1].contains(",TrailRead,x-a,"), "{}", found[1]);
    assert!(found[1].contains("extract, not complete: person 看護"), "{}", found[1]);
    // A partner's person is known by name; its id may be one of ours.
    assert_eq!(rows(ask(&store, of(None, Some("m1")), Format::Csv).await).len(), 1);
    let found = rows(ask(&store, of(Some("=1+1"), None), Format::Csv).await);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(rows(ask(&store, of(Some("other"), None), Format::Csv).await).len(), 1);
    let submission = Query {
        submission: Some(submission(1, "x-a", &["x-b"]).submission),
        ..Query::default()
    };
    assert_eq!(rows(ask(&store, submission, Format::Csv).await).len(), 3);
    let all = rows(ask(&store, of(None, None), Format::Csv).await);
    assert!(
        all.iter().all(|row| !row.contains("TrailRead")),
        "the period of all ends before any reading: {all:?}"
    );
}

#[tokio::test]
async fn an_export_goes_on_behind_a_position() {
    let store = store().await;
    let until = Query {
        to: Some(at(500)),
        ..Query::default()
    };
    for format in [Format::Csv, Format::Fhir, Format::Dicom] {
        let whole = ask(&store, until.clone(), format).await;
        let rest = Query {
            after: Some(99),
            ..until.clone()
        };
        let rest = ask(&store, rest, format).await;
        assert!(rest.len() > 1000 && whole.len() > rest.len());
        // Appended to the lines of the first hundred positions it is the whole.
        assert!(whole.ends_with(&rest), "{format:?}");
        let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().count();
        assert_eq!(
            lines(&whole) - lines(&rest),
            if format == Format::Csv { 101 } else { 100 }
        );
    }
}

#[tokio::test]
async fn shift_jis_has_no_mark_and_loses_nothing() {
    let store = store().await;
    let query = || Query {
        facility: Some("x-b".parse().unwrap()),
        to: Some(at(500)),
        ..Query::default()
    };
    let utf8 = ask(&store, query(), Format::Csv).await;
    let other = ask_in(&store, query(), Format::Csv, Encoding::ShiftJis).await;
    assert!(other.starts_with(b"position,"));
    let (text, _, broken) = encoding_rs::SHIFT_JIS.decode(&other);
    assert!(!broken);
    assert_eq!(format!("\u{feff}{text}").into_bytes(), utf8);
}

#[tokio::test]
async fn every_form_speaks_of_the_same_records() {
    let store = store().await;
    let query = || Query {
        facility: Some("x-a".parse().unwrap()),
        to: Some(at(500)),
        ..Query::default()
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let events = text(ask(&store, query(), Format::Fhir).await);
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["resourceType"], "AuditEvent");
    assert_eq!(events[1]["id"], "trail-1");
    assert_eq!(
        events[1]["meta"]["profile"][0],
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    );
    assert_eq!(events[1]["agent"][0]["name"], "看護, \"一郎\"");
    assert_eq!(events[1]["entity"][0]["what"]["identifier"]["value"], "=1+1");
    let messages = text(ask(&store, query(), Format::Dicom).await);
    let messages: Vec<&str> = messages.lines().collect();
    assert_eq!(messages.len(), 2);
    assert!(
        messages[1].contains("UserName=\"看護, &quot;一郎&quot;\""),
        "{}",
        messages[1]
    );
    assert!(messages[1].contains("csd-code=\"110106\""), "{}", messages[1]);
    let page = ask(&store, query(), Format::Pdf).await;
    assert!(page.starts_with(b"%PDF-") && page.trim_ascii_end().ends_with(b"%%EOF"));
}
