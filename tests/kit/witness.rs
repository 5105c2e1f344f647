//! A witness of logs, [C2SP tlog-witness](https://c2sp.org/tlog-witness), with faults on demand. It checks signatures and
//! consistency by RFC 6962 on its own, with no code of ours.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// What goes wrong at a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WitnessFault {
    /// The connection is closed without an answer.
    Down,
    /// 403, whatever comes.
    Refuses,
    /// A cosignature by another key.
    WrongSignature,
}

/// A running witness, on a thread of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Witness {
    url: String,
    vkey: String,
    state: Arc<Mutex<State>>,
    port: u16,
}

struct State {
    name: String,
    id: [u8; 4],
    key: Ed25519KeyPair,
    /// Verification keys of the logs it knows.
    logs: Vec<String>,
    /// Of each origin the newest checkpoint it cosigned.
    seen: BTreeMap<String, (u64, [u8; 32])>,
    fault: Option<WitnessFault>,
    asked: u64,
    stopped: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({}, {:?})", self.name, self.seen)
    }
}

impl Witness {
    /// Starts one that knows no log yet.
    ///
    /// # Panics
    /// If loopback has no port left.
    #[must_use]
    pub fn start(name: &str, seed: u8) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes are a seed");
        let public = [&[4], key.public_key().as_ref()].concat();
        let id: [u8; 4] = hash(&[name.as_bytes(), b"\n", &public])[..4]
            .try_into()
            .expect("four bytes");
        let vkey = format!("{name}+{}+{}", hex::encode(id), STANDARD.encode(public));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let state = Arc::new(Mutex::new(State {
            name: name.to_owned(),
            id,
            key,
            logs: Vec::new(),
            seen: BTreeMap::new(),
            fault: None,
            asked: 0,
            stopped: false,
        }));
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if lock(&served).stopped {
                    return;
                }
                // Who breaks off is no concern of ours.
                let _ = serve(stream, &served);
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            vkey,
            state,
            port,
        }
    }

    /// Its submission prefix.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its verification key.
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    /// Knows a log from now on.
    pub fn knows(&self, log_vkey: &str) {
        lock(&self.state).logs.push(log_vkey.trim().to_owned());
    }

    /// Sets or clears what goes wrong.
    pub fn fault(&self, fault: Option<WitnessFault>) {
        lock(&self.state).fault = fault;
    }

    /// Size of the newest checkpoint of a log that it cosigned; 0: none.
    #[must_use]
    pub fn size(&self, origin: &str) -> u64 {
        lock(&self.state).seen.get(origin).map_or(0, |(size, _)| *size)
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        lock(&self.state).asked
    }

    /// What it answers to `body` on add-checkpoint.
    #[must_use]
    pub fn add_checkpoint(&self, body: &str) -> (u16, String) {
        lock(&self.state).add_checkpoint(body)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        lock(&self.state).stopped = true;
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(&stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = String::new();
    reader.by_ref().take(length).read_to_string(&mut body)?;
    let mut state = lock(state);
    state.asked += 1;
    if state.fault == Some(WitnessFault::Down) {
        return Ok(());
    }
    let (status, answer) = if first.starts_with("POST /add-checkpoint ") {
        state.add_checkpoint(&body)
    } else {
        (404, String::new())
    };
    let kind = if status == 409 {
        "text/x.tlog.size"
    } else {
        "text/plain; charset=utf-8"
    };
    let length = answer.len();
    write!(
        &stream,
        "HTTP/1.1 {status} Answer\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
    )
}

impl State {
    fn add_checkpoint(&mut self, body: &str) -> (u16, String) {
        if self.fault == Some(WitnessFault::Refuses) {
            return (403, String::new());
        }
        match self.judge(body) {
            Ok((origin, size, root, text)) => {
                self.seen.insert(origin, (size, root));
                (200, self.cosign(&text))
            }
            Err(refused) => refused,
        }
    }

    /// Origin, size, root and text of a checkpoint to cosign.
    #[expect(
        clippy::type_complexity,
        reason = "what an answer consists of, or status and words; read in one place"
    )]
    fn judge(&self, body: &str) -> Result<(String, u64, [u8; 32], String), (u16, String)> {
        let bad = || (400, String::new());
        let (head, note) = body.split_once("\n\n").ok_or_else(bad)?;
        let mut lines = head.lines();
        let old: u64 = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(bad)?;
        let proof: Vec<[u8; 32]> = lines.map(hash_line).collect::<Option<_>>().ok_or_else(bad)?;
        let (text, signatures) = note.split_once("\n\n").ok_or_else(bad)?;
        let text = format!("{text}\n");
        let mut lines = text.lines();
        let origin = lines.next().ok_or_else(bad)?.to_owned();
        let size: u64 = lines.next().and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
        let root = lines.next().and_then(hash_line).ok_or_else(bad)?;
        let known: Vec<_> = self
            .logs
            .iter()
            .filter(|vkey| vkey.starts_with(&format!("{origin}+")))
            .collect();
        if known.is_empty() {
            return Err((404, String::new()));
        }
        if !known.iter().any(|vkey| signed(&text, signatures, vkey)) {
            return Err((403, String::new()));
        }
        if old > size || proof.len() > 63 {
            return Err(bad());
        }
        let (seen, seen_root) = self.seen.get(&origin).copied().unwrap_or((0, hash(&[])));
        if old != seen {
            return Err((409, format!("{seen}\n")));
        }
        if !consistent(seen, &seen_root, size, &root, &proof) {
            return Err((422, String::new()));
        }
        Ok((origin, size, root, text))
    }

    fn cosign(&self, text: &str) -> String {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_secs());
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let other = Ed25519KeyPair::from_seed_unchecked(&[0xEE; 32]).expect("32 bytes are a seed");
        let key = if self.fault == Some(WitnessFault::WrongSignature) {
            &other
        } else {
            &self.key
        };
        let signature = key.sign(message.as_bytes());
        let bytes = [&self.id[..], &time.to_be_bytes(), signature.as_ref()].concat();
        format!("— {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

/// Whether one of the signature lines is the log's own (Ed25519, type 0x01).
fn signed(text: &str, signatures: &str, vkey: &str) -> bool {
    let mut parts = vkey.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Ok(key) = STANDARD.decode(key) else { return false };
    signatures.lines().any(|line| {
        let signature = line
            .strip_prefix(&format!("— {name} "))
            .and_then(|line| STANDARD.decode(line).ok());
        signature.is_some_and(|bytes| {
            bytes.len() == 68
                && hex::encode(&bytes[..4]) == id
                && UnparsedPublicKey::new(&ED25519, &key[1..])
                    .verify(text.as_bytes(), &bytes[4..])
                    .is_ok()
        })
    })
}

fn hash_line(line: &str) -> Option<[u8; 32]> {
    STANDARD.decode(line).ok()?.try_into().ok()
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// [RFC 9162](https://www.rfc-editor.org/rfc/rfc9162#section-2.1.4.2) §2.1.4.2.
fn consistent(first: u64, first_root: &[u8; 32], second: u64, second_root: &[u8; 32], proof: &[[u8; 32]]) -> bool {
    if first == 0 {
        return proof.is_empty();
    }
    if first == second {
        return proof.is_empty() && first_root == second_root;
    }
    let mut path = proof.to_vec();
    if first.is_power_of_two() {
        path.insert(0, *first_root);
    }
    let (mut at, mut last) = (first - 1, second - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let mut nodes = path.iter();
    let Some(start) = nodes.next() else { return false };
    let (mut old, mut new) = (*start, *start);
    for node in nodes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = hash(&[&[1], node, &old]);
            new = hash(&[&[1], node, &new]);
            while at != 0 && at & 1 == 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = hash(&[&[1], &new, node]);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *first_root && new == *second_root
}
