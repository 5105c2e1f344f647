//! What an export costs: the account of a whole trail as CSV, against `psql \copy` of the same rows in the same run, and how much
//! memory it takes. Run: `cargo bench -p relay --bench export`; `HIKYAKU_BENCH_RECORDS=10000000` for the full size.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench that cannot go on must stop")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use formats::envelope::Category;
use formats::trail::{Access, Actor, Event, LogKey};
use formats::wire::Purpose;
use futures_util::StreamExt as _;
use relay::account::{self, Encoding, Format, Query, Request};
use relay::admin;
use relay::config::Config;
use relay::keys::Keys;
use relay::store::conformance::{batch, submission};
use relay::store::{FileStore, Store};
use time::macros::datetime;

/// An export may take so long, as a multiple of psql's time.
const MOST: f64 = 1.0;
/// And so much memory beside what the open store has.
const MEMORY: u64 = 64 << 20;
const RECORDS: u64 = 200_000;
const ROUNDS: usize = 5;
/// Records committed together while the trail is made.
const BATCH: u64 = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--export") {
        return export(Path::new(&arguments[at + 1]), Path::new(&arguments[at + 2]));
    }
    let records = std::env::var("HIKYAKU_BENCH_RECORDS").ok();
    let records = records.map_or(RECORDS, |records| records.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    admin::init(
        &folder.path().join("relay"),
        "localhost",
        time::OffsetDateTime::now_utc(),
    )
    .unwrap();
    make(folder.path(), records);
    println!(
        "made a trail of {records} records in {:.1} s, with its index and keys {} MiB",
        begun.elapsed().as_secs_f64(),
        bytes(&folder.path().join("relay/data")) >> 20
    );

    // A process of its own, so that its memory is that of an open store and an export.
    let rows = folder.path().join("rows.csv");
    let run = |to: &Path| {
        let mut own = Command::new(std::env::current_exe().unwrap());
        own.arg("--export").arg(folder.path()).arg(to);
        let output = own.stderr(Stdio::inherit()).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let figures: Vec<f64> = told.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
        (figures[0], figures[1] as u64)
    };
    run(&rows);
    let written = std::fs::metadata(&rows).unwrap().len();
    let psql = Psql::start(folder.path(), &rows);
    // In turn, the best of each: what else the machine does meets both.
    let (mut seconds, mut grown, mut reference) = (f64::MAX, 0, f64::MAX);
    for _ in 0..ROUNDS {
        let (took, memory) = run(Path::new("/dev/null"));
        (seconds, grown) = (seconds.min(took), grown.max(memory));
        if let Some(psql) = &psql {
            reference = reference.min(psql.copy());
        }
    }
    println!(
        "export as CSV: {records} records, {written} bytes in {seconds:.2} s: {:.0} records/s, memory grew by {:.1} MiB",
        records as f64 / seconds,
        grown as f64 / f64::from(1 << 20)
    );
    assert!(grown < MEMORY, "an export took {grown} bytes of memory");
    match psql {
        None => println!("no PostgreSQL here: nothing to compare with"),
        Some(_) => {
            let ratio = seconds / reference;
            println!(
                "psql \\copy of the same rows: {reference:.2} s; the export takes {ratio:.2} of that (may take {MOST})"
            );
            assert!(ratio <= MOST, "an export is slower than psql");
        }
    }
}

/// What lies below a folder.
fn bytes(folder: &Path) -> u64 {
    let of = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => bytes(&entry.path()),
        metadata => metadata.len(),
    };
    std::fs::read_dir(folder).unwrap().map(|entry| of(entry.unwrap())).sum()
}

/// The store of the relay in this folder.
fn open(folder: &Path) -> FileStore {
    let config = Config::load(&folder.join("relay/relay.toml")).unwrap();
    let key = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0;
    relay::folder::create_or_close(&config.data).unwrap();
    FileStore::open(&config.data, key, &Keys::open(&config.keys).unwrap()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A trail as a year leaves it: of each letter its acceptance, one import and three looks.
fn make(folder: &Path, records: u64) {
    let store = open(folder);
    runtime().block_on(async {
        let mut waiting = Vec::new();
        for begin in (0..records).step_by(usize::try_from(BATCH).unwrap()) {
            let events = (begin..records.min(begin + BATCH)).map(event).collect();
            let mut together = batch(events, vec![]);
            together.actor = Actor {
                facility: Some("1320000002".parse().unwrap()),
                device: Some("pc-1".parse().unwrap()),
                person_id: Some("m1".parse().unwrap()),
                person_name: Some("看護　一郎".into()),
                assurance: None,
                address: Some("192.0.2.17".into()),
            };
            waiting.push(store.commit(together));
            if waiting.len() == 8 {
                for ticket in waiting.drain(..) {
                    ticket.committed().await.unwrap();
                }
            }
        }
        for ticket in waiting {
            ticket.committed().await.unwrap();
        }
    });
}

fn event(number: u64) -> Event {
    let sent = submission(number / 5, "1310000001", &["1320000002"]);
    if number.is_multiple_of(5) {
        return Event::Accepted(Box::new(sent));
    }
    let access = Access {
        submission: sent.submission,
        sender: "1310000001".parse().unwrap(),
        recipient: "1320000002".parse().unwrap(),
        patient: sent.patient,
        purpose: Purpose::View,
        scope: vec!["letter/letter.pdf".into()],
        categories: vec![Category::Letter],
    };
    if number % 5 == 1 {
        Event::Delivered(access)
    } else {
        Event::Viewed(access)
    }
}

/// Prints seconds, and by how many bytes the memory of this process grew.
fn export(folder: &Path, to: &Path) {
    let store: Arc<dyn Store> = Arc::new(open(folder));
    // Linux: the highest mark begins anew.
    let _elsewhere = std::fs::write("/proc/self/clear_refs", "5");
    let before = peak();
    let begun = Instant::now();
    runtime().block_on(async {
        let request = Request {
            query: Query::default(),
            format: Format::Csv,
            encoding: Encoding::Utf8,
            also: None,
            reading: None,
            actor: Actor::default(),
            conditions: Vec::new(),
            now: datetime!(2027-11-22 00:00 UTC),
        };
        let mut out = BufWriter::with_capacity(1 << 20, File::create(to).unwrap());
        let mut parts = account::export(store, request).await.unwrap().parts;
        while let Some(part) = parts.next().await {
            out.write_all(&part.unwrap()).unwrap();
        }
        out.flush().unwrap();
    });
    println!("{} {}", begun.elapsed().as_secs_f64(), peak().saturating_sub(before));
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

/// A PostgreSQL of this run, with the rows in a table.
struct Psql {
    programs: PathBuf,
    folder: PathBuf,
}

impl Psql {
    fn start(folder: &Path, rows: &Path) -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let programs = versions.flatten().map(|version| version.path().join("bin")).max()?;
        let psql = Self {
            programs,
            folder: folder.join("pg"),
        };
        std::fs::create_dir(&psql.folder).unwrap();
        let open = |path: &Path| Command::new("chmod").arg("a+rwx").arg(path).status().unwrap();
        open(folder);
        open(&psql.folder);
        psql.run("initdb", &["-A", "trust", "-U", "bench", "-D", "data", "--no-sync"]);
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={}",
            psql.folder.display()
        );
        psql.run("pg_ctl", &["-w", "-D", "data", "-l", "log", "-o", &options, "start"]);
        let names = std::fs::File::open(rows).unwrap();
        let mut head = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(names), &mut head).unwrap();
        let columns: Vec<String> = head
            .trim_start_matches('\u{feff}')
            .trim_end()
            .split(',')
            .map(|name| format!("{name} text"))
            .collect();
        psql.ask(&format!("create unlogged table account ({})", columns.join(", ")));
        psql.ask(&format!("\\copy account from '{}' csv header", rows.display()));
        std::fs::remove_file(rows).unwrap();
        psql.ask("vacuum analyze account");
        Some(psql)
    }

    fn copy(&self) -> f64 {
        let begun = Instant::now();
        self.ask("\\copy account to '/dev/null' csv");
        begun.elapsed().as_secs_f64()
    }

    fn ask(&self, command: &str) {
        let host = self.folder.display().to_string();
        self.run(
            "psql",
            &[
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                &host,
                "-U",
                "bench",
                "-d",
                "postgres",
                "-c",
                command,
            ],
        );
    }

    /// PostgreSQL does not run as root.
    fn run(&self, program: &str, arguments: &[&str]) {
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let program = self.programs.join(program);
        let mut command = if root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let done = command
            .args(arguments)
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "{command:?}");
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run("pg_ctl", &["-D", "data", "-m", "immediate", "stop"]);
        }
    }
}
