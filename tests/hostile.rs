//! Ten megabytes made to be laborious cost every parser little time and little memory.
//!
//! Each case runs in a process of its own. Memory is what the kernel says the process had resident at most, the input included.
//! Time is not asserted as such, for machines differ: the work is compared with a plain loop over the same bytes, compiled as
//! the parsers are, in the same process and counted in the time the thread was really running.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[path = "hostile/binary.rs"]
mod binary;
#[path = "hostile/containers.rs"]
mod containers;
#[path = "hostile/pdf.rs"]
mod pdf;
#[path = "hostile/texts.rs"]
mod texts;

/// Size of an input.
const SIZE: usize = 10_000_000;
/// What a process may have resident, its input included.
const MEMORY: u64 = 64 << 20;
/// How often the plain loop over the same bytes fits into the work. In an optimised build the loop takes about ten milliseconds,
/// so that this stays below a second. What is not optimised takes up to thirty times as long, the loop but twice.
const RATIO: f64 = if cfg!(debug_assertions) { 600.0 } else { 80.0 };
/// The environment variable that tells a child its case, and the one that names its input.
const CASE: &str = "HIKYAKU_HOSTILE_CASE";
const INPUT: &str = "HIKYAKU_HOSTILE_INPUT";

/// One laborious input.
struct Case {
    name: &'static str,
    make: fn() -> Vec<u8>,
    /// Reads it; what comes out is dropped at once.
    read: fn(&[u8]),
}

fn cases() -> Vec<Case> {
    [binary::cases(), containers::cases(), pdf::cases(), texts::cases()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn ten_hostile_megabytes_cost_no_parser_much_time_or_memory() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = std::env::var("HIKYAKU_HOSTILE_ONLY").unwrap_or_default();
    let cases = cases();
    let cases: Vec<&Case> = cases.iter().filter(|case| case.name.contains(&wanted)).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new((String::new(), Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let input = folder.path().join(format!("input{worker}"));
            let (cases, next, found) = (&cases, &next, &found);
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let measured = measure(case, &input);
                    let (told, broken) = &mut *found.lock().unwrap();
                    match measured {
                        Ok(measured) => {
                            told.push_str(&measured.line(case));
                            broken.extend(measured.broken(case));
                        }
                        Err(said) => broken.push(format!("{}: {said}", case.name)),
                    }
                }
            });
        }
    });
    let (told, broken) = found.into_inner().unwrap();
    println!("{told}");
    assert!(broken.is_empty(), "{told}\n{}", broken.join("\n"));
}

/// What a child found.
struct Measured {
    seconds: f64,
    ratio: f64,
    peak: f64,
}

impl Measured {
    fn line(&self, case: &Case) -> String {
        let Self { seconds, ratio, peak } = self;
        let (name, peak) = (case.name, peak / 1_048_576.0);
        format!("{name:<60} {seconds:>7.3} s, {ratio:>6.1} loops, {peak:>4.0} MiB\n")
    }

    fn broken(&self, case: &Case) -> Vec<String> {
        let mut broken = Vec::new();
        if self.ratio > RATIO {
            broken.push(format!("{}: {} loops over the same bytes", case.name, self.ratio));
        }
        if self.peak > MEMORY as f64 {
            broken.push(format!("{}: {} bytes resident", case.name, self.peak));
        }
        broken
    }
}

/// Runs a case in a child; what the child said where it told no figures.
fn measure(case: &Case, input: &Path) -> Result<Measured, String> {
    let bytes = (case.make)();
    let name = case.name;
    assert!(bytes.len() <= SIZE + SIZE / 20, "{name} is larger than it should be");
    fs::write(input, bytes).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_case", "--ignored", "--nocapture", "--test-threads=1"])
        .env(CASE, name)
        .env(INPUT, input)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().find_map(|line| line.split_once("measured: "));
    let Some((_, figures)) = figures.filter(|_| output.status.success()) else {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    };
    let figures: Vec<f64> = figures.split(' ').map(|figure| figure.parse().unwrap()).collect();
    let [seconds, ratio, peak] = figures[..] else {
        panic!("{text}")
    };
    Ok(Measured { seconds, ratio, peak })
}

/// What a child does: nothing, unless it is told its case.
#[test]
#[ignore = "run by the test above, once for each case"]
fn one_case() {
    let Ok(name) = std::env::var(CASE) else { return };
    let cases = cases();
    let case = cases.iter().find(|case| case.name == name).unwrap();
    let input = fs::read(std::env::var_os(INPUT).unwrap()).unwrap();
    let (begin, bytes) = (running(), plain_loops(&input));
    // What the loop takes for as many bytes as an input may have: a short one may ask for no less work.
    let yardstick = (running() - begin).mul_f64(SIZE as f64 / bytes as f64);
    let begin = running();
    (case.read)(&input);
    let work = running() - begin;
    let ratio = work.as_secs_f64() / yardstick.as_secs_f64();
    println!("measured: {} {ratio} {}", work.as_secs_f64(), peak());
}

/// As the parsers: one byte after the other, over more than [`SIZE`]. Returns how many bytes that were.
fn plain_loops(input: &[u8]) -> usize {
    let times = SIZE / input.len() + 1;
    for _ in 0..times {
        let mut state = 0xcbf2_9ce4_8422_2325_u64;
        for byte in black_box(input) {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        black_box(state);
    }
    times * input.len()
}

/// How long this thread has been on a processor, where the kernel tells; else the time that has passed.
fn running() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Most bytes this process had resident; 0 where nobody tells.
fn peak() -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let mark = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    mark.and_then(|mark| mark.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}
