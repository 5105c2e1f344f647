//! Accounts of facilities whose records are partly erased: they verify, they go on, and they say what is gone.

use formats::trail::{Class, Erased};

use super::*;

/// Destroys the key of the first month's records.
async fn erase(store: &Arc<dyn Store>) {
    let month = store.months().await.unwrap().remove(0);
    let mut erased = std::collections::BTreeMap::<FacilityCode, Erased>::new();
    let mut count = 0;
    let (mut next, mut records) = (month.first, Vec::new());
    while let Some(last) = {
        records.extend(store.records(None, next, 10_000).await.unwrap());
        records
            .last()
            .map(|stored| stored.position)
            .filter(|last| *last >= next)
    } {
        next = last + 1;
    }
    for stored in records {
        let record = stored.record().unwrap().unwrap();
        if !record.time.starts_with(&month.month) || record.event.class() != Class::Account {
            continue;
        }
        count += 1;
        for (facility, number) in record.facility_seq {
            let lost = erased.entry(facility).or_insert(Erased {
                records: 0,
                first: number,
                last: number,
            });
            lost.records += 1;
            lost.last = number;
        }
    }
    let event = Event::KeyDestroyed {
        class: month.class,
        month: month.month.clone(),
        first: month.first,
        last: month.last,
        records: count,
        erased,
    };
    let closed = Condition::MonthClosed {
        class: month.class,
        month: month.month,
        last: month.last,
        seen: store.size().await.unwrap(),
    };
    let mut destroyed = batch(vec![event], vec![closed]);
    destroyed.time = at(440 * 86_400);
    store.commit(destroyed).committed().await.unwrap();
}

/// A store whose first month is erased: there stand but the facility and its head; the second is there.
async fn erased_store() -> Arc<dyn Store> {
    let store: Arc<dyn Store> =
        Arc::new(MemoryStore::new(LogKey::from_seed("relay.example", &[5; 32]).unwrap().0).unwrap());
    let commit = async |event: Event, days: i64| {
        let mut batch = batch(vec![event], vec![]);
        batch.time = at(days * 86_400);
        store.commit(batch).committed().await.unwrap();
    };
    let facility: FacilityCode = "x-a".parse().unwrap();
    commit(
        Event::FacilityAdded {
            facility: facility.clone(),
            name: "TEST".into(),
        },
        0,
    )
    .await;
    for number in 0..10 {
        commit(Event::Accepted(Box::new(submission(number, "x-a", &["x-b"]))), 0).await;
        commit(Event::Accepted(Box::new(submission(100 + number, "x-c", &["x-d"]))), 0).await;
    }
    let head = |day: &str| Event::Head {
        facility: facility.clone(),
        day: day.into(),
    };
    commit(head("2026-11-24"), 1).await;
    commit(Event::Accepted(Box::new(submission(50, "x-a", &["x-b"]))), 1).await;
    for number in 200..205 {
        commit(Event::Accepted(Box::new(submission(number, "x-a", &["x-b"]))), 439).await;
    }
    erase(&store).await;
    commit(head("2028-02-06"), 440).await;
    store
}

async fn ask_late(store: &Arc<dyn Store>, query: Query, format: Format) -> String {
    let request = Request {
        now: at(440 * 86_400 + 60),
        ..request(query, format, Encoding::Utf8)
    };
    let export = export(Arc::clone(store), request).await.unwrap();
    String::from_utf8(collected(export).await).unwrap()
}

#[tokio::test]
async fn exports_with_erased_records_verify_also_when_they_went_on() {
    let store = erased_store().await;
    for (facility, erased) in [(None, 21), (Some("x-a"), 11), (Some("x-b"), 11)] {
        let query = || Query {
            facility: facility.map(|code| code.parse().unwrap()),
            ..Query::default()
        };
        let whole = ask_late(&store, query(), Format::Jsonl).await;
        let verdict = verify(&whole, Vec::new()).unwrap();
        assert_eq!(verdict.erased, erased, "{facility:?}");
        // `x-b` has no head: its account is not conclusive, for that alone.
        assert_eq!(verdict.conclusive(), facility != Some("x-b"), "{facility:?}");
        let lines: Vec<&str> = whole.lines().collect();
        for broken in 2..lines.len() {
            let first: String = lines[..broken].iter().map(|line| format!("{line}\n")).collect();
            let last: serde_json::Value = serde_json::from_str(lines[broken - 1]).unwrap();
            let after = last["position"]
                .as_u64()
                .or_else(|| Some(last["skipped"][1].as_u64()? - 1));
            let rest = ask_late(&store, Query { after, ..query() }, Format::Jsonl).await;
            let verdict = verify(&format!("{first}{rest}"), Vec::new()).unwrap();
            assert_eq!(verdict.erased, erased, "{facility:?} {broken}");
        }
        // An extract shows none of them, and is whole as an extract.
        let part = Query {
            from: Some(at(0)),
            ..query()
        };
        let verdict = verify(&ask_late(&store, part, Format::Jsonl).await, Vec::new()).unwrap();
        assert!(verdict.extract && verdict.conclusive() && verdict.erased == 0);
    }
    let table = ask_late(&store, Query::default(), Format::Csv).await;
    assert_eq!(table.lines().filter(|row| row.ends_with(",erased,")).count(), 21);
    let columns = |row: &str| row.split(',').count();
    let row = table.lines().find(|row| row.ends_with(",erased,")).unwrap();
    assert_eq!(columns(row), columns(table.lines().next().unwrap()));
}

#[tokio::test]
async fn the_printed_page_tells_what_is_erased_from_what_is_missing() {
    let store = erased_store().await;
    let facility: FacilityCode = "x-a".parse().unwrap();
    let of_log = form::OfLog {
        relay: "relay.example".into(),
        reading: 99,
        root: [7; 32],
    };
    let query = Query {
        facility: Some(facility.clone()),
        ..Query::default()
    };
    let figures = async |hidden: usize| {
        let about = summary::About::new(&query, None, (String::new(), String::new()), &of_log);
        let mut summary = summary::Summary::new(about);
        let records = store.records(Some(&facility), 0, 100).await.unwrap();
        for stored in records.iter().skip(hidden) {
            let body = &stored.content.as_ref().unwrap().body;
            let entry = entry::Entry::read(body).unwrap();
            summary.add(&row::Row::of(stored.position, &entry, Some("x-a")));
        }
        summary.missing()
    };
    assert_eq!(figures(0).await, (0, 11));
    assert_eq!(figures(1).await, (1, 11), "its first record is not shown");
    let page = ask_late_bytes(&store, query.clone()).await;
    let shown = |text: &str| {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        page.windows(units.len()).any(|part| part == units) || {
            let digits: String = units.iter().map(|byte| format!("{byte:02X}")).collect();
            page.windows(digits.len()).any(|part| part == digits.as_bytes())
        }
    };
    assert!(shown("消去済み") && shown("記録の消去"));
}

async fn ask_late_bytes(store: &Arc<dyn Store>, query: Query) -> Vec<u8> {
    let request = Request {
        now: at(440 * 86_400 + 60),
        ..request(query, Format::Pdf, Encoding::Utf8)
    };
    collected(export(Arc::clone(store), request).await.unwrap()).await
}

#[tokio::test]
async fn an_export_in_whose_midst_records_are_erased_breaks_off() {
    let store: Arc<dyn Store> =
        Arc::new(MemoryStore::new(LogKey::from_seed("relay.example", &[5; 32]).unwrap().0).unwrap());
    for round in 0..10 {
        let refused = |number: u64| Event::Refused {
            facility: "x-a".parse().unwrap(),
            submission: None,
            code: format!("TEST{round}{number}"),
            sub_indication: None,
            container_sha256: None,
            report_sha256: None,
        };
        let mut many = batch((0..500).map(refused).collect(), vec![]);
        many.time = at(0);
        store.commit(many).committed().await.unwrap();
    }
    let mut pages = pages::ahead(Arc::clone(&store), None, 0..5_000, None);
    let mut last = pages.recv().await.unwrap();
    assert!(last.is_ok());
    erase(&store).await;
    while let Some(page) = pages.recv().await {
        last = page;
    }
    assert!(matches!(last, Err(ExportError::Erased)));
}
