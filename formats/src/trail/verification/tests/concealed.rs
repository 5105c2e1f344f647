//! What is erased and what is only said to be; numbers, times and bodies; cosignatures of another log.

use std::collections::BTreeMap;

use super::*;

/// When what is up to 20 was recorded.
const THEN: &str = "2021-11-22T01:00:00.000Z";

/// A log that says at 38, a record of `b`, that the key of 9 to 20 is destroyed, of six records, two of them of `a`. What is up to 20
/// is of that month, what is after it five years younger.
fn destroyed(change: impl Fn(&mut Event)) -> Log {
    dated(|position| position <= 20, change)
}

/// The same, where what `old` says is as old.
fn dated(old: impl Fn(u64) -> bool, change: impl Fn(&mut Event)) -> Log {
    Log::new(SIZE, |position, record| {
        if old(position) {
            record.time = THEN.into();
        }
        if position == 38 {
            record.event = erasure("2021-11");
            change(&mut record.event);
        }
    })
}

fn erasure(month: &str) -> Event {
    let lost = |records, first, last| Erased { records, first, last };
    Event::KeyDestroyed {
        class: Class::Account,
        month: month.into(),
        first: 9,
        last: 20,
        records: 6,
        erased: BTreeMap::from([(facility("a"), lost(2, 4, 6)), (facility("b"), lost(4, 7, 14))]),
    }
}

/// Numbers 4 and 6 of `a`, and of `b` 7, 8, 9 and 14.
const ERASED: [u64; 6] = [9, 10, 11, 13, 15, 20];

#[test]
fn erased_records_are_counted_and_prove_as_before() {
    let log = destroyed(|_| ());
    let verdict = log.verify(&log.erasing(&ERASED), vec![log.earlier(20)]).unwrap();
    assert_eq!((verdict.records, verdict.erased, verdict.conclusive()), (34, 6, true));
    // In its account a facility sees no trace of them but the numbers, and the record that says why.
    let verdict = log.verify(&log.without(&[9, 15]), vec![log.earlier(20)]).unwrap();
    assert_eq!((verdict.records, verdict.erased), (13, 2));
    assert_eq!((verdict.sequence, verdict.conclusive()), (Some((1, 15)), true));
    // Said, and not done yet: what is still shown is proven, but an erasure is not over.
    let verdict = log.verify(&log.erasing(&ERASED[..5]), Vec::new()).unwrap();
    assert_eq!((verdict.erased, verdict.conclusive()), (5, false));
    let verdict = log.verify(&log.without(&[9]), Vec::new()).unwrap();
    assert_eq!((verdict.erased, verdict.conclusive()), (1, false));
}

#[test]
fn what_is_said_to_be_erased_and_is_not_is_found() {
    let log = honest();
    for position in [0, 7, 39] {
        let found = found(log.verify(&log.erasing(&[position]), Vec::new()));
        assert_eq!(found, (FindingKind::Concealed, position), "no key was destroyed");
    }
    let log = destroyed(|_| ());
    let with = |more: u64| log.erasing(&[&ERASED[..], &[more]].concat());
    for position in [0, 8, 21, 39] {
        let found = found(log.verify(&with(position), Vec::new()));
        assert_eq!(found, (FindingKind::Concealed, position), "not under that key");
    }
    assert_eq!(
        found(log.verify(&with(12), Vec::new())),
        (FindingKind::Concealed, 9),
        "more than were under it: one of them stands for ever"
    );
    // As many, but another in its place: the numbers of its facility are more than it lost.
    let others = [9, 10, 11, 12, 15, 20];
    assert_eq!(
        found(log.verify(&log.erasing(&others), Vec::new())).0,
        FindingKind::Misnumbered
    );
    for hidden in [&[9, 12, 15][..], &[9, 15, 21], &[9, 15, 3], &[12, 15, 18]] {
        assert_eq!(
            found(log.verify(&log.without(hidden), Vec::new())).0,
            FindingKind::Removed,
            "{hidden:?}"
        );
    }
    // A key of what was not yet there, of more than there is room for, or of what stands for ever.
    let wrong = |change: fn(&mut Event), kind| {
        let log = destroyed(change);
        assert_eq!(found(log.verify(&log.erasing(&ERASED), Vec::new())).0, kind);
    };
    wrong(
        |event| {
            if let Event::KeyDestroyed { last, .. } = event {
                *last = 38;
            }
        },
        FindingKind::Concealed,
    );
    wrong(
        |event| {
            if let Event::KeyDestroyed { records, .. } = event {
                *records = 13;
            }
        },
        FindingKind::Concealed,
    );
    wrong(
        |event| {
            if let Event::KeyDestroyed { class, .. } = event {
                *class = Class::Standing;
            }
        },
        FindingKind::Concealed,
    );
    wrong(
        |event| {
            if let Event::KeyDestroyed { erased, .. } = event {
                erased.insert(
                    facility("b"),
                    Erased {
                        records: 3,
                        first: 7,
                        last: 14,
                    },
                );
            }
        },
        FindingKind::Misnumbered,
    );
}

/// The same of another month.
fn of_month(log_of: impl Fn(&dyn Fn(&mut Event)) -> Log, name: &str) -> Log {
    log_of(&|event| {
        if let Event::KeyDestroyed { month, .. } = event {
            *month = name.into();
        }
    })
}

#[test]
fn only_a_month_that_was_over_a_year_before_can_have_gone() {
    // All of it is of one month, the youngest that may be gone on that day, and of the one after.
    let said = |name: &str, now: &str| {
        let log = Log::new(SIZE, |position, record| {
            record.time = if position < 38 { THEN.into() } else { now.into() };
            if position == 38 {
                record.event = erasure(name);
            }
        });
        log.verify(&log.erasing(&ERASED), Vec::new())
            .map(|verdict| verdict.erased)
            .map_err(|finding| (finding.kind, finding.position))
    };
    assert_eq!(said("2021-11", "2022-12-01T00:00:00.000Z"), Ok(6));
    for (month, now) in [
        ("2021-11", "2022-11-30T23:59:59.999Z"),
        ("2021-11", "2021-12-01T00:00:00.000Z"),
        ("2021-11", THEN),
        ("2026-11", "2022-12-01T00:00:00.000Z"),
    ] {
        assert_eq!(said(month, now), Err((FindingKind::Concealed, 38)), "{month} {now}");
    }
}

#[test]
fn what_is_erased_lies_where_its_month_was() {
    // All is of yesterday, and its key said to be of years ago.
    let young = |change: &dyn Fn(&mut Event)| dated(|_| false, change);
    let log = of_month(young, "2021-11");
    assert_eq!(
        found(log.verify(&log.erasing(&ERASED), Vec::new())),
        (FindingKind::Concealed, 9)
    );
    let finding = log.verify(&log.without(&[9, 15]), Vec::new()).unwrap_err();
    assert_eq!(
        (finding.kind, finding.position, finding.until),
        (FindingKind::Concealed, 7, Some(12))
    );
    // What was shown before is of that month, what is behind the last of them, too, or younger.
    for last in [8, 20, 21] {
        let log = dated(|position| position <= last, |_| ());
        assert_eq!(
            log.verify(&log.erasing(&ERASED), Vec::new()).is_ok(),
            last >= 19,
            "{last}"
        );
        assert_eq!(
            log.verify(&log.without(&[9, 15]), Vec::new()).is_ok(),
            last >= 12,
            "{last}"
        );
    }
    // Another month of those years does not fit what is shown around them.
    let old = |change: &dyn Fn(&mut Event)| destroyed(change);
    for (month, fits) in [("2021-10", false), ("2021-11", true), ("2021-12", false)] {
        let log = of_month(old, month);
        assert_eq!(log.verify(&log.erasing(&ERASED), Vec::new()).is_ok(), fits, "{month}");
        assert_eq!(log.verify(&log.without(&[9, 15]), Vec::new()).is_ok(), fits, "{month}");
    }
}

#[test]
fn a_month_goes_once_and_those_that_go_follow_each_other() {
    // 9 to 11 of one month, 12 and 13 of the next, told by 36 and 38.
    let said = |months: [&str; 2]| {
        let lost = |records, first, last| Erased { records, first, last };
        let erasure = |month: &str, first, last, a, b| Event::KeyDestroyed {
            class: Class::Account,
            month: month.into(),
            first,
            last,
            records: last - first + 1,
            erased: BTreeMap::from([(facility("a"), a), (facility("b"), b)]),
        };
        let log = Log::new(SIZE, |position, record| {
            match position {
                0..=11 => record.time = THEN.into(),
                12..=13 => record.time = "2021-12-22T01:00:00.000Z".into(),
                _ => {}
            }
            if position == 37 {
                record.event = erasure(months[0], 9, 11, lost(1, 4, 4), lost(2, 7, 8));
            }
            if position == 38 {
                record.event = erasure(months[1], 12, 13, lost(1, 5, 5), lost(1, 9, 9));
            }
        });
        let whole = log.verify(&log.erasing(&[9, 10, 11, 12, 13]), Vec::new());
        let own = log.verify(&log.without(&[9, 12]), Vec::new());
        [whole, own].map(|verdict| verdict.map(|verdict| verdict.erased).map_err(|finding| finding.kind))
    };
    assert_eq!(said(["2021-11", "2021-12"]), [Ok(5), Ok(2)]);
    for months in [["2021-12", "2021-11"], ["2021-11", "2021-11"], ["2021-12", "2021-12"]] {
        assert_eq!(said(months), [Err(FindingKind::Concealed); 2], "{months:?}");
    }
}

#[test]
fn where_numbers_are_erased_it_is_not_said_that_none_is_missing() {
    let log = destroyed(|_| ());
    let told = |hidden: &[u64]| {
        let verdict = log.verify(&log.without(hidden), Vec::new()).unwrap();
        verdict.sentences().concat().join("\n")
    };
    let whole = told(&[]);
    assert!(
        whole.contains("no number is missing\n") && whole.contains("まで、欠番はありません"),
        "{whole}"
    );
    let gone = told(&[9, 15]);
    assert!(gone.contains("no number is missing but those erased\n"), "{gone}");
    assert!(gone.contains("まで、消去されたものを除き、欠番はありません"), "{gone}");
}

#[test]
fn an_extract_with_erased_records_does_not_say_why() {
    let log = honest();
    let mut head = Vec::new();
    ExportHead {
        facility: None,
        extract: true,
        checkpoint: log.checkpoint(SIZE),
        witnessed: Vec::new(),
    }
    .push(&mut head);
    let mut lines = log.erasing(&[7]);
    lines[0] = String::from_utf8(head).unwrap();
    let verdict = log.verify(&lines, Vec::new()).unwrap();
    assert_eq!((verdict.erased, verdict.conclusive()), (1, false));
}

#[test]
fn whole_exports_tell_who_is_numbered_and_when() {
    let kinds = |bodies: Vec<String>| {
        let log = Log::of_bodies(bodies);
        found(log.verify(&log.whole(), Vec::new()))
    };
    let bodies = |records: Vec<Record>| {
        records
            .iter()
            .map(|record| record.encode().unwrap())
            .collect::<Vec<_>>()
    };
    let honest = || records(SIZE, |_, _| ());
    // A look that hides itself from one of the two: no gap in its numbers, but it is not numbered for whom it concerns.
    let mut hides = records(SIZE, |position, record| {
        if position == 20 {
            record.event = Event::HoldSet {
                submission: "0193569a-7c00-7000-8000-000000000001".parse().unwrap(),
                sender: facility("a"),
                recipients: vec![facility("b")],
                reason: "TEST".into(),
            };
        }
    });
    let log = Log::of(&hides);
    assert!(log.verify(&log.whole(), Vec::new()).is_ok());
    hides[20].facility_seq.remove(&facility("a"));
    for record in &mut hides[21..] {
        if let Some(number) = record.facility_seq.get_mut(&facility("a")) {
            *number -= 1;
        }
    }
    assert_eq!(kinds(bodies(hides)), (FindingKind::Misnumbered, 20));
    // A number left out, one given twice.
    for by in [1, u64::MAX] {
        let mut wrong = honest();
        for record in &mut wrong[20..] {
            if let Some(number) = record.facility_seq.get_mut(&facility("b")) {
                *number = number.wrapping_add(by);
            }
        }
        assert_eq!(kinds(bodies(wrong)).0, FindingKind::Misnumbered, "{by}");
    }
    let mut earlier = honest();
    earlier[20].time = "2026-11-22T00:59:59.999Z".into();
    assert_eq!(kinds(bodies(earlier)), (FindingKind::Backdated, 20));
    for (from, to) in [("{\"actor\"", "{ \"actor\""), ("\"v\":1", "\"v\":2")] {
        let mut wrong = bodies(honest());
        wrong[20] = wrong[20].replacen(from, to, 1);
        assert_eq!(kinds(wrong), (FindingKind::NoRecord, 20));
    }
    let mut newer = bodies(honest());
    newer[20] = newer[20].replace("FacilityAdded", "FacilityMerged");
    let log = Log::of_bodies(newer);
    let verdict = log.verify(&log.whole(), Vec::new()).unwrap();
    assert_eq!((verdict.newer, verdict.conclusive()), (1, false));
}

#[test]
fn a_cosignature_counts_only_of_the_log_that_is_shown() {
    let log = honest();
    let fork = Log::new(SIZE, |position, record| {
        if let (20, Event::FacilityAdded { name, .. }) = (position, &mut record.event) {
            name.push('!');
        }
    });
    let (secret, key) = witness("w1.example", 1);
    let cosign = |note: &str| {
        let line = cosignature(&secret, &key, note, 5);
        with_cosignatures(note, &line, &key).unwrap()
    };
    let line = |of: &Log, witnessed: Vec<String>| {
        let mut line = Vec::new();
        let head = ExportHead {
            facility: None,
            extract: false,
            checkpoint: of.checkpoint(SIZE),
            witnessed,
        };
        head.push(&mut line);
        (head, String::from_utf8(line).unwrap())
    };
    let keys = std::slice::from_ref(&key);
    let size = |verdict: TrailVerdict| verdict.witnesses[0].1.clone().map(|(size, _)| size);
    let (head, _) = line(&log, vec![cosign(&log.checkpoint(30)), cosign(&log.checkpoint(17))]);
    let verdict = log.watched(&head, &log.whole()[1..], Vec::new(), keys).unwrap();
    assert_eq!(size(verdict), Some(30), "the newest");
    // A fork, and in its midst a second first line with what the witness cosigned of the other log.
    let (head, _) = line(&fork, Vec::new());
    for (at, cosigned) in [(5, 30), (25, 30), (30, 30), (31, 30), (39, 30), (39, 21)] {
        let (_, second) = line(&fork, vec![cosign(&log.checkpoint(cosigned))]);
        let mut lines = fork.whole().split_off(1);
        lines.insert(at, second);
        match fork.watched(&head, &lines, Vec::new(), keys) {
            Err(finding) => assert_eq!(finding.kind, FindingKind::Forked, "{at}"),
            Ok(verdict) => {
                assert!(at > 30, "{at}: it could have been compared");
                assert!(!verdict.conclusive(), "{at}");
                assert_eq!(size(verdict), None);
            }
        }
    }
    // Where it is of this log, it counts, also when the export went on behind it.
    let (head, _) = line(&log, vec![cosign(&log.checkpoint(17))]);
    for (at, expected) in [(10, 30), (35, 17)] {
        let (_, second) = line(&log, vec![cosign(&log.checkpoint(30))]);
        let mut lines = log.whole().split_off(1);
        lines.insert(at, second);
        let verdict = log.watched(&head, &lines, Vec::new(), keys).unwrap();
        assert_eq!(size(verdict), Some(expected), "{at}");
    }
}
