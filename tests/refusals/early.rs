//! Refusals decided while bytes still arrive: the answer reaches a client that reads only after it has written everything.

use std::io::{Read as _, Write as _};

use super::*;

/// More than the buffers of two sockets hold.
const SIZE: usize = 24 << 20;

/// Writes a request to its last byte, and only then reads: status and code of the answer.
fn written_whole(pair: &Pair, stage: &Stage, head: &str) -> (String, String) {
    let mut line = pair.clinic.https(&stage.relay).raw_from(1).unwrap();
    let head = format!("{head}host: 127.0.0.1\r\ncontent-length: {SIZE}\r\n\r\n");
    line.write_all(head.as_bytes()).unwrap();
    let piece = [b'a'; 64 << 10];
    for written in (0..SIZE).step_by(piece.len()) {
        line.write_all(&piece)
            .unwrap_or_else(|error| panic!("after {written} bytes: {error}"));
    }
    let mut answer = Vec::new();
    line.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("connection: close"), "{head}");
    let status = head.split(' ').nth(1).unwrap().to_owned();
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_refusal_reaches_who_reads_only_after_writing_everything() {
    let stage = stage();
    let pair = stage.pair();
    let begun = pair.clinic.begin_upload(&stage.relay, SIZE as u64, None);
    let place = begun.header("location");
    let patch = |offset: u64, version: &str| {
        format!(
            "PATCH {place} HTTP/1.1\r\nupload-offset: {offset}\r\ntus-resumable: {version}\r\n\
             content-type: application/offset+octet-stream\r\n"
        )
    };
    let told = |head: &str| {
        let (status, code) = written_whole(&pair, &stage, head);
        format!("{status} {code}")
    };
    assert_eq!(told(&patch(0, "0.2.0")), "412 tus_version");
    assert_eq!(told(&patch(10, "1.0.0")), "409 offset_mismatch");
    assert_eq!(told("POST /v1/submissions HTTP/1.1\r\n"), "413 too_large");
    assert_eq!(told("POST /v1/nothing HTTP/1.1\r\n"), "404 not_found");
    // Its first bytes are no container: the rest is not waited for.
    assert_eq!(told(&patch(0, "1.0.0")), "422 container_profile");
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

#[test]
fn over_http_2_it_is_told_too() {
    let stage = stage();
    let pair = stage.pair();
    let begun = pair.clinic.begin_upload(&stage.relay, SIZE as u64, None);
    let refused = pair
        .clinic
        .https(&stage.relay)
        .send_http2(append(begun.header("location"), 0), vec![b'a'; SIZE])
        .unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (422, "container_profile"));
}
