//! `hikyaku trail verify` of a large export, beside the bare work it cannot do without: HMAC and leaf hash of the same bodies in one
//! thread. `HIKYAKU_RECORDS=10000000 cargo bench -p client --bench trail_verify`

use std::io::{BufWriter, Write as _};
use std::time::Instant;

use formats::trail::{Entry, ExportHead, Frontier, LogKey, commitment, tree};

fn salt(position: u64) -> [u8; 32] {
    let mut salt = [7; 32];
    salt[..8].copy_from_slice(&position.to_be_bytes());
    salt
}

/// A look at a document, as most records are.
fn body(position: u64) -> String {
    let number = position + 1;
    format!(
        r#"{{"actor":{{"address":"192.0.2.17","assurance":"asserted-by-device","device":"desk-1","facility":"1320000002","person_id":"staff","person_name":"TEST 一郎"}},"categories":["letter"],"facility_seq":{{"1310000001":{number},"1320000002":{number}}},"kind":"Viewed","patient":"PT-{position}","purpose":"view","recipient":"1320000002","scope":["letter/letter.pdf"],"sender":"1310000001","submission":"0193569a-7c00-7000-8000-{position:012}","time":"2026-11-22T01:00:00.000Z","v":1}}"#
    )
}

fn main() {
    let count: u64 = std::env::var("HIKYAKU_RECORDS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000_000);
    let key = LogKey::from_seed("relay.example/trail", &[5; 32]).expect("a key").0;

    let mut frontier = Frontier::default();
    let (mut bare, mut bytes) = (0.0, 0);
    for begin in (0..count).step_by(10_000) {
        let bodies: Vec<_> = (begin..count.min(begin + 10_000))
            .map(|position| (salt(position), body(position)))
            .collect();
        let started = Instant::now();
        let leaves: Vec<_> = bodies
            .iter()
            .map(|(salt, body)| tree::leaf(&commitment(salt, body.as_bytes())))
            .collect();
        bare += started.elapsed().as_secs_f64();
        bytes += bodies.iter().map(|(_, body)| body.len()).sum::<usize>();
        leaves.iter().for_each(|leaf| frontier.push(leaf));
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    let mut lines = Vec::new();
    ExportHead {
        facility: None,
        extract: false,
        checkpoint: key.sign(count, &frontier.root()).expect("a checkpoint"),
        witnessed: Vec::new(),
    }
    .push(&mut lines);
    for position in 0..count {
        let (body, salt) = (body(position), salt(position));
        Entry::push_record(&mut lines, position, &body, &salt, &commitment(&salt, body.as_bytes()));
        out.write_all(&lines).expect("room on the disk");
        lines.clear();
    }
    out.flush().expect("room on the disk");
    drop(out);

    let mut best = f64::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        let verdict = client::trail::export(file.path(), key.vkey(), &[], Vec::new()).expect("it is as signed");
        best = best.min(started.elapsed().as_secs_f64());
        assert_eq!(verdict.records, count);
    }
    let rate = |seconds: f64| count as f64 / seconds / 1e6;
    let size = file.path().metadata().map_or(0, |file| file.len());
    println!(
        "{count} records of {} bytes, {} MB as lines",
        bytes as u64 / count,
        size >> 20
    );
    println!("bare HMAC and leaf hash, one thread: {:.2} million/s", rate(bare));
    println!(
        "trail verify:                        {:.2} million/s ({:.2} of it)",
        rate(best),
        bare / best
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        println!("memory {peak}");
    }
}
