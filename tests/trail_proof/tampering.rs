//! Every manner of tampering with a real relay's export is found, and the first position named.

use super::*;

/// One finding: kind and first position.
fn found(watched: &Watched, lines: &[String], arguments: &[&str]) -> (String, u64) {
    let file = watched.keep("tampered.jsonl", &lines.concat());
    let (code, answer) = watched.verify(&file, arguments);
    assert_eq!((code, &answer["valid"]), (1, &false.into()), "{answer}");
    let finding = &answer["finding"];
    (
        finding["kind"].as_str().unwrap().to_owned(),
        finding["position"].as_u64().unwrap(),
    )
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| format!("{line}\n")).collect()
}

#[test]
fn changed_removed_inserted_reordered_truncated_forked() {
    let watched = Watched::new();
    let old = watched.keep("old.checkpoint", &watched.text("/v1/trail/checkpoint"));
    let old = ["--checkpoint", old.to_str().unwrap()];
    watched.send();
    let whole = lines(&watched.export(&[]));
    let named = |kind: &str, position: u64| (kind.to_owned(), position);

    let mut changed = whole.clone();
    changed[4] = changed[4].replacen("\\\"time\\\":\\\"2", "\\\"time\\\":\\\"3", 1);
    assert_ne!(changed[4], whole[4], "a record has its time");
    assert_eq!(found(&watched, &changed, &[]), named("changed", 3));
    if let Some(output) = judge(&[
        "export",
        watched.path("tampered.jsonl").to_str().unwrap(),
        &watched.vkey,
    ]) {
        assert!(!output.status.success(), "the judge takes what was changed");
    }
    let mut salted = whole.clone();
    salted[4] = salted[4].replace("\"salt\":\"", "\"salt\":\"A");
    let file = watched.keep("salted.jsonl", &salted.concat());
    assert_eq!(watched.verify(&file, &[]).0, 1, "a salt that is none");

    let mut removed = whole.clone();
    removed.remove(4);
    assert_eq!(found(&watched, &removed, &[]), named("removed", 3));
    let mut inserted = whole.clone();
    inserted.insert(6, whole[3].clone());
    assert_eq!(found(&watched, &inserted, &[]), named("inserted", 2));
    let mut reordered = whole.clone();
    reordered.swap(4, 6);
    assert_eq!(found(&watched, &reordered, &[]), named("reordered", 3));
    let last = whole.len() as u64 - 2;
    assert_eq!(
        found(&watched, &whole[..whole.len() - 1], &[]),
        named("truncated", last)
    );

    // Cut off and given the checkpoint of that size, which the log did sign: only who kept a later one can tell.
    let early = fs::read_to_string(watched.path("old.checkpoint")).unwrap();
    let size = Checkpoint::verify(&early, &watched.vkey).unwrap().size;
    let later = watched.keep("later.checkpoint", &watched.text("/v1/trail/checkpoint"));
    let mut head: Value = serde_json::from_str(&whole[0]).unwrap();
    head["checkpoint"] = early.as_str().into();
    head["witnessed"] = Value::Null;
    let mut short = vec![format!("{head}\n")];
    short.extend_from_slice(&whole[1..=usize::try_from(size).unwrap()]);
    let file = watched.keep("short.jsonl", &short.concat());
    assert_eq!(watched.verify(&file, &[]).0, 0, "by itself it is whole");
    assert_eq!(
        found(&watched, &short, &["--checkpoint", later.to_str().unwrap()]),
        named("truncated", size)
    );

    // A log that begins anew under the same key: whole by itself, but not the one that was signed before.
    let relay = &watched.stage.relay;
    // A witness that saw nothing before would take the new log for the first.
    let [one, _] = &watched.witnesses;
    until("the witness sees the log", || {
        (one.size(watched.origin()) >= size).then_some(())
    });
    relay.stop();
    for folder in ["trail", "index", "log"] {
        fs::remove_dir_all(relay.data().join(folder)).unwrap();
    }
    relay.restart();
    for number in 0..size + 5 {
        let _ = relay.add_facility(&format!("x-new-{number}"), "新しい診療所");
    }
    let forked = lines(&watched.export(&[]));
    let file = watched.keep("forked.jsonl", &forked.concat());
    assert_eq!(watched.verify(&file, &[]).0, 0, "by itself it is whole");
    assert_eq!(found(&watched, &forked, &old), named("forked", 0));
    let output = relay.try_admin(&["trail", "verify", "--checkpoint", old[1]]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // And the witnesses, which saw it longer, cosign it no more.
    let stands = one.size(watched.origin());
    let asked = one.asked();
    until("the witness is asked", || (one.asked() > asked).then_some(()));
    assert_eq!(one.size(watched.origin()), stands);
    assert!(
        !watched.stage.relay.data().join("log/witnessed").exists(),
        "nothing is cosigned"
    );
}

#[test]
fn what_a_facilitys_export_hides_is_found() {
    let watched = Watched::new();
    let own = lines(&watched.text("/v1/trail?format=jsonl"));
    let records: Vec<usize> = (1..own.len())
        .filter(|place| own[*place].contains("\"body\":"))
        .collect();
    let second: Value = serde_json::from_str(&own[records[1]]).unwrap();
    let mut removed = own.clone();
    removed.remove(records[1]);
    assert_eq!(
        found(&watched, &removed, &[]),
        ("removed".to_owned(), second["position"].as_u64().unwrap())
    );
    // Said to be erased, which it is not.
    let mut erased = own.clone();
    erased[records[1]] = serde_json::json!({
        "position": second["position"],
        "commitment": second["commitment"],
        "erased": true
    })
    .to_string()
        + "\n";
    let found_erased = found(&watched, &erased, &[]);
    assert_eq!(
        found_erased,
        ("concealed".to_owned(), second["position"].as_u64().unwrap())
    );
    let mut truncated = own.clone();
    truncated.truncate(records[2]);
    assert_eq!(found(&watched, &truncated, &[]).0, "truncated");
    let other = watched.keep(
        "other.jsonl",
        &own.concat().replace("hikyaku-trail/1", "hikyaku-trail/2"),
    );
    let output = Command::new(kit::bin("hikyaku"))
        .args(["trail", "verify", "--log-key", &watched.vkey])
        .arg(&other)
        .env("LANG", "ja_JP.UTF-8")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "malformed");
}
