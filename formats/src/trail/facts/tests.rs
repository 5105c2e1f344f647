//! Both ways of reading say the same of whatever a body is.

use std::collections::BTreeMap;

use super::time::day;
use super::*;
use crate::envelope::Category;
use crate::trail::receipt::tests::accepted;
use crate::trail::{Access, Actor, Record};
use crate::wire::{Assurance, Purpose};

fn code(text: &str) -> FacilityCode {
    text.parse().unwrap()
}

fn body(event: Event) -> String {
    let facility_seq = event.facilities().into_iter().zip(7..).collect();
    let actor = Actor {
        facility: Some(code("1320000002")),
        device: Some("desk-1".parse().unwrap()),
        person_id: Some("staff".parse().unwrap()),
        person_name: Some("TEST 一郎".into()),
        assurance: Some(Assurance::AssertedByDevice),
        address: Some("192.0.2.17".into()),
    };
    let record = Record {
        v: 1,
        time: "2026-11-22T01:02:03.004Z".into(),
        facility_seq,
        actor,
        event,
    };
    record.encode().unwrap()
}

fn access() -> Access {
    Access {
        submission: accepted().submission,
        sender: code("1310000001"),
        recipient: code("x-b"),
        patient: "12345".into(),
        purpose: Purpose::View,
        scope: vec!["letter/letter.pdf".into(), "*".into()],
        categories: vec![Category::Letter, Category::ImageReport],
    }
}

fn common() -> (SubmissionFields, Vec<Event>) {
    let submission = accepted();
    let fields = SubmissionFields {
        submission: submission.submission.clone(),
        sender: submission.sender.facility.clone(),
        recipients: vec![code("1320000002"), code("x-b")],
    };
    let destroyed = Event::KeyDestroyed {
        class: Class::Account,
        month: "2021-11".into(),
        first: 3,
        last: 9,
        records: 5,
        erased: BTreeMap::from([(
            code("x-b"),
            Erased {
                records: 4,
                first: 2,
                last: 6,
            },
        )]),
    };
    let read = |facility: Option<&str>, concerned: &[&str], format: &str, filter| Event::TrailRead {
        facility: facility.map(code),
        from: String::new(),
        to: String::new(),
        format: format.into(),
        filter,
        concerned: concerned.iter().map(|text| code(text)).collect(),
    };
    let after = Filter {
        after: Some(7),
        ..Filter::default()
    };
    let (sender, recipients) = (fields.sender.clone(), fields.recipients.clone());
    let id = fields.submission.clone();
    let events = vec![
        Event::Accepted(Box::new(accepted())),
        Event::Pending {
            submission: Box::new(accepted()),
            waiting_for: "a CRL".into(),
            deadline: "2026-11-25T01:00:00Z".into(),
        },
        Event::Viewed(access()),
        Event::Delivered(Access {
            purpose: Purpose::Import,
            categories: Vec::new(),
            ..access()
        }),
        Event::Acknowledged {
            submission: id.clone(),
            sender: sender.clone(),
            recipient: code("x-b"),
            patient: "12345".into(),
        },
        Event::ErasureAnnounced {
            submission: id.clone(),
            sender: sender.clone(),
            recipients: recipients.clone(),
            patient: "12345".into(),
            erase_after: "2026-12-25T01:00:00Z".into(),
        },
        Event::ContainerErased {
            submission: id.clone(),
            sender: sender.clone(),
            recipients: recipients.clone(),
            patient: "12345".into(),
            container_sha256: "00".into(),
        },
        Event::ArchiveMade {
            submission: id.clone(),
            sender,
            recipients,
            patient: "12\"345".into(),
            container_sha256: "00".into(),
            archive_sha256: "01".into(),
            stamps: 1,
            stamped: "2026-11-25T01:00:00Z".into(),
            stands_until: "2036-11-25T01:00:00Z".into(),
        },
        Event::Refused {
            facility: code("x-b"),
            submission: None,
            code: "envelope_invalid".into(),
            sub_indication: None,
            container_sha256: None,
            report_sha256: None,
        },
        Event::FacilityAdded {
            facility: code("x-b"),
            name: "TEST\u{1}医院".into(),
        },
        Event::Head {
            facility: code("x-b"),
            day: "2026-11-21".into(),
        },
        destroyed,
        read(Some("x-b"), &[], "jsonl+csv", Some(after)),
        read(None, &["1310000001", "x-b"], "jsonl", None),
        read(Some("x-b"), &[], "csv", None),
        Event::CheckpointStamped {
            size: 7,
            root: "AA==".into(),
            checkpoint_sha256: "00".into(),
            token_sha256: "00".into(),
            gen_time: "2026-11-25T01:00:00Z".into(),
        },
    ];
    (fields, events)
}

struct SubmissionFields {
    submission: crate::wire::SubmissionId,
    sender: FacilityCode,
    recipients: Vec<FacilityCode>,
}

#[test]
fn both_ways_of_reading_say_the_same() {
    let mut by_form = 0;
    for event in common().1 {
        let text = body(event.clone());
        let whole = Facts::whole(&text).unwrap();
        let numbers: Vec<_> = event.facilities().iter().map(CodeText::from).zip(7..).collect();
        assert_eq!((&whole.numbers, whole.newer), (&numbers, false), "{text}");
        assert_eq!(whole.time.to_string(), "2026-11-22T01:02:03.004Z");
        assert_eq!(Facts::read(&text).as_ref(), Ok(&whole), "{text}");
        let Some(read) = form::read(text.as_bytes()) else {
            continue;
        };
        by_form += 1;
        assert_eq!(read.as_ref(), Ok(&whole), "{text}");
    }
    assert!(by_form >= 7, "what most records are is read by its form");
}

#[test]
fn what_is_no_record_or_numbered_for_others_is_found_either_way() {
    for event in common().1 {
        let text = body(event);
        // Not canonical, another version, members too few, texts that are none.
        for (from, to) in [
            ("{\"actor\"", "{ \"actor\""),
            (",\"v\":1", ",\"v\":2"),
            ("{\"actor\"", "\n{\"actor\""),
            (",\"v\":1", ",\"v\":1.0"),
            ("\"time\":\"2026-11-22T", "\"time\":\"2026-11-22 "),
            ("\"device\":\"desk-1\",", ""),
            ("\"kind\":", "\"kind\":\"Viewed\",\"kind\":"),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text, "{from}");
            assert_eq!(Facts::read(&wrong), Err(NotARecord::Malformed), "{wrong}");
        }
        for cut in [1, text.len() / 2, text.len() - 1] {
            let cut = text.get(..cut).unwrap_or_default();
            assert_eq!(Facts::read(cut), Err(NotARecord::Malformed), "{cut}");
        }
        // One whom it concerns is left out; one whom it does not concern is put in.
        let numbers = Facts::read(&text).unwrap().numbers;
        let seq = |numbers: &[(CodeText, u64)]| {
            let numbers: Vec<_> = numbers.iter().map(|(code, n)| format!("\"{code:?}\":{n}")).collect();
            format!("\"facility_seq\":{{{}}}", numbers.join(","))
        };
        let right = seq(&numbers);
        assert!(text.contains(&right));
        let mut others = numbers.clone();
        others.push((CodeText::from(&code("x-zzz")), 4));
        let mut wrongs = vec![seq(&others)];
        if let Some((_, rest)) = numbers.split_first() {
            wrongs.push(seq(rest));
        }
        for wrong in wrongs {
            let wrong = text.replacen(&right, &wrong, 1);
            assert_eq!(Facts::read(&wrong), Err(NotARecord::Misnumbered), "{wrong}");
        }
    }
}

#[test]
fn what_came_later_is_told_and_not_taken_for_wrong() {
    let looked = body(Event::Viewed(access()));
    let kind = Facts::read(&looked.replace("\"Viewed\"", "\"Zoomed\"")).unwrap();
    assert!(kind.newer && kind.numbers.len() == 2);
    let member = Facts::read(&looked.replace(",\"v\":1}", ",\"v\":1,\"zoom\":2}")).unwrap();
    assert!(member.newer && member.numbers.len() == 2);
    assert_eq!(
        Facts::read(&looked.replace("\"Viewed\"", "\"Head\"")),
        Err(NotARecord::Malformed),
        "a kind that is known has its members"
    );
}

#[test]
fn what_completeness_rests_on_is_read() {
    let said: Vec<Said> = common()
        .1
        .into_iter()
        .map(|event| Facts::read(&body(event)).unwrap().said)
        .collect();
    let b = CodeText::from(&code("x-b"));
    assert!(said.contains(&Said::Head(b, "2026-11-21".into())));
    for read in [
        Said::Read(Some(b), true),
        Said::Read(None, true),
        Said::Read(Some(b), false),
    ] {
        assert_eq!(said.iter().filter(|said| **said == read).count(), 1, "{read:?}");
    }
    let destroyed = said.iter().find_map(|said| match said {
        Said::Destroyed(destroyed) => Some(destroyed),
        _ => None,
    });
    let destroyed = destroyed.unwrap();
    assert_eq!((destroyed.first, destroyed.last, destroyed.records), (3, 9, 5));
    assert_eq!(Some(destroyed.month), Month::read("2021-11"));
    assert_eq!(destroyed.erased[0].1.records, 4);
    let looked = Facts::read(&body(Event::Viewed(access()))).unwrap();
    assert_eq!(looked.clone().of(&code("x-c")), None);
    assert_eq!(looked.of(&code("x-b")).unwrap().numbers, [(b, 8)]);
}

#[test]
fn days_are_counted() {
    for (text, expected) in [
        ("1970-01-01", Some(2_440_588)),
        ("2000-03-01", Some(2_440_588 + 11_017)),
        ("2026-11-22", Some(2_440_588 + 20_779)),
        ("2024-02-29", Some(2_440_588 + 19_782)),
        ("2026-02-29", None),
        ("2026-13-01", None),
        ("+2026-11-22", None),
        ("soon", None),
    ] {
        assert_eq!(day(text), expected, "{text}");
    }
    let japan = |text: &str| Time::read(text.as_bytes()).and_then(Time::day_in_japan);
    assert_eq!(japan("2026-11-21T14:59:59.999Z"), day("2026-11-21"));
    assert_eq!(japan("2026-11-21T15:00:00.000Z"), day("2026-11-22"));
    assert_eq!(japan("2026-13-21T15:00:00.000Z"), None);
    assert!(Time::read(b"2026-11-21T15:00:00.000Z") > Time::read(b"2026-11-21T14:59:59.999Z"));
}

#[test]
fn a_destroyed_key_is_of_a_month() {
    let (_, events) = common();
    let destroyed = events
        .into_iter()
        .find(|event| matches!(event, Event::KeyDestroyed { .. }));
    let text = body(destroyed.unwrap());
    for month in ["2021-13", "2021-1", "yesterday", ""] {
        let wrong = text.replace("\"2021-11\"", &format!("\"{month}\""));
        assert_eq!(Facts::read(&wrong), Err(NotARecord::Malformed), "{month}");
    }
}

#[test]
fn a_body_is_no_longer_than_a_record() {
    let long = |kind: &str, name: usize| {
        let name = "x".repeat(name);
        format!(
            r#"{{"facility":"x-a","facility_seq":{{"x-a":1}},"kind":"{kind}","name":"{name}","time":"2026-11-22T01:00:00.000Z","v":1}}"#
        )
    };
    let room = MAX_BODY - long("Zoomed", 0).len();
    assert!(Facts::read(&long("Zoomed", room)).unwrap().newer);
    assert_eq!(Facts::read(&long("Zoomed", room + 1)), Err(NotARecord::Malformed));
    let looked = body(Event::Viewed(access()));
    let padding = MAX_BODY + 1 - looked.len();
    let looked = looked.replace("\"patient\":\"", &format!("\"patient\":\"{}", "9".repeat(padding)));
    assert_eq!(looked.len(), MAX_BODY + 1);
    assert!(Record::parse(&looked).is_err());
    assert_eq!(Facts::read(&looked), Err(NotARecord::Malformed));
}

/// Every byte of what is read by its form, replaced by others: where the form reads it, the whole reading says the same.
#[test]
fn both_ways_of_reading_say_the_same_of_what_is_wrong() {
    let (mut by_form, mut wrong, mut tried) = (0_u64, 0_u64, 0_u64);
    for event in common().1 {
        let text = body(event);
        if form::read(text.as_bytes()).is_none() {
            continue;
        }
        by_form += 1;
        for place in 0..text.len() {
            for byte in *b"0F-\"" {
                let mut changed = text.clone().into_bytes();
                changed[place] = byte;
                // In the midst of a character there is no text any more.
                let Ok(changed) = String::from_utf8(changed) else {
                    continue;
                };
                tried += 1;
                match form::read(changed.as_bytes()) {
                    Some(read) => assert_eq!(read, Facts::whole(&changed), "{changed}"),
                    None => wrong += 1,
                }
            }
        }
    }
    assert!(
        by_form >= 7 && wrong > tried / 10 && wrong < tried,
        "{by_form}: {wrong} of {tried}"
    );
}
