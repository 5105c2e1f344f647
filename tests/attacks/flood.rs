//! Floods: connections, headers, frames and streams without end, from another address, while an honest letter goes through.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kit::https::tcp_from;
use kit::measure::resident_memory;
use kit::{Https, Pair, RelayOptions, Stage};
use rustls::{ClientConnection, StreamOwned};

/// The attacker's address, 127.0.0.2: not that of honest clients.
const ATTACKER: u8 = 2;
/// Connections of one address.
const SEATS: usize = 24;
/// What all floods together may add to what the relay has resident.
const GROWTH: u64 = 64 << 20;

/// An open TLS connection.
struct Line(StreamOwned<ClientConnection, TcpStream>);

impl Line {
    /// Writes until everything is written, or the other side has enough or takes no more. How many bytes it was.
    fn pour(&mut self, pieces: impl Iterator<Item = Vec<u8>>) -> usize {
        let mut poured = 0;
        for piece in pieces {
            match self.0.write_all(&piece) {
                Ok(()) => poured += piece.len(),
                Err(_) => break,
            }
        }
        poured
    }

    /// The same, reading what is answered, so that nothing holds the other side up.
    fn pour_and_read(&mut self, pieces: impl Iterator<Item = Vec<u8>>) -> usize {
        let short = Some(Duration::from_millis(1));
        self.0.sock.set_read_timeout(short).unwrap();
        let mut poured = 0;
        for piece in pieces {
            match self.pour(std::iter::once(piece)) {
                0 => break,
                more => poured += more,
            }
            while let Ok(1..) = self.0.read(&mut [0; 64 << 10]) {}
        }
        poured
    }

    /// What comes until the other side closes or is silent.
    fn said(&mut self) -> Vec<u8> {
        let (mut said, mut block) = (Vec::new(), [0; 16 << 10]);
        while let Ok(read @ 1..) = self.0.read(&mut block) {
            said.extend_from_slice(&block[..read]);
            if said.len() > 1 << 20 {
                break;
            }
        }
        said
    }
}

/// A relay with few seats, and who attacks it.
struct Siege {
    stage: Stage,
    pair: Pair,
    device: Https,
    stranger: Https,
    before: u64,
}

impl Siege {
    /// `None` where a machine has but one loopback address.
    fn lay() -> Option<Self> {
        let limits = vec![
            ("connections", 200.into()),
            ("connections_per_address", i64::try_from(SEATS).unwrap().into()),
        ];
        let stage = Stage::new(&RelayOptions {
            limits,
            ..RelayOptions::default()
        });
        if tcp_from(ATTACKER, stage.relay.api_port()).is_err() {
            kit::skip("floods", "no second loopback address");
            return None;
        }
        let pair = stage.pair();
        let device = stage.pair().clinic.https(&stage.relay);
        let ca = std::fs::read(stage.relay.folder().join("keys/ca.pem")).unwrap();
        let stranger = Https::new(portal(&stage), &ca, None).unwrap();
        let siege = Self {
            stage,
            pair,
            device,
            stranger,
            before: 0,
        };
        // What a first letter makes the relay load is no growth.
        siege.an_honest_letter_goes_through();
        let before = resident_memory(siege.stage.relay.pid()).unwrap_or(u64::MAX);
        Some(Self { before, ..siege })
    }

    fn line(&self) -> Line {
        Line(self.device.raw_from(ATTACKER).unwrap())
    }

    fn http2(&self) -> Line {
        let mut line = self.line();
        line.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        line.0.write_all(&frame(4, 0, 0, &[])).unwrap();
        line
    }

    fn an_honest_letter_goes_through(&self) {
        let (stage, pair) = (&self.stage, &self.pair);
        let container = stage.container(pair, &stage.services.hpki().doctor(), |_, _| {});
        let reply = pair.clinic.submit(&stage.relay, &container);
        assert_eq!(reply.status, 201, "{}", stage.relay.log());
        let path = format!("/v1/submissions/{}/container", reply.json()["id"].as_str().unwrap());
        let fetched = pair.hospital.get_as(&stage.relay, &path, "staff", &[]);
        assert_eq!((fetched.status, fetched.body), (200, container));
    }

    fn holds(&self) {
        self.an_honest_letter_goes_through();
        let now = resident_memory(self.stage.relay.pid()).unwrap_or_default();
        let growth = now.saturating_sub(self.before);
        println!("grown by {} KiB", growth >> 10);
        assert!(growth < GROWTH, "the relay grew by {growth} bytes");
        self.stage.relay.assert_log_keeps_quiet(&[]);
    }
}

fn portal(stage: &Stage) -> u16 {
    stage.relay.portal_url().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 7541: `method` by its static index (GET 2, POST 3), https, `/v1/inbox`, authority.
fn head(method: u8) -> Vec<u8> {
    let mut block = vec![0x80 | method, 0x87];
    block.extend(b"\x04\x09/v1/inbox");
    block.extend(b"\x01\x09127.0.0.1");
    block
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

#[test]
fn frames_and_streams_without_end_neither_fill_the_relay_nor_keep_others_out() {
    let Some(siege) = Siege::lay() else { return };
    let mut open = Vec::new();

    // CVE-2023-44487: streams opened and reset at once.
    let mut line = siege.http2();
    let reset = |stream| {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(2));
        [request, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let numbers: Vec<u32> = streams(50_000).collect();
    line.pour_and_read(
        numbers
            .chunks(100)
            .map(|some| some.iter().copied().flat_map(reset).collect()),
    );
    open.push(line);

    // CVE-2024-27316 and its like: headers that go on and on.
    let mut line = siege.http2();
    line.0.write_all(&frame(HEADERS, 0, 1, &head(2))).unwrap();
    let field = [b"\x00\x01a\x7f\xff\x7e".to_vec(), vec![b'b'; 16_254]].concat();
    let poured = line.pour(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &field), 8_000));
    assert!(poured < 100 << 20, "it read {poured} bytes of headers");
    open.push(line);
    let mut line = siege.http2();
    line.0.write_all(&frame(HEADERS, 0, 1, &head(2))).unwrap();
    line.pour(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[]).repeat(1_000), 2_000));
    open.push(line);

    // Streams that begin and never end, on several connections.
    for _ in 0..4 {
        let mut line = siege.http2();
        let begun = streams(2_000).map(|stream| {
            let request = frame(HEADERS, END_HEADERS, stream, &head(3));
            [request, frame(DATA, 0, stream, b"{")].concat()
        });
        let begun: Vec<_> = begun.collect();
        line.pour_and_read(begun.chunks(100).map(<[Vec<u8>]>::concat));
        open.push(line);
    }

    // Questions whose answers are never read: PING, SETTINGS, requests with a window of nothing.
    for questions in [
        frame(PING, 0, 0, &[0; 8]).repeat(1_000),
        frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]).repeat(1_000),
        frame(DATA, 0, 1, &[]).repeat(1_000),
        frame(8, 0, 0, &1_u32.to_be_bytes()).repeat(1_000),
    ] {
        let mut line = siege.http2();
        line.pour(std::iter::repeat_n(questions, 500));
        open.push(line);
    }
    let mut line = siege.http2();
    line.0.write_all(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])).unwrap();
    line.pour(streams(5_000).map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(2))));
    open.push(line);

    siege.holds();
    drop(open);
    siege.holds();
}

#[test]
fn slow_and_half_open_connections_take_no_more_than_their_seats() {
    let Some(siege) = Siege::lay() else { return };
    let (api, at_portal) = (siege.stage.relay.api_port(), portal(&siege.stage));

    // Handshakes that are never finished, some never begun.
    let mut half: Vec<TcpStream> = Vec::new();
    for number in 0..4 * SEATS {
        for port in [api, at_portal] {
            let Ok(mut stream) = tcp_from(ATTACKER, port) else {
                continue;
            };
            if number % 2 == 0 {
                // The record says that more is to come.
                let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            }
            half.push(stream);
        }
    }
    siege.an_honest_letter_goes_through();
    // A connection without a seat is closed at once; one with a seat when its handshake takes too long.
    let mut open = 0;
    for stream in &mut half {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let ended = stream.read(&mut [0; 64]);
        let waits = |error: &std::io::Error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            )
        };
        open += usize::from(ended.is_err_and(|error| waits(&error)));
    }
    assert!(open <= 2 * SEATS, "{open} of {} may stay", half.len());
    drop(half);

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let dribble = |mut line: Line, head: String, more: &'static [u8]| {
            let done = &done;
            scope.spawn(move || {
                let _ = line.0.write_all(head.as_bytes());
                for byte in more.iter().cycle() {
                    if done.load(Ordering::Relaxed) || line.0.write_all(&[*byte]).is_err() || line.0.flush().is_err() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        };
        // Slowloris: a request's headers, a byte at a time, by a stranger and by a device.
        for number in 0..SEATS / 4 {
            let stranger = Line(until_there_is_a_seat(&siege.stranger));
            dribble(stranger, format!("GET /{number} HTTP/1.1\r\nhost: a\r\nx: "), b"a");
            dribble(
                Line(until_there_is_a_seat(&siege.device)),
                "GET / HTTP/1.1\r\nhost: a\r\n".into(),
                b"x: a\r\n",
            );
        }
        // An upload a byte at a time.
        for _ in 0..4 {
            let begun = siege.device.send(
                http::Request::post("/v1/uploads")
                    .header("tus-resumable", "1.0.0")
                    .header("upload-length", 1_000_000),
                &[],
            );
            let place = begun.unwrap().header("location").to_owned();
            let head = format!(
                "PATCH {place} HTTP/1.1\r\nhost: a\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
                 content-type: application/offset+octet-stream\r\ncontent-length: 1000000\r\n\r\n"
            );
            dribble(Line(until_there_is_a_seat(&siege.device)), head, b"PK\x03\x04");
        }
        siege.holds();
        done.store(true, Ordering::Relaxed);
    });
    siege.holds();
}

/// A connection, as soon as the attacker's earlier ones have given their seats back.
fn until_there_is_a_seat(https: &Https) -> StreamOwned<ClientConnection, TcpStream> {
    for _ in 0..200 {
        if let Ok(stream) = https.raw_from(ATTACKER) {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no seat is given back");
}

#[test]
fn headers_too_large_are_refused() {
    let Some(siege) = Siege::lay() else { return };
    let field = |size: usize| format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(size));
    let fields = format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: a\r\n".repeat(500));
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(1 << 20));
    for request in [
        field(16 << 20),
        fields,
        target,
        format!("GET / HTTP/1.1\r\n{}", " ".repeat(2 << 20)),
    ] {
        let mut line = siege.line();
        line.pour(request.as_bytes().chunks(65_536).map(<[u8]>::to_vec));
        let said = String::from_utf8_lossy(&line.said()).into_owned();
        let status = said.split(' ').nth(1).unwrap_or("closed");
        assert!(["400", "414", "431", "closed"].contains(&status), "{said}");
    }
    let mut line = siege.http2();
    let large = [b"\x00\x01a\x7f\xa1\xff\x01".to_vec(), vec![b'b'; 32_800]].concat();
    let block = [head(2), large].concat();
    let (first, rest) = block.split_at(16_000);
    let mut request = frame(HEADERS, END_STREAM, 1, first);
    for (number, piece) in rest.chunks(16_000).enumerate() {
        let last = (number + 1) * 16_000 >= rest.len();
        request.extend(frame(CONTINUATION, if last { END_HEADERS } else { 0 }, 1, piece));
    }
    line.pour(std::iter::once(request));
    let said = line.said();
    // `:status 431` is no indexed field; `200` is index 8 of the static table, RFC 7541 appendix A.
    let answered = |said: &[u8]| said.windows(10).any(|window| window[3] == HEADERS && window[9] == 0x88);
    assert!(!answered(&said), "{said:?}");
    siege.holds();
}
