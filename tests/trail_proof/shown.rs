//! What a proof shows must be a record: the log's signature alone makes none of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use formats::trail::{InclusionProof, LogKey, commitment, tree};
use serde_json::Value;

/// `hikyaku trail verify` of a proof that the only entry of a log has this body: exit code, answer, and what people are told.
fn judged(folder: &Path, body: &str) -> (i32, Value, [String; 2]) {
    let key = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0;
    let salt = [7; 32];
    let entry = commitment(&salt, body.as_bytes());
    let nodes = tree::append(0, &entry, |_| None).unwrap();
    let root = tree::root(1, |number| {
        nodes.iter().find(|(known, _)| *known == number).map(|(_, node)| *node)
    })
    .unwrap();
    let proof = InclusionProof::of_record(0, &salt, body, Vec::new(), key.sign(1, &root).unwrap());
    let file = folder.join("shown.tlog-proof");
    fs::write(&file, proof.encode()).unwrap();
    let run = |more: &[&str], language: &str| {
        Command::new(kit::bin("hikyaku"))
            .args(["trail", "verify", "--log-key", key.vkey()])
            .arg(&file)
            .args(more)
            .env("LC_ALL", language)
            .env("LANG", language)
            .output()
            .unwrap()
    };
    let output = run(&["--json"], "C");
    let told = ["ja_JP.UTF-8", "C"].map(|language| String::from_utf8(run(&[], language).stdout).unwrap());
    let answer = serde_json::from_slice(&output.stdout);
    (
        output.status.code().unwrap(),
        answer.unwrap_or_else(|_| panic!("{output:?}")),
        told,
    )
}

const BODY: &str = r#"{"actor":{"address":null,"assurance":null,"device":null,"facility":null,"person_id":null,"person_name":null},"day":"2026-11-21","facility":"x-a","facility_seq":{"x-a":7},"kind":"Head","time":"2026-11-22T01:00:00.000Z","v":1}"#;

#[test]
fn a_proof_of_what_is_no_record_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let judged = |body: &str| judged(folder.path(), body);
    let (code, answer, _) = judged(BODY);
    assert_eq!(
        (code, &answer["kind"], &answer["newer"]),
        (0, &"Head".into(), &false.into()),
        "{answer}"
    );
    assert_eq!(answer["time"], "2026-11-22T01:00:00.000Z");
    let other = |from: &str, to: &str| {
        let changed = BODY.replacen(from, to, 1);
        assert_ne!(changed, BODY, "{from}");
        changed
    };
    for (body, ja, en) in [
        (
            "no record at all".to_owned(),
            "監査証跡の記録ではありません",
            "no trail record",
        ),
        (
            other("{\"actor\"", "{ \"actor\""),
            "監査証跡の記録ではありません",
            "no trail record",
        ),
        (
            other("\"v\":1", "\"v\":2"),
            "監査証跡の記録ではありません",
            "no trail record",
        ),
        (
            other("\"day\":\"2026-11-21\",", ""),
            "監査証跡の記録ではありません",
            "no trail record",
        ),
        (other("{\"x-a\":7}", "{\"x-b\":7}"), "連番", "numbered for others"),
        (other("{\"x-a\":7}", "{}"), "連番", "numbered for others"),
    ] {
        let (code, answer, told) = judged(&body);
        assert_eq!((code, &answer["valid"]), (1, &false.into()), "{body}: {answer}");
        assert!(answer["reason"].as_str().unwrap().contains(en), "{answer}");
        assert!(told[0].contains(ja) && told[1].contains(en), "{told:?}");
    }
    for body in [other("\"Head\"", "\"Tail\""), other("\"v\":1}", "\"v\":1,\"w\":1}")] {
        let (code, answer, told) = judged(&body);
        assert_eq!(
            (code, &answer["valid"], &answer["newer"]),
            (3, &true.into(), &true.into()),
            "{answer}"
        );
        assert!(
            told[0].contains("新しい版") && told[1].contains("use a newer one"),
            "{told:?}"
        );
    }
}
